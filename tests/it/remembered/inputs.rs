//! What a plan depends on beside specs and releases: policies, days, keys, depth, the store.

use super::{IMAGES, SETTINGS, World, replace};
use bootwright::effects::Clock;
use bootwright::model::observed::{Defect, StoreFinding};
use bootwright::model::plan::{Damaged, Planned};
use bootwright::release::{Signer, Trust, dsse, keys};
use chrono::{DateTime, TimeDelta, Utc};

/// A world of which everything is remembered.
fn quiet() -> World {
    let world = World::new();
    // A few specs that are new are planned in full.
    world.nothing_to_do("first");
    std::thread::sleep(std::time::Duration::from_millis(3100));
    world.nothing_to_do("quiet");
    assert_eq!(remembered(&world), IMAGES.len());
    world.nothing_to_do("remembered");
    world
}

/// How many releases are remembered as sound.
fn remembered(world: &World) -> usize {
    std::fs::read_to_string(world.memory()).unwrap().matches("\"stable\":\"sha256:").count()
}

fn later(days: i64) -> Clock {
    let day: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
    Clock::Fixed(day + TimeDelta::days(days))
}

/// The plans of two rounds, which must be the same.
fn twice(world: &World, clock: Clock) -> Planned {
    let plan = || world.plan_as(&[], &[], clock, false).unwrap_or_else(|f| panic!("{f} {:?}", f.details));
    let (mut first, second) = (plan(), plan());
    first.plan.made = second.plan.made;
    assert_eq!(first, second);
    second
}

fn policy(rule: &str) -> String {
    let head = "apiVersion: bootwright/v1\nkind: Policy\nmetadata: {name: house}\nspec:\n  rules:\n";
    format!("{head}    - {{id: one, {rule}}}\n")
}

#[test]
fn every_change_of_a_policy_shows() {
    let world = quiet();
    let rules: [(&str, i64, usize); 6] = [
        ("allowedBases: [debian]", 0, 0),
        ("allowedBases: [arch]", 0, 3),
        ("severity: info, allowedBases: [arch]", 0, 3),
        ("severity: warning, forbiddenPackages: ['*']", 0, 3),
        ("maxAgeDays: 30", 0, 0),
        ("maxAgeDays: 30", 100, 3),
    ];
    for (rule, days, images) in rules {
        world.repo.write("policies/house.yaml", &policy(rule));
        world.repo.commit(rule);
        let planned = twice(&world, later(days));
        let mut found: Vec<_> = planned.findings.iter().map(|finding| finding.image.clone()).collect();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), images, "{rule} after {days} days: {:?}", planned.findings);
        world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        assert!(twice(&world, later(days)).findings.is_empty(), "{rule} was taken back");
    }
}

