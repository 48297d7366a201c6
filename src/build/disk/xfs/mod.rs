//! An XFS filesystem with a tree of files in it, written without mounting anything.
//!
//! `mkfs.xfs` makes it empty: superblocks, log, heads of the allocation groups. Its own way to
//! bring files (`-p`) knows no hard links, no attributes, no blanks in names and takes today's
//! time; so inodes, folders and the trees of free space are written here.

mod block;
mod folder;
mod inode;
mod space;

use super::contents::{self, Volume};
use crate::build::entry::{Entry, Kind};
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use block::{BLOCK, Block, half};
use folder::{Folder, Laid, Name};
use inode::{Content, Inode};
use space::{Extent, Geometry, Space};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What GRUB 2.06 and kernels since 5.10 read; written out, because defaults change.
const META: &str = "crc=1,finobt=1,rmapbt=0,reflink=0,bigtime=1,inobtcount=0";
/// The smallest that mkfs.xfs makes with a log of this size in each of four groups.
const LEAST: u64 = 512 << 20;
/// The root, and two inodes that only filesystems with a real-time part use.
const OWN: u64 = 3;
/// So much is copied at once.
const PIECE: usize = 1 << 20;

/// Makes a volume's filesystem; its size in bytes.
///
/// # Errors
/// Class *host* if mkfs.xfs is missing; *limit* if the content does not fit; *spec* if
/// something of it cannot be on XFS.
pub fn write(volume: &Volume<'_>, cancel: &Cancel) -> Result<u64> {
    let tree = Tree::new(volume.names)?;
    let needed = tree.room();
    let size = match volume.size {
        None => (needed + needed / 2 + LEAST).next_multiple_of(16 << 20),
        Some(size) => size / BLOCK as u64 * BLOCK as u64,
    };
    let least = needed + needed / 16 + LEAST.min(needed / 8 + (256 << 20));
    if size < least.max(LEAST) {
        return Err(contents::too_small("xfs", least.max(LEAST), size));
    }
    let writing = || format!("writing {}", volume.image.display());
    let _ = std::fs::remove_file(volume.image);
    File::create(volume.image).and_then(|file| file.set_len(size)).during(writing)?;
    Process::new("mkfs.xfs")
        .args(["-q", "-f", "-K", "-b", "size=4096", "-n", "version=2", "-L", volume.label])
        .args(["-m", &format!("uuid={},{META}", volume.uuid), "-i", "size=512,sparse=0,nrext64=0"])
        .args(["-d", "agcount=4,noalign,sectsize=512", "-l", "internal,size=64m,lazy-count=1"])
        .arg(volume.image)
        .check(cancel)?;
    let image = File::options().read(true).write(true).open(volume.image).during(writing)?;
    let geometry = Geometry::read(&image)?;
    let inodes = OWN + tree.nodes.len() as u64 - 1;
    let Some(space) = Space::new(&image, &geometry, inodes)? else {
        return Err(contents::too_small("xfs", size + size / 4, size));
    };
    let time = volume.epoch.max(0).unsigned_abs();
    Writer { image: &image, geometry: &geometry, space, tree: &tree, size, time }.write(inodes, cancel)?;
    Ok(size)
}

/// One inode that is to be: all its names but the first are links.
struct Node<'a> {
    entry: &'a Entry,
    links: u64,
    /// The node of the folder that it is in.
    parent: usize,
    /// The names in it: each with its node and kind.
    names: Vec<(Vec<u8>, usize, u8)>,
}

