//! Package files: fetched once, kept by digest, checked before every use.

use super::cache::{Cache, stamp};
use super::managers;
use crate::effects::fetch::{Download, fetch_all};
use crate::effects::files::{digest_file, link_or_copy};
use crate::effects::{Cancel, Task};
use crate::model::event::Unit;
use crate::model::lock::LockedPackage;
use crate::model::settings::Mirror;
use crate::model::spec::{Architecture, Base};
use crate::model::{Emitter, Failure, Result};
use std::path::Path;

/// Where package files come from.
pub struct Packages<'a> {
    /// Where they are kept.
    pub cache: &'a Cache,
    /// The distribution and suite that they belong to.
    pub base: Base,
    /// The suite, for mirrors that name suites with `{suite}`.
    pub suite: &'a str,
    /// The architecture, for mirrors that have a folder for each.
    pub architecture: Architecture,
    /// Where they are fetched from.
    pub mirrors: &'a [Mirror],
    /// HTTP.
    pub client: &'a reqwest::Client,
    /// Runs the downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// Only folders of this host may be asked.
    pub offline: bool,
}

impl Packages<'_> {
    /// Makes sure that every package is in the cache with the right bytes; a corrupt one is
    /// dropped and fetched again.
    ///
    /// # Errors
    /// Class *upstream* if one cannot be had, *spec* if no mirror serves its suite.
    pub fn ensure<'p>(
        &self,
        packages: impl Iterator<Item = &'p LockedPackage>,
        events: &Emitter,
        cancel: &Cancel,
    ) -> Result<()> {
        let (mut missing, mut unreachable) = (Vec::new(), Vec::new());
        for package in packages {
            cancel.check()?;
            let to = self.cache.package(&package.sha256);
            if to.exists() {
                if digest_file(&to)? == (package.sha256, package.size) {
                    stamp(&to)?;
                    continue;
                }
                events.warn(format!("{} in the cache is corrupt; it is fetched again", package.name));
                let _ = std::fs::remove_file(&to);
            }
            let mut urls = self.urls(package)?;
            if self.offline {
                urls.retain(|url| url.starts_with("file://"));
                if urls.is_empty() {
                    unreachable.push(package);
                    continue;
                }
            }
            let download = Download { urls, sha256: package.sha256, size: package.size, to };
            if !missing.iter().any(|d: &Download| d.sha256 == download.sha256) {
                missing.push(download);
            }
        }
        if !unreachable.is_empty() {
            return Err(not_here(&unreachable));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let (count, total) = (missing.len(), missing.iter().map(|d| d.size).sum());
        let task = Task::with_total(events, "fetch packages", Some(total), Unit::Bytes);
        self.runtime.block_on(fetch_all(self.client, missing, &task, cancel))?;
        task.finish(format!("{count} packages, {}", crate::model::spec::Size::from_bytes(total)));
        Ok(())
    }

    fn urls(&self, package: &LockedPackage) -> Result<Vec<String>> {
        let urls: Vec<String> = self
            .mirrors
            .iter()
            .filter(|m| m.base == self.base)
            .filter(|m| m.indexes(self.suite, self.architecture).contains(&package.suite))
            .flat_map(|m| &m.urls)
            .map(|url| format!("{}/{}", url.trim_end_matches('/'), package.path))
            .collect();
        if urls.is_empty() {
            return Err(Failure::spec(format!(
                "no mirror serves {}, which the lock takes {} from",
                package.suite, package.name
            ))
            .hint("Add the suite to a mirror in bootwright.yaml, or run `bootwright lock --update`."));
        }
        Ok(urls)
    }

    /// The keyrings of the distribution's mirrors.
    pub fn keyrings(&self) -> Vec<&str> {
        let of_base = self.mirrors.iter().filter(|m| m.base == self.base);
        of_base.map(|m| m.keyring.as_str()).collect()
    }

    /// Links the files of `packages` into `folder`, named as their manager wants them.
    ///
    /// # Errors
    /// Class *host* if a link cannot be made.
    pub fn lay_out(&self, packages: &[LockedPackage], folder: &Path) -> Result<()> {
        let manager = managers::of(self.base);
        for (i, package) in packages.iter().enumerate() {
            link_or_copy(&self.cache.package(&package.sha256), &folder.join(manager.file_name(i, package)))?;
        }
        Ok(())
    }
}

/// Names every package that would have to be fetched.
fn not_here(packages: &[&LockedPackage]) -> Failure {
    let mut lines: Vec<String> = packages
        .iter()
        .map(|p| format!("{} {} {} {}", p.name, p.version, p.architecture, p.sha256))
        .collect();
    lines.sort();
    lines.dedup();
    let size = packages.iter().map(|p| p.size).sum();
    Failure::offline(format!(
        "{} packages ({}) are not in the cache and cannot be fetched without network",
        lines.len(),
        crate::model::spec::Size::from_bytes(size)
    ))
    .details(lines.join("\n"))
    .hint("Build once with network, or copy each file into the cache as packages/SHA256.deb; its bytes are checked before use.")
}
