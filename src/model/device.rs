//! The `DeviceProfile` document: what firmware a device of OpenWrt shall have.
//!
//! Nearly all of it becomes an argument of `make`, which expands what it is given and hands the
//! rest to a shell: a name with a letter too many is never a value. A version pin
//! (`tmux=3.5`) is none either: the Image Builder carries it over to other packages.

use super::name::{BadName, ChannelName, checked_name};
use super::openwrt::{Platform, Release, Subtarget, Target};
use super::spec::text::CatalogPath;
use super::spec::{ApiVersion, Freshness, Size, default_channel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the first-boot script stands in the firmware: OpenWrt runs what is in this folder at
/// the first start, in the order of names, and removes it.
pub const FIRST_BOOT: &str = "etc/uci-defaults/99-bootwright";

/// Sizes of root file systems that make sense, in MiB.
pub const ROOTFS_MIB: std::ops::RangeInclusive<u64> = 1..=65_536;

checked_name! {
    /// What people call a device, and what its files are found by: a DNS label (RFC 1123).
    DeviceName, "device name",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |t| is_label(t)
}

checked_name! {
    /// A tag of device profiles, for `--tag`.
    TagName, "tag",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |t| is_label(t)
}

checked_name! {
    /// A device as the Image Builder names it: `netgear_r6220`, `generic`.
    BuilderProfile, "profile of an Image Builder",
    "use letters, digits and . _ + -, starting with a letter or digit; `make info` lists them",
    "^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$",
    |t| is_plain(t, b"._+-", 128)
}

checked_name! {
    /// A package of OpenWrt, without a version.
    OpenwrtPackage, "package of OpenWrt",
    "use letters, digits and . _ + -, starting with a letter or digit, and no version",
    "^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$",
    |t| is_plain(t, b"._+-", 128)
}

checked_name! {
    /// A service of OpenWrt: a file of `/etc/init.d`.
    ServiceName, "service of OpenWrt",
    "use letters, digits and . _ -, starting with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    |t| is_plain(t, b"._-", 64)
}

checked_name! {
    /// A board as the running system names it, in `/tmp/sysinfo/board_name`: `netgear,r6220`.
    BoardName, "board name",
    "use letters, digits and , . _ -, starting with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9,._-]{0,127}$",
    |t| is_plain(t, b",._-", 128)
}

checked_name! {
    /// What a package repository is called.
    FeedName, "repository name",
    "use letters, digits and _, starting with a letter",
    "^[A-Za-z][A-Za-z0-9_]{0,63}$",
    |t| is_plain(t, b"_", 64) && !t.starts_with(|c: char| c.is_ascii_digit())
}

checked_name! {
    /// Where the index of a package repository lies.
    FeedUrl, "repository address",
    "write http:// or https://, a host and a path, without user, query and special letters",
    "^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~+@=-]+)*/?$",
    is_feed_url
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_plain(text: &str, also: &[u8], longest: usize) -> bool {
    text.len() <= longest
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

fn is_feed_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    let is_step = |step: &str| {
        !step.is_empty()
            && step != "."
            && step != ".."
            && step.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~+@=-".contains(&b))
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    text.len() <= 1024
        && !host.is_empty()
        && host.bytes().all(is_host)
        && (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
        && (path.is_empty() || path.split('/').all(is_step))
}

/// The kind of document this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeviceProfileKind {
    /// Firmware of a device.
    DeviceProfile,
}

/// One document of kind `DeviceProfile`: the firmware of one kind of device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceProfile {
    /// Always `bootwright/v1`.
    pub api_version: ApiVersion,
    /// Always `DeviceProfile`.
    pub kind: DeviceProfileKind,
    /// Who this document is.
    pub metadata: DeviceMetadata,
    /// What the firmware shall be.
    pub spec: DeviceSpec,
}

/// Name and description of a device profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceMetadata {
    /// The device's name. No image of the catalog has the same one.
    pub name: DeviceName,
    /// What it is, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is selected by, with `--tag`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagName>,
    /// Why nobody should use it any more. It is then built only when it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

/// What the firmware of a device shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceSpec {
    /// The release: `24.10.5`, the latest of a branch (`"25.12"`), `snapshot`, or the snapshot
    /// of a branch (`24.10-SNAPSHOT`).
    pub release: Release,
    /// The target: `ramips`.
    pub target: Target,
    /// The subtarget: `mt7621`.
    pub subtarget: Subtarget,
    /// The device as the Image Builder names it: `netgear_r6220`.
    pub profile: BuilderProfile,
    /// What is put in beside what the Image Builder puts in, and what is left out.
    #[serde(default, skip_serializing_if = "DevicePackages::is_empty")]
    pub packages: DevicePackages,
    /// A script of the catalog that the device runs at its first start (`/etc/uci-defaults`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_boot_script: Option<CatalogPath>,
    /// The size of the root file system, in whole MiB, where the target has one of a set size
    /// (x86, armsr, SD cards).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_size: Option<Size>,
    /// Services that are installed and not started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled_services: Vec<ServiceName>,
    /// Package repositories beside those of OpenWrt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Feed>,
    /// The board that the firmware is for, as the running system names it: who writes it to
    /// another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<BoardName>,
    /// The channel that a new release is put on.
    #[serde(default = "default_channel", skip_serializing_if = "is_default_channel")]
    pub channel: ChannelName,
    /// When to look for a newer release of a branch, a newer Image Builder and newer packages: cron,
    /// five fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The IANA time zone that `schedule` is read in; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_time_zone: Option<String>,
    /// How old its release may get.
    #[serde(default, skip_serializing_if = "Freshness::is_default")]
    pub freshness: Freshness,
    /// Nothing is done for it while this is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

fn is_default_channel(channel: &ChannelName) -> bool {
    *channel == default_channel()
}

/// Packages to put in and to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DevicePackages {
    /// Packages to put in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<OpenwrtPackage>,
    /// Packages of the device or the release to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<OpenwrtPackage>,
}

impl DevicePackages {
    /// Whether nothing differs from what the Image Builder does by itself.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// A package repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Feed {
    /// What it is called.
    pub name: FeedName,
    /// The folder that its index is in; with apk (from 25.12 on) `packages.adb` is added.
    pub url: FeedUrl,
    /// The public key of the catalog that its index is signed with: usign's up to 24.10, PEM
    /// from 25.12 on.
    pub key: CatalogPath,
}

impl DeviceSpec {
    /// Target and subtarget.
    pub fn platform(&self) -> Platform {
        Platform { target: self.target.clone(), subtarget: self.subtarget.clone() }
    }

    /// The files of the catalog that it names.
    pub fn files(&self) -> impl Iterator<Item = &CatalogPath> {
        self.first_boot_script.iter().chain(self.repositories.iter().map(|feed| &feed.key))
    }

    /// The size of the root file system as the Image Builder wants it, in MiB; `None` if it is
    /// no whole number of them, or one that makes no sense.
    pub fn rootfs_mib(&self) -> Option<u64> {
        let bytes = self.rootfs_size?.bytes();
        let mib = bytes >> 20;
        (bytes.is_multiple_of(1 << 20) && ROOTFS_MIB.contains(&mib)).then_some(mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `make`, a shell or an option parser would read as something else.
    const HOSTILE: [&str; 18] = [
        "",
        "-a",
        "a b",
        "a\n",
        "a;id",
        "$(id)",
        "$(shell id)",
        "a'b",
        "a\"b",
        "a`id`",
        "a\\",
        "a|b",
        "a&b",
        "../a",
        "a=1",
        "a#b",
        "a:b",
        "ä",
    ];

    #[test]
    fn what_make_would_expand_is_no_value() {
        for bad in HOSTILE {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad:?}");
            assert!(bad.parse::<TagName>().is_err(), "{bad:?}");
            assert!(bad.parse::<BuilderProfile>().is_err(), "{bad:?}");
            assert!(bad.parse::<OpenwrtPackage>().is_err(), "{bad:?}");
            assert!(bad.parse::<ServiceName>().is_err(), "{bad:?}");
            assert!(bad.parse::<BoardName>().is_err(), "{bad:?}");
            assert!(bad.parse::<FeedName>().is_err(), "{bad:?}");
            assert!(format!("https://host/{bad}x y").parse::<FeedUrl>().is_err(), "{bad:?}");
        }
        assert!("netgear,r6220".parse::<BuilderProfile>().is_err());
        for good in ["netgear_r6220", "8dev_carambola2", "tplink_archer-c7-v2"] {
            assert!(good.parse::<BuilderProfile>().is_ok(), "{good}");
        }
        for good in ["kmod-usb-storage", "libstdc++6", "luci-app-sqm", "python3-light"] {
            assert!(good.parse::<OpenwrtPackage>().is_ok(), "{good}");
        }
    }

    #[test]
    fn addresses_are_plain() {
        for good in ["https://feed.example.org", "http://h:8080/a/b/", "https://h/a_b/x86_64"] {
            assert!(good.parse::<FeedUrl>().is_ok(), "{good}");
        }
        for bad in [
            "ftp://h/",
            "https://",
            "https:///a",
            "https://u:p@h/",
            "https://h/a?b",
            "https://h/a#b",
            "https://h/../a",
            "https://h//a",
            "https://h:/a",
            "https://h:99x/",
            "https://h/$(id)",
            "https://h/a b",
            "https://h/a\nsrc/gz x y",
            "file:///srv",
        ] {
            assert!(bad.parse::<FeedUrl>().is_err(), "{bad:?}");
        }
    }
}
