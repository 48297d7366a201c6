//! Where policies are kept: before the plan, before a build, after it, before a release.
//!
//! The judging itself is pure (`planner::policy`); here the facts are found out, and a
//! refusal becomes the failure of one image.

use super::{Publishing, World};
use crate::build::content;
use crate::catalog::{self, Files};
use crate::effects::Place;
use crate::effects::files::WorkFolder;
use crate::model::artifact::Built;
use crate::model::catalog::{Catalog, Document};
use crate::model::name::ImageName;
use crate::model::observed::{Observed, ObservedRelease};
use crate::model::policy::{
    ArtifactFacts, Content, Finding, FirmwareImage, Policy, ReleaseFacts, Requirement, Rule, Severity,
    digest, refusal,
};
use crate::model::product::{self, Resolved};
use crate::model::release::Manifest;
use crate::model::{ArtifactKind, Emitter, Failure, Result};
use crate::planner::policy::{self, About, FirmwarePackages, Packages, Ruling};
use crate::planner::{Desired, Wanted};
use crate::release::{PublicKey, Publication, Signers, Trust, path, sums};
use crate::verify;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// No file of sums or signatures is larger, in bytes.
const LIMIT: u64 = 1 << 20;

impl World<'_> {
    /// What the policies have against what is desired and what is published.
    pub(super) fn ruling(
        &self,
        documents: &BTreeMap<ImageName, Document>,
        desired: &[Desired],
        failed: &[(ImageName, Failure)],
        observed: &Observed,
    ) -> Result<Ruling> {
        let policies = &self.catalog.policies;
        let mut ruling = Ruling { policies: digest(policies), ..Ruling::default() };
        if policies.is_empty() {
            return Ok(ruling);
        }
        let known = desired.iter().map(|d| (&d.image, Known::of(&d.wanted)));
        let unknown = failed.iter().map(|(image, _)| (image, Known::Nothing));
        for (name, packages) in known.chain(unknown) {
            let Some(document) = documents.get(name) else { continue };
            let mut findings = match (document, packages) {
                (Document::Image(document), Known::Image(packages)) => {
                    policy::of_image(policies, document, &self.catalog.settings.mirrors, packages)
                }
                (Document::Image(document), _) => {
                    let nothing = Packages::Unknown;
                    policy::of_image(policies, document, &self.catalog.settings.mirrors, nothing)
                }
                (Document::Device(document), Known::Firmware(packages)) => {
                    policy::of_device(policies, name, document, packages)
                }
                (Document::Device(_), _) => Vec::new(),
            };
            findings.extend(self.of_published(name, document, observed));
            if !findings.is_empty() {
                self.place(&mut findings)?;
                ruling.findings.insert(name.clone(), findings);
            }
        }
        Ok(ruling)
    }

    /// Sets the places of findings to the lines and columns of their fields.
    fn place(&self, findings: &mut [Finding]) -> Result<()> {
        match self.remembered {
            Some(remembered) => remembered.known.locate(findings),
            None => {
                findings.iter_mut().for_each(|finding| catalog::locate(self.files, finding));
                Ok(())
            }
        }
    }

    fn of_published(&self, name: &ImageName, document: &Document, observed: &Observed) -> Vec<Finding> {
        let policies = &self.catalog.policies;
        let channel = document.channel();
        let current = observed.images.get(name).and_then(|image| image.channels.get(channel));
        let Some(current) = current else { return Vec::new() };
        let about = about(name, document);
        let rules = policy::rules(policies, about.subject);
        // A manifest that cannot be read is a defect of its own, and no rule's business.
        let Some(facts) = self.facts(name, current, rules) else { return Vec::new() };
        policy::of_published(policies, about, &facts)
    }

    /// What rules look at of a published release.
    pub(super) fn facts<'r>(
        &self,
        name: &ImageName,
        current: &ObservedRelease,
        mut rules: impl Iterator<Item = &'r Rule>,
    ) -> Option<ReleaseFacts> {
        let mut facts = current.facts.clone()?;
        if rules.any(|rule| matches!(rule.requirement, Requirement::Signers(_))) {
            facts.signers = signed_by(&self.store.folder(name, &current.version), &self.keys);
        }
        facts.age_days = age_days(current.published, self.clock.now());
        Some(facts)
    }

    /// Refuses an image whose release would be signed by somebody who may not: before hours
    /// of building.
    pub(super) fn may_be_signed(&self, image: &ImageName, publishing: &Publishing) -> Result<()> {
        let facts = ReleaseFacts {
            what: "the release".to_owned(),
            artifacts: Vec::new(),
            not_reproducible: Vec::new(),
            signers: Some(signer_ids(&publishing.signers)),
            age_days: None,
            firmware: Vec::new(),
        };
        self.keep(image, |policies, document| {
            Ok(policy::of_release(policies, about(image, document), &facts))
        })
    }

    /// Refuses an image by what is in it and how large it became.
    pub(super) fn may_be_verified(&self, image: &ImageName, built: &Built) -> Result<()> {
        let artifacts: Vec<ArtifactFacts> =
            built.artifacts.iter().filter_map(|a| ArtifactFacts::of(a.kind, a.size, None)).collect();
        self.keep(image, |policies, document| {
            let about = about(image, document);
            let content = match policy::asks(policies, about, |rule| rule.requirement.is_of_content()) {
                true if built.firmware.is_some() => self.content_of_firmware(image, built)?,
                true => content::of_build(&self.cache, &built.layers, &self.cancel)?,
                false => Content::default(),
            };
            Ok(policy::of_build(policies, about, &content, &artifacts))
        })
    }

    /// The root of a firmware, which is the same in all its images: that of the first one that can be
    /// opened.
    fn content_of_firmware(&self, image: &ImageName, built: &Built) -> Result<Content> {
        for artifact in &built.artifacts {
            let work = WorkFolder::new(&self.cache.work(), "content")?;
            if let Some(root) = verify::root_of_firmware(&artifact.path, work.path(), &self.cancel)? {
                return content::of_layers(&[&root], &self.cancel);
            }
        }
        Err(Failure::spec(format!("{image}: no image of it can be opened to keep the rules on its content"))
            .hint("Take the device out of those rules: `select: {kinds: [image]}`."))
    }

    /// Refuses a release that a rule forbids, the last time before anybody sees it.
    pub(super) fn may_be_published(&self, publication: &Publication, publishing: &Publishing) -> Result<()> {
        let (artifacts, differing) = (publication.artifacts.iter(), publication.not_reproducible.iter());
        let image = &publication.image();
        let images = publication.artifacts.iter().filter(|a| a.artifact().kind == ArtifactKind::Firmware);
        let facts = ReleaseFacts {
            what: format!("release {}", publication.version),
            artifacts: artifacts
                .filter_map(|a| ArtifactFacts::of(a.artifact().kind, a.artifact().size, Some(a.evidence())))
                .collect(),
            not_reproducible: differing.map(|n| (n.file.clone(), n.why.clone())).collect(),
            signers: Some(signer_ids(&publishing.signers)),
            age_days: None,
            firmware: images
                .map(|a| {
                    let name = a.path().file_name().unwrap_or_default().to_string_lossy();
                    FirmwareImage::of(&name, a.artifact().size, Some(a.evidence()))
                })
                .collect(),
        };
        self.keep(image, |policies, document| {
            Ok(policy::of_release(policies, about(image, document), &facts))
        })
    }

    fn keep(
        &self,
        image: &ImageName,
        judge: impl FnOnce(&[Policy], &Document) -> Result<Vec<Finding>>,
    ) -> Result<()> {
        let policies = &self.catalog.policies;
        if policies.is_empty() {
            return Ok(());
        }
        let Some(document) = self.document(image) else { return Ok(()) };
        let mut findings = judge(policies, &document)?;
        self.place(&mut findings)?;
        kept(policies, &self.events, &findings)
    }

    /// As [`may_be_promoted`], for an image of a plan.
    pub(super) fn may_be_promoted(&self, manifest: &Manifest, signers: &Signers) -> Result<()> {
        let facts = ReleaseFacts { signers: Some(signer_ids(signers)), ..ReleaseFacts::of(manifest) };
        let image = &manifest.image;
        self.keep(image, |policies, document| {
            Ok(policy::of_release(policies, about(image, document), &facts))
        })
    }
}

