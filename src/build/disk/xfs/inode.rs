//! Inodes (kernel, `struct xfs_dinode`, version 3), 512 bytes each.

use super::block::{Block, half, word};
use super::space::{Extent, Geometry};
use crate::build::entry::Entry;
use crate::model::{Failure, Result};
use std::os::unix::ffi::OsStrExt;

/// Bytes of an inode, and what of them is for its content and attributes.
pub const SIZE: usize = 512;
const HEAD: usize = 176;
pub const ROOM: usize = SIZE - HEAD;
/// Times are kept as nanoseconds from the end of 1901 on.
const BIG_TIME: u64 = 1 << 3;
const BEFORE_1970: u64 = 1 << 31;
/// Kinds of content.
const DEVICE: u8 = 0;
const LOCAL: u8 = 1;
const EXTENTS: u8 = 2;

/// What an inode has.
#[derive(Clone, Debug)]
pub enum Content {
    /// A device by its numbers, a pipe.
    Device(u32),
    /// Bytes in the inode.
    Local(Vec<u8>),
    /// Blocks elsewhere, each with its place in the file.
    Extents(Vec<(u64, Extent)>),
}

/// An inode.
#[derive(Clone, Debug)]
pub struct Inode<'a> {
    pub number: u64,
    pub format: u16,
    pub entry: &'a Entry,
    pub links: u64,
    pub size: u64,
    pub content: Content,
    pub attributes: &'a [u8],
}

impl Inode<'_> {
    /// Its bytes.
    ///
    /// # Errors
    /// Class *spec* if it has more extents than fit.
    pub fn bytes(&self, geometry: &Geometry) -> Result<Block> {
        let mut inode = free(self.number, geometry);
        let room = ROOM - self.attributes.len();
        let (kind, content, extents) = match &self.content {
            Content::Device(device) => (DEVICE, device.to_be_bytes().to_vec(), 0),
            Content::Local(bytes) => (LOCAL, bytes.clone(), 0),
            Content::Extents(extents) => {
                let bytes = extents.iter().flat_map(|(place, extent)| record(*place, extent, geometry));
                (EXTENTS, bytes.collect(), extents.len())
            }
        };
        if content.len() > room {
            return Err(Failure::spec(format!(
                "{} does not fit into an inode of XFS",
                self.entry.path.display()
            ))
            .hint("Write another `filesystem.root`."));
        }
        inode.u16(2, self.format | half(self.entry.mode as usize));
        inode.u8(5, kind);
        inode.u32(8, self.entry.uid);
        inode.u32(12, self.entry.gid);
        inode.u32(16, word(self.links));
        times(&mut inode, self.entry.mtime);
        inode.u64(56, self.size);
        if let Content::Extents(extents) = &self.content {
            inode.u64(64, extents.iter().map(|(_, extent)| extent.blocks).sum());
        }
        inode.u32(76, word(extents as u64));
        inode.put(HEAD, &content);
        if !self.attributes.is_empty() {
            // A device leaves all but its eight bytes to attributes.
            let fork = if kind == DEVICE { 8 } else { room };
            inode.u8(82, u8::try_from(fork / 8).unwrap_or(0));
            inode.put(HEAD + fork, self.attributes);
        }
        inode.u8(83, if self.attributes.is_empty() { EXTENTS } else { LOCAL });
        inode.sum(100);
        Ok(inode)
    }
}

/// Made by mkfs.xfs, with times of this filesystem.
pub fn dated(mut inode: Block, time: u64) -> Block {
    times(&mut inode, time);
    inode.u64(120, inode.get_u64(120) | BIG_TIME);
    inode.u32(92, 0);
    inode.sum(100);
    inode
}

fn times(inode: &mut Block, seconds: u64) {
    let time = (seconds + BEFORE_1970).saturating_mul(1_000_000_000);
    for at in [32, 40, 48, 144] {
        inode.u64(at, time);
    }
    inode.u64(120, BIG_TIME);
}

/// An inode that is in no use.
pub fn free(number: u64, geometry: &Geometry) -> Block {
    let mut inode = Block::new(SIZE);
    inode.put(0, b"IN");
    inode.u8(4, 3);
    inode.u32(96, u32::MAX);
    inode.u64(152, number);
    inode.put(160, &geometry.uuid);
    inode.sum(100);
    inode
}

/// An extent's record: place in the file (54 bits), first block (52), length (21).
fn record(place: u64, extent: &Extent, geometry: &Geometry) -> Vec<u8> {
    let first = geometry.number(extent.at);
    let high = place << 9 | first >> 43;
    let low = first << 21 | extent.blocks;
    [high.to_be_bytes(), low.to_be_bytes()].concat()
}

/// An entry's attributes as they lie in an inode; nothing if it has none.
///
/// # Errors
/// Class *spec* for what does not fit there.
pub fn attributes(entry: &Entry) -> Result<Vec<u8>> {
    if entry.xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let refuse = |name: &[u8], why: &str| {
        let path = entry.path.display();
        Err(Failure::spec(format!("{path}: its attribute {} {why} on XFS", name.escape_ascii()))
            .hint("Find what sets it and leave it out, or write another `filesystem.root`."))
    };
    let mut bytes = vec![0, 0, u8::try_from(entry.xattrs.len()).unwrap_or(u8::MAX), 0];
    for (name, value) in &entry.xattrs {
        let name = name.as_bytes();
        let (flag, short) = match (name.strip_prefix(b"user."), name.strip_prefix(b"security.")) {
            (Some(short), _) => (0, short),
            (_, Some(short)) => (4, short),
            _ => return refuse(name, "cannot be written"),
        };
        let (Ok(length), Ok(of_value)) = (u8::try_from(short.len()), u8::try_from(value.len())) else {
            return refuse(name, "is too long");
        };
        bytes.extend([length, of_value, flag]);
        bytes.extend(short);
        bytes.extend(value);
    }
    // Room for one extent has to stay.
    if bytes.len() > ROOM - 32 {
        return refuse(b"s", "are too long");
    }
    let length = half(bytes.len()).to_be_bytes();
    bytes[..2].copy_from_slice(&length);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    Ok(bytes)
}
