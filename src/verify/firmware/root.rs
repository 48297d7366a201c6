//! Where the root file system lies in an image of OpenWrt.
//!
//! Seen in the wild: a squashfs behind a kernel, with or without headers of the maker's (trx, chk,
//! uImage); the same packed with gzip (disk images); a tar with a member `sysupgrade-BOARD/root`
//! (NAND). Behind all of them metadata and a signature may stand, which is no part of them.
//!
//! Format: squashfs 4.0, superblock of 96 bytes (kernel documentation, filesystems/squashfs).

use crate::effects::Cancel;
use crate::effects::files::free_space;
use crate::model::failure::IoContext;
use crate::model::spec::Size;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What an image says that cannot be read in one piece.
pub const UBI: &str = "UBI";
const MAGIC: &[u8; 4] = b"hsqs";
const SUPERBLOCK: usize = 96;
/// Read at once.
const PIECE: usize = 1 << 20;
/// No image unpacks to more, in bytes.
const LARGEST: u64 = 16 << 30;
/// Space that stays free on the disk, in bytes.
const RESERVE: u64 = 512 << 20;

/// What was found in an image.
#[derive(Debug)]
pub enum Found {
    /// A squashfs.
    Squashfs(Squashfs),
    /// Nothing that can be opened here, and why.
    Closed(String),
}

/// A squashfs in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Squashfs {
    /// The file.
    pub file: PathBuf,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Squashfs {
    /// Where it is, for people.
    pub fn words(&self) -> String {
        format!("squashfs of {} at byte {}", Size::from_bytes(self.size), self.offset)
    }
}

/// Finds the root file system of an image; what has to be unpacked for that goes into `work`.
///
/// # Errors
/// If something cannot be read or written; *cancelled* on request.
pub fn find(image: &Path, work: &Path, cancel: &Cancel) -> Result<Found> {
    let mut head = Vec::new();
    let file = File::open(image).during(|| format!("opening {}", image.display()))?;
    file.take(512).read_to_end(&mut head).during(|| format!("reading {}", image.display()))?;
    let file = match head.as_slice() {
        [0x1f, 0x8b, ..] => {
            let to = work.join("unpacked");
            if let Err(why) = gunzip(image, &to, cancel)? {
                return Ok(Found::Closed(why));
            }
            to
        }
        [b'U', b'B', b'I', b'#', ..] => {
            return Ok(Found::Closed(format!(
                "{UBI}: its root is in pieces, and is the same as in the others"
            )));
        }
        _ if head.get(257..262) == Some(b"ustar") => {
            let to = work.join("member");
            if let Err(why) = member(image, &to)? {
                return Ok(Found::Closed(why));
            }
            to
        }
        _ => image.to_owned(),
    };
    Ok(match scan(&file, cancel)? {
        Some(squashfs) => Found::Squashfs(squashfs),
        None => Found::Closed("there is no squashfs in it".to_owned()),
    })
}

/// Unpacks the first member of a gzip file; what stands behind it is metadata. Otherwise says why
/// not.
fn gunzip(image: &Path, to: &Path, cancel: &Cancel) -> Result<std::result::Result<(), String>> {
    let opening = || format!("opening {}", image.display());
    let mut plain = flate2::bufread::GzDecoder::new(BufReader::new(File::open(image).during(opening)?));
    let writing = || format!("writing {}", to.display());
    let mut out = File::create(to).during(writing)?;
    // A few bytes can unpack to any number.
    let most = free_space(to)?.saturating_sub(RESERVE).min(LARGEST);
    let (mut piece, mut size) = (vec![0; PIECE], 0);
    loop {
        cancel.check()?;
        let read = match plain.read(&mut piece) {
            Ok(0) => return Ok(Ok(())),
            Ok(read) => read,
            Err(e) if e.raw_os_error().is_some() => return Err(Failure::io(opening(), &e)),
            Err(e) => return Ok(Err(format!("it cannot be unpacked: {e}"))),
        };
        size += read as u64;
        if size > most {
            let message = format!("{} unpacks to more than {}", image.display(), Size::from_bytes(most));
            return Err(Failure::new(ErrorCode::DiskFull, FailureClass::Host, message)
                .hint("Free some space, or set another cache folder."));
        }
        std::io::Write::write_all(&mut out, &piece[..read]).during(writing)?;
    }
}

