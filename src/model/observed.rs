//! What is published, and what is wrong with it.

use super::catalog::Commit;
use super::digest::Digest;
use super::name::{ChannelName, ImageName, Version};
use super::policy::ReleaseFacts;
use super::product;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The published state of a whole store.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The images that have at least one release, by name.
    pub images: BTreeMap<ImageName, ObservedImage>,
    /// What is wrong with the store itself, not with one of its releases.
    pub store: Vec<StoreFinding>,
}

/// The published state of one image.
#[derive(Clone, Debug, Default)]
pub struct ObservedImage {
    /// What each channel points to.
    pub channels: BTreeMap<ChannelName, ObservedRelease>,
    /// Other releases by recipe, so that going back to an older recipe needs no build.
    pub by_recipe: BTreeMap<Digest, Version>,
    /// Releases that no channel points to and that have to be signed again, and why.
    pub outlived: BTreeMap<Version, Vec<Defect>>,
    /// Releases that no channel points to and that are not what they should be.
    pub damaged: BTreeMap<Version, Vec<Defect>>,
    /// The damaged releases that become whole without a build, and how.
    pub mends: BTreeMap<Version, Vec<Mend>>,
    /// The releases that would give nobody wrong bytes, newest first, and when each was
    /// published.
    pub whole: Vec<(Version, DateTime<Utc>)>,
}

impl ObservedImage {
    /// Whether nothing is wrong with any release.
    pub fn is_sound(&self) -> bool {
        self.channels.values().all(|release| release.defects.is_empty())
            && self.damaged.is_empty()
            && self.outlived.is_empty()
            && self.mends.is_empty()
    }

    /// What is wrong with a release; nothing is known of one that is not here.
    pub fn defects(&self, version: &Version) -> &[Defect] {
        let head = self.channels.values().find(|r| &r.version == version).map(|r| &r.defects);
        head.or_else(|| self.damaged.get(version)).map(Vec::as_slice).unwrap_or_default()
    }
}

/// One published release.
#[derive(Clone, Debug)]
pub struct ObservedRelease {
    /// The release.
    pub version: Version,
    /// Its recipe's identity.
    pub recipe_digest: Digest,
    /// Its recipe, if the file could be read.
    pub recipe: Option<product::Recipe>,
    /// Its lock, if the file could be read.
    pub lock: Option<product::Lock>,
    /// The commit that asked for it.
    pub commit: Option<Commit>,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// What policies look at, if the manifest could be read.
    pub facts: Option<ReleaseFacts>,
    /// What is wrong with its bytes; empty when all is well.
    pub defects: Vec<Defect>,
}

/// Something wrong with published bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "defect")]
pub enum Defect {
    /// A file is not there.
    Missing {
        /// Its name in the release.
        file: String,
    },
    /// The whole folder of a release that the index lists is not there.
    NoFolder,
    /// A file ends too early.
    Truncated {
        /// Its name in the release.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The size in bytes that the manifest says.
        expected: u64,
    },
    /// A file lies in a release and nothing signed speaks of it.
    Orphaned {
        /// Its name in the release.
        file: String,
    },
    /// A file has another size or digest than the manifest says.
    Altered {
        /// Its name in the release.
        file: String,
        /// How it differs.
        how: String,
    },
    /// No signature is there.
    Unsigned {
        /// The file that should have one.
        file: String,
    },
    /// The image in the registry, or what is attached to it there, is not what was pushed.
    Registry {
        /// What is wrong, with the image's reference.
        how: String,
    },
    /// A signature is there and no trusted key made it.
    BadSignature {
        /// The file that it signs.
        file: String,
    },
    /// It was signed by enough keys when it was published, and by now some are retired.
    RetiredKey {
        /// The file that they signed.
        file: String,
        /// The retired keys, each with its end.
        keys: Vec<String>,
    },
    /// It is signed well today, and will not be when a key ends whose successor is active.
    EndingKey {
        /// The file that they signed.
        file: String,
        /// The keys that end, and when.
        keys: Vec<String>,
    },
    /// Trusted keys signed it, and fewer than have to by now.
    TooFewKeys {
        /// The file that they signed.
        file: String,
        /// The keys.
        keys: Vec<String>,
        /// How many have to sign.
        needed: usize,
    },
}

