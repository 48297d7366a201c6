//! What a release store holds: manifests and the signed index.

use super::artifact::{ArtifactKind, BuiltLayer};
use super::attachment::RegistryImage;
use super::catalog::Commit;
use super::digest::Digest;
use super::evidence::Evidence;
use super::name::{ChannelName, ImageName, Version};
use super::spec::{Architecture, Base};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the manifest and index formats.
pub const RELEASE_FORMAT: u32 = 1;

/// `IMAGE/VERSION/manifest.json`: everything about one release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`RELEASE_FORMAT`].
    pub format: u32,
    /// The image.
    pub image: ImageName,
    /// This release.
    pub version: Version,
    /// One line about the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The distribution.
    pub base: Base,
    /// Its suite.
    pub suite: String,
    /// The processor architecture.
    pub architecture: Architecture,
    /// The recipe's identity; the recipe itself is the file `recipe.json`.
    pub recipe: Digest,
    /// The lock's identity; the lock itself is the file `lock.yaml`.
    pub lock: Digest,
    /// The commit that asked for it; absent when a working tree did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// The release that it followed on its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// Where the OCI image was pushed to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryImage>,
    /// All files of the release but this one, `SHA256SUMS` and the signatures, sorted by name.
    pub files: Vec<ReleaseFile>,
    /// The layers from bottom to top.
    pub layers: Vec<BuiltLayer>,
    /// What the artifacts showed.
    pub verification: Vec<Evidence>,
    /// Files that are not bit-for-bit reproducible, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_reproducible: Vec<NotReproducible>,
    /// Number of installed packages.
    pub package_count: usize,
    /// The program that made it: `bootwright 0.1.0`.
    pub tool: String,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseFile {
    /// Path below the release's folder.
    pub name: String,
    /// What it is for.
    pub role: FileRole,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// What a file of a release is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRole {
    /// An image file.
    Artifact(ArtifactKind),
    /// bmap 2.0.
    BlockMap,
    /// SPDX 2.3 JSON.
    Sbom,
    /// An in-toto statement with SLSA provenance v1.
    Provenance,
    /// What changed since the release before.
    Changelog,
    /// The recipe, canonical JSON.
    Recipe,
    /// The lock.
    Lock,
    /// Overlay files, scripts and pictures that the recipe names by digest.
    Inputs,
    /// Below `evidence/`.
    Evidence,
}

/// A file that is not bit-for-bit reproducible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotReproducible {
    /// Its name.
    pub file: String,
    /// Why.
    pub why: String,
}

/// `index.json`: every image, channel and release of a store. Signed; written last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// [`RELEASE_FORMAT`].
    pub format: u32,
    /// Raised by one with every change, so that an older index cannot pass for a newer one.
    pub serial: u64,
    /// When it was written.
    pub updated: DateTime<Utc>,
    /// The images by name.
    pub images: BTreeMap<ImageName, IndexedImage>,
}

impl Default for Index {
    fn default() -> Self {
        Self { format: RELEASE_FORMAT, serial: 0, updated: DateTime::UNIX_EPOCH, images: BTreeMap::new() }
    }
}

/// One image in the index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedImage {
    /// Which release each channel points to.
    pub channels: BTreeMap<ChannelName, Version>,
    /// All releases, newest first.
    pub releases: Vec<IndexedRelease>,
}

/// One release in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedRelease {
    /// The release.
    pub version: Version,
    /// Its recipe's identity.
    pub recipe: Digest,
    /// SHA-256 of its `manifest.json`, so that the index's signature covers it.
    pub manifest: Digest,
    /// When it was published.
    pub published: DateTime<Utc>,
}

impl Index {
    /// The release that a channel of an image points to.
    pub fn on_channel(&self, image: &ImageName, channel: &ChannelName) -> Option<&IndexedRelease> {
        let image = self.images.get(image)?;
        let version = image.channels.get(channel)?;
        image.releases.iter().find(|r| &r.version == version)
    }
}
