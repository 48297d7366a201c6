//! Outputs, what is asked of them, and the files that a spec names.

use super::super::files::{DOTFILES, FileKind, Files, OVERLAYS};
use super::super::trees;
use super::{Report, doubled};
use crate::model::spec::{Origin, OsImage, Output};

/// The installer's pictures lie in the medium's memory while it runs, in bytes.
const LARGEST_PICTURE: usize = 4 << 20;
/// First bytes of a PNG (RFC 2083, section 3.1).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

pub fn check(report: &mut Report<'_>, image: &OsImage, files: &Files) {
    let outputs = &image.spec.outputs;
    let known = report.intact("spec.outputs");
    if outputs.is_empty() && known {
        report.error(
            "spec.outputs",
            "no output is asked for",
            "Name at least one of iso, oci, rootfs, disk.",
        );
    }
    for (index, output) in outputs.iter().enumerate() {
        let field = format!("spec.outputs[{index}]");
        if outputs[..index].contains(output) {
            report.error(&field, format!("{} is listed twice", output.as_str()), "Keep one of the two.");
        }
    }
    if known {
        unmade(report, image);
    }
    verify(report, image);
    bootloader(report, image, files);
    installer(report, image, files);
    scripts(report, image, files);
    folders(report, image, files);
}

/// Fields that only speak of outputs which are not made.
fn unmade(report: &mut Report<'_>, image: &OsImage) {
    let limits = &image.spec.limits;
    let mut wants = vec![
        ("spec.limits.isoSize", Output::Iso, limits.iso_size.is_some()),
        ("spec.limits.ociSize", Output::Oci, limits.oci_size.is_some()),
        ("spec.limits.rootfsSize", Output::Rootfs, limits.rootfs_size.is_some()),
        ("spec.limits.diskSize", Output::Disk, limits.disk_size.is_some()),
    ];
    if !image.spec.outputs.contains(&Output::Disk) {
        for field in ["spec.verify.boot", "spec.verify.memoryMib", "spec.customization.bootloader"] {
            wants.push((field, Output::Iso, report.is_set(field)));
        }
    }
    for (field, output, set) in wants {
        if set && !image.spec.outputs.contains(&output) {
            report.error(
                field,
                format!("nothing reads this: {} is not among the outputs", output.as_str()),
                format!("Add `{}` to `outputs`, or take this away.", output.as_str()),
            );
        }
    }
}

fn verify(report: &mut Report<'_>, image: &OsImage) {
    let verify = &image.spec.verify;
    if verify.boot.is_empty() && image.spec.outputs.iter().any(|output| output.starts()) {
        report.error(
            "spec.verify.boot",
            "no way to boot is listed: an image that was never booted is not published",
            "Name at least one of bios, uefi, secure-boot, bios-usb, uefi-usb, secure-boot-usb.",
        );
    }
    for (index, mode) in verify.boot.iter().enumerate() {
        if verify.boot[..index].contains(mode) {
            report.error(
                &format!("spec.verify.boot[{index}]"),
                format!("{} is listed twice", mode.as_str()),
                "Keep one of the two.",
            );
        }
    }
    doubled(report, "spec.verify.units", &verify.units);
    doubled(report, "spec.verify.ports", &verify.ports);
    let mut range = |field: &str, value: u32, least: u32, most: u32, unit: &str| {
        if !(least..=most).contains(&value) {
            report.error(
                &format!("spec.verify.{field}"),
                format!("{value} {unit} cannot be used"),
                format!("Use {least} to {most}."),
            );
        }
    };
    range("dwellSeconds", verify.dwell_seconds, 0, 3600, "seconds");
    range("memoryMib", verify.memory_mib, 256, 65_536, "MiB");
    range("timeoutSeconds", verify.timeout_seconds, 30, 7200, "seconds");
}

fn bootloader(report: &mut Report<'_>, image: &OsImage, files: &Files) {
    let bootloader = &image.spec.customization.bootloader;
    if let Some(title) = &bootloader.title
        && (!super::text::is_one_line(title, 60) || title.contains(['"', '\'', '\\', '$', '`', '{', '}']))
    {
        report.error(
            "spec.customization.bootloader.title",
            "the title cannot stand in a boot menu",
            "Use one line of at most 60 characters, without quotes, backslashes, braces, $ and `.",
        );
    }
    if let Some(seconds) = bootloader.timeout
        && seconds > 600
    {
        report.error(
            "spec.customization.bootloader.timeout",
            format!("{seconds} seconds are too long to wait"),
            "Use 0 to 600.",
        );
    }
    if let Some(splash) = &bootloader.splash {
        let field = "spec.customization.bootloader.splash";
        if let Some(bytes) = named_file(report, field, splash, files)
            && let Err((why, hint)) = check_png(bytes)
        {
            report.error(field, format!("{splash} {why}"), hint);
        }
    }
}

