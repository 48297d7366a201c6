//! Package managers that are not in the root themselves: what those of all distributions
//! other than Debian's have in common.
//!
//! They run as programs of this host that see the root and what is bound, and nothing else
//! of the host: see [`Sandbox::tool`].

use super::Question;
use crate::effects::files::remove_tree;
use crate::effects::process::find_tool;
use crate::effects::{Cancel, Sandbox};
use crate::model::failure::IoContext;
use crate::model::settings::Mirror;
use crate::model::{Failure, Result};
use crate::tables;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One call of a package manager.
pub(super) const TIME_LIMIT: Duration = Duration::from_hours(1);

/// No index is larger than this when it is unpacked.
const INDEX_LIMIT: u64 = 1 << 30;

/// The folders of a root that are mounts while a tool works, with their modes. They are made
/// beforehand: what a mount makes of itself would have the wrong mode in the image.
const MOUNTS: [(&str, u32); 5] =
    [("dev", 0o755), ("proc", 0o555), ("sys", 0o555), ("run", 0o755), ("tmp", 0o1777)];

/// Makes the folders of an empty root that are mounts while a tool works.
pub(super) fn begin_root(root: &Path) -> Result<()> {
    for (name, mode) in MOUNTS {
        let path = root.join(name);
        std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .during(|| format!("marking {}", path.display()))?;
    }
    Ok(())
}

/// An empty root without network, for a package manager that is asked about indexes that are
/// here already; and the folder for its state.
pub(super) fn resolving(question: &Question<'_>) -> Result<(Sandbox, PathBuf)> {
    let folder = question.state;
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let folder = folder.canonicalize().during(|| format!("finding {}", folder.display()))?;
    let scratch = folder.join("root");
    remove_tree(&scratch)?;
    std::fs::create_dir(&scratch).during(|| format!("making {}", scratch.display()))?;
    let sandbox = Sandbox::new(&[], &scratch)?;
    begin_root(sandbox.upper())?;
    Ok((sandbox, folder))
}

/// The same with the network, for one that fetches by itself. Mirrors that are folders of this
/// host are seen at their own places.
pub(super) fn asking(question: &Question<'_>) -> Result<(Sandbox, PathBuf)> {
    let (sandbox, folder) = resolving(question)?;
    let mut sandbox = sandbox.with_network();
    for path in question.mirrors.iter().flat_map(|m| &m.urls).filter_map(|url| url.strip_prefix("file://")) {
        if Path::new(path).is_dir() {
            sandbox = sandbox.bind(path, path);
        }
    }
    Ok((sandbox, folder))
}

/// Refuses to go on without a program of this host. Within a sandbox its absence would be a riddle.
pub(super) fn need(program: &str) -> Result<()> {
    if find_tool(program).is_some() {
        return Ok(());
    }
    let failure = Failure::host(format!("{program} is not installed"));
    Err(match tables::tool_package(program) {
        Some(package) => failure.hint(format!("It is in the Debian package {package}: install it.")),
        None => failure
            .hint(format!("Debian has no package of {program}: see docs/mirrors.md for where to get it.")),
    })
}

/// Whether every mirror is a folder of this host: those are asked without network too.
pub(super) fn all_local(mirrors: &[&Mirror]) -> bool {
    mirrors.iter().all(|m| m.urls.iter().all(|url| url.starts_with("file:")))
}

/// The bytes of a mirror's keyring.
pub(super) fn keyring(mirror: &Mirror) -> Result<Vec<u8>> {
    std::fs::read(&mirror.keyring).map_err(|e| {
        Failure::io(format!("reading the keyring {}", mirror.keyring), &e)
            .hint("Set `keyring:` of the mirror in bootwright.yaml to the keys you trust.")
    })
}

/// The files of a mirror's `keyring`, which is a folder of keys or one key, in the order of their
/// names.
pub(super) fn key_files(keyring: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let reading = |e: &std::io::Error| {
        Failure::io(format!("reading the keyring {keyring}"), e)
            .hint("Set `keyring:` of the mirror in bootwright.yaml to the folder of the keys you trust.")
    };
    let path = Path::new(keyring);
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|e| reading(&e))? {
            files.push(entry.map_err(|e| reading(&e))?.path());
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(|e| reading(&e))?;
        Ok((path, bytes))
    };
    files.into_iter().map(read).collect()
}

