//! Publishing: stage, sign, rename, pages, index.

use super::stage::Staging;
use super::{MANIFEST, Signers, Store, Writer, check, documents, head, index, observe, signatures};
use crate::effects::files::WorkFolder;
use crate::effects::{Place, Point, point};
use crate::model::artifact::{Built, VerifiedArtifact};
use crate::model::attachment::RegistryImage;
use crate::model::catalog::CatalogSource;
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::product::{Lock, Recipe};
use crate::model::release::{
    FileRole, IndexedRelease, Manifest, NotReproducible, RELEASE_FORMAT, ReleaseFile, System,
};
use crate::model::settings::Keyless;
use crate::model::{Artifact, ArtifactKind, Digest, Failure, Result};
use crate::release::attached::Documents;
use crate::release::changelog::{self, Changes};
use crate::release::{blockmap, inputs, keyless, pages, path, provenance, sbom, sums};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Everything that becomes one release. Artifacts come as witnesses: what was not verified
/// cannot be put here.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The recipe that was built.
    pub recipe: Recipe,
    /// Its lock.
    pub lock: Lock,
    /// The text of the lock, as it goes into the release.
    pub lock_text: Vec<u8>,
    /// What the recipe names by digest.
    pub blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// What the build made.
    pub built: Built,
    /// The artifacts that go out.
    pub artifacts: Vec<VerifiedArtifact>,
    /// One line about the image.
    pub description: Option<String>,
    /// The release.
    pub version: Version,
    /// The channel that will point to it.
    pub channel: ChannelName,
    /// The catalog and the commit that asked for it.
    pub source: CatalogSource,
    /// What changed, as far as the catalog knows.
    pub changes: changelog::Inputs,
    /// Who built: a URI for the provenance.
    pub builder: String,
    /// Which run built, for the provenance.
    pub invocation: Option<String>,
    /// Where the OCI image is in a registry, if it was pushed to one.
    pub registry: Option<RegistryImage>,
    /// When the build began.
    pub started: DateTime<Utc>,
    /// The time of publishing.
    pub published: DateTime<Utc>,
    /// Files that are not bit-for-bit reproducible, and why.
    pub not_reproducible: Vec<NotReproducible>,
}

impl Publication {
    /// The name that it is published under.
    pub fn image(&self) -> ImageName {
        self.lock.name()
    }

    /// The name that an artifact is published under: those of firmware are the Image Builder's.
    fn file_name(&self, artifact: &Artifact) -> String {
        let Recipe::Image(recipe) = &self.recipe else { return own_name(&artifact.path) };
        let (kind, architecture) = (artifact.kind, recipe.architecture.as_str());
        format!("{}-{}-{architecture}.{}", recipe.image, self.version, kind.suffix())
    }

    /// What it is made from.
    fn system(&self) -> Result<System> {
        match (&self.recipe, &self.built.firmware) {
            (Recipe::Image(recipe), _) => Ok(System::Image {
                base: recipe.base,
                suite: recipe.suite.to_string(),
                architecture: recipe.architecture,
            }),
            (Recipe::Firmware(_), Some(firmware)) => {
                Ok(System::Firmware { openwrt: Box::new(firmware.facts.clone()) })
            }
            (Recipe::Firmware(_), None) => {
                Err(Failure::bug(format!("publishing {}: nothing is known of the firmware", self.image())))
            }
        }
    }

    /// The date that everything in it carries, in seconds since 1970.
    fn epoch(&self) -> i64 {
        match &self.recipe {
            Recipe::Image(recipe) => recipe.epoch,
            Recipe::Firmware(_) => self.lock.date().timestamp(),
        }
    }

