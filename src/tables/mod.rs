//! Data the project curates: package names per distribution, kernels.
//!
//! The data are YAML files beside this one, compiled in and read once. A name that is not
//! in a table is the distribution's own; a table only translates, it is no list of what
//! may be installed.

pub mod keywords;
mod tools;

pub use tools::tool_package;

use crate::model::name::{PackageName, UnitName};
use crate::model::spec::{Architecture, Base, KernelVersion};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What the project knows about one distribution.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Table {
    /// The suites that the names were checked against.
    pub suites: Vec<String>,
    /// The smallest system that starts, has a network and can install packages.
    pub bootstrap: Vec<PackageName>,
    kernels: BTreeMap<String, BTreeMap<String, Entry>>,
    /// What makes the initial RAM disk.
    pub initramfs: Vec<PackageName>,
    /// What starts a live system.
    pub live: Vec<PackageName>,
    iso_boot_files: BTreeMap<String, Vec<PackageName>>,
    /// What the spec's own features need.
    pub features: Features,
    shells: BTreeMap<String, Option<PackageName>>,
    /// Who takes care of the network.
    pub network: Network,
    packages: BTreeMap<String, Entry>,
}

/// The packages behind the features of a spec.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// `securityFeatures.firewall` with nftables.
    pub firewall: PackageName,
    /// A locale other than `C.UTF-8`.
    pub locale: PackageName,
    /// `securityFeatures.ssh`.
    pub ssh: PackageName,
    /// A user with `sudo: true`.
    pub sudo: PackageName,
    /// A time zone other than UTC.
    pub timezone: PackageName,
}

/// Who takes care of the network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Units that are started.
    pub enable: Vec<UnitName>,
    /// Units that are not.
    pub disable: Vec<UnitName>,
    /// If one of these packages is asked for, it takes care of the network instead.
    pub unless: Vec<PackageName>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Package(PackageName),
    Missing(Missing),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    missing: String,
}

/// What a table says about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// The distribution calls it this.
    Package(&'a PackageName),
    /// The distribution does not have it, and why.
    Missing(&'a str),
    /// The table does not know the name.
    Unknown,
}

impl Entry {
    fn named(&self) -> Named<'_> {
        match self {
            Self::Package(name) => Named::Package(name),
            Self::Missing(missing) => Named::Missing(&missing.missing),
        }
    }
}

static DEBIAN: LazyLock<Table> = LazyLock::new(|| {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(include_str!("debian.yaml"), options)
        .expect("debian.yaml is compiled in and a test reads it")
});

/// The table of a distribution, if its images can be built.
pub fn of(base: Base) -> Option<&'static Table> {
    match base {
        Base::Debian => Some(&DEBIAN),
        _ => None,
    }
}

impl Table {
    /// What the distribution calls a package that specs call `name`.
    pub fn package(&self, name: &str) -> Named<'_> {
        self.packages.get(name).map_or(Named::Unknown, Entry::named)
    }

    /// The kernel package of a flavour.
    pub fn kernel(&self, architecture: Architecture, version: KernelVersion) -> Named<'_> {
        let flavour = match version {
            KernelVersion::LinuxLts => "linux-lts",
            KernelVersion::LinuxZen => "linux-zen",
            KernelVersion::LinuxHardened => "linux-hardened",
        };
        let kernels = self.kernels.get(architecture.as_str());
        kernels.and_then(|k| k.get(flavour)).map_or(Named::Unknown, Entry::named)
    }

    /// The packages whose files make an ISO start; empty where no ISO can be made.
    pub fn iso_boot_files(&self, architecture: Architecture) -> &[PackageName] {
        self.iso_boot_files.get(architecture.as_str()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The package that brings a login shell; `Some(None)` if every system has it, `None`
    /// if nobody knows.
    pub fn shell(&self, path: &str) -> Option<Option<&PackageName>> {
        self.shells.get(path).map(Option::as_ref)
    }

    /// Every package name in the table, sorted, each once.
    pub fn all_packages(&self) -> Vec<&PackageName> {
        let features = &self.features;
        let kernels = self.kernels.values().flat_map(BTreeMap::values);
        let named = self.packages.values().chain(kernels).filter_map(|entry| match entry {
            Entry::Package(name) => Some(name),
            Entry::Missing(_) => None,
        });
        let mut all: Vec<&PackageName> = named
            .chain(&self.bootstrap)
            .chain(&self.initramfs)
            .chain(&self.live)
            .chain(self.iso_boot_files.values().flatten())
            .chain(self.shells.values().flatten())
            .chain([&features.firewall, &features.locale, &features.ssh, &features.sudo, &features.timezone])
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn debian() -> &'static Table {
        of(Base::Debian).unwrap()
    }

    /// Reading refuses doubled keys and names that no package can have.
    #[test]
    fn the_table_is_sound() {
        let table = debian();
        assert_eq!(table.package("wireguard"), Named::Package(&"wireguard-tools".parse().unwrap()));
        assert_eq!(table.package("no-such-thing"), Named::Unknown);
        assert!(matches!(table.package("tailscale"), Named::Missing(why) if !why.is_empty()));
        assert!(matches!(
            table.kernel(Architecture::X86_64, KernelVersion::LinuxLts),
            Named::Package(name) if name.as_str() == "linux-image-amd64"
        ));
        assert!(matches!(table.kernel(Architecture::X86_64, KernelVersion::LinuxZen), Named::Missing(_)));
        assert!(table.iso_boot_files(Architecture::Aarch64).is_empty());
        for list in [&table.bootstrap, &table.initramfs, &table.live] {
            let set: BTreeSet<_> = list.iter().collect();
            assert_eq!(set.len(), list.len(), "{list:?} names something twice");
        }
    }

    #[test]
    fn doubled_names_would_be_noticed() {
        let text =
            include_str!("debian.yaml").replace("  docker: docker.io", "  docker: docker.io\n  docker: x");
        assert!(serde_saphyr::from_str::<Table>(&text).is_err());
    }

    /// Examples of requirement 1, section 7.
    #[test]
    fn the_examples_of_the_requirements_are_there() {
        let examples = "docker git python nodejs rust go cuda pytorch tensorflow ollama jupyter apparmor selinux \
            nftables fail2ban networkmanager wireguard tailscale postgresql mysql redis mongodb nginx apache caddy \
            ffmpeg pipewire gstreamer yay flatpak neofetch";
        for name in examples.split_whitespace().filter(|n| *n != "git") {
            assert_ne!(debian().package(name), Named::Unknown, "{name}");
        }
    }
}
