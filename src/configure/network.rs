//! Who sets up the network, and wireless networks.

use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Base, Family, Init, NetworkManager, OsSpec, Supplicant, Wireless};
use crate::tables;

const MANAGER: &str = "spec.network.manager";
const WIRELESS: &str = "spec.network.wireless";

/// All that can be chosen; each is a row of the tables.
const MANAGERS: [NetworkManager; 4] = [
    NetworkManager::Networkmanager,
    NetworkManager::SystemdNetworkd,
    NetworkManager::Ifupdown,
    NetworkManager::Dhcpcd,
];

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let Some(network) = &spec.network else { return };
    if let Some(manager) = network.manager {
        needs.package(MANAGER, "networking", manager.as_str());
    }
    let Some(wireless) = &network.wireless else { return };
    let supplicant = match supplicant(wireless) {
        Supplicant::WpaSupplicant => "wifi",
        Supplicant::Iwd => "iwd",
    };
    needs.package("spec.network.wireless.supplicant", "networking", supplicant);
    if wireless.country.is_some() {
        needs.package("spec.network.wireless.country", "networking", "wireless-regdb");
    }
    if wireless.firmware {
        needs.package("spec.network.wireless.firmware", "networking", "wireless-firmware");
    }
    for (index, driver) in wireless.drivers.iter().enumerate() {
        let field = format!("spec.network.wireless.drivers[{index}]");
        needs.package(&field, "networking", driver.as_str());
    }
}

fn supplicant(wireless: &Wireless) -> Supplicant {
    wireless.supplicant.unwrap_or(Supplicant::WpaSupplicant)
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let network = system.configuration.network.as_ref();
    let wireless = network.and_then(|n| n.wireless.as_ref());
    match network.and_then(|n| n.manager) {
        Some(manager) => chosen(system, manager, wireless, plan),
        None => usual(system, wireless, plan),
    }
    if let Some(wireless) = wireless {
        radio(system, wireless, network.and_then(|n| n.manager), plan);
    }
}

/// The distribution's own way.
fn usual(system: &System<'_>, wireless: Option<&Wireless>, plan: &mut Plan) {
    let network = &tables::of(system.base).network;
    // A package that was asked for may take care of it instead.
    let others = || network.unless.iter().any(|package| system.has(package.as_str()));
    if system.init() == Init::Systemd {
        if system.is_debian() {
            networkd(wireless, plan);
        }
        if !others() {
            plan.on.extend(network.enable.iter().map(|unit| unit.full()));
            plan.off.extend(network.disable.iter().map(|unit| unit.full()));
        }
    } else if system.is_debian() && installed(system, NetworkManager::Ifupdown) {
        // Its package has switched it on.
        ifupdown(system, wireless, plan);
    }
}

/// What the spec chose, and none of the others.
fn chosen(system: &System<'_>, manager: NetworkManager, wireless: Option<&Wireless>, plan: &mut Plan) {
    let service = |manager: NetworkManager| system.service(manager.as_str());
    let others = MANAGERS.into_iter().filter(|other| *other != manager && installed(system, *other));
    plan.off.extend(others.filter_map(service));
    if let Some(name) = service(manager) {
        plan.start(&name);
        plan.check(MANAGER, Expect::Service { name, running: true });
    }
    match manager {
        NetworkManager::SystemdNetworkd => {
            networkd(wireless, plan);
            plan.start("systemd-resolved.service");
            // Waiting for a network that a machine may not have would hold up its start.
            plan.off.insert("systemd-networkd-wait-online.service".to_owned());
        }
        NetworkManager::Networkmanager => network_manager(wireless, plan),
        NetworkManager::Ifupdown => ifupdown(system, wireless, plan),
        // It sets up every card by DHCP as it comes.
        NetworkManager::Dhcpcd => {}
    }
}

/// Whether the packages of a manager are there.
fn installed(system: &System<'_>, manager: NetworkManager) -> bool {
    let entry = tables::row(manager.as_str()).and_then(|row| row.on(system.base));
    let offer = entry.and_then(|entry| entry.on(tables::of(system.base).suite(system.suite)).offer());
    offer.and_then(|offer| offer.packages.first()).is_some_and(|package| system.has(package.as_str()))
}

/// systemd-networkd (man systemd.network): DHCP on every card.
fn networkd(wireless: Option<&Wireless>, plan: &mut Plan) {
    plan.file(
        "etc/systemd/network/80-dhcp.network",
        0o644,
        "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n",
    );
    if wireless.is_some() {
        // Moving between access points is no loss of the address.
        plan.file(
            "etc/systemd/network/81-wireless.network",
            0o644,
            "[Match]\nName=wl*\n\n[Network]\nDHCP=yes\nIgnoreCarrierLoss=3s\n\n[DHCPv4]\nRouteMetric=600\n",
        );
    }
}

