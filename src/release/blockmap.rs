//! Making block maps of artifacts ([`BlockMap`] is the format).
//!
//! Of a raw file (an ISO) those blocks hold data that the file system keeps: what was never written
//! is left out (`SEEK_HOLE`). A packed disk image has no such holes any more: there, whole MiB of
//! zeros are left out, which follows from its bytes alone. Shorter zeros stay in the map: they
//! may be what a file holds, and other tools write nothing where the map has nothing.

use crate::model::block_map::{BLOCK_SIZE, BlockMap, Range};
use crate::model::failure::IoContext;
use crate::model::{Digest, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Zeros are left out in pieces of so many bytes.
const PIECE: usize = 1 << 20;
/// How zstd begins (RFC 8878, 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads a whole image, which may be packed with zstd, and maps it.
///
/// # Errors
/// If it cannot be read.
pub fn map(path: &Path) -> Result<BlockMap> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).during(|| format!("opening {}", path.display()))?;
    let mut head = Vec::new();
    file.by_ref().take(ZSTD.len() as u64).read_to_end(&mut head).during(reading)?;
    file.rewind().during(reading)?;
    match head == ZSTD {
        true => packed(zstd::stream::read::Decoder::new(file).during(reading)?).during(reading),
        false => raw(file).during(reading),
    }
}

fn raw(mut file: File) -> std::io::Result<BlockMap> {
    let image_size = file.metadata()?.len();
    let mut ranges = Vec::new();
    for (first, last) in extents(&file, image_size)? {
        let sha256 = digest_range(&mut file, first, last, image_size)?;
        ranges.push(Range { first, last, sha256 });
    }
    Ok(BlockMap { image_size, block_size: BLOCK_SIZE, ranges })
}

fn packed(mut image: impl Read) -> std::io::Result<BlockMap> {
    let (mut at, mut ranges) = (0u64, Vec::new());
    let mut open: Option<(u64, Sha256)> = None;
    let mut piece = Vec::with_capacity(PIECE);
    let close = |open: &mut Option<(u64, Sha256)>, ranges: &mut Vec<Range>, at: u64| {
        if let Some((first, hash)) = open.take() {
            let sha256 = Digest::from_bytes(hash.finalize().into());
            ranges.push(Range { first, last: at.div_ceil(BLOCK_SIZE) - 1, sha256 });
        }
    };
    loop {
        piece.clear();
        let read = image.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if read == 0 {
            close(&mut open, &mut ranges, at);
            return Ok(BlockMap { image_size: at, block_size: BLOCK_SIZE, ranges });
        }
        match piece.iter().all(|byte| *byte == 0) {
            true => close(&mut open, &mut ranges, at),
            false => open.get_or_insert_with(|| (at / BLOCK_SIZE, Sha256::new())).1.update(&piece),
        }
        at += read as u64;
    }
}

/// The ranges of blocks that hold data, by `SEEK_DATA` and `SEEK_HOLE` (lseek(2)).
fn extents(file: &File, size: u64) -> std::io::Result<Vec<(u64, u64)>> {
    use rustix::fs::SeekFrom as Seek;
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(file, Seek::Data(at)) {
            Ok(data) => data,
            // Nothing but a hole from here to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let hole = rustix::fs::seek(file, Seek::Hole(data))?.min(size);
        if data >= size {
            break;
        }
        let (first, last) = (data / BLOCK_SIZE, (hole - 1) / BLOCK_SIZE);
        match found.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = last.max(before.1),
            _ => found.push((first, last)),
        }
        at = hole;
    }
    Ok(found)
}

fn digest_range(file: &mut File, first: u64, last: u64, size: u64) -> std::io::Result<Digest> {
    let (start, end) = (first * BLOCK_SIZE, ((last + 1) * BLOCK_SIZE).min(size));
    file.seek(SeekFrom::Start(start))?;
    let (mut hash, mut left) = (Sha256::new(), end - start);
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact(&mut buffer[..want])?;
        hash.update(&buffer[..want]);
        left -= want as u64;
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};
    use std::io::Write as _;
    use std::os::unix::fs::FileExt;

    fn sparse(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("image");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(&[7; 10_000], 400_000).unwrap();
        file.write_all_at(b"end", (1 << 20) + 100).unwrap();
        path
    }

    fn bmaptool(dir: &Path, map: &str) -> crate::effects::Output {
        std::fs::write(dir.join("image.bmap"), map).unwrap();
        Process::new("bmaptool")
            .args(["copy", "--bmap"])
            .arg(dir.join("image.bmap"))
            .arg(dir.join("image"))
            .arg(dir.join("copy"))
            .run(&Cancel::default())
            .unwrap()
    }

    #[test]
    fn bmaptool_copies_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let made = map(&path).unwrap();
        assert_eq!(made.ranges.len(), 3);
        let text = made.to_xml();
        assert_eq!(BlockMap::parse(&text).unwrap(), made);
        let output = bmaptool(dir.path(), &text);
        assert!(output.status.success(), "{}", output.tail());
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(dir.path().join("copy")).unwrap());
        let other = made.ranges[1].sha256.hex();
        assert!(!bmaptool(dir.path(), &text.replace(&other, &Digest::of("x").hex())).status.success());
    }

    #[test]
    fn bmaptools_own_map_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let theirs = Process::new("bmaptool").arg("create").arg(&path).check(&Cancel::default()).unwrap();
        assert_eq!(BlockMap::parse(&theirs.text()).unwrap(), map(&path).unwrap());
    }

    #[test]
    fn a_file_without_holes_is_one_range_and_an_empty_one_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("iso");
        File::create(&path).unwrap().write_all(&vec![1; 3 * 4096 + 2048]).unwrap();
        let made = map(&path).unwrap();
        assert_eq!((made.blocks(), made.mapped(), made.ranges.len()), (4, 4, 1));
        assert_eq!(made.ranges[0].sha256, Digest::of(vec![1; 3 * 4096 + 2048]));
        std::fs::write(&path, "").unwrap();
        let empty = map(&path).unwrap();
        assert_eq!(BlockMap::parse(&empty.to_xml()).unwrap(), empty);
    }

    #[test]
    fn of_a_packed_image_whole_mebibytes_of_zeros_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = vec![0; (5 << 20) + 700];
        image[..10].fill(1);
        image[(2 << 20) + 9000..(2 << 20) + 9100].fill(2);
        image[(3 << 20)..(3 << 20) + 1].fill(3);
        image[(5 << 20) + 600] = 4;
        let path = dir.path().join("image.img.zst");
        std::fs::write(&path, zstd::encode_all(image.as_slice(), 3).unwrap()).unwrap();
        let made = map(&path).unwrap();
        let blocks: Vec<_> = made.ranges.iter().map(|range| (range.first, range.last)).collect();
        assert_eq!(
            (blocks, made.image_size),
            (vec![(0, 255), (512, 1023), (1280, 1280)], image.len() as u64)
        );
        let mut comparing = made.comparing();
        comparing.add(&image, |bytes| bytes.iter().all(|byte| *byte == 0)).unwrap();
        comparing.finish().unwrap();
        // bmaptool unpacks it itself.
        std::fs::write(dir.path().join("image.img.zst.bmap"), made.to_xml()).unwrap();
        let copy = dir.path().join("copy");
        let output =
            Process::new("bmaptool").arg("copy").arg(&path).arg(&copy).run(&Cancel::default()).unwrap();
        assert!(output.status.success(), "{}", output.tail());
        assert!(std::fs::read(copy).unwrap() == image);
    }
}
