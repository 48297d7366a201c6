//! One card while it is worked on, and what went wrong with it.

use crate::effects::ClaimedDevice;
use crate::model::flash::Fault;
use crate::model::spec::Size;
use crate::model::{ErrorCode, Failure, FailureClass};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What went wrong with a card, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub fault: Fault,
    /// In bytes from the beginning.
    pub at: Option<u64>,
    /// What the kernel said.
    pub said: Option<String>,
    /// How much it really holds at most.
    pub real_size: Option<u64>,
}

impl Trouble {
    pub fn new(fault: Fault) -> Self {
        Self { fault, at: None, said: None, real_size: None }
    }

    /// The same, with its place.
    pub fn at(self, offset: u64) -> Self {
        Self { at: Some(offset), ..self }
    }

    /// The failure that a user reads.
    pub fn failure(&self, device: &str) -> Failure {
        let mut message = format!("{device} {}", self.fault.words());
        if let Some(at) = self.at {
            message.push_str(&format!(", at byte {at}"));
        }
        if let Some(real) = self.real_size {
            message.push_str(&format!(" (it holds {} at most)", Size::from_bytes(real)));
        }
        if let Some(said) = &self.said {
            message.push_str(&format!(": {said}"));
        }
        let hint = match self.fault {
            Fault::Vanished => "Put it in again, try another reader or cable, and flash it again.",
            Fault::Replaced => "Flash it again and leave the card in the reader.",
            Fault::Stalled => "Try it in another reader; if it stalls there too, throw the card away.",
            Fault::RefusesWrites => "Move its lock switch; a worn-out card locks itself for good.",
            _ => "Do not use this card. If other cards fail in this reader too, it is the reader.",
        };
        Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, message).hint(hint)
    }
}

/// Which request a trouble came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Reading,
    Writing,
    Syncing,
}

/// One card while it is worked on.
#[derive(Debug)]
pub struct Card {
    pub device: ClaimedDevice,
    /// When the request that the device is at began: milliseconds after `born`, and one; 0 when
    /// it is at none.
    busy: AtomicU64,
    born: Instant,
    /// Whether zeroing and discarding were found to work.
    pub zeroes: AtomicBool,
    pub discards: AtomicBool,
    pub written: AtomicU64,
    pub zeroed: AtomicU64,
    pub found_zero: AtomicU64,
    /// Whether its beginning was written.
    pub bootable: AtomicBool,
    /// Whether it was given up: nothing more may be written to it.
    given_up: AtomicBool,
    bad: Mutex<BTreeSet<u64>>,
}

impl Card {
    pub fn new(device: ClaimedDevice) -> Self {
        Self {
            zeroes: AtomicBool::new(device.zeroes()),
            discards: AtomicBool::new(device.discards()),
            device,
            busy: AtomicU64::new(0),
            born: Instant::now(),
            written: AtomicU64::new(0),
            zeroed: AtomicU64::new(0),
            found_zero: AtomicU64::new(0),
            bootable: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            bad: Mutex::default(),
        }
    }

    /// How messages name it.
    pub fn name(&self) -> String {
        self.device.device().path.display().to_string()
    }

    /// Asks the device for something, with a watch on how long it takes.
    pub fn ask<T>(
        &self,
        doing: Doing,
        at: u64,
        request: impl FnOnce(&ClaimedDevice) -> io::Result<T>,
    ) -> Result<T, Trouble> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(Trouble::new(Fault::Stalled).at(at));
        }
        let began = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.busy.store(began + 1, Ordering::Relaxed);
        let answer = request(&self.device);
        self.busy.store(0, Ordering::Relaxed);
        answer.map_err(|error| self.trouble(doing, at, &error))
    }

    /// How long the device has been at one request.
    pub fn busy_for(&self) -> Duration {
        match self.busy.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => self.born.elapsed().saturating_sub(Duration::from_millis(began - 1)),
        }
    }

    /// Gives it up: whoever still waits for the device asks it nothing more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Names what an error means: the card is gone, was changed, or failed at this request.
    fn trouble(&self, doing: Doing, at: u64, error: &io::Error) -> Trouble {
        let gone =
            matches!(error.raw_os_error(), Some(nix::libc::ENODEV | nix::libc::ENXIO | nix::libc::ENOMEDIUM));
        let fault = match doing {
            _ if !self.device.is_same() => Fault::Replaced,
            _ if gone || !self.device.answers() => Fault::Vanished,
            Doing::Reading => Fault::ReadError,
            Doing::Writing => Fault::WriteError,
            Doing::Syncing => Fault::SyncFailed,
        };
        Trouble { said: Some(error.to_string()), ..Trouble::new(fault).at(at) }
    }

    /// The blocks that were found to be wrong.
    pub fn bad(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
