//! One squashfs module for each layer: what the live system stacks when it boots.
//!
//! mksquashfs 4.5.1 keeps whiteouts (character devices 0:0) and `trusted.overlay.opaque`,
//! and its output depends neither on the number of processors nor on the order of names on
//! disk. Later times are cut down to `SOURCE_DATE_EPOCH`, which excludes the options
//! `-mkfs-time` and `-all-time`.
//!
//! The kernel and its initramfs are left out: they lie beside the modules on the ISO.

use super::stack::{self, Stack, StackedLayer};
use super::union;
use crate::effects::files::{self, WorkFolder};
use crate::effects::{Cancel, Process, Task};
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::settings::Compression;
use crate::model::spec::Size;
use crate::model::{Digest, Failure, Result};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Raised when the options below change, so that modules of before are not taken for new ones.
const MODULE_FORMAT: u32 = 1;
/// Block size of `small`, in bytes: the largest that squashfs has.
const LARGE_BLOCK: &str = "1M";
/// Block size of the others, in bytes: squashfs's own default.
const USUAL_BLOCK: &str = "128K";

/// One layer as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name on the ISO: `00-bootstrap.squashfs`.
    pub name: String,
    /// Where it is in the cache.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// What is written beside a module when it is complete.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    sha256: Digest,
    size: u64,
}

/// Makes the modules of all layers that are not in the cache, bottom first, several at once.
///
/// # Errors
/// Class *host* if mksquashfs is missing or the disk is full, *cancelled* on request.
pub fn modules(
    stack: &Stack,
    compression: Compression,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Vec<Module>> {
    let folder = stack.cache.join("modules");
    let work = folder.join("work");
    WorkFolder::sweep(&work)?;
    let missing: Vec<&StackedLayer> = {
        let mut missing = Vec::new();
        for layer in &stack.layers {
            if cached(&path_of(&folder, layer, compression))?.is_none() {
                missing.push(layer);
            }
        }
        // The largest first: the others then fill the gaps.
        missing.sort_by_key(|layer| std::cmp::Reverse(layer.size));
        missing
    };
    if !missing.is_empty() {
        let scratch = WorkFolder::new(&work, "squashfs")?;
        make_all(&missing, &folder, scratch.path(), stack.epoch, compression, events, cancel)?;
    }
    let mut modules = Vec::new();
    for (i, layer) in stack.layers.iter().enumerate() {
        let path = path_of(&folder, layer, compression);
        let seal = cached(&path)?.ok_or_else(|| {
            Failure::host(format!("{} vanished from the cache", path.display()))
                .hint("Does another program remove files from the cache folder? Run again.")
        })?;
        modules.push(Module { name: name_on_iso(i, &layer.name)?, path, size: seal.size });
    }
    Ok(modules)
}

/// The name of a layer's module: sorted by name, the modules lie in the layers' order too.
fn name_on_iso(index: usize, layer: &str) -> Result<String> {
    // live-boot reads the list of modules word by word, through a shell.
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if layer.is_empty() || !layer.bytes().all(safe) {
        return Err(Failure::bug(format!("{layer:?} is no name for a layer")));
    }
    Ok(format!("{index:02}-{layer}.squashfs"))
}

fn path_of(folder: &Path, layer: &StackedLayer, compression: Compression) -> PathBuf {
    let how = match compression {
        Compression::Fast => "fast",
        Compression::Balanced => "balanced",
        Compression::Small => "small",
    };
    folder.join(format!("{}-{how}-{MODULE_FORMAT}.squashfs", layer.id))
}

fn seal_of(module: &Path) -> PathBuf {
    let mut name = module.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// A complete module's seal, if module and seal fit together.
fn cached(module: &Path) -> Result<Option<Seal>> {
    let Some(bytes) = files::read_if_exists(&seal_of(module), 4096)? else { return Ok(None) };
    // A damaged seal is as good as none.
    let Ok(seal) = serde_json::from_slice::<Seal>(&bytes) else { return Ok(None) };
    match std::fs::symlink_metadata(module) {
        Ok(meta) if meta.is_file() && meta.len() == seal.size => Ok(Some(seal)),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::io(format!("looking at {}", module.display()), &e)),
    }
}

fn make_all(
    layers: &[&StackedLayer],
    folder: &Path,
    scratch: &Path,
    epoch: i64,
    compression: Compression,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    let take_turns = || {
        while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = cancel
                .check()
                .and_then(|()| make(layer, folder, scratch, epoch, compression, events, cancel));
            if let Err(failure) = result {
                // No other layer is begun; the first failure is the one to report.
                next.store(layers.len(), Ordering::Relaxed);
                if let Ok(mut slot) = failed.lock() {
                    slot.get_or_insert(failure);
                }
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..cores.min(layers.len()) {
            threads.spawn(take_turns);
        }
    });
    match failed.into_inner() {
        Ok(Some(failure)) => Err(failure),
        Ok(None) => Ok(()),
        Err(_) => Err(Failure::bug("a thread that made squashfs modules panicked")),
    }
}

fn make(
    layer: &StackedLayer,
    folder: &Path,
    scratch: &Path,
    epoch: i64,
    compression: Compression,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let task = Task::start(events, format!("squashfs {}", layer.name));
    refuse_traces(layer, epoch)?;
    let made = scratch.join(format!("{}.squashfs", layer.id));
    let output = command(layer, &made, epoch, compression)?.run(cancel)?;
    if !output.status.success() {
        return Err(output.failure().on(format!("layer {}", layer.name)));
    }
    let (sha256, size) = files::digest_file(&made)?;
    let module = path_of(folder, layer, compression);
    stack::place(&made, &module)?;
    let seal = serde_json::to_vec(&Seal { sha256, size }).map_err(|e| Failure::bug(e.to_string()))?;
    files::write_atomic(&seal_of(&module), &seal, 0o644)?;
    task.finish(format!("made, {}", Size::from_bytes(size)));
    Ok(())
}

/// mksquashfs 4.5 cannot leave single attributes out, so traces of overlayfs that name this
/// host's inodes must not be there in the first place.
fn refuse_traces(layer: &StackedLayer, epoch: i64) -> Result<()> {
    let alone = Stack { layers: vec![layer.clone()], epoch, cache: PathBuf::new() };
    union::walk(&alone).try_for_each(|found| found.map(drop))
}

fn command(layer: &StackedLayer, to: &Path, epoch: i64, compression: Compression) -> Result<Process> {
    let block = if compression == Compression::Small { LARGE_BLOCK } else { USUAL_BLOCK };
    let mut process = Process::new("mksquashfs")
        .arg(&layer.folder)
        .arg(to)
        .args(["-noappend", "-no-progress", "-quiet", "-no-exports", "-xattrs"])
        .args(["-comp", "zstd", "-Xcompression-level", &compression.level().to_string(), "-b", block])
        .env("SOURCE_DATE_EPOCH", epoch.max(0).to_string());
    let beside = beside_the_modules(layer)?;
    if !beside.is_empty() {
        // Takes everything that follows, as names and not as patterns.
        process = process.arg("-e").args(beside);
    }
    Ok(process)
}

/// The kernels and initramfs images in a layer's `/boot`.
fn beside_the_modules(layer: &StackedLayer) -> Result<Vec<OsString>> {
    let boot = layer.folder.join("boot");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_sort_like_the_layers() {
        assert_eq!(name_on_iso(3, "ai_ml").unwrap(), "03-ai_ml.squashfs");
        for hostile in ["", "a b", "../x", "a\nb", "A", "$(x)", "ä"] {
            assert!(name_on_iso(0, hostile).is_err(), "{hostile:?}");
        }
    }
}
