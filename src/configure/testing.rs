//! Plans of small specs, for the tests of all areas.

use super::{Plan, System, configuration, needs, plan};
use crate::model::spec::{Base, Init, OsImage};
use serde_json::{Value, json};

/// An image of a distribution with some of a spec's fields.
pub(super) fn image(base: Base, init: Option<Init>, fields: &Value) -> OsImage {
    let suite = crate::tables::of(base).suites().next().unwrap_or("rolling");
    let mut document = json!({"apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
        "spec": {"base": base.as_str(), "suite": suite}});
    if let Some(init) = init {
        document["spec"]["init"] = json!(init.as_str());
    }
    for (name, value) in fields.as_object().unwrap() {
        document["spec"][name] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

/// What some fields become, with these packages of the distribution installed.
pub(super) fn planned(base: Base, init: Option<Init>, fields: &Value, packages: &[&str]) -> Plan {
    let packages: Vec<_> = packages.iter().map(|name| (*name, "")).collect();
    planned_with(base, init, fields, &packages)
}

/// What some fields become, with packages of these versions installed.
pub(super) fn planned_with(
    base: Base,
    init: Option<Init>,
    fields: &Value,
    packages: &[(&str, &str)],
) -> Plan {
    let image = image(base, init, fields);
    let configuration = configuration(&image.metadata.name, &image.spec).unwrap();
    plan(&System {
        configuration: &configuration,
        base,
        suite: image.spec.suite.as_str(),
        architecture: image.spec.architecture,
        packages: packages.iter().copied().collect(),
        outputs: &image.spec.outputs,
    })
}

/// Fields and names of the packages that some fields need.
pub(super) fn needed(base: Base, fields: &Value) -> Vec<(String, String)> {
    let needs = needs(&image(base, None, fields).spec);
    needs.packages.into_iter().map(|need| (need.field, need.name.to_string())).collect()
}
