//! What is published, and what is wrong with it.

use super::catalog::Commit;
use super::digest::Digest;
use super::lock::Lock;
use super::name::{ChannelName, ImageName, Version};
use super::policy::ReleaseFacts;
use super::recipe::Recipe;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The published state of a whole store.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The images that have at least one release, by name.
    pub images: BTreeMap<ImageName, ObservedImage>,
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
}

/// One published release.
#[derive(Clone, Debug)]
pub struct ObservedRelease {
    /// The release.
    pub version: Version,
    /// Its recipe's identity.
    pub recipe_digest: Digest,
    /// Its recipe, if the file could be read.
    pub recipe: Option<Recipe>,
    /// Its lock, if the file could be read.
    pub lock: Option<Lock>,
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
            Self::Altered { file, how } => write!(f, "published file {file} was altered: {how}"),
            Self::Unsigned { file } => write!(f, "published file {file} has no signature"),
            Self::BadSignature { file } => {
                write!(f, "the signature of published file {file} was made by no trusted key")
            }
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
