//! From the documents of a catalog to what each image shall be.

use super::World;
use crate::model::catalog::ImageDocument;
use crate::model::name::ImageName;
use crate::model::observed::Observed;
use crate::model::{Failure, Lock, Result};
use crate::planner::{Desired, Schedule, Wanted};
use crate::resolve;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the selected images shall be, and those that cannot be said.
pub(super) struct Gathered {
    pub desired: Vec<Desired>,
    pub failed: Vec<(ImageName, Failure)>,
}

pub(super) fn gather(
    world: &World<'_>,
    documents: &BTreeMap<ImageName, Arc<ImageDocument>>,
    observed: &Observed,
    made: &BTreeMap<ImageName, Lock>,
) -> Gathered {
    let mut gathered = Gathered { desired: Vec::new(), failed: Vec::new() };
    for (name, document) in documents {
        match desired(world, name, document, observed, made.get(name)) {
            Ok(desired) => gathered.desired.push(desired),
            Err(failure) => gathered.failed.push((name.clone(), failure)),
        }
    }
    gathered
}

fn desired(
    world: &World<'_>,
    name: &ImageName,
    document: &ImageDocument,
    observed: &Observed,
    made: Option<&Lock>,
) -> Result<Desired> {
    let spec = &document.spec.spec;
    let schedule = match &spec.schedule {
        None => None,
        Some(text) => Some(
            Schedule::parse(text, spec.schedule_time_zone.as_deref())
                .map_err(|e| Failure::spec(format!("{}: schedule {text:?}: {e}", document.place)))?,
        ),
    };
    let published = observed
        .images
        .get(name)
        .and_then(|image| image.channels.get(&spec.channel))
        .and_then(|release| release.lock.as_ref());
    let commit = world.catalog.source.commit.as_ref();
    Ok(Desired {
        image: name.clone(),
        channel: spec.channel.clone(),
        paused: spec.paused,
        schedule,
        max_age_days: spec.freshness.max_age_days,
        lock_pinned: document.lock.is_some(),
        commit_date: commit.map_or_else(|| world.clock.now(), |c| c.date),
        origins: document.origins.clone(),
        wanted: wanted(world, document, made, published)?,
    })
}

/// The lock of the catalog decides; without one, the lock that was made here last, then the
/// one of the published release, each if it still answers what the spec asks.
fn wanted(
    world: &World<'_>,
    document: &ImageDocument,
    made: Option<&Lock>,
    published: Option<&Lock>,
) -> Result<Wanted> {
    let settings = &world.catalog.settings;
    if let Some(lock) = &document.lock {
        return Ok(Wanted::Recipe(Box::new(resolve::resolve(document, lock.clone(), settings)?)));
    }
    let request = resolve::request(&document.spec, &settings.packages).map_err(|problems| {
        problems.first().map_or_else(
            || Failure::bug("a spec was refused without a reason"),
            |p| p.failure().on(&document.place),
        )
    })?;
    match [made, published].into_iter().flatten().find(|lock| lock.request == request) {
        Some(lock) => Ok(Wanted::Recipe(Box::new(resolve::resolve(document, lock.clone(), settings)?))),
        None => Ok(Wanted::NeedsLock { request, stale: made.or(published).cloned().map(Box::new) }),
    }
}
