//! What a plan makes of findings: refused images, reasons, and no loops.

use super::{SPEC, loaded, rule};
use crate::catalog::recipes::answer;
use bootwright::model::catalog::{Catalog, CatalogSource, Commit};
use bootwright::model::observed::{Observed, ObservedImage, ObservedRelease};
use bootwright::model::plan::{Action, Planned, Reason, Status};
use bootwright::model::policy::{ArtifactFacts, Finding, ReleaseFacts, digest, refusal};
use bootwright::model::recipe::ResolvedRecipe;
use bootwright::model::spec::Output;
use bootwright::model::{ErrorCode, Failure, FailureClass, Version};
use bootwright::planner::policy::{self, Packages, Ruling};
use bootwright::planner::{self, Desired, Failures, History, Inputs, Wanted};
use bootwright::resolve;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

struct World {
    catalog: Catalog,
    resolved: ResolvedRecipe,
    inputs: Inputs,
}

impl World {
    /// One image with a lock, and a policy of one rule.
    fn new(fields: &str) -> Self {
        let catalog = loaded(&[("specs/edge.yaml", SPEC), ("policies/house.yaml", &rule(fields))]);
        let document = catalog.images.values().next().unwrap();
        let lock = answer(&document.spec);
        let resolved = resolve::resolve(document, lock, &catalog.settings).unwrap();
        let findings = policy::of_image(&catalog.policies, document, &[], Packages::Locked(&resolved.lock));
        let image = document.spec.metadata.name.clone();
        let commit = Commit { id: "0".repeat(40), date: now(), subject: "x".to_owned() };
        let inputs = Inputs {
            now: now(),
            source: CatalogSource { location: "catalog".to_owned(), commit: Some(commit) },
            images: vec![Desired {
                image: image.clone(),
                channel: "edge".parse().unwrap(),
                paused: false,
                max_age_days: None,
                schedule: None,
                lock_pinned: true,
                commit_date: now(),
                origins: BTreeMap::new(),
                wanted: Wanted::Recipe(Box::new(resolved.clone().into())),
            }],
            observed: Observed::default(),
            cached_layers: BTreeSet::new(),
            history: BTreeMap::new(),
            forced: BTreeSet::new(),
            ruling: Ruling {
                policies: digest(&catalog.policies),
                findings: BTreeMap::from([(image, findings)]),
            },
        };
        Self { catalog, resolved, inputs }
    }

    /// The recipe is published since some days, and this is known of the release.
    fn published(&mut self, days: i64, facts: ReleaseFacts) {
        let recipe = self.resolved.recipe.digest();
        let at = now() - TimeDelta::days(days);
        let release = ObservedRelease {
            version: Version::of(at, &recipe),
            recipe_digest: recipe,
            recipe: Some(self.resolved.recipe.clone().into()),
            lock: Some(self.resolved.lock.clone().into()),
            commit: None,
            facts: None,
            published: at,
            defects: Vec::new(),
        };
        let document = self.catalog.images.values().next().unwrap();
        let found = policy::of_published(&self.catalog.policies, document, &facts);
        let image = document.spec.metadata.name.clone();
        self.inputs.ruling.findings.entry(image.clone()).or_default().extend(found);
        let channels = BTreeMap::from([("edge".parse().unwrap(), release)]);
        self.inputs.observed.images.insert(image, ObservedImage { channels, ..ObservedImage::default() });
    }

    fn plan(&self) -> Planned {
        let planned = planner::plan(&self.inputs);
        assert_eq!(planner::lint(&planned, &self.inputs), Vec::<String>::new());
        planned
    }
}

fn facts(verified: bool) -> ReleaseFacts {
    ReleaseFacts {
        firmware: Vec::new(),
        what: "release 20261101-0123abcd".to_owned(),
        artifacts: vec![ArtifactFacts { output: Output::Iso, size: 4096, verified, boots: Vec::new() }],
        not_reproducible: vec![("edge.iso".to_owned(), "its serial number is random".to_owned())],
        signers: Some(vec!["a".repeat(64)]),
        age_days: Some(40),
    }
}

#[test]
fn a_refused_image_has_no_step_and_says_why() {
    let mut world = World::new("allowedBases: [arch]");
    let planned = world.plan();
    assert!(planned.plan.steps.is_empty());
    let Status::Refused { rules, message } = &planned.report[0].status else { panic!("{planned:?}") };
    assert_eq!((rules[0].as_str(), message.as_str()), ("one", "base debian is not allowed"));
    let text = planner::text(&planned);
    assert!(text.contains("refused by policy (one): base debian is not allowed"), "{text}");
    assert!(text.contains("policies/house.yaml:6:7"), "{text}");
    assert!(planner::summary(&planned).contains("1 refused"));
    assert!(planner::markdown(&planned).contains("| error |"));
    let json = serde_json::to_value(&planned).unwrap();
    assert_eq!(json["report"][0]["status"]["status"], "refused");
    assert_eq!(json["findings"][0]["rule"], "one");

    // Nobody gets past it by hand, and a paused image stays paused.
    world.inputs.forced.insert("edge".parse().unwrap());
    assert!(world.plan().plan.steps.is_empty());
    world.inputs.images[0].paused = true;
    assert_eq!(world.plan().report[0].status, Status::Paused);
}

#[test]
fn an_image_without_a_lock_is_refused_before_it_is_locked() {
    let mut world = World::new("allowedBases: [arch]");
    let request = world.resolved.lock.request.clone();
    world.inputs.images[0].lock_pinned = false;
    world.inputs.images[0].wanted = Wanted::NeedsLock { request: request.into(), stale: None };
    assert!(world.plan().plan.steps.is_empty());
}

