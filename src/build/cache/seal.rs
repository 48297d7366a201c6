//! Seals: what an entry was when it was stored.
//!
//! A seal has two halves. The *content* half says what every byte is: SHA-256 of a file, or
//! of the list of a tree's contents (which is kept, so that the first difference can be
//! named). The *glance* half says how the files looked on this disk: sizes, dates, inodes.
//! Before use a glance is enough; where it differs (a copy of the cache, a repaired disk,
//! somebody's editor) all bytes are read, and the entry either counts as damaged or gets a new
//! glance. What keeps dates and inodes and still changes bytes (a failing disk) is found by
//! `cache verify`.

use super::super::derived::in_parallel;
use crate::effects::files::{digest_file, read_if_exists, write_atomic};
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Raised when seals change their meaning; entries with others are made again.
const FORMAT: u32 = 1;
/// No seal is longer, in bytes.
const LONGEST_SEAL: u64 = 64 << 10;
/// No list of contents is longer, in bytes.
const LONGEST_LIST: u64 = 1 << 30;
/// The tree of a sealed folder.
const TREE: &str = "root";
/// The seal in a sealed folder.
const SEAL: &str = "seal.json";
/// The list of contents in a sealed folder.
const LIST: &str = "contents";

/// Whether an entry is what its seal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is.
    Sound,
    /// It is not; what differs first.
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct TreeSeal {
    format: u32,
    /// Names in the tree.
    entries: u64,
    /// Bytes of its files.
    bytes: u64,
    /// SHA-256 of the list of contents.
    contents: Digest,
    glance: Digest,
}

/// The seal of a file, with what its kind wants to know besides.
#[derive(Serialize, Deserialize)]
struct FileSeal<F> {
    format: u32,
    size: u64,
    sha256: Digest,
    glance: (u64, i64, i64),
    facts: F,
}

/// The seal of a file: `NAME.json` beside it.
pub(crate) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Seals a file of known bytes that has its final name; the seal is what makes it count.
///
/// # Errors
/// If the seal cannot be written.
pub(crate) fn seal_file<F: Serialize>(file: &Path, sha256: Digest, facts: &F) -> Result<()> {
    let meta = look(file)?;
    let seal = FileSeal { format: FORMAT, size: meta.len(), sha256, glance: glance_at(&meta), facts };
    write_atomic(&beside(file), &to_json(&seal)?, 0o644)
}

/// What is there under the name of a sealed file.
pub(crate) enum SealedFile<F> {
    /// Nothing that counts.
    Absent,
    /// The file, as it was stored.
    Sound(F),
    /// Something else; why.
    Damaged(String),
}

/// Checks a sealed file by a glance, and by all its bytes where that differs.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn check_file<F: Serialize + DeserializeOwned>(file: &Path, full: bool) -> Result<SealedFile<F>> {
    let meta = match std::fs::symlink_metadata(file) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(SealedFile::Absent),
        Err(e) => return Err(Failure::io(format!("looking at {}", file.display()), &e)),
    };
    let damaged = |why: &str| Ok(SealedFile::Damaged(why.to_owned()));
    // A file whose seal was never written is what a killed process left.
    let Some(bytes) = read_if_exists(&beside(file), LONGEST_SEAL)? else { return Ok(SealedFile::Absent) };
    let Ok(seal) = serde_json::from_slice::<FileSeal<F>>(&bytes) else {
        return damaged("its seal cannot be read");
    };
    if seal.format != FORMAT || !meta.is_file() {
        return damaged("its seal is of another kind");
    }
    if meta.len() != seal.size {
        return damaged(&format!("it has {} bytes instead of {}", meta.len(), seal.size));
    }
    let glance = glance_at(&meta);
    if full || glance != seal.glance {
        if digest_file(file)?.0 != seal.sha256 {
            return damaged("its bytes have another SHA-256");
        }
        if glance != seal.glance {
            write_atomic(&beside(file), &to_json(&FileSeal { glance, ..seal })?, 0o644)?;
            return check_file(file, false);
        }
    }
    Ok(SealedFile::Sound(seal.facts))
}

