//! A lock: the exact upstream packages that a spec resolved to.
//!
//! Written by `bootwright lock` as `specs/NAME.lock.yaml`, reviewed like any change.
//! A lock answers one *request*; when the spec asks for something else, the lock is
//! out of date and the answer must be made again.

use super::digest::Digest;
use super::failure::{Failure, Result};
use super::name::{ImageName, PackageName, SuiteName};
use super::spec::{Architecture, Base};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The version of the lock format.
pub const LOCK_VERSION: u32 = 1;

/// What is asked of a package manager: packages by layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockRequest {
    /// The distribution.
    pub base: Base,
    /// Its suite.
    pub suite: SuiteName,
    /// The processor architecture.
    pub architecture: Architecture,
    /// The package layers in their fixed order; the first one is `bootstrap`.
    pub layers: Vec<LayerRequest>,
}

/// The packages that one layer asks for by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LayerRequest {
    /// `bootstrap`, `kernel`, or a package category.
    pub name: String,
    /// The distribution's own names, sorted.
    pub packages: Vec<PackageName>,
}

/// The exact upstream packages that a spec resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Always [`LOCK_VERSION`].
    pub lock_version: u32,
    /// The image that this lock belongs to.
    pub image: ImageName,
    /// What was asked.
    pub request: LockRequest,
    /// The signed indexes that answered.
    pub indexes: Vec<LockedIndex>,
    /// When layers last changed whose packages are older than these indexes; the others are
    /// of the newest index's date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<LayerDate>,
    /// Addresses of mirrors that were not taken when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// The packages, layer by layer, in the order in which they are installed.
    pub packages: Vec<LockedPackage>,
}

/// An address of a mirror that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassedOver {
    /// Its place in the settings: `mirrors[0].urls[1]`. Locks are published, addresses are not.
    pub mirror: String,
    /// Why.
    pub why: String,
}

/// When the packages of a layer last changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LayerDate {
    /// The layer.
    pub layer: String,
    /// The date of the newest index at that time.
    pub date: DateTime<Utc>,
}

/// One signed index of a repository (Debian: one `InRelease`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedIndex {
    /// Which configured source answered: `suite`, `suite-updates`, `suite-security`.
    pub suite: String,
    /// The index's own date (field `Date`).
    pub date: DateTime<Utc>,
    /// SHA-256 of the signed index file.
    pub digest: Digest,
    /// SHA-256 of the keyring that its signature was checked with.
    pub keyring: Digest,
}

/// One exact package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedPackage {
    /// The distribution's name.
    pub name: PackageName,
    /// The distribution's version.
    pub version: String,
    /// The distribution's architecture word (`amd64`, `all`).
    pub architecture: String,
    /// SHA-256 of the package file.
    pub sha256: Digest,
    /// Size of the package file, in bytes.
    pub size: u64,
    /// Path below the mirror's root (field `Filename`).
    pub path: String,
    /// Which entry of `indexes` lists it.
    pub suite: String,
    /// The layer that installs it.
    pub layer: String,
    /// Packages of one layer with a lower wave are configured before those with a
    /// higher one are unpacked (`Pre-Depends`); 0 when absent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wave: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Lock {
    /// A fresh answer, all of whose layers are of the newest index's date.
    pub fn new(
        image: &ImageName,
        request: &LockRequest,
        indexes: Vec<LockedIndex>,
        packages: Vec<LockedPackage>,
    ) -> Self {
        Self {
            lock_version: LOCK_VERSION,
            image: image.clone(),
            request: request.clone(),
            indexes,
            dates: Vec::new(),
            passed_over: Vec::new(),
            packages,
        }
    }

    /// The identity of the answer: request and packages, not the indexes, so that a
    /// newer index with the same packages is no change.
    pub fn digest(&self) -> Digest {
        Digest::of_json(&(&self.request, &self.packages))
    }

    /// The date that everything built from this lock carries: that of the layer that changed
    /// last.
    pub fn date(&self) -> DateTime<Utc> {
        let layers = self.request.layers.iter().map(|layer| self.date_of(&layer.name));
        layers.max().unwrap_or_else(|| self.newest_index())
    }

    /// The date that a layer's files carry.
    pub fn date_of(&self, layer: &str) -> DateTime<Utc> {
        let kept = self.dates.iter().find(|date| date.layer == layer);
        kept.map_or_else(|| self.newest_index(), |kept| kept.date)
    }

    fn newest_index(&self) -> DateTime<Utc> {
        self.indexes.iter().map(|i| i.date).max().unwrap_or_default()
    }

    /// This lock as the one that follows `old`: a layer whose packages are the same keeps its
    /// date, so that a newer index alone builds no layer anew.
    ///
    /// # Errors
    /// *Untrusted*, with the suite and both dates, if an index is older than it was in `old`: a
    /// mirror that shows an old index again, still signed and not yet expired, would bring back
    /// packages whose faults are mended since.
    pub fn following(mut self, old: &Self) -> Result<Self> {
        check_not_older(old, &self)?;
        let same = |layer: &&LayerRequest| {
            old.request.layers.iter().any(|l| l.name == layer.name)
                && old.of_layer(&layer.name).eq(self.of_layer(&layer.name))
        };
        let newest = self.newest_index();
        let kept = self.request.layers.iter().filter(same);
        let kept = kept.map(|l| LayerDate { layer: l.name.clone(), date: old.date_of(&l.name) });
        self.dates = kept.filter(|kept| kept.date < newest).collect();
        Ok(self)
    }

    /// The packages of one layer, in the order in which they are installed.
    pub fn of_layer<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = &'a LockedPackage> {
        self.packages.iter().filter(move |p| p.layer == layer)
    }
}

