//! What is published, looked at: every plan begins here.
//!
//! Each look checks signatures and manifests, and files for their presence and size; a file
//! that was touched since it was last hashed is hashed again ([`memory`]). A deep look hashes
//! every byte. What is wrong is named, with what would cure it (`mends`); nothing is changed.

mod hashing;
pub mod memory;
mod mends;
mod strays;

pub use memory::Memory;
pub(super) use mends::block_map;

use super::{Store, check, index};
use crate::effects::{Cancel, Place};
use crate::model::event::Emitter;
use crate::model::name::{ImageName, Version};
use crate::model::observed::{Defect, Mend, Observed, ObservedImage, ObservedRelease};
use crate::model::policy::ReleaseFacts;
use crate::model::product::{Lock, Recipe};
use crate::model::release::{FileRole, IndexedImage, IndexedRelease, Manifest, ReleaseFile};
use crate::model::{Digest, Failure, Result};
use crate::release::keys::Trust;
use crate::release::provenance;
use chrono::{DateTime, Utc};
use hashing::Job;
use memory::{Recall, Stamp};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The page of a release. No manifest lists it.
pub(super) const PAGE: &str = "index.html";

/// How a store is looked at.
pub struct Look<'a> {
    /// Whose signatures count.
    pub keys: &'a Trust,
    /// The images that are looked at.
    pub wanted: &'a [ImageName],
    /// More images, whose releases are known to be sound: only what lies beside their releases
    /// is looked for.
    pub beside: &'a [ImageName],
    /// Whether the store is looked through for what belongs to no image that is wanted.
    pub whole_store: bool,
    /// Every byte of a release is hashed if that was last done before this moment.
    pub hash_older_than: Option<DateTime<Utc>>,
    /// Folders that may hold copies of the files of a recipe's release.
    pub copies: &'a dyn Fn(&Digest) -> Vec<PathBuf>,
    /// The time.
    pub now: DateTime<Utc>,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
}

/// One release as it was found.
struct Found<'i> {
    listed: &'i IndexedRelease,
    folder: Place,
    manifest: Option<Manifest>,
    /// Recipe and lock of what a channel points to.
    recipe: Option<Recipe>,
    lock: Option<Lock>,
    defects: Vec<Defect>,
}

impl Store {
    /// The published state of the wanted images, by sizes and signatures.
    ///
    /// # Errors
    /// *Untrusted* if no trusted key signed the index; class *host* if something cannot be
    /// read. What is wrong with a release is part of the answer, and so is an index that
    /// outlived its keys.
    pub fn observe(&self, trust: &Trust, wanted: &[ImageName]) -> Result<Observed> {
        let (index, outlived) = self.index_outlived(trust)?;
        let mut observed = Observed::default();
        for name in wanted {
            if let Some(image) = index.images.get(name) {
                let mut image = self.observe_image(name, image, trust)?;
                // The index is a part of every release that it names.
                for release in image.channels.values_mut() {
                    release.defects.extend(outlived.clone());
                }
                observed.images.insert(name.clone(), image);
            }
        }
        Ok(observed)
    }

    /// The published state of one image, by sizes and signatures.
    pub(super) fn observe_image(
        &self,
        name: &ImageName,
        image: &IndexedImage,
        keys: &Trust,
    ) -> Result<ObservedImage> {
        let look = Look {
            keys,
            wanted: &[],
            beside: &[],
            whole_store: false,
            hash_older_than: None,
            copies: &|_| Vec::new(),
            now: DateTime::UNIX_EPOCH,
            events: &Emitter::default(),
            cancel: &Cancel::default(),
        };
        self.look_at_image(&look, name, image, &mut Memory::default())
    }

    /// The published state of the wanted images, as far as `look` says; what was hashed is
    /// remembered.
    ///
    /// # Errors
    /// As [`Store::observe`]; also if somebody asked to stop.
    pub fn look(&self, look: &Look<'_>, memory: &mut Memory) -> Result<Observed> {
        let (index, outlived) = self.index_outlived(look.keys)?;
        let only: Option<Vec<ImageName>> =
            (!look.whole_store).then(|| look.wanted.iter().chain(look.beside).cloned().collect());
        let store = strays::find(self, &index, only.as_deref())?;
        let mut observed = Observed { store, ..Observed::default() };
        for name in look.wanted {
            if let Some(image) = index.images.get(name) {
                let mut image = self.look_at_image(look, name, image, memory)?;
                // The index is a part of every release that it names.
                for release in image.channels.values_mut() {
                    release.defects.extend(outlived.clone());
                }
                observed.images.insert(name.clone(), image);
            }
        }
        Ok(observed)
    }

