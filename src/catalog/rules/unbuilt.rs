//! What a spec may say and today's builder cannot do yet.
//!
//! Nothing is accepted and then ignored: each row is a field, or a value of one, that is
//! refused until something reads it. Whoever builds it deletes the row.

use super::{Hit, Rule};
use crate::catalog::diagnostic::Severity;
use crate::model::ErrorCode;
use crate::model::spec::text::PartitionExtent;
use crate::model::spec::{
    Architecture, BootMode, Family, Filesystem, Init, Mac, OsImage, OsSpec, Output, RootFilesystem, SwapKind,
};
use crate::tables;

/// The one rule of this file.
pub(super) const RULES: &[Rule] = &[Rule {
    id: "not-yet-built",
    severity: Severity::Error,
    code: ErrorCode::Compat,
    fields: &["spec"],
    when: unbuilt,
    message: "not yet built: {what}",
    suggestion: "{instead}",
    why: "A field that is read and then ignored would promise what the image does not do.",
}];

/// The rule's name, for who asks what a finding is about.
pub const NOT_YET_BUILT: &str = "not-yet-built";

/// How its complaints begin.
pub const UNBUILT: &str = "not yet built: ";

/// One thing that cannot be built yet.
struct Row {
    field: &'static str,
    what: &'static str,
    instead: &'static str,
    /// Whether a spec asks for it.
    asked: fn(&OsSpec) -> bool,
}

/// What to do about something that has no other way yet.
const AWAY: &str = "Take it away for now; its meaning will not change.";

/// Whether a disk is to be laid out like that, in an image or by the installer.
fn laid_out(spec: &OsSpec, like: fn(&Filesystem) -> bool) -> bool {
    disk(spec, like) || spec.installer.is_some() && spec.filesystem.as_ref().is_some_and(like)
}

/// Whether a disk image is asked for whose layout is like that.
fn disk(spec: &OsSpec, like: fn(&Filesystem) -> bool) -> bool {
    spec.outputs.contains(&Output::Disk) && spec.filesystem.as_ref().is_some_and(like)
}

