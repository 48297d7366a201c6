//! The stack of layers seen as one tree, as overlayfs would show it, without mounting it.
//!
//! The top layer that has a name wins; a whiteout removes the name; folders are merged
//! down to the first opaque one. Symbolic links are followed inside the tree only: the
//! host's own files can never be reached through a link in an image.

use super::entry::{self, Entry, Kind};
use super::stack::Stack;
use crate::effects::files;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// One name of the merged tree.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is.
    pub entry: Entry,
    /// The path of a name given before that is the same file.
    pub link: Option<PathBuf>,
}

/// All names of the merged tree: the root first, then folder by folder, each folder's names
/// in byte order and a folder's content right after it. Whiteouts and opaque marks do not
/// show. Only the folders on the way to the current name are held in memory.
#[derive(Debug)]
pub struct Walk {
    epoch: i64,
    /// Whether whiteouts show.
    raw: bool,
    pending: Vec<std::vec::IntoIter<Merged>>,
    first_names: HashMap<(u64, u64), PathBuf>,
}

/// A name that shows, and the host folders that it is merged from, top first.
#[derive(Debug)]
struct Merged {
    path: PathBuf,
    source: PathBuf,
    folders: Vec<PathBuf>,
    /// Whether one of the folders hides what lies below.
    opaque: bool,
}

/// Walks the merged tree.
pub fn walk(stack: &Stack) -> Walk {
    let folders = stack.folders_from_top().into_iter().map(Path::to_owned).collect();
    start(folders, stack.epoch, false)
}

/// Walks neighbouring layers (bottom first) as the one layer that has their effect: whiteouts
/// and opaque marks show, because they hide what lies below all of them.
pub fn walk_layers(folders: &[&Path], epoch: i64) -> Walk {
    start(folders.iter().rev().map(|folder| (*folder).to_owned()).collect(), epoch, true)
}

/// Walks neighbouring layers (bottom first) that nothing lies below: as they show.
pub fn walk_flat(folders: &[&Path], epoch: i64) -> Walk {
    start(folders.iter().rev().map(|folder| (*folder).to_owned()).collect(), epoch, false)
}

fn start(folders: Vec<PathBuf>, epoch: i64, raw: bool) -> Walk {
    let root = folders.first().cloned();
    let root = root.map(|source| Merged { path: PathBuf::new(), source, folders, opaque: false });
    Walk {
        epoch,
        raw,
        pending: vec![root.into_iter().collect::<Vec<_>>().into_iter()],
        first_names: HashMap::new(),
    }
}

impl Walk {
    fn visit(&mut self, merged: Merged) -> Result<Found> {
        let mut entry = Entry::read(merged.source, merged.path, self.epoch)?;
        if let Kind::Folder { opaque } = &mut entry.kind {
            *opaque |= merged.opaque;
            self.pending.push(merge(&merged.folders, &entry.path, self.raw)?.into_iter());
        }
        let link = entry.linked.and_then(|inode| match self.first_names.get(&inode) {
            Some(first) => Some(first.clone()),
            None => {
                self.first_names.insert(inode, entry.path.clone());
                None
            }
        });
        Ok(Found { entry, link })
    }
}

impl Iterator for Walk {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.pending.last_mut()?.next() {
                Some(merged) => return Some(self.visit(merged)),
                None => drop(self.pending.pop()),
            }
        }
    }
}

/// What the layers looked at so far say of one name.
struct Name {
    source: PathBuf,
    /// Top first; empty when the name is no folder.
    folders: Vec<PathBuf>,
    /// Whether layers further down can still add to the folder.
    open: bool,
    removed: bool,
}

/// The names that show in one folder, sorted; with `raw` the removed ones too.
fn merge(folders: &[PathBuf], path: &Path, raw: bool) -> Result<Vec<Merged>> {
    let mut names: BTreeMap<OsString, Name> = BTreeMap::new();
    for folder in folders {
        let reading = || format!("reading {}", folder.display());
        for child in std::fs::read_dir(folder).during(reading)? {
            let child = child.during(reading)?;
            let (name, source) = (child.file_name(), child.path());
            let is_folder = child.file_type().during(reading)?.is_dir();
            let known = names.get_mut(&name);
            if known.as_ref().is_some_and(|known| !known.open) {
                continue;
            }
            let open = is_folder && !entry::is_opaque(&source)?;
            match known {
                Some(known) => {
                    known.open = open;
                    if is_folder {
                        known.folders.push(source);
                    }
                }
                None => {
                    let removed = !is_folder && removes(&child)?;
                    let folders = if is_folder { vec![source.clone()] } else { Vec::new() };
                    names.insert(name, Name { source, folders, open, removed });
                }
            }
        }
    }
    Ok(names
        .into_iter()
        .filter(|(_, name)| raw || !name.removed)
        .map(|(leaf, name)| Merged {
            path: path.join(leaf),
            source: name.source,
            opaque: !name.open && !name.folders.is_empty(),
            folders: name.folders,
        })
        .collect())
}

