//! The `OsImage` spec: what one image shall be.
//!
//! Field names and values follow requirement 1, section 4. Every type refuses
//! unknown fields. What a single field cannot say alone (conflicts between fields,
//! packages unknown to the distribution) is checked by the rooms `catalog` and `resolve`.

mod accounts;
mod backup;
mod customization;
mod display;
mod distribution;
mod firewall;
mod installer;
mod kernel;
mod network;
mod output;
mod packages;
mod post_install;
mod security;
mod services;
mod size;
mod storage;
pub mod text;
mod verify;

pub use accounts::{Defaults, Keyboard, User};
pub use backup::{Backup, BackupTool, Retention};
pub use customization::{
    Bootloader, BootloaderKind, Customization, Dotfiles, MenuColors, Origin, Prompt, Shell, ShellFramework,
    Source,
};
pub use display::{Compositor, Display, DisplayServer};
pub use distribution::{About, Architecture, Base, Family, Guard, Init, Libc};
pub use firewall::{Firewall, FirewallAction, FirewallBackend, FirewallRule, Protocol};
pub use installer::{Installer, InstallerPage, InstallerProgram};
pub use kernel::{Kernel, KernelVersion, Modules};
pub use network::{Network, NetworkManager, Supplicant, Wireless};
pub use output::{Freshness, Limits, Output};
pub use packages::Packages;
pub use post_install::{CpuGovernor, IoScheduler, PostInstall, Sysctl, SystemTuning};
pub use security::{KernelHardening, Mac, SecurityFeatures, Ssh, UpdateScope, Updates};
pub use services::{
    Ai, AiService, Database, DatabaseService, Listen, Monitoring, MonitoringService, Services,
};
pub use size::Size;
pub use storage::{
    Encryption, Filesystem, Partition, RaidLevel, RootFilesystem, SnapshotInterval, Snapshots, Swap, SwapKind,
};
pub use verify::{BootMode, Verify};

use super::name::{ChannelName, ImageName, SuiteName};
use super::profile::SecurityLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the document format.
pub const API_VERSION: &str = "bootwright/v1";

/// The only API version there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// `bootwright/v1`
    #[serde(rename = "bootwright/v1")]
    V1,
}

/// The kind of document this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OsImageKind {
    /// An operating-system image.
    OsImage,
}

/// One document of kind `OsImage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OsImage {
    /// Always `bootwright/v1`.
    pub api_version: ApiVersion,
    /// Always `OsImage`.
    pub kind: OsImageKind,
    /// Who this document is.
    pub metadata: Metadata,
    /// What the image shall be.
    pub spec: OsSpec,
}

/// Name and description of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The image's name: folder, URL segment and OCI repository.
    pub name: ImageName,
    /// One line for download pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Free labels, for `--only label=value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What the image shall be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OsSpec {
    /// The distribution.
    pub base: Base,
    /// The distribution's suite: `bookworm`.
    pub suite: SuiteName,
    /// How far the image is closed: values that it starts from, below all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_level: Option<SecurityLevel>,
    /// The processor architecture.
    #[serde(default)]
    pub architecture: Architecture,
    /// The init system; the distribution's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// Which kernel, and how it is started.
    #[serde(default)]
    pub kernel: Kernel,
    /// How the disk is laid out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    /// The graphical session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,
    /// Packages by category; each category becomes one layer.
    #[serde(default)]
    pub packages: Packages,
    /// Host name, language, keyboard, time zone and users.
    #[serde(default)]
    pub defaults: Defaults,
    /// The network of the running system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Units switched on and off, and services that are set up.
    #[serde(default)]
    pub services: Services,
    /// Access control, firewall, remote access, updates, kernel hardening.
    #[serde(default)]
    pub security_features: SecurityFeatures,
    /// Backups that the running system makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Shell, dotfiles, boot menu.
    #[serde(default)]
    pub customization: Customization,
    /// What runs in the finished root filesystem, and how the running system is tuned.
    #[serde(default)]
    pub post_install: PostInstall,
    /// The installer that a live system offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<Installer>,
    /// Which files a release of this image carries.
    #[serde(default = "default_outputs")]
    pub outputs: Vec<Output>,
    /// The channel that a new release is put on.
    #[serde(default = "default_channel")]
    pub channel: ChannelName,
    /// When to look for upstream changes: five cron fields (minute, hour, day of month, month, day of week).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The IANA time zone that `schedule` is read in; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_time_zone: Option<String>,
    /// How old a release may get.
    #[serde(default)]
    pub freshness: Freshness,
    /// What the image has to show before it is trusted.
    #[serde(default)]
    pub verify: Verify,
    /// Sizes that must not be exceeded.
    #[serde(default)]
    pub limits: Limits,
    /// Sets the image aside: nothing is built, what is published stays.
    #[serde(default)]
    pub paused: bool,
}

fn default_outputs() -> Vec<Output> {
    vec![Output::Iso]
}

pub(super) fn default_channel() -> ChannelName {
    "edge".parse().expect("a valid channel name")
}

impl OsSpec {
    /// The init system: the one the spec names, else the distribution's own.
    pub fn init_system(&self) -> Init {
        self.init.unwrap_or(self.base.own_init())
    }
}
