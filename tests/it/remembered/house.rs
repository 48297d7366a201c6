//! A catalog with policies, keys that begin and end, and a threshold is remembered, too, and
//! everything that may change what they say is noticed.

use super::oracle::{plan, remembered, without_specs};
use super::{IMAGES, SETTINGS, World, replace};
use bootwright::effects::Clock;
use bootwright::model::plan::{Planned, Status};
use bootwright::ops::{self, CatalogRef, Context, ReconcileRequest};
use bootwright::release::keys;
use bootwright::state::{Acquired, State, image_lease};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

const KEYS: [&str; 2] = ["bootwright", "two"];

/// Whole days since the releases of these worlds were published.
fn age() -> i64 {
    let published: DateTime<Utc> = "2026-11-20T04:00:00Z".parse().unwrap();
    (Clock::System.now() - published).num_days().max(0)
}

/// A time so many days ahead, at which nothing was changed a moment ago.
fn ahead(days: i64) -> Clock {
    Clock::Fixed(Clock::System.now() + TimeDelta::hours(1) + TimeDelta::days(days))
}

fn date(days: i64) -> String {
    (Clock::System.now() + TimeDelta::days(days)).format("%Y-%m-%d").to_string()
}

fn key(name: &str, more: &str) -> String {
    let file = if name == "one" { "bootwright" } else { name };
    format!("{{name: {name}, public: keys/{file}.pub, private: keys/{file}.key{more}}}")
}

fn signing(threshold: u8, one: &str, two: &str) -> String {
    let text =
        format!("signing: {{threshold: {threshold}, keys: [{}, {}]}}", key("one", one), key("two", two));
    SETTINGS.replace("signing: {key: keys/bootwright.key}", &text)
}

fn policies(rules: &[String]) -> String {
    let head = "apiVersion: bootwright/v1\nkind: Policy\nmetadata: {name: house}\nspec:\n  rules:\n";
    let rules = rules.iter().enumerate().map(|(at, rule)| format!("    - {{id: rule-{at}, {rule}}}\n"));
    format!("{head}{}", rules.collect::<String>())
}

fn id(world: &World, name: &str) -> String {
    let key = bootwright::release::PublicKey::load(&world.path(&format!("keys/{name}.pub"))).unwrap();
    key.id().hex()
}

/// Rules of every kind that may speak before a build and of published releases; nothing is
/// against them.
fn house(world: &World) -> Vec<String> {
    vec![
        "allowedBases: [debian]".to_owned(),
        "allowedSuites: [bookworm]".to_owned(),
        "forbiddenPackages: [telnetd]".to_owned(),
        "requiredPackages: ['*']".to_owned(),
        "lockRequired: true".to_owned(),
        "maxSizes: {iso: 1GiB}".to_owned(),
        "reproducible: true".to_owned(),
        format!("allowedSigners: [{}, {}]", id(world, "bootwright"), id(world, "two")),
        format!("select: {{images: [e*]}}, maxAgeDays: {}", age() + 10),
    ]
}

/// A world with policies (one of them on the age of one release, with `ages`), two keys with dates and a threshold of two, all of it remembered.
fn settled(ages: bool) -> World {
    let world = World::signed_by(&KEYS);
    let more = format!(", from: 2026-01-01, until: {}", date(400));
    world.repo.write("bootwright.yaml", &signing(2, &more, &more));
    let rules = house(&world);
    let rules = if ages { &rules[..] } else { &rules[..rules.len() - 1] };
    world.repo.write("policies/house.yaml", &policies(rules));
    world.repo.commit("house rules");
    assert_eq!(steps(&same(&world, ahead(0), "first")), 0);
    assert_eq!(steps(&same(&world, ahead(0), "all at once")), 0);
    assert_eq!(remembered(&world), IMAGES.len());
    is_remembered(&world, 0, "at the start");
    world
}

fn same(world: &World, clock: Clock, when: &str) -> Planned {
    plan(world, clock, &[], false, when).unwrap_or_else(|| panic!("{when}: no plan"))
}

fn steps(planned: &Planned) -> usize {
    planned.plan.steps.len()
}

