//! `explain --resolved`: where values came from, and the whole as one document.

use super::{errors, image, loaded, profile};
use crate::catalog::{SPEC, in_memory, recipes::answer, root};
use bootwright::catalog::{self, Resolved, ValueOrigin};
use bootwright::model::{Digest, OsImage};
use bootwright::resolve;

fn resolved(entries: &[(&str, &str)]) -> Resolved {
    catalog::resolved(&in_memory(entries), &"edge".parse().unwrap()).unwrap()
}

fn recipe(entries: &[(&str, &str)]) -> Digest {
    let (catalog, found) = catalog::check(&in_memory(entries));
    let catalog = catalog.unwrap_or_else(|| panic!("{found:?}\n{entries:?}"));
    let document = catalog.images.values().next().unwrap();
    resolve::resolve(document, answer(&document.spec), &catalog.settings).unwrap().recipe.digest()
}

/// The same image without the level that it started from, whose values are its own now.
fn written_out(mut image: OsImage) -> OsImage {
    image.spec.security_level = None;
    image
}

const A: &str = "include: [./b.yaml]\nspec:
  packages: {utils: {add: [less, vim]}, servers: [nginx]}
  limits: {isoSize: 2GiB}
  securityFeatures: {firewall: {rules: [{action: allow, port: 80}]}}
";
const B: &str = "spec:
  packages: {utils: [nano]}
  securityLevel: minimal
  defaults: {users: [{name: ada, sudo: true, groups: [video]}, {name: bob}]}
";
const OWN: &str = "  outputs: {add: [oci]}
  packages: {utils: {remove: [vim]}}
  limits: {isoSize: null}
  defaults: {users: {remove: [{name: bob}]}, hostname: 'on'}
";

fn files() -> [(&'static str, String); 3] {
    [
        ("profiles/a.yaml", profile("a", A)),
        ("profiles/b.yaml", profile("b", B)),
        ("specs/edge.yaml", image("profiles/a.yaml", OWN)),
    ]
}

#[test]
fn each_value_has_its_origin() {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let found = resolved(&files);
    let origin = |field: &str| {
        let value = found.values.iter().find(|value| value.field == field);
        value.unwrap_or_else(|| panic!("no {field} in {found:#?}")).origin.to_string()
    };
    for (field, place) in [
        ("metadata.name", "specs/edge.yaml:5"),
        ("spec.base", "specs/edge.yaml:7"),
        ("spec.architecture", "default"),
        ("spec.outputs[0]", "specs/edge.yaml:9"),
        ("spec.outputs[1]", "specs/edge.yaml:9"),
        ("spec.packages.utils[0]", "profiles/b.yaml:5"),
        ("spec.packages.utils[1]", "profiles/a.yaml:6"),
        ("spec.packages.servers[0]", "profiles/a.yaml:6"),
        ("spec.securityFeatures.firewall.policy", "securityLevel: minimal at profiles/b.yaml:6"),
        ("spec.securityFeatures.firewall.rules[0].port", "profiles/a.yaml:8"),
        ("spec.defaults.users[0].name", "profiles/b.yaml:7"),
        ("spec.defaults.hostname", "specs/edge.yaml:12"),
        ("spec.channel", "default"),
    ] {
        assert_eq!(origin(field), place, "{field}\n{}", found.document);
    }
    assert!(!found.values.iter().any(|value| value.field.contains("isoSize")));
    let nano = found.values.iter().find(|value| value.value == "nano").unwrap();
    let ValueOrigin::File { through, column, .. } = &nano.origin else { panic!("{nano:?}") };
    assert_eq!((through.join(" "), *column), ("profiles/a.yaml:4 specs/edge.yaml:1".to_owned(), 22));
    assert_eq!(found.included, ["profiles/a.yaml", "profiles/b.yaml"]);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["securityLevel"], "minimal");
    let values = json["values"].as_array().unwrap();
    let level =
        values.iter().find(|value| value["field"] == "spec.securityFeatures.firewall.policy").unwrap();
    assert_eq!(
        level["origin"],
        serde_json::json!({"from": "level", "level": "minimal", "file": "profiles/b.yaml", "line": 6})
    );
}

#[test]
fn the_document_says_the_same() {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let document = resolved(&files).document;
    assert_eq!(loaded(&[("specs/edge.yaml", &document)]), written_out(loaded(&files)), "{document}");
    assert_eq!(recipe(&[("specs/edge.yaml", &document)]), recipe(&files), "{document}");
    // Once more changes nothing but the places.
    let again = resolved(&[("specs/edge.yaml", &document)]).document;
    assert_eq!(recipe(&[("specs/edge.yaml", &again)]), recipe(&files));
}

