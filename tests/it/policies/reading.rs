//! A policy that cannot be understood in full makes the catalog an error.

use super::{POLICY, SPEC, errors, in_memory, loaded, rule};
use bootwright::catalog::{self, Kind, diagnostic};
use bootwright::model::policy::{Requirement, Severity};

/// Fields of a rule, the line that the complaint is about, and words of it.
const REFUSED: [(&str, u32, &str); 40] = [
    ("allowedBase: [debian]", 7, "unknown field `allowedBase`"),
    ("allowed_bases: [debian]", 7, "unknown field"),
    ("forbidPackages: [telnetd]", 7, "unknown field"),
    ("allowedBases: debian", 7, "should be a list"),
    ("allowedBases: [debain]", 7, "is not a value"),
    ("allowedBases: []", 7, "is empty"),
    ("allowedSuites: [Bookworm]", 7, "is not a suite"),
    ("allowedSuites: [1]", 7, "should be a text"),
    ("allowedMirrors: [deb.example.org]", 7, "not the beginning of a repository's address"),
    (
        "allowedMirrors: ['https://u:hunter2@deb.example.org/']",
        7,
        "not the beginning of a repository's address",
    ),
    ("keptRules: []", 7, "is empty"),
    ("keptRules: [Mac One]", 7, "no rule between fields is called Mac One"),
    ("keptRules: [mac-one-off]", 7, "no rule between fields is called mac-one-off"),
    ("forbiddenPackages: []", 7, "is empty"),
    ("forbiddenPackages: ['telnetd, ftpd']", 7, "not the name of a package"),
    ("forbiddenPackages: ['']", 7, "not the name of a package"),
    ("forbiddenPackages: [a, a]", 7, "listed twice"),
    ("requiredPackages: {ca-certificates: true}", 7, "should be a list"),
    ("lockRequired: false", 7, "would take back"),
    ("lockRequired: yes", 7, "should be true or false"),
    ("reproducible: false", 7, "would take back"),
    ("noEmptyPasswords: false", 7, "would take back"),
    ("noWorldWritable: false", 7, "would take back"),
    ("maxSizes: {}", 7, "is empty"),
    ("maxSizes: {iso: lots}", 7, "is not a size"),
    ("maxSizes: {disc: 1GiB}", 7, "unknown field `disc`"),
    ("requiredVerification: {}", 7, "asks for nothing"),
    ("requiredVerification: {boot: [floppy]}", 7, "is not a value"),
    ("allowedSigners: [me]", 7, "identifies no key"),
    ("allowedSigners: []", 7, "is empty"),
    ("maxAgeDays: 0", 7, "out of range"),
    ("absentPaths: [etc/passwd]", 7, "is not a path in an image"),
    ("absentPaths: [/etc/../passwd]", 7, "is not a path in an image"),
    ("fileModes: [{path: /etc/shadow, atMost: '0888'}]", 7, "is not a file mode"),
    ("severity: fatal\nlockRequired: true", 7, "is not a value"),
    ("severity: warning", 6, "asks for nothing"),
    ("lockRequired: true\nreproducible: true", 8, "asks for 2 things"),
    ("message: |\n  two\n  lines\nlockRequired: true", 8, "not one line"),
    ("lockRequired: true\nlockRequired: true", 8, "set twice"),
    ("lockRequired: [", 7, "not valid YAML"),
];

