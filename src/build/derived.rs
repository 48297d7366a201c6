//! Files derived from one layer each (squashfs modules, OCI blobs, module archives), kept in
//! the cache.
//!
//! A derived file counts only with the seal beside it, which is written last: a file that a
//! killed process left, or that was changed since, is made again.

use super::cache::seal::{self, SealedFile};
use super::cache::{lock_of, stamp};
use super::stack;
use crate::effects::files::{self, FileLock};
use crate::effects::{Point, point};
use crate::model::{Digest, Emitter, Failure, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A file of the cache that nobody removes while this lives.
#[derive(Clone, Debug)]
pub struct Held {
    path: PathBuf,
    _lock: Arc<FileLock>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Held {}

/// What is known of a file that is there and sound; it is held and stamped. A damaged one
/// counts as absent, is told of and is made again over.
pub(super) fn cached<F: Serialize + DeserializeOwned>(
    file: &Path,
    events: &Emitter,
) -> Result<Option<(F, Held)>> {
    let Some(lock) = FileLock::share(file)? else { return Ok(None) };
    match seal::check_file(file, false)? {
        SealedFile::Sound(facts) => {
            stamp(&seal::beside(file))?;
            Ok(Some((facts, Held { path: file.to_owned(), _lock: Arc::new(lock) })))
        }
        SealedFile::Absent => Ok(None),
        SealedFile::Damaged(why) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            events.warn(format!("{name} in the cache is damaged ({why}); it is made again"));
            Ok(None)
        }
    }
}

/// What is known of a file that was just made or found.
pub(super) fn present<F: Serialize + DeserializeOwned>(file: &Path, events: &Emitter) -> Result<(F, Held)> {
    cached(file, events)?.ok_or_else(|| {
        Failure::host(format!("{} vanished from the cache", file.display()))
            .hint("Does another program remove files from the cache folder? Run again.")
    })
}

/// Takes a finished file into the cache and holds it.
pub(super) fn keep(made: &Path, file: &Path, sha256: Digest, facts: &impl Serialize) -> Result<Held> {
    let folder = files::parent(file);
    std::fs::create_dir_all(folder).map_err(|e| Failure::io(format!("making {}", folder.display()), &e))?;
    // Between the new name and our hold, nobody may remove it.
    let lock_file = lock_of(file);
    let _making = FileLock::take(&lock_file)?;
    stack::place(made, file)?;
    point(Point::DerivedPlaced)?;
    seal::seal_file(file, sha256, facts)?;
    point(Point::DerivedSealed)?;
    let lock = FileLock::share(file)?;
    let _ = std::fs::remove_file(&lock_file);
    let lock = lock.ok_or_else(|| Failure::host(format!("{} vanished from the cache", file.display())))?;
    Ok(Held { path: file.to_owned(), _lock: Arc::new(lock) })
}

/// Removes a file whose bytes are not what its seal says.
pub(super) fn forget(file: &Path) {
    let _ = std::fs::remove_file(seal::beside(file));
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

    fn found(file: &Path) -> Option<u32> {
        cached(file, &Emitter::default()).unwrap().map(|(facts, _)| facts)
    }

    #[test]
    fn a_file_without_a_fitting_seal_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let (made, file) = (dir.path().join("made"), dir.path().join("file"));
        let make = || {
            std::fs::write(&made, b"12345").unwrap();
            keep(&made, &file, Digest::of(b"12345"), &7_u32).unwrap();
        };
        assert_eq!(found(&file), None);
        make();
        assert_eq!(found(&file), Some(7));
        let damages: [(&str, &dyn Fn()); 5] = [
            ("cut short", &|| std::fs::write(&file, b"123").unwrap()),
            ("other bytes", &|| std::fs::write(&file, b"12346").unwrap()),
            ("damaged seal", &|| std::fs::write(seal::beside(&file), b"{").unwrap()),
            ("no seal", &|| std::fs::remove_file(seal::beside(&file)).unwrap()),
            ("no file", &|| std::fs::remove_file(&file).unwrap()),
        ];
        for (what, damage) in damages {
            damage();
            assert_eq!(found(&file), None, "{what}");
            make();
            assert_eq!(found(&file), Some(7), "{what}");
        }
        // The same bytes in another file: a copied cache.
        std::fs::rename(&file, &made).unwrap();
        std::fs::copy(&made, &file).unwrap();
        assert_eq!(found(&file), Some(7));
        assert!(!lock_of(&file).exists());
    }

    #[test]
    fn the_first_failure_stops_the_rest() {
        let done = AtomicUsize::new(0);
        let items: Vec<usize> = (0..1000).collect();
        let failure = in_parallel(&items, |i| {
            done.fetch_add(1, Ordering::Relaxed);
            if *i == 3 {
                return Err(Failure::bug("three"));
            }
            // Who fails may wait for a processor while the others go on.
            std::thread::sleep(std::time::Duration::from_millis(1));
            Ok(())
        })
        .unwrap_err();
        assert_eq!(failure.message, "three");
        assert!(done.load(Ordering::Relaxed) < 1000);
    }
}
