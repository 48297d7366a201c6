//! `cache list`, `cache prune`, `cache verify`.

use super::workspace::{Workspace, runtime};
use super::{CatalogRef, Context};
use crate::build::cache::prune::{Limits, Prune, Pruned, require};
use crate::build::cache::verify::Verified;
use crate::build::cache::{Cache, Kind, Total};
use crate::effects::usage::Usage;
use crate::model::Result;
use crate::model::age::Age;
use crate::model::spec::Size;
use serde::Serialize;
use std::path::PathBuf;

/// List what the cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheListRequest {
    /// The catalog whose settings name the cache.
    pub catalog: CatalogRef,
    /// Only these kinds; all when empty.
    pub kinds: Vec<Kind>,
}

/// What the cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheListReport {
    /// The cache folder.
    pub path: PathBuf,
    /// One row for each kind.
    pub kinds: Vec<Total>,
    /// Bytes of work folders.
    pub work_bytes: u64,
    /// Bytes of everything in the folder: the kinds, work folders, the state database and the
    /// rest.
    pub total_bytes: u64,
}

/// Remove what was not used for long, or what does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePruneRequest {
    /// The catalog whose settings name the cache, and whose recipes need some of it.
    pub catalog: CatalogRef,
    /// Only these kinds; all when empty.
    pub kinds: Vec<Kind>,
    /// How large they may be together; the settings' limit when both are absent.
    pub max_size: Option<Size>,
    /// How long something may go unused; the settings' limit when both are absent.
    pub older_than: Option<Age>,
    /// Say what would be removed and remove nothing.
    pub dry_run: bool,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CachePruneReport {
    /// The cache folder.
    pub path: PathBuf,
    /// Whether nothing was removed in truth.
    pub dry_run: bool,
    /// What came of it.
    #[serde(flatten)]
    pub pruned: Pruned,
}

/// Read every byte of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheVerifyRequest {
    /// The catalog whose settings name the cache.
    pub catalog: CatalogRef,
    /// Only these kinds; all when empty.
    pub kinds: Vec<Kind>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheVerifyReport {
    /// The cache folder.
    pub path: PathBuf,
    /// What was found.
    #[serde(flatten)]
    pub verified: Verified,
}

/// Lists what the cache holds.
///
/// # Errors
/// If the catalog or the cache cannot be read.
pub fn cache_list(context: &Context, request: CacheListRequest) -> Result<CacheListReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let cache = Cache::open(&workspace.cache_folder())?;
    Ok(CacheListReport {
        path: cache.root().to_owned(),
        kinds: cache.totals(&request.kinds)?,
        work_bytes: cache.work_bytes()?,
        total_bytes: Usage::default().add(cache.root())?,
    })
}

/// Removes what is beyond the limits of the request, or else of the settings. What is in use
/// is left and named.
///
/// # Errors
/// Class *spec* if nothing sets a limit; *host* if something cannot be removed.
pub fn cache_prune(context: &Context, request: CachePruneRequest) -> Result<CachePruneReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let runtime = runtime()?;
    let world = workspace.world(context, &runtime, &[], &[], false, false)?;
    let asked = Limits { size: request.max_size.map(Size::bytes), age: request.older_than.map(Age::delta) };
    let limits = if asked.any() { asked } else { require(world.cache_limits())? };
    let needs = world.needs()?;
    let prune =
        Prune { limits, kinds: request.kinds, needs: &needs, spare_needed: false, dry_run: request.dry_run };
    let pruned = world.cache.prune(&prune, context.clock.now(), &context.cancel)?;
    Ok(CachePruneReport { path: world.cache.root().to_owned(), dry_run: request.dry_run, pruned })
}

/// Reads every byte of the cache and removes what is not what it should be.
///
/// # Errors
/// If something cannot be read; damage is in the report.
pub fn cache_verify(context: &Context, request: CacheVerifyRequest) -> Result<CacheVerifyReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let cache = Cache::open(&workspace.cache_folder())?;
    let verified = cache.verify(&request.kinds, &context.events, &context.cancel)?;
    Ok(CacheVerifyReport { path: cache.root().to_owned(), verified })
}
