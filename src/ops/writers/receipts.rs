//! Receipts on disk: one file for each job that ended. They are what lasts: the state database
//! takes from them what it has lost.

use crate::effects::files::{read_if_exists, write_atomic};
use crate::effects::{Point, point};
use crate::model::failure::IoContext;
use crate::model::receipt::{JobId, Receipt, ReceiptResult, SignedReceipt};
use crate::model::record::{FlashRecord, FlashResult};
use crate::model::writer::{CardWriter, WriterKey, WriterName};
use crate::model::{Failure, ImageDigest, Result};
use crate::state::{JobRow, Receiving, State};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of receipts, beside the catalog's settings.
const FOLDER: &str = "receipts";
/// No receipt is longer, in bytes.
const LONGEST: u64 = 64 << 10;

/// The folder of receipts.
#[derive(Clone, Debug)]
pub struct Receipts(PathBuf);

impl Receipts {
    /// The receipts of a catalog that is run on this folder.
    pub fn below(base: &Path) -> Self {
        Self(base.join(FOLDER))
    }

    fn path(&self, job: JobId) -> PathBuf {
        self.0.join(format!("{job}.json"))
    }

    /// Keeps a receipt, if the job has none yet; gives the one that it has.
    ///
    /// # Errors
    /// If the file cannot be written or read.
    pub fn keep(&self, text: &str, job: JobId) -> Result<String> {
        let path = self.path(job);
        if let Some(bytes) = read_if_exists(&path, LONGEST)? {
            return String::from_utf8(bytes).map_err(|e| Failure::host(format!("{}: {e}", path.display())));
        }
        write_atomic(&path, text.as_bytes(), 0o644)?;
        point(Point::CardReceiptKept)?;
        Ok(text.to_owned())
    }

    /// What the state database has lost: receipts of jobs that have none there. What is no
    /// receipt of a writer of this catalog is left alone.
    ///
    /// # Errors
    /// If files or database cannot be read.
    pub async fn lost(
        &self,
        state: &State,
        known: &[JobRow],
        writers: &BTreeMap<WriterName, CardWriter>,
    ) -> Result<Vec<(Receipt, String)>> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Failure::io(format!("reading {}", self.0.display()), &e)),
        };
        let mut lost = Vec::new();
        for entry in entries {
            let name = entry.during(|| format!("reading {}", self.0.display()))?.file_name();
            let job = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<JobId>().ok());
            let Some(job) = job else { continue };
            if known.iter().any(|row| row.id == job && row.state.has_receipt()) {
                continue;
            }
            let Some(text) = read_if_exists(&self.path(job), LONGEST)? else { continue };
            let text = String::from_utf8_lossy(&text).into_owned();
            let Ok(signed) = serde_json::from_str::<SignedReceipt>(&text) else { continue };
            let Some(key) = key_of(state, writers, &signed.receipt.asked.writer).await? else { continue };
            if let Some(receipt) = signed.verified(&key).filter(|receipt| receipt.job == job) {
                lost.push((receipt.clone(), text));
            }
        }
        lost.sort_by_key(|(receipt, _)| receipt.finished);
        Ok(lost)
    }
}

/// Ends the job of a receipt, and records what was written.
///
/// # Errors
/// If the database cannot be written.
pub async fn end(state: &State, receipt: &Receipt, text: &str, now: DateTime<Utc>) -> Result<Receiving> {
    let Receipt { asked, result, message, .. } = receipt;
    let ended = state.end_job(asked, result.state(), message.clone(), text, now).await?;
    if ended != Receiving::Other {
        state.record_flash(&record(receipt)).await?;
    }
    Ok(ended)
}

/// A receipt as a record; the same one always has the same id.
fn record(receipt: &Receipt) -> FlashRecord {
    let Receipt { asked, .. } = receipt;
    FlashRecord {
        id: receipt.job.uuid(),
        started: receipt.started,
        finished: Some(receipt.finished),
        source: format!("{}/{}", asked.image, asked.version),
        image: Some(asked.image.clone()),
        version: Some(asked.version.clone()),
        recipe: receipt.recipe,
        digest: receipt.sha256.map(ImageDigest::Sha256),
        slot: format!("{}/{}", asked.writer, asked.slot),
        device: receipt.device.clone().unwrap_or_default().into(),
        card: receipt.card.clone(),
        verify: Some(receipt.verify.clone()),
        result: match receipt.result {
            ReceiptResult::Good => FlashResult::Good,
            ReceiptResult::Failed => FlashResult::Failed,
            ReceiptResult::Refused => FlashResult::Refused,
        },
        fault: receipt.fault,
        unhealthy: receipt.unhealthy,
        message: receipt.message.clone(),
    }
}

/// The key of a card writer: what the catalog says, else what enrolled.
///
/// # Errors
/// If the database cannot be read.
pub async fn key_of(
    state: &State,
    writers: &BTreeMap<WriterName, CardWriter>,
    writer: &WriterName,
) -> Result<Option<WriterKey>> {
    let Some(document) = writers.get(writer) else { return Ok(None) };
    match &document.spec.public_key {
        Some(key) => Ok(Some(key.clone())),
        None => state.writer_key(writer).await,
    }
}
