//! What every system of one distribution needs, and how its kernels are called.

use super::entry::Entry;
use super::evidence::Evidence;
use super::live::{Live, live};
use crate::model::name::{PackageName, UnitName};
use crate::model::spec::{Architecture, BootloaderKind, Init, KernelVersion};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the project knows about one distribution, beside the rows of its packages.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Distribution {
    /// Its package manager.
    pub manager: Manager,
    /// The architectures whose images can be built.
    pub builds: Vec<Architecture>,
    /// The suites that the names were made for, with their other names.
    suites: BTreeMap<String, Vec<String>>,
    /// The smallest system that has a network and can install packages.
    bootstrap: Vec<PackageName>,
    /// What starts it, by the init system's name: those that are there.
    init: BTreeMap<String, Vec<PackageName>>,
    kernels: BTreeMap<String, BTreeMap<String, Entry>>,
    /// What makes the initial RAM disk.
    #[serde(default)]
    pub initramfs: Vec<PackageName>,
    /// The packages that start a live system.
    #[serde(default)]
    pub live: Vec<PackageName>,
    #[serde(default)]
    live_system: Option<String>,
    /// The folders of GRUB's modules in the packages of `isoBootFiles`, from which its images are
    /// made; without them the images that Debian has signed are taken.
    #[serde(default)]
    pub grub: Option<Grub>,
    #[serde(default)]
    iso_boot_files: BTreeMap<String, Vec<PackageName>>,
    #[serde(default)]
    systemd_boot: BTreeMap<String, Vec<PackageName>>,
    shells: BTreeMap<String, Option<PackageName>>,
    /// Who takes care of the network.
    #[serde(default)]
    pub network: Network,
    /// What a Containerfile starts from.
    pub container: Container,
    /// What was looked at to see that the names are there.
    #[serde(skip)]
    pub(super) evidence: Vec<Evidence>,
}

/// Package managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Manager {
    Apt,
    Pacman,
    Apk,
    Dnf,
    Zypper,
    Xbps,
    Emerge,
}

/// What a Containerfile starts from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The base image of each suite, by the suite's first name.
    pub images: BTreeMap<String, String>,
    /// The smallest system, where it is another one in a container.
    #[serde(default)]
    bootstrap: Option<Vec<PackageName>>,
}

/// Where GRUB's modules are, without the leading slash.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grub {
    /// For BIOS.
    pub bios: String,
    /// For UEFI.
    pub efi: String,
}

/// Who takes care of the network.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Units that are started.
    pub enable: Vec<UnitName>,
    /// Units that are not.
    pub disable: Vec<UnitName>,
    /// If one of these packages is asked for, it takes care of the network instead.
    pub unless: Vec<PackageName>,
}

impl Distribution {
    /// The suites that the names were made for.
    pub fn suites(&self) -> impl Iterator<Item = &str> {
        self.suites.keys().map(String::as_str)
    }

    /// The smallest system that starts by itself, has a network and can install packages; of
    /// an init system that is not there only the rest.
    pub fn bootstrap(&self, init: Init) -> Vec<&PackageName> {
        self.bootstrap.iter().chain(self.init.get(init.as_str()).into_iter().flatten()).collect()
    }

    /// The same in a container.
    pub fn in_container(&self, init: Init) -> Vec<&PackageName> {
        let system = self.container.bootstrap.as_ref().unwrap_or(&self.bootstrap);
        system.iter().chain(self.init.get(init.as_str()).into_iter().flatten()).collect()
    }

    /// Whether it has packages that start a system by this init system.
    pub fn starts_by(&self, init: Init) -> bool {
        self.init.contains_key(init.as_str())
    }

    /// The first name of a suite that the names were made for.
    pub fn suite(&self, name: &str) -> Option<&str> {
        let mut suites = self.suites.iter();
        let found = suites.find(|(first, others)| *first == name || others.iter().any(|o| o == name));
        found.map(|(first, _)| first.as_str())
    }

    /// The kernel of a flavour; `None` for an architecture that nobody looked at.
    pub fn kernel(&self, architecture: Architecture, version: KernelVersion) -> Option<&Entry> {
        let flavour = match version {
            KernelVersion::LinuxLts => "linux-lts",
            KernelVersion::LinuxZen => "linux-zen",
            KernelVersion::LinuxHardened => "linux-hardened",
        };
        self.kernels.get(architecture.as_str())?.get(flavour)
    }

    /// How its live system finds its root; none where no ISO can be made.
    pub fn live_system(&self) -> Option<&'static Live> {
        live(self.live_system.as_deref()?)
    }

    /// Whether the files that make an image start are loaders that somebody has signed, not
    /// modules that one is put together from.
    pub fn has_signed_loaders(&self, architecture: Architecture) -> bool {
        self.grub.is_none() && !self.iso_boot_files(architecture).is_empty()
    }

    /// The packages whose files start what a boot loader starts; empty where it cannot be had.
    pub fn boot_files(&self, loader: BootloaderKind, architecture: Architecture) -> &[PackageName] {
        match loader {
            BootloaderKind::Grub => self.iso_boot_files(architecture),
            BootloaderKind::SystemdBoot => {
                self.systemd_boot.get(architecture.as_str()).map(Vec::as_slice).unwrap_or_default()
            }
        }
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

    /// Where a package's name was seen, if anybody looked.
    pub fn evidence(&self, package: &PackageName) -> Option<&Evidence> {
        self.evidence.iter().find(|e| e.names.contains(package))
    }

    /// What was looked at.
    pub fn all_evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// Whether a name can be one of this package manager's at all. Debian Policy 5.6.7;
    /// Gentoo's Package Manager Specification 3.1. A hyphen at the end would tell apt to
    /// *remove* a package, and the others read `-` and `@` in ways of their own.
    pub fn is_name(&self, name: &str) -> bool {
        let plain = |t: &str| {
            t.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
                && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b))
                && !t.ends_with('-')
        };
        match self.manager {
            Manager::Apt => {
                name.len() >= 2 && plain(name) && !name.bytes().any(|b| b.is_ascii_uppercase() || b == b'_')
            }
            Manager::Emerge => match name.split_once('/') {
                Some((category, package)) => plain(category) && plain(package),
                None => plain(name),
            },
            Manager::Pacman | Manager::Apk | Manager::Dnf | Manager::Zypper | Manager::Xbps => plain(name),
        }
    }

    /// Every name that is not in a row: what the system itself needs.
    pub fn own_packages(&self) -> Vec<&PackageName> {
        let kernels = self.kernels.values().flat_map(BTreeMap::values).flat_map(Entry::all_packages);
        kernels
            .chain(&self.bootstrap)
            .chain(&self.initramfs)
            .chain(&self.live)
            .chain(self.iso_boot_files.values().flatten())
            .chain(self.systemd_boot.values().flatten())
            .chain(self.shells.values().flatten())
            .chain(self.init.values().flatten())
            .chain(self.container.bootstrap.iter().flatten())
            .collect()
    }
}