/// Nothing is read and nothing is to be done.
fn is_remembered(world: &World, days: i64, when: &str) {
    let planned = without_specs(world, || world.plan_as(&[], &[], ahead(days), false));
    let planned = planned.unwrap_or_else(|f| panic!("{when}: a spec was read: {f} {:?}", f.details));
    assert_eq!((steps(&planned), planned.report.len()), (0, IMAGES.len()), "{when}");
}

/// Something is read.
fn is_not_remembered(world: &World, days: i64, when: &str) {
    let planned = without_specs(world, || world.plan_as(&[], &[], ahead(days), false));
    assert!(planned.is_err(), "{when}: what was remembered was taken: {planned:?}");
}

/// After the change nothing is taken from memory; then the plan is right, in both of two rounds.
fn changed(world: &World, days: i64, what: &str) -> Planned {
    is_not_remembered(world, days, what);
    let first = same(world, ahead(days), what);
    same(world, ahead(days), &format!("{what}, second round"));
    first
}

#[test]
fn house_rules_and_dated_keys_are_remembered() {
    let world = settled(true);
    // Neither the clock nor the network nor somebody's wish for one image reads the others.
    is_remembered(&world, 5, "some days later");
    for (offline, force) in [(true, &[][..]), (false, &["edge"]), (true, &["edge"]), (false, &[])] {
        plan(&world, ahead(0), force, offline, "offline or by hand").unwrap();
    }
    is_remembered(&world, 0, "again");
    // One changed spec is read, and no other.
    replace(
        &world.path("specs/edge.yaml"),
        "channel: stable",
        "channel: stable\n  defaults: {hostname: other}",
    );
    world.repo.commit("one spec");
    assert_eq!(steps(&same(&world, ahead(0), "one spec")), 1);
    let object = |path: &str| {
        let id = world.repo.git(&["rev-parse", &format!("HEAD:{path}")]);
        world.path(&format!(".git/objects/{}/{}", &id.trim()[..2], &id.trim()[2..]))
    };
    for path in ["specs/lab.yaml", "specs/core.lock.yaml"] {
        std::fs::remove_file(object(path)).unwrap();
    }
    let planned = world.plan_as(&[], &[], ahead(0), false).unwrap();
    assert_eq!((steps(&planned), planned.report.len()), (1, IMAGES.len()));
}

