//! A store whose writer was killed, or that is not what it was a moment ago.

use super::{LOCK, Signers, Store, Writer, index};
use crate::model::name::{ImageName, Version};
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::atomic::Ordering;

impl Store {
    /// Remembers the serial of the index that was read.
    ///
    /// # Errors
    /// If a newer one was read before.
    pub(super) fn saw(&self, serial: u64, before: u64) -> Result<()> {
        self.seen.fetch_max(serial, Ordering::SeqCst);
        if serial < before { Err(vanished(self)) } else { Ok(()) }
    }

    /// The highest serial that was read so far: asked for before the index is read, since
    /// others may publish meanwhile.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Whether an index was read that is not there any more.
    pub(super) fn has_vanished(&self) -> bool {
        self.seen.load(Ordering::SeqCst) > 0 && !self.place.join(index::ENVELOPE).exists().unwrap_or(true)
    }

    /// Whether a killed writer left something that [`Store::mend`] ends. Costs a few system
    /// calls: signatures are not looked at.
    pub fn needs_mending(&self) -> bool {
        let is_empty = |names: Vec<String>| names.is_empty();
        !self.staging().names().map_or(true, is_empty) || index::copies_are_older(&self.place)
    }

    /// Removes what a killed writer left and brings the index's copies up to date. Does
    /// nothing while somebody writes.
    ///
    /// # Errors
    /// If something cannot be written or removed.
    pub fn mend(&self, signers: &Signers) -> Result<()> {
        let Some(lock) = self.place.join(LOCK).try_lock()? else { return Ok(()) };
        let writer = Writer::with_lock(self, signers, lock)?;
        index::write_copies(&self.place, &writer.index, signers)
    }

    /// Finds out whether the store can be written to, before hours of work are put into what
    /// shall go there. A store that is not there yet is made when it is needed.
    ///
    /// # Errors
    /// Class *host* if it cannot.
    pub fn check_writable(&self) -> Result<()> {
        if self.place.is_folder()? {
            let taken = self.place.join(LOCK).try_lock();
            taken.map(drop).map_err(|f| f.on("nothing can be published"))?;
        }
        Ok(())
    }

    /// Removes what killed writers left. The caller holds the store's lock.
    pub(super) fn sweep(&self) -> Result<()> {
        self.place.sweep(&|name| name.parse::<ImageName>().is_ok())
    }
}

impl Writer<'_> {
    /// The time of a release of `image`: after all others that are published already, so that
    /// the newest release is the newest also when the clock was set back.
    pub(super) fn later(&self, image: &ImageName, version: &Version, now: DateTime<Utc>) -> DateTime<Utc> {
        let releases = self.index.images.get(image).map(|image| image.releases.as_slice());
        let others = releases.unwrap_or_default().iter().filter(|release| &release.version != version);
        match others.map(|release| release.published).max() {
            Some(latest) if latest >= now => latest + TimeDelta::seconds(1),
            _ => now,
        }
    }
}

/// The store is not what it was.
pub(super) fn vanished(store: &Store) -> Failure {
    let message = format!(
        "the release store {} vanished or was replaced by an older one while it was worked with",
        store.place
    );
    let place = crate::effects::files::parent(store.place.path()).display();
    Failure::new(ErrorCode::NotFound, FailureClass::Host, message).hint(format!(
        "Was it unmounted, renamed or put back from a copy? See that it is there ({place}), then run again: what is built is kept."
    ))
}
