//! Firmware of OpenWrt: what is offered, what one is made from, what a build made.
//!
//! Formats: `scripts/json_overview_image_info.py` of OpenWrt writes `profiles.json`; sizes and
//! limits are in it since 2025, file systems since 2020. A manifest has `name - version` lines.

use super::catalog::{OverlayContent, OverlayEntry};
use super::device::{BuilderProfile, FeedName, FeedUrl, ServiceName};
use super::name::PackageName;
use super::openwrt::{Platform, Release};
use super::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `profiles.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfilesJson {
    /// The revision: `r28739-d9340319c6`.
    pub version_code: String,
    /// Packages of every device of the target.
    pub default_packages: Vec<String>,
    /// The kernel, where it is said.
    pub kernel: Option<String>,
    /// The time that is in all files, in seconds since 1970.
    pub source_date_epoch: Option<i64>,
    /// What its packages are made for: `mipsel_24kc`; empty where that is not said.
    pub architecture: String,
    /// The devices. Those whose names nobody could ask for are left out.
    pub profiles: BTreeMap<BuilderProfile, OfferedProfile>,
}

/// A device of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferedProfile {
    /// What people call it.
    pub titles: Vec<String>,
    /// Packages that it has beside those of the target; `-NAME` takes one out.
    pub packages: Vec<String>,
    /// The boards that its images are for.
    pub boards: Vec<String>,
    /// Its images.
    pub images: Vec<ImageFile>,
    /// The most bytes of an image, where that is said.
    pub image_limit_bytes: Option<u64>,
}

/// An image as `profiles.json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFile {
    /// The file.
    pub name: String,
    /// What it is for: `sysupgrade`, `factory`, `combined-efi`.
    pub kind: String,
    /// The file system of its root, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// Its digest.
    pub sha256: Digest,
    /// The digest without the signature that is added at its end: with a key that is made anew
    /// for each build, the only one that two builds share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256_unsigned: Option<Digest>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    version_code: String,
    #[serde(default)]
    source_date_epoch: Option<i64>,
    #[serde(default)]
    arch_packages: String,
    #[serde(default)]
    default_packages: Vec<String>,
    #[serde(default)]
    linux_kernel: Option<WireKernel>,
    profiles: BTreeMap<String, WireProfile>,
}

#[derive(Deserialize)]
struct WireKernel {
    version: String,
}

#[derive(Deserialize)]
struct WireProfile {
    #[serde(default)]
    images: Vec<WireImage>,
    #[serde(default)]
    device_packages: Vec<String>,
    #[serde(default)]
    supported_devices: Vec<String>,
    #[serde(default)]
    titles: Vec<WireTitle>,
    #[serde(default)]
    file_size_limits: Option<WireLimits>,
}

#[derive(Deserialize)]
struct WireImage {
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    filesystem: Option<String>,
    sha256: Digest,
    #[serde(default)]
    sha256_unsigned: Option<Digest>,
}

#[derive(Deserialize)]
struct WireTitle {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    vendor: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Deserialize)]
struct WireLimits {
    #[serde(default)]
    image: Option<u64>,
}

impl WireTitle {
    fn text(self) -> String {
        let parts = [self.vendor, self.model, self.variant];
        let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        self.title.unwrap_or_else(|| parts.join(" "))
    }
}

