//! The host itself: rights, kernel, room, memory.

use super::{HostCheck, ToolFound, ToolState, Verdict, warn};
use crate::effects::host::available_of;
use crate::effects::{Sandbox, files};
use crate::model::spec::Size;
use crate::model::{Failure, FailureClass, Result};
use crate::ops::Context;
use std::path::Path;
use std::time::Duration;

/// What one image needs while it is built: layers, artifacts and their staging.
const ROOM_NEEDED: u64 = 8 << 30;
/// Below this a build of the smallest image has failed before.
const ROOM_LEAST: u64 = 4 << 30;
/// A build and the virtual machine that proves it.
const MEMORY_NEEDED: u64 = 3 << 30;
/// The virtual machine alone.
const MEMORY_LEAST: u64 = 3 << 29;

pub(super) fn look(context: &Context, folder: &Path, tools: &[ToolFound]) -> Result<Vec<HostCheck>> {
    let bwrap = tools.iter().any(|t| t.name == "bwrap" && matches!(t.state, ToolState::Found { .. }));
    Ok(vec![
        root(),
        room(folder),
        memory(std::fs::read_to_string("/proc/meminfo").ok().as_deref()),
        sandbox(context, folder, bwrap)?,
        device(
            "kvm",
            "/dev/kvm",
            "there; whether a kernel comes up with it is probed at the first boot",
            "not there: virtual machines are emulated, which takes minutes instead of seconds",
        ),
        device(
            "loop devices",
            "/dev/loop-control",
            "there",
            "not there: disk images cannot be looked into by mounting them",
        ),
    ])
}

fn check(name: &str, verdict: Verdict, finding: impl Into<String>) -> HostCheck {
    HostCheck { name: name.to_owned(), verdict, finding: finding.into(), hint: None }
}

fn hinted(check: HostCheck, hint: &str) -> HostCheck {
    HostCheck { hint: Some(hint.to_owned()), ..check }
}

fn root() -> HostCheck {
    if nix::unistd::geteuid().is_root() {
        check("rights", Verdict::Good, "running as root")
    } else {
        hinted(
            check("rights", Verdict::Bad, "not running as root"),
            "Building mounts overlays and keeps the owners of files; run as root. Reading commands need no rights.",
        )
    }
}

fn room(folder: &Path) -> HostCheck {
    // The folder may not be there yet: its nearest parent is on the same file system.
    let Some(there) = folder.ancestors().find(|p| p.is_dir()) else {
        return check("disk", Verdict::Bad, format!("{}: no such folder", folder.display()));
    };
    match files::free_space(there) {
        Ok(free) => {
            let finding = format!("{} free at {}", Size::from_bytes(free), there.display());
            let hint = "Free some space, or set cache.path in bootwright.yaml to a larger file system.";
            match free {
                ROOM_NEEDED.. => check("disk", Verdict::Good, finding),
                ROOM_LEAST.. => hinted(check("disk", Verdict::Poor, finding), hint),
                _ => hinted(check("disk", Verdict::Bad, finding), hint),
            }
        }
        Err(failure) => check("disk", Verdict::Bad, failure.message),
    }
}

/// Judges what `/proc/meminfo` says.
fn memory(meminfo: Option<&str>) -> HostCheck {
    let available = meminfo.and_then(available_of);
    let hint =
        "A build takes about 1 GiB, the virtual machine that proves it as much as verify.memoryMiB says.";
    match available {
        None => check("memory", Verdict::Poor, "the kernel does not say how much is available"),
        Some(bytes) => {
            let finding = format!("{} available", Size::from_bytes(bytes));
            match bytes {
                MEMORY_NEEDED.. => check("memory", Verdict::Good, finding),
                MEMORY_LEAST.. => hinted(check("memory", Verdict::Poor, finding), hint),
                _ => hinted(check("memory", Verdict::Bad, finding), hint),
            }
        }
    }
}