#[test]
fn a_warning_keeps_nothing_back() {
    let planned = World::new("severity: warning\nallowedBases: [arch]").plan();
    assert!(matches!(planned.plan.steps[0].action, Action::Build { .. }));
    assert_eq!(planned.findings.len(), 1);
    assert!(planner::text(&planned).contains("policy  warning one"));
}

/// Rules that the published release breaks, and whether building it again cures that.
const PUBLISHED: [(&str, bool); 7] = [
    ("requiredVerification: {outputs: [iso]}", true),
    ("allowedSigners: ['bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb']", true),
    ("maxSizes: {iso: 1KiB}", false),
    ("maxAgeDays: 30", false),
    ("reproducible: true", false),
    ("severity: warning\nrequiredVerification: {outputs: [iso]}", false),
    ("severity: info\nmaxAgeDays: 30", false),
];

#[test]
fn a_published_release_that_a_rule_forbids_is_a_finding_and_sometimes_a_reason() {
    for (fields, cured) in PUBLISHED {
        let mut world = World::new(fields);
        world.published(40, facts(false));
        let planned = world.plan();
        assert_eq!(planned.findings.len(), 1, "{fields}: {planned:#?}");
        if !cured {
            assert!(planned.plan.steps.is_empty(), "{fields}: {planned:#?}");
            assert_eq!(planned.report[0].status, Status::UpToDate);
            continue;
        }
        let step = &planned.plan.steps[0];
        assert_eq!(step.reasons, [Reason::PolicyChanged { rule: "one".parse().unwrap() }], "{fields}");
        let Action::Build { version, .. } = &step.action else { panic!("{step:?}") };
        // A version of its own, or the store would keep what is there.
        assert_ne!(Some(version), planned.report[0].current.as_ref());
        assert!(planner::text(&planned).contains("policy changed: rule one"));
    }
}

#[test]
fn a_rebuild_that_would_change_nothing_is_not_planned() {
    let rule = "requiredVerification: {outputs: [iso]}";
    // No later commit: the version would be the same, and the store would keep what it has.
    let mut world = World::new(rule);
    world.published(0, facts(false));
    assert!(world.plan().plan.steps.is_empty());
    // A working tree has a new date with every second.
    let mut world = World::new(rule);
    world.published(40, facts(false));
    world.inputs.source.commit = None;
    assert!(world.plan().plan.steps.is_empty());
    // What the new release shows, nobody asks again.
    let mut world = World::new(rule);
    world.published(40, facts(true));
    assert!(world.plan().plan.steps.is_empty() && world.plan().findings.is_empty());
    // A refused attempt is not repeated until recipe or policies change.
    let mut world = World::new(rule);
    world.published(40, facts(false));
    let mut failure = Failure::new(ErrorCode::Policy, FailureClass::Spec, "nothing shows that iso works");
    failure.policies = world.inputs.ruling.policies.map(Box::new);
    let failed = |last: &Failure| History {
        build: Some(Failures { of: world.resolved.recipe.digest(), count: 1, last: last.clone(), at: now() }),
        ..History::default()
    };
    world.inputs.history.insert("edge".parse().unwrap(), failed(&failure));
    assert!(matches!(world.plan().report[0].status, Status::Stalled { .. }));
    failure.policies = None;
    world.inputs.history.insert("edge".parse().unwrap(), failed(&failure));
    assert_eq!(world.plan().plan.steps.len(), 1);
}

#[test]
fn lint_sees_a_step_of_a_refused_image() {
    let world = World::new("allowedBases: [arch]");
    let mut other = world.inputs.clone();
    other.ruling.findings.clear();
    let planned = planner::plan(&other);
    let wrong = planner::lint(&planned, &world.inputs);
    assert!(wrong.iter().any(|w| w.contains("refused by a policy")), "{wrong:?}");
}

#[test]
fn releases_are_judged_before_they_are_published() {
    let judge = |fields: &str, facts: &ReleaseFacts| -> Vec<Finding> {
        let catalog = loaded(&[("specs/edge.yaml", SPEC), ("policies/house.yaml", &rule(fields))]);
        policy::of_release(&catalog.policies, catalog.images.values().next().unwrap(), facts)
    };
    let key = "a".repeat(64);
    for (fields, words) in [
        ("reproducible: true".to_owned(), "edge.iso is not reproducible: its serial number"),
        ("requiredVerification: {outputs: [oci, iso]}".to_owned(), "nothing shows that iso works"),
        ("requiredVerification: {boot: [bios]}".to_owned(), "iso was not booted by bios"),
        ("maxSizes: {iso: 4095}".to_owned(), "iso has 4.00 KiB (4096 bytes)"),
        (format!("allowedSigners: ['{}']", "b".repeat(64)), "may not sign it"),
    ] {
        let found = judge(&fields, &facts(false));
        assert_eq!(found.len(), 1, "{fields}: {found:#?}");
        assert!(found[0].message.contains(words), "{fields}: {found:#?}");
        assert!(refusal(&found, None).is_some());
    }
    for fields in [
        format!("allowedSigners: ['sha256:{key}']"),
        "maxSizes: {iso: 4096, oci: 1}".to_owned(),
        "requiredVerification: {outputs: [oci]}".to_owned(),
    ] {
        assert!(judge(&fields, &facts(false)).is_empty(), "{fields}");
    }
    // Every key that signs has to be listed.
    let two = ReleaseFacts { signers: Some(vec![key.clone(), "c".repeat(40)]), ..facts(true) };
    assert_eq!(judge(&format!("allowedSigners: ['{key}']"), &two).len(), 1);
}
