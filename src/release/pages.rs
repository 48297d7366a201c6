//! Download pages: plain HTML and one style sheet, no scripts, the same for the same store.
//!
//! Everything is escaped by the template engine. Pages are for people and are not signed;
//! what they say can be checked with what they link to.

use super::changelog::Changes;
use super::notices::Notice;
use crate::model::ArtifactKind;
use crate::model::artifact::InstalledPackage;
use crate::model::evidence::{Check, Evidence, Verdict};
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::release::{FileRole, IndexedRelease, Manifest};
use crate::model::spec::Size;
use crate::model::{Failure, Result};
use askama::Template;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// What stands in a page's frame.
struct Frame {
    /// The way to the store's root: `../../`.
    root: &'static str,
    tool: &'static str,
    /// The keys that sign, on the front page: it alone is written anew with every change, the
    /// page of a release outlives keys.
    keys: Vec<KeyRow>,
}

impl Frame {
    fn new(root: &'static str) -> Self {
        Self { root, tool: super::TOOL, keys: Vec::new() }
    }
}

/// A key that signs, as the front page shows it.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// The file of the public key.
    pub file: String,
    /// The beginning of its id.
    pub short: String,
    /// Its id.
    pub id: String,
}

fn render(page: &impl Template) -> Result<String> {
    page.render().map_err(|e| Failure::bug(format!("rendering a download page: {e}")))
}

/// One image on the pages above its releases.
#[derive(Debug)]
pub struct ImageView<'a> {
    /// Its name.
    pub name: &'a ImageName,
    /// What its channels point to.
    pub channels: &'a BTreeMap<ChannelName, Version>,
    /// Its releases, newest first; without a manifest where that cannot be read.
    pub releases: Vec<(&'a IndexedRelease, Option<Manifest>)>,
    /// What is said of the releases on its channels.
    pub notices: Option<&'a BTreeMap<Version, Notice>>,
}

impl ImageView<'_> {
    fn newest(&self) -> Option<&Manifest> {
        self.releases.iter().find_map(|(_, manifest)| manifest.as_ref())
    }

    /// What is said of a release.
    fn notices_of(&self, version: &Version) -> Vec<NoticeRow> {
        let Some(Notice { stale, damaged }) = self.notices.and_then(|n| n.get(version)) else {
            return Vec::new();
        };
        let stale = stale.iter().map(|s| NoticeRow { text: format!("This release is {s}."), instead: None });
        let damaged = damaged.iter().map(|d| NoticeRow {
            text: format!("Do not use this release: {}.", d.what()),
            instead: d.whole.as_ref().map(ToString::to_string),
        });
        damaged.chain(stale).collect()
    }

    fn channel_rows(&self) -> Vec<ChannelRow> {
        let row = |(name, version): (&ChannelName, &Version)| {
            let (listed, manifest) = self.releases.iter().find(|(r, _)| &r.version == version)?;
            Some(ChannelRow {
                name: name.to_string(),
                version: version.to_string(),
                date: date(listed.published),
                sizes: manifest.as_ref().map(sizes).unwrap_or_default(),
                files: manifest.as_ref().map(artifact_rows).unwrap_or_default(),
                notices: self.notices_of(version),
            })
        };
        self.channels.iter().filter_map(row).collect()
    }
}

struct NoticeRow {
    text: String,
    /// A release to take instead.
    instead: Option<String>,
}

struct ChannelRow {
    notices: Vec<NoticeRow>,
    name: String,
    version: String,
    date: String,
    sizes: String,
    files: Vec<FileRow>,
}

struct FileRow {
    name: String,
    label: String,
    what: &'static str,
    size: String,
    sha256: String,
}

#[derive(Template)]
#[template(path = "store.html")]
struct StoreTemplate {
    frame: Frame,
    images: Vec<ImageCard>,
    url: Option<String>,
}

struct ImageCard {
    name: String,
    description: Option<String>,
    system: String,
    architecture: String,
    channels: Vec<ChannelRow>,
}

/// The front page: every image with its channels.
///
/// # Errors
/// Class *bug* if the template cannot be filled.
pub fn store(images: &[ImageView<'_>], url: Option<&str>, keys: &[KeyRow]) -> Result<String> {
    let card = |image: &ImageView<'_>| {
        let newest = image.newest();
        ImageCard {
            name: image.name.to_string(),
            description: newest.and_then(|m| m.description.clone()),
            system: newest.map(system).unwrap_or_default(),
            architecture: newest.map(|m| m.system.architecture().to_owned()).unwrap_or_default(),
            channels: image.channel_rows(),
        }
    };
    render(&StoreTemplate {
        frame: Frame { keys: keys.to_vec(), ..Frame::new("") },
        images: images.iter().map(card).collect(),
        url: url.map(str::to_owned),
    })
}

