//! The card in a reader that is known by its port.

use super::device::{children, look};
use crate::model::flash::Device;
use crate::model::{ErrorCode, Failure, Result};
use std::path::{Path, PathBuf};

/// The card in the reader at a port: a path below `/dev/disk/by-path` (or another link to a
/// device), or a folder in `/sys` that the device is below. Nothing if the reader is empty or away.
///
/// # Errors
/// If there is something else than one whole block device.
pub fn at_port(port: &Path) -> Result<Option<Device>> {
    let path = match port.starts_with("/sys") {
        true => match below(port)? {
            Some(path) => path,
            None => return Ok(None),
        },
        // The link's own target: a link that is changed for another one later leads nowhere else.
        false => match std::fs::canonicalize(port) {
            Ok(path) => path,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::io(format!("looking at {}", port.display()), &e)),
        },
    };
    match look(&path) {
        Ok(device) if device.size == 0 => Ok(None),
        Ok(device) => Ok(Some(device)),
        // It was pulled out between two looks.
        Err(failure) if failure.code == ErrorCode::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The one disk below a folder of `/sys`.
fn below(port: &Path) -> Result<Option<PathBuf>> {
    let Ok(port) = std::fs::canonicalize(port) else { return Ok(None) };
    let disks = children(Path::new("/sys/block"));
    let is_below = |disk: &&PathBuf| std::fs::canonicalize(disk).is_ok_and(|disk| disk.starts_with(&port));
    let mut found = disks.iter().filter(is_below).filter_map(|disk| disk.file_name());
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(disk), None) => Ok(Some(Path::new("/dev").join(disk))),
        (Some(one), Some(other)) => {
            let (one, other) = (one.to_string_lossy(), other.to_string_lossy());
            Err(Failure::spec(format!("{} has more than one disk: {one}, {other}", port.display()))
                .hint("Name a folder further down, or the link in /dev/disk/by-path."))
        }
    }
}
