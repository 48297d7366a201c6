//! pacman: Arch Linux.
//!
//! The host's pacman works on the root from outside. Files are installed without their
//! signatures being looked at again: pacman checked them when the lock was made, and their
//! digests are those of the lock.

mod database;
pub(super) mod keys;
mod lock;

use super::{
    Installation, Manager, Question, Traces, outside,
    refusals::{self, Cause},
};
use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Cancel, Output};
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::spec::Architecture;
use crate::model::{Failure, FailureClass, Lock, Result};
use database::Desc;
use std::collections::BTreeMap;
use std::path::Path;

/// Where package files are seen inside.
const PACKAGES: &str = "/run/packages";
/// Where pacman keeps what is installed.
const LOCAL: &str = "var/lib/pacman/local";
/// The longest `desc` that is read.
const DESC_LIMIT: u64 = 16 << 20;

/// pacman: Arch Linux.
pub(super) struct Pacman;

impl Manager for Pacman {
    fn lock(&self, question: &Question<'_>) -> Result<Lock> {
        lock::lock(question)
    }

    fn file_name(&self, i: usize, _: &LockedPackage) -> String {
        format!("{i:04}.pkg.tar")
    }

    fn bootstrap(&self, it: &Installation<'_>) -> Result<()> {
        outside::begin_root(it.sandbox.upper())?;
        let folder = it.sandbox.upper().join(LOCAL);
        std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        install(it)
    }

    fn install(&self, it: &Installation<'_>) -> Result<()> {
        install(it)
    }

    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
        let bytes = std::fs::read(file).during(|| format!("reading {}", file.display()))?;
        let bytes = outside::unpack(&bytes, &file.display().to_string())?;
        outside::extract_tar(&bytes[..], root, cancel, |path| {
            // `.PKGINFO`, `.MTREE`, `.INSTALL`, `.BUILDINFO`: of the package, not of the system.
            !path.to_string_lossy().starts_with('.')
        })
    }

    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>> {
        let field = |desc: &Desc, name: &str| desc.one(name).map(str::to_owned);
        let mut packages: Vec<InstalledPackage> = local(stack)?
            .into_iter()
            .map(|(name, desc)| InstalledPackage {
                version: field(&desc, "VERSION").unwrap_or_default(),
                architecture: field(&desc, "ARCH").unwrap_or_default(),
                source: field(&desc, "BASE").filter(|base| *base != name),
                maintainer: field(&desc, "PACKAGER"),
                homepage: field(&desc, "URL"),
                sha256: None,
                name,
            })
            .collect();
        packages.sort();
        Ok(packages)
    }

    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
        Ok(lock::unneeded(lock, &local(stack)?))
    }

    fn traces(&self) -> Traces {
        Traces {
            emptied: &["var/cache/pacman/pkg", "var/lib/pacman/sync"],
            // The keyring's package may make keys of its own: they would be in every copy.
            removed: &["var/log/pacman.log", "var/lib/pacman/db.lck", "etc/pacman.d/gnupg"],
        }
    }
}

/// The local database of a root, by name.
fn local(stack: &Stack) -> Result<BTreeMap<String, Desc>> {
    let mut packages = BTreeMap::new();
    for name in union::names(stack, LOCAL)?.unwrap_or_default() {
        let path = Path::new(LOCAL).join(&name).join("desc");
        if let Some(bytes) = union::read(stack, &path, DESC_LIMIT)? {
            let desc = Desc::parse(&String::from_utf8_lossy(&bytes));
            let own = desc.one("NAME").map(str::to_owned);
            let own = own.ok_or_else(|| Failure::bug(format!("{} has no name", path.display())))?;
            packages.insert(own, desc);
        }
    }
    Ok(packages)
}

fn install(it: &Installation<'_>) -> Result<()> {
    if it.packages.is_empty() {
        return Ok(());
    }
    outside::need("pacman")?;
    let config = it.work.join("pacman.conf");
    std::fs::write(&config, configuration()).during(|| format!("writing {}", config.display()))?;
    let files = (0..it.packages.len()).map(|i| format!("{PACKAGES}/{i:04}.pkg.tar"));
    let output = it
        .sandbox
        .clone()
        .bind(it.files, PACKAGES)
        .bind(&config, "/run/pacman.conf")
        .folder("/run/cache")
        .folder("/run/keys")
        .tool("/usr/bin/pacman")?
        .args(options())
        .args(["--upgrade", "--"])
        .args(files)
        .log_to(it.events, "pacman")
        .timeout(outside::TIME_LIMIT)
        .run(it.cancel)?;
    if !output.status.success() || failed_script(&output).is_some() {
        return Err(classify(&output));
    }
    let folder = it.sandbox.upper().join(LOCAL);
    for entry in std::fs::read_dir(&folder).during(|| format!("reading {}", folder.display()))? {
        let path = entry.during(|| format!("reading {}", folder.display()))?.path().join("desc");
        if path.is_file() {
            let text = std::fs::read_to_string(&path).during(|| format!("reading {}", path.display()))?;
            std::fs::write(&path, database::installed_at(&text, it.epoch))
                .during(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// `pacman.conf` (man pacman.conf) for files whose bytes are those of the lock.
fn configuration() -> String {
    format!(
        "[options]\nArchitecture = {} {} any\nSigLevel = Never\nLocalFileSigLevel = Never\n",
        Architecture::X86_64.as_str(),
        Architecture::Aarch64.as_str()
    )
}

fn options() -> Vec<String> {
    let database = format!("{TOOL_ROOT}/var/lib/pacman");
    let options = [
        "--config",
        "/run/pacman.conf",
        "--root",
        TOOL_ROOT,
        "--dbpath",
        &database,
        "--cachedir",
        "/run/cache",
        "--gpgdir",
        "/run/keys",
        "--logfile",
        "/dev/null",
        "--noconfirm",
        "--noprogressbar",
        "--color=never",
    ];
    options.map(str::to_owned).to_vec()
}

/// A package's script or a hook that failed: pacman says so and goes on.
fn failed_script(output: &Output) -> Option<String> {
    let said = output.errors();
    let failed = |line: &&str| {
        line.starts_with("error: command failed to execute correctly")
            || line.starts_with("error: command terminated by signal")
            || line.starts_with("error: failed to run")
    };
    said.lines().find(failed).map(str::to_owned)
}

fn classify(output: &Output) -> Failure {
    let plain = output.failure();
    if plain.class == FailureClass::Host {
        return plain;
    }
    let said = refusals::words(output);
    let cause = if said.contains("conflicting files") || said.contains("exists in filesystem") {
        Cause::SameFile
    } else if said.contains("unresolvable package conflicts") || said.contains("are in conflict") {
        Cause::Conflict
    } else if failed_script(output).is_some() {
        Cause::Script
    } else {
        Cause::Other
    };
    cause.failure(output)
}
