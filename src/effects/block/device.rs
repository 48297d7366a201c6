//! What the kernel says about a block device, in `/sys` (sysfs(5), Documentation/ABI).

use crate::model::flash::{Device, Partition};
use crate::model::{ErrorCode, Failure, Result};
use rustix::fs::{major, minor};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// sysfs counts in these, whatever the device's own blocks are.
const SECTOR: u64 = 512;
/// How far up from a disk its serial number is looked for: a USB reader's stands above the
/// SCSI host that it looks like.
const LEVELS_UP: usize = 8;

/// Looks at a whole block device, without opening it.
///
/// # Errors
/// Class *spec* if the path is no whole block device, *not found* if there is nothing.
pub fn look(path: &Path) -> Result<Device> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::not_found(format!("there is no device {}", path.display()))
                .hint("Put the card in and look with `lsblk`; then give its path, such as /dev/sdb."));
        }
        Err(e) => return Err(Failure::io(format!("looking at {}", path.display()), &e)),
    };
    if !metadata.file_type().is_block_device() {
        return Err(Failure::spec(format!("{} is no block device", path.display()))
            .hint("Give the path of a whole block device, such as /dev/sdb or /dev/mmcblk0."));
    }
    let number = number(metadata.rdev());
    let folder = folder(&number).ok_or_else(|| {
        Failure::host(format!("{} is device {number}, and /sys does not know it", path.display()))
            .hint("The card may have been pulled out. Bootwright needs /sys to see what it writes to.")
    })?;
    if folder.join("partition").exists() {
        let disk = folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        return Err(Failure::spec(format!("{} is a partition of {disk}", path.display()))
            .hint(format!("An image is written to a whole device: give /dev/{disk}, if that is the card.")));
    }
    device(path, number, &folder)
}

fn device(path: &Path, number: String, folder: &Path) -> Result<Device> {
    let needed = |name: &str| -> Result<u64> {
        number_in(&folder.join(name)).ok_or_else(|| {
            Failure::host(format!("{}: the kernel says no {name}", path.display()))
                .code(ErrorCode::NotFound)
                .hint("The card may have been pulled out; put it in again.")
        })
    };
    let size = needed("size")?.saturating_mul(SECTOR);
    let block_size = u32::try_from(needed("queue/logical_block_size")?).unwrap_or(u32::MAX);
    let serial = first_text(folder, &["device/serial", "serial"]).or_else(|| serial_above(folder));
    Ok(Device {
        path: path.to_owned(),
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        number,
        sequence: number_in(&folder.join("diskseq")),
        size,
        block_size,
        vendor: first_text(folder, &["device/vendor", "device/manfid"]),
        model: first_text(folder, &["device/model", "device/name"]),
        card: card(folder, serial.as_deref()),
        serial,
        removable: number_in(&folder.join("removable")) == Some(1),
        filesystem: None,
        partitions: partitions(folder),
    })
}

/// What tells a medium from all others.
fn card(folder: &Path, serial: Option<&str>) -> Option<String> {
    let cid = || text(&folder.join("device/cid")).map(|cid| format!("cid:{cid}"));
    let file = || text(&folder.join("loop/backing_file")).map(|file| format!("file:{file}"));
    cid().or_else(|| serial.map(|serial| format!("serial:{serial}"))).or_else(file)
}

fn partitions(folder: &Path) -> Vec<Partition> {
    let mut found: Vec<(u64, Partition)> = Vec::new();
    for path in children(folder) {
        let Some(index) = number_in(&path.join("partition")) else { continue };
        let bytes = |name: &str| number_in(&path.join(name)).unwrap_or(0).saturating_mul(SECTOR);
        let partition = Partition {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            number: text(&path.join("dev")).unwrap_or_default(),
            start: bytes("start"),
            size: bytes("size"),
            filesystem: None,
        };
        found.push((index, partition));
    }
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, partition)| partition).collect()
}

/// The serial number of the USB device that a disk is part of.
fn serial_above(folder: &Path) -> Option<String> {
    let device = std::fs::canonicalize(folder.join("device")).ok()?;
    // Only USB devices have a vendor's number beside it; other things up there have serials of
    // their own.
    let mut above = device.ancestors().take(LEVELS_UP);
    above.find(|place| place.join("idVendor").exists()).and_then(|usb| text(&usb.join("serial")))
}

/// Whether the kernel holds a device for read-only.
pub(super) fn is_read_only(device: &Device) -> bool {
    folder(&device.number).and_then(|folder| number_in(&folder.join("ro"))) == Some(1)
}

/// A limit of a device's queue, in bytes; 0 where there is none.
pub(super) fn queue_limit(device: &Device, name: &str) -> u64 {
    folder(&device.number).and_then(|folder| number_in(&folder.join("queue").join(name))).unwrap_or(0)
}

/// The kernel's folder of a device, by its number.
pub(super) fn folder(number: &str) -> Option<PathBuf> {
    std::fs::canonicalize(Path::new("/sys/dev/block").join(number)).ok()
}

/// A device's number as sysfs writes it.
pub(super) fn number(device: u64) -> String {
    format!("{}:{}", major(device), minor(device))
}

/// What lies in a folder of sysfs; nothing if it cannot be read.
pub(super) fn children(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

pub(super) fn text(path: &Path) -> Option<String> {
    // Strings of a device are bytes of its maker's choice.
    let bytes = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn number_in(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

fn first_text(folder: &Path, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| text(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_whole_device_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for (path, said) in [
            (file.as_path(), "is no block device"),
            (dir.path(), "is no block device"),
            (Path::new("/dev/null"), "is no block device"),
            (&dir.path().join("none"), "there is no device"),
        ] {
            let failure = look(path).unwrap_err();
            assert!(failure.message.contains(said) && failure.hint.is_some(), "{failure:?}");
        }
    }
}
