//! `openwrt build`: device profiles → firmware in the cache.

use super::place::Place;
use super::profiles::known;
use crate::build::openwrt::{Builder, Firmware, Firmwares, LONGEST_BUILD};
use crate::model::catalog::DeviceDocument;
use crate::model::device::{DeviceName, TagName};
use crate::model::firmware::FirmwareRecord;
use crate::model::firmware_lock::FirmwareLock;
use crate::model::openwrt::{BuilderId, Platform, Release};
use crate::model::product::Lock;
use crate::model::{Digest, Failure, FailureClass, ImageName, Result};
use crate::ops::workspace::Workspace;
use crate::ops::{CatalogRef, Context};
use crate::resolve;
use serde::Serialize;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Build the firmware of devices, or find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareBuildRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// These devices.
    pub names: Vec<DeviceName>,
    /// And those with one of these tags that are not deprecated.
    pub tags: Vec<TagName>,
    /// And all that are not deprecated.
    pub all: bool,
    /// How many are built at once; as many as there are processors when absent.
    pub jobs: Option<NonZeroUsize>,
    /// Build what is there, too.
    pub force: bool,
    /// Say what would be done, and ask and run nothing.
    pub dry_run: bool,
}

/// What became of the devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareBuildReport {
    /// Whether nothing was done in truth.
    pub dry_run: bool,
    /// The devices with firmware, or that would have it, by name.
    pub firmware: Vec<DeviceFirmware>,
    /// Those without.
    pub failed: Vec<FailedDevice>,
}

/// The firmware of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceFirmware {
    /// The device.
    pub name: DeviceName,
    /// How it came about.
    pub outcome: FirmwareOutcome,
    /// The digest of its recipe; not known of what would be built with an Image Builder that is
    /// not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Digest>,
    /// The folder of its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What `make` said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// What is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<FirmwareRecord>,
}

/// How a firmware came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareOutcome {
    /// It was built.
    Built,
    /// It was there.
    Reused,
    /// It would be built.
    WouldBuild,
    /// It would be built, once its Image Builder is fetched.
    WouldFetchAndBuild,
}

/// A device whose firmware could not be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedDevice {
    /// The device.
    pub name: DeviceName,
    /// Why.
    pub failure: Failure,
}

impl DeviceFirmware {
    fn of(name: &DeviceName, firmware: Firmware) -> Self {
        Self {
            name: name.clone(),
            outcome: if firmware.made { FirmwareOutcome::Built } else { FirmwareOutcome::Reused },
            recipe: Some(firmware.record.digest),
            path: Some(firmware.root.clone()),
            log: Some(firmware.log.clone()),
            record: Some(firmware.record),
        }
    }

    fn planned(name: &DeviceName, outcome: FirmwareOutcome, recipe: Option<Digest>) -> Self {
        Self { name: name.clone(), outcome, recipe, path: None, log: None, record: None }
    }
}

/// What each device came to.
type Outcomes = BTreeMap<DeviceName, Result<DeviceFirmware>>;
/// An Image Builder by what is asked for.
type Asked = (Release, Platform);

/// Builds the firmware of devices, or finds it in the cache. One that cannot be built does not
/// keep the others from it.
///
/// # Errors
/// Class *spec* if a name is that of no device, or nothing is selected; *cancelled* on request.
pub fn firmware_build(context: &Context, request: &FirmwareBuildRequest) -> Result<FirmwareBuildReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let selected = select(context, &workspace, request)?;
    let place = Place::open(context, &workspace)?;
    let firmwares = Firmwares {
        cache: &place.cache,
        events: &context.events,
        cancel: &context.cancel,
        offline: context.offline,
        patience: LONGEST_BUILD,
    };
    let mut outcomes = Outcomes::new();
    // What is there is found without a server, and without a look at the Image Builders.
    let mut missing: Vec<Missing<'_>> = Vec::new();
    for (name, document) in selected {
        let lock = answer(&place, document, request)?;
        let resolved = lock.clone().map(|lock| resolve::firmware(document, lock)).transpose()?;
        let digest = resolved.map(|resolved| resolved.order.recipe.digest());
        let found = match digest.filter(|_| !request.force) {
            Some(digest) => firmwares.find(&digest)?,
            None => None,
        };
        match found {
            Some(firmware) => {
                outcomes.insert(name.clone(), Ok(DeviceFirmware::of(name, firmware)));
            }
            None if request.dry_run => {
                let outcome = match digest {
                    Some(_) => FirmwareOutcome::WouldBuild,
                    None => FirmwareOutcome::WouldFetchAndBuild,
                };
                outcomes.insert(name.clone(), Ok(DeviceFirmware::planned(name, outcome, digest)));
            }
            None => missing.push(Missing { document, lock }),
        }
    }
    if !missing.is_empty() {
        outcomes.extend(build(context, &workspace, &place, request, &missing)?);
    }
    let mut report =
        FirmwareBuildReport { dry_run: request.dry_run, firmware: Vec::new(), failed: Vec::new() };
    for (name, outcome) in outcomes {
        match outcome {
            Ok(firmware) => report.firmware.push(firmware),
            Err(failure) if failure.class == FailureClass::Cancelled => return Err(failure),
            Err(failure) => report.failed.push(FailedDevice { name, failure }),
        }
    }
    Ok(report)
}

