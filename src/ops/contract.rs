//! Requests and reports: everything that a terminal, a web page or an MCP client needs.
//!
//! Requests are parsed values; paths in them are relative to [`super::Context::cwd`].
//! Reports serialise as JSON with camelCase fields; fields are only ever added.

use super::openwrt::profiles::ListedProfile;
use crate::model::catalog::CatalogSource;
use crate::model::lock::{LockedIndex, PackageChange};
use crate::model::name::SuiteName;
use crate::model::plan::Planned;
use crate::model::policy::Finding;
use crate::model::rebuild::Rebuild;
use crate::model::release::Manifest;
use crate::model::spec::{Architecture, Base, BootMode, Output};
use crate::model::{ChannelName, Digest, Failure, ImageName, Version};
use crate::release::store::prune::Kept;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Which catalog, at which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRef {
    /// A folder, a bare repository or an address (`https`, `ssh`, `file`).
    pub location: String,
    /// Branch, tag or commit. Without it: the working tree where there is one, else the
    /// default branch.
    pub rev: Option<String>,
}

/// Which images: by name, or by a label of their spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// This image.
    Image(ImageName),
    /// All images whose `metadata.labels` has this pair.
    Label {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
}

impl FromStr for Selector {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("", _)) => Err(format!("{text:?} has no label before the =")),
            Some((key, value)) => Ok(Self::Label { key: key.to_owned(), value: value.to_owned() }),
            None => text.parse().map(Self::Image).map_err(|e: crate::model::name::BadName| e.to_string()),
        }
    }
}

/// One release, as a user names it: `IMAGE`, `IMAGE@CHANNEL` or `IMAGE/VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRef {
    /// The image.
    pub image: ImageName,
    /// Which of its releases.
    pub which: ReleaseWhich,
}

/// Which release of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseWhich {
    /// The newest.
    Newest,
    /// What a channel points to.
    Channel(ChannelName),
    /// This one.
    Version(Version),
}

impl FromStr for ReleaseRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            |e: crate::model::name::BadName| format!("{e} (write IMAGE, IMAGE@CHANNEL or IMAGE/VERSION)");
        let (image, which) = if let Some((image, channel)) = text.split_once('@') {
            (image, ReleaseWhich::Channel(channel.parse().map_err(refuse)?))
        } else if let Some((image, version)) = text.split_once('/') {
            (image, ReleaseWhich::Version(version.parse().map_err(refuse)?))
        } else {
            (text, ReleaseWhich::Newest)
        };
        Ok(Self { image: image.parse().map_err(refuse)?, which })
    }
}

impl std::fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.which {
            ReleaseWhich::Newest => write!(f, "{}", self.image),
            ReleaseWhich::Channel(channel) => write!(f, "{}@{channel}", self.image),
            ReleaseWhich::Version(version) => write!(f, "{}/{version}", self.image),
        }
    }
}

/// What to start. What reads as a release is one; a file of that name is `./NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootTarget {
    /// A release's ISO, or its disk if it has none.
    Release(ReleaseRef),
    /// An image file.
    File(PathBuf),
}

impl std::fmt::Display for BootTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Release(release) => write!(f, "{release}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for BootTarget {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Release))
    }
}

/// What to check. What reads as a release is one; a folder of that name is `./NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyTarget {
    /// A release of the store.
    Release(ReleaseRef),
    /// A folder with a release's files.
    Folder(PathBuf),
    /// An image in a registry, by tag or digest: `registry.example/team/gw@sha256:…`.
    Registry(String),
}

impl FromStr for VerifyTarget {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(image) = text.strip_prefix("oci://") {
            return Ok(Self::Registry(image.to_owned()));
        }
        Ok(text.parse().map_or_else(|_| Self::Folder(text.into()), Self::Release))
    }
}

/// Make a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitRequest {
    /// Where; made if it is not there.
    pub dir: PathBuf,
    /// A catalog whose specs, policies and runners are copied; without it one small spec is written.
    pub from: Option<PathBuf>,
    /// Whether a signing key is made.
    pub key: bool,
}

