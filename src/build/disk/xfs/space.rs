//! Allocation groups: which blocks are taken, and the trees that say so.

use super::block::{BLOCK, Block, half, word};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Blocks at the end of each group that stay free, for its trees.
const KEPT: u64 = 256;
/// Blocks of a chunk of 64 inodes, and inodes of a block.
pub const CHUNK: u64 = 8;
pub const PER_BLOCK: u64 = 8;
/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Bytes of a tree block's head.
const HEAD: usize = 56;

/// What mkfs.xfs has laid out.
#[derive(Clone, Debug)]
pub struct Geometry {
    pub superblock: Block,
    pub uuid: [u8; 16],
    pub group_blocks: u64,
    pub groups: u64,
    /// Bits of a block's number within its group.
    pub shift: u32,
    pub root: u64,
}

impl Geometry {
    /// Reads the superblock of an empty filesystem.
    ///
    /// # Errors
    /// Class *bug* if it is not as mkfs.xfs was told to make it.
    pub fn read(image: &File) -> Result<Self> {
        let superblock = sector(image, 0)?;
        let sizes = (superblock.get_u32(4), superblock.0[104..106] == [2, 0], superblock.0[192]);
        if !superblock.0.starts_with(b"XFSB") || sizes != (BLOCK as u32, true, 0) {
            return Err(Failure::bug("mkfs.xfs made another filesystem than it was told to"));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&superblock.0[32..48]);
        Ok(Self {
            uuid,
            group_blocks: superblock.get_u32(84).into(),
            groups: superblock.get_u32(88).into(),
            shift: superblock.0[124].into(),
            root: superblock.get_u64(56),
            superblock,
        })
    }

    /// The number of a block in the filesystem, as extents have it.
    pub fn number(&self, at: At) -> u64 {
        at.group << self.shift | at.block
    }

    /// Where a block is, in bytes.
    pub fn place(&self, at: At) -> u64 {
        (at.group * self.group_blocks + at.block) * BLOCK as u64
    }

    /// Where a block is in sectors, as blocks themselves say.
    pub fn address(&self, at: At) -> u64 {
        self.place(at) / SECTOR as u64
    }
}

/// A block of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub group: u64,
    pub block: u64,
}

/// Blocks one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub at: At,
    pub blocks: u64,
}

#[derive(Clone, Debug)]
struct Group {
    /// What is taken: first block and how many.
    taken: Vec<(u64, u64)>,
    next: u64,
    length: u64,
    /// Blocks that are kept for the trees of free space.
    list: u64,
}

/// All groups.
#[derive(Clone, Debug)]
pub struct Space {
    groups: Vec<Group>,
    /// The group that is filled.
    current: usize,
    /// Chunks of inodes, in the order of their inodes.
    pub chunks: Vec<At>,
}

fn sector(image: &File, at: u64) -> Result<Block> {
    let mut sector = Block::new(SECTOR);
    image.read_exact_at(&mut sector.0, at).during(|| "reading what mkfs.xfs made".to_owned())?;
    Ok(sector)
}

impl Space {
    /// What an empty filesystem has taken, and room for so many inodes.
    ///
    /// # Errors
    /// If it cannot be read; `None` if there is no room.
    pub fn new(image: &File, geometry: &Geometry, inodes: u64) -> Result<Option<Self>> {
        let root = geometry.root / PER_BLOCK;
        let log = (geometry.superblock.get_u64(48), u64::from(geometry.superblock.get_u32(96)));
        let mut groups = Vec::new();
        for group in 0..geometry.groups {
            let start = geometry.place(At { group, block: 0 });
            let (head, list) = (sector(image, start + 512)?, sector(image, start + 1536)?);
            let length = u64::from(head.get_u32(12));
            let mut taken = vec![(0, 5)];
            let (first, count) = (head.get_u32(40) as usize, head.get_u32(48) as usize);
            for place in first..first + count {
                taken.push((list.get_u32(36 + place * 4).into(), 1));
            }
            if log.0 >> geometry.shift == group {
                taken.push((log.0 & ((1 << geometry.shift) - 1), log.1));
            }
            if root >> geometry.shift == group {
                taken.push((root & ((1 << geometry.shift) - 1), CHUNK));
            }
            let next = taken.iter().map(|(first, count)| first + count).max().unwrap_or(0);
            groups.push(Group { taken, next, length, list: count as u64 });
        }
        let root = At { group: root >> geometry.shift, block: root & ((1 << geometry.shift) - 1) };
        let mut space = Self { groups, current: 0, chunks: vec![root] };
        let wanted = usize::try_from(inodes.div_ceil(64)).unwrap_or(usize::MAX);
        let align = u64::from(geometry.superblock.get_u32(180)).max(1);
        for number in 0..space.groups.len() {
            let group = &mut space.groups[number];
            group.next = group.next.next_multiple_of(align);
            while space.chunks.len() < wanted && group.next + CHUNK + KEPT <= group.length {
                space.chunks.push(At { group: number as u64, block: group.next });
                group.taken.push((group.next, CHUNK));
                group.next += CHUNK;
            }
        }
        Ok((space.chunks.len() >= wanted).then_some(space))
    }