/// How old a published release is, in whole days.
pub(super) fn age_days(published: DateTime<Utc>, now: DateTime<Utc>) -> Option<u32> {
    u32::try_from(now.signed_duration_since(published).num_days()).ok()
}

/// Refuses to point a channel to a release that a rule forbids. How old it is does not
/// matter here: going back to an older release is a way out of trouble.
///
/// # Errors
/// Class *spec*, with the rule.
pub fn may_be_promoted(
    catalog: &Catalog,
    files: &Files,
    events: &Emitter,
    manifest: &Manifest,
    signers: &Signers,
) -> Result<()> {
    let policies = &catalog.policies;
    let image = &manifest.image;
    let device = product::device_name(image).and_then(|name| catalog.devices.get(&name));
    let about = match (catalog.images.get(image), device) {
        (Some(document), _) => About::from(document),
        (None, Some(document)) => About::device(image, document),
        (None, None) => return Ok(()),
    };
    let facts = ReleaseFacts { signers: Some(signer_ids(signers)), ..ReleaseFacts::of(manifest) };
    let mut findings = policy::of_release(policies, about, &facts);
    findings.iter_mut().for_each(|finding| catalog::locate(files, finding));
    kept(policies, events, &findings)
}

/// Shows what only warns, and fails by what refuses.
fn kept(policies: &[Policy], events: &Emitter, findings: &[Finding]) -> Result<()> {
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        events.warn(format!("{}: {finding}", finding.image));
    }
    refusal(findings, digest(policies)).map_or(Ok(()), Err)
}