/// Takes the member `…/root` out of a tar archive. Otherwise says why not.
fn member(image: &Path, to: &Path) -> Result<std::result::Result<(), String>> {
    let file = File::open(image).during(|| format!("opening {}", image.display()))?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let broken = |e: std::io::Error| format!("the archive cannot be read: {e}");
    let entries = match archive.entries() {
        Ok(entries) => entries,
        Err(e) => return Ok(Err(broken(e))),
    };
    for entry in entries {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(e) => return Ok(Err(broken(e))),
        };
        let is_root = entry.header().entry_type().is_file() && entry.path_bytes().ends_with(b"/root");
        if is_root {
            let mut out = File::create(to).during(|| format!("writing {}", to.display()))?;
            std::io::copy(&mut entry, &mut out).during(|| format!("writing {}", to.display()))?;
            return Ok(Ok(()));
        }
    }
    Ok(Err("the archive has no root in it".to_owned()))
}

/// The first sound superblock of a squashfs in a file.
fn scan(path: &Path, cancel: &Cancel) -> Result<Option<Squashfs>> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).during(reading)?;
    let length = file.metadata().during(reading)?.len();
    let mut window = vec![0; PIECE + SUPERBLOCK];
    let mut at: u64 = 0;
    while at < length {
        cancel.check()?;
        file.seek(SeekFrom::Start(at)).during(reading)?;
        let mut filled = 0;
        while filled < window.len() {
            match file.read(&mut window[filled..]).during(reading)? {
                0 => break,
                read => filled += read,
            }
        }
        let seen = &window[..filled];
        let starts = seen.windows(MAGIC.len()).take(PIECE).enumerate().filter(|(_, word)| word == MAGIC);
        for (start, _) in starts {
            let offset = at + start as u64;
            if let Some(size) = sound(&seen[start..], length - offset) {
                return Ok(Some(Squashfs { file: path.to_owned(), offset, size }));
            }
        }
        at += PIECE as u64;
    }
    Ok(None)
}

/// The size of a squashfs whose superblock stands here, if it can be one.
fn sound(bytes: &[u8], room: u64) -> Option<u64> {
    let bytes = bytes.get(..SUPERBLOCK)?;
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let block = u32::from_le_bytes(bytes[12..16].try_into().ok()?);
    let size = u64::from_le_bytes(bytes[40..48].try_into().ok()?);
    let (log, major, minor) = (short(22), short(28), short(30));
    let block_fits = (12..=20).contains(&log) && block == 1 << log;
    let fits = (major, minor) == (4, 0) && block_fits && (SUPERBLOCK as u64..=room).contains(&size);
    fits.then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Process;
    use std::io::Write;

    fn squashfs(folder: &Path) -> Vec<u8> {
        let root = folder.join("tree");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/banner"), "ours").unwrap();
        let image = folder.join("squashfs");
        let make = Process::new("mksquashfs").arg(&root).arg(&image);
        make.args(["-noappend", "-quiet", "-no-progress"]).check(&Cancel::default()).unwrap();
        std::fs::read(image).unwrap()
    }

    fn found(folder: &Path, bytes: &[u8]) -> Found {
        let work = tempfile::tempdir_in(folder).unwrap().keep();
        std::fs::write(work.join("image"), bytes).unwrap();
        find(&work.join("image"), &work, &Cancel::default()).unwrap()
    }

    #[test]
    fn roots_are_found_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let squashfs = squashfs(folder.path());
        let at = |image: &[u8]| match found(folder.path(), image) {
            Found::Squashfs(found) => Some(found.offset),
            Found::Closed(_) => None,
        };
        assert_eq!(at(&squashfs), Some(0));
        // A kernel in front, with the magic number in it, and a signature behind; across two pieces.
        for length in [1usize, 77, 65_536, PIECE - 2, PIECE + 5] {
            let mut image = b"hsqs, not".to_vec();
            image.resize(length.max(9), 7);
            let offset = image.len() as u64;
            image.extend(&squashfs);
            image.extend(b"signature");
            assert_eq!(at(&image), Some(offset), "{length}");
        }
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[&[0; 512][..], &squashfs].concat()).unwrap();
        let mut packed = packed.finish().unwrap();
        packed.extend(b"FWx0metadata");
        assert_eq!(at(&packed), Some(512));
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in [("sysupgrade-x/kernel", &b"kernel"[..]), ("sysupgrade-x/root", &squashfs)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive.append_data(&mut header, name, bytes).unwrap();
        }
        assert_eq!(at(&archive.into_inner().unwrap()), Some(0));
    }

    #[test]
    fn what_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let squashfs = squashfs(folder.path());
        let why = |image: &[u8]| match found(folder.path(), image) {
            Found::Squashfs(found) => panic!("{found:?}"),
            Found::Closed(why) => why,
        };
        assert!(why(b"nothing").contains("no squashfs"));
        // Cut off: it says that it is longer than what is there.
        assert!(why(&squashfs[..200]).contains("no squashfs"));
        assert!(why(b"UBI#\x01").starts_with(UBI));
        assert!(why(&[0x1f, 0x8b, 8, 0, 1]).contains("cannot be unpacked"));
    }
}
