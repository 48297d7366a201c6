//! Reads a catalog from a folder as it is on disk, whether git knows it or not.
//!
//! Nothing is followed: a symbolic link is read as a link, and where links are not
//! allowed it is refused, so a folder from somewhere else cannot pull in other files.

use super::files::{FOLDERS, FileKind, Files, SETTINGS, utf8_path};
use crate::model::catalog::CatalogSource;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads the catalog in `root`.
///
/// # Errors
/// If `root` is no folder, something in it cannot be read, or a limit is passed.
pub fn read(root: &Path) -> Result<Files> {
    let metadata = std::fs::metadata(root).during(|| format!("opening the catalog {}", root.display()))?;
    if !metadata.is_dir() {
        return Err(Failure::spec(format!("{} is not a folder", root.display()))
            .hint("Name the folder that holds bootwright.yaml and specs/."));
    }
    let mut files = Files::new(CatalogSource { location: root.display().to_string(), commit: None });
    entry(root, SETTINGS, &mut files)?;
    for folder in FOLDERS {
        entry(root, folder, &mut files)?;
    }
    Ok(files)
}

fn entry(root: &Path, path: &str, files: &mut Files) -> Result<()> {
    let place = root.join(path);
    let metadata = match place.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Failure::io(format!("looking at {path}"), &e)),
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        return folder(root, path, files);
    }
    if kind.is_symlink() {
        let target = std::fs::read_link(&place).during(|| format!("reading the link {path}"))?;
        return files.add(path, FileKind::Symlink, target.as_os_str().as_bytes().to_vec());
    }
    if !kind.is_file() {
        return Err(Failure::spec(format!("{path} is neither a file, a folder nor a symbolic link"))
            .hint("Git cannot store it; take it away."));
    }
    // Git knows only the owner's bit.
    let kind = if metadata.mode() & 0o100 == 0 { FileKind::Regular } else { FileKind::Executable };
    files.expect(path, kind, metadata.len())?;
    files.add(path, kind, bounded(&place, path, metadata.len())?)
}

/// The bytes of a file that was just looked at, no more than it had then.
fn bounded(place: &Path, path: &str, size: u64) -> Result<Vec<u8>> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(no_follow)
        .open(place)
        .during(|| format!("opening {path}"))?;
    let mut bytes = Vec::new();
    file.take(size + 1).read_to_end(&mut bytes).during(|| format!("reading {path}"))?;
    if bytes.len() as u64 > size {
        return Err(Failure::host(format!("{path} grew while it was read")).hint("Try again."));
    }
    Ok(bytes)
}

fn folder(root: &Path, path: &str, files: &mut Files) -> Result<()> {
    let place = root.join(path);
    let mut names = Vec::new();
    for found in std::fs::read_dir(&place).during(|| format!("reading the folder {path}"))? {
        names.push(found.during(|| format!("reading the folder {path}"))?.file_name());
    }
    names.sort();
    if names.iter().any(|name| name == OsStr::new(".git")) {
        return Err(Failure::spec(format!("{path} is a git repository of its own"))
            .hint("Submodules are not read; put the files into the catalog itself."));
    }
    for name in names {
        let name = utf8_path(name.as_bytes())?;
        entry(root, &format!("{path}/{name}"), files)?;
    }
    Ok(())
}
