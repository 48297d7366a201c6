//! From the documents of a catalog to what each image and each device's firmware shall be.

use super::World;
use crate::model::catalog::{DeviceDocument, Document, ImageDocument};
use crate::model::name::ImageName;
use crate::model::observed::Observed;
use crate::model::product::{Lock, Request, Resolved};
use crate::model::{Failure, Result};
use crate::planner::{Desired, Schedule, Wanted};
use crate::resolve;
use std::collections::BTreeMap;

/// What the selected images shall be, and those that cannot be said.
pub(super) struct Gathered {
    pub desired: Vec<Desired>,
    pub failed: Vec<(ImageName, Failure)>,
}

pub(super) fn gather(
    world: &World<'_>,
    documents: &BTreeMap<ImageName, Document>,
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
    document: &Document,
    observed: &Observed,
    made: Option<&Lock>,
) -> Result<Desired> {
    let published = observed
        .images
        .get(name)
        .and_then(|image| image.channels.get(document.channel()))
        .and_then(|release| release.lock.as_ref());
    let (paused, max_age_days, schedule, origins) = match document {
        Document::Image(document) => {
            let spec = &document.spec.spec;
            let schedule = (spec.schedule.as_ref(), spec.schedule_time_zone.as_deref());
            (spec.paused, spec.freshness.max_age_days, schedule, document.origins.clone())
        }
        Document::Device(document) => {
            let spec = &document.profile.spec;
            let schedule = (spec.schedule.as_ref(), spec.schedule_time_zone.as_deref());
            (spec.paused, spec.freshness.max_age_days, schedule, BTreeMap::new())
        }
    };
    let schedule = match schedule {
        (None, _) => None,
        (Some(text), zone) => Some(
            Schedule::parse(text, zone)
                .map_err(|e| Failure::spec(format!("{}: schedule {text:?}: {e}", document.place())))?,
        ),
    };
    let commit = world.catalog.source.commit.as_ref();
    Ok(Desired {
        image: name.clone(),
        channel: document.channel().clone(),
        paused,
        schedule,
        max_age_days,
        lock_pinned: document.has_lock(),
        commit_date: commit.map_or_else(|| world.clock.now(), |c| c.date),
        origins,
        wanted: match document {
            Document::Image(document) => image(world, document, made, published)?,
            Document::Device(document) => device(document, made, published)?,
        },
    })
}

/// The lock of the catalog decides; without one, the lock that was made here last, then the
/// one of the published release, each if it still answers what the spec asks.
fn image(
    world: &World<'_>,
    document: &ImageDocument,
    made: Option<&Lock>,
    published: Option<&Lock>,
) -> Result<Wanted> {
    let settings = &world.catalog.settings;
    let recipe = |lock| {
        let resolved = resolve::resolve(document, lock, settings)?;
        Ok(Wanted::Recipe(Box::new(Resolved::Image(resolved))))
    };
    if let Some(lock) = &document.lock {
        return recipe(lock.clone());
    }
    let request = resolve::request(&document.spec, &settings.packages).map_err(|problems| {
        problems.first().map_or_else(
            || Failure::bug("a spec was refused without a reason"),
            |p| p.failure().on(&document.place),
        )
    })?;
    let request = Request::Image(request);
    match answer(&request, made, published) {
        Some(Lock::Image(lock)) => recipe(lock.clone()),
        _ => Ok(Wanted::NeedsLock { request, stale: made.or(published).cloned().map(Box::new) }),
    }
}

/// The same for the firmware of a device.
fn device(document: &DeviceDocument, made: Option<&Lock>, published: Option<&Lock>) -> Result<Wanted> {
    let recipe = |lock| {
        let resolved = resolve::firmware(document, lock)?;
        Ok(Wanted::Recipe(Box::new(Resolved::Firmware(resolved))))
    };
    if let Some(lock) = &document.lock {
        return recipe(lock.clone());
    }
    let request = Request::Firmware(resolve::firmware_request(document).0);
    match answer(&request, made, published) {
        Some(Lock::Firmware(lock)) => recipe(lock.clone()),
        _ => Ok(Wanted::NeedsLock { request, stale: made.or(published).cloned().map(Box::new) }),
    }
}

fn answer<'l>(request: &Request, made: Option<&'l Lock>, published: Option<&'l Lock>) -> Option<&'l Lock> {
    [made, published].into_iter().flatten().find(|lock| lock.request() == *request)
}
