//! Two folders, entry by entry.

use super::{Found, first_byte};
use crate::effects::Cancel;
use crate::model::Result;
use crate::model::failure::IoContext;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The first entry, by name, that only one of two folders has or that is different.
pub(super) fn first(a: &Path, b: &Path, cancel: &Cancel) -> Result<Option<Found>> {
    below(a, b, Path::new(""), cancel)
}

fn below(a: &Path, b: &Path, at: &Path, cancel: &Cancel) -> Result<Option<Found>> {
    let names: BTreeSet<OsString> = names(&a.join(at))?.into_iter().chain(names(&b.join(at))?).collect();
    for name in names {
        cancel.check()?;
        let path = at.join(name);
        if let Some(found) = entry(a, b, &path, cancel)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn entry(a: &Path, b: &Path, path: &Path, cancel: &Cancel) -> Result<Option<Found>> {
    let (left, right) = (a.join(path), b.join(path));
    let found = |what: String, pair: Option<(PathBuf, PathBuf)>| {
        Ok(Some(Found { place: vec![path.to_string_lossy().into_owned()], what, pair }))
    };
    let (x, y) = match (left.symlink_metadata(), right.symlink_metadata()) {
        (Ok(x), Ok(y)) => (x, y),
        (Ok(_), Err(_)) => return found("not in this build".to_owned(), None),
        (Err(_), _) => return found("not in what is published".to_owned(), None),
    };
    if let Some(what) = attributes(&x, &y) {
        return found(what, None);
    }
    if x.is_dir() {
        return below(a, b, path, cancel);
    }
    if x.is_symlink() {
        let to = |p: &Path| p.read_link().during(|| format!("reading {}", p.display()));
        let (x, y) = (to(&left)?, to(&right)?);
        if x != y {
            return found(format!("a link to {}, to {} in this build", x.display(), y.display()), None);
        }
        return Ok(None);
    }
    if x.is_file() {
        if let Some(offset) = first_byte(&left, &right, cancel)? {
            return found(content(offset, x.len(), y.len()), Some((left, right)));
        }
        return Ok(None);
    }
    match x.rdev() == y.rdev() {
        true => Ok(None),
        false => found("another device number".to_owned(), None),
    }
}

/// Words for contents that differ.
pub(super) fn content(offset: u64, published: u64, rebuilt: u64) -> String {
    match published == rebuilt {
        true => format!("its content differs from byte {offset} on"),
        false => {
            format!("its content differs from byte {offset} on; {published} bytes, {rebuilt} in this build")
        }
    }
}

fn attributes(x: &Metadata, y: &Metadata) -> Option<String> {
    let pairs = [
        ("mode", format!("{:o}", x.mode()), format!("{:o}", y.mode())),
        ("owner", x.uid().to_string(), y.uid().to_string()),
        ("group", x.gid().to_string(), y.gid().to_string()),
        ("time of change", x.mtime().to_string(), y.mtime().to_string()),
    ];
    pairs
        .into_iter()
        .find(|(_, a, b)| a != b)
        .map(|(name, a, b)| format!("its {name} is {a}, {b} in this build"))
}

fn names(folder: &Path) -> Result<Vec<OsString>> {
    let reading = || format!("reading {}", folder.display());
    std::fs::read_dir(folder)
        .during(reading)?
        .map(|entry| entry.during(reading).map(|e| e.file_name()))
        .collect()
}
