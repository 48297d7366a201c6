//! A wish to stop, shared by everything that works on one request.

use crate::model::{Failure, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to stop. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everything that shares this to stop soon.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked to stop.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// # Errors
    /// [`Failure::cancelled`] once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_requested() { Err(Failure::cancelled()) } else { Ok(()) }
    }
}
