//! What firmware starts: GRUB for BIOS, shim and Debian's signed GRUB for UEFI. ARM has no BIOS.
//!
//! Under Secure Boot, firmware starts shim (signed by Microsoft), shim starts
//! `grubx64.efi` (signed by Debian), GRUB starts the kernel (signed by Debian). The GRUB
//! for discs, `gcdx64.efi.signed` (`gcdaa64` for ARM), is used for discs and sticks alike; it takes its
//! configuration from `/boot/grub` of the partition it was started from, or of the medium
//! that has `/.disk/info`.

use super::menu;
use crate::effects::files::remove_tree;
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::spec::Architecture;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use crate::tables::Grub;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Modules that are built into the BIOS image: all that the menu uses.
pub(in crate::build) const BIOS_MODULES: [&str; 24] = [
    "biosdisk",
    "iso9660",
    "part_gpt",
    "part_msdos",
    "fat",
    "normal",
    "linux",
    "configfile",
    "search",
    "search_fs_file",
    "serial",
    "terminal",
    "echo",
    "ls",
    "test",
    "all_video",
    "gfxterm",
    "gfxterm_background",
    "font",
    "png",
    "halt",
    "reboot",
    "minicmd",
    "gzio",
];

/// A splash picture is loaded by the boot loader, in little memory, before any protection.
const LARGEST_SPLASH: usize = 4 << 20;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Room in the EFI partition beside the programs, in bytes: FAT's own tables and folders.
const ESP_ROOM: u64 = 512 << 10;

/// A file of the unpacked boot packages, never one of this host: links on the way are refused.
pub(in crate::build) fn boot_file(root: &Path, path: &str, package: &str) -> Result<PathBuf> {
    let mut at = root.to_owned();
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else { return Err(Failure::bug(format!("{path} is no path"))) };
        at.push(name);
        let missing = |e: std::io::Error| {
            Failure::new(
                ErrorCode::IsoGeneration,
                FailureClass::Spec,
                format!("the lock's package {package} has no {path}: {e}"),
            )
            .hint("Run `bootwright lock --update`.")
        };
        let meta = std::fs::symlink_metadata(&at).map_err(missing)?;
        if meta.is_symlink() {
            return Err(Failure::new(
                ErrorCode::IsoGeneration,
                FailureClass::Upstream,
                format!("{path} of package {package} leads through a symbolic link"),
            )
            .hint("A link could lead to this host's own files; lock another version of the package."));
        }
    }
    Ok(at)
}

/// Where BIOS GRUB's modules are.
pub(in crate::build) const I386_PC: &str = "usr/lib/grub/i386-pc";

/// The master boot record that makes the ISO start from a stick under BIOS.
pub(super) fn hybrid_mbr(boot_files: &Path, modules: &str) -> Result<PathBuf> {
    boot_file(boot_files, &format!("{modules}/boot_hybrid.img"), "grub-pc-bin")
}

/// Where GRUB's modules for BIOS are.
pub(super) fn bios_modules(grub: Option<&Grub>) -> &str {
    grub.map_or(I386_PC, |grub| grub.bios.as_str())
}

/// GRUB's font for the BIOS menu with colours or a picture.
pub(in crate::build) fn font(boot_files: &Path) -> Result<Vec<u8>> {
    let path = boot_file(boot_files, "usr/share/grub/unicode.pf2", "grub-common")?;
    std::fs::read(&path).during(|| format!("reading {}", path.display()))
}

/// The picture, if it looks like one that GRUB can show.
pub(in crate::build) fn checked_png(bytes: &[u8]) -> Result<&[u8]> {
    let refuse = |why: &str| {
        Err(Failure::spec(format!("customization.bootloader.splash {why}"))
            .hint("Give a PNG picture of 4 MiB at most, not interlaced, 8 bits for each colour."))
    };
    if !bytes.starts_with(PNG) {
        return refuse("is no PNG picture");
    }
    if bytes.len() > LARGEST_SPLASH {
        return refuse("is larger than 4 MiB");
    }
    // IHDR comes first (PNG specification, 5.6): width, height, depth, colour, …, interlace.
    match bytes.get(12..29) {
        Some(head) if head.starts_with(b"IHDR") && head[12] == 8 && head[16] == 0 => Ok(bytes),
        _ => refuse("has a form that GRUB cannot show"),
    }
}