impl Defect {
    /// Whether signing again mends it: the bytes are in order, only who vouches for them
    /// has to change.
    pub fn is_outlived(&self) -> bool {
        matches!(self, Self::RetiredKey { .. } | Self::EndingKey { .. } | Self::TooFewKeys { .. })
    }
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { file } => write!(f, "published file {file} is missing"),
            Self::NoFolder => write!(f, "the folder of the published release is missing"),
            Self::Truncated { file, size, expected } => {
                write!(f, "published file {file} is cut off: it has {size} of {expected} bytes")
            }
            Self::Orphaned { file } => {
                write!(f, "file {file} lies in the release and is not part of it")
            }
            Self::Altered { file, how } => write!(f, "published file {file} was altered: {how}"),
            Self::Unsigned { file } => write!(f, "published file {file} has no signature"),
            Self::BadSignature { file } => {
                write!(f, "the signature of published file {file} was made by no trusted key")
            }
            Self::Registry { how } => f.write_str(how),
            Self::RetiredKey { file, keys } => {
                write!(f, "published file {file} is signed by a retired key: {}", keys.join("; "))
            }
            Self::EndingKey { file, keys } => {
                write!(f, "published file {file} is not signed by a key that goes on: {}", keys.join("; "))
            }
            Self::TooFewKeys { file, keys, needed } => write!(
                f,
                "published file {file} is signed by {} of {needed} needed keys: {}",
                keys.len(),
                keys.join("; ")
            ),
        }
    }
}

impl Defect {
    /// The file that it is about; none when it is about all of them.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::NoFolder | Self::Registry { .. } => None,
            Self::Missing { file }
            | Self::Truncated { file, .. }
            | Self::Orphaned { file }
            | Self::Altered { file, .. }
            | Self::Unsigned { file }
            | Self::BadSignature { file }
            | Self::RetiredKey { file, .. }
            | Self::EndingKey { file, .. }
            | Self::TooFewKeys { file, .. } => Some(file),
        }
    }

    /// Whether a download may give wrong bytes or none: a stray file beside the release, or a
    /// download page that is gone, harms nobody.
    pub fn harms(&self) -> bool {
        match self {
            Self::Orphaned { .. } | Self::Registry { .. } => false,
            Self::Missing { file } => file != "index.html",
            _ => !self.is_outlived(),
        }
    }
}

/// One thing that makes a damaged release whole again without a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "mend")]
pub enum Mend {
    /// Put bytes back that have the digest which the signed manifest names.
    Restore {
        /// The file's name in the release.
        file: String,
        /// Where a copy of the bytes is now.
        from: String,
    },
    /// Write a file again that the manifest alone determines.
    Rewrite {
        /// The file's name in the release.
        file: String,
    },
    /// Sign a file again whose bytes the signed index vouches for.
    Sign {
        /// The file that is signed.
        file: String,
    },
    /// Move a file that is no part of the release out of it.
    Quarantine {
        /// The file's name in the release.
        file: String,
    },
    /// Take the release out of the index: nothing of it is left.
    Unlist,
    /// Push the OCI image to the registry again, with what is attached to it.
    Push,
}

impl std::fmt::Display for Mend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Restore { file, from } => write!(f, "restore {file} from {from}"),
            Self::Rewrite { file } => write!(f, "write {file} again"),
            Self::Sign { file } => write!(f, "sign {file} again"),
            Self::Quarantine { file } => write!(f, "move {file} to quarantine"),
            Self::Unlist => write!(f, "take it out of the index"),
            Self::Push => write!(f, "push its OCI image to the registry again"),
        }
    }
}

/// Something wrong with a store that is no defect of one listed release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "finding")]
pub enum StoreFinding {
    /// A release's folder that the index does not list.
    UnlistedRelease {
        /// The image.
        image: ImageName,
        /// The release.
        version: Version,
    },
    /// What a killed writer left.
    LeftStaging {
        /// Its name below `.staging/`.
        name: String,
    },
    /// A page or a copy of the index that is not there.
    MissingPage {
        /// Its path below the store.
        file: String,
    },
}

impl StoreFinding {
    /// What is done about it: `move to quarantine`.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::UnlistedRelease { .. } => "move to quarantine",
            Self::LeftStaging { .. } => "remove",
            Self::MissingPage { .. } => "write again",
        }
    }
}

impl std::fmt::Display for StoreFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnlistedRelease { image, version } => {
                write!(f, "the index does not list the folder {image}/{version}")
            }
            Self::LeftStaging { name } => write!(f, "a killed writer left .staging/{name}"),
            Self::MissingPage { file } => write!(f, "{file} is missing"),
        }
    }
}
