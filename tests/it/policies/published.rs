//! Policies through the operations and the program: real stores, real exit codes.

use super::{SPEC, rule, write};
use crate::release::{publication, signers};
use bootwright::model::policy::Stage;
use bootwright::model::{ErrorCode, FailureClass};
use bootwright::ops::{self, CatalogRef, Context, PlanReport, PlanRequest, PromoteRequest, ReconcileRequest};
use bootwright::release::Store;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SETTINGS: &str =
    "apiVersion: bootwright/v1\nkind: Settings\nsigning: {key: one.key}\nstore: {path: releases}\n";

/// A folder with a catalog of one image, of which a release is published.
fn with_release(policy: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let spec = SPEC.replace("edge", "demo") + "  outputs: [iso, oci]\n";
    write(dir.path(), &[("bootwright.yaml", SETTINGS), ("specs/demo.yaml", &spec)]);
    if let Some(policy) = policy {
        write(dir.path(), &[("policies/house.yaml", policy)]);
    }
    let signers = signers(dir.path(), "one.key");
    std::fs::write(dir.path().join("one.pub"), signers.key.public().pem()).unwrap();
    let made = tempfile::tempdir().unwrap();
    Store::open(dir.path().join("releases"))
        .publish(publication(made.path(), "1.22.1-9", 0), &signers)
        .unwrap();
    dir
}

fn context(dir: &Path) -> Context {
    Context { cwd: dir.to_owned(), ..Context::default() }
}

fn here() -> CatalogRef {
    CatalogRef { location: ".".to_owned(), rev: None }
}

fn plan(dir: &Path) -> PlanReport {
    ops::plan(
        &context(dir),
        PlanRequest { catalog: here(), only: Vec::new(), force: Vec::new(), deep: false },
    )
    .unwrap()
}

