//! Services that are started at boot, and those that are not.

use super::{Plan, System};
use crate::model::check::Expect;
use crate::model::name::UnitName;
use crate::model::spec::Init;
use crate::tables;

impl System<'_> {
    /// What this init system calls the service of a row of the tables (`openssh`), if the
    /// distribution's package brings one; with systemd the unit's full name.
    pub fn service(&self, row: &str) -> Option<String> {
        let name = tables::row(row)?.service(self.base, self.init())?;
        Some(self.named(name))
    }

    /// A service's name as the init system has it.
    pub fn named(&self, name: &str) -> String {
        match self.init() {
            Init::Systemd if name.contains('.') => name.to_owned(),
            Init::Systemd => format!("{name}.service"),
            _ => name.strip_suffix(".service").unwrap_or(name).to_owned(),
        }
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let configuration = system.configuration;
    let security = &configuration.security_features;
    if security.ssh.is_some() {
        plan.on.extend(system.service("openssh"));
    }
    if let Some(firewall) = &security.firewall {
        plan.on.extend(system.service(firewall.backend.as_str()));
    }
    let named =
        |units: &[UnitName]| -> Vec<String> { units.iter().map(|u| system.named(&u.full())).collect() };
    let (said_on, said_off) = (named(&configuration.enable), named(&configuration.disable));
    plan.on.retain(|service| !said_off.contains(service));
    plan.off.retain(|service| !said_on.contains(service));
    for (index, service) in said_on.iter().enumerate().filter(|(_, s)| !s.contains('@')) {
        if service.ends_with(".service") || system.init() != Init::Systemd {
            let expect = Expect::Service { name: service.clone(), running: true };
            plan.check(&format!("spec.services.enable[{index}]"), expect);
        }
    }
    for (index, service) in said_off.iter().enumerate() {
        let expect = Expect::Service { name: service.clone(), running: false };
        plan.check(&format!("spec.services.disable[{index}]"), expect);
    }
    let brought = named(&configuration.brought);
    for (index, service) in brought.iter().enumerate().filter(|(_, s)| !s.contains('@')) {
        if service.ends_with(".service") || system.init() != Init::Systemd {
            let expect = Expect::Service { name: service.clone(), running: true };
            plan.check(&format!("spec.postInstall.services[{index}]"), expect);
        }
    }
    plan.later.extend(brought);
    plan.on.extend(said_on);
    plan.off.extend(said_off);
}
