//! What the agent has begun in one slot, on disk before it happens.

use super::folder::Folder;
use crate::effects::alive;
use crate::effects::files::{read_if_exists, write_atomic};
use crate::model::flash::Device;
use crate::model::receipt::{JobId, SignedReceipt};
use crate::model::writer::SlotName;
use crate::model::writer_api::Claimed;
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// No journal or receipt is longer, in bytes.
const LONGEST: u64 = 256 << 10;

/// What the agent knows about one slot.
pub struct Journal {
    path: PathBuf,
    receipts: PathBuf,
    pages: Pages,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pages {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<Current>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Last>,
}

/// The job that is worked on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// The job.
    pub claimed: Claimed,
    /// How far it is.
    pub stage: Stage,
}

/// How far a job is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Stage {
    /// It was taken, and no card was touched.
    Taken,
    /// A card is written.
    Writing {
        /// Since when.
        started: DateTime<Utc>,
        /// Which.
        medium: Medium,
    },
    /// It has ended, and the controller may not know yet.
    Signed {
        /// The receipt.
        receipt: Box<SignedReceipt>,
    },
}

/// The card that was written last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// What was asked for.
    pub wish: Digest,
    /// The card.
    pub medium: Medium,
    /// Whether the card is to be tried again for the same wish: it was pulled out, say.
    pub again: bool,
}

/// A card in a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Medium {
    /// What it says that it is.
    pub card: Option<String>,
    /// The kernel's count of media, which begins anew with every boot.
    pub sequence: Option<u64>,
    /// The boot.
    pub boot: String,
}

/// Whether two media are one card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// They are.
    Yes,
    /// They are not, or it was taken out and put in since.
    No,
    /// Nobody can know: the host was started anew.
    Unknown,
}

impl Medium {
    /// The card in a device.
    pub fn of(device: &Device) -> Self {
        let boot = alive::identity(std::process::id()).boot;
        Self { card: device.card.clone(), sequence: device.sequence, boot }
    }

    /// Whether this and `other` are one card.
    pub fn is(&self, other: &Self) -> Same {
        if self.boot == other.boot && self.sequence.is_some() && self.sequence == other.sequence {
            return Same::Yes;
        }
        // A USB reader's number says nothing about the card in it.
        let own = |medium: &Self| medium.card.clone().filter(|card| !card.starts_with("serial:"));
        match (own(self), own(other)) {
            (Some(one), Some(two)) => {
                if one == two {
                    Same::Yes
                } else {
                    Same::No
                }
            }
            _ if self.boot == other.boot => Same::No,
            _ => Same::Unknown,
        }
    }
}

impl Journal {
    /// The journal of a slot.
    ///
    /// # Errors
    /// If it cannot be read: what was begun is then not known, and nothing new is.
    pub fn open(folder: &Folder, slot: &SlotName) -> Result<Self> {
        let path = folder.path.join("slots").join(format!("{slot}.json"));
        let pages = match read_if_exists(&path, LONGEST)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Failure::host(format!("the journal {} cannot be read: {e}", path.display()))
                    .hint("Look which card is in the slot, then take the file away.")
            })?,
            None => Pages::default(),
        };
        Ok(Self { path, receipts: folder.path.join("receipts"), pages })
    }

    /// The job that is worked on.
    pub fn current(&self) -> Option<&Current> {
        self.pages.current.as_ref()
    }

    /// The card that was written last.
    pub fn last(&self) -> Option<&Last> {
        self.pages.last.as_ref()
    }

    /// Notes how far a job is.
    ///
    /// # Errors
    /// If it cannot be written; then the step must not be taken.
    pub fn note(&mut self, current: Current) -> Result<()> {
        self.pages.current = Some(current);
        self.save()
    }

    /// Notes a receipt, and the card that it is about.
    ///
    /// # Errors
    /// As [`Journal::note`].
    pub fn sign(&mut self, claimed: Claimed, receipt: SignedReceipt, last: Option<Last>) -> Result<()> {
        let text =
            serde_json::to_vec(&receipt).map_err(|e| Failure::bug(format!("a receipt has no JSON: {e}")))?;
        write_atomic(&self.receipt_path(receipt.receipt.job), &text, 0o644)?;
        self.pages.last = last.or(self.pages.last.take());
        self.note(Current { claimed, stage: Stage::Signed { receipt: Box::new(receipt) } })
    }

    /// The receipt of a job that was done before.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn receipt(&self, job: JobId) -> Result<Option<SignedReceipt>> {
        let path = self.receipt_path(job);
        let Some(bytes) = read_if_exists(&path, LONGEST)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Failure::host(format!("the receipt {} cannot be read: {e}", path.display())))
    }

    /// Notes that the card that was written last is this one.
    ///
    /// # Errors
    /// As [`Journal::note`].
    pub fn is_still(&mut self, medium: Medium) -> Result<()> {
        if let Some(last) = &mut self.pages.last {
            last.medium = medium;
        }
        self.save()
    }

    /// Notes that nothing is worked on.
    ///
    /// # Errors
    /// As [`Journal::note`].
    pub fn close(&mut self) -> Result<()> {
        self.pages.current = None;
        self.save()
    }

    fn receipt_path(&self, job: JobId) -> PathBuf {
        self.receipts.join(format!("{job}.json"))
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_vec(&self.pages)
            .map_err(|e| Failure::bug(format!("a journal has no JSON: {e}")))?;
        write_atomic(&self.path, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_another_one_only_if_that_is_sure() {
        let medium = |card: Option<&str>, sequence, boot: &str| Medium {
            card: card.map(str::to_owned),
            sequence: Some(sequence),
            boot: boot.to_owned(),
        };
        let cid = Some("cid:1");
        for (one, two, same) in [
            (medium(None, 1, "a"), medium(None, 1, "a"), Same::Yes),
            (medium(None, 1, "a"), medium(None, 2, "a"), Same::No),
            (medium(None, 1, "a"), medium(None, 1, "b"), Same::Unknown),
            (medium(cid, 1, "a"), medium(cid, 9, "b"), Same::Yes),
            (medium(cid, 1, "a"), medium(Some("cid:2"), 1, "b"), Same::No),
            (medium(Some("serial:r"), 1, "a"), medium(Some("serial:r"), 2, "a"), Same::No),
            (medium(Some("serial:r"), 1, "a"), medium(Some("serial:r"), 2, "b"), Same::Unknown),
        ] {
            assert_eq!(one.is(&two), same, "{one:?} {two:?}");
            assert_eq!(two.is(&one), same);
        }
    }
}
