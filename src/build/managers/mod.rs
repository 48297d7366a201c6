//! The distributions' own package managers: they resolve and they install.
//!
//! A manager answers a request with a lock (with network, against signed indexes), and
//! installs the locked files into a root (without network, from the cache, whose bytes were
//! checked). Nothing of the host's configuration is read; whom to trust is said by a mirror's
//! keyring. [`of`] is the one place where a distribution gets its manager.

mod apk;
pub mod apt;
mod dpkg;
mod emerge;
mod fetched;
mod mirrors;
mod outside;
mod pacman;
mod pins;
mod refusals;
mod rpm;
mod xbps;

use super::Builder;
use super::cache::Cache;
use super::stack::Stack;
use crate::effects::{Cancel, Sandbox};
use crate::model::artifact::InstalledPackage;
use crate::model::lock::{LockRequest, LockedIndex, LockedPackage};
use crate::model::name::ImageName;
use crate::model::settings::Mirror;
use crate::model::spec::{Architecture, Base};
use crate::model::{Emitter, ErrorCode, Failure, FailureClass, Lock, Result};
use crate::tables;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::path::Path;

/// The layer whose packages are taken alone and only unpacked for their files.
pub const BOOT_FILES: &str = "iso-boot-files";

/// A question to a package manager.
pub struct Question<'a> {
    /// Whose lock it is.
    pub image: &'a ImageName,
    /// What is asked.
    pub request: &'a LockRequest,
    /// The mirrors of the distribution, in the order of the settings; at least one.
    pub mirrors: &'a [&'a Mirror],
    /// A folder that keeps indexes between calls; nobody else uses it meanwhile.
    pub state: &'a Path,
    /// Where package files go that a manager must have to check their signatures.
    pub cache: &'a Cache,
    /// HTTP, for managers whose files are fetched for them.
    pub client: &'a reqwest::Client,
    /// Runs such downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// The indexes of the last call answer; only folders of this host are asked.
    pub offline: bool,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
}

/// Packages that are to be installed.
pub struct Installation<'a> {
    /// The root: layers below, changes on top.
    pub sandbox: &'a Sandbox,
    /// What is installed, in this order where the order counts.
    pub packages: &'a [LockedPackage],
    /// A folder with their files, named by [`Manager::file_name`].
    pub files: &'a Path,
    /// The keyrings of the distribution's mirrors: whose packages are taken.
    pub keyrings: &'a [&'a str],
    /// A folder for the manager's own use, on no overlay; gone after the step.
    pub work: &'a Path,
    /// What the programs of the root are made for.
    pub architecture: Architecture,
    /// No time in the root is later than this, in seconds since 1970.
    pub epoch: i64,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
}

/// What a package manager leaves in a root that belongs to the build, not to the image.
/// Paths without the leading slash.
pub struct Traces {
    /// Folders that are emptied.
    pub emptied: &'static [&'static str],
    /// Files that are removed.
    pub removed: &'static [&'static str],
}

