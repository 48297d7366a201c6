//! What starts the system from a disk: GRUB, for BIOS and UEFI, or systemd-boot, for UEFI alone.

use super::contents::Extra;
use super::gpt::{self, ALIGNMENT};
use super::layout::{self, Layout};
use super::settings::{self, Disk};
use super::{CORE, DiskInput, read};
use crate::build::iso::{firmware, theme};
use crate::effects::Cancel;
use crate::model::failure::IoContext;
use crate::model::spec::{BootloaderKind, RootFilesystem, Size};
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use std::path::{Path, PathBuf};

/// A boot loader.
pub(super) trait Loader {
    /// The size of the EFI partition in bytes if the spec does not say.
    fn efi_size(&self) -> u64;

    /// What a BIOS starts, if it starts this disk.
    fn bios(&self, making: &Making<'_>) -> Result<Option<Bios>>;

    /// Writes the EFI partition's image.
    fn efi(&self, making: &Making<'_>, image: &Path, size: u64) -> Result<()>;

    /// What it needs in the root.
    fn files(&self, input: &DiskInput<'_>, disk: &Disk) -> Result<Vec<Extra>>;
}

/// A disk that is being made.
#[derive(Clone, Copy)]
pub(super) struct Making<'a> {
    pub input: &'a DiskInput<'a>,
    pub disk: &'a Disk,
    /// For intermediate files.
    pub folder: &'a Path,
    pub cancel: &'a Cancel,
}

/// What a BIOS starts.
pub(super) struct Bios {
    /// The first sector.
    pub boot: Vec<u8>,
    /// The image that it loads.
    pub core: Vec<u8>,
}

/// The boot loader that a recipe names.
pub(super) fn of(kind: BootloaderKind) -> &'static dyn Loader {
    match kind {
        BootloaderKind::Grub => &Grub,
        BootloaderKind::SystemdBoot => &SystemdBoot,
    }
}

struct Grub;

impl Loader for Grub {
    fn efi_size(&self) -> u64 {
        layout::EFI
    }

    fn bios(&self, making: &Making<'_>) -> Result<Option<Bios>> {
        let (input, layout): (_, &Layout) = (making.input, &making.disk.layout);
        let filesystem = match layout.filesystem {
            RootFilesystem::Btrfs => "btrfs",
            RootFilesystem::Xfs => "xfs",
            RootFilesystem::Ext4 | RootFilesystem::Zfs => "ext2",
        };
        let modules = [&[filesystem, "search_fs_uuid"][..], theme::modules(&input.recipe.boot_menu)].concat();
        let (format, first) = (("i386-pc", modules.as_slice()), making.disk.first_stage());
        let core = firmware::grub_for_bios(format, &first, input.boot_files, making.folder, making.cancel)?;
        let boot = format!("{}/boot.img", firmware::I386_PC);
        let boot = read(&firmware::boot_file(input.boot_files, &boot, "grub-pc-bin")?)?;
        Ok(Some(Bios { boot, core: gpt::placed_core(read(&core)?, CORE, ALIGNMENT)? }))
    }

    fn efi(&self, making: &Making<'_>, image: &Path, size: u64) -> Result<()> {
        let input = making.input;
        let of_esp = firmware::Esp {
            programs: &firmware::efi_programs(input.recipe.architecture, input.boot_files)?,
            config: &format!("{}source $prefix/grub.cfg\n", making.disk.first_stage()),
            build: input.build_id,
            epoch: input.recipe.epoch,
            kib: Some(size >> 10),
        };
        firmware::esp(image, &of_esp, making.folder, making.cancel)
    }

    fn files(&self, input: &DiskInput<'_>, disk: &Disk) -> Result<Vec<Extra>> {
        let menu = disk.grub_cfg(&input.recipe.boot_menu, input.build_id, &input.kernel.version)?;
        let dress = theme::files(&input.recipe.boot_menu, input.splash, input.boot_files)?;
        let mut files = vec![settings::file("boot/grub/grub.cfg", menu)];
        files.extend(dress.into_iter().map(|(path, bytes)| settings::file(path, bytes)));
        Ok(files)
    }
}

/// Kernel and initramfs lie beside it: it reads nothing but the EFI partition (systemd-boot(7)).
struct SystemdBoot;

/// Room for the kernel and the initramfs of this image and of two updates.
const SYSTEMD_BOOT_EFI: u64 = 256 << 20;
/// What FAT32 itself takes of a partition, at most.
const FAT_ROOM: u64 = 4 << 20;
/// Where its package has it.
const PROGRAM: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";

impl Loader for SystemdBoot {
    fn efi_size(&self) -> u64 {
        SYSTEMD_BOOT_EFI
    }

    fn bios(&self, _: &Making<'_>) -> Result<Option<Bios>> {
        Ok(None)
    }

    fn efi(&self, making: &Making<'_>, image: &Path, size: u64) -> Result<()> {
        let input = making.input;
        let program = firmware::boot_file(input.boot_files, PROGRAM, "systemd-boot-efi")?;
        // The name that firmware starts by itself, and the one that bootctl(1) brings up to date.
        let mut files = vec![
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), program.clone()),
            ("EFI/systemd/systemd-bootx64.efi".to_owned(), program),
        ];
        let (kernel, initrd) = settings::on_efi(&input.kernel.version);
        files.push((kernel, input.kernel.vmlinuz.clone()));
        files.push((initrd, input.kernel.initrd.clone()));
        let texts =
            making.disk.loader_files(&input.recipe.boot_menu, input.build_id, &input.kernel.version)?;
        for (number, (path, text)) in texts.into_iter().enumerate() {
            let at = making.folder.join(format!("loader-{number}"));
            std::fs::write(&at, text).during(|| format!("writing {}", at.display()))?;
            files.push((path, at));
        }
        files.sort();
        fits(&files, size)?;
        let (kib, identity) = (size >> 10, (input.build_id, input.recipe.epoch));
        firmware::fat(image, &files, kib, identity, making.folder, making.cancel)
    }

    fn files(&self, _: &DiskInput<'_>, _: &Disk) -> Result<Vec<Extra>> {
        Ok(Vec::new())
    }
}

fn fits(files: &[(String, PathBuf)], size: u64) -> Result<()> {
    let mut needed = FAT_ROOM;
    for (_, path) in files {
        needed += path.metadata().during(|| format!("looking at {}", path.display()))?.len();
    }
    if needed <= size {
        return Ok(());
    }
    let (needed, size) = (Size::from_bytes(needed), Size::from_bytes(size));
    Err(Failure::new(
        ErrorCode::LimitExceeded,
        FailureClass::Limit,
        format!("the EFI partition has {size}, and systemd-boot, kernel and initramfs need {needed}"),
    )
    .hint("Make the partition /boot/efi of `filesystem.partitions` larger, or use `kind: grub`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said_before_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("kernel");
        std::fs::File::create(&kernel).unwrap().set_len(60 << 20).unwrap();
        let files = [("linux".to_owned(), kernel)];
        assert!(fits(&files, 64 << 20).is_ok());
        let failure = fits(&files, 63 << 20).unwrap_err();
        assert_eq!(failure.class, FailureClass::Limit);
        assert!(failure.message.contains("63.0 MiB") && failure.message.contains("64.0 MiB"), "{failure:?}");
    }
}
