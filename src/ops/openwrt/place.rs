//! Where Image Builders lie: the cache that the settings name, and what its database says of it.

use super::builders::ListedBuilder;
use crate::build::cache::{Cache, lock_of};
use crate::build::openwrt::builders::{self, Kept};
use crate::effects::files::FileLock;
use crate::model::{Digest, Result};
use crate::ops::Context;
use crate::ops::workspace::{STATE, Workspace, runtime};
use crate::reconcile::upstream::{Means, Upstream};
use crate::state::{BuilderRow, BuilderState, State};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The cache of a catalog, and its database as far as it is about Image Builders.
pub(in crate::ops) struct Place {
    pub cache: Cache,
    pub runtime: tokio::runtime::Runtime,
    pub state: State,
    keys: Vec<PathBuf>,
}

impl Place {
    pub fn open(context: &Context, workspace: &Workspace) -> Result<Self> {
        let cache = Cache::open(&workspace.cache_folder())?;
        let runtime = runtime()?;
        let state = runtime.block_on(State::open(&cache.root().join(STATE)))?;
        if let Some(warning) = state.warning() {
            context.events.warn(warning);
        }
        Ok(Self { cache, runtime, state, keys: workspace.openwrt_keys() })
    }

    /// The servers of the settings.
    ///
    /// # Errors
    /// As [`Upstream::open`].
    pub fn upstream<'a>(&'a self, context: &'a Context, workspace: &'a Workspace) -> Result<Upstream<'a>> {
        Upstream::open(Means {
            settings: &workspace.settings().openwrt,
            keys: &self.keys,
            cache: &self.cache,
            state: &self.state,
            runtime: self.runtime.handle(),
            events: &context.events,
            cancel: &context.cancel,
            clock: context.clock,
            offline: context.offline,
        })
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