/// The devices that a request means.
fn select<'w>(
    context: &Context,
    workspace: &'w Workspace,
    request: &FirmwareBuildRequest,
) -> Result<BTreeMap<&'w DeviceName, &'w DeviceDocument>> {
    let catalog = &workspace.catalog;
    let mut selected = BTreeMap::new();
    for (name, document) in &catalog.devices {
        let metadata = &document.profile.metadata;
        let tagged = metadata.tags.iter().any(|tag| request.tags.contains(tag));
        if metadata.deprecated.is_none() && (request.all || tagged) {
            selected.insert(name, document);
        }
    }
    for name in &request.names {
        let document = known(catalog, name)?;
        if let Some(why) = &document.profile.metadata.deprecated {
            context.events.warn(format!("{name} is deprecated: {why}"));
        }
        selected.insert(&document.profile.metadata.name, document);
    }
    if selected.is_empty() {
        let tags: BTreeSet<&str> =
            catalog.devices.values().flat_map(|d| &d.profile.metadata.tags).map(TagName::as_str).collect();
        let tags: Vec<&str> = tags.into_iter().collect();
        return Err(Failure::not_found("no device profile of the catalog is meant by this").hint(match tags
            .is_empty()
        {
            true => "Name one; `bootwright openwrt profiles list` lists them.".to_owned(),
            false => format!("The tags of the catalog are {}.", tags.join(", ")),
        }));
    }
    Ok(selected)
}

/// A device without firmware, and its lock if one answers.
struct Missing<'a> {
    document: &'a DeviceDocument,
    lock: Option<FirmwareLock>,
}

/// The lock that answers a profile without a server being asked: the catalog's, or for a release
/// that has a number the one that was made here last, unless all is to be made anew.
fn answer(
    place: &Place,
    document: &DeviceDocument,
    request: &FirmwareBuildRequest,
) -> Result<Option<FirmwareLock>> {
    if let Some(lock) = &document.lock {
        return Ok(Some(lock.clone()));
    }
    if request.force || !matches!(document.profile.spec.release, Release::Exact(_)) {
        return Ok(None);
    }
    let name = ImageName::from(&document.profile.metadata.name);
    let (asked, _) = resolve::firmware_request(document);
    Ok(match place.runtime.block_on(place.state.made_lock(&name))? {
        Some(Lock::Firmware(lock)) if lock.request == asked => Some(lock),
        _ => None,
    })
}

fn build(
    context: &Context,
    workspace: &Workspace,
    place: &Place,
    request: &FirmwareBuildRequest,
    missing: &[Missing<'_>],
) -> Result<Outcomes> {
    let upstream = place.upstream(context, workspace)?;
    // One after the other: each is fetched and unpacked once, whoever wants it.
    let mut asked: BTreeMap<Asked, Result<(Builder, bool)>> = BTreeMap::new();
    let mut locked: BTreeMap<Digest, Result<Builder>> = BTreeMap::new();
    for Missing { document, lock } in missing {
        context.cancel.check()?;
        let spec = &document.profile.spec;
        match lock {
            Some(lock) => {
                if let Entry::Vacant(entry) = locked.entry(lock.builder) {
                    let id = BuilderId::new(lock.release.clone(), spec.platform())?;
                    entry.insert(upstream.exactly(&id, lock.builder));
                }
            }
            None => {
                if let Entry::Vacant(entry) = asked.entry((spec.release.clone(), spec.platform())) {
                    let builder = upstream.at_rest_or_asked(&entry.key().0, &entry.key().1);
                    entry.insert(builder);
                }
            }
        }
    }
    let now = context.clock.now();
    let unasked = || Failure::bug("an Image Builder was not asked for");
    let one = |Missing { document, lock }: &Missing<'_>| -> Result<DeviceFirmware> {
        let (name, spec) = (&document.profile.metadata.name, &document.profile.spec);
        let (lock, builder) = match lock {
            Some(lock) => {
                let builder = locked.get(&lock.builder).ok_or_else(unasked)?;
                (lock.clone(), builder.as_ref().map_err(Clone::clone)?)
            }
            None => {
                let found = asked.get(&(spec.release.clone(), spec.platform())).ok_or_else(unasked)?;
                let (builder, asked) = found.as_ref().map_err(Clone::clone)?;
                let lock = upstream.lock_with(builder, *asked, document, None)?;
                let made = Lock::Firmware(lock.clone());
                let image = ImageName::from(name);
                place.runtime.block_on(place.state.put_made_lock(&image, &made))?;
                (lock, builder)
            }
        };
        let resolved = resolve::firmware(document, lock)?;
        // Somebody else may have made it meanwhile.
        let firmware = upstream.firmwares().build(&resolved, builder, request.force, now)?;
        Ok(DeviceFirmware::of(name, firmware))
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = request.jobs.map_or(processors, usize::from).min(missing.len()).max(1);
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Outcomes::new()));
    let work = || {
        while let Some(missing) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = one(missing);
            let name = missing.document.profile.metadata.name.clone();
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(name, outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(work);
        }
        work();
    });
    Ok(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner))
}
