//! All cards of one job: probed, written, read back, and written again where they are wrong.
//!
//! Each card has a thread of its own. A device that hangs in a request hangs its thread, and
//! nobody can take that back; so nobody waits for it: the card is given up and the rest go on.

use super::card::{Card, Trouble};
use super::feed::Feed;
use super::inventory::{Blocks, Inventory, Whole, take};
use super::judge::rewrite;
use super::readback::{Read, read_back};
use super::write::{Clearing, Ended, unboot, write as write_card};
use super::{Measured, Source, probe::probe};
use crate::effects::{Cancel, ClaimedDevice, Task};
use crate::model::event::{Emitter, Unit};
use crate::model::flash::{CardReport, Fault, VerifyScope};
use crate::model::{Failure, ImageDigest, Result};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How often hanging devices are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// The image file.
    pub source: &'a Source,
    /// What was found out about it.
    pub measured: &'a Measured,
    /// The cards.
    pub devices: Vec<ClaimedDevice>,
    /// How much is read back.
    pub verify: VerifyScope,
    /// Whether the last MiB of each device is made zero too.
    pub wipe: bool,
    /// How long one request to a device may take.
    pub patience: Duration,
}

/// What came of a job.
#[derive(Debug)]
pub struct Written {
    /// What the unpacked image is known by, if all of it was read.
    pub image: Option<ImageDigest>,
    /// The cards, in the order of the job.
    pub cards: Vec<CardReport>,
}

/// One card and what is known of it so far.
struct Member {
    card: Arc<Card>,
    trouble: Option<Trouble>,
    failure: Option<Failure>,
    report: CardReport,
}

impl Member {
    fn is_live(&self) -> bool {
        self.trouble.is_none() && self.failure.is_none()
    }
}

struct Fleet<'a> {
    members: Vec<Member>,
    patience: Duration,
    events: &'a Emitter,
    cancel: &'a Cancel,
}

/// Writes an image to all cards of a job. What fails is in the reports.
///
/// # Errors
/// If the source cannot be opened again.
pub fn write(job: Job<'_>, events: &Emitter, cancel: &Cancel) -> Result<Written> {
    let members = job.devices.into_iter().map(|device| member(device, job.verify)).collect();
    let mut fleet = Fleet { members, patience: job.patience, events, cancel };
    fleet.probe();
    let clearing = Clearing { image: job.measured.image_size, end: job.wipe };
    let inventory = fleet.write(job.source, job.measured, clearing)?;
    if let Some(inventory) = &inventory {
        let length = job.verify.bytes(inventory.size);
        fleet.verify(&fleet.live(), inventory, length);
        fleet.mend(job.source, job.measured, inventory, length)?;
    }
    fleet.take_back();
    let image = inventory.map(|inventory| inventory.image);
    let cards = fleet.members.into_iter().map(|member| report(member, image.is_some())).collect();
    Ok(Written { image, cards })
}

