//! A disk image as a machine needs it: unpacked, in a sparse file.

use crate::effects::Cancel;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// So many zeros at a stretch are left out of the file.
const HOLE: usize = 64 << 10;
/// What a machine's disk is larger than its image.
const ROOM: u64 = 1 << 30;
/// No disk of an image is larger; the file was made by somebody else's program perhaps.
const LARGEST: u64 = 1 << 40;

/// Unpacks a disk image (zstd, gzip or neither); what is zero takes no room. What stands behind the first
/// gzip member is left out: OpenWrt puts metadata there.
///
/// # Errors
/// Class *upstream* if it is no such image, *host* if there is no room for it.
pub(super) fn unpack(packed: &Path, image: &Path, cancel: &Cancel) -> Result<()> {
    let reading = || format!("unpacking {}", packed.display());
    let mut from = plain(packed).during(reading)?;
    let writing = || format!("writing {}", image.display());
    let mut to = File::create(image).during(writing)?;
    let mut buffer = vec![0; HOLE];
    let mut size = 0;
    loop {
        cancel.check()?;
        let n = fill(&mut from, &mut buffer).during(reading)?;
        if n == 0 {
            break;
        }
        size += n as u64;
        if size > LARGEST {
            return Err(Failure::spec(format!("{}: a disk of more than 1 TiB", packed.display())));
        }
        if buffer[..n].iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Start(size)).during(writing)?;
        } else {
            to.write_all(&buffer[..n]).during(writing)?;
        }
    }
    to.set_len(size).during(writing)
}

/// What a file holds, by its first bytes.
fn plain(packed: &Path) -> std::io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(HOLE, File::open(packed)?);
    Ok(match file.fill_buf()? {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(file)?),
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::GzDecoder::new(file)),
        _ => Box::new(file),
    })
}

/// Makes a machine's disk larger than the image, as those are that it is written to: so the
/// system has to grow into it.
pub(super) fn add_room(image: &Path) -> Result<()> {
    let adding = || format!("adding room to {}", image.display());
    let disk = File::options().write(true).open(image).during(adding)?;
    let size = disk.metadata().during(adding)?.len();
    disk.set_len(size + ROOM).during(adding)
}

/// Reads until the buffer is full or nothing is left.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match from.read(&mut buffer[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_take_no_room_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (packed, image) = (dir.path().join("a.img.zst"), dir.path().join("a.img"));
        let mut bytes = vec![0; 8 << 20];
        bytes[..3].copy_from_slice(b"one");
        bytes[(5 << 20) + 7..(5 << 20) + 10].copy_from_slice(b"two");
        // Not a multiple of a block, and zeros at the end.
        bytes.truncate((7 << 20) + 513);
        std::fs::write(&packed, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        unpack(&packed, &image, &Cancel::default()).unwrap();
        assert!(std::fs::read(&image).unwrap() == bytes);
        assert!(image.metadata().unwrap().blocks() * 512 < 1 << 20);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        for other in [[&gzip.finish().unwrap()[..], b"FWx0"].concat(), bytes.clone()] {
            std::fs::write(&packed, other).unwrap();
            unpack(&packed, &image, &Cancel::default()).unwrap();
            assert!(std::fs::read(&image).unwrap() == bytes);
        }
        std::fs::write(&packed, [&[0x28, 0xb5, 0x2f, 0xfd][..], b"no archive"].concat()).unwrap();
        assert!(unpack(&packed, &image, &Cancel::default()).is_err());
    }
}