impl ProfilesJson {
    /// Reads the file.
    ///
    /// # Errors
    /// Class *upstream* if it is of another form.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|e| Failure::upstream(format!("profiles.json cannot be read: {e}")))?;
        let profiles = wire.profiles.into_iter().filter_map(|(id, profile)| {
            let images = profile.images.into_iter().filter(|image| is_file_name(&image.name));
            let offered = OfferedProfile {
                titles: profile.titles.into_iter().map(WireTitle::text).collect(),
                packages: profile.device_packages,
                boards: profile.supported_devices,
                images: images
                    .map(|image| ImageFile {
                        name: image.name,
                        kind: image.kind,
                        filesystem: image.filesystem,
                        sha256: image.sha256,
                        sha256_unsigned: image.sha256_unsigned,
                    })
                    .collect(),
                image_limit_bytes: profile.file_size_limits.and_then(|limits| limits.image),
            };
            Some((id.parse().ok()?, offered))
        });
        Ok(Self {
            version_code: wire.version_code,
            default_packages: wire.default_packages,
            kernel: wire.linux_kernel.map(|kernel| kernel.version),
            source_date_epoch: wire.source_date_epoch,
            architecture: wire.arch_packages,
            profiles: profiles.collect(),
        })
    }

    /// Checks that a device is offered.
    ///
    /// # Errors
    /// Class *spec* with the nearest names if it is not.
    pub fn require(&self, wanted: &BuilderProfile, of: &str) -> Result<&OfferedProfile> {
        self.profiles.get(wanted).ok_or_else(|| {
            let near = self.nearest(wanted.as_str());
            let hint = match near.is_empty() {
                true => "Choose one that `bootwright openwrt profiles new --offered` lists.".to_owned(),
                false => format!("Near names are {}.", near.join(", ")),
            };
            Failure::not_found(format!("{of} has no device {wanted}")).hint(hint)
        })
    }

    /// The names that are nearest to one, by its letters, and those that hold it; three at most.
    pub fn nearest(&self, wanted: &str) -> Vec<&str> {
        let wanted = wanted.to_ascii_lowercase();
        let mut names: Vec<(bool, usize, &str)> = self
            .profiles
            .keys()
            .map(BuilderProfile::as_str)
            .map(|name| {
                let folded = name.to_ascii_lowercase();
                let distance = strsim::damerau_levenshtein(&wanted, &folded);
                (!folded.contains(&wanted), distance, name)
            })
            .filter(|(apart, distance, _)| !apart || *distance <= wanted.chars().count().div_ceil(2))
            .collect();
        names.sort_unstable();
        names.into_iter().take(3).map(|(_, _, name)| name).collect()
    }
}

/// Whether a name can be that of a file in one folder.
pub fn is_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~@,=-".contains(&b))
}

/// A package of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManifestPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: String,
}

/// Reads a manifest: `name - version` lines.
///
/// # Errors
/// Class *upstream* if a line is of another form.
pub fn manifest(text: &str) -> Result<Vec<ManifestPackage>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut packages: Vec<ManifestPackage> = lines
        .map(|(number, line)| {
            let bad = || Failure::upstream(format!("the manifest, line {}, is no package", number + 1));
            ManifestPackage::parse(line).ok_or_else(bad)
        })
        .collect::<Result<_>>()?;
    packages.sort();
    Ok(packages)
}

impl ManifestPackage {
    /// Reads a line of a manifest.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, version) = line.split_once(" - ")?;
        let version = version.trim();
        is_version(version).then_some(())?;
        Some(Self { name: name.trim().parse().ok()?, version: version.to_owned() })
    }
}

/// Whether a text can be the version of a package.
pub fn is_version(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+~:_-".contains(&b))
}

/// Raised when recipes change their meaning.
pub const FIRMWARE_FORMAT: u32 = 2;

/// Everything that shapes the bytes of a firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareRecipe {
    /// The meaning of the other fields.
    pub format: u32,
    /// The release.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The digest of the Image Builder's archive.
    pub builder: Digest,
    /// The device as the Image Builder names it.
    pub profile: BuilderProfile,
    /// Packages to put in, sorted, then those to leave out as `-NAME`.
    pub packages: Vec<String>,
    /// Files that are laid over the root file system, by path.
    pub files: Vec<FirmwareFile>,
    /// The size of the root file system in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_mib: Option<u64>,
    /// Services that are not started.
    pub disabled_services: Vec<ServiceName>,
    /// The only root file system that is made; all that the Image Builder makes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// Package repositories beside those of OpenWrt.
    pub feeds: Vec<FirmwareFeed>,
    /// Whether they stand in place of those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_feeds: bool,
    /// The lock that the packages come from.
    pub lock: Digest,
}

impl FirmwareRecipe {
    /// The identity behind "build or reuse".
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// A file that is laid over the root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareFile {
    /// Its path on the device, without the leading slash.
    pub path: String,
    /// The digest of its bytes, of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Whether it may be executed.
    pub executable: bool,
    /// Where it points, of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A package repository of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareFeed {
    /// What it is called.
    pub name: FeedName,
    /// Where its index lies.
    pub url: FeedUrl,
    /// The digest of its public key.
    pub key: Digest,
}

/// A recipe with the bytes that it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareOrder {
    /// The recipe.
    pub recipe: FirmwareRecipe,
    /// The files that are laid over the root file system.
    pub files: Vec<OverlayEntry>,
    /// The keys of the recipe's repositories, in their order.
    pub keys: Vec<Arc<[u8]>>,
}

impl FirmwareOrder {
    /// The bytes that the recipe names by digest.
    pub fn blobs(&self) -> BTreeMap<Digest, Arc<[u8]>> {
        let of_files = self.files.iter().filter_map(|entry| match &entry.content {
            OverlayContent::File { bytes, .. } => Some(bytes),
            OverlayContent::Symlink { .. } => None,
        });
        of_files.chain(&self.keys).map(|bytes| (Digest::of(bytes), Arc::clone(bytes))).collect()
    }
}