#[test]
fn each_thing_that_decides_is_noticed() {
    let world = settled(true);
    let house = house(&world);
    let commit = |rules: &[String], what: &str| {
        world.repo.write("policies/house.yaml", &policies(rules));
        world.repo.commit(what);
    };
    let back = |what: &str| {
        world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        assert_eq!(steps(&same(&world, ahead(0), &format!("{what} was taken back"))), 0);
        same(&world, ahead(0), what);
        is_remembered(&world, 0, &format!("{what} was taken back"));
    };

    // A rule's text, in every direction.
    let with = |rule: &str| [house.clone(), vec![rule.to_owned()]].concat();
    commit(&with("forbiddenPackages: ['system*']"), "a rule more");
    assert!(!changed(&world, 0, "a rule more").findings.is_empty());
    back("a rule more");
    commit(&house[1..], "a rule less");
    assert!(changed(&world, 0, "a rule less").findings.is_empty());
    back("a rule less");
    let only_one = format!("severity: warning, allowedSigners: [{}]", id(&world, "bootwright"));
    commit(&with(&only_one), "one of two signers");
    assert_eq!(changed(&world, 0, "one of two signers").findings.len(), IMAGES.len());
    back("one of two signers");
    commit(&with("severity: warning, select: {images: [lab]}, maxSizes: {iso: 1KiB}"), "a small size");
    assert!(changed(&world, 0, "a small size").findings.is_empty(), "these releases are small");
    back("a small size");
    commit(&with("select: {images: [nobody]}, reproducible: true"), "a rule about nobody");
    for round in ["first", "second"] {
        let failure = world.plan_as(&[], &[], ahead(0), false).unwrap_err();
        assert!(format!("{:?}", failure.details).contains("no image is called nobody"), "{round}: {failure}");
    }
    back("a rule about nobody");
    commit(&with("select: {channels: [stable], outputs: [iso]}, reproducible: true"), "a rule about all");
    assert!(changed(&world, 0, "a rule about all").findings.is_empty());
    back("a rule about all");

    // Time alone: only the image that the rule is about is read when its release becomes old.
    is_remembered(&world, 9, "not old yet");
    is_not_remembered(&world, 11, "too old");
    assert_eq!(same(&world, ahead(11), "too old").findings.len(), 1);
    is_remembered(&world, 0, "the clock was set back");

    // Freshness, which a look at the mirrors makes longer.
    let fresh = format!("channel: stable\n  freshness: {{maxAgeDays: {}}}", age() + 5);
    replace(&world.path("specs/edge.yaml"), "channel: stable", &fresh);
    world.repo.commit("freshness");
    assert_eq!(steps(&same(&world, ahead(0), "freshness")), 0);
    same(&world, ahead(0), "freshness, again");
    is_remembered(&world, 4, "fresh");
    is_not_remembered(&world, 7, "stale");
    assert_eq!(same(&world, ahead(7), "stale").report.iter().filter(|r| r.stale.is_some()).count(), 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let state = runtime.block_on(State::open(&world.path(".bootwright/state.db"))).unwrap();
    let edge = "edge".parse().unwrap();
    runtime.block_on(state.record_check(&edge, ahead(6).now())).unwrap();
    assert!(same(&world, ahead(7), "looked").report.iter().all(|r| r.stale.is_none()));
    is_remembered(&world, 7, "somebody looked for newer packages");
    back("freshness");

    // Another process is at an image.
    let (name, hour) = (image_lease(&edge), TimeDelta::hours(1));
    let lease = state.acquire_lease(&name, "other", std::process::id(), hour, ahead(0).now());
    let Acquired::Yes(lease) = runtime.block_on(lease).unwrap() else { panic!() };
    is_not_remembered(&world, 0, "a lease");
    same(&world, ahead(0), "a lease");
    runtime.block_on(state.release(lease)).unwrap();
    is_remembered(&world, 0, "no lease");
}

#[test]
fn each_change_of_keys_is_noticed() {
    let world = settled(false);
    let commit = |text: &str, what: &str| {
        world.repo.write("bootwright.yaml", text);
        world.repo.commit(what);
    };
    let twice = |days: i64, what: &str| {
        let first = same(&world, ahead(days), what);
        assert_eq!(first.report, same(&world, ahead(days), what).report);
        steps(&first)
    };
    // A key retires at its time and by time alone: no commit, no touched file.
    let ends = format!(", until: {}", date(20));
    commit(&signing(1, &ends, ""), "one ends");
    let _ = twice(0, "one ends");
    let before = twice(15, "before the end");
    let after = twice(25, "after the end");
    assert_eq!((before, after), (0, 0), "the other key signed everything");
    let releases = world.path("releases");
    let tag = &id(&world, "two")[..16];
    for name in IMAGES {
        let folder = std::fs::read_dir(releases.join(name)).unwrap().next().unwrap().unwrap().path();
        for file in ["manifest.json", "SHA256SUMS"] {
            std::fs::remove_file(folder.join(format!("{file}.{tag}.sig"))).unwrap();
        }
    }
    // Now the releases have the signature of the key that ends, and the index has both.
    assert_eq!(twice(0, "signed by the one that ends"), IMAGES.len(), "signed again before its end");
    commit(&signing(1, "", ""), "none ends");
    assert_eq!(twice(0, "none ends"), 0);
    is_remembered(&world, 0, "none ends");
    is_remembered(&world, 25, "none ends");
    commit(&signing(2, "", ""), "the threshold was raised");
    is_not_remembered(&world, 0, "the threshold was raised");
    assert_eq!(twice(0, "the threshold was raised"), IMAGES.len());
    commit(&signing(1, "", ""), "and lowered");
    assert_eq!(twice(0, "and lowered"), 0);
    // The host can sign with a key no more: what has to be signed before an end is another thing.
    commit(&signing(1, "", &format!(", from: {}", date(10))), "one begins");
    assert_eq!(twice(0, "one begins"), 0);
    is_remembered(&world, 5, "before it begins");
    assert_eq!(twice(12, "it has begun"), 0);
    // The key that signed alone retires and another has begun: all is signed again.
    commit(&signing(1, &ends, &format!(", from: {}", date(10))), "one follows another");
    assert_eq!(twice(0, "one follows another"), 0);
    is_remembered(&world, 5, "before both count");
    assert_eq!(twice(12, "both count"), IMAGES.len());
    assert!(world.plan_as(&[], &[], ahead(0), false).is_ok());
    assert_eq!(twice(0, "the clock was set back"), 0);
    keys::write_key_pair(&world.path("keys/three.key"), None).unwrap();
    commit(&signing(1, "", "").replace("keys/two", "keys/three"), "a key was exchanged");
    assert_eq!(twice(0, "a key was exchanged"), 0, "the first key signed everything");
}

/// What only a deep look finds is not forgotten in the next round.
#[test]
fn what_a_deep_look_found_is_not_covered_up() {
    let world = settled(false);
    let iso = std::fs::read_dir(world.release("")).unwrap().flatten().map(|entry| entry.path());
    let iso = iso.into_iter().find(|path| path.to_string_lossy().ends_with(".iso")).unwrap();
    let mut bad = std::fs::read(&iso).unwrap();
    bad[0] ^= 1;
    std::fs::write(&iso, bad).unwrap();
    assert_eq!(steps(&same(&world, ahead(0), "nobody hashes it")), 0);
    is_remembered(&world, 0, "as if the disk had turned a bit");
    world
        .repo
        .write("bootwright.yaml", &format!("{}store: {{deepCheck: '0 4 * * *'}}\n", signing(2, "", "")));
    world.repo.commit("deep checks");
    same(&world, ahead(0), "deep checks");
    assert_eq!(steps(&same(&world, ahead(0), "deep checks")), 0);
    let context = Context { cwd: world.path(""), clock: ahead(1), ..Context::default() };
    let request = ReconcileRequest {
        catalog: CatalogRef { location: ".".to_owned(), rev: None },
        only: Vec::new(),
        force: Vec::new(),
        jobs: None,
        dry_run: false,
        deep: false,
    };
    // There are no mirrors: the image cannot be built again.
    let report = ops::reconcile(&context, request).unwrap();
    assert!(report.failed.iter().any(|failed| failed.image.as_str() == "edge"), "{:?}", report.failed);
    let after = same(&world, ahead(1), "after the deep check");
    let edge = after.report.iter().find(|report| report.image.as_str() == "edge").unwrap();
    assert!(edge.damaged.is_some() && edge.status != Status::UpToDate, "{edge:?}");
}

#[derive(Clone, Debug)]
enum Mutation {
    Days(i64),
    Policy(usize),
    Keys(usize),
    Hostname(usize, u8),
    Fresh(usize, Option<i64>),
    Paused(usize),
    Harm(usize, usize),
    Forced(Option<usize>),
    Offline(bool),
    Looked(usize, i64),
    Nothing,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let image = 0..IMAGES.len();
    let days = prop::sample::select(vec![0_i64, 3, 8, 15, 30]);
    prop_oneof![
        3 => days.clone().prop_map(Mutation::Days),
        3 => (0..8_usize).prop_map(Mutation::Policy),
        3 => (0..6_usize).prop_map(Mutation::Keys),
        1 => (image.clone(), 0..2_u8).prop_map(|(i, n)| Mutation::Hostname(i, n)),
        2 => (image.clone(), prop::option::of(prop::sample::select(vec![2_i64, 10, 20])))
            .prop_map(|(i, d)| Mutation::Fresh(i, d)),
        1 => image.clone().prop_map(Mutation::Paused),
        2 => (image.clone(), 0..4_usize).prop_map(|(i, n)| Mutation::Harm(i, n)),
        1 => prop::option::of(image.clone()).prop_map(Mutation::Forced),
        1 => any::<bool>().prop_map(Mutation::Offline),
        1 => (image, days).prop_map(|(i, d)| Mutation::Looked(i, d)),
        2 => Just(Mutation::Nothing),
    ]
}

/// One catalog, mutated step by step.
struct Story {
    world: World,
    days: i64,
    forced: Vec<&'static str>,
    offline: bool,
    specs: Vec<(u8, Option<i64>, bool)>,
}

impl Story {
    fn take(&mut self, mutation: &Mutation) {
        let world = &self.world;
        match mutation {
            Mutation::Days(days) => self.days = *days,
            Mutation::Policy(which) => {
                let mut rules = house(world);
                match which {
                    0 => rules.truncate(1),
                    1 => rules.push("severity: warning, forbiddenPackages: ['*']".to_owned()),
                    2 => rules.push("select: {images: [lab]}, allowedBases: [arch]".to_owned()),
                    3 => rules.push(format!("severity: info, maxAgeDays: {}", age() + 6)),
                    4 => rules.push(format!("allowedSigners: [{}]", id(world, "two"))),
                    5 => rules
                        .push("select: {images: [core]}, requiredVerification: {boot: [uefi]}".to_owned()),
                    6 => rules
                        .push("severity: warning, select: {images: [edge]}, maxSizes: {iso: 1}".to_owned()),
                    _ => {}
                }
                world.repo.write("policies/house.yaml", &policies(&rules));
            }
            Mutation::Keys(which) => {
                let ends = format!(", until: {}", date(10));
                let begins = format!(", from: {}", date(5));
                let text = match which {
                    0 => signing(1, "", ""),
                    1 => signing(2, "", ""),
                    2 => signing(1, &ends, ""),
                    3 => signing(2, &ends, ""),
                    4 => signing(1, "", &begins),
                    _ => signing(1, &ends, &begins),
                };
                world.repo.write("bootwright.yaml", &text);
            }
            Mutation::Hostname(image, n) => self.specs[*image].0 = *n,
            Mutation::Fresh(image, days) => self.specs[*image].1 = *days,
            Mutation::Paused(image) => self.specs[*image].2 ^= true,
            Mutation::Harm(image, how) => {
                let folder = world.path("releases").join(IMAGES[*image]);
                let folder = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
                let stray = folder.join("stray");
                match how {
                    0 => std::fs::write(stray, "x").unwrap(),
                    1 => drop(std::fs::remove_file(stray)),
                    2 => drop(std::fs::remove_file(folder.join("manifest.json.sig"))),
                    _ => std::fs::write(folder.join("recipe.json"), "{}").unwrap(),
                }
            }
            Mutation::Forced(image) => self.forced = image.iter().map(|i| IMAGES[*i]).collect(),
            Mutation::Offline(offline) => self.offline = *offline,
            Mutation::Looked(image, days) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let state = runtime.block_on(State::open(&world.path(".bootwright/state.db"))).unwrap();
                let image = IMAGES[*image].parse().unwrap();
                runtime.block_on(state.record_check(&image, ahead(*days).now())).unwrap();
            }
            Mutation::Nothing => {}
        }
        for (name, (hostname, fresh, paused)) in IMAGES.iter().zip(&self.specs) {
            let mut text = super::spec(name);
            if *hostname > 0 {
                text += "  defaults: {hostname: other}\n";
            }
            if let Some(days) = fresh {
                text += &format!("  freshness: {{maxAgeDays: {}}}\n", age() + days);
            }
            if *paused {
                text += "  paused: true\n";
            }
            self.world.repo.write(&format!("specs/{name}.yaml"), &text);
        }
        if !self.world.repo.git(&["status", "--porcelain"]).is_empty() {
            self.world.repo.commit("mutated");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Whatever happens to a catalog, its releases and its clock: who remembers plans what one
    /// plans who reads everything.
    #[test]
    fn the_remembered_plan_is_the_fresh_plan(mutations in prop::collection::vec(mutation(), 8..20)) {
        let mut story = Story {
            world: settled(true),
            days: 0,
            forced: Vec::new(),
            offline: false,
            specs: vec![(0, None, false); IMAGES.len()],
        };
        for (at, mutation) in mutations.iter().enumerate() {
            story.take(mutation);
            let when = format!("after {:?}", &mutations[..=at]);
            plan(&story.world, ahead(story.days), &story.forced, story.offline, &when);
        }
    }
}
