//! `openwrt build`: device profiles → firmware in the cache.

use super::profiles::known;
use super::upstream::Upstream;
use crate::build::cache::Cache;
use crate::build::openwrt::{Builder, Firmware, Firmwares, builders};
use crate::model::catalog::DeviceDocument;
use crate::model::device::{DeviceName, TagName};
use crate::model::firmware::{FirmwareOrder, FirmwareRecord};
use crate::model::openwrt::{BuilderId, BuilderRecord, Platform, Release};
use crate::model::{Digest, Failure, FailureClass, Result};
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
    let cache = Cache::open(&workspace.cache_folder())?;
    let firmwares = Firmwares {
        cache: &cache,
        events: &context.events,
        cancel: &context.cancel,
        offline: context.offline,
    };
    let mut outcomes = Outcomes::new();
    // What is there is found without a server, and without a look at the Image Builders.
    let mut missing: Vec<&DeviceDocument> = Vec::new();
    let here = builders::records(&cache)?;
    let unsigned = workspace.settings().openwrt.unsigned;
    for (name, document) in selected {
        let order = at_rest(&here, document, unsigned)
            .map(|record| resolve::firmware(document, &record.id, record.sha256));
        let digest = order.as_ref().map(|order| order.recipe.digest());
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
            None => missing.push(document),
        }
    }
    if !missing.is_empty() {
        outcomes.extend(build(context, &workspace, &firmwares, request, &missing)?);
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

/// The Image Builder of a profile, where no server need be asked for it: a release that has a
/// number stays what it is.
fn at_rest<'r>(
    here: &'r [BuilderRecord],
    document: &DeviceDocument,
    unsigned: bool,
) -> Option<&'r BuilderRecord> {
    let spec = &document.profile.spec;
    if !matches!(spec.release, Release::Exact(_)) {
        return None;
    }
    let id = BuilderId::new(spec.release.clone(), spec.platform()).ok()?;
    here.iter().rev().find(|record| record.id == id && (unsigned || !record.signed_by.is_empty()))
}

fn build(
    context: &Context,
    workspace: &Workspace,
    firmwares: &Firmwares<'_>,
    request: &FirmwareBuildRequest,
    missing: &[&DeviceDocument],
) -> Result<Outcomes> {
    let upstream = Upstream::open(context, workspace)?;
    // One after the other: each is fetched and unpacked once, whoever wants it.
    let mut builders: BTreeMap<Asked, Result<Builder>> = BTreeMap::new();
    for document in missing {
        let spec = &document.profile.spec;
        let asked = (spec.release.clone(), spec.platform());
        if let Entry::Vacant(entry) = builders.entry(asked) {
            context.cancel.check()?;
            let builder = upstream.at_rest_or_asked(&entry.key().0, &entry.key().1);
            entry.insert(builder);
        }
    }
    let now = context.clock.now();
    let one = |document: &DeviceDocument| -> Result<DeviceFirmware> {
        let (name, spec) = (&document.profile.metadata.name, &document.profile.spec);
        let builder = match builders.get(&(spec.release.clone(), spec.platform())) {
            Some(Ok(builder)) => builder,
            Some(Err(failure)) => return Err(failure.clone()),
            None => return Err(Failure::bug("an Image Builder was not asked for")),
        };
        let order: FirmwareOrder = resolve::firmware(document, &builder.record.id, builder.record.sha256);
        // What a server was asked about may be here all the same.
        let firmware = firmwares.build(&order, builder, name.as_str(), request.force, now)?;
        Ok(DeviceFirmware::of(name, firmware))
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = request.jobs.map_or(processors, usize::from).min(missing.len()).max(1);
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Outcomes::new()));
    let work = || {
        while let Some(document) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = one(document);
            let name = document.profile.metadata.name.clone();
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
