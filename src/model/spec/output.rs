//! What a release carries, how large it may get, how old.

use super::size::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a release carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A live ISO for BIOS and UEFI, disc and USB stick.
    Iso,
    /// An OCI image.
    Oci,
    /// The root filesystem as one archive.
    Rootfs,
    /// A disk image.
    Disk,
}

impl Output {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::Oci => "oci",
            Self::Rootfs => "rootfs",
            Self::Disk => "disk",
        }
    }

    /// Whether a machine starts from it by itself.
    pub fn starts(self) -> bool {
        matches!(self, Self::Iso | Self::Disk)
    }
}

/// Sizes that must not be exceeded: `700MiB`, `2GiB`, `1500MB` or plain bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// The ISO file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso_size: Option<Size>,
    /// The OCI archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci_size: Option<Size>,
    /// The root filesystem archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_size: Option<Size>,
    /// The disk image as it is downloaded, compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<Size>,
}

/// How old a release may get before it is called stale, on its download page too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freshness {
    /// Days since it was published, or since a look at the mirrors found nothing newer. A
    /// stale image without a `schedule` has its packages looked up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub max_age_days: Option<u32>,
}

impl Freshness {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
