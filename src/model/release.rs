//! What a release store holds: manifests and the signed index.

use super::artifact::{ArtifactKind, BuiltLayer};
use super::attachment::RegistryImage;
use super::catalog::Commit;
use super::device::BuilderProfile;
use super::digest::Digest;
use super::evidence::Evidence;
use super::firmware::{FirmwareRecord, ImageFile, NetworkUse};
use super::name::{ChannelName, ImageName, Version};
use super::openwrt::{Platform, Release};
use super::spec::{Architecture, Base, BootMode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The version of the manifest and index formats.
pub const RELEASE_FORMAT: u32 = 1;

/// `IMAGE/VERSION/manifest.json`: everything about one release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`RELEASE_FORMAT`].
    pub format: u32,
    /// The image.
    pub image: ImageName,
    /// This release.
    pub version: Version,
    /// One line about the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is made from.
    #[serde(flatten)]
    pub system: System,
    /// The recipe's identity; the recipe itself is the file `recipe.json`.
    pub recipe: Digest,
    /// The lock's identity; the lock itself is the file `lock.yaml`.
    pub lock: Digest,
    /// The commit that asked for it; absent when a working tree did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// The release that it followed on its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// Where the OCI image was pushed to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryImage>,
    /// All files of the release but this one, `SHA256SUMS` and the signatures, sorted by name.
    pub files: Vec<ReleaseFile>,
    /// The layers from bottom to top.
    pub layers: Vec<BuiltLayer>,
    /// What the artifacts showed.
    pub verification: Vec<Evidence>,
    /// Files that are not bit-for-bit reproducible, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_reproducible: Vec<NotReproducible>,
    /// Number of installed packages.
    pub package_count: usize,
    /// The program that made it: `bootwright 0.1.0`.
    pub tool: String,
}

/// What a release is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum System {
    /// An OS image.
    Image {
        /// The distribution.
        base: Base,
        /// Its suite.
        suite: String,
        /// The processor architecture.
        architecture: Architecture,
    },
    /// The firmware of a device.
    Firmware {
        /// What is known of it.
        openwrt: Box<FirmwareFacts>,
    },
}

impl System {
    /// The distribution and its suite in words: `debian bookworm`.
    pub fn words(&self) -> String {
        match self {
            Self::Image { base, suite, .. } => format!("{} {suite}", base.as_str()),
            Self::Firmware { openwrt } => {
                format!("OpenWrt {} {} {}", openwrt.release, openwrt.platform, openwrt.profile)
            }
        }
    }

    /// What its programs are made for: `x86_64`, `mipsel_24kc`.
    pub fn architecture(&self) -> &str {
        match self {
            Self::Image { architecture, .. } => architecture.as_str(),
            Self::Firmware { openwrt } => &openwrt.architecture,
        }
    }

    /// The boards that it is for. An OS image starts on every machine of its architecture that
    /// has BIOS or UEFI: `generic-x86_64`. Firmware is for the board that its profile names, else for
    /// those that the Image Builder names.
    pub fn boards(&self) -> Vec<String> {
        match self {
            Self::Image { architecture, .. } => vec![format!("generic-{}", architecture.as_str())],
            Self::Firmware { openwrt } => match &openwrt.board {
                Some(board) => vec![board.clone()],
                None => openwrt.boards.clone(),
            },
        }
    }

    /// Whether it is for what somebody demands: one of its boards, or its architecture.
    pub fn is_for(&self, demand: &str) -> bool {
        demand == self.architecture() || self.boards().iter().any(|board| board == demand)
    }

    /// The firmware, if it is one.
    pub fn firmware(&self) -> Option<&FirmwareFacts> {
        match self {
            Self::Firmware { openwrt } => Some(openwrt),
            Self::Image { .. } => None,
        }
    }
}

