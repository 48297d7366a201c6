//! The lock of a device profile: which release and Image Builder it came to, and which packages.
//!
//! Written by `bootwright lock` as `specs/NAME.lock.yaml`. The Image Builder resolves packages; what
//! it says (`make manifest`) is kept, and a build that comes to other packages is refused.

use super::Digest;
use super::device::{BuilderProfile, DeviceName};
use super::firmware::{FirmwareFeed, ManifestPackage, is_version};
use super::lock::PackageChange;
use super::openwrt::{Platform, Release};
use super::spec::Size;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the lock format.
pub const FIRMWARE_LOCK_VERSION: u32 = 1;

/// What is asked of an Image Builder, as far as packages depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareRequest {
    /// The release as the profile names it: it may be a branch.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The device as the Image Builder names it.
    pub profile: BuilderProfile,
    /// Packages to put in, sorted, then those to leave out as `-NAME`.
    pub packages: Vec<String>,
    /// Package repositories beside those of OpenWrt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<FirmwareFeed>,
    /// Whether they stand in place of those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_feeds: bool,
}

/// What a device profile came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirmwareLock {
    /// Always [`FIRMWARE_LOCK_VERSION`].
    pub lock_version: u32,
    /// The device that this lock belongs to.
    pub device: DeviceName,
    /// What was asked.
    pub request: FirmwareRequest,
    /// The exact release.
    pub release: Release,
    /// The digest of the Image Builder's archive.
    pub builder: Digest,
    /// The time that all files of the firmware carry (`SOURCE_DATE_EPOCH`).
    pub date: DateTime<Utc>,
    /// The most bytes that an image of the device may have, where the release says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_limit: Option<u64>,
    /// Bytes of all files of the packages as they are installed, before they are compressed.
    pub installed_size: u64,
    /// The packages, sorted by name.
    pub packages: Vec<ManifestPackage>,
}

impl FirmwareLock {
    /// The identity of the answer. Two devices that ask for the same have the same.
    pub fn digest(&self) -> Digest {
        Digest::of_json(&(&self.request, &self.release, self.builder, &self.packages))
    }

    /// What is wrong with a lock that somebody wrote, beside its form.
    pub fn faults(&self, device: &DeviceName) -> Vec<String> {
        let mut faults = Vec::new();
        if self.lock_version != FIRMWARE_LOCK_VERSION {
            faults.push(format!("lock version {} is not {FIRMWARE_LOCK_VERSION}", self.lock_version));
        }
        if self.device != *device {
            faults.push(format!("the lock is of {}, not of {device}", self.device));
        }
        if matches!(self.release, Release::Branch(_)) {
            faults.push(format!("{} is a branch and no release", self.release));
        }
        if !self.request.release.allows(&self.release) {
            faults.push(format!("{} is asked for, and {} was locked", self.request.release, self.release));
        }
        let mut seen = BTreeSet::new();
        for package in &self.packages {
            if !is_version(&package.version) {
                faults.push(format!("{}: its version is not a word", package.name));
            }
            if !seen.insert(&package.name) {
                faults.push(format!("{} is there twice", package.name));
            }
        }
        if self.packages.is_empty() {
            faults.push("the lock names no package".to_owned());
        }
        faults
    }
}

/// The differences from `old` to `new`, by name. Manifests know no sizes.
pub fn diff(old: &[ManifestPackage], new: &[ManifestPackage]) -> Vec<PackageChange> {
    let by_name = |packages: &'_ [ManifestPackage]| -> BTreeMap<_, _> {
        packages.iter().map(|p| (p.name.clone(), p.version.clone())).collect()
    };
    let (old, mut new) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    for (name, from) in old {
        match new.remove(&name) {
            None => changes.push(PackageChange::Removed { name, version: from, size_delta: 0 }),
            Some(to) if to != from => {
                changes.push(PackageChange::Changed { name, from, to, size_delta: 0 });
            }
            Some(_) => {}
        }
    }
    let added = new.into_iter();
    changes.extend(added.map(|(name, version)| PackageChange::Added { name, version, size_delta: 0 }));
    changes.sort_by(|a, b| a.name().cmp(b.name()));
    changes
}

