//! The images for which nothing is to be done, found without reading them.

use super::World;
use super::known::{Known, in_parallel};
use super::memory::{KnownImage, Memory};
use crate::model::catalog::ImageDocument;
use crate::model::observed::{ObservedImage, ObservedRelease};
use crate::model::plan::ImageReport;
use crate::model::release::{Index, IndexedRelease};
use crate::model::{ChannelName, Digest, ImageName, Result};
use crate::planner;
use crate::release::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Images that are looked at by one thread at a time.
const CHUNK: usize = 64;

/// What is remembered of a catalog and its releases, and what was read of it since.
pub struct Remembered {
    /// The images.
    pub known: Known,
    memory: Mutex<Memory>,
    read: Mutex<BTreeMap<ImageName, Arc<ImageDocument>>>,
}

impl Remembered {
    /// Nothing is read yet.
    pub fn new(known: Known, memory: Memory) -> Self {
        Self { known, memory: Mutex::new(memory), read: Mutex::default() }
    }

    /// The documents of some images, read once.
    pub(super) fn read(&self, names: &BTreeSet<ImageName>) -> Result<()> {
        let mut read = held(&self.read);
        let missing: BTreeSet<ImageName> = names
            .iter()
            .filter(|name| self.known.images.contains_key(*name) && !read.contains_key(*name))
            .cloned()
            .collect();
        let documents = self.known.read(&missing)?;
        read.extend(documents.into_iter().map(|(name, document)| (name, Arc::new(document))));
        Ok(())
    }

    /// What was read so far.
    pub(super) fn documents(&self) -> BTreeMap<ImageName, Arc<ImageDocument>> {
        held(&self.read).clone()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one look at one image gave.
struct Look<'k> {
    image: &'k ImageName,
    report: Option<ImageReport>,
    /// What is to be remembered of the release on the channel, if it was looked at in full.
    release: Option<(&'k ChannelName, Option<Digest>)>,
}

impl World<'_> {
    /// The reports of the images for which nothing is to be done, and the names of all others.
    pub(super) fn settled(&self) -> Result<(Vec<ImageReport>, BTreeSet<ImageName>)> {
        let Some(remembered) = self.remembered else { return Ok((Vec::new(), self.selected.clone())) };
        let index = self.store.index(&self.keys)?;
        let keys: Vec<Digest> = self.keys.iter().map(PublicKey::id).collect();
        held(&remembered.memory).trust(Digest::of_json(&keys));
        let wanted: Vec<(&ImageName, &KnownImage)> = remembered
            .known
            .images
            .iter()
            .filter(|(name, _)| self.selected.contains(*name))
            .map(|(name, (_, image))| (name, image))
            .collect();
        let chunks: Vec<_> = wanted.chunks(CHUNK).collect();
        let looks = {
            let memory = held(&remembered.memory);
            let memory: &Memory = &memory;
            in_parallel(&chunks, |chunk| {
                chunk
                    .iter()
                    .map(|(name, image)| self.look(&index, name, image, memory))
                    .collect::<Result<Vec<_>>>()
            })?
        };
        let (mut reports, mut open) = (Vec::new(), self.selected.clone());
        let mut memory = held(&remembered.memory);
        for look in looks.into_iter().flatten() {
            if let Some((channel, looks)) = look.release {
                memory.keep_release(look.image, channel, looks);
            }
            if let Some(report) = look.report {
                open.remove(look.image);
                reports.push(report);
            }
        }
        if let Err(failure) = memory.save() {
            self.events.warn(format!("nothing can be remembered for the next round: {failure}"));
        }
        Ok((reports, open))
    }

    fn look<'k>(
        &self,
        index: &Index,
        name: &'k ImageName,
        known: &'k KnownImage,
        memory: &Memory,
    ) -> Result<Look<'k>> {
        let image = planner::Remembered {
            image: name,
            channel: &known.channel,
            paused: known.paused,
            recipe: &known.recipe,
            forced: self.forced.contains(name),
        };
        let nothing = Look { image: name, report: None, release: None };
        let (Some(indexed), Some(listed)) = (index.images.get(name), index.on_channel(name, &known.channel))
        else {
            return Ok(Look { report: planner::settled(&image, None), ..nothing });
        };
        let sound = sound(&known.channel, listed);
        let report = planner::settled(&image, Some(&sound));
        if report.is_none() || known.paused {
            return Ok(Look { report, ..nothing });
        }
        let glance = self.store.glance(name, indexed)?;
        if glance.is_some_and(|g| memory.release(name, &known.channel) == Some(g.digest)) {
            return Ok(Look { report, ..nothing });
        }
        let observed = self.store.observe_one(index, name, &self.keys)?;
        let release = observed.as_ref().and_then(|observed| observed.channels.get(&known.channel));
        let whole = release.is_some_and(|r| r.defects.is_empty() && r.recipe.is_some() && r.lock.is_some());
        let quiet = glance.filter(|glance| whole && glance.is_quiet(self.clock.now()));
        let report = planner::settled(&image, observed.as_ref());
        Ok(Look { report, release: Some((&known.channel, quiet.map(|g| g.digest))), ..nothing })
    }
}

/// A release as the signed index lists it, with nothing wrong with it.
fn sound(channel: &ChannelName, listed: &IndexedRelease) -> ObservedImage {
    let release = ObservedRelease {
        version: listed.version.clone(),
        recipe_digest: listed.recipe,
        recipe: None,
        lock: None,
        commit: None,
        published: listed.published,
        defects: Vec::new(),
    };
    ObservedImage { channels: BTreeMap::from([(channel.clone(), release)]), by_recipe: BTreeMap::new() }
}
