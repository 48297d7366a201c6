//! A plan: the immutable list of steps from published to desired, each with its
//! reasons, and the report on everything that needs no step.
//!
//! Whoever carries a plan out has no choices left to make.

use super::card_plan::CardPlan;
use super::catalog::CatalogSource;
use super::digest::Digest;
use super::failure::FailureClass;
use super::firmware_lock::FlashRoom;
use super::lock::PackageChange;
use super::name::{ChannelName, ImageName, RuleName, Version};
use super::observed::{Defect, Mend, StoreFinding};
use super::policy::Finding;
use super::recipe::LayerId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Steps and report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// What will be done.
    pub plan: Plan,
    /// How every image of the catalog stands, and why.
    pub report: Vec<ImageReport>,
    /// What policies have against images and releases, by image.
    pub findings: Vec<Finding>,
    /// What is done for the cards that are ordered.
    #[serde(skip_serializing_if = "CardPlan::is_empty")]
    pub cards: CardPlan,
}

/// The steps, in the order in which they are taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The catalog that it was made for.
    pub source: CatalogSource,
    /// When it was made.
    pub made: DateTime<Utc>,
    /// What is put right in the store itself, before the steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub store: Vec<StoreFinding>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.store.is_empty()
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The image.
    pub image: ImageName,
    /// What is done.
    pub action: Action,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// Resolve the packages against the mirrors; what to build is known afterwards.
    Lock,
    /// Build, verify, sign, publish.
    #[serde(rename_all = "camelCase")]
    Build {
        /// The recipe.
        recipe: Digest,
        /// The release that it becomes.
        version: Version,
        /// The channel that will point to it.
        channel: ChannelName,
        /// The layers from bottom to top.
        layers: Vec<LayerPlan>,
    },
    /// Make damaged releases whole without a build. It comes before the image's other step.
    Repair {
        /// The releases, newest first.
        releases: Vec<ReleaseRepair>,
    },
    /// Point a channel to a release that is published already.
    #[serde(rename_all = "camelCase")]
    Promote {
        /// The release.
        version: Version,
        /// The channel.
        channel: ChannelName,
    },
    /// Sign published releases again: their bytes are in order, their keys are retired or
    /// too few.
    #[serde(rename_all = "camelCase")]
    Resign {
        /// The releases.
        versions: Vec<Version>,
    },
}

/// What makes one damaged release whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRepair {
    /// The release.
    pub version: Version,
    /// What is done, in this order.
    pub mends: Vec<Mend>,
}

/// One layer of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerPlan {
    /// Its name in the recipe.
    pub name: String,
    /// Its identity.
    pub id: LayerId,
    /// Whether the cache has it.
    pub cached: bool,
}

/// Why a step is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Reason {
    /// Nothing is published for it.
    NewSpec,
    /// The spec says something else than what is published.
    ChangedField {
        /// Path in the recipe: `configuration.hostname`.
        field: String,
        /// The published value, short.
        from: String,
        /// The desired value, short.
        to: String,
        /// The places that set it, if that is not the image's own file: `profiles/edge.yaml:7`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
    /// A package differs between the published lock and the desired one.
    ChangedPackage {
        /// The difference.
        change: PackageChange,
    },
    /// Published bytes are not what they should be.
    Defect {
        /// What is wrong.
        defect: Defect,
    },
    /// Published bytes of a release that the spec does not ask for any more.
    OtherDefect {
        /// The release.
        version: Version,
        /// What is wrong.
        defect: Defect,
    },
    /// The release is older than the spec's `freshness` allows, and no schedule looks for
    /// newer packages.
    #[serde(rename_all = "camelCase")]
    Stale {
        /// Its age in days.
        days: i64,
        /// The days that the spec allows.
        max_age_days: u32,
    },
    /// The schedule says to look for upstream changes.
    Schedule {
        /// The time that had come.
        due: DateTime<Utc>,
    },
    /// No lock answers what the spec asks for.
    NoLock,
    /// The spec names another channel.
    Channel {
        /// The channel.
        channel: ChannelName,
    },
    /// A rule asks for more than what the published release shows, and building it again
    /// shows that.
    PolicyChanged {
        /// The rule.
        rule: RuleName,
    },
    /// Somebody asked.
    ByHand,
}

/// How one image stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// The image.
    pub image: ImageName,
    /// The release on its channel now.
    pub current: Option<Version>,
    /// How it stands.
    pub status: Status,
    /// Set if the current release is older than the spec's `freshness` allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// Set if the current release would give wrong bytes or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Damaged>,
    /// Older releases that are damaged and that nothing here can make whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// How much room there is on the device, of a firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<FlashRoom>,
}

/// A release that is older than its spec allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stale {
    /// Its age in days: since it was published, or since a look at the mirrors found nothing
    /// newer.
    pub days: i64,
    /// The days that the spec allows.
    pub max_age_days: u32,
    /// Why there is no newer one.
    pub because: String,
    /// The same as it may stand on a public page; without it, nothing is said there.
    #[serde(skip)]
    pub public: String,
}

/// A release on a channel that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Damaged {
    /// What is wrong.
    pub defects: Vec<Defect>,
    /// The newest older release that is whole.
    pub whole: Option<Version>,
}

impl std::fmt::Display for Stale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days = if self.days == 1 { "day" } else { "days" };
        write!(f, "stale, {} {days}, because {}", self.days, self.because)
    }
}

impl Damaged {
    /// The first thing that is wrong, and how many more there are.
    pub fn what(&self) -> String {
        let first = self.defects.first().map(ToString::to_string).unwrap_or_default();
        match self.defects.len() {
            0 | 1 => first,
            n => format!("{first}, and {} more", n - 1),
        }
    }
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "damaged: {}", self.what())?;
        match &self.whole {
            Some(version) => write!(f, "; the newest older release that is whole is {version}"),
            None => write!(f, "; no older release is whole"),
        }
    }
}

/// A damaged release that is not asked for any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// The release.
    pub version: Version,
    /// What is wrong.
    pub defects: Vec<Defect>,
}

/// How an image stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Status {
    /// The plan has a step for it.
    Planned,
    /// What is published is what is asked for.
    UpToDate,
    /// Nothing can be done now.
    Waiting {
        /// For what: `another process is building it (pid 4711)`, `retry after …`.
        on: String,
    },
    /// It failed so often that only a change helps.
    #[serde(rename_all = "camelCase")]
    Stalled {
        /// How many times.
        failures: u32,
        /// The class of the last failure.
        class: FailureClass,
        /// The last failure's message.
        message: String,
    },
    /// The spec says `paused: true`.
    Paused,
    /// A policy forbids it.
    Refused {
        /// The rules, without those that only warn.
        rules: Vec<RuleName>,
        /// What the first of them says.
        message: String,
    },
}
