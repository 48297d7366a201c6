//! Cards: what they are, what is written to them, and what came of it.

use super::digest::{Digest, ImageDigest};
use super::failure::Failure;
use super::spec::Size;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A whole block device as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The path that was asked for.
    pub path: PathBuf,
    /// The kernel's name: `sdb`, `mmcblk0`.
    pub name: String,
    /// Major and minor number: `8:16`.
    pub number: String,
    /// The kernel counts every medium that it sees: another number is another medium.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sequence: Option<u64>,
    /// Size in bytes, as the device says.
    pub size: u64,
    /// Size of a logical block, in bytes.
    pub block_size: u32,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vendor: Option<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// What tells this medium from all others, where the kernel says it: `cid:…` of an SD card in a
    /// reader of its own, `serial:…` of a USB device, `file:…` below a loop device. A USB reader
    /// gives its own number for every card that is in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub card: Option<String>,
    /// Whether the kernel takes it for removable. No evidence: it is `false` for many readers.
    pub removable: bool,
    /// The file system that the whole device holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filesystem: Option<String>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// A partition of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// The kernel's name: `sdb1`.
    pub name: String,
    /// Major and minor number.
    pub number: String,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// The file system that it holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filesystem: Option<String>,
}

/// How much of an image is read back from a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyScope {
    /// All of it.
    #[default]
    All,
    /// So many bytes from the beginning.
    Prefix(Size),
    /// Nothing: the card is written and believed.
    Nothing,
}

impl VerifyScope {
    /// How many bytes of an image that is; whole MiB, because they are compared as such.
    pub fn bytes(self, image: u64) -> u64 {
        match self {
            Self::All => image,
            Self::Prefix(size) => size.bytes().div_ceil(1 << 20).saturating_mul(1 << 20).min(image),
            Self::Nothing => 0,
        }
    }
}

impl fmt::Display for VerifyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Prefix(size) => write!(f, "prefix={}", String::from(*size)),
            Self::Nothing => f.write_str("none"),
        }
    }
}

impl FromStr for VerifyScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("prefix=")) {
            ("all", _) => Ok(Self::All),
            ("none", _) => Ok(Self::Nothing),
            (_, Some(size)) => match size.parse::<Size>()? {
                size if size.bytes() == 0 => Err("a prefix of nothing is `none`".to_owned()),
                size => Ok(Self::Prefix(size)),
            },
            _ => Err("write all, prefix=SIZE (such as prefix=64MiB) or none".to_owned()),
        }
    }
}

impl Serialize for VerifyScope {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// What is wrong with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It takes writes and gives back what was there before.
    DropsWrites,
    /// It is smaller than it says: higher addresses are lower ones again.
    WrapsAround,
    /// It is smaller than it says: what is written higher up is lost.
    LosesWrites,
    /// Of what was written, parts are there and parts are not.
    PartialWrites,
    /// Single bits come back changed.
    FlipsBits,
    /// It takes no write.
    RefusesWrites,
    /// A write failed.
    WriteError,
    /// A read failed.
    ReadError,
    /// It failed to bring what it took to its memory.
    SyncFailed,
    /// It answers nothing any more.
    Vanished,
    /// It took too long for one request.
    Stalled,
    /// Another medium is in its place.
    Replaced,
}

impl Fault {
    /// What it means, in words that follow the device's name.
    pub fn words(self) -> &'static str {
        match self {
            Self::DropsWrites => "takes writes and gives back what was there before",
            Self::WrapsAround => "is smaller than it says: high addresses lead to low ones",
            Self::LosesWrites => "is smaller than it says: what is written high up is lost",
            Self::PartialWrites => "keeps only parts of what is written",
            Self::FlipsBits => "gives back changed bits",
            Self::RefusesWrites => "takes no write",
            Self::WriteError => "failed to write",
            Self::ReadError => "failed to read",
            Self::SyncFailed => "failed to bring its writes to rest",
            Self::Vanished => "answers nothing any more",
            Self::Stalled => "took too long for one request",
            Self::Replaced => "was changed for another medium",
        }
    }

    /// Whether the card itself is to be thrown away, as far as one can tell.
    pub fn is_unhealthy(self) -> bool {
        !matches!(self, Self::Vanished | Self::Replaced)
    }
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashSource {
    /// The release, or the file's name.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// How it is packed: `raw`, `zstd`, `xz`, `gzip`.
    pub packing: String,
    /// Size of the file, in bytes.
    pub file_size: u64,
    /// SHA-256 of the file, if it was checked or is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_sha256: Option<Digest>,
    /// Whether that digest was asked for by a release or by the user, and was right.
    pub vouched: bool,
    /// Size of the unpacked image, in bytes.
    pub image_size: u64,
    /// The block map that the image is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_map: Option<FlashedMap>,
}

/// The block map of what is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashedMap {
    /// The file, or its name in the release.
    pub file: PathBuf,
    /// How many bytes of the image hold data by it; all else is zero.
    pub mapped: u64,
    /// Whether a release's signatures vouch for it.
    pub vouched: bool,
}

/// What came of one card.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CardReport {
    /// The card.
    pub device: Device,
    /// Whether the image is on it, as far as was asked to be proved.
    pub good: bool,
    /// Whether its beginning was written; without it nothing boots from it.
    pub bootable: bool,
    /// What is wrong with the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Whether the card should not be used again.
    pub unhealthy: bool,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that the device was told to make zero.
    pub zeroed: u64,
    /// Bytes that were to be zero and were found to be.
    pub found_zero: u64,
    /// How much was to be read back.
    pub verify: VerifyScope,
    /// Bytes that were read back and are right.
    pub verified: u64,
    /// The digest of what was read back, if that was all of the image and right: of the kind that
    /// the image is known by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ImageDigest>,
    /// Where the first wrong block begins, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<u64>,
    /// How many blocks of 1 MiB are wrong.
    pub bad_blocks: u64,
    /// How many were wrong and right when written once more.
    pub repaired_blocks: u64,
    /// How much the card really holds at most, if it is smaller than it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_size: Option<u64>,
    /// How long the writing took.
    pub write_ms: u64,
    /// How long the reading back took.
    pub verify_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_written() {
        for text in ["all", "none", "prefix=64MiB"] {
            assert_eq!(text.parse::<VerifyScope>().unwrap().to_string(), text);
        }
        for bad in ["", "prefix", "prefix=", "prefix=0", "prefix=0B", "prefix=x", "some", "ALL"] {
            assert!(bad.parse::<VerifyScope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_is_whole_blocks_and_never_more_than_the_image() {
        let prefix = |text: &str| text.parse::<VerifyScope>().unwrap();
        assert_eq!(prefix("prefix=1B").bytes(10 << 20), 1 << 20);
        assert_eq!(prefix("prefix=16TiB").bytes(10), 10);
        assert_eq!(VerifyScope::All.bytes(7), 7);
        assert_eq!(VerifyScope::Nothing.bytes(7), 0);
    }
}