fn removes(child: &std::fs::DirEntry) -> Result<bool> {
    // DirEntry::metadata does not follow links.
    let meta = child.metadata().during(|| format!("looking at {}", child.path().display()))?;
    Ok(entry::is_whiteout(&meta))
}

/// Where a name of the merged tree is on the host, and its folders if it is one.
fn look_up(stack: &Stack, parts: &[OsString]) -> Result<Option<(PathBuf, Vec<PathBuf>)>> {
    let mut folders: Vec<PathBuf> = stack.folders_from_top().into_iter().map(Path::to_owned).collect();
    let Some(top) = folders.first().cloned() else { return Ok(None) };
    let mut here = top;
    for part in parts {
        let mut next = Vec::new();
        let mut found = None;
        for folder in &folders {
            let candidate = folder.join(part);
            let meta = match std::fs::symlink_metadata(&candidate) {
                Ok(meta) => meta,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Failure::io(format!("looking at {}", candidate.display()), &e)),
            };
            if !meta.is_dir() {
                // A file or whiteout ends the folder that layers further up began.
                if found.is_none() && !entry::is_whiteout(&meta) {
                    found = Some(candidate);
                }
                break;
            }
            found.get_or_insert_with(|| candidate.clone());
            let opaque = entry::is_opaque(&candidate)?;
            next.push(candidate);
            if opaque {
                break;
            }
        }
        let Some(found) = found else { return Ok(None) };
        (here, folders) = (found, next);
    }
    Ok(Some((here, folders)))
}

/// What is at a path of the image when no link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// No such name.
    Nothing,
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

/// What is at a path of the image, no link followed.
///
/// # Errors
/// If a layer cannot be read.
pub fn there(stack: &Stack, path: &Path) -> Result<There> {
    Ok(match look_up(stack, &parts_of(path))? {
        None => There::Nothing,
        Some((_, folders)) if folders.is_empty() => There::Other,
        Some(_) => There::Folder,
    })
}

/// Follows a path of the image to what it stands for, links included.
fn resolve(stack: &Stack, path: &Path) -> Result<Option<(PathBuf, Vec<PathBuf>)>> {
    let mut todo: VecDeque<OsString> = parts_of(path).into();
    let mut done: Vec<OsString> = Vec::new();
    let mut links = 0;
    let mut at = look_up(stack, &done)?;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            // The root is its own parent, as in a chroot.
            done.pop();
            at = look_up(stack, &done)?;
            continue;
        }
        done.push(part);
        at = look_up(stack, &done)?;
        let Some((host, _)) = &at else { return Ok(None) };
        let meta = std::fs::symlink_metadata(host).during(|| format!("looking at {}", host.display()))?;
        if meta.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Ok(None);
            }
            let target = std::fs::read_link(host).during(|| format!("reading {}", host.display()))?;
            done.pop();
            if target.is_absolute() {
                done.clear();
            }
            for part in parts_of(&target).into_iter().rev() {
                todo.push_front(part);
            }
            at = look_up(stack, &done)?;
        } else if !meta.is_dir() && !todo.is_empty() {
            return Ok(None);
        }
    }
    Ok(at)
}

fn parts_of(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Where a regular file of the image is on the host; `None` if there is none of that name.
///
/// # Errors
/// If a layer cannot be read.
pub fn find(stack: &Stack, path: impl AsRef<Path>) -> Result<Option<PathBuf>> {
    let Some((host, _)) = resolve(stack, path.as_ref())? else { return Ok(None) };
    let meta = std::fs::symlink_metadata(&host).during(|| format!("looking at {}", host.display()))?;
    Ok(meta.is_file().then_some(host))
}

/// A regular file of the image, of at most `limit` bytes; `None` if there is none of that name.
///
/// # Errors
/// If a layer cannot be read, or the file is larger.
pub fn read(stack: &Stack, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
    match find(stack, path)? {
        Some(host) => files::read_if_exists(&host, limit),
        None => Ok(None),
    }
}

/// The names in a folder of the image, sorted; `None` if there is no such folder.
///
/// # Errors
/// If a layer cannot be read.
pub fn names(stack: &Stack, folder: impl AsRef<Path>) -> Result<Option<Vec<OsString>>> {
    let Some((_, folders)) = resolve(stack, folder.as_ref())? else { return Ok(None) };
    if folders.is_empty() {
        return Ok(None);
    }
    let merged = merge(&folders, Path::new(""), false)?;
    Ok(Some(merged.into_iter().map(|name| name.path.into_os_string()).collect()))
}

/// Sum of the sizes of all regular files that show, in bytes, a file with several names
/// counted once.
///
/// # Errors
/// If a layer cannot be read.
pub fn size(stack: &Stack) -> Result<u64> {
    let mut total = 0;
    for found in walk(stack) {
        let found = found?;
        if let (Kind::File { size }, None) = (found.entry.kind, found.link) {
            total += size;
        }
    }
    Ok(total)
}