    /// Pieces that do not belong together are a bug of the caller, found before anything is
    /// written.
    fn check(&self) -> Result<()> {
        let bug =
            |what: &str| Err(Failure::bug(format!("publishing {} {}: {what}", self.image(), self.version)));
        let recipe = self.recipe.digest();
        if self.built.recipe != recipe {
            return bug("the build is of another recipe");
        }
        let other = matches!(&self.recipe, Recipe::Image(recipe) if recipe.image != self.image());
        if self.lock.digest() != self.recipe.lock() || other {
            return bug("the lock is another recipe's");
        }
        if !observe::parse_lock(&self.lock_text).is_ok_and(|lock| lock == self.lock) {
            return bug("the text of the lock says something else than the lock");
        }
        if !self.version.as_str().ends_with(&recipe.short()) {
            return bug("the version is of another recipe");
        }
        if self.artifacts.is_empty() {
            return bug("there is no artifact");
        }
        for made in &self.built.artifacts {
            if !self.artifacts.iter().any(|a| a.artifact().digest == made.digest) {
                return bug(&format!("{} was built and not verified", made.path.display()));
            }
        }
        Ok(())
    }
}

/// A release that is written and signed and that nobody sees yet. It holds the store's lock;
/// dropping it leaves nothing behind.
pub struct Staged<'a> {
    writer: Writer<'a>,
    image: ImageName,
    channel: ChannelName,
    version: Version,
    published: DateTime<Utc>,
    content: Content,
}

enum Content {
    /// The very same is in its place already.
    There { manifest: Box<Manifest>, digest: Digest },
    /// To be moved into its place.
    New { manifest: Box<Manifest>, digest: Digest, staging: Staging, sums: String, work: WorkFolder },
}

impl Store {
    /// Publishes a release and points its channel to it. If the same release is there
    /// already (a run was killed after publishing), only what is missing is done; a defective
    /// one is replaced.
    ///
    /// # Errors
    /// *Untrusted* if the store's index is signed by no trusted key or an artifact changed
    /// since it was verified; class *bug* if a sound published release of the same recipe has
    /// other bytes; class *host* if something cannot be written.
    pub fn publish(&self, publication: Publication, signers: &Signers) -> Result<Manifest> {
        self.stage(publication, signers)?.publish()
    }

    /// Writes and signs a release under a hidden name.
    ///
    /// # Errors
    /// As [`Store::publish`].
    pub fn stage<'a>(&'a self, mut publication: Publication, signers: &'a Signers) -> Result<Staged<'a>> {
        publication.check()?;
        let writer = Writer::open(self, signers)?;
        publication.published =
            writer.later(&publication.image(), &publication.version, publication.published);
        let content = match there_already(&writer, &publication)? {
            Some((manifest, digest)) => Content::There { manifest: Box::new(manifest), digest },
            None => write_release(&writer, &publication)?,
        };
        Ok(Staged {
            writer,
            image: publication.image(),
            channel: publication.channel,
            version: publication.version,
            published: publication.published,
            content,
        })
    }
}