const ROWS: &[Row] = &[
    Row {
        field: "spec.architecture",
        what: "images of this distribution for aarch64",
        instead: "What can be built for aarch64 now: debian.",
        asked: |s| !tables::of(s.base).builds.contains(&s.architecture),
    },
    Row {
        field: "spec.init",
        what: "images of this distribution with this init system",
        instead: "Take the line away: the distribution's own is built.",
        asked: |s| s.init.is_some_and(|init| !tables::of(s.base).starts_by(init)),
    },
    Row {
        field: "spec.display",
        what: "graphical sessions of Debian without systemd",
        instead: "Write `init: systemd`, or take `display` away.",
        asked: |s| {
            let session = s.display.as_ref().is_some_and(|d| d.compositor.is_some());
            session && s.base.family() == Family::Debian && s.init_system() != Init::Systemd
        },
    },
    Row {
        field: "spec.init",
        what: "disk images without systemd",
        instead: "Take `disk` out of `outputs`: nothing else makes the last partition as large as the disk.",
        asked: |s| s.outputs.contains(&Output::Disk) && s.init_system() != Init::Systemd,
    },
    Row {
        field: "spec.filesystem.snapshots",
        what: "installers of systems that make snapshots",
        instead: "Take `installer` away, or `snapshots`: the live system would make them too, of its memory.",
        asked: |s| s.installer.is_some() && s.filesystem.as_ref().is_some_and(|f| f.snapshots.is_some()),
    },
    Row {
        field: "spec.filesystem.root",
        what: "disks with this root filesystem",
        instead: "What can be built now: ext4, btrfs, xfs.",
        asked: |s| disk(s, |f| f.root == RootFilesystem::Zfs),
    },
    Row {
        field: "spec.filesystem.encryption",
        what: "disk images that are encrypted",
        instead: "Take it away: the key would lie in an image that others can download. Encrypt when a \
                  machine is installed.",
        asked: |s| disk(s, |f| f.encryption.is_some()),
    },
    Row {
        field: "spec.filesystem.lvm",
        what: "logical volumes",
        instead: "Write `partitions`, or `root: btrfs` for snapshots.",
        asked: |s| laid_out(s, |f| f.lvm),
    },
    Row {
        field: "spec.filesystem.raid",
        what: "images of several disks",
        instead: "Take it away: a disk image is one disk. A mirror is added on the machine.",
        asked: |s| laid_out(s, |f| f.raid),
    },
    Row {
        field: "spec.filesystem.disks",
        what: "images of several disks",
        instead: "Take it away: a disk image is one disk.",
        asked: |s| laid_out(s, |f| f.disks.is_some_and(|disks| disks > 1)),
    },
    Row {
        field: "spec.filesystem.partitions",
        what: "partitions with a share of a disk",
        instead: "Give each a size, and the last one `rest`: how large the disk will be is not known when \
                  its image is made.",
        asked: |s| {
            disk(s, |f| f.partitions.iter().any(|p| matches!(p.size.extent(), PartitionExtent::Percent(_))))
        },
    },
    Row {
        field: "spec.filesystem.partitions",
        what: "a partition that takes the rest and is not the last",
        instead: "Put it last: only the last one can grow with the disk.",
        asked: |s| {
            laid_out(s, |f| {
                let rest = f.partitions.iter().rev().skip(1);
                rest.into_iter().any(|p| p.size.extent() == PartitionExtent::Rest)
            })
        },
    },
    Row {
        field: "spec.filesystem.partitions",
        what: "two EFI partitions",
        instead: "Keep one of /boot/efi and /efi.",
        asked: |s| {
            laid_out(s, |f| {
                f.partitions.iter().filter(|p| matches!(p.mount.as_str(), "/boot/efi" | "/efi")).count() > 1
            })
        },
    },
    Row {
        field: "spec.filesystem.swap.kind",
        what: "swap files",
        instead: "Write `kind: partition` or `kind: zram`.",
        asked: |s| laid_out(s, |f| f.swap.as_ref().is_some_and(|swap| swap.kind == SwapKind::File)),
    },
    Row {
        field: "spec.filesystem.swap.hibernation",
        what: "sleeping by writing memory to the disk",
        instead: AWAY,
        asked: |s| laid_out(s, |f| f.swap.as_ref().is_some_and(|swap| swap.hibernation)),
    },
    Row {
        field: "spec.securityFeatures.mac",
        what: "SELinux in images that start a machine",
        instead: "Take `iso` and `disk` out of `outputs`, or write `mac: [apparmor]`: their files would have to \
                  carry labels from the build, as nothing may give them any when SELinux is enforced.",
        asked: |s| {
            let starts = s.outputs.contains(&Output::Iso) || s.outputs.contains(&Output::Disk);
            s.security_features.mac.contains(&Mac::Selinux) && starts
        },
    },
    Row {
        field: "spec.customization.bootloader.kind",
        what: "systemd-boot on distributions other than Debian, or for aarch64",
        instead: "Write `kind: grub`, or take the line away.",
        asked: |s| {
            let kind = s.customization.bootloader.kind.unwrap_or_default();
            !kind.is_grub() && tables::of(s.base).boot_files(kind, s.architecture).is_empty()
        },
    },
    Row {
        field: "spec.customization.bootloader.plymouth",
        what: "a picture while the system starts, on distributions other than Debian and its children",
        instead: AWAY,
        asked: |s| s.customization.bootloader.plymouth && s.base.family() != Family::Debian,
    },
];

/// Live systems that are not laid out yet.
const LIVE: &str = "ISO images of this distribution";
/// What is laid out for Debian's kernel, initramfs and boot loaders on PCs.
const DISK: &str = "disk images of distributions other than Debian, or for aarch64";
/// What GRUB of the distribution's own modules cannot do: nobody has signed it.
const SECURE: &str = "Secure Boot of distributions other than Debian";

fn unbuilt(image: &OsImage) -> Vec<Hit> {
    let spec = &image.spec;
    let rows = ROWS.iter().filter(|row| (row.asked)(spec));
    let mut hits: Vec<Hit> =
        rows.map(|row| Hit::at(row.field).with("what", row.what).with("instead", row.instead)).collect();
    let signed = tables::of(spec.base).has_signed_loaders(Architecture::X86_64);
    for (index, output) in spec.outputs.iter().enumerate() {
        let (what, instead) = match output {
            Output::Iso if tables::of(spec.base).live_system().is_none() => {
                (LIVE, "What can be made of this distribution now: oci, rootfs.")
            }
            Output::Disk if !signed || spec.architecture != Architecture::X86_64 => {
                (DISK, "What can be made here now: iso, oci, rootfs.")
            }
            _ => continue,
        };
        hits.push(Hit::at(format!("spec.outputs[{index}]")).with("what", what).with("instead", instead));
    }
    let secure = |mode: &BootMode| matches!(mode, BootMode::SecureBoot | BootMode::SecureBootUsb);
    if !signed && spec.outputs.contains(&Output::Iso) && spec.verify.boot.iter().any(secure) {
        let hit = Hit::at("spec.verify.boot").with("what", SECURE);
        hits.push(hit.with("instead", "Write `verify: {boot: [bios, uefi]}`."));
    }
    hits
}

/// What cannot be built yet, field by field, for the reference.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let others = [("spec.outputs[]", LIVE), ("spec.outputs[]", DISK), ("spec.verify.boot", SECURE)];
    ROWS.iter().map(|row| (row.field, row.what)).chain(others)
}
