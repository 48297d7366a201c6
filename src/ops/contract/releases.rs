//! Requests and reports about releases: listed, shown, checked, built again, fetched, promoted, let go.

use super::{CatalogRef, ReleaseRef, VerifyTarget};
use crate::model::rebuild::Rebuild;
use crate::model::release::Manifest;
use crate::model::spec::Output;
use crate::model::{ChannelName, Digest, ImageName, Version};
use crate::release::store::prune::Kept;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// List releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseListRequest {
    /// The catalog, for its store and keys.
    pub catalog: CatalogRef,
    /// Another store: a folder or an address.
    pub store: Option<String>,
    /// Only this image.
    pub image: Option<ImageName>,
}

/// The releases of a store.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseList {
    /// The store.
    pub store: String,
    /// The index's serial number; 0 when nothing is published.
    pub serial: u64,
    /// The images, by name.
    pub images: Vec<ListedImage>,
}

/// The releases of one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedImage {
    /// The image.
    pub image: ImageName,
    /// What each channel points to.
    pub channels: BTreeMap<ChannelName, Version>,
    /// Its releases, newest first.
    pub releases: Vec<ListedRelease>,
}

/// One release in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedRelease {
    /// The release.
    pub version: Version,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// Its recipe's identity.
    pub recipe: Digest,
    /// The size of all its files in bytes, if the manifest could be read.
    pub size: Option<u64>,
    /// The commit that asked for it.
    pub commit: Option<String>,
    /// What is wrong with it as far as sizes show, and what its page says; one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Show a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseShowRequest {
    /// The catalog, for its store and keys.
    pub catalog: CatalogRef,
    /// Another store: a folder or an address.
    pub store: Option<String>,
    /// The release.
    pub release: ReleaseRef,
}

/// Everything about one release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseShow {
    /// Its folder or address.
    pub location: String,
    /// The channels that point to it.
    pub channels: Vec<ChannelName>,
    /// Its manifest.
    pub manifest: Manifest,
    /// The signatures that it carries, not checked here.
    pub signatures: Vec<SignatureFound>,
    /// The changelog's text, if there is one.
    pub changelog: Option<String>,
    /// The verdicts of those who built it again and whose keys are trusted, oldest first.
    pub rebuilds: Vec<Rebuild>,
}

/// One signature of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureFound {
    /// The signature's file name.
    pub file: String,
    /// `ecdsa-p256`, `sigstore-bundle` or `openpgp`.
    pub kind: String,
}

/// Check a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyRequest {
    /// The catalog, for its store and keys; not read when a folder and keys are given.
    pub catalog: CatalogRef,
    /// Another store: a folder or an address.
    pub store: Option<String>,
    /// What to check.
    pub target: VerifyTarget,
    /// Trusted public keys (PEM or OpenPGP); the catalog's when empty.
    pub keys: Vec<PathBuf>,
    /// How many of `keys` must have signed; 1 when absent.
    pub threshold: Option<u8>,
}

/// Build a release again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildRequest {
    /// Gives mirrors, cache and signing key, and the store that the release is in.
    pub catalog: CatalogRef,
    /// The store; the catalog's when there is none.
    pub store: Option<String>,
    /// The release.
    pub target: VerifyTarget,
    /// Trusted public keys (PEM); the catalog's when empty.
    pub keys: Vec<PathBuf>,
    /// How many of `keys` must have signed; all that are named when absent.
    pub threshold: Option<u8>,
    /// A folder that gets the image files of this build.
    pub keep: Option<PathBuf>,
    /// Sign no verdict and write none.
    pub unsigned: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildReport {
    /// Whether every image file that can be reproduced was.
    pub reproduced: bool,
    /// File by file.
    #[serde(flatten)]
    pub verdict: Rebuild,
    /// The file that the signed verdict was added to.
    pub written: Option<PathBuf>,
}

/// What was checked, and what did not match.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// One entry for each thing that was checked. The release is good if all passed and
    /// there is at least one.
    pub checks: Vec<TrustCheck>,
}

impl VerifyReport {
    /// Whether everything that was checked matched.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|c| c.passed)
    }
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustCheck {
    /// The file.
    pub file: String,
    /// `size`, `digest`, `signature`, `openpgp-signature`, `sigstore-bundle`, `evidence`, …
    pub what: String,
    /// Whether it matched.
    pub passed: bool,
    /// The key or identity that signed, or how it differs.
    pub finding: String,
}

/// Fetch a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The catalog, for its store and keys.
    pub catalog: CatalogRef,
    /// Another store: a folder or an address.
    pub store: Option<String>,
    /// The release.
    pub release: ReleaseRef,
    /// The folder that gets the files; made if it is not there.
    pub to: PathBuf,
    /// Only image files of these outputs (and what is needed to check them); all when empty.
    pub outputs: Vec<Output>,
    /// Trusted public keys (PEM or OpenPGP); the catalog's when empty.
    pub keys: Vec<PathBuf>,
    /// How many of `keys` must have signed; 1 when absent.
    pub threshold: Option<u8>,
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchReport {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// The folder.
    pub folder: PathBuf,
    /// The files, by name.
    pub files: Vec<FetchedFile>,
}

/// One file that was fetched.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchedFile {
    /// Its name in the folder.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Whether the same bytes were there already.
    pub present: bool,
}

/// Promote a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromoteRequest {
    /// The catalog, for its store and keys.
    pub catalog: CatalogRef,
    /// The release.
    pub release: ReleaseRef,
    /// The channel that shall point to it.
    pub channel: ChannelName,
}

/// What was promoted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PromoteReport {
    /// The image.
    pub image: ImageName,
    /// The release that the channel points to now.
    pub version: Version,
    /// The channel.
    pub channel: ChannelName,
    /// What it pointed to before.
    pub previous: Option<Version>,
}

/// Let old releases go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneRequest {
    /// The catalog, for its store, keys and rules.
    pub catalog: CatalogRef,
    /// So many of each image's newest releases stay; the catalog's number when absent.
    pub keep: Option<u32>,
    /// Only what is older than so many days goes; the catalog's number when absent.
    pub older_than_days: Option<u32>,
    /// Whether anything is removed, or only shown.
    pub remove: bool,
}

/// What went and what stayed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    /// The store.
    pub store: String,
    /// Whether the releases in `removed` are gone; else they would go.
    pub done: bool,
    /// The releases that go, by image, newest first.
    pub removed: Vec<PrunedRelease>,
    /// The size of their files, in bytes.
    pub bytes: u64,
    /// The releases that stay, by image, newest first.
    pub kept: Vec<KeptRelease>,
}

/// One release that goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunedRelease {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// The size of its files, in bytes.
    pub bytes: u64,
}

/// One release that stays.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptRelease {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// Why.
    pub why: Kept,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_checked_is_not_passed() {
        let report = VerifyReport {
            image: "gw".parse().unwrap(),
            version: "20240101-0123abcd".parse().unwrap(),
            checks: Vec::new(),
        };
        assert!(!report.passed());
    }
}