impl Fleet<'_> {
    fn probe(&mut self) {
        let events = self.events.clone();
        let found = self.on_live(
            move |_, card| {
                let task = Task::start(&events, format!("probe {}", card.name()));
                let probed = probe(card);
                end(task, &probed, |()| "it holds what it says".to_owned());
                probed
            },
            &|_| {},
        );
        self.note(found, |_, ()| {});
    }

    /// Writes to all that are live. Gives what the image consists of, if it came to its end.
    fn write(
        &mut self,
        source: &Source,
        measured: &Measured,
        clearing: Clearing,
    ) -> Result<Option<Arc<Inventory>>> {
        let live = self.live();
        if live.is_empty() {
            return Ok(None);
        }
        // More lanes, unless that is known: the fingerprints of blocks, and the SHA-256 of all where
        // somebody speaks it.
        let wants_blocks = measured.inventory.is_none();
        let wants_whole = wants_blocks && measured.image.is_none() && measured.file_sha256.is_some();
        let feed = Arc::new(Feed::new(live.len(), usize::from(wants_blocks) + usize::from(wants_whole)));
        let blocks = wants_blocks.then(|| take::<Blocks>(Arc::clone(&feed), live.len()));
        let whole = wants_whole.then(|| take::<Whole>(Arc::clone(&feed), live.len() + 1));
        let pouring = pour(Arc::clone(&feed), source, measured, self.cancel)?;
        let (events, lanes, size) = (self.events.clone(), Arc::clone(&feed), measured.image_size);
        let ended = self.on_live(
            move |lane, card| {
                let label = format!("write {}", card.name());
                let task = Task::with_total(&events, label, Some(size), Unit::Bytes);
                let started = Instant::now();
                let ended = write_card(card, &lanes, lane, clearing, &task);
                end(task, &ended, |ended| match ended {
                    Ended::Whole => "written".to_owned(),
                    Ended::Broken => "broken off; it does not boot".to_owned(),
                });
                ended.map(|ended| (ended, millis(started)))
            },
            &|lane| feed.close(lane),
        );
        let poured = pouring.join().unwrap_or_else(|_| Err(Failure::bug("the unpacking thread ended early")));
        let whole = whole.and_then(|whole| whole.join().unwrap_or_default()).map(Whole::digest);
        let blocks = blocks.and_then(|blocks| blocks.join().unwrap_or_default());
        let known = measured.image.or(whole);
        let taken = blocks.filter(|_| known.is_some() || !wants_whole);
        let taken = taken.map(|blocks| Arc::new(Inventory::new(blocks, known)));
        let inventory = measured.inventory.clone().or(taken).filter(|_| poured.is_ok());
        let failure =
            poured.err().filter(|_| ended.iter().any(|(_, ended)| matches!(ended, Ok((Ended::Broken, _)))));
        self.note(ended, |member, (ended, elapsed)| {
            member.report.write_ms = elapsed;
            if ended == Ended::Broken {
                member.failure = Some(failure.clone().unwrap_or_else(Failure::cancelled));
            }
        });
        Ok(inventory)
    }

    /// Reads back the first `length` bytes from some.
    fn verify(&mut self, which: &[usize], inventory: &Arc<Inventory>, length: u64) {
        if length == 0 {
            return;
        }
        let (events, cancel, inventory) = (self.events.clone(), self.cancel.clone(), Arc::clone(inventory));
        let read = self.on(
            which,
            move |_, card| {
                let label = format!("verify {}", card.name());
                let task = Task::with_total(&events, label, Some(length), Unit::Bytes);
                let started = Instant::now();
                let read = read_back(card, &inventory, length, &task, &cancel);
                let bad = card.bad().len();
                end(task, &read, |read| match (read, bad) {
                    (None, _) => "broken off".to_owned(),
                    (Some(_), 0) => "the card holds the image".to_owned(),
                    (Some(_), bad) => format!("failed: {bad} blocks are wrong"),
                });
                read.map(|read| (read, millis(started)))
            },
            &|_| {},
        );
        self.note(read, |member, (read, elapsed)| {
            member.report.verify_ms += elapsed;
            match read {
                Some(Read { right, image }) => {
                    (member.report.verified, member.report.read_back) = (right, image);
                }
                None => member.failure = Some(Failure::cancelled()),
            }
        });
    }

    /// Names what is wrong with the cards that gave back other blocks, writes those again
    /// once, and reads everything back again.
    fn mend(
        &mut self,
        source: &Source,
        measured: &Measured,
        inventory: &Arc<Inventory>,
        length: u64,
    ) -> Result<()> {
        let wrong: Vec<usize> =
            self.live().into_iter().filter(|index| !self.members[*index].card.bad().is_empty()).collect();
        if wrong.is_empty() || self.cancel.is_requested() {
            return Ok(());
        }
        for index in &wrong {
            let member = &mut self.members[*index];
            let bad = member.card.bad();
            member.report.bad_blocks = bad.len() as u64;
            member.report.first_bad = bad.first().map(|index| index * super::BLOCK as u64);
        }
        let feed = Arc::new(Feed::new(wrong.len(), 0));
        let pouring = pour(Arc::clone(&feed), source, measured, self.cancel)?;
        let (events, lanes, blocks) = (self.events.clone(), Arc::clone(&feed), Arc::clone(inventory));
        let seconds = self.on(
            &wrong,
            move |lane, card| {
                let task = Task::start(&events, format!("write wrong blocks of {} again", card.name()));
                let second = rewrite(card, &lanes, lane, &blocks);
                end(task, &second, |second| match second.rewritten {
                    true => "written".to_owned(),
                    false => "failed: too many are wrong".to_owned(),
                });
                second
            },
            &|lane| feed.close(lane),
        );
        let poured = pouring.join().unwrap_or_else(|_| Err(Failure::bug("the unpacking thread ended early")));
        let mut again = Vec::new();
        for (index, second) in seconds {
            let member = &mut self.members[index];
            match second {
                Err(trouble) => member.trouble = Some(trouble),
                Ok(second) if second.ended == Ended::Broken => {
                    member.failure = Some(poured.clone().err().unwrap_or_else(Failure::cancelled));
                }
                Ok(second) if second.rewritten => again.push((index, second.trouble)),
                Ok(second) => {
                    let first = member.report.first_bad.unwrap_or_default();
                    member.trouble =
                        second.trouble.or_else(|| Some(Trouble::new(Fault::DropsWrites).at(first)));
                }
            }
        }
        self.verify_again(inventory, length, again);
        Ok(())
    }

    /// What was written again is read again, all of it: a card that wraps around has just
    /// overwritten something else.
    fn verify_again(
        &mut self,
        inventory: &Arc<Inventory>,
        length: u64,
        again: Vec<(usize, Option<Trouble>)>,
    ) {
        let which: Vec<usize> = again.iter().map(|(index, _)| *index).collect();
        self.verify(&which, inventory, length);
        for (index, named) in again {
            let member = &mut self.members[index];
            if !member.is_live() {
                continue;
            }
            let left = member.card.bad().len() as u64;
            if left == 0 {
                member.report.repaired_blocks = member.report.bad_blocks;
                member.report.bad_blocks = 0;
                continue;
            }
            member.report.bad_blocks = member.report.bad_blocks.max(left);
            let first = member.report.first_bad.unwrap_or_default();
            member.trouble = named.or_else(|| Some(Trouble::new(Fault::DropsWrites).at(first)));
        }
    }

    /// Nothing that is not proved shall boot: the beginning of such cards is made zero again.
    fn take_back(&mut self) {
        let which: Vec<usize> = (0..self.members.len())
            .filter(|index| {
                let member = &self.members[*index];
                !member.is_live() && member.card.bootable.load(Relaxed)
            })
            .collect();
        self.on(&which, |_, card| unboot(card), &|_| {});
    }

    fn live(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|index| self.members[*index].is_live()).collect()
    }

    fn on_live<T: Send + 'static>(
        &self,
        work: impl Fn(usize, &Card) -> Result<T, Trouble> + Send + Sync + 'static,
        dropped: &dyn Fn(usize),
    ) -> Vec<(usize, Result<T, Trouble>)> {
        self.on(&self.live(), work, dropped)
    }

    /// Does something with cards at once, each in a thread of its own. A card that fails, or
    /// hangs in one request for too long, is told to `dropped` by its place in `which`.
    fn on<T: Send + 'static>(
        &self,
        which: &[usize],
        work: impl Fn(usize, &Card) -> Result<T, Trouble> + Send + Sync + 'static,
        dropped: &dyn Fn(usize),
    ) -> Vec<(usize, Result<T, Trouble>)> {
        let work = Arc::new(work);
        let (send, receive) = mpsc::channel();
        for (lane, index) in which.iter().enumerate() {
            let (card, work, send) =
                (Arc::clone(&self.members[*index].card), Arc::clone(&work), send.clone());
            std::thread::spawn(move || drop(send.send((lane, work(lane, &card)))));
        }
        drop(send);
        let mut found: Vec<Option<Result<T, Trouble>>> = which.iter().map(|_| None).collect();
        while found.iter().any(Option::is_none) {
            match receive.recv_timeout(LOOK) {
                Ok((lane, result)) if found[lane].is_none() => {
                    if result.is_err() {
                        dropped(lane);
                    }
                    found[lane] = Some(result);
                }
                // It answered after all, too late.
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            for (lane, index) in which.iter().enumerate() {
                let card = &self.members[*index].card;
                if found[lane].is_none() && card.busy_for() > self.patience {
                    card.give_up();
                    dropped(lane);
                    self.events.warn(format!("{} hangs and is given up; the others go on", card.name()));
                    found[lane] = Some(Err(Trouble::new(Fault::Stalled)));
                }
            }
        }
        // A thread that ended without a word had a bug; its card proved nothing.
        let silent = || {
            Err(Trouble { said: Some("its thread ended early".to_owned()), ..Trouble::new(Fault::Vanished) })
        };
        which.iter().copied().zip(found.into_iter().map(|result| result.unwrap_or_else(silent))).collect()
    }

    fn note<T>(&mut self, found: Vec<(usize, Result<T, Trouble>)>, mut apply: impl FnMut(&mut Member, T)) {
        for (index, result) in found {
            let member = &mut self.members[index];
            match result {
                Ok(value) => apply(member, value),
                Err(trouble) => member.trouble = Some(trouble),
            }
        }
    }
}