/// NetworkManager (man NetworkManager.conf); it judges the whole of its settings itself.
fn network_manager(wireless: Option<&Wireless>, plan: &mut Plan) {
    let mut text = "[main]\nplugins=keyfile\n".to_owned();
    if wireless.map(supplicant) == Some(Supplicant::Iwd) {
        text.push_str("\n[device]\nwifi.backend=iwd\n");
    }
    plan.file("etc/NetworkManager/conf.d/10-bootwright.conf", 0o644, text);
    let args = ["--print-config"];
    plan.test(Program::new("checking NetworkManager's settings", "/usr/sbin/NetworkManager", &args));
}

fn ifupdown(system: &System<'_>, wireless: Option<&Wireless>, plan: &mut Plan) {
    plan.file("etc/network/interfaces", 0o644, interfaces(system.base, wireless));
    if system.is_debian() {
        let args = ["--list", "--allow", "hotplug"];
        plan.test(Program::new("checking the network interfaces", "/sbin/ifquery", &args));
    }
}

/// `/etc/network/interfaces` (man 5 interfaces). The names of the cards are not known here: Debian's
/// ifupdown takes patterns, Alpine's ifupdown-ng takes the kernel's old names, which Alpine keeps.
fn interfaces(base: Base, wireless: Option<&Wireless>) -> String {
    let mut text = "auto lo\niface lo inet loopback\n\n".to_owned();
    if base.family() == Family::Alpine {
        text.push_str("auto eth0\niface eth0 inet dhcp\n");
        if wireless.is_some() {
            text.push_str("\nauto wlan0\niface wlan0 inet dhcp\n\tuse wifi\n");
        }
        return text;
    }
    text.push_str("allow-hotplug /en*=cable /eth*=cable\niface cable inet dhcp\niface cable inet6 auto\n");
    if wireless.is_some() {
        text.push_str(&format!("\nallow-hotplug /wl*=radio\niface radio inet dhcp\n\twpa-conf {WPA_CONF}\n"));
    }
    text
}

const WPA_CONF: &str = "/etc/wpa_supplicant/wpa_supplicant.conf";

/// What speaks to access points, and the rules of the country.
fn radio(system: &System<'_>, wireless: &Wireless, manager: Option<NetworkManager>, plan: &mut Plan) {
    let country = wireless.country.as_ref().map(|c| c.as_str());
    if let Some(country) = country {
        // The kernel's own setting counts whatever speaks to it (`cfg80211`, regulatory domain).
        let text = format!("options cfg80211 ieee80211_regdom={country}");
        plan.file("etc/modprobe.d/bootwright-wireless.conf", 0o644, format!("{text}\n"));
        plan.check(
            "spec.network.wireless.country",
            Expect::Line { path: "/etc/modprobe.d/bootwright-wireless.conf".to_owned(), line: text },
        );
    }
    let row = match supplicant(wireless) {
        Supplicant::Iwd => {
            let mut text = "[General]\nEnableNetworkConfiguration=false\n".to_owned();
            if let Some(country) = country {
                text.push_str(&format!("Country={country}\n"));
            }
            plan.file("etc/iwd/main.conf", 0o644, text);
            "iwd"
        }
        Supplicant::WpaSupplicant => {
            let mut text = "ctrl_interface=DIR=/run/wpa_supplicant\nupdate_config=1\n".to_owned();
            if let Some(country) = country {
                text.push_str(&format!("country={country}\n"));
            }
            // Names and passwords of networks will stand in it.
            plan.file(&WPA_CONF[1..], 0o600, text);
            "wifi"
        }
    };
    // NetworkManager and ifupdown start wpa_supplicant themselves, when there is a card.
    let starts_itself =
        row == "wifi" && matches!(manager, Some(NetworkManager::Networkmanager | NetworkManager::Ifupdown));
    if row == "wifi" && !starts_itself && system.init() == Init::Systemd {
        plan.file("etc/udev/rules.d/80-bootwright-wireless.rules", 0o644, WPA_RULE);
        plan.file(
            "etc/systemd/system/wpa_supplicant@.service.d/10-bootwright.conf",
            0o644,
            format!("[Service]\nExecStart=\nExecStart=/sbin/wpa_supplicant -c{WPA_CONF} -i%I\n"),
        );
    } else if !starts_itself && let Some(service) = system.service(row) {
        plan.start(&service);
    }
    let path = if row == "iwd" { "/etc/iwd/main.conf" } else { WPA_CONF };
    plan.check(WIRELESS, Expect::File { path: path.to_owned(), mode: None, owner: None, sha256: None });
}