/// Inode and date of its last change: with the size, what a glance at a file compares. (The
/// inode's own date would also move when somebody links the file.)
fn glance_at(meta: &Metadata) -> (u64, i64, i64) {
    (meta.ino(), meta.mtime(), meta.mtime_nsec())
}

/// Seals the tree `folder/root`: hashes all of it, several files at once.
///
/// # Errors
/// If something cannot be read.
pub fn seal_tree(folder: &Path) -> Result<()> {
    let tree = Tree::read(&folder.join(TREE))?;
    let list = tree.contents()?;
    write_atomic(&folder.join(LIST), list.as_bytes(), 0o644)?;
    let seal = TreeSeal {
        format: FORMAT,
        entries: tree.names.len() as u64,
        bytes: tree.bytes(),
        contents: Digest::of(&list),
        glance: tree.glance(),
    };
    write_atomic(&folder.join(SEAL), &to_json(&seal)?, 0o644)
}

/// Checks a sealed tree by a glance, and by all its bytes where that differs.
///
/// # Errors
/// If something cannot be read.
pub fn check_tree(folder: &Path) -> Result<Checked> {
    check(folder, false)
}

/// Checks all bytes of a sealed tree.
///
/// # Errors
/// If something cannot be read.
pub fn check_tree_fully(folder: &Path) -> Result<Checked> {
    check(folder, true)
}

fn check(folder: &Path, full: bool) -> Result<Checked> {
    let damaged = |why: String| Ok(Checked::Damaged(why));
    let Some(bytes) = read_if_exists(&folder.join(SEAL), LONGEST_SEAL)? else {
        return damaged("it has no seal".to_owned());
    };
    let Ok(seal) = serde_json::from_slice::<TreeSeal>(&bytes) else {
        return damaged("its seal cannot be read".to_owned());
    };
    if seal.format != FORMAT {
        return damaged("its seal is of another kind".to_owned());
    }
    let root = folder.join(TREE);
    if !root.is_dir() {
        return damaged("it has no root".to_owned());
    }
    let tree = Tree::read(&root)?;
    let glance = tree.glance();
    if !full && glance == seal.glance {
        return Ok(Checked::Sound);
    }
    let list = tree.contents()?;
    if Digest::of(&list) != seal.contents {
        let stored = read_if_exists(&folder.join(LIST), LONGEST_LIST)?.unwrap_or_default();
        return damaged(difference(&String::from_utf8_lossy(&stored), &list));
    }
    if glance != seal.glance {
        write_atomic(&folder.join(SEAL), &to_json(&TreeSeal { glance, ..seal })?, 0o644)?;
    }
    Ok(Checked::Sound)
}

/// One name of a tree.
struct Name {
    /// Below the root; empty for the root itself.
    path: PathBuf,
    meta: Metadata,
}

