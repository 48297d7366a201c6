//! What the catalog as a whole needs of the cache, whichever images were asked for.

use super::{World, desired};
use crate::build::cache::needs::Needs;
use crate::build::cache::prune::{Limits, Prune, Pruned};
use crate::model::product::{Request, Resolved};
use crate::model::{ImageName, Result};
use crate::planner::Wanted;
use std::collections::BTreeSet;

impl World<'_> {
    /// What building the current recipes of all images would use. An image whose recipe
    /// cannot be said needs nothing.
    ///
    /// # Errors
    /// If the state database cannot be read.
    pub fn needs(&self) -> Result<Needs> {
        // Also those that this round did not read.
        let remembered = self.remembered.iter().flat_map(|r| r.known.images.keys());
        let mut images: BTreeSet<ImageName> = self.catalog.images.keys().chain(remembered).cloned().collect();
        images.extend(self.catalog.devices.keys().map(ImageName::from));
        let names: Vec<ImageName> = images.iter().cloned().collect();
        // A store that cannot be read only hides the locks of its releases.
        let observed = self.store.observe(&self.keys, &names).unwrap_or_default();
        let documents = self.documents(&images)?;
        let made = self.made_locks(&documents)?;
        let mut needs = Needs::default();
        for desired in desired::gather(self, &documents, &observed, &made).desired {
            match &desired.wanted {
                Wanted::Recipe(resolved) => match &**resolved {
                    Resolved::Image(resolved) => {
                        needs.add(&resolved.recipe);
                        needs.add_request(&resolved.lock.request, &self.mirrors);
                    }
                    Resolved::Firmware(resolved) => needs.add_firmware(&resolved.order.recipe),
                },
                Wanted::NeedsLock { request: Request::Image(request), .. } => {
                    needs.add_request(request, &self.mirrors);
                }
                // Which Image Builder answers is not known before it is asked.
                Wanted::NeedsLock { request: Request::Firmware(_), .. } => {}
            }
        }
        Ok(needs)
    }

    /// What the settings say the cache may hold.
    pub fn cache_limits(&self) -> Limits {
        let settings = &self.catalog.settings.cache;
        Limits { size: settings.max_size.map(|s| s.bytes()), age: settings.max_age.map(|a| a.delta()) }
    }

    /// Removes from the cache what is beyond the settings' limits, if they have any.
    ///
    /// # Errors
    /// As [`crate::build::cache::Cache::prune`].
    pub fn keep_cache_small(&self) -> Result<Option<Pruned>> {
        let limits = self.cache_limits();
        if !limits.any() {
            return Ok(None);
        }
        let needs = self.needs()?;
        let prune = Prune { limits, kinds: Vec::new(), needs: &needs, spare_needed: false, dry_run: false };
        self.cache.prune(&prune, self.clock.now(), &self.cancel).map(Some)
    }
}
