//! Files that are either the old ones or the new ones, never half of each; and folders
//! that vanish with us.

use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use super::remove::remove_tree;

/// Writes a file under a temporary name, syncs it, renames it over `path` and syncs the folder.
///
/// # Errors
/// If any step fails; `path` is then what it was.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = parent(path);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let mut temporary =
        super::unfinished::file(folder, mode).during(|| format!("writing {}", path.display()))?;
    temporary
        .write_all(bytes)
        .and_then(|()| temporary.as_file().sync_all())
        .during(|| format!("writing {}", path.display()))?;
    super::point(super::Point::FileWritten)?;
    temporary.persist(path).map_err(|e| Failure::io(format!("writing {}", path.display()), &e.error))?;
    sync_folder(folder)
}

/// Syncs a folder, so that a rename in it survives a power cut.
///
/// # Errors
/// If the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).during(|| format!("syncing {}", folder.display()))
}

/// The folder that `path` is in.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// SHA-256 and size in bytes of a file.
///
/// # Errors
/// If it cannot be read.
pub fn digest_file(path: &Path) -> Result<(Digest, u64)> {
    let mut file = File::open(path).during(|| format!("opening {}", path.display()))?;
    digest_reader(&mut file).during(|| format!("reading {}", path.display()))
}

/// SHA-256 and length in bytes of everything that a reader gives.
///
/// # Errors
/// If it cannot be read.
pub fn digest_reader(reader: &mut impl Read) -> std::io::Result<(Digest, u64)> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok((Digest::from_bytes(hash.finalize().into()), size)),
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// Reads a whole file of at most `limit` bytes; `None` if it does not exist.
///
/// # Errors
/// If it cannot be read (permission denied is not "does not exist") or is larger.
pub fn read_if_exists(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::io(format!("opening {}", path.display()), &e)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).during(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::host(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// Makes `to` the same file as `from`: a hard link where that can be, else a copy.
///
/// # Errors
/// If neither can be made.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to).map(|_| ()).during(|| format!("copying {} to {}", from.display(), to.display()))
}

/// Free bytes of the file system that `path` is on.
///
/// # Errors
/// If the system refuses to say.
pub fn free_space(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|e| Failure::io(format!("looking at {}", path.display()), &e.into()))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// The number of the file system that a path lies on; of one that is not there, where it would be.
///
/// # Errors
/// Class *host* if that cannot be asked.
pub fn file_system(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut there = path;
    loop {
        match std::fs::metadata(there) {
            Ok(metadata) => return Ok(metadata.dev()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && there.parent().is_some() => {
                there = parent(there);
            }
            Err(e) => return Err(Failure::io(format!("looking at {}", there.display()), &e)),
        }
    }
}

/// A lock, held until dropped; the kernel frees it when we die (flock(2)).
#[derive(Debug)]
pub struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread is just starting has the same open
        // file until it runs its program.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

impl FileLock {
    /// Takes the lock at `path`, or says `None` if another process holds it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        Self::take_with(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock at `path` and waits for it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn take(path: &Path) -> Result<Self> {
        let taken = Self::take_with(path, FlockOperation::LockExclusive)?;
        taken.ok_or_else(|| Failure::bug(format!("waiting for {} did not wait", path.display())))
    }

    /// Holds a file or folder that is there, together with others who use it; `None` if it is
    /// not there. Who wants to remove it has to [`FileLock::try_claim`] it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn share(path: &Path) -> Result<Option<Self>> {
        Self::lock_existing(path, FlockOperation::LockShared)
    }

    /// Takes a file or folder that is there for oneself; `None` if somebody uses it or if it
    /// is not there.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn try_claim(path: &Path) -> Result<Option<Self>> {
        Self::lock_existing(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Whether somebody holds the lock at `path`; nothing is made there.
    ///
    /// # Errors
    /// If the file is there and cannot be opened.
    pub fn is_held(path: &Path) -> Result<bool> {
        let free = Self::lock_existing(path, FlockOperation::NonBlockingLockShared)?;
        Ok(free.is_none() && path.exists())
    }

    fn lock_existing(path: &Path, how: FlockOperation) -> Result<Option<Self>> {
        loop {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let file = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
                Ok(fd) => File::from(fd),
                Err(Errno::NOENT) => return Ok(None),
                Err(e) => return Err(Failure::io(format!("opening {}", path.display()), &e.into())),
            };
            if !flock(&file, path, how)? {
                return Ok(None);
            }
            if still_at(&file, path) {
                return Ok(Some(Self(file)));
            }
        }
    }

    fn take_with(path: &Path, how: FlockOperation) -> Result<Option<Self>> {
        std::fs::create_dir_all(parent(path)).during(|| format!("making {}", parent(path).display()))?;
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o644)
                .open(path)
                .during(|| format!("opening {}", path.display()))?;
            if !flock(&file, path, how)? {
                return Ok(None);
            }
            if still_at(&file, path) {
                return Ok(Some(Self(file)));
            }
        }
    }
}

