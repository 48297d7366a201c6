//! What an image consists of: one checksum for each block, and the digest of all.

use super::BLOCK;
use crate::model::Digest;
use crc_fast::{CrcAlgorithm, checksum};
use sha2::{Digest as _, Sha256};

/// What every block of an image must be.
///
/// The checksums find the place of an error; what proves that there is none is the SHA-256
/// of the whole.
#[derive(Debug)]
pub struct Inventory {
    /// Size of the image in bytes.
    pub size: u64,
    /// SHA-256 of the image.
    pub sha256: Digest,
    sums: Vec<u64>,
}

impl Inventory {
    /// Whether block `index` is these bytes.
    pub fn has(&self, index: u64, block: &[u8]) -> bool {
        self.sum(index) == Some(sum(block))
    }

    fn sum(&self, index: u64) -> Option<u64> {
        self.sums.get(usize::try_from(index).ok()?).copied()
    }

    /// Where else in the image these bytes stand, if they stand there once only.
    pub fn only_place_of(&self, block: &[u8]) -> Option<u64> {
        let wanted = sum(block);
        let mut places = self.sums.iter().zip(0u64..).filter(|(sum, _)| **sum == wanted);
        let first = places.next()?;
        places.next().is_none().then_some(first.1)
    }
}

fn sum(block: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, block)
}

/// Takes an image in, in order.
#[derive(Default)]
pub struct Taking {
    size: u64,
    hash: Sha256,
    sums: Vec<u64>,
}

impl Taking {
    /// The next bytes; whole blocks but for the last.
    pub fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hash.update(bytes);
        self.sums.extend(bytes.chunks(BLOCK).map(sum));
    }

    /// All of it.
    pub fn finish(self) -> Inventory {
        Inventory {
            size: self.size,
            sha256: Digest::from_bytes(self.hash.finalize().into()),
            sums: self.sums,
        }
    }
}