    fn look_at_image(
        &self,
        look: &Look<'_>,
        name: &ImageName,
        image: &IndexedImage,
        memory: &mut Memory,
    ) -> Result<ObservedImage> {
        let is_head = |version: &Version| image.channels.values().any(|v| v == version);
        let mut found = Vec::new();
        for listed in &image.releases {
            let deep = look.is_due(memory, name, listed);
            let mut release = self.find(look, name, listed, is_head(&listed.version) || deep)?;
            self.hash(look, name, &mut release, deep, memory)?;
            if is_head(&listed.version) {
                if release.defects.is_empty() {
                    release.defects = check::ending(&release.folder, look.keys)?;
                }
                release.read()?;
            }
            found.push(release);
        }
        let mut observed =
            ObservedImage { outlived: outlived(look, &found, is_head)?, ..ObservedImage::default() };
        for (at, release) in found.iter().enumerate() {
            let version = &release.listed.version;
            if release.defects.is_empty() {
                continue;
            }
            let others = found.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, r)| r);
            let mends = mends::of(release, others, &(look.copies)(&release.listed.recipe), is_head(version))?;
            if let Some(mends) = mends {
                observed.mends.insert(version.clone(), mends);
            }
            if !is_head(version) {
                observed.damaged.insert(version.clone(), release.defects.clone());
            }
        }
        let sound = |release: &&Found<'_>| !release.defects.iter().any(Defect::harms);
        let whole = found.iter().filter(sound).map(|r| (r.listed.version.clone(), r.listed.published));
        observed.whole = whole.collect();
        // Oldest first, so that the newest release of a recipe stays.
        let by_recipe = found.iter().rev().filter(sound).map(|r| (r.listed.recipe, r.listed.version.clone()));
        observed.by_recipe = by_recipe.collect();
        for (channel, version) in &image.channels {
            if let Some(head) = found.iter().find(|r| &r.listed.version == version) {
                observed.channels.insert(channel.clone(), head.observed());
            }
        }
        Ok(observed)
    }

    /// A release without its bytes: signatures only `closely`, as every client reads them
    /// for what a channel points to.
    fn find<'i>(
        &self,
        look: &Look<'_>,
        name: &ImageName,
        listed: &'i IndexedRelease,
        closely: bool,
    ) -> Result<Found<'i>> {
        let folder = self.folder(name, &listed.version).listed()?;
        let expected =
            check::Expected { image: name, version: &listed.version, manifest: Some(listed.manifest) };
        let checked = if closely {
            check::release(&folder, Some(&expected), look.keys, check::Depth::Sizes)?
        } else {
            check::sizes(&folder, &expected)?
        };
        let mut defects = checked.defects;
        if checked.manifest.is_some() && !folder.join(PAGE).exists()? {
            defects.push(Defect::Missing { file: PAGE.to_owned() });
        }
        Ok(Found { listed, folder, manifest: checked.manifest, recipe: None, lock: None, defects })
    }

    /// Hashes what has to be: everything of a release that is due, else what was touched.
    fn hash(
        &self,
        look: &Look<'_>,
        name: &ImageName,
        release: &mut Found<'_>,
        deep: bool,
        memory: &mut Memory,
    ) -> Result<()> {
        let Some(manifest) = &release.manifest else { return Ok(()) };
        let id = (name.clone(), release.listed.version.clone());
        let (mut jobs, mut files) = (Vec::new(), Vec::new());
        for file in &manifest.files {
            if release.defects.iter().any(|d| d.file() == Some(&file.name)) {
                continue;
            }
            let path = release.folder.join(&file.name);
            let Some(seen) = path.look()? else { continue };
            let stamp = Stamp::of(&seen);
            match memory.recall(&id, release.listed.manifest, &file.name, stamp) {
                Recall::Wrong(digest) if !deep => release.defects.push(altered(file, &digest)),
                Recall::Right | Recall::Nothing if !deep => {}
                _ => {
                    jobs.push(Job { path, size: file.size });
                    files.push((file, stamp));
                }
            }
        }
        release.defects.extend(release.strangers(&id, memory)?);
        if jobs.is_empty() && !deep {
            return Ok(());
        }
        let label = format!("check {name} {}", release.listed.version);
        let digests = hashing::digests(&jobs, &label, look.events, look.cancel)?;
        for ((file, stamp), digest) in files.into_iter().zip(digests) {
            let digest = match digest {
                Ok(digest) => digest,
                Err(how) => {
                    let how = format!("it cannot be read: {how}");
                    release.defects.push(Defect::Altered { file: file.name.clone(), how });
                    continue;
                }
            };
            let wrong = (digest != file.sha256).then_some(digest);
            memory.learn(&id, release.listed.manifest, &file.name, stamp, wrong);
            match wrong {
                Some(digest) => release.defects.push(altered(file, &digest)),
                None if file.role == FileRole::Provenance && deep => {
                    let bytes = release.folder.join(&file.name).read(check::TEXT_LIMIT)?;
                    if provenance::read(&bytes.unwrap_or_default(), look.keys).is_err() {
                        release.defects.push(Defect::BadSignature { file: file.name.clone() });
                    }
                }
                None => {}
            }
        }
        if deep {
            memory.learn_checked(&id, release.listed.manifest, look.now);
        }
        Ok(())
    }

    /// What is wrong with a release as far as the sizes of its files show.
    ///
    /// # Errors
    /// Class *host* if something cannot be read.
    pub fn defects_by_size(&self, image: &ImageName, listed: &IndexedRelease) -> Result<Vec<Defect>> {
        let (folder, version) = (self.folder(image, &listed.version), &listed.version);
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        Ok(check::sizes(&folder, &expected)?.defects)
    }

    /// The mends of one release with the files of one more folder as copies; `None` if they
    /// do not make it whole, or nothing is wrong with it.
    ///
    /// # Errors
    /// As [`Store::look`].
    pub fn mends_from(
        &self,
        look: &Look<'_>,
        image: &ImageName,
        version: &Version,
    ) -> Result<Option<Vec<Mend>>> {
        let index = self.index(look.keys)?;
        let Some(of_image) = index.images.get(image) else { return Ok(None) };
        let Ok(listed) = index::find(&index, image, version) else { return Ok(None) };
        let mut release = self.find(look, image, listed, true)?;
        self.hash(look, image, &mut release, true, &mut Memory::default())?;
        if release.defects.is_empty() || release.manifest.is_none() {
            return Ok(None);
        }
        let others = of_image.releases.iter().filter(|r| &r.version != version);
        let others = others.map(|r| self.find(look, image, r, false)).collect::<Result<Vec<_>>>()?;
        mends::of(&release, others.iter(), &(look.copies)(&listed.recipe), true)
    }

    /// Remembers a release that was just published, every byte of which was hashed on the way.
    ///
    /// # Errors
    /// As [`Store::observe`].
    pub fn remember(
        &self,
        image: &ImageName,
        version: &Version,
        keys: &Trust,
        now: DateTime<Utc>,
        memory: &mut Memory,
    ) -> Result<()> {
        let index = self.index(keys)?;
        let listed = index::find(&index, image, version)?;
        let folder = self.folder(image, version).listed()?;
        let manifest = check::read_manifest(&folder, image, listed)?;
        let id = (image.clone(), version.clone());
        for file in &manifest.files {
            if let Some(seen) = folder.join(&file.name).look()? {
                memory.learn(&id, listed.manifest, &file.name, Stamp::of(&seen), None);
            }
        }
        memory.learn_checked(&id, listed.manifest, now);
        Ok(())
    }
}

