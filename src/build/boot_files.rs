//! Files for the ISO's boot loaders: locked packages, extracted and never installed.

use super::cache::{Cache, Found, lock_of, seal};
use super::managers;
use super::packages::Packages;
use crate::effects::files::{FileLock, WorkFolder};
use crate::effects::{Cancel, Point, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::{Digest, Emitter, Failure, Recipe, Result};
use std::path::PathBuf;

/// The identity of the files that the ISO of a recipe starts with.
pub(super) fn id(recipe: &Recipe) -> Digest {
    id_of(&recipe.boot_files)
}

fn id_of(packages: &[LockedPackage]) -> Digest {
    let digests: Vec<&Digest> = packages.iter().map(|p| &p.sha256).collect();
    Digest::of_json(&digests)
}

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
        return Err(Failure::bug("the recipe has an ISO or a disk and no packages for its boot loaders"));
    }
    let folder = cache.boot_files(&id_of(wanted));
    let _making = FileLock::take(&lock_of(&folder))?;
    match cache.find_tree(&folder)? {
        Found::Sound => return Ok(folder.join("root")),
        Found::Absent => {}
        Found::Damaged(why) => {
            events.warn(format!("boot loader files in the cache are damaged ({why}); they are made again"));
            cache.discard(&folder)?;
        }
    }
    packages.ensure(wanted.iter(), events, cancel)?;
    let task = Task::start(events, "boot loader files");
    let work = WorkFolder::new(&cache.work(), "boot-files")?;
    let kept = work.path().join("kept");
    let root = kept.join("root");
    std::fs::create_dir_all(&root).during(|| format!("making {}", root.display()))?;
    let manager = managers::of(packages.base);
    for package in wanted {
        manager.extract(&cache.package(&package.sha256), &root, cancel)?;
    }
    seal::seal_tree(&kept)?;
    point(Point::BootFilesExtracted)?;
    std::fs::rename(&kept, &folder).during(|| format!("keeping {}", folder.display()))?;
    cache.hold(&folder)?;
    point(Point::BootFilesKept)?;
    task.finish(format!("{} packages", wanted.len()));
    Ok(folder.join("root"))
}