/// A program of the EFI partition: its name there, its path in a package, and the package.
type EfiProgram = (&'static str, &'static str, &'static str);

/// What firmware starts first has the name that the UEFI specification gives it (3.5.1.1); shim
/// looks for the others by theirs.
const EFI_X86: [EfiProgram; 3] = [
    ("BOOTX64.EFI", "usr/lib/shim/shimx64.efi.signed", "shim-signed"),
    ("grubx64.efi", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "grub-efi-amd64-signed"),
    ("mmx64.efi", "usr/lib/shim/mmx64.efi.signed", "shim-helpers-amd64-signed"),
];
const EFI_ARM: [EfiProgram; 3] = [
    ("BOOTAA64.EFI", "usr/lib/shim/shimaa64.efi.signed", "shim-signed"),
    ("grubaa64.efi", "usr/lib/grub/arm64-efi-signed/gcdaa64.efi.signed", "grub-efi-arm64-signed"),
    ("mmaa64.efi", "usr/lib/shim/mmaa64.efi.signed", "shim-helpers-arm64-signed"),
];

/// The programs of the EFI partition's `EFI/BOOT`, by name.
pub(in crate::build) fn efi_programs(
    architecture: Architecture,
    boot_files: &Path,
) -> Result<Vec<(&'static str, PathBuf)>> {
    let programs = match architecture {
        Architecture::X86_64 => EFI_X86,
        Architecture::Aarch64 => EFI_ARM,
    };
    programs
        .into_iter()
        .map(|(name, path, package)| Ok((name, boot_file(boot_files, path, package)?)))
        .collect()
}

/// GRUB for BIOS: El Torito boot image on a disc, core image behind the MBR on a stick; with
/// `modules` beside the usual ones.
pub(super) fn bios_image(
    build: Digest,
    (boot_files, of_modules): (&Path, &str),
    modules: &[&str],
    folder: &Path,
    cancel: &Cancel,
) -> Result<PathBuf> {
    let of_modules = hybrid_mbr(boot_files, of_modules)?.with_file_name("");
    let image = Image { format: "i386-pc-eltorito", name: "bios", of_modules: &of_modules };
    let modules: Vec<&str> = BIOS_MODULES.into_iter().chain(modules.iter().copied()).collect();
    grub_image(&image, &modules, &menu::first_stage(build), folder, cancel)
}

/// The programs of the EFI partition where GRUB is made from the distribution's own modules.
/// Nobody has signed it: firmware with Secure Boot refuses it.
pub(super) fn own_efi_programs(
    grub: &Grub,
    build: Digest,
    boot_files: &Path,
    folder: &Path,
    cancel: &Cancel,
) -> Result<Vec<(&'static str, PathBuf)>> {
    let list = boot_file(boot_files, &format!("{}/moddep.lst", grub.efi), "with GRUB's modules for UEFI")?;
    let of_modules = list.with_file_name("");
    let image = Image { format: "x86_64-efi", name: "efi", of_modules: &of_modules };
    let modules: Vec<&str> =
        BIOS_MODULES.into_iter().filter(|name| *name != "biosdisk").chain(EFI_MODULES).collect();
    let config = format!("{}configfile $prefix/grub.cfg\n", menu::first_stage(build));
    Ok(vec![("BOOTX64.EFI", grub_image(&image, &modules, &config, folder, cancel)?)])
}

/// Modules that only GRUB for UEFI has a use for.
const EFI_MODULES: [&str; 2] = ["efi_gop", "efifwsetup"];

/// An image of GRUB that is to be made.
struct Image<'a> {
    /// grub-mkimage's word.
    format: &'a str,
    /// What its files are called.
    name: &'a str,
    /// The folder of the modules.
    of_modules: &'a Path,
}

