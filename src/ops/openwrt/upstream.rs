//! Where Image Builders come from and lie: the servers and the cache that the settings name.

use super::builders::ListedBuilder;
use crate::build::cache::{Cache, lock_of};
use crate::build::openwrt::builders::{self, Kept};
use crate::build::openwrt::{self, Builder, Builders, Keys, Listed, Server};
use crate::effects::fetch::{self, Patience};
use crate::effects::files::FileLock;
use crate::model::failure::IoContext;
use crate::model::firmware::ProfilesJson;
use crate::model::openwrt::{BuilderId, Platform, Release};
use crate::model::settings::OpenwrtSettings;
use crate::model::{Digest, Failure, Result};
use crate::ops::Context;
use crate::ops::workspace::{Workspace, runtime};
use crate::state::{BuilderRow, BuilderState, State};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The state database, in the cache.
const STATE: &str = "state.db";
/// How long a server that says nothing is waited for, and how often it is asked again before
/// the next one is.
const PATIENCE: Patience =
    Patience { idle: Duration::from_secs(30), window: Duration::from_mins(2), least: 128 << 10, rounds: 3 };

/// The servers of the settings, whom they are trusted by, and the cache.
pub(super) struct Upstream<'a> {
    context: &'a Context,
    settings: &'a OpenwrtSettings,
    pub place: Place,
    keys: Keys,
    client: reqwest::Client,
}

impl<'a> Upstream<'a> {
    /// # Errors
    /// Class *spec* if the settings name no server, or a key that is none.
    pub fn open(context: &'a Context, workspace: &'a Workspace) -> Result<Self> {
        let settings = &workspace.settings().openwrt;
        if settings.urls.is_empty() {
            return Err(Failure::spec("bootwright.yaml names no OpenWrt server")
                .hint("Write `openwrt: {urls: [https://…], keys: [keys/…]}`, see docs/openwrt.md."));
        }
        let keys = keys(workspace, settings)?;
        if keys.take_unsigned() {
            context.events.warn(
                "`openwrt.unsigned` is set: what the server says is believed, and nobody has signed it",
            );
        }
        let place = Place::open(context, workspace)?;
        Ok(Self { context, settings, place, keys, client: fetch::client()? })
    }

    fn builders(&self) -> Builders<'_> {
        Builders {
            cache: &self.place.cache,
            client: &self.client,
            runtime: self.place.runtime.handle(),
            events: &self.context.events,
            cancel: &self.context.cancel,
            patience: PATIENCE,
            limits: openwrt::Limits::default(),
        }
    }

    fn server(&self) -> Server<'_> {
        Server {
            urls: &self.settings.urls,
            keys: &self.keys,
            client: &self.client,
            runtime: self.place.runtime.handle(),
            events: &self.context.events,
            cancel: &self.context.cancel,
            patience: PATIENCE,
            offline: self.context.offline,
        }
    }

    /// An Image Builder, and whether a server was asked for it.
    ///
    /// # Errors
    /// Class *spec* if no server has it; *untrusted* if nobody vouches for it; *offline* if it
    /// is not in the cache and may not be asked for.
    pub fn ensure(&self, release: &Release, platform: &Platform) -> Result<(Builder, bool)> {
        let ask = || {
            let server = self.server();
            let id = BuilderId::new(server.release(release)?, platform.clone())?;
            self.fetch_listed(&server.find(&id, &self.place.cache.work())?)
        };
        let here = || self.kept(release, platform);
        match self.context.offline {
            false => Ok((ask()?, true)),
            true if !self.has_folder() => Ok((here()?, false)),
            // A folder is there without network, and need not have all that the cache has.
            true => match ask() {
                Ok(builder) => Ok((builder, true)),
                Err(failure) => {
                    self.context.cancel.check()?;
                    Ok((here().map_err(|_| failure)?, false))
                }
            },
        }
    }

    /// An Image Builder. Of a release that has a number what the cache has is taken: it stays what
    /// it is.
    ///
    /// # Errors
    /// As [`Upstream::ensure`].
    pub fn at_rest_or_asked(&self, release: &Release, platform: &Platform) -> Result<Builder> {
        if matches!(release, Release::Exact(_)) {
            let id = BuilderId::new(release.clone(), platform.clone())?;
            if let Some(builder) = self.cached(&id)? {
                return Ok(builder);
            }
        }
        Ok(self.ensure(release, platform)?.0)
    }

    /// What a release offers for a target, as a list says that is signed.
    ///
    /// # Errors
    /// As [`Upstream::ensure`]; *offline* without network and a folder.
    pub fn offered(&self, release: &Release, platform: &Platform) -> Result<(BuilderId, ProfilesJson)> {
        let server = self.server();
        let id = BuilderId::new(server.release(release)?, platform.clone())?;
        let offered = server.profiles(&id, &self.place.cache.work())?;
        Ok((id, offered))
    }

    /// Whether one of the servers is a folder of this host.
    pub fn has_folder(&self) -> bool {
        self.settings.urls.iter().any(|url| url.starts_with("file://"))
    }

    /// An Image Builder that the cache has.
    fn cached(&self, id: &BuilderId) -> Result<Option<Builder>> {
        self.builders().cached(id, self.keys.take_unsigned())
    }

    fn fetch_listed(&self, listed: &Listed) -> Result<Builder> {
        let now = self.context.clock.now();
        let there = self.place.cache.openwrt_builder(&listed.sha256).try_exists();
        if !there.during(|| "looking into the cache".to_owned())? {
            self.place.record(&[BuilderRow {
                sha256: listed.sha256,
                id: listed.id.clone(),
                url: listed.url.clone(),
                state: BuilderState::Fetching,
                size: 0,
                last_use: now,
            }])?;
        }
        self.builders().ensure(listed, now)
    }

    /// The Image Builder that the cache has, of a branch that of its newest release.
    fn kept(&self, release: &Release, platform: &Platform) -> Result<Builder> {
        let missing = || {
            Failure::offline(format!("the Image Builder of {release} {platform} is not in the cache")).hint(
                "Run the same once with network, or name a folder in `openwrt.urls`: file:///srv/openwrt.",
            )
        };
        let release = match release {
            Release::Branch(branch) => {
                let records = builders::records(&self.place.cache)?;
                let releases: Vec<Release> = records
                    .into_iter()
                    .filter(|record| record.id.platform() == platform)
                    .map(|record| record.id.release().clone())
                    .collect();
                Release::latest(&releases, branch).cloned().ok_or_else(missing)?
            }
            release => release.clone(),
        };
        let id = BuilderId::new(release, platform.clone())?;
        self.cached(&id)?.ok_or_else(missing)
    }
}

fn keys(workspace: &Workspace, settings: &OpenwrtSettings) -> Result<Keys> {
    if settings.unsigned {
        return Ok(Keys::none());
    }
    let paths: Vec<PathBuf> = settings.keys.iter().map(|key| workspace.path(key)).collect();
    Keys::read(&paths)
}

/// The cache of a catalog, and its database as far as it is about Image Builders.
pub(super) struct Place {
    pub cache: Cache,
    runtime: tokio::runtime::Runtime,
    state: State,
}

impl Place {
    pub fn open(context: &Context, workspace: &Workspace) -> Result<Self> {
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
    pub fn builders(&self) -> Result<Vec<ListedBuilder>> {
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
    pub fn names(&self) -> Result<BTreeMap<String, String>> {
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