/// Everything by which the policies refuse an image before it is built.
pub(super) fn refused(image: &ImageName, ruling: &Ruling) -> Option<Failure> {
    let findings: Vec<Finding> =
        ruling.findings.get(image)?.iter().filter(|f| f.refuses()).cloned().collect();
    refusal(&findings, ruling.policies)
}

/// What is known of the packages of what is asked for.
enum Known<'a> {
    Image(Packages<'a>),
    Firmware(FirmwarePackages<'a>),
    Nothing,
}

impl<'a> Known<'a> {
    fn of(wanted: &'a Wanted) -> Self {
        use product::Request;
        match wanted {
            Wanted::Recipe(resolved) => match &**resolved {
                Resolved::Image(resolved) => Self::Image(Packages::Locked(&resolved.lock)),
                Resolved::Firmware(resolved) => Self::Firmware(FirmwarePackages::Locked(&resolved.lock)),
            },
            Wanted::NeedsLock { request: Request::Image(request), .. } => {
                Self::Image(Packages::Asked(request))
            }
            Wanted::NeedsLock { request: Request::Firmware(request), .. } => {
                Self::Firmware(FirmwarePackages::Asked(request))
            }
        }
    }
}

/// What rules are held against.
fn about<'a>(name: &'a ImageName, document: &'a Document) -> About<'a> {
    match document {
        Document::Image(document) => About::from(&**document),
        Document::Device(document) => About::device(name, document),
    }
}

/// Who signs a release, as rules name them.
fn signer_ids(signers: &Signers) -> Vec<String> {
    let own: Vec<String> = signers.all().iter().map(|signer| signer.public().id().hex()).collect();
    own.into_iter().chain(signers.openpgp.iter().map(|key| key.fingerprint().to_lowercase())).collect()
}

/// Which of the trusted keys signed a release; `None` if none of them did, which is a
/// defect of its own.
fn signed_by(folder: &Place, trust: &Trust) -> Option<Vec<String>> {
    let read = |name: &str| folder.join(name).read(LIMIT).ok().flatten();
    let bytes = read(sums::FILE_NAME)?;
    let names = folder.names().ok()?;
    let signatures: Vec<String> = names
        .into_iter()
        .filter(|name| path::is_signature_of(sums::FILE_NAME, name))
        .filter_map(|name| String::from_utf8(read(&name)?).ok())
        .collect();
    let made =
        |key: &PublicKey| signatures.iter().flat_map(|s| s.lines()).any(|line| key.verifies(&bytes, line));
    let ids: Vec<String> = trust.keys().iter().filter(|k| made(&k.key)).map(|k| k.key.id().hex()).collect();
    (!ids.is_empty()).then_some(ids)
}