fn grub_image(
    image: &Image<'_>,
    modules: &[&str],
    config: &str,
    folder: &Path,
    cancel: &Cancel,
) -> Result<PathBuf> {
    let (path, to) = (folder.join(format!("{}.cfg", image.name)), folder.join(format!("{}.img", image.name)));
    std::fs::write(&path, config).during(|| format!("writing {}", path.display()))?;
    Process::new("grub-mkimage")
        .args(["-O", image.format, "-p", "/boot/grub", "-d"])
        .arg(image.of_modules)
        .arg("-c")
        .arg(&path)
        .arg("-o")
        .arg(&to)
        .args(modules)
        .check(cancel)
        .map_err(|failure| failure.on(format!("GRUB for {}", image.format)))?;
    Ok(to)
}

/// GRUB for BIOS in one of its formats, with modules beside the usual ones, which carries out
/// `config` first.
pub(in crate::build) fn grub_for_bios(
    (format, modules): (&str, &[&str]),
    config: &str,
    boot_files: &Path,
    folder: &Path,
    cancel: &Cancel,
) -> Result<PathBuf> {
    let of_modules = hybrid_mbr(boot_files, I386_PC)?.with_file_name("");
    let image = Image { format, name: "bios", of_modules: &of_modules };
    let modules: Vec<&str> = BIOS_MODULES.into_iter().chain(modules.iter().copied()).collect();
    grub_image(&image, &modules, config, folder, cancel)
}

/// An EFI partition: a FAT image with the programs and the way to the menu.
#[derive(Debug)]
pub(in crate::build) struct Esp<'a> {
    /// Names in `EFI/BOOT` and files.
    pub programs: &'a [(&'static str, PathBuf)],
    /// `boot/grub/grub.cfg`: what the signed GRUB reads first.
    pub config: &'a str,
    /// Where its serial number comes from.
    pub build: Digest,
    /// All its dates, in seconds.
    pub epoch: i64,
    /// Its size in KiB; as small as can be when absent. With a size it is FAT32, which some
    /// firmware insists on for disks.
    pub kib: Option<u64>,
}

/// Writes an EFI partition's image.
pub(in crate::build) fn esp(image: &Path, esp: &Esp<'_>, folder: &Path, cancel: &Cancel) -> Result<()> {
    let root = folder.join("esp");
    let mut size = ESP_ROOM;
    for (name, from) in esp.programs {
        let to = root.join("EFI/BOOT").join(name);
        let writing = || format!("writing {}", to.display());
        std::fs::create_dir_all(to.parent().unwrap_or(&root)).during(writing)?;
        size += std::fs::copy(from, &to).during(writing)?;
    }
    let config = root.join("boot/grub/grub.cfg");
    let writing = || format!("writing {}", config.display());
    std::fs::create_dir_all(root.join("boot/grub")).during(writing)?;
    std::fs::write(&config, esp.config).during(writing)?;
    same_times_and_modes(&root, esp.epoch)?;
    let smallest = size.div_ceil(1 << 10).next_multiple_of(64);
    let kind: &[&str] = if esp.kib.is_some() { &["-F", "32"] } else { &[] };
    make_fat(image, (kind, esp.kib.unwrap_or(smallest)), (esp.build, esp.epoch), cancel)?;
    mtools("mcopy", image, esp.epoch)
        .args(["-s", "-p", "-m"])
        .arg(root.join("EFI"))
        .arg(root.join("boot"))
        .arg("::/")
        .check(cancel)?;
    Ok(())
}

fn make_fat(
    image: &Path,
    (kind, kib): (&[&str], u64),
    (build, epoch): (Digest, i64),
    cancel: &Cancel,
) -> Result<()> {
    Process::new("mkfs.fat")
        .args(["--invariant", "-i", &hex::encode(&build.as_bytes()[..4]), "-n", "EFI"])
        .args(kind)
        .arg("-C")
        .arg(image)
        .arg(kib.to_string())
        .env("SOURCE_DATE_EPOCH", epoch.max(0).to_string())
        .check(cancel)?;
    Ok(())
}

