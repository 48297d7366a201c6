//! xbps: Void Linux.
//!
//! The host's xbps works on the root from outside. Files are installed without their signatures
//! being looked at again: they were checked when the lock was made, and their digests are those
//! of the lock.

mod keys;
mod lock;

use super::{
    Installation, Manager, Question, Traces, outside, pins,
    refusals::{self, Cause},
};
use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::files::link_or_copy;
use crate::effects::process::find_tool;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Cancel, Output, Process, Sandbox};
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::plist::{self, Value};
use crate::model::spec::Architecture;
use crate::model::{Failure, Lock, Result};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Where package files are seen.
const PACKAGES: &str = "/run/packages";
/// What is installed.
const DATABASE: &str = "var/db/xbps/pkgdb-0.38.plist";
/// The longest database that is read.
const LIMIT: u64 = 256 << 20;
/// Of the package, not of the system.
const OWN: [&str; 4] = ["INSTALL", "REMOVE", "files.plist", "props.plist"];

/// xbps: Void Linux.
pub(super) struct Xbps;

impl Manager for Xbps {
    fn lock(&self, question: &Question<'_>) -> Result<Lock> {
        lock::lock(question)
    }

    fn file_name(&self, i: usize, _: &LockedPackage) -> String {
        format!("{i:04}.xbps")
    }

    fn bootstrap(&self, it: &Installation<'_>) -> Result<()> {
        outside::begin_root(it.sandbox.upper())?;
        install(it)
    }

    fn install(&self, it: &Installation<'_>) -> Result<()> {
        install(it)
    }

    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
        let bytes = std::fs::read(file).during(|| format!("reading {}", file.display()))?;
        let bytes = outside::unpack(&bytes, &file.display().to_string())?;
        outside::extract_tar(&bytes[..], root, cancel, |path| {
            let name = path.strip_prefix(".").unwrap_or(path);
            !OWN.iter().any(|own| name == Path::new(own))
        })
    }

    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>> {
        let database = database(stack)?;
        let mut found = Vec::new();
        for (name, package) in packages(&database) {
            let text = |field: &str| package.text(field).map(str::to_owned);
            let full = package.text("pkgver").unwrap_or_default();
            let version = full.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
            found.push(InstalledPackage {
                name: name.to_owned(),
                version: version.unwrap_or(full).to_owned(),
                architecture: text("architecture").unwrap_or_default(),
                source: None,
                maintainer: text("maintainer"),
                homepage: text("homepage"),
                sha256: None,
            });
        }
        found.sort();
        Ok(found)
    }

    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
        let (mut needs, mut brought_by) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        let database = database(stack)?;
        for (name, package) in packages(&database) {
            let names = |field: &str| -> Vec<String> {
                package.texts(field).into_iter().map(|text| name_of(text).to_owned()).collect()
            };
            needs.insert(name.to_owned(), names("run_depends"));
            for provided in names("provides").into_iter().chain([name.to_owned()]) {
                brought_by.entry(provided).or_default().push(name.to_owned());
            }
        }
        Ok(pins::stale(lock, Vec::new(), &needs, &brought_by))
    }

    fn traces(&self) -> Traces {
        Traces { emptied: &["var/cache/xbps"], removed: &["var/db/xbps/lock"] }
    }
}

/// The name in `busybox>=1.0`, `busybox-1.35_1`, `busybox-[0-9]*`.
fn name_of(relation: &str) -> &str {
    if let Some(end) = relation.find(['<', '>']).or_else(|| relation.find("-[")) {
        return &relation[..end];
    }
    match relation.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => relation,
    }
}

fn database(stack: &Stack) -> Result<Value> {
    let bytes = union::read(stack, DATABASE, LIMIT)?
        .ok_or_else(|| Failure::bug("the image has no package database"))?;
    plist::parse(&String::from_utf8_lossy(&bytes))
}

/// The packages of the database, which has other things of xbps's own in it.
fn packages(database: &Value) -> impl Iterator<Item = (&str, &Value)> {
    database.dicts().filter(|(_, package)| package.text("pkgver").is_some())
}

