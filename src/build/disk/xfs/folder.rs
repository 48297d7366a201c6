//! Folders: in the inode, in one block, or in many with an index of hashes.

use super::block::{BLOCK, Block, half, word};
use super::space::{At, Extent, Geometry};
use crate::model::{Failure, Result};

/// Bytes before the first entry, and the first entry behind `.` and `..`.
const HEAD: usize = 64;
const FIRST: usize = HEAD + 32;
/// In blocks: where a folder's index lies, and its list of free room.
const INDEX: u64 = (32 << 30) / BLOCK as u64;
const FREE: u64 = (64 << 30) / BLOCK as u64;
/// Entries of an index block, children of its root, data blocks of the list.
const HASHES: usize = (BLOCK - HEAD) / 8;
const BESTS: usize = (BLOCK - HEAD) / 2;
/// A folder's kind, in an entry.
const FOLDER: u8 = 2;

/// A name in a folder.
#[derive(Clone, Debug)]
pub struct Name {
    pub name: Vec<u8>,
    pub inode: u64,
    pub kind: u8,
}

/// A folder as it lies on the disk.
#[derive(Clone, Debug)]
pub enum Laid {
    /// In its inode.
    Inline(Vec<u8>),
    /// In blocks: the place of each in the folder, with those that lie side by side together.
    Blocks {
        /// Place in the folder of the first block, and the blocks.
        runs: Vec<(u64, Vec<Block>)>,
        /// The folder's size.
        size: u64,
    },
}

/// A folder.
#[derive(Clone, Debug)]
pub struct Folder {
    pub inode: u64,
    pub parent: u64,
    pub names: Vec<Name>,
}

/// Bytes of an entry: number, length, name, kind, its own place; in steps of eight.
fn entry_size(name: &[u8]) -> usize {
    (8 + 1 + name.len() + 1 + 2).next_multiple_of(8)
}

impl Folder {
    /// Lays it out; `room` is what its inode has.
    ///
    /// # Errors
    /// Class *spec* if it has more names than two levels of index can hold.
    pub fn lay_out(&self, room: usize) -> Result<Laid> {
        let inline = self.inline()?;
        if inline.len() <= room {
            return Ok(Laid::Inline(inline));
        }
        let mut all = vec![
            Name { name: b".".to_vec(), inode: self.inode, kind: FOLDER },
            Name { name: b"..".to_vec(), inode: self.parent, kind: FOLDER },
        ];
        all.extend(self.names.iter().cloned());
        let bytes: usize = all.iter().map(|name| entry_size(&name.name)).sum();
        if HEAD + bytes + all.len() * 8 + 8 <= BLOCK {
            return Ok(self.one_block(&all));
        }
        self.many_blocks(&all)
    }

    fn inline(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![u8::try_from(self.names.len()).unwrap_or(0), 0];
        if self.names.len() > 255 {
            return Ok(vec![0; BLOCK]);
        }
        bytes.extend(small(self.parent)?);
        let mut offset = FIRST;
        for name in &self.names {
            bytes.push(u8::try_from(name.name.len()).unwrap_or(u8::MAX));
            bytes.extend(half(offset).to_be_bytes());
            bytes.extend(&name.name);
            bytes.push(name.kind);
            bytes.extend(small(name.inode)?);
            offset += entry_size(&name.name);
        }
        Ok(bytes)
    }

    fn one_block(&self, all: &[Name]) -> Laid {
        let mut data = Data::new(b"XDB3", self.inode);
        let mut hashes: Vec<(u32, u32)> =
            all.iter().map(|name| (hash(&name.name), data.add(name, 0))).collect();
        hashes.sort_unstable();
        let tail = BLOCK - 8;
        let index = tail - hashes.len() * 8;
        let mut block = data.close(index).0;
        for (i, (hash, address)) in hashes.iter().enumerate() {
            block.u32(index + i * 8, *hash);
            block.u32(index + i * 8 + 4, *address);
        }
        block.u32(tail, word(hashes.len() as u64));
        Laid::Blocks { runs: vec![(0, vec![block])], size: BLOCK as u64 }
    }

