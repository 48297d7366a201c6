//! What the download pages say of releases that are stale or damaged.
//!
//! Kept in `status.json` at the root of a store, so that whoever writes a page writes the
//! same; it is not signed, and nothing but pages and `release list` reads it. It holds no
//! time, so that a look that finds nothing new rewrites nothing.

use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::plan::{Damaged, ImageReport, Stale};
use crate::model::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the file.
pub const FILE_NAME: &str = "status.json";
/// No such file is larger, in bytes.
pub(super) const LIMIT: u64 = 16 << 20;

/// What is said of all images, by image and channel.
pub type Notices = BTreeMap<ImageName, BTreeMap<ChannelName, Notice>>;

/// What is said of the release on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The release; of another one on the channel nothing is said.
    pub version: Version,
    /// That it is old, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// That it is damaged, and which one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Damaged>,
}

impl Notice {
    /// What is to be said of an image; nothing if all is well.
    pub fn of(report: &ImageReport) -> Option<Self> {
        let version = report.current.clone()?;
        let (stale, damaged) = (report.stale.clone(), report.damaged.clone());
        (stale.is_some() || damaged.is_some()).then_some(Self { version, stale, damaged })
    }

    /// One sentence for each: `stale, 12 days, because its spec says paused`.
    pub fn sentences(&self) -> Vec<String> {
        let stale = self.stale.iter().map(ToString::to_string);
        stale.chain(self.damaged.iter().map(ToString::to_string)).collect()
    }
}

/// Reads what is said now; nothing where the file cannot be read.
pub(super) fn parse(bytes: &[u8]) -> Notices {
    serde_json::from_slice(bytes).unwrap_or_default()
}

pub(super) fn write(notices: &Notices) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(notices).map_err(|e| Failure::bug(format!("writing {FILE_NAME}: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}
