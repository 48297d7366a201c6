//! The packet filter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The packet filter for incoming traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Firewall {
    /// Which tool.
    #[serde(default)]
    pub backend: FirewallBackend,
    /// What happens to incoming packets that no rule names.
    #[serde(default)]
    pub policy: FirewallAction,
    /// Read from top to bottom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<FirewallRule>,
}

/// Packet filter tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirewallBackend {
    /// nftables, in the kernel since 3.13.
    #[default]
    Nftables,
    /// iptables, the older tool.
    Iptables,
    /// ufw, Ubuntu's front.
    Ufw,
}

impl FirewallBackend {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Ufw => "ufw",
        }
    }
}

/// Let in or drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirewallAction {
    /// Let in.
    Allow,
    /// Drop without an answer.
    #[default]
    Deny,
}

/// One rule for incoming traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirewallRule {
    /// Let in or drop.
    pub action: FirewallAction,
    /// The destination port, 1 to 65535.
    pub port: std::num::NonZeroU16,
    /// Which transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// Source network in CIDR form; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Transport protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
