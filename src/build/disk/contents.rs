//! What goes into one filesystem of a disk: the part of the layers below its mount point, and
//! the files that only a disk has.

use crate::build::entry::{Entry, Kind};
use crate::build::stack::Stack;
use crate::build::union::{self, Found};
use crate::model::failure::IoContext;
use crate::model::spec::Size;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file that is on the disk and in no layer.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Path in the image, without the leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its bytes, or where they are.
    pub content: Content,
}

/// What an [`Extra`] is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A file with the bytes of a file of the host.
    Host(PathBuf),
    /// An empty folder.
    Folder,
}

/// A filesystem that is to be made.
#[derive(Debug)]
pub struct Volume<'a> {
    /// Where it goes; a sparse file.
    pub image: &'a Path,
    /// Its size in bytes; as small as is sensible if `None`.
    pub size: Option<u64>,
    /// Its UUID.
    pub uuid: uuid::Uuid,
    /// Its label: a word in ASCII of at most 12 letters.
    pub label: &'a str,
    /// The latest time that it carries, in seconds since 1970.
    pub epoch: i64,
    /// All that is in it, its root first.
    pub names: &'a [Found],
}

/// All names of the disk, with paths from the root: those of the layers in their order, then
/// the extras and what folders they need. Bytes of extras are kept in `scratch`.
///
/// # Errors
/// If a layer cannot be read or an extra not be written.
pub fn names(stack: &Stack, extras: &[Extra], scratch: &Path) -> Result<Vec<Found>> {
    let replaced: BTreeSet<&Path> = extras.iter().map(|extra| Path::new(&extra.path)).collect();
    let mut names = Vec::new();
    let mut folders = BTreeSet::new();
    for found in union::walk(stack) {
        let found = found?;
        let folder = matches!(found.entry.kind, Kind::Folder { .. });
        if folder {
            folders.insert(found.entry.path.clone());
        }
        if folder || !replaced.contains(found.entry.path.as_path()) {
            names.push(found);
        }
    }
    let time = stack.epoch.max(0).unsigned_abs();
    for (number, extra) in extras.iter().enumerate() {
        let path = PathBuf::from(&extra.path);
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        for folder in above.into_iter().rev() {
            if folders.insert(folder.to_owned()) {
                names.push(plain(folder.to_owned(), PathBuf::new(), FOLDER, 0o755, time));
            }
        }
        let source = match &extra.content {
            Content::Folder => {
                if folders.insert(path.clone()) {
                    names.push(plain(path, PathBuf::new(), FOLDER, extra.mode, time));
                }
                continue;
            }
            Content::Host(source) => source.clone(),
            Content::Bytes(bytes) => {
                let kept = scratch.join(format!("extra-{number}"));
                std::fs::write(&kept, bytes).during(|| format!("writing {}", kept.display()))?;
                kept
            }
        };
        let size = source.metadata().during(|| format!("looking at {}", source.display()))?.len();
        names.push(plain(path, source, Kind::File { size }, extra.mode, time));
    }
    Ok(names)
}

const FOLDER: Kind = Kind::Folder { opaque: false };

/// A name of root's, without attributes.
fn plain(path: PathBuf, source: PathBuf, kind: Kind, mode: u32, mtime: u64) -> Found {
    let entry = Entry { path, source, kind, mode, uid: 0, gid: 0, mtime, xattrs: Vec::new(), linked: None };
    Found { entry, link: None }
}

/// Those names that lie in the filesystem at `mount` (without the leading slash), with paths
/// from there. What lies in filesystems further down is left out but for their mount points.
pub fn below(names: &[Found], mount: &Path, others: &[&Path]) -> Vec<Found> {
    let deeper: Vec<&&Path> = others.iter().filter(|o| o.starts_with(mount) && **o != mount).collect();
    let inside = |path: &Path| !deeper.iter().any(|other| path.starts_with(other) && path != **other);
    let mut kept: Vec<Found> = Vec::new();
    let mut there = BTreeSet::new();
    for found in names {
        let Ok(path) = found.entry.path.strip_prefix(mount) else { continue };
        if !inside(&found.entry.path) {
            continue;
        }
        let mut found = found.clone();
        // A name in another filesystem cannot be the same file: the first one here is.
        found.link = found.link.and_then(|first| {
            let here = first.strip_prefix(mount).ok().map(Path::to_owned);
            here.filter(|here| there.contains(here))
        });
        found.entry.path = path.to_owned();
        if found.link.is_none() && found.entry.linked.is_some() {
            there.insert(found.entry.path.clone());
        }
        kept.push(found);
    }
    kept
}

/// What is said of a partition that is smaller than what is to be on it.
pub fn too_small(filesystem: &str, needed: u64, size: u64) -> Failure {
    let (needed, size) = (Size::from_bytes(needed), Size::from_bytes(size));
    Failure::new(
        ErrorCode::LimitExceeded,
        FailureClass::Limit,
        format!("its content needs {needed} of {filesystem}, the partition has {size}"),
    )
    .hint("Raise its size in filesystem.partitions, or take packages away.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, link: Option<&str>) -> Found {
        let mut found = plain(path.into(), PathBuf::new(), Kind::File { size: 1 }, 0o644, 0);
        found.link = link.map(PathBuf::from);
        found.entry.linked = Some((1, 1));
        found
    }

    fn folder(path: &str) -> Found {
        plain(path.into(), PathBuf::new(), FOLDER, 0o755, 0)
    }

    #[test]
    fn each_filesystem_gets_its_own_part() {
        let all = [
            folder(""),
            folder("etc"),
            file("etc/a", None),
            folder("var"),
            file("var/b", Some("etc/a")),
            file("var/c", Some("etc/a")),
            folder("var/log"),
            file("var/log/d", None),
            folder("variable"),
        ];
        let mounts = [Path::new(""), Path::new("var"), Path::new("var/log")];
        let of = |mount: &str| -> Vec<(String, Option<PathBuf>)> {
            let names = below(&all, Path::new(mount), &mounts);
            names.into_iter().map(|f| (f.entry.path.display().to_string(), f.link)).collect()
        };
        let paths = |mount| of(mount).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(paths(""), ["", "etc", "etc/a", "var", "variable"]);
        assert_eq!(paths("var"), ["", "b", "c", "log"]);
        assert_eq!(paths("var/log"), ["", "d"]);
        // Its first name lies elsewhere.
        assert_eq!(of("var")[1].1, None);
    }
}
