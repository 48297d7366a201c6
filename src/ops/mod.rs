//! One function per thing a user can ask for. Terminal, web pages and MCP all call these.
//!
//! Every operation takes a [`Context`] (where progress goes, how to stop, the time, the
//! secrets) and a request, and gives a report that can be serialised. Nothing here
//! prints, asks a question or reads the environment.

mod context;
mod contract;
pub mod doctor;

pub use context::{Context, Identity, Secret};
pub use contract::{
    BootReport, BootRequest, BootTarget, CatalogRef, CheckReport, CheckRequest, CheckedImage, Complaint,
    ConfiguredMirror, FailedImage, FetchReport, FetchRequest, FetchedFile, InitReport, InitRequest,
    ListedImage, ListedRelease, LockOutcome, LockReport, LockRequest, LockState, LockedImage, NewReport,
    NewRequest, PlanReport, PlanRequest, PromoteReport, PromoteRequest, PublishedImage, ReconcileReport,
    ReconcileRequest, ReleaseList, ReleaseListRequest, ReleaseRef, ReleaseShow, ReleaseShowRequest,
    ReleaseWhich, Selector, SignatureFound, SigningKey, TrustCheck, VerifyReport, VerifyRequest,
    VerifyTarget, WatchRequest,
};
pub use doctor::doctor;

use crate::model::{Failure, Result};

fn not_wired<T>(operation: &str) -> Result<T> {
    Err(Failure::bug(format!("{operation}: not wired yet")))
}

/// Makes a catalog that works: settings with the host's own mirrors, a signing key, a spec.
///
/// # Errors
/// Class *spec* if there is a catalog already; *host* if a file cannot be written.
pub fn init(_context: &Context, _request: InitRequest) -> Result<InitReport> {
    not_wired("init")
}

/// Adds a spec to a catalog.
///
/// # Errors
/// Class *spec* if the image exists already.
pub fn new(_context: &Context, _request: NewRequest) -> Result<NewReport> {
    not_wired("new")
}

/// Reads a catalog and says everything that is wrong with it, in one go.
///
/// # Errors
/// Only if the catalog cannot be read at all: what is wrong inside is in the report.
pub fn check(_context: &Context, _request: CheckRequest) -> Result<CheckReport> {
    not_wired("check")
}

/// Resolves packages against the configured mirrors and writes the locks.
///
/// # Errors
/// Class *spec* (no such package), *upstream* (mirror), *host*.
pub fn lock(_context: &Context, _request: LockRequest) -> Result<LockReport> {
    not_wired("lock")
}

/// Compares what is asked for with what is published. Changes nothing.
///
/// # Errors
/// Class *spec* for an invalid catalog.
pub fn plan(_context: &Context, _request: PlanRequest) -> Result<PlanReport> {
    not_wired("plan")
}

/// Plans once and carries the plan out.
///
/// A failed image is in the report and does not keep the others from being built. When
/// asked to stop, it returns the report with `interrupted` set and what remains.
///
/// # Errors
/// Only for what keeps every image from being planned.
pub fn reconcile(_context: &Context, _request: ReconcileRequest) -> Result<ReconcileReport> {
    not_wired("reconcile")
}

/// Reconciles again and again: when git moves and when a schedule is due. `round` gets
/// what came of each round. Returns when asked to stop.
///
/// # Errors
/// Only for what no later round can cure; a round's own failure goes to `round`.
pub fn watch(
    _context: &Context,
    _request: WatchRequest,
    _round: &mut dyn FnMut(Result<ReconcileReport>),
) -> Result<()> {
    not_wired("watch")
}

/// Starts an image in a virtual machine for a person to use.
///
/// # Errors
/// Class *host* if the machine cannot be started.
pub fn boot(_context: &Context, _request: BootRequest) -> Result<BootReport> {
    not_wired("boot")
}

/// Says which releases a store holds.
///
/// # Errors
/// Class *upstream* if the index does not verify.
pub fn release_list(_context: &Context, _request: ReleaseListRequest) -> Result<ReleaseList> {
    not_wired("release list")
}

/// Says everything about one release.
///
/// # Errors
/// [`crate::model::ErrorCode::NotFound`] if there is no such release.
pub fn release_show(_context: &Context, _request: ReleaseShowRequest) -> Result<ReleaseShow> {
    not_wired("release show")
}

/// Checks the bytes and signatures of a release; works offline from files and a key.
///
/// # Errors
/// Only if there is nothing to check: what does not match is in the report.
pub fn release_verify(_context: &Context, _request: VerifyRequest) -> Result<VerifyReport> {
    not_wired("release verify")
}

/// Copies a release's files into a folder, and keeps none that does not verify.
///
/// # Errors
/// [`crate::model::ErrorCode::Untrusted`] if a digest or signature does not match.
pub fn release_fetch(_context: &Context, _request: FetchRequest) -> Result<FetchReport> {
    not_wired("release fetch")
}

/// Points a channel to a release that is published already.
///
/// # Errors
/// [`crate::model::ErrorCode::NotFound`] if there is no such release.
pub fn release_promote(_context: &Context, _request: PromoteRequest) -> Result<PromoteReport> {
    not_wired("release promote")
}