/// A program of xbps's, on the root. Nothing of the host counts.
fn xbps(sandbox: &Sandbox, program: &str, architecture: Architecture) -> Result<Process> {
    let found = find_tool(program).unwrap_or_else(|| format!("/usr/bin/{program}").into());
    let sandbox = sandbox.clone().env("XBPS_ARCH", architecture.as_str());
    let process = sandbox.tool(&found.to_string_lossy())?.timeout(outside::TIME_LIMIT);
    Ok(match program {
        "xbps-install" => process.args(["-r", TOOL_ROOT, "-C", "/run/none", "-c", "/run/cache"]),
        _ => process,
    })
}

/// What a repository lists, and the key that it names.
fn repodata(bytes: &[u8], name: &str) -> Result<(Value, Option<Vec<u8>>)> {
    let none = || Failure::upstream(format!("{name} has no index of xbps"));
    let archive = outside::unpack(bytes, name)?;
    let (mut list, mut key) = (None, None);
    for entry in tar::Archive::new(&archive[..]).entries().map_err(|_| none())? {
        let mut entry = entry.map_err(|_| none())?;
        let path = entry.path_bytes().into_owned();
        let mut text = String::new();
        match &path[..] {
            b"index.plist" | b"index-meta.plist" => entry.read_to_string(&mut text).map_err(|_| none())?,
            _ => continue,
        };
        if text.is_empty() {
            continue;
        }
        let value = plist::parse(&text).map_err(|f| f.on(name))?;
        if path == b"index.plist" {
            list = Some(value);
        } else {
            key = keys::public_key(&value);
        }
    }
    Ok((list.ok_or_else(none)?, key))
}

/// The time of the newest file in a package, in seconds since 1970: the indexes have no dates.
fn newest_file(package: &Path) -> Result<i64> {
    let during = || format!("reading {}", package.display());
    let bytes = std::fs::read(package).during(during)?;
    // Years ago packages were compressed by xz; others tell how old the index is.
    if bytes.starts_with(b"\xfd7zXZ\0") {
        return Ok(0);
    }
    let bytes = outside::unpack(&bytes, &package.display().to_string())?;
    let mut newest = 0;
    for entry in tar::Archive::new(&bytes[..]).entries().during(during)? {
        newest = newest.max(entry.during(during)?.header().mtime().during(during)?);
    }
    Ok(i64::try_from(newest).unwrap_or_default())
}

fn install(it: &Installation<'_>) -> Result<()> {
    if it.packages.is_empty() {
        return Ok(());
    }
    outside::need("xbps-install")?;
    let folder = it.work.join("repository");
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    let (mut files, mut names) = (Vec::new(), Vec::new());
    for (i, package) in it.packages.iter().enumerate() {
        let full = format!("{}-{}", package.name, package.version);
        let file = outside::below_mirror(&format!("{full}.{}.xbps", package.architecture))?;
        link_or_copy(&it.files.join(format!("{i:04}.xbps")), &folder.join(&file))?;
        files.push(format!("{PACKAGES}/{file}"));
        names.push(full);
    }
    let sandbox = it.sandbox.clone().bind_writable(&folder, PACKAGES);
    xbps(&sandbox, "xbps-rindex", it.architecture)?.arg("--add").args(files).check(it.cancel)?;
    let output = xbps(&sandbox, "xbps-install", it.architecture)?
        .arg(format!("--repository={PACKAGES}"))
        .args(["--reproducible", "-y"])
        .args(names)
        .log_to(it.events, "xbps-install")
        .run(it.cancel)?;
    if output.status.success() { Ok(()) } else { Err(classify(&output)) }
}

fn classify(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = refusals::words(output);
    let cause = if said.contains("script failed") {
        Cause::Script
    } else if said.contains("file already exists") || said.contains("provided by") {
        Cause::SameFile
    } else if said.contains("CONFLICT:") || said.contains("unresolved") {
        Cause::Conflict
    } else {
        Cause::Other
    };
    cause.failure(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_relations() {
        for (text, name) in [
            ("busybox>=1.0", "busybox"),
            ("linux-lts", "linux-lts"),
            ("busybox-1.35_1", "busybox"),
            ("ncurses-libs-[0-9]*", "ncurses-libs"),
        ] {
            assert_eq!(name_of(text), name);
        }
    }
}
