//! Rules on specs and locks, through `check`.

use super::{SPEC, checked, rule};
use crate::catalog::recipes::answer;
use bootwright::model::lock::Lock;
use bootwright::model::policy::{Severity, Stage};
use bootwright::model::{ErrorCode, OsImage};

const SETTINGS: &str = "apiVersion: bootwright/v1
kind: Settings
mirrors:
  - {base: debian, urls: ['https://deb.example.org/debian'], suites: ['{suite}'], components: [main], keyring: k}
";

const RICH: &str = "  packages:
    networking: [curl]
    utils: [nano]
  limits: {isoSize: 2GiB}
  verify: {boot: [bios, uefi], dwellSeconds: 5, units: [ssh], ports: [22]}
";

fn lock_of(spec: &str) -> Lock {
    let image: OsImage = serde_saphyr::from_str(spec).unwrap();
    answer(&image)
}

/// Rule, field of the finding, its line in its file, and words.
const REFUSED: [(&str, &str, u32, &str); 21] = [
    ("allowedBases: [arch, void]", "spec.base", 6, "base debian is not allowed"),
    ("allowedSuites: [trixie]", "spec.suite", 7, "suite bookworm is not allowed"),
    ("allowedSuites: ['tr*', 'boo?']", "spec.suite", 7, "suite bookworm"),
    ("allowedMirrors: ['https://deb.example']", "mirrors[0].urls[0]", 4, "https://deb.example.org/debian"),
    ("allowedMirrors: ['http://deb.example.org/']", "mirrors[0].urls[0]", 4, "not allowed"),
    ("forbiddenPackages: [nano]", "spec.packages.utils[0]", 10, "package nano is forbidden"),
    ("forbiddenPackages: ['na*']", "spec.packages.utils[0]", 10, "forbidden by na*"),
    ("forbiddenPackages: ['linux-image-*']", "spec.kernel", 5, "comes with layer kernel"),
    ("forbiddenPackages: [grub-pc-bin]", "spec.outputs", 5, "comes with layer iso-boot-files"),
    ("requiredPackages: [ca-certificates]", "spec.packages", 8, "no package ca-certificates is installed"),
    // Unpacked for the boot loader and not installed.
    ("requiredPackages: [shim-signed]", "spec.packages", 8, "no package shim-signed is installed"),
    ("requiredPackages: ['linux-image-?']", "spec.packages", 8, "no package linux-image-?"),
    ("maxSizes: {iso: 1GiB}", "spec.limits.isoSize", 11, "at most 1.00 GiB"),
    ("requiredVerification: {boot: [secure-boot]}", "spec.verify.boot", 12, "secure-boot is not among"),
    ("requiredVerification: {units: [nginx]}", "spec.verify.units", 12, "nginx is not among"),
    ("requiredVerification: {ports: [80]}", "spec.verify.ports", 12, "80 is not among"),
    ("requiredVerification: {dwellSeconds: 10}", "spec.verify.dwellSeconds", 12, "at least 10 s"),
    ("select: {images: ['e*']}\nallowedBases: [arch]", "spec.base", 6, "base debian"),
    ("select: {channels: [edge], bases: [debian]}\nallowedBases: [arch]", "spec.base", 6, "base debian"),
    ("select: {architectures: [x86_64]}\nallowedBases: [arch]", "spec.base", 6, "base debian"),
    ("select: {outputs: [iso]}\nallowedBases: [arch]", "spec.base", 6, "base debian"),
];

