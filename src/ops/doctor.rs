//! What this host needs, has and lacks.
//!
//! Whether a thing works is found out by using it: the sandbox is entered, the overlay
//! is mounted. Only KVM is not tried here, because only booting with it tells.

mod host;
mod install;
mod tools;

pub use tools::{ELSEWHERE, Probe, SPECIAL, Special, TOOLS, Tool, packages};

use super::workspace::Workspace;
use super::{CatalogRef, Context};
use crate::effects::Task;
use crate::model::{Event, Result};
use crate::tables::{self, Manager};
use serde::Serialize;
use std::path::PathBuf;

/// Look at this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorRequest {
    /// The folder that caches and layers will be in: overlayfs and free space are tried there.
    pub folder: PathBuf,
    /// Whether missing packages are installed.
    pub install: bool,
}

/// What this host has and lacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DoctorReport {
    /// Whether everything that a build, its proof and its release need is there.
    pub ready: bool,
    /// The tools, in the order of their use.
    pub tools: Vec<ToolFound>,
    /// The host itself.
    pub host: Vec<HostCheck>,
    /// The packages that were installed just now, sorted.
    pub installed: Vec<String>,
    /// The packages that would cure what is missing, sorted.
    pub missing_packages: Vec<String>,
}

/// One tool as it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolFound {
    /// The program or file.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// The Debian package that has it, or where it says how to get it.
    pub package: String,
    /// The oldest version that will do.
    pub minimum: Option<String>,
    /// How it stands.
    #[serde(flatten)]
    pub state: ToolState,
}

/// How a tool stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ToolState {
    /// It will do.
    Found {
        /// Where it is.
        path: PathBuf,
        /// Its version, if it says one.
        version: Option<String>,
    },
    /// It is not there.
    Missing,
    /// It is not there, and no spec here needs it.
    NotNeeded,
    /// It is there and older than needed.
    TooOld {
        /// Where it is.
        path: PathBuf,
        /// Its version.
        version: String,
    },
}

/// One thing about the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCheck {
    /// What was looked at: `overlayfs`.
    pub name: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do.
    pub hint: Option<String>,
}

/// How one thing about the host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It will do.
    Good,
    /// Builds work, slower or with less.
    Poor,
    /// Builds will fail.
    Bad,
}

/// Looks at this host and, when asked, installs what is missing.
///
/// # Errors
/// Class *host* if an installation fails; what is missing otherwise is in the report.
pub fn doctor(context: &Context, request: DoctorRequest) -> Result<DoctorReport> {
    let mut tools = look_at_tools(context)?;
    let mut installed = Vec::new();
    let missing = missing_packages(&tools);
    if request.install && !missing.is_empty() {
        install::install(context, &missing)?;
        installed = missing;
        tools = look_at_tools(context)?;
    }
    // Through its components, so that `.` does not show.
    let folder: PathBuf = context.cwd.join(&request.folder).components().collect();
    let host = host::look(context, &folder, &tools)?;
    let missing_packages = missing_packages(&tools);
    let ready = tools.iter().all(|tool| !tool.is_missing()) && host.iter().all(|c| c.verdict != Verdict::Bad);
    Ok(DoctorReport { ready, tools, host, installed, missing_packages })
}

impl ToolFound {
    fn is_missing(&self) -> bool {
        matches!(self.state, ToolState::Missing | ToolState::TooOld { .. })
    }
}

fn look_at_tools(context: &Context) -> Result<Vec<ToolFound>> {
    let task = Task::with_total(
        &context.events,
        "looking at tools",
        Some((TOOLS.len() + SPECIAL.len()) as u64),
        crate::model::event::Unit::Items,
    );
    let asked = managers(context);
    let special = SPECIAL.iter().map(|s| (&s.tool, s.managers.iter().any(|manager| asked.contains(manager))));
    let mut found = Vec::new();
    for (tool, needed) in TOOLS.iter().map(|tool| (tool, true)).chain(special) {
        let state = match tool.look(&context.cancel)? {
            ToolState::Missing if !needed => ToolState::NotNeeded,
            state => state,
        };
        found.push(ToolFound {
            name: tool.probe.name().to_owned(),
            purpose: tool.purpose.to_owned(),
            package: tool.package.to_owned(),
            minimum: tool.minimum.map(str::to_owned),
            state,
        });
        task.advance(1);
    }
    let missing = found.iter().filter(|tool| tool.is_missing()).count();
    task.finish(if missing == 0 { "all there".to_owned() } else { format!("{missing} missing") });
    Ok(found)
}

/// The package managers of the images that the catalog here asks for; none where there is no
/// catalog that can be read.
fn managers(context: &Context) -> Vec<Manager> {
    let here = CatalogRef { location: ".".to_owned(), rev: None };
    let Ok(workspace) = Workspace::open(context, &here) else { return Vec::new() };
    workspace.catalog.images.values().map(|image| tables::of(image.spec.spec.base).manager).collect()
}

fn missing_packages(tools: &[ToolFound]) -> Vec<String> {
    let missing = tools.iter().filter(|tool| tool.is_missing() && tool.package != ELSEWHERE);
    let names: std::collections::BTreeSet<_> = missing.map(|t| t.package.clone()).collect();
    names.into_iter().collect()
}

/// Says through the event stream what could not be done while the work goes on.
fn warn(context: &Context, message: String) {
    context.events.emit(Event::Warning { message });
}
