//! A cpio archive in the "newc" form, as the kernel unpacks it (kernel documentation,
//! `early-userspace/buffer-format`).
//!
//! Its bytes depend on names and contents only: everything belongs to root, is from 1970
//! and has the mode that such a thing usually has.

use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::io::{Read, Write};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
/// The name that ends an archive.
const END: &str = "TRAILER!!!";
/// Heads and contents begin at multiples of this many bytes.
const ALIGNMENT: u64 = 4;
/// Magic, and thirteen numbers of eight hexadecimal digits.
const HEAD: u64 = 6 + 13 * 8;

/// An archive that is being written.
#[derive(Debug)]
pub struct Cpio<W> {
    to: W,
    /// Each name gets its own inode number: the kernel takes equal ones for hard links.
    inode: u32,
}

impl<W: Write> Cpio<W> {
    /// An archive that is written to `to`.
    pub fn new(to: W) -> Self {
        Self { to, inode: 0 }
    }

    /// Adds a folder. The kernel makes no parents: they come first.
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub fn folder(&mut self, name: &str) -> Result<()> {
        self.inode += 1;
        self.head(name, self.inode, FOLDER, 2, 0).during(writing)
    }

    /// Adds a regular file of exactly `size` bytes from `content`.
    ///
    /// # Errors
    /// If the content is not that long, is 4 GiB or more, or the archive cannot be written.
    pub fn file(&mut self, name: &str, size: u64, content: &mut impl Read) -> Result<()> {
        let field = u32::try_from(size)
            .map_err(|_| Failure::spec(format!("{name} is too large for an initramfs: {size} bytes")))?;
        self.inode += 1;
        self.head(name, self.inode, FILE, 1, field).during(writing)?;
        let copied =
            std::io::copy(&mut content.take(size), &mut self.to).during(|| format!("copying {name}"))?;
        if copied != size {
            return Err(Failure::host(format!("{name} became shorter while it was read")));
        }
        self.align(size).during(writing)
    }

    /// Writes the end mark and gives the target back.
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.head(END, 0, 0, 1, 0).during(writing)?;
        Ok(self.to)
    }

    fn head(&mut self, name: &str, inode: u32, mode: u32, links: u32, size: u32) -> std::io::Result<()> {
        let name_size = u32::try_from(name.len() + 1).map_err(std::io::Error::other)?;
        self.to.write_all(b"070701")?;
        // inode, mode, uid, gid, links, mtime, size, device, rdevice, name size, checksum
        for field in [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            write!(self.to, "{field:08x}")?;
        }
        self.to.write_all(name.as_bytes())?;
        self.to.write_all(&[0])?;
        self.align(HEAD + u64::from(name_size))
    }

    /// Fills up after a part of `length` bytes that began at a multiple of four.
    fn align(&mut self, length: u64) -> std::io::Result<()> {
        let missing = length.next_multiple_of(ALIGNMENT) - length;
        self.to.write_all(&[0; ALIGNMENT as usize][..missing as usize])
    }
}

fn writing() -> &'static str {
    "writing a cpio archive"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};

    fn example() -> Vec<u8> {
        let mut archive = Cpio::new(Vec::new());
        archive.folder("usr").unwrap();
        for (name, content) in [("usr/a", "x"), ("usr/bc", ""), ("usr/def", "12345678")] {
            archive.file(name, content.len() as u64, &mut content.as_bytes()).unwrap();
        }
        archive.finish().unwrap()
    }

    #[test]
    fn every_part_begins_at_a_multiple_of_four_and_has_its_own_inode() {
        let bytes = example();
        let starts: Vec<usize> =
            bytes.windows(6).enumerate().filter(|(_, w)| w == b"070701").map(|(i, _)| i).collect();
        assert_eq!(starts.len(), 5);
        assert!(starts.iter().all(|s| s % 4 == 0) && bytes.len().is_multiple_of(4));
        let inodes: Vec<&[u8]> = starts.iter().map(|s| &bytes[s + 6..s + 14]).collect();
        assert_eq!(inodes, [&b"00000001"[..], b"00000002", b"00000003", b"00000004", b"00000000"]);
    }

    #[test]
    fn cpio_unpacks_it() {
        let dir = tempfile::tempdir().unwrap();
        Process::new("cpio")
            .args(["--extract", "--quiet"])
            .dir(dir.path())
            .stdin(example())
            .check(&Cancel::default())
            .unwrap();
        assert_eq!(std::fs::read(dir.path().join("usr/a")).unwrap(), b"x");
        assert_eq!(std::fs::read(dir.path().join("usr/bc")).unwrap(), b"");
        assert_eq!(std::fs::read(dir.path().join("usr/def")).unwrap(), b"12345678");
    }

    #[test]
    fn a_file_of_another_size_is_refused() {
        let mut archive = Cpio::new(Vec::new());
        let failure = archive.file("a", 3, &mut &b"12"[..]).unwrap_err();
        assert!(failure.message.contains("shorter"), "{failure}");
        let failure = archive.file("a", 1 << 32, &mut std::io::empty()).unwrap_err();
        assert!(failure.message.contains("too large"), "{failure}");
    }
}
