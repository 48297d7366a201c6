//! Archives to folders, without following what an archive says about places.

use crate::effects::fetch::chain;
use crate::effects::files::free_space;
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use serde_json::Value;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// How long one tool may take.
const LIMIT: Duration = Duration::from_mins(20);
/// Space that stays free on the disk, in bytes.
const RESERVE: u64 = 512 << 20;

/// Unpacks an OCI archive into `folder`; gives the root and the default command.
///
/// # Errors
/// Class *bug* or *verify* with the tools' words if the archive is broken, *host* if they
/// cannot work here.
pub fn oci(archive: &Path, folder: &Path, cancel: &Cancel) -> Result<(PathBuf, Vec<String>)> {
    // Relative names, because a colon in a path would have a meaning to both tools.
    std::os::unix::fs::symlink(archive, folder.join("image.tar"))
        .during(|| "linking the archive".to_owned())?;
    // `umoci` knows gzip only. The policy of this host is about whom to trust on the
    // network; these bytes are ours, and every digest in the archive is still checked.
    tool("skopeo", folder)
        .args(["--insecure-policy", "--tmpdir", ".", "copy", "--quiet"])
        .args(["--dest-compress", "--dest-compress-format", "gzip", "--dest-compress-level", "1"])
        .args(["oci-archive:image.tar", "oci:layout:verify"])
        .check(cancel)?;
    let config = tool("skopeo", folder)
        .args(["--insecure-policy", "inspect", "--config", "oci:layout:verify"])
        .check(cancel)?;
    // `raw`: without the mtree manifest of every file that a runtime bundle comes with.
    tool("umoci", folder).args(["raw", "unpack", "--image", "layout:verify", "root"]).check(cancel)?;
    Ok((folder.join("root"), default_command(&config.text())?))
}

fn tool(name: &str, folder: &Path) -> Process {
    Process::new(name).dir(folder).env("TMPDIR", folder).timeout(LIMIT)
}

/// `Entrypoint` and `Cmd` of an image's configuration (OCI image specification, `config.md`).
fn default_command(config: &str) -> Result<Vec<String>> {
    let config: Value = serde_json::from_str(config)
        .map_err(|e| broken(format!("the image's configuration cannot be read: {e}")))?;
    let words = |name: &str| {
        let list = config["config"][name].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|w| w.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    Ok([words("Entrypoint"), words("Cmd")].concat())
}

fn broken(message: String) -> Failure {
    Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, message)
}

/// Unpacks a tar archive compressed with zstd into `folder/root`.
///
/// # Errors
/// Class *verify* if it is broken or wants to write elsewhere, *host* if the disk is full.
pub fn tar_zst(archive: &Path, folder: &Path, cancel: &Cancel) -> Result<PathBuf> {
    let root = folder.join("root");
    std::fs::create_dir_all(&root).during(|| format!("making {}", root.display()))?;
    let file = std::fs::File::open(archive).during(|| format!("opening {}", archive.display()))?;
    let space = free_space(folder)?.saturating_sub(RESERVE);
    let plain = zstd::Decoder::new(file).during(|| format!("reading {}", archive.display()))?;
    // A few bytes can unpack to any number.
    let mut plain = plain.take(space);
    let result = extract(&mut plain, &root, cancel);
    if plain.limit() == 0 {
        return Err(Failure::new(
            ErrorCode::DiskFull,
            FailureClass::Host,
            format!("{} unpacks to more than the {space} bytes that are free", archive.display()),
        )
        .hint("Free some space, or set another work folder."));
    }
    result.map(|()| root)
}

/// Unpacks a plain tar archive into `folder`, which is there.
///
/// # Errors
/// As [`tar_zst`].
pub fn tar(archive: &Path, folder: &Path, cancel: &Cancel) -> Result<PathBuf> {
    let file = std::fs::File::open(archive).during(|| format!("opening {}", archive.display()))?;
    extract(std::io::BufReader::new(file), folder, cancel).map(|()| folder.to_owned())
}

