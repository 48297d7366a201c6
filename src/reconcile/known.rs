//! A large catalog, of which only what changed is read.
//!
//! Specs that are as they were when they were last found in order need no second look: their
//! recipes are remembered by digest. The others are read in batches, so that no more than a
//! batch of specs and locks is in memory at once, and remembered for the next time.

use super::memory::{KnownFile, KnownImage, Memory};
use crate::catalog::survey::{Mentions, Survey, refused};
use crate::catalog::{Diagnostic, Reads, Severity};
use crate::model::catalog::{Catalog, DeviceDocument, ImageDocument};
use crate::model::device::DeviceName;
use crate::model::policy::Finding;
use crate::model::{ImageName, Result};
use crate::planner::Schedule;
use crate::planner::policy::{self, Packages};
use crate::resolve;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Spec files that are read at once by one thread.
const BATCH: usize = 64;

/// The images of a catalog whose recipes are known by digest.
pub struct Known {
    /// The images, each with the file that it stands in.
    pub images: BTreeMap<ImageName, (String, KnownImage)>,
    survey: Survey,
}

/// What was found in a catalog.
pub struct Found {
    /// Settings, source, and the images that must be planned in full.
    pub catalog: Catalog,
    /// The other images.
    pub known: Known,
    /// What there is to say about the catalog although it is in order.
    pub warnings: Vec<Diagnostic>,
}

/// Looks through a catalog and brings the memory up to date. `whole` is the catalog without its
/// images.
///
/// # Errors
/// With what is wrong with the catalog, or if it cannot be read.
pub fn look_through(survey: Survey, whole: Catalog, memory: &mut Memory) -> Result<Found> {
    let (mut kept, fresh) = sort_out(&survey, memory)?;
    let mut batches: Vec<Vec<(&str, &Mentions)>> = Vec::new();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for name in fresh.values().flat_map(|mentions| &mentions.names) {
        *times.entry(name).or_default() += 1;
    }
    // Files that share an image's name are checked together, so that the complaint names both.
    let shares_a_name = |mentions: &Mentions| mentions.names.iter().any(|name| times[name.as_str()] > 1);
    let (twins, single): (Vec<_>, Vec<_>) = fresh.iter().partition(|(_, mentions)| shares_a_name(mentions));
    if !twins.is_empty() {
        batches.push(twins.iter().map(|(path, mentions)| (path.as_str(), *mentions)).collect());
    }
    batches.extend(single.chunks(BATCH).map(|chunk| chunk.iter().map(|(p, m)| (p.as_str(), *m)).collect()));
    // A few are planned in full at once; of many it is first found out which need it.
    let keep_documents = fresh.len() <= BATCH;
    let mut found = Vec::new();
    let (mut read, mut devices) = (BTreeMap::new(), BTreeMap::new());
    for part in in_parallel(&batches, |batch| check(&survey, batch, keep_documents))? {
        found.extend(part.found);
        kept.extend(part.known);
        read.extend(part.documents);
        devices.extend(part.devices);
    }
    let broken = |found: &[Diagnostic]| found.iter().any(|d| d.severity == Severity::Error);
    if broken(&found) {
        return Err(refused(found));
    }
    let mut images = BTreeMap::new();
    for (path, file) in &kept {
        for image in file.images.iter().filter(|image| !read.contains_key(&image.name)) {
            images.insert(image.name.clone(), (path.clone(), image.clone()));
        }
    }
    // What no image reads is judged over all of them, also over those that were not read.
    let remembered = images.iter().map(|(name, (_, image))| (name.clone(), image.reads.clone()));
    let reads: BTreeMap<ImageName, Reads> =
        remembered.chain(read.iter().map(|(name, document)| (name.clone(), Reads::of(document)))).collect();
    let mut claimed: BTreeSet<&str> = fresh.values().flat_map(|m| &m.files).map(String::as_str).collect();
    claimed.extend(kept.values().flat_map(|file| &file.files).map(String::as_str));
    let channel = |d: &DeviceDocument| d.profile.spec.channel.clone();
    let channels = devices.iter().map(|(name, device)| (ImageName::from(name), channel(device))).collect();
    found.extend(survey.check_rest(&reads, &channels, &claimed)?);
    if broken(&found) {
        return Err(refused(found));
    }
    memory.keep_files(kept);
    found.dedup();
    let catalog = Catalog { images: read, devices, ..whole };
    Ok(Found { catalog, known: Known { images, survey }, warnings: found })
}

type Files = BTreeMap<String, KnownFile>;
type Fresh = BTreeMap<String, Mentions>;

/// The spec files that are as they were, and the others with what they mention. A file that
/// shares an image's name with another one is never as it was: together they are wrong.
fn sort_out(survey: &Survey, memory: &Memory) -> Result<(Files, Fresh)> {
    let (mut kept, mut fresh) = (Files::new(), Vec::new());
    for path in survey.specs() {
        let unchanged = memory.file(path).filter(|file| {
            let names: Vec<&str> = file.images.iter().map(|image| image.name.as_str()).collect();
            survey.identity(path, &names, &file.files) == file.identity
        });
        match unchanged {
            Some(file) => {
                kept.insert(path.to_owned(), file.clone());
            }
            None => fresh.push(path),
        }
    }
    let mentions = survey.mentions(fresh.iter().copied())?;
    let mut fresh: Fresh = fresh.into_iter().map(str::to_owned).zip(mentions).collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut doubled = BTreeSet::new();
    for (path, mentions) in &fresh {
        seen.extend(mentions.names.iter().map(|name| (name.as_str(), path.as_str())));
    }
    for (path, file) in &kept {
        for image in &file.images {
            if let Some(other) = seen.insert(image.name.as_str(), path) {
                doubled.extend([path.clone(), other.to_owned()]);
            }
        }
    }
    for path in doubled {
        if kept.remove(&path).is_some() {
            let mentions = survey.mentions([path.as_str()])?;
            fresh.extend(mentions.into_iter().map(|mentions| (path.clone(), mentions)));
        }
    }
    Ok((kept, fresh))
}

