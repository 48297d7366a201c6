//! Disks: filesystem, encryption, boot loader, partitions, snapshots, swap.

use super::rows::{Hits, here, rules};
use super::{Hit, Rule};
use crate::model::spec::text::PartitionExtent;
use crate::model::spec::{
    BootMode, BootloaderKind, Encryption, Family, Filesystem, KernelHardening, OsImage, Output, Partition,
    RaidLevel, RootFilesystem, SwapKind,
};

rules! {
    "filesystem-unread" Error Validation ["spec.filesystem", "spec.outputs", "spec.installer"]
    says "nothing reads this: neither a disk image nor an installer lays out a disk"
    does "Add `disk` to `outputs`, or an `installer`, or take this away; swap of `kind: zram` alone can stay."
    why "A live ISO, an OCI image and an archive bring no disk of their own."
    => |i| filesystem(i, |f| here(i.spec.installer.is_none() && !i.spec.outputs.contains(&Output::Disk)
        && !only_zram(f), "spec.filesystem")),

    "encryption-argon2-grub" Warning Compat
    ["spec.filesystem.encryption", "spec.filesystem.partitions", "spec.customization.bootloader.kind"]
    says "GRUB cannot open LUKS 2 with Argon2id, and /boot is not on a partition of its own"
    does "Add an unencrypted partition for /boot, or write `encryption: luks1`."
    why "GRUB before 2.13 knows PBKDF2 only, while cryptsetup gives new LUKS 2 volumes Argon2id."
    => |i| filesystem(i, |f| here(f.encryption == Some(Encryption::Luks2) && grub(i)
        && !f.partitions.is_empty() && !f.partitions.iter().any(|p| p.mount.as_str() == "/boot"),
        "spec.filesystem.encryption")),

    "boot-encrypted" Error Compat
    ["spec.filesystem.encryption", "spec.filesystem.partitions[].encrypted", "spec.customization.bootloader.kind"]
    says "{loader} cannot read an encrypted /boot"
    does "Take `encrypted` away at /boot, or use GRUB with `encryption: luks1`."
    why "systemd-boot reads no LUKS at all, and GRUB no LUKS 2 with Argon2id."
    => |i| filesystem(i, |f| {
        let loader = if grub(i) { "GRUB (with LUKS 2)" } else { "systemd-boot" };
        let readable = grub(i) && f.encryption == Some(Encryption::Luks1);
        partitions(f, |p| p.mount.as_str() == "/boot" && p.encrypted && f.encryption.is_some() && !readable, "encrypted")
            .into_iter().map(|hit| hit.with("loader", loader)).collect()
    }),

    "efi-encrypted" Error Compat ["spec.filesystem.partitions[].encrypted"]
    says "the EFI system partition {mount} cannot be encrypted"
    does "Take `encrypted` away here."
    why "The firmware reads this partition before anything could decrypt it."
    => |i| filesystem(i, |f| partitions(f, |p| is_efi(p) && p.encrypted, "encrypted")),

    "partition-encrypted-how" Error Validation
    ["spec.filesystem.partitions[].encrypted", "spec.filesystem.encryption"]
    says "{mount} shall be encrypted, but `encryption` does not say how"
    does "Write `encryption: luks2` beside `partitions`."
    why "LUKS 1 and LUKS 2 are opened by different programs, so there is no safe guess."
    => |i| filesystem(i, |f| partitions(f, |p| p.encrypted && f.encryption.is_none(), "encrypted")),

    "encryption-of-nothing" Error Validation
    ["spec.filesystem.encryption", "spec.filesystem.partitions[].encrypted"]
    says "no partition is encrypted, although `encryption` asks for it"
    does "Write `encrypted: true` at the partitions that are meant, at least at /."
    why "With partitions written out, only those that say so are encrypted."
    => |i| filesystem(i, |f| here(f.encryption.is_some() && !f.partitions.is_empty()
        && !f.partitions.iter().any(|p| p.encrypted), "spec.filesystem.encryption")),

    "compression-filesystem" Error Compat ["spec.filesystem.compression", "spec.filesystem.root"]
    says "{root} cannot compress files"
    does "Write `root: btrfs`, or take `compression` away."
    why "Of the four root filesystems only Btrfs and ZFS compress as they write."
    => |i| filesystem(i, |f| named(f, f.compression && !f.copies_on_write(), "spec.filesystem.compression")),

    "snapshots-filesystem" Error Compat
    ["spec.filesystem.snapshots.enabled", "spec.filesystem.root", "spec.filesystem.lvm"]
    says "{root} without LVM cannot make snapshots"
    does "Write `root: btrfs`, or `lvm: true`."
    why "A snapshot needs a filesystem or a volume that copies on write."
    => |i| filesystem(i, |f| named(f, f.snapshots.as_ref().is_some_and(|s| s.enabled)
        && !f.copies_on_write() && !f.lvm, "spec.filesystem.snapshots")),

    "snapshots-off" Warning Validation
    ["spec.filesystem.snapshots.enabled", "spec.filesystem.snapshots.interval", "spec.filesystem.snapshots.retention"]
    says "snapshots are described, but not switched on"
    does "Write `enabled: true`, or take `snapshots` away."
    why "Interval and retention do nothing while no snapshot is made."
    => |i| filesystem(i, |f| here(f.snapshots.as_ref()
        .is_some_and(|s| !s.enabled && (s.interval.is_some() || s.retention.is_some())), "spec.filesystem.snapshots")),

    "snapshots-fill-the-disk" Warning Validation
    ["spec.filesystem.snapshots.retention"]
    says "{count} snapshots keep every deleted file for long"
    does "Keep a few dozen, and make backups for the rest."
    why "Blocks of a deleted file are free only when the last snapshot that holds them is gone."
    => |i| filesystem(i, |f| f.snapshots.iter().filter_map(|s| s.retention).filter(|n| *n > 200)
        .map(|n| Hit::at("spec.filesystem.snapshots.retention").with("count", n)).collect()),

    "zfs-on-alpine" Warning Compat ["spec.filesystem.root", "spec.base"]
    says "ZFS is poorly supported on Alpine"
    does "Write `root: btrfs` or `root: ext4`."
    why "Alpine's ZFS modules follow some of its kernels only, and its initramfs mounts no encrypted pool."
    => |i| filesystem(i, |f| here(zfs(f) && i.spec.base.family() == Family::Alpine, "spec.filesystem.root")),

    "zfs-outside-the-kernel" Warning Compat ["spec.filesystem.root", "spec.base"]
    says "ZFS is not part of {base}'s kernel: an update of the kernel can leave the system without its root"
    does "Keep the kernel on linux-lts, or write `root: btrfs`."
    why "The licence keeps ZFS out of Linux; outside Debian, Ubuntu, Void and Alpine the module is built from other sources, later than the kernel."
    => |i| filesystem(i, |f| based(i, zfs(f)
        && matches!(i.spec.base.family(), Family::Arch | Family::Fedora | Family::Opensuse | Family::Gentoo), "spec.filesystem.root")),

    "zfs-on-luks" Warning Compat ["spec.filesystem.root", "spec.filesystem.encryption"]
    says "ZFS lies on LUKS here, although it encrypts by itself"
    does "Leave it so only if names and sizes of datasets must be hidden too."
    why "Below LUKS, ZFS cannot send encrypted snapshots to another machine as they are."
    => |i| filesystem(i, |f| here(zfs(f) && f.encryption.is_some(), "spec.filesystem.encryption")),

    "zfs-on-volumes" Error Compat ["spec.filesystem.root", "spec.filesystem.lvm", "spec.filesystem.raid"]
    says "ZFS joins disks by itself: it does not belong on {below}"
    does "Take `{below}` away; ZFS makes mirrors and raidz from `disks`."
    why "ZFS repairs a damaged block from another disk only if it sees the disks."
    => |i| filesystem(i, |f| [("lvm", f.lvm), ("raid", f.raid)].into_iter().filter(|(_, set)| *set && zfs(f))
        .map(|(below, _)| Hit::at(format!("spec.filesystem.{below}")).with("below", below)).collect()),

    "btrfs-on-raid" Warning Compat ["spec.filesystem.root", "spec.filesystem.raid"]
    says "Btrfs lies on a RAID that it does not see"
    does "Use another filesystem on RAID, or Btrfs without it."
    why "Btrfs finds damage by checksum, but mends it only from a copy that it made itself."
    => |i| filesystem(i, |f| here(f.root == RootFilesystem::Btrfs && f.raid, "spec.filesystem.raid")),

    "raid-disks" Error Validation
    ["spec.filesystem.raid", "spec.filesystem.raidLevel", "spec.filesystem.disks"]
    says "{level} needs at least {least} disks, there are {disks}"
    does "Write `disks: {least}`, or take `raid` away."
    why "A level spreads data and copies over that many disks."
    => |i| filesystem(i, |f| {
        let level = f.raid_level.unwrap_or(RaidLevel::Raid1);
        here(f.raid && disks(f) < level.least_disks(), "spec.filesystem.raid").into_iter()
            .map(|hit| hit.with("level", level.as_str()).with("least", level.least_disks()).with("disks", disks(f)))
            .collect()
    }),

    "raid10-even" Error Validation ["spec.filesystem.raidLevel", "spec.filesystem.disks"]
    says "raid10 needs an even number of disks, there are {disks}"
    does "Add one disk, or take one away."
    why "Every disk of the stripe has one mirror."
    => |i| filesystem(i, |f| here(f.raid && f.raid_level == Some(RaidLevel::Raid10) && disks(f) > 4
        && disks(f) % 2 == 1, "spec.filesystem.disks").into_iter().map(|hit| hit.with("disks", disks(f))).collect()),

    "raid-level-alone" Error Validation ["spec.filesystem.raidLevel", "spec.filesystem.raid"]
    says "a level is named, but no RAID is asked for"
    does "Write `raid: true`, or take `raidLevel` away."
    why "The level says how disks are joined, and none are."
    => |i| filesystem(i, |f| here(f.raid_level.is_some() && !f.raid, "spec.filesystem.raidLevel")),

    "raid0-loses-all" Warning Validation ["spec.filesystem.raidLevel"]
    says "one broken disk loses everything with raid0"
    does "Use raid1 or raid10 unless the data can be made again."
    why "A stripe keeps no copy."
    => |i| filesystem(i, |f| here(f.raid && f.raid_level == Some(RaidLevel::Raid0), "spec.filesystem.raidLevel")),

    "disks-unused" Error Validation ["spec.filesystem.disks", "spec.filesystem.raid", "spec.filesystem.lvm", "spec.filesystem.root"]
    says "{disks} disks are there, but only one is used"
    does "Write `raid: true` or `lvm: true`, or use Btrfs or ZFS."
    why "ext4 and XFS lie on one device."
    => |i| filesystem(i, |f| here(disks(f) > 1 && !f.raid && !f.lvm && !f.copies_on_write(), "spec.filesystem.disks")
        .into_iter().map(|hit| hit.with("disks", disks(f))).collect()),

    "partition-root" Error Validation ["spec.filesystem.partitions"]
    says "there is no partition for /"
    does "Add `{mount: /, size: rest}`."
    why "Partitions that are written out are all that there are."
    => |i| filesystem(i, |f| here(!f.partitions.is_empty()
        && !f.partitions.iter().any(|p| p.mount.as_str() == "/"), "spec.filesystem.partitions")),

    "partition-twice" Error Validation ["spec.filesystem.partitions[].mount"]
    says "{mount} is mounted twice"
    does "Keep one of the two."
    why "The later mount would hide the earlier one."
    => |i| filesystem(i, |f| f.partitions.iter().enumerate()
        .filter(|(index, p)| f.partitions[..*index].iter().any(|other| other.mount == p.mount))
        .map(|(index, p)| Hit::at(format!("spec.filesystem.partitions[{index}].mount")).with("mount", &p.mount)).collect()),

    "partition-shares" Error Validation ["spec.filesystem.partitions[].size"]
    says "the shares of the partitions make {sum}%"
    does "Lower one of them; `rest` takes what is left."
    why "A disk has 100%, and sizes in bytes need room beside the shares."
    => |i| filesystem(i, |f| {
        let sum: u32 = f.partitions.iter().map(|p| match p.size.extent() {
            PartitionExtent::Percent(share) => u32::from(share),
            _ => 0,
        }).sum();
        let others = f.partitions.iter().any(|p| !matches!(p.size.extent(), PartitionExtent::Percent(_)));
        here(sum > 100 || (sum == 100 && others), "spec.filesystem.partitions").into_iter()
            .map(|hit| hit.with("sum", sum)).collect()
    }),

    "partition-rest-once" Error Validation ["spec.filesystem.partitions[].size"]
    says "two partitions want all that is left"
    does "Give all but one a size."
    why "The rest can be taken once."
    => |i| filesystem(i, |f| f.partitions.iter().enumerate()
        .filter(|(_, p)| p.size.extent() == PartitionExtent::Rest).skip(1)
        .map(|(index, _)| Hit::at(format!("spec.filesystem.partitions[{index}].size"))).collect()),

    "partition-efi" Error Compat
    ["spec.filesystem.partitions", "spec.verify.boot", "spec.outputs"]
    says "a disk that starts with UEFI has no EFI system partition"
    does "Add `{mount: /boot/efi, size: 512MiB}`."
    why "UEFI firmware starts files of a FAT partition and knows nothing else."
    => |i| filesystem(i, |f| here(i.spec.outputs.contains(&Output::Disk) && !f.partitions.is_empty()
        && i.spec.verify.boot.iter().any(|mode| !matches!(mode, BootMode::Bios | BootMode::BiosUsb))
        && !f.partitions.iter().any(is_efi), "spec.filesystem.partitions")),

    "partition-efi-small" Warning Validation ["spec.filesystem.partitions[].size"]
    says "{mount} is too small for two kernels and a boot loader"
    does "Give it 512MiB."
    why "Some firmware needs FAT32, which starts at about 33 MiB, and an update keeps the old files beside the new."
    => |i| filesystem(i, |f| partitions(f, |p| is_efi(p) && below(p, 100 << 20), "size")),

    "partition-root-small" Error Validation ["spec.filesystem.partitions[].size", "spec.display.compositor"]
    says "{mount} is too small for this system"
    does "Give it at least {least}."
    why "A desktop takes about 6 GiB, a small server 1.5 GiB, and an update needs room for a second copy."
    => |i| filesystem(i, |f| {
        let desktop = i.spec.display.as_ref().and_then(|d| d.compositor).is_some_and(|c| c.is_desktop());
        let (least, text): (u64, &str) = if desktop { (8 << 30, "8GiB") } else { (2 << 30, "2GiB") };
        partitions(f, |p| p.mount.as_str() == "/" && below(p, least), "size").into_iter()
            .map(|hit| hit.with("least", text)).collect()
    }),

    "partition-of-the-system" Error Compat ["spec.filesystem.partitions[].mount"]
    says "{mount} cannot be a partition of its own"
    does "Take it away: it belongs to /, or the kernel makes it at boot."
    why "What mounts the partitions is itself kept there, or nothing of it is ever on a disk."
    => |i| filesystem(i, |f| partitions(f, |p| ["/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run",
        "/sbin", "/sys"].iter().any(|root| p.mount.as_str() == *root || p.mount.as_str().starts_with(&format!("{root}/"))), "mount")),

    "partition-usr" Warning Compat ["spec.filesystem.partitions[].mount"]
    says "{mount} as a partition of its own is fragile"
    does "Leave it on /."
    why "Early boot needs programs of /usr, so the initramfs has to mount it first."
    => |i| filesystem(i, |f| partitions(f, |p| p.mount.as_str() == "/usr", "mount")),

    "hibernation-zram" Error Compat ["spec.filesystem.swap.kind", "spec.filesystem.swap.hibernation"]
    says "a machine cannot sleep into compressed memory"
    does "Write `kind: partition` or `kind: file`, or take `hibernation` away."
    why "zram lives in the memory that loses its power."
    => |i| filesystem(i, |f| here(f.swap.as_ref().is_some_and(|s| s.hibernation && s.kind == SwapKind::Zram),
        "spec.filesystem.swap.hibernation")),

    "hibernation-in-clear" Warning Validation
    ["spec.filesystem.swap.kind", "spec.filesystem.swap.hibernation", "spec.filesystem.encryption"]
    says "memory is written to an unencrypted swap partition, although the root is encrypted"
    does "Write `kind: file`: a swap file lies inside the encrypted root."
    why "A sleeping machine keeps keys and passwords of its memory in swap."
    => |i| filesystem(i, |f| here(f.encryption.is_some() && f.swap.as_ref()
        .is_some_and(|s| s.hibernation && s.kind == SwapKind::Partition), "spec.filesystem.swap.kind")),

    "hibernation-lockdown" Error Compat
    ["spec.filesystem.swap.hibernation", "spec.securityFeatures.kernelHardening"]
    says "a kernel in lockdown does not hibernate"
    does "Take `lockdown` or `hibernation` away."
    why "The image in swap is not signed, so that lockdown refuses to load it."
    => |i| filesystem(i, |f| here(f.swap.as_ref().is_some_and(|s| s.hibernation)
        && i.spec.security_features.kernel_hardening.contains(&KernelHardening::Lockdown),
        "spec.filesystem.swap.hibernation")),

    "hibernation-swap-small" Warning Validation ["spec.filesystem.swap.size", "spec.filesystem.swap.hibernation"]
    says "{size} of swap hold the memory of no machine of today"
    does "Make swap as large as the machine's memory."
    why "Hibernation writes all memory in use; if it does not fit, the machine stays awake."
    => |i| filesystem(i, |f| f.swap.iter().filter(|s| s.hibernation && s.size.bytes() < 2 << 30)
        .map(|s| Hit::at("spec.filesystem.swap.size").with("size", s.size)).collect()),

    "swap-absurd" Warning Validation ["spec.filesystem.swap.size"]
    says "{size} of swap are never used to any good"
    does "Use a few GiB, or as much as the machine has memory."
    why "A machine that swaps more than its memory spends its time with the disk."
    => |i| filesystem(i, |f| f.swap.iter().filter(|s| s.size.bytes() > 256 << 30)
        .map(|s| Hit::at("spec.filesystem.swap.size").with("size", s.size)).collect()),

    "swap-file-zfs" Error Compat ["spec.filesystem.swap.kind", "spec.filesystem.root"]
    says "a swap file on ZFS can stop the machine for good"
    does "Write `kind: partition` or `kind: zram`."
    why "ZFS needs memory to write, just when the kernel swaps because there is none."
    => |i| filesystem(i, |f| here(zfs(f) && f.swap.as_ref().is_some_and(|s| s.kind == SwapKind::File),
        "spec.filesystem.swap.kind")),

    "swap-file-snapshots" Warning Compat
    ["spec.filesystem.swap.kind", "spec.filesystem.root", "spec.filesystem.snapshots.enabled"]
    says "a swap file keeps Btrfs from making snapshots of its subvolume"
    does "Write `kind: partition` or `kind: zram`."
    why "Btrfs refuses a snapshot while a file in it is used for swap."
    => |i| filesystem(i, |f| here(f.root == RootFilesystem::Btrfs
        && f.snapshots.as_ref().is_some_and(|s| s.enabled)
        && f.swap.as_ref().is_some_and(|s| s.kind == SwapKind::File), "spec.filesystem.swap.kind")),

    "systemd-boot-bios" Error Compat ["spec.customization.bootloader.kind", "spec.verify.boot"]
    says "systemd-boot cannot start a machine with {mode}"
    does "Use GRUB, or list only ways of UEFI in `verify.boot`."
    why "systemd-boot is a UEFI program."
    => |i| if grub(i) { Vec::new() } else {
        i.spec.verify.boot.iter().filter(|mode| matches!(mode, BootMode::Bios | BootMode::BiosUsb))
            .take(1).map(|mode| Hit::at("spec.customization.bootloader.kind").with("mode", mode.as_str())).collect()
    },

    "systemd-boot-plain" Error Compat
    ["spec.customization.bootloader.kind", "spec.customization.bootloader.splash", "spec.customization.bootloader.colors", "spec.customization.bootloader.plymouth"]
    says "systemd-boot shows neither pictures nor colours"
    does "Use GRUB, take `splash` and `colors` away, or write `plymouth: true`, which shows them afterwards."
    why "Its menu is text on the firmware's screen."
    => |i| {
        let loader = &i.spec.customization.bootloader;
        here(!grub(i) && !loader.plymouth && (loader.splash.is_some() || loader.colors.is_some()),
            "spec.customization.bootloader.kind")
    },

    "systemd-boot-iso" Error Compat ["spec.customization.bootloader.kind", "spec.outputs"]
    says "systemd-boot cannot start an ISO"
    does "Use GRUB, or write `outputs: [disk]`."
    why "It reads nothing but the EFI partition, kernel and initramfs among it; of a disc, firmware sees 32 MiB of that."
    => |i| here(!grub(i) && i.spec.outputs.contains(&Output::Iso), "spec.customization.bootloader.kind"),

    "systemd-boot-unsigned" Error Compat ["spec.customization.bootloader.kind", "spec.verify.boot"]
    says "systemd-boot does not start with {mode}"
    does "Use GRUB, or write `verify: {boot: [uefi]}`."
    why "The program in its package is not signed, and firmware with Secure Boot refuses it."
    => |i| if grub(i) { Vec::new() } else {
        i.spec.verify.boot.iter().filter(|mode| matches!(mode, BootMode::SecureBoot | BootMode::SecureBootUsb))
            .take(1).map(|mode| Hit::at("spec.customization.bootloader.kind").with("mode", mode.as_str())).collect()
    },
}

