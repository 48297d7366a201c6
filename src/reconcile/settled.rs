//! The images for which nothing is to be done, found without reading them.

use super::World;
use super::known::{Known, in_parallel};
use super::memory::{KnownImage, Memory};
use crate::model::catalog::ImageDocument;
use crate::model::observed::{ObservedImage, ObservedRelease};
use crate::model::plan::ImageReport;
use crate::model::release::{Index, IndexedRelease};
use crate::model::{Digest, ImageName, Result};
use crate::planner::{self, History};
use crate::release::Trust;
use crate::release::store::Glance;
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

/// What one glance at one image gave.
enum Seen {
    /// It is as it was when nothing was to be done.
    Same(ImageReport),
    /// Nothing is to be done if its releases are sound, which has to be seen.
    Perhaps(Option<Glance>),
    /// The planner has to see it.
    Open,
}

impl World<'_> {
    /// The reports of the images for which nothing is to be done, and the names of all others.
    pub(super) fn settled(
        &self,
        history: &BTreeMap<ImageName, History>,
    ) -> Result<(Vec<ImageReport>, BTreeSet<ImageName>)> {
        let (mut reports, mut open) = (Vec::new(), self.selected.clone());
        let Some(remembered) = self.remembered else { return Ok((reports, open)) };
        let Some(trust) = lasting(&self.keys) else { return Ok((reports, open)) };
        let (index, outlived) = self.store.index_outlived(&self.keys)?;
        if outlived.is_some() {
            return Ok((reports, open));
        }
        let overdue = self.overdue(&index)?;
        held(&remembered.memory).trust(trust);
        // What lies in the store beside the releases of an image that another process works on
        // is that process's, which only the planner knows.
        let leased = |name: &ImageName| history.get(name).is_some_and(|h| h.leased_by.is_some());
        let images = remembered.known.images.iter();
        let wanted: Vec<(&ImageName, &KnownImage)> = images
            .filter(|(name, _)| self.selected.contains(*name) && !overdue.contains(*name) && !leased(name))
            .map(|(name, (_, image))| (name, image))
            .collect();
        let mut memory = held(&remembered.memory);
        let mut unsure: Vec<(&ImageName, &KnownImage, Option<Glance>)> = Vec::new();
        for ((name, image), seen) in wanted.iter().zip(self.glances(&index, &wanted, &memory)?) {
            match seen {
                Seen::Same(report) => {
                    open.remove(*name);
                    reports.push(report);
                }
                Seen::Perhaps(glance) => unsure.push((name, image, glance)),
                Seen::Open => {}
            }
        }
        // In parts, so that what is published of all of them is never in memory at once.
        for chunk in unsure.chunks(CHUNK) {
            let names: Vec<ImageName> = chunk.iter().map(|(name, ..)| (*name).clone()).collect();
            let observed = self.observe_some(&names)?;
            for (name, image, glance) in chunk {
                let report = observed.images.get(*name).filter(|o| can_be_read(o, image));
                let report = report.and_then(|o| planner::settled(&self.of(name, image), o));
                let quiet = glance.filter(|glance| report.is_some() && glance.is_quiet(self.clock.now()));
                memory.keep_release(name, &image.channel, quiet.map(|glance| glance.digest));
                if let Some(report) = report {
                    open.remove(*name);
                    reports.push(report);
                }
            }
        }
        if let Err(failure) = memory.save() {
            self.events.warn(format!("nothing can be remembered for the next round: {failure}"));
        }
        Ok((reports, open))
    }

    fn of<'k>(&self, name: &'k ImageName, known: &'k KnownImage) -> planner::Remembered<'k> {
        planner::Remembered {
            image: name,
            channel: &known.channel,
            recipe: &known.recipe,
            forced: self.forced.contains(name),
        }
    }

    /// A glance at each image, in the order of the images.
    fn glances(
        &self,
        index: &Index,
        wanted: &[(&ImageName, &KnownImage)],
        memory: &Memory,
    ) -> Result<Vec<Seen>> {
        let chunks: Vec<_> = wanted.chunks(CHUNK).collect();
        let seen = in_parallel(&chunks, |chunk| {
            chunk
                .iter()
                .map(|(name, image)| self.glance(index, name, image, memory))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(seen.into_iter().flatten().collect())
    }

    fn glance(&self, index: &Index, name: &ImageName, known: &KnownImage, memory: &Memory) -> Result<Seen> {
        let listed = index.images.get(name).zip(index.on_channel(name, &known.channel));
        let Some((of_image, current)) = listed else { return Ok(Seen::Open) };
        let Some(report) = planner::settled(&self.of(name, known), &sound(known, current)) else {
            return Ok(Seen::Open);
        };
        let glance = self.store.glance(name, of_image)?;
        let same = glance.is_some_and(|g| memory.release(name, &known.channel) == Some(g.digest));
        Ok(if same { Seen::Same(report) } else { Seen::Perhaps(glance) })
    }
}

/// An identity of whose signatures count, if that cannot change by time alone and nothing can
/// have outlived its keys.
fn lasting(trust: &Trust) -> Option<Digest> {
    let is_for_ever = trust.keys().iter().all(|key| key.from.is_none() && key.until.is_none());
    if !is_for_ever || trust.may_have_outlived() {
        return None;
    }
    let keys: Vec<Digest> = trust.keys().iter().map(|trusted| trusted.key.id()).collect();
    let keyless = trust.keyless().map(|k| (&k.trusted_root, &k.identity, &k.issuer));
    Some(Digest::of_json(&(keys, trust.threshold(), trust.openpgp(), keyless)))
}

/// Whether a look in full could read what is on the image's channel.
fn can_be_read(observed: &ObservedImage, image: &KnownImage) -> bool {
    let current = observed.channels.get(&image.channel);
    current.is_some_and(|r| r.recipe.is_some() && r.lock.is_some() && r.facts.is_some())
}

/// A release as the signed index lists it, with nothing wrong with it.
fn sound(image: &KnownImage, listed: &IndexedRelease) -> ObservedImage {
    let release = ObservedRelease {
        version: listed.version.clone(),
        recipe_digest: listed.recipe,
        recipe: None,
        lock: None,
        commit: None,
        published: listed.published,
        facts: None,
        defects: Vec::new(),
    };
    ObservedImage { channels: BTreeMap::from([(image.channel.clone(), release)]), ..ObservedImage::default() }
}
