//! All trees of a filesystem: what each chunk holds, whose each block is, and where it begins.

use super::files::Data;
use super::format::{
    GENERATION, Inode, NODE, Record, SECTOR, STRIPE, group, key, kind, name_hash, named, object, sum, time,
};
use super::tree::{Items, Marks, Owned, Placed, Shape};
use super::{DATA, MIB, SYSTEM};
use crate::build::disk::contents;
use crate::model::{Failure, Result};

/// Where the superblock and its copies lie.
const SUPERBLOCKS: [u64; 3] = [64 << 10, 64 * MIB, 256 << 30];
/// The system chunk's copies on the disk.
const SYSTEM_AT: [u64; 2] = [MIB, 9 * MIB];
const SYSTEM_SIZE: u64 = 8 * MIB;
/// Where data begins on the disk.
pub const DATA_AT: u64 = 65 * MIB;
/// Room for more in the first chunks, and for chunks that the kernel makes.
const SPARE: u64 = 64 * MIB;
const FREE: u64 = 256 * MIB;
/// Checksums in one item.
const SUMS: usize = 2048;

/// What the trees use: what is usual since Linux 5.15.
mod feature {
    pub const FREE_SPACE_TREE: u64 = 0b11;
    pub const MIXED_BACKREFS: u64 = 1;
    pub const ZSTD: u64 = 1 << 4;
    pub const BIG_METADATA: u64 = 1 << 5;
    pub const MANY_NAMES: u64 = 1 << 6;
    pub const SKINNY_METADATA: u64 = 1 << 8;
    pub const NO_HOLES: u64 = 1 << 9;
}

/// A run of addresses, and where it lies on the disk.
#[derive(Clone, Debug)]
struct Chunk {
    start: u64,
    size: u64,
    flags: u64,
    at: Vec<u64>,
    used: u64,
}

/// One tree of files: its number, its identifier, and its index and name in the top level.
#[derive(Clone, Debug)]
pub struct Root {
    pub id: u64,
    pub uuid: [u8; 16],
    pub place: Option<(u64, String)>,
}

/// What the trees are made from beside their items.
#[derive(Clone, Debug)]
pub struct Facts {
    pub roots: Vec<Root>,
    pub compress: bool,
    /// In seconds since 1970.
    pub time: u64,
    pub device: [u8; 16],
    pub marks: Marks,
}

/// All trees, each in its place.
#[derive(Debug)]
pub struct Trees {
    facts: Facts,
    chunks: [Chunk; 3],
    placed: Vec<(Placed, Items)>,
}

impl Trees {
    /// Lays out the trees `of_files`, and all that belong to them.
    ///
    /// # Errors
    /// Class *bug* if an item is too large.
    pub fn new(facts: Facts, of_files: Vec<Owned>, data: &Data<'_>) -> Result<Self> {
        let chunk = |start, size, flags, at, used| Chunk { start, size, flags, at, used };
        let data_size = (data.used + (data.used / 4).max(SPARE)).next_multiple_of(MIB);
        let chunks = [
            chunk(SYSTEM, SYSTEM_SIZE, group::SYSTEM | group::DUP, SYSTEM_AT.to_vec(), NODE as u64),
            chunk(DATA, data_size, group::DATA, vec![DATA_AT], data.used),
            // Its size is settled below.
            chunk(DATA + data_size, 0, group::METADATA | group::DUP, vec![0; 2], 0),
        ];
        let mut trees = Self { facts, chunks, placed: Vec::new() };
        let mut all = of_files;
        all.push((object::CSUM_TREE, sums(&data.sums)));
        all.push((object::UUID_TREE, trees.uuids()));
        // What these say of places and sizes is written when those are known; how long their
        // items are is known now.
        all.push((object::FREE_SPACE_TREE, trees.free_space()));
        all.push((object::DEV_TREE, trees.device_extents()));
        all.push((object::ROOT_TREE, trees.root_items()));
        let mut next = trees.chunks[2].start;
        for (owner, items) in all {
            let shape = Shape::of(items.values().map(Vec::len))?;
            let tree = Placed { owner, shape, first: next };
            next += tree.size();
            trees.placed.push((tree, items));
        }
        let chunk_items = trees.chunk_items(0);
        let shape = Shape::of(chunk_items.values().map(Vec::len))?;
        trees.placed.push((Placed { owner: object::CHUNK_TREE, shape, first: SYSTEM }, chunk_items));
        trees.extents(next, data)?;
        Ok(trees)
    }

