//! Which partitions a disk has, in their order, and what lies on each. Pure.

use super::gpt::{Guid, kind};
use crate::model::spec::text::PartitionExtent;
use crate::model::spec::{Filesystem, Partition, RootFilesystem, SwapKind};
use crate::model::{Failure, Result};
use std::collections::BTreeSet;

/// The size of the EFI partition that has programs alone: FAT32 begins at 33 MiB.
pub const EFI: u64 = 64 << 20;
/// Partitions begin and end at whole MiB.
const MIB: u64 = 1 << 20;
/// Where the EFI partition appears.
const EFI_MOUNT: &str = "boot/efi";

/// A disk's partitions.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The kind of all filesystems but the EFI partition's.
    pub filesystem: RootFilesystem,
    /// Whether files are compressed.
    pub compress: bool,
    /// Whether there is a place for snapshots of the root.
    pub snapshots: bool,
    /// From the first to the last; GRUB's own for BIOS, before them, is not among them.
    pub partitions: Vec<Part>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is on it.
    pub what: What,
    /// Its name in the partition table, and in identifiers.
    pub name: String,
    /// Its size in bytes; as small as can be if `None`.
    pub size: Option<u64>,
    /// Whether it takes what is free behind it when the system starts.
    pub grows: bool,
}

/// What is on a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What UEFI firmware reads; where it appears.
    Efi(String),
    /// Swap.
    Swap,
    /// The files from this folder on, which has no leading slash.
    Files(String),
}

impl Part {
    /// Its type in the partition table.
    pub fn kind(&self) -> Guid {
        match &self.what {
            What::Efi(_) => kind::ESP,
            What::Swap => kind::SWAP,
            What::Files(mount) => match mount.as_str() {
                "" => kind::ROOT_X86_64,
                "home" => kind::HOME,
                "srv" => kind::SRV,
                _ => kind::LINUX,
            },
        }
    }

    /// How systemd-repart(8) calls its type; `None` for those that it leaves alone.
    pub fn kind_word(&self) -> Option<&'static str> {
        match &self.what {
            What::Efi(_) => None,
            What::Swap => Some("swap"),
            What::Files(mount) => Some(match mount.as_str() {
                "" => "root",
                "home" => "home",
                "srv" => "srv",
                _ => "linux-generic",
            }),
        }
    }
}

impl Layout {
    /// The layout that a spec asks for, with an EFI partition of `efi` bytes if it does not say.
    ///
    /// # Errors
    /// Class *bug* for what `check` refuses.
    pub fn of(asked: Option<&Filesystem>, efi: u64) -> Result<Self> {
        let plain = Filesystem::default();
        let asked = asked.unwrap_or(&plain);
        if asked.encryption.is_some() || asked.lvm || asked.raid || asked.root == RootFilesystem::Zfs {
            return Err(Failure::bug("a disk that `check` refuses"));
        }
        let mut partitions = Vec::new();
        if asked.partitions.is_empty() {
            partitions.push(part(What::Efi(EFI_MOUNT.to_owned()), "efi".to_owned(), Some(efi)));
            partitions.push(part(What::Files(String::new()), "root".to_owned(), None));
        }
        for partition in &asked.partitions {
            partitions.push(of_spec(partition)?);
        }
        if let Some(swap) = asked.swap.as_ref().filter(|swap| swap.kind == SwapKind::Partition) {
            // The last one grows: so swap stands before all files.
            let first = partitions.iter().position(|p| !matches!(p.what, What::Efi(_))).unwrap_or(0);
            let size = Some(swap.size.bytes().next_multiple_of(MIB));
            partitions.insert(first, part(What::Swap, "swap".to_owned(), size));
        }
        let (count, mut taken) = (partitions.len(), BTreeSet::new());
        for (number, part) in partitions.iter_mut().enumerate() {
            part.grows = part.size.is_none();
            if !taken.insert(part.name.clone()) {
                part.name = format!("{}-{number}", part.name.chars().take(30).collect::<String>());
            }
            if part.grows && number + 1 != count {
                return Err(Failure::bug("a partition that grows and is not the last"));
            }
        }
        Ok(Self {
            filesystem: asked.root,
            compress: asked.compression,
            snapshots: asked.snapshots.as_ref().is_some_and(|snapshots| snapshots.enabled),
            partitions,
        })
    }

    /// The folders at which its filesystems appear, those above before those below.
    pub fn mounts(&self) -> Vec<&str> {
        let mut mounts: Vec<&str> = self
            .partitions
            .iter()
            .filter_map(|part| match &part.what {
                What::Files(mount) => Some(mount.as_str()),
                _ => None,
            })
            .collect();
        mounts.sort_unstable();
        mounts
    }

    /// Where the EFI partition appears, if there is one.
    pub fn efi(&self) -> Option<&str> {
        self.partitions.iter().find_map(|part| match &part.what {
            What::Efi(mount) => Some(mount.as_str()),
            _ => None,
        })
    }

    /// Subvolumes of the filesystem at `mount`, and the folders that they take the place of.
    pub fn subvolumes(&self, mount: &str) -> Vec<(&'static str, &'static str)> {
        if self.filesystem != RootFilesystem::Btrfs || !mount.is_empty() {
            return Vec::new();
        }
        let mut subvolumes = vec![("@", "")];
        if !self.mounts().contains(&"home") {
            subvolumes.push(("@home", "home"));
        }
        if self.snapshots {
            subvolumes.push(("@snapshots", ".snapshots"));
        }
        subvolumes
    }
}

fn part(what: What, name: String, size: Option<u64>) -> Part {
    Part { what, name, size, grows: false }
}

fn of_spec(partition: &Partition) -> Result<Part> {
    let size = match partition.size.extent() {
        PartitionExtent::Bytes(size) => Some(size.bytes().next_multiple_of(MIB)),
        PartitionExtent::Rest => None,
        PartitionExtent::Percent(_) => return Err(Failure::bug("a share of a disk of unknown size")),
    };
    let mount = partition.mount.as_str().trim_matches('/');
    Ok(match mount {
        EFI_MOUNT | "efi" => part(What::Efi(mount.to_owned()), "efi".to_owned(), size),
        "" => part(What::Files(String::new()), "root".to_owned(), size),
        // 36 letters at most stand in the table.
        _ => part(What::Files(mount.to_owned()), mount.replace('/', "-").chars().take(36).collect(), size),
    })
}