#[derive(Template)]
#[template(path = "image.html")]
struct ImageTemplate {
    frame: Frame,
    name: String,
    description: Option<String>,
    channels: Vec<ChannelRow>,
    releases: Vec<ReleaseRow>,
}

struct ReleaseRow {
    version: String,
    date: String,
    channels: Vec<String>,
    packages: Option<usize>,
    sizes: String,
}

/// The page of one image: channels and all releases.
///
/// # Errors
/// Class *bug* if the template cannot be filled.
pub fn image(view: &ImageView<'_>) -> Result<String> {
    let row = |(listed, manifest): &(&IndexedRelease, Option<Manifest>)| ReleaseRow {
        version: listed.version.to_string(),
        date: date(listed.published),
        channels: view
            .channels
            .iter()
            .filter(|(_, version)| **version == listed.version)
            .map(|(channel, _)| channel.to_string())
            .collect(),
        packages: manifest.as_ref().map(|m| m.package_count),
        sizes: manifest.as_ref().map(sizes).unwrap_or_default(),
    };
    render(&ImageTemplate {
        frame: Frame::new("../"),
        name: view.name.to_string(),
        description: view.newest().and_then(|m| m.description.clone()),
        channels: view.channel_rows(),
        releases: view.releases.iter().map(row).collect(),
    })
}

/// What the page of one release shows.
#[derive(Debug)]
pub struct ReleasePage<'a> {
    /// The release.
    pub manifest: &'a Manifest,
    /// The packages of its root.
    pub packages: &'a [InstalledPackage],
    /// What changed.
    pub changes: &'a Changes,
    /// The date of the packages.
    pub lock_date: DateTime<Utc>,
    /// Whether there is an OpenPGP signature.
    pub openpgp: bool,
}

#[derive(Template)]
#[template(path = "release.html")]
struct ReleaseTemplate<'a> {
    frame: Frame,
    m: &'a Manifest,
    packages: Vec<&'a InstalledPackage>,
    changes: &'a Changes,
    system: String,
    published: String,
    packages_as_of: String,
    commit_short: String,
    recipe: String,
    passed: bool,
    check_count: usize,
    screenshot: Option<Picture>,
    artifacts: Vec<FileRow>,
    documents: Vec<FileRow>,
    checks: Vec<CheckRow>,
    environment: Vec<&'a str>,
    openpgp: bool,
    not_booted: Option<&'a str>,
    boards: String,
    iso: Option<&'a str>,
    oci: Option<&'a str>,
    rootfs: Option<&'a str>,
}

struct Picture {
    href: String,
    of: String,
}

struct CheckRow {
    name: String,
    of: &'static str,
    passed: bool,
    result: String,
    time: String,
    findings: Vec<String>,
    files: Vec<FileRow>,
}

/// The page of one release.
///
/// # Errors
/// Class *bug* if the template cannot be filled.
pub fn release(page: &ReleasePage<'_>) -> Result<String> {
    let manifest = page.manifest;
    let checks: Vec<CheckRow> = manifest
        .verification
        .iter()
        .flat_map(|evidence| evidence.checks.iter().map(|check| check_row(manifest, evidence, check)))
        .collect();
    let mut environment: Vec<&str> =
        manifest.verification.iter().flat_map(|e| &e.environment).map(String::as_str).collect();
    environment.sort_unstable();
    environment.dedup();
    let mut packages: Vec<_> = page.packages.iter().collect();
    packages.sort();
    let named =
        |kind| manifest.files.iter().find(|f| f.role == FileRole::Artifact(kind)).map(|f| f.name.as_str());
    render(&ReleaseTemplate {
        frame: Frame::new("../../"),
        m: manifest,
        packages,
        changes: page.changes,
        system: system(manifest),
        published: date(manifest.published),
        packages_as_of: date(page.lock_date),
        commit_short: manifest.commit.as_ref().map(|c| shortened(&c.id)).unwrap_or_default(),
        recipe: manifest.recipe.hex(),
        passed: checks.iter().all(|c| c.passed) && !checks.is_empty(),
        check_count: checks.len(),
        screenshot: screenshot(&checks),
        artifacts: artifact_rows(manifest),
        documents: documents(manifest),
        checks,
        environment,
        openpgp: page.openpgp,
        not_booted: manifest.system.firmware().and_then(|f| f.not_booted.as_deref()),
        boards: manifest.system.firmware().map(|f| f.boards.join(", ")).unwrap_or_default(),
        iso: named(ArtifactKind::Iso),
        oci: named(ArtifactKind::OciArchive),
        rootfs: named(ArtifactKind::Rootfs),
    })
}

