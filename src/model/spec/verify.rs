//! What the image has to show before it is trusted.

use crate::model::name::UnitName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the image has to show before it is trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// The ways it has to come up, each from the finished ISO.
    #[serde(default = "default_boot_modes")]
    pub boot: Vec<BootMode>,
    /// How long it must stay up before it is asked, in seconds.
    #[serde(default = "default_dwell")]
    pub dwell_seconds: u32,
    /// Units that must be active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitName>,
    /// TCP ports that must be open inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<std::num::NonZeroU16>,
    /// Memory of the virtual machine, in MiB.
    #[serde(default = "default_memory_mib")]
    pub memory_mib: u32,
    /// Seconds from power-on to the image's signal.
    #[serde(default = "default_boot_timeout")]
    pub timeout_seconds: u32,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            boot: default_boot_modes(),
            dwell_seconds: default_dwell(),
            units: Vec::new(),
            ports: Vec::new(),
            memory_mib: default_memory_mib(),
            timeout_seconds: default_boot_timeout(),
        }
    }
}

fn default_boot_modes() -> Vec<BootMode> {
    vec![BootMode::Bios, BootMode::Uefi]
}
fn default_dwell() -> u32 {
    5
}
fn default_memory_mib() -> u32 {
    1024
}
fn default_boot_timeout() -> u32 {
    600
}

/// One way to start an ISO: firmware and medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootMode {
    /// BIOS, from disc.
    Bios,
    /// UEFI without Secure Boot, from disc.
    Uefi,
    /// UEFI with Secure Boot and Microsoft's keys, from disc.
    SecureBoot,
    /// BIOS, from a USB stick.
    BiosUsb,
    /// UEFI without Secure Boot, from a USB stick.
    UefiUsb,
    /// UEFI with Secure Boot, from a USB stick.
    SecureBootUsb,
}

impl BootMode {
    /// The name as it stands in a spec, in file names and evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
            Self::SecureBoot => "secure-boot",
            Self::BiosUsb => "bios-usb",
            Self::UefiUsb => "uefi-usb",
            Self::SecureBootUsb => "secure-boot-usb",
        }
    }

    /// All of them.
    pub const ALL: [BootMode; 6] =
        [Self::Bios, Self::Uefi, Self::SecureBoot, Self::BiosUsb, Self::UefiUsb, Self::SecureBootUsb];
}