/// The only suite of a mirror, filled in: for distributions where a suite is a label or one folder.
pub(super) fn suite(mirror: &Mirror, suite: &str) -> Result<String> {
    match mirror.suites.as_slice() {
        [one] => Ok(one.replace("{suite}", suite)),
        _ => Err(Failure::spec(format!("a mirror of {} has one suite", mirror.base.as_str()))
            .hint("Write `suites: [\"{suite}\"]`, and a mirror of its own for every other suite.")),
    }
}

/// A path that an index gives must lie below the mirror.
pub(super) fn below_mirror(path: &str) -> Result<String> {
    let fine = !path.is_empty()
        && !path.bytes().any(|b| b.is_ascii_control())
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if fine {
        return Ok(path.to_owned());
    }
    Err(Failure::untrusted(format!("the index names a path outside of the mirror: {path:?}")))
}

/// Unpacks an index: plain, gzip (RFC 1952) or zstd (RFC 8878), as its first bytes say.
pub(super) fn unpack(bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let during = |e: std::io::Error| Failure::upstream(format!("the index {name} cannot be unpacked: {e}"));
    match bytes {
        [0x1f, 0x8b, ..] => {
            let reader = flate2::read::MultiGzDecoder::new(bytes);
            reader.take(INDEX_LIMIT + 1).read_to_end(&mut out).map_err(during)?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let reader = zstd::Decoder::new(bytes).map_err(during)?;
            reader.take(INDEX_LIMIT + 1).read_to_end(&mut out).map_err(during)?;
        }
        _ => out.extend_from_slice(bytes),
    }
    if out.len() as u64 > INDEX_LIMIT {
        return Err(Failure::untrusted(format!("the index {name} unpacks to more than 1 GiB")));
    }
    Ok(out)
}

/// Extracts a tar archive over `root`, but for what `wanted` does not want, and reads on to the end
/// of what holds it: whoever still writes zeros behind the archive is not cut off.
///
/// The tools' own `--extract` would replace the links that make /usr merged with folders.
pub(super) fn extract_tar(
    archive: impl Read,
    root: &Path,
    cancel: &Cancel,
    wanted: impl Fn(&Path) -> bool,
) -> Result<()> {
    let during = || format!("extracting into {}", root.display());
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_overwrite(true);
    for entry in archive.entries().during(during)? {
        cancel.check()?;
        let mut entry = entry.during(during)?;
        let path = entry.path().during(during)?.into_owned();
        let is_link_to_folder = entry.header().entry_type().is_dir() && root.join(&path).is_dir();
        // `unpack_in` refuses what leads outside and says so by `false`.
        if wanted(&path) && !is_link_to_folder && !entry.unpack_in(root).during(during)? {
            return Err(Failure::untrusted(format!(
                "a package has a path that leads outside: {}",
                path.display()
            )));
        }
    }
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).during(during)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_mirror() {
        assert!(below_mirror("core/os/x86_64/a-1.pkg.tar.zst").is_ok());
        for bad in ["", "/a", "a/../b", "..", "a//b", "a/", "a\nb", "./a"] {
            assert!(below_mirror(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_archive_is_read_to_the_end() {
        let bytes = vec![0; 1 << 20];
        let mut rest = &bytes[..];
        let root = tempfile::tempdir().unwrap();
        extract_tar(&mut rest, root.path(), &Cancel::default(), |_| true).unwrap();
        assert!(rest.is_empty());
    }

    #[test]
    fn indexes_are_unpacked_by_what_they_are() {
        let text = b"an index".to_vec();
        assert_eq!(unpack(&text, "x").unwrap(), text);
        assert_eq!(unpack(&zstd::encode_all(&text[..], 1).unwrap(), "x").unwrap(), text);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &text).unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(unpack(&gz, "x").unwrap(), text);
        assert!(unpack(&gz[..gz.len() - 6], "x").is_err(), "cut short");
    }
}