fn extract(plain: impl Read, root: &Path, cancel: &Cancel) -> Result<()> {
    let reading = |e: std::io::Error| match Failure::io("unpacking the archive", &e) {
        full if matches!(full.code, ErrorCode::DiskFull | ErrorCode::Permission) => full,
        _ => broken(format!("the archive is broken: {}", chain(&e))),
    };
    let mut archive = tar::Archive::new(plain);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    for entry in archive.entries().map_err(reading)? {
        cancel.check()?;
        let mut entry = entry.map_err(reading)?;
        let path = entry.path().map_err(reading)?.into_owned();
        let plain_path = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !plain_path {
            return Err(broken(format!("the archive has an entry outside of its root: {}", path.display())));
        }
        let kind = entry.header().entry_type();
        let device = kind.is_character_special() || kind.is_block_special() || kind.is_fifo();
        // The sandbox has a /dev of its own. `unpack_in` refuses to write through a link.
        if !device && !entry.unpack_in(root).map_err(reading)? {
            return Err(broken(format!("the archive has an entry outside of its root: {}", path.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        zstd::encode_all(&*builder.into_inner().unwrap(), 1).unwrap()
    }

    fn put(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, link: &str) {
        let mut header = tar::Header::new_gnu();
        // Written past the crate's own check, as an attacker would.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(nix::unistd::getuid().as_raw().into());
        header.set_gid(nix::unistd::getgid().as_raw().into());
        header.set_mtime(0);
        let content = if kind.is_file() { &b"content"[..] } else { b"" };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }

    fn unpack(bytes: &[u8]) -> (tempfile::TempDir, Result<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.zst");
        std::fs::write(&path, bytes).unwrap();
        let result = tar_zst(&path, folder.path(), &Cancel::default());
        (folder, result)
    }

    #[test]
    fn a_root_is_unpacked() {
        use tar::EntryType::{Char, Directory, Regular, Symlink};
        let (_folder, root) = unpack(&archive(|b| {
            put(b, "./usr", Directory, "");
            put(b, "./bin", Symlink, "usr");
            put(b, "./bin/tool", Regular, "");
            put(b, "./dev/null", Char, "");
        }));
        let root = root.unwrap();
        assert_eq!(std::fs::read(root.join("usr/tool")).unwrap(), b"content");
        assert!(!root.join("dev/null").exists());
    }

    #[test]
    fn nothing_is_written_outside() {
        use tar::EntryType::{Link, Regular, Symlink};
        let outside: [fn(&mut tar::Builder<Vec<u8>>); 4] = [
            |b| put(b, "../evil", Regular, ""),
            |b| put(b, "/evil", Regular, ""),
            |b| {
                put(b, "out", Symlink, "/tmp");
                put(b, "out/bootwright-evil", Regular, "");
            },
            |b| put(b, "passwd", Link, "../../../../../../../etc/passwd"),
        ];
        for (i, build) in outside.into_iter().enumerate() {
            let (folder, result) = unpack(&archive(build));
            assert_eq!(result.unwrap_err().class, FailureClass::Verify, "{i}");
            assert!(!folder.path().join("evil").exists());
        }
        assert!(!Path::new("/tmp/bootwright-evil").exists());
    }

    #[test]
    fn broken_archives_are_refused() {
        let whole = archive(|b| put(b, "a", tar::EntryType::Regular, ""));
        for bad in
            [&b"not zstd"[..], &whole[..whole.len() - 4], &zstd::encode_all(&[7u8; 4096][..], 1).unwrap()]
        {
            assert_eq!(unpack(bad).1.unwrap_err().class, FailureClass::Verify);
        }
    }

    #[test]
    fn the_default_command_is_read() {
        let config = r#"{"architecture":"amd64","config":{"Entrypoint":["/sbin/init"],"Cmd":["--log"]}}"#;
        assert_eq!(default_command(config).unwrap(), ["/sbin/init", "--log"]);
        assert!(default_command(r#"{"config":{}}"#).unwrap().is_empty());
        assert!(default_command("no").is_err());
    }
}
