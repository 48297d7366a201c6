//! One slot: a job is taken, a card is waited for and written, a receipt is signed and given.

use super::RunRequest;
use super::asking::Asking;
use super::beating::Beating;
use super::card::{self, Waited};
use super::folder::Folder;
use super::journal::{Current, Journal, Last, Medium, Stage};
use crate::effects::{Point, point};
use crate::model::flash::{CardReport, Device, Fault, VerifyScope};
use crate::model::receipt::{FlashJob, JobState, RECEIPT_FORMAT, Receipt, ReceiptResult, SignedReceipt};
use crate::model::writer::Slot;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, ImageDigest, Result};
use crate::ops::{
    self, BootTarget, CatalogRef, Context, FlashRequest, MapChoice, Prepared, ReleaseRef, ReleaseWhich,
};
use chrono::{DateTime, Utc};
use std::time::{Duration, Instant};

/// How long one request for a job waits for one.
const WAIT: Duration = Duration::from_secs(30);
/// How long to wait after something failed that may pass, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// One slot at work.
pub struct Worker<'a> {
    context: &'a Context,
    folder: &'a Folder,
    asking: &'a Asking<'a>,
    slot: &'a Slot,
    request: &'a RunRequest,
    failures: u32,
}

/// What came of one round.
enum Round {
    /// The controller has a receipt.
    Given,
    /// There is nothing to do.
    Nothing,
    /// Something is to be done next.
    Next,
    /// It may pass.
    Later(Failure),
}

/// What came of carrying out a job.
enum Outcome {
    /// It ended.
    Ended(Box<Receipt>, Option<Last>),
    /// It is not ours any more.
    Lost,
    /// Somebody asked to stop; it goes on later.
    Stopped,
    /// It may pass.
    Later(Failure),
}

impl<'a> Worker<'a> {
    /// The work of a slot.
    pub fn new(
        context: &'a Context,
        folder: &'a Folder,
        asking: &'a Asking<'a>,
        slot: &'a Slot,
        request: &'a RunRequest,
    ) -> Self {
        Self { context, folder, asking, slot, request, failures: 0 }
    }

    /// Does one job after the other; gives the number of receipts that were given.
    ///
    /// # Errors
    /// If the journal cannot be read or written: nothing may be begun then.
    pub fn work(mut self) -> Result<usize> {
        let mut journal = Journal::open(self.folder, &self.slot.name)?;
        let mut given = 0;
        while !self.context.cancel.is_requested() {
            match self.round(&mut journal)? {
                Round::Given => given += 1,
                Round::Next => continue,
                Round::Nothing => {}
                Round::Later(failure) => {
                    self.pause(&failure);
                    continue;
                }
            }
            self.failures = 0;
            if self.request.once {
                break;
            }
        }
        Ok(given)
    }

    fn round(&mut self, journal: &mut Journal) -> Result<Round> {
        let Some(current) = journal.current().cloned() else { return self.take(journal) };
        match current.stage {
            Stage::Signed { receipt } => self.give(journal, &receipt),
            _ => self.job(journal, current),
        }
    }

    /// Asks for a job.
    fn take(&mut self, journal: &mut Journal) -> Result<Round> {
        let wait = if self.request.once { Duration::ZERO } else { WAIT };
        let claimed = match self.asking.claim(self.slot, wait) {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(Round::Nothing),
            Err(failure) if self.request.once && !may_pass(&failure) => return Err(failure),
            Err(failure) => return Ok(Round::Later(failure)),
        };
        // What was done before is not done again: the controller has lost what it knew.
        let stage = match journal.receipt(claimed.job.id())? {
            Some(receipt) => Stage::Signed { receipt: Box::new(receipt) },
            None => Stage::Taken,
        };
        journal.note(Current { claimed, stage })?;
        point(Point::WriterTook)?;
        Ok(Round::Next)
    }

    /// Gives the controller a receipt.
    fn give(&mut self, journal: &mut Journal, receipt: &SignedReceipt) -> Result<Round> {
        match self.asking.give(receipt) {
            Ok(taken) => {
                if !taken {
                    let job = receipt.receipt.job;
                    self.context.events.warn(format!("job {job} had ended with another receipt"));
                }
                point(Point::WriterTold)?;
                journal.close()?;
                Ok(Round::Given)
            }
            Err(failure) => Ok(Round::Later(failure)),
        }
    }