/// What is known of the firmware of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareFacts {
    /// The release of OpenWrt.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The device as the Image Builder names it.
    pub profile: BuilderProfile,
    /// What its packages are made for: `mipsel_24kc`; empty where the Image Builder does not say.
    pub architecture: String,
    /// The revision of OpenWrt.
    pub revision: String,
    /// The kernel, where it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The boards that its images are for, as the Image Builder says.
    pub boards: Vec<String>,
    /// The board that it is for, as the profile says: who writes it to another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// The digest of the Image Builder's archive.
    pub builder: Digest,
    /// What of the network the build had.
    pub network: NetworkUse,
    /// The images, in the order of `profiles.json`.
    pub images: Vec<ImageFile>,
    /// Why it was not booted, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_booted: Option<String>,
}

/// What images are for that hold a whole disk, the better first.
const CARD_IMAGES: [&str; 6] = ["combined-efi", "sdcard", "sdcard-img", "combined", "factory", "sysupgrade"];

impl FirmwareFacts {
    /// How a virtual machine starts an image; `None` if there is none for the target, or the image is not a
    /// whole disk (`rootfs`, `kernel`).
    pub fn boot_mode(&self, image: &ImageFile) -> Option<BootMode> {
        let machine = self.platform.machine()?;
        let is_disk = image.name.ends_with(".img") || image.name.ends_with(".img.gz");
        let mode = match (image.kind.as_str(), machine) {
            ("combined", Architecture::X86_64) => BootMode::Bios,
            // ARM's machines start by UEFI alone: the names of their images do not say so.
            ("combined", Architecture::Aarch64) | ("combined-efi", _) => BootMode::Uefi,
            _ => return None,
        };
        is_disk.then_some(mode)
    }

    /// The image that is written to a card or disk as it is, if there is one: of several the one that
    /// starts on more machines, and the one whose root cannot be written to.
    pub fn card_image(&self) -> Option<&str> {
        let is_disk = |image: &&ImageFile| image.name.ends_with(".img") || image.name.ends_with(".img.gz");
        let rank = |image: &&ImageFile| {
            let kind = CARD_IMAGES.iter().position(|kind| *kind == image.kind)?;
            Some((kind, image.filesystem.as_deref() != Some("squashfs")))
        };
        let ranked = self.images.iter().filter(is_disk).filter_map(|image| Some((rank(&image)?, image)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, image)| image.name.as_str())
    }

    /// What a system of it says is its release, in `/etc/openwrt_release`.
    pub fn said_release(&self) -> String {
        match &self.release {
            Release::Exact(version) | Release::Branch(version) => version.clone(),
            Release::Snapshot => "SNAPSHOT".to_owned(),
            Release::BranchSnapshot(branch) => format!("{branch}-SNAPSHOT"),
        }
    }

    /// What a record says.
    pub fn of(record: &FirmwareRecord, board: Option<String>) -> Self {
        let recipe = &record.recipe;
        Self {
            release: recipe.release.clone(),
            platform: recipe.platform.clone(),
            profile: recipe.profile.clone(),
            architecture: record.architecture.clone(),
            revision: record.revision.clone(),
            kernel: record.kernel.clone(),
            boards: record.boards.clone(),
            board,
            builder: recipe.builder,
            network: record.network,
            images: record.images.clone(),
            not_booted: recipe.platform.not_bootable(),
        }
    }
}

/// What a running OpenWrt says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidRelease {
    release: String,
    revision: String,
    target: Option<String>,
}

impl SaidRelease {
    /// Reads `/etc/openwrt_release` (`DISTRIB_RELEASE='24.10.5'`), or the line of `/etc/banner`
    /// (`OpenWrt 24.10.5, r28929-…`), which says no target.
    pub fn read(text: &str) -> Option<Self> {
        let said = |key: &str| {
            let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
            Some(value.trim().trim_matches(['\'', '"']).to_owned())
        };
        if let (Some(release), Some(revision)) = (said("DISTRIB_RELEASE"), said("DISTRIB_REVISION")) {
            return Some(Self { release, revision, target: said("DISTRIB_TARGET") });
        }
        let line = text.lines().find_map(|line| line.trim().strip_prefix("OpenWrt "))?;
        let (release, revision) = line.split_once(", ")?;
        Some(Self { release: release.to_owned(), revision: revision.trim().to_owned(), target: None })
    }

