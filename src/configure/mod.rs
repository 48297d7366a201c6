//! Settings of a spec → what they need, and the files, services, programs and checks that
//! they become. Pure.
//!
//! One file tells the whole story of one area: the packages and words of the kernel command
//! line that it needs ([`needs`]), and what it puts into the system ([`plan`]). Who builds
//! (`build`) carries plans out, in a root or as a Containerfile; who verifies asks the booted
//! system for the plan's [checks](crate::model::check::Check).

mod accounts;
mod ai;
mod backup;
mod certificate;
mod databases;
mod desktop;
mod disks;
mod dotfiles;
mod fail2ban;
mod firewall;
mod hardening;
mod host;
mod installer;
mod keyboard;
mod mac;
mod modules;
mod monitoring;
mod needs;
mod network;
mod own;
mod plan;
mod plymouth;
mod s6;
mod services;
mod shell;
mod snapshots;
mod ssh;
mod steps;
mod swap;
mod sysctl;
#[cfg(test)]
mod testing;
mod timing;
mod tools;
mod tuning;
mod updates;

pub use dotfiles::{given as dotfiles_given, mode as dotfile_mode, users as dotfile_users};
pub use needs::{Need, Needs, needs};
pub use plan::{Account, File, FileContent, Live, Picture, Plan, Program};
pub use plymouth::{PICTURE as SPLASH_PICTURE, files as splash_files, shown as splash_shown};
pub use shell::sources as shell_sources;
pub use steps::{Phase, Step};

use crate::model::check::Check;
use crate::model::name::{ImageName, UnitName};
use crate::model::recipe::{Configuration, Recipe};
use crate::model::spec::{Architecture, Base, Bootloader, Customization, Family, Init, OsSpec, Output};
use crate::model::{Digest, Failure, Result};
use std::collections::{BTreeMap, BTreeSet};

/// A system that is to be set up.
#[derive(Clone, Debug)]
pub struct System<'a> {
    /// What is set.
    pub configuration: &'a Configuration,
    /// The distribution.
    pub base: Base,
    /// Its suite.
    pub suite: &'a str,
    /// The processor architecture.
    pub architecture: Architecture,
    /// The distribution's own names of all packages that are installed, and their versions.
    pub packages: BTreeMap<&'a str, &'a str>,
    /// What is made of it.
    pub outputs: &'a [Output],
}

impl System<'_> {
    /// Whether a package is installed, by the distribution's own name.
    pub fn has(&self, package: &str) -> bool {
        self.packages.contains_key(package)
    }

    /// The init system.
    pub fn init(&self) -> Init {
        self.configuration.init
    }

    /// Whether a live medium is made of it.
    pub fn is_live(&self) -> bool {
        self.outputs.contains(&Output::Iso)
    }

    /// Whether it is Debian or one of its children.
    pub fn is_debian(&self) -> bool {
        self.base.family() == Family::Debian
    }
}

/// The settings of a spec, with defaults filled in. [`Configuration::pictures`] and
/// [`Configuration::written`] are still to be set.
///
/// # Errors
/// Class *bug* if an image's name is no host name.
pub fn configuration(name: &ImageName, spec: &OsSpec) -> Result<Configuration> {
    let defaults = &spec.defaults;
    let hostname = match &defaults.hostname {
        Some(hostname) => hostname.clone(),
        None => name.as_str().parse().map_err(|e| Failure::bug(format!("{e}")))?,
    };
    let services = &spec.services;
    Ok(Configuration {
        written: Digest::of(""),
        init: spec.init_system(),
        hostname,
        locale: defaults.locale.clone().unwrap_or_else(|| host::PLAIN_LOCALE.to_owned()),
        timezone: defaults.timezone.clone().unwrap_or_else(|| "Etc/UTC".to_owned()),
        keyboard: defaults.keyboard.clone(),
        users: defaults.users.clone(),
        enable: sorted(services.enable.iter())?,
        disable: sorted(services.disable.iter())?,
        brought: sorted(spec.post_install.services.iter())?,
        databases: services.databases.clone(),
        monitoring: services.monitoring.clone(),
        ai: services.ai.clone(),
        security_features: spec.security_features.clone(),
        network: spec.network.clone(),
        tools: tools::asked(spec),
        modules: spec.kernel.modules.clone(),
        filesystem: spec.filesystem.clone(),
        display: spec.display.clone(),
        backup: spec.backup.clone(),
        customization: Customization { bootloader: splash(spec), ..spec.customization.clone() },
        tuning: spec.post_install.system_tuning.clone(),
        installer: spec.installer.clone(),
        pictures: BTreeMap::new(),
    })
}

/// What of the boot menu is also in the root. The menu itself stands elsewhere: another title
/// or timeout alone makes no new configuration.
fn splash(spec: &OsSpec) -> Bootloader {
    plymouth::shown(spec).map_or_else(Bootloader::default, |loader| Bootloader {
        plymouth: true,
        title: loader.title.clone(),
        splash: loader.splash.clone(),
        colors: loader.colors.clone(),
        ..Bootloader::default()
    })
}

/// Units by their full names in one order: listing them otherwise is no change.
fn sorted<'a>(units: impl Iterator<Item = &'a UnitName>) -> Result<Vec<UnitName>> {
    let full: BTreeSet<String> = units.map(UnitName::full).collect();
    full.into_iter().map(|unit| unit.parse().map_err(|e| Failure::bug(format!("{e}")))).collect()
}

/// What a recipe's configuration layer is made of; `None` if it has none.
pub fn plan_of(recipe: &Recipe) -> Option<Plan> {
    let configuration = recipe.configuration()?;
    let system = System {
        configuration,
        base: recipe.base,
        suite: recipe.suite.as_str(),
        architecture: recipe.architecture,
        packages: recipe.packages().map(|p| (p.name.as_str(), p.version.as_str())).collect(),
        outputs: &recipe.outputs,
    };
    Some(plan(&system))
}

/// What the booted system has to show for a recipe's settings, in the order in which its
/// image carries them.
pub fn checks_of(recipe: &Recipe) -> Vec<Check> {
    let mut checks = plan_of(recipe).map(|plan| plan.checks).unwrap_or_default();
    checks.extend(dotfiles::checks(recipe));
    checks
}

/// Everything that the settings become, area by area in a fixed order.
pub fn plan(system: &System<'_>) -> Plan {
    let mut plan = Plan::default();
    s6::plan(system, &mut plan);
    host::plan(system, &mut plan);
    keyboard::plan(system, &mut plan);
    accounts::plan(system, &mut plan);
    shell::plan(system, &mut plan);
    tools::plan(system, &mut plan);
    plymouth::plan(system, &mut plan);
    network::plan(system, &mut plan);
    desktop::plan(system, &mut plan);
    installer::plan(system, &mut plan);
    modules::plan(system, &mut plan);
    firewall::plan(system, &mut plan);
    ssh::plan(system, &mut plan);
    certificate::plan(system, &mut plan);
    databases::plan(system, &mut plan);
    monitoring::plan(system, &mut plan);
    ai::plan(system, &mut plan);
    backup::plan(system, &mut plan);
    disks::plan(system, &mut plan);
    swap::plan(system, &mut plan);
    snapshots::plan(system, &mut plan);
    fail2ban::plan(system, &mut plan);
    mac::plan(system, &mut plan);
    hardening::plan(system, &mut plan);
    tuning::plan(system, &mut plan);
    updates::plan(system, &mut plan);
    // Last: what the spec says itself wins over what its features imply.
    services::plan(system, &mut plan);
    plan.in_order()
}
