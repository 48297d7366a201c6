//! What the download pages say of releases that are stale or damaged.
//!
//! Kept in `status.json` at the root of a store, so that whoever writes a page writes the
//! same; it is not signed, and nothing but pages and `release list` reads it. It holds no
//! time, so that a look that finds nothing new rewrites nothing.

use crate::model::name::{ImageName, Version};
use crate::model::observed::Defect;
use crate::model::plan::{Damaged, ImageReport, Stale};
use crate::model::{Failure, Result, public};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the file.
pub const FILE_NAME: &str = "status.json";
/// No such file is larger, in bytes.
pub(super) const LIMIT: u64 = 16 << 20;

/// What is said of all images, by image and release.
pub type Notices = BTreeMap<ImageName, BTreeMap<Version, Notice>>;

/// What is said of one release on a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// That it is old, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
    /// That it is damaged, and which one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Damaged>,
}

/// What is to be said of the releases of an image; nothing if all is well. `own` are names of this
/// host, which are no business of those who read the pages.
pub fn of(report: &ImageReport, own: &[String]) -> BTreeMap<Version, Notice> {
    let mut notices = BTreeMap::new();
    for lost in &report.lost {
        let harm: Vec<Defect> =
            lost.defects.iter().filter(|d| d.harms()).map(|defect| in_public(defect, own)).collect();
        if !harm.is_empty() {
            let damaged = Some(Damaged { defects: harm, whole: None });
            notices.insert(lost.version.clone(), Notice { stale: None, damaged });
        }
    }
    let stale = report.stale.as_ref().map(|stale| Stale {
        because: public::wording(&stale.public, own),
        public: String::new(),
        ..stale.clone()
    });
    let damaged = report.damaged.as_ref().map(|damaged| Damaged {
        defects: damaged.defects.iter().map(|defect| in_public(defect, own)).collect(),
        whole: damaged.whole.clone(),
    });
    if let Some(version) = report.current.clone().filter(|_| stale.is_some() || damaged.is_some()) {
        notices.insert(version, Notice { stale, damaged });
    }
    notices
}

/// A defect without anything of this host.
fn in_public(defect: &Defect, own: &[String]) -> Defect {
    match defect {
        Defect::Altered { file, how } => {
            Defect::Altered { file: file.clone(), how: public::wording(how, own) }
        }
        Defect::Registry { how } => Defect::Registry { how: public::wording(how, own) },
        other => other.clone(),
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
