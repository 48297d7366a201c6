//! Records of writing to cards: what was written where, when, and what came of it.
//!
//! Records are kept in the state database and can be lost with it; what lasts is a card writer's
//! signed [receipt](super::receipt).

use super::digest::{Digest, ImageDigest};
use super::flash::Fault;
use super::name::{ImageName, Version};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One card that was written, or was to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashRecord {
    /// Its id; sorts by time (UUID version 7).
    pub id: uuid::Uuid,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<DateTime<Utc>>,
    /// What was written: a release, or a file's name.
    pub source: String,
    /// The image, if it was a release.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<ImageName>,
    /// The release.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<Version>,
    /// The release's recipe, which a booted image says of itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipe: Option<Digest>,
    /// What the unpacked image is known by, if all of it was read; `sha256` in older records.
    #[serde(skip_serializing_if = "Option::is_none", default, alias = "sha256")]
    pub digest: Option<ImageDigest>,
    /// The device, and for a card writer `WRITER/SLOT`: the reader that the card was in.
    pub slot: String,
    /// The device.
    pub device: PathBuf,
    /// What the card says that it is, where the host can read that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub card: Option<String>,
    /// How much was to be read back: `all`, `prefix=SIZE`, `none`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verify: Option<String>,
    /// What came of it.
    pub result: FlashResult,
    /// What is wrong with the card.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<Fault>,
    /// Whether the card should not be used again.
    pub unhealthy: bool,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

impl FlashRecord {
    /// How long it took, in milliseconds.
    pub fn elapsed_ms(&self) -> Option<u64> {
        u64::try_from((self.finished? - self.started).num_milliseconds()).ok()
    }
}

/// What came of writing to a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlashResult {
    /// It began and nobody said how it ended: it is at work, or was killed.
    Begun,
    /// The image is on the card, as far as was asked to be proved.
    Good,
    /// It is not.
    Failed,
    /// The card was not touched.
    Refused,
}

impl FlashResult {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Good => "good",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// How a card, or a reader, did over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The card or the reader.
    pub name: String,
    /// How often it was written to.
    pub writes: usize,
    /// How often the image was on it afterwards.
    pub good: usize,
    /// How often it was not.
    pub failed: usize,
    /// How often the card was found to be unhealthy.
    pub unhealthy: usize,
    /// What was wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<Fault>,
    /// Whether the last write found the card unhealthy.
    pub is_unhealthy: bool,
    /// When it was last written to.
    pub last: Option<DateTime<Utc>>,
}

/// Counts records, newest first, by what `of` says; what it says nothing about is left out.
/// What never reached a card says nothing about it.
pub fn health(records: &[FlashRecord], of: impl Fn(&FlashRecord) -> Option<String>) -> Vec<Health> {
    let mut all: BTreeMap<String, Health> = BTreeMap::new();
    for record in records.iter().filter(|r| matches!(r.result, FlashResult::Good | FlashResult::Failed)) {
        let Some(name) = of(record) else { continue };
        let health = all.entry(name.clone()).or_insert_with(|| Health {
            name,
            is_unhealthy: record.unhealthy,
            last: Some(record.started),
            ..Health::default()
        });
        health.writes += 1;
        health.good += usize::from(record.result == FlashResult::Good);
        health.failed += usize::from(record.result == FlashResult::Failed);
        health.unhealthy += usize::from(record.unhealthy);
        health.last_fault = health.last_fault.or(record.fault);
    }
    all.into_values().collect()
}
