//! The ring between one decoder and many cards.
//!
//! Buffers go round: the decoder fills one, every lane gets it, and when the last lane is
//! done with it, it is free again. So the slowest card sets the pace, and memory is bounded.
//! A lane that is closed gives back what waited in it; the one buffer that its card may still
//! hold is replaced.

use super::source::{Filled, Measured, Stream};
use super::{BLOCK, CHUNK};
use crate::effects::Cancel;
use crate::effects::block::Buffer;
use crate::model::block_map::Comparing;
use crate::model::{Failure, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buffers that go round.
const BUFFERS: usize = 8;
/// What is zero is found in pieces of so many bytes.
const GRAIN: usize = 64 << 10;
/// How often a wish to stop is looked for while nothing moves.
const LOOK: Duration = Duration::from_millis(100);

/// The zeros of all holes. Nobody ever writes to them, so the kernel maps one page for all, and they
/// stay in the cache of the processor.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| Buffer::new(CHUNK));

/// A piece of the image.
#[derive(Debug)]
pub struct Chunk {
    /// Where it belongs, in bytes.
    pub offset: u64,
    /// How many bytes of the buffer are image.
    pub length: usize,
    buffer: Buffer,
    content: Content,
}

/// What is in a piece.
#[derive(Debug)]
enum Content {
    /// A hole of the image's file: nothing is in the buffer, which only keeps its place in the ring.
    Hole,
    /// What is in the buffer; which pieces of [`GRAIN`] bytes are zero.
    Data(Vec<bool>),
}

impl Chunk {
    /// The bytes of the image.
    pub fn bytes(&self) -> &[u8] {
        self.padded(1)
    }

    /// The same, filled up with zeros to whole blocks of a device.
    pub fn padded(&self, block: usize) -> &[u8] {
        let all: &[u8] = match self.content {
            Content::Hole => &ZEROS,
            Content::Data(_) => &self.buffer,
        };
        &all[..self.length.next_multiple_of(block)]
    }

    /// Stretches that are zero and stretches that are not, in order, from `from` on.
    pub fn stretches(&self, from: usize) -> Vec<(std::ops::Range<usize>, bool)> {
        let zero = match &self.content {
            Content::Hole if from < self.length => return vec![(from..self.length, true)],
            Content::Hole => return Vec::new(),
            Content::Data(zero) => zero,
        };
        let mut found: Vec<(std::ops::Range<usize>, bool)> = Vec::new();
        for (start, zero) in (0..self.length).step_by(GRAIN).zip(zero) {
            let end = (start + GRAIN).min(self.length);
            match found.last_mut() {
                _ if end <= from => {}
                Some((last, same)) if same == zero => last.end = end,
                _ => found.push((start.max(from)..end, *zero)),
            }
        }
        found
    }
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    const PAGE: [u8; 4096] = [0; 4096];
    bytes.chunks(PAGE.len()).all(|part| part == &PAGE[..part.len()])
}

/// What a lane gets.
pub enum Next {
    /// A piece of the image.
    Chunk(Arc<Chunk>),
    /// That was all of it, and it is what it should be.
    End,
    /// There will be no more: the source failed, or the lane was closed.
    Broken,
}

#[derive(Default)]
struct State {
    free: Vec<Buffer>,
    made: usize,
    most: usize,
    /// How many of the lanes, the first ones, lead to cards.
    cards: usize,
    lanes: Vec<Option<VecDeque<Arc<Chunk>>>>,
    end: Option<bool>,
}

/// The ring.
pub struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

impl Feed {
    /// A ring with lanes for so many cards, and then for so many others.
    pub fn new(cards: usize, others: usize) -> Self {
        let lanes = (0..cards + others).map(|_| Some(VecDeque::new())).collect();
        let state = State { most: BUFFERS, cards, lanes, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next piece for a lane.
    pub fn next(&self, lane: usize) -> Next {
        let mut state = self.lock();
        loop {
            let end = state.end;
            match (state.lanes[lane].as_mut().map(VecDeque::pop_front), end) {
                (None, _) | (_, Some(false)) => return Next::Broken,
                (Some(Some(chunk)), _) => return Next::Chunk(chunk),
                (Some(None), Some(true)) => return Next::End,
                (Some(None), None) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// A lane is done with a piece.
    pub fn done(&self, chunk: Arc<Chunk>) {
        if let Some(chunk) = Arc::into_inner(chunk) {
            self.lock().free.push(chunk.buffer);
            self.changed.notify_all();
        }
    }

    /// A lane takes nothing any more. Its card may hold one buffer for ever.
    pub fn close(&self, lane: usize) {
        let mut state = self.lock();
        if let Some(waiting) = state.lanes[lane].take() {
            state.most += 1;
            let left = waiting.into_iter().filter_map(Arc::into_inner);
            state.free.extend(left.map(|chunk| chunk.buffer));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Unpacks the image into all lanes, to its end. It must be what was measured: only then do
    /// the lanes hear that all is there.
    ///
    /// # Errors
    /// If it is another image than was measured, or somebody asked to stop.
    pub fn pour(&self, mut stream: Stream, measured: &Measured, cancel: &Cancel) -> Result<()> {
        let mut comparing = measured.map.as_ref().map(|map| map.comparing());
        let result = self.pour_with(&mut stream, cancel, |bytes, end| {
            if end > measured.image_size {
                return Err(changed_meanwhile());
            }
            comparing.as_mut().map_or(Ok(()), |comparing| comparing.add(bytes, is_zero))
        });
        let result = result.and_then(|size| {
            comparing.map_or(Ok(()), Comparing::finish)?;
            let digests = stream.finish()?.zip(measured.file_sha256);
            let is_same = size == measured.image_size && digests.is_none_or(|(is, was)| is == was);
            if is_same { Ok(()) } else { Err(changed_meanwhile()) }
        });
        self.end(result.is_ok());
        result
    }

    /// Tells all lanes that nothing more comes, and whether what came is whole.
    pub fn end(&self, whole: bool) {
        self.lock().end = Some(whole);
        self.changed.notify_all();
    }

    /// Unpacks the image into all lanes, and shows each piece to `look` before, with where it ends.
    /// Gives the size. Who pours says afterwards how it ended ([`Feed::end`]).
    ///
    /// # Errors
    /// If the image cannot be unpacked, `look` fails, or somebody asked to stop.
    pub fn pour_with(
        &self,
        stream: &mut Stream,
        cancel: &Cancel,
        mut look: impl FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<u64> {
        let mut offset = 0;
        loop {
            let mut buffer = self.free_buffer(cancel)?;
            let (length, content) = match stream.next(&mut buffer)? {
                Filled::Data(0) => {
                    self.lock().free.push(buffer);
                    return Ok(offset);
                }
                Filled::Data(length) => {
                    buffer[length..].fill(0);
                    (length, Content::Data(buffer[..length].chunks(GRAIN).map(is_zero).collect()))
                }
                Filled::Hole => (CHUNK, Content::Hole),
            };
            let chunk = Arc::new(Chunk { offset, length, buffer, content });
            offset += length as u64;
            look(chunk.bytes(), offset)?;
            let mut state = self.lock();
            for lane in state.lanes.iter_mut().flatten() {
                lane.push_back(Arc::clone(&chunk));
            }
            drop(state);
            self.done(chunk);
            self.changed.notify_all();
        }
    }

    fn free_buffer(&self, cancel: &Cancel) -> Result<Buffer> {
        let mut state = self.lock();
        loop {
            cancel.check()?;
            // Without a card there is nobody to unpack for.
            if state.lanes[..state.cards].iter().all(Option::is_none) {
                return Err(Failure::host("no card is left to write to"));
            }
            if let Some(buffer) = state.free.pop() {
                return Ok(buffer);
            }
            if state.made < state.most {
                state.made += 1;
                return Ok(Buffer::new(CHUNK));
            }
            let (next, _) = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed_meanwhile() -> Failure {
    Failure::untrusted("the image file changed while it was written")
        .hint("Let nobody write to it, and flash the cards again: they do not boot now.")
}

const _: () = assert!(CHUNK.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(GRAIN));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn chunk(bytes: &[u8]) -> Chunk {
        let mut buffer = Buffer::new(CHUNK);
        buffer[..bytes.len()].copy_from_slice(bytes);
        let content = Content::Data(bytes.chunks(GRAIN).map(is_zero).collect());
        Chunk { offset: 0, length: bytes.len(), buffer, content }
    }

    fn measured(image_size: u64, file_sha256: Option<Digest>) -> Measured {
        Measured { file_sha256, image: None, image_size, table_block: None, map: None, inventory: None }
    }

    #[test]
    fn stretches_cover_everything_once() {
        let mut bytes = vec![0; 10 * GRAIN + 100];
        bytes[3 * GRAIN + 5] = 1;
        bytes[10 * GRAIN + 99] = 1;
        let chunk = chunk(&bytes);
        let expected = [
            (0..3 * GRAIN, true),
            (3 * GRAIN..4 * GRAIN, false),
            (4 * GRAIN..10 * GRAIN, true),
            (10 * GRAIN..10 * GRAIN + 100, false),
        ];
        assert_eq!(chunk.stretches(0), expected);
        assert_eq!(chunk.stretches(4 * GRAIN), expected[2..]);
        assert_eq!(chunk.stretches(5 * GRAIN)[0].0, 5 * GRAIN..10 * GRAIN);
        assert!(chunk.stretches(bytes.len()).is_empty());
        assert_eq!(chunk.padded(512).len(), 10 * GRAIN + 512);
    }

    #[test]
    fn a_closed_lane_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, vec![7; 30 * CHUNK]).unwrap();
        let source = super::super::Source::open(&path).unwrap();
        let feed = Arc::new(Feed::new(2, 1));
        let pour = {
            let (feed, stream) = (Arc::clone(&feed), source.stream(true).unwrap());
            let measured = measured(30 * CHUNK as u64, None);
            std::thread::spawn(move || feed.pour(stream, &measured, &Cancel::default()))
        };
        // One card takes a piece and never gives it back.
        let Next::Chunk(held) = feed.next(0) else { panic!("nothing came") };
        feed.close(0);
        let count = |lane| {
            let feed = Arc::clone(&feed);
            std::thread::spawn(move || {
                let mut chunks = 0;
                while let Next::Chunk(chunk) = feed.next(lane) {
                    chunks += 1;
                    feed.done(chunk);
                }
                chunks
            })
        };
        let counts = [count(1), count(2)].map(|thread| thread.join().unwrap());
        assert_eq!(counts, [30, 30]);
        pour.join().unwrap().unwrap();
        assert!(matches!(feed.next(0), Next::Broken));
        drop(held);
    }

    #[test]
    fn another_size_than_measured_ends_nothing_well() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, vec![7; 1000]).unwrap();
        let source = super::super::Source::open(&path).unwrap();
        for (size, digest) in [(999, None), (1001, None), (1000, Some(Digest::of("other")))] {
            let feed = Feed::new(1, 1);
            let measured = measured(size, digest);
            let failure = feed.pour(source.stream(true).unwrap(), &measured, &Cancel::default()).unwrap_err();
            assert!(failure.message.contains("changed while"), "{failure}");
            assert!(matches!(feed.next(0), Next::Broken));
        }
    }

    #[test]
    fn an_image_that_is_not_its_maps_ends_nothing_well() {
        use crate::model::block_map::{BlockMap, Range};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, vec![7; 8192]).unwrap();
        let source = super::super::Source::open(&path).unwrap();
        let pour = |image_size, bytes: &[u8]| {
            let range = Range { first: 0, last: 1, sha256: Digest::of(bytes) };
            let map = BlockMap { image_size, block_size: 4096, ranges: vec![range] };
            let measured = Measured { map: Some(Arc::new(map)), ..measured(8192, None) };
            let feed = Feed::new(1, 1);
            let poured = feed.pour(source.stream(true).unwrap(), &measured, &Cancel::default());
            (poured, std::iter::from_fn(|| Some(feed.next(0))).find(|next| !matches!(next, Next::Chunk(_))))
        };
        let (poured, end) = pour(8192, &[7; 8192]);
        assert!(poured.is_ok() && matches!(end, Some(Next::End)));
        for (size, bytes) in [(8192, &[8; 8192][..]), (8192 + 4096, &[7; 8192])] {
            let (poured, end) = pour(size, bytes);
            assert!(poured.unwrap_err().message.contains("not the one of its block map"));
            assert!(matches!(end, Some(Next::Broken)));
        }
    }
}