/// What `init` made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitReport {
    /// The catalog.
    pub dir: PathBuf,
    /// The files that were written, relative to `dir`, sorted.
    pub files: Vec<String>,
    /// The mirrors that were taken over from the host.
    pub mirrors: Vec<ConfiguredMirror>,
    /// The signing key, if one was made.
    pub key: Option<SigningKey>,
    /// The images that the catalog has.
    pub images: Vec<ImageName>,
}

/// A mirror that was taken over from the host's package configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfiguredMirror {
    /// The distribution that it serves.
    pub base: Base,
    /// Its addresses.
    pub urls: Vec<String>,
    /// The keyring that it is checked with.
    pub keyring: String,
}

/// A signing key on this host.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// The private half (mode 0600); never commit it.
    pub private: PathBuf,
    /// The public half, PEM.
    pub public: PathBuf,
    /// Whether a passphrase protects the private half.
    pub encrypted: bool,
}

/// Add a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRequest {
    /// The catalog's working tree.
    pub catalog: CatalogRef,
    /// The image.
    pub name: ImageName,
    /// The distribution.
    pub base: Base,
    /// Its suite; the host's own or the distribution's stable one when absent.
    pub suite: Option<SuiteName>,
    /// What it starts from.
    pub parts: crate::catalog::scaffold::Parts,
}

/// What `new` made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewReport {
    /// The image.
    pub name: ImageName,
    /// The file, relative to the catalog.
    pub path: String,
}

/// Check a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// The catalog.
    pub catalog: CatalogRef,
}

/// What is in a catalog, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Where it was read from.
    pub source: CatalogSource,
    /// The images that could be read, by name.
    pub images: Vec<CheckedImage>,
    /// The device profiles that could be read, by name.
    pub devices: Vec<ListedProfile>,
    /// Everything that is wrong, by file and place. The catalog is valid when empty.
    pub problems: Vec<Complaint>,
    /// What is not wrong but worth a look.
    pub warnings: Vec<Complaint>,
    /// What policies have against the images; errors are among the problems, too.
    pub findings: Vec<Finding>,
}

/// One image of a catalog.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedImage {
    /// Its name.
    pub name: ImageName,
    /// Where it stands: `specs/edge-gateway.yaml:1`.
    pub place: String,
    /// The distribution.
    pub base: Base,
    /// Its suite.
    pub suite: SuiteName,
    /// The processor architecture.
    pub architecture: Architecture,
    /// What it becomes.
    pub outputs: Vec<Output>,
    /// Its channel.
    pub channel: ChannelName,
    /// How its lock stands.
    pub lock: LockState,
}

/// How a lock stands to its spec.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum LockState {
    /// There is none: a run makes one and keeps it in the release.
    Missing,
    /// It answers another request than the spec's.
    Outdated,
    /// It answers the spec.
    Current {
        /// How many packages it has.
        packages: usize,
        /// The date of the newest index that answered.
        date: DateTime<Utc>,
    },
}

/// One complaint about a file of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Complaint {
    /// The stable code ([`crate::model::ErrorCode`]).
    pub code: crate::model::ErrorCode,
    /// Path in the catalog.
    pub file: String,
    /// Line, from 1; absent when it is about the whole file.
    pub line: Option<u32>,
    /// Column in characters, from 1.
    pub column: Option<u32>,
    /// Path of the field: `spec.packages.servers[2]`.
    pub field: Option<String>,
    /// What is wrong, lower case.
    pub message: String,
    /// The line of the file, without its line end.
    pub source_line: Option<String>,
    /// What to do.
    pub suggestion: Option<String>,
}

/// Resolve packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// The catalog's working tree.
    pub catalog: CatalogRef,
    /// Only these; all when empty.
    pub only: Vec<ImageName>,
    /// Whether locks that still answer their spec are made again.
    pub update: bool,
    /// Whether nothing is written, only compared.
    pub dry_run: bool,
}

/// What became of the locks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockReport {
    /// One entry for each image, by name.
    pub images: Vec<LockedImage>,
    /// One entry for each device profile, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<super::LockedDevice>,
}

/// What became of one lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockedImage {
    /// The image.
    pub image: ImageName,
    /// The lock's path in the catalog.
    pub path: String,
    /// What was done with it.
    pub outcome: LockOutcome,
    /// How many packages it has.
    pub packages: usize,
    /// How large they are together, in bytes.
    pub size: u64,
    /// The signed indexes that answered.
    pub indexes: Vec<LockedIndex>,
    /// The differences from the lock that was there.
    pub changes: Vec<PackageChange>,
}

