//! The registry that OCI images are pushed to: pushing and attaching in a run, looking
//! whether all is still there on a deep look, and putting it right.
//!
//! An image and what belongs to its release are in the registry before the release is
//! published: a registry that refuses fails the run, and nothing is published without them.

use super::{Publishing, World};
use crate::build::registry::{self, Credentials};
use crate::model::attachment::RegistryImage;
use crate::model::event::Emitter;
use crate::model::name::{ImageName, Version};
use crate::model::observed::{Defect, Mend, Observed};
use crate::model::release::FileRole;
use crate::model::{ArtifactKind, Failure, FailureClass, Result, VerifiedArtifact};
use crate::release::attached::{self, Documents};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The registry of a catalog, and what was found wrong there.
pub struct Registry {
    prefix: String,
    credentials: Credentials,
    /// What is wrong with the image of a release, for the plans after the deep look.
    wrong: Mutex<BTreeMap<(ImageName, Version), String>>,
}

impl Registry {
    /// Images go below `prefix`: `registry.example/team`.
    pub fn new(prefix: &str, credentials: Credentials) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned(), credentials, wrong: Mutex::default() }
    }

    fn wrong(&self) -> std::sync::MutexGuard<'_, BTreeMap<(ImageName, Version), String>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an image was pushed to where images are pushed now.
    fn has(&self, image: &RegistryImage) -> bool {
        image.reference.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl World<'_> {
    /// Pushes the verified OCI image, tagged with the version, where a registry is set.
    pub(super) fn push(
        &self,
        image: &ImageName,
        version: &Version,
        artifacts: &[VerifiedArtifact],
        events: &Emitter,
    ) -> Result<Option<RegistryImage>> {
        let Some(registry) = &self.registry else { return Ok(None) };
        let oci =
            artifacts.iter().map(VerifiedArtifact::artifact).find(|a| a.kind == ArtifactKind::OciArchive);
        let Some(oci) = oci else { return Ok(None) };
        let reference = format!("{}/{image}:{version}", registry.prefix);
        self.push_to(registry, &oci.path, reference, events).map(Some)
    }

    fn push_to(
        &self,
        registry: &Registry,
        archive: &Path,
        reference: String,
        events: &Emitter,
    ) -> Result<RegistryImage> {
        if self.offline {
            return Err(Failure::offline(format!("the OCI image cannot be pushed to {}", registry.prefix))
                .hint("Publish with network, or remove store.registry from bootwright.yaml."));
        }
        let pushing = registry::push(archive, &reference, &registry.credentials, events, &self.cancel);
        let digest = self.runtime.block_on(pushing)?.digest;
        Ok(RegistryImage { reference, digest })
    }

    /// Attaches to a pushed image what belongs to its release.
    pub(super) fn attach(
        &self,
        documents: Option<(RegistryImage, Documents)>,
        publishing: &Publishing,
        events: &Emitter,
    ) -> Result<()> {
        let (Some(registry), Some((image, documents))) = (&self.registry, documents) else { return Ok(()) };
        let (credentials, cancel) = (&registry.credentials, &self.cancel);
        let by_digest = by_digest(&image);
        let reading = registry::read(&by_digest, &attached::TYPES, credentials, cancel);
        let found = self.runtime.block_on(reading)?.attachments;
        let attachments = attached::of(&image, documents, &publishing.signers, &found)?;
        let attaching = registry::attach(&image, &attachments, credentials, events, cancel);
        self.runtime.block_on(attaching).map(drop)
    }

    /// Puts the image of a published release, and what belongs to it, into the registry again.
    pub(super) fn push_again(
        &self,
        image: &ImageName,
        version: &Version,
        publishing: &Publishing,
    ) -> Result<()> {
        let gone = || Failure::bug(format!("{image} {version} is to be pushed and has no OCI image"));
        let registry = self.registry.as_ref().ok_or_else(gone)?;
        let (pushed, documents) = self.store.documents(image, version, &self.keys)?.ok_or_else(gone)?;
        let manifest = self.store.manifest(image, version, &self.keys)?;
        let is_image = |role: FileRole| role == FileRole::Artifact(ArtifactKind::OciArchive);
        let file = manifest.files.iter().find(|f| is_image(f.role)).ok_or_else(gone)?;
        let archive = self.store.folder(image, version).join(&file.name).local()?;
        let there = self.push_to(registry, archive.path(), pushed.reference.clone(), &self.events)?;
        if there.digest != pushed.digest {
            return Err(Failure::untrusted(format!(
                "{}: the archive holds image {}, the signed manifest names {}",
                archive.path().display(),
                there.digest,
                pushed.digest
            ))
            .hint("Run `bootwright reconcile --deep`: it repairs what is published."));
        }
        self.attach(Some((pushed, documents)), publishing, &self.events)?;
        registry.wrong().remove(&(image.clone(), version.clone()));
        Ok(())
    }

    /// The images whose place in the registry has to be looked at: those of which every
    /// published byte is hashed now.
    pub(super) fn due_in_registry(&self) -> Result<BTreeSet<ImageName>> {
        if self.registry.is_none() || self.offline {
            return Ok(BTreeSet::new());
        }
        let (index, _) = self.store.index_outlived(&self.keys)?;
        self.overdue(&index)
    }

    /// Says of each release that a channel points to what is wrong with its image in the
    /// registry, and that pushing it again mends that. `due` are looked at now.
    pub(super) fn look_at_registry(&self, observed: &mut Observed, due: &BTreeSet<ImageName>) -> Result<()> {
        let Some(registry) = &self.registry else { return Ok(()) };
        for (name, image) in &mut observed.images {
            for release in image.channels.values_mut() {
                let id = (name.clone(), release.version.clone());
                if due.contains(name) {
                    match self.wrong_in(registry, &id) {
                        Ok(Some(how)) => drop(registry.wrong().insert(id.clone(), how)),
                        Ok(None) => drop(registry.wrong().remove(&id)),
                        Err(f) if f.class == FailureClass::Cancelled => return Err(f),
                        Err(f) => self.events.warn(format!("{} {} in the registry: {f}", id.0, id.1)),
                    }
                }
                let Some(how) = registry.wrong().get(&id).cloned() else { continue };
                // What needs a build is pushed by that.
                let mends = image.mends.get_mut(&id.1);
                match (release.defects.is_empty(), mends) {
                    (_, Some(mends)) if !mends.contains(&Mend::Push) => mends.push(Mend::Push),
                    (true, None) => drop(image.mends.insert(id.1.clone(), vec![Mend::Push])),
                    _ => {}
                }
                let defect = Defect::Registry { how };
                if !release.defects.contains(&defect) {
                    release.defects.push(defect);
                }
            }
        }
        Ok(())
    }

    /// What is wrong with the image of a release; nothing of one that is not in the registry.
    fn wrong_in(
        &self,
        registry: &Registry,
        (name, version): &(ImageName, Version),
    ) -> Result<Option<String>> {
        let Ok(manifest) = self.store.manifest(name, version, &self.keys) else { return Ok(None) };
        let Some(image) = manifest.registry.filter(|image| registry.has(image)) else { return Ok(None) };
        let (credentials, cancel) = (&registry.credentials, &self.cancel);
        let reference = &image.reference;
        match self.runtime.block_on(registry::tagged(reference, credentials, cancel))? {
            None => return Ok(Some(format!("{reference} is not in the registry"))),
            Some(digest) if digest != image.digest => {
                return Ok(Some(format!("{reference} is {digest} in the registry, not {}", image.digest)));
            }
            Some(_) => {}
        }
        let by_digest = by_digest(&image);
        let reading = registry::read(&by_digest, &attached::TYPES, credentials, cancel);
        let found = self.runtime.block_on(reading)?;
        Ok(match attached::check(&found.digest, &found.attachments, &self.keys) {
            Ok((attached, _)) if attached.version != *version || attached.image != *name => {
                Some(format!("{reference} says that it is {} {}", attached.image, attached.version))
            }
            Ok((_, checks)) => checks.into_iter().find_map(|check| {
                let (file, why) = (check.file, check.finding.err()?);
                Some(format!("{reference} in the registry: {file}: {why}"))
            }),
            Err(failure) => Some(format!("{reference} in the registry: {}", failure.message)),
        })
    }
}

fn by_digest(image: &RegistryImage) -> String {
    format!("{}@{}", image.repository(), image.digest)
}
