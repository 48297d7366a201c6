//! The network of the running system.

use super::text::CountryCode;
use crate::model::name::PackageName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network of the running system; absent means DHCP on every cable, set up by the distribution's own means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// What sets addresses and routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<NetworkManager>,
    /// Wireless networks; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireless: Option<Wireless>,
}

/// Programs that set up a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkManager {
    /// NetworkManager: desktops and laptops.
    Networkmanager,
    /// systemd-networkd: servers.
    SystemdNetworkd,
    /// ifupdown: Debian's and Alpine's `/etc/network/interfaces`.
    Ifupdown,
    /// dhcpcd: Void's and Gentoo's habit.
    Dhcpcd,
}

impl NetworkManager {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Networkmanager => "networkmanager",
            Self::SystemdNetworkd => "systemd-networkd",
            Self::Ifupdown => "ifupdown",
            Self::Dhcpcd => "dhcpcd",
        }
    }
}

/// Wireless networks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wireless {
    /// What speaks to access points; `wpa-supplicant` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplicant: Option<Supplicant>,
    /// The country whose radio rules hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<CountryCode>,
    /// Whether firmware that is not free is brought along; most adapters need it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub firmware: bool,
    /// Packages with drivers that the kernel does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<PackageName>,
}

/// Programs that speak to access points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Supplicant {
    /// wpa_supplicant.
    WpaSupplicant,
    /// iwd.
    Iwd,
}