/// One wpa_supplicant for each card, when the kernel finds it (man systemd.device).
const WPA_RULE: &str = "ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"wl*\", TAG+=\"systemd\", \
     ENV{SYSTEMD_WANTS}+=\"wpa_supplicant@$name.service\"\n";

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::super::testing::{needed, planned};
    use super::*;
    use serde_json::{Value, json};

    fn debian(network: &Value, packages: &[&str]) -> Plan {
        planned(Base::DEBIAN, None, &json!({"network": network}), packages)
    }

    #[test]
    fn without_systemd_the_usual_network_is_ifupdowns() {
        let plan = planned(Base::DEBIAN, Some(Init::Openrc), &json!({}), &["ifupdown"]);
        assert!(plan.text("etc/network/interfaces").unwrap().contains("allow-hotplug /en*=cable"));
        assert!(!plan.checks.iter().any(|c| c.field == MANAGER), "nobody chose it");
        let none = |path: &str| path.contains("systemd");
        assert!(!plan.files.iter().any(|f| none(&f.path)) && !plan.on.iter().any(|s| none(s)), "{plan:?}");
    }

    #[test]
    fn the_usual_network_is_dhcp_on_every_cable() {
        let plan = planned(Base::DEBIAN, None, &json!({}), &["systemd"]);
        assert!(plan.on.contains("systemd-networkd.service"));
        assert!(plan.text("etc/systemd/network/80-dhcp.network").is_some());
        let plan = planned(Base::DEBIAN, None, &json!({}), &["systemd", "network-manager"]);
        assert!(!plan.on.contains("systemd-networkd.service"));
    }

    #[test]
    fn what_is_chosen_runs_alone() {
        let all = ["systemd", "systemd-resolved", "network-manager", "ifupdown", "dhcpcd"];
        for (manager, service) in [
            ("networkmanager", "NetworkManager.service"),
            ("systemd-networkd", "systemd-networkd.service"),
            ("ifupdown", "networking.service"),
            ("dhcpcd", "dhcpcd.service"),
        ] {
            let plan = debian(&json!({"manager": manager}), &all);
            assert!(plan.on.contains(service), "{manager}");
            assert!(!plan.off.contains(service), "{manager}");
            assert_eq!(plan.off.iter().filter(|s| !s.contains("wait-online")).count(), 3, "{manager}");
            assert!(plan.checks.iter().any(|c| c.field == MANAGER));
        }
        // Units of packages that are not there cannot be switched off.
        assert!(debian(&json!({"manager": "dhcpcd"}), &["systemd"]).off.contains("systemd-networkd.service"));
        assert_eq!(debian(&json!({"manager": "dhcpcd"}), &["dhcpcd"]).off.len(), 0);
    }

    #[test]
    fn wireless_has_a_supplicant_a_country_and_firmware() {
        let wireless = json!({"manager": "networkmanager", "wireless":
            {"supplicant": "iwd", "country": "DE", "firmware": true, "drivers": ["broadcom-sta-dkms"]}});
        let names: Vec<String> =
            needed(Base::DEBIAN, &json!({"network": wireless})).into_iter().map(|(_, name)| name).collect();
        assert_eq!(
            names,
            ["networkmanager", "iwd", "wireless-regdb", "wireless-firmware", "broadcom-sta-dkms"]
        );
        let plan = debian(&wireless, &["network-manager", "iwd"]);
        assert!(
            plan.text("etc/NetworkManager/conf.d/10-bootwright.conf").unwrap().contains("wifi.backend=iwd")
        );
        assert_eq!(
            plan.text("etc/modprobe.d/bootwright-wireless.conf"),
            Some("options cfg80211 ieee80211_regdom=DE\n")
        );
        assert!(plan.on.contains("iwd.service"));
        let plan = debian(&json!({"wireless": {"country": "DE"}}), &["systemd"]);
        assert!(plan.text(&WPA_CONF[1..]).unwrap().contains("country=DE\n"));
        assert!(plan.text("etc/systemd/network/81-wireless.network").is_some());
        assert!(plan.text("etc/udev/rules.d/80-bootwright-wireless.rules").is_some());
        let plan = debian(&json!({"manager": "ifupdown", "wireless": {}}), &["ifupdown"]);
        assert!(plan.text("etc/network/interfaces").unwrap().contains("allow-hotplug /wl*=radio\n"));
        assert!(!plan.on.iter().any(|s| s.contains("wpa")));
    }
}
