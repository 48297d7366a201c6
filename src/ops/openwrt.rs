//! `openwrt builder ensure`, `list`, `verify`, `prune`.

use super::workspace::{Workspace, runtime};
use super::{CatalogRef, Context};
use crate::build::cache::needs::Needs;
use crate::build::cache::prune::{Limits, Prune, Why, require};
use crate::build::cache::{Cache, Kind, lock_of};
use crate::build::openwrt::builders::{self, Kept};
use crate::build::openwrt::{self, Builder, Builders, Keys, Listed, Server};
use crate::effects::fetch::{self, Patience};
use crate::effects::files::FileLock;
use crate::model::age::Age;
use crate::model::failure::IoContext;
use crate::model::openwrt::{BuilderId, Platform, Release};
use crate::model::settings::OpenwrtSettings;
use crate::model::spec::Size;
use crate::model::{Digest, Failure, Result};
use crate::state::{BuilderRow, BuilderState, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The state database, in the cache.
const STATE: &str = "state.db";
/// How long a server that says nothing is waited for, and how often it is asked again before
/// the next one is.
const PATIENCE: Patience =
    Patience { idle: Duration::from_secs(30), window: Duration::from_mins(2), least: 128 << 10, rounds: 3 };

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

/// The cache of a catalog, and its database as far as it is about Image Builders.
struct Place {
    cache: Cache,
    runtime: tokio::runtime::Runtime,
    state: State,
}

impl Place {
    fn open(context: &Context, workspace: &Workspace) -> Result<Self> {
        let cache = Cache::open(&workspace.cache_folder())?;
        let runtime = runtime()?;
        let state = runtime.block_on(State::open(&cache.root().join(STATE)))?;
        if let Some(warning) = state.warning() {
            context.events.warn(warning);
        }
        Ok(Self { cache, runtime, state })
    }

    fn record(&self, rows: &[BuilderRow]) -> Result<()> {
        self.runtime.block_on(self.state.record_builders(rows))
    }

    /// What there is, and the rows made to say so.
    fn builders(&self) -> Result<Vec<ListedBuilder>> {
        let rows = self.runtime.block_on(self.state.builders())?;
        let kept: BTreeMap<Digest, Kept> =
            builders::list(&self.cache)?.into_iter().map(|kept| (kept.sha256, kept)).collect();
        let (mut found, mut gone, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            if kept.contains_key(&row.sha256) {
                continue;
            }
            // Somebody makes it, or did until now.
            if FileLock::is_held(&lock_of(&self.cache.openwrt_builder(&row.sha256)))? {
                found.push(ListedBuilder::absent(row));
            } else {
                gone.push(row.sha256);
            }
        }
        for kept in kept.into_values() {
            let before = rows.iter().find(|row| row.sha256 == kept.sha256);
            let Some((row, signed_by)) = row_of(&kept, before) else { continue };
            found.push(ListedBuilder {
                path: Some(kept.path.join("root")),
                signed_by,
                ..ListedBuilder::absent(&row)
            });
            if before != Some(&row) {
                changed.push(row);
            }
        }
        self.record(&changed)?;
        self.runtime.block_on(self.state.forget_builders(&gone))?;
        found.sort_by(|a, b| (&a.release, &a.platform, a.sha256).cmp(&(&b.release, &b.platform, b.sha256)));
        Ok(found)
    }

    /// What people call an Image Builder.
    fn names(&self) -> Result<BTreeMap<String, String>> {
        let builders = self.builders()?.into_iter();
        Ok(builders.map(|b| (b.sha256.hex(), format!("{} {}", b.release, b.platform))).collect())
    }
}

/// The row of an entry. Without a record of its own it is what the row before says; without
/// both nobody knows what it is of.
fn row_of(kept: &Kept, before: Option<&BuilderRow>) -> Option<(BuilderRow, Vec<String>)> {
    let (size, last_use, sha256) = (kept.bytes, kept.last_use, kept.sha256);
    match &kept.record {
        Some(record) => {
            let state = BuilderState::Ready;
            let (id, url) = (record.id.clone(), record.url.clone());
            Some((BuilderRow { sha256, id, url, state, size, last_use }, record.signed_by.clone()))
        }
        None => {
            let row = BuilderRow { state: BuilderState::Damaged, size, last_use, ..before?.clone() };
            Some((row, Vec::new()))
        }
    }
}

impl ListedBuilder {
    /// What a row says.
    fn absent(row: &BuilderRow) -> Self {
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

/// Makes sure that an Image Builder is in the cache.
///
/// # Errors
/// Class *spec* if no server is set, or none has it; *untrusted* if nobody vouches for it;
/// *offline* if it is not in the cache and may not be asked for.
pub fn builder_ensure(context: &Context, request: BuilderEnsureRequest) -> Result<BuilderEnsureReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let settings = &workspace.settings().openwrt;
    if settings.urls.is_empty() {
        return Err(Failure::spec("bootwright.yaml names no OpenWrt server")
            .hint("Write `openwrt: {urls: [https://…], keys: [keys/…]}`, see docs/openwrt.md."));
    }
    let keys = keys(&workspace, settings)?;
    if keys.take_unsigned() {
        context
            .events
            .warn("`openwrt.unsigned` is set: what the server says is believed, and nobody has signed it");
    }
    let place = Place::open(context, &workspace)?;
    let client = fetch::client()?;
    let handle = place.runtime.handle();
    let builders = Builders {
        cache: &place.cache,
        client: &client,
        runtime: handle,
        events: &context.events,
        cancel: &context.cancel,
        patience: PATIENCE,
        limits: openwrt::Limits::default(),
    };
    let server = Server {
        urls: &settings.urls,
        keys: &keys,
        client: &client,
        runtime: handle,
        events: &context.events,
        cancel: &context.cancel,
        patience: PATIENCE,
        offline: context.offline,
    };
    let has_folder = settings.urls.iter().any(|url| url.starts_with("file://"));
    let ask = || {
        let id = BuilderId::new(server.release(&request.release)?, request.platform.clone())?;
        let listed = server.find(&id, &place.cache.work())?;
        fetch_listed(&place, &builders, &listed, context.clock.now())
    };
    let here = || from_cache(&place, &builders, &request, keys.take_unsigned());
    let (builder, asked) = match context.offline {
        false => (ask()?, true),
        true if !has_folder => (here()?, false),
        // A folder is there without network, and need not have all that the cache has.
        true => match ask() {
            Ok(builder) => (builder, true),
            Err(failure) => {
                context.cancel.check()?;
                (here().map_err(|_| failure)?, false)
            }
        },
    };
    let made = builder.made;
    let listed = place.builders()?.into_iter().find(|listed| listed.sha256 == builder.record.sha256);
    let builder = listed.ok_or_else(|| Failure::bug("an Image Builder that is held vanished"))?;
    Ok(BuilderEnsureReport { builder, made, asked })
}

fn keys(workspace: &Workspace, settings: &OpenwrtSettings) -> Result<Keys> {
    if settings.unsigned {
        return Ok(Keys::none());
    }
    let paths: Vec<PathBuf> = settings.keys.iter().map(|key| workspace.path(key)).collect();
    Keys::read(&paths)
}

fn fetch_listed(
    place: &Place,
    builders: &Builders<'_>,
    listed: &Listed,
    now: DateTime<Utc>,
) -> Result<Builder> {
    let there = place.cache.openwrt_builder(&listed.sha256).try_exists();
    if !there.during(|| "looking into the cache".to_owned())? {
        place.record(&[BuilderRow {
            sha256: listed.sha256,
            id: listed.id.clone(),
            url: listed.url.clone(),
            state: BuilderState::Fetching,
            size: 0,
            last_use: now,
        }])?;
    }
    builders.ensure(listed, now)
}

/// The Image Builder that the cache has, of a branch that of its newest release.
fn from_cache(
    place: &Place,
    builders: &Builders<'_>,
    request: &BuilderEnsureRequest,
    take_unsigned: bool,
) -> Result<Builder> {
    let missing = || {
        Failure::offline(format!(
            "the Image Builder of {} {} is not in the cache",
            request.release, request.platform
        ))
        .hint("Run the same once with network, or name a folder in `openwrt.urls`: file:///srv/openwrt.")
    };
    let release = match &request.release {
        Release::Branch(branch) => {
            let kept = builders::list(&place.cache)?;
            let records = kept.into_iter().filter_map(|kept| kept.record);
            let releases: Vec<Release> = records
                .filter(|record| *record.id.platform() == request.platform)
                .map(|record| record.id.release().clone())
                .collect();
            Release::latest(&releases, branch).cloned().ok_or_else(missing)?
        }
        release => release.clone(),
    };
    let id = BuilderId::new(release, request.platform.clone())?;
    builders.cached(&id, take_unsigned)?.ok_or_else(missing)
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
