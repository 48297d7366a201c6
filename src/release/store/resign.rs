//! Signing again what outlived the keys that signed it: no byte of a release changes, only
//! who vouches for it.
//!
//! Every byte is checked first against the manifest that the index names, because a new
//! signature says of all of them what the old one said. The new signatures come into their
//! place with the whole folder, in one step: nobody sees a release without them.

use super::stage::swap_in;
use super::{MANIFEST, Signers, Store, Writer, check, index, signatures};
use crate::effects::files::{WorkFolder, read_if_exists, sync_folder, write_atomic};
use crate::model::failure::IoContext;
use crate::model::name::{ImageName, Version};
use crate::model::release::IndexedRelease;
use crate::model::{Failure, Result};
use crate::release::{path, sums};
use chrono::{DateTime, Utc};
use std::path::Path;

impl Store {
    /// Signs releases again whose keys are retired or are too few by now, and the index with
    /// them, its serial raised. Those that are in order are left as they are; what was done
    /// is the answer.
    ///
    /// # Errors
    /// *Untrusted* if a byte of a release is not what its manifest says; *not found* if the
    /// index does not list it; class *host* if something cannot be written. Releases that
    /// were signed before the one that failed stay so.
    pub fn resign(
        &self,
        image: &ImageName,
        versions: &[Version],
        signers: &Signers,
        now: DateTime<Utc>,
    ) -> Result<Vec<Version>> {
        let mut writer = Writer::open(self, signers)?;
        let (mut done, mut failed) = (Vec::new(), None);
        for version in versions {
            match writer.resign(image, version) {
                Ok(true) => done.push(version.clone()),
                Ok(false) => {}
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        writer.finish(Some(image), now)?;
        failed.map_or(Ok(done), Err)
    }
}

impl Writer<'_> {
    /// Signs one release again if it has to be; says whether it had to.
    pub(super) fn resign(&mut self, image: &ImageName, version: &Version) -> Result<bool> {
        let listed = index::find(&self.index, image, version)?;
        let folder = self.store.folder(image, version);
        if check::outlived(&folder, self.signers.keys())?.is_empty() {
            return Ok(false);
        }
        self.check_bytes(&folder, image, listed)?;
        let work = WorkFolder::new(&self.store.staging(), image.as_str())?;
        let staged = work.path().join("release");
        copy(&folder, &staged, &|name| path::SIGNED.iter().any(|file| path::is_signature_of(file, name)))?;
        for file in [MANIFEST, sums::FILE_NAME] {
            let bytes = read_if_exists(&staged.join(file), check::TEXT_LIMIT)?
                .ok_or_else(|| Failure::untrusted(format!("{file} of {image} {version} has vanished")))?;
            for (name, signature) in signatures::make(file, &bytes, self.signers)? {
                write_atomic(&staged.join(name), signature.as_bytes(), 0o644)?;
            }
        }
        sync_folder(&staged)?;
        swap_in(&staged, &folder)?;
        self.again = true;
        Ok(true)
    }

    fn check_bytes(&self, folder: &Path, image: &ImageName, listed: &IndexedRelease) -> Result<()> {
        let version = &listed.version;
        let expected = check::Expected { image, version, manifest: Some(listed.manifest) };
        let checked = check::release(folder, Some(&expected), self.signers.keys(), check::Depth::Digests)?;
        match checked.defects.iter().find(|d| !d.is_outlived()) {
            Some(defect) => {
                Err(Failure::untrusted(format!("{image} {version} is not signed again: {defect}"))
                    .hint(format!("Build it again: `bootwright reconcile --force {image}`.")))
            }
            None => Ok(()),
        }
    }
}

/// A second folder with the same files, but for those that are left out.
fn copy(from: &Path, to: &Path, left_out: &dyn Fn(&str) -> bool) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(to).during(|| format!("making {}", to.display()))?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755))
        .during(|| format!("setting the mode of {}", to.display()))?;
    let reading = || format!("reading {}", from.display());
    for entry in std::fs::read_dir(from).during(reading)? {
        let entry = entry.during(reading)?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().during(reading)?.is_dir() {
            copy(&path, &to.join(&name), &|_| false)?;
        } else if !left_out(&name.to_string_lossy()) {
            link(&path, &to.join(&name))?;
        }
    }
    sync_folder(to)
}

/// The old folder goes when the new one is in its place, so a link shares nothing for long.
fn link(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let copying = || format!("copying {} to {}", from.display(), to.display());
    std::fs::copy(from, to).during(copying)?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).during(copying)
}
