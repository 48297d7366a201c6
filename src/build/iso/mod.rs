//! The hybrid live ISO: BIOS and UEFI with Secure Boot, from disc and USB stick; for ARM, UEFI
//! alone.
//!
//! The same bytes come out on every host: all dates are the recipe's, all identifiers come
//! from the build id, modes and owners are fixed. xorriso reads kernel and modules from
//! where they are; nothing large is copied on the way.
//!
//! ```text
//! .disk/info                  what Debian's signed GRUB looks for
//! .disk/bootwright-BUILD      what our GRUB configuration looks for
//! .disk/live-uuid-bootwright  what the initramfs looks for
//! EFI/BOOT/                   shim, signed GRUB, MOK manager (also in the EFI partition)
//! boot/grub/                  menu, BIOS GRUB, EFI partition's content
//! live/                       kernel, initramfs, the layers as squashfs modules
//! live/filesystem.module      their order: later ones lie on top
//! ```
//!
//! This is live-boot's; what other live systems want of a medium is in `tables/live.yaml`.

pub(super) mod firmware;
pub mod medium;
pub mod menu;
pub(super) mod theme;

use super::stack::{self, Kernel};
use crate::effects::files::remove_tree;
use crate::effects::{Cancel, Point, Process, Task, point};
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::spec::{Architecture, Size};
use crate::model::{Artifact, ArtifactKind, Digest, ErrorCode, Failure, Recipe, Result};
use crate::tables::{Grub, Live};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The longest volume id of ISO 9660 (ECMA-119, 8.4.7), in letters.
const LONGEST_VOLUME_ID: usize = 32;

/// What an ISO is made from.
#[derive(Debug)]
pub struct IsoInput<'a> {
    /// Names, dates, menu and limits.
    pub recipe: &'a Recipe,
    /// How the system finds its root on the medium.
    pub live: &'a Live,
    /// What GRUB's images are made from; Debian's signed ones are taken where this is absent.
    pub grub: Option<&'a Grub>,
    /// What the ISO calls itself: in the kernel command line, and in all identifiers.
    pub build_id: Digest,
    /// Name on the ISO and file of every squashfs module, bottom first; the one that has all for
    /// live systems that stack none, whose name on the ISO is then theirs.
    pub modules: Vec<(String, PathBuf)>,
    /// What is started.
    pub kernel: &'a Kernel,
    /// A PNG picture behind the menu.
    pub splash: Option<&'a [u8]>,
    /// The root of an unpacked tree with Debian's `shim-signed`, `shim-helpers-amd64-signed`,
    /// `grub-efi-amd64-signed` (or those of arm64), `grub-pc-bin`, and for a menu with colours or a
    /// picture `grub-common`.
    pub boot_files: &'a Path,
    /// Where the ISO goes.
    pub out: &'a Path,
    /// An existing folder for intermediate files.
    pub scratch: &'a Path,
}