#[test]
fn a_policy_that_cannot_be_understood_is_an_error_with_a_place() {
    for (fields, line, words) in REFUSED {
        let text = rule(fields);
        let found = errors(&[("specs/edge.yaml", SPEC), ("policies/house.yaml", &text)]);
        let shown = diagnostic::render(&found, false);
        assert_eq!(found.len(), 1, "{fields}\n{shown}");
        assert!(found[0].message.contains(words), "{fields}: {words:?} is not in\n{shown}");
        assert_eq!((found[0].file.as_str(), found[0].line), ("policies/house.yaml", Some(line)), "{shown}");
        assert!(found[0].column.is_some() && found[0].hint.is_some(), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// Fields of a rule that select nothing, and words of the complaint.
const NOTHING_SELECTED: [(&str, &str); 9] = [
    ("select: {images: [gateway]}", "no image is called gateway"),
    ("select: {images: [edge, 'lab-*']}", "no image is called lab-*"),
    ("select: {channels: [stable]}", "no image is on channel stable"),
    ("select: {bases: [arch]}", "no image is made from arch"),
    ("select: {outputs: [rootfs]}", "no image has the output rootfs"),
    ("select: {architectures: [aarch64]}", "no image is for aarch64"),
    ("select: {architectures: []}", "is empty"),
    ("select: {images: []}", "is empty"),
    ("select: {}", "names nothing"),
];

#[test]
fn a_selector_that_selects_nothing_is_an_error_that_names_it() {
    for (fields, words) in NOTHING_SELECTED {
        let text = rule(&format!("{fields}\nlockRequired: true"));
        let found = errors(&[("specs/edge.yaml", SPEC), ("policies/house.yaml", &text)]);
        assert_eq!(found.len(), 1, "{fields}: {found:?}");
        assert!(found[0].message.contains(words), "{found:?}");
        assert_eq!(found[0].line, Some(7), "{found:?}");
    }
    // Each name fits some image, and no image fits all of them.
    let lab = SPEC.replace("edge", "lab") + "  channel: stable\n";
    let text = rule("select: {images: [edge], channels: [stable]}\nlockRequired: true");
    let found =
        errors(&[("specs/edge.yaml", SPEC), ("specs/lab.yaml", &lab), ("policies/house.yaml", &text)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("no image fits all of this"), "{found:?}");
}

#[test]
fn files_in_policies_that_are_no_policies() {
    let text = rule("lockRequired: true");
    for (path, text, words) in [
        ("policies/house.yml", text.as_str(), "nothing reads this file"),
        ("policies/house.json", "{}", "nothing reads this file"),
        ("policies/more/house.yaml", &text, "nothing reads this file"),
        ("policies/.house.yaml", &text, "nothing reads this file"),
        ("policies/house.yaml", "# nothing\n", "holds no document"),
        ("policies/house.yaml", "", "holds no document"),
        ("policies/house.yaml", "- a\n- b\n", "should be a mapping"),
        ("policies/house.yaml", SPEC, "images do not belong here"),
        ("policies/house.yaml", "kind: Polcy\n", "there is no kind \"Polcy\""),
        ("specs/house.yaml", &text, "policies do not belong here"),
        ("policies/house.yaml", &format!("{POLICY}    []\n"), "has no rules"),
    ] {
        let found = errors(&[("specs/edge.yaml", SPEC), (path, text)]);
        assert!(!found.is_empty(), "{path} passes");
        assert!(
            found.iter().any(|d| d.file == path && d.message.contains(words)),
            "{path} {words}: {found:?}"
        );
        assert!(found.iter().all(|d| d.hint.is_some()), "{found:?}");
    }
    let mut files = in_memory(&[("specs/edge.yaml", SPEC)]);
    files.add("policies/house.yaml", catalog::files::FileKind::Regular, vec![0xff, 0xfe]).unwrap();
    assert!(catalog::load(&files).unwrap_err()[0].message.contains("not in UTF-8"));
}

#[test]
fn ids_are_unique_in_the_catalog() {
    let one = rule("lockRequired: true");
    let found = errors(&[("specs/edge.yaml", SPEC), ("policies/a.yaml", &one), ("policies/b.yaml", &one)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].file.as_str(), found[0].line), ("policies/b.yaml", Some(6)));
    assert!(found[0].hint.as_ref().unwrap().contains("policies/a.yaml:6"), "{found:?}");
    let twice = format!("{one}    - id: one\n      reproducible: true\n");
    let found = errors(&[("specs/edge.yaml", SPEC), ("policies/a.yaml", &twice)]);
    assert_eq!(found[0].line, Some(8), "{found:?}");
}

/// Everything wrong is said at once, with what is wrong in the specs.
#[test]
fn complaints_come_all_at_once() {
    let spec = format!("{SPEC}  sudo: true\n");
    let policy = format!("{}    - id: Two\n      lockRequired: true\n", rule("allowedBase: [debian]"));
    let found = errors(&[("specs/edge.yaml", &spec), ("policies/house.yaml", &policy)]);
    assert_eq!(found.len(), 3, "{}", diagnostic::render(&found, false));
}

#[test]
fn what_is_right_is_read_with_its_place() {
    let text = "apiVersion: bootwright/v1
kind: Policy
metadata: {name: house, description: All of them}
spec:
  rules:
    - {id: a, allowedBases: [debian, arch]}
    - {id: b, allowedSuites: ['book*']}
    - {id: c, allowedMirrors: ['https://deb.example.org', 'file:///srv/mirror']}
    - {id: d, severity: warning, message: Old., forbiddenPackages: [telnetd, '*-dbg']}
    - {id: e, severity: info, requiredPackages: [ca-certificates]}
    - {id: f, lockRequired: true}
    - {id: g, maxSizes: {iso: 2GiB}}
    - {id: h, requiredVerification: {boot: [bios], units: [ssh], ports: [22], dwellSeconds: 5, outputs: [iso]}}
    - {id: i, allowedSigners: ['sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'AAAA AAAA AAAA AAAA AAAA  AAAA AAAA AAAA AAAA AAAA']}
    - {id: j, maxAgeDays: 30}
    - {id: k, absentPaths: ['/root/**'], select: {images: ['e*']}}
    - {id: l, presentPaths: [/etc/passwd]}
    - {id: m, setuidOnly: []}
    - {id: empty, noEmptyPasswords: true}
    - {id: o, noWorldWritable: true}
    - {id: p, fileModes: [{path: /etc/shadow, atMost: '0640'}]}
    - {id: q, reproducible: true}
";
    let catalog = loaded(&[("specs/edge.yaml", SPEC), ("policies/house.yaml", text)]);
    let rules = &catalog.policies[0].rules;
    assert_eq!(rules.len(), 17);
    assert_eq!(rules[0].place.to_string(), "policies/house.yaml:6:7");
    assert_eq!(rules[3].severity, Severity::Warning);
    assert_eq!(rules[3].message.as_deref(), Some("Old."));
    let Requirement::Signers(keys) = &rules[8].requirement else { panic!() };
    assert_eq!(*keys, ["a".repeat(64), "a".repeat(40)]);

    // Editors are told the same.
    let validator = jsonschema::validator_for(catalog::schema(Kind::Policy)).unwrap();
    let value: serde_json::Value = serde_saphyr::from_str(text).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for fields in [
        "allowedBase: [debian]",
        "maxAgeDays: 0",
        "severity: fatal",
        "requiredVerification: {boot: [floppy]}",
    ] {
        let value: serde_json::Value = serde_saphyr::from_str(&rule(fields)).unwrap();
        assert!(!validator.is_valid(&value), "{fields}");
    }
}

/// A catalog that was just begun may have its policies before its images.
#[test]
fn policies_may_come_first() {
    assert!(errors(&[("policies/house.yaml", &rule("lockRequired: true"))]).is_empty());
    assert!(errors(&[("policies/README.md", "# Policies\n"), ("specs/edge.yaml", SPEC)]).is_empty());
}