/// Enters a sandbox on an overlay, writes a file there and looks whether it ended up in
/// the upper folder: exactly what a build step does.
fn sandbox(context: &Context, folder: &Path, bwrap: bool) -> Result<HostCheck> {
    let name = "sandbox";
    if !bwrap {
        return Ok(hinted(
            check(name, Verdict::Bad, "bwrap is missing, so nothing could be tried"),
            "Run `bootwright doctor --install`.",
        ));
    }
    if !nix::unistd::geteuid().is_root() {
        return Ok(check(name, Verdict::Poor, "not tried: only root may mount an overlay"));
    }
    match try_sandbox(context, folder) {
        Ok(()) => Ok(check(name, Verdict::Good, "an overlay was mounted and a process ran on it, closed in")),
        Err(failure) if failure.class == FailureClass::Cancelled => Err(failure),
        Err(failure) => {
            let details = failure.details.as_deref().and_then(|d| d.lines().last()).unwrap_or_default();
            let colon = if details.is_empty() { "" } else { ": " };
            Ok(hinted(
                check(name, Verdict::Bad, format!("{}{colon}{details}", failure.message)),
                "The kernel needs overlayfs and namespaces, the process CAP_SYS_ADMIN, and the folder must not \
                 be on an overlay itself: in a container, run privileged and put the cache on a volume.",
            ))
        }
    }
}

fn try_sandbox(context: &Context, folder: &Path) -> Result<()> {
    let there = folder.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/"));
    let scratch = tempfile::Builder::new()
        .prefix(".bootwright-doctor-")
        .tempdir_in(there)
        .map_err(|e| Failure::io(format!("making a folder in {}", there.display()), &e))?;
    let mut sandbox = Sandbox::new(&[], scratch.path())?;
    for part in ["/usr", "/bin", "/lib", "/lib64"] {
        if Path::new(part).is_dir() {
            sandbox = sandbox.bind(part, part);
        }
    }
    sandbox
        .process("/usr/bin/touch")?
        .arg("/written")
        .timeout(Duration::from_secs(30))
        .check(&context.cancel)?;
    if !sandbox.upper().join("written").is_file() {
        return Err(Failure::host("a file written on the overlay did not end up in its upper folder"));
    }
    let path = scratch.path().to_owned();
    if let Err(e) = scratch.close() {
        warn(context, format!("removing {}: {e}", path.display()));
    }
    Ok(())
}

fn device(name: &str, path: &str, there: &str, missing: &str) -> HostCheck {
    if Path::new(path).exists() {
        check(name, Verdict::Good, there)
    } else {
        check(name, Verdict::Poor, missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From `cat /proc/meminfo`, the first three lines.
    const MEMINFO: &str =
        "MemTotal:       24689764 kB\nMemFree:        21284496 kB\nMemAvailable:   24117128 kB\n";

    #[test]
    fn memory_is_judged_by_what_is_available() {
        assert_eq!(memory(Some(MEMINFO)).verdict, Verdict::Good);
        assert_eq!(memory(Some(MEMINFO)).finding, "23.0 GiB available");
        assert_eq!(memory(Some("MemAvailable: 2097152 kB\n")).verdict, Verdict::Poor);
        assert_eq!(memory(Some("MemAvailable: 1000 kB\n")).verdict, Verdict::Bad);
        for unknown in
            [None, Some(""), Some("MemAvailable: x kB"), Some("MemAvailable: 99999999999999999999 kB")]
        {
            assert_eq!(memory(unknown).verdict, Verdict::Poor, "{unknown:?}");
        }
    }

    #[test]
    fn room_is_judged_where_the_folder_will_be() {
        let check = room(Path::new("/no/such/folder"));
        assert!(check.finding.ends_with(" free at /"), "{check:?}");
    }

    #[test]
    fn without_bwrap_the_sandbox_is_bad_and_says_what_to_do() {
        let check = sandbox(&Context::default(), Path::new("/"), false).unwrap();
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.hint.unwrap().contains("doctor --install"));
    }
}
