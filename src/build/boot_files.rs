//! Files for the ISO's boot loaders: locked packages, extracted and never installed.

use super::cache::Cache;
use super::dpkg;
use super::packages::Packages;
use crate::effects::files::{FileLock, WorkFolder};
use crate::effects::{Cancel, Point, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::{Digest, Emitter, Failure, Result};
use std::path::PathBuf;

/// Makes sure that the packages lie extracted in one tree, and says where.
///
/// # Errors
/// Class *spec* if there are none, *upstream* if one cannot be had.
pub fn ensure(
    cache: &Cache,
    packages: &Packages<'_>,
    wanted: &[LockedPackage],
    events: &Emitter,
    cancel: &Cancel,
) -> Result<PathBuf> {
    if wanted.is_empty() {
        return Err(Failure::bug("the recipe has an ISO and no packages for its boot loaders"));
    }
    let digests: Vec<&Digest> = wanted.iter().map(|p| &p.sha256).collect();
    let folder = cache.boot_files(&Digest::of_json(&digests));
    let mut lock = folder.clone().into_os_string();
    lock.push(".lock");
    let _held = FileLock::take(std::path::Path::new(&lock))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    packages.ensure(wanted.iter(), events, cancel)?;
    let task = Task::start(events, "boot loader files");
    let work = WorkFolder::new(&cache.work(), "boot-files")?;
    let root = work.path().join("root");
    std::fs::create_dir(&root).during(|| format!("making {}", root.display()))?;
    for package in wanted {
        dpkg::extract(&cache.package(&package.sha256), &root)?;
    }
    point(Point::BootFilesExtracted)?;
    std::fs::rename(&root, &folder).during(|| format!("keeping {}", folder.display()))?;
    point(Point::BootFilesKept)?;
    task.finish(format!("{} packages", wanted.len()));
    Ok(folder)
}
