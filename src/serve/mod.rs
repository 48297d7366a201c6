//! What others ask of this host over HTTP: parse, call an operation, render.
//!
//! - [`writers`]: card writers ask the controller for jobs
//! - [`asu`]: routers ask for firmware, by the Attended Sysupgrade API

pub mod asu;
pub mod writers;

use crate::model::{Failure, Result};

/// What carries the answers to many at once.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime", &e))
}
