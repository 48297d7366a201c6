//! `openwrt builder ensure`, `list`, `verify`, `prune`.

use super::place::Place;
use crate::build::cache::Kind;
use crate::build::cache::needs::Needs;
use crate::build::cache::prune::{Limits, Prune, Why, require};
use crate::model::age::Age;
use crate::model::openwrt::{Platform, Release};
use crate::model::spec::Size;
use crate::model::{Digest, Failure, Result};
use crate::ops::workspace::Workspace;
use crate::ops::{CatalogRef, Context};
use crate::state::{BuilderRow, BuilderState};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::path::PathBuf;

/// Have an Image Builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderEnsureRequest {
    /// The catalog whose settings name servers, keys and the cache.
    pub catalog: CatalogRef,
    /// The release.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
}

/// An Image Builder that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuilderEnsureReport {
    /// It.
    pub builder: ListedBuilder,
    /// Whether it was unpacked just now.
    pub made: bool,
    /// Whether a server was asked; without network it is what the cache has.
    pub asked: bool,
}

/// One Image Builder of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedBuilder {
    /// The release.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The digest of its archive.
    pub sha256: Digest,
    /// The address that listed it.
    pub url: String,
    /// How far it is.
    pub state: BuilderState,
    /// The keys that signed the list: nobody where the settings take what is unsigned.
    pub signed_by: Vec<String>,
    /// The folder with its Makefile, if it is there.
    pub path: Option<PathBuf>,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last used.
    pub last_use: DateTime<Utc>,
}

impl ListedBuilder {
    /// What a row says.
    pub(super) fn absent(row: &BuilderRow) -> Self {
        Self {
            release: row.id.release().clone(),
            platform: row.id.platform().clone(),
            sha256: row.sha256,
            url: row.url.clone(),
            state: row.state,
            signed_by: Vec::new(),
            path: None,
            bytes: row.size,
            last_use: row.last_use,
        }
    }
}

/// List the Image Builders of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderListRequest {
    /// The catalog whose settings name the cache.
    pub catalog: CatalogRef,
}

/// The Image Builders of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuilderListReport {
    /// They, by release and target.
    pub builders: Vec<ListedBuilder>,
    /// Bytes of all of them.
    pub total_bytes: u64,
}

/// Read every byte of the Image Builders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderVerifyRequest {
    /// The catalog whose settings name the cache.
    pub catalog: CatalogRef,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuilderVerifyReport {
    /// How many were read.
    pub checked: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is not what it should be.
    pub damaged: Vec<DamagedBuilder>,
}

/// One damaged Image Builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedBuilder {
    /// Release and target, or its digest where its record is lost.
    pub builder: String,
    /// The digest of its archive.
    pub sha256: String,
    /// What differs.
    pub what: String,
    /// Whether it was removed; one in use is not.
    pub dropped: bool,
}

/// Remove Image Builders that were not used for long, or that do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderPruneRequest {
    /// The catalog whose settings name the cache.
    pub catalog: CatalogRef,
    /// How large they may be together; the settings' limit when both are absent.
    pub max_size: Option<Size>,
    /// How long one may go unused; the settings' limit when both are absent.
    pub max_age: Option<Age>,
    /// Say what would be removed and remove nothing.
    pub dry_run: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuilderPruneReport {
    /// Whether nothing was removed in truth.
    pub dry_run: bool,
    /// What was removed, or would be.
    pub removed: Vec<PrunedBuilder>,
    /// What was to be removed and is in use.
    pub in_use: Vec<PrunedBuilder>,
    /// Bytes of what was removed.
    pub freed_bytes: u64,
    /// Bytes of what is left.
    pub left_bytes: u64,
}

/// One Image Builder that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunedBuilder {
    /// Release and target, or its digest where its record is lost.
    pub builder: String,
    /// The digest of its archive.
    pub sha256: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last used.
    pub last_use: DateTime<Utc>,
    /// Why.
    pub why: Why,
}

