//! Installs package files with dpkg, in a sandbox without network.
//!
//! A root that has nothing yet is started as every Debian bootstrap is: the essential
//! packages are extracted without their scripts, then dpkg from inside installs them
//! properly over themselves.

mod plain;

use super::{Installation, Manager, Question, Traces, apt, outside, pins, refusals};
use crate::build::index::Release;
use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::{Cancel, Output, Point, Process, Sandbox, point};
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::lock::{LockRequest, LockedPackage};
use crate::model::settings::Mirror;
use crate::model::spec::Architecture;
use crate::model::{Emitter, ErrorCode, Failure, FailureClass, Lock, Result, deciding};
use chrono::{DateTime, Utc};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

/// Where the package files are seen inside.
const DEBS: &str = "/run/debs";
/// Daemons must not be started by package scripts (man invoke-rc.d, "policy-rc.d").
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Its name beside the package files.
const POLICY_FILE: &str = "policy-rc.d";
/// One call of dpkg.
const TIME_LIMIT: Duration = Duration::from_hours(1);

/// apt and dpkg: Debian and Ubuntu.
pub(super) struct Apt;

/// Where dpkg keeps what is installed.
const STATUS: &str = "var/lib/dpkg/status";

impl Manager for Apt {
    fn lock(&self, question: &Question<'_>) -> Result<Lock> {
        apt::lock(question)
    }

    fn heads(&self, mirror: &Mirror, request: &LockRequest) -> Vec<(String, String)> {
        let suites = mirror.indexes(request.suite.as_str(), request.architecture);
        suites.into_iter().map(|suite| (suite.clone(), format!("dists/{suite}/InRelease"))).collect()
    }

    fn head_date(&self, head: &[u8]) -> Option<DateTime<Utc>> {
        Release::parse(&String::from_utf8_lossy(head)).date
    }

    fn file_name(&self, i: usize, _: &LockedPackage) -> String {
        deb_name(i)
    }

    fn bootstrap(&self, it: &Installation<'_>) -> Result<()> {
        for_the_root(it)?;
        bootstrap(it)
    }

    fn install(&self, it: &Installation<'_>) -> Result<()> {
        for_the_root(it)?;
        with_policy(it.sandbox, it.files, || {
            install_waves(it.sandbox, it.packages, it.files, it.events, it.cancel)
        })
    }

    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
        extract(file, root, cancel)
    }

    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>> {
        apt::installed(&status(stack)?.ok_or_else(|| Failure::bug("the image has no package database"))?)
    }

    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
        status(stack)?.map_or_else(|| Ok(Vec::new()), |status| pins::unneeded(lock, &status))
    }

    fn traces(&self) -> Traces {
        Traces {
            emptied: &["var/cache/apt/archives", "var/lib/apt/lists", "var/log/apt"],
            removed: &[
                "var/cache/apt/pkgcache.bin",
                "var/cache/apt/srcpkgcache.bin",
                "var/cache/debconf/config.dat-old",
                "var/cache/debconf/templates.dat-old",
                "var/cache/debconf/passwords.dat-old",
                "var/lib/dpkg/status-old",
                "var/lib/dpkg/available-old",
                "var/lib/dpkg/diversions-old",
                "var/lib/dpkg/statoverride-old",
                "var/lib/dpkg/lock",
                "var/lib/dpkg/lock-frontend",
                "var/lib/dpkg/triggers/Lock",
                "var/log/dpkg.log",
                "var/log/alternatives.log",
                "var/log/bootstrap.log",
            ],
        }
    }
}

/// Spares a root whose programs are emulated what the host does faster.
fn for_the_root(it: &Installation<'_>) -> Result<()> {
    if !it.sandbox.emulates() {
        return Ok(());
    }
    let files: Vec<_> = (0..it.packages.len()).map(|i| it.files.join(deb_name(i))).collect();
    plain::unpack(&files, it.cancel)
}

fn status(stack: &Stack) -> Result<Option<String>> {
    let status = union::read(stack, STATUS, 64 << 20)?;
    Ok(status.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn deb_name(i: usize) -> String {
    format!("{i:04}.deb")
}

fn bootstrap(it: &Installation<'_>) -> Result<()> {
    let Installation { sandbox, packages, files: debs, events, cancel, .. } = *it;
    let root = sandbox.upper();
    for name in merged(it.architecture) {
        make_folder(&root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name)).during(|| format!("linking {name}"))?;
    }
    extract_essential(root, packages, debs, cancel)?;
    point(Point::EssentialUnpacked)?;
    for folder in
        ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/dpkg/alternatives"]
    {
        make_folder(&root.join(folder))?;
    }
    for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
        let path = root.join(file);
        std::fs::write(&path, "").during(|| format!("writing {}", path.display()))?;
    }
    // Scripts of the essential packages use awk before mawk has registered itself.
    let _ = symlink("mawk", root.join("usr/bin/awk"));
    with_policy(sandbox, debs, || {
        // Accounts before the files that belong to them, and both before everything else.
        for first in ["base-passwd", "base-files"] {
            if let Some(i) = packages.iter().position(|p| p.name.as_str() == first) {
                let file = format!("{DEBS}/{}", deb_name(i));
                dpkg(sandbox, debs, ["--force-depends", "--install", &file].into_iter(), events, cancel)?;
            }
        }
        install_waves(sandbox, packages, debs, events, cancel)
    })
}

/// The folders of `/` that are links into `/usr` (deb-multiarch's loader paths: only amd64's is
/// in `/lib64`).
fn merged(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        Architecture::X86_64 => &["bin", "sbin", "lib", "lib64"],
        Architecture::Aarch64 => &["bin", "sbin", "lib"],
    }
}

