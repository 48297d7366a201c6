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
//!
//! With systemd-boot no BIOS starts it, and the EFI partition is larger: it has kernel and
//! initramfs too, see `loaders`.

mod btrfs;
mod contents;
mod ext4;
mod gpt;
mod layout;
mod loaders;
mod settings;
mod swap;
mod xfs;

use super::rootfs::compressor;
use super::stack::{self, Kernel, Stack};
use super::union::{self, Found};
use crate::effects::files::remove_tree;
use crate::effects::{Cancel, Task};
use crate::model::event::{Emitter, Unit};
use crate::model::failure::IoContext;
use crate::model::spec::{Architecture, RootFilesystem, Size};
use crate::model::{Artifact, ArtifactKind, Digest, Failure, Recipe, Result};
use btrfs::Btrfs;
use contents::{Content, Extra, Volume};
use gpt::{ALIGNMENT, Partition, SECTOR};
use layout::{Layout, Part, What};
use loaders::Making;
use settings::{Disk, Names};
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
/// Writes the disk image.
///
/// # Errors
/// Class *spec* if the menu or architecture cannot be had, or a name cannot be written;
/// *limit* if a partition or `limits.diskSize` is too small; *host* if a tool is missing; *cancelled* on request.
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
    let task = Task::start(events, "disk image: filesystems");
    let parts = parts(input, &folder, cancel)?;
    let size = parts.images.iter().map(|(_, size)| size).sum();
    task.finish(format!("filled, {}", Size::from_bytes(size)));
    cancel.check()?;
    compress(&parts, input, events, cancel)?;
    let limit = ("limits.diskSize", input.recipe.limits.disk_size);
    let layers: Vec<_> = input.stack.layers.iter().map(|layer| (layer.name.clone(), layer.size)).collect();
    let artifact = stack::seal(ArtifactKind::Disk, input.out, limit, &layers)?;
    remove_tree(&folder)?;
    Ok(artifact)
}

/// The disk from its first byte to its last.
struct Parts {
    /// Up to the first partition behind GRUB's own.
    head: Vec<u8>,
    /// The partitions: files and their sizes in bytes, whole MiB.
    images: Vec<(PathBuf, u64)>,
    /// Behind the last one.
    tail: Vec<u8>,
}

fn parts(input: &DiskInput<'_>, folder: &Path, cancel: &Cancel) -> Result<Parts> {
    let build = input.build_id;
    let asked = input.recipe.configuration().and_then(|c| c.filesystem.as_ref());
    let loader = loaders::of(input.recipe.boot_menu.kind);
    let layout = Layout::of(asked, loader.efi_size())?;
    let of = layout.partitions.iter().map(|part| (part.name.clone(), guid(build, &purpose(part)))).collect();
    let disk = Disk { layout, names: Names { of, esp: serial(build) } };
    let extras = extras(input, &disk, loader.files(input, &disk)?)?;
    let names = contents::names(input.stack, &extras, folder)?;
    let making = Making { input, disk: &disk, folder, cancel };
    let mut images = Vec::new();
    for (part, (name, uuid)) in disk.layout.partitions.iter().zip(&disk.names.of) {
        let image = folder.join(format!("{name}.img"));
        let size = match &part.what {
            What::Efi(_) => {
                let size = part.size.unwrap_or_else(|| loader.efi_size());
                loader.efi(&making, &image, size)?;
                size
            }
            What::Swap => swap::write(&image, part.size.unwrap_or(0), *uuid)?,
            What::Files(mount) => {
                files(input, &disk.layout, (mount, part, *uuid), &names, (&image, folder), cancel)
                    .map_err(|failure| failure.on(format!("/{mount}")))?
            }
        };
        images.push((image, size.next_multiple_of(ALIGNMENT * SECTOR)));
    }
    let bios = loader.bios(&making)?;
    let part = |kind, name: &str, first, sectors| {
        let id = guid(build, &format!("partition {name}"));
        Partition { kind, id, name: name.to_owned(), first, sectors }
    };
    let mut partitions = Vec::new();
    if bios.is_some() {
        partitions.push(part(gpt::kind::BIOS_BOOT, "bios", CORE, ALIGNMENT));
    }
    let mut behind = CORE + ALIGNMENT;
    for (planned, (_, size)) in disk.layout.partitions.iter().zip(&images) {
        partitions.push(part(planned.kind(), &planned.name, behind, size / SECTOR));
        behind += size / SECTOR;
    }
    let boot = bios.as_ref().map(|bios| (bios.boot.as_slice(), CORE));
    let table = gpt::table(guid(build, "disk"), behind + ALIGNMENT, &partitions, boot)?;
    let mut head = table.head;
    head.resize(bytes(CORE), 0);
    head.extend(bios.into_iter().flat_map(|bios| bios.core));
    head.resize(bytes(CORE + ALIGNMENT), 0);
    let mut tail = vec![0; bytes(ALIGNMENT - gpt::TAIL_SECTORS)];
    tail.extend(table.tail);
    Ok(Parts { head, images, tail })
}