    /// Lays out the extent tree, which names its own nodes too: it grows until it fits.
    fn extents(&mut self, first: u64, data: &Data<'_>) -> Result<()> {
        let mut tree = Placed { owner: object::EXTENT_TREE, shape: Shape::of(std::iter::empty())?, first };
        loop {
            let metadata = &mut self.chunks[2];
            metadata.used = first + tree.size() - metadata.start;
            metadata.size = (metadata.used + (metadata.used / 4).max(SPARE)).next_multiple_of(MIB);
            let behind = DATA_AT + self.chunks[1].size;
            self.chunks[2].at = vec![behind, behind + self.chunks[2].size];
            let items = self.extent_items(&tree, data);
            let shape = Shape::of(items.values().map(Vec::len))?;
            if shape == tree.shape {
                self.placed.push((tree, items));
                return Ok(());
            }
            tree.shape = shape;
        }
    }

    fn extent_items(&self, own: &Placed, data: &Data<'_>) -> Items {
        let mut items = Items::new();
        let head = |flags| Record::default().u64s(&[1, GENERATION, flags]);
        for extent in &data.extents {
            let item = head(1)
                .u8(kind::EXTENT_DATA_REF)
                .u64s(&[extent.subvolume, extent.inode, extent.offset])
                .u32(1);
            items.insert(key(extent.at, kind::EXTENT, extent.length), item.0);
        }
        for tree in self.placed.iter().map(|(tree, _)| tree).chain([own]) {
            for (address, level) in tree.nodes() {
                let item = head(2).u8(kind::TREE_BLOCK_REF).u64(tree.owner);
                items.insert(key(address, kind::METADATA, u64::from(level)), item.0);
            }
        }
        for chunk in &self.chunks {
            let item = Record::default().u64s(&[chunk.used, object::FIRST_FREE, chunk.flags]);
            items.insert(key(chunk.start, kind::BLOCK_GROUP, chunk.size), item.0);
        }
        items
    }

    /// What is free in each block group: all behind what is used.
    fn free_space(&self) -> Items {
        let mut items = Items::new();
        for chunk in &self.chunks {
            items.insert(
                key(chunk.start, kind::FREE_SPACE_INFO, chunk.size),
                Record::default().u32(1).u32(0).0,
            );
            let (start, size) = (chunk.start + chunk.used, chunk.size.saturating_sub(chunk.used));
            items.insert(key(start, kind::FREE_SPACE_EXTENT, size), Vec::new());
        }
        items
    }

    fn uuids(&self) -> Items {
        let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let of = |root: &Root| {
            let (first, second) = root.uuid.split_at(8);
            (key(half(first), kind::UUID_SUBVOLUME, half(second)), Record::default().u64(root.id).0)
        };
        self.facts.roots.iter().map(of).collect()
    }