type Pouring = std::thread::JoinHandle<Result<()>>;

fn pour(feed: Arc<Feed>, source: &Source, measured: &Measured, cancel: &Cancel) -> Result<Pouring> {
    let digest = measured.file_sha256.is_some();
    let (stream, measured, cancel) = (source.stream(digest)?, measured.clone(), cancel.clone());
    Ok(std::thread::spawn(move || feed.pour(stream, &measured, &cancel)))
}

fn end<T>(task: Task, result: &Result<T, Trouble>, words: impl FnOnce(&T) -> String) {
    match result {
        Ok(value) => task.finish(words(value)),
        Err(trouble) => task.finish(format!("failed: it {}", trouble.fault.words())),
    }
}

fn member(device: ClaimedDevice, verify: VerifyScope) -> Member {
    let report = CardReport {
        device: device.device().clone(),
        good: false,
        bootable: false,
        fault: None,
        unhealthy: false,
        failure: None,
        written: 0,
        zeroed: 0,
        found_zero: 0,
        verify,
        verified: 0,
        read_back: None,
        first_bad: None,
        bad_blocks: 0,
        repaired_blocks: 0,
        real_size: None,
        write_ms: 0,
        verify_ms: 0,
    };
    Member { card: Arc::new(Card::new(device)), trouble: None, failure: None, report }
}

fn report(member: Member, is_whole: bool) -> CardReport {
    let Member { card, trouble, failure, mut report } = member;
    report.bootable = card.bootable.load(Relaxed);
    report.written = card.written.load(Relaxed);
    report.zeroed = card.zeroed.load(Relaxed);
    report.found_zero = card.found_zero.load(Relaxed);
    report.good = trouble.is_none() && failure.is_none() && is_whole;
    report.failure = failure;
    if let Some(trouble) = trouble {
        report.fault = Some(trouble.fault);
        report.unhealthy = trouble.fault.is_unhealthy();
        report.real_size = trouble.real_size;
        report.failure = Some(trouble.failure(&card.name()));
    }
    // Blocks that had to be written twice: it works, and is not to be trusted for long.
    report.unhealthy |= report.repaired_blocks > 0;
    if !report.good {
        report.read_back = None;
    }
    report
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
