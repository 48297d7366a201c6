//! The plan that one makes who remembers nothing, and the same plan by who remembers.

use super::{IMAGES, World};
use bootwright::build::cache::Cache;
use bootwright::catalog::{self, Location};
use bootwright::effects::{Cancel, Clock};
use bootwright::model::plan::Planned;
use bootwright::model::settings::Settings;
use bootwright::model::{Emitter, ImageName};
use bootwright::ops::{self, CatalogRef, Context, PlanRequest};
use bootwright::reconcile::{self, Looking};
use bootwright::release::keys::{Trust, TrustedKey};
use bootwright::release::{PublicKey, Store};
use bootwright::state::State;
use std::path::Path;

/// Whose signatures count, by the settings.
fn trust(world: &World, settings: &Settings, clock: Clock) -> Trust {
    let signing = &settings.signing;
    let load = |path: &str| PublicKey::load(&world.path(path)).unwrap();
    if signing.keys.is_empty() {
        return Trust::of([load("keys/bootwright.pub")]);
    }
    let known = signing.keys.iter().map(|key| TrustedKey {
        name: key.name.to_string(),
        key: load(&key.public),
        from: key.from.map(|m| m.at()),
        until: key.until.map(|m| m.at()),
    });
    let own = signing.keys.iter().filter(|key| key.private.is_some()).map(|key| load(&key.public));
    let threshold = signing.threshold.map_or(1, |n| usize::from(n.get()));
    Trust::new(known.collect(), threshold, clock.now()).with_own(own.collect())
}

/// What is planned by who reads the whole catalog and every release; nothing where nothing can be.
pub fn fresh(world: &World, clock: Clock, force: &[&str], offline: bool) -> Option<Planned> {
    let location = Location::Commit { repo: world.path(""), rev: "HEAD".to_owned() };
    let files = catalog::read(&location, Path::new("")).unwrap();
    let catalog = catalog::load(&files).ok()?;
    let keys = trust(world, &catalog.settings, clock);
    if keys.problems("signing.keys").iter().any(|problem| problem.fatal) {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cache = Cache::open(&world.path(".bootwright")).unwrap();
    let state = world.path(".bootwright/state.db");
    let state = state.exists().then(|| runtime.block_on(State::open(&state)).unwrap());
    let all = reconcile::World {
        catalog: &catalog,
        files: &files,
        remembered: None,
        selected: catalog.images.keys().cloned().collect(),
        forced: force.iter().map(|name| name.parse::<ImageName>().unwrap()).collect(),
        store: Store::open(world.path("releases")).with_memory(cache.root()),
        keys,
        registry: None,
        mirrors: catalog.settings.mirrors.clone(),
        openwrt_keys: Vec::new(),
        cache,
        state,
        looking: Looking::new(true, false, false, None),
        runtime: runtime.handle().clone(),
        events: Emitter::default(),
        cancel: Cancel::default(),
        clock,
        offline,
    };
    all.plan().ok().map(|decided| decided.planned)
}

/// The plan of the program, which may remember; it must be the same as that of who does not.
pub fn plan(world: &World, clock: Clock, force: &[&str], offline: bool, when: &str) -> Option<Planned> {
    let context = Context { cwd: world.path(""), clock, offline, ..Context::default() };
    let catalog = CatalogRef { location: ".".to_owned(), rev: Some("HEAD".to_owned()) };
    let force_names = force.iter().map(|name| name.parse().unwrap()).collect();
    let request = PlanRequest { catalog, only: Vec::new(), force: force_names, deep: false };
    let planned = ops::plan(&context, request);
    let (failure, mut planned) = match planned {
        Ok(report) => (String::new(), Some(report.planned)),
        Err(failure) => (format!("{failure} {:?}", failure.details), None),
    };
    let wanted = fresh(world, clock, force, offline);
    if let (Some(planned), Some(wanted)) = (&mut planned, &wanted) {
        planned.plan.source.location.clone_from(&wanted.plan.source.location);
    }
    assert_eq!(planned, wanted, "{when} {failure}");
    planned
}

/// How many images have a release that is remembered as sound.
pub fn remembered(world: &World) -> usize {
    let text = std::fs::read_to_string(world.memory()).unwrap_or_default();
    let json: serde_json::Value = text
        .split_once('\n')
        .map_or(serde_json::Value::Null, |(_, json)| serde_json::from_str(json).unwrap());
    json["releases"].as_object().map_or(0, |releases| {
        releases.values().filter(|of_image| of_image.as_object().is_some_and(|o| !o.is_empty())).count()
    })
}

/// Works while git has none of the specs and locks: who reads one fails.
pub fn without_specs<T>(world: &World, work: impl FnOnce() -> T) -> T {
    let mut hidden = Vec::new();
    for name in IMAGES {
        for path in [format!("specs/{name}.yaml"), format!("specs/{name}.lock.yaml")] {
            let id = world.repo.git(&["rev-parse", &format!("HEAD:{path}")]);
            let id = id.trim();
            let object = world.path(&format!(".git/objects/{}/{}", &id[..2], &id[2..]));
            std::fs::rename(&object, object.with_extension("away")).unwrap();
            hidden.push(object);
        }
    }
    let result = work();
    for object in hidden {
        std::fs::rename(object.with_extension("away"), object).unwrap();
    }
    result
}