/// All inodes, the root first.
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    fn new(names: &'a [crate::build::union::Found]) -> Result<Self> {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut paths: HashMap<&Path, usize> = HashMap::new();
        for found in names {
            let entry = &found.entry;
            let kind = match &entry.kind {
                Kind::File { .. } => 1,
                Kind::Folder { .. } => 2,
                Kind::Device { block: false, .. } => 3,
                Kind::Device { block: true, .. } => 4,
                Kind::Fifo => 5,
                Kind::Symlink { .. } => 7,
                Kind::Socket | Kind::Whiteout => continue,
            };
            let above = entry.path.parent().and_then(|above| paths.get(above).copied());
            let first = found.link.as_ref().and_then(|first| paths.get(first.as_path()).copied());
            let node = first.unwrap_or(nodes.len());
            match (above, nodes.is_empty()) {
                (Some(above), _) => {
                    let name = entry.path.file_name().unwrap_or(OsStr::new("")).as_bytes().to_vec();
                    nodes[above].names.push((name, node, kind));
                    nodes[above].links += u64::from(kind == 2);
                }
                (None, true) if kind == 2 => {}
                _ => return Err(Failure::bug(format!("{} comes before its folder", entry.path.display()))),
            }
            if first.is_some() {
                nodes[node].links += 1;
                continue;
            }
            let links = if kind == 2 { 2 } else { 1 };
            nodes.push(Node { entry, links, parent: above.unwrap_or(0), names: Vec::new() });
            if kind == 2 || entry.linked.is_some() {
                paths.insert(&entry.path, node);
            }
        }
        if nodes.is_empty() {
            return Err(Failure::bug("a filesystem without a root folder"));
        }
        Ok(Self { nodes })
    }

    /// Bytes that it takes.
    fn room(&self) -> u64 {
        let of = |node: &Node<'_>| {
            let own = match &node.entry.kind {
                Kind::File { size } => size.next_multiple_of(BLOCK as u64),
                Kind::Folder { .. } => (node.names.len() as u64 * 64).next_multiple_of(BLOCK as u64),
                _ => 0,
            };
            own + inode::SIZE as u64
        };
        self.nodes.iter().map(of).sum()
    }
}

struct Writer<'a> {
    image: &'a File,
    geometry: &'a Geometry,
    space: Space,
    tree: &'a Tree<'a>,
    size: u64,
    time: u64,
}

