//! What is in the cache: each entry with its size and last use.

use super::kind::{Kind, Shape, TABLE};
use super::{Cache, seal};
use crate::effects::usage::Usage;
use crate::model::{Failure, Result};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name in the kind's folder.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// When it was last used.
    pub last_use: DateTime<Utc>,
    /// Bytes on disk, with its seal.
    pub bytes: u64,
}

/// All entries of one kind together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub entries: usize,
    /// Bytes on disk, hard links counted once.
    pub bytes: u64,
    /// The longest ago that one was used.
    pub oldest_use: Option<DateTime<Utc>>,
    /// When one was last used.
    pub newest_use: Option<DateTime<Utc>>,
    /// How their bytes are known to be right.
    pub known_by: &'static str,
}

impl Cache {
    /// All entries of `kinds`, in the order of the table and of their names. What vanishes
    /// meanwhile is left out.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn entries(&self, kinds: &[Kind]) -> Result<Vec<Entry>> {
        let mut usage = Usage::default();
        let mut entries = Vec::new();
        for row in TABLE.iter().filter(|row| kinds.is_empty() || kinds.contains(&row.kind)) {
            for (name, path) in self.names(row.kind)? {
                let Some(last_use) = last_use(row.shape, &path) else { continue };
                let mut bytes = usage.add(&path)?;
                if row.shape == Shape::SealedFile {
                    bytes += usage.add(&seal::beside(&path))?;
                }
                entries.push(Entry { kind: row.kind, name, path, last_use, bytes });
            }
        }
        Ok(entries)
    }

    /// One total for each of `kinds`.
    ///
    /// # Errors
    /// As [`Cache::entries`].
    pub fn totals(&self, kinds: &[Kind]) -> Result<Vec<Total>> {
        let entries = self.entries(kinds)?;
        let rows = TABLE.iter().filter(|row| kinds.is_empty() || kinds.contains(&row.kind));
        Ok(rows
            .map(|row| {
                let of_kind = || entries.iter().filter(|entry| entry.kind == row.kind);
                Total {
                    kind: row.kind,
                    entries: of_kind().count(),
                    bytes: of_kind().map(|entry| entry.bytes).sum(),
                    oldest_use: of_kind().map(|entry| entry.last_use).min(),
                    newest_use: of_kind().map(|entry| entry.last_use).max(),
                    known_by: row.known_by,
                }
            })
            .collect())
    }

    fn names(&self, kind: Kind) -> Result<Vec<(String, PathBuf)>> {
        let folder = self.folder(kind);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Failure::io(format!("reading {}", folder.display()), &e)),
        };
        let mut names: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                // The names are ours: what is no UTF-8 is nothing of the cache.
                let name = entry.file_name().into_string().ok()?;
                // A link is never an entry; its type is none of the two.
                let kind_of = entry.file_type().ok()?;
                let fits = (kind_of.is_dir() || kind_of.is_file()) && kind.has(&name, kind_of.is_dir());
                fits.then(|| (name, entry.path()))
            })
            .collect();
        names.sort();
        Ok(names)
    }
}

/// The stamp of the last use: the date of the seal of a file, of anything else itself.
fn last_use(shape: Shape, path: &Path) -> Option<DateTime<Utc>> {
    let stamp = match shape {
        Shape::SealedFile => std::fs::symlink_metadata(seal::beside(path)).ok(),
        _ => None,
    };
    let meta = stamp.or_else(|| std::fs::symlink_metadata(path).ok())?;
    Some(DateTime::from(meta.modified().ok()?))
}