    /// Takes so many blocks, in as few pieces as can be; `None` if there is no room.
    pub fn take(&mut self, mut blocks: u64) -> Option<Vec<Extent>> {
        /// An extent's length has 21 bits.
        const LONGEST: u64 = (1 << 21) - 1;
        let mut extents = Vec::new();
        while blocks > 0 {
            let number = self.current;
            let group = self.groups.get_mut(number)?;
            let count = blocks.min(group.length.saturating_sub(group.next + KEPT)).min(LONGEST);
            if count == 0 {
                self.current += 1;
                continue;
            }
            let at = At { group: number as u64, block: group.next };
            group.taken.push((group.next, count));
            group.next += count;
            blocks -= count;
            extents.push(Extent { at, blocks: count });
        }
        Some(extents)
    }

    /// The number of an inode.
    pub fn inode(&self, geometry: &Geometry, index: u64) -> Option<u64> {
        let chunk = self.chunks.get(usize::try_from(index / 64).ok()?)?;
        Some(geometry.number(*chunk) * PER_BLOCK + index % 64)
    }

    /// Writes the heads of all groups, their trees and the superblock.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(mut self, image: &File, geometry: &Geometry, inodes: u64) -> Result<()> {
        let writing = || "writing allocation groups".to_owned();
        let (mut free_blocks, total) = (0, self.chunks.len() as u64 * 64);
        for number in 0..geometry.groups {
            let chunks: Vec<(u64, u64)> = self
                .chunks
                .iter()
                .zip(0_u64..)
                .filter(|(at, _)| at.group == number)
                .map(|(at, index)| (at.block * PER_BLOCK, inodes.saturating_sub(index * 64).min(64)))
                .collect();
            let start = geometry.place(At { group: number, block: 0 });
            let index = usize::try_from(number).unwrap_or(0);
            let tree = inode_tree(&chunks, &mut self.groups[index], geometry, number);
            for (block, bytes) in &tree.blocks {
                let at = geometry.place(At { group: number, block: *block });
                image.write_all_at(&bytes.0, at).during(writing)?;
            }
            let group = &self.groups[index];
            let free = group.free();
            let by_start: Vec<[u32; 2]> = free.iter().map(|(a, n)| [word(*a), word(*n)]).collect();
            let mut by_size = by_start.clone();
            by_size.sort_by_key(|[start, count]| (*count, *start));
            for (block, magic, records) in [(1, b"AB3B", &by_start), (2, b"AB3C", &by_size)] {
                let leaf = leaf(geometry, At { group: number, block }, *magic, records);
                image.write_all_at(&leaf.0, start + block * BLOCK as u64).during(writing)?;
            }
            let blocks: u64 = free.iter().map(|(_, count)| count).sum();
            free_blocks += blocks + group.list;
            let mut head = sector(image, start + 512)?;
            head.u32(52, word(blocks));
            head.u32(56, word(free.iter().map(|(_, count)| *count).max().unwrap_or(0)));
            head.sum(216);
            image.write_all_at(&head.0, start + 512).during(writing)?;
            let mut head = sector(image, start + 1024)?;
            head.u32(16, word(chunks.len() as u64 * 64));
            head.u32(20, word(tree.root));
            head.u32(24, tree.levels);
            head.u32(28, word(chunks.iter().map(|(_, used)| 64 - used).sum()));
            head.u32(32, chunks.last().map_or(u32::MAX, |(first, _)| word(*first)));
            head.sum(312);
            image.write_all_at(&head.0, start + 1024).during(writing)?;
        }
        let mut superblock = geometry.superblock.clone();
        superblock.u64(128, total);
        superblock.u64(136, total - inodes);
        superblock.u64(144, free_blocks);
        // Attributes: that there are some, in their second form.
        let version = u16::from_be_bytes([superblock.0[100], superblock.0[101]]) | 0x10;
        superblock.u16(100, version);
        superblock.sum(224);
        image.write_all_at(&superblock.0, 0).during(writing)
    }
}