/// What is known of a firmware that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareRecord {
    /// The digest of its recipe.
    pub digest: Digest,
    /// What it was made from.
    pub recipe: FirmwareRecipe,
    /// The images of the device, in the order of `profiles.json`.
    pub images: Vec<ImageFile>,
    /// All files, with their digests and sizes.
    pub files: Vec<BuiltFile>,
    /// The packages in it, with their versions.
    pub packages: Vec<ManifestPackage>,
    /// The kernel, where it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The revision of OpenWrt.
    pub revision: String,
    /// Boards that the images are for, as the Image Builder says.
    pub boards: Vec<String>,
    /// What the packages are made for; empty where that is not said.
    #[serde(default)]
    pub architecture: String,
    /// The time that is in all files, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_date_epoch: Option<i64>,
    /// What of the network it had.
    pub network: NetworkUse,
    /// When it was built.
    pub built: DateTime<Utc>,
    /// How long `make` took, in milliseconds.
    pub elapsed_ms: u64,
}

/// A file that a build made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltFile {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What of the network a build had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkUse {
    /// Nothing: all packages are the Image Builder's own, or were here.
    None,
    /// Packages were fetched before; the build itself had none.
    Fetch,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> String {
        let digest = "a".repeat(64);
        format!(
            r#"{{"metadata_version": 1, "target": "ramips/mt7621", "version_code": "r1-x",
            "version_number": "24.10.5", "source_date_epoch": 1700000000,
            "default_packages": ["base-files"], "linux_kernel": {{"version": "6.6.93", "release": "1", "vermagic": "v"}},
            "profiles": {{
              "netgear_r6220": {{"image_prefix": "p", "device_packages": ["kmod-mt7603", "-ppp"],
                "supported_devices": ["netgear,r6220"], "titles": [{{"vendor": "NETGEAR", "model": "R6220"}}],
                "file_size_limits": {{"image": 100, "kernel": 50}},
                "images": [{{"type": "sysupgrade", "name": "a-sysupgrade.bin", "filesystem": "squashfs",
                  "sha256": "{digest}", "sha256_unsigned": "{digest}", "size": 7}},
                  {{"type": "x", "name": "../evil", "sha256": "{digest}"}}]}},
              "tplink_re650-v1": {{"titles": [{{"title": "Old form"}}]}},
              "$(id)": {{}}
            }}}}"#
        )
    }

    #[test]
    fn what_is_offered_is_read_and_odd_names_are_left_out() {
        let read = ProfilesJson::parse(json().as_bytes()).unwrap();
        assert_eq!(read.profiles.len(), 2);
        let device = &read.profiles[&"netgear_r6220".parse().unwrap()];
        assert_eq!(device.titles, ["NETGEAR R6220"]);
        assert_eq!((device.boards.as_slice(), device.images.len()), (&["netgear,r6220".to_owned()][..], 1));
        assert_eq!((device.image_limit_bytes, read.kernel.as_deref()), (Some(100), Some("6.6.93")));
        assert_eq!(read.profiles[&"tplink_re650-v1".parse().unwrap()].titles, ["Old form"]);
        for bad in ["", "<html>", "[]", "{}", r#"{"profiles": []}"#] {
            assert!(ProfilesJson::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn near_devices_are_named() {
        let read = ProfilesJson::parse(json().as_bytes()).unwrap();
        let failure = read.require(&"netgear_r6200".parse().unwrap(), "24.10.5").unwrap_err();
        assert_eq!(failure.hint.unwrap(), "Near names are netgear_r6220.");
        assert_eq!(read.nearest("re650"), ["tplink_re650-v1"]);
        assert!(read.nearest("zzzzzzzzzzzz").is_empty());
        assert!(read.require(&"netgear_r6220".parse().unwrap(), "x").is_ok());
    }

    #[test]
    fn manifests_are_name_and_version() {
        let read = manifest("kernel - 6.6.93~abc-r1\nbase-files - 1\n\n").unwrap();
        assert_eq!(read[0].name.as_str(), "base-files");
        assert_eq!(read[1].version, "6.6.93~abc-r1");
        for bad in ["kernel", "kernel -", " - 1", "a - 1 2", "a - -1", "../a - 1", "<html> - <b>x y\nz"] {
            assert!(manifest(bad).is_err(), "{bad:?}");
        }
    }
}