/// What one batch gave.
struct Part {
    found: Vec<Diagnostic>,
    known: Files,
    documents: BTreeMap<ImageName, ImageDocument>,
    /// Device profiles are read anew each time.
    devices: BTreeMap<DeviceName, DeviceDocument>,
}

fn check(survey: &Survey, batch: &[(&str, &Mentions)], keep_documents: bool) -> Result<Part> {
    let (catalog, found) = survey.check(batch.iter().copied())?;
    let mut part = Part { found, known: Files::new(), documents: BTreeMap::new(), devices: BTreeMap::new() };
    let Some(mut catalog) = catalog else { return Ok(part) };
    part.devices = std::mem::take(&mut catalog.devices);
    let mut of_file: BTreeMap<&str, Vec<&ImageDocument>> = BTreeMap::new();
    for document in catalog.images.values() {
        let file = document.place.rsplit_once(':').map_or(document.place.as_str(), |(file, _)| file);
        of_file.entry(file).or_default().push(document);
    }
    for (path, mentions) in batch {
        let documents = of_file.remove(path).unwrap_or_default();
        let known = remember(survey, &catalog, path, mentions, &documents, &part.found);
        if known.is_none() || keep_documents {
            part.documents.extend(documents.iter().map(|d| (d.spec.metadata.name.clone(), (*d).clone())));
        }
        part.known.extend(known.map(|known| ((*path).to_owned(), known)));
    }
    Ok(part)
}

/// What can be remembered of a file: nothing if there is anything to say about it, if an image
/// of it has no lock in the catalog, or if a policy has something against one.
fn remember(
    survey: &Survey,
    catalog: &Catalog,
    path: &str,
    mentions: &Mentions,
    documents: &[&ImageDocument],
    found: &[Diagnostic],
) -> Option<KnownFile> {
    let of_file = |d: &Diagnostic| {
        let of_image = |name: &String| {
            d.file == format!("specs/{name}.lock.yaml")
                || d.file.starts_with(&format!("specs/overlays/{name}"))
        };
        let named = |file: &String| d.file == *file || (file.ends_with('/') && d.file.starts_with(file));
        d.file == path || mentions.files.iter().any(named) || mentions.names.iter().any(of_image)
    };
    if found.iter().any(of_file) || documents.len() != mentions.names.len() {
        return None;
    }
    let images =
        documents.iter().map(|document| known_image(catalog, document)).collect::<Option<Vec<_>>>()?;
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let identity = survey.identity(path, &names, &mentions.files);
    Some(KnownFile { identity, files: mentions.files.clone(), images })
}

fn known_image(catalog: &Catalog, document: &ImageDocument) -> Option<KnownImage> {
    let (spec, settings) = (&document.spec.spec, &catalog.settings);
    // This is said in every round.
    if spec.paused {
        return None;
    }
    // What cannot be resolved is reported in every round, and so is what a policy forbids.
    let resolved = resolve::resolve(document, document.lock.clone()?, settings).ok()?;
    let packages = Packages::Locked(&resolved.lock);
    if !policy::of_image(&catalog.policies, document, &settings.mirrors, packages).is_empty() {
        return None;
    }
    let schedule = spec.schedule.clone().map(|text| (text, spec.schedule_time_zone.clone()));
    if let Some((text, zone)) = &schedule {
        Schedule::parse(text, zone.as_deref()).ok()?;
    }
    Some(KnownImage {
        reads: Reads::of(document),
        name: document.spec.metadata.name.clone(),
        labels: document.spec.metadata.labels.clone(),
        channel: spec.channel.clone(),
        schedule,
        max_age_days: spec.freshness.max_age_days,
        recipe: resolved.recipe.digest(),
    })
}

impl Known {
    /// Sets the places of findings to the lines and columns of their fields.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn locate<'f>(&self, findings: impl IntoIterator<Item = &'f mut Finding>) -> Result<()> {
        self.survey.locate(findings)
    }

    /// The documents of some of the images, read in full.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn read(&self, names: &BTreeSet<ImageName>) -> Result<BTreeMap<ImageName, ImageDocument>> {
        let paths: BTreeSet<&str> =
            names.iter().filter_map(|name| Some(self.images.get(name)?.0.as_str())).collect();
        let mentions = self.survey.mentions(paths.iter().copied())?;
        let mut documents = BTreeMap::new();
        let all: Vec<(&str, &Mentions)> = paths.into_iter().zip(&mentions).collect();
        for batch in all.chunks(BATCH) {
            let (catalog, found) = self.survey.check(batch.iter().copied())?;
            let catalog = catalog.ok_or_else(|| refused(found))?;
            documents.extend(catalog.images.into_iter().filter(|(name, _)| names.contains(name)));
        }
        Ok(documents)
    }
}

/// Works on all items, on as many threads as there are processors; the answers are in the
/// order of the items.
///
/// # Errors
/// The first failure.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len()).max(1);
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<R>)>> = Mutex::new(Vec::with_capacity(items.len()));
    let one_thread = || {
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            own.push((index, work(item)));
        }
        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(&mut own);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(one_thread);
        }
        one_thread();
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