#[test]
fn rules_on_specs_and_locks_refuse() {
    let spec = format!("{SPEC}{RICH}");
    let lock = bootwright::catalog::lock_text(&lock_of(&spec));
    for (fields, field, line, words) in REFUSED {
        let policy = rule(fields);
        let report = checked(&[
            ("bootwright.yaml", SETTINGS),
            ("specs/edge.yaml", &spec),
            ("specs/edge.lock.yaml", &lock),
            ("policies/house.yaml", &policy),
        ]);
        assert_eq!(report.findings.len(), 1, "{fields}: {report:#?}");
        let finding = &report.findings[0];
        assert!(finding.message.contains(words), "{fields}: {finding:?}");
        assert_eq!(finding.field.as_deref(), Some(field), "{finding:?}");
        assert_eq!(finding.place.line, Some(line), "{finding:?}");
        assert!(finding.place.column.is_some() && !finding.suggestion.is_empty(), "{finding:?}");
        assert_eq!(finding.policy.to_string(), "policies/house.yaml:6:7");
        assert_eq!(finding.rule.as_str(), "one");
        assert!(finding.refuses());
        // The same among the problems, as a compiler shows it.
        assert_eq!(report.problems.len(), 1, "{report:#?}");
        let problem = &report.problems[0];
        assert_eq!((problem.code, problem.line), (ErrorCode::Policy, Some(line)));
        assert!(problem.message.contains("rule one") && problem.message.contains("policies/house.yaml:6:7"));
        assert!(problem.source_line.is_some() && problem.suggestion.is_some());
    }
}

/// A warning between fields that a policy turns into a refusal, and only where it asks for that.
#[test]
fn a_policy_makes_warnings_between_fields_stricter() {
    let spec = format!("{SPEC}{RICH}  defaults: {{users: [{{name: ann}}]}}\n");
    let judged = |fields: &str| {
        let report = checked(&[("specs/edge.yaml", &spec), ("policies/house.yaml", &rule(fields))]);
        report
            .findings
            .into_iter()
            .map(|f| (f.field.clone(), f.place.line, f.refuses(), f.message))
            .collect::<Vec<_>>()
    };
    for fields in ["keptRules: [user-locked-out]", "keptRules: ['user-*', mac-one-of]"] {
        let found = judged(fields);
        let [(Some(field), Some(13), true, message)] = found.as_slice() else {
            panic!("{fields}: {found:?}")
        };
        assert_eq!(field, "spec.defaults.users[0].name");
        assert!(
            message.contains("ann can never log in") && message.ends_with("(user-locked-out)"),
            "{message}"
        );
    }
    assert!(matches!(
        judged("severity: warning\nkeptRules: [user-locked-out]").as_slice(),
        [(_, _, false, _)]
    ));
    assert_eq!(judged("keptRules: [mac-one-of]"), []);
    assert_eq!(judged("select: {images: ['e*']}\nallowedBases: [debian]"), []);
}

const KEPT: [&str; 16] = [
    "allowedBases: [arch, debian]",
    "allowedSuites: ['book*']",
    "allowedMirrors: ['https://deb.example.org']",
    "allowedMirrors: ['http://other.example', 'https://deb.example.org/debian']",
    "forbiddenPackages: [nan, anano, 'nano?']",
    "requiredPackages: [nano, 'linux-image-*']",
    "lockRequired: true",
    "maxSizes: {iso: 2GiB, oci: 1KiB}",
    "requiredVerification: {boot: [uefi], units: [ssh.service], ports: [22], dwellSeconds: 5, outputs: [iso]}",
    "select: {images: [lab]}\nallowedBases: [arch]",
    "select: {channels: [stable]}\nallowedSuites: [trixie]",
    "select: {outputs: [oci]}\nlockRequired: true",
    // Judged when there is something to look at.
    "absentPaths: [/etc/passwd]",
    "setuidOnly: []",
    "maxAgeDays: 1",
    "allowedSigners: ['0000000000000000000000000000000000000000']",
];

#[test]
fn rules_that_are_kept_say_nothing() {
    let spec = format!("{SPEC}{RICH}");
    let lab = SPEC.replace("edge", "lab") + "  channel: stable\n  outputs: [oci]\n";
    for fields in KEPT {
        let policy = rule(fields);
        let (lock, lab_lock) = (lock_of(&spec), lock_of(&lab));
        let report = checked(&[
            ("bootwright.yaml", SETTINGS),
            ("specs/edge.yaml", &spec),
            ("specs/lab.yaml", &lab),
            ("specs/edge.lock.yaml", &bootwright::catalog::lock_text(&lock)),
            ("specs/lab.lock.yaml", &bootwright::catalog::lock_text(&lab_lock)),
            ("policies/house.yaml", &policy),
        ]);
        let of_edge: Vec<_> = report.findings.iter().filter(|f| f.image.as_str() == "edge").collect();
        assert!(of_edge.is_empty(), "{fields}: {of_edge:#?}");
    }
}

