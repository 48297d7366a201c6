//! Reading every byte of the cache, and dropping what is not what it should be.

use super::super::derived::in_parallel;
use super::kind::{Kind, Shape};
use super::seal::{self, Checked, SealedFile};
use super::{Cache, Entry, into_trash};
use crate::effects::files::{FileLock, WorkFolder, digest_file};
use crate::effects::{Cancel, Task};
use crate::model::event::Unit;
use crate::model::{Emitter, Failure, Result};
use serde::Serialize;
use std::sync::Mutex;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Entries whose bytes were read.
    pub checked: usize,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Entries that nothing says the right bytes of.
    pub unsealed: usize,
    /// What is not what it should be.
    pub damaged: Vec<Damage>,
}

/// One damaged entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// What it is.
    pub kind: Kind,
    /// Its name in the kind's folder.
    pub name: String,
    /// What differs.
    pub what: String,
    /// Whether it was removed; an entry in use is not.
    pub dropped: bool,
}

/// What one entry came to.
enum Verdict {
    Sound,
    Unsealed,
    Damaged(String),
}

impl Cache {
    /// Reads all entries of `kinds` (all when empty), several at once, and removes those that
    /// are not what they should be. What is made while this runs may be left out.
    ///
    /// # Errors
    /// If something cannot be read at all; *cancelled* on request.
    pub fn verify(&self, kinds: &[Kind], events: &Emitter, cancel: &Cancel) -> Result<Verified> {
        let entries = self.entries(kinds)?;
        let total = entries.iter().map(|entry| entry.bytes).sum();
        let task = Task::with_total(events, "verify cache", Some(total), Unit::Bytes);
        let found = Mutex::new(Verified::default());
        in_parallel(&entries, |entry| {
            cancel.check()?;
            let verdict = self.look(entry)?;
            task.advance(entry.bytes);
            let damage = match verdict {
                None => return Ok(()),
                Some(Verdict::Damaged(what)) => Some(self.drop_damaged(entry, what, events)?),
                Some(Verdict::Sound) => None,
                Some(Verdict::Unsealed) => {
                    found.lock().map_err(poisoned)?.unsealed += 1;
                    return Ok(());
                }
            };
            let mut found = found.lock().map_err(poisoned)?;
            found.checked += 1;
            found.bytes += entry.bytes;
            found.damaged.extend(damage);
            Ok(())
        })?;
        let mut found = found.into_inner().map_err(poisoned)?;
        found.damaged.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        task.finish(format!("{} entries, {} damaged", found.checked, found.damaged.len()));
        Ok(found)
    }

    /// Looks at all bytes of one entry; none if it vanished.
    fn look(&self, entry: &Entry) -> Result<Option<Verdict>> {
        let Some(_held) = FileLock::share(&entry.path)? else { return Ok(None) };
        Ok(Some(match entry.kind.row().shape {
            Shape::Folder => Verdict::Unsealed,
            // A download that was not finished.
            Shape::ByDigest if entry.name.ends_with(".part") => Verdict::Unsealed,
            Shape::ByDigest => match digest_file(&entry.path)? {
                (digest, _) if entry.name.starts_with(&digest.hex()) => Verdict::Sound,
                (digest, _) => Verdict::Damaged(format!("its bytes have {digest}")),
            },
            Shape::SealedFile => match seal::check_file::<serde_json::Value>(&entry.path, true)? {
                SealedFile::Sound(_) => Verdict::Sound,
                SealedFile::Absent => Verdict::Damaged("it has no seal".to_owned()),
                SealedFile::Damaged(what) => Verdict::Damaged(what),
            },
            Shape::SealedTree => match seal::check_tree_fully(&entry.path)? {
                Checked::Sound => Verdict::Sound,
                Checked::Damaged(what) => Verdict::Damaged(what),
            },
        }))
    }

    fn drop_damaged(&self, entry: &Entry, what: String, events: &Emitter) -> Result<Damage> {
        let claim = self.claim(entry)?;
        let dropped = claim.is_some();
        if dropped {
            let trash = WorkFolder::new(&self.work(), "trash")?;
            into_trash(&entry.path, trash.path(), 0)?;
        }
        let end = if dropped { "it was removed" } else { "it is in use and stays for now" };
        events.warn(format!("{} {} in the cache is damaged ({what}); {end}", entry.kind, entry.name));
        Ok(Damage { kind: entry.kind, name: entry.name.clone(), what, dropped })
    }
}

fn poisoned<T>(_: T) -> Failure {
    Failure::bug("a thread panicked")
}
