//! Where Image Builders come from: the servers that the settings name, and the cache.

use super::World;
use crate::build::cache::Cache;
use crate::build::openwrt::builders;
use crate::build::openwrt::{self, Builder, Builders, Firmwares, Keys, LONGEST_BUILD, Listed, Server};
use crate::effects::fetch::{self, Patience};
use crate::effects::{Cancel, Clock};
use crate::model::catalog::DeviceDocument;
use crate::model::failure::IoContext;
use crate::model::firmware::{OfferedProfile, ProfilesJson};
use crate::model::firmware_lock::FirmwareLock;
use crate::model::openwrt::{BuilderId, Platform, Release};
use crate::model::settings::OpenwrtSettings;
use crate::model::{Digest, Emitter, ErrorCode, Failure, FailureClass, Result};
use crate::resolve;
use crate::state::{BuilderRow, BuilderState, State};
use std::path::PathBuf;
use std::time::Duration;

/// How long a server that says nothing is waited for, and how often it is asked again before
/// the next one is.
const PATIENCE: Patience =
    Patience { idle: Duration::from_secs(30), window: Duration::from_mins(2), least: 128 << 10, rounds: 3 };

/// What servers are asked with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Servers, and whether what nobody signed is taken.
    pub settings: &'a OpenwrtSettings,
    /// The keys of the settings, by their places on this host.
    pub keys: &'a [PathBuf],
    /// Where Image Builders are kept.
    pub cache: &'a Cache,
    /// Where it is said what is there.
    pub state: &'a State,
    /// Runs downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
    /// The time.
    pub clock: Clock,
    /// Nothing may be asked of the network.
    pub offline: bool,
}

/// The servers of the settings, whom they are trusted by, and the cache.
pub struct Upstream<'a> {
    means: Means<'a>,
    keys: Keys,
    client: reqwest::Client,
}

impl<'a> Upstream<'a> {
    /// # Errors
    /// Class *spec* if the settings name no server, or a key that is none.
    pub fn open(means: Means<'a>) -> Result<Self> {
        let settings = means.settings;
        if settings.urls.is_empty() {
            return Err(Failure::spec("bootwright.yaml names no OpenWrt server")
                .hint("Write `openwrt: {urls: [https://…], keys: [keys/…]}`, see docs/openwrt.md."));
        }
        let keys = if settings.unsigned { Keys::none() } else { Keys::read(means.keys)? };
        if keys.take_unsigned() {
            means.events.warn(
                "`openwrt.unsigned` is set: what the server says is believed, and nobody has signed it",
            );
        }
        Ok(Self { means, keys, client: fetch::client()? })
    }

