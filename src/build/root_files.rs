//! Puts files into a sandboxed root from inside, by its own `tar`.
//!
//! From inside, because then links of the root are followed within the root, parent
//! folders are copied up with their own owner and mode, and no path can lead outside.

use crate::effects::{Cancel, Sandbox};
use crate::model::failure::IoContext;
use crate::model::probe::ProbeFile;
use crate::model::{Failure, Result};

/// One file or link, owned by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path in the root, without the leading slash.
    pub path: String,
    /// What it is.
    pub content: Content,
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
}

impl Entry {
    /// A regular file.
    pub fn file(path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), content: Content::File { mode, bytes: bytes.into() } }
    }

    /// A symbolic link.
    pub fn symlink(path: &str, target: &str) -> Self {
        Self { path: path.to_owned(), content: Content::Symlink { target: target.to_owned() } }
    }

    /// A file of the probe.
    pub fn of_probe(file: &ProbeFile) -> Self {
        match file.mode {
            Some(mode) => Self::file(file.path, mode, file.bytes.clone()),
            None => Self::symlink(file.path, &String::from_utf8_lossy(&file.bytes)),
        }
    }
}

/// Writes `entries` into the root, dated `epoch` (seconds).
///
/// # Errors
/// If a path is refused, or the root's `tar` fails (a file where a folder should be).
pub fn write(sandbox: &Sandbox, entries: &[Entry], epoch: i64, cancel: &Cancel) -> Result<()> {
    let archive = archive(entries, epoch)?;
    sandbox
        .process("/bin/tar")?
        // What busybox knows too. The archive has no folders and no names of owners.
        .args(["-x", "-p", "-f", "-", "-C", "/"])
        .stdin(archive)
        .check(cancel)
        .map(|_| ())
}

/// A tar archive of `entries`, dated `epoch` (seconds), without their folders.
///
/// # Errors
/// If a path is refused.
pub fn archive(entries: &[Entry], epoch: i64) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        if entry.path.is_empty() || entry.path.starts_with('/') || entry.path.split('/').any(|p| p == "..") {
            return Err(Failure::spec(format!("{:?} is not a path inside of an image", entry.path)));
        }
        let during = || format!("packing {}", entry.path);
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(epoch).unwrap_or(0));
        match &entry.content {
            Content::File { mode, bytes } => {
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                header.set_entry_type(tar::EntryType::Regular);
                builder.append_data(&mut header, &entry.path, bytes.as_slice()).during(during)?;
            }
            Content::Symlink { target } => {
                header.set_mode(0o777);
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, &entry.path, target).during(during)?;
            }
        }
    }
    builder.into_inner().during(|| "packing files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_outside_are_refused() {
        for bad in ["", "/etc/x", "a/../../x", ".."] {
            assert!(archive(&[Entry::file(bad, 0o644, "x")], 0).is_err(), "{bad:?}");
        }
        assert!(archive(&[Entry::file("etc/x", 0o644, "x"), Entry::symlink("etc/y", "/x")], 0).is_ok());
    }
}
