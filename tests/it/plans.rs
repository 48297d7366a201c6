//! Planner scenarios: each file in `plans/` is a small world in YAML, a line of dashes, and
//! the plan that it must give. `UPDATE=1` rewrites the plans; the difference is for review.
//!
//! Recipe digests in the expected plans are replaced by the recipes' names, so that a new
//! field in a recipe changes no scenario.

mod world;

use bootwright::model::observed::{ObservedImage, ObservedRelease};
use bootwright::model::plan::{Status, Step};
use bootwright::model::recipe::Recipe;
use bootwright::model::{Digest, Failure, Version};
use bootwright::planner::{self, Failures, Inputs, StoreWork, Wanted, attempt_digest};
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use world::{World, image_name};

const RULE: &str = "\n----\n";

fn scenarios() -> Vec<(PathBuf, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/plans");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let (world, plan) = text.split_once(RULE).unwrap_or((text.trim_end(), ""));
        (path, world.to_owned(), plan.to_owned())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn scenarios_give_the_stored_plans() {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the library")]
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut settled = 0;
    let scenarios = scenarios();
    assert!(scenarios.len() >= 15);
    for (path, world_text, expected) in scenarios {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let world: World = serde_saphyr::from_str(&world_text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let inputs = world.inputs();
        let planned = planner::plan(&inputs);
        assert_eq!(planner::lint(&planned, &inputs), Vec::<String>::new(), "{name}");
        same_from_any_order(&inputs, &planned);
        settled += settled_as_planned(&name, &inputs, &planned);
        serde_json::to_string(&planned).unwrap();
        assert!(planner::markdown(&planned).starts_with("### Plan: "));

        let plan = world.readable(planner::text(&planned));
        if update {
            std::fs::write(&path, format!("{world_text}{RULE}{plan}")).unwrap();
        } else if plan != expected {
            wrong.push(format!("{name} expected:\n{expected}\n{name} got:\n{plan}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 stores these plans", wrong.join("\n"));
    assert!(settled > 0, "no scenario has an image that is up to date");
}

/// What is said to need nothing by its digest alone needs nothing in the plan either: a reason
/// for a step that `settled` does not know would keep work from being done in large catalogs.
fn settled_as_planned(name: &str, inputs: &Inputs, planned: &bootwright::model::plan::Planned) -> usize {
    let mut count = 0;
    let remembered = |desired: &&planner::Desired| {
        desired.lock_pinned && !desired.paused && !inputs.ruling.findings.contains_key(&desired.image)
    };
    for desired in inputs.images.iter().filter(remembered) {
        let Some(observed) = inputs.observed.images.get(&desired.image) else { continue };
        let Wanted::Recipe(resolved) = &desired.wanted else { continue };
        let remembered = planner::Remembered {
            image: &desired.image,
            channel: &desired.channel,
            recipe: &resolved.digest(),
            max_age_days: desired.max_age_days,
            looked: inputs.history.get(&desired.image).and_then(|h| h.last_checked_upstream),
            forced: inputs.forced.contains(&desired.image),
            now: inputs.now,
        };
        let settled = planner::settled(&remembered, observed);
        if let Some(report) = settled {
            assert!(planned.report.contains(&report), "{name}: {report:?}");
            assert!(planned.plan.steps.iter().all(|step| step.image != desired.image), "{name}");
            count += 1;
        }
    }
    count
}

/// Work on published releases that failed a moment ago waits, and after many failures it needs a
/// person; something else to do, or somebody's wish, does not wait.
#[test]
fn work_on_releases_that_failed_waits() {
    let mut kinds = BTreeSet::new();
    for (path, text, _) in scenarios() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let world: World = serde_saphyr::from_str(&text).unwrap();
        let inputs = world.inputs();
        let planned = planner::plan(&inputs);
        for step in &planned.plan.steps {
            let Some(work) = StoreWork::of(&step.action) else { continue };
            let with = |of: Digest, count: u32, minutes_ago: i64| {
                let mut inputs = inputs.clone();
                let last = Failure::host("moving it").details("mv: /srv/x: Input/output error");
                let at = inputs.now - TimeDelta::minutes(minutes_ago);
                let history = inputs.history.entry(step.image.clone()).or_default();
                history.store.insert(work, Failures { of, count, last, at });
                let planned = planner::plan(&inputs);
                assert_eq!(planner::lint(&planned, &inputs), Vec::<String>::new(), "{name}");
                let same = |s: &&Step| s.image == step.image && StoreWork::of(&s.action) == Some(work);
                let taken = planned.plan.steps.iter().any(|s| same(&s));
                let other = planned.plan.steps.iter().any(|s| s.image == step.image && !same(&s));
                let report = planned.report.into_iter().find(|r| r.image == step.image).unwrap();
                (taken, other, report.status)
            };
            let of = attempt_digest(&step.action, &step.reasons);
            let forced = inputs.forced.contains(&step.image);
            let (taken, other, status) = with(of, 1, 0);
            assert_eq!(
                taken,
                forced && matches!(work, StoreWork::Repair | StoreWork::Resign),
                "{name}: {work:?}"
            );
            let paused = inputs.images.iter().any(|d| d.image == step.image && d.paused);
            // What is held back may make way for other work on the image.
            if !other && !forced && !paused {
                let Status::Waiting { on } = status else { panic!("{name}: {work:?}: {status:?}") };
                let line = "host failure 1 of 5: moving it: mv: /srv/x: Input/output error";
                assert!(on.contains(line), "{name}: {on}");
                let stalled = with(of, 5, 100_000).2;
                assert!(matches!(stalled, Status::Stalled { failures: 5, .. }), "{name}: {stalled:?}");
            }
            assert!(with(of, 1, 2).0, "{name}: {work:?} waits for ever");
            assert!(with(Digest::of("something else"), 5, 0).0, "{name}: {work:?} was another thing");
            kinds.insert(work);
        }
    }
    assert_eq!(kinds, BTreeSet::from(StoreWork::ALL), "kinds of work that some scenario has");
}

fn same_from_any_order(inputs: &Inputs, planned: &bootwright::model::plan::Planned) {
    let mut other = inputs.clone();
    other.images.reverse();
    assert_eq!(&planner::plan(&other), planned);
}

#[test]
fn lint_finds_what_is_wrong() {
    use bootwright::model::plan::{Action, Planned, Reason, Status};
    let world: World = serde_saphyr::from_str(
        "{now: 2026-11-21T12:00:00Z, recipes: {r: {packages: {bootstrap: [a]}}}, images: [{name: edge, recipe: r}]}",
    )
    .unwrap();
    let inputs = world.inputs();
    let sound = planner::plan(&inputs);
    assert!(planner::lint(&sound, &inputs).is_empty());
    type Spoil = fn(&mut Planned);
    let must_fail: [(&str, Spoil); 9] = [
        ("no reason", |p| p.plan.steps[0].reasons.clear()),
        ("twice", |p| p.plan.steps[0].reasons.push(Reason::NewSpec)),
        ("2 steps", |p| p.plan.steps.push(p.plan.steps[0].clone())),
        ("0 reports", |p| p.report.clear()),
        ("2 reports", |p| p.report.push(p.report[0].clone())),
        ("stands as UpToDate", |p| p.report[0].status = Status::UpToDate),
        ("does not carry its recipe", |p| {
            if let Action::Build { version, .. } = &mut p.plan.steps[0].action {
                *version = "20261120-00000000".parse().unwrap();
            }
        }),
        ("cache state", |p| {
            if let Action::Build { layers, .. } = &mut p.plan.steps[0].action {
                layers[0].cached = true;
            }
        }),
        ("not in the catalog", |p| p.plan.steps[0].image = "other".parse().unwrap()),
    ];
    for (words, spoil) in must_fail {
        let mut planned = sound.clone();
        spoil(&mut planned);
        let wrong = planner::lint(&planned, &inputs);
        assert!(wrong.iter().any(|w| w.contains(words)), "{words}: {wrong:?}");
    }
    let mut published = inputs.clone();
    let Wanted::Recipe(resolved) = &inputs.images[0].wanted else { panic!() };
    let digest = resolved.digest();
    let release = ObservedRelease {
        version: Version::of(inputs.now, &digest),
        recipe_digest: digest,
        recipe: None,
        lock: None,
        commit: None,
        facts: None,
        published: inputs.now,
        defects: Vec::new(),
    };
    let observed = ObservedImage {
        channels: BTreeMap::from([("stable".parse().unwrap(), release)]),
        ..ObservedImage::default()
    };
    published.observed.images.insert(image_name("edge"), observed);
    let wrong = planner::lint(&sound, &published);
    assert!(wrong.iter().any(|w| w.contains("is up to date and would be built")), "{wrong:?}");
}

/// Changes each value of a rich recipe in turn: every one must be named, none by the digest
/// alone.
#[test]
fn every_field_that_changes_a_recipe_gives_its_own_reason() {
    use bootwright::model::plan::{Reason, Status};
    let world: World = serde_saphyr::from_str(
        r#"
        now: 2026-11-21T12:00:00Z
        recipes:
          rich:
            packages: {bootstrap: [a, b], servers: [nginx]}
            overlay: {etc/motd: hello, etc/link: "-> motd", usr/bin/x: "! x"}
            scripts: [[scripts/a, one]]
            configure:
              users: [{name: ada, passwordHash: x, sshKeys: [k], groups: [adm], shell: /bin/sh, sudo: true}]
              firewall: {backend: nftables, policy: deny, rules: [{action: allow, port: 22, protocol: tcp, source: 10.0.0.0/8}]}
              ssh: {port: 22, permitRootLogin: false, maxRetries: 3, allowUsers: [ada]}
              enable: [nginx]
              disable: [cron]
              modules: {enable: [a], disable: [b]}
            set:
              verify: {units: [nginx], ports: [80]}
              limits: {isoSize: 2GiB, ociSize: 1GiB, rootfsSize: 1GiB}
              bootMenu: {title: t, kernelFlags: [quiet]}
        images: [{name: edge, recipe: rich}]
        "#,
    )
    .unwrap();
    let mut inputs = world.inputs();
    let resolved = world.resolved("edge", "rich");
    let json = serde_json::to_value(&resolved.recipe).unwrap();
    let mut tried = Vec::new();
    for path in leaves(&json, "") {
        for lock in [None, Some(resolved.lock.clone())] {
            let mut other = json.clone();
            if !alter(other.pointer_mut(&path).unwrap()) {
                continue;
            }
            // A value that the model refuses is no recipe.
            let Ok(recipe) = serde_json::from_value::<Recipe>(other) else { continue };
            let release = ObservedRelease {
                version: Version::of(inputs.now, &recipe.digest()),
                recipe_digest: recipe.digest(),
                recipe: Some(recipe.into()),
                lock: lock.map(Into::into),
                commit: None,
                facts: None,
                published: inputs.now,
                defects: Vec::new(),
            };
            let channels = BTreeMap::from([("stable".parse().unwrap(), release)]);
            let observed = ObservedImage { channels, ..ObservedImage::default() };
            inputs.observed.images.insert(image_name("edge"), observed);
            let planned = planner::plan(&inputs);
            assert_eq!(planner::lint(&planned, &inputs), Vec::<String>::new(), "{path}");
            assert_eq!(planned.report[0].status, Status::Planned, "{path}");
            for reason in &planned.plan.steps[0].reasons {
                if let Reason::ChangedField { field, .. } = reason {
                    assert_ne!(field, "recipe", "{path}");
                }
            }
            tried.push(path.clone());
        }
    }
    assert!(tried.len() > 100, "only {tried:?}");
}

/// JSON pointers to every value that is no object or list.
fn leaves(value: &serde_json::Value, path: &str) -> Vec<String> {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().flat_map(|(name, v)| leaves(v, &format!("{path}/{name}"))).collect()
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, v)| leaves(v, &format!("{path}/{n}"))).collect()
        }
        _ => vec![path.to_owned()],
    }
}

fn alter(value: &mut serde_json::Value) -> bool {
    *value = match value {
        serde_json::Value::Bool(b) => (!*b).into(),
        serde_json::Value::Number(n) => (n.as_i64().unwrap() + 1).into(),
        serde_json::Value::String(text) if text.starts_with("sha256:") => {
            Digest::of(&*text).to_string().into()
        }
        serde_json::Value::String(text) => format!("{text}x").into(),
        _ => return false,
    };
    true
}