/// A package manager.
pub trait Manager: Sync {
    /// Resolves a request.
    ///
    /// # Errors
    /// Class *upstream* when an index cannot be had or its signature is not by the mirror's
    /// keyring; class *spec* when a package does not exist or cannot be installed.
    fn lock(&self, question: &Question<'_>) -> Result<Lock>;

    /// The small files below a mirror's address that say how old its indexes are: the indexes'
    /// names in locks, and the files' paths. None where only the whole index says it.
    fn heads(&self, _mirror: &Mirror, _request: &LockRequest) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The date in such a file, which nobody has vouched for yet.
    fn head_date(&self, _head: &[u8]) -> Option<DateTime<Utc>> {
        None
    }

    /// The name of the `i`th package's file when it is laid out to be installed.
    fn file_name(&self, i: usize, package: &LockedPackage) -> String;

    /// Turns an empty root into one with all packages installed.
    ///
    /// # Errors
    /// The first package that fails, with the manager's words.
    fn bootstrap(&self, installation: &Installation<'_>) -> Result<()>;

    /// Installs packages over the layers below.
    ///
    /// # Errors
    /// As [`Manager::bootstrap`].
    fn install(&self, installation: &Installation<'_>) -> Result<()>;

    /// Extracts a package's files into a folder, without running anything of it.
    ///
    /// # Errors
    /// If the file is no package, or an entry leads outside of the folder.
    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()>;

    /// The packages that are installed, sorted; their digests are filled in from the lock.
    ///
    /// # Errors
    /// If the package database cannot be read or a package is only half installed.
    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>>;

    /// The locked packages that nothing needs, sorted, by the package database of `stack`.
    ///
    /// # Errors
    /// If the package database cannot be read.
    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>>;

    /// What it leaves behind.
    fn traces(&self) -> Traces;
}

/// The package manager of a distribution.
pub fn of(base: Base) -> &'static dyn Manager {
    use tables::Manager::{Apk, Apt, Dnf, Emerge, Pacman, Xbps, Zypper};
    match tables::of(base).manager {
        Apt => &dpkg::Apt,
        Pacman => &pacman::Pacman,
        Dnf => &rpm::DNF,
        Zypper => &rpm::ZYPPER,
        Emerge => &emerge::Emerge,
        Apk => &apk::Apk,
        Xbps => &xbps::Xbps,
    }
}

/// Resolves a request. `state` is the folder that keeps its indexes, `before` the indexes that
/// were locked before.
///
/// # Errors
/// As [`Manager::lock`], and if no mirror serves the distribution.
pub(super) fn lock(
    builder: &Builder<'_>,
    image: &ImageName,
    request: &LockRequest,
    before: &[LockedIndex],
    state: &Path,
) -> Result<Lock> {
    if !builder.mirrors.iter().any(|m| m.base == request.base) {
        return Err(Failure::spec(format!("no mirror for {} is set", request.base.as_str())).hint(
            "Add one under `mirrors:` in bootwright.yaml; `bootwright init` fills in the host's own.",
        ));
    }
    let manager = of(request.base);
    let Builder { cache, client, runtime, offline, events, cancel, .. } = *builder;
    let (placed, mut passed_over) = mirrors::choose(builder, manager, request, before);
    passed_over.iter().for_each(|note| mirrors::warn(builder, note));
    let lock = mirrors::ask(builder, &placed, &mut passed_over, |mirrors| {
        manager.lock(&Question {
            image,
            request,
            mirrors,
            state,
            cache,
            client,
            runtime,
            offline,
            events,
            cancel,
        })
    })?;
    Ok(Lock { passed_over, ..lock })
}

/// So many packages are named.
const NAMED: usize = 20;

/// Refuses a lock with packages that nothing needs. `stack` is the root as the package layers
/// left it: scripts that come later may take packages out and leave what those needed.
///
/// # Errors
/// Class *spec*, naming them.
pub fn every_pin_is_needed(lock: &Lock, stack: &Stack) -> Result<()> {
    match of(lock.request.base).unneeded(lock, stack)?.as_slice() {
        [] => Ok(()),
        stale => Err(stale_pins(lock, stale)),
    }
}

/// Refuses a root in which a file of the lock turned out to be another package than the index
/// said. `stack` is the root as the package layers left it.
///
/// # Errors
/// *Untrusted*, naming what was locked.
pub fn every_pin_is_installed(lock: &Lock, stack: &Stack) -> Result<()> {
    missing(lock, &of(lock.request.base).installed(stack)?)
}

fn missing(lock: &Lock, installed: &[InstalledPackage]) -> Result<()> {
    let there: BTreeSet<(&str, &str, &str)> =
        installed.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.architecture.as_str())).collect();
    let of_root = lock.packages.iter().filter(|p| p.layer != BOOT_FILES);
    let lost = of_root.filter(|p| !there.contains(&(p.name.as_str(), &p.version, &p.architecture)));
    let names: Vec<String> = lost.take(NAMED).map(|p| format!("{} {}", p.name, p.version)).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::untrusted(format!(
        "files of the lock are other packages than it says: {}",
        names.join(", ")
    ))
    .hint("The mirror's index names wrong files for them: ask another mirror, and tell who runs this one."))
}

fn stale_pins(lock: &Lock, stale: &[String]) -> Failure {
    let more = match stale.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let names: Vec<&str> = stale.iter().take(NAMED).map(String::as_str).collect();
    Failure::new(
        ErrorCode::Compat,
        FailureClass::Spec,
        format!("nothing reads these pins of the lock: {}{more}", names.join(", ")),
    )
    .hint(format!(
        "No package that the spec asks for needs them. Run `bootwright lock --update {}` and review the change.",
        lock.image
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_pins_are_named_with_a_way_out() {
        let lock: Lock = serde_json::from_value(serde_json::json!({
            "lockVersion": 1, "image": "edge", "indexes": [], "packages": [],
            "request": {"base": "debian", "suite": "bookworm", "architecture": "x86_64", "layers": []}
        }))
        .unwrap();
        let failure = stale_pins(&lock, &["htop".to_owned(), "libncurses6".to_owned()]);
        assert_eq!((failure.class, failure.code), (FailureClass::Spec, ErrorCode::Compat));
        assert!(failure.message.ends_with("of the lock: htop, libncurses6"), "{failure}");
        assert!(failure.hint.unwrap().contains("bootwright lock --update edge"));
        let many: Vec<String> = (0..30).map(|n| format!("p{n}")).collect();
        assert!(stale_pins(&lock, &many).message.ends_with("p19 and 10 more"));
    }
    #[test]
    fn what_was_locked_must_be_what_is_there() {
        let digest = crate::model::Digest::of("x");
        let package = |layer: &str| {
            serde_json::json!({"name": "hello", "version": "1-1", "architecture": "x86_64", "sha256": digest,
                "size": 1, "path": "hello", "suite": "rolling", "layer": layer})
        };
        let lock: Lock = serde_json::from_value(serde_json::json!({
            "lockVersion": 1, "image": "edge", "indexes": [], "packages": [package("base"), package(BOOT_FILES)],
            "request": {"base": "arch", "suite": "rolling", "architecture": "x86_64", "layers": []}
        }))
        .unwrap();
        let installed = |name: &str, version: &str| InstalledPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "x86_64".to_owned(),
            source: None,
            maintainer: None,
            homepage: None,
            sha256: None,
        };
        assert!(missing(&lock, &[installed("hello", "1-1"), installed("more", "2")]).is_ok());
        for other in [installed("hello", "1-0"), installed("evil", "1-1")] {
            let failure = missing(&lock, &[other]).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Untrusted);
            assert!(failure.message.ends_with("hello 1-1"), "{failure}");
        }
    }
}