/// A program of mtools on an image: it reads no configuration of this host, and takes the
/// folders' times from the epoch.
fn mtools(program: &str, image: &Path, epoch: i64) -> Process {
    Process::new(program)
        .arg("-i")
        .arg(image)
        .env("SOURCE_DATE_EPOCH", epoch.max(0).to_string())
        .env("MTOOLSRC", "/dev/null")
        .env("MTOOLS_SKIP_CHECK", "1")
}

/// Writes an EFI partition's image of this size: FAT32 with these files by their paths, which get
/// the recipe's time. Folders are made first, all in the order of their paths.
pub(in crate::build) fn fat(
    image: &Path,
    files: &[(String, PathBuf)],
    kib: u64,
    (build, epoch): (Digest, i64),
    folder: &Path,
    cancel: &Cancel,
) -> Result<()> {
    make_fat(image, (&["-F", "32"], kib), (build, epoch), cancel)?;
    let staged = folder.join("staged");
    let parents =
        |path: &str| path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect::<Vec<_>>();
    let folders: BTreeSet<String> = files.iter().flat_map(|(path, _)| parents(path)).collect();
    for path in folders {
        mtools("mmd", image, epoch).arg(format!("::/{path}")).check(cancel)?;
    }
    for (path, from) in files {
        std::fs::copy(from, &staged).during(|| format!("reading {}", from.display()))?;
        same_times_and_modes(&staged, epoch)?;
        mtools("mcopy", image, epoch)
            .args(["-p", "-m"])
            .arg(&staged)
            .arg(format!("::/{path}"))
            .check(cancel)?;
    }
    remove_tree(&staged)
}

/// Gives a tree the recipe's time and fixed modes, whatever our umask.
fn same_times_and_modes(path: &Path, epoch: i64) -> Result<()> {
    let changing = || format!("changing {}", path.display());
    let is_folder = path.is_dir();
    if is_folder {
        for child in std::fs::read_dir(path).during(changing)? {
            same_times_and_modes(&child.during(changing)?.path(), epoch)?;
        }
    }
    let mode = if is_folder { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).during(changing)?;
    let time = rustix::fs::Timespec { tv_sec: epoch.max(0), tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())
        .map_err(std::io::Error::from)
        .during(changing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_that_grub_can_show() {
        let mut png = PNG.to_vec();
        png.extend_from_slice(&13u32.to_be_bytes());
        png.extend_from_slice(b"IHDR");
        png.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
        assert!(checked_png(&png).is_ok());
        let with = |at: usize, byte| {
            let mut bad = png.clone();
            bad[at] = byte;
            bad
        };
        assert!(checked_png(&with(24, 16)).is_err(), "16 bits");
        assert!(checked_png(&with(28, 1)).is_err(), "interlaced");
        assert!(checked_png(&with(0, b'G')).is_err());
        assert!(checked_png(&png[..20]).is_err());
        assert!(checked_png(b"").is_err());
        png.resize(LARGEST_SPLASH + 1, 0);
        assert!(checked_png(&png).is_err());
    }

    #[test]
    fn boot_files_through_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("usr")).unwrap();
        let failure = efi_programs(Architecture::X86_64, dir.path()).unwrap_err();
        assert!(failure.message.contains("symbolic link"), "{failure}");
        let empty = tempfile::tempdir().unwrap();
        let arm = efi_programs(Architecture::Aarch64, empty.path()).unwrap_err();
        assert!(arm.message.contains("shim-signed has no usr/lib/shim/shimaa64.efi.signed"), "{arm}");
        assert!(hybrid_mbr(empty.path(), I386_PC).unwrap_err().message.contains("grub-pc-bin"));
    }
}
