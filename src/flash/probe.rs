//! Does the card hold what it says it holds? Some marked blocks, before anything else.
//!
//! One block of 4 KiB at each power of two and at the end is marked, all of them before any
//! is read again, the high ones first: a card whose addresses wrap around then overwrites
//! its own high marks. What was there is put back.

use super::card::{Card, Doing, Trouble};
use crate::effects::block::Buffer;
use crate::model::Digest;
use crate::model::flash::Fault;

/// Size of a mark in bytes.
const MARK: u64 = 4096;
/// The lowest power of two that is marked: 4 MiB.
const LOWEST: u32 = 22;

/// One place and what was there.
struct Place {
    at: u64,
    old: Buffer,
    mark: Buffer,
}

/// Probes a card and puts back what was there.
pub fn probe(card: &Card) -> Result<(), Trouble> {
    let size = card.device.device().size / MARK * MARK;
    let salt = uuid::Uuid::now_v7();
    let mut places = Vec::new();
    for at in places_of(size) {
        let mut old = Buffer::new(MARK as usize);
        card.ask(Doing::Reading, at, |device| device.read_at(&mut old, at))?;
        places.push(Place { at, old, mark: mark(salt.as_bytes(), at) });
    }
    let marked = mark_all(card, &places);
    let read = marked.and_then(|()| read_all(card, &places));
    // Also after a failure: what could be written is put back as far as it goes.
    let restored = restore(card, &places);
    judge(&places, &read?)?;
    restored
}

/// Where marks go: the beginning, each power of two, the end.
fn places_of(size: u64) -> Vec<u64> {
    let powers = (LOWEST..u64::BITS).map(|power| 1u64 << power).take_while(|at| *at < size);
    let mut places: Vec<u64> = [0].into_iter().chain(powers).chain(size.checked_sub(MARK)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn mark(salt: &[u8], at: u64) -> Buffer {
    let mut buffer = Buffer::new(MARK as usize);
    let digest = Digest::of([salt, &at.to_le_bytes()].concat());
    for part in buffer.chunks_mut(digest.as_bytes().len()) {
        part.copy_from_slice(digest.as_bytes());
    }
    buffer
}

fn mark_all(card: &Card, places: &[Place]) -> Result<(), Trouble> {
    for (number, place) in places.iter().rev().enumerate() {
        let written = card.ask(Doing::Writing, place.at, |device| device.write_at(&place.mark, place.at));
        written.map_err(|trouble| match trouble.fault {
            // The very first write fails and reads do not: a locked or worn-out card.
            Fault::WriteError if number == 0 => Trouble { fault: Fault::RefusesWrites, ..trouble },
            _ => trouble,
        })?;
    }
    sync(card)
}

fn read_all(card: &Card, places: &[Place]) -> Result<Vec<Buffer>, Trouble> {
    let read = |place: &Place| {
        let mut buffer = Buffer::new(MARK as usize);
        card.ask(Doing::Reading, place.at, |device| device.read_at(&mut buffer, place.at))?;
        Ok(buffer)
    };
    places.iter().map(read).collect()
}

fn restore(card: &Card, places: &[Place]) -> Result<(), Trouble> {
    for place in places {
        card.ask(Doing::Writing, place.at, |device| device.write_at(&place.old, place.at))?;
    }
    sync(card)
}

fn sync(card: &Card) -> Result<(), Trouble> {
    card.ask(Doing::Syncing, 0, |device| device.sync().and_then(|()| device.forget_cached()))
}

/// What came back, against what was written.
fn judge(places: &[Place], read: &[Buffer]) -> Result<(), Trouble> {
    let right = |(place, buffer): &(&Place, &Buffer)| place.mark[..] == buffer[..];
    let pairs: Vec<(&Place, &Buffer)> = places.iter().zip(read).collect();
    let Some(first) = pairs.iter().position(|pair| !right(pair)) else { return Ok(()) };
    let (place, found) = pairs[first];
    let trouble = |fault| Err(Trouble::new(fault).at(place.at));
    let changed: u32 = place.mark.iter().zip(&found[..]).map(|(a, b)| (a ^ b).count_ones()).sum();
    if changed <= 64 {
        return trouble(Fault::FlipsBits);
    }
    let halves = [0..MARK as usize / 2, MARK as usize / 2..MARK as usize];
    if halves.into_iter().any(|half| place.mark[half.clone()] == found[half]) {
        return trouble(Fault::PartialWrites);
    }
    let real_size = Some(place.at);
    if places.iter().any(|other| other.mark[..] == found[..]) {
        return Err(Trouble { real_size, ..Trouble::new(Fault::WrapsAround).at(place.at) });
    }
    // From one place on nothing is kept, and below it everything is: the end of its memory.
    if first > 0 && !pairs[first..].iter().any(right) {
        return Err(Trouble { real_size, ..Trouble::new(Fault::LosesWrites).at(place.at) });
    }
    trouble(Fault::DropsWrites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_both_ends_and_the_powers_of_two() {
        assert_eq!(places_of(4096), [0]);
        assert_eq!(places_of(8192), [0, 4096]);
        assert_eq!(places_of(16 << 20), [0, 4 << 20, 8 << 20, (16 << 20) - 4096]);
        assert_eq!(places_of(32 << 30).len(), 15);
        assert!(places_of(0).len() == 1);
    }

    fn place(at: u64) -> Place {
        Place { at, old: Buffer::new(MARK as usize), mark: mark(b"salt", at) }
    }

    fn judged(read: impl Fn(u64) -> Buffer) -> Result<(), Trouble> {
        let ats = [0, 4 << 20, 8 << 20, 16 << 20, (32 << 20) - 4096];
        let places: Vec<Place> = ats.into_iter().map(place).collect();
        let read: Vec<Buffer> = ats.into_iter().map(read).collect();
        judge(&places, &read)
    }

    #[test]
    fn each_kind_of_lie_has_its_name() {
        let zeros = || Buffer::new(MARK as usize);
        assert_eq!(judged(|at| mark(b"salt", at)), Ok(()));
        let fault = |read: &dyn Fn(u64) -> Buffer| judged(read).unwrap_err();
        let wraps = fault(&|at| mark(b"salt", at % (16 << 20)));
        assert_eq!((wraps.fault, wraps.real_size), (Fault::WrapsAround, Some(16 << 20)));
        let loses = fault(&|at| if at < 8 << 20 { mark(b"salt", at) } else { zeros() });
        assert_eq!((loses.fault, loses.real_size), (Fault::LosesWrites, Some(8 << 20)));
        assert_eq!(fault(&|_| zeros()).fault, Fault::DropsWrites);
        let some = fault(&|at| if at == 4 << 20 { zeros() } else { mark(b"salt", at) });
        assert_eq!((some.fault, some.at), (Fault::DropsWrites, Some(4 << 20)));
        let flipped = fault(&|at| {
            let mut mark = mark(b"salt", at);
            mark[100] ^= 1;
            mark
        });
        assert_eq!(flipped.fault, Fault::FlipsBits);
        let torn = fault(&|at| {
            let mut mark = mark(b"salt", at);
            mark[2048..].fill(0);
            mark
        });
        assert_eq!(torn.fault, Fault::PartialWrites);
    }
}
