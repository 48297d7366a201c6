//! Policies × facts → findings. Pure: whoever calls it has looked already.
//!
//! ```text
//! spec, settings, lock   before anything is built      [`of_image`]
//! root filesystem        after the build                [`of_build`]
//! release                before it is published         [`of_release`]
//! published release      at every plan                  [`of_published`]
//! ```
//!
//! Findings of several rules add up; none takes another one away.

mod content;
mod lock;
mod release;
mod spec;

use crate::model::catalog::{DeviceDocument, ImageDocument};
use crate::model::firmware_lock::{FirmwareLock, FirmwareRequest};
use crate::model::lock::LockRequest;
use crate::model::policy::{
    ArtifactFacts, Content, Finding, Place, Policy, ReleaseFacts, Rule, Stage, Subject,
};
use crate::model::settings::Mirror;
use crate::model::{Digest, ImageName, Lock};
use std::collections::BTreeMap;

/// What policies say, for a plan.
#[derive(Clone, Debug, Default)]
pub struct Ruling {
    /// The policies that said it; absent when there are none.
    pub policies: Option<Digest>,
    /// What they say, by image.
    pub findings: BTreeMap<ImageName, Vec<Finding>>,
}

/// What is known of the packages of an image before it is built.
#[derive(Clone, Copy, Debug)]
pub enum Packages<'a> {
    /// What will be asked for; what comes with it is not known yet.
    Asked(&'a LockRequest),
    /// All of them.
    Locked(&'a Lock),
    /// Nothing.
    Unknown,
}

/// What is known of the packages of a firmware before it is built.
#[derive(Clone, Copy, Debug)]
pub enum FirmwarePackages<'a> {
    /// What will be asked for; what comes with it is not known yet.
    Asked(&'a FirmwareRequest),
    /// All of them.
    Locked(&'a FirmwareLock),
}

/// What a rule is held against: an image or the firmware of a device, and where its document stands.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// What selections look at.
    pub subject: Subject<'a>,
    /// Where its document stands.
    pub place: &'a str,
}

impl<'a> From<&'a ImageDocument> for About<'a> {
    fn from(document: &'a ImageDocument) -> Self {
        Self { subject: Subject::of(&document.spec), place: &document.place }
    }
}

impl<'a> About<'a> {
    /// The firmware of a device, by the name that it is published under.
    pub fn device(name: &'a ImageName, document: &'a DeviceDocument) -> Self {
        let subject = Subject::of_device(name, &document.profile.spec.channel);
        Self { subject, place: &document.place }
    }
}

/// What the rules have against the firmware of a device and its packages, by the name that it is
/// published under.
pub fn of_device(
    policies: &[Policy],
    name: &ImageName,
    device: &DeviceDocument,
    packages: FirmwarePackages<'_>,
) -> Vec<Finding> {
    judge(policies, About::device(name, device), |rule, report| {
        lock::judge_device(rule, device, packages, report);
    })
}

/// What the rules have against a spec, the mirrors that it is built from and its packages.
pub fn of_image(
    policies: &[Policy],
    image: &ImageDocument,
    mirrors: &[Mirror],
    packages: Packages<'_>,
) -> Vec<Finding> {
    judge(policies, image, |rule, report| {
        spec::judge(rule, image, mirrors, report);
        lock::judge(rule, image, packages, report);
    })
}

/// What the rules have against the root filesystem of a finished build and the sizes of what
/// was made from it.
pub fn of_build<'a>(
    policies: &[Policy],
    about: impl Into<About<'a>>,
    content: &Content,
    artifacts: &[ArtifactFacts],
) -> Vec<Finding> {
    judge(policies, about, |rule, report| {
        content::judge(rule, content, report);
        release::sizes(rule, "the build", artifacts, Stage::Content, report);
    })
}

/// What the rules have against a release that is about to be published.
pub fn of_release<'a>(
    policies: &[Policy],
    about: impl Into<About<'a>>,
    facts: &ReleaseFacts,
) -> Vec<Finding> {
    judge(policies, about, |rule, report| release::judge(rule, facts, Stage::Release, report))
}

/// What the rules have against the release that the image's channel points to.
pub fn of_published<'a>(
    policies: &[Policy],
    about: impl Into<About<'a>>,
    facts: &ReleaseFacts,
) -> Vec<Finding> {
    judge(policies, about, |rule, report| release::judge(rule, facts, Stage::Published, report))
}

/// Whether some rule for this image is of a kind: facts that nobody asks for need not be found out.
pub fn asks<'a>(policies: &[Policy], about: impl Into<About<'a>>, kind: impl Fn(&Rule) -> bool) -> bool {
    rules(policies, about.into().subject).any(kind)
}

/// The rules that are about an image.
pub fn rules<'a>(policies: &'a [Policy], image: Subject<'a>) -> impl Iterator<Item = &'a Rule> {
    policies.iter().flat_map(|p| &p.rules).filter(move |rule| rule.select.takes(image))
}

/// Whether one of an image's rules has anything against the release that its channel points to.
pub fn speaks(rules: &[&Rule], image: &ImageName, facts: &ReleaseFacts) -> bool {
    let mut findings = Vec::new();
    for rule in rules {
        let report = &mut Report { rule, name: image, place: "", findings: &mut findings };
        release::judge(rule, facts, Stage::Published, report);
    }
    !findings.is_empty()
}

fn judge<'a>(
    policies: &[Policy],
    about: impl Into<About<'a>>,
    mut look: impl FnMut(&Rule, &mut Report<'_>),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let About { subject, place } = about.into();
    for rule in rules(policies, subject) {
        look(rule, &mut Report { rule, name: subject.name, place, findings: &mut findings });
    }
    findings
}

/// Collects what one rule has against one image.
struct Report<'a> {
    rule: &'a Rule,
    name: &'a ImageName,
    /// Where its spec stands.
    place: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Report<'_> {
    /// Adds a finding at a field of the spec.
    fn add(
        &mut self,
        stage: Stage,
        field: &str,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) -> &mut Finding {
        let place = Place::parse(self.place);
        let finding = Finding {
            rule: self.rule.id.clone(),
            severity: self.rule.severity,
            image: self.name.clone(),
            stage,
            policy: self.rule.place.clone(),
            place,
            field: Some(field.to_owned()),
            message: message.into(),
            note: self.rule.message.clone(),
            suggestion: suggestion.into(),
            curable: false,
        };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }
}

/// A list for a sentence.
fn list<T>(items: &[T], name: impl Fn(&T) -> String) -> String {
    items.iter().map(name).collect::<Vec<_>>().join(", ")
}