/// Writes the ISO.
///
/// # Errors
/// Class *spec* if the menu or architecture cannot be had, *host* if a tool is missing,
/// *limit* if `limits.isoSize` is exceeded, *cancelled* on request.
pub fn write(input: &IsoInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<Artifact> {
    let recipe = input.recipe;
    write_checked(input, events, cancel).map_err(|failure| failure.on(&recipe.image))
}

fn write_checked(input: &IsoInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<Artifact> {
    let task = Task::start(events, "iso");
    let folder = input.scratch.join("iso");
    remove_tree(&folder)?;
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    let tree = tree(input, &folder, cancel)?;
    point(Point::IsoTree)?;
    let part = stack::part_of(input.out);
    // xorriso would take an existing file for a medium to be added to.
    let _ = std::fs::remove_file(&part);
    let output = xorriso(input, &tree, &part)?.run(cancel)?;
    if !output.status.success() {
        return Err(output.failure().code(ErrorCode::IsoGeneration));
    }
    point(Point::IsoWritten)?;
    let limit = ("limits.isoSize", input.recipe.limits.iso_size);
    let artifact = stack::seal(ArtifactKind::Iso, input.out, limit, &sizes(input)?)?;
    remove_tree(&folder)?;
    task.finish(format!("written, {}", Size::from_bytes(artifact.size)));
    Ok(artifact)
}

/// The files of the ISO: path there and file on the host.
struct Tree {
    files: Vec<(String, PathBuf)>,
    /// The EFI partition's image, appended behind the ISO.
    esp: PathBuf,
}

fn tree(input: &IsoInput<'_>, folder: &Path, cancel: &Cancel) -> Result<Tree> {
    let build = input.build_id;
    let mut tree = Tree { files: Vec::new(), esp: folder.join("esp.img") };
    let mut add = |at: String, bytes: &[u8]| -> Result<()> {
        let path = folder.join(format!("file-{}", tree.files.len()));
        std::fs::write(&path, bytes).during(|| format!("writing {}", path.display()))?;
        tree.files.push((at, path));
        Ok(())
    };
    let architecture = input.recipe.architecture;
    let live = input.live;
    let label = label(input);
    let system = menu::System { build, architecture, live, label: &label, modules: input.modules.len() };
    add("boot/grub/grub.cfg".to_owned(), menu::grub_cfg(&input.recipe.boot_menu, system)?.as_bytes())?;
    add(".disk/info".to_owned(), info(input).as_bytes())?;
    add(menu::marker(build), b"")?;
    if let Some(identity) = &live.identity {
        add(identity.clone(), format!("{}\n", medium::identity(build)).as_bytes())?;
        add(menu::medium(live), &medium::initramfs(build))?;
    }
    if live.stacked {
        add(format!("{}/filesystem.module", live.system), module_list(input)?.as_bytes())?;
    }
    for (path, bytes) in theme::files(&input.recipe.boot_menu, input.splash, input.boot_files)? {
        add(path.to_owned(), &bytes)?;
    }
    match (live.stacked, input.modules.as_slice()) {
        (true, modules) => {
            let on_iso = modules.iter().map(|(name, path)| (format!("{}/{name}", live.system), path.clone()));
            tree.files.extend(on_iso);
        }
        (false, [(_, only)]) => tree.files.push((live.system.clone(), only.clone())),
        (false, modules) => {
            return Err(Failure::bug(format!("{} has one squashfs, not {}", live.title, modules.len())));
        }
    }
    tree.files.push((live.kernel.clone(), input.kernel.vmlinuz.clone()));
    tree.files.push((live.initrd.clone(), input.kernel.initrd.clone()));
    let programs = match input.grub {
        None => firmware::efi_programs(architecture, input.boot_files)?,
        Some(grub) => firmware::own_efi_programs(grub, build, input.boot_files, folder, cancel)?,
    };
    tree.files.extend(programs.iter().map(|(name, path)| (format!("EFI/BOOT/{name}"), path.clone())));
    let esp = firmware::Esp {
        programs: &programs,
        config: &format!("{}source $prefix/grub.cfg\n", menu::first_stage(build)),
        build,
        epoch: input.recipe.epoch,
        kib: None,
    };
    firmware::esp(&tree.esp, &esp, folder, cancel)?;
    if has_bios(architecture) {
        let of_modules = firmware::bios_modules(input.grub);
        let modules = theme::modules(&input.recipe.boot_menu);
        let bios = firmware::bios_image(build, (input.boot_files, of_modules), modules, folder, cancel)?;
        tree.files.push(("boot/grub/bios.img".to_owned(), bios));
    }
    for (_, path) in &tree.files {
        regular_file(path)?;
    }
    Ok(tree)
}

/// Whether machines of an architecture may start with a BIOS.
fn has_bios(architecture: Architecture) -> bool {
    architecture == Architecture::X86_64
}

/// One line for people who look at the disc.
fn info(input: &IsoInput<'_>) -> String {
    let recipe = input.recipe;
    format!(
        "{} {} {} {} kernel {} build {}\n",
        recipe.image,
        recipe.base.as_str(),
        recipe.suite,
        recipe.architecture.as_str(),
        input.kernel.version,
        input.build_id.hex()
    )
}

/// live-boot reads this list word by word and stacks later modules on earlier ones.
fn module_list(input: &IsoInput<'_>) -> Result<String> {
    if input.modules.is_empty() {
        return Err(Failure::bug("an ISO without squashfs modules cannot start"));
    }
    let mut list = String::new();
    for (name, _) in &input.modules {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !name.ends_with(".squashfs") || name.starts_with('.') || !name.bytes().all(safe) {
            return Err(Failure::bug(format!("{name:?} is no name for a squashfs module")));
        }
        list.push_str(name);
        list.push('\n');
    }
    Ok(list)
}

fn regular_file(path: &Path) -> Result<u64> {
    let meta = std::fs::metadata(path).during(|| format!("looking at {}", path.display()))?;
    if meta.is_file() { Ok(meta.len()) } else { Err(Failure::bug(format!("{} is no file", path.display()))) }
}

/// The modules and the kernel with its initramfs, by their sizes: what a broken limit names.
fn sizes(input: &IsoInput<'_>) -> Result<Vec<(String, u64)>> {
    let mut sizes = Vec::new();
    for (name, path) in &input.modules {
        let name = name.trim_end_matches(".squashfs");
        // `07-servers` is the layer `servers`.
        let name = name.split_once('-').map_or(name, |(_, layer)| layer);
        sizes.push((name.to_owned(), regular_file(path)?));
    }
    let kernel = regular_file(&input.kernel.vmlinuz)? + regular_file(&input.kernel.initrd)?;
    sizes.push(("kernel and initramfs".to_owned(), kernel));
    Ok(sizes)
}

/// `A-Z`, `0-9` and `_` only (ECMA-119, d-characters).
fn volume_id(image: &str) -> String {
    image
        .bytes()
        .take(LONGEST_VOLUME_ID)
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b.to_ascii_uppercase()) } else { '_' })
        .collect()
}

