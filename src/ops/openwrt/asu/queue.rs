//! What waits, in order, and what is at work.

use crate::effects::Cancel;
use crate::model::Digest;
use crate::model::asu::{Progress, answer::Standing};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The open requests of a server, by their hashes.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Digest>,
    working: BTreeMap<Digest, Progress>,
}

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn waiting(&self) -> usize {
        self.inner().waiting.len()
    }

    /// Puts a request at the end, unless it is open already.
    pub fn push(&self, hash: Digest) {
        let mut inner = self.inner();
        if !inner.working.contains_key(&hash) && !inner.waiting.contains(&hash) {
            inner.waiting.push_back(hash);
            self.wake.notify_one();
        }
    }

    /// How a request stands; nothing if it is not open.
    pub fn standing(&self, hash: &Digest) -> Option<Standing> {
        let inner = self.inner();
        let waits = || inner.waiting.iter().position(|other| other == hash).map(Standing::Waits);
        inner.working.get(hash).copied().map(Standing::Works).or_else(waits)
    }

    /// Takes the first request as soon as there is one; nothing after a wish to stop.
    pub fn take(&self, cancel: &Cancel) -> Option<Digest> {
        let mut inner = self.inner();
        loop {
            if cancel.is_requested() {
                return None;
            }
            if let Some(hash) = inner.waiting.pop_front() {
                inner.working.insert(hash, Progress::Init);
                return Some(hash);
            }
            inner = self.wake.wait_timeout(inner, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says what is done for a request that is at work.
    pub fn progress(&self, hash: &Digest, progress: Progress) {
        if let Some(at) = self.inner().working.get_mut(hash) {
            *at = progress;
        }
    }

    /// A request is open no more.
    pub fn end(&self, hash: &Digest) {
        self.inner().working.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_in_order_and_once() {
        let (queue, cancel) = (Queue::default(), Cancel::default());
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        for hash in [a, b, a] {
            queue.push(hash);
        }
        assert_eq!((queue.waiting(), queue.standing(&b)), (2, Some(Standing::Waits(1))));
        assert_eq!(queue.take(&cancel), Some(a));
        queue.push(a);
        assert_eq!(queue.standing(&a), Some(Standing::Works(Progress::Init)));
        queue.progress(&a, Progress::BuildingImage);
        assert_eq!(queue.standing(&a), Some(Standing::Works(Progress::BuildingImage)));
        assert_eq!((queue.waiting(), queue.standing(&b)), (1, Some(Standing::Waits(0))));
        queue.end(&a);
        assert_eq!(queue.standing(&a), None);
        cancel.request();
        assert_eq!(queue.take(&cancel), None);
        assert_eq!(queue.waiting(), 1);
    }
}
