//! apk: Alpine Linux. apk-tools 3, packages of its second format.
//!
//! The host's apk works on the root from outside. It resolves with signed indexes when a lock is
//! made, and looks at every package's own signature, then and when it installs.

mod database;
mod keys;
mod lock;

use super::{
    Installation, Manager, Question, Traces, outside, pins,
    refusals::{self, Cause},
};
use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::process::find_tool;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Cancel, Output, Process, Sandbox};
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::{Failure, Lock, Result};
use database::Package;
use std::collections::BTreeMap;
use std::path::Path;

/// Where apk sees the keys that count.
const KEYS: &str = "/run/keys";
/// Where package files are seen.
const PACKAGES: &str = "/run/packages";
/// Where the database is, by whether `/lib` is a link.
const DATABASES: [&str; 2] = ["usr/lib/apk/db/installed", "lib/apk/db/installed"];
/// The longest database that is read.
const LIMIT: u64 = 256 << 20;

/// apk: Alpine Linux.
pub(super) struct Apk;

impl Manager for Apk {
    fn lock(&self, question: &Question<'_>) -> Result<Lock> {
        lock::lock(question)
    }

    fn file_name(&self, i: usize, _: &LockedPackage) -> String {
        format!("{i:04}.apk")
    }

    fn bootstrap(&self, it: &Installation<'_>) -> Result<()> {
        outside::begin_root(it.sandbox.upper())?;
        install(it, &["--initdb"])
    }

    fn install(&self, it: &Installation<'_>) -> Result<()> {
        install(it, &[])
    }

    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
        let bytes = std::fs::read(file).during(|| format!("reading {}", file.display()))?;
        let data = database::data(&bytes, &file.display().to_string())?;
        outside::extract_tar(&data[..], root, cancel, |_| true)
    }

    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>> {
        let field = |package: &Package, name: char| package.field(name).map(str::to_owned);
        let mut found: Vec<InstalledPackage> = read(stack)?
            .iter()
            .map(|package| InstalledPackage {
                name: package.name().to_owned(),
                version: package.version().to_owned(),
                architecture: field(package, 'A').unwrap_or_else(|| "noarch".to_owned()),
                source: field(package, 'o').filter(|origin| origin != package.name()),
                maintainer: field(package, 'm'),
                homepage: field(package, 'U'),
                sha256: None,
            })
            .collect();
        found.sort();
        Ok(found)
    }

    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
        let (mut needs, mut brought_by) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        let packages = read(stack)?;
        let mut todo = Vec::new();
        for package in &packages {
            let name = package.name().to_owned();
            needs.insert(name.clone(), package.names('D').map(str::to_owned).collect());
            for provided in package.names('p').chain([package.name()]) {
                brought_by.entry(provided.to_owned()).or_default().push(name.clone());
            }
            // It is there because other packages are (`install_if`).
            if package.field('i').is_some() {
                todo.push(name);
            }
        }
        Ok(pins::stale(lock, todo, &needs, &brought_by))
    }

    fn traces(&self) -> Traces {
        Traces {
            emptied: &["var/cache/apk", "etc/apk/cache"],
            removed: &["lib/apk/db/lock", "usr/lib/apk/db/lock", "var/log/apk.log"],
        }
    }
}

/// The database of a root.
fn read(stack: &Stack) -> Result<Vec<Package>> {
    for path in DATABASES {
        if let Some(bytes) = union::read(stack, path, LIMIT)? {
            return Ok(database::parse(&String::from_utf8_lossy(&bytes)));
        }
    }
    Err(Failure::bug("the image has no package database"))
}

/// The host's apk. Alpine has it in `/sbin`; whoever builds it elsewhere, in `/usr/local`.
fn program() -> String {
    let found = find_tool("apk").unwrap_or_else(|| "/usr/local/bin/apk".into());
    found.to_string_lossy().into_owned()
}

/// A call of apk on the root. Nothing of the host counts, nothing is fetched, nothing is kept.
fn apk(sandbox: &Sandbox, architecture: &str) -> Result<Process> {
    let fixed = ["--repositories-file", "/dev/null", "--no-interactive", "--no-network", "--no-cache"];
    Ok(sandbox
        .tool(&program())?
        .args(["--root", TOOL_ROOT, "--keys-dir", KEYS, "--arch", architecture])
        .args(fixed)
        .args(["--no-logfile", "--no-progress"])
        .timeout(outside::TIME_LIMIT))
}

fn install(it: &Installation<'_>, options: &[&str]) -> Result<()> {
    if it.packages.is_empty() {
        return Ok(());
    }
    outside::need("apk")?;
    let keys = it.work.join("keys");
    for (i, keyring) in it.keyrings.iter().enumerate() {
        keys::write(keyring, &keys, i)?;
    }
    let sandbox = it.sandbox.clone().bind(it.files, PACKAGES).bind(&keys, KEYS);
    let files = (0..it.packages.len()).map(|i| format!("{PACKAGES}/{i:04}.apk"));
    let output = apk(&sandbox, it.architecture.as_str())?
        .args(options)
        .arg("add")
        .args(files)
        .log_to(it.events, "apk")
        .run(it.cancel)?;
    if !output.status.success() {
        return Err(classify(&output));
    }
    // Who was installed from a file is wanted with that file's digest ever after, and could
    // never be upgraded.
    let world = it.sandbox.upper().join("etc/apk/world");
    let text = std::fs::read_to_string(&world).during(|| format!("reading {}", world.display()))?;
    std::fs::write(&world, plain_world(&text)).during(|| format!("writing {}", world.display()))
}

/// The names in `etc/apk/world`, without the digests of files.
fn plain_world(text: &str) -> String {
    let name = |line: &str| format!("{}\n", line.split("><").next().unwrap_or(line));
    text.lines().map(name).collect()
}

fn classify(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = refusals::words(output);
    if ["UNTRUSTED", "BAD signature", "file format is invalid", "file integrity error"]
        .iter()
        .any(|words| said.contains(words))
    {
        return refusals::untrusted().details(refusals::last_words(output));
    }
    let cause = if said.contains("trying to overwrite") {
        Cause::SameFile
    } else if said.contains("unable to select packages") {
        Cause::Conflict
    } else if said.contains("exited with error") || said.contains("script") {
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
    fn the_world_has_names_only() {
        assert_eq!(plain_world("busybox><Q1Yj7+o8nK6jUI=\nhello\n"), "busybox\nhello\n");
    }
}
