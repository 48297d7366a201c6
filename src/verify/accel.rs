//! Whether this host's KVM can really boot a kernel.
//!
//! A `/dev/kvm` that opens proves little: under some nested hypervisors firmware and boot
//! loader run and Linux never comes up. So a kernel is booted once with KVM, without any
//! root file system, and has to get as far as missing it. What came of it is remembered
//! for this host, this QEMU and this kernel.

use super::host::Host;
use super::machine::Accelerator;
use super::{Options, Tools};
use crate::effects::files::{WorkFolder, digest_file, read_if_exists, write_atomic};
use crate::effects::{Cancel, Process, Task};
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::spec::Architecture;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use crate::tables::{self, Live};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel's last words when it came up and found no root file system.
const CAME_UP: &str = "Kernel panic - not syncing: VFS: Unable to mount root fs";
/// With a KVM that works it takes two seconds.
const LIMIT: Duration = Duration::from_secs(15);

/// The choice of an accelerator.
#[derive(Clone, Debug)]
pub enum Acceleration {
    /// KVM if it has booted a kernel here, else TCG.
    Auto {
        /// The file that remembers what came of it.
        cache: PathBuf,
    },
    /// Always this one.
    Always(Accelerator),
}

impl Acceleration {
    /// Decides where there is no kernel to try KVM with: one that hangs would be held against the image.
    pub(super) fn without_kernel(&self) -> Accelerator {
        match self {
            Self::Always(accelerator) => *accelerator,
            Self::Auto { .. } => Accelerator::Tcg,
        }
    }

    /// Decides for an ISO.
    pub(super) fn choose(
        &self,
        medium: &Path,
        options: &Options,
        host: &Host,
        events: &Emitter,
        cancel: &Cancel,
    ) -> Result<Accelerator> {
        let cache = match self {
            Self::Always(accelerator) => return Ok(*accelerator),
            Self::Auto { .. } if options.tools.architecture.as_str() != std::env::consts::ARCH => {
                return Ok(Accelerator::Tcg);
            }
            Self::Auto { .. } if !kvm_opens() => return Ok(Accelerator::Tcg),
            Self::Auto { cache } => cache,
        };
        let folder = WorkFolder::new(&options.scratch, "kernel")?;
        let kernel = folder.path().join("vmlinuz");
        if let Err(failure) = extract_kernel(medium, &kernel, cancel) {
            if failure.class == FailureClass::Cancelled {
                return Err(failure);
            }
            events.warn(format!("no kernel to try KVM with ({failure}): using TCG, which is slower"));
            return Ok(Accelerator::Tcg);
        }
        probe(cache, &kernel, &options.tools, &host.qemu, events, cancel)
    }
}

fn kvm_opens() -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// How the guest of an ISO's instructions are carried out on this host, for a caller that
/// boots it for a person.
///
/// # Errors
/// Class *host* if QEMU does not run.
pub fn for_medium(
    medium: &Path,
    options: &Options,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Accelerator> {
    let host = super::host::look(&options.tools, cancel)?;
    options.acceleration.choose(medium, options, &host, events, cancel)
}

/// Copies an ISO's kernel out of it, without mounting anything.
///
/// # Errors
/// With xorriso's words, if there is none where a live system has it.
pub fn extract_kernel(iso: &Path, to: &Path, cancel: &Cancel) -> Result<()> {
    let extract = |live: &Live| {
        Process::new("xorriso")
            .args(["-osirrox", "on", "-indev"])
            .arg(iso)
            .args(["-extract", &format!("/{}", live.kernel)])
            .arg(to)
            .timeout(Duration::from_mins(1))
            .check(cancel)
            .map(|_| ())
    };
    let mut result = Err(Failure::not_found("no live system is known"));
    // live-boot's first: most ISOs are.
    let (usual, others): (Vec<&Live>, Vec<&Live>) = tables::live_systems().partition(|live| live.stacked);
    for live in usual.into_iter().chain(others) {
        result = extract(live);
        if result.as_ref().map_or_else(|f| f.class == FailureClass::Cancelled, |()| true) {
            break;
        }
    }
    result
}

/// What was found out, for what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// The host's kernel and processor, QEMU and the kernel that was booted.
    host: Digest,
    /// Whether that kernel came up.
    kvm: bool,
}

