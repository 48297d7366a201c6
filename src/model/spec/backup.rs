//! Backups that the running system makes.

use super::text::{Destination, SystemPath, Timing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Backups that the running system makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backup {
    /// Which program.
    pub tool: BackupTool,
    /// When; `daily` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Timing>,
    /// How many backups are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Where backups go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Destination>,
    /// What is saved; `/etc`, `/home`, `/root`, `/srv` and `/var/lib` when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<SystemPath>,
    /// What is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<SystemPath>,
    /// The file of the running system that holds the passphrase; it is put there after the
    /// image is installed, never by the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<SystemPath>,
}

/// Backup programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackupTool {
    /// BorgBackup: to folders and over SSH.
    Borg,
    /// restic: to folders, over SFTP, to S3 and to its own server.
    Restic,
}

impl BackupTool {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Borg => "borg",
            Self::Restic => "restic",
        }
    }
}

/// How many backups are kept: the last one of each of so many hours, days, and so on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// Hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_hourly: Option<u16>,
    /// Days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_daily: Option<u16>,
    /// Weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_weekly: Option<u16>,
    /// Months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_monthly: Option<u16>,
    /// Years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_yearly: Option<u16>,
}
