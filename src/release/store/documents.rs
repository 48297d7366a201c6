//! The files of a release that are attached to its image in a registry.

use super::{MANIFEST, Store, check};
use crate::effects::Place;
use crate::model::attachment::RegistryImage;
use crate::model::name::{ImageName, Version};
use crate::model::release::{FileRole, Manifest};
use crate::model::{Digest, Failure, Result};
use crate::release::attached::Documents;
use crate::release::{Trust, keyless};

impl Store {
    /// What is attached to the image of a release in a registry, and where that is; nothing if
    /// it was not pushed to one.
    ///
    /// # Errors
    /// As [`Store::manifest`]; *untrusted* if a file is not what the manifest says.
    pub fn documents(
        &self,
        image: &ImageName,
        version: &Version,
        trust: &Trust,
    ) -> Result<Option<(RegistryImage, Documents)>> {
        let manifest = self.manifest(image, version, trust)?;
        read(&self.folder(image, version), &manifest)
    }
}

/// Reads them from the folder of a release.
pub(super) fn read(folder: &Place, manifest: &Manifest) -> Result<Option<(RegistryImage, Documents)>> {
    let Some(image) = manifest.registry.clone() else { return Ok(None) };
    let listed = |role: FileRole| {
        let file = manifest.files.iter().find(|f| f.role == role);
        let file = file.ok_or_else(|| Failure::untrusted(format!("{folder} lists no {role:?}")))?;
        let bytes = text(folder, &file.name)?;
        if Digest::of(&bytes) != file.sha256 {
            return Err(Failure::untrusted(format!("{} was altered", folder.join(&file.name)))
                .hint("Run `bootwright reconcile --deep`: it repairs what is published."));
        }
        Ok(bytes)
    };
    let documents = Documents {
        manifest: text(folder, MANIFEST)?,
        sbom: listed(FileRole::Sbom)?,
        provenance: listed(FileRole::Provenance)?,
        bundle: folder.join(keyless::FILE_NAME).read(check::TEXT_LIMIT)?,
    };
    Ok(Some((image, documents)))
}

fn text(folder: &Place, name: &str) -> Result<Vec<u8>> {
    let place = folder.join(name);
    place.read(check::TEXT_LIMIT)?.ok_or_else(|| Failure::untrusted(format!("{place} is missing")))
}
