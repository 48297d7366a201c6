//! Squashfs modules: what the live system stacks when it boots. A large layer is a module of
//! its own, small neighbours share one, see `group`.
//!
//! mksquashfs 4.5.1 keeps whiteouts (character devices 0:0) and `trusted.overlay.opaque`,
//! and its output depends neither on the number of processors nor on the order of names on
//! disk. Later times are cut down to `SOURCE_DATE_EPOCH`, which excludes the options
//! `-mkfs-time` and `-all-time`.
//!
//! The kernel and its initramfs are left out: they lie beside the modules on the ISO.

mod group;

use super::derived::{self, Held};
use super::stack::Stack;
use crate::effects::files::{self, WorkFolder};
use crate::effects::{Cancel, Point, Process, Task, point};
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::settings::Compression;
use crate::model::spec::Size;
use crate::model::{Failure, Result};
use group::Group;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Raised when the options below change, so that modules of before are not taken for new ones.
const MODULE_FORMAT: u32 = 2;
/// Block size of `small`, in bytes: the largest that squashfs has.
const LARGE_BLOCK: &str = "1M";
/// Block size of the others, in bytes: squashfs's own default.
const USUAL_BLOCK: &str = "128K";

/// Neighbouring layers as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name on the ISO: `00-bootstrap.squashfs`.
    pub name: String,
    /// Where it is in the cache.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Keeps it from being pruned.
    pub held: Held,
}

/// Makes the modules that are not in the cache, bottom first, several at once.
///
/// # Errors
/// Class *host* if mksquashfs is missing or the disk is full, *cancelled* on request.
pub fn modules(
    stack: &Stack,
    compression: Compression,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Vec<Module>> {
    modules_of(stack, &group::groups(&stack.layers)?, compression, (events, cancel))
}

/// The whole stack as one module, from the cache or made, for live systems that stack none.
///
/// # Errors
/// As [`modules`].
pub fn flat(stack: &Stack, compression: Compression, events: &Emitter, cancel: &Cancel) -> Result<Module> {
    let mut made = modules_of(stack, &[group::flat(&stack.layers)], compression, (events, cancel))?;
    made.pop().ok_or_else(|| Failure::bug("no module was made"))
}

fn modules_of(
    stack: &Stack,
    groups: &[Group<'_>],
    compression: Compression,
    (events, cancel): (&Emitter, &Cancel),
) -> Result<Vec<Module>> {
    let folder = stack.cache.join("modules");
    let work = folder.join("work");
    WorkFolder::sweep(&work)?;
    let (mut held, mut missing) = (Vec::new(), Vec::new());
    for group in groups {
        match derived::cached::<u64>(&path_of(&folder, group, compression), events)? {
            Some((_, found)) => held.push(found),
            None => missing.push(group),
        }
    }
    // The largest first: the others then fill the gaps.
    missing.sort_by_key(|group| std::cmp::Reverse(group.size()));
    if !missing.is_empty() {
        let scratch = WorkFolder::new(&work, "squashfs")?;
        let how = How { folder: &folder, scratch: scratch.path(), compression };
        let made = Mutex::new(Vec::new());
        derived::in_parallel(&missing, |group| {
            let new = make(group, &how, events, cancel)?;
            made.lock().unwrap_or_else(PoisonError::into_inner).push(new);
            Ok(())
        })?;
        held.extend(made.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    let mut modules = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let path = path_of(&folder, group, compression);
        let (size, held) = derived::present(&path, events)?;
        modules.push(Module { name: format!("{i:02}-{}.squashfs", group.name()), path, size, held });
    }
    Ok(modules)
}

fn path_of(folder: &Path, group: &Group<'_>, compression: Compression) -> PathBuf {
    let how = match compression {
        Compression::Fast => "fast",
        Compression::Balanced => "balanced",
        Compression::Small => "small",
    };
    folder.join(format!("{}-{how}-{MODULE_FORMAT}.squashfs", group.id()))
}

/// What all modules of one run share.
struct How<'a> {
    folder: &'a Path,
    scratch: &'a Path,
    compression: Compression,
}

fn make(group: &Group<'_>, how: &How<'_>, events: &Emitter, cancel: &Cancel) -> Result<Held> {
    let task = Task::start(events, format!("squashfs {}", group.name()));
    let tree = group.tree(how.scratch)?;
    let made = how.scratch.join(format!("{}.squashfs", group.id()));
    let output = command(&tree, &made, group.epoch(), how)?.run(cancel)?;
    if !output.status.success() {
        return Err(output.failure().on(format!("module {}", group.name())));
    }
    point(Point::SquashfsMade)?;
    let (sha256, size) = files::digest_file(&made)?;
    let held = derived::keep(&made, &path_of(how.folder, group, how.compression), sha256, &size)?;
    task.finish(format!("made, {}", Size::from_bytes(size)));
    Ok(held)
}

fn command(tree: &Path, to: &Path, epoch: i64, how: &How<'_>) -> Result<Process> {
    let block = if how.compression == Compression::Small { LARGE_BLOCK } else { USUAL_BLOCK };
    let mut process = Process::new("mksquashfs")
        .args([tree, to])
        .args(["-noappend", "-no-progress", "-quiet", "-no-exports", "-xattrs"])
        .args(["-comp", "zstd", "-Xcompression-level", &how.compression.level().to_string(), "-b", block])
        .env("SOURCE_DATE_EPOCH", epoch.to_string());
    let beside = beside_the_modules(tree)?;
    if !beside.is_empty() {
        // Takes everything that follows, as names and not as patterns.
        process = process.arg("-e").args(beside);
    }
    Ok(process)
}

/// The kernels and initramfs images in a tree's `/boot`.
fn beside_the_modules(tree: &Path) -> Result<Vec<OsString>> {
    let boot = tree.join("boot");
    let reading = || format!("reading {}", boot.display());
    match std::fs::symlink_metadata(&boot) {
        Ok(meta) if meta.is_dir() => {}
        // A link could lead to the host's own kernels.
        Ok(_) => return Ok(Vec::new()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Failure::io(reading(), &e)),
    }
    let mut left_out = Vec::new();
    for child in std::fs::read_dir(&boot).during(reading)? {
        let child = child.during(reading)?;
        let name = child.file_name();
        let is_file = child.file_type().during(reading)?.is_file();
        let kernel = [b"vmlinuz-".as_slice(), b"initrd.img-"].iter().any(|p| name.as_bytes().starts_with(p));
        if is_file && kernel {
            let mut path = OsString::from("boot/");
            path.push(name);
            left_out.push(path);
        }
    }
    left_out.sort();
    Ok(left_out)
}
