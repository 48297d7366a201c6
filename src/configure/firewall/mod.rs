//! The packet filter: one meaning, in the words of three tools.
//!
//! What belongs to a connection that is known, comes from the machine itself or is ICMP is let
//! in; then the rules count from top to bottom, and the policy for what no rule names.

mod iptables;
mod nftables;
mod ufw;

use super::{Needs, Plan, Program, System};
use crate::model::spec::{Family, FirewallBackend, OsSpec};

const FIELD: &str = "spec.securityFeatures.firewall";

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let Some(firewall) = &spec.security_features.firewall else { return };
    needs.package(FIELD, "security", firewall.backend.as_str());
    if firewall.backend == FirewallBackend::Iptables {
        match spec.base.family() {
            Family::Debian => needs.package(FIELD, "security", "iptables-persistent"),
            Family::Fedora => needs.package(FIELD, "security", "iptables-services"),
            _ => {}
        }
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(firewall) = &system.configuration.security_features.firewall else { return };
    match firewall.backend {
        FirewallBackend::Nftables => nftables::plan(system, firewall, plan),
        FirewallBackend::Iptables => iptables::plan(system, firewall, plan),
        FirewallBackend::Ufw => ufw::plan(firewall, plan),
    }
}

#[cfg(test)]
mod tests;
