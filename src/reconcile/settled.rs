//! The images for which nothing is to be done, found without reading them.

use super::known::{Known, in_parallel};
use super::memory::{KnownImage, Memory};
use super::{World, policies};
use crate::model::catalog::ImageDocument;
use crate::model::observed::{Observed, ObservedImage, ObservedRelease};
use crate::model::plan::ImageReport;
use crate::model::policy::{Policy, ReleaseFacts, Requirement, Rule};
use crate::model::release::{Index, IndexedRelease};
use crate::model::{Digest, ImageName, Result};
use crate::planner::{self, History, policy};
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
    Same(Box<ImageReport>),
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
        let (index, outlived) = self.store.index_outlived(&self.keys)?;
        if outlived.is_some() {
            return Ok((reports, open));
        }
        let overdue = self.overdue(&index)?;
        held(&remembered.memory).trust(self.keys.identity());
        let rules = Rules::of(&self.catalog.policies);
        // What lies in the store beside the releases of an image that another process works on
        // is that process's, which only the planner knows.
        let leased = |name: &ImageName| history.get(name).is_some_and(|h| h.leased_by.is_some());
        let images = remembered.known.images.iter();
        let wanted: Vec<(&ImageName, &KnownImage)> = images
            .filter(|(name, _)| self.selected.contains(*name) && !overdue.contains(*name) && !leased(name))
            .map(|(name, (_, image))| (name, image))
            .collect();
        let mut memory = held(&remembered.memory);
        let look = Remembering { index: &index, memory: &memory, rules: &rules, history };
        let glances = self.glances(&look, &wanted)?;
        let mut unsure: Vec<(&ImageName, &KnownImage, Option<Glance>)> = Vec::new();
        for ((name, image), seen) in wanted.iter().zip(glances) {
            match seen {
                Seen::Same(report) => {
                    open.remove(*name);
                    reports.push(*report);
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
                let report = observed.images.get(*name).filter(|o| self.is_as_asked(o, name, image, &rules));
                let report = report.and_then(|o| planner::settled(&self.of(name, image, history), o));
                let quiet = glance.filter(|glance| report.is_some() && glance.is_quiet(self.clock.now()));
                let looks = quiet.map(|glance| rules.mark(name, image, &glance));
                memory.keep_release(name, &image.channel, looks);
                if let Some(report) = report {
                    open.remove(*name);
                    reports.push(report);
                }
            }
        }
        self.save(&mut memory);
        Ok((reports, open))
    }

    /// What was remembered is believed no more of those that turned out not to be sound: a deep
    /// look sees what no glance does.
    pub(super) fn forget_unsound(&self, observed: &Observed) {
        let Some(remembered) = self.remembered else { return };
        let mut memory = held(&remembered.memory);
        for (name, _) in observed.images.iter().filter(|(_, image)| !image.is_sound()) {
            memory.forget_release(name);
        }
        self.save(&mut memory);
    }

    fn save(&self, memory: &mut Memory) {
        if let Err(failure) = memory.save() {
            self.events.warn(format!("nothing can be remembered for the next round: {failure}"));
        }
    }

    fn of<'k>(
        &self,
        name: &'k ImageName,
        known: &'k KnownImage,
        history: &BTreeMap<ImageName, History>,
    ) -> planner::Remembered<'k> {
        planner::Remembered {
            image: name,
            channel: &known.channel,
            recipe: &known.recipe,
            max_age_days: known.max_age_days,
            looked: history.get(name).and_then(|h| h.last_checked_upstream),
            forced: self.forced.contains(name),
            now: self.clock.now(),
        }
    }

    /// Whether a look in full could read what is on the image's channel, and no rule has anything
    /// against it.
    fn is_as_asked(
        &self,
        observed: &ObservedImage,
        name: &ImageName,
        image: &KnownImage,
        rules: &Rules<'_>,
    ) -> bool {
        let Some(current) = observed.channels.get(&image.channel) else { return false };
        let facts = self.facts(name, current, rules.about(name, image).map(|(rule, _)| rule));
        let can_be_read = current.recipe.is_some() && current.lock.is_some();
        can_be_read && facts.is_some_and(|facts| !rules.speak(name, image, &facts))
    }

    /// A glance at each image, in the order of the images.
    fn glances(&self, look: &Remembering<'_>, wanted: &[(&ImageName, &KnownImage)]) -> Result<Vec<Seen>> {
        let chunks: Vec<_> = wanted.chunks(CHUNK).collect();
        let seen = in_parallel(&chunks, |chunk| {
            chunk.iter().map(|(name, image)| self.glance(look, name, image)).collect::<Result<Vec<_>>>()
        })?;
        Ok(seen.into_iter().flatten().collect())
    }

    fn glance(&self, look: &Remembering<'_>, name: &ImageName, known: &KnownImage) -> Result<Seen> {
        let listed = look.index.images.get(name).zip(look.index.on_channel(name, &known.channel));
        let Some((of_image, current)) = listed else { return Ok(Seen::Open) };
        let Some(report) = planner::settled(&self.of(name, known, look.history), &sound(known, current))
        else {
            return Ok(Seen::Open);
        };
        // Time passes without anything being touched.
        if look.rules.speak_of_age(name, known, policies::age_days(current.published, self.clock.now())) {
            return Ok(Seen::Open);
        }
        let glance = self.store.glance(name, of_image)?;
        let looked = look.memory.release(name, &known.channel);
        let same = glance.is_some_and(|g| looked == Some(look.rules.mark(name, known, &g)));
        Ok(if same { Seen::Same(Box::new(report)) } else { Seen::Perhaps(glance) })
    }
}