/// What was done with one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockOutcome {
    /// It answers the spec and was left alone.
    Kept,
    /// It was made again, with the same packages.
    Unchanged,
    /// It was written.
    Written,
    /// It would have been written.
    WouldWrite,
}

/// Plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Only these; all when empty.
    pub only: Vec<Selector>,
    /// Images that are built although nothing changed.
    pub force: Vec<ImageName>,
    /// Whether every published byte is hashed.
    pub deep: bool,
}

/// A plan, and the same as Markdown fit for a pull request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// Steps and report.
    #[serde(flatten)]
    pub planned: Planned,
    /// As Markdown.
    #[serde(skip)]
    pub markdown: String,
}

/// Reconcile once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Only these; all when empty.
    pub only: Vec<Selector>,
    /// Images that are built although nothing changed.
    pub force: Vec<ImageName>,
    /// How many images are built at once; chosen from the host's memory and processors when absent.
    pub jobs: Option<NonZeroUsize>,
    /// Whether to stop after planning.
    pub dry_run: bool,
    /// Whether every published byte is hashed.
    pub deep: bool,
}

/// Reconcile again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    /// What each round does.
    pub reconcile: ReconcileRequest,
    /// How often git is asked, before jitter.
    pub interval: Duration,
}

/// What one round of reconciling did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReconcileReport {
    /// The plan that was carried out.
    pub planned: Planned,
    /// Releases that are on their channel now, in the order of the plan.
    pub published: Vec<PublishedImage>,
    /// Damaged releases that are whole again.
    pub repaired: Vec<RepairedRelease>,
    /// Images that failed, in the order of the plan.
    pub failed: Vec<FailedImage>,
    /// Steps of the plan that were not taken, one sentence each: `edge-gateway: verify and publish`.
    pub remaining: Vec<String>,
    /// Whether it was asked to stop before it was done.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// One release that was put on its channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedImage {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// The channel.
    pub channel: ChannelName,
    /// The release's folder or address.
    pub location: String,
}

/// One release that was damaged and is whole again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairedRelease {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
}

/// One image that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedImage {
    /// The image.
    pub image: ImageName,
    /// Why.
    pub failure: Failure,
}

/// Start an image for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootRequest {
    /// The catalog, for its store.
    pub catalog: CatalogRef,
    /// What to start.
    pub target: BootTarget,
    /// Firmware and medium.
    pub mode: BootMode,
    /// Whether a window is opened instead of the serial console.
    pub graphical: bool,
    /// Memory of the machine, in MiB.
    pub memory_mib: u32,
    /// The variables that lead to the desktop's display, for a window.
    pub display: Vec<(String, String)>,
}

/// How the machine ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootReport {
    /// The file that was started.
    pub file: PathBuf,
    /// Firmware and medium.
    pub mode: BootMode,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// How long it ran.
    pub elapsed_ms: u64,
}

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
    fn releases_are_named_in_three_ways() {
        for text in ["gw", "gw@stable", "gw/20240101-0123abcd"] {
            assert_eq!(text.parse::<ReleaseRef>().unwrap().to_string(), text);
        }
        for bad in ["", "gw@", "gw/", "gw/latest", "GW", "gw@a/b", "../gw", "gw/20240101-0123abcd/x"] {
            assert!(bad.parse::<ReleaseRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_does_not_read_as_a_release_is_a_path() {
        for path in ["./gw", "gw.iso", "/tmp/gw.iso", "out/gw.iso", "../gw"] {
            assert_eq!(path.parse(), Ok(BootTarget::File(path.into())), "{path}");
            assert_eq!(path.parse(), Ok(VerifyTarget::Folder(path.into())), "{path}");
        }
        assert!(matches!("gw".parse(), Ok(BootTarget::Release(_))));
    }

    #[test]
    fn selectors() {
        assert_eq!("gw".parse(), Ok(Selector::Image("gw".parse().unwrap())));
        assert_eq!("site=lab".parse(), Ok(Selector::Label { key: "site".into(), value: "lab".into() }));
        assert!("=lab".parse::<Selector>().is_err());
        assert!("Gw".parse::<Selector>().is_err());
    }

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
