//! What a plan says about the cards that are ordered.

use super::name::Version;
use super::receipt::{FlashJob, JobId};
use super::writer::OrderName;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A job that is to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashStep {
    /// Its id.
    pub id: JobId,
    /// What is asked for.
    pub job: FlashJob,
    /// Why.
    pub reason: FlashReason,
}

/// Why a job is issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum FlashReason {
    /// Nothing was written for this order yet.
    NewOrder,
    /// Another release was written for it before.
    NewRelease {
        /// That one.
        from: Version,
    },
    /// The card before is done, and every card is to be written.
    NextCard,
    /// The card before failed; another one is wanted.
    CardFailed {
        /// What was wrong with it.
        why: Option<String>,
    },
}

/// How one ordered card stands that needs no step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CardStands {
    /// The order.
    pub order: OrderName,
    /// `SLOT of WRITER`.
    pub slot: String,
    /// How it stands.
    pub stands: String,
}

/// What is to be done for the flash orders of a catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CardPlan {
    /// The jobs that are to be issued.
    pub steps: Vec<FlashStep>,
    /// The cards that need none.
    pub others: Vec<CardStands>,
    /// Jobs that are under way and still wanted.
    #[serde(skip)]
    pub wanted: BTreeSet<JobId>,
}

impl CardPlan {
    /// Whether no card is ordered.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.others.is_empty()
    }
}

impl fmt::Display for FlashReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewOrder => f.write_str("nothing was written for this order yet"),
            Self::NewRelease { from } => write!(f, "{from} was written before"),
            Self::NextCard => f.write_str("the card before is done, and every card is ordered"),
            Self::CardFailed { why: Some(why) } => write!(f, "the card before failed: {why}"),
            Self::CardFailed { why: None } => f.write_str("the card before failed"),
        }
    }
}
