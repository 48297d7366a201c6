//! The log: every event, and what the libraries say through `tracing`, as JSON lines in a file.

use crate::model::event::Event;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;

/// What is kept without `BOOTWRIGHT_LOG`.
const DEFAULT_FILTER: &str = "info";

/// Starts the log. `filter` is an `EnvFilter`: `bootwright=debug,reqwest=warn`.
///
/// # Errors
/// Class *host* if the file cannot be opened; *spec* if the filter is not understood.
pub fn start(path: &Path, filter: Option<&str>) -> Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT_FILTER)).map_err(|e| {
        Failure::spec(format!("BOOTWRIGHT_LOG: {e}")).hint("Write for instance bootwright=debug.")
    })?;
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .during(|| format!("opening {}", path.display()))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(Mutex::new(file))
        .try_init()
        .map_err(|e| Failure::bug(format!("starting the log: {e}")))
}

/// Keeps one event. Field names are those of the event stream.
pub fn record(event: &Event) {
    match event {
        Event::Phase { image, phase } => tracing::info!(%image, ?phase, "phase"),
        Event::TaskStarted { task, label, .. } => tracing::info!(task, label, "task started"),
        Event::TaskProgress { task, done } => tracing::trace!(task, done, "task progress"),
        Event::TaskFinished { task, label, elapsed_ms, outcome } => {
            tracing::info!(task, label, elapsed_ms, outcome, "task finished");
        }
        Event::Log { source, line } => tracing::debug!(source, line, "tool"),
        Event::Warning { message } => tracing::warn!("{message}"),
        Event::Published { image, version } => tracing::info!(%image, %version, "published"),
        Event::Failed { image, failure } => {
            tracing::error!(%image, code = failure.code.as_str(), class = %failure.class, details = failure.details, "{failure}");
        }
    }
}
