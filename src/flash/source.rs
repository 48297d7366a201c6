//! An image file as a stream: unpacked, counted, its digest taken on the way.
//!
//! A packed file is unpacked before any card is touched (see `unpack`), unless signatures vouch for it
//! and for a block map, which says the size. What that left is written; what it could not keep is
//! unpacked a second time.

use super::inventory::Inventory;
use super::unpack::{Unpacked, unpack};
use crate::effects::Cancel;
use crate::model::block_map::BlockMap;
use crate::model::failure::IoContext;
use crate::model::spec::Size;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, ImageDigest, Result};
use rustix::fs::SeekFrom;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory that unpacking xz may take, in KiB: `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 100 << 10;
/// The largest window that a zstd file may ask for: 2^27, 128 MiB, as the tool's own limit.
const ZSTD_WINDOW: u32 = 27;
/// Read at once.
const PIECE: usize = 1 << 20;
/// How much of an image's beginning is looked at.
pub(super) const BEGINNING: usize = 8192;
/// How OpenWrt's metadata behind a gzip stream ends: this, and twelve bytes (fwtool).
const FWTOOL: &[u8] = b"FWx0";
const FWTOOL_TRAILER: usize = 16;

/// How an image file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Raw,
    /// zstd (RFC 8878).
    Zstd,
    /// xz.
    Xz,
    /// gzip (RFC 1952).
    Gzip,
}

impl Packing {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
        }
    }

    /// By the first bytes of the file; by its name only to refuse what does not fit.
    fn of(head: &[u8], path: &Path) -> Result<Self> {
        let shown = path.display();
        let other = |what: &str, instead: &str| {
            Err(Failure::spec(format!("{shown} is {what}, not an image")).hint(instead.to_owned()))
        };
        let packing = match head {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => {
                return other(
                    "packed with bzip2",
                    "Unpack it and give the image; zstd, xz and gzip are read.",
                );
            }
            [b'P', b'K', 3, 4, ..] => return other("a zip archive", "Unpack it and give the image in it."),
            _ if head.get(257..262) == Some(b"ustar") => {
                return other("a tar archive", "Give a disk image (.img, .iso), packed or not.");
            }
            _ => Self::Raw,
        };
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let promised = match ending {
            "zst" => Some(Self::Zstd),
            "xz" => Some(Self::Xz),
            "gz" => Some(Self::Gzip),
            _ => None,
        };
        match promised {
            Some(promised) if promised != packing => {
                Err(damaged(path, &format!("it is named .{ending} and does not begin as one")))
            }
            _ => Ok(packing),
        }
    }
}

fn damaged(path: &Path, why: &str) -> Failure {
    let message = format!("{} is damaged: {why}", path.display());
    Failure::new(ErrorCode::Corrupt, FailureClass::Verify, message).hint(
        "Fetch it again, and give its digest with --sha256. No card was touched by it as a whole image.",
    )
}

/// An image file, held open: what was measured is what is written.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
    file_size: u64,
    packing: Packing,
    scratch: Option<PathBuf>,
    /// The unpacked image, in a file without a name.
    kept: Option<File>,
}

/// What a file must be, as far as somebody says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Its SHA-256.
    pub sha256: Option<Digest>,
    /// The block map of the image in it.
    pub map: Option<Arc<BlockMap>>,
    /// Whether a release's signatures vouch for both.
    pub signed: bool,
}

/// What is known of a file before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// SHA-256 of the file; not of an unpacked one that nobody gave a digest of.
    pub file_sha256: Option<Digest>,
    /// What the image is known by, if that is known: a raw file with a digest has the file's.
    pub image: Option<ImageDigest>,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// The size of the blocks that its partition table counts in, if it has one.
    pub table_block: Option<u32>,
    /// The block map that the image is still to be compared with while it is written.
    pub map: Option<Arc<BlockMap>>,
    /// What the image consists of, if it was unpacked already.
    pub(super) inventory: Option<Arc<Inventory>>,
}

impl Source {
    /// Opens an image file.
    ///
    /// # Errors
    /// If it cannot be opened, is no regular file, is empty or is no image.
    pub fn open(path: &Path) -> Result<Self> {
        let opening = || format!("opening {}", path.display());
        let mut file = File::open(path).during(opening)?;
        let metadata = file.metadata().during(opening)?;
        if !metadata.is_file() {
            return Err(Failure::spec(format!("{} is no file", path.display()))
                .hint("Give an image file, or a release as IMAGE, IMAGE@CHANNEL or IMAGE/VERSION."));
        }
        if metadata.len() == 0 {
            return Err(Failure::spec(format!("{} is empty", path.display())).hint("Fetch it again."));
        }
        let mut head = Vec::new();
        file.by_ref().take(512).read_to_end(&mut head).during(|| format!("reading {}", path.display()))?;
        let packing = Packing::of(&head, path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            file_size: metadata.len(),
            packing,
            scratch: None,
            kept: None,
        })
    }

    /// Lets the unpacked image be kept in a folder until it is written, where that costs nothing.
    pub fn keeping_in(self, folder: PathBuf) -> Self {
        Self { scratch: Some(folder), ..self }
    }

    /// How it is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Size of the file in bytes.
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file before a card is touched, as far as that is needed: to unpack it, or
    /// to compare it with what is `expected`. `room` is the size of the smallest card.
    ///
    /// # Errors
    /// *Untrusted* if digest or block map are another image's; class *limit* if the image is larger
    /// than `room`; class *verify* if the file is cut off or damaged.
    pub fn measure(
        &mut self,
        expected: &Expected,
        room: u64,
        progress: &dyn Fn(u64),
        cancel: &Cancel,
    ) -> Result<Measured> {
        let (path, map) = (self.path.clone(), expected.map.as_ref());
        if let Some(map) = map {
            too_large(&path, map.image_size, room)?;
        }
        if self.packing == Packing::Raw {
            too_large(&path, self.file_size, room)?;
            if let Some(map) = map.filter(|map| map.image_size != self.file_size) {
                return Err(another_size(&path, self.file_size, map));
            }
        }
        if let Some(expected) = expected.sha256 {
            self.check(expected, progress, cancel)?;
        }
        let is_signed = expected.signed && expected.sha256.is_some();
        let is_raw = self.packing == Packing::Raw;
        let known = |image_size, beginning: &[u8], map| Measured {
            file_sha256: expected.sha256,
            image: expected.sha256.filter(|_| is_raw).map(ImageDigest::Sha256),
            image_size,
            table_block: table_block(beginning),
            map,
            inventory: None,
        };
        // The bytes are those that were signed: the map has nothing to add.
        if self.packing == Packing::Raw && (is_signed || map.is_none()) {
            return Ok(known(self.file_size, &self.beginning()?, None));
        }
        if let Some(map) = map.filter(|map| is_signed && map.image_size > 0) {
            return Ok(known(map.image_size, &self.beginning()?, Some(Arc::clone(map))));
        }
        // What is packed in nothing need not be kept.
        let keeps = (room, self.scratch.as_deref().filter(|_| self.packing != Packing::Raw));
        let found = unpack(self, expected.sha256.is_some(), map.map(Arc::as_ref), keeps, progress, cancel)?;
        let Unpacked { size, beginning, sha256, inventory, kept } = found;
        if size == 0 {
            return Err(damaged(&path, "there is no byte in it"));
        }
        self.kept = kept;
        let (image, inventory) = (Some(inventory.image), Some(Arc::new(inventory)));
        let known = known(size, &beginning, None);
        Ok(Measured { file_sha256: Some(sha256), image, inventory, ..known })
    }

    fn check(&mut self, expected: Digest, progress: &dyn Fn(u64), cancel: &Cancel) -> Result<()> {
        let reading = || format!("reading {}", self.path.display());
        self.file.rewind().during(reading)?;
        let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            cancel.check()?;
            match self.file.read(&mut piece).during(reading)? {
                0 => break,
                n => {
                    hash.update(&piece[..n]);
                    progress(n as u64);
                }
            }
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found == expected {
            return Ok(());
        }
        Err(Failure::untrusted(format!("{} is {found}, not {expected}", self.path.display()))
            .hint("It is cut off, damaged or another file: fetch it again. No card was touched."))
    }

    fn beginning(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; BEGINNING];
        let length = self.stream(false)?.fill(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The image from its beginning, with the file's digest if that is wanted and the file is read.
    pub(super) fn stream(&self, digest: bool) -> Result<Stream> {
        let opening = || format!("opening {}", self.path.display());
        let mut file = self.kept.as_ref().unwrap_or(&self.file).try_clone().during(opening)?;
        file.rewind().during(opening)?;
        let hash = (digest && self.kept.is_none()).then(Sha256::new);
        let hashed = Hashed { file, hash, hole: 0..0 };
        let unpack = || format!("unpacking {}", self.path.display());
        let body = match self.packing {
            _ if self.kept.is_some() => Body::Raw(hashed),
            Packing::Raw => Body::Raw(hashed),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(hashed).during(unpack)?;
                decoder.window_log_max(ZSTD_WINDOW).during(unpack)?;
                Body::Zstd(decoder)
            }
            Packing::Xz => Body::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(hashed, true, XZ_MEMORY))),
            Packing::Gzip => Body::Gzip(Box::new(Some(Member::new(BufReader::with_capacity(PIECE, hashed))))),
        };
        Ok(Stream { path: self.path.clone(), body })
    }
}

fn another_size(path: &Path, size: u64, map: &BlockMap) -> Failure {
    let of_map = map.image_size;
    Failure::untrusted(format!("{} has {size} bytes, and its block map is of {of_map}", path.display()))
        .hint("Use the map that was made with this image, or none (--no-bmap). No card was touched.")
}

pub(super) fn too_large(path: &Path, size: u64, room: u64) -> Result<()> {
    if size <= room {
        return Ok(());
    }
    let message = format!(
        "{} holds an image of {} or more, the smallest device has {}",
        path.display(),
        Size::from_bytes(size),
        Size::from_bytes(room)
    );
    Err(Failure::new(ErrorCode::LimitExceeded, FailureClass::Limit, message)
        .hint("Use a larger card, or a smaller image. No card was touched."))
}

/// The block size that a GPT (UEFI specification, 5.3.1) was made for: its header stands in
/// the second block. A table of the older kind alone is always counted in 512 bytes.
fn table_block(beginning: &[u8]) -> Option<u32> {
    let header = |size: u32| beginning.get(size as usize..size as usize + 8) == Some(b"EFI PART");
    if let Some(size) = [512, 4096].into_iter().find(|size| header(*size)) {
        return Some(size);
    }
    let table = beginning.get(446..512)?;
    let signed = table[64..] == [0x55, 0xaa];
    // A boot sector of a file system has the same mark and no sound partition in it.
    let entry = |at: usize| {
        let entry = &table[at..at + 16];
        matches!(entry[0], 0 | 0x80) && entry[4] != 0 && entry[12..16] != [0; 4]
    };
    (signed && (0..64).step_by(16).any(entry)).then_some(512)
}

/// The bytes of the file, their digest taken as they pass.
struct Hashed {
    file: File,
    hash: Option<Sha256>,
    /// The hole that was found last.
    hole: Range<u64>,
}

impl Hashed {
    /// Goes over the next `length` bytes if they are all in a hole of the file: such bytes are zero, and
    /// nobody need read them. Not where the file's digest is taken.
    fn skip_hole(&mut self, length: u64) -> io::Result<bool> {
        if self.hash.is_some() {
            return Ok(false);
        }
        let at = self.file.stream_position()?;
        if !self.hole.contains(&at) {
            let end = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) => data,
                // No data up to the end; what is the end by now?
                Err(rustix::io::Errno::NXIO) => self.file.metadata()?.len(),
                // The file system does not know of holes.
                Err(_) => at,
            };
            self.hole = at..end;
        }
        let skips = self.hole.end.saturating_sub(at) >= length;
        self.file.seek(io::SeekFrom::Start(if skips { at + length } else { at }))?;
        Ok(skips)
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..n]);
        }
        Ok(n)
    }
}

enum Body {
    Raw(Hashed),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Hashed>>),
    Xz(Box<lzma_rust2::XzReader<Hashed>>),
    /// `None` only while one member follows another.
    Gzip(Box<Option<Member>>),
}

/// An image on its way out of its file.
pub(super) struct Stream {
    path: PathBuf,
    body: Body,
}

/// What came next out of an image.
pub(super) enum Filled {
    /// So many bytes; fewer than there was room for at the image's end only.
    Data(usize),
    /// As many zeros as there was room for, which nobody wrote into the buffer.
    Hole,
}

impl Stream {
    /// Fills a buffer as far as the image goes, or says that all of it would be zeros.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<Filled> {
        if let Body::Raw(file) = &mut self.body
            && file.skip_hole(buffer.len() as u64).during(|| format!("reading {}", self.path.display()))?
        {
            return Ok(Filled::Hole);
        }
        self.fill(buffer).map(Filled::Data)
    }

    /// Fills a buffer as far as the image goes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The disk's own errors have a number, the unpackers' have none.
                Err(e) if e.raw_os_error().is_some() => {
                    return Err(Failure::io(format!("reading {}", self.path.display()), &e));
                }
                Err(e) => return Err(damaged(&self.path, &e.to_string())),
            }
        }
        Ok(filled)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Raw(file) => file.read(buffer),
            Body::Zstd(decoder) => decoder.read(buffer),
            Body::Xz(decoder) => decoder.read(buffer),
            Body::Gzip(member) => read_gzip(member, buffer),
        }
    }

    /// Reads what is left of the file; gives its digest, if it was wanted.
    pub(super) fn finish(self) -> Result<Option<Digest>> {
        let reading = || format!("reading {}", self.path.display());
        let mut file = match self.body {
            Body::Raw(file) => file,
            Body::Zstd(decoder) => decoder.finish().into_inner(),
            Body::Xz(decoder) => decoder.into_inner(),
            Body::Gzip(member) => match *member {
                Some(decoder) => decoder.into_inner().into_inner(),
                None => return Err(damaged(&self.path, "it has no end")),
            },
        };
        io::copy(&mut file, &mut io::sink()).during(reading)?;
        Ok(file.hash.map(|hash| Digest::from_bytes(hash.finalize().into())))
    }
}

type Member = flate2::bufread::GzDecoder<BufReader<Hashed>>;

/// A gzip file is one member after another; zeros may fill it up, and OpenWrt puts metadata
/// behind it. Anything else behind it is no part of an image that anybody meant.
fn read_gzip(member: &mut Option<Member>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let Some(decoder) = member.as_mut() else { return Ok(0) };
        match decoder.read(buffer)? {
            0 if !buffer.is_empty() => {}
            n => return Ok(n),
        }
        let follows = decoder.get_mut().fill_buf()?;
        if follows.is_empty() {
            return Ok(0);
        }
        if follows.starts_with(&[0x1f, 0x8b]) || follows == [0x1f] {
            let rest = member.take().map(Member::into_inner);
            *member = rest.map(Member::new);
            continue;
        }
        let mut rest = Vec::new();
        decoder.get_mut().take(PIECE as u64).read_to_end(&mut rest)?;
        let metadata =
            rest.len().checked_sub(FWTOOL_TRAILER).is_some_and(|at| rest[at..].starts_with(FWTOOL));
        if metadata || rest.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        return Err(io::Error::new(io::ErrorKind::InvalidData, "something else follows the gzip stream"));
    }
}

#[cfg(test)]
mod tests;
