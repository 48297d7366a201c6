//! What rules look at beside specs and locks: the content of an image, and releases.

use crate::model::artifact::ArtifactKind;
use crate::model::evidence::{Evidence, Verdict};
use crate::model::release::{FileRole, Manifest};
use crate::model::spec::{BootMode, Output};

/// The root filesystem of a finished build, as far as rules look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Every name.
    pub entries: Vec<ContentEntry>,
    /// `/etc/passwd`; absent when there is none.
    pub passwd: Option<String>,
    /// `/etc/shadow`; absent when there is none.
    pub shadow: Option<String>,
}

/// One name of a root filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentEntry {
    /// Absolute path in the image.
    pub path: String,
    /// What it is.
    pub kind: ContentKind,
    /// The low twelve mode bits.
    pub mode: u32,
}

/// What a name of a root filesystem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link: its mode means nothing.
    Symlink,
    /// A device, pipe or socket.
    Special,
}

/// A release as rules look at it: one that is about to be published, or one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// What it is called in messages: `release 20261121-0123abcd`.
    pub what: String,
    /// The artifacts.
    pub artifacts: Vec<ArtifactFacts>,
    /// Files that are not reproducible, and why.
    pub not_reproducible: Vec<(String, String)>,
    /// Who signs it, as 64 or 40 lower-case hexadecimal digits; absent when nobody knows.
    pub signers: Option<Vec<String>>,
    /// How old it is, in whole days; absent before it is published.
    pub age_days: Option<u32>,
    /// The images of a firmware.
    pub firmware: Vec<FirmwareImage>,
}

/// One image of a firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareImage {
    /// Its file.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether a virtual machine started it.
    pub booted: bool,
}

impl FirmwareImage {
    /// One image and what the evidence of its bytes shows, if there is any.
    pub fn of(name: &str, size: u64, evidence: Option<&Evidence>) -> Self {
        let passed = |evidence: &Evidence| {
            evidence.checks.iter().any(|c| c.boot.is_some() && c.verdict == Verdict::Passed)
        };
        Self { name: name.to_owned(), size, booted: evidence.is_some_and(passed) }
    }
}

/// One artifact of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFacts {
    /// What it is.
    pub output: Output,
    /// Its size in bytes.
    pub size: u64,
    /// Whether there is evidence of these very bytes in which every check passed.
    pub verified: bool,
    /// The ways that it booted.
    pub boots: Vec<BootMode>,
}

impl ReleaseFacts {
    /// What a manifest says. Who signed it and how old it is, it does not say.
    pub fn of(manifest: &Manifest) -> Self {
        let artifacts = manifest.files.iter().filter_map(|file| {
            let FileRole::Artifact(kind) = file.role else { return None };
            let evidence = manifest.verification.iter().find(|e| e.artifact == file.sha256);
            ArtifactFacts::of(kind, file.size, evidence)
        });
        let images = manifest.files.iter().filter(|f| f.role == FileRole::Artifact(ArtifactKind::Firmware));
        let firmware = images.map(|file| {
            let evidence = manifest.verification.iter().find(|e| e.artifact == file.sha256);
            FirmwareImage::of(&file.name, file.size, evidence)
        });
        let differing = manifest.not_reproducible.iter().map(|n| (n.file.clone(), n.why.clone()));
        Self {
            what: format!("release {}", manifest.version),
            artifacts: artifacts.collect(),
            not_reproducible: differing.collect(),
            signers: None,
            age_days: None,
            firmware: firmware.collect(),
        }
    }
}

impl ArtifactFacts {
    /// One artifact and what the evidence of its bytes shows, if there is any.
    pub fn of(kind: ArtifactKind, size: u64, evidence: Option<&Evidence>) -> Option<Self> {
        let all = [Output::Iso, Output::Oci, Output::Rootfs, Output::Disk];
        let output = all.into_iter().find(|output| ArtifactKind::of(*output) == kind)?;
        let checks = evidence.map_or(&[][..], |e| e.checks.as_slice());
        let passed = || checks.iter().filter(|c| c.verdict == Verdict::Passed);
        let verified = !checks.is_empty() && passed().count() == checks.len();
        Some(Self { output, size, verified, boots: passed().filter_map(|c| c.boot).collect() })
    }
}