fn flock(file: &File, path: &Path, how: FlockOperation) -> Result<bool> {
    loop {
        match rustix::fs::flock(file, how) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Failure::io(format!("locking {}", path.display()), &e.into())),
        }
    }
}

/// Whether the name still leads to the file that was locked: while we waited, its holder may
/// have removed it, and somebody else locked a new one.
fn still_at(file: &File, path: &Path) -> bool {
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => id(held) == id(named),
        _ => false,
    }
}

/// A folder that is removed when dropped; one that a killed process left is removed by
/// [`WorkFolder::sweep`].
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    _lock: FileLock,
}

impl WorkFolder {
    /// Makes a new folder below `root`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(root: &Path, label: &str) -> Result<Self> {
        std::fs::create_dir_all(root).during(|| format!("making {}", root.display()))?;
        // The lock comes first: a sweep must not find the folder without it.
        let path = root.join(format!("{label}-{}", uuid::Uuid::now_v7().simple()));
        let lock = FileLock::take(&lock_beside(&path))?;
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .during(|| format!("making {}", path.display()))?;
        let folder = Self { path, _lock: lock };
        super::point(super::Point::FolderMade)?;
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folders below `root` whose processes are gone; says how many.
    ///
    /// # Errors
    /// If `root` cannot be read or something in a folder cannot be removed.
    pub fn sweep(root: &Path) -> Result<usize> {
        let entries = match std::fs::read_dir(root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(Failure::io(format!("reading {}", root.display()), &e)),
        };
        let mut swept = 0;
        for entry in entries {
            let path = entry.during(|| format!("reading {}", root.display()))?.path();
            // The lock comes before its folder and goes after it: it may be all that is left.
            let path = match path.extension().is_some_and(|e| e == "lock") {
                true => path.with_extension(""),
                false => path,
            };
            let lock = lock_beside(&path);
            if !path.is_dir() && !lock.is_file() {
                continue;
            }
            if let Some(_free) = FileLock::try_take(&lock)? {
                remove_tree(&path)?;
                let _ = std::fs::remove_file(&lock);
                swept += 1;
            }
        }
        Ok(swept)
    }
}

fn lock_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
        let _ = std::fs::remove_file(lock_beside(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        write_atomic(&path, b"one", 0o644).unwrap();
        write_atomic(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn looking_at_a_lock_neither_makes_nor_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!FileLock::is_held(&path).unwrap() && !path.exists());
        let lock = FileLock::take(&path).unwrap();
        assert!(FileLock::is_held(&path).unwrap());
        drop(lock);
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn sweep_takes_only_what_nobody_holds() {
        let dir = tempfile::tempdir().unwrap();
        let held = WorkFolder::new(dir.path(), "held").unwrap();
        std::fs::create_dir(dir.path().join("left-1234")).unwrap();
        assert_eq!(WorkFolder::sweep(dir.path()).unwrap(), 1);
        assert!(held.path().is_dir());
        assert!(!dir.path().join("left-1234").exists());
    }
}