fn check_row(manifest: &Manifest, evidence: &Evidence, check: &Check) -> CheckRow {
    let files = check.files.iter().filter_map(|file| {
        let names = super::path::evidence_names(&file.name, evidence.kind);
        // The second name is only used where another artifact took the first one.
        let name = names.into_iter().rev().find(|name| manifest.files.iter().any(|f| &f.name == name))?;
        let label = file.name.rsplit('.').next().unwrap_or(&file.name).to_owned();
        Some(FileRow { name, label, what: "", size: String::new(), sha256: String::new() })
    });
    let (passed, result) = match &check.verdict {
        Verdict::Passed => (true, "passed".to_owned()),
        other => (false, verdict_words(other)),
    };
    CheckRow {
        name: check.name.clone(),
        of: kind_words(evidence.kind).0,
        passed,
        result,
        time: check.timings_ms.last().map(|(_, ms)| seconds(*ms)).unwrap_or_default(),
        findings: check.findings.clone(),
        files: files.collect(),
    }
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Panic { .. } => "kernel panic",
        Verdict::Hang { .. } => "no signal",
        Verdict::Reset { .. } => "reset",
        Verdict::Refused { .. } => "refused",
        Verdict::MachineFailed { .. } => "machine failed",
    }
    .to_owned()
}

fn screenshot(checks: &[CheckRow]) -> Option<Picture> {
    checks.iter().find_map(|check| {
        let picture = check.files.iter().find(|f| f.name.ends_with(".png"))?;
        Some(Picture { href: picture.name.clone(), of: check.name.clone() })
    })
}

fn artifact_rows(manifest: &Manifest) -> Vec<FileRow> {
    let row = |file: &crate::model::release::ReleaseFile| match file.role {
        FileRole::Artifact(kind) => {
            let (label, what) = kind_words(kind);
            Some(FileRow {
                name: file.name.clone(),
                label: label.to_owned(),
                what,
                size: size_words(file.size),
                sha256: file.sha256.hex(),
            })
        }
        _ => None,
    };
    manifest.files.iter().filter_map(row).collect()
}

fn documents(manifest: &Manifest) -> Vec<FileRow> {
    let row = |file: &crate::model::release::ReleaseFile| {
        let label = match file.role {
            FileRole::Artifact(_) | FileRole::Evidence => return None,
            FileRole::BlockMap => "block map, bmap 2.0",
            FileRole::Sbom => "bill of materials, SPDX 2.3",
            FileRole::Provenance => "provenance, in-toto with SLSA v1",
            FileRole::Changelog => "changes",
            FileRole::Recipe => "recipe",
            FileRole::Lock => "exact packages",
            FileRole::Inputs => "overlay files and scripts it was built from",
            FileRole::ImageBuilder => "written by the Image Builder beside the images",
        };
        Some(FileRow {
            name: file.name.clone(),
            label: label.to_owned(),
            what: "",
            size: size_words(file.size),
            sha256: file.sha256.hex(),
        })
    };
    manifest.files.iter().filter_map(row).collect()
}

fn kind_words(kind: ArtifactKind) -> (&'static str, &'static str) {
    match kind {
        ArtifactKind::Iso => ("Live ISO", "Starts from disc and USB stick, under BIOS and UEFI."),
        ArtifactKind::OciArchive => ("OCI image", "The same system for containers, one archive."),
        ArtifactKind::Rootfs => ("Root filesystem", "The whole system as one tar archive."),
        ArtifactKind::Disk => ("Disk image", "To be written to a disk as it is."),
        ArtifactKind::Firmware => ("Firmware", "For the device; what each image is for stands in its name."),
    }
}

fn system(manifest: &Manifest) -> String {
    manifest.system.words()
}

/// `Live ISO 321 MiB · OCI image 100 MiB`.
fn sizes(manifest: &Manifest) -> String {
    let rows: Vec<String> =
        artifact_rows(manifest).into_iter().map(|f| format!("{} {}", f.label, f.size)).collect();
    rows.join(" · ")
}

fn size_words(bytes: u64) -> String {
    Size::from_bytes(bytes).to_string()
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

fn date(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn shortened(id: &str) -> String {
    id.chars().take(12).collect()
}

/// Filters that the templates use.
mod filters {
    /// The first digits of a commit id.
    #[askama::filter_fn]
    pub fn short(id: impl std::fmt::Display, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(super::shortened(&id.to_string()))
    }

    /// A number of bytes in words.
    #[askama::filter_fn]
    pub fn size(bytes: &u64, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(super::size_words(*bytes))
    }
}
