//! Requests and reports: everything that a terminal, a web page or an MCP client needs.
//!
//! Requests are parsed values; paths in them are relative to [`super::Context::cwd`].
//! Reports serialise as JSON with camelCase fields; fields are only ever added.

mod naming;
mod releases;

pub use naming::{BootTarget, CatalogRef, ReleaseRef, ReleaseWhich, Selector, VerifyTarget};
pub use releases::{
    FetchReport, FetchRequest, FetchedFile, KeptRelease, ListedImage, ListedRelease, PromoteReport,
    PromoteRequest, PruneReport, PruneRequest, PrunedRelease, RebuildReport, RebuildRequest, ReleaseList,
    ReleaseListRequest, ReleaseShow, ReleaseShowRequest, SignatureFound, TrustCheck, VerifyReport,
    VerifyRequest,
};

use super::openwrt::profiles::ListedProfile;
use crate::model::catalog::CatalogSource;
use crate::model::lock::{LockedIndex, PackageChange};
use crate::model::name::SuiteName;
use crate::model::plan::Planned;
use crate::model::policy::Finding;
use crate::model::spec::{Architecture, Base, BootMode, Output};
use crate::model::{ChannelName, Failure, ImageName, Version};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

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