    /// Whether firmware of which these facts are known says so.
    pub fn is_of(&self, facts: &FirmwareFacts) -> bool {
        let target = self.target.as_ref().is_none_or(|target| *target == facts.platform.to_string());
        self.release == facts.said_release() && self.revision == facts.revision && target
    }
}

impl fmt::Display for SaidRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenWrt {}, {}", self.release, self.revision)?;
        self.target.as_ref().map_or(Ok(()), |target| write!(f, ", {target}"))
    }
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseFile {
    /// Path below the release's folder.
    pub name: String,
    /// What it is for.
    pub role: FileRole,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// What a file of a release is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRole {
    /// An image file.
    Artifact(ArtifactKind),
    /// bmap 2.0.
    BlockMap,
    /// SPDX 2.3 JSON.
    Sbom,
    /// An in-toto statement with SLSA provenance v1.
    Provenance,
    /// What changed since the release before.
    Changelog,
    /// The recipe, canonical JSON.
    Recipe,
    /// The lock.
    Lock,
    /// Overlay files, scripts and pictures that the recipe names by digest.
    Inputs,
    /// Below `evidence/`.
    Evidence,
    /// What OpenWrt's Image Builder wrote beside the images: lists, sums, its own bill of materials.
    ImageBuilder,
}

/// A file that is not bit-for-bit reproducible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotReproducible {
    /// Its name.
    pub file: String,
    /// Why.
    pub why: String,
}

/// `index.json`: every image, channel and release of a store. Signed; written last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// [`RELEASE_FORMAT`].
    pub format: u32,
    /// Raised by one with every change, so that an older index cannot pass for a newer one.
    pub serial: u64,
    /// When it was written.
    pub updated: DateTime<Utc>,
    /// The images by name.
    pub images: BTreeMap<ImageName, IndexedImage>,
}

impl Default for Index {
    fn default() -> Self {
        Self { format: RELEASE_FORMAT, serial: 0, updated: DateTime::UNIX_EPOCH, images: BTreeMap::new() }
    }
}

/// One image in the index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedImage {
    /// Which release each channel points to.
    pub channels: BTreeMap<ChannelName, Version>,
    /// All releases, newest first.
    pub releases: Vec<IndexedRelease>,
}

/// One release in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedRelease {
    /// The release.
    pub version: Version,
    /// Its recipe's identity.
    pub recipe: Digest,
    /// SHA-256 of its `manifest.json`, so that the index's signature covers it.
    pub manifest: Digest,
    /// When it was published.
    pub published: DateTime<Utc>,
}

impl Index {
    /// The release that a channel of an image points to.
    pub fn on_channel(&self, image: &ImageName, channel: &ChannelName) -> Option<&IndexedRelease> {
        let image = self.images.get(image)?;
        let version = image.channels.get(channel)?;
        image.releases.iter().find(|r| &r.version == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openwrt_says_its_release_in_two_ways() {
        let file = "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.5'\nDISTRIB_REVISION='r28929-0'\nDISTRIB_TARGET='x86/64'\n";
        let said = SaidRelease::read(file).unwrap();
        assert_eq!(said.to_string(), "OpenWrt 24.10.5, r28929-0, x86/64");
        let banner = " | W I R E L E S S |\n ------\n OpenWrt 24.10.5, r28929-0\n ------\n";
        let said = SaidRelease::read(banner).unwrap();
        assert_eq!(said.to_string(), "OpenWrt 24.10.5, r28929-0");
        for bad in ["", "ID=debian\n", "DISTRIB_RELEASE='24.10.5'\n", "OpenWrt 24.10.5\n"] {
            assert_eq!(SaidRelease::read(bad), None, "{bad}");
        }
    }
}
