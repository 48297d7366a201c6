//! What an image consists of: the digest of each block, and the digest of all.

use super::BLOCK;
use super::feed::{Feed, Next, is_zero};
use crate::model::Digest;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;

/// The digest of a whole block of zeros: much of an image is nothing else, and to see that is
/// several times as fast as to hash it.
static ZEROS: LazyLock<blake3::Hash> = LazyLock::new(|| blake3::hash(&[0; BLOCK]));

fn digest(block: &[u8]) -> blake3::Hash {
    if block.len() == BLOCK && is_zero(block) { *ZEROS } else { blake3::hash(block) }
}

/// What every block of an image must be.
///
/// A block's BLAKE3 names the place of an error and proves that there is none: a card whose
/// blocks all have the right ones holds the bytes that have the image's SHA-256. It is
/// several times as fast, so reading a card back waits for the card.
#[derive(Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Size of the image in bytes.
    pub size: u64,
    /// SHA-256 of the image.
    pub sha256: Digest,
    blocks: Vec<blake3::Hash>,
}

impl Inventory {
    /// Of blocks of which the digest of all is known.
    pub fn new(blocks: Blocks, sha256: Digest) -> Self {
        Self { size: blocks.size, sha256, blocks: blocks.digests }
    }

    /// Whether block `index` is these bytes.
    pub fn has(&self, index: u64, block: &[u8]) -> bool {
        let wanted = usize::try_from(index).ok().and_then(|index| self.blocks.get(index));
        wanted == Some(&digest(block))
    }

    /// Where else in the image these bytes stand, if they stand there once only.
    pub fn only_place_of(&self, block: &[u8]) -> Option<u64> {
        let wanted = digest(block);
        let mut places = self.blocks.iter().zip(0u64..).filter(|(hash, _)| **hash == wanted);
        let first = places.next()?;
        places.next().is_none().then_some(first.1)
    }
}

/// The digest of an image while it is taken in.
#[derive(Default)]
pub struct Whole(Sha256);

impl Whole {
    /// The digest of all that was taken in.
    pub fn sha256(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// The digests of its blocks meanwhile.
#[derive(Default)]
pub struct Blocks {
    size: u64,
    digests: Vec<blake3::Hash>,
}

/// Takes an image in, in order: whole blocks at a time, but for the last.
pub trait Take: Default + Send + 'static {
    /// The next bytes.
    fn add(&mut self, bytes: &[u8]);
}

impl Take for Whole {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Take for Blocks {
    fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.digests.extend(bytes.chunks(BLOCK).map(digest));
    }
}

/// Takes an image in as it comes out of a lane, in a thread of its own. Nothing if it does not come to
/// its end.
pub fn take<T: Take>(feed: Arc<Feed>, lane: usize) -> JoinHandle<Option<T>> {
    std::thread::spawn(move || {
        let mut taking = T::default();
        loop {
            match feed.next(lane) {
                Next::Chunk(chunk) => {
                    taking.add(chunk.bytes());
                    feed.done(chunk);
                }
                Next::End => return Some(taking),
                Next::Broken => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_its_own_digest() {
        let mut image = vec![0; 3 * BLOCK + 100];
        image[BLOCK] = 1;
        let (mut whole, mut blocks) = (Whole::default(), Blocks::default());
        whole.add(&image);
        blocks.add(&image);
        let inventory = Inventory::new(blocks, whole.sha256());
        assert_eq!((inventory.size, inventory.sha256), (image.len() as u64, Digest::of(&image)));
        for (index, block) in (0u64..).zip(image.chunks(BLOCK)) {
            assert!(inventory.has(index, block), "{index}");
            assert_eq!(digest(block), blake3::hash(block));
        }
        // Zeros of another length are another block; nothing lies behind the last one.
        assert!(!inventory.has(3, &image[..BLOCK]) && !inventory.has(4, &[]));
        assert_eq!(inventory.only_place_of(&image[BLOCK..2 * BLOCK]), Some(1));
        assert_eq!(inventory.only_place_of(&image[..BLOCK]), None);
    }
}
