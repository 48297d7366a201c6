//! Where policies are kept: before the plan, before a build, after it, before a release.
//!
//! The judging itself is pure (`planner::policy`); here the facts are found out, and a
//! refusal becomes the failure of one image.

use super::{Publishing, World};
use crate::build::content;
use crate::catalog::{self, Files};
use crate::effects::Place;
use crate::model::artifact::Built;
use crate::model::catalog::{Catalog, ImageDocument};
use crate::model::name::ImageName;
use crate::model::observed::Observed;
use crate::model::policy::{
    ArtifactFacts, Content, Finding, Policy, ReleaseFacts, Requirement, Severity, digest, refusal,
};
use crate::model::release::Manifest;
use crate::model::{Emitter, Failure, Result};
use crate::planner::policy::{self, Packages, Ruling};
use crate::planner::{Desired, Wanted};
use crate::release::{PublicKey, Publication, Signers, Trust, path, sums};

/// No file of sums or signatures is larger, in bytes.
const LIMIT: u64 = 1 << 20;

impl World<'_> {
    /// What the policies have against what is desired and what is published.
    pub(super) fn ruling(
        &self,
        desired: &[Desired],
        failed: &[(ImageName, Failure)],
        observed: &Observed,
    ) -> Ruling {
        let policies = &self.catalog.policies;
        let mut ruling = Ruling { policies: digest(policies), ..Ruling::default() };
        if policies.is_empty() {
            return ruling;
        }
        let known = desired.iter().map(|d| (&d.image, packages(&d.wanted)));
        let unknown = failed.iter().map(|(image, _)| (image, Packages::Unknown));
        for (name, packages) in known.chain(unknown) {
            let Some(document) = self.catalog.images.get(name) else { continue };
            let mut findings = policy::of_image(policies, document, &self.catalog.settings.mirrors, packages);
            findings.extend(self.of_published(name, document, observed));
            if !findings.is_empty() {
                findings.iter_mut().for_each(|finding| catalog::locate(self.files, finding));
                ruling.findings.insert(name.clone(), findings);
            }
        }
        ruling
    }

    fn of_published(&self, name: &ImageName, document: &ImageDocument, observed: &Observed) -> Vec<Finding> {
        let policies = &self.catalog.policies;
        let channel = &document.spec.spec.channel;
        let current = observed.images.get(name).and_then(|image| image.channels.get(channel));
        let Some(current) = current else { return Vec::new() };
        // A manifest that cannot be read is a defect of its own, and no rule's business.
        let Some(mut facts) = current.facts.clone() else { return Vec::new() };
        if policy::asks(policies, document, |rule| matches!(rule.requirement, Requirement::Signers(_))) {
            facts.signers = signed_by(&self.store.folder(name, &current.version), &self.keys);
        }
        let age = self.clock.now().signed_duration_since(current.published).num_days();
        facts.age_days = u32::try_from(age).ok();
        policy::of_published(policies, document, &facts)
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
        };
        self.keep(image, |policies, document| Ok(policy::of_release(policies, document, &facts)))
    }

    /// Refuses an image by what is in it and how large it became.
    pub(super) fn may_be_verified(&self, image: &ImageName, built: &Built) -> Result<()> {
        let artifacts: Vec<ArtifactFacts> =
            built.artifacts.iter().filter_map(|a| ArtifactFacts::of(a.kind, a.size, None)).collect();
        self.keep(image, |policies, document| {
            let asked = policy::asks(policies, document, |rule| rule.requirement.is_of_content());
            let content = if asked {
                content::of_build(&self.cache, &built.layers, &self.cancel)?
            } else {
                Content::default()
            };
            Ok(policy::of_build(policies, document, &content, &artifacts))
        })
    }

    /// Refuses a release that a rule forbids, the last time before anybody sees it.
    pub(super) fn may_be_published(&self, publication: &Publication, publishing: &Publishing) -> Result<()> {
        let (artifacts, differing) = (publication.artifacts.iter(), publication.not_reproducible.iter());
        let image = &publication.recipe.image;
        let facts = ReleaseFacts {
            what: format!("release {}", publication.version),
            artifacts: artifacts
                .filter_map(|a| ArtifactFacts::of(a.artifact().kind, a.artifact().size, Some(a.evidence())))
                .collect(),
            not_reproducible: differing.map(|n| (n.file.clone(), n.why.clone())).collect(),
            signers: Some(signer_ids(&publishing.signers)),
            age_days: None,
        };
        self.keep(image, |policies, document| Ok(policy::of_release(policies, document, &facts)))
    }

    fn keep(
        &self,
        image: &ImageName,
        judge: impl FnOnce(&[Policy], &ImageDocument) -> Result<Vec<Finding>>,
    ) -> Result<()> {
        keep(self.catalog, self.files, &self.events, image, judge)
    }
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
    let facts = ReleaseFacts { signers: Some(signer_ids(signers)), ..ReleaseFacts::of(manifest) };
    keep(catalog, files, events, &manifest.image, |policies, document| {
        Ok(policy::of_release(policies, document, &facts))
    })
}

/// Judges one image; shows what only warns, and fails by what refuses.
fn keep(
    catalog: &Catalog,
    files: &Files,
    events: &Emitter,
    image: &ImageName,
    judge: impl FnOnce(&[Policy], &ImageDocument) -> Result<Vec<Finding>>,
) -> Result<()> {
    let policies = &catalog.policies;
    let Some(document) = catalog.images.get(image).filter(|_| !policies.is_empty()) else { return Ok(()) };
    let mut findings = judge(policies, document)?;
    for finding in &mut findings {
        catalog::locate(files, finding);
        if finding.severity == Severity::Warning {
            events.warn(format!("{image}: {finding}"));
        }
    }
    refusal(&findings, digest(policies)).map_or(Ok(()), Err)
}

/// Everything by which the policies refuse an image before it is built.
pub(super) fn refused(image: &ImageName, ruling: &Ruling) -> Option<Failure> {
    let findings: Vec<Finding> =
        ruling.findings.get(image)?.iter().filter(|f| f.refuses()).cloned().collect();
    refusal(&findings, ruling.policies)
}

fn packages(wanted: &Wanted) -> Packages<'_> {
    match wanted {
        Wanted::Recipe(resolved) => Packages::Locked(&resolved.lock),
        Wanted::NeedsLock { request, .. } => Packages::Asked(request),
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
