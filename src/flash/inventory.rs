//! What an image consists of: the digest of each block, and the digest of all.

use super::BLOCK;
use crate::model::Digest;
use sha2::{Digest as _, Sha256};

/// What every block of an image must be.
///
/// A block's BLAKE3 names the place of an error and proves that there is none: a card whose
/// blocks all have the right ones holds the bytes that have the image's SHA-256. It is
/// several times as fast, so reading a card back waits for the card.
#[derive(Debug)]
pub struct Inventory {
    /// Size of the image in bytes.
    pub size: u64,
    /// SHA-256 of the image.
    pub sha256: Digest,
    blocks: Vec<blake3::Hash>,
}

impl Inventory {
    /// Of all that both have taken in.
    pub fn new(whole: Whole, blocks: Blocks) -> Self {
        let sha256 = Digest::from_bytes(whole.hash.finalize().into());
        Self { size: whole.size, sha256, blocks: blocks.0 }
    }

    /// Whether block `index` is these bytes.
    pub fn has(&self, index: u64, block: &[u8]) -> bool {
        let wanted = usize::try_from(index).ok().and_then(|index| self.blocks.get(index));
        wanted == Some(&blake3::hash(block))
    }

    /// Where else in the image these bytes stand, if they stand there once only.
    pub fn only_place_of(&self, block: &[u8]) -> Option<u64> {
        let wanted = blake3::hash(block);
        let mut places = self.blocks.iter().zip(0u64..).filter(|(hash, _)| **hash == wanted);
        let first = places.next()?;
        places.next().is_none().then_some(first.1)
    }
}

/// The digest of an image while it is taken in.
#[derive(Default)]
pub struct Whole {
    size: u64,
    hash: Sha256,
}

/// The digests of its blocks meanwhile.
#[derive(Default)]
pub struct Blocks(Vec<blake3::Hash>);

/// Takes an image in, in order: whole blocks at a time, but for the last.
pub trait Take: Default + Send + 'static {
    /// The next bytes.
    fn add(&mut self, bytes: &[u8]);
}

impl Take for Whole {
    fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hash.update(bytes);
    }
}

impl Take for Blocks {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.chunks(BLOCK).map(blake3::hash));
    }
}