/// Whether GRUB can show a picture: its reader knows PNG of 8 or 16 bits, not interlaced.
fn check_png(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let picture =
        Header::of(bytes).ok_or(("is not a PNG picture", "Save it as PNG; GRUB reads no other."))?;
    if !picture.sides_within(4096) {
        return Err(("is too small or too large for a boot menu", "Use 640x480 or 1024x768 pixels."));
    }
    if !matches!(picture.depth, 8 | 16) || picture.interlaced {
        return Err(("is of a kind that GRUB cannot show", "Save it with 8 bits a channel, not interlaced."));
    }
    Ok(())
}

/// The logo and the slides: pictures that fit into a window and do not fill the medium.
fn installer(report: &mut Report<'_>, image: &OsImage, files: &Files) {
    let Some(installer) = &image.spec.installer else { return };
    let logo = installer.logo.iter().map(|path| ("spec.installer.logo".to_owned(), path));
    let slides = installer.slides.iter().enumerate();
    let slides = slides.map(|(index, path)| (format!("spec.installer.slides[{index}]"), path));
    for (field, path) in logo.chain(slides) {
        let Some(bytes) = named_file(report, &field, path.as_str(), files) else { continue };
        let (why, hint) = match Header::of(bytes) {
            None => ("is not a PNG picture", "Save it as PNG."),
            Some(picture) if !picture.sides_within(2048) => (
                "is too small or too large for the installer's window",
                "Use 800x450 pixels; a logo, 256x256.",
            ),
            _ if bytes.len() > LARGEST_PICTURE => ("is larger than 4 MiB", "Save it with fewer pixels."),
            _ => continue,
        };
        report.error(&field, format!("{path} {why}"), hint);
    }
}

/// How a PNG file begins (PNG specification, 5.6).
struct Header {
    sides: [u32; 2],
    depth: u8,
    interlaced: bool,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let header = bytes.strip_prefix(PNG)?.get(..21).filter(|header| &header[4..8] == b"IHDR")?;
        let number = |at: usize| header[at..at + 4].iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
        Some(Self { sides: [number(8), number(12)], depth: header[16], interlaced: header[20] != 0 })
    }

    fn sides_within(&self, longest: u32) -> bool {
        self.sides.iter().all(|side| (16..=longest).contains(side))
    }
}

fn scripts(report: &mut Report<'_>, image: &OsImage, files: &Files) {
    let scripts = &image.spec.post_install.scripts;
    doubled(report, "spec.postInstall.scripts", scripts);
    for (index, path) in scripts.iter().enumerate() {
        let field = format!("spec.postInstall.scripts[{index}]");
        if let Some(bytes) = named_file(report, &field, path, files)
            && !bytes.starts_with(b"#!/")
        {
            report.error(
                &field,
                format!("{path} does not start with #! and an interpreter"),
                "Start the script with `#!/bin/sh -eu`.",
            );
        }
    }
}

/// Folders that a spec takes files from have some.
fn folders(report: &mut Report<'_>, image: &OsImage, files: &Files) {
    for (field, origin) in image.spec.customization.origins() {
        let Origin::Folder(folder) = origin else { continue };
        let (field, folder) = (format!("{field}.folder"), folder.as_str());
        if !folder.starts_with("specs/") || folder.starts_with(OVERLAYS.trim_end_matches('/')) {
            let message = format!("{folder} is not in the place for such folders");
            report.error(&field, message, format!("Put the folder below {DOTFILES}."));
        } else if trees::of_folder(files, folder) == (Vec::new(), Vec::new()) {
            let message = format!("there are no files in the folder {folder} of the catalog");
            let hint = "Paths are relative to the folder that holds specs/. Are the files committed?";
            report.error(&field, message, hint);
        }
    }
}

/// The bytes of a file that a field names; complains if it is not there.
pub(super) fn named_file<'f>(
    report: &mut Report<'_>,
    field: &str,
    path: &str,
    files: &'f Files,
) -> Option<&'f [u8]> {
    let outside = path.starts_with('/') || path.split('/').any(|p| p == "..");
    if outside || !path.starts_with("specs/") || path.starts_with(OVERLAYS) {
        let why = if outside { "is outside of the catalog" } else { "is not in the folder for such files" };
        report.error(field, format!("{path} {why}"), "Put the file below specs/ (not in specs/overlays/).");
        return None;
    }
    match files.get(path) {
        Some(file) if file.kind != FileKind::Symlink => Some(&file.bytes),
        _ => {
            let near: Vec<&str> = files.iter().map(|(p, _)| p).filter(|p| !p.starts_with(OVERLAYS)).collect();
            let hint = match super::super::shape::nearest(path, &near) {
                Some(near) => format!("Did you mean {near}?"),
                None => {
                    "Paths are relative to the folder that holds specs/. Is the file committed?".to_owned()
                }
            };
            report.error(field, format!("there is no file {path} in the catalog"), hint);
            None
        }
    }
}