impl Writer<'_> {
    fn write(mut self, inodes: u64, cancel: &Cancel) -> Result<()> {
        for chunk in self.space.chunks.clone() {
            let first = self.geometry.number(chunk) * space::PER_BLOCK;
            let mut blocks = Vec::new();
            for number in first..first + 64 {
                let own = (self.geometry.root + 1..self.geometry.root + OWN).contains(&number);
                let inode = if own { self.own(number)? } else { inode::free(number, self.geometry) };
                blocks.extend(inode.0);
            }
            self.put(&blocks, self.geometry.place(chunk))?;
        }
        for index in 0..self.tree.nodes.len() {
            cancel.check()?;
            let bytes = self.node(index, cancel)?;
            let number = self.number(index)?;
            self.put(&bytes.0, self.inode_place(number))?;
        }
        self.space.write(self.image, self.geometry, inodes)
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.image.write_all_at(bytes, at).during(|| "writing an XFS filesystem".to_owned())
    }

    /// An inode that mkfs.xfs made.
    fn own(&self, number: u64) -> Result<Block> {
        let mut inode = Block::new(inode::SIZE);
        let reading = || "reading what mkfs.xfs made".to_owned();
        self.image.read_exact_at(&mut inode.0, self.inode_place(number)).during(reading)?;
        Ok(inode::dated(inode, self.time))
    }

    fn inode_place(&self, number: u64) -> u64 {
        let block = number / space::PER_BLOCK;
        let mask = (1 << self.geometry.shift) - 1;
        let at = space::At { group: block >> self.geometry.shift, block: block & mask };
        self.geometry.place(at) + number % space::PER_BLOCK * inode::SIZE as u64
    }

    /// The number of a node's inode.
    fn number(&self, node: usize) -> Result<u64> {
        let index = if node == 0 { 0 } else { OWN + node as u64 - 1 };
        self.space.inode(self.geometry, index).ok_or_else(|| Failure::bug("a filesystem with too few inodes"))
    }

    fn take(&mut self, blocks: u64) -> Result<Vec<Extent>> {
        let size = self.size;
        self.space.take(blocks).ok_or_else(|| contents::too_small("xfs", size + size / 4, size))
    }

    fn node(&mut self, index: usize, cancel: &Cancel) -> Result<Block> {
        let node = &self.tree.nodes[index];
        let entry = node.entry;
        let attributes = inode::attributes(entry)?;
        let number = self.number(index)?;
        let (format, size, content) = match &entry.kind {
            Kind::File { size } => (0o100_000, *size, self.file(&entry.source, *size, cancel)?),
            Kind::Symlink { target } => {
                let target = target.as_bytes();
                (0o120_000, target.len() as u64, Content::Local(target.to_vec()))
            }
            Kind::Device { block, major, minor } => {
                let format = if *block { 0o060_000 } else { 0o020_000 };
                (format, 0, Content::Device(major << 18 | minor))
            }
            Kind::Folder { .. } => {
                let (size, content) = self.folder(index, number, inode::ROOM - attributes.len())?;
                (0o040_000, size, content)
            }
            Kind::Fifo | Kind::Socket | Kind::Whiteout => (0o010_000, 0, Content::Device(0)),
        };
        let attributes = &attributes[..];
        Inode { number, format: half(format), entry, links: node.links, size, content, attributes }
            .bytes(self.geometry)
    }

    fn folder(&mut self, index: usize, number: u64, room: usize) -> Result<(u64, Content)> {
        let node = &self.tree.nodes[index];
        let mut names = Vec::new();
        for (name, node, kind) in &node.names {
            names.push(Name { name: name.clone(), inode: self.number(*node)?, kind: *kind });
        }
        let folder = Folder { inode: number, parent: self.number(node.parent)?, names };
        let (runs, size) = match folder.lay_out(room)? {
            Laid::Inline(bytes) => return Ok((bytes.len() as u64, Content::Local(bytes))),
            Laid::Blocks { runs, size } => (runs, size),
        };
        let mut extents = Vec::new();
        for (first, blocks) in runs {
            let mut place = first;
            let mut blocks = blocks.into_iter();
            for extent in self.take(blocks.len() as u64)? {
                for (at, mut block) in folder::blocks_of(&extent).zip(blocks.by_ref()) {
                    folder::place(&mut block, self.geometry, at);
                    self.put(&block.0, self.geometry.place(at))?;
                }
                extents.push((place, extent));
                place += extent.blocks;
            }
        }
        Ok((size, Content::Extents(extents)))
    }

    fn file(&mut self, source: &Path, size: u64, cancel: &Cancel) -> Result<Content> {
        if size == 0 {
            return Ok(Content::Extents(Vec::new()));
        }
        let reading = || format!("reading {}", source.display());
        let mut from = File::open(source).during(reading)?.take(size);
        let mut piece = Vec::with_capacity(PIECE);
        let (mut extents, mut place, mut read) = (Vec::new(), 0, 0);
        for extent in self.take(size.div_ceil(BLOCK as u64))? {
            let (mut at, mut left) = (self.geometry.place(extent.at), extent.blocks * BLOCK as u64);
            while left > 0 {
                cancel.check()?;
                piece.clear();
                from.by_ref().take(left.min(PIECE as u64)).read_to_end(&mut piece).during(reading)?;
                if piece.is_empty() {
                    break;
                }
                // What lies behind the end in the last block is zero, as the file was made.
                self.put(&piece, at)?;
                let length = piece.len() as u64;
                (at, left, read) = (at + length, left.saturating_sub(length), read + length);
            }
            extents.push((place, extent));
            place += extent.blocks;
        }
        if read == size {
            return Ok(Content::Extents(extents));
        }
        Err(Failure::bug(format!("{} has {read} bytes, not {size}", source.display())))
    }
}