fn check_not_older(old: &Lock, new: &Lock) -> Result<()> {
    for index in &new.indexes {
        let before = old.indexes.iter().find(|before| before.suite == index.suite);
        if let Some(before) = before.filter(|before| before.date > index.date) {
            return Err(Failure::untrusted(format!(
                "{}: the mirror's index of {} is of {}, older than the one that was locked before, of {}",
                new.image, index.suite, index.date, before.date
            ))
            .hint("Ask another mirror. To go back on purpose, take the lock file away first."));
        }
    }
    Ok(())
}

/// One difference between two locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum PackageChange {
    /// Only the newer lock has it.
    Added {
        /// The package.
        name: PackageName,
        /// Its version.
        version: String,
        /// The newer size less the older, in bytes.
        size_delta: i64,
    },
    /// Only the older lock has it.
    Removed {
        /// The package.
        name: PackageName,
        /// Its version.
        version: String,
        /// The newer size less the older, in bytes.
        size_delta: i64,
    },
    /// Both have it, with different bytes.
    Changed {
        /// The package.
        name: PackageName,
        /// The older version.
        from: String,
        /// The newer version; the same as `from` when upstream replaced the bytes.
        to: String,
        /// The newer size less the older, in bytes.
        size_delta: i64,
    },
}

/// The differences from `old` to `new`, by name and architecture.
pub fn diff(old: &[LockedPackage], new: &[LockedPackage]) -> Vec<PackageChange> {
    use std::collections::BTreeMap;
    let by_name = |packages: &'_ [LockedPackage]| -> BTreeMap<(PackageName, String), LockedPackage> {
        packages.iter().map(|p| ((p.name.clone(), p.architecture.clone()), p.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let size = |p: &LockedPackage| i64::try_from(p.size).unwrap_or(i64::MAX);
    let mut changes = Vec::new();
    for (key, o) in &old {
        match new.get(key) {
            None => changes.push(PackageChange::Removed {
                name: o.name.clone(),
                version: o.version.clone(),
                size_delta: -size(o),
            }),
            Some(n) if n.sha256 != o.sha256 => changes.push(PackageChange::Changed {
                name: o.name.clone(),
                from: o.version.clone(),
                to: n.version.clone(),
                size_delta: size(n) - size(o),
            }),
            Some(_) => {}
        }
    }
    for (key, n) in &new {
        if !old.contains_key(key) {
            changes.push(PackageChange::Added {
                name: n.name.clone(),
                version: n.version.clone(),
                size_delta: size(n),
            });
        }
    }
    changes.sort_by(|a, b| a.name().cmp(b.name()));
    changes
}

impl PackageChange {
    /// The package that changed.
    pub fn name(&self) -> &PackageName {
        match self {
            Self::Added { name, .. } | Self::Removed { name, .. } | Self::Changed { name, .. } => name,
        }
    }
}

impl std::fmt::Display for PackageChange {
    /// `nginx 1.22.1-9 -> 1.22.1-9+deb12u1`, `+ curl 7.88.1`, `- wget 1.21`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Added { name, version, .. } => write!(f, "+ {name} {version}"),
            Self::Removed { name, version, .. } => write!(f, "- {name} {version}"),
            Self::Changed { name, from, to, .. } if from == to => {
                write!(f, "{name} {from}: same version, other bytes")
            }
            Self::Changed { name, from, to, .. } => write!(f, "{name} {from} -> {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_does_not_go_back() {
        let index = |suite: &str, day: u32| LockedIndex {
            suite: suite.to_owned(),
            date: format!("2026-11-{day:02}T00:00:00Z").parse().unwrap(),
            digest: Digest::of("index"),
            keyring: Digest::of("keyring"),
        };
        let lock = |indexes: Vec<LockedIndex>| Lock {
            lock_version: LOCK_VERSION,
            image: "edge".parse().unwrap(),
            request: LockRequest {
                base: Base::DEBIAN,
                suite: "bookworm".parse().unwrap(),
                architecture: Architecture::X86_64,
                layers: Vec::new(),
            },
            indexes,
            dates: Vec::new(),
            passed_over: Vec::new(),
            packages: Vec::new(),
        };
        let old = lock(vec![index("bookworm", 10), index("bookworm-security", 12)]);
        assert!(check_not_older(&old, &old).is_ok());
        assert!(check_not_older(&old, &lock(vec![index("bookworm", 11)])).is_ok());
        assert!(check_not_older(&old, &lock(vec![index("trixie", 1)])).is_ok(), "another suite");
        let back = lock(vec![index("bookworm", 11), index("bookworm-security", 11)]);
        let failure = check_not_older(&old, &back).unwrap_err();
        assert!(failure.message.contains("bookworm-security") && failure.hint.is_some(), "{failure}");
    }
    #[test]
    fn a_layer_that_stays_the_same_keeps_its_date() {
        let lock = |day: u32, nginx: &str| -> Lock {
            let package = |name: &str, version: &str, layer: &str| {
                serde_json::json!({"name": name, "version": version, "architecture": "amd64", "layer": layer,
                    "suite": "bookworm", "size": 1, "path": "pool/x.deb", "sha256": Digest::of(version)})
            };
            serde_json::from_value(serde_json::json!({
                "lockVersion": 1, "image": "edge",
                "request": {"base": "debian", "suite": "bookworm", "architecture": "x86_64", "layers": [
                    {"name": "bootstrap", "packages": ["apt"]}, {"name": "servers", "packages": ["nginx"]}]},
                "indexes": [{"suite": "bookworm", "date": format!("2026-11-{day:02}T00:00:00Z"),
                    "digest": Digest::of("index"), "keyring": Digest::of("keyring")}],
                "packages": [package("apt", "2.6", "bootstrap"), package("nginx", nginx, "servers")]
            }))
            .unwrap()
        };
        let day = |date: DateTime<Utc>| date.format("%d").to_string();
        let first = lock(1, "1.22");
        let second = lock(2, "1.23").following(&first).unwrap();
        assert_eq!(
            (day(second.date_of("bootstrap")), day(second.date_of("servers"))),
            ("01".into(), "02".into())
        );
        assert_eq!(day(second.date()), "02");
        // Dates are kept over more than one lock, and nothing new leaves the whole date alone.
        let third = lock(3, "1.23").following(&second).unwrap();
        assert_eq!((day(third.date_of("bootstrap")), day(third.date())), ("01".into(), "02".into()));
        let back = lock(4, "1.22").following(&third).unwrap();
        assert_eq!(
            (day(back.date_of("bootstrap")), day(back.date_of("servers"))),
            ("01".into(), "04".into())
        );
        assert!(lock(1, "1.22").following(&back).is_err(), "an old index");
        assert_eq!(lock(1, "1.22").following(&first).unwrap(), first);
    }
}
