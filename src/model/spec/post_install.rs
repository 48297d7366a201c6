//! What runs in the finished root filesystem, and how the running system is tuned.

use super::text::{SysctlKey, SysctlValue};
use crate::model::name::UnitName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What runs in the finished root filesystem, and how the running system is tuned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostInstall {
    /// Executables by their path in the catalog, run in this order as root, without network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<String>,
    /// How the running system is tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_tuning: Option<SystemTuning>,
    /// Units that the scripts bring, started at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<UnitName>,
}

/// How the running system is tuned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SystemTuning {
    /// How gladly the kernel swaps (`vm.swappiness`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 200))]
    pub swappiness: Option<u8>,
    /// How the processor's speed is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_governor: Option<CpuGovernor>,
    /// In which order disks are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_scheduler: Option<IoScheduler>,
    /// How many files one program may hold open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub open_files: Option<u32>,
    /// Kernel settings (`sysctl.d`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sysctl: Vec<Sysctl>,
}

/// How the processor's speed is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CpuGovernor {
    /// Always the highest.
    Performance,
    /// Always the lowest.
    Powersave,
    /// As the scheduler sees the load.
    Schedutil,
    /// High under load.
    Ondemand,
    /// Slowly higher under load.
    Conservative,
}

/// In which order disks are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IoScheduler {
    /// As they come: fast NVMe disks.
    None,
    /// With a deadline: servers.
    MqDeadline,
    /// Fair between programs: desktops on slow disks.
    Bfq,
    /// Short waits: fast disks under load.
    Kyber,
}

/// One kernel setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sysctl {
    /// Its name, with dots.
    pub key: SysctlKey,
    /// Its value; numbers may stand without quotes.
    pub value: SysctlValue,
}
