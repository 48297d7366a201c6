//! Makes a layer the same wherever and whenever it is built: times, caches, logs and
//! machine identities go.

use super::managers::Traces;
use crate::effects::files::remove_tree;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Folders whose content belongs to a running system or to the host.
const EMPTIED: [&str; 6] = ["dev", "proc", "sys", "run", "tmp", "var/tmp"];

/// Files that say when, where or by whom something was built, or that are caches.
const REMOVED: [&str; 7] = [
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/log/fontconfig.log",
    "var/log/faillog",
    "var/log/lastlog",
];

/// Copies that the tools of the package `passwd` leave behind.
const BACKUPS: [&str; 6] =
    ["etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/subuid-", "etc/subgid-"];

/// Normalises the upper folder of a finished step; `epoch` is in seconds, `traces` are those of
/// the package manager. Returns the size of its regular files in bytes.
///
/// # Errors
/// If something in it cannot be changed.
pub fn normalise(upper: &Path, epoch: i64, traces: &Traces) -> Result<u64> {
    for folder in EMPTIED.iter().chain(traces.emptied) {
        empty(&upper.join(folder))?;
    }
    for file in REMOVED.iter().chain(&BACKUPS).chain(traces.removed) {
        remove(&upper.join(file))?;
    }
    remove_host_keys(&upper.join("etc/ssh"))?;
    let machine_id = upper.join("etc/machine-id");
    if machine_id.symlink_metadata().is_ok_and(|m| m.is_file()) {
        // Empty, not absent: absent would ask questions at the first boot (man machine-id).
        std::fs::write(&machine_id, "").during(|| format!("emptying {}", machine_id.display()))?;
    }
    let shadow = upper.join("etc/shadow");
    if shadow.symlink_metadata().is_ok_and(|m| m.is_file()) {
        let text = std::fs::read_to_string(&shadow).during(|| format!("reading {}", shadow.display()))?;
        std::fs::write(&shadow, date_shadow(&text, epoch / 86_400))
            .during(|| format!("writing {}", shadow.display()))?;
    }
    settle(upper, epoch)
}

/// Gives every account the same day of its last password change (man 5 shadow, field 3).
fn date_shadow(text: &str, day: i64) -> String {
    text.lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(':').collect();
            let day = day.to_string();
            if fields.len() > 2 && !fields[2].is_empty() {
                fields[2] = &day;
            }
            fields.join(":") + "\n"
        })
        .collect()
}

fn empty(folder: &Path) -> Result<()> {
    let Ok(meta) = folder.symlink_metadata() else { return Ok(()) };
    if !meta.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).during(|| format!("reading {}", folder.display()))? {
        let entry = entry.during(|| format!("reading {}", folder.display()))?;
        if is_whiteout(&entry.path()) {
            continue;
        }
        remove(&entry.path())?;
    }
    Ok(())
}

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
}

fn remove(path: &Path) -> Result<()> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if meta.is_dir() {
        return remove_tree(path);
    }
    std::fs::remove_file(path).during(|| format!("removing {}", path.display()))
}

fn remove_host_keys(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(b"ssh_host_") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Clamps times, drops overlayfs's own attributes; children before parents, since changing
/// a child changes its parent's time.
fn settle(path: &Path, epoch: i64) -> Result<u64> {
    let during = || format!("looking at {}", path.display());
    let meta = path.symlink_metadata().during(during)?;
    let mut size = if meta.is_file() { meta.len() } else { 0 };
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).during(during)? {
            size += settle(&entry.during(during)?.path(), epoch)?;
        }
    }
    // Links too: one that was renamed remembers where it came from.
    drop_overlay_attributes(path)?;
    let time = Timespec { tv_sec: meta.mtime().min(epoch), tv_nsec: 0 };
    rustix::fs::utimensat(
        CWD,
        path,
        &Timestamps { last_access: time, last_modification: time },
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .map_err(|e| Failure::io(format!("dating {}", path.display()), &e.into()))?;
    Ok(size)
}

fn drop_overlay_attributes(path: &Path) -> Result<()> {
    let mut names = vec![0; 4096];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        Err(e) => return Err(Failure::io(format!("reading attributes of {}", path.display()), &e.into())),
    };
    for name in names[..length].split(|b| *b == 0).filter(|n| n.starts_with(b"trusted.overlay.")) {
        let name = std::ffi::OsStr::from_bytes(name);
        if name == "trusted.overlay.opaque" {
            // `x` marks a folder with odd whiteouts in newer kernels; only `y` is opaque.
            let mut value = [0; 8];
            if rustix::fs::lgetxattr(path, name, &mut value[..]).is_ok_and(|n| &value[..n] == b"y") {
                continue;
            }
        }
        rustix::fs::lremovexattr(path, name)
            .map_err(|e| Failure::io(format!("dropping an attribute of {}", path.display()), &e.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps_times_and_removes_identities() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        write("etc/ssh/ssh_host_rsa_key", "secret");
        write("etc/shadow", "root:*:20000:0:99999:7:::\nx:!:::::::\n");
        write("var/log/dpkg.log", "now");
        write("tmp/x", "x");
        let traces = Traces { emptied: &[], removed: &["var/log/dpkg.log"] };
        let size = normalise(dir.path(), 86_400 * 100, &traces).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("etc/machine-id"), "");
        assert_eq!(read("etc/shadow"), "root:*:100:0:99999:7:::\nx:!:::::::\n");
        assert!(!dir.path().join("etc/ssh/ssh_host_rsa_key").exists());
        assert!(!dir.path().join("var/log/dpkg.log").exists());
        assert!(dir.path().join("tmp").is_dir() && !dir.path().join("tmp/x").exists());
        assert_eq!(dir.path().join("etc").metadata().unwrap().mtime(), 86_400 * 100);
        assert_eq!(size, read("etc/shadow").len() as u64);
    }
}
