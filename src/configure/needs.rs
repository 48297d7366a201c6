//! What the features of a spec need beside the packages that it names.

use super::{
    accounts, ai, backup, databases, desktop, disks, fail2ban, firewall, hardening, host, installer,
    keyboard, mac, monitoring, network, plymouth, shell, snapshots, ssh, tuning, updates,
};
use crate::model::name::PackageName;
use crate::model::spec::OsSpec;

/// What the features of a spec need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Packages, in the order of the areas.
    pub packages: Vec<Need>,
    /// Words that the kernel is started with, beside `kernel.customFlags`.
    pub kernel_flags: Vec<String>,
}

/// A package that a field needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The field: `spec.securityFeatures.ssh`.
    pub field: String,
    /// The category whose layer brings it; `extra` holds the distribution's own names.
    pub category: &'static str,
    /// A name of the tables, else the distribution's own.
    pub name: PackageName,
}

impl Needs {
    /// A package by its name in the tables, or by the distribution's own.
    ///
    /// # Panics
    /// If `name` is no package name: it is written in the code of this room.
    pub fn package(&mut self, field: &str, category: &'static str, name: &str) {
        let name = name.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
        self.packages.push(Need { field: field.to_owned(), category, name });
    }

    /// A word of the kernel command line.
    pub fn kernel_flag(&mut self, word: &str) {
        if !self.kernel_flags.iter().any(|w| w == word) {
            self.kernel_flags.push(word.to_owned());
        }
    }
}

/// What the features of a spec need.
pub fn needs(spec: &OsSpec) -> Needs {
    let mut needs = Needs::default();
    host::needs(spec, &mut needs);
    keyboard::needs(spec, &mut needs);
    accounts::needs(spec, &mut needs);
    shell::needs(spec, &mut needs);
    plymouth::needs(spec, &mut needs);
    network::needs(spec, &mut needs);
    desktop::needs(spec, &mut needs);
    installer::needs(spec, &mut needs);
    firewall::needs(spec, &mut needs);
    ssh::needs(spec, &mut needs);
    databases::needs(spec, &mut needs);
    monitoring::needs(spec, &mut needs);
    ai::needs(spec, &mut needs);
    backup::needs(spec, &mut needs);
    disks::needs(spec, &mut needs);
    snapshots::needs(spec, &mut needs);
    fail2ban::needs(spec, &mut needs);
    mac::needs(spec, &mut needs);
    hardening::needs(spec, &mut needs);
    tuning::needs(spec, &mut needs);
    updates::needs(spec, &mut needs);
    needs
}