impl Staged<'_> {
    /// The text of `SHA256SUMS`, to be signed in other ways too; none if the release is
    /// published already.
    pub fn sums(&self) -> Option<&str> {
        match &self.content {
            Content::New { sums, .. } => Some(sums),
            Content::There { .. } => None,
        }
    }

    /// Adds a Sigstore bundle of `SHA256SUMS` by the identity that `token` speaks for.
    ///
    /// # Errors
    /// As [`keyless::sign`]; *untrusted* if our own check would refuse it.
    pub async fn sign_keyless(&mut self, services: &Keyless, token: &str) -> Result<()> {
        let Some(sums) = self.sums() else { return Ok(()) };
        let bundle = keyless::sign(sums.as_bytes(), services, token).await?;
        // Nothing goes out that readers would refuse.
        if let Some(wanted) = self.writer.signers.trust.keyless() {
            let (identity, issuer) = (&wanted.identity, &wanted.issuer);
            keyless::verify(sums.as_bytes(), &bundle, &wanted.trusted_root, identity, issuer)?;
        }
        self.attach_bundle(&bundle)
    }

    /// What is attached to the release's image in a registry, and where that is.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn documents(&self) -> Result<Option<(RegistryImage, Documents)>> {
        match &self.content {
            Content::There { manifest, .. } => {
                documents::read(&self.writer.store.folder(&self.image, &self.version), manifest)
            }
            Content::New { manifest, staging, .. } => {
                documents::read(&Place::folder(staging.folder()), manifest)
            }
        }
    }

    /// Adds a Sigstore bundle of `SHA256SUMS`.
    ///
    /// # Errors
    /// If it cannot be written.
    fn attach_bundle(&mut self, bundle: &str) -> Result<()> {
        match &mut self.content {
            Content::New { staging, .. } => staging.write_unlisted(keyless::FILE_NAME, bundle.as_bytes()),
            Content::There { .. } => Ok(()),
        }
    }

    /// Moves the release into its place, then writes the pages, then the index.
    ///
    /// # Errors
    /// Class *host* if something cannot be written; the store is then what it was, or has a
    /// release that no channel points to.
    pub fn publish(self) -> Result<Manifest> {
        let Self { mut writer, image, channel, version, published, content } = self;
        let (manifest, digest, work) = match content {
            Content::There { manifest, digest } => (manifest, digest, None),
            Content::New { manifest, digest, staging, work, .. } => {
                writer.check_place()?;
                staging.sync()?;
                point(Point::ReleaseSynced)?;
                writer.store.folder(&image, &version).bring_in(staging.folder(), MANIFEST)?;
                point(Point::ReleaseRenamed)?;
                (manifest, digest, Some(work))
            }
        };
        let entry = IndexedRelease {
            version,
            recipe: manifest.recipe,
            manifest: digest,
            published: manifest.published,
        };
        index::set_channel(&mut writer.index, &image, &channel, &entry.version);
        index::upsert(&mut writer.index, &image, entry);
        writer.finish(Some(&image), published)?;
        // What was replaced, if anything, lies in the work folder and goes with it.
        drop(work);
        Ok(*manifest)
    }
}

/// The release in this publication's place, if it is sound and holds the same.
fn there_already(writer: &Writer<'_>, publication: &Publication) -> Result<Option<(Manifest, Digest)>> {
    let (image, version) = (&publication.image(), &publication.version);
    let folder = writer.store.folder(image, version);
    if !folder.is_folder()? {
        return Ok(None);
    }
    let expected = check::Expected { image, version, manifest: None };
    let checked = check::release(&folder, Some(&expected), writer.signers.keys(), check::Depth::Digests)?;
    let (Some(manifest), []) = (checked.manifest, checked.defects.as_slice()) else { return Ok(None) };
    let differs = publication.artifacts.iter().map(VerifiedArtifact::artifact).find(|artifact| {
        let role = FileRole::Artifact(artifact.kind);
        // Of one kind a firmware has several.
        let is_it = |f: &&ReleaseFile| f.role == role && f.name == publication.file_name(artifact);
        !manifest.files.iter().filter(is_it).any(|f| f.sha256 == artifact.digest)
    });
    let (digest, _) = folder.join(MANIFEST).digest()?;
    let Some(artifact) = differs else { return Ok(Some((manifest, digest))) };
    let name = publication.file_name(artifact);
    let listed = index::find(&writer.index, image, version).is_ok();
    if !listed || !manifest.files.iter().any(|f| f.name == name) {
        // Nobody could see it yet, or it lacks a file: the newer build takes its place.
        return Ok(None);
    }
    if manifest.not_reproducible.iter().chain(&publication.not_reproducible).any(|n| n.file == name) {
        return Ok(Some((manifest, digest)));
    }
    Err(Failure::bug(format!("{image} {version}: {name} is published with other bytes than this build's"))
        .details(format!("published recipe {}\nbuilt digest {}", manifest.recipe, artifact.digest))
        .hint(
            "The same recipe must give the same bytes; compare the two builds. The published release stays.",
        ))
}

