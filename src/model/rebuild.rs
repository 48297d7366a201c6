//! What came of building a release a second time.

use super::digest::Digest;
use super::name::{ImageName, Version};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The verdict on one release: the same bytes again, or where they differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuild {
    /// The image.
    pub image: ImageName,
    /// The release.
    pub version: Version,
    /// SHA-256 of its `manifest.json`.
    pub manifest: Digest,
    /// Its recipe's identity.
    pub recipe: Digest,
    /// Who built it again, as a URI.
    pub builder: String,
    /// The program: `bootwright 0.1.0`.
    pub tool: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// Every image file, in the manifest's order.
    pub files: Vec<RebuiltFile>,
}

/// One image file, built again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuiltFile {
    /// Its name in the release.
    pub name: String,
    /// SHA-256 of the published bytes, from the manifest.
    pub published: Digest,
    /// SHA-256 of what came out this time.
    pub rebuilt: Digest,
    /// Why the manifest says that it cannot be reproduced, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<String>,
    /// Where the two differ first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// The first place where two files differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Offset of the first byte that differs.
    pub offset: u64,
    /// Way to the first differing file, from the outside in: `live/03-configuration.squashfs`,
    /// `etc/hostname`. Empty if the files inside are the same.
    pub place: Vec<String>,
    /// What is different there: published value, then the one of this build.
    pub what: String,
    /// What diffoscope says about it, where it is installed; cut if it is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

impl Rebuild {
    /// Whether every image file that can be reproduced was.
    pub fn reproduced(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|f| f.same() || f.excused.is_some())
    }
}

impl RebuiltFile {
    /// Whether the bytes are the published ones.
    pub fn same(&self) -> bool {
        self.published == self.rebuilt
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.place {
            write!(f, "{part}: ")?;
        }
        write!(f, "{} (first at byte {})", self.what, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rebuilt: &str, excused: bool) -> RebuiltFile {
        RebuiltFile {
            name: "gw.iso".to_owned(),
            published: Digest::of("a"),
            rebuilt: Digest::of(rebuilt),
            excused: excused.then(|| "a signature of the firmware".to_owned()),
            difference: None,
        }
    }

    #[test]
    fn reproduced_means_every_file_and_at_least_one() {
        let of = |files| Rebuild {
            image: "gw".parse().unwrap(),
            version: "20240101-0123abcd".parse().unwrap(),
            manifest: Digest::of("m"),
            recipe: Digest::of("r"),
            builder: "urn:x".to_owned(),
            tool: "bootwright".to_owned(),
            started: DateTime::UNIX_EPOCH,
            finished: DateTime::UNIX_EPOCH,
            files,
        };
        assert!(of(vec![file("a", false), file("b", true)]).reproduced());
        assert!(!of(vec![]).reproduced());
        assert!(!of(vec![file("a", false), file("b", false)]).reproduced());
    }
}