fn filesystem(image: &OsImage, of: impl FnOnce(&Filesystem) -> Hits) -> Hits {
    image.spec.filesystem.as_ref().map(of).unwrap_or_default()
}

impl Filesystem {
    /// Whether the root filesystem copies on write: snapshots, compression, several disks.
    fn copies_on_write(&self) -> bool {
        matches!(self.root, RootFilesystem::Btrfs | RootFilesystem::Zfs)
    }
}

/// Whether it says nothing but that memory is compressed, which needs no disk.
fn only_zram(filesystem: &Filesystem) -> bool {
    let zram = filesystem.swap.as_ref().is_some_and(|swap| swap.kind == SwapKind::Zram);
    zram && Filesystem { swap: None, ..filesystem.clone() } == Filesystem::default()
}

fn zfs(filesystem: &Filesystem) -> bool {
    filesystem.root == RootFilesystem::Zfs
}

fn disks(filesystem: &Filesystem) -> u8 {
    filesystem.disks.unwrap_or(1)
}

fn grub(image: &OsImage) -> bool {
    image.spec.customization.bootloader.kind != Some(BootloaderKind::SystemdBoot)
}

fn is_efi(partition: &Partition) -> bool {
    matches!(partition.mount.as_str(), "/boot/efi" | "/efi")
}

fn below(partition: &Partition, least: u64) -> bool {
    matches!(partition.size.extent(), PartitionExtent::Bytes(size) if size.bytes() < least)
}

fn named(filesystem: &Filesystem, wrong: bool, field: &str) -> Hits {
    here(wrong, field).into_iter().map(|hit| hit.with("root", filesystem.root.as_str())).collect()
}

fn based(image: &OsImage, wrong: bool, field: &str) -> Hits {
    here(wrong, field).into_iter().map(|hit| hit.with("base", image.spec.base.as_str())).collect()
}

/// A hit at a field of every partition that is of a kind.
fn partitions(filesystem: &Filesystem, wrong: impl Fn(&Partition) -> bool, field: &str) -> Hits {
    let wrong = filesystem.partitions.iter().enumerate().filter(|(_, partition)| wrong(partition));
    wrong
        .map(|(index, partition)| {
            Hit::at(format!("spec.filesystem.partitions[{index}].{field}")).with("mount", &partition.mount)
        })
        .collect()
}
