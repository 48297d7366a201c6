//! Fields of blocks: big-endian, with a CRC-32C that is little-endian.

use crc_fast::{CrcAlgorithm, checksum};

/// Bytes of a block.
pub const BLOCK: usize = 4096;

/// A block, a sector or an inode whose fields are set one by one.
#[derive(Clone, Debug)]
pub struct Block(pub Vec<u8>);

impl Block {
    pub fn new(size: usize) -> Self {
        Self(vec![0; size])
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    pub fn u8(&mut self, at: usize, value: u8) {
        self.put(at, &[value]);
    }

    pub fn u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_be_bytes());
    }

    pub fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_be_bytes());
    }

    pub fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_be_bytes());
    }

    pub fn get_u32(&self, at: usize) -> u32 {
        self.get(at)
    }

    pub fn get_u64(&self, at: usize) -> u64 {
        let (high, low): (u32, u32) = (self.get(at), self.get(at + 4));
        u64::from(high) << 32 | u64::from(low)
    }

    fn get(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    }

    /// Sets the checksum, whose place is `at`.
    pub fn sum(&mut self, at: usize) {
        self.put(at, &[0; 4]);
        let sum = (checksum(CrcAlgorithm::Crc32Iscsi, &self.0) & 0xffff_ffff) as u32;
        self.put(at, &sum.to_le_bytes());
    }
}

/// A number that the format keeps in 32 bits; larger ones do not come so far.
pub fn word(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A number that the format keeps in 16 bits.
pub fn half(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