#[test]
fn a_plan_shows_what_rules_have_against_published_releases() {
    let nobody = format!("allowedSigners: ['{}']", "0".repeat(64));
    for (fields, words) in [
        ("maxAgeDays: 30", "days old, at most 30 are allowed"),
        ("maxSizes: {iso: 1KiB}", "iso has"),
        ("requiredVerification: {boot: [secure-boot]}", "was not booted by secure-boot"),
        (nobody.as_str(), "may not sign it"),
    ] {
        let dir = with_release(Some(&rule(fields)));
        let report = plan(dir.path());
        let found = report.planned.findings.iter().filter(|f| f.stage == Stage::Published);
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{fields}: {report:#?}");
        assert!(found[0].message.contains(words) && found[0].message.contains("release "), "{found:?}");
        assert!(found[0].place.file == "specs/demo.yaml" && found[0].place.column.is_some(), "{found:?}");
        assert!(report.markdown.contains("| Policy |"), "{}", report.markdown);
    }
    for fields in [
        "maxAgeDays: 36500",
        "maxSizes: {iso: 1MiB}",
        "requiredVerification: {boot: [bios], outputs: [iso, oci]}",
    ] {
        let dir = with_release(Some(&rule(fields)));
        assert!(plan(dir.path()).planned.findings.is_empty(), "{fields}");
    }
    assert!(plan(with_release(None).path()).planned.findings.is_empty());
}

#[test]
fn a_forbidden_release_is_not_promoted() {
    let nobody = format!("allowedSigners: ['{}']", "0".repeat(64));
    let promote = |dir: &Path| {
        let release = "demo".parse().unwrap();
        let request = PromoteRequest { catalog: here(), release, channel: "stable".parse().unwrap() };
        ops::release_promote(&context(dir), request)
    };
    for fields in ["maxSizes: {oci: 1B}", "requiredVerification: {boot: [bios-usb]}", nobody.as_str()] {
        let dir = with_release(Some(&rule(fields)));
        let failure = promote(dir.path()).unwrap_err();
        assert_eq!((failure.code, failure.class), (ErrorCode::Policy, FailureClass::Spec), "{failure}");
        assert!(failure.message.contains("policy rule one"), "{failure}");
        let index = std::fs::read_to_string(dir.path().join("releases/index.json")).unwrap();
        assert!(!index.contains("stable"), "{fields}");
    }
    // Going back to what is old stays possible, and a warning refuses nothing.
    for fields in ["maxAgeDays: 1", "severity: warning\nmaxSizes: {oci: 1B}"] {
        promote(with_release(Some(&rule(fields))).path()).unwrap();
    }
}

#[test]
fn a_refused_image_does_not_keep_another_from_being_tried() {
    let dir = tempfile::tempdir().unwrap();
    let other = SPEC.replace("edge", "other");
    let policy = rule("select: {images: [edge]}\nallowedBases: [arch]");
    write(
        dir.path(),
        &[
            ("bootwright.yaml", SETTINGS),
            ("specs/edge.yaml", SPEC),
            ("specs/other.yaml", &other),
            ("policies/house.yaml", &policy),
        ],
    );
    signers(dir.path(), "one.key");
    let request = ReconcileRequest {
        catalog: here(),
        only: vec![],
        force: vec![],
        jobs: None,
        dry_run: false,
        deep: false,
    };
    let report = ops::reconcile(&context(dir.path()), request).unwrap();
    let failed: Vec<_> = report.failed.iter().map(|f| (f.image.as_str(), f.failure.code)).collect();
    // The other one got as far as there is a mirror: nowhere here.
    assert!(failed.contains(&("edge", ErrorCode::Policy)), "{report:#?}");
    let tried = report.failed.iter().find(|f| f.image.as_str() == "other").unwrap();
    assert!(tried.failure.message.contains("no mirror"), "{report:#?}");
    let refused = report.failed.iter().find(|f| f.image.as_str() == "edge").unwrap();
    assert!(refused.failure.message.contains("policy rule one"), "{report:#?}");
    assert!(
        refused.failure.details.as_ref().unwrap().contains("spec.base at specs/edge.yaml:6:9"),
        "{report:#?}"
    );
    assert_eq!(refused.failure.field.as_deref(), Some("spec.base"));
}

#[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootwright"));
    for name in ["NO_COLOR", "BOOTWRIGHT_CATALOG", "BOOTWRIGHT_LOG", "BOOTWRIGHT_KEY_PASSPHRASE"] {
        command.env_remove(name);
    }
    command.current_dir(dir).args(args).output().unwrap()
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn check_plan_and_reconcile_refuse_under_a_policy_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    // The rule would not be about this image, if it were one.
    let policy = rule("select: {images: [edge]}\nforbidPackages: [telnetd]");
    let lab = SPEC.replace("edge", "lab");
    write(
        dir.path(),
        &[("specs/edge.yaml", SPEC), ("specs/lab.yaml", &lab), ("policies/house.yaml", &policy)],
    );
    for args in [
        &["check"][..],
        &["plan"],
        &["plan", "--only", "lab"],
        &["reconcile", "--only", "lab"],
        &["reconcile", "--dry-run"],
        &["lock"],
    ] {
        let output = run(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", words(&output));
        assert!(words(&output).contains("policies/house.yaml:8:7"), "{args:?}: {}", words(&output));
        assert!(words(&output).contains("forbidPackages"), "{args:?}: {}", words(&output));
    }
}

#[test]
fn the_program_shows_findings_and_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let policy = rule("message: Ask the platform team.\nallowedSuites: [trixie]");
    write(dir.path(), &[("specs/edge.yaml", SPEC), ("policies/house.yaml", &policy)]);
    let check = run(dir.path(), &["check"]);
    assert_eq!(check.status.code(), Some(2));
    for part in [
        "specs/edge.yaml:7:10",
        "policy rule one",
        "Ask the platform team.",
        "policies/house.yaml:6:7",
        "fix:",
    ] {
        assert!(words(&check).contains(part), "{part} in {}", words(&check));
    }
    let plan = run(dir.path(), &["plan", "--exit-code"]);
    assert_eq!(plan.status.code(), Some(2), "{}", words(&plan));
    assert!(words(&plan).contains("refused by policy (one)"), "{}", words(&plan));
    let json: Value = serde_json::from_slice(&run(dir.path(), &["--output", "json", "plan"]).stdout).unwrap();
    assert_eq!(json["findings"][0]["rule"], "one");
    assert_eq!(json["findings"][0]["stage"], "spec");
    assert_eq!(json["findings"][0]["place"]["line"], 7);
    assert_eq!(json["report"][0]["status"]["status"], "refused");
    let markdown = run(dir.path(), &["plan", "--markdown"]);
    assert!(words(&markdown).contains("| Policy | Image | Rule |"), "{}", words(&markdown));
    // A warning is shown and changes no exit code.
    write(dir.path(), &[("policies/house.yaml", &rule("severity: warning\nallowedSuites: [trixie]"))]);
    for args in [["check"], ["plan"]] {
        let output = run(dir.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        assert!(
            words(&output).contains("rule one") || words(&output).contains("warning one"),
            "{}",
            words(&output)
        );
    }
}
