//! Where builds keep what they may need again. All of it can be deleted.
//!
//! ```text
//! packages/HEX.deb             package files by SHA-256
//! layers/ID/root/              a layer's files: an overlayfs upper directory
//! modules/, blobs/             squashfs modules and OCI blobs by layer
//! initramfs/ID/root/initrd     an initramfs by what it was made from
//! initramfs-modules/           archives of kernel modules by their content
//! boot-files/ID/root/          files for the ISO's boot loaders
//! apt/KEY/                     package indexes
//! openwrt-builders/HEX/root/   Image Builders by the SHA-256 of their archives
//! openwrt-packages/HEX/        packages that an Image Builder fetched
//! openwrt-firmware/HEX/root/   firmware by its recipe
//! artifacts/, evidence/        of runs that are not published yet
//! memory.json                  what rounds with nothing to do found out (`reconcile::memory`)
//! work/                        folders of running builds, swept when their process is gone
//! ```
//!
//! What each of them is, how it looks and how its bytes are known stands in one table,
//! [`kind::TABLE`]. An entry is used in three steps: it is held (flock(2), so that no prune
//! takes it), checked ([`seal`]), stamped with the time. Who makes or removes an entry has its
//! `.lock` file.

mod entries;
pub mod kind;
pub mod needs;
pub mod prune;
pub mod seal;
pub mod verify;

pub use entries::{Entry, Total};
pub use kind::Kind;

use crate::effects::files::{FileLock, WorkFolder, parent};
use crate::model::failure::IoContext;
use crate::model::recipe::LayerId;
use crate::model::{Digest, ErrorCode, Failure, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use seal::Checked;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The cache folder of one catalog or host. Clones share what they hold.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    held: Arc<Mutex<Vec<FileLock>>>,
}

/// What was found where an entry should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// What it should be; it is held until the session ends.
    Sound,
    /// Something else; why.
    Damaged(String),
}

impl Cache {
    /// Opens the cache at `root`, making the folder if it is not there, and removes what
    /// killed builds left.
    ///
    /// # Errors
    /// Class *host* if the folder cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).during(|| format!("making the cache {}", root.display()))?;
        let root = root.canonicalize().during(|| format!("finding the cache {}", root.display()))?;
        let cache = Self { root, held: Arc::default() };
        WorkFolder::sweep(&cache.work())?;
        Ok(cache)
    }

    /// The same cache with nothing held yet: what is used through it is held until it and
    /// its clones are dropped.
    #[must_use]
    pub fn session(&self) -> Self {
        Self { root: self.root.clone(), held: Arc::default() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all entries of a kind.
    pub fn folder(&self, kind: Kind) -> PathBuf {
        self.root.join(kind.folder())
    }

    /// The file of a package.
    pub fn package(&self, sha256: &Digest) -> PathBuf {
        self.folder(Kind::Packages).join(format!("{}.deb", sha256.hex()))
    }

    /// The folder of a layer.
    pub fn layer(&self, id: &LayerId) -> PathBuf {
        self.folder(Kind::Layers).join(id.to_string())
    }

    /// The folder of an initramfs.
    pub fn initramfs(&self, id: &Digest) -> PathBuf {
        self.folder(Kind::Initramfs).join(id.hex())
    }

    /// The folder of extracted boot-loader packages.
    pub fn boot_files(&self, id: &Digest) -> PathBuf {
        self.folder(Kind::BootFiles).join(id.hex())
    }

    /// The folder of an unpacked Image Builder of OpenWrt, by its archive's digest.
    pub fn openwrt_builder(&self, archive: &Digest) -> PathBuf {
        self.folder(Kind::OpenwrtBuilders).join(archive.hex())
    }

    /// The folder of the packages that an Image Builder fetched, by its archive's digest.
    pub fn openwrt_packages(&self, archive: &Digest) -> PathBuf {
        self.folder(Kind::OpenwrtPackages).join(archive.hex())
    }

    /// The folder of a firmware of OpenWrt, by its recipe.
    pub fn firmware(&self, recipe: &Digest) -> PathBuf {
        self.folder(Kind::OpenwrtFirmware).join(recipe.hex())
    }

    /// The folder of apt's indexes for one kind of request.
    pub fn apt(&self, key: &Digest) -> PathBuf {
        self.folder(Kind::Indexes).join(key.short())
    }

    /// Where artifacts of a recipe lie while they are verified and published.
    pub fn artifacts(&self, recipe: &Digest) -> PathBuf {
        self.folder(Kind::Artifacts).join(recipe.hex())
    }

    /// Where running builds work.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The layers that are there, for the planner.
    pub fn layers(&self) -> BTreeSet<LayerId> {
        std::fs::read_dir(self.folder(Kind::Layers))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(LayerId)
            .collect()
    }

    /// Holds a file or folder of the cache until the session ends; `false` if it is not there.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn hold(&self, path: &Path) -> Result<bool> {
        let Some(lock) = FileLock::share(path)? else { return Ok(false) };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
        Ok(true)
    }

    /// Holds all packages: there are too many to hold each.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn hold_packages(&self) -> Result<()> {
        let folder = self.folder(Kind::Packages);
        std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        self.hold(&folder).map(drop)
    }

    /// Looks for a tree that [`seal::seal_tree`] sealed; holds and stamps it if it is sound.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn find_tree(&self, folder: &Path) -> Result<Found> {
        let Some(lock) = FileLock::share(folder)? else { return Ok(Found::Absent) };
        match seal::check_tree(folder)? {
            Checked::Sound => {}
            Checked::Damaged(why) => return Ok(Found::Damaged(why)),
        }
        stamp(folder)?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
        Ok(Found::Sound)
    }

    /// Removes an entry that is not what it should be. The caller has its maker's lock.
    ///
    /// # Errors
    /// If somebody uses it: two builds must not both think they are right.
    pub fn discard(&self, path: &Path) -> Result<()> {
        let Some(_claimed) = FileLock::try_claim(path)? else {
            if path.symlink_metadata().is_err() {
                return Ok(());
            }
            return Err(Failure::host(format!("{} is damaged and another build uses it", path.display()))
                .code(ErrorCode::Corrupt)
                .hint("Wait until the other build has ended, then run again: it is made anew."));
        };
        let trash = WorkFolder::new(&self.work(), "trash")?;
        into_trash(path, trash.path(), 0)
    }
}

/// The lock of whoever makes or removes an entry: `NAME.lock` beside it.
pub fn lock_of(entry: &Path) -> PathBuf {
    let mut name = entry.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Marks an entry as used now.
pub(in crate::build) fn stamp(path: &Path) -> Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| Failure::io(format!("marking {} as used", path.display()), &e.into()))
}

/// Moves an entry and its seal out of sight. The seal goes first: a file without one does
/// not count, so there is no moment in which half an entry would be used.
fn into_trash(path: &Path, trash: &Path, number: usize) -> Result<()> {
    let moving = || format!("removing {}", path.display());
    match std::fs::rename(seal::beside(path), trash.join(format!("{number}.json"))) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Failure::io(moving(), &e)),
        _ => {}
    }
    std::fs::rename(path, trash.join(number.to_string())).during(moving)?;
    crate::effects::files::sync_folder(parent(path))
}

#[cfg(test)]
mod tests;