    /// Carries a job out, and tells the controller so beside it.
    fn job(&mut self, journal: &mut Journal, current: Current) -> Result<Round> {
        let beating = Beating::new(&current.claimed);
        let lease = Duration::from_secs(current.claimed.lease_seconds);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| beating.tell(self.asking, lease, &self.context.cancel));
            let outcome = self.carry_out(journal, &current, &beating);
            beating.end();
            outcome
        })?;
        match outcome {
            Outcome::Ended(receipt, last) => {
                let signature = self.folder.key.sign(&receipt.signed_bytes());
                let signed = SignedReceipt { receipt: *receipt, key: self.folder.key.public()?, signature };
                journal.sign(current.claimed, signed, last)?;
                point(Point::WriterSigned)?;
                Ok(Round::Next)
            }
            Outcome::Lost => {
                self.context.events.warn(format!("{}: nobody asks for this any more", current.claimed.job));
                journal.close()?;
                Ok(Round::Nothing)
            }
            Outcome::Stopped => Ok(Round::Nothing),
            Outcome::Later(failure) => Ok(Round::Later(failure)),
        }
    }

    fn carry_out(&self, journal: &mut Journal, current: &Current, beating: &Beating) -> Result<Outcome> {
        let (claimed, job) = (&current.claimed, &current.claimed.job);
        let started = self.context.clock.now();
        if let Err(why) = card::may_carry(self.slot, &self.folder.settings.name, job) {
            return Ok(self.refused(job, None, started, &why));
        }
        // A card that was begun is gone on with; else one that is not done yet is waited for.
        let begun = match &current.stage {
            Stage::Writing { medium, .. } => Some(medium.clone()),
            _ => None,
        };
        let context = Context { cancel: beating.cancel.clone(), ..self.context.clone() };
        let device =
            match card::wait(&context, self.slot, &self.catalog(), journal, job, begun.as_ref(), beating)? {
                Waited::Card(device) => *device,
                Waited::Stopped if beating.is_lost() => return Ok(Outcome::Lost),
                Waited::Stopped => return Ok(Outcome::Stopped),
            };
        beating.say(JobState::Claimed, "checking the release");
        let prepared = match ops::flash_prepare(&context, &self.flash_request(job, &device)) {
            Ok(prepared) => prepared,
            Err(_) if context.cancel.is_requested() => {
                return Ok(if beating.is_lost() { Outcome::Lost } else { Outcome::Stopped });
            }
            Err(failure) if may_pass(&failure) => return Ok(Outcome::Later(failure)),
            Err(failure) => return Ok(self.refused(job, Some(&device), started, &failure.message)),
        };
        if let Err(why) = card::may_carry_release(self.slot, job, prepared.plan()) {
            return Ok(self.refused(job, Some(&device), started, &why));
        }
        point(Point::WriterReady)?;
        let medium = Medium::of(&device);
        let last = |again| Some(Last { wish: job.wish(), medium: medium.clone(), again });
        if begun.as_ref() == Some(&medium)
            && let Ok(Some(found)) = prepared.already(&context)
        {
            let receipt = self.good(job, &device, &prepared, started, found);
            return Ok(Outcome::Ended(Box::new(receipt), last(false)));
        }
        let stage = Stage::Writing { started, medium: medium.clone() };
        journal.note(Current { claimed: claimed.clone(), stage })?;
        beating.say(JobState::Writing, "writing");
        point(Point::WriterBegan)?;
        let recipe = prepared.plan().release.as_ref().map(|release| release.recipe);
        let report = match ops::flash_write(&context, prepared) {
            Ok(report) => report,
            Err(failure) => return Ok(Outcome::Later(failure)),
        };
        point(Point::WriterWrote)?;
        let Some(card) = report.cards.first() else {
            return Err(Failure::bug("a card was written and nothing is reported of it"));
        };
        if context.cancel.is_requested() && !card.good {
            return Ok(if beating.is_lost() { Outcome::Lost } else { Outcome::Stopped });
        }
        let sha256 = report.image_digest.and_then(ImageDigest::sha256);
        let receipt = self.of_report(job, &device, started, card, sha256, recipe);
        // One that was pulled out or changed is no bad card.
        let again = matches!(card.fault, Some(Fault::Vanished | Fault::Replaced));
        Ok(Outcome::Ended(Box::new(receipt), last(again)))
    }

    /// The agent's folder, which is a catalog without images.
    fn catalog(&self) -> CatalogRef {
        CatalogRef { location: self.folder.path.display().to_string(), rev: None }
    }

    fn flash_request(&self, job: &FlashJob, device: &Device) -> FlashRequest {
        let which = ReleaseWhich::Version(job.version.clone());
        FlashRequest {
            catalog: self.catalog(),
            store: None,
            target: BootTarget::Release(ReleaseRef { image: job.image.clone(), which }),
            sha256: None,
            block_map: MapChoice::Beside,
            architecture: job.architecture,
            board: job.board.clone(),
            keys: Vec::new(),
            threshold: None,
            devices: vec![device.path.clone()],
            verify: VerifyScope::All,
            wipe: false,
            patience: self.request.patience,
            force: false,
            dry_run: false,
            reader: Some(format!("{}/{}", self.folder.settings.name, self.slot.name)),
        }
    }

    fn refused(&self, job: &FlashJob, device: Option<&Device>, started: DateTime<Utc>, why: &str) -> Outcome {
        self.context.events.warn(format!("{job}: refused: {why}"));
        let mut receipt = self.receipt(job, device, started, ReceiptResult::Refused);
        receipt.message = Some(why.to_owned());
        Outcome::Ended(Box::new(receipt), None)
    }

    fn good(
        &self,
        job: &FlashJob,
        device: &Device,
        prepared: &Prepared,
        started: DateTime<Utc>,
        found: Digest,
    ) -> Receipt {
        let mut receipt = self.receipt(job, Some(device), started, ReceiptResult::Good);
        receipt.recipe = prepared.plan().release.as_ref().map(|release| release.recipe);
        (receipt.sha256, receipt.read_back) = (Some(found), Some(found));
        receipt
    }

    fn of_report(
        &self,
        job: &FlashJob,
        device: &Device,
        started: DateTime<Utc>,
        card: &CardReport,
        sha256: Option<Digest>,
        recipe: Option<Digest>,
    ) -> Receipt {
        let result = if card.good { ReceiptResult::Good } else { ReceiptResult::Failed };
        Receipt {
            recipe,
            sha256,
            read_back: card.read_back.and_then(ImageDigest::sha256),
            fault: card.fault,
            unhealthy: card.unhealthy,
            message: card.failure.as_ref().map(|failure| failure.message.clone()),
            ..self.receipt(job, Some(device), started, result)
        }
    }

    fn receipt(
        &self,
        job: &FlashJob,
        device: Option<&Device>,
        started: DateTime<Utc>,
        result: ReceiptResult,
    ) -> Receipt {
        Receipt {
            format: RECEIPT_FORMAT,
            job: job.id(),
            asked: job.clone(),
            card: device.and_then(|device| device.card.clone()),
            device: device.map(|device| device.path.display().to_string()),
            recipe: None,
            sha256: None,
            read_back: None,
            verify: VerifyScope::All.to_string(),
            started,
            finished: self.context.clock.now(),
            result,
            fault: None,
            unhealthy: false,
            message: None,
        }
    }

    /// Waits a while, longer with each failure in a row.
    fn pause(&mut self, failure: &Failure) {
        if self.failures == 0 {
            self.context.events.warn(format!("slot {}: {failure}; it is tried again", self.slot.name));
        }
        let pause = PAUSES.0.saturating_mul(1 << self.failures.min(6)).min(PAUSES.1);
        self.failures += 1;
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.context.cancel.is_requested() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Whether a failure says nothing about release, card or rules.
fn may_pass(failure: &Failure) -> bool {
    failure.code != ErrorCode::Untrusted
        && matches!(failure.class, FailureClass::Upstream | FailureClass::Host)
}