    fn device_extents(&self) -> Items {
        let mut items = Items::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            for (copy, at) in chunk.at.iter().enumerate() {
                // Before the metadata's place is known only their number counts.
                let at = if *at == 0 { (number + copy) as u64 } else { *at };
                let item = Record::default()
                    .u64s(&[object::CHUNK_TREE, object::FIRST_FREE, chunk.start, chunk.size])
                    .bytes(&self.facts.marks.chunks);
                items.insert(key(object::DEVICES, kind::DEV_EXTENT, at), item.0);
            }
        }
        items
    }

    fn chunk_items(&self, total: u64) -> Items {
        let mut items = Items::new();
        items.insert(key(object::DEVICES, kind::DEV, 1), self.device(total).0);
        for chunk in &self.chunks {
            items.insert(key(object::FIRST_FREE, kind::CHUNK, chunk.start), self.chunk(chunk).0);
        }
        items
    }

    fn chunk(&self, chunk: &Chunk) -> Record {
        let unit = STRIPE as u32;
        let item = Record::default()
            .u64s(&[chunk.size, object::EXTENT_TREE, STRIPE, chunk.flags])
            .u32(unit)
            .u32(unit)
            .u32(SECTOR as u32)
            .u16(u16::try_from(chunk.at.len()).unwrap_or(0))
            .u16(0);
        chunk.at.iter().fold(item, |item, at| item.u64s(&[1, *at]).bytes(&self.facts.device))
    }

    fn device(&self, total: u64) -> Record {
        let used = self.chunks.iter().map(|chunk| chunk.size * chunk.at.len() as u64).sum();
        let sector = SECTOR as u32;
        Record::default()
            .u64s(&[1, total, used])
            .u32(sector)
            .u32(sector)
            .u32(sector)
            .u64s(&[0, 0, 0])
            .u32(0)
            .u16(0)
            .bytes(&self.facts.device)
            .bytes(&self.facts.marks.filesystem)
    }

    /// The tree of an owner, if it has its place already.
    fn tree(&self, owner: u64) -> Option<&Placed> {
        self.placed.iter().map(|(tree, _)| tree).find(|tree| tree.owner == owner)
    }

    fn root_items(&self) -> Items {
        let mut items = Items::new();
        let plain = [
            object::EXTENT_TREE,
            object::DEV_TREE,
            object::CSUM_TREE,
            object::UUID_TREE,
            object::FREE_SPACE_TREE,
        ];
        for owner in plain {
            items.insert(key(owner, kind::ROOT, 0), self.root(owner, 0, [0; 16]));
        }
        let relocation = object::DATA_RELOC_TREE;
        items.insert(key(relocation, kind::ROOT, 0), self.root(relocation, object::FIRST_FREE, [0; 16]));
        for root in &self.facts.roots {
            items.insert(key(root.id, kind::ROOT, 0), self.root(root.id, object::FIRST_FREE, root.uuid));
            let Some((index, name)) = &root.place else { continue };
            let name = name.as_bytes();
            let place = Record::default()
                .u64s(&[object::FIRST_FREE, *index])
                .u16(super::format::short(name.len()))
                .bytes(name)
                .0;
            items.insert(key(object::FS_TREE, kind::ROOT_REF, root.id), place.clone());
            items.insert(key(root.id, kind::ROOT_BACKREF, object::FS_TREE), place);
        }
        // The folder of what is mounted if nobody says otherwise.
        let folder = object::ROOT_DIR;
        let inode = Inode { links: 1, mode: 0o040_755, time: self.facts.time, ..Inode::default() };
        items.insert(key(folder, kind::INODE, 0), inode.item());
        items.insert(key(folder, kind::INODE_REF, folder), Record::default().u64(0).u16(2).bytes(b"..").0);
        let default = named(key(object::FS_TREE, kind::ROOT, u64::MAX), b"default", 2, b"");
        items.insert(key(folder, kind::DIR_ITEM, name_hash(b"default")), default);
        items
    }

    fn root(&self, owner: u64, folder: u64, uuid: [u8; 16]) -> Vec<u8> {
        /// The fields behind it count, for the kernel.
        const COMPLETE: u64 = 1 << 31;
        let (at, size, level) =
            self.tree(owner).map_or((0, 0, 0), |tree| (tree.root(), tree.size(), tree.shape.height()));
        let inode = Inode {
            size: 3,
            bytes: NODE as u64,
            links: 1,
            mode: 0o040_755,
            flags: COMPLETE,
            time: self.facts.time,
            ..Inode::default()
        };
        let item = Record(inode.item())
            .u64s(&[GENERATION, folder, at, 0, size, 0, 0])
            .u32(1)
            .up_to(160 + 60 + 18)
            .u8(level)
            .u64(GENERATION)
            .bytes(&uuid)
            .up_to(160 + 60 + 18 + 1 + 8 + 48)
            .u64s(&[GENERATION, GENERATION, 0, 0]);
        let time_of = self.facts.time;
        time(time(item, time_of), time_of).up_to(439).0
    }

    /// The size of the filesystem: what was asked for, or room for what is to come.
    ///
    /// # Errors
    /// Class *limit* if the content does not fit.
    pub fn size(&self, asked: Option<u64>) -> Result<u64> {
        let end = self.chunks[2].at.iter().map(|at| at + self.chunks[2].size).max().unwrap_or(0);
        match asked {
            None => Ok(end + FREE),
            Some(size) if size >= end => Ok(size / SECTOR * SECTOR),
            Some(size) => Err(contents::too_small("btrfs", end, size)),
        }
    }

    /// All blocks but data, by their places on the disk of so many bytes.
    ///
    /// # Errors
    /// Class *bug* if a tree is not what was measured.
    pub fn write(&self, total: u64, label: &str) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut blocks = Vec::new();
        for (tree, items) in &self.placed {
            let known;
            let items = match tree.owner {
                object::FREE_SPACE_TREE => {
                    known = self.free_space();
                    &known
                }
                object::DEV_TREE => {
                    known = self.device_extents();
                    &known
                }
                object::ROOT_TREE => {
                    known = self.root_items();
                    &known
                }
                object::CHUNK_TREE => {
                    known = self.chunk_items(total);
                    &known
                }
                _ => items,
            };
            let nodes = tree.write(items, self.facts.marks)?;
            let chunk = &self.chunks[if tree.owner == object::CHUNK_TREE { 0 } else { 2 }];
            blocks.extend(chunk.at.iter().map(|at| (at + tree.first - chunk.start, nodes.clone())));
        }
        for at in SUPERBLOCKS.into_iter().filter(|at| at + SECTOR <= total) {
            blocks.push((at, self.superblock(at, total, label)?));
        }
        Ok(blocks)
    }

    fn superblock(&self, at: u64, total: u64, label: &str) -> Result<Vec<u8>> {
        let (Some(root), Some(chunks)) = (self.tree(object::ROOT_TREE), self.tree(object::CHUNK_TREE)) else {
            return Err(Failure::bug("a filesystem without its first trees"));
        };
        let used: u64 = self.chunks.iter().map(|chunk| chunk.used).sum();
        let system = Record::default().key(key(object::FIRST_FREE, kind::CHUNK, SYSTEM));
        let system = system.bytes(&self.chunk(&self.chunks[0]).0).0;
        let (node, sector) = (NODE as u32, SECTOR as u32);
        let zstd = if self.facts.compress { feature::ZSTD } else { 0 };
        let features = feature::MIXED_BACKREFS
            | feature::BIG_METADATA
            | feature::MANY_NAMES
            | feature::SKINNY_METADATA
            | feature::NO_HOLES
            | zstd;
        let mut block = Record(vec![0; 32])
            .bytes(&self.facts.marks.filesystem)
            .u64s(&[at, 1])
            .bytes(b"_BHRfS_M")
            .u64s(&[GENERATION, root.root(), chunks.root(), 0, 0, total, used, object::ROOT_DIR, 1])
            .u32(sector)
            .u32(node)
            .u32(node)
            .u32(sector)
            .u32(u32::try_from(system.len()).unwrap_or(0))
            .u64s(&[GENERATION, 0, feature::FREE_SPACE_TREE, features])
            .u16(0)
            .u8(root.shape.height())
            .u8(chunks.shape.height())
            .u8(0)
            .bytes(&self.device(total).0)
            .bytes(label.as_bytes())
            .up_to(555)
            .u64s(&[0, GENERATION])
            .up_to(811)
            .bytes(&system)
            .up_to(SECTOR as usize)
            .0;
        let sum = sum(&block[32..]);
        block[..4].copy_from_slice(&sum.to_le_bytes());
        Ok(block)
    }
}

/// The checksums of all data, which lies in one run.
fn sums(sums: &[u32]) -> Items {
    let item = |(number, part): (usize, &[u32])| {
        let at = DATA + (number * SUMS) as u64 * SECTOR;
        let bytes = part.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        (key(object::EXTENT_CSUM, kind::EXTENT_CSUM, at), bytes)
    };
    sums.chunks(SUMS).enumerate().map(item).collect()
}