/// Makes sure that an Image Builder is in the cache.
///
/// # Errors
/// Class *spec* if no server is set, or none has it; *untrusted* if nobody vouches for it;
/// *offline* if it is not in the cache and may not be asked for.
pub fn builder_ensure(context: &Context, request: BuilderEnsureRequest) -> Result<BuilderEnsureReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let place = Place::open(context, &workspace)?;
    let upstream = place.upstream(context, &workspace)?;
    let (builder, asked) = upstream.ensure(&request.release, &request.platform)?;
    let made = builder.made;
    let builders = place.builders()?;
    let listed = builders.into_iter().find(|listed| listed.sha256 == builder.record.sha256);
    let builder = listed.ok_or_else(|| Failure::bug("an Image Builder that is held vanished"))?;
    Ok(BuilderEnsureReport { builder, made, asked })
}

/// Lists the Image Builders of the cache.
///
/// # Errors
/// If the catalog or the cache cannot be read.
pub fn builder_list(context: &Context, request: BuilderListRequest) -> Result<BuilderListReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let builders = Place::open(context, &workspace)?.builders()?;
    let total_bytes = builders.iter().map(|builder| builder.bytes).sum();
    Ok(BuilderListReport { builders, total_bytes })
}

/// Reads every byte of the Image Builders and removes those that are damaged.
///
/// # Errors
/// If something cannot be read; damage is in the report.
pub fn builder_verify(context: &Context, request: BuilderVerifyRequest) -> Result<BuilderVerifyReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let place = Place::open(context, &workspace)?;
    let names = place.names()?;
    let verified = place.cache.verify(&[Kind::OpenwrtBuilders], &context.events, &context.cancel)?;
    let damaged: Vec<DamagedBuilder> = verified
        .damaged
        .into_iter()
        .map(|damage| DamagedBuilder {
            builder: names.get(&damage.name).unwrap_or(&damage.name).clone(),
            sha256: damage.name,
            what: damage.what,
            dropped: damage.dropped,
        })
        .collect();
    // The rows follow.
    place.builders()?;
    Ok(BuilderVerifyReport { checked: verified.checked, bytes: verified.bytes, damaged })
}

/// Removes what is beyond the limits of the request, or else of the settings' cache. What is in
/// use is left and named.
///
/// # Errors
/// Class *spec* if nothing sets a limit; *host* if something cannot be removed.
pub fn builder_prune(context: &Context, request: BuilderPruneRequest) -> Result<BuilderPruneReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let settings = &workspace.settings().cache;
    let asked = Limits { size: request.max_size.map(Size::bytes), age: request.max_age.map(Age::delta) };
    let set = Limits { size: settings.max_size.map(Size::bytes), age: settings.max_age.map(Age::delta) };
    let limits = if asked.any() { asked } else { require(set)? };
    let place = Place::open(context, &workspace)?;
    let names = place.names()?;
    let prune = Prune {
        limits,
        kinds: vec![Kind::OpenwrtBuilders],
        needs: &Needs::default(),
        spare_needed: false,
        dry_run: request.dry_run,
    };
    let pruned = place.cache.prune(&prune, context.clock.now(), &context.cancel)?;
    let named = |choices: Vec<crate::build::cache::prune::Choice>| -> Vec<PrunedBuilder> {
        let name = |digest: &String| names.get(digest).unwrap_or(digest).clone();
        let choices = choices.into_iter().map(|choice| PrunedBuilder {
            builder: name(&choice.name),
            sha256: choice.name,
            bytes: choice.bytes,
            last_use: choice.last_use,
            why: choice.why,
        });
        choices.collect()
    };
    let report = BuilderPruneReport {
        dry_run: request.dry_run,
        removed: named(pruned.removed),
        in_use: named(pruned.in_use),
        freed_bytes: pruned.freed_bytes,
        left_bytes: pruned.left_bytes,
    };
    // The rows follow.
    place.builders()?;
    Ok(report)
}