fn write_release(writer: &Writer<'_>, publication: &Publication) -> Result<Content> {
    let work = writer.store.work(publication.image().as_str())?;
    let mut staging = Staging::new(work.path().join("release"))?;
    take_artifacts(&mut staging, publication)?;
    take_evidence(&mut staging, publication)?;
    write_documents(&mut staging, writer, publication)?;
    let changes = write_changelog(&mut staging, writer, publication)?;
    let manifest = manifest(&staging, publication, changes.previous.clone())?;
    let mut bytes =
        serde_json::to_vec_pretty(&manifest).map_err(|e| Failure::bug(format!("writing {MANIFEST}: {e}")))?;
    bytes.push(b'\n');
    let digest = Digest::of(&bytes);
    staging.write_unlisted(MANIFEST, &bytes)?;
    let sums = sums::write(&check::sums_of(&manifest, digest))?;
    staging.write_unlisted(sums::FILE_NAME, sums.as_bytes())?;
    sign(&mut staging, writer.signers, &bytes, &sums, publication.published)?;
    point(Point::ReleaseSigned)?;
    let page = pages::release(&pages::ReleasePage {
        manifest: &manifest,
        packages: &publication.built.packages,
        changes: &changes,
        lock_date: publication.lock.date(),
        openpgp: writer.signers.openpgp.is_some(),
    })?;
    staging.write_unlisted("index.html", page.as_bytes())?;
    // As every reader gets it: without this host's paths of evidence.
    let manifest = check::parse_manifest(&bytes)?;
    Ok(Content::New { manifest: Box::new(manifest), digest, staging, sums, work })
}

fn take_artifacts(staging: &mut Staging, publication: &Publication) -> Result<()> {
    for witness in &publication.artifacts {
        let artifact = witness.artifact();
        let name = publication.file_name(artifact);
        staging.take(&artifact.path, &name, FileRole::Artifact(artifact.kind), artifact.digest)?;
        if matches!(artifact.kind, ArtifactKind::Iso | ArtifactKind::Disk) {
            let map = blockmap::map(&staging.folder().join(&name))?;
            staging.write(&format!("{name}.bmap"), FileRole::BlockMap, map.to_xml().as_bytes())?;
        }
    }
    for path in publication.built.firmware.iter().flat_map(|firmware| &firmware.beside) {
        staging.copy(path, &own_name(path), FileRole::ImageBuilder)?;
    }
    Ok(())
}

/// The name that a file has where it was built.
fn own_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn take_evidence(staging: &mut Staging, publication: &Publication) -> Result<()> {
    let mut taken = std::collections::BTreeSet::new();
    for witness in &publication.artifacts {
        for file in witness.evidence().checks.iter().flat_map(|c| &c.files) {
            let [first, second] = path::evidence_names(&file.name, witness.artifact().kind);
            let name = if taken.contains(&first) { second } else { first };
            staging.copy(&file.path, &name, FileRole::Evidence)?;
            taken.insert(name);
        }
    }
    Ok(())
}

fn write_documents(staging: &mut Staging, writer: &Writer<'_>, publication: &Publication) -> Result<()> {
    let Publication { recipe, built, .. } = publication;
    let (image, system) = (publication.image(), publication.system()?);
    let subject = sbom::Subject {
        image: image.as_str(),
        version: publication.version.as_str(),
        system: &system,
        recipe: built.recipe,
        epoch: publication.epoch(),
    };
    let text = sbom::write(&subject, &built.packages)?;
    staging.write(sbom::FILE_NAME, FileRole::Sbom, text.as_bytes())?;
    let names: Vec<(String, Digest)> = publication
        .artifacts
        .iter()
        .map(|a| (publication.file_name(a.artifact()), a.artifact().digest))
        .chain(publication.registry.iter().map(|image| (image.repository().to_owned(), image.digest)))
        .collect();
    let statement = provenance::Statement {
        subjects: names.iter().map(|(name, digest)| (name.as_str(), *digest)).collect(),
        source: &publication.source,
        image: image.as_str(),
        system: &system,
        recipe: built.recipe,
        lock: recipe.lock(),
        packages: &built.packages,
        builder: &publication.builder,
        invocation: publication.invocation.as_deref(),
        started: publication.started,
        finished: publication.published,
    };
    let text = provenance::write(&statement, &writer.signers.all())?;
    staging.write(provenance::FILE_NAME, FileRole::Provenance, text.as_bytes())?;
    staging.write("recipe.json", FileRole::Recipe, &crate::model::digest::canonical_json(recipe))?;
    staging.write("lock.yaml", FileRole::Lock, &publication.lock_text)?;
    staging.write(inputs::FILE_NAME, FileRole::Inputs, &inputs::write(recipe, &publication.blobs)?)
}

