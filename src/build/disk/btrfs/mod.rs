//! A Btrfs filesystem with a tree of files in it, written without mounting anything.
//!
//! `mkfs.btrfs --rootdir` takes over what this host has (times of change, order of names) and
//! makes neither subvolumes nor compressed files; so the trees are written here, all of one
//! transaction. The kernel reads and goes on with them as with its own.
//!
//! ```text
//! 64 KiB   superblock; again at 64 MiB and 256 GiB
//! 1 MiB    system chunk (where the others are), twice
//! 65 MiB   data
//! behind   metadata, twice
//! ```

mod files;
mod format;
mod tree;
mod trees;

use super::contents::{self, Volume};
use crate::build::entry::{Entry, Kind};
use crate::effects::Cancel;
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use files::{Data, Subvolume};
use format::object;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tree::{Marks, Owned};
use trees::{Facts, Root, Trees};

const MIB: u64 = 1 << 20;
/// Where addresses of the system chunk and of data begin.
const SYSTEM: u64 = MIB;
const DATA: u64 = 16 * MIB;

/// What only Btrfs has.
#[derive(Debug)]
pub struct Btrfs<'a> {
    /// Name, size, content.
    pub volume: &'a Volume<'a>,
    /// Whether files are compressed, by zstd.
    pub compress: bool,
    /// Subvolumes by name, and the folder that each takes the place of (empty for the root
    /// itself); without any, all lies in the top level.
    pub subvolumes: &'a [(&'a str, &'a Path)],
}

impl Btrfs<'_> {
    /// Writes it; its size in bytes.
    ///
    /// # Errors
    /// Class *limit* if the content does not fit into the size that was given; *spec* if
    /// something of it cannot be on Btrfs.
    pub fn write(&self, cancel: &Cancel) -> Result<u64> {
        let path = self.volume.image;
        let writing = || format!("writing {}", path.display());
        let image = File::create(path).during(writing)?;
        let (extents, sums) = (Vec::new(), Vec::new());
        let mut data = Data { image: &image, path, compress: self.compress, used: 0, extents, sums };
        let (roots, mut items) = self.files(&mut data, cancel)?;
        items.push((object::DATA_RELOC_TREE, Subvolume::new(&self.plain_root())?.finish()));
        let facts = Facts {
            roots,
            compress: self.compress,
            time: self.volume.epoch.max(0).unsigned_abs(),
            device: self.id("device"),
            marks: Marks { filesystem: *self.volume.uuid.as_bytes(), chunks: self.id("chunks") },
        };
        let trees = Trees::new(facts, items, &data)?;
        let size = trees.size(self.volume.size)?;
        image.set_len(size).during(writing)?;
        for (at, bytes) in trees.write(size, self.volume.label)? {
            image.write_all_at(&bytes, at).during(writing)?;
        }
        Ok(size)
    }

    /// The trees of files: the top level first.
    fn files(&self, data: &mut Data<'_>, cancel: &Cancel) -> Result<(Vec<Root>, Vec<Owned>)> {
        let names = self.volume.names;
        let root = match names.first() {
            Some(found) if matches!(found.entry.kind, Kind::Folder { .. }) => &found.entry,
            _ => return Err(Failure::bug("a filesystem without a root folder")),
        };
        let mut top = Subvolume::new(root)?;
        let (mut roots, mut items) = (Vec::new(), Vec::new());
        let mounts: Vec<&Path> = self.subvolumes.iter().map(|(_, mount)| *mount).collect();
        for ((name, mount), id) in self.subvolumes.iter().zip(object::FIRST_FREE..) {
            let inside = contents::below(names, mount, &mounts);
            let mut subvolume =
                Subvolume::new(&inside.first().map_or_else(|| self.plain_root(), |f| f.entry.clone()))?;
            for found in inside.iter().skip(1) {
                subvolume.add(found, (id, data), cancel)?;
            }
            let place = Some((top.mount(name, id)?, (*name).to_owned()));
            roots.push(Root { id, uuid: self.id(name), place });
            items.push((id, subvolume.finish()));
        }
        if self.subvolumes.is_empty() {
            for found in names.iter().skip(1) {
                top.add(found, (object::FS_TREE, data), cancel)?;
            }
        }
        roots.insert(0, Root { id: object::FS_TREE, uuid: self.id("top"), place: None });
        items.insert(0, (object::FS_TREE, top.finish()));
        Ok((roots, items))
    }

    fn plain_root(&self) -> Entry {
        Entry {
            path: PathBuf::new(),
            source: PathBuf::new(),
            kind: Kind::Folder { opaque: false },
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: self.volume.epoch.max(0).unsigned_abs(),
            xattrs: Vec::new(),
            linked: None,
        }
    }

    /// An identifier for one purpose.
    fn id(&self, what: &str) -> [u8; 16] {
        let mut id = [0; 16];
        let digest = Digest::of_json(&(self.volume.uuid.to_string(), "btrfs", what));
        id.copy_from_slice(&digest.as_bytes()[..16]);
        uuid::Builder::from_custom_bytes(id).into_uuid().into_bytes()
    }
}
