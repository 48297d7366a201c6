//! One name in a layer's folder, with everything about it that outputs carry.
//!
//! Only attributes that belong to the image are read; what the host's own file system
//! adds (SELinux labels, IMA) is left out, and traces of overlayfs that would tie a layer
//! to one host are refused.

use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Marks a folder that hides what lies below.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder {
        /// Whether it hides the folders of the same name below.
        opaque: bool,
    },
    /// A regular file of `size` bytes.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as it stands there.
        target: OsString,
    },
    /// A block or character device.
    Device {
        /// Block, else character.
        block: bool,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket: it means nothing without the process that made it, and no archive carries it.
    Socket,
    /// The name is removed from what lies below.
    Whiteout,
}

/// One name in a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path in the image, without leading slash; empty for the root.
    pub path: PathBuf,
    /// Where it is on the host.
    pub source: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// The low twelve mode bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970, not before and not after the epoch that was given.
    pub mtime: u64,
    /// Extended attributes that belong to the image, sorted by name.
    pub xattrs: Vec<(OsString, Vec<u8>)>,
    /// Device and inode number of a file that has more than one name.
    pub linked: Option<(u64, u64)>,
}

impl Entry {
    /// Reads one name. `epoch` is the latest time it may carry.
    ///
    /// # Errors
    /// If it cannot be read; class *bug* if it carries traces of overlayfs that
    /// normalising should have removed.
    pub fn read(source: PathBuf, path: PathBuf, epoch: i64) -> Result<Self> {
        let meta =
            std::fs::symlink_metadata(&source).during(|| format!("looking at {}", source.display()))?;
        let (xattrs, opaque) = xattrs(&source)?;
        let kind = kind(&source, &meta, opaque)?;
        let linked = matches!(kind, Kind::File { .. }) && meta.nlink() > 1;
        Ok(Self {
            path,
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: u64::try_from(meta.mtime().min(epoch)).unwrap_or(0),
            xattrs,
            linked: linked.then(|| (meta.dev(), meta.ino())),
            source,
        })
    }

    /// The path with `/` between its parts, as bytes.
    pub fn name(&self) -> &[u8] {
        self.path.as_os_str().as_bytes()
    }
}

fn kind(source: &Path, meta: &Metadata, opaque: bool) -> Result<Kind> {
    let file_type = meta.file_type();
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    Ok(if file_type.is_dir() {
        Kind::Folder { opaque }
    } else if file_type.is_file() {
        Kind::File { size: meta.len() }
    } else if file_type.is_symlink() {
        let target = std::fs::read_link(source).during(|| format!("reading {}", source.display()))?;
        Kind::Symlink { target: target.into_os_string() }
    } else if is_whiteout(meta) {
        Kind::Whiteout
    } else if file_type.is_char_device() || file_type.is_block_device() {
        Kind::Device { block: file_type.is_block_device(), major, minor }
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    })
}

/// Whether this is overlayfs's mark for a removed name.
pub fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// Whether a folder hides what lies below.
///
/// # Errors
/// If its attributes cannot be read.
pub fn is_opaque(folder: &Path) -> Result<bool> {
    Ok(xattrs(folder)?.1)
}

type Attributes = Vec<(OsString, Vec<u8>)>;

fn xattrs(source: &Path) -> Result<(Attributes, bool)> {
    let reading = || format!("reading the extended attributes of {}", source.display());
    let (mut kept, mut opaque) = (Vec::new(), false);
    for name in list_xattrs(source).during(reading)? {
        let bytes = name.as_bytes();
        if bytes == OPAQUE {
            opaque = read_xattr(source, &name).during(reading)? == b"y";
        } else if bytes.starts_with(b"trusted.overlay.") {
            return Err(Failure::bug(format!(
                "{}: {} should have been removed when the layer was normalised",
                source.display(),
                name.display()
            )));
        } else if belongs_to_image(bytes) {
            let value = read_xattr(source, &name).during(reading)?;
            kept.push((name, value));
        }
    }
    kept.sort();
    Ok((kept, opaque))
}

/// File capabilities, access lists and what users set; nothing that the host's own
/// security modules add.
fn belongs_to_image(name: &[u8]) -> bool {
    name == b"security.capability"
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
        || name.starts_with(b"user.")
}

fn list_xattrs(source: &Path) -> std::io::Result<Vec<OsString>> {
    let size = match rustix::fs::llistxattr_query(source) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        size => size?,
    };
    let mut names = vec![0u8; size];
    let size = rustix::fs::llistxattr(source, &mut names[..])?;
    Ok(names[..size]
        .split(|b| *b == 0)
        .filter(|n| !n.is_empty())
        .map(|n| OsString::from_vec(n.to_vec()))
        .collect())
}

fn read_xattr(source: &Path, name: &OsStr) -> std::io::Result<Vec<u8>> {
    let mut value = vec![0u8; rustix::fs::lgetxattr_query(source, name)?];
    if !value.is_empty() {
        let size = rustix::fs::lgetxattr(source, name, &mut value[..])?;
        value.truncate(size);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_images_own_attributes_count() {
        assert!(belongs_to_image(b"security.capability"));
        assert!(belongs_to_image(b"user.mime_type"));
        assert!(!belongs_to_image(b"security.selinux"));
        assert!(!belongs_to_image(b"security.ima"));
        assert!(!belongs_to_image(b"trusted.glusterfs"));
    }

    #[test]
    fn times_stay_between_zero_and_the_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"x").unwrap();
        let entry = Entry::read(path.clone(), "f".into(), 1000).unwrap();
        assert_eq!((entry.mtime, entry.kind), (1000, Kind::File { size: 1 }));
        assert_eq!(Entry::read(path, "f".into(), -5).unwrap().mtime, 0);
    }
}
