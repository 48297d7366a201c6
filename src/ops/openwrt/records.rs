//! `openwrt builds`: what was built, for which device, and where it is.
//!
//! Nothing is written down for this: it is found in the records that lie beside firmware in the
//! cache, in the signed manifests of releases, and in the runs of the state database. Lose one of
//! them, and the others still say what they know.

use super::place::Place;
use super::profiles::known;
use crate::build::openwrt::firmware;
use crate::model::device::{BuilderProfile, DeviceName};
use crate::model::firmware::{FirmwareRecord, ImageFile};
use crate::model::openwrt::{Platform, Release};
use crate::model::release::{FirmwareFacts, Manifest};
use crate::model::run::{Run, RunState};
use crate::model::{Digest, Failure, ImageName, Result, Version};
use crate::ops::workspace::Workspace;
use crate::ops::{CatalogRef, Context};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Which builds are asked for; all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildsRequest {
    /// The catalog whose cache, store and state are looked into.
    pub catalog: CatalogRef,
    /// Only those of this device profile.
    pub profile: Option<DeviceName>,
    /// Only those that made an image with this digest, with or without its signature.
    pub image: Option<Digest>,
    /// Only those for this device, as the Image Builder names it.
    pub device: Option<BuilderProfile>,
    /// Only those of this release; of a branch, of all its releases.
    pub release: Option<Release>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildsReport {
    /// The latest build that is good, if there is one: it is the first of `builds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Digest>,
    /// The builds that are good, the newest first.
    pub builds: Vec<FirmwareBuild>,
    /// Runs that failed, the newest first.
    pub failed: Vec<FailedBuild>,
}

/// One build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareBuild {
    /// The digest of its recipe.
    pub recipe: Digest,
    /// The device profiles that it is known to be of.
    pub profiles: BTreeSet<ImageName>,
    /// The release of OpenWrt.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The device as the Image Builder names it.
    pub device: BuilderProfile,
    /// The digest of the Image Builder's archive.
    pub builder: Digest,
    /// The revision of OpenWrt.
    pub revision: String,
    /// The images.
    pub images: Vec<ImageFile>,
    /// How many packages are in it.
    pub packages: usize,
    /// When it was built; of one that only a release knows, when that was published.
    pub built: DateTime<Utc>,
    /// The releases that it was published as.
    pub releases: Vec<PublishedBuild>,
    /// The folder of its files in the cache, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// A release that a build was published as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedBuild {
    /// The device profile.
    pub profile: ImageName,
    /// The release.
    pub version: Version,
    /// When it was published.
    pub published: DateTime<Utc>,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedBuild {
    /// The device profile.
    pub profile: ImageName,
    /// The digest of the recipe that was tried.
    pub recipe: Digest,
    /// When it failed.
    pub at: DateTime<Utc>,
    /// Why.
    pub failure: Failure,
}

/// Finds builds.
///
/// # Errors
/// If the catalog, the cache or the state cannot be read; class *spec* for a profile that nobody knows.
pub fn builds(context: &Context, request: &BuildsRequest) -> Result<BuildsReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let place = Place::open(context, &workspace)?;
    let runs = runs(&workspace, &place)?;
    let mut found: BTreeMap<Digest, FirmwareBuild> = BTreeMap::new();
    for (record, path) in firmware::records(&place.cache)? {
        found.insert(record.digest, FirmwareBuild::of_record(&record, path));
    }
    published(context, &workspace, &mut found)?;
    for run in &runs {
        if let Some(build) = found.get_mut(&run.recipe) {
            build.profiles.insert(run.image.clone());
        }
    }
    let profile = request.profile.as_ref().map(ImageName::from);
    if let (Some(name), Some(wanted)) = (&profile, &request.profile)
        && !runs.iter().any(|run| run.image == *name)
        && !found.values().any(|build| build.profiles.contains(name))
    {
        known(&workspace.catalog, wanted)?;
    }
    let mut builds: Vec<FirmwareBuild> =
        found.into_values().filter(|build| fits(build, profile.as_ref(), request)).collect();
    builds.sort_by_key(|build| std::cmp::Reverse((build.built, build.recipe)));
    let all_profiles = request.image.is_none() && request.device.is_none() && request.release.is_none();
    let failed = runs.into_iter().filter(|run| match &profile {
        Some(name) => run.image == *name,
        None => all_profiles,
    });
    let failed = failed.filter_map(|run| match run.state {
        RunState::Failed { failure } => {
            Some(FailedBuild { profile: run.image, recipe: run.recipe, at: run.updated, failure })
        }
        _ => None,
    });
    let mut failed: Vec<FailedBuild> = failed.collect();
    failed.sort_by_key(|failed| std::cmp::Reverse(failed.at));
    Ok(BuildsReport { latest: builds.first().map(|build| build.recipe), builds, failed })
}

