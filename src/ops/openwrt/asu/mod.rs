//! A server of the Attended Sysupgrade API: routers ask for firmware, and get it.
//!
//! - `asking`: what is answered to a build request, and to who asks how far it is
//! - `queue`: what waits, and what is at work
//! - `building`: one request → firmware, over the same recipes and cache as device profiles
//! - `metadata`: which releases, devices and packages there are, as OpenWrt's servers say
//! - `store`: files of firmware
//!
//! Everything here blocks: who serves calls it on threads that may. What was asked and what became
//! of it is in the state database, so a server that ended or was killed goes on with what waited.

mod asking;
mod building;
mod metadata;
mod queue;
mod store;

pub use asking::Reply;
pub use store::Served;

use crate::build::cache::Cache;
use crate::build::openwrt::Firmwares;
use crate::effects::Cancel;
use crate::effects::files::FileLock;
use crate::model::asu::{JobState, SysupgradeSettings};
use crate::model::builder_info::BuilderInfo;
use crate::model::settings::OpenwrtSettings;
use crate::model::{Digest, Failure, Result};
use crate::ops::workspace::{STATE, Workspace};
use crate::ops::{CatalogRef, Context};
use crate::reconcile::upstream::{Means, Upstream};
use crate::release::Signers;
use crate::state::State;
use queue::Queue;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;

/// Who serves holds this file of the cache locked.
const LOCK: &str = "sysupgrade.lock";

/// Answer routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysupgradeRequest {
    /// The catalog whose settings name servers, keys, the cache, and what is allowed.
    pub catalog: CatalogRef,
}

/// A server of the Attended Sysupgrade API.
pub struct Sysupgrade {
    context: Context,
    openwrt: OpenwrtSettings,
    keys: Vec<PathBuf>,
    cache: Cache,
    state: State,
    runtime: Handle,
    /// Who signs lists of files, if somebody does.
    signers: Option<Signers>,
    queue: Queue,
    known: metadata::Known,
    /// What Image Builders say of themselves, by the digests of their archives.
    infos: Mutex<BTreeMap<Digest, Arc<BuilderInfo>>>,
    /// Held while it is decided whether a request is new.
    deciding: Mutex<()>,
    #[expect(dead_code, reason = "held until dropped")]
    only: FileLock,
}

impl Sysupgrade {
    /// Opens the cache, and takes up what waited when the last server ended. `runtime` runs
    /// downloads and the database; it must outlive the server.
    ///
    /// # Errors
    /// Class *spec* if the settings name no OpenWrt server; *host* if another server uses the cache;
    /// if the signing key that is set cannot be opened.
    pub fn open(context: &Context, request: &SysupgradeRequest, runtime: &Handle) -> Result<Self> {
        let workspace = Workspace::open(context, &request.catalog)?;
        let cache = Cache::open(&workspace.cache_folder())?;
        let only = FileLock::try_take(&cache.root().join(LOCK))?.ok_or_else(|| {
            Failure::host(format!("another server answers routers from {}", cache.root().display()))
                .hint("Stop it, or give this one a cache of its own (`cache.path`).")
        })?;
        let state = runtime.block_on(State::open(&cache.root().join(STATE)))?;
        if let Some(warning) = state.warning() {
            context.events.warn(warning);
        }
        let settings = workspace.settings();
        let signed = settings.signing.key.is_some() || !settings.signing.keys.is_empty();
        let signers = if signed { Some(workspace.signers(context)?) } else { None };
        let server = Self {
            context: context.clone(),
            openwrt: settings.openwrt.clone(),
            keys: workspace.openwrt_keys(),
            cache,
            state,
            runtime: runtime.clone(),
            signers,
            queue: Queue::default(),
            known: metadata::Known::default(),
            infos: Mutex::default(),
            deciding: Mutex::default(),
            only,
        };
        // Settings that cannot work are told now and not to the first router.
        server.upstream()?;
        server.take_up()?;
        Ok(server)
    }

    /// What is allowed.
    pub fn settings(&self) -> &SysupgradeSettings {
        &self.openwrt.sysupgrade
    }

    /// A wish to stop.
    pub fn cancel(&self) -> &Cancel {
        &self.context.cancel
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Tells who runs the server what went wrong.
    pub fn note(&self, failure: &Failure) {
        self.context.events.warn(failure.to_string());
    }

    /// Forgets what expired.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn forget(&self) -> Result<()> {
        self.runtime.block_on(self.state.forget_sysupgrades(self.context.clock.now())).map(drop)
    }

    /// Puts what was open when the last server ended back into the queue.
    fn take_up(&self) -> Result<()> {
        self.forget()?;
        for mut asked in self.runtime.block_on(self.state.open_sysupgrades())? {
            if asked.state == JobState::Started {
                asked.state = JobState::Queued;
                self.runtime.block_on(self.state.put_sysupgrade(&asked))?;
            }
            self.queue.push(asked.hash);
        }
        Ok(())
    }

    fn firmwares(&self) -> Firmwares<'_> {
        Firmwares {
            cache: &self.cache,
            events: &self.context.events,
            cancel: &self.context.cancel,
            offline: self.context.offline,
            patience: Duration::from_mins(u64::from(self.settings().timeout_minutes)),
        }
    }

    fn upstream(&self) -> Result<Upstream<'_>> {
        Upstream::open(Means {
            settings: &self.openwrt,
            keys: &self.keys,
            cache: &self.cache,
            state: &self.state,
            runtime: &self.runtime,
            events: &self.context.events,
            cancel: &self.context.cancel,
            clock: self.context.clock,
            offline: self.context.offline,
        })
    }
}