/// Boots `kernel` with KVM, or remembers how that went before (in the file `cache`).
///
/// # Errors
/// Class *host* if files cannot be read or written; *cancelled* on request. A KVM that
/// does not work is no error.
pub fn probe(
    cache: &Path,
    kernel: &Path,
    tools: &Tools,
    qemu_version: &str,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Accelerator> {
    if !kvm_opens() {
        return Ok(Accelerator::Tcg);
    }
    let (kernel_digest, _) = digest_file(kernel)?;
    let host = Digest::of_json(&(this_host()?, qemu_version, kernel_digest));
    if let Some(known) = recall(cache)?.filter(|r| r.host == host) {
        return Ok(choice(known.kvm));
    }
    let task = Task::start(events, "try KVM");
    let kvm = boots(kernel, tools, Accelerator::Kvm, LIMIT, cancel)?;
    task.finish(if kvm { "a kernel came up" } else { "no kernel came up: using TCG, which is slower" });
    let text = serde_json::to_vec(&Remembered { host, kvm }).unwrap_or_default();
    write_atomic(cache, &text, 0o644)?;
    Ok(choice(kvm))
}

fn choice(kvm: bool) -> Accelerator {
    if kvm { Accelerator::Kvm } else { Accelerator::Tcg }
}

/// A file that is damaged is forgotten: it is only a cache.
fn recall(cache: &Path) -> Result<Option<Remembered>> {
    let bytes = read_if_exists(cache, 1 << 16)?;
    Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()))
}

/// The host's kernel and processor.
fn this_host() -> Result<(String, String)> {
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").during(|| "reading the kernel's release")?;
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").during(|| "reading /proc/cpuinfo")?;
    let model = cpuinfo.lines().find(|l| l.starts_with("model name")).unwrap_or_default();
    Ok((release.trim().to_owned(), model.to_owned()))
}

/// Whether a kernel comes up with an accelerator within `limit`.
fn boots(
    kernel: &Path,
    tools: &Tools,
    accelerator: Accelerator,
    limit: Duration,
    cancel: &Cancel,
) -> Result<bool> {
    let (board, console) = match tools.architecture {
        Architecture::X86_64 => ("q35", "ttyS0"),
        Architecture::Aarch64 => ("virt", "ttyAMA0"),
    };
    let run = Process::new(&tools.qemu)
        .args(["-no-user-config", "-nodefaults", "-machine", board, "-m", "512", "-nic", "none"])
        .args(accelerator.arguments(tools.architecture, 1))
        .args(["-display", "none", "-serial", "stdio", "-no-reboot"])
        .args(["-append", &format!("console={console} panic=-1"), "-kernel"])
        .arg(kernel)
        .timeout(limit)
        .run(cancel);
    match run {
        Ok(output) => Ok(output.text().contains(CAME_UP)),
        Err(failure) if failure.code == ErrorCode::Timeout => Ok(false),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_memory_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("a.json");
        assert_eq!(recall(&cache).unwrap(), None);
        for bad in ["", "{", "{\"kvm\":true}", "[]"] {
            std::fs::write(&cache, bad).unwrap();
            assert_eq!(recall(&cache).unwrap(), None, "{bad}");
        }
    }

    #[test]
    fn what_was_found_is_remembered_for_this_kernel_only() {
        if !kvm_opens() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (cache, kernel) = (folder.path().join("a.json"), folder.path().join("vmlinuz"));
        std::fs::write(&kernel, "no kernel at all").unwrap();
        let ask = || {
            let tools = Tools::default();
            probe(&cache, &kernel, &tools, "7.2", &Emitter::default(), &Cancel::default()).unwrap()
        };
        assert_eq!(ask(), Accelerator::Tcg);
        let known = recall(&cache).unwrap().unwrap();
        assert!(!known.kvm);
        write_atomic(&cache, &serde_json::to_vec(&Remembered { kvm: true, ..known }).unwrap(), 0o644)
            .unwrap();
        assert_eq!(ask(), Accelerator::Kvm);
        std::fs::write(&kernel, "another one").unwrap();
        assert_eq!(ask(), Accelerator::Tcg);
    }
}