/// The runs of all device profiles of the catalog.
fn runs(workspace: &Workspace, place: &Place) -> Result<Vec<Run>> {
    let mut all = Vec::new();
    for name in workspace.catalog.devices.keys() {
        all.extend(place.runtime.block_on(place.state.runs(&ImageName::from(name)))?);
    }
    Ok(all)
}

/// Adds what releases say. A store that cannot be read only hides them.
fn published(
    context: &Context,
    workspace: &Workspace,
    found: &mut BTreeMap<Digest, FirmwareBuild>,
) -> Result<()> {
    let store = workspace.store(context)?;
    let keys = workspace.trust(context.clock.now())?;
    let index = match store.index(&keys) {
        Ok(index) => index,
        Err(failure) => {
            context.events.warn(format!("what is published is not known: {failure}"));
            return Ok(());
        }
    };
    for (name, image) in &index.images {
        for listed in &image.releases {
            // What a manifest says that is not as it was signed counts for nothing.
            let Ok(manifest) = store.manifest(name, &listed.version, &keys) else { continue };
            let Some(facts) = manifest.system.firmware() else { continue };
            let build =
                found.entry(manifest.recipe).or_insert_with(|| FirmwareBuild::of_release(&manifest, facts));
            build.profiles.insert(name.clone());
            let (version, published) = (listed.version.clone(), listed.published);
            build.releases.push(PublishedBuild { profile: name.clone(), version, published });
        }
    }
    Ok(())
}

fn fits(build: &FirmwareBuild, profile: Option<&ImageName>, request: &BuildsRequest) -> bool {
    let made = |digest: &Digest| {
        build.images.iter().any(|image| image.sha256 == *digest || image.sha256_unsigned == Some(*digest))
    };
    profile.is_none_or(|name| build.profiles.contains(name))
        && request.image.as_ref().is_none_or(made)
        && request.device.as_ref().is_none_or(|device| build.device == *device)
        && request.release.as_ref().is_none_or(|release| release.allows(&build.release))
}

impl FirmwareBuild {
    fn of_record(record: &FirmwareRecord, path: PathBuf) -> Self {
        let recipe = &record.recipe;
        Self {
            recipe: record.digest,
            profiles: BTreeSet::new(),
            release: recipe.release.clone(),
            platform: recipe.platform.clone(),
            device: recipe.profile.clone(),
            builder: recipe.builder,
            revision: record.revision.clone(),
            images: record.images.clone(),
            packages: record.packages.len(),
            built: record.built,
            releases: Vec::new(),
            path: Some(path),
        }
    }

    fn of_release(manifest: &Manifest, facts: &FirmwareFacts) -> Self {
        Self {
            recipe: manifest.recipe,
            profiles: BTreeSet::new(),
            release: facts.release.clone(),
            platform: facts.platform.clone(),
            device: facts.profile.clone(),
            builder: facts.builder,
            revision: facts.revision.clone(),
            images: facts.images.clone(),
            packages: manifest.package_count,
            built: manifest.published,
            releases: Vec::new(),
            path: None,
        }
    }
}
