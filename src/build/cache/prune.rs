//! Removing what was not used for long, or what does not fit.
//!
//! What is in use is never taken: an entry is removed only by who has its maker's lock and
//! claimed the entry itself, both without waiting. Removing is a rename into a work folder, so
//! that a kill leaves no half entry; the next sweep deletes what is left there.

use super::kind::{Kind, Shape};
use super::needs::Needs;
use super::{Cache, Entry, into_trash, lock_of};
use crate::effects::Cancel;
use crate::effects::files::{FileLock, WorkFolder};
use crate::effects::usage::Usage;
use crate::model::{Failure, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::path::PathBuf;

/// What a cache may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// No more bytes than this: the longest unused go first, what the catalog needs last.
    pub size: Option<u64>,
    /// Nothing that was not used for so long, unless the catalog needs it.
    pub age: Option<TimeDelta>,
}

/// What to remove, and how.
#[derive(Clone, Debug)]
pub struct Prune<'a> {
    /// What may stay.
    pub limits: Limits,
    /// Only these kinds; all when empty.
    pub kinds: Vec<Kind>,
    /// What is taken last.
    pub needs: &'a Needs,
    /// Leave what is needed, whatever the limits say.
    pub spare_needed: bool,
    /// Say what would be removed and remove nothing.
    pub dry_run: bool,
}

/// Why an entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It was not used for longer than the limit.
    Age,
    /// The cache is larger than the limit.
    Size,
}

/// One entry that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// What it is.
    pub kind: Kind,
    /// Its name in the kind's folder.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last used.
    pub last_use: DateTime<Utc>,
    /// Why.
    pub why: Why,
    /// Whether a recipe of the catalog needs it.
    pub needed: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// What was removed, or would be.
    pub removed: Vec<Choice>,
    /// What was to be removed and is in use.
    pub in_use: Vec<Choice>,
    /// Bytes of what was removed.
    pub freed_bytes: u64,
    /// Bytes of all entries that are left, of the kinds that were looked at.
    pub left_bytes: u64,
    /// Folders of processes that are gone, which were removed.
    pub swept: usize,
}

impl Cache {
    /// Removes what is beyond the limits.
    ///
    /// # Errors
    /// If something cannot be read or removed; *cancelled* on request.
    pub fn prune(&self, prune: &Prune<'_>, now: DateTime<Utc>, cancel: &Cancel) -> Result<Pruned> {
        let swept = if prune.dry_run { 0 } else { self.sweep()? };
        let entries = self.entries(&prune.kinds)?;
        let mut pruned =
            Pruned { swept, left_bytes: entries.iter().map(|e| e.bytes).sum(), ..Pruned::default() };
        let trash = match prune.dry_run {
            true => None,
            false => Some(WorkFolder::new(&self.work(), "trash")?),
        };
        let mut left = pruned.left_bytes;
        for (entry, needed) in in_order(&entries, prune.needs) {
            cancel.check()?;
            if needed && prune.spare_needed {
                continue;
            }
            let Some(why) = reason(entry, needed, left, &prune.limits, now) else { continue };
            let choice = Choice {
                kind: entry.kind,
                name: entry.name.clone(),
                bytes: entry.bytes,
                last_use: entry.last_use,
                why,
                needed,
            };
            let Some(claim) = self.claim(entry)? else {
                pruned.in_use.push(choice);
                continue;
            };
            if let Some(trash) = &trash {
                into_trash(&entry.path, trash.path(), pruned.removed.len())?;
            }
            drop(claim);
            left = left.saturating_sub(entry.bytes);
            pruned.freed_bytes += entry.bytes;
            pruned.removed.push(choice);
        }
        pruned.left_bytes = left;
        Ok(pruned)
    }

    /// Removes the folders of processes that are gone. Says how many.
    ///
    /// # Errors
    /// If something in one cannot be removed.
    pub fn sweep(&self) -> Result<usize> {
        let places =
            [self.work(), self.folder(Kind::Modules).join("work"), self.folder(Kind::Blobs).join("work")];
        places.iter().map(|place| WorkFolder::sweep(place)).sum()
    }

    /// Bytes of work folders, of running builds as well.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn work_bytes(&self) -> Result<u64> {
        let mut usage = Usage::default();
        let places =
            [self.work(), self.folder(Kind::Modules).join("work"), self.folder(Kind::Blobs).join("work")];
        places.iter().map(|place| usage.add(place)).sum()
    }

    /// The right to remove an entry, unless somebody makes or uses it.
    pub(super) fn claim(&self, entry: &Entry) -> Result<Option<Claim>> {
        if entry.kind.row().shape == Shape::ByDigest {
            // Builds hold the folder.
            let folder = FileLock::try_claim(&self.folder(entry.kind))?;
            return Ok(folder.map(|lock| Claim { locks: vec![lock], file: None }));
        }
        let file = lock_of(&entry.path);
        let Some(maker) = FileLock::try_take(&file)? else { return Ok(None) };
        match FileLock::try_claim(&entry.path)? {
            Some(user) => Ok(Some(Claim { locks: vec![user, maker], file: Some(file) })),
            None => Ok(None),
        }
    }
}

