//! One function per thing a user can ask for. Terminal, web pages and MCP all call these.
//!
//! Every operation takes a [`Context`] (where progress goes, how to stop, the time, the
//! secrets) and a request, and gives a report that can be serialised. Nothing here
//! prints, asks a question or reads the environment.

mod booting;
pub mod caches;
mod catalogs;
mod containers;
mod context;
mod contract;
pub mod doctor;
mod explaining;
mod flash_check;
mod flashing;
mod judging;
mod keys;
pub mod openwrt;
mod packages;
mod prompting;
mod pruning;
mod rebuilding;
mod reconciling;
mod records;
mod releases;
mod topics;
mod trust;
mod workspace;
pub mod writers;

pub use booting::boot;
pub use caches::{cache_list, cache_prune, cache_verify};
pub use catalogs::{check, init, lock, new};
pub use containers::{ContainerfileReport, ContainerfileRequest, Engine, containerfile};
pub use context::{Context, Identity, Secret};
pub use contract::{
    BootReport, BootRequest, BootTarget, CatalogRef, CheckReport, CheckRequest, CheckedImage, Complaint,
    ConfiguredMirror, FailedImage, FetchReport, FetchRequest, FetchedFile, InitReport, InitRequest,
    KeptRelease, ListedImage, ListedRelease, LockOutcome, LockReport, LockRequest, LockState, LockedImage,
    NewReport, NewRequest, PlanReport, PlanRequest, PromoteReport, PromoteRequest, PruneReport, PruneRequest,
    PrunedRelease, PublishedImage, RebuildReport, RebuildRequest, ReconcileReport, ReconcileRequest,
    ReleaseList, ReleaseListRequest, ReleaseRef, ReleaseShow, ReleaseShowRequest, ReleaseWhich,
    RepairedRelease, Selector, SignatureFound, SigningKey, TrustCheck, VerifyReport, VerifyRequest,
    VerifyTarget, WatchRequest,
};
pub use doctor::doctor;
pub use explaining::{ExplainReport, ExplainRequest, explain};
pub use flash_check::{CheckVerdict, FlashCheck, FlashCheckRequest, flash_check};
pub use flashing::{
    FlashPlan, FlashReport, FlashRequest, FlashedRelease, MapChoice, Prepared, flash_prepare, flash_write,
    not_for,
};
pub use keys::{
    KeyChange, KeyEdit, KeyList, KeyListRequest, KeyNewRequest, KeyRetireRequest, KeyRotateRequest,
    ListedKey, key_list, key_new, key_retire, key_rotate,
};
pub use openwrt::builders::{builder_ensure, builder_list, builder_prune, builder_verify};
pub use openwrt::building::firmware_build;
pub use openwrt::bundle::{profile_export, profile_import};
pub use openwrt::changes::changes;
pub use openwrt::locking::LockedDevice;
pub use openwrt::profiles::{
    profile_clone, profile_deprecate, profile_list, profile_new, profile_offered, profile_show,
};
pub use openwrt::records::builds;
pub use packages::{PackageCell, PackageRow, PackagesReport, PackagesRequest, UnknownPackage, packages};
pub use prompting::{
    AskedModel, LanguageModel, NotUnderstood, PromptReader, PromptReport, PromptRequest, prompt,
};
pub use pruning::release_prune;
pub use rebuilding::rebuild;
pub use reconciling::{plan, reconcile, watch};
pub use records::{FlashHistory, FlashHistoryRequest, flash_history, refuse_unhealthy};
pub use releases::{release_fetch, release_list, release_promote, release_show, release_verify};
pub use topics::topic;
