//! The life of a run: one enum that carries its data, and one transition table.

use super::digest::Digest;
use super::failure::Failure;
use super::name::{ImageName, Version};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The id of a run; sorts by time (UUID version 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub uuid::Uuid);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The carrying-out of one build-and-publish step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The image it is for.
    pub image: ImageName,
    /// The recipe it builds.
    pub recipe: Digest,
    /// The version that it will publish.
    pub version: Version,
    /// How many times it was started.
    pub attempt: u32,
    /// Where it stands.
    pub state: RunState,
    /// When it was asked for.
    pub created: DateTime<Utc>,
    /// When its state last changed.
    pub updated: DateTime<Utc>,
}

/// Where a run stands. Step names follow requirement 1, section 5.4, in our words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RunState {
    /// Planned, not taken yet.
    Pending,
    /// Layers and artifacts are being made.
    Building,
    /// Artifacts exist and are being booted.
    Verifying,
    /// Artifacts proved themselves and are being signed and published.
    Publishing,
    /// The release is published.
    Published,
    /// It failed; a new attempt may come.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// A newer plan made it pointless.
    Superseded,
}

/// The short name of a state, as stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Phase {
    Pending,
    Building,
    Verifying,
    Publishing,
    Published,
    Failed,
    Superseded,
}

/// A transition that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run cannot go from {from:?} to {to:?}")]
pub struct WrongTransition {
    /// Where it stands.
    pub from: Phase,
    /// Where it was to go.
    pub to: Phase,
}

impl RunState {
    /// The state's short name.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Pending => Phase::Pending,
            Self::Building => Phase::Building,
            Self::Verifying => Phase::Verifying,
            Self::Publishing => Phase::Publishing,
            Self::Published => Phase::Published,
            Self::Failed { .. } => Phase::Failed,
            Self::Superseded => Phase::Superseded,
        }
    }

    /// Goes to `next`, if the transition table has it.
    ///
    /// A run that was killed stays in its phase and is taken up again from `Building`:
    /// finished layers and artifacts are found in the cache.
    ///
    /// # Errors
    /// [`WrongTransition`] otherwise.
    pub fn to(&self, next: RunState) -> Result<RunState, WrongTransition> {
        use Phase::*;
        let (from, to) = (self.phase(), next.phase());
        let allowed: &[Phase] = match from {
            Pending => &[Building, Failed, Superseded],
            Building => &[Building, Verifying, Failed, Superseded],
            Verifying => &[Building, Publishing, Failed, Superseded],
            Publishing => &[Building, Published, Failed],
            Failed => &[Building, Superseded],
            Published | Superseded => &[],
        };
        if allowed.contains(&to) { Ok(next) } else { Err(WrongTransition { from, to }) }
    }

    /// Whether nothing more will happen.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Published | Self::Superseded)
    }
}
