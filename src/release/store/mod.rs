//! The release store: a folder that a web server can show as it is.
//!
//! ```text
//! index.dsse.json                  the signed index, in one file: every image, channel, release
//! index.json, index.json.sig       the same index for people and foreign tools
//! bootwright.pub                   the public key (get it from the publisher, not from here)
//! *.TAG.sig, bootwright.TAG.pub    signatures by and keys of further signers, TAG of the key's id
//! index.html, style.css            download pages
//! IMAGE/VERSION/manifest.json      every file with size and digest; .sig beside it
//! IMAGE/VERSION/SHA256SUMS         for sha256sum; .sig, and .asc or .sigstore.json where asked for
//! IMAGE/VERSION/…                  artifacts, block map, SBOM, provenance, changelog, evidence
//! status.json                      what the pages say of stale and damaged releases; for people
//! .staging/                        releases that are being written
//! .quarantine/DATE/                what did not belong where it was
//! .lock                            held by the one writer
//! ```
//!
//! A writer stages a release under a hidden name, renames it into place, writes the pages and
//! renames `index.dsse.json` last. Payload and signature of the index are in one file because
//! a reader that opens two files between two renames would see a pair that does not match;
//! `index.json` and its `.sig` are two files and written after it, so they are for people only.

mod announce;
pub mod check;
mod documents;
pub mod fetch;
mod glance;
mod index;
pub mod inputs;
mod mend;
pub mod observe;
pub mod prune;
mod publish;
mod repair;
mod resign;
mod seen;
mod signatures;
mod site;
mod stage;

pub use fetch::{Fetch, Fetched, Wanted};
pub use glance::Glance;
pub use index::parse_payload;
pub use observe::{Look, Memory};
pub use publish::{Publication, Staged};
pub use seen::{IndexMemory, SeenIndex};

use super::keys::{Signer, Trust};
use super::{openpgp, rebuild};
use crate::effects::files::WorkFolder;
use crate::effects::place::{Lock, STAGING, Tag};
use crate::effects::{Place, Point, point};
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::observed::Defect;
use crate::model::release::{Index, IndexedRelease, Manifest};
use crate::model::{Digest, ErrorCode, Failure, Result};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The manifest of a release.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Held by the one writer.
const LOCK: &str = ".lock";
/// The public key at the root of a store.
const PUBLIC_KEY: &str = "bootwright.pub";

/// A release store. Opening it touches nothing.
#[derive(Clone, Debug)]
pub struct Store {
    place: Place,
    url: Option<String>,
    /// The highest serial of the index that was read so far. Clones share it.
    seen: Arc<AtomicU64>,
    memory: Option<IndexMemory>,
}

/// Who signs, and whose signatures count.
#[derive(Debug)]
pub struct Signers {
    /// Signs everything, under the names that common tools look for.
    pub key: Signer,
    /// Sign everything too, under names with their ids.
    pub further: Vec<Signer>,
    /// Signs `SHA256SUMS` in addition.
    pub openpgp: Option<openpgp::SecretKey>,
    /// Whose signatures count, on what is published already and on what they make.
    pub trust: Trust,
}

impl Signers {
    /// One key that trusts itself.
    pub fn alone(key: Signer) -> Self {
        let trust = Trust::of([key.public().clone()]);
        Self { key, further: Vec::new(), openpgp: None, trust }
    }

    /// All that sign with a key of [`super::keys`], the first one first.
    pub fn all(&self) -> Vec<&Signer> {
        std::iter::once(&self.key).chain(&self.further).collect()
    }

    /// Whose signatures count.
    pub fn keys(&self) -> &Trust {
        &self.trust
    }

    /// Refuses to sign what nobody would accept.
    ///
    /// # Errors
    /// Class *host* if one of the keys does not count, or fewer are here than must sign.
    pub fn check(&self) -> Result<()> {
        let all = self.all();
        if let Some(signer) = all.iter().find(|s| !self.trust.counts(s.public())) {
            let id = signer.public().id().short();
            return Err(Failure::host(format!("key {id} cannot sign: its signatures do not count now"))
                .hint("`bootwright key list` shows which keys count, and until when."));
        }
        let (here, needed) = (all.len(), self.trust.threshold());
        if here < needed {
            return Err(Failure::host(format!("{needed} keys must sign and this host has {here} of them"))
                .hint("Give this host the private keys that `signing.keys` names, or lower `signing.threshold`."));
        }
        Ok(())
    }
}