/// Any two parts and an image over them give a document with the same recipe.
#[test]
fn round_trips() {
    use proptest::prelude::*;
    let lines = || {
        prop::collection::vec(
            prop::sample::select(vec![
                "  channel: stable\n",
                "  paused: true\n",
                "  securityLevel: minimal\n",
                "  outputs: {add: [oci]}\n",
                "  kernel: {customFlags: {add: [quiet, 'a=1']}}\n",
                "  packages: {utils: {add: [nano]}, extra: [x1]}\n",
                "  services: {enable: {prepend: [cron]}}\n",
                "  defaults: {hostname: 'no', locale: de_DE.UTF-8, users: {add: [{name: ada, sudo: true}]}}\n",
                "  securityFeatures: {ssh: {port: 2222}, firewall: {rules: {add: [{action: allow, port: 2222}]}}}\n",
                "  customization: {bootloader: {title: 'A: b # c', timeout: 0}}\n",
                "  limits: {isoSize: 3221225472}\n",
                "  verify: {boot: [uefi], dwellSeconds: 7, ports: {add: [22]}}\n",
                "  schedule: '0 3 * * 1'\n",
                "  freshness: {maxAgeDays: 9}\n",
            ]),
            0..9,
        )
    };
    let spec = |lines: &[&str]| {
        let mut seen = std::collections::BTreeSet::new();
        let once = lines.iter().filter(|line| seen.insert(line.split(':').next()));
        once.copied().collect::<String>()
    };
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 200, ..Default::default() });
    runner
        .run(&(lines(), lines(), lines()), |(below, above, own)| {
            let part = |name: &str, lines: &[&str]| match spec(lines) {
                text if text.is_empty() => profile(name, "spec: {}\n"),
                text => profile(name, &format!("spec:\n{text}")),
            };
            let (a, b) = (part("a", &below), part("b", &above));
            let edge = image("profiles/a.yaml, profiles/b.yaml", &spec(&own));
            let files = [("profiles/a.yaml", &*a), ("profiles/b.yaml", &b), ("specs/edge.yaml", &edge)];
            prop_assume!(errors(&files).is_empty());
            let document = resolved(&files).document;
            prop_assert_eq!(loaded(&[("specs/edge.yaml", &document)]), written_out(loaded(&files)));
            prop_assert_eq!(recipe(&[("specs/edge.yaml", &document)]), recipe(&files));
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_cannot_be_built_is_explained_all_the_same() {
    let found = resolved(&[("specs/edge.yaml", &format!("{SPEC}  securityLevel: hardened\n"))]);
    let mac = found.values.iter().find(|value| value.field == "spec.securityFeatures.mac[0]").unwrap();
    assert_eq!(
        (mac.value.as_str(), mac.origin.to_string().as_str()),
        (Some("apparmor"), "securityLevel: hardened at specs/edge.yaml:8")
    );
    let files = in_memory(&[("specs/edge.yaml", &format!("{SPEC}  chanel: x\n"))]);
    let failure = catalog::resolved(&files, &"edge".parse().unwrap()).unwrap_err();
    assert!(failure.message.contains("unknown field `chanel`"), "{failure}");
    assert!(catalog::resolved(&files, &"lab".parse().unwrap()).is_err());
}

#[test]
fn editors_know_both_forms() {
    let schema: serde_json::Value =
        serde_json::from_str(&catalog::schema_text(catalog::Kind::Profile)).unwrap();
    let profiles = jsonschema::validator_for(&schema).unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&catalog::schema_text(catalog::Kind::OsImage)).unwrap();
    let images = jsonschema::validator_for(&schema).unwrap();
    let read = |text: &str| -> serde_json::Value { serde_saphyr::from_str(text).unwrap() };
    for text in [A, B] {
        let text = profile("a", text);
        assert!(
            profiles.is_valid(&read(&text)),
            "{text}: {:?}",
            profiles.iter_errors(&read(&text)).collect::<Vec<_>>()
        );
    }
    let edge = image("profiles/a.yaml", OWN);
    assert!(images.is_valid(&read(&edge)), "{:?}", images.iter_errors(&read(&edge)).collect::<Vec<_>>());
    for wrong in [
        "  packages: {utils: {append: [vim]}}\n",
        "  packages: {utils: {}}\n",
        "  packages: {utils: {add: vim}}\n",
        "  packages: {utils: {add: ['a b']}}\n",
        "  chanel: stable\n",
        "  channel: Stable\n",
    ] {
        assert!(!images.is_valid(&read(&image("profiles/a.yaml", wrong))), "{wrong}");
        assert!(!profiles.is_valid(&read(&profile("a", &format!("spec:\n{wrong}")))), "{wrong}");
    }
}

/// The profiles of this repository set what its image does not say itself.
#[test]
fn the_own_image_is_put_together() {
    let files = crate::catalog::read(&bootwright::catalog::Location::WorkTree(root())).unwrap();
    let found = catalog::resolved(&files, &"edge-gateway".parse().unwrap()).unwrap();
    assert_eq!(found.included.len(), 3);
    assert!(found.document.contains("port: 80"), "{}", found.document);
}
