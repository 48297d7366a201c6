//! The events of one run: passed on as they happen, and kept in the state database.
//!
//! Events come on any thread, also inside the runtime, where the database cannot be waited
//! for. So they are collected, and written by the thread that drives the run.

use crate::effects::Clock;
use crate::model::run::RunId;
use crate::model::{Emitter, Event, Result};
use crate::state::State;
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// No more events are collected between two writes; a tool that warns without end must not
/// fill the memory.
const MOST: usize = 1000;

/// What one run says.
#[derive(Clone)]
pub(super) struct Journal {
    events: Emitter,
    collected: Arc<Mutex<Collected>>,
}

#[derive(Default)]
struct Collected {
    events: Vec<(DateTime<Utc>, Event)>,
    left_out: usize,
}

impl Journal {
    /// Passes everything on to `to`.
    pub fn new(to: &Emitter, clock: Clock) -> Self {
        let collected: Arc<Mutex<Collected>> = Arc::default();
        let (to, keep) = (to.clone(), Arc::clone(&collected));
        let events = Emitter::new(move |event| {
            if is_kept(&event) {
                let mut collected = lock(&keep);
                match collected.events.len() {
                    n if n < MOST => collected.events.push((clock.now(), event.clone())),
                    _ => collected.left_out += 1,
                }
            }
            to.emit(event);
        });
        Self { events, collected }
    }

    /// Where the run's events go.
    pub fn events(&self) -> &Emitter {
        &self.events
    }

    /// Writes what was collected.
    pub fn write(
        &self,
        state: &State,
        runtime: &tokio::runtime::Handle,
        run: RunId,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Collected { mut events, left_out } = std::mem::take(&mut *lock(&self.collected));
        if left_out > 0 {
            let message = format!("{left_out} more events of this run were not kept");
            events.push((now, Event::Warning { message }));
        }
        runtime.block_on(state.record_events(run, &events))
    }
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Beginnings, progress and what tools say pass by; what came of it stays.
fn is_kept(event: &Event) -> bool {
    match event {
        Event::Phase { .. }
        | Event::TaskFinished { .. }
        | Event::Warning { .. }
        | Event::Published { .. }
        | Event::Failed { .. } => true,
        Event::TaskStarted { .. } | Event::TaskProgress { .. } | Event::Log { .. } => false,
    }
}