    fn many_blocks(&self, all: &[Name]) -> Result<Laid> {
        let (mut blocks, mut bests, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        let mut data = Data::new(b"XDD3", self.inode);
        for name in all {
            if data.end + entry_size(&name.name) > BLOCK {
                let (block, best) = std::mem::replace(&mut data, Data::new(b"XDD3", self.inode)).close(BLOCK);
                blocks.push(block);
                bests.push(best);
            }
            hashes.push((hash(&name.name), data.add(name, blocks.len())));
        }
        let (block, best) = data.close(BLOCK);
        blocks.push(block);
        bests.push(best);
        hashes.sort_unstable();
        let size = (blocks.len() * BLOCK) as u64;
        let runs = if HEAD + hashes.len() * 8 + bests.len() * 2 + 4 <= BLOCK {
            vec![(0, blocks), (INDEX, vec![self.one_leaf(&hashes, &bests)])]
        } else {
            vec![(0, blocks), (INDEX, self.leaves(&hashes)?), (FREE, self.free(&bests))]
        };
        Ok(Laid::Blocks { runs, size })
    }

    /// An index of one block, with the free room of each data block at its end.
    fn one_leaf(&self, hashes: &[(u32, u32)], bests: &[u16]) -> Block {
        let mut leaf = self.index_block(0x3df1, hashes);
        leaf.u32(BLOCK - 4, word(bests.len() as u64));
        for (i, best) in bests.iter().enumerate() {
            leaf.u16(BLOCK - 4 - (bests.len() - i) * 2, *best);
        }
        leaf
    }

    fn index_block(&self, magic: u16, entries: &[(u32, u32)]) -> Block {
        let mut block = Block::new(BLOCK);
        block.u16(8, magic);
        block.u64(48, self.inode);
        block.u16(56, half(entries.len()));
        for (i, (hash, address)) in entries.iter().enumerate() {
            block.u32(HEAD + i * 8, *hash);
            block.u32(HEAD + i * 8 + 4, *address);
        }
        block
    }

    /// A root and its leaves.
    fn leaves(&self, hashes: &[(u32, u32)]) -> Result<Vec<Block>> {
        let parts: Vec<_> = hashes.chunks(HASHES).collect();
        if parts.len() > HASHES {
            return Err(Failure::spec(format!(
                "a folder of {} names is too large for XFS here",
                hashes.len()
            ))
            .hint("Write another `filesystem.root`, or spread the files over several folders."));
        }
        let place = |number: usize| word(INDEX + 1 + number as u64);
        let last = |part: &[(u32, u32)]| part.last().map_or(0, |(hash, _)| *hash);
        let children: Vec<_> = parts.iter().enumerate().map(|(i, part)| (last(part), place(i))).collect();
        let mut root = self.index_block(0x3ebe, &children);
        root.u16(58, 1);
        let mut blocks = vec![root];
        for (i, part) in parts.iter().enumerate() {
            let mut leaf = self.index_block(0x3dff, part);
            leaf.u32(0, if i + 1 < parts.len() { place(i + 1) } else { 0 });
            leaf.u32(4, if i > 0 { place(i - 1) } else { 0 });
            blocks.push(leaf);
        }
        Ok(blocks)
    }

    /// The free room of all data blocks.
    fn free(&self, bests: &[u16]) -> Vec<Block> {
        let block = |(number, part): (usize, &[u16])| {
            let mut block = Block::new(BLOCK);
            block.put(0, b"XDF3");
            block.u64(40, self.inode);
            block.u32(48, word((number * BESTS) as u64));
            block.u32(52, word(part.len() as u64));
            block.u32(56, word(part.len() as u64));
            for (i, best) in part.iter().enumerate() {
                block.u16(HEAD + i * 2, *best);
            }
            block
        };
        bests.chunks(BESTS).enumerate().map(block).collect()
    }
}

/// A block with entries.
struct Data {
    block: Block,
    end: usize,
}

impl Data {
    fn new(magic: &[u8; 4], inode: u64) -> Self {
        let mut block = Block::new(BLOCK);
        block.put(0, magic);
        block.u64(40, inode);
        Self { block, end: HEAD }
    }

    /// Adds an entry; its place in the folder, in steps of eight.
    fn add(&mut self, name: &Name, number: usize) -> u32 {
        let (at, size) = (self.end, entry_size(&name.name));
        self.block.u64(at, name.inode);
        self.block.u8(at + 8, u8::try_from(name.name.len()).unwrap_or(u8::MAX));
        self.block.put(at + 9, &name.name);
        self.block.u8(at + 9 + name.name.len(), name.kind);
        self.block.u16(at + size - 2, half(at));
        self.end += size;
        word(((number * BLOCK + at) / 8) as u64)
    }

    /// The block, what lies free up to `limit` marked so; and how much that is.
    fn close(mut self, limit: usize) -> (Block, u16) {
        let free = half(limit - self.end);
        if free > 0 {
            self.block.u16(self.end, 0xffff);
            self.block.u16(self.end + 2, free);
            self.block.u16(limit - 2, half(self.end));
            self.block.u16(48, half(self.end));
            self.block.u16(50, free);
        }
        (self.block, free)
    }
}

/// Says in a folder's block where it is and sums it up.
pub fn place(block: &mut Block, geometry: &Geometry, at: At) {
    let data = block.0.starts_with(b"XD");
    let (address, uuid, sum) = if data { (8, 24, 4) } else { (16, 32, 12) };
    block.u64(address, geometry.address(at));
    block.put(uuid, &geometry.uuid);
    block.sum(sum);
}

/// The blocks of an extent.
pub fn blocks_of(extent: &Extent) -> impl Iterator<Item = At> {
    let at = extent.at;
    (0..extent.blocks).map(move |i| At { group: at.group, block: at.block + i })
}

/// A number of an inode in four bytes.
fn small(inode: u64) -> Result<[u8; 4]> {
    let short = u32::try_from(inode);
    short.map(u32::to_be_bytes).map_err(|_| Failure::bug("an inode's number of more than 32 bits"))
}

/// The hash of a name (kernel, `xfs_da_hashname`).
fn hash(name: &[u8]) -> u32 {
    let mut hash = 0_u32;
    let mut fours = name.chunks_exact(4);
    for four in &mut fours {
        let [a, b, c, d] = [four[0], four[1], four[2], four[3]].map(u32::from);
        hash = (a << 21) ^ (b << 14) ^ (c << 7) ^ d ^ hash.rotate_left(28);
    }
    match fours.remainder() {
        [a, b, c] => (u32::from(*a) << 14) ^ (u32::from(*b) << 7) ^ u32::from(*c) ^ hash.rotate_left(21),
        [a, b] => (u32::from(*a) << 7) ^ u32::from(*b) ^ hash.rotate_left(14),
        [a] => u32::from(*a) ^ hash.rotate_left(7),
        _ => hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_kernels() {
        // `xfs_db -c "hash ..."`
        assert_eq!((hash(b"."), hash(b".."), hash(b"vmlinuz")), (0x2e, 0x172e, 0xcd3a_6194));
    }
}
