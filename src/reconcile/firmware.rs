//! The firmware of devices in a run: its lock, its build, its proof.

use super::World;
use crate::effects::files::digest_file;
use crate::model::artifact::{Built, BuiltFirmware, InstalledPackage};
use crate::model::catalog::{DeviceDocument, Document};
use crate::model::failure::IoContext;
use crate::model::firmware_lock::FirmwareLock;
use crate::model::name::ImageName;
use crate::model::openwrt::BuilderId;
use crate::model::product::{Lock, ResolvedFirmware};
use crate::model::release::{FirmwareFacts, NotReproducible};
use crate::model::{Artifact, ArtifactKind, Failure, Result};
use std::path::Path;
use std::sync::Arc;

impl World<'_> {
    /// What a device profile comes to now.
    pub(super) fn resolve_firmware(&self, image: &ImageName, old: Option<&Lock>) -> Result<FirmwareLock> {
        let old = old.and_then(|lock| match lock {
            Lock::Firmware(lock) => Some(lock),
            Lock::Image(_) => None,
        });
        let device = self.device(image)?;
        self.upstream()?.lock(&device, old)
    }

    /// The profile of a device that was planned.
    fn device(&self, image: &ImageName) -> Result<Arc<DeviceDocument>> {
        match self.document(image) {
            Some(Document::Device(document)) => Ok(document),
            _ => Err(Failure::bug(format!("the plan has a firmware for {image}, which is no device"))),
        }
    }

    /// Builds a firmware, or finds it, and copies it to `out`.
    pub(super) fn build_firmware(
        &self,
        image: &ImageName,
        resolved: &ResolvedFirmware,
        out: &Path,
    ) -> Result<Built> {
        let board = self.device(image)?.profile.spec.board.as_ref().map(ToString::to_string);
        let recipe = &resolved.order.recipe;
        let upstream = self.upstream()?;
        let firmwares = upstream.firmwares();
        // What is there needs no Image Builder.
        let firmware = match firmwares.find(&recipe.digest())? {
            Some(firmware) => firmware,
            None => {
                let id = BuilderId::new(recipe.release.clone(), recipe.platform.clone())?;
                let builder = upstream.exactly(&id, recipe.builder)?;
                firmwares.build(resolved, &builder, false, self.clock.now())?
            }
        };
        let record = &firmware.record;
        let (mut artifacts, mut beside) = (Vec::new(), Vec::new());
        for file in &record.files {
            let (from, path) = (firmware.root.join(&file.name), out.join(&file.name));
            std::fs::copy(&from, &path).during(|| format!("copying to {}", path.display()))?;
            if record.images.iter().all(|image| image.name != file.name) {
                beside.push(path);
                continue;
            }
            let (digest, size) = digest_file(&path)?;
            artifacts.push(Artifact { kind: ArtifactKind::Firmware, path, digest, size });
        }
        let package = |p: &crate::model::firmware::ManifestPackage| InstalledPackage {
            name: p.name.to_string(),
            version: p.version.clone(),
            architecture: record.architecture.clone(),
            source: None,
            maintainer: None,
            homepage: None,
            sha256: None,
        };
        Ok(Built {
            recipe: record.digest,
            artifacts,
            layers: Vec::new(),
            packages: record.packages.iter().map(package).collect(),
            firmware: Some(BuiltFirmware { facts: FirmwareFacts::of(record, board), beside }),
        })
    }
}

/// The images that another build would not give the same bytes of: they end with a signature by a
/// key that the Image Builder makes each time it is unpacked.
pub(super) fn not_reproducible(facts: &FirmwareFacts) -> Vec<NotReproducible> {
    let signed = |image: &&crate::model::firmware::ImageFile| {
        image.sha256_unsigned.is_some_and(|unsigned| unsigned != image.sha256)
    };
    let why = |unsigned: String| {
        format!(
            "it ends with a signature by a key that is made for each build; without that it is {unsigned}"
        )
    };
    let images = facts.images.iter().filter(signed);
    images
        .map(|image| NotReproducible {
            file: image.name.clone(),
            why: why(image.sha256_unsigned.map(|digest| digest.to_string()).unwrap_or_default()),
        })
        .collect()
}
