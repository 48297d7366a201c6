//! Flash jobs and receipts: what the controller asks of a card writer, and what that says came of
//! it.
//!
//! A job's id follows from what it asks for and its number, so the same wish has the same id also
//! after the state database was lost: a card writer that has done it answers with the receipt it
//! has, and writes no card twice.

use super::device::BoardName;
use super::digest::{Digest, canonical_json};
use super::flash::Fault;
use super::name::{ImageName, Version};
use super::spec::Architecture;
use super::writer::{OrderName, Repeat, SlotName, WriterKey, WriterName};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the receipt format.
pub const RECEIPT_FORMAT: u32 = 1;

/// What is signed begins with this, so that no other text with a signature of the key is one.
const DOMAIN: &[u8] = b"bootwright-receipt-v1\n";

/// The id of a flash job: SHA-256 of what it asks for, in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Digest);

impl JobId {
    /// The id of what is recorded about the job.
    pub fn uuid(self) -> uuid::Uuid {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0.as_bytes()[..16]);
        uuid::Builder::from_custom_bytes(half).into_uuid()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl std::str::FromStr for JobId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        format!("sha256:{text}").parse().map(Self).map_err(|_| format!("{text:?} is no id of a job"))
    }
}

/// What is asked of a card writer: this release on the card in that slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlashJob {
    /// The order that it follows from.
    pub order: OrderName,
    /// The card writer.
    pub writer: WriterName,
    /// Its slot.
    pub slot: SlotName,
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// Whether every card that is put in is written.
    pub repeat: Repeat,
    /// The architecture that the release must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// The board that the release must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<BoardName>,
    /// How many jobs for the same release and slot came before. From the second on, it is for
    /// another card than the one before.
    pub number: u32,
}

impl FlashJob {
    /// Its id.
    pub fn id(&self) -> JobId {
        JobId(Digest::of_json(self))
    }

    /// What all jobs have in common that follow from the same wish.
    pub fn wish(&self) -> Digest {
        Digest::of_json(&Self { number: 0, ..self.clone() })
    }
}

impl fmt::Display for FlashJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flash {} of {} ← {}/{}", self.slot, self.writer, self.image, self.version)
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Nobody has taken it yet.
    Pending,
    /// The card writer has taken it, and waits for a card or checks the release.
    Claimed,
    /// The card is probed, written and read back.
    Writing,
    /// The image is on the card.
    Done,
    /// It is not, and the card is to blame.
    Failed,
    /// The card was not touched: the card writer's own rules, or the release's signature.
    Refused,
    /// Nobody asks for it any more.
    Superseded,
}

/// A step that the table of jobs does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a flash job cannot go from {} to {}", from.as_str(), to.as_str())]
pub struct WrongStep {
    /// Where it stands.
    pub from: JobState,
    /// Where it was to go.
    pub to: JobState,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Claimed,
        Self::Writing,
        Self::Done,
        Self::Failed,
        Self::Refused,
        Self::Superseded,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Writing => "writing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
        }
    }

    /// Goes to `next`, if the table has it. A job that was lost on the way is claimed again. A
    /// receipt ends it wherever it stands: what was written is written.
    ///
    /// # Errors
    /// [`WrongStep`] otherwise.
    pub fn to(self, next: Self) -> Result<Self, WrongStep> {
        use JobState::*;
        let allowed: &[Self] = match self {
            Pending => &[Claimed, Done, Failed, Refused, Superseded],
            Claimed => &[Claimed, Writing, Done, Failed, Refused, Superseded],
            Writing => &[Claimed, Writing, Done, Failed, Refused],
            // The receipt of a card that was written before the wish was taken back.
            Superseded => &[Done, Failed, Refused],
            Done | Failed | Refused => &[],
        };
        if allowed.contains(&next) { Ok(next) } else { Err(WrongStep { from: self, to: next }) }
    }

    /// Whether a receipt ended it.
    pub fn has_receipt(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Refused)
    }
}

/// What came of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptResult {
    /// The image is on the card: all of it was read back and is right.
    Good,
    /// It is not, and the card is to blame.
    Failed,
    /// The card was not touched.
    Refused,
}

impl ReceiptResult {
    /// Where a job goes that ends so.
    pub fn state(self) -> JobState {
        match self {
            Self::Good => JobState::Done,
            Self::Failed => JobState::Failed,
            Self::Refused => JobState::Refused,
        }
    }
}

/// What a card writer says came of a job. What is signed is [`Receipt::signed_bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: u32,
    /// The job's id.
    pub job: JobId,
    /// What was asked for.
    pub asked: FlashJob,
    /// What the card says that it is, where the host can read that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// The device that the kernel gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The recipe of the release, if it was believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Digest>,
    /// SHA-256 of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// SHA-256 of what was read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_back: Option<Digest>,
    /// How much was read back.
    pub verify: String,
    /// When the card was begun.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// What came of it.
    pub result: ReceiptResult,
    /// What is wrong with the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Whether the card should not be used again.
    pub unhealthy: bool,
    /// Why it is not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Receipt {
    /// What is signed: a line that says what this is, and the receipt as canonical JSON (sorted
    /// keys, no spaces).
    pub fn signed_bytes(&self) -> Vec<u8> {
        [DOMAIN, &canonical_json(self)].concat()
    }
}

/// A receipt and the card writer's signature over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// The key that signed it.
    pub key: WriterKey,
    /// The signature, base64.
    pub signature: String,
}

impl SignedReceipt {
    /// The receipt, if `key` signed it and it says of itself what it is.
    pub fn verified(&self, key: &WriterKey) -> Option<&Receipt> {
        let receipt = &self.receipt;
        let sound = receipt.format == RECEIPT_FORMAT
            && receipt.job == receipt.asked.id()
            && self.key == *key
            // What was read back is what was to be there, or it is not good.
            && (receipt.result != ReceiptResult::Good
                || (receipt.sha256.is_some() && receipt.sha256 == receipt.read_back));
        (sound && key.verifies(&receipt.signed_bytes(), &self.signature)).then_some(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_with_a_receipt_stays_ended() {
        for from in JobState::ALL {
            for to in JobState::ALL {
                let allowed = from.to(to).is_ok();
                assert!(!(from.has_receipt() && allowed), "{from:?} {to:?}");
                if to == JobState::Pending {
                    assert!(!allowed, "{from:?}");
                }
                if to.has_receipt() && !from.has_receipt() {
                    assert!(allowed, "{from:?} {to:?}");
                }
            }
        }
        assert!(
            JobState::Writing.to(JobState::Superseded).is_err(),
            "a card that is written is seen to its end"
        );
    }
}