/// The ISO's volume id.
fn label(input: &IsoInput<'_>) -> String {
    label_of(input.recipe.image.as_str(), input.build_id, input.live.goes_by_label())
}

/// Where the initramfs goes by the label, no other medium may have it: it ends with the build.
fn label_of(image: &str, build: Digest, alone: bool) -> String {
    let label = volume_id(image);
    if !alone {
        return label;
    }
    let build = hex::encode_upper(&build.as_bytes()[..8]);
    format!("{}_{build}", &label[..label.len().min(LONGEST_VOLUME_ID - 1 - build.len())])
}

/// A GUID from the build id, marked as version 8 (RFC 9562): its bits are ours.
pub(super) fn disk_guid(build: Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&build.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// A graft point: the path on the ISO, `=`, the path on the host. A backslash quotes both
/// letters in host paths too.
fn graft(at: &str, host: &Path) -> Result<OsString> {
    let host = std::path::absolute(host).during(|| format!("looking at {}", host.display()))?;
    let mut word = format!("/{at}=").into_bytes();
    for byte in host.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b'=') {
            word.push(b'\\');
        }
        word.push(*byte);
    }
    Ok(OsString::from_vec(word))
}

fn xorriso(input: &IsoInput<'_>, tree: &Tree, out: &Path) -> Result<Process> {
    let epoch = input.recipe.epoch.max(0);
    let date = chrono::DateTime::from_timestamp(epoch, 0)
        .ok_or_else(|| Failure::bug(format!("{epoch} is no time")))?;
    // Without the prefix xorriso takes paths below /dev for drives.
    let mut target = OsString::from("stdio:");
    target.push(std::path::absolute(out).during(|| format!("looking at {}", out.display()))?);
    let mut process = Process::new("xorriso")
        // No start-up files of this host.
        .arg("-no_rc")
        .args(["-as", "mkisofs", "-quiet"])
        .arg("-o")
        .arg(target)
        .args(["-V", &label(input)])
        .args(["-iso-level", "3", "-R", "-J", "-joliet-long", "-partition_offset", "16"])
        .args(["-uid", "0", "-gid", "0", "-dir-mode", "0755", "-file-mode", "0644"])
        .arg(format!("--modification-date={}00", date.format("%Y%m%d%H%M%S")))
        .args(["--set_all_file_dates", &format!("={epoch}")])
        .args(["--gpt_disk_guid", &disk_guid(input.build_id), "-c", "boot/grub/boot.cat"]);
    if has_bios(input.recipe.architecture) {
        process = process
            .arg("--grub2-mbr")
            .arg(firmware::hybrid_mbr(input.boot_files, firmware::bios_modules(input.grub))?)
            .args(["-b", "boot/grub/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
            .args(["--grub2-boot-info", "-eltorito-alt-boot"]);
    }
    process = process
        .args(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"])
        .args([OsStr::new("-append_partition"), OsStr::new("2"), OsStr::new("0xef"), tree.esp.as_os_str()])
        .args(["-appended_part_as_gpt", "-graft-points"])
        .env("SOURCE_DATE_EPOCH", epoch.to_string());
    for (at, host) in &tree.files {
        process = process.arg(graft(at, host)?);
    }
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_one_build_names_image_and_build() {
        let label = label_of(&"a".repeat(40), Digest::of("abc"), true);
        assert_eq!(label, "AAAAAAAAAAAAAAA_BA7816BF8F01CFEA");
        assert_eq!(label.len(), LONGEST_VOLUME_ID);
        assert_eq!(label_of("edge", Digest::of("abc"), false), "EDGE");
        assert_eq!(label_of("edge", Digest::of("abc"), true), "EDGE_BA7816BF8F01CFEA");
    }

    #[test]
    fn volume_ids_have_d_characters_only() {
        assert_eq!(volume_id("edge-gateway"), "EDGE_GATEWAY");
        assert_eq!(volume_id(&"a".repeat(63)).len(), 32);
    }

    #[test]
    fn guids_come_from_the_build() {
        let guid = disk_guid(Digest::of("abc"));
        assert_eq!(guid, "ba7816bf-8f01-8fea-8141-40de5dae2223");
    }

    #[test]
    fn host_paths_cannot_end_a_graft_point_early() {
        assert_eq!(graft("live/x", Path::new("/a=b\\c")).unwrap(), "/live/x=/a\\=b\\\\c");
    }
}
