//! What an image consists of: a fingerprint of each block, and the digest of all.

use super::BLOCK;
use super::feed::{Feed, Next};
use crate::model::{Digest, ImageDigest};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::thread::JoinHandle;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// What every block of an image must be.
///
/// A block's fingerprint is its XXH3 of 128 bits. It names the place of an error and shows that there
/// is none: by chance no other bytes have it, and against a card that is made to deceive no digest
/// helps, because that can give everything back once. So a card whose blocks all have the right ones
/// holds what has the image's digest. It is as fast as memory: reading back waits for the card, also
/// with many of them on a small host.
#[derive(Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Size of the image in bytes.
    pub size: u64,
    /// What the image is known by.
    pub image: ImageDigest,
    blocks: Vec<u128>,
}

impl Inventory {
    /// Of blocks. The image is known by their own digest, unless by a better one.
    pub fn new(blocks: Blocks, known: Option<ImageDigest>) -> Self {
        let Blocks { size, fingerprints, whole } = blocks;
        let image = known.unwrap_or_else(|| ImageDigest::Xxh128(whole.digest128()));
        Self { size, image, blocks: fingerprints }
    }

    /// Whether block `index` is these bytes.
    pub fn has(&self, index: u64, block: &[u8]) -> bool {
        let wanted = usize::try_from(index).ok().and_then(|index| self.blocks.get(index));
        wanted == Some(&xxh3_128(block))
    }

    /// Where else in the image these bytes stand, if they stand there once only.
    pub fn only_place_of(&self, block: &[u8]) -> Option<u64> {
        let wanted = xxh3_128(block);
        let mut places = self.blocks.iter().zip(0u64..).filter(|(found, _)| **found == wanted);
        let first = places.next()?;
        places.next().is_none().then_some(first.1)
    }
}

/// The SHA-256 of an image while it is taken in.
#[derive(Default)]
pub struct Whole(Sha256);

impl Whole {
    /// The digest of all that was taken in.
    pub fn digest(self) -> ImageDigest {
        ImageDigest::Sha256(Digest::from_bytes(self.0.finalize().into()))
    }
}

/// The fingerprints of its blocks meanwhile, and of all of them.
#[derive(Default)]
pub struct Blocks {
    size: u64,
    fingerprints: Vec<u128>,
    whole: Box<Xxh3Default>,
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
        for block in bytes.chunks(BLOCK) {
            self.size += block.len() as u64;
            self.fingerprints.push(xxh3_128(block));
            self.whole.update(block);
        }
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

    fn taken<T: Take>(image: &[u8]) -> T {
        let mut taking = T::default();
        image.chunks(2 * BLOCK).for_each(|bytes| taking.add(bytes));
        taking
    }

    #[test]
    fn every_block_has_its_own_fingerprint() {
        let mut image = vec![0; 3 * BLOCK + 100];
        image[BLOCK] = 1;
        let inventory = Inventory::new(taken(&image), None);
        assert_eq!(inventory.size, image.len() as u64);
        for (index, block) in (0u64..).zip(image.chunks(BLOCK)) {
            assert!(inventory.has(index, block), "{index}");
            let mut other = block.to_vec();
            other[50] ^= 1;
            assert!(!inventory.has(index, &other), "{index}");
        }
        // Zeros of another length are another block; nothing lies behind the last one.
        assert!(!inventory.has(3, &image[..BLOCK]) && !inventory.has(0, &image[..100]));
        assert!(!inventory.has(4, &[]));
        assert_eq!(inventory.only_place_of(&image[BLOCK..2 * BLOCK]), Some(1));
        assert_eq!(inventory.only_place_of(&image[..BLOCK]), None);
    }

    #[test]
    fn an_image_is_known_by_the_digest_that_others_know_it_by() {
        let image: Vec<u8> = (0..BLOCK * 2 + 77).map(|at| (at / 7 % 251) as u8).collect();
        let sha256 = taken::<Whole>(&image).digest();
        assert_eq!(sha256, ImageDigest::Sha256(Digest::of(&image)));
        assert_eq!(Inventory::new(taken(&image), Some(sha256)).image, sha256);
        assert_eq!(Inventory::new(taken(&image), None).image, ImageDigest::Xxh128(xxh3_128(&image)));
        // As `xxhsum -H128` says it of nothing.
        let nothing = Inventory::new(Blocks::default(), None).image;
        assert_eq!(nothing.to_string(), "xxh128:99aa06d3014798d86001c324468d497f");
    }
}