impl Look<'_> {
    fn is_due(&self, memory: &Memory, image: &ImageName, listed: &IndexedRelease) -> bool {
        let Some(before) = self.hash_older_than else { return false };
        let checked = memory.checked(&(image.clone(), listed.version.clone()));
        checked.is_none_or(|checked| checked < before)
    }
}

impl Found<'_> {
    /// Files that are no part of the release. Folders that were free of them and were not
    /// touched since are not read again.
    fn strangers(&self, id: &memory::ReleaseId, memory: &mut Memory) -> Result<Vec<Defect>> {
        let Some(manifest) = &self.manifest else { return Ok(Vec::new()) };
        let mut folders = vec![("/", self.folder.clone())];
        if manifest.files.iter().any(|f| f.name.starts_with("evidence/")) {
            folders.push(("/evidence", self.folder.join("evidence")));
        }
        let mut stamps: Vec<(&str, Stamp)> = Vec::new();
        for (name, place) in &folders {
            stamps.extend(place.look()?.map(|seen| (*name, Stamp::of(&seen))));
        }
        let untouched = |(name, stamp): &(&str, Stamp)| {
            memory.recall(id, self.listed.manifest, name, *stamp) == Recall::Right
        };
        if stamps.len() == folders.len() && stamps.iter().all(untouched) {
            return Ok(Vec::new());
        }
        let strangers = check::strangers(&self.folder, manifest)?;
        if strangers.is_empty() && memory.checked(id).is_some() {
            for (name, stamp) in stamps {
                memory.learn(id, self.listed.manifest, name, stamp, None);
            }
        }
        Ok(strangers)
    }

    /// Reads recipe and lock, as far as they can be trusted.
    fn read(&mut self) -> Result<()> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        self.recipe = read_role(&self.folder, manifest, FileRole::Recipe, &mut self.defects)?
            .and_then(|bytes| serde_json::from_slice::<Recipe>(&bytes).ok())
            .filter(|recipe| recipe.digest() == manifest.recipe);
        self.lock = read_role(&self.folder, manifest, FileRole::Lock, &mut self.defects)?
            .and_then(|bytes| parse_lock(&bytes).ok())
            .filter(|lock| lock.digest() == manifest.lock);
        Ok(())
    }

    fn observed(&self) -> ObservedRelease {
        ObservedRelease {
            version: self.listed.version.clone(),
            recipe_digest: self.listed.recipe,
            recipe: self.recipe.clone(),
            lock: self.lock.clone(),
            facts: self.manifest.as_ref().map(ReleaseFacts::of),
            commit: self.manifest.as_ref().and_then(|m| m.commit.clone()),
            published: self.listed.published,
            defects: self.defects.clone(),
        }
    }
}

