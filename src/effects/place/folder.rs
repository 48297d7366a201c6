//! Places on this host. Whole folders come and go by renaming, so a reader sees one or the
//! other; hidden names and locks are swept when their writers are gone.

use super::{Change, Held, Kind, Local, Medium, Plain, STAGING, Seen, Tag};
use crate::effects::files::{
    FileLock, WorkFolder, parent, read_if_exists, remove_tree, sync_folder, write_atomic,
};
use crate::effects::unfinished;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::ffi::OsString;
use std::fs::{File, Metadata, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file systems of this host.
#[derive(Debug)]
pub(super) struct Folder;

impl Seen {
    /// What the file system says of a file or folder.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            kind: match () {
                () if metadata.is_file() => Kind::File,
                () if metadata.is_dir() => Kind::Folder,
                () => Kind::Other,
            },
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            identity: (metadata.mode(), metadata.dev(), metadata.ino()),
        }
    }
}

impl Held for FileLock {
    fn check(&self) -> Result<()> {
        // The kernel takes it from nobody who lives.
        Ok(())
    }
}

impl Medium for Folder {
    fn show(&self, path: &Path) -> String {
        path.display().to_string()
    }

    fn scratch(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn look(&self, path: &Path) -> Result<Option<Seen>> {
        match path.symlink_metadata() {
            Ok(metadata) => Ok(Some(Seen::of(&metadata))),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(Failure::io(format!("looking at {}", path.display()), &e)),
        }
    }

    fn listed(&self, _path: &Path) -> Result<Option<Arc<dyn Medium>>> {
        Ok(None)
    }

    fn is_folder(&self, path: &Path) -> Result<bool> {
        Ok(self.look(path)?.is_some_and(|seen| seen.is_folder()))
    }

    fn names(&self, path: &Path) -> Result<Vec<OsString>> {
        each(path, |entry| Ok(entry.file_name()))
    }

    fn entries(&self, path: &Path) -> Result<Vec<(OsString, Seen)>> {
        each(path, |entry| Ok((entry.file_name(), Seen::of(&entry.metadata()?))))
    }

    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Tag)>> {
        Ok(read_if_exists(path, limit)?.map(|bytes| (bytes, Tag::default())))
    }

    fn read_plain(&self, path: &Path, limit: u64) -> Result<Plain> {
        match self.look(path)? {
            None => return Ok(Plain::Missing),
            Some(seen) if !seen.is_file() => return Ok(Plain::Other("it is no plain file")),
            Some(seen) if seen.size > limit => return Ok(Plain::Other("it is far too large")),
            Some(_) => {}
        }
        Ok(read_if_exists(path, limit)?.map_or(Plain::Missing, Plain::Bytes))
    }

    fn local(&self, path: &Path) -> Result<Local> {
        Ok(Local { path: path.to_owned(), _work: None })
    }

    fn copy_out(&self, path: &Path, to: &Path) -> Result<()> {
        std::fs::copy(path, to)
            .map(|_| ())
            .during(|| format!("copying {} to {}", path.display(), to.display()))
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        write_atomic(path, bytes, 0o644)
    }

