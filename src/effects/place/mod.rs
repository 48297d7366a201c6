//! Places that hold files which others read: a folder of this host, a prefix of a bucket.
//!
//! What a newcomer would get wrong: a place is not always a path that `std::fs` can open.
//! [`Place::path`] is where it is within its medium; whoever needs a file on this host asks
//! for [`Place::local`]. What a folder does by renaming, another medium does in an order that
//! shows no reader half of it; each such operation says what is promised.

mod bucket;
mod folder;

pub use bucket::Credentials;

use crate::effects::files::{WorkFolder, digest_reader};
use crate::model::failure::IoContext;
use crate::model::{Digest, Result};
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of a place in which what is not in its place yet is written down.
pub const STAGING: &str = ".staging";

/// A file or folder of a medium, which need not be there.
#[derive(Clone)]
pub struct Place {
    medium: Arc<dyn Medium>,
    path: PathBuf,
}

/// What is at a place, as far as can be seen without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When its bytes last changed: seconds since 1970, and nanoseconds.
    pub modified: (i64, i64),
    /// A time or a value that changes with every change, and that nobody sets by hand.
    pub changed: (i64, i64),
    /// Mode, device and inode of a file of this host; what else tells two objects apart.
    pub identity: (u32, u64, u64),
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A link, a pipe, a device.
    Other,
}

impl Seen {
    /// Whether it is a plain file.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }
}

/// The text of a small file that lies where it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    /// There is none.
    Missing,
    /// There is something else, and what: a link, a folder, a pipe, far too much.
    Other(&'static str),
    /// Its bytes.
    Bytes(Vec<u8>),
}

/// Which state of a file was read, where the medium can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag(Option<String>);

/// A lock, held until dropped.
#[derive(Debug)]
pub struct Lock(Box<dyn Held>);

impl Lock {
    /// Whether it is still ours.
    ///
    /// # Errors
    /// Class *host* if somebody else took it, since we did not show for long that we live.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }
}

trait Held: fmt::Debug + Send + Sync {
    fn check(&self) -> Result<()>;
}

/// A file on this host with the bytes of a place, which may have been copied here for as long
/// as this lives.
#[derive(Debug)]
pub struct Local {
    path: PathBuf,
    _work: Option<WorkFolder>,
}

impl Local {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// One kind of place. Paths are those of the medium.
trait Medium: fmt::Debug + Send + Sync {
    fn show(&self, path: &Path) -> String;
    fn scratch(&self, path: &Path) -> PathBuf;
    fn listed(&self, path: &Path) -> Result<Option<Arc<dyn Medium>>>;
    fn look(&self, path: &Path) -> Result<Option<Seen>>;
    fn is_folder(&self, path: &Path) -> Result<bool>;
    fn names(&self, path: &Path) -> Result<Vec<OsString>>;
    fn entries(&self, path: &Path) -> Result<Vec<(OsString, Seen)>>;
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Read + Send>>;
    fn read(&self, path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Tag)>>;
    fn read_plain(&self, path: &Path, limit: u64) -> Result<Plain>;
    fn local(&self, path: &Path) -> Result<Local>;
    fn copy_out(&self, path: &Path, to: &Path) -> Result<()>;
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<()>;
    fn put_after(&self, path: &Path, bytes: &[u8], before: Option<&Tag>) -> Result<bool>;
    fn remove(&self, path: &Path) -> Result<()>;
    fn bring_in(&self, staged: &Path, path: &Path, last: &str) -> Result<()>;
    fn replace(&self, staged: &Path, path: &Path, old: &Path) -> Result<()>;
    fn change(&self, path: &Path, change: &Change<'_>) -> Result<()>;
    fn move_aside(&self, path: &Path, to: &Path) -> Result<()>;
    fn take_away(&self, path: &Path, aside: &Path) -> Result<()>;
    fn sweep(&self, path: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<()>;
    fn drop_left(&self, path: &Path) -> Result<()>;
    fn identity(&self, path: &Path) -> Result<(u64, u64)>;
    fn lock(&self, path: &Path, wait: bool) -> Result<Option<Box<dyn Held>>>;
    fn is_locked(&self, path: &Path) -> Result<bool>;
}

/// Files of a folder that change together.
pub struct Change<'a> {
    /// These get their new bytes, in this order where they cannot do so at once.
    pub put: &'a [(String, Vec<u8>)],
    /// These go, unless they are put.
    pub drop: &'a dyn Fn(&str) -> bool,
    /// A folder for our work.
    pub work: &'a Path,
}

impl Place {
    /// A file or folder of this host.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { medium: Arc::new(folder::Folder), path: path.into() }
    }