/// All names of a tree, each folder's in byte order.
struct Tree {
    root: PathBuf,
    names: Vec<Name>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { root: root.to_owned(), names: Vec::new() };
        let meta = look(root)?;
        tree.names.push(Name { path: PathBuf::new(), meta });
        tree.descend(root, Path::new(""))?;
        Ok(tree)
    }

    fn descend(&mut self, folder: &Path, path: &Path) -> Result<()> {
        let reading = || format!("reading {}", folder.display());
        let mut children = std::fs::read_dir(folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .during(reading)?;
        children.sort_by_key(std::fs::DirEntry::file_name);
        for child in children {
            // DirEntry::metadata does not follow links.
            let meta = child.metadata().during(|| format!("looking at {}", child.path().display()))?;
            let (is_dir, path) = (meta.is_dir(), path.join(child.file_name()));
            self.names.push(Name { path: path.clone(), meta });
            if is_dir {
                self.descend(&child.path(), &path)?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.names.iter().filter(|n| n.meta.is_file()).map(|n| n.meta.len()).sum()
    }

    /// How the tree looks on this disk, without reading a file.
    fn glance(&self) -> Digest {
        let mut hash = Sha256::new();
        for Name { path, meta } in &self.names {
            hash.update(path.as_os_str().as_bytes());
            // The root's own inode is dated anew when its folder gets its name.
            let changed =
                if path.as_os_str().is_empty() { (0, 0) } else { (meta.ctime(), meta.ctime_nsec()) };
            for number in [
                0,
                u64::from(meta.mode()),
                u64::from(meta.uid()) << 32 | u64::from(meta.gid()),
                meta.ino(),
                meta.len(),
                meta.rdev(),
                meta.mtime().cast_unsigned(),
                meta.mtime_nsec().cast_unsigned(),
                changed.0.cast_unsigned(),
                changed.1.cast_unsigned(),
            ] {
                hash.update(number.to_le_bytes());
            }
        }
        Digest::from_bytes(hash.finalize().into())
    }

    /// The list of contents: a line for each name with everything that shapes an image.
    fn contents(&self) -> Result<String> {
        let files: Vec<&Name> = self.names.iter().filter(|n| n.meta.is_file()).collect();
        let digests = Mutex::new(BTreeMap::new());
        in_parallel(&files, |name| {
            let (digest, _) = digest_file(&self.root.join(&name.path))?;
            if let Ok(mut digests) = digests.lock() {
                digests.insert(name.path.as_path(), digest);
            }
            Ok(())
        })?;
        let digests = digests.into_inner().map_err(|_| Failure::bug("a thread panicked"))?;
        let mut list = String::new();
        for Name { path, meta } in &self.names {
            let at = self.root.join(path);
            let content = match digests.get(path.as_path()) {
                Some(digest) => digest.hex(),
                None if meta.is_symlink() => {
                    let target = std::fs::read_link(&at).during(|| format!("reading {}", at.display()))?;
                    format!("->{}", target.as_os_str().as_bytes().escape_ascii())
                }
                None => format!("{:x}", meta.rdev()),
            };
            let size = if meta.is_file() { meta.len() } else { 0 };
            list.push_str(&format!(
                "/{} {:o} {}:{} {size} {} {content}{}\n",
                path.as_os_str().as_bytes().escape_ascii(),
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                attributes(&at)?
            ));
        }
        Ok(list)
    }
}

/// The extended attributes of a file, sorted: ` NAME=VALUE …` in hexadecimal.
fn attributes(path: &Path) -> Result<String> {
    let failed =
        |e: rustix::io::Errno| Failure::io(format!("reading attributes of {}", path.display()), &e.into());
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(String::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut found: Vec<&[u8]> = names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()).collect();
    found.sort_unstable();
    let mut text = String::new();
    let mut value = Vec::new();
    for name in found {
        value.resize(64 << 10, 0);
        let length =
            rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value[..]).map_err(failed)?;
        text.push_str(&format!(" {}={}", name.escape_ascii(), hex::encode(&value[..length])));
    }
    Ok(text)
}

/// The first name in which two lists of contents differ, and how.
fn difference(stored: &str, found: &str) -> String {
    let by_name = |list| -> BTreeMap<String, String> {
        let pairs = str::lines(list).filter_map(|line| line.split_once(' '));
        pairs.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (stored, found) = (by_name(stored), by_name(found));
    if let Some(name) = stored.keys().find(|name| !found.contains_key(*name)) {
        return format!("{name} is missing");
    }
    if let Some(name) = found.keys().find(|name| !stored.contains_key(*name)) {
        return format!("{name} was added");
    }
    // A folder's date changes with the names in it: what is in it tells more.
    let is_folder = |rest: &str| rest.starts_with("4") && rest.find(' ') == Some(5);
    let mut changed: Vec<_> = found.iter().filter(|(name, is)| stored.get(*name) != Some(is)).collect();
    changed.sort_by_key(|(_, is)| is_folder(is));
    match changed.first() {
        Some((name, _)) => format!("{name} was changed"),
        None => "its seal or list of contents was changed".to_owned(),
    }
}

fn look(path: &Path) -> Result<Metadata> {
    std::fs::symlink_metadata(path).during(|| format!("looking at {}", path.display()))
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Failure::bug(e.to_string()))
}
