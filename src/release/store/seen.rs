//! The newest index of a store that was seen here, so that nobody can play an old state of
//! the store as its present one.
//!
//! One small file for each store below the folder of caches and state. Deleting it forgets
//! the store, and nothing else.

use super::index;
use crate::effects::files::{FileLock, read_if_exists, write_atomic};
use crate::model::release::Index;
use crate::model::{Digest, Failure, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// No record is larger, in bytes.
const LIMIT: u64 = 64 << 10;
/// The folder of the records.
const FOLDER: &str = "seen-indexes";

/// What is remembered of one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenIndex {
    /// The store's folder or address, for people.
    pub store: String,
    /// The serial of the newest index.
    pub serial: u64,
    /// The digest of its payload.
    pub index: Digest,
}

/// The place of the memory of one store.
#[derive(Clone, Debug)]
pub struct IndexMemory {
    state: PathBuf,
    source: String,
}

impl IndexMemory {
    /// The memory of the store at `source` (a folder or an address), below the folder of
    /// caches and state. Nothing is touched.
    pub fn new(state: &Path, source: &str) -> Self {
        Self { state: state.to_owned(), source: source.to_owned() }
    }

    /// The store by the one name that it is remembered under, however its path is written.
    fn store(&self) -> String {
        match self.source.strip_prefix("file://").unwrap_or(&self.source) {
            address if address.contains("://") => address.trim_end_matches('/').to_owned(),
            // A store that is not there yet is found under its real path once it is.
            path => std::fs::canonicalize(path)
                .map_or_else(|_| path.trim_end_matches('/').to_owned(), |p| p.display().to_string()),
        }
    }

    fn path(&self) -> PathBuf {
        self.state.join(FOLDER).join(format!("{}.json", Digest::of(self.store()).hex()))
    }

    /// What was seen of the store; nothing if it never was.
    ///
    /// # Errors
    /// Class *host* if the record is there and cannot be read: an unreadable memory is not
    /// an empty one.
    pub fn recall(&self) -> Result<Option<SeenIndex>> {
        let path = self.path();
        let Some(bytes) = read_if_exists(&path, LIMIT)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Failure::host(format!("{} cannot be read", path.display()))
                .code(crate::model::ErrorCode::Corrupt)
                .hint("Delete it to forget which index of this store was the newest.")
        })
    }

    /// Refuses an index that is older than one seen before, or another one of the same
    /// serial.
    ///
    /// # Errors
    /// *Untrusted*, with both serials.
    pub fn check(&self, index: &Index, seen: Option<&SeenIndex>) -> Result<()> {
        let Some(seen) = seen else { return Ok(()) };
        let what = if index.serial < seen.serial {
            format!(
                "its index has serial {}, and {} was seen before: this is an old state",
                index.serial, seen.serial
            )
        } else if index.serial == seen.serial && index::digest(index)? != seen.index {
            format!("its index of serial {} is another one than was seen before", index.serial)
        } else {
            return Ok(());
        };
        Err(Failure::untrusted(format!("{}: {what}", self.source)).hint(format!(
            "Somebody may play an old state of the store; ask its publisher. If the store was set back on purpose, delete {}.",
            self.path().display()
        )))
    }

    /// Keeps an index as the newest one, unless a newer one is kept already.
    ///
    /// # Errors
    /// Class *host* if it cannot be written.
    pub fn keep(&self, index: &Index) -> Result<()> {
        let new = SeenIndex { store: self.store(), serial: index.serial, index: index::digest(index)? };
        if new.serial == 0 || self.recall()?.as_ref() == Some(&new) {
            return Ok(());
        }
        let path = self.path();
        let _lock = FileLock::take(&path.with_extension("lock"))?;
        if self.recall()?.is_some_and(|kept| kept.serial > new.serial) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&new).map_err(|e| Failure::bug(e.to_string()))?;
        write_atomic(&path, &text, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCode;

    fn index(serial: u64, second: i64) -> Index {
        let updated = chrono::DateTime::from_timestamp(second, 0).unwrap();
        Index { serial, updated, ..Index::default() }
    }

    #[test]
    fn an_older_or_another_index_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let memory = IndexMemory::new(dir.path(), "https://example.org/store/");
        assert_eq!(memory.recall().unwrap(), None);
        memory.keep(&index(0, 0)).unwrap();
        assert_eq!(memory.recall().unwrap(), None, "no index is nothing to remember");
        memory.keep(&index(5, 0)).unwrap();
        memory.keep(&index(3, 0)).unwrap();
        let seen = IndexMemory::new(dir.path(), "https://example.org/store").recall().unwrap();
        assert_eq!(seen.as_ref().map(|s| s.serial), Some(5));
        for good in [index(5, 0), index(6, 1)] {
            memory.check(&good, seen.as_ref()).unwrap();
        }
        for bad in [index(4, 0), index(0, 0), index(5, 1)] {
            let failure = memory.check(&bad, seen.as_ref()).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Untrusted);
            assert!(failure.hint.unwrap().contains("seen-indexes"));
        }
        std::fs::write(memory.path(), "{").unwrap();
        assert_eq!(memory.recall().unwrap_err().code, ErrorCode::Corrupt);
    }

    #[test]
    fn one_store_has_one_memory() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        std::fs::create_dir(&store).unwrap();
        std::os::unix::fs::symlink("store", dir.path().join("link")).unwrap();
        let of = |source: String| IndexMemory::new(dir.path(), &source).path();
        let path = of(store.display().to_string());
        for same in [
            format!("{}/", store.display()),
            format!("file://{}", store.display()),
            format!("{}/../link", store.display()),
        ] {
            assert_eq!(of(same.clone()), path, "{same}");
        }
        assert_ne!(of("https://example.org".to_owned()), path);
    }
}
