//! Which card a job is for: the slot's own rules, and the card that is in it.

use super::beating::Beating;
use super::journal::{Journal, Medium, Same};
use crate::effects::ClaimedDevice;
use crate::effects::block::{Access, at_port};
use crate::model::Result;
use crate::model::device::BoardName;
use crate::model::flash::Device;
use crate::model::receipt::{FlashJob, JobState};
use crate::model::spec::Size;
use crate::model::writer::{Repeat, Slot, WriterName};
use crate::ops::{self, CatalogRef, Context, FlashPlan, not_for};
use std::path::Path;
use std::time::Duration;

/// How often a slot is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// What came of waiting.
pub enum Waited {
    /// A card that may be written.
    Card(Box<Device>),
    /// Somebody asked to stop.
    Stopped,
}

/// Whether a job is for this slot, by the slot's own rules. Nothing is read or opened.
///
/// # Errors
/// Why it is not.
pub fn may_carry(slot: &Slot, own: &WriterName, job: &FlashJob) -> Result<(), String> {
    if job.writer != *own || job.slot != slot.name {
        return Err(format!("it is for slot {} of {}, this is {} of {own}", job.slot, job.writer, slot.name));
    }
    if !slot.images.is_empty() && !slot.images.contains(&job.image) {
        return Err(format!("slot {} does not carry {}", slot.name, job.image));
    }
    Ok(())
}

/// Whether a release whose signature was checked is for this slot and what was ordered. The card
/// is open by now, and not a byte of it is written.
///
/// # Errors
/// Why it is not.
pub fn may_carry_release(slot: &Slot, job: &FlashJob, plan: &FlashPlan) -> Result<(), String> {
    let Some(release) = &plan.release else { return Err("it is no release".to_owned()) };
    if release.image != job.image || release.version != job.version {
        return Err(format!("it is {}/{}", release.image, release.version));
    }
    let is = &release.architecture;
    if !slot.architectures.is_empty() && slot.architectures.iter().all(|own| own.as_str() != is) {
        return Err(format!("it is for {}, which slot {} does not carry", is.as_str(), slot.name));
    }
    let size = plan.source.image_size;
    if let Some(most) = slot.max_size.filter(|most| size > most.bytes()) {
        return Err(format!("it has {}, slot {} carries {most} at most", Size::from_bytes(size), slot.name));
    }
    let is_for = |board: &BoardName| release.is_for(board.as_str());
    let missed = job.board.iter().find(|board| !is_for(board));
    let missed = missed.or(slot.boards.first().filter(|_| !slot.boards.iter().any(is_for)));
    missed.map_or(Ok(()), |board| Err(format!("it {}", not_for(&release.boards, board.as_str()))))
}

/// Waits for a card in the slot that the job is for: the one that was begun, or one that does
/// not carry what is asked for already, that is in order, and that nobody uses.
///
/// # Errors
/// If the journal cannot be written.
pub fn wait(
    context: &Context,
    slot: &Slot,
    catalog: &CatalogRef,
    journal: &mut Journal,
    job: &FlashJob,
    begun: Option<&Medium>,
    beating: &Beating,
) -> Result<Waited> {
    loop {
        if context.cancel.is_requested() {
            return Ok(Waited::Stopped);
        }
        let said = match at_port(Path::new(slot.path.as_str())) {
            Ok(Some(device)) => match fitting(journal, job, &device, begun)? {
                None => match ready(context, catalog, &device) {
                    Ok(()) => return Ok(Waited::Card(Box::new(device))),
                    Err(why) => why,
                },
                Some(why) => why.to_owned(),
            },
            Ok(None) => "waiting for a card".to_owned(),
            Err(failure) => failure.message,
        };
        beating.say(JobState::Claimed, &said);
        std::thread::sleep(LOOK);
    }
}

/// Why a card is not the one that is waited for, if it is not.
fn fitting(
    journal: &mut Journal,
    job: &FlashJob,
    device: &Device,
    begun: Option<&Medium>,
) -> Result<Option<&'static str>> {
    let medium = Medium::of(device);
    if begun.is_some_and(|begun| begun.is(&medium) == Same::Yes) {
        return Ok(None);
    }
    let Some(last) = journal.last() else { return Ok(None) };
    // A later release goes on the card that carries an earlier one, unless every new card is meant.
    let is_other_wish = last.wish != job.wish() && job.repeat == Repeat::Once;
    if is_other_wish || last.again {
        return Ok(None);
    }
    match last.medium.is(&medium) {
        Same::No => Ok(None),
        Same::Yes => Ok(Some("waiting for another card")),
        Same::Unknown => {
            // Since this start of the host at least it is known.
            journal.is_still(medium)?;
            Ok(Some("waiting for another card"))
        }
    }
}

/// Whether a card may be written: nobody uses it, and it was not found to be unhealthy.
fn ready(context: &Context, catalog: &CatalogRef, device: &Device) -> Result<(), String> {
    let claimed = ClaimedDevice::claim(&device.path, Access::Read);
    claimed.map(drop).map_err(|failure| failure.message)?;
    ops::refuse_unhealthy(context, catalog, device).map_err(|failure| failure.message)
}
