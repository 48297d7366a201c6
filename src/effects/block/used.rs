//! Who uses a disk: mounts, swap, devices made of it, the running system.

use super::device::{children, folder, number, text};
use crate::model::failure::IoContext;
use crate::model::flash::Device;
use crate::model::{Failure, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A machine without what is mounted here does not run.
const SYSTEM: [&str; 8] = ["/", "/usr", "/boot", "/boot/efi", "/efi", "/var", "/home", "/etc"];
/// Devices stand on devices: so deep at most.
const DEEPEST: usize = 16;

/// One use of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It carries what the running system is made of.
    System { at: String },
    /// It, or a partition of it, is mounted, perhaps through other devices.
    Mounted { what: String, at: String },
    /// Memory is swapped to it.
    Swap { what: String },
    /// Another device is made of it.
    Holder { part: String, holder: String },
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { at } => write!(f, "it carries the running system ({at} is on it)"),
            Self::Mounted { what, at } => write!(f, "{what} is mounted at {at}"),
            Self::Swap { what } => write!(f, "{what} is in use as swap space"),
            Self::Holder { part, holder } => write!(f, "{holder} is made of {part}"),
        }
    }
}

impl Use {
    /// What to do about it.
    pub(super) fn cure(&self) -> String {
        match self {
            Self::System { .. } => {
                "Give the card's device; `lsblk` shows which disk carries the system.".to_owned()
            }
            Self::Mounted { at, .. } => format!("Unmount it first: umount {at}"),
            Self::Swap { what } => format!("Give it free first: swapoff {what}"),
            Self::Holder { holder, .. } => {
                format!("Take {holder} apart first (LVM, RAID, encryption, a loop device).")
            }
        }
    }
}

/// All uses of a disk that can be seen from here.
///
/// # Errors
/// If `/proc` cannot be read.
pub(super) fn of(device: &Device) -> Result<Vec<Use>> {
    let read = |path: &str| std::fs::read_to_string(path).during(|| format!("reading {path}"));
    let mut uses = Vec::new();
    for mount in parse_mounts(&read("/proc/self/mountinfo")?) {
        let mut numbers = vec![mount.number.clone()];
        // Btrfs and others have a number of their own; the source leads to the disk.
        numbers.extend(number_of(Path::new(&mount.source)));
        if numbers.iter().any(|number| stands_on(number, device)) {
            uses.push(match SYSTEM.contains(&mount.at.as_str()) {
                true => Use::System { at: mount.at },
                false => Use::Mounted { what: mount.source, at: mount.at },
            });
        }
    }
    // A kernel without swap has no such file.
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    for what in parse_swaps(&swaps) {
        if number_of(Path::new(&what)).is_some_and(|number| stands_on(&number, device)) {
            uses.push(Use::Swap { what });
        }
    }
    uses.extend(holders(device));
    uses.sort_by_key(|found| !matches!(found, Use::System { .. }));
    Ok(uses)
}

fn holders(device: &Device) -> Vec<Use> {
    let parts = device.partitions.iter().map(|p| (p.name.clone(), p.number.clone()));
    let mut found = Vec::new();
    for (part, number) in parts.chain([(device.name.clone(), device.number.clone())]) {
        let holders = folder(&number).map(|folder| children(&folder.join("holders"))).unwrap_or_default();
        for holder in holders {
            let holder = holder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Use::Holder { part: part.clone(), holder });
        }
        for disk in children(Path::new("/sys/block")) {
            let backing = text(&disk.join("loop/backing_file"));
            if backing.is_some_and(|path| block_number(Path::new(&path)).as_ref() == Some(&number)) {
                let holder = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.push(Use::Holder { part: part.clone(), holder });
            }
        }
    }
    found
}

/// Whether a device is `disk`, a partition of it, or made of one.
fn stands_on(number: &str, disk: &Device) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![(number.to_owned(), 0)]);
    while let Some((number, depth)) = next.pop() {
        if number == disk.number {
            return true;
        }
        if depth > DEEPEST || !seen.insert(number.clone()) {
            continue;
        }
        let Some(folder) = folder(&number) else { continue };
        let mut below = |path: &Path| next.extend(text(&path.join("dev")).map(|n| (n, depth + 1)));
        if folder.join("partition").exists() {
            folder.parent().into_iter().for_each(&mut below);
        }
        children(&folder.join("slaves")).iter().for_each(|path| below(path));
        let backing = text(&folder.join("loop/backing_file"));
        next.extend(backing.and_then(|path| number_of(Path::new(&path))).map(|n| (n, depth + 1)));
    }
    false
}

/// The number of a block device, or of the device that a file lies on.
fn number_of(path: &Path) -> Option<String> {
    let metadata = path.is_absolute().then(|| std::fs::metadata(path).ok()).flatten()?;
    let device = if metadata.file_type().is_block_device() { metadata.rdev() } else { metadata.dev() };
    Some(number(device))
}

fn block_number(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.file_type().is_block_device().then(|| number(metadata.rdev()))
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    number: String,
    at: String,
    source: String,
}

/// Reads `/proc/PID/mountinfo` (proc_pid_mountinfo(5)): before ` - ` stand number (3rd) and
/// place (5th), behind it file system and source.
fn parse_mounts(text: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let fields: Vec<&str> = left.split(' ').collect();
        let source = right.split(' ').nth(1)?;
        Some(Mount {
            number: (*fields.get(2)?).to_owned(),
            at: unescape(fields.get(4)?),
            source: unescape(source),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Reads `/proc/swaps`: a heading, then lines that begin with a path.
fn parse_swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()
}

/// The kernel writes white space and backslashes as `\` and three octal digits.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = (*first == b'\\').then(|| after.get(..3)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The refusal of a disk that is in use.
pub(super) fn refuse(device: &Device, uses: &[Use]) -> Result<()> {
    let Some(first) = uses.first() else { return Ok(()) };
    let all: Vec<String> = uses.iter().map(ToString::to_string).collect();
    Err(Failure::spec(format!("{} is in use: {}", device.path.display(), all.join("; "))).hint(first.cure()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        // Lines of a real machine; the second place has a space in its name.
        let text = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
                    40 22 8:17 / /media/my\\040card rw master:3 propagate_from:2 - vfat /dev/sdb1 rw\n\
                    41 22 0:45 /@ /data rw - btrfs /dev/sdc2 rw,subvol=/@\n\
                    nonsense\n";
        let mounts = parse_mounts(text);
        let found: Vec<_> = mounts.iter().map(|m| (&*m.number, &*m.at, &*m.source)).collect();
        assert_eq!(
            found,
            [
                ("254:0", "/", "/dev/root"),
                ("8:17", "/media/my card", "/dev/sdb1"),
                ("0:45", "/data", "/dev/sdc2")
            ]
        );
    }

    #[test]
    fn swap_lines_are_read() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sdb2 partition 1 0 -2\n/swap\\040file file 1 0 -3\n";
        assert_eq!(parse_swaps(text), ["/dev/sdb2", "/swap file"]);
        assert!(parse_swaps("").is_empty());
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape("a\\134b\\9\\04"), "a\\b\\9\\04");
    }
}
