//! Policies: what a catalog forbids and asks for, beyond what every image has to be.
//!
//! A policy can only make things stricter: several add up, and no rule takes back what
//! another one asks for. [`document`] is what people write, [`Policy`] what the rest of
//! the program sees of it, [`Finding`] what a rule has against an image.

pub mod document;
mod facts;
mod finding;
mod pattern;

pub use document::{ProductKind, Select, Severity};
pub use facts::{ArtifactFacts, Content, ContentEntry, ContentKind, FirmwareImage, ReleaseFacts};
pub use finding::{Finding, Place, Stage};
pub use pattern::Pattern;

use super::digest::Digest;
use super::failure::{ErrorCode, Failure, FailureClass};
use super::name::{ChannelName, ImageName, RuleName, UnitName};
use super::spec::{Architecture, Base, BootMode, OsImage, Output, Size};
use serde::Serialize;
use std::num::NonZeroU16;

/// One policy, validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Its name.
    pub name: RuleName,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name, unique in the catalog.
    pub id: RuleName,
    /// What a violation does.
    pub severity: Severity,
    /// The policy's own words.
    pub message: Option<String>,
    /// The images that it is about.
    pub select: Selection,
    /// What it asks for.
    pub requirement: Requirement,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// The images that a rule is about: those that fit every list that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Names.
    pub images: Option<Vec<Pattern>>,
    /// Channels, distributions, outputs and architectures.
    pub rest: Select,
}

/// What selections look at of an image.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a ImageName,
    /// Its channel.
    pub channel: &'a ChannelName,
    /// What it is made from; a firmware of none of them.
    pub base: Option<Base>,
    /// What is made of it.
    pub outputs: &'a [Output],
    /// What its programs are made for; a firmware for none of them.
    pub architecture: Option<Architecture>,
}

impl<'a> Subject<'a> {
    /// The image of a spec.
    pub fn of(image: &'a OsImage) -> Self {
        let spec = &image.spec;
        Self {
            name: &image.metadata.name,
            channel: &spec.channel,
            base: Some(spec.base),
            outputs: &spec.outputs,
            architecture: Some(spec.architecture),
        }
    }

    /// The firmware of a device, by the name that it is published under.
    pub fn of_device(name: &'a ImageName, channel: &'a ChannelName) -> Self {
        Self { name, channel, base: None, outputs: &[], architecture: None }
    }

    /// What kind it is of.
    pub fn kind(&self) -> ProductKind {
        if self.base.is_some() { ProductKind::Image } else { ProductKind::Firmware }
    }
}

impl Selection {
    /// Whether an image is one of them.
    pub fn takes(&self, image: Subject<'_>) -> bool {
        fn one_of<T>(list: Option<&Vec<T>>, fits: impl Fn(&T) -> bool) -> bool {
            list.is_none_or(|items| items.iter().any(fits))
        }
        one_of(self.images.as_ref(), |p| p.matches(image.name.as_str()))
            && one_of(self.rest.kinds.as_ref(), |kind| *kind == image.kind())
            && one_of(self.rest.channels.as_ref(), |c| c == image.channel)
            && one_of(self.rest.bases.as_ref(), |b| Some(*b) == image.base)
            && one_of(self.rest.outputs.as_ref(), |o| image.outputs.contains(o))
            && one_of(self.rest.architectures.as_ref(), |a| Some(*a) == image.architecture)
    }
}

/// What a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Requirement {
    /// The base is one of these.
    Bases(Vec<Base>),
    /// The suite is one of these.
    Suites(Vec<Pattern>),
    /// Packages come from addresses that begin with one of these.
    Mirrors(Vec<String>),
    /// None of these rules between fields has anything against the spec.
    KeptRules(Vec<Pattern>),
    /// No such package.
    ForbiddenPackages(Vec<Pattern>),
    /// Such a package for each.
    RequiredPackages(Vec<Pattern>),
    /// A lock that was committed.
    LockRequired,
    /// No output is larger.
    MaxSizes(Vec<(Output, Size)>),
    /// What has to be shown.
    Verification(Verification),
    /// Only these keys sign: 64 or 40 lower-case hexadecimal digits.
    Signers(Vec<String>),
    /// No release on a channel is older, in days.
    MaxAgeDays(u32),
    /// No such path.
    AbsentPaths(Vec<Pattern>),
    /// Such a path for each.
    PresentPaths(Vec<Pattern>),
    /// Only these are set-user-ID or set-group-ID.
    SetuidOnly(Vec<Pattern>),
    /// No account has an empty password.
    NoEmptyPasswords,
    /// Nobody but owner and group may write.
    NoWorldWritable,
    /// The only mode bits that such paths may have.
    FileModes(Vec<(Pattern, u32)>),
    /// No file is listed as not reproducible.
    Reproducible,
    /// No firmware that was not booted.
    BootedFirmware,
}

impl Requirement {
    /// Whether the content of the root filesystem has to be looked at for it.
    pub fn is_of_content(&self) -> bool {
        matches!(
            self,
            Self::AbsentPaths(_)
                | Self::PresentPaths(_)
                | Self::SetuidOnly(_)
                | Self::NoEmptyPasswords
                | Self::NoWorldWritable
                | Self::FileModes(_)
        )
    }
}

/// What an image has to show, at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Ways to boot.
    pub boot: Vec<BootMode>,
    /// Units that are active.
    pub units: Vec<UnitName>,
    /// Ports that are open.
    pub ports: Vec<NonZeroU16>,
    /// How long it stays up, in seconds.
    pub dwell_seconds: Option<u32>,
    /// Outputs with evidence of their own.
    pub outputs: Vec<Output>,
}

/// What identifies a set of policies: a changed rule changes it, a comment does not.
/// Absent when there are none.
pub fn digest(policies: &[Policy]) -> Option<Digest> {
    (!policies.is_empty()).then(|| Digest::of_json(&policies))
}

/// The refusal that some findings amount to: the first error among them, with the rest in
/// the details. `None` if none of them refuses.
pub fn refusal(findings: &[Finding], policies: Option<Digest>) -> Option<Failure> {
    let errors: Vec<&Finding> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    let first = errors.first()?;
    let more = match errors.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let message = format!("policy rule {}: {}{more}", first.rule, first.words());
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let mut failure = Failure::new(ErrorCode::Policy, FailureClass::Spec, message)
        .hint(&first.suggestion)
        .details(lines.join("\n"));
    failure.field = first.field.clone();
    failure.policies = policies.map(Box::new);
    Some(failure)
}