/// One release as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// The channels that point to it.
    pub channels: Vec<ChannelName>,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// Its recipe's identity.
    pub recipe: Digest,
}

impl Store {
    /// The store in a folder, which need not exist yet.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::folder(path))
    }

    /// The store at a place, which need not exist yet.
    pub fn at(place: Place) -> Self {
        Self { place, url: None, seen: Arc::default(), memory: None }
    }

    /// Says under which address a web server shows the store: download pages name it.
    #[must_use]
    pub fn with_url(mut self, url: Option<String>) -> Self {
        self.url = url;
        self
    }

    /// Lets the store be remembered below the folder of caches and state: an index that is
    /// older than one seen before is refused.
    #[must_use]
    pub fn with_memory(mut self, state: &Path) -> Self {
        self.memory = Some(IndexMemory::new(state, &self.place.to_string()));
        self
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its path within its medium: for a store in a folder, the folder.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The folder of one release.
    pub fn folder(&self, image: &ImageName, version: &Version) -> Place {
        self.place.join(image.as_str()).join(version.as_str())
    }

    /// The signed index; an empty one if nothing was published yet.
    ///
    /// # Errors
    /// *Untrusted* if too few trusted keys signed it, or a newer one was seen before.
    pub fn index(&self, trust: &Trust) -> Result<Index> {
        // What was seen is read first: an index that comes in between is newer.
        let (seen, before) = (self.recall()?, self.seen());
        match index::read(&self.place, trust)? {
            Some(index) => {
                let index = self.is_new_enough(index, seen.as_ref())?;
                self.saw(index.serial, before)?;
                Ok(index)
            }
            None => {
                self.saw(0, before)?;
                Ok(after(seen.as_ref()))
            }
        }
    }

    /// As [`Store::index`], for who signs it again: an index that outlived its keys is read
    /// too, and the defect says so.
    ///
    /// # Errors
    /// As [`Store::index`].
    pub fn index_outlived(&self, trust: &Trust) -> Result<(Index, Option<Defect>)> {
        self.index_tagged(trust).map(|(index, defect, _)| (index, defect))
    }

    /// As [`Store::index_outlived`], with the state of its file for who writes it next.
    fn index_tagged(&self, trust: &Trust) -> Result<(Index, Option<Defect>, Option<Tag>)> {
        let (seen, before) = (self.recall()?, self.seen());
        match index::read_outlived(&self.place, trust, seen.as_ref())? {
            Some((index, defect, tag)) => {
                let index = self.is_new_enough(index, seen.as_ref())?;
                self.saw(index.serial, before)?;
                Ok((index, defect, Some(tag)))
            }
            None => {
                self.saw(0, before)?;
                Ok((after(seen.as_ref()), None, None))
            }
        }
    }

    fn recall(&self) -> Result<Option<SeenIndex>> {
        self.memory.as_ref().map_or(Ok(None), IndexMemory::recall)
    }

    fn is_new_enough(&self, index: Index, seen: Option<&SeenIndex>) -> Result<Index> {
        self.memory.as_ref().map_or(Ok(()), |memory| memory.check(&index, seen))?;
        Ok(index)
    }

    /// All releases, by image, newest first.
    ///
    /// # Errors
    /// As [`Store::index`].
    pub fn list(&self, trust: &Trust) -> Result<Vec<Listing>> {
        let index = self.index(trust)?;
        let mut all = Vec::new();
        for (name, image) in &index.images {
            for release in &image.releases {
                let on = |(channel, version): (&ChannelName, &Version)| {
                    (version == &release.version).then(|| channel.clone())
                };
                all.push(Listing {
                    image: name.clone(),
                    version: release.version.clone(),
                    channels: image.channels.iter().filter_map(on).collect(),
                    published: release.published,
                    recipe: release.recipe,
                });
            }
        }
        Ok(all)
    }

    /// The manifest of a release, as the signed index names it.
    ///
    /// # Errors
    /// *Not found* if the index does not list it; *untrusted* if it is not the manifest that
    /// the index names.
    pub fn manifest(&self, image: &ImageName, version: &Version, trust: &Trust) -> Result<Manifest> {
        let index = self.index(trust)?;
        let listed = index::find(&index, image, version)?;
        check::read_manifest(&self.folder(image, version), image, listed)
    }

    /// Checks every byte of a release: manifest against the index, signatures, and size and
    /// digest of every file.
    ///
    /// # Errors
    /// *Not found* if the index does not list it; class *host* if a file cannot be read. What
    /// is wrong with the bytes is no error but the answer.
    pub fn examine(&self, image: &ImageName, version: &Version, trust: &Trust) -> Result<check::Checked> {
        let index = self.index(trust)?;
        let listed = index::find(&index, image, version)?;
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        check::release(&self.folder(image, version), Some(&expected), trust, check::Depth::Digests)
    }

    /// Refuses a release that lacks the signatures that it must carry itself, whatever the index
    /// says of it.
    ///
    /// # Errors
    /// *Untrusted* if they are missing, wrong, too few or by retired keys.
    pub fn must_be_signed(&self, image: &ImageName, version: &Version, trust: &Trust) -> Result<()> {
        let index = self.index(trust)?;
        let listed = index::find(&index, image, version)?;
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        let folder = self.folder(image, version);
        let checked = check::release(&folder, Some(&expected), trust, check::Depth::Sizes)?;
        let of_signatures = |defect: &&Defect| {
            matches!(
                defect,
                Defect::Unsigned { .. }
                    | Defect::BadSignature { .. }
                    | Defect::RetiredKey { .. }
                    | Defect::TooFewKeys { .. }
            )
        };
        match checked.defects.iter().find(of_signatures) {
            None => Ok(()),
            Some(defect) => Err(Failure::untrusted(format!("{folder}: {defect}"))
                .hint("Its publisher has to sign it again: `bootwright reconcile` does.")),
        }
    }

    /// What [`Store::examine`] finds wrong.
    ///
    /// # Errors
    /// As [`Store::examine`].
    pub fn verify(&self, image: &ImageName, version: &Version, trust: &Trust) -> Result<Vec<Defect>> {
        self.examine(image, version, trust).map(|checked| checked.defects)
    }

    /// Adds the signed verdict of a rebuild to a release.
    ///
    /// # Errors
    /// Class *host* if it cannot be written.
    pub fn add_rebuild(&self, image: &ImageName, version: &Version, line: &str) -> Result<()> {
        let _held = self.place.join(LOCK).lock()?;
        rebuild::add(&self.folder(image, version), line)
    }

    /// Points a channel to a release that is published already. Nothing is written if it
    /// does so by now.
    ///
    /// # Errors
    /// *Not found* if the index does not list the release; *untrusted* if a file of it is
    /// missing or has another size.
    pub fn promote(
        &self,
        image: &ImageName,
        version: &Version,
        channel: &ChannelName,
        signers: &Signers,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut writer = Writer::open(self, signers)?;
        let listed = index::find(&writer.index, image, version)?.clone();
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        let folder = self.folder(image, version);
        let checked = check::release(&folder, Some(&expected), signers.keys(), check::Depth::Sizes)?;
        if let Some(defect) = checked.defects.iter().find(|d| !d.is_outlived()) {
            return Err(Failure::untrusted(format!("{image} {version}: {defect}"))
                .hint("Build it again before a channel points to it."));
        }
        writer.resign(image, version)?;
        index::set_channel(&mut writer.index, image, channel, version);
        writer.finish(Some(image), now)
    }
}

