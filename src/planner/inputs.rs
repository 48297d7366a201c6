//! What the planner is told. It finds out nothing by itself.

use super::policy::Ruling;
use super::schedule::Schedule;
use crate::model::catalog::CatalogSource;
use crate::model::observed::Observed;
use crate::model::plan::{Action, Reason};
use crate::model::product::{Lock, Request, Resolved};
use crate::model::recipe::LayerId;
use crate::model::{ChannelName, Digest, Failure, ImageName};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a plan follows from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The time.
    pub now: DateTime<Utc>,
    /// The catalog that says what is desired.
    pub source: CatalogSource,
    /// What is desired; one entry for each image.
    pub images: Vec<Desired>,
    /// What is published.
    pub observed: Observed,
    /// The layers that need not be built.
    pub cached_layers: BTreeSet<LayerId>,
    /// What became of earlier attempts.
    pub history: BTreeMap<ImageName, History>,
    /// The images that somebody asked for by hand.
    pub forced: BTreeSet<ImageName>,
    /// What policies say.
    pub ruling: Ruling,
}

/// One image as the catalog asks for it.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The image.
    pub image: ImageName,
    /// The channel that shall point to it.
    pub channel: ChannelName,
    /// The spec says `paused: true`.
    pub paused: bool,
    /// When to look for upstream changes.
    pub schedule: Option<Schedule>,
    /// How many days old its release may get.
    pub max_age_days: Option<u32>,
    /// The catalog has a lock file for it, which only a commit may change.
    pub lock_pinned: bool,
    /// The date of the commit that asks for it: the date in its version.
    pub commit_date: DateTime<Utc>,
    /// The fields of its spec that other files set, each with the place.
    pub origins: BTreeMap<String, String>,
    /// What it shall be.
    pub wanted: Wanted,
}

/// What an image shall be.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Exactly this.
    Recipe(Box<Resolved>),
    /// Not known before the packages are resolved.
    NeedsLock {
        /// What has to be asked.
        request: Request,
        /// The lock that answers something else, if there is one.
        stale: Option<Box<Lock>>,
    },
}

/// What became of earlier attempts at one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Attempts that failed to build a recipe; `of` is the recipe digest.
    pub build: Option<Failures>,
    /// Attempts that failed to resolve packages; `of` is [`request_digest`].
    pub lock: Option<Failures>,
    /// Work on published releases that failed; `of` is [`attempt_digest`].
    pub store: BTreeMap<StoreWork, Failures>,
    /// Who works on the image now: `pid 4711 on gateway`.
    pub leased_by: Option<String>,
    /// When packages were last resolved against the mirrors.
    pub last_checked_upstream: Option<DateTime<Utc>>,
}

/// Work on what is published, which needs no build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreWork {
    /// Make damaged releases whole.
    Repair,
    /// Point a channel to another release.
    Promote,
    /// Sign releases again.
    Resign,
}

impl StoreWork {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Repair, Self::Promote, Self::Resign];

    /// The kind of work that an action is, if it is such work.
    pub fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Repair { .. } => Some(Self::Repair),
            Action::Promote { .. } => Some(Self::Promote),
            Action::Resign { .. } => Some(Self::Resign),
            Action::Lock | Action::Build { .. } => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Promote => "promote",
            Self::Resign => "resign",
        }
    }
}

/// Failed attempts at one thing without a success between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// What was attempted. Attempts at something else count no longer.
    pub of: Digest,
    /// How many.
    pub count: u32,
    /// The last failure.
    pub last: Failure,
    /// When it happened.
    pub at: DateTime<Utc>,
}

/// The identity of work on published releases, for [`History::store`]: once something else has
/// to be done, or for other reasons, earlier failures count no longer.
pub fn attempt_digest(action: &Action, reasons: &[Reason]) -> Digest {
    Digest::of_json(&(action, reasons))
}

/// The identity of a request, for [`History::lock`].
pub fn request_digest(request: &Request) -> Digest {
    Digest::of_json(request)
}
