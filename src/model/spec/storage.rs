//! Disks: filesystem, encryption, partitions, swap, snapshots.

use super::size::Size;
use super::text::{MountPoint, PartitionSize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the disk is laid out: by the disk image, and by the installer of an ISO.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filesystem {
    /// The kind of the root filesystem.
    #[serde(default)]
    pub root: RootFilesystem,
    /// Encryption of the root filesystem; none when absent or `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-null" = true))]
    pub encryption: Option<Encryption>,
    /// Whether files are compressed as they are written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compression: bool,
    /// Earlier states of the root filesystem, kept to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Snapshots>,
    /// Partitions in their order on the disk; boot partition and root when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
    /// Whether partitions are logical volumes of LVM.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lvm: bool,
    /// Whether several disks are joined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raid: bool,
    /// How disks are joined; `raid1` when absent and `raid: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raid_level: Option<RaidLevel>,
    /// How many disks there are; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub disks: Option<u8>,
    /// Room for memory that is not in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
}

/// Kinds of root filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RootFilesystem {
    /// ext4: plain and everywhere.
    #[default]
    Ext4,
    /// Btrfs: subvolumes, snapshots, compression.
    Btrfs,
    /// XFS: large files, many writers.
    Xfs,
    /// ZFS: pools, snapshots, compression; its module is built outside the kernel.
    Zfs,
}

impl RootFilesystem {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
            Self::Xfs => "xfs",
            Self::Zfs => "zfs",
        }
    }
}

/// Encryption of block devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// LUKS, version 1: any GRUB can open it.
    Luks1,
    /// LUKS, version 2, with Argon2id.
    Luks2,
}

impl Encryption {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Luks1 => "luks1",
            Self::Luks2 => "luks2",
        }
    }
}

/// Ways to join disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RaidLevel {
    /// Striped: as large as all disks, lost with any of them.
    Raid0,
    /// Mirrored: two disks or more.
    Raid1,
    /// One disk may fail: three disks or more.
    Raid5,
    /// Two disks may fail: four disks or more.
    Raid6,
    /// Mirrored and striped: four disks or more, an even number.
    Raid10,
}

impl RaidLevel {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raid0 => "raid0",
            Self::Raid1 => "raid1",
            Self::Raid5 => "raid5",
            Self::Raid6 => "raid6",
            Self::Raid10 => "raid10",
        }
    }

    /// How many disks it needs at least.
    pub fn least_disks(self) -> u8 {
        match self {
            Self::Raid0 | Self::Raid1 => 2,
            Self::Raid5 => 3,
            Self::Raid6 | Self::Raid10 => 4,
        }
    }
}

/// Earlier states of the root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshots {
    /// Whether snapshots are made.
    #[serde(default)]
    pub enabled: bool,
    /// How often one is made; `daily` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<SnapshotInterval>,
    /// How many are kept; 7 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub retention: Option<u32>,
}

/// How often a snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotInterval {
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// At every start.
    Boot,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partition {
    /// Where it appears.
    pub mount: MountPoint,
    /// How much of the disk it takes.
    pub size: PartitionSize,
    /// Whether it is encrypted, as `encryption` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
}

/// Room for memory that is not in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Swap {
    /// Where it is.
    #[serde(default)]
    pub kind: SwapKind,
    /// How large it is.
    pub size: Size,
    /// Whether the machine can sleep by writing its memory there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hibernation: bool,
}

/// Where swap is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SwapKind {
    /// A file on the root filesystem.
    #[default]
    File,
    /// A partition of its own.
    Partition,
    /// Compressed memory; nothing is written to a disk.
    Zram,
}
