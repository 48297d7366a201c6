//! The disk image: GPT, GRUB for BIOS, an EFI partition, the root filesystem; zstd over all.
//!
//! The same layers give the same bytes: all dates are the recipe's, all identifiers come from
//! the build id, and names go into the file system in one order. Nothing is mounted, and no
//! block device is used.
//!
//! ```text
//! sector 0     GRUB's first sector, protective MBR
//! sector 1     GPT
//! 1 MiB        GRUB for BIOS
//! 2 MiB        EFI partition: shim, signed GRUB, the way to the menu
//! 66 MiB       root filesystem, ext4; it grows with the disk at boot
//! last 1 MiB   GPT
//! ```

mod ext4;
mod gpt;
mod settings;

use super::iso::firmware;
use super::rootfs::compressor;
use super::stack::{self, Kernel, Stack};
use super::union;
use crate::effects::files::remove_tree;
use crate::effects::{Cancel, Task};
use crate::model::event::{Emitter, Unit};
use crate::model::failure::IoContext;
use crate::model::spec::{Architecture, Size};
use crate::model::{Artifact, ArtifactKind, Digest, Failure, Recipe, Result};
use ext4::{Content, Ext4, Extra};
use gpt::{ALIGNMENT, Partition, SECTOR};
use settings::Names;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What a disk image is made from.
#[derive(Debug)]
pub struct DiskInput<'a> {
    /// Names, dates, menu.
    pub recipe: &'a Recipe,
    /// What all identifiers come from.
    pub build_id: Digest,
    /// The system.
    pub stack: &'a Stack,
    /// What is started.
    pub kernel: &'a Kernel,
    /// A PNG picture behind the menu.
    pub splash: Option<&'a [u8]>,
    /// The root of an unpacked tree with the boot loaders, as for an ISO.
    pub boot_files: &'a Path,
    /// Where the image goes.
    pub out: &'a Path,
    /// An existing folder for intermediate files: they are as large as the root filesystem.
    pub scratch: &'a Path,
}

/// Where GRUB's core image is, in sectors.
const CORE: u64 = ALIGNMENT;
/// The size of the EFI partition, in MiB: FAT32 begins at 33.
const ESP_MIB: u64 = 64;
/// Modules of GRUB for BIOS beside those of an ISO.
const DISK_MODULES: &[&str] = &["ext2", "search_fs_uuid"];

