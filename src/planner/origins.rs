//! Which line of which file set what changed: a recipe knows its fields, the catalog knows
//! where their values came from.

use crate::model::plan::Reason;
use std::collections::{BTreeMap, BTreeSet};

/// A part of a recipe, and the field of a spec that it is made from.
const FIELDS: [(&str, &str); 22] = [
    ("base", "spec.base"),
    ("suite", "spec.suite"),
    ("architecture", "spec.architecture"),
    ("outputs", "spec.outputs"),
    ("verify", "spec.verify"),
    ("limits", "spec.limits"),
    ("packages", "spec.packages"),
    ("post-install", "spec.postInstall.scripts"),
    ("dotfiles", "spec.customization.dotfiles"),
    ("shell", "spec.customization.shellFrameworkSource"),
    ("splash", "spec.customization.bootloader"),
    ("configuration.customization", "spec.customization"),
    ("bootMenu.kernelFlags", "spec.kernel.customFlags"),
    ("bootMenu", "spec.customization.bootloader"),
    ("configuration.hostname", "spec.defaults.hostname"),
    ("configuration.locale", "spec.defaults.locale"),
    ("configuration.timezone", "spec.defaults.timezone"),
    ("configuration.users", "spec.defaults.users"),
    ("configuration.enable", "spec.services.enable"),
    ("configuration.disable", "spec.services.disable"),
    ("configuration.modules", "spec.kernel.modules"),
    ("configuration", "spec.securityFeatures"),
];
/// More places are not told for one field.
const MOST: usize = 3;

/// Adds to each changed field the places that set it, where that is another file than the
/// image's own; `origins` are the fields of the spec and their places.
pub(super) fn name(reasons: &mut [Reason], origins: &BTreeMap<String, String>) {
    for reason in reasons {
        if let Reason::ChangedField { field, origin, .. } = reason {
            *origin = of(field, origins);
        }
    }
}

fn of(field: &str, origins: &BTreeMap<String, String>) -> Option<String> {
    let (rest, spec) = FIELDS.iter().find_map(|(recipe, spec)| {
        let rest = field.strip_prefix(recipe)?;
        (rest.is_empty() || rest.starts_with(['.', ':', '['])).then_some((rest, spec))
    })?;
    // Scripts are told by their path, users by their name: what set the list set them.
    let whole = rest.starts_with(':') || *spec == "spec.defaults.users";
    let path = if whole { (*spec).to_owned() } else { format!("{spec}{rest}") };
    let inside = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let told = origins.iter().filter(|(known, _)| inside(known, &path) || inside(&path, known));
    let places: BTreeSet<&str> = told.map(|(_, place)| place.as_str()).collect();
    let places: Vec<&str> = places.into_iter().take(MOST).collect();
    (!places.is_empty()).then(|| places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_field() {
        let origins: BTreeMap<String, String> = [
            ("spec.services.enable", "profiles/a.yaml:3"),
            ("spec.securityFeatures.firewall.policy", "profiles/b.yaml:4"),
            ("spec.securityFeatures.firewall.rules", "profiles/b.yaml:5"),
            ("spec.defaults.users", "profiles/c.yaml:6"),
            ("spec.postInstall.scripts", "profiles/d.yaml:7"),
            ("spec.verify.boot", "profiles/e.yaml:8"),
        ]
        .map(|(field, place)| (field.to_owned(), place.to_owned()))
        .into();
        for (field, place) in [
            ("configuration.enable", Some("profiles/a.yaml:3")),
            ("configuration.firewall.policy", Some("profiles/b.yaml:4")),
            ("configuration.firewall", Some("profiles/b.yaml:4, profiles/b.yaml:5")),
            ("configuration.firewall.rules[0].port", Some("profiles/b.yaml:5")),
            ("configuration.users.ada.sudo", Some("profiles/c.yaml:6")),
            ("post-install: specs/x.sh", Some("profiles/d.yaml:7")),
            ("verify.boot", Some("profiles/e.yaml:8")),
            ("verify.ports", None),
            ("configuration.hostname", None),
            ("overlay: etc/motd", None),
            ("lock", None),
        ] {
            assert_eq!(of(field, &origins).as_deref(), place, "{field}");
        }
    }
}
