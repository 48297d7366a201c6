//! Boots and inspects artifacts, and gathers the evidence.
//!
//! A boot passes only on the image's own distinctive signal: an answer with a nonce of
//! ours and the build id, from a system without failed units, after a dwell time, and
//! once more after one clean reboot. A login prompt, a quiet screen or a plain power-off
//! prove nothing. What an image did and what the virtual machine did are told apart:
//! only the former is ever held against the image.

pub mod accel;
mod boot;
mod compare;
mod declared;
mod dialogue;
mod disk;
mod firmware;
mod host;
pub mod interactive;
mod judge;
mod machine;
pub mod picture;
pub mod qmp;
pub mod root;
pub mod serial;
mod session;

pub use accel::Acceleration;
pub use compare::difference;
pub use firmware::{FIRMWARE_CHECKS, Promised, firmware, root_of_firmware};
pub use interactive::{Screen, interactive};
pub use machine::{Accelerator, Tools};
pub use root::{oci, rootfs};

use crate::effects::files::{WorkFolder, digest_file};
use crate::effects::{Cancel, Clock};
use crate::model::check;
use crate::model::event::Emitter;
use crate::model::evidence::{Check, Evidence};
use crate::model::failure::IoContext;
use crate::model::probe::Nonce;
use crate::model::spec::{BootMode, Verify};
use crate::model::{Artifact, Digest, ErrorCode, Failure, FailureClass, Result};
use judge::Judgement;
use session::{Expected, Session};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The field of a spec that shows something while the system starts.
const SHOWN_AT_START: &str = "spec.customization.bootloader.plymouth";

/// How verification is carried out on this host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where machines and unpacked images live while they are looked at.
    pub scratch: PathBuf,
    /// Where serial logs, pictures and results are kept.
    pub evidence: PathBuf,
    /// How many machines may run at once; fewer do when memory is short.
    pub jobs: usize,
    /// How the guests' instructions are carried out.
    pub acceleration: Acceleration,
    /// QEMU and firmware.
    pub tools: Tools,
    /// The time that evidence is dated with.
    pub clock: Clock,
}

impl Options {
    /// Everything below one folder, one machine at a time, the host's usual tools.
    pub fn below(folder: &Path) -> Self {
        Self {
            scratch: folder.join("scratch"),
            evidence: folder.join("evidence"),
            jobs: 1,
            acceleration: Acceleration::Auto { cache: folder.join("accelerator.json") },
            tools: Tools::default(),
            clock: Clock::System,
        }
    }
}

/// What an image has to show.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// How it is started, and for how long it is looked at.
    pub verify: &'a Verify,
    /// What its settings have to show, in the order in which the image carries them.
    pub checks: &'a [check::Check],
}

