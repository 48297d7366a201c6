//! Small files under temporary names: told apart from those that a killed process left.
//!
//! Whoever writes one holds a lock on it, which the kernel frees when the writer dies. So a
//! sweep takes exactly what nobody writes any more, whatever the clock says.

use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use rustix::fs::FlockOperation;
use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tempfile::NamedTempFile;

/// What temporary names begin with.
const PREFIX: &str = ".new-";

/// A new file under a temporary name in `folder`, locked; removed when dropped.
pub(super) fn file(folder: &Path, mode: u32) -> std::io::Result<NamedTempFile> {
    loop {
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        match rustix::fs::flock(made.as_file(), FlockOperation::LockExclusive) {
            Ok(()) => {}
            // A file system without locks; nothing of it can be swept either.
            Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOLCK) => return Ok(made),
            Err(e) => return Err(e.into()),
        }
        // A sweep may have come between the two steps.
        if made.as_file().metadata()?.nlink() > 0 {
            return Ok(made);
        }
    }
}

/// Removes the files under temporary names in `folder` whose writers are gone; says how many.
///
/// # Errors
/// If the folder cannot be read or a file cannot be removed.
pub fn sweep(folder: &Path) -> Result<usize> {
    let reading = || format!("reading {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(0),
        Err(e) => return Err(Failure::io(reading(), &e)),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.during(reading)?;
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !ours || !entry.file_type().during(reading)?.is_file() {
            continue;
        }
        let path = entry.path();
        // Gone by now: its writer gave it its name.
        let Ok(file) = File::open(&path) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match std::fs::remove_file(&path) {
            Ok(()) => swept += 1,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Failure::io(format!("removing {}", path.display()), &e)),
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::files::write_atomic;

    #[test]
    fn only_what_nobody_writes_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let held = file(dir.path(), 0o644).unwrap();
        std::fs::write(dir.path().join(".new-left"), "half").unwrap();
        std::fs::write(dir.path().join("new-file"), "whole").unwrap();
        std::fs::create_dir(dir.path().join(".new-folder")).unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert!(held.path().exists() && dir.path().join("new-file").exists());
        held.persist(dir.path().join("done")).unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 0);
        assert_eq!(sweep(&dir.path().join("no folder")).unwrap(), 0);
        assert_eq!(sweep(&dir.path().join("done")).unwrap(), 0, "no folder either");
    }

    #[test]
    fn writers_and_sweeps_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for writer in 0..4 {
                let folder = dir.path();
                threads.spawn(move || {
                    for n in 0..50 {
                        write_atomic(&folder.join(format!("{writer}-{n}")), b"x", 0o644).unwrap();
                    }
                });
            }
            threads.spawn(|| {
                for _ in 0..200 {
                    sweep(dir.path()).unwrap();
                }
            });
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 200);
    }
}
