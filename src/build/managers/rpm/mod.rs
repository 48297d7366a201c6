//! rpm: Fedora by dnf, openSUSE by zypper.
//!
//! The distribution's own solver answers the question of a lock (`dnf`, `zypper`); what it
//! chose is looked up in the repositories' own metadata. The locked files are installed by rpm
//! itself, one transaction for each layer. All of them are programs of this host that see
//! nothing of its configuration.

mod database;
mod dnf;
mod install;
pub(super) mod keys;
mod lock;
mod metadata;
mod zypper;

use super::{Installation, Manager, Question, Traces, outside};
use crate::build::stack::Stack;
use crate::effects::{Cancel, Process};
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::lock::{LockRequest, LockedPackage};
use crate::model::settings::Mirror;
use crate::model::{Failure, Lock, Result};
use chrono::{DateTime, Utc};
use std::path::Path;

/// An index that is not vouched for.
pub(super) fn untrusted_index() -> Failure {
    lock::refresh_failure(true)
}

const RPM: &str = "/usr/bin/rpm";

/// Where the database is: Fedora since 36, openSUSE since Leap 15.1. The rpm of other
/// distributions looks elsewhere unless it is told.
const DATABASE: &str = "usr/lib/sysimage/rpm";

/// rpm, and what resolves for it.
pub(super) struct Rpm {
    solver: &'static dyn lock::Solver,
}

/// Fedora.
pub(super) static DNF: Rpm = Rpm { solver: &dnf::Dnf };

/// openSUSE.
pub(super) static ZYPPER: Rpm = Rpm { solver: &zypper::Zypper };

impl Manager for Rpm {
    fn lock(&self, question: &Question<'_>) -> Result<Lock> {
        lock::lock(question, self.solver)
    }

    fn heads(&self, mirror: &Mirror, request: &LockRequest) -> Vec<(String, String)> {
        let indexes = mirror.indexes(request.suite.as_str(), request.architecture);
        let head = |index: String| (index.clone(), format!("{index}/repodata/repomd.xml"));
        indexes.into_iter().map(head).collect()
    }

    fn head_date(&self, head: &[u8]) -> Option<DateTime<Utc>> {
        metadata::head(std::str::from_utf8(head).ok()?).ok().map(|head| head.date)
    }

    fn file_name(&self, i: usize, _: &LockedPackage) -> String {
        install::file_name(i)
    }

    fn bootstrap(&self, installation: &Installation<'_>) -> Result<()> {
        install::bootstrap(installation)
    }

    fn install(&self, installation: &Installation<'_>) -> Result<()> {
        install::install(installation)
    }

    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
        outside::need("rpm2archive")?;
        let bytes = std::fs::read(file).during(|| format!("reading {}", file.display()))?;
        let mut unpacker = Process::new("rpm2archive").args(["--nocompression", "-"]).stdin(bytes).spawn()?;
        let pipe = unpacker.stdout().ok_or_else(|| Failure::bug("rpm2archive has no stdout"))?;
        outside::extract_tar(pipe, root, cancel, |_| true)?;
        let status = unpacker.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::upstream(format!("{} is no sound package: {status}", file.display())))
    }

    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>> {
        database::installed(stack)
    }

    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
        database::unneeded(lock, stack)
    }

    fn traces(&self) -> Traces {
        Traces {
            emptied: &["var/cache/dnf", "var/cache/libdnf5", "var/cache/zypp", "var/log/zypp"],
            removed: &[
                "usr/lib/sysimage/rpm/.rpm.lock",
                "usr/lib/sysimage/rpm/rpmdb.sqlite-shm",
                "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
                "var/lib/dnf/history.sqlite",
                "var/lib/dnf/history.sqlite-shm",
                "var/lib/dnf/history.sqlite-wal",
                "var/log/dnf.log",
                "var/log/dnf.librepo.log",
                "var/log/dnf.rpm.log",
                "var/log/hawkey.log",
                "var/log/zypper.log",
            ],
        }
    }
}
