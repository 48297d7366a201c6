//! Signing again what outlived the keys that signed it: no byte of a release changes, only
//! who vouches for it.
//!
//! Every byte is checked first against the manifest that the index names, because a new
//! signature says of all of them what the old one said. The new signatures come into their
//! place with the whole folder in one step, or in an order in which enough of them are there
//! at any time: nobody sees a release without them.

use super::{MANIFEST, Signers, Store, Writer, check, index, signatures};
use crate::effects::Place;
use crate::effects::place::Change;
use crate::model::name::{ImageName, Version};
use crate::model::release::IndexedRelease;
use crate::model::{Failure, Result};
use crate::release::{path, sums};
use chrono::{DateTime, Utc};

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
        let work = self.store.work(image.as_str())?;
        let mut put = Vec::new();
        for file in [MANIFEST, sums::FILE_NAME] {
            let bytes = folder
                .join(file)
                .read(check::TEXT_LIMIT)?
                .ok_or_else(|| Failure::untrusted(format!("{file} of {image} {version} has vanished")))?;
            let mut made = signatures::make(file, &bytes, self.signers)?;
            // The first one takes the place of another key's: after the others it is missed least.
            made.rotate_left(1);
            put.extend(made.into_iter().map(|(name, signature)| (name, signature.into_bytes())));
        }
        let drop = |name: &str| path::SIGNED.iter().any(|file| path::is_signature_of(file, name));
        folder.change(&Change { put: &put, drop: &drop, work: work.path() })?;
        self.again = true;
        Ok(true)
    }

    fn check_bytes(&self, folder: &Place, image: &ImageName, listed: &IndexedRelease) -> Result<()> {
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
