//! How the installer lays out a disk: partitions, encryption, the pool of ZFS, mounts.
//!
//! Formats: the comments of `partition.conf`, `zfs.conf` and `mount.conf` in Calamares' sources.
//! Calamares makes the EFI partition by itself and encrypts what it makes if the person at the
//! screen gives a passphrase.

use crate::configure::System;
use crate::model::spec::text::PartitionExtent;
use crate::model::spec::{Encryption, Filesystem, Partition, RootFilesystem, SwapKind};
use serde_json::{Value, json};

fn filesystem<'a>(system: &'a System<'_>) -> Option<&'a Filesystem> {
    system.configuration.filesystem.as_ref()
}

/// How the disk is encrypted, if it is.
pub(super) fn encryption(system: &System<'_>) -> Option<Encryption> {
    filesystem(system)?.encryption
}

fn root(system: &System<'_>) -> &'static str {
    filesystem(system).map_or(RootFilesystem::Ext4, |f| f.root).as_str()
}

fn is_efi(partition: &Partition) -> bool {
    matches!(partition.mount.as_str(), "/boot/efi" | "/efi")
}

/// `partition.conf`.
pub(super) fn partition(system: &System<'_>) -> Value {
    let partitions = filesystem(system).map_or(&[][..], |f| f.partitions.as_slice());
    let efi = partitions.iter().find(|partition| is_efi(partition));
    let efi_size = efi.map_or_else(|| "300M".to_owned(), |partition| size(&partition.size.extent()));
    let mut value = json!({
        "efiSystemPartition": efi.map_or("/boot/efi", |partition| partition.mount.as_str()),
        "efiSystemPartitionSize": efi_size,
        // What the spec asks for is part of the layout.
        "userSwapChoices": ["none"],
        "initialSwapChoice": "none",
        "drawNestedPartitions": false,
        "alwaysShowPartitionLabels": true,
        "initialPartitioningChoice": "none",
        "defaultFileSystemType": root(system),
        "availableFileSystemTypes": [root(system)],
        "enableLuksAutomatedPartitioning": encryption(system).is_some(),
        "requiredStorage": 6.0,
    });
    let layout = layout(system, partitions);
    if !layout.is_empty() {
        value["partitionLayout"] = json!(layout);
    }
    if let Some(encryption) = encryption(system) {
        // Calamares knows both since 3.3; before, it made LUKS 1 (`check` refuses 2 there).
        value["luksGeneration"] = json!(encryption.as_str());
        value["preCheckEncryption"] = json!(true);
    }
    value
}

/// What is made beside the EFI partition; empty where Calamares' own layout will do, which is one
/// root filesystem.
fn layout(system: &System<'_>, partitions: &[Partition]) -> Vec<Value> {
    let swap = filesystem(system).and_then(|f| f.swap.as_ref());
    let swap = swap.filter(|swap| swap.kind == SwapKind::Partition);
    let mut layout: Vec<Value> = partitions
        .iter()
        .filter(|partition| !is_efi(partition))
        .map(|partition| {
            json!({
                "name": label(partition.mount.as_str()),
                "filesystem": root(system),
                "mountPoint": partition.mount.as_str(),
                "size": size(&partition.size.extent()),
                "noEncrypt": encryption(system).is_some() && !partition.encrypted,
            })
        })
        .collect();
    if let Some(swap) = swap {
        if layout.is_empty() {
            let whole =
                json!({"name": "root", "filesystem": root(system), "mountPoint": "/", "size": "100%"});
            layout.push(whole);
        }
        let bytes = PartitionExtent::Bytes(swap.size);
        layout.push(json!({"name": "swap", "filesystem": "linuxswap", "size": size(&bytes)}));
    }
    layout
}

/// A name for a partition: GPT has room for 36 characters.
fn label(mount: &str) -> String {
    match mount {
        "/" => "root".to_owned(),
        _ => mount.trim_start_matches('/').replace('/', "-").chars().take(36).collect(),
    }
}

/// KiB and shares are Calamares' units. What is left comes last and is all of the rest.
fn size(extent: &PartitionExtent) -> String {
    match extent {
        PartitionExtent::Bytes(size) => format!("{}K", size.bytes().div_ceil(1024)),
        PartitionExtent::Percent(share) => format!("{share}%"),
        PartitionExtent::Rest => "100%".to_owned(),
    }
}

/// `zfs.conf`: the pool and its datasets, of a root on ZFS. Its partition's passphrase encrypts
/// the pool itself.
pub(super) fn pool(system: &System<'_>) -> Option<Value> {
    let filesystem = filesystem(system).filter(|f| f.root == RootFilesystem::Zfs)?;
    let compression = if filesystem.compression { "zstd" } else { "off" };
    let dataset =
        |name: &str, mount: &str, can: &str| json!({"dsName": name, "mountpoint": mount, "canMount": can});
    Some(json!({
        "poolName": "rpool",
        "poolOptions": "-f -o ashift=12 -O mountpoint=none -O acltype=posixacl -O relatime=on",
        "datasetOptions": format!("-o compression={compression} -o xattr=sa"),
        "datasets": [
            dataset("ROOT", "none", "off"),
            dataset("ROOT/system", "/", "noauto"),
            dataset("ROOT/home", "/home", "on"),
        ],
    }))
}

/// `mount.conf`.
pub(super) fn mount(system: &System<'_>) -> Value {
    let options = if filesystem(system).is_some_and(|f| f.compression) {
        json!(["defaults", "noatime", "compress=zstd"])
    } else {
        json!(["defaults", "noatime"])
    };
    json!({
        "extraMounts": [
            {"device": "proc", "fs": "proc", "mountPoint": "/proc"},
            {"device": "sys", "fs": "sysfs", "mountPoint": "/sys"},
            {"device": "/dev", "mountPoint": "/dev", "options": ["bind"]},
            {"device": "tmpfs", "fs": "tmpfs", "mountPoint": "/run"},
            {"device": "/run/udev", "mountPoint": "/run/udev", "options": ["bind"]},
            {"device": "efivarfs", "fs": "efivarfs", "mountPoint": "/sys/firmware/efi/efivars", "efi": true},
        ],
        "btrfsSubvolumes": [
            {"mountPoint": "/", "subvolume": "/@"},
            {"mountPoint": "/home", "subvolume": "/@home"},
        ],
        "mountOptions": [
            {"filesystem": "default", "options": ["defaults", "noatime"]},
            {"filesystem": "btrfs", "options": options},
            {"filesystem": "efi", "options": ["defaults", "umask=0077"]},
        ],
    })
}
