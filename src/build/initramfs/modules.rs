//! The kernel modules of the initramfs: an archive of their own, behind the one that
//! `mkinitramfs` makes.
//!
//! `mkinitramfs` copies modules one by one, with five processes for each and most of them
//! many times over: nine tenths of its time. So a few of its shell functions are replaced
//! (`modules.sh`). Which modules are wanted is still said by initramfs-tools, its settings
//! and hooks, and by `modprobe` with its configuration; so are their indexes and firmware.
//! Only the modules' contents go another way: into an archive that we write, that the
//! kernel unpacks after the first one, and that is kept by its content. A change elsewhere
//! in the image makes no new one.

use super::cpio::Cpio;
use crate::build::cache::{Cache, Kind};
use crate::build::derived::{self, Held};
use crate::build::stack::Stack;
use crate::build::{rootfs, union};
use crate::effects::{Cancel, files};
use crate::model::failure::IoContext;
use crate::model::settings::Compression;
use crate::model::{Digest, Emitter, Failure, Result};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};

/// Raised when the archive of the same modules gets other bytes.
const FORMAT: u32 = 1;
/// What the hooks of initramfs-tools share (package initramfs-tools-core).
pub const FUNCTIONS: &str = "usr/share/initramfs-tools/hook-functions";
/// Functions that take the place of some in [`FUNCTIONS`].
const REPLACED: &str = include_str!("modules.sh");
/// The function that collects modules, as it begins in [`FUNCTIONS`] (seen in 0.142).
const COLLECTS: &str = "\nmanual_add_modules()";
/// Where modules are; everything in the list is below.
const FOLDER: &str = "usr/lib/modules";
/// No text that is read here is longer, in bytes.
const LONGEST: u64 = 4 << 20;

/// The root's [`FUNCTIONS`] with ours behind them; `None` if the root has other ones than we
/// know, so that `mkinitramfs` has to do everything itself.
///
/// # Errors
/// If a layer cannot be read.
pub fn functions(stack: &Stack) -> Result<Option<Vec<u8>>> {
    let Some(mut text) = union::read(stack, FUNCTIONS, LONGEST)? else { return Ok(None) };
    let known = text.windows(COLLECTS.len()).any(|w| w == COLLECTS.as_bytes());
    text.extend_from_slice(REPLACED.as_bytes());
    Ok(known.then_some(text))
}

/// One module of the image.
#[derive(Debug)]
struct Module {
    /// Its path in the image, without leading slash.
    name: String,
    /// Where it is on the host.
    source: PathBuf,
}

/// The compressed archive of the modules in the list that `mkinitramfs` left at `list`, made
/// in `scratch` or found in the cache.
///
/// # Errors
/// Class *spec* if the list names something that is no module of the layers.
pub fn archive(
    stack: &Stack,
    list: &Path,
    cache: &Cache,
    scratch: &Path,
    (events, cancel): (&Emitter, &Cancel),
) -> Result<(PathBuf, Held)> {
    let list = files::read_if_exists(list, LONGEST)?
        .ok_or_else(|| Failure::bug("mkinitramfs left no list of kernel modules"))?;
    let modules = find(stack, &list)?;
    let contents = modules
        .iter()
        .map(|module| Ok((&module.name, files::digest_file(&module.source)?.0)))
        .collect::<Result<Vec<_>>>()?;
    let id = Digest::of_json(&(FORMAT, contents));
    let path = cache.folder(Kind::InitramfsModules).join(format!("{}.cpio.zst", id.hex()));
    if let Some((_, held)) = derived::cached::<u64>(&path, events)? {
        return Ok((path, held));
    }
    let made = scratch.join("modules.cpio.zst");
    write(&modules, &made, cancel)?;
    let (sha256, size) = files::digest_file(&made)?;
    let held = derived::keep(&made, &path, sha256, &size)?;
    Ok((path, held))
}

/// The modules in a list of absolute paths, sorted, each once.
///
/// Hooks of packages had a hand in the list: it may name files below [`FOLDER`] only.
fn find(stack: &Stack, list: &[u8]) -> Result<Vec<Module>> {
    let refused = |line: &str, why: &str| {
        Failure::spec(format!("{line:?} in the list of kernel modules: {why}"))
            .hint("Look at the scripts in /usr/share/initramfs-tools/hooks and /etc/initramfs-tools/hooks of the image.")
    };
    let text = std::str::from_utf8(list)
        .map_err(|_| Failure::spec("the list of kernel modules is no UTF-8 text"))?;
    let lines: BTreeSet<&str> = text.lines().collect();
    let module = |line: &&str| {
        let name = line.strip_prefix('/').unwrap_or_default();
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        // `components` passes over doubled slashes and dots; the kernel would not find parents.
        let canonical = !name.contains("//") && !name.split('/').any(|part| part == ".");
        if !plain || !canonical || !Path::new(name).starts_with(FOLDER) || !name.ends_with(".ko") {
            return Err(refused(line, "not the path of a kernel module"));
        }
        let source = union::find(stack, name)?.ok_or_else(|| refused(line, "no layer has this file"))?;
        Ok(Module { name: name.to_owned(), source })
    };
    lines.iter().map(module).collect()
}

/// Writes the compressed archive.
fn write(modules: &[Module], to: &Path, cancel: &Cancel) -> Result<()> {
    let writing = || format!("writing {}", to.display());
    let file = BufWriter::with_capacity(1 << 20, File::create(to).during(writing)?);
    let mut archive = Cpio::new(rootfs::compressor(file, Compression::Balanced).during(writing)?);
    for folder in folders(modules) {
        archive.folder(folder)?;
    }
    for module in modules {
        cancel.check()?;
        let opening = || format!("opening {}", module.source.display());
        let mut content = File::open(&module.source).during(opening)?;
        let size = content.metadata().during(opening)?.len();
        archive.file(&module.name, size, &mut content)?;
    }
    let mut file = archive.finish()?.finish().during(writing)?;
    file.flush().during(writing)
}

/// All folders that the modules are in, parents first. `usr` is the first of them, never
/// `lib`: in the initramfs that is a link to `usr/lib`, which a folder would replace.
fn folders(modules: &[Module]) -> BTreeSet<&str> {
    modules
        .iter()
        .flat_map(|module| module.name.match_indices('/').map(|(at, _)| &module.name[..at]))
        .collect()
}

#[cfg(test)]
mod tests;
