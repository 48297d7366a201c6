//! Btrfs on disk: keys, items, checksums (kernel, `include/uapi/linux/btrfs_tree.h`). Little-endian.

use crc_fast::{CrcAlgorithm, checksum};

/// Bytes of a tree's node.
pub const NODE: usize = 16 << 10;
/// Bytes of a block of data, which has a checksum of its own.
pub const SECTOR: u64 = 4096;
/// Chunks are multiples of this.
pub const STRIPE: u64 = 64 << 10;
/// The only transaction that there was.
pub const GENERATION: u64 = 1;
/// A node's header.
pub const HEADER: usize = 101;

/// Whose tree it is, and other objects with a number of their own.
pub mod object {
    pub const ROOT_TREE: u64 = 1;
    pub const EXTENT_TREE: u64 = 2;
    pub const CHUNK_TREE: u64 = 3;
    pub const DEV_TREE: u64 = 4;
    pub const FS_TREE: u64 = 5;
    pub const ROOT_DIR: u64 = 6;
    pub const CSUM_TREE: u64 = 7;
    pub const UUID_TREE: u64 = 9;
    pub const FREE_SPACE_TREE: u64 = 10;
    pub const DATA_RELOC_TREE: u64 = (-9_i64).cast_unsigned();
    pub const EXTENT_CSUM: u64 = (-10_i64).cast_unsigned();
    /// The root folder of every tree of files, and the first subvolume.
    pub const FIRST_FREE: u64 = 256;
    pub const DEVICES: u64 = 1;
}

/// Kinds of items.
pub mod kind {
    pub const INODE: u8 = 1;
    pub const INODE_REF: u8 = 12;
    pub const INODE_EXTREF: u8 = 13;
    pub const XATTR: u8 = 24;
    pub const DIR_ITEM: u8 = 84;
    pub const DIR_INDEX: u8 = 96;
    pub const EXTENT_DATA: u8 = 108;
    pub const EXTENT_CSUM: u8 = 128;
    pub const ROOT: u8 = 132;
    pub const ROOT_BACKREF: u8 = 144;
    pub const ROOT_REF: u8 = 156;
    pub const EXTENT: u8 = 168;
    pub const METADATA: u8 = 169;
    pub const TREE_BLOCK_REF: u8 = 176;
    pub const EXTENT_DATA_REF: u8 = 178;
    pub const BLOCK_GROUP: u8 = 192;
    pub const FREE_SPACE_INFO: u8 = 198;
    pub const FREE_SPACE_EXTENT: u8 = 199;
    pub const DEV_EXTENT: u8 = 204;
    pub const DEV: u8 = 216;
    pub const CHUNK: u8 = 228;
    pub const UUID_SUBVOLUME: u8 = 251;
}

/// What a block group holds, and in how many copies.
pub mod group {
    pub const DATA: u64 = 1;
    pub const SYSTEM: u64 = 1 << 1;
    pub const METADATA: u64 = 1 << 2;
    pub const DUP: u64 = 1 << 5;
}

/// Where an item stands in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub object: u64,
    pub kind: u8,
    pub offset: u64,
}

/// A key from its parts.
pub fn key(object: u64, kind: u8, offset: u64) -> Key {
    Key { object, kind, offset }
}

/// Bytes that are put together field by field.
#[derive(Clone, Debug, Default)]
pub struct Record(pub Vec<u8>);

impl Record {
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub fn u64s(self, values: &[u64]) -> Self {
        values.iter().fold(self, |record, value| record.u64(*value))
    }

    pub fn key(self, key: Key) -> Self {
        self.u64(key.object).u8(key.kind).u64(key.offset)
    }

    /// Zeros up to so many bytes.
    pub fn up_to(mut self, length: usize) -> Self {
        self.0.resize(length, 0);
        self
    }
}

/// A time in whole seconds.
pub fn time(record: Record, seconds: u64) -> Record {
    record.u64(seconds).u32(0)
}

/// An inode.
#[derive(Clone, Debug, Default)]
pub struct Inode {
    pub size: u64,
    pub bytes: u64,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    /// `major << 20 | minor`.
    pub device: u64,
    pub flags: u64,
    pub time: u64,
}

impl Inode {
    pub fn item(&self) -> Vec<u8> {
        let item = Record::default()
            .u64s(&[GENERATION, GENERATION, self.size, self.bytes, 0])
            .u32(self.links)
            .u32(self.uid)
            .u32(self.gid)
            .u32(self.mode)
            .u64s(&[self.device, self.flags, 0, 0, 0, 0, 0]);
        // Read, changed, written, made.
        (0..4).fold(item, |item, _| time(item, self.time)).0
    }
}

/// A name in a folder, or an attribute of an inode (then with a value).
pub fn named(location: Key, name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    Record::default()
        .key(location)
        .u64(GENERATION)
        .u16(short(value.len()))
        .u16(short(name.len()))
        .u8(kind)
        .bytes(name)
        .bytes(value)
        .0
}

/// A length that the kernel keeps far below 64 KiB.
pub fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// CRC-32C as nodes and data carry it.
pub fn sum(bytes: &[u8]) -> u32 {
    (checksum(CrcAlgorithm::Crc32Iscsi, bytes) & 0xffff_ffff) as u32
}

/// CRC-32C from a register's value to a register's value, as names are hashed with it.
fn raw(register: u32, bytes: &[u8]) -> u64 {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    u64::from(
        bytes.iter().fold(register, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))),
    )
}

/// The hash of a name in a folder, and of an attribute's name.
pub fn name_hash(name: &[u8]) -> u64 {
    raw(!1, name)
}

/// The hash of one more name of an inode.
pub fn link_hash(folder: u64, name: &[u8]) -> u64 {
    raw((folder & 0xffff_ffff) as u32, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_usual_ones() {
        assert_eq!(sum(b"123456789"), 0xe306_9283);
        assert_eq!(raw(!0, b"123456789"), u64::from(!0xe306_9283_u32));
        // What `btrfs inspect-internal dump-tree` shows of every filesystem.
        assert_eq!(name_hash(b"default"), 2_378_154_706);
    }

    #[test]
    fn items_have_their_sizes() {
        assert_eq!(Inode::default().item().len(), 160);
        assert_eq!(named(key(1, 2, 3), b"name", 1, b"value").len(), 30 + 9);
    }
}
