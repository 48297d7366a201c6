//! One piece of work as the user sees it: a label, perhaps a bar, how long it took.

use crate::model::event::{Emitter, Event, Unit};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Progress is reported this often at most.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A piece of work. If it is dropped without [`Task::finish`], it is reported as failed.
#[derive(Debug)]
pub struct Task {
    id: u64,
    label: String,
    started: Instant,
    done: AtomicU64,
    reported: Mutex<Instant>,
    events: Emitter,
    finished: bool,
}

impl Task {
    /// Begins a piece of work whose length is unknown.
    pub fn start(events: &Emitter, label: impl Into<String>) -> Self {
        Self::with_total(events, label, None, Unit::Items)
    }

    /// Begins a piece of work of `total` bytes or items.
    pub fn with_total(events: &Emitter, label: impl Into<String>, total: Option<u64>, unit: Unit) -> Self {
        let (id, label, started) = (NEXT.fetch_add(1, Ordering::Relaxed), label.into(), Instant::now());
        events.emit(Event::TaskStarted { task: id, label: label.clone(), total, unit });
        Self {
            id,
            label,
            started,
            done: AtomicU64::new(0),
            reported: Mutex::new(started),
            events: events.clone(),
            finished: false,
        }
    }

    /// Counts `more` bytes or items.
    pub fn advance(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        if let Ok(mut reported) = self.reported.try_lock()
            && reported.elapsed() >= REPORT_EVERY
        {
            *reported = Instant::now();
            self.events.emit(Event::TaskProgress { task: self.id, done });
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends it, with a word on what came of it.
    pub fn finish(mut self, outcome: impl Into<String>) {
        self.end(outcome.into());
    }

    fn end(&mut self, outcome: String) {
        self.finished = true;
        self.events.emit(Event::TaskFinished {
            task: self.id,
            label: self.label.clone(),
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome,
        });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.finished {
            self.end("failed".to_owned());
        }
    }
}