/// What a glance at an image is compared with.
struct Remembering<'a> {
    index: &'a Index,
    memory: &'a Memory,
    rules: &'a Rules<'a>,
    history: &'a BTreeMap<ImageName, History>,
}

/// The rules of all policies, each with its digest.
struct Rules<'a>(Vec<(&'a Rule, Digest)>);

impl<'a> Rules<'a> {
    fn of(policies: &'a [Policy]) -> Self {
        let rules = policies.iter().flat_map(|policy| &policy.rules);
        Self(rules.map(|rule| (rule, Digest::of_json(rule))).collect())
    }

    fn about<'s>(
        &'s self,
        name: &'s ImageName,
        image: &'s KnownImage,
    ) -> impl Iterator<Item = (&'a Rule, &'s Digest)> {
        let subject = image.reads.subject(name);
        self.0
            .iter()
            .filter(move |(rule, _)| rule.select.takes(subject))
            .map(|(rule, digest)| (*rule, digest))
    }

    /// How a release looked while these rules had nothing against it.
    fn mark(&self, name: &ImageName, image: &KnownImage, glance: &Glance) -> Digest {
        let mut text = Vec::new();
        for (_, digest) in self.about(name, image) {
            text.extend_from_slice(digest.as_bytes());
        }
        if text.is_empty() {
            return glance.digest;
        }
        text.extend_from_slice(glance.digest.as_bytes());
        Digest::of(text)
    }

    fn speak(&self, name: &ImageName, image: &KnownImage, facts: &ReleaseFacts) -> bool {
        let rules: Vec<&Rule> = self.about(name, image).map(|(rule, _)| rule).collect();
        policy::speaks(&rules, name, facts)
    }

    fn speak_of_age(&self, name: &ImageName, image: &KnownImage, age_days: Option<u32>) -> bool {
        let of_age = |rule: &&Rule| matches!(rule.requirement, Requirement::MaxAgeDays(_));
        let rules: Vec<&Rule> = self.about(name, image).map(|(rule, _)| rule).filter(of_age).collect();
        let nothing_else = ReleaseFacts {
            what: String::new(),
            artifacts: Vec::new(),
            not_reproducible: Vec::new(),
            signers: None,
            age_days,
            firmware: Vec::new(),
        };
        !rules.is_empty() && policy::speaks(&rules, name, &nothing_else)
    }
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