/// How much room there is on a device, as far as it is known before a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashRoom {
    /// The most bytes that an image may have, where the release says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Bytes of the largest image of the release on the channel, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
    /// Bytes of the packages as they are installed, before they are compressed.
    pub installed: u64,
    /// By how many of these bytes they differ from those of the release on the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_delta: Option<i64>,
}

impl std::fmt::Display for FlashRoom {
    /// `images of up to 15.0 MiB; 7.2 MiB published; packages of 20.1 MiB uncompressed, 1.0 MiB more`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.limit {
            Some(limit) => write!(f, "images of up to {}", Size::from_bytes(limit))?,
            None => f.write_str("no limit of images is known")?,
        }
        if let Some(published) = self.published {
            write!(f, "; {} published", Size::from_bytes(published))?;
        }
        write!(f, "; packages of {} uncompressed", Size::from_bytes(self.installed))?;
        match self.installed_delta {
            None | Some(0) => Ok(()),
            Some(delta) => {
                let more = if delta > 0 { "more" } else { "less" };
                write!(f, ", {} {more}", Size::from_bytes(delta.unsigned_abs()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(list: &[(&str, &str)]) -> Vec<ManifestPackage> {
        let package =
            |(name, version): &(&str, &str)| ManifestPackage::parse(&format!("{name} - {version}")).unwrap();
        list.iter().map(package).collect()
    }

    fn lock() -> FirmwareLock {
        serde_json::from_value(serde_json::json!({
            "lockVersion": 1, "device": "ap", "release": "24.10.5", "builder": Digest::of("b"),
            "request": {"release": "24.10", "platform": "x86/64", "profile": "generic", "packages": ["luci"]},
            "date": "2025-06-15T15:06:40Z", "installedSize": 1000,
            "packages": [{"name": "luci", "version": "1"}]
        }))
        .unwrap()
    }

    #[test]
    fn packages_are_compared_by_name_and_version() {
        let changes = diff(&packages(&[("a", "1"), ("b", "1")]), &packages(&[("b", "2"), ("c", "1")]));
        let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["- a 1", "b 1 -> 2", "+ c 1"]);
    }

    #[test]
    fn locks_that_cannot_be_are_told() {
        let device = "ap".parse().unwrap();
        assert_eq!(lock().faults(&device), Vec::<String>::new());
        let fault = |change: &dyn Fn(&mut FirmwareLock)| {
            let mut lock = lock();
            change(&mut lock);
            lock.faults(&device).join("; ")
        };
        assert!(fault(&|l| l.lock_version = 2).contains("lock version"));
        assert!(fault(&|l| l.device = "other".parse().unwrap()).contains("not of ap"));
        assert!(fault(&|l| l.release = "24.10".parse().unwrap()).contains("branch"));
        assert!(fault(&|l| l.release = "23.05.1".parse().unwrap()).contains("was locked"));
        assert!(fault(&|l| l.packages = packages(&[("a", "1"), ("a", "2")])).contains("twice"));
        assert!(fault(&|l| l.packages[0].version = "1 $(id)".to_owned()).contains("not a word"));
        assert!(fault(&|l| l.packages.clear()).contains("no package"));
        // The device's name is no part of what it came to.
        let mut other = lock();
        other.device = "other".parse().unwrap();
        assert_eq!(other.digest(), lock().digest());
        other.packages[0].version = "2".to_owned();
        assert_ne!(other.digest(), lock().digest());
    }

    #[test]
    fn room_is_told_in_words() {
        let room =
            FlashRoom { limit: Some(15 << 20), published: None, installed: 1 << 20, installed_delta: None };
        assert!(room.to_string().starts_with("images of up to 15.0 MiB; packages of"), "{room}");
    }
}