impl Group {
    /// What is not taken, in order.
    fn free(&self) -> Vec<(u64, u64)> {
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        taken.push((self.length, 0));
        let (mut free, mut next) = (Vec::new(), 0);
        for (first, count) in taken {
            if first > next {
                free.push((next, first - next));
            }
            next = next.max(first + count);
        }
        free
    }
}

/// The tree of a group's chunks of inodes, and of those with free ones.
struct InodeTree {
    root: u64,
    levels: u32,
    blocks: Vec<(u64, Block)>,
}

fn inode_tree(chunks: &[(u64, u64)], group: &mut Group, geometry: &Geometry, number: u64) -> InodeTree {
    /// Records of a leaf, and children of a node.
    const RECORDS: usize = (BLOCK - HEAD) / 16;
    const CHILDREN: usize = (BLOCK - HEAD) / 8;
    let record = |(first, used): &(u64, u64)| {
        let free = 64 - used;
        let mask = if *used == 64 { 0 } else { u64::MAX << used };
        [word(*first), word(free), word(mask >> 32), word(mask & 0xffff_ffff)]
    };
    let records: Vec<[u32; 4]> = chunks.iter().map(record).collect();
    let with_free: Vec<[u32; 4]> = records.iter().filter(|record| record[1] > 0).copied().collect();
    let at = |block| At { group: number, block };
    let mut blocks = vec![(4, leaf(geometry, at(4), *b"FIB3", &with_free[..with_free.len().min(RECORDS)]))];
    if records.len() <= RECORDS {
        blocks.push((3, leaf(geometry, at(3), *b"IAB3", &records)));
        return InodeTree { root: 3, levels: 1, blocks };
    }
    // Two levels: the root has room for 127,260 chunks, more than a group of this size has.
    let parts: Vec<&[[u32; 4]]> = records.chunks(RECORDS).take(CHILDREN).collect();
    let first = group.next;
    group.taken.push((first, parts.len() as u64));
    group.next += parts.len() as u64;
    let mut root = head(geometry, at(3), *b"IAB3", 1, parts.len());
    for (i, part) in parts.iter().enumerate() {
        let block = first + i as u64;
        let mut leaf = leaf(geometry, at(block), *b"IAB3", part);
        if i > 0 {
            leaf.u32(8, word(block - 1));
        }
        if i + 1 < parts.len() {
            leaf.u32(12, word(block + 1));
        }
        leaf.sum(52);
        blocks.push((block, leaf));
        root.u32(HEAD + i * 4, part.first().map_or(0, |record| record[0]));
        root.u32(HEAD + CHILDREN * 4 + i * 4, word(block));
    }
    root.sum(52);
    blocks.push((3, root));
    InodeTree { root: 3, levels: 2, blocks }
}

fn head(geometry: &Geometry, at: At, magic: [u8; 4], level: u16, count: usize) -> Block {
    let mut block = Block::new(BLOCK);
    block.put(0, &magic);
    block.u16(4, level);
    block.u16(6, half(count));
    block.u64(8, u64::MAX);
    block.u64(16, geometry.address(at));
    block.put(32, &geometry.uuid);
    block.u32(48, word(at.group));
    block
}

/// A tree of one block.
fn leaf<const N: usize>(geometry: &Geometry, at: At, magic: [u8; 4], records: &[[u32; N]]) -> Block {
    let mut block = head(geometry, at, magic, 0, records.len());
    for (i, value) in records.iter().flatten().enumerate() {
        block.u32(HEAD + i * 4, *value);
    }
    block.sum(52);
    block
}
