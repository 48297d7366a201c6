//! The release store: a local folder that a web server can show as it is.
//!
//! ```text
//! index.dsse.json                  the signed index, in one file: every image, channel, release
//! index.json, index.json.sig       the same index for people and foreign tools
//! bootwright.pub                   the public key (get it from the publisher, not from here)
//! index.html, style.css            download pages
//! IMAGE/VERSION/manifest.json      every file with size and digest; .sig beside it
//! IMAGE/VERSION/SHA256SUMS         for sha256sum; .sig, and .asc or .sigstore.json where asked for
//! IMAGE/VERSION/…                  artifacts, block map, SBOM, provenance, changelog, evidence
//! .staging/                        releases that are being written
//! .lock                            held by the one writer
//! ```
//!
//! A writer stages a release under a hidden name, renames it into place, writes the pages and
//! renames `index.dsse.json` last. Payload and signature of the index are in one file because
//! a reader that opens two files between two renames would see a pair that does not match;
//! `index.json` and its `.sig` are two files and written after it, so they are for people only.

pub mod check;
pub mod fetch;
mod glance;
mod index;
pub mod inputs;
mod observe;
mod publish;
mod site;
mod stage;

pub use fetch::{Fetch, Fetched, Wanted};
pub use glance::Glance;
pub use index::parse_payload;
pub use publish::{Publication, Staged};

use super::keys::{PublicKey, Signer};
use super::{openpgp, rebuild};
use crate::effects::files::FileLock;
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::release::{Index, IndexedRelease, Manifest};
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};

/// The manifest of a release.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The public key at the root of a store.
const PUBLIC_KEY: &str = "bootwright.pub";

/// A local release store. Opening it touches nothing.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    url: Option<String>,
}

/// Who signs, and whose signatures count.
#[derive(Debug)]
pub struct Signers {
    /// Signs everything.
    pub key: Signer,
    /// Signs `SHA256SUMS` in addition.
    pub openpgp: Option<openpgp::SecretKey>,
    /// The keys whose signatures on what is published already are trusted, beside `key`.
    pub trusted: Vec<PublicKey>,
}

impl Signers {
    /// All keys whose signatures count.
    pub fn keys(&self) -> Vec<PublicKey> {
        let mut keys = self.trusted.clone();
        if !keys.contains(self.key.public()) {
            keys.push(self.key.public().clone());
        }
        keys
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
        Self { path: path.into(), url: None }
    }

    /// Says under which address a web server shows the store: download pages name it.
    #[must_use]
    pub fn with_url(mut self, url: Option<String>) -> Self {
        self.url = url;
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of one release.
    pub fn folder(&self, image: &ImageName, version: &Version) -> PathBuf {
        self.path.join(image.as_str()).join(version.as_str())
    }

    /// The signed index; an empty one if nothing was published yet.
    ///
    /// # Errors
    /// *Untrusted* if no trusted key signed it.
    pub fn index(&self, keys: &[PublicKey]) -> Result<Index> {
        index::read(&self.path, keys)
    }

    /// All releases, by image, newest first.
    ///
    /// # Errors
    /// As [`Store::index`].
    pub fn list(&self, keys: &[PublicKey]) -> Result<Vec<Listing>> {
        let index = self.index(keys)?;
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
    pub fn manifest(&self, image: &ImageName, version: &Version, keys: &[PublicKey]) -> Result<Manifest> {
        let index = self.index(keys)?;
        let listed = index::find(&index, image, version)?;
        check::read_manifest(&self.folder(image, version), image, listed)
    }

    /// Checks every byte of a release: manifest against the index, signatures, and size and
    /// digest of every file.
    ///
    /// # Errors
    /// *Not found* if the index does not list it; class *host* if a file cannot be read. What
    /// is wrong with the bytes is no error but the answer.
    pub fn verify(
        &self,
        image: &ImageName,
        version: &Version,
        keys: &[PublicKey],
    ) -> Result<Vec<crate::model::observed::Defect>> {
        let index = self.index(keys)?;
        let listed = index::find(&index, image, version)?;
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        Ok(check::release(&self.folder(image, version), Some(&expected), keys, check::Depth::Digests)?
            .defects)
    }

    /// Adds the signed verdict of a rebuild to a release.
    ///
    /// # Errors
    /// Class *host* if it cannot be written.
    pub fn add_rebuild(&self, image: &ImageName, version: &Version, line: &str) -> Result<()> {
        let _held = FileLock::take(&self.path.join(".lock"))?;
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
        let checked = check::release(&folder, Some(&expected), &signers.keys(), check::Depth::Sizes)?;
        if let Some(defect) = checked.defects.first() {
            return Err(Failure::untrusted(format!("{image} {version}: {defect}"))
                .hint("Build it again before a channel points to it."));
        }
        index::set_channel(&mut writer.index, image, channel, version);
        writer.finish(Some(image), now)
    }
}

/// The one writer of a store: holds its lock and the index that it may change.
struct Writer<'a> {
    store: &'a Store,
    signers: &'a Signers,
    _lock: FileLock,
    /// As it was read.
    before: Index,
    /// As it will be.
    index: Index,
}

impl<'a> Writer<'a> {
    /// Waits for the lock, removes what killed writers left, and reads the index.
    fn open(store: &'a Store, signers: &'a Signers) -> Result<Self> {
        let lock = FileLock::take(&store.path.join(".lock"))?;
        crate::effects::files::WorkFolder::sweep(&store.staging())?;
        let before = store.index(&signers.keys())?;
        Ok(Self { store, signers, _lock: lock, index: before.clone(), before })
    }

    /// Writes the pages and then the index, if it changed. `image` is the one that was
    /// worked on.
    fn finish(mut self, image: Option<&ImageName>, now: DateTime<Utc>) -> Result<()> {
        let changed = self.index != self.before;
        if changed {
            self.index.serial = self.before.serial + 1;
            self.index.updated = now;
        }
        site::write(self.store, &self.index, image, self.signers.key.public())?;
        if changed {
            index::write(&self.store.path, &self.index, &self.signers.key)?;
        }
        index::write_copies(&self.store.path, &self.index, &self.signers.key)
    }
}

impl Store {
    fn staging(&self) -> PathBuf {
        self.path.join(".staging")
    }
}

/// The release that a channel of an image pointed to, as the index lists it.
fn head<'i>(index: &'i Index, image: &ImageName, channel: &ChannelName) -> Option<&'i IndexedRelease> {
    index.on_channel(image, channel)
}