/// What a filesystem's identifier is made from.
fn purpose(part: &Part) -> String {
    match &part.what {
        What::Files(mount) if mount.is_empty() => "root filesystem".to_owned(),
        _ => format!("filesystem {}", part.name),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).during(|| format!("reading {}", path.display()))
}

fn files(
    input: &DiskInput<'_>,
    layout: &Layout,
    (mount, part, uuid): (&str, &Part, uuid::Uuid),
    names: &[Found],
    (image, folder): (&Path, &Path),
    cancel: &Cancel,
) -> Result<u64> {
    let mounts: Vec<&Path> = layout.mounts().into_iter().map(Path::new).collect();
    let names = contents::below(names, Path::new(mount), &mounts);
    let label: String = part.name.chars().filter(char::is_ascii).take(12).collect();
    let epoch = input.stack.epoch;
    let volume = Volume { image, size: part.size, uuid, label: &label, epoch, names: &names };
    match layout.filesystem {
        RootFilesystem::Ext4 => ext4::write(&volume, folder, cancel),
        RootFilesystem::Btrfs => {
            let subvolumes = layout.subvolumes(mount);
            let subvolumes: Vec<_> = subvolumes.iter().map(|(name, at)| (*name, Path::new(*at))).collect();
            Btrfs { volume: &volume, compress: layout.compress, subvolumes: &subvolumes }.write(cancel)
        }
        RootFilesystem::Xfs => xfs::write(&volume, cancel),
        RootFilesystem::Zfs => Err(Failure::bug("a disk with ZFS, which `check` refuses")),
    }
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
fn extras(input: &DiskInput<'_>, disk: &Disk, of_loader: Vec<Extra>) -> Result<Vec<Extra>> {
    let version = &input.kernel.version;
    let image = format!("boot/vmlinuz-{version}");
    if union::find(input.stack, &image)?.is_none() {
        return Err(Failure::bug(format!("the root has no {image}")));
    }
    let initrd = Content::Host(input.kernel.initrd.clone());
    let mut extras = vec![settings::file("etc/fstab", disk.fstab())];
    extras.extend(disk.repart().iter().map(|(path, text)| settings::file(path, text.as_str())));
    extras.push(Extra { path: format!("boot/initrd.img-{version}"), mode: 0o644, content: initrd });
    let mounts = disk.layout.mounts().into_iter().filter(|mount| !mount.is_empty());
    for folder in mounts.chain(disk.layout.subvolumes("").iter().map(|(_, at)| *at)).chain(disk.layout.efi())
    {
        if !folder.is_empty() {
            extras.push(Extra { path: folder.to_owned(), mode: 0o755, content: Content::Folder });
        }
    }
    extras.extend(of_loader);
    Ok(extras)
}

fn compress(parts: &Parts, input: &DiskInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<()> {
    let images: u64 = parts.images.iter().map(|(_, size)| size).sum();
    let total = parts.head.len() as u64 + images + parts.tail.len() as u64;
    let task = Task::with_total(events, "disk image: compress", Some(total), Unit::Bytes);
    let part = stack::part_of(input.out);
    let writing = || format!("writing {}", part.display());
    let file = BufWriter::with_capacity(1 << 20, File::create(&part).during(writing)?);
    let mut to = compressor(file, input.recipe.compression).during(writing)?;
    to.write_all(&parts.head).during(writing)?;
    let mut buffer = vec![0; 1 << 20];
    for (path, size) in &parts.images {
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
        // A filesystem may end a little before its partition.
        let rest = size.saturating_sub(read);
        if rest < ALIGNMENT * SECTOR {
            std::io::copy(&mut std::io::repeat(0).take(rest), &mut to).during(writing)?;
        } else {
            return Err(Failure::bug(format!("{} has {read} bytes, not {size}", path.display())));
        }
    }
    to.write_all(&parts.tail).during(writing)?;
    to.finish().and_then(|mut file| file.flush()).during(writing)?;
    task.finish(format!("{} of disk", Size::from_bytes(total)));
    Ok(())
}
