//! Installs binary packages with emerge, without network. It looks at every package's signature.

use super::DATABASE;
use super::portage::{self, KEYS};
use crate::build::managers::refusals::{self, Cause};
use crate::build::managers::{Installation, outside, pacman};
use crate::effects::Output;
use crate::effects::files::{link_or_copy, parent, remove_tree};
use crate::effects::sandbox::TOOL_ROOT;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::collections::BTreeSet;

/// The name of the `i`th package's file when it is laid out.
pub(super) fn file_name(i: usize) -> String {
    format!("{i:04}.gpkg.tar")
}

/// Installs the packages in the order of the lock.
pub(super) fn install(it: &Installation<'_>) -> Result<()> {
    if it.packages.is_empty() {
        return Ok(());
    }
    let folder = it.work.join("portage");
    let categories: BTreeSet<&str> =
        it.packages.iter().filter_map(|p| Some(p.name.as_str().split_once('/')?.0)).collect();
    portage::configure(&folder, it.architecture, &categories, None)?;
    let mut keyrings = Vec::new();
    for keyring in it.keyrings {
        keyrings.extend(std::fs::read(keyring).map_err(|e| {
            Failure::io(format!("reading the keyring {keyring}"), &e)
                .hint("Set `keyring:` of the mirror in bootwright.yaml to the keys you trust.")
        })?);
    }
    let beside = pacman::keys::Beside::default();
    pacman::keys::make(&folder.join("keys"), it.sandbox, &keyrings, &beside, it.cancel)?;
    let mut atoms = Vec::new();
    for (i, package) in it.packages.iter().enumerate() {
        // The file's own name: `CATEGORY/NAME/NAME-VERSION-BUILD.gpkg.tar`.
        let (category, name) = package
            .name
            .as_str()
            .split_once('/')
            .ok_or_else(|| Failure::spec(format!("{} is no category/package", package.name)))?;
        let file = format!("packages/{category}/{name}/{name}-{}.gpkg.tar", package.version);
        let file = folder.join(outside::below_mirror(&file)?);
        std::fs::create_dir_all(parent(&file)).during(|| format!("making {}", file.display()))?;
        link_or_copy(&it.files.join(file_name(i)), &file)?;
        atoms.push(format!("={category}/{name}-{}", without_build(&package.path, &package.version)));
    }
    let output = portage::emerge(it.sandbox, &folder)?
        .args(["--usepkgonly", "--nodeps", "--binpkg-respect-use=n", "--ignore-built-slot-operator-deps=y"])
        .arg("--")
        .args(atoms)
        .log_to(it.events, "emerge")
        .run(it.cancel)?;
    if !output.status.success() || failed_script(&output).is_some() {
        return Err(classify(&output));
    }
    forget_times(it)
}

/// Takes out of the database when it was written: the caches that say so, and the times of
/// files that will be the image's own.
fn forget_times(it: &Installation<'_>) -> Result<()> {
    for package in it.packages {
        let name = format!("{}-{}", package.name, without_build(&package.path, &package.version));
        let folder = it.sandbox.upper().join(DATABASE).join(outside::below_mirror(&name)?);
        remove_tree(&folder.join("metadata"))?;
        let contents = folder.join("CONTENTS");
        let bytes = std::fs::read(&contents).during(|| format!("reading {}", contents.display()))?;
        std::fs::write(&contents, no_later(&bytes, it.epoch))
            .during(|| format!("writing {}", contents.display()))?;
    }
    Ok(())
}

/// The list of a package's files (portage's `CONTENTS`) with no time later than `epoch`. Names
/// of files may be any bytes.
fn no_later(contents: &[u8], epoch: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(contents.len());
    for line in contents.split_inclusive(|byte| *byte == b'\n') {
        let timed = line.starts_with(b"obj ") || line.starts_with(b"sym ");
        let space = line.iter().rposition(|byte| *byte == b' ').filter(|_| timed);
        let time = space.and_then(|at| std::str::from_utf8(&line[at..]).ok()?.trim().parse::<i64>().ok());
        match (space, time) {
            (Some(at), Some(time)) if time > epoch => {
                out.extend_from_slice(&line[..at]);
                out.extend_from_slice(format!(" {epoch}\n").as_bytes());
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

/// The version without the number of the build, if the file's name has that: `1-r2` of `1-r2-3`.
fn without_build<'a>(path: &str, version: &'a str) -> &'a str {
    match version.rsplit_once('-') {
        Some((version, build))
            if build.bytes().all(|b| b.is_ascii_digit()) && path.ends_with(&format!("-{build}.gpkg.tar")) =>
        {
            version
        }
        _ => version,
    }
}

/// A package's script that failed: portage says so and goes on.
fn failed_script(output: &Output) -> Option<String> {
    let said = refusals::words(output);
    let failed = |line: &&str| line.contains("FAILED postinst") || line.contains("FAILED preinst");
    said.lines().find(failed).map(|line| line.replace(TOOL_ROOT, ""))
}

/// What portage 3.0 says of a package that is unsigned, changed, or signed by a stranger.
const UNTRUSTED: [&str; 6] = [
    "InvalidSignature",
    "MissingSignature",
    "signature verification failed",
    "Binary package is not usable",
    "Invalid binary package",
    "DigestException",
];

fn classify(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = refusals::words(output);
    if UNTRUSTED.iter().any(|words| said.contains(words)) {
        let details = refusals::last_words(output).replace(KEYS, "the keyring");
        return refusals::untrusted().details(details);
    }
    let cause = if said.contains("Detected file collision") || said.contains("file collisions") {
        Cause::SameFile
    } else if failed_script(output).is_some() {
        Cause::Script
    } else {
        Cause::Other
    };
    cause.failure(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_files_are_the_images() {
        let text =
            "dir /usr\nobj /usr/a b 764efa883dda1e11db47671c4a3bbd9e 5\nsym /bin -> usr/bin 1795278423\n";
        assert_eq!(no_later(text.as_bytes(), 7), text.replace("1795278423", "7").as_bytes());
    }

    #[test]
    fn the_number_of_a_build_is_no_version() {
        assert_eq!(without_build("x/a-1-r2-3.gpkg.tar", "1-r2-3"), "1-r2");
        assert_eq!(without_build("x/a-1-r2.gpkg.tar", "1-r2"), "1-r2");
        assert_eq!(without_build("x/a-1.gpkg.tar", "1"), "1");
    }
}