fn install_waves(
    sandbox: &Sandbox,
    packages: &[LockedPackage],
    debs: &Path,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let last = packages.iter().map(|p| p.wave).max().unwrap_or(0);
    for wave in 0..=last {
        let files: Vec<String> = packages
            .iter()
            .enumerate()
            .filter(|(_, p)| p.wave == wave)
            .map(|(i, _)| format!("{DEBS}/{}", deb_name(i)))
            .collect();
        if files.is_empty() {
            continue;
        }
        // Pre-dependencies of essential packages on each other cannot be met on an empty root.
        let unpack = ["--force-depends", "--unpack"].into_iter().chain(files.iter().map(String::as_str));
        dpkg(sandbox, debs, unpack, events, cancel)?;
        if wave == last {
            dpkg(sandbox, debs, ["--configure", "-a"].into_iter(), events, cancel)?;
        } else {
            // Configures what can be by now. What fails here is tried again, and reported,
            // in the last wave; triggers (ldconfig, hook caches) run once, then, too.
            let _ =
                run_dpkg(sandbox, debs, ["--no-triggers", "--configure", "-a"].into_iter(), events, cancel)?;
        }
    }
    Ok(())
}

fn dpkg<'a>(
    sandbox: &Sandbox,
    debs: &Path,
    args: impl Iterator<Item = &'a str>,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let output = run_dpkg(sandbox, debs, args, events, cancel)?;
    if output.status.success() {
        return Ok(());
    }
    Err(classify(&output.text(), &output.errors(), output.failure()))
}

fn run_dpkg<'a>(
    sandbox: &Sandbox,
    debs: &Path,
    args: impl Iterator<Item = &'a str>,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Output> {
    sandbox
        .clone()
        .bind(debs, DEBS)
        .bind(debs.join(POLICY_FILE), POLICY)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBCONF_NONINTERACTIVE_SEEN", "true")
        // The initramfs is made once, at the end, and not by each package script.
        .env("INITRD", "No")
        .process("/usr/bin/dpkg")?
        .args(["--force-confnew", "--force-unsafe-io"])
        .args(args)
        .log_to(events, "dpkg")
        .timeout(TIME_LIMIT)
        .run(cancel)
}

fn classify(stdout: &str, stderr: &str, plain: Failure) -> Failure {
    let package = stderr.lines().find_map(|l| {
        let rest = l.strip_prefix("dpkg: error processing ")?;
        let rest = rest.strip_prefix("package ").or_else(|| rest.strip_prefix("archive ")).unwrap_or(rest);
        Some(rest.split([' ', ':']).next().unwrap_or(rest).to_owned())
    });
    let details = refusals::last_lines(stdout.lines().chain(stderr.lines()));
    if deciding::says_disk_full(stderr) || deciding::says_disk_full(stdout) {
        let line = deciding::line(stderr).filter(|line| !details.contains(line));
        let details = line.map_or_else(|| details.clone(), |line| format!("{line}\n…\n{details}"));
        return Failure::disk_full("the disk is full while packages are installed").details(details);
    }
    match package.filter(|_| plain.class != FailureClass::Host) {
        Some(package) => Failure::new(
            ErrorCode::BuildStep,
            FailureClass::Upstream,
            format!("package {package} could not be installed"),
        )
        .details(details),
        None => plain.details(details),
    }
}

fn extract_essential(root: &Path, packages: &[LockedPackage], debs: &Path, cancel: &Cancel) -> Result<()> {
    // Extraction order does not matter: no two essential packages share a file.
    let files: Vec<_> = packages
        .iter()
        .enumerate()
        .filter(|(_, p)| p.wave == 0)
        .map(|(i, _)| debs.join(deb_name(i)))
        .collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(deb) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                        cancel.check()?;
                        extract(deb, root, cancel)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|_| Err(Failure::bug("an extraction thread panicked"))))
    })
}

/// Extracts a package's files over `root`.
fn extract(deb: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
    let mut unpacker = Process::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).spawn()?;
    let pipe = unpacker.stdout().ok_or_else(|| Failure::bug("dpkg-deb has no stdout"))?;
    outside::extract_tar(pipe, root, cancel, |_| true)?;
    let status = unpacker.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::upstream(format!("{} is no sound package: {status}", deb.display())))
    }
}

/// Forbids package scripts to start daemons while `work` runs. The script is a file of the
/// host shown inside; bwrap makes an empty file to mount it on, which is removed again.
fn with_policy(sandbox: &Sandbox, debs: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let policy = debs.join(POLICY_FILE);
    std::fs::write(&policy, "#!/bin/sh\nexit 101\n").during(|| format!("writing {}", policy.display()))?;
    std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o755))
        .during(|| format!("marking {}", policy.display()))?;
    work()?;
    let mark = sandbox.upper().join(POLICY.trim_start_matches('/'));
    std::fs::remove_file(&mark).during(|| format!("removing {}", mark.display()))
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).during(|| format!("making {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_package_that_failed() {
        // dpkg 1.21 on a failing post-installation script.
        let stderr = "dpkg: error processing package hello (--configure):\n installed hello package post-installation script subprocess returned error exit status 1\nErrors were encountered while processing:\n hello\n";
        let failure = classify("Setting up hello (1) ...\n", stderr, Failure::bug("dpkg failed"));
        assert!(failure.message.contains("hello"));
        assert_eq!(failure.class, FailureClass::Upstream);
        let full = classify("", "dpkg: error: write failed (No space left on device)", Failure::bug("x"));
        assert_eq!(full.code, ErrorCode::DiskFull);
    }
}
