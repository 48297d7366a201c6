//! Disks that are laid out as the spec says, in an image or by the installer: the programs that look
//! after their filesystems, and what a system that has started from an image has to show.

use super::{Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::text::PartitionExtent;
use crate::model::spec::{Family, OsSpec, Output, RootFilesystem, SwapKind};

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let laid_out = spec.outputs.contains(&Output::Disk) || spec.installer.is_some();
    let Some(filesystem) = spec.filesystem.as_ref().filter(|_| laid_out) else { return };
    match filesystem.root {
        RootFilesystem::Btrfs => needs.package("spec.filesystem.root", "utils", "btrfs-progs"),
        RootFilesystem::Xfs => needs.package("spec.filesystem.root", "extra", "xfsprogs"),
        RootFilesystem::Zfs => {
            needs.package("spec.filesystem.root", "utils", "zfs");
            if spec.base.family() == Family::Debian {
                needs.package("spec.filesystem.root", "extra", "zfs-initramfs");
            }
        }
        RootFilesystem::Ext4 => {}
    }
    if filesystem.encryption.is_some() && spec.base.family() == Family::Debian {
        // The installed system's initramfs opens its root by it.
        needs.package("spec.filesystem.encryption", "extra", "cryptsetup-initramfs");
    }
}

/// Whether the partition that is mounted at `$1` ends where its disk ends (4 MiB are left by
/// alignment and the second table), and its filesystem fills it but for tables of its own.
const GROWN: &str = "cd -P /sys/class/block/$(basename \"$(findmnt -nvo SOURCE \"$1\")\") && \
    test $(($(cat ../size) - $(cat start) - $(cat size))) -lt 8192 && \
    test $(($(findmnt -nbo SIZE \"$1\") / 512 * 5 / 4)) -gt $(cat size) && echo grown";

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(filesystem) = &system.configuration.filesystem else { return };
    // A live system of the same spec has another root.
    if !system.outputs.contains(&Output::Disk) || system.outputs.contains(&Output::Iso) {
        return;
    }
    let kind = Some(filesystem.root.as_str().to_owned());
    let mount = |path: &str, kind: Option<String>| Expect::Mount { path: path.to_owned(), kind };
    plan.check("spec.filesystem.root", mount("/", kind.clone()));
    for partition in &filesystem.partitions {
        let path = partition.mount.as_str();
        let kind = if matches!(path, "/efi" | "/boot/efi") { Some("vfat".to_owned()) } else { kind.clone() };
        plan.check("spec.filesystem.partitions", mount(path, kind));
    }
    // The last partition takes what the disk has, and its filesystem what the partition has.
    let last = match filesystem.partitions.last() {
        None => Some("/"),
        Some(last) => Some(last.mount.as_str()).filter(|_| last.size.extent() == PartitionExtent::Rest),
    };
    if let Some(mount) = last {
        let argv = ["/bin/sh", "-c", GROWN, "sh", mount].map(str::to_owned).to_vec();
        plan.check("spec.filesystem", Expect::Output { argv, contains: "grown".to_owned() });
    }
    if filesystem.compression {
        let argv = ["/usr/bin/findmnt", "-no", "OPTIONS", "/"].map(str::to_owned).to_vec();
        let contains = "compress=zstd".to_owned();
        plan.check("spec.filesystem.compression", Expect::Output { argv, contains });
    }
    if filesystem.swap.as_ref().is_some_and(|swap| swap.kind == SwapKind::Partition) {
        let argv = ["/usr/sbin/swapon", "--noheadings", "--show=TYPE"].map(str::to_owned).to_vec();
        plan.check("spec.filesystem.swap", Expect::Output { argv, contains: "partition".to_owned() });
    }
}
