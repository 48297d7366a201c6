//! The initramfs: made once per image, by the root's own generator, beside the rest of the
//! build.
//!
//! It is no part of any layer. It depends on the layers up to the last one that brings
//! something the generator reads, so it can start as soon as those are there, and a
//! change further up does not touch it.
//!
//! `mkinitramfs` makes two archives, one behind the other: scripts, programs and settings, and
//! the kernel modules, see `modules`. dracut and mkinitcpio make one, see `others`.

mod cpio;
mod kernel;
mod modules;
mod native;
mod others;

use super::cache::{Cache, Found, lock_of, seal};
use super::stack::{Kernel, Stack, StackedLayer, newest};
use crate::effects::files::{FileLock, WorkFolder};
use crate::effects::{Cancel, Point, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::recipe::LayerId;
use crate::model::spec::{Architecture, Size};
use crate::model::{Digest, Emitter, Result};
use crate::tables::Generator;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Raised when the way in which the initramfs is made changes its bytes.
const FORMAT: u32 = 2;
/// A generator gets this long.
const TIME_LIMIT: Duration = Duration::from_mins(30);

/// What the generators read, besides programs and libraries that their hooks copy and that
/// packages of the same layers bring along.
const READ: [&str; 15] = [
    "usr/share/initramfs-tools",
    "etc/initramfs-tools",
    "etc/modprobe.d",
    "etc/modules",
    "etc/modules-load.d",
    "usr/lib/modules",
    "lib/modules",
    "usr/lib/dracut",
    "etc/dracut.conf",
    "etc/dracut.conf.d",
    "usr/lib/initcpio",
    "etc/initcpio",
    "etc/mkinitcpio.conf",
    "usr/share/plymouth",
    "etc/plymouth",
];

/// The identity of the initramfs of a root whose top layer is `top`.
pub(super) fn id(top: Option<LayerId>) -> Digest {
    Digest::of_json(&(FORMAT, top))
}

/// How many layers, from the bottom, shape the initramfs.
pub fn depth(layers: &[StackedLayer]) -> usize {
    layers
        .iter()
        .rposition(|layer| READ.iter().any(|path| layer.folder.join(path).symlink_metadata().is_ok()))
        .map_or(0, |i| i + 1)
}

/// Makes the initramfs of the root that `layers` are (those that [`depth`] says), or finds
/// it in the cache.
///
/// # Errors
/// Class *spec* if the root has no kernel or more than one.
pub fn make(
    layers: &[StackedLayer],
    (generator, architecture): (Generator, Architecture),
    cache: &Cache,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Kernel> {
    let (version, vmlinuz) = kernel::find(layers)?;
    let top: Option<LayerId> = layers.last().map(|l| l.id);
    let folder = cache.initramfs(&id(top));
    let kernel = Kernel { version: version.clone(), vmlinuz, initrd: folder.join("root/initrd") };
    let _making = FileLock::take(&lock_of(&folder))?;
    match cache.find_tree(&folder)? {
        Found::Sound => return Ok(kernel),
        Found::Absent => {}
        Found::Damaged(why) => {
            events.warn(format!("an initramfs in the cache is damaged ({why}); it is made again"));
            cache.discard(&folder)?;
        }
    }
    let task = Task::start(events, "initramfs");
    let work = WorkFolder::new(&cache.work(), "initramfs")?;
    let kept = work.path().join("kept");
    let out = kept.join("root");
    std::fs::create_dir_all(&out).during(|| format!("making {}", out.display()))?;
    let stack = Stack { layers: layers.to_vec(), epoch: newest(layers), cache: cache.root().to_owned() };
    if generator == Generator::Mkinitramfs {
        let functions = modules::functions(&stack)?;
        run((&stack, architecture), &version, functions.as_deref(), work.path(), &out, (events, cancel))?;
        if functions.is_some() {
            let list = out.join("modules");
            let (archive, _held) = modules::archive(&stack, &list, cache, work.path(), (events, cancel))?;
            append(&archive, &out.join("initrd"))?;
            std::fs::remove_file(&list).during(|| format!("removing {}", list.display()))?;
        }
    } else {
        let whose = others::Root { stack: &stack, architecture, scratch: work.path() };
        others::run(&whose, generator, &version, &out, (events, cancel))?;
    }
    seal::seal_tree(&kept)?;
    point(Point::InitramfsMade)?;
    std::fs::rename(&kept, &folder).during(|| format!("keeping {}", folder.display()))?;
    cache.hold(&folder)?;
    point(Point::InitramfsKept)?;
    let size = kernel.initrd.metadata().map_or(0, |m| m.len());
    task.finish(format!("built, {}", Size::from_bytes(size)));
    Ok(kernel)
}

/// Runs the root's `mkinitramfs`, which leaves `out/initrd`; with `functions` in place of its
/// own it leaves the modules out and a list of them in `out/modules`.
fn run(
    (stack, architecture): (&Stack, Architecture),
    version: &str,
    functions: Option<&[u8]>,
    scratch: &Path,
    out: &Path,
    (events, cancel): (&Emitter, &Cancel),
) -> Result<()> {
    let lowers: Vec<PathBuf> = stack.layers.iter().map(|l| l.folder.clone()).collect();
    let mut sandbox = Sandbox::new(&lowers, scratch)?
        .running(architecture)?
        .bind_writable(out, "/run/out")
        .env("SOURCE_DATE_EPOCH", stack.epoch.to_string());
    if let Some(functions) = functions {
        let path = scratch.join("hook-functions");
        let around = if sandbox.emulates() { native::functions(functions) } else { None };
        if around.is_some() {
            sandbox = native::tools(sandbox, stack)?;
        }
        std::fs::write(&path, around.as_deref().unwrap_or(functions))
            .during(|| format!("writing {}", path.display()))?;
        sandbox = sandbox.bind(path, format!("/{}", modules::FUNCTIONS));
    }
    sandbox
        .process("/usr/sbin/mkinitramfs")?
        .args(["-c", "zstd", "-l", "9", "-o", "/run/out/initrd", version])
        .log_to(events, "mkinitramfs")
        .timeout(TIME_LIMIT)
        .check(cancel)?;
    Ok(())
}

/// Puts one archive behind another; the kernel unpacks both.
fn append(archive: &Path, initrd: &Path) -> Result<()> {
    let appending = || format!("appending {} to {}", archive.display(), initrd.display());
    let mut from = File::open(archive).during(appending)?;
    let mut to = OpenOptions::new().append(true).open(initrd).during(appending)?;
    std::io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).during(appending)
}