/// The index of a store that has none: its next one follows what was seen.
fn after(seen: Option<&SeenIndex>) -> Index {
    Index { serial: seen.map_or(0, |s| s.serial), ..Index::default() }
}

/// The one writer of a store: holds its lock and the index that it may change.
struct Writer<'a> {
    store: &'a Store,
    signers: &'a Signers,
    lock: Lock,
    /// Device and inode of the store's folder.
    place: (u64, u64),
    /// As it was read.
    before: Index,
    /// Which state of its file that was; none if there was no file.
    tag: Option<Tag>,
    /// As it will be.
    index: Index,
    /// Whether the index is signed again even if it says the same.
    again: bool,
}

impl<'a> Writer<'a> {
    /// Waits for the lock, removes what killed writers left, and reads the index.
    fn open(store: &'a Store, signers: &'a Signers) -> Result<Self> {
        if store.has_vanished() {
            return Err(mend::vanished(store));
        }
        signers.check()?;
        let lock = store.place.join(LOCK).lock()?;
        Self::with_lock(store, signers, lock)
    }

    fn with_lock(store: &'a Store, signers: &'a Signers, lock: Lock) -> Result<Self> {
        store.sweep()?;
        let place = store.place.identity()?;
        let (before, outlived, tag) = store.index_tagged(signers.keys())?;
        let again = outlived.is_some();
        point(Point::StoreLocked)?;
        Ok(Self { store, signers, lock, place, index: before.clone(), before, tag, again })
    }