/// Boots an ISO in every way that its spec asks for. That one of them did not pass is in
/// the evidence, not an error.
///
/// # Errors
/// Class *host* if this host cannot boot anything or the evidence cannot be written;
/// *cancelled* on request; *upstream* if the file is not the artifact.
pub fn iso(
    artifact: &Artifact,
    build_id: &Digest,
    wish: Wish<'_>,
    options: &Options,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Evidence> {
    let medium = same_bytes(artifact)?;
    boots(artifact, build_id, wish, (options, &medium), (events, cancel), |mode, boot| {
        boot(mode, machine::Medium::Disc(&medium))
    })
}

/// Boots a disk image in every way that its spec asks for, each time from a copy of its own
/// that the system writes to: what the second boot finds is what the first one left.
///
/// # Errors
/// As [`iso`].
pub fn disk(
    artifact: &Artifact,
    build_id: &Digest,
    wish: Wish<'_>,
    options: &Options,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Evidence> {
    let packed = same_bytes(artifact)?;
    boots(artifact, build_id, wish, (options, &packed), (events, cancel), |mode, boot| {
        let folder = WorkFolder::new(&options.scratch, &format!("disk-{}", mode.as_str()))?;
        let image = folder.path().join("disk.img");
        disk::unpack(&packed, &image, cancel)?;
        disk::add_room(&image)?;
        boot(mode, machine::Medium::Disk(&image))
    })
}

/// One boot of a medium.
type BootOf<'a> = &'a (dyn Fn(BootMode, machine::Medium<'_>) -> Result<Check> + Sync);

/// Carries out all boots; `with_medium` brings the medium of each.
fn boots(
    artifact: &Artifact,
    build_id: &Digest,
    wish: Wish<'_>,
    (options, file): (&Options, &Path),
    (events, cancel): (&Emitter, &Cancel),
    with_medium: impl Fn(BootMode, BootOf<'_>) -> Result<Check> + Sync,
) -> Result<Evidence> {
    let Wish { verify: wish, checks: declared } = wish;
    let started = options.clock.now();
    let host = host::look(&options.tools, cancel)?;
    let accelerator = options.acceleration.choose(file, options, &host, events, cancel)?;
    let modes = each_once(&wish.boot);
    let machines = host::machines(options.jobs, wish.memory_mib)?.min(modes.len());
    let processors = accelerator.processors(host::cores(), machines);
    let mut environment = host.words();
    environment.push(format!("accelerator: {}", accelerator.as_str()));
    environment.push(format!("processors: {processors}"));
    environment.extend(host::firmware_words(&options.tools, &modes));
    let shows_start = declared.iter().any(|check| check.field == SHOWN_AT_START);
    let one = |mode: BootMode, medium: machine::Medium<'_>| {
        let session = Session::new(Expected {
            build_id,
            mode,
            wish,
            checks: declared,
            live: matches!(medium, machine::Medium::Disc(_)),
            nonces: [nonce()?, nonce()?],
        });
        boot::Boot {
            config: machine::Config {
                tools: &options.tools,
                medium,
                mode,
                memory_mib: wish.memory_mib,
                accelerator,
                processors,
                sandbox: host.sandbox,
            },
            name: mode.as_str(),
            shows_start,
            scratch: &options.scratch,
            evidence: &options.evidence,
        }
        .run(Box::new(session), events, cancel)
    };
    let checks = at_once(machines, &modes, |mode| with_medium(mode, &one))?;
    Ok(Evidence { artifact: artifact.digest, kind: artifact.kind, environment, started, checks })
}

/// A nonce from the kernel's random numbers.
fn nonce() -> Result<Nonce> {
    Ok(Nonce::new(crate::effects::random::bytes()?))
}

/// The file's absolute path, if it still is what the artifact says.
fn same_bytes(artifact: &Artifact) -> Result<PathBuf> {
    let path = &artifact.path;
    let (digest, _) = digest_file(path)?;
    if digest != artifact.digest {
        return Err(Failure::new(
            ErrorCode::Untrusted,
            FailureClass::Host,
            format!("{} is {digest}, it was built as {}", path.display(), artifact.digest),
        )
        .hint("Something changed the file after it was built; build it again."));
    }
    path.canonicalize().during(|| format!("looking at {}", path.display()))
}

fn each_once(modes: &[BootMode]) -> Vec<BootMode> {
    let mut once = Vec::new();
    for mode in modes {
        if !once.contains(mode) {
            once.push(*mode);
        }
    }
    once
}

/// Carries out `work` for every mode, so many at once, and keeps their order.
fn at_once(
    jobs: usize,
    modes: &[BootMode],
    work: impl Fn(BootMode) -> Result<Check> + Sync,
) -> Result<Vec<Check>> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..modes.len()).collect());
    let done: Mutex<Vec<(usize, Result<Check>)>> = Mutex::new(Vec::new());
    // A thread that panicked must not take the others' results with it.
    let next = || waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(i) = next() {
                    let check = work(modes[i]);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, check));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, check)| check).collect()
}