fn write_changelog(staging: &mut Staging, writer: &Writer<'_>, publication: &Publication) -> Result<Changes> {
    let previous = previous(writer, publication)?;
    let changes = Changes::between(
        previous.as_ref().map(|(manifest, lock)| (manifest, lock)),
        &staging.files(),
        &publication.lock,
        publication.changes.clone(),
    );
    let text = changes.to_markdown(&format!("{} {}", publication.image(), publication.version));
    staging.write(changelog::FILE_NAME, FileRole::Changelog, text.as_bytes())?;
    Ok(changes)
}

/// The release that this one follows: its channel's, or the newest other one. One that
/// cannot be read any more has nothing to compare with.
fn previous(writer: &Writer<'_>, publication: &Publication) -> Result<Option<(Manifest, Lock)>> {
    let image = &publication.image();
    let on_channel =
        head(&writer.index, image, &publication.channel).filter(|r| r.version != publication.version);
    let newest = || {
        let releases = &writer.index.images.get(image)?.releases;
        releases.iter().find(|r| r.version != publication.version)
    };
    let Some(listed) = on_channel.or_else(newest) else { return Ok(None) };
    let folder = writer.store.folder(image, &listed.version);
    let Ok(manifest) = check::read_manifest(&folder, image, listed) else { return Ok(None) };
    let bytes = observe::read_role(&folder, &manifest, FileRole::Lock, &mut Vec::new())?;
    let lock = bytes.and_then(|bytes| observe::parse_lock(&bytes).ok());
    Ok(lock.map(|lock| (manifest, lock)))
}

fn manifest(staging: &Staging, publication: &Publication, previous: Option<Version>) -> Result<Manifest> {
    let Publication { recipe, built, .. } = publication;
    Ok(Manifest {
        format: RELEASE_FORMAT,
        image: publication.image(),
        version: publication.version.clone(),
        description: publication.description.clone(),
        system: publication.system()?,
        recipe: built.recipe,
        lock: recipe.lock(),
        commit: publication.source.commit.clone(),
        published: publication.published,
        previous,
        registry: publication.registry.clone(),
        files: staging.files(),
        layers: built.layers.clone(),
        verification: publication.artifacts.iter().map(|a| a.evidence().clone()).collect(),
        not_reproducible: publication.not_reproducible.clone(),
        package_count: built.packages.len(),
        tool: crate::release::TOOL.to_owned(),
    })
}

fn sign(
    staging: &mut Staging,
    signers: &Signers,
    manifest: &[u8],
    sums: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    for (file, bytes) in [(MANIFEST, manifest), (sums::FILE_NAME, sums.as_bytes())] {
        for (name, signature) in signatures::make(file, bytes, signers)? {
            staging.write_unlisted(&name, signature.as_bytes())?;
        }
    }
    if let Some(key) = &signers.openpgp {
        let signature = key.sign(sums.as_bytes(), now)?;
        staging.write_unlisted(&format!("{}.asc", sums::FILE_NAME), signature.as_bytes())?;
    }
    Ok(())
}
