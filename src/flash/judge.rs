//! Blocks that came back wrong: what is the matter with the card, and are they right when
//! they are written once more?

use super::BLOCK;
use super::card::{Card, Doing, Trouble};
use super::feed::{Feed, Next};
use super::inventory::Inventory;
use super::write::{Ended, sync};
use crate::effects::block::Buffer;
use crate::model::flash::Fault;

/// More wrong blocks than this part of the image are not written again: one in 8.
const MOST: u64 = 8;
/// So many wrong bits in a block are single ones.
const SINGLE_BITS: u32 = 64;
/// A page: what cards and the kernel write at the least.
const PAGE: usize = 4096;

/// What the second look found.
#[derive(Debug)]
pub struct Second {
    /// What is the matter, from the first wrong block.
    pub trouble: Option<Trouble>,
    /// Whether the wrong blocks were written again.
    pub rewritten: bool,
    pub ended: Ended,
}

/// Goes through the image once more: names the fault by the first wrong block, and writes the
/// wrong ones again if they are not too many.
pub fn rewrite(card: &Card, feed: &Feed, lane: usize, inventory: &Inventory) -> Result<Second, Trouble> {
    let bad = card.bad().clone();
    let blocks = inventory.size.div_ceil(BLOCK as u64);
    let rewritten = bad.len() as u64 <= (blocks / MOST).max(1);
    let mut second = Second { trouble: None, rewritten, ended: Ended::Whole };
    let mut found = Buffer::new(BLOCK);
    loop {
        match feed.next(lane) {
            Next::Chunk(chunk) => {
                let padded = chunk.padded(card.device.block_size());
                for start in (0..chunk.length).step_by(BLOCK) {
                    let at = chunk.offset + start as u64;
                    if !bad.contains(&(at / BLOCK as u64)) {
                        continue;
                    }
                    let wanted = &padded[start..(start + BLOCK).min(padded.len())];
                    if second.trouble.is_none() {
                        let found = &mut found[..wanted.len()];
                        second.trouble = Some(look(card, inventory, at, wanted, found)?);
                    }
                    if rewritten {
                        card.ask(Doing::Writing, at, |device| device.write_at(wanted, at))?;
                    }
                }
                feed.done(chunk);
            }
            Next::End => break,
            Next::Broken => {
                second.ended = Ended::Broken;
                return Ok(second);
            }
        }
    }
    sync(card)?;
    Ok(second)
}

fn look(
    card: &Card,
    inventory: &Inventory,
    at: u64,
    wanted: &[u8],
    found: &mut [u8],
) -> Result<Trouble, Trouble> {
    match card.ask(Doing::Reading, at, |device| device.read_at(found, at)) {
        Ok(()) => {}
        Err(trouble) if trouble.fault == Fault::ReadError => return Ok(trouble),
        Err(trouble) => return Err(trouble),
    }
    let elsewhere = inventory.only_place_of(found).is_some_and(|index| index != at / BLOCK as u64);
    let fault = if elsewhere { Fault::WrapsAround } else { name(wanted, found) };
    Ok(Trouble::new(fault).at(at))
}

/// What is the matter with one block.
fn name(wanted: &[u8], found: &[u8]) -> Fault {
    let bits: u32 = wanted.iter().zip(found).map(|(a, b)| (a ^ b).count_ones()).sum();
    if bits <= SINGLE_BITS {
        return Fault::FlipsBits;
    }
    // Pages of zeros agree with an empty card by chance.
    let pages = || wanted.chunks(PAGE).zip(found.chunks(PAGE)).filter(|(w, _)| !super::feed::is_zero(w));
    let right = pages().filter(|(wanted, found)| wanted == found).count();
    if right > 0 && right < pages().count() { Fault::PartialWrites } else { Fault::DropsWrites }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_block_tells_what_is_the_matter() {
        let wanted: Vec<u8> = (0..BLOCK).map(|at| (at / PAGE) as u8 | 1).collect();
        let mut found = wanted.clone();
        found[77] ^= 4;
        assert_eq!(name(&wanted, &found), Fault::FlipsBits);
        found[BLOCK / 2..].fill(0);
        assert_eq!(name(&wanted, &found), Fault::PartialWrites);
        assert_eq!(name(&wanted, &vec![0; BLOCK]), Fault::DropsWrites);
        let mut sparse = vec![0; BLOCK];
        sparse[..PAGE].fill(9);
        assert_eq!(name(&sparse, &vec![0; BLOCK]), Fault::DropsWrites);
    }
}
