//! The card writer: the agent on a host with card readers.
//!
//! It asks the controller for jobs, and believes it nothing else: which release may go on a card
//! is decided by the release's signature, checked with keys that lie in the agent's own folder,
//! and by the slots' rules there. What it has begun is in its journal before it happens, so that
//! a crash or a lost network neither writes a card twice nor loses a receipt.
//!
//! Its folder is a catalog without images: `bootwright.yaml` says where releases are and whose
//! signatures count, `writer.yaml` who it is, whom it asks, and what its slots may carry.

mod asking;
mod beating;
mod card;
mod folder;
mod journal;
mod key;
mod slot;

pub use folder::{EnrollReport, EnrollRequest, WriterSettings, enroll};

use crate::model::Result;
use crate::ops::Context;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Run the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// Its folder.
    pub folder: PathBuf,
    /// Stop once each slot has had one job, or there is none for it.
    pub once: bool,
    /// How long one request to a card may take.
    pub patience: Duration,
}

/// What an agent did until it was asked to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// How many receipts the controller has got.
    pub receipts: usize,
}

/// Does the jobs of all slots, each in a thread of its own, until somebody asks to stop.
///
/// # Errors
/// If the folder is not in order, or another agent runs on it. What goes wrong with a job is in
/// its receipt.
pub fn run(context: &Context, request: &RunRequest) -> Result<RunReport> {
    let folder = folder::Folder::open(context, &request.folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| crate::model::Failure::io("starting the runtime", &e))?;
    let asking = asking::Asking::new(&folder, runtime.handle().clone(), context)?;
    let done = std::thread::scope(|scope| {
        let slots: Vec<_> = folder
            .settings
            .slots
            .iter()
            .map(|slot| {
                let (folder, asking) = (&folder, &asking);
                scope.spawn(move || slot::Worker::new(context, folder, asking, slot, request).work())
            })
            .collect();
        slots.into_iter().map(|slot| slot.join()).collect::<Vec<_>>()
    });
    let mut receipts = 0;
    for slot in done {
        let bug = |_| crate::model::Failure::bug("a slot's thread ended early");
        receipts += slot.map_err(bug)??;
    }
    Ok(RunReport { receipts })
}
