//! The proof: everything is read from the card itself and compared with what it must be.

use super::card::{Card, Doing, Trouble};
use super::inventory::Inventory;
use super::{BLOCK, CHUNK};
use crate::effects::block::Buffer;
use crate::effects::{Cancel, Task};
use crate::model::ImageDigest;
use crate::model::flash::Fault;
use std::sync::mpsc;

/// Buffers between reading and comparing.
const BUFFERS: usize = 3;
/// So many blocks in a row that cannot be read, and nobody reads on.
const HOPELESS: usize = 16;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Bytes that are what they must be.
    pub right: u64,
    /// What the image is known by, if that is what was read: all of it, and all of it right.
    pub image: Option<ImageDigest>,
}

/// Reads the first `length` bytes of an image back, and keeps in `card.bad` which blocks are
/// wrong. `None` if somebody asked to stop.
pub fn read_back(
    card: &Card,
    inventory: &Inventory,
    length: u64,
    task: &Task,
    cancel: &Cancel,
) -> Result<Option<Read>, Trouble> {
    // Somebody else may have the device open: what they cached is not what the card holds.
    card.ask(Doing::Reading, 0, |device| device.forget_cached())?;
    card.bad().clear();
    std::thread::scope(|scope| {
        let (full, filled) = mpsc::sync_channel::<Piece>(BUFFERS);
        let (empty, emptied) = mpsc::channel::<Buffer>();
        for _ in 0..BUFFERS {
            let _ = empty.send(Buffer::new(CHUNK));
        }
        // Comparing goes beside reading, so that the card is never waited for by itself.
        let comparing = scope.spawn(move || {
            let mut right = 0;
            for piece in filled {
                right += compare(card, inventory, &piece);
                let _ = empty.send(piece.buffer);
            }
            right
        });
        let (mut at, mut unread) = (0, 0);
        while at < length {
            if cancel.is_requested() {
                return Ok(None);
            }
            let Ok(mut buffer) = emptied.recv() else { break };
            let now = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
            let readable = read(card, &mut buffer, at, now, &mut unread)?;
            task.advance(now as u64);
            let _ = full.send(Piece { at, length: now, buffer, readable });
            at += now as u64;
        }
        drop(full);
        let right = comparing.join().unwrap_or_default();
        let whole = right == length && length == inventory.size;
        Ok(Some(Read { right, image: whole.then_some(inventory.image) }))
    })
}

/// What was read at once.
struct Piece {
    at: u64,
    length: usize,
    buffer: Buffer,
    /// Which of its blocks could be read.
    readable: Vec<bool>,
}

/// How many bytes are right; the blocks that are not are kept in `card.bad`.
fn compare(card: &Card, inventory: &Inventory, piece: &Piece) -> u64 {
    let mut right = 0;
    for (start, readable) in (0..piece.length).step_by(BLOCK).zip(&piece.readable) {
        let end = (start + BLOCK).min(piece.length);
        let index = (piece.at + start as u64) / BLOCK as u64;
        if *readable && inventory.has(index, &piece.buffer[start..end]) {
            right += (end - start) as u64;
        } else {
            card.bad().insert(index);
        }
    }
    right
}

/// Reads a piece; says which of its blocks could be read. `unread` counts those in a row that
/// could not.
fn read(
    card: &Card,
    buffer: &mut Buffer,
    at: u64,
    length: usize,
    unread: &mut usize,
) -> Result<Vec<bool>, Trouble> {
    let block_size = card.device.block_size();
    let padded = length.next_multiple_of(block_size);
    let whole = card.ask(Doing::Reading, at, |device| device.read_at(&mut buffer[..padded], at));
    let starts = (0..length).step_by(BLOCK);
    match whole {
        Ok(()) => Ok(starts.map(|_| true).collect()),
        Err(trouble) if trouble.fault != Fault::ReadError => Err(trouble),
        // One bad block in the stretch: which one?
        Err(_) => starts
            .map(|start| {
                let end = (start + BLOCK).min(length).next_multiple_of(block_size);
                read_block(card, &mut buffer[start..end], at + start as u64, unread)
            })
            .collect(),
    }
}

fn read_block(card: &Card, block: &mut [u8], at: u64, unread: &mut usize) -> Result<bool, Trouble> {
    match card.ask(Doing::Reading, at, |device| device.read_at(block, at)) {
        Ok(()) => {
            *unread = 0;
            Ok(true)
        }
        Err(trouble) if trouble.fault == Fault::ReadError && *unread < HOPELESS => {
            *unread += 1;
            Ok(false)
        }
        Err(trouble) => Err(trouble),
    }
}
