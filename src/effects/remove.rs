//! Removing trees: nothing is followed, and nothing beyond a mount point is touched.
//!
//! Build trees hold links to anywhere and folders with odd modes, and a mount that was
//! left in one would lead to somebody else's files. So every folder is opened by its
//! parent's descriptor without following links, and its mount is compared (`stx_mnt_id` of
//! statx(2), which also tells bind mounts of the same file system apart).

use super::files::parent;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a tree if it is there; a link is removed and not followed.
///
/// # Errors
/// If something in it is a mount point, which is then left alone with everything below it, or
/// cannot be removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    let stat = match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(e) => return Err(failed(path, e)),
    };
    if !FileType::from_raw_mode(stat.st_mode).is_dir() {
        return gone(rustix::fs::unlinkat(CWD, path, AtFlags::empty()), path);
    }
    let home = rustix::fs::openat(CWD, parent(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed(path, e))?;
    let mount = Mount::of(&home).map_err(|e| failed(path, e))?;
    let name = path.file_name().ok_or_else(|| Failure::bug(format!("{} has no name", path.display())))?;
    let name = c_name(name, path)?;
    remove_folder(&home, &name, path, mount)
}

/// What tells one mount from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mount {
    device: (u32, u32),
    /// None before Linux 5.8.
    id: Option<u64>,
}

impl Mount {
    fn of(folder: &OwnedFd) -> rustix::io::Result<Self> {
        let wanted = StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, wanted)?;
        let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(wanted);
        Ok(Self { device: (stat.stx_dev_major, stat.stx_dev_minor), id: known.then_some(stat.stx_mnt_id) })
    }
}

fn remove_folder(home: &OwnedFd, name: &CStr, path: &Path, mount: Mount) -> Result<()> {
    let folder = match open(home, name) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.map_err(|e| failed(path, e))?,
    };
    if Mount::of(&folder).map_err(|e| failed(path, e))? != mount {
        return Err(mounted(path));
    }
    // Read in full first: removing while reading may skip names.
    let entries = Dir::read_from(&folder)
        .and_then(Iterator::collect::<rustix::io::Result<Vec<_>>>)
        .map_err(|e| failed(path, e))?;
    for entry in entries {
        let child = entry.file_name();
        if child.to_bytes() == b"." || child.to_bytes() == b".." {
            continue;
        }
        let at: PathBuf = path.join(OsStr::from_bytes(child.to_bytes()));
        // Not every file system tells the type with the name.
        let is_folder = match entry.file_type() {
            FileType::Unknown => rustix::fs::statat(&folder, child, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
                .map_err(|e| failed(&at, e))?,
            kind => kind.is_dir(),
        };
        if is_folder {
            remove_folder(&folder, child, &at, mount)?;
        } else {
            gone(rustix::fs::unlinkat(&folder, child, AtFlags::empty()), &at)?;
        }
    }
    gone(rustix::fs::unlinkat(home, name, AtFlags::REMOVEDIR), path)
}

/// Opens a folder; one of ours that forbids it is allowed first.
fn open(home: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(home, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(home, name, Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(home, name, FOLDER, Mode::empty())
        }
        opened => opened,
    }
}

fn gone(removed: rustix::io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // A file that something is mounted on.
        Err(Errno::BUSY) => Err(mounted(path)),
        Err(e) => Err(failed(path, e)),
    }
}

fn c_name(name: &OsStr, path: &Path) -> Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| Failure::bug(format!("{}: a NUL byte", path.display())))
}

fn mounted(path: &Path) -> Failure {
    let message = format!("{} is a mount point; it is not removed, nor what is below", path.display());
    Failure::new(ErrorCode::BuildEnvironment, FailureClass::Host, message)
        .hint(format!("Look what is mounted there with `findmnt {0}`, then `umount {0}`.", path.display()))
}

fn failed(path: &Path, error: Errno) -> Failure {
    Failure::io(format!("removing {}", path.display()), &error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_are_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, other) = (dir.path().join("tree"), dir.path().join("other"));
        std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("kept"), "x").unwrap();
        symlink(&other, tree.join("a/link")).unwrap();
        symlink("nowhere", tree.join("a/b/broken")).unwrap();
        std::fs::write(tree.join("a/b/c/file"), "x").unwrap();
        std::fs::set_permissions(tree.join("a/b/c"), std::fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && other.join("kept").exists());
        remove_tree(&tree).unwrap();
        symlink(&other, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(tree.symlink_metadata().is_err() && other.join("kept").exists());
    }

    #[test]
    fn a_file_goes_too_and_strange_names_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        remove_tree(&file).unwrap();
        assert!(!file.exists());
        let odd = dir.path().join("odd");
        for name in ["...", " ", "new\nline", "-rf", "ä"] {
            std::fs::create_dir_all(odd.join(name).join(name)).unwrap();
        }
        std::fs::write(odd.join(OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
        remove_tree(&odd).unwrap();
        assert!(!odd.exists());
    }
}