fn altered(file: &ReleaseFile, digest: &Digest) -> Defect {
    let how = format!("its digest is {digest}, the manifest says {}", file.sha256);
    Defect::Altered { file: file.name.clone(), how }
}

/// The sound releases that no channel points to and that have to be signed again.
fn outlived(
    look: &Look<'_>,
    found: &[Found<'_>],
    is_head: impl Fn(&Version) -> bool,
) -> Result<BTreeMap<Version, Vec<Defect>>> {
    let mut outlived = BTreeMap::new();
    if !look.keys.may_have_outlived() {
        return Ok(outlived);
    }
    let others = found.iter().filter(|r| r.defects.is_empty() && !is_head(&r.listed.version));
    for release in others {
        let defects = check::outlived(&release.folder, look.keys)?;
        if !defects.is_empty() {
            outlived.insert(release.listed.version.clone(), defects);
        }
    }
    Ok(outlived)
}

/// Reads the one file of a role once its digest is right; a wrong digest is a defect.
pub(super) fn read_role(
    folder: &Place,
    manifest: &Manifest,
    role: FileRole,
    defects: &mut Vec<Defect>,
) -> Result<Option<Vec<u8>>> {
    let Some(file) = manifest.files.iter().find(|f| f.role == role) else { return Ok(None) };
    let path = folder.join(&file.name);
    // Size and kind were looked at before; what is not as listed is a defect already.
    if !path.look()?.is_some_and(|seen| seen.is_file() && seen.size == file.size) {
        return Ok(None);
    }
    let Some(bytes) = path.read(check::TEXT_LIMIT)? else { return Ok(None) };
    let digest = Digest::of(&bytes);
    if digest != file.sha256 {
        let defect = altered(file, &digest);
        if !defects.contains(&defect) {
            defects.push(defect);
        }
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Reads the text of a lock.
pub(super) fn parse_lock(bytes: &[u8]) -> Result<Lock> {
    // YAML 1.1 would read the package `no` as a boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    // One kind after the other: texts that look like numbers would be numbers to who asks for both.
    let image = serde_saphyr::from_slice_with_options(bytes, options.clone()).map(Lock::Image);
    let firmware = || serde_saphyr::from_slice_with_options(bytes, options).map(Lock::Firmware);
    image.or_else(|e| firmware().map_err(|_| Failure::untrusted(format!("the lock cannot be read: {e}"))))
}
