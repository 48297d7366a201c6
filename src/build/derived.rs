//! Files derived from one layer each (squashfs modules, OCI blobs), kept in the cache.
//!
//! A derived file counts only with the seal beside it, which is written last: a file that a
//! killed process left, or that was cut short since, is made again.

use super::stack;
use crate::effects::{Point, files, point};
use crate::model::{Failure, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// No seal is longer, in bytes.
const LONGEST_SEAL: u64 = 4096;

/// What a seal says of its file.
pub(super) trait Seal: Serialize + DeserializeOwned {
    /// The file's size in bytes.
    fn size(&self) -> u64;
}

fn seal_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// The seal of a complete file; `None` if there is no file, no seal, or they do not fit.
pub(super) fn cached<S: Seal>(file: &Path) -> Result<Option<S>> {
    let Some(bytes) = files::read_if_exists(&seal_of(file), LONGEST_SEAL)? else { return Ok(None) };
    // A damaged seal is as good as none.
    let Ok(seal) = serde_json::from_slice::<S>(&bytes) else { return Ok(None) };
    match std::fs::symlink_metadata(file) {
        Ok(meta) if meta.is_file() && meta.len() == seal.size() => Ok(Some(seal)),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::io(format!("looking at {}", file.display()), &e)),
    }
}

/// The seal of a file that was just made or found.
pub(super) fn present<S: Seal>(file: &Path) -> Result<S> {
    cached(file)?.ok_or_else(|| {
        Failure::host(format!("{} vanished from the cache", file.display()))
            .hint("Does another program remove files from the cache folder? Run again.")
    })
}

/// Takes a finished file into the cache.
pub(super) fn keep<S: Seal>(made: &Path, file: &Path, seal: &S) -> Result<()> {
    stack::place(made, file)?;
    point(Point::DerivedPlaced)?;
    let bytes = serde_json::to_vec(seal).map_err(|e| Failure::bug(e.to_string()))?;
    files::write_atomic(&seal_of(file), &bytes, 0o644)?;
    point(Point::DerivedSealed)
}

/// Removes a file whose bytes are not what its seal says.
pub(super) fn forget(file: &Path) {
    let _ = std::fs::remove_file(seal_of(file));
    let _ = std::fs::remove_file(file);
}

/// Works on all items, as many at once as there are cores. After a failure no other item
/// is begun.
///
/// # Errors
/// The first failure.
pub(super) fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|threads| {
        for _ in 0..cores.min(items.len()) {
            threads.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Err(failure) = work(item) else { continue };
                    next.store(items.len(), Ordering::Relaxed);
                    if let Ok(mut slot) = failed.lock() {
                        slot.get_or_insert(failure);
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        Ok(Some(failure)) => Err(failure),
        Ok(None) => Ok(()),
        Err(_) => Err(Failure::bug("a thread panicked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    struct Size {
        size: u64,
    }

    impl Seal for Size {
        fn size(&self) -> u64 {
            self.size
        }
    }

    #[test]
    fn a_file_without_a_fitting_seal_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let (made, file) = (dir.path().join("made"), dir.path().join("file"));
        assert!(cached::<Size>(&file).unwrap().is_none());
        std::fs::write(&made, b"12345").unwrap();
        keep(&made, &file, &Size { size: 5 }).unwrap();
        assert!(cached::<Size>(&file).unwrap().is_some());
        std::fs::write(&file, b"123").unwrap();
        assert!(cached::<Size>(&file).unwrap().is_none(), "cut short");
        std::fs::write(&file, b"12345").unwrap();
        std::fs::write(seal_of(&file), b"{").unwrap();
        assert!(cached::<Size>(&file).unwrap().is_none(), "damaged seal");
        std::fs::remove_file(seal_of(&file)).unwrap();
        assert!(cached::<Size>(&file).unwrap().is_none(), "no seal");
    }

    #[test]
    fn the_first_failure_stops_the_rest() {
        let done = AtomicUsize::new(0);
        let items: Vec<usize> = (0..1000).collect();
        let failure = in_parallel(&items, |i| {
            done.fetch_add(1, Ordering::Relaxed);
            if *i == 3 { Err(Failure::bug("three")) } else { Ok(()) }
        })
        .unwrap_err();
        assert_eq!(failure.message, "three");
        assert!(done.load(Ordering::Relaxed) < 1000);
    }
}