    /// Where it is within its medium: a path of this host, or one within a bucket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is below it under a name.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self { medium: Arc::clone(&self.medium), path: self.path.join(name) }
    }

    /// The place that a text of [`Place`]'s `Display` names, if it lies below this one, and
    /// else the file of this host.
    #[must_use]
    pub fn named(&self, text: &str) -> Self {
        match text.strip_prefix(&format!("{self}/")) {
            Some(below) => self.join(below),
            None => Self::folder(text),
        }
    }

    /// Its path as seen from `root`; `None` if it does not lie below it.
    pub fn below(&self, root: &Self) -> Option<&Path> {
        self.path.strip_prefix(&root.path).ok()
    }

    /// The folder on this host in which files for the place named so are made.
    pub fn scratch(&self) -> PathBuf {
        self.medium.scratch(&self.path)
    }

    /// The same place, with what is below it looked at once where each look costs a request:
    /// [`Place::look`], [`Place::names`] and [`Place::entries`] then say what was seen.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn listed(self) -> Result<Self> {
        Ok(match self.medium.listed(&self.path)? {
            Some(medium) => Self { medium, path: self.path },
            None => self,
        })
    }

    /// What is there; `None` if nothing is. Links are not followed.
    ///
    /// # Errors
    /// If it cannot be looked at: permission denied is not "does not exist".
    pub fn look(&self) -> Result<Option<Seen>> {
        self.medium.look(&self.path)
    }

    /// Whether something is there.
    ///
    /// # Errors
    /// As [`Place::look`].
    pub fn exists(&self) -> Result<bool> {
        Ok(self.look()?.is_some())
    }

    /// Whether a folder is there.
    ///
    /// # Errors
    /// As [`Place::look`].
    pub fn is_folder(&self) -> Result<bool> {
        self.medium.is_folder(&self.path)
    }

    /// The names in a folder; none if there is no such folder.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let names = self.medium.names(&self.path)?;
        Ok(names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    /// What is in a folder, sorted by name; nothing if there is no such folder.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn entries(&self) -> Result<Vec<(OsString, Seen)>> {
        let mut entries = self.medium.entries(&self.path)?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Its bytes, one after another.
    ///
    /// # Errors
    /// If it cannot be opened. An error that carries a [`crate::model::Failure`] is that failure.
    pub fn open(&self) -> std::io::Result<Box<dyn Read + Send>> {
        self.medium.open(&self.path)
    }

    /// All bytes of at most `limit`; `None` if it does not exist.
    ///
    /// # Errors
    /// If it cannot be read or is larger.
    pub fn read(&self, limit: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.read_tagged(limit)?.map(|(bytes, _)| bytes))
    }

    /// As [`Place::read`], with the tag that [`Place::put_after`] wants.
    ///
    /// # Errors
    /// As [`Place::read`].
    pub fn read_tagged(&self, limit: u64) -> Result<Option<(Vec<u8>, Tag)>> {
        self.medium.read(&self.path, limit)
    }

    /// As [`Place::read`] without following links: what a link shows may change.
    ///
    /// # Errors
    /// If it cannot be read. What is no plain small file is an answer.
    pub fn read_plain(&self, limit: u64) -> Result<Plain> {
        self.medium.read_plain(&self.path, limit)
    }

    /// SHA-256 and size in bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn digest(&self) -> Result<(Digest, u64)> {
        let mut file = self.open().during(|| format!("opening {self}"))?;
        digest_reader(&mut file).during(|| format!("reading {self}"))
    }

    /// The file on this host, copied here if it lies elsewhere.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn local(&self) -> Result<Local> {
        self.medium.local(&self.path)
    }

    /// Copies it to a file of this host.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn copy_out(&self, to: &Path) -> Result<()> {
        self.medium.copy_out(&self.path, to)
    }

    /// Writes a small file: readers see the old one or the new one.
    ///
    /// # Errors
    /// If it cannot be written; it is then what it was.
    pub fn put(&self, bytes: &[u8]) -> Result<()> {
        self.medium.put(&self.path, bytes)
    }

    /// As [`Place::put`], but only while the file is the one that was read (`None`: there was
    /// none); says whether it was. In a folder the caller's lock is what keeps others away.
    ///
    /// # Errors
    /// As [`Place::put`].
    pub fn put_after(&self, bytes: &[u8], before: Option<&Tag>) -> Result<bool> {
        self.medium.put_after(&self.path, bytes, before)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.medium.remove(&self.path)
    }

    /// Puts a folder of this host here; what was here goes. A folder changes in one step, and
    /// what was here then lies at `staged`; elsewhere the file called `last` is written last.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn bring_in(&self, staged: &Path, last: &str) -> Result<()> {
        self.medium.bring_in(staged, &self.path, last)
    }

    /// Puts a file of this host here; what was here, if anything, is kept as `old`.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn replace(&self, staged: &Path, old: &Self) -> Result<()> {
        self.medium.replace(staged, &self.path, &old.path)
    }

    /// Changes small files of a folder: at once, where the medium can.
    ///
    /// # Errors
    /// If something cannot be written.
    pub fn change(&self, change: &Change<'_>) -> Result<()> {
        self.medium.change(&self.path, change)
    }

    /// Moves a file or folder to a place that no web server shows.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn move_aside(&self, to: &Self) -> Result<()> {
        self.medium.move_aside(&self.path, &to.path)
    }

    /// Removes a folder: out of sight in one step where the medium can, by way of `aside`, a
    /// free name in a folder of this host that goes itself.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn take_away(&self, aside: &Path) -> Result<()> {
        self.medium.take_away(&self.path, aside)
    }

    /// Removes what killed writers left here, in [`STAGING`], and in the folders whose names
    /// are ours.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn sweep(&self, is_ours: &dyn Fn(&str) -> bool) -> Result<()> {
        self.medium.sweep(&self.path, is_ours)
    }

    /// Removes what lies in a staging folder and was not swept, unless its writer lives.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn drop_left(&self) -> Result<()> {
        self.medium.drop_left(&self.path)
    }

    /// Two numbers that change when another folder comes in this one's place.
    ///
    /// # Errors
    /// If it is not there.
    pub fn identity(&self) -> Result<(u64, u64)> {
        self.medium.identity(&self.path)
    }

    /// Takes the lock that a file here is, and waits for it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn lock(&self) -> Result<Lock> {
        let taken = self.medium.lock(&self.path, true)?;
        let never = || crate::model::Failure::bug(format!("waiting for {self} did not wait"));
        taken.map(Lock).ok_or_else(never)
    }

    /// As [`Place::lock`], or says `None` if somebody holds it.
    ///
    /// # Errors
    /// As [`Place::lock`].
    pub fn try_lock(&self) -> Result<Option<Lock>> {
        Ok(self.medium.lock(&self.path, false)?.map(Lock))
    }

    /// Whether somebody holds the lock; nothing is made there.
    ///
    /// # Errors
    /// If it is there and cannot be looked at.
    pub fn is_locked(&self) -> Result<bool> {
        self.medium.is_locked(&self.path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.medium.show(&self.path))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}
