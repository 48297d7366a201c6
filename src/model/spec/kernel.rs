//! Which kernel, and how it is started.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which kernel, and how it is started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kernel {
    /// The flavour; each distribution's own package is in the tables.
    #[serde(default)]
    pub version: KernelVersion,
    /// Words added to the kernel command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_flags: Vec<String>,
    /// Modules loaded at boot or kept from loading.
    #[serde(default)]
    pub modules: Modules,
}

/// Kernel flavours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelVersion {
    /// The kernel with long support: where a distribution has one kernel, that one.
    #[default]
    LinuxLts,
    /// The zen kernel: short waits on desktops.
    LinuxZen,
    /// The hardened kernel.
    LinuxHardened,
}

impl KernelVersion {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LinuxLts => "linux-lts",
            Self::LinuxZen => "linux-zen",
            Self::LinuxHardened => "linux-hardened",
        }
    }
}

/// Kernel modules by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Modules {
    /// Loaded at boot (`modules-load.d`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<String>,
    /// Never loaded on demand (`modprobe.d`, `blacklist` and `install … /bin/false`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<String>,
}
