//! Telling the controller that a job is still worked on, beside the work.

use super::asking::Asking;
use crate::effects::Cancel;
use crate::model::receipt::JobState;
use crate::model::writer_api::{Beat, Claimed};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked whether there is something to say.
const LOOK: Duration = Duration::from_millis(100);

/// What is said of a job, and whether to go on with it.
pub struct Beating {
    says: Mutex<Says>,
    ended: AtomicBool,
    lost: AtomicBool,
    /// Requested when the job is not ours any more, or the agent shall stop.
    pub cancel: Cancel,
}

struct Says {
    beat: Beat,
    told: bool,
}

impl Beating {
    /// About a job that was claimed.
    pub fn new(claimed: &Claimed) -> Self {
        let Claimed { job, attempt, .. } = claimed;
        let beat = Beat { job: job.clone(), attempt: *attempt, state: JobState::Claimed, said: None };
        Self {
            says: Mutex::new(Says { beat, told: false }),
            ended: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            cancel: Cancel::default(),
        }
    }

    /// Says something else from now on.
    pub fn say(&self, state: JobState, said: &str) {
        let mut says = self.says();
        let said: String = said.chars().take(200).collect();
        if says.beat.state != state || says.beat.said.as_ref() != Some(&said) {
            (says.beat.state, says.beat.said, says.told) = (state, Some(said), false);
        }
    }

    /// Ends the telling.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Whether the controller said that the job is not ours any more.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Tells until [`Beating::end`]. A controller that does not answer changes nothing.
    pub fn tell(&self, asking: &Asking<'_>, lease: Duration, stop: &Cancel) {
        let every = (lease / 3).max(Duration::from_millis(300));
        let mut last: Option<Instant> = None;
        while !self.ended.load(Ordering::SeqCst) {
            if stop.is_requested() {
                self.cancel.request();
            }
            let beat = {
                let says = self.says();
                let due = !says.told || last.is_none_or(|last| last.elapsed() >= every);
                // Not again at once where nobody answers.
                let pause = last.is_none_or(|last| last.elapsed() >= Duration::from_millis(500));
                (due && pause).then(|| says.beat.clone())
            };
            if let Some(beat) = beat {
                let answer = asking.beat(&beat);
                last = Some(Instant::now());
                if let Ok(go_on) = answer {
                    let mut says = self.says();
                    says.told |= says.beat == beat;
                    if !go_on && !self.ended.load(Ordering::SeqCst) {
                        self.lost.store(true, Ordering::SeqCst);
                        self.cancel.request();
                    }
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
