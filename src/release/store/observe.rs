//! What is published, looked at fast: every plan begins here.
//!
//! Signatures and manifests are checked, files only for their presence and size; reading
//! every byte is `verify`'s work.

use super::{Store, check, index};
use crate::effects::files::read_if_exists;
use crate::model::lock::Lock;
use crate::model::name::ImageName;
use crate::model::observed::{Defect, Observed, ObservedImage, ObservedRelease};
use crate::model::recipe::Recipe;
use crate::model::release::{FileRole, IndexedImage, IndexedRelease, Manifest};
use crate::model::{Digest, Failure, Result};
use crate::release::keys::PublicKey;
use std::collections::BTreeMap;
use std::path::Path;

impl Store {
    /// The published state of the wanted images.
    ///
    /// # Errors
    /// *Untrusted* if no trusted key signed the index; class *host* if something cannot be
    /// read. What is wrong with a release is part of the answer.
    pub fn observe(&self, keys: &[PublicKey], wanted: &[ImageName]) -> Result<Observed> {
        let index = index::read(&self.path, keys)?;
        let mut observed = Observed::default();
        for name in wanted {
            if let Some(image) = index.images.get(name) {
                observed.images.insert(name.clone(), self.observe_image(name, image, keys)?);
            }
        }
        Ok(observed)
    }

    pub(super) fn observe_image(
        &self,
        name: &ImageName,
        image: &IndexedImage,
        keys: &[PublicKey],
    ) -> Result<ObservedImage> {
        let mut observed = ObservedImage::default();
        // Several channels often point to one release: it is looked at once.
        let mut heads = BTreeMap::new();
        for (channel, version) in &image.channels {
            let Some(listed) = image.releases.iter().find(|r| &r.version == version) else { continue };
            if !heads.contains_key(version) {
                heads.insert(version.clone(), self.observe_release(name, listed, keys)?);
            }
            observed.channels.insert(channel.clone(), heads[version].clone());
        }
        // Oldest first, so that the newest release of a recipe stays.
        for listed in image.releases.iter().rev() {
            if self.can_be_promoted(name, listed) {
                observed.by_recipe.insert(listed.recipe, listed.version.clone());
            }
        }
        Ok(observed)
    }

    fn observe_release(
        &self,
        name: &ImageName,
        listed: &IndexedRelease,
        keys: &[PublicKey],
    ) -> Result<ObservedRelease> {
        let folder = self.folder(name, &listed.version);
        let expected =
            check::Expected { image: name, version: &listed.version, manifest: Some(listed.manifest) };
        let checked = check::release(&folder, Some(&expected), keys, check::Depth::Sizes)?;
        let mut defects = checked.defects;
        let (mut recipe, mut lock) = (None, None);
        if let Some(manifest) = &checked.manifest {
            recipe = read_role(&folder, manifest, FileRole::Recipe, &mut defects)?
                .and_then(|bytes| serde_json::from_slice::<Recipe>(&bytes).ok())
                .filter(|recipe| recipe.digest() == manifest.recipe);
            lock = read_role(&folder, manifest, FileRole::Lock, &mut defects)?
                .and_then(|bytes| parse_lock(&bytes).ok())
                .filter(|lock| lock.digest() == manifest.lock);
        }
        Ok(ObservedRelease {
            version: listed.version.clone(),
            recipe_digest: listed.recipe,
            recipe,
            lock,
            commit: checked.manifest.and_then(|m| m.commit),
            published: listed.published,
            defects,
        })
    }

    /// A release that has lost its manifest or a file is no way back to its recipe.
    fn can_be_promoted(&self, name: &ImageName, listed: &IndexedRelease) -> bool {
        let folder = self.folder(name, &listed.version);
        check::read_manifest(&folder, name, listed).is_ok_and(|manifest| {
            manifest.files.iter().all(|f| {
                folder.join(&f.name).symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == f.size)
            })
        })
    }
}

/// Reads the one file of a role once its digest is right; a wrong digest is a defect.
pub(super) fn read_role(
    folder: &Path,
    manifest: &Manifest,
    role: FileRole,
    defects: &mut Vec<Defect>,
) -> Result<Option<Vec<u8>>> {
    let Some(file) = manifest.files.iter().find(|f| f.role == role) else { return Ok(None) };
    let path = folder.join(&file.name);
    // Size and kind were looked at before; what is not as listed is a defect already.
    if !path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == file.size) {
        return Ok(None);
    }
    let Some(bytes) = read_if_exists(&path, check::TEXT_LIMIT)? else { return Ok(None) };
    if Digest::of(&bytes) != file.sha256 {
        let how = format!("its digest is {}, the manifest says {}", Digest::of(&bytes), file.sha256);
        defects.push(Defect::Altered { file: file.name.clone(), how });
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Reads the text of a lock.
pub(super) fn parse_lock(bytes: &[u8]) -> Result<Lock> {
    // YAML 1.1 would read the package `no` as a boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|e| Failure::untrusted(format!("the lock cannot be read: {e}")))
}