    fn builders(&self) -> Builders<'_> {
        Builders {
            cache: self.means.cache,
            client: &self.client,
            runtime: self.means.runtime,
            events: self.means.events,
            cancel: self.means.cancel,
            patience: PATIENCE,
            limits: openwrt::Limits::default(),
        }
    }

    /// The servers, to be asked for what nobody builds from.
    pub fn server(&self) -> Server<'_> {
        Server {
            urls: &self.means.settings.urls,
            keys: &self.keys,
            client: &self.client,
            runtime: self.means.runtime,
            events: self.means.events,
            cancel: self.means.cancel,
            patience: PATIENCE,
            offline: self.means.offline,
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
            self.fetch_listed(&server.find(&id, &self.means.cache.work())?)
        };
        let here = || self.kept(release, platform);
        match self.means.offline {
            false => Ok((ask()?, true)),
            true if !self.has_folder() => Ok((here()?, false)),
            // A folder is there without network, and need not have all that the cache has.
            true => match ask() {
                Ok(builder) => Ok((builder, true)),
                Err(failure) => {
                    self.means.cancel.check()?;
                    Ok((here().map_err(|_| failure)?, false))
                }
            },
        }
    }

    /// An Image Builder, and whether a server was asked for it. Of a release that has a number what
    /// the cache has is taken: it stays what it is.
    ///
    /// # Errors
    /// As [`Upstream::ensure`].
    pub fn at_rest_or_asked(&self, release: &Release, platform: &Platform) -> Result<(Builder, bool)> {
        if matches!(release, Release::Exact(_)) {
            let id = BuilderId::new(release.clone(), platform.clone())?;
            if let Some(builder) = self.cached(&id)? {
                return Ok((builder, false));
            }
        }
        self.ensure(release, platform)
    }

    /// What a release offers for a target, as a list says that is signed.
    ///
    /// # Errors
    /// As [`Upstream::ensure`]; *offline* without network and a folder.
    pub fn offered(&self, release: &Release, platform: &Platform) -> Result<(BuilderId, ProfilesJson)> {
        let server = self.server();
        let id = BuilderId::new(server.release(release)?, platform.clone())?;
        let offered = server.profiles(&id, &self.means.cache.work())?;
        Ok((id, offered))
    }

    /// Whether one of the servers is a folder of this host.
    pub fn has_folder(&self) -> bool {
        self.means.settings.urls.iter().any(|url| url.starts_with("file://"))
    }

    /// An Image Builder that the cache has.
    fn cached(&self, id: &BuilderId) -> Result<Option<Builder>> {
        self.builders().cached(id, self.keys.take_unsigned())
    }

    fn fetch_listed(&self, listed: &Listed) -> Result<Builder> {
        let now = self.means.clock.now();
        let there = self.means.cache.openwrt_builder(&listed.sha256).try_exists();
        if !there.during(|| "looking into the cache".to_owned())? {
            self.record(&[BuilderRow {
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
                let records = builders::records(self.means.cache)?;
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

    /// The Image Builder whose archive has this digest.
    ///
    /// # Errors
    /// Class *upstream*, *not available*, if neither cache nor server has it any more.
    pub fn exactly(&self, id: &BuilderId, sha256: Digest) -> Result<Builder> {
        let here = builders::records(self.means.cache)?;
        if here.iter().any(|record| record.sha256 == sha256)
            && let Some(builder) = self.builders().by_digest(sha256, self.keys.take_unsigned())?
        {
            return Ok(builder);
        }
        let gone = |what: String| {
            Failure::upstream(what)
                .code(ErrorCode::PackageUnavailable)
                .hint("Run `bootwright lock --update` to take the one that there is now.")
        };
        if self.means.offline && !self.has_folder() {
            return Err(Failure::offline(format!("the Image Builder {sha256} of {id} is not in the cache"))
                .hint("Run the same once with network."));
        }
        let listed = self.server().find(id, &self.means.cache.work())?;
        if listed.sha256 != sha256 {
            let message =
                format!("the Image Builder of {id} is {} now, and {sha256} was locked", listed.sha256);
            return Err(gone(message));
        }
        self.fetch_listed(&listed)
    }

    /// What a device profile comes to now; `old` is the lock before.
    ///
    /// # Errors
    /// As [`Upstream::ensure`], and why `make manifest` failed.
    pub fn lock(&self, document: &DeviceDocument, old: Option<&FirmwareLock>) -> Result<FirmwareLock> {
        let spec = &document.profile.spec;
        let (builder, asked) = self.ensure(&spec.release, &spec.platform())?;
        self.lock_with(&builder, asked, document, old)
    }

    /// The same with an Image Builder that is here; `asked` says whether a server may be asked what
    /// its release offers.
    ///
    /// # Errors
    /// As [`Upstream::lock`].
    pub fn lock_with(
        &self,
        builder: &Builder,
        asked: bool,
        document: &DeviceDocument,
        old: Option<&FirmwareLock>,
    ) -> Result<FirmwareLock> {
        let (request, keys) = resolve::firmware_request(document);
        let profile = &document.profile.spec.profile;
        let offered = match asked {
            true => self.offered_for(&builder.record.id)?,
            false => None,
        };
        if let Some(offered) = &offered {
            offered.require(profile, &builder.record.id.to_string())?;
        }
        let offered = offered.and_then(|offered| offered.profiles.get(profile).cloned());
        // What could not be asked now was said before.
        let offered = offered.or_else(|| {
            let old = old.filter(|old| old.builder == builder.record.sha256)?;
            Some(OfferedProfile { image_limit_bytes: old.image_limit, ..OfferedProfile::default() })
        });
        let name = &document.profile.metadata.name;
        self.firmwares().lock(name, (&request, &keys), builder, offered.as_ref())
    }

    /// What a release offers; nothing where the server has no such list, as some mirrors.
    fn offered_for(&self, id: &BuilderId) -> Result<Option<ProfilesJson>> {
        match self.server().profiles(id, &self.means.cache.work()) {
            Ok(offered) => Ok(Some(offered)),
            Err(failure) if failure.code == ErrorCode::PackageUnavailable => Ok(None),
            Err(failure)
                if failure.class == FailureClass::Upstream && failure.code != ErrorCode::Untrusted =>
            {
                self.means.events.warn(format!("what {id} offers is not known: {failure}"));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The firmware of the cache.
    pub fn firmwares(&self) -> Firmwares<'a> {
        let Means { cache, events, cancel, offline, .. } = self.means;
        Firmwares { cache, events, cancel, offline, patience: LONGEST_BUILD }
    }

    fn record(&self, rows: &[BuilderRow]) -> Result<()> {
        self.means.runtime.block_on(self.means.state.record_builders(rows))
    }
}

impl World<'_> {
    /// The servers of the settings.
    pub(super) fn upstream(&self) -> Result<Upstream<'_>> {
        Upstream::open(Means {
            settings: &self.catalog.settings.openwrt,
            keys: &self.openwrt_keys,
            cache: &self.cache,
            state: self.state()?,
            runtime: &self.runtime,
            events: &self.events,
            cancel: &self.cancel,
            clock: self.clock,
            offline: self.offline,
        })
    }
}