    fn put_after(&self, path: &Path, bytes: &[u8], _before: Option<&Tag>) -> Result<bool> {
        self.put(path, bytes).map(|()| true)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).during(|| format!("removing {}", path.display()))
    }

    fn bring_in(&self, staged: &Path, path: &Path, _last: &str) -> Result<()> {
        swap_in(staged, path)
    }

    fn replace(&self, staged: &Path, path: &Path, old: &Path) -> Result<()> {
        swap_in(staged, path)?;
        for left in [staged.to_owned(), staged.with_extension("old")] {
            if left.symlink_metadata().is_ok() {
                self.move_aside(&left, old)?;
            }
        }
        Ok(())
    }

    fn change(&self, path: &Path, change: &Change<'_>) -> Result<()> {
        let staged = change.work.join("changed");
        let is_left_out = |name: &str| (change.drop)(name) || change.put.iter().any(|(put, _)| put == name);
        link_all(path, &staged, &is_left_out)?;
        for (name, bytes) in change.put {
            write_atomic(&staged.join(name), bytes, 0o644)?;
        }
        sync_folder(&staged)?;
        swap_in(&staged, path)
    }

    fn move_aside(&self, path: &Path, to: &Path) -> Result<()> {
        let folder = parent(to);
        // A web server that shows the folder above shall not show this.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .during(|| format!("making {}", folder.display()))?;
        std::fs::rename(path, to).during(|| format!("moving {} to {}", path.display(), to.display()))?;
        sync_folder(folder)?;
        sync_folder(parent(path))
    }

    fn take_away(&self, path: &Path, aside: &Path) -> Result<()> {
        match std::fs::rename(path, aside) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Failure::io(format!("removing {}", path.display()), &e))
            }
            _ => Ok(()),
        }
    }

    fn sweep(&self, path: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<()> {
        WorkFolder::sweep(&path.join(STAGING))?;
        unfinished::sweep(path)?;
        let reading = || format!("reading {}", path.display());
        for entry in std::fs::read_dir(path).during(reading)? {
            let entry = entry.during(reading)?;
            if entry.file_name().to_str().is_some_and(is_ours) && entry.file_type().during(reading)?.is_dir()
            {
                unfinished::sweep(&entry.path())?;
            }
        }
        Ok(())
    }

    fn drop_left(&self, path: &Path) -> Result<()> {
        match self.look(path)? {
            None => Ok(()),
            Some(seen) if seen.is_folder() => {
                // Swept already; one that is still there belongs to somebody.
                let held = FileLock::is_held(&path.with_added_extension("lock"))?;
                if held { Ok(()) } else { remove_tree(path) }
            }
            Some(_) if path.extension().is_some_and(|e| e == "lock") && FileLock::is_held(path)? => Ok(()),
            Some(_) => self.remove(path),
        }
    }

    fn identity(&self, path: &Path) -> Result<(u64, u64)> {
        let meta = std::fs::metadata(path).during(|| format!("looking at {}", path.display()))?;
        Ok((meta.dev(), meta.ino()))
    }

    fn lock(&self, path: &Path, wait: bool) -> Result<Option<Box<dyn Held>>> {
        let taken = if wait { Some(FileLock::take(path)?) } else { FileLock::try_take(path)? };
        Ok(taken.map(|lock| -> Box<dyn Held> { Box::new(lock) }))
    }

    fn is_locked(&self, path: &Path) -> Result<bool> {
        FileLock::is_held(path)
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What `of` says of each entry of a folder; nothing if there is no folder.
fn each<T>(path: &Path, of: impl Fn(&std::fs::DirEntry) -> std::io::Result<T>) -> Result<Vec<T>> {
    let reading = || format!("reading {}", path.display());
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(Failure::io(reading(), &e)),
    };
    entries.map(|entry| entry.and_then(|entry| of(&entry))).collect::<std::io::Result<_>>().during(reading)
}

/// Sets a mode that a web server can read whatever our umask is.
fn open_to_all(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .during(|| format!("setting the mode of {}", path.display()))
}

/// Moves a staged file or folder to its place in one step; what was there takes its place.
fn swap_in(staged: &Path, place: &Path) -> Result<()> {
    let parent = parent(place);
    if !parent.is_dir() {
        std::fs::create_dir_all(parent).during(|| format!("making {}", parent.display()))?;
        open_to_all(parent, 0o755)?;
    }
    let renaming = || format!("moving the release to {}", place.display());
    if place.symlink_metadata().is_ok() {
        match renameat_with(CWD, staged, CWD, place, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // A file system without exchange (NFS): aside, then in. The release that goes is
            // a defective one.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
                let aside = staged.with_extension("old");
                std::fs::rename(place, &aside).during(renaming)?;
                std::fs::rename(staged, place).during(renaming)?;
            }
            Err(e) => return Err(Failure::io(renaming(), &e.into())),
        }
    } else {
        std::fs::rename(staged, place).during(renaming)?;
    }
    sync_folder(parent)
}

/// A second folder with the same files, but for those that are left out.
fn link_all(from: &Path, to: &Path, is_left_out: &dyn Fn(&str) -> bool) -> Result<()> {
    std::fs::create_dir(to).during(|| format!("making {}", to.display()))?;
    open_to_all(to, 0o755)?;
    let reading = || format!("reading {}", from.display());
    for entry in std::fs::read_dir(from).during(reading)? {
        let entry = entry.during(reading)?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().during(reading)?.is_dir() {
            link_all(&path, &to.join(&name), &|_| false)?;
        } else if !is_left_out(&name.to_string_lossy()) {
            link(&path, &to.join(&name))?;
        }
    }
    sync_folder(to)
}

/// The old folder goes when the new one is in its place, so a link shares nothing for long.
fn link(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let copying = || format!("copying {} to {}", from.display(), to.display());
    std::fs::copy(from, to).during(copying)?;
    File::open(to).and_then(|file| file.sync_all()).during(copying)
}
