//! Packages for an emulated dpkg: their archives unpacked beforehand, by the host.
//!
//! dpkg unpacks xz inside the root. Emulated that takes many times as long as here; everything
//! else that dpkg does with a package is short. What ends up in the root is the same.

use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The members of a package in their order (deb(5)), and what gives the last two unpacked.
const ARCHIVES: [(&str, &str); 2] = [("control.tar", "--ctrl-tarfile"), ("data.tar", "--fsys-tarfile")];
/// The length of a member's header (man 5 ar in its common form).
const HEADER: u64 = 60;

/// Replaces package files by ones without compression. The files themselves, which may be the
/// cache's by another name, are not written to.
///
/// # Errors
/// Class *upstream* if one is no sound package, *host* if the disk is full.
pub(super) fn unpack(files: &[PathBuf], cancel: &Cancel) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                cancel.check()?;
                unpack_one(file)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|_| Err(Failure::bug("a thread panicked"))))
    })
}

fn unpack_one(package: &Path) -> Result<()> {
    let plain = package.with_extension("plain");
    let writing = || format!("writing {}", plain.display());
    let mut to = File::create(&plain).during(writing)?;
    to.write_all(b"!<arch>\n").during(writing)?;
    to.write_all(&header("debian-binary", 4)).during(writing)?;
    to.write_all(b"2.0\n").during(writing)?;
    for (name, option) in ARCHIVES {
        let at = to.stream_position().during(writing)?;
        to.write_all(&header(name, 0)).during(writing)?;
        let mut unpacker = Process::new("dpkg-deb").arg(option).arg(package).spawn()?;
        let mut pipe = unpacker.stdout().ok_or_else(|| Failure::bug("dpkg-deb has no stdout"))?;
        let size = std::io::copy(&mut pipe, &mut to).during(writing)?;
        let status = unpacker.wait()?;
        if !status.success() {
            return Err(Failure::upstream(format!("{} is no sound package: {status}", package.display())));
        }
        if size % 2 == 1 {
            to.write_all(b"\n").during(writing)?;
        }
        to.seek(SeekFrom::Start(at)).during(writing)?;
        to.write_all(&header(name, size)).during(writing)?;
        to.seek(SeekFrom::Start(at + HEADER + size.next_multiple_of(2))).during(writing)?;
    }
    drop(to);
    std::fs::rename(&plain, package).during(|| format!("replacing {}", package.display()))
}

/// Name, time, owner, group, mode and size, each in its columns.
fn header(name: &str, size: u64) -> Vec<u8> {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_compression_is_the_same_package() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        std::fs::create_dir_all(tree.join("usr/share/x")).unwrap();
        let control =
            "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.invalid>\nDescription: t\n";
        std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
        std::fs::write(tree.join("usr/share/x/odd"), "odd".repeat(333)).unwrap();
        let (first, second) = (dir.path().join("first.deb"), dir.path().join("0000.deb"));
        let cancel = Cancel::default();
        Process::new("dpkg-deb").args(["-Zxz", "--build"]).args([&tree, &first]).check(&cancel).unwrap();
        std::fs::hard_link(&first, &second).unwrap();
        let before = std::fs::read(&first).unwrap();
        unpack(std::slice::from_ref(&second), &cancel).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), before, "the cache's file was changed");
        assert!(std::fs::read(&second).unwrap().windows(9).any(|w| w == b"data.tar "));
        for option in ["--ctrl-tarfile", "--fsys-tarfile", "--field"] {
            let says = |file| Process::new("dpkg-deb").arg(option).arg(file).check(&cancel).unwrap().stdout;
            assert_eq!(says(&first), says(&second), "{option}");
        }
        std::fs::write(&second, "no package").unwrap();
        assert!(unpack(&[second], &cancel).unwrap_err().message.contains("no sound package"));
    }
}
