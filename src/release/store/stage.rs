//! Writing the files of a release under a name that nobody sees yet.

use crate::effects::files::digest_file;
use crate::effects::{Point, point};
use crate::model::failure::IoContext;
use crate::model::release::{FileRole, ReleaseFile};
use crate::model::{Digest, Failure, Result};
use crate::release::path;
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A release that is being written.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    files: BTreeMap<String, ReleaseFile>,
}

impl Staging {
    /// An empty release in a new folder.
    pub fn new(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
        open_to_all(&folder, 0o755)?;
        Ok(Self { folder, files: BTreeMap::new() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that a manifest lists, sorted by name.
    pub fn files(&self) -> Vec<ReleaseFile> {
        self.files.values().cloned().collect()
    }

    /// Takes in an artifact, synced and hashed again: it must still be the bytes that were
    /// verified. Always a copy (a shared one where the file system can): a hard link would
    /// let whoever writes to the build's file later alter what is published.
    pub fn take(&mut self, from: &Path, name: &str, role: FileRole, verified: Digest) -> Result<()> {
        let (digest, size) = self.copy_in(from, name)?;
        if digest != verified {
            return Err(Failure::untrusted(format!(
                "{}: its bytes changed after they were verified: {verified} then, {digest} now",
                from.display()
            ))
            .hint("Something else writes to this file; build it again."));
        }
        self.list(name, role, size, digest);
        Ok(())
    }

    /// Takes in a file that nothing vouches for (evidence).
    pub fn copy(&mut self, from: &Path, name: &str, role: FileRole) -> Result<()> {
        let (digest, size) = self.copy_in(from, name)?;
        self.list(name, role, size, digest);
        Ok(())
    }

    fn copy_in(&self, from: &Path, name: &str) -> Result<(Digest, u64)> {
        let to = self.place(name)?;
        std::fs::copy(from, &to).during(|| format!("copying {} to {}", from.display(), to.display()))?;
        open_to_all(&to, 0o644)?;
        File::open(&to).and_then(|f| f.sync_all()).during(|| format!("syncing {}", to.display()))?;
        point(Point::FileStaged)?;
        digest_file(&to)
    }

    /// Writes a file and lists it.
    pub fn write(&mut self, name: &str, role: FileRole, bytes: &[u8]) -> Result<()> {
        self.write_unlisted(name, bytes)?;
        self.list(name, role, bytes.len() as u64, Digest::of(bytes));
        Ok(())
    }

    /// Writes a file that the manifest does not list: itself, checksums, signatures, the page.
    pub fn write_unlisted(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.place(name)?;
        let writing = || format!("writing {}", path.display());
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o644).open(&path).during(writing)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).during(writing)?;
        open_to_all(&path, 0o644)?;
        point(Point::FileStaged)
    }

    /// Syncs the folders, so that a rename after this survives a power cut.
    pub fn sync(&self) -> Result<()> {
        let mut folders: Vec<PathBuf> =
            self.files.keys().filter_map(|n| n.split_once('/')).map(|(f, _)| self.folder.join(f)).collect();
        folders.dedup();
        folders.push(self.folder.clone());
        folders.iter().try_for_each(|folder| crate::effects::files::sync_folder(folder))
    }

    fn place(&self, name: &str) -> Result<PathBuf> {
        path::check(name).map_err(|f| Failure::bug(f.message))?;
        if self.files.contains_key(name) {
            return Err(Failure::bug(format!("the release has two files called {name}")));
        }
        if let Some((folder, _)) = name.split_once('/') {
            let folder = self.folder.join(folder);
            if !folder.is_dir() {
                std::fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
                open_to_all(&folder, 0o755)?;
            }
        }
        Ok(self.folder.join(name))
    }

    fn list(&mut self, name: &str, role: FileRole, size: u64, sha256: Digest) {
        let file = ReleaseFile { name: name.to_owned(), role, size, sha256 };
        self.files.insert(name.to_owned(), file);
    }
}

/// Sets a mode that a web server can read whatever our umask is.
fn open_to_all(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .during(|| format!("setting the mode of {}", path.display()))
}
