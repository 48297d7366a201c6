//! Where builds keep what they may need again. All of it can be deleted.
//!
//! ```text
//! packages/HEX.deb          package files by SHA-256
//! layers/ID/root/           a layer's files: an overlayfs upper directory
//! layers/ID/layer.json      what it is
//! initramfs/ID/initrd       an initramfs by what it was made from
//! initramfs/modules/         archives of kernel modules by their content
//! boot-files/ID/            files for the ISO's boot loaders
//! apt/KEY/                  package indexes
//! modules/, blobs/          squashfs modules and OCI blobs by layer
//! memory.json               what rounds with nothing to do found out (`reconcile::memory`)
//! work/                     folders of running builds, swept when their process is gone
//! ```

use crate::effects::files::WorkFolder;
use crate::model::failure::IoContext;
use crate::model::recipe::LayerId;
use crate::model::{Digest, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The cache folder of one catalog or host.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
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
        let cache = Self { root };
        WorkFolder::sweep(&cache.work())?;
        Ok(cache)
    }

    /// The folder itself: squashfs modules and OCI blobs are kept in sub-folders of it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of a package.
    pub fn package(&self, sha256: &Digest) -> PathBuf {
        self.root.join("packages").join(format!("{}.deb", sha256.hex()))
    }

    /// The folder of a layer.
    pub fn layer(&self, id: &LayerId) -> PathBuf {
        self.root.join("layers").join(id.to_string())
    }

    /// The folder of an initramfs.
    pub fn initramfs(&self, id: &Digest) -> PathBuf {
        self.root.join("initramfs").join(id.hex())
    }

    /// The folder of extracted boot-loader packages.
    pub fn boot_files(&self, id: &Digest) -> PathBuf {
        self.root.join("boot-files").join(id.hex())
    }

    /// The folder of apt's indexes for one kind of request.
    pub fn apt(&self, key: &Digest) -> PathBuf {
        self.root.join("apt").join(key.short())
    }

    /// Where running builds work.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The layers that are there, for the planner.
    pub fn layers(&self) -> BTreeSet<LayerId> {
        std::fs::read_dir(self.root.join("layers"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(LayerId)
            .collect()
    }
}
