//! Who sets up the network.

use super::{Plan, System};
use crate::model::spec::Init;
use crate::tables;

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    if system.is_debian() && system.init() == Init::Systemd {
        plan.file(
            "etc/systemd/network/80-dhcp.network",
            0o644,
            "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n",
        );
    }
    // A package that was asked for may take care of it instead.
    let network = &tables::of(system.base).network;
    if !network.unless.iter().any(|package| system.has(package.as_str())) {
        plan.on.extend(network.enable.iter().map(|unit| unit.full()));
        plan.off.extend(network.disable.iter().map(|unit| unit.full()));
    }
}