#[test]
fn a_release_becomes_stale_by_time_alone() {
    let world = quiet();
    replace(
        &world.path("specs/edge.yaml"),
        "  channel: stable",
        "  channel: stable\n  freshness: {maxAgeDays: 7}",
    );
    world.repo.commit("freshness");
    let stale = |days| {
        let planned = twice(&world, later(days));
        let stale = planned.report.iter().filter(|report| report.stale.is_some());
        stale.map(|report| report.image.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(stale(0), [""; 0]);
    assert_eq!(stale(30), ["edge"]);
    assert_eq!(stale(0), [""; 0]);
}

#[test]
fn every_change_of_trust_shows() {
    let world = quiet();
    let signing = |key: &str, more: &str| {
        let key = format!("{{name: one, public: keys/bootwright.pub, private: keys/bootwright.key{key}}}");
        let text = format!("signing: {{{more}keys: [{key}]}}");
        world.repo.write("bootwright.yaml", &SETTINGS.replace("signing: {key: keys/bootwright.key}", &text));
        world.repo.commit("keys");
    };
    signing("", "");
    assert!(twice(&world, later(0)).plan.steps.is_empty());
    // Nothing of the catalog changes here, only the day.
    signing(", until: 2027-01-31", "");
    assert!(twice(&world, later(0)).plan.steps.is_empty());
    let after = world.plan_as(&[], &[], later(100), false);
    let resigned = after.as_ref().map_or(0, |planned| planned.plan.steps.len());
    assert!(after.is_err() || resigned == IMAGES.len(), "{after:?}");
    assert!(twice(&world, later(0)).plan.steps.is_empty());
    signing(", from: 2027-01-01", "");
    assert!(world.plan_as(&[], &[], later(0), false).is_err(), "the only key does not count yet");
    assert!(twice(&world, later(60)).plan.steps.is_empty(), "now it does");
    assert!(world.plan_as(&[], &[], later(0), false).is_err(), "the clock was set back");
    signing("", "");
    assert!(twice(&world, later(0)).plan.steps.is_empty());
    // A second key that signed nothing yet, and must have.
    keys::write_key_pair(&world.path("keys/two.key"), None).unwrap();
    let two = "{name: two, public: keys/two.pub, private: keys/two.key}";
    let one = "{name: one, public: keys/bootwright.pub, private: keys/bootwright.key}";
    let text = format!("signing: {{threshold: 2, keys: [{one}, {two}]}}");
    world.repo.write("bootwright.yaml", &SETTINGS.replace("signing: {key: keys/bootwright.key}", &text));
    world.repo.commit("two");
    for round in ["first", "second"] {
        let plan = world.plan_as(&[], &[], later(0), false);
        let steps = plan.as_ref().map_or(0, |planned| planned.plan.steps.len());
        assert!(plan.is_err() || steps == IMAGES.len(), "{round}: {plan:?}");
    }
}

/// The index is signed by a key that stays, the releases only by one that ends.
#[test]
fn releases_outlive_their_key_by_time_alone() {
    let world = quiet();
    let [one, two] = ["bootwright", "two"].map(|name| world.path(&format!("keys/{name}.key")));
    keys::write_key_pair(&two, None).unwrap();
    let signers = [&one, &two].map(|key| Signer::load(key, None).unwrap());
    let envelope = world.path("releases/index.dsse.json");
    let kind = "application/vnd.bootwright.index+json";
    let trust = Trust::of([signers[0].public().clone()]);
    let payload = dsse::open(kind, &std::fs::read(&envelope).unwrap(), &trust).unwrap();
    let both: Vec<&Signer> = signers.iter().collect();
    std::fs::write(&envelope, dsse::seal(kind, &payload, &both).unwrap()).unwrap();
    let ends = "{name: one, public: keys/bootwright.pub, until: 2027-01-31}";
    let text = format!("signing: {{keys: [{ends}, {{name: two, public: keys/two.pub}}]}}");
    world.repo.write("bootwright.yaml", &SETTINGS.replace("signing: {key: keys/bootwright.key}", &text));
    world.repo.commit("one ends");
    assert_eq!(twice(&world, later(0)).plan.steps.len(), 0);
    assert_eq!(twice(&world, later(100)).plan.steps.len(), IMAGES.len());
    assert_eq!(twice(&world, later(0)).plan.steps.len(), 0);
}

#[test]
fn a_deep_look_reads_what_is_remembered() {
    let world = quiet();
    let folder = world.release("");
    let iso = std::fs::read_dir(&folder).unwrap().flatten().map(|e| e.path());
    let iso = iso.into_iter().find(|path| path.to_string_lossy().ends_with(".iso")).unwrap();
    let good = std::fs::read(&iso).unwrap();
    let mut bad = good.clone();
    bad[0] ^= 1;
    std::fs::write(&iso, &bad).unwrap();
    world.nothing_to_do("bytes that only a deep look hashes");
    // The provenance of these releases is none: only a deep look sees that too.
    let altered = || {
        let deep = world.plan_as(&[], &[], Clock::System, true).unwrap();
        let is_altered =
            |damaged: &Damaged| damaged.defects.iter().any(|defect| matches!(defect, Defect::Altered { .. }));
        let altered = deep.report.iter().filter(|r| r.damaged.as_ref().is_some_and(is_altered));
        altered.map(|report| report.image.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(altered(), ["edge"]);
    assert_eq!(altered(), ["edge"], "the second time");
    let deep = world.plan_as(&[], &[], Clock::System, true).unwrap();
    let looked_at: Vec<&str> = deep.plan.steps.iter().map(|step| step.image.as_str()).collect();
    assert_eq!(looked_at, ["core", "edge", "lab"], "also what nobody touched");
    std::fs::write(&iso, &good).unwrap();
    assert_eq!(altered(), [""; 0]);
}

#[test]
fn what_lies_beside_settled_releases_shows() {
    let world = quiet();
    let before = twice(&world, later(0)).plan.store;
    let stray = world.path("releases/edge/20260101-00000000");
    std::fs::create_dir(&stray).unwrap();
    let unlisted = |planned: &Planned| {
        let of_edge = |f: &&StoreFinding| matches!(f, StoreFinding::UnlistedRelease { image, .. } if image.as_str() == "edge");
        planned.plan.store.iter().filter(of_edge).count()
    };
    assert_eq!(unlisted(&twice(&world, later(0))), 1);
    let only = |name: &str| world.plan_as(&[name], &[], later(0), false).unwrap();
    assert_eq!((unlisted(&only("edge")), unlisted(&only("lab"))), (1, 0), "only what was asked for");
    std::fs::remove_dir(&stray).unwrap();
    assert_eq!(twice(&world, later(0)).plan.store, before);
    assert_eq!(remembered(&world), IMAGES.len());
}
