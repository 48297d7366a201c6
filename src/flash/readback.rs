//! The proof: everything is read from the card itself and compared with what it must be.

use super::card::{Card, Doing, Trouble};
use super::inventory::Inventory;
use super::{BLOCK, CHUNK};
use crate::effects::block::Buffer;
use crate::effects::{Cancel, Task};
use crate::model::Digest;
use crate::model::flash::Fault;
use sha2::{Digest as _, Sha256};
use std::sync::mpsc;

/// Buffers between reading and hashing.
const BUFFERS: usize = 3;
/// So many blocks in a row that cannot be read, and nobody reads on.
const HOPELESS: usize = 16;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Bytes that are what they must be.
    pub right: u64,
    /// SHA-256 of all that was read, if all could be.
    pub sha256: Option<Digest>,
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
        let (full, filled) = mpsc::sync_channel::<(Buffer, usize)>(BUFFERS);
        let (empty, emptied) = mpsc::channel::<Buffer>();
        for _ in 0..BUFFERS {
            let _ = empty.send(Buffer::new(CHUNK));
        }
        // Hashing goes beside reading.
        let hasher = scope.spawn(move || {
            let mut hash = Sha256::new();
            for (buffer, length) in filled {
                hash.update(&buffer[..length]);
                let _ = empty.send(buffer);
            }
            Digest::from_bytes(hash.finalize().into())
        });
        let mut reader = Reader { card, inventory, right: 0, unread: 0, lost: false };
        let mut at = 0;
        while at < length {
            if cancel.is_requested() {
                return Ok(None);
            }
            let Ok(mut buffer) = emptied.recv() else { break };
            let now = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
            reader.read(&mut buffer, at, now)?;
            task.advance(now as u64);
            let _ = full.send((buffer, now));
            at += now as u64;
        }
        drop(full);
        let sha256 = hasher.join().ok().filter(|_| !reader.lost);
        if card.bad().is_empty() && length == inventory.size && sha256 != Some(inventory.sha256) {
            // Two checksums of one block agree and its bytes do not: nobody knows where.
            return Err(Trouble::new(Fault::FlipsBits));
        }
        Ok(Some(Read { right: reader.right, sha256 }))
    })
}

struct Reader<'a> {
    card: &'a Card,
    inventory: &'a Inventory,
    right: u64,
    /// Blocks in a row that could not be read.
    unread: usize,
    /// Whether any could not.
    lost: bool,
}

impl Reader<'_> {
    fn read(&mut self, buffer: &mut Buffer, at: u64, length: usize) -> Result<(), Trouble> {
        let padded = length.next_multiple_of(self.card.device.block_size());
        let whole = self.card.ask(Doing::Reading, at, |device| device.read_at(&mut buffer[..padded], at));
        for start in (0..length).step_by(BLOCK) {
            let end = (start + BLOCK).min(length);
            let offset = at + start as u64;
            let readable = match &whole {
                Ok(()) => true,
                Err(trouble) if trouble.fault != Fault::ReadError => return Err(trouble.clone()),
                // One bad block in the stretch: which one?
                Err(_) => self.read_block(
                    &mut buffer[start..end.next_multiple_of(self.card.device.block_size())],
                    offset,
                )?,
            };
            let index = offset / BLOCK as u64;
            if readable && self.inventory.has(index, &buffer[start..end]) {
                self.right += (end - start) as u64;
            } else {
                self.card.bad().insert(index);
            }
        }
        Ok(())
    }

    fn read_block(&mut self, block: &mut [u8], at: u64) -> Result<bool, Trouble> {
        match self.card.ask(Doing::Reading, at, |device| device.read_at(block, at)) {
            Ok(()) => {
                self.unread = 0;
                Ok(true)
            }
            Err(trouble) if trouble.fault == Fault::ReadError && self.unread < HOPELESS => {
                (self.unread, self.lost) = (self.unread + 1, true);
                Ok(false)
            }
            Err(trouble) => Err(trouble),
        }
    }
}