/// The right to remove an entry.
pub(super) struct Claim {
    #[expect(dead_code, reason = "held until dropped")]
    locks: Vec<FileLock>,
    /// The maker's lock file: nobody waits for it any more, or notices that it is gone.
    file: Option<PathBuf>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Fields are dropped after this: the file goes while its lock is held.
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// The entries in the order in which they go: not needed before needed, the longest unused
/// first, and of those that were used together the cheap ones first.
fn in_order<'a>(entries: &'a [Entry], needs: &Needs) -> Vec<(&'a Entry, bool)> {
    let mut order: Vec<_> = entries.iter().map(|entry| (entry, needs.has(entry.kind, &entry.name))).collect();
    order.sort_by(|(a, a_needed), (b, b_needed)| {
        // One build uses many entries within minutes.
        let day = |entry: &Entry| entry.last_use.timestamp().div_euclid(86_400);
        let key = |entry: &Entry| (day(entry), entry.kind.row().cost, entry.last_use);
        a_needed.cmp(b_needed).then_with(|| key(a).cmp(&key(b))).then_with(|| a.path.cmp(&b.path))
    });
    order
}

fn reason(entry: &Entry, needed: bool, left: u64, limits: &Limits, now: DateTime<Utc>) -> Option<Why> {
    if !needed && limits.age.is_some_and(|age| now - entry.last_use > age) {
        return Some(Why::Age);
    }
    limits.size.is_some_and(|most| left > most).then_some(Why::Size)
}

impl Limits {
    /// Whether they limit anything.
    pub fn any(&self) -> bool {
        self.size.is_some() || self.age.is_some()
    }
}

impl Pruned {
    /// One line for people and logs.
    pub fn words(&self) -> String {
        let size = crate::model::spec::Size::from_bytes;
        let held = match self.in_use.len() {
            0 => String::new(),
            n => format!(", {n} in use and left"),
        };
        format!(
            "removed {} entries, {} freed, {} left{held}",
            self.removed.len(),
            size(self.freed_bytes),
            size(self.left_bytes)
        )
    }
}

/// The limits, if there are any: nobody shall guess what may be removed.
///
/// # Errors
/// Class *spec* if there is no limit.
pub fn require(limits: Limits) -> Result<Limits> {
    if limits.any() {
        return Ok(limits);
    }
    Err(Failure::spec("nothing says what may be removed").hint(
        "Give --max-size or --older-than, or set `cache: {maxSize: 20GiB, maxAge: 30d}` in bootwright.yaml.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn entry(kind: Kind, name: &str, days: i64, bytes: u64) -> Entry {
        let last_use = DateTime::from_timestamp(1_800_000_000, 0).unwrap() - TimeDelta::days(days);
        Entry { kind, name: name.to_owned(), path: Path::new("/").join(name), last_use, bytes }
    }

    #[test]
    fn the_order_is_needed_last_then_age_then_cost() {
        let entries = [
            entry(Kind::Layers, "new-layer", 1, 1),
            entry(Kind::Modules, "new-module", 1, 1),
            entry(Kind::Layers, "old-layer", 9, 1),
            entry(Kind::Packages, "ancient-package", 99, 1),
        ];
        let names = |needs: &Needs| -> Vec<String> {
            in_order(&entries, needs).iter().map(|(e, _)| e.name.clone()).collect()
        };
        assert_eq!(names(&Needs::default()), ["ancient-package", "old-layer", "new-module", "new-layer"]);
    }

    #[test]
    fn needed_entries_outlive_their_age_and_not_the_size() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let old = entry(Kind::Layers, "x", 40, 10);
        let age = Limits { age: Some(TimeDelta::days(30)), size: None };
        assert_eq!(reason(&old, false, 10, &age, now), Some(Why::Age));
        assert_eq!(reason(&old, true, 10, &age, now), None);
        let size = Limits { age: None, size: Some(9) };
        assert_eq!(reason(&old, true, 10, &size, now), Some(Why::Size));
        assert_eq!(reason(&old, true, 9, &size, now), None);
        // A clock that was set back makes nothing old.
        let future = entry(Kind::Layers, "x", -40, 10);
        assert_eq!(reason(&future, false, 10, &age, now), None);
        assert!(require(Limits::default()).is_err() && require(size).is_ok());
    }
}
