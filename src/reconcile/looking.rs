//! How the store is looked at: what is hashed, and what is remembered of it.

use super::World;
use crate::effects::host;
use crate::model::name::{ImageName, Version};
use crate::model::observed::Observed;
use crate::model::plan::{Action, Planned};
use crate::model::release::{Index, IndexedRelease};
use crate::model::{Digest, Result};
use crate::planner::Schedule;
use crate::release::notices::{self, Notice, Notices};
use crate::release::store::observe::memory::News;
use crate::release::{Look, Memory};
use crate::state;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How deep the store is looked into, and what is known from earlier looks.
pub struct Looking {
    whole_store: bool,
    deep: bool,
    records: bool,
    schedule: Option<Schedule>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// None before the first look.
    memory: Option<Memory>,
    deep_done: bool,
}

impl Looking {
    /// With `whole_store` also what belongs to no selected image is looked at. With `deep`
    /// every byte is hashed, once. With `records` what was hashed is remembered for the next
    /// time; only then every byte is hashed when `schedule` says so too.
    pub fn new(whole_store: bool, deep: bool, records: bool, schedule: Option<Schedule>) -> Self {
        Self { whole_store, deep, records, schedule, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every byte of what was last hashed before this moment is hashed now.
    fn hash_older_than(&self, now: DateTime<Utc>, done: bool) -> Option<DateTime<Utc>> {
        if self.deep {
            return (!done).then_some(DateTime::<Utc>::MAX_UTC);
        }
        self.schedule.as_ref().filter(|_| self.records)?.last_due(now)
    }
}

impl World<'_> {
    /// The published state of the images that are not settled, and what is wrong with the store
    /// beside its releases.
    pub(super) fn observe(&self, open: &BTreeSet<ImageName>) -> Result<Observed> {
        let names: Vec<ImageName> = open.iter().cloned().collect();
        let beside: Vec<ImageName> = self.selected.difference(open).cloned().collect();
        let mut seen = self.looking.seen();
        let observed = self.look(&mut seen, &names, &beside, self.looking.whole_store);
        seen.deep_done = true;
        observed
    }

    /// The published state of some images.
    pub(super) fn observe_some(&self, names: &[ImageName]) -> Result<Observed> {
        self.look(&mut self.looking.seen(), names, &[], false)
    }

    fn look(
        &self,
        seen: &mut Seen,
        names: &[ImageName],
        beside: &[ImageName],
        whole_store: bool,
    ) -> Result<Observed> {
        let done = seen.deep_done;
        let now = self.clock.now();
        // Where no release is looked at, nothing of earlier looks is needed.
        let mut nothing = Memory::default();
        let memory = match &mut seen.memory {
            Some(memory) => memory,
            None if names.is_empty() => &mut nothing,
            none => none.insert(self.recall()?),
        };
        let look = Look {
            keys: &self.keys,
            wanted: names,
            beside,
            whole_store,
            hash_older_than: self.looking.hash_older_than(now, done),
            copies: &|recipe| self.copies(recipe),
            now,
            events: &self.events,
            cancel: &self.cancel,
        };
        let observed = self.store.look(&look, memory);
        // What was hashed before somebody asked to stop is known all the same.
        self.record(memory)?;
        observed
    }

    /// The images of which every byte has to be hashed now.
    pub(super) fn overdue(&self, index: &Index) -> Result<BTreeSet<ImageName>> {
        let mut seen = self.looking.seen();
        let before = self.looking.hash_older_than(self.clock.now(), seen.deep_done);
        let Some(before) = before else { return Ok(BTreeSet::new()) };
        let memory = match &mut seen.memory {
            Some(memory) => memory,
            none => none.insert(self.recall()?),
        };
        let is_due = |image: &ImageName, listed: &IndexedRelease| {
            let checked = memory.checked(&(image.clone(), listed.version.clone()));
            checked.is_none_or(|checked| checked < before)
        };
        let due = index.images.iter().filter(|(name, image)| image.releases.iter().any(|r| is_due(name, r)));
        Ok(due.map(|(name, _)| name.clone()).collect())
    }

    /// Remembers a release that was just published.
    pub(super) fn remember(&self, image: &ImageName, version: &Version) -> Result<()> {
        let mut seen = self.looking.seen();
        let memory = match &mut seen.memory {
            Some(memory) => memory,
            none => none.insert(self.recall()?),
        };
        self.store.remember(image, version, &self.keys, self.clock.now(), memory)?;
        self.record(memory)
    }

    fn recall(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        if let Some(state) = &self.state {
            for look in self.runtime.block_on(state.looks())? {
                memory.insert((look.image, look.version), look.checked, &look.files);
            }
        }
        Ok(memory)
    }

    fn record(&self, memory: &mut Memory) -> Result<()> {
        let Some(state) = self.state.as_ref().filter(|_| self.looking.records) else { return Ok(()) };
        let look = |news: News| {
            let (image, version) = news.release;
            state::Look { image, version, checked: news.checked, files: news.text }
        };
        let looks: Vec<state::Look> = memory.take_news().into_iter().map(look).collect();
        self.runtime.block_on(state.record_looks(&looks))
    }

    /// Folders of the cache that may hold files of a release: what a killed run left, firmware, and
    /// the evidence of boots.
    pub(super) fn copies(&self, recipe: &Digest) -> Vec<PathBuf> {
        let evidence = std::fs::read_dir(self.cache.root().join("evidence"));
        let evidence = evidence.into_iter().flatten().flatten().map(|entry| entry.path().join("root"));
        let built = [self.cache.artifacts(recipe), self.cache.firmware(recipe).join("root")];
        built.into_iter().chain(evidence).collect()
    }

    /// Has the download pages say which of the selected images are stale or damaged. Writes
    /// only where that changed. With `repaired_next`, nothing is said of damage that the plan
    /// repairs at once.
    ///
    /// # Errors
    /// Class *host* if a page cannot be written.
    pub fn announce(&self, planned: &Planned, repaired_next: bool) -> Result<bool> {
        let (own, mut said) = (host::names(), Notices::new());
        for report in &planned.report {
            let mut of_image = notices::of(report, &own);
            let steps = planned.plan.steps.iter().filter(|s| repaired_next && s.image == report.image);
            for step in steps {
                let Action::Repair { releases } = &step.action else { continue };
                for release in releases {
                    if let Some(notice) = of_image.get_mut(&release.version) {
                        notice.damaged = None;
                    }
                }
            }
            of_image.retain(|_, notice| *notice != Notice::default());
            if !of_image.is_empty() {
                said.insert(report.image.clone(), of_image);
            }
        }
        let about: Vec<ImageName> = planned.report.iter().map(|r| r.image.clone()).collect();
        self.store.announce(&about, &said, &self.keys)
    }
}