#[test]
fn without_a_lock_what_is_asked_for_is_judged() {
    let spec = format!("{SPEC}{RICH}");
    let said = |fields: &str| {
        let report = checked(&[("specs/edge.yaml", &spec), ("policies/house.yaml", &rule(fields))]);
        report.findings.into_iter().map(|f| (f.stage, f.message)).collect::<Vec<_>>()
    };
    assert_eq!(said("forbiddenPackages: [nano]"), [(Stage::Lock, "package nano is forbidden".to_owned())]);
    assert_eq!(said("lockRequired: true"), [(Stage::Lock, "there is no committed lock for edge".to_owned())]);
    // What comes with the packages is not known before they are resolved.
    assert!(said("requiredPackages: [ca-certificates]").is_empty());
}

#[test]
fn an_image_that_cannot_boot_shows_no_boot() {
    let spec = format!("{SPEC}  outputs: [oci]\n");
    let policy = rule("requiredVerification: {boot: [bios]}");
    let report = checked(&[("specs/edge.yaml", &spec), ("policies/house.yaml", &policy)]);
    assert_eq!(report.findings[0].field.as_deref(), Some("spec.outputs"));
    let policy = rule("requiredVerification: {outputs: [oci]}");
    assert!(checked(&[("specs/edge.yaml", &spec), ("policies/house.yaml", &policy)]).findings.is_empty());
}

#[test]
fn several_policies_add_up_and_severities_differ() {
    let policies = "apiVersion: bootwright/v1
kind: Policy
metadata: {name: more}
spec:
  rules:
    - {id: all, allowedBases: [debian, arch, void]}
    - {id: less, allowedBases: [arch]}
    - {id: warn, severity: warning, message: Please., allowedBases: [void]}
---
apiVersion: bootwright/v1
kind: Policy
metadata: {name: tell}
spec:
  rules: [{id: tell, severity: info, allowedBases: [void]}]
";
    let report = checked(&[("specs/edge.yaml", SPEC), ("policies/more.yaml", policies)]);
    let said: Vec<_> = report.findings.iter().map(|f| (f.rule.as_str(), f.severity)).collect();
    assert_eq!(said, [("less", Severity::Error), ("warn", Severity::Warning), ("tell", Severity::Info)]);
    assert_eq!((report.problems.len(), report.warnings.len()), (1, 1));
    assert!(report.warnings[0].message.contains("base debian is not allowed: Please."), "{report:?}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][0]["policy"]["line"], 7);
    assert_eq!(json["findings"][0]["place"]["file"], "specs/edge.yaml");
    assert_eq!(json["problems"][0]["code"], "POLICY_VIOLATION");
}

#[test]
fn places_are_right_in_files_of_several_documents() {
    let two = format!("{SPEC}---\n{}", SPEC.replace("edge", "lab"));
    let policy = rule("select: {images: [lab]}\nallowedSuites: [trixie]");
    let report = checked(&[("specs/all.yaml", &two), ("policies/house.yaml", &policy)]);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].place.to_string(), "specs/all.yaml:15:10");
}

/// This repository keeps its own policy.
#[test]
fn the_example_is_kept_by_its_own_catalog() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = bootwright::ops::Context { cwd: root.to_owned(), ..Default::default() };
    let catalog = bootwright::ops::CatalogRef { location: ".".to_owned(), rev: None };
    let report = bootwright::ops::check(&context, bootwright::ops::CheckRequest { catalog }).unwrap();
    assert!(report.problems.is_empty() && report.findings.is_empty(), "{report:#?}");
}