    /// # Errors
    /// If the store's folder is no longer the one that was locked: unmounted, renamed or
    /// replaced. What is written now would begin another store.
    fn check_place(&self) -> Result<()> {
        self.lock.check()?;
        match self.store.place.identity() {
            Ok(place) if place == self.place => Ok(()),
            _ => Err(mend::vanished(self.store)),
        }
    }

    /// Writes the pages and then the index, if it changed. `image` is the one that was
    /// worked on.
    fn finish(mut self, image: Option<&ImageName>, now: DateTime<Utc>) -> Result<()> {
        self.write(image, now)
    }

    /// As [`Writer::finish`], and gives the lock to whoever has more to do.
    fn finish_and_hold(mut self, now: DateTime<Utc>) -> Result<Lock> {
        self.write(None, now)?;
        Ok(self.lock)
    }

    fn write(&mut self, image: Option<&ImageName>, now: DateTime<Utc>) -> Result<()> {
        let changed = self.again || self.index != self.before;
        let signers = self.signers.all();
        let keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect();
        loop {
            if changed {
                self.index.serial = self.before.serial + 1;
                // Readers may rely on it: a clock that was set back does not show.
                self.index.updated = now.max(self.before.updated);
            }
            self.check_place()?;
            site::write(self.store, &self.index, image, &self.store.notices()?, &keys)?;
            point(Point::PagesPut)?;
            if !changed {
                break;
            }
            self.check_place()?;
            if index::write(&self.store.place, &self.index, self.signers, self.tag.as_ref())? {
                break;
            }
            self.follow()?;
        }
        if let Some(memory) = &self.store.memory {
            memory.keep(&self.index)?;
        }
        index::write_copies(&self.store.place, &self.index, self.signers)?;
        point(Point::ReleasePublished)
    }
}

impl Writer<'_> {
    /// Somebody else wrote the index since it was read: what we changed is changed in theirs.
    ///
    /// # Errors
    /// Class *host* if they changed the same image.
    fn follow(&mut self) -> Result<()> {
        let (theirs, _, tag) = self.store.index_tagged(self.signers.keys())?;
        let mut merged = theirs.clone();
        let names: BTreeSet<&ImageName> = self.before.images.keys().chain(self.index.images.keys()).collect();
        for name in names {
            let (was, ours) = (self.before.images.get(name), self.index.images.get(name));
            if was == ours {
                continue;
            }
            if theirs.images.get(name) != was {
                return Err(Failure::host(format!(
                    "{}: somebody else changed {name} meanwhile: the index has serial {} since {}, and {} was read",
                    self.store.place, theirs.serial, theirs.updated, self.before.serial
                ))
                .code(ErrorCode::Stalled)
                .hint("Run it again: what is built is kept, and what was sent is not sent again."));
            }
            match ours {
                Some(ours) => merged.images.insert(name.clone(), ours.clone()),
                None => merged.images.remove(name),
            };
        }
        (self.before, self.index, self.tag) = (theirs, merged, tag);
        Ok(())
    }
}

impl Store {
    fn staging(&self) -> Place {
        self.place.join(STAGING)
    }

    /// A folder on this host for what is not in its place yet.
    fn work(&self, label: &str) -> Result<WorkFolder> {
        WorkFolder::new(&self.staging().scratch(), label)
    }
}

/// The release that a channel of an image pointed to, as the index lists it.
fn head<'i>(index: &'i Index, image: &ImageName, channel: &ChannelName) -> Option<&'i IndexedRelease> {
    index.on_channel(image, channel)
}
