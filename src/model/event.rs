//! The one stream of progress that terminal, pages and programs render.
//!
//! Each event is one JSON object on a line, with `event` naming its kind. Fields are
//! only ever added.

use super::failure::Failure;
use super::name::{ImageName, Version};
use super::run::Phase;
use serde::Serialize;
use std::sync::Arc;

/// Something happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A run entered a phase.
    Phase {
        /// The image.
        image: ImageName,
        /// The phase.
        phase: Phase,
    },
    /// A piece of work began: a layer, a download, a boot.
    TaskStarted {
        /// Unique within the process.
        task: u64,
        /// What is done, lower case: `layer kernel`.
        label: String,
        /// How much there is to do, if known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// A piece of work went on.
    TaskProgress {
        /// The task.
        task: u64,
        /// How much is done.
        done: u64,
    },
    /// A piece of work ended.
    TaskFinished {
        /// The task.
        task: u64,
        /// The same label.
        label: String,
        /// How long it took.
        elapsed_ms: u64,
        /// What came of it, lower case: `cached`, `built, 12.3 MiB`, `failed`.
        outcome: String,
    },
    /// A line of a tool's output.
    Log {
        /// The tool.
        source: String,
        /// One line.
        line: String,
    },
    /// Something the user should know; the work goes on.
    Warning {
        /// What, on which object, and what to do.
        message: String,
    },
    /// A release was published.
    Published {
        /// The image.
        image: ImageName,
        /// The release.
        version: Version,
    },
    /// An image failed.
    Failed {
        /// The image.
        image: ImageName,
        /// Why.
        failure: Failure,
    },
}

/// What a task counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things: packages, files, boots.
    Items,
}

/// Where events go. Cloning is cheap; the default swallows them.
#[derive(Clone)]
pub struct Emitter(Arc<dyn Fn(Event) + Send + Sync>);

impl Default for Emitter {
    fn default() -> Self {
        Self(Arc::new(|_| {}))
    }
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Emitter")
    }
}

impl Emitter {
    /// Sends every event to `sink`, on whatever thread it happens.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Sends one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Warns of something.
    pub fn warn(&self, message: impl Into<String>) {
        self.emit(Event::Warning { message: message.into() });
    }

    /// Passes on one line of a tool's output.
    pub fn log(&self, source: &str, line: impl Into<String>) {
        self.emit(Event::Log { source: source.to_owned(), line: line.into() });
    }
}
