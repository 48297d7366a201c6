//! A disk image of our own making starts by BIOS and by UEFI: its GRUB finds the root
//! filesystem and loads kernel and initramfs from it.

use super::{
    artifact, asked, build_id, checks, find, initramfs, kernel, machine, options, put, stopped_in_time, wish,
};
use crate::disks::laid_out;
use crate::outputs::{EPOCH, recipe};
use bootwright::build::disk::{self, DiskInput};
use bootwright::build::stack::{Kernel, Stack, StackedLayer};
use bootwright::effects::Cancel;
use bootwright::effects::files::digest_file;
use bootwright::model::event::Emitter;
use bootwright::model::evidence::{Evidence, Verdict};
use bootwright::model::recipe::LayerId;
use bootwright::model::spec::{BootMode, BootloaderKind, Verify};
use bootwright::model::{Artifact, ArtifactKind, Digest};
use bootwright::verify;
use serde_json::json;
use std::path::Path;

/// A disk whose initramfs plays `scenario`, laid out as `filesystem` says; kernel and boot
/// loaders are Debian's own.
fn image(folder: &Path, scenario: &str, filesystem: serde_json::Value) -> Artifact {
    started_by(BootloaderKind::Grub, folder, scenario, filesystem)
}

fn started_by(
    kind: BootloaderKind,
    folder: &Path,
    scenario: &str,
    filesystem: serde_json::Value,
) -> Artifact {
    let layer = folder.join("layer");
    let vmlinuz = layer.join("boot/vmlinuz-tiny");
    put(&vmlinuz, &std::fs::read(find(&kernel().join("root/boot"), "vmlinuz")).unwrap(), 0o644);
    let layers = vec![StackedLayer {
        name: "kernel".to_owned(),
        id: LayerId(Digest::of("kernel")),
        epoch: EPOCH,
        folder: layer,
        cached: false,
        size: 8 << 20,
    }];
    let mut recipe = recipe();
    laid_out(&mut recipe, filesystem);
    recipe.boot_menu.kind = kind;
    recipe.boot_menu.timeout = if kind.is_grub() { 0 } else { 3 };
    recipe.boot_menu.kernel_flags = vec![format!("scenario={scenario}")];
    let stack = Stack { layers, epoch: EPOCH, cache: folder.join("cache") };
    let kernel = Kernel { version: "tiny".to_owned(), vmlinuz, initrd: initramfs().to_owned() };
    let input = DiskInput {
        recipe: &recipe,
        build_id: build_id(),
        stack: &stack,
        kernel: &kernel,
        splash: None,
        boot_files: Path::new("/"),
        out: &folder.join("tiny, with a comma.img.zst"),
        scratch: folder,
    };
    disk::write(&input, &Emitter::default(), &Cancel::default()).unwrap()
}

fn boot(image: &Artifact, modes: &[BootMode], seconds: u32, folder: &Path) -> Evidence {
    let (events, cancel) = (Emitter::default(), Cancel::default());
    let wish = Verify { boot: modes.to_vec(), ..wish(seconds) };
    let declared = checks();
    let evidence =
        verify::disk(image, &build_id(), asked(&wish, &declared), &options(folder), &events, &cancel);
    assert_eq!(std::fs::read_dir(folder.join("scratch")).unwrap().count(), 0, "something was left");
    evidence.unwrap()
}

#[test]
fn a_disk_starts_by_bios_and_by_uefi() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "good", json!({}));
    let evidence = boot(&image, &[BootMode::Bios, BootMode::UefiUsb], 300, folder.path());
    assert_eq!(evidence.kind, ArtifactKind::Disk);
    for check in &evidence.checks {
        assert_eq!(check.verdict, Verdict::Passed, "{}: {:?}", check.name, check.findings);
    }
}

#[test]
fn a_person_gets_a_machine_from_a_disk_too() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "off", json!({"root": "btrfs"}));
    let options = options(folder.path());
    let session = verify::interactive::Session {
        image: &image.path,
        mode: BootMode::Bios,
        virtio: false,
        memory_mib: 256,
        screen: verify::Screen::Vnc(78),
        accelerator: verify::Accelerator::Tcg,
        tools: &options.tools,
        scratch: &options.scratch,
    };
    verify::interactive(&session, &stopped_in_time()).unwrap();
    let (digest, _) = digest_file(&image.path).unwrap();
    assert_eq!(digest, image.digest, "the image was written to");
    assert_eq!(std::fs::read_dir(&options.scratch).unwrap().count(), 0, "something was left");
}

fn starts_both_ways(filesystem: serde_json::Value) {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), "good", filesystem);
    for check in &boot(&image, &[BootMode::Bios, BootMode::UefiUsb], 300, folder.path()).checks {
        assert_eq!(check.verdict, Verdict::Passed, "{}: {:?}", check.name, check.findings);
    }
}

#[test]
fn a_compressed_btrfs_disk_starts_by_bios_and_by_uefi() {
    starts_both_ways(json!({"root": "btrfs", "compression": true}));
}

#[test]
#[ignore = "CI has no time for two more machines: make test-images"]
fn an_xfs_disk_starts_by_bios_and_by_uefi() {
    starts_both_ways(json!({"root": "xfs"}));
}

#[test]
#[ignore = "CI has no time for two more machines: make test-images"]
fn a_disk_with_a_boot_partition_starts_by_bios_and_by_uefi() {
    let partitions = [("/boot/efi", "64MiB"), ("/boot", "256MiB"), ("/", "512MiB"), ("/var", "rest")];
    let partitions = partitions.map(|(mount, size)| json!({"mount": mount, "size": size}));
    starts_both_ways(json!({"partitions": partitions, "swap": {"kind": "partition", "size": "64MiB"}}));
}

/// Its menu, kernel and initramfs are in the EFI partition; no BIOS finds anything to start.
#[test]
fn systemd_boot_starts_a_disk_by_uefi_alone() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = started_by(BootloaderKind::SystemdBoot, folder.path(), "good", json!({}));
    let started = boot(&image, &[BootMode::UefiUsb], 300, folder.path());
    let check = &started.checks[0];
    assert_eq!(check.verdict, Verdict::Passed, "{}: {:?}", check.name, check.findings);
    let serial = check.files.iter().find(|file| file.name.ends_with("serial.log")).unwrap();
    let serial = std::fs::read_to_string(&serial.path).unwrap();
    assert!(!serial.contains("GRUB"), "{serial}");
    let bios = boot(&image, &[BootMode::Bios], 20, folder.path());
    assert!(matches!(bios.checks[0].verdict, Verdict::Hang { .. }), "{:?}", bios.checks[0].verdict);
    // The same input gives the same bytes.
    let again = tempfile::tempdir().unwrap();
    let again = started_by(BootloaderKind::SystemdBoot, again.path(), "good", json!({}));
    assert_eq!(image.digest, again.digest);
}

#[test]
fn a_disk_without_its_root_filesystem_does_not_start() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let whole = image(folder.path(), "good", json!({}));
    let mut bytes = zstd::decode_all(std::fs::File::open(&whole.path).unwrap()).unwrap();
    // The superblock, 1 KiB into the filesystem at 66 MiB.
    bytes[(66 << 20) + 1024..(66 << 20) + 2048].fill(0);
    std::fs::write(&whole.path, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
    let evidence = boot(&artifact(ArtifactKind::Disk, whole.path), &[BootMode::Bios], 60, folder.path());
    assert!(matches!(evidence.checks[0].verdict, Verdict::Hang { .. }), "{:?}", evidence.checks[0].verdict);
}
