//! Keeps a lease alive while its image is built.
//!
//! A lease is short, because a holder in another container or of an earlier boot cannot be
//! looked for: its lease has to run out before anybody goes on. So whoever lives renews it.

use super::World;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use crate::state::{Lease, State};
use chrono::TimeDelta;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a lease lasts after its holder was last heard of.
pub(super) const LEASE: TimeDelta = TimeDelta::minutes(15);
/// How often it is renewed: several times may fail.
const EVERY: Duration = Duration::from_mins(3);

/// A lease that is renewed until it is stopped or dropped.
pub(super) struct Heartbeat {
    lease: Lease,
    lost: Arc<Mutex<Option<Failure>>>,
    stop: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts to renew `lease`.
    pub(super) fn start(world: &World<'_>, lease: Lease) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let lost = Arc::new(Mutex::new(None));
        let (state, runtime, clock) = (world.state()?.clone(), world.runtime.clone(), world.clock);
        let (held, to) = (lease.clone(), Arc::clone(&lost));
        let beat = move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let failed = renew(&runtime, &state, &held, clock).err();
                *to.lock().unwrap_or_else(PoisonError::into_inner) = failed;
            }
        };
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(beat)
            .during(|| "starting a thread")?;
        Ok(Self { lease, lost, stop, thread: Some(thread) })
    }

    /// # Errors
    /// If the lease was taken over, or could not be renewed the last time.
    pub(super) fn check(&self) -> Result<()> {
        match self.lost.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Renews no more, and gives the lease back.
    pub(super) fn stop(self) -> Lease {
        self.lease.clone()
    }
}

fn renew(
    runtime: &tokio::runtime::Handle,
    state: &State,
    lease: &Lease,
    clock: crate::effects::Clock,
) -> Result<()> {
    runtime.block_on(state.renew(lease, LEASE, clock.now())).map(|_| ())
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