/// Writes the disk image.
///
/// # Errors
/// Class *spec* if the menu or architecture cannot be had, or a name cannot be written;
/// *host* if a tool is missing; *cancelled* on request.
pub fn write(input: &DiskInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<Artifact> {
    write_checked(input, events, cancel).map_err(|failure| failure.on(&input.recipe.image))
}

fn write_checked(input: &DiskInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<Artifact> {
    if input.recipe.architecture != Architecture::X86_64 {
        return Err(Failure::spec(format!(
            "a disk image for {} cannot be made yet",
            input.recipe.architecture.as_str()
        ))
        .hint("Remove disk from outputs, or set architecture to x86_64."));
    }
    let folder = input.scratch.join("disk");
    remove_tree(&folder)?;
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    let task = Task::start(events, "disk image: root filesystem");
    let parts = parts(input, &folder, cancel)?;
    task.finish(format!("filled, {}", Size::from_bytes(parts.root.1)));
    cancel.check()?;
    compress(&parts, input, events, cancel)?;
    let layers: Vec<_> = input.stack.layers.iter().map(|layer| (layer.name.clone(), layer.size)).collect();
    let artifact = stack::seal(ArtifactKind::Disk, input.out, ("limits", None), &layers)?;
    remove_tree(&folder)?;
    Ok(artifact)
}

/// The disk from its first byte to its last.
struct Parts {
    /// Up to the EFI partition.
    head: Vec<u8>,
    /// Files and their sizes in bytes.
    esp: (PathBuf, u64),
    root: (PathBuf, u64),
    /// Behind the root filesystem.
    tail: Vec<u8>,
}

fn parts(input: &DiskInput<'_>, folder: &Path, cancel: &Cancel) -> Result<Parts> {
    let build = input.build_id;
    let names = Names { root: guid(build, "root filesystem"), esp: serial(build) };
    let programs = firmware::efi_programs(input.recipe.architecture, input.boot_files)?;
    let (esp, root) = (folder.join("esp.img"), folder.join("root.img"));
    let of_esp = firmware::Esp {
        programs: &programs,
        config: &format!("{}source $prefix/grub.cfg\n", settings::first_stage(names)),
        build,
        epoch: input.recipe.epoch,
        kib: Some(ESP_MIB << 10),
    };
    firmware::esp(&esp, &of_esp, folder, cancel)?;
    let extras = extras(input, names)?;
    let size = ext4::room(input.stack, &extras)?;
    Ext4 { image: &root, size, uuid: names.root, stack: input.stack, extras: &extras }
        .write(folder, cancel)?;

    let format = ("i386-pc", DISK_MODULES);
    let core =
        firmware::grub_for_bios(format, &settings::first_stage(names), input.boot_files, folder, cancel)?;
    let read = |path: &Path| std::fs::read(path).during(|| format!("reading {}", path.display()));
    let core = gpt::placed_core(read(&core)?, CORE, ALIGNMENT)?;
    let boot = firmware::I386_PC;
    let boot = read(&firmware::boot_file(input.boot_files, &format!("{boot}/boot.img"), "grub-pc-bin")?)?;
    let (esp_sectors, root_sectors) = ((ESP_MIB << 20) / SECTOR, size / SECTOR);
    let part = |kind, name: &'static str, first, sectors| {
        let id = guid(build, &format!("partition {name}"));
        Partition { kind, id, name, first, sectors }
    };
    let behind = CORE + ALIGNMENT + esp_sectors + root_sectors;
    let sectors = behind + ALIGNMENT;
    let partitions = [
        part(gpt::kind::BIOS_BOOT, "bios", CORE, ALIGNMENT),
        part(gpt::kind::ESP, "efi", CORE + ALIGNMENT, esp_sectors),
        part(gpt::kind::ROOT_X86_64, "root", CORE + ALIGNMENT + esp_sectors, root_sectors),
    ];
    let table = gpt::table(guid(build, "disk"), sectors, &partitions, &boot, CORE)?;
    let mut head = table.head;
    head.resize(bytes(CORE), 0);
    head.extend(core);
    head.resize(bytes(CORE + ALIGNMENT), 0);
    let mut tail = vec![0; bytes(ALIGNMENT - gpt::TAIL_SECTORS)];
    tail.extend(table.tail);
    Ok(Parts { head, esp: (esp, ESP_MIB << 20), root: (root, size), tail })
}

fn bytes(sectors: u64) -> usize {
    usize::try_from(sectors * SECTOR).unwrap_or(usize::MAX)
}

/// An identifier of this build for one purpose.
fn guid(build: Digest, what: &str) -> uuid::Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Digest::of_json(&(build, what)).as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The serial number that [`firmware::esp`] gives its FAT.
fn serial(build: Digest) -> [u8; 4] {
    let mut serial = [0; 4];
    serial.copy_from_slice(&build.as_bytes()[..4]);
    serial
}

/// What the disk has and no layer does.
fn extras(input: &DiskInput<'_>, names: Names) -> Result<Vec<Extra>> {
    let version = &input.kernel.version;
    let image = format!("boot/vmlinuz-{version}");
    if union::find(input.stack, &image)?.is_none() {
        return Err(Failure::bug(format!("the root has no {image}")));
    }
    let initrd = Content::Host(input.kernel.initrd.clone());
    let menu = settings::grub_cfg(&input.recipe.boot_menu, input.build_id, version, names)?;
    let mut extras = vec![
        settings::file("etc/fstab", settings::fstab(names)),
        settings::file("etc/repart.d/50-root.conf", settings::REPART),
        settings::file("boot/grub/grub.cfg", menu),
        Extra { path: format!("boot/initrd.img-{version}"), mode: 0o644, content: initrd },
        Extra { path: "boot/efi".to_owned(), mode: 0o755, content: Content::Folder },
    ];
    if let Some(png) = input.splash {
        extras.push(settings::file("boot/grub/splash.png", firmware::checked_png(png)?));
        extras.push(settings::file("boot/grub/unicode.pf2", firmware::font(input.boot_files)?));
    }
    Ok(extras)
}

fn compress(parts: &Parts, input: &DiskInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<()> {
    let total = parts.head.len() as u64 + parts.esp.1 + parts.root.1 + parts.tail.len() as u64;
    let task = Task::with_total(events, "disk image: compress", Some(total), Unit::Bytes);
    let part = stack::part_of(input.out);
    let writing = || format!("writing {}", part.display());
    let file = BufWriter::with_capacity(1 << 20, File::create(&part).during(writing)?);
    let mut to = compressor(file, input.recipe.compression).during(writing)?;
    to.write_all(&parts.head).during(writing)?;
    let mut buffer = vec![0; 1 << 20];
    for (path, size) in [&parts.esp, &parts.root] {
        let reading = || format!("reading {}", path.display());
        let mut from = File::open(path).during(reading)?.take(*size);
        let mut read = 0;
        loop {
            cancel.check()?;
            let n = from.read(&mut buffer).during(reading)?;
            if n == 0 {
                break;
            }
            read += n as u64;
            to.write_all(&buffer[..n]).during(writing)?;
            task.advance(n as u64);
        }
        if read != *size {
            return Err(Failure::bug(format!("{} has {read} bytes, not {size}", path.display())));
        }
    }
    to.write_all(&parts.tail).during(writing)?;
    to.finish().and_then(|mut file| file.flush()).during(writing)?;
    task.finish(format!("{} of disk", Size::from_bytes(total)));
    Ok(())
}
