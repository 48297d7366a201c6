//! Settings that nothing reads: a mirror that no image is built from, a registry that nothing
//! is pushed to. A channel that no image is on is read all the same: by `release promote`.
//!
//! A catalog without a single image is one that was just begun: there everything may wait.

use super::apt;
use super::check::Report;
use crate::model::catalog::ImageDocument;
use crate::model::name::{ChannelName, ImageName};
use crate::model::policy::Subject;
use crate::model::settings::{Mirror, Settings};
use crate::model::spec::{Architecture, Base, Origin, Output};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one image reads of the settings, and what the rules of policies select it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reads {
    base: Base,
    suite: String,
    channel: ChannelName,
    outputs: Vec<Output>,
    architecture: Architecture,
    /// The addresses of git repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<String>,
}

impl Reads {
    /// What the image of a document reads.
    pub fn of(document: &ImageDocument) -> Self {
        let spec = &document.spec.spec;
        Self {
            base: spec.base,
            suite: spec.suite.as_str().to_owned(),
            channel: spec.channel.clone(),
            outputs: spec.outputs.clone(),
            architecture: spec.architecture,
            repositories: spec
                .customization
                .origins()
                .filter_map(|(_, origin)| match origin {
                    Origin::Repository { url, .. } => Some(url.to_string()),
                    Origin::Folder(_) => None,
                })
                .collect(),
        }
    }

    /// What its programs are made for.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The image as the rules of policies select it.
    pub fn subject<'a>(&'a self, name: &'a ImageName) -> Subject<'a> {
        Subject {
            name,
            channel: &self.channel,
            base: Some(self.base),
            outputs: &self.outputs,
            architecture: Some(self.architecture),
        }
    }
}

/// Adds an error for every setting that no image reads; `images` are all of the catalog.
pub fn settings(report: &mut Report<'_>, settings: &Settings, images: &BTreeSet<Reads>) {
    if images.is_empty() {
        return;
    }
    for (index, mirror) in settings.mirrors.iter().enumerate() {
        let at = format!("mirrors[{index}]");
        let suites: BTreeSet<&str> =
            images.iter().filter(|s| s.base == mirror.base).map(|s| s.suite.as_str()).collect();
        if suites.is_empty() {
            report.error(
                &format!("{at}.base"),
                format!("nothing reads this mirror: no image is made from {}", mirror.base.as_str()),
                "Take it away, or add an image of that base.",
            );
            continue;
        }
        unread_suites(report, &at, mirror, &suites);
    }
    for (index, mirror) in settings.git_mirrors.iter().enumerate() {
        if !images.iter().flat_map(|s| &s.repositories).any(|url| url.starts_with(&mirror.of)) {
            report.error(
                &format!("gitMirrors[{index}]"),
                format!("nothing reads this: no image takes files from {}", mirror.of),
                "Take it away, or name a repository there in a spec.",
            );
        }
    }
    if settings.store.registry.is_some() && !images.iter().any(|s| s.outputs.contains(&Output::Oci)) {
        report.error(
            "store.registry",
            "nothing reads this: no image has the output oci",
            "Take it away, or add oci to the outputs of an image.",
        );
    }
}

/// A suite that is spelt out (`trixie-backports`) belongs to images of that release; one that
/// is no release of Debian is another repository's own, and read for every image.
fn unread_suites(report: &mut Report<'_>, at: &str, mirror: &Mirror, suites: &BTreeSet<&str>) {
    for (index, suite) in mirror.suites.iter().enumerate() {
        if apt::release_of(suite).is_some_and(|release| !suites.contains(release)) {
            let own: Vec<&str> = suites.iter().copied().collect();
            report.error(
                &format!("{at}.suites[{index}]"),
                format!("no image is made from suite {suite}"),
                format!(
                    "Images are made from {}: write {{suite}} for an image's own, or take this away.",
                    own.join(", ")
                ),
            );
        }
    }
}
