//! One card's share of a write: its beginning made zero, everything else, a sync, and only
//! then its beginning.

use super::card::{Card, Doing, Trouble};
use super::feed::{Chunk, Feed, Next, is_zero};
use super::{CHUNK, HEAD};
use crate::effects::Task;
use crate::effects::block::Buffer;
use crate::model::flash::Fault;
use std::sync::atomic::Ordering::Relaxed;

/// How the writing of one card ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it is written and at rest.
    Whole,
    /// The source ended early, or the card was given up; its beginning is zero.
    Broken,
}

/// What is cleared before the image comes.
#[derive(Clone, Copy, Debug)]
pub struct Clearing {
    /// Size of the image in bytes.
    pub image: u64,
    /// Whether the device's last MiB is made zero too: a backup partition table, RAID marks.
    pub end: bool,
}

/// Writes what comes out of a lane.
pub fn write(
    card: &Card,
    feed: &Feed,
    lane: usize,
    clearing: Clearing,
    task: &Task,
) -> Result<Ended, Trouble> {
    let mut scratch = Buffer::new(CHUNK);
    clear(card, clearing, &mut scratch)?;
    let mut head: Option<(Buffer, usize)> = None;
    loop {
        match feed.next(lane) {
            Next::Chunk(chunk) => {
                let mut from = 0;
                if chunk.offset == 0 {
                    let kept = keep_head(card, &chunk);
                    from = kept.1.min(chunk.length);
                    head = Some(kept);
                }
                let written = write_chunk(card, &chunk, from, &mut scratch);
                task.advance(chunk.length as u64);
                feed.done(chunk);
                written?;
            }
            Next::End => break,
            Next::Broken => return Ok(Ended::Broken),
        }
    }
    sync(card)?;
    if let Some((bytes, length)) = head {
        if !card.device.is_same() {
            return Err(Trouble::new(Fault::Replaced));
        }
        card.bootable.store(true, Relaxed);
        card.ask(Doing::Writing, 0, |device| device.write_at(&bytes[..length], 0))?;
        card.written.fetch_add(length as u64, Relaxed);
        sync(card)?;
    }
    Ok(Ended::Whole)
}

/// Makes the beginning zero, and the end if it is wanted, and waits until that is at rest.
fn clear(card: &Card, clearing: Clearing, scratch: &mut Buffer) -> Result<(), Trouble> {
    let size = card.device.device().size;
    scratch[..HEAD].fill(0);
    let head = size.min(HEAD as u64);
    card.ask(Doing::Writing, 0, |device| device.write_at(&scratch[..length(head)], 0))?;
    if clearing.end {
        let block = card.device.block_size() as u64;
        let start = size.saturating_sub(HEAD as u64).max(clearing.image.next_multiple_of(block));
        let left = length(size.saturating_sub(start));
        card.ask(Doing::Writing, start, |device| device.write_at(&scratch[..left], start))?;
    }
    sync(card)
}

/// The image's beginning, kept until everything else is written.
fn keep_head(card: &Card, chunk: &Chunk) -> (Buffer, usize) {
    let padded = chunk.padded(card.device.block_size());
    let length = padded.len().min(HEAD);
    let mut head = Buffer::new(HEAD);
    head[..length].copy_from_slice(&padded[..length]);
    (head, length)
}

fn write_chunk(card: &Card, chunk: &Chunk, from: usize, scratch: &mut Buffer) -> Result<(), Trouble> {
    let padded = chunk.padded(card.device.block_size());
    for (stretch, zero) in chunk.stretches(from) {
        let end = stretch.end.next_multiple_of(card.device.block_size());
        let bytes = &padded[stretch.start..end];
        let at = chunk.offset + stretch.start as u64;
        match zero {
            true => make_zero(card, at, bytes, scratch)?,
            false => put(card, at, bytes)?,
        }
    }
    Ok(())
}

fn put(card: &Card, at: u64, bytes: &[u8]) -> Result<(), Trouble> {
    card.ask(Doing::Writing, at, |device| device.write_at(bytes, at))?;
    card.written.fetch_add(bytes.len() as u64, Relaxed);
    Ok(())
}

/// Sees to it that a stretch is zero: the device does it where it can; else what is zero
/// already is left alone, and the rest is written. It is never believed to be zero unread.
fn make_zero(card: &Card, at: u64, zeros: &[u8], scratch: &mut Buffer) -> Result<(), Trouble> {
    let length = zeros.len() as u64;
    if card.zeroes.load(Relaxed) {
        match card.ask(Doing::Writing, at, |device| device.zero(at, length)) {
            Ok(()) => {
                card.zeroed.fetch_add(length, Relaxed);
                return Ok(());
            }
            Err(trouble) if trouble.fault != Fault::WriteError => return Err(trouble),
            // It said that it could and cannot: writing will show whether it is broken.
            Err(_) => card.zeroes.store(false, Relaxed),
        }
    }
    // What was discarded mostly reads as zero, but need not.
    if card.discards.load(Relaxed)
        && let Err(trouble) = card.ask(Doing::Writing, at, |device| device.discard(at, length))
    {
        if trouble.fault != Fault::WriteError {
            return Err(trouble);
        }
        card.discards.store(false, Relaxed);
    }
    let found = &mut scratch[..zeros.len()];
    let read = card.ask(Doing::Reading, at, |device| device.read_at(found, at));
    match read {
        Ok(()) if is_zero(found) => {
            card.found_zero.fetch_add(length, Relaxed);
            Ok(())
        }
        Err(trouble) if trouble.fault != Fault::ReadError => Err(trouble),
        // A block that cannot be read may be mended by writing it.
        _ => put(card, at, zeros),
    }
}

/// Makes the beginning zero again and looks whether it is. A card that keeps its old bytes
/// stays what it is.
pub fn unboot(card: &Card) -> Result<(), Trouble> {
    let mut head = Buffer::new(HEAD);
    let end = length(card.device.device().size.min(HEAD as u64));
    card.ask(Doing::Writing, 0, |device| device.write_at(&head[..end], 0))?;
    sync(card)?;
    card.ask(Doing::Reading, 0, |device| {
        device.forget_cached().and_then(|()| device.read_at(&mut head[..end], 0))
    })?;
    card.bootable.store(!is_zero(&head[..end]), Relaxed);
    Ok(())
}

/// Brings to rest what was written.
pub fn sync(card: &Card) -> Result<(), Trouble> {
    card.ask(Doing::Syncing, 0, |device| device.sync()).map_err(|trouble| Trouble { at: None, ..trouble })
}

/// A length of one MiB at most.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(HEAD).min(HEAD)
}
