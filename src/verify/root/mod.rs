//! Inspects root file systems that come as archives: OCI image and plain archive.
//!
//! They are unpacked the way their users unpack them, and looked at from inside a sandbox
//! that has no network. An image is hostile until it has passed: nothing here follows a
//! symbolic link of it on the host.

mod databases;
mod inspect;
pub(super) mod unpack;

use super::{Options, same_bytes};
use crate::effects::files::WorkFolder;
use crate::effects::{Cancel, Point, Process, Task, point};
use crate::model::event::Emitter;
use crate::model::evidence::{Check, Evidence, Verdict};
use crate::model::{Artifact, Digest, FailureClass, Result};
use inspect::Root;
use std::time::Instant;

/// Unpacks an OCI archive with `skopeo` and `umoci`, inspects it and starts a process in it.
///
/// # Errors
/// Class *host* if a tool is missing or the disk is full; *cancelled* on request. That the
/// image was refused is in the evidence, not an error.
pub fn oci(
    artifact: &Artifact,
    build_id: &Digest,
    options: &Options,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Evidence> {
    let tools = [version_of("skopeo", cancel)?, version_of("umoci", cancel)?];
    examine(
        artifact,
        build_id,
        options,
        events,
        tools.to_vec(),
        |archive, folder| unpack::oci(archive, folder, cancel).map(|(root, command)| (root, Some(command))),
        cancel,
    )
}

/// Unpacks a `.tar.zst` of a root file system, inspects it and starts a process in it.
///
/// # Errors
/// As [`oci`].
pub fn rootfs(
    artifact: &Artifact,
    build_id: &Digest,
    options: &Options,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Evidence> {
    examine(
        artifact,
        build_id,
        options,
        events,
        Vec::new(),
        |archive, folder| unpack::tar_zst(archive, folder, cancel).map(|root| (root, None)),
        cancel,
    )
}

/// An unpacked root, and the command that the image starts by default, where it has one.
type Unpacked = (std::path::PathBuf, Option<Vec<String>>);

fn examine(
    artifact: &Artifact,
    build_id: &Digest,
    options: &Options,
    events: &Emitter,
    environment: Vec<String>,
    unpack: impl FnOnce(&std::path::Path, &std::path::Path) -> Result<Unpacked>,
    cancel: &Cancel,
) -> Result<Evidence> {
    let started = options.clock.now();
    let archive = same_bytes(artifact)?;
    let task = Task::start(events, format!("inspect {}", artifact.kind.suffix()));
    let folder = WorkFolder::new(&options.scratch, "inspect")?;
    let began = Instant::now();
    let mut checks = Vec::new();
    match unpack(&archive, folder.path()) {
        Ok((path, command)) => {
            checks.push(check("unpack", began, inspect::Judgement::default()));
            point(Point::RootUnpacked)?;
            let root = Root {
                path: &path,
                architecture: options.tools.architecture,
                build_id,
                command: command.as_deref(),
                scratch: folder.path(),
                cancel,
            };
            for (name, look) in Root::LOOKS {
                let began = Instant::now();
                if name == "command" && command.is_none() {
                    continue;
                }
                checks.push(check(name, began, look(&root)?));
            }
        }
        // The tools could not read it: that is the image's.
        Err(failure) if matches!(failure.class, FailureClass::Verify | FailureClass::Bug) => {
            let words = failure.details.map(|d| format!(": {d}")).unwrap_or_default();
            let reasons = vec![format!("{}{words}", failure.message)];
            checks.push(check("unpack", began, inspect::Judgement { reasons, findings: Vec::new() }));
        }
        Err(failure) => return Err(failure),
    }
    let refused = checks.iter().filter(|c| c.verdict != Verdict::Passed).count();
    task.finish(if refused == 0 { "passed".to_owned() } else { format!("{refused} checks refused") });
    Ok(Evidence { artifact: artifact.digest, kind: artifact.kind, environment, started, checks })
}

pub(super) fn check(name: &str, began: Instant, judgement: inspect::Judgement) -> Check {
    let verdict = match judgement.reasons {
        reasons if reasons.is_empty() => Verdict::Passed,
        reasons => Verdict::Refused { reasons },
    };
    let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Check {
        name: name.to_owned(),
        boot: None,
        verdict,
        timings_ms: vec![(name.to_owned(), elapsed)],
        findings: judgement.findings,
        files: Vec::new(),
    }
}

fn version_of(tool: &str, cancel: &Cancel) -> Result<String> {
    let output = Process::new(tool).arg("--version").check(cancel)?;
    Ok(output.text().lines().next().unwrap_or(tool).trim().to_owned())
}
