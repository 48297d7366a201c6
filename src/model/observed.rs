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
        }
    }
}
