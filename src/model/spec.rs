//! The `OsImage` spec: what one image shall be.
//!
//! Field names and values follow requirement 1, section 4. Every type refuses
//! unknown fields. What a single field cannot say alone (conflicts between fields,
//! packages unknown to the distribution) is checked by the rooms `catalog` and `resolve`.

use super::name::{ChannelName, HostName, ImageName, PackageName, SuiteName, UnitName, UserName};
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
    /// The processor architecture.
    #[serde(default)]
    pub architecture: Architecture,
    /// The init system.
    #[serde(default)]
    pub init: Init,
    /// Which kernel, and how it is started.
    #[serde(default)]
    pub kernel: Kernel,
    /// Packages by category; each category becomes one layer.
    #[serde(default)]
    pub packages: Packages,
    /// Host name, language, time zone and users.
    #[serde(default)]
    pub defaults: Defaults,
    /// Units switched on and off.
    #[serde(default)]
    pub services: Services,
    /// Firewall and remote access.
    #[serde(default)]
    pub security_features: SecurityFeatures,
    /// Boot menu.
    #[serde(default)]
    pub customization: Customization,
    /// What runs in the finished root filesystem.
    #[serde(default)]
    pub post_install: PostInstall,
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

/// How old a release may get before it is called stale, on its download page too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freshness {
    /// Days since it was published, or since a look at the mirrors found nothing newer. A
    /// stale image without a `schedule` has its packages looked up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub max_age_days: Option<u32>,
}

fn default_outputs() -> Vec<Output> {
    vec![Output::Iso]
}

fn default_channel() -> ChannelName {
    "edge".parse().expect("a valid channel name")
}

/// The distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Base {
    Arch,
    Debian,
    Ubuntu,
    Alpine,
    Fedora,
    Opensuse,
    Void,
    Gentoo,
}

impl Base {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arch => "arch",
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
            Self::Alpine => "alpine",
            Self::Fedora => "fedora",
            Self::Opensuse => "opensuse",
            Self::Void => "void",
            Self::Gentoo => "gentoo",
        }
    }
}

/// Processor architectures, in the kernel's spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// AMD64, Intel 64.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Architecture {
    /// The spelling of dpkg.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The spelling of the OCI image specification (Go's `GOARCH`).
    pub fn oci(self) -> &'static str {
        self.debian()
    }

    /// The spelling of a spec and of the kernel.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Init systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Init {
    #[default]
    Systemd,
    Openrc,
    Runit,
    S6,
}

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
#[allow(missing_docs)]
pub enum KernelVersion {
    #[default]
    LinuxLts,
    LinuxZen,
    LinuxHardened,
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

/// Packages by category. Names are looked up in the project's tables first, then
/// taken as the distribution's own; `extra` is never looked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Part of every system of this kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<PackageName>,
    /// Compilers, languages, version control.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub development: Vec<PackageName>,
    /// Security tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<PackageName>,
    /// Machine learning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ai_ml: Vec<PackageName>,
    /// Network tools and services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networking: Vec<PackageName>,
    /// Databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<PackageName>,
    /// Web and other servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<PackageName>,
    /// Sound, pictures, video.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub multimedia: Vec<PackageName>,
    /// Everything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub utils: Vec<PackageName>,
    /// The distribution's own names, taken as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<PackageName>,
}

impl Packages {
    /// The categories in the order of requirement 1, section 5.2, with their names as in a spec.
    pub fn categories(&self) -> [(&'static str, &[PackageName]); 10] {
        [
            ("base", &self.base),
            ("development", &self.development),
            ("security", &self.security),
            ("ai_ml", &self.ai_ml),
            ("networking", &self.networking),
            ("databases", &self.databases),
            ("servers", &self.servers),
            ("multimedia", &self.multimedia),
            ("utils", &self.utils),
            ("extra", &self.extra),
        ]
    }
}

/// Host name, language, time zone and users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Defaults {
    /// The host name; the image's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostName>,
    /// The system locale, such as `en_US.UTF-8`; `C.UTF-8` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The IANA time zone, such as `Europe/Berlin`; `Etc/UTC` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Accounts beside root. Root stays locked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// The login name.
    pub name: UserName,
    /// A crypt(5) hash (`$y$…`, `$6$…`); without one the account has no password.
    /// Never a password in clear text: a catalog is public to all who can read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// OpenSSH public keys, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// Groups beside the account's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<UserName>,
    /// The login shell; `/bin/bash` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Puts the account into the group `sudo`.
    #[serde(default)]
    pub sudo: bool,
}

/// Units switched on and off, whatever their package's preset says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Services {
    /// Started at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<UnitName>,
    /// Not started at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<UnitName>,
}

/// Firewall and remote access.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityFeatures {
    /// The packet filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// The OpenSSH server; present means installed and started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
}

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
#[allow(missing_docs)]
pub enum FirewallBackend {
    #[default]
    Nftables,
    Iptables,
    Ufw,
}

/// Let in or drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum FirewallAction {
    Allow,
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
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
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

/// The OpenSSH server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ssh {
    /// The port it listens on.
    #[serde(default = "default_ssh_port")]
    pub port: std::num::NonZeroU16,
    /// Whether root may log in.
    #[serde(default)]
    pub permit_root_login: bool,
    /// Whether passwords are taken; keys always are.
    #[serde(default)]
    pub password_authentication: bool,
    /// Login attempts in one connection (`MaxAuthTries`), 1 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u8>,
    /// If present, only these accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_users: Vec<UserName>,
}

fn default_ssh_port() -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(22).expect("22 is not zero")
}

/// What the system looks like from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Customization {
    /// The boot menu of the ISO.
    #[serde(default)]
    pub bootloader: Bootloader,
}

/// The boot menu of the ISO.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootloader {
    /// The first entry's title; the image's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Seconds until the first entry starts by itself; 3 when absent, 0 starts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u16>,
    /// A PNG picture behind the menu: a path in the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splash: Option<String>,
}

/// What runs in the finished root filesystem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostInstall {
    /// Executables by their path in the catalog, run in this order as root, without network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<String>,
}

/// What a release carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A live ISO for BIOS and UEFI, disc and USB stick.
    Iso,
    /// An OCI image.
    Oci,
    /// The root filesystem as one archive.
    Rootfs,
    /// A disk image.
    Disk,
}

impl Output {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::Oci => "oci",
            Self::Rootfs => "rootfs",
            Self::Disk => "disk",
        }
    }
}

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

/// Sizes that must not be exceeded: `700MiB`, `2GiB`, `1500MB` or plain bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// The ISO file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso_size: Option<Size>,
    /// The OCI archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci_size: Option<Size>,
    /// The root filesystem archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_size: Option<Size>,
}

/// A size in bytes, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SizeText", into = "String")]
#[schemars(with = "SizeText")]
pub struct Size(u64);

/// What a size may look like in a document.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum SizeText {
    /// Bytes.
    Bytes(u64),
    /// A number and a unit: B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
    Text(String),
}

impl Size {
    /// A size of so many bytes.
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Size {
    /// With the largest binary unit that keeps three digits: `1.95 GiB`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"];
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < units.len() {
            value /= 1024.0;
            unit += 1;
        }
        if unit == 0 {
            write!(f, "{} B", self.0)
        } else if value < 10.0 {
            write!(f, "{value:.2} {}", units[unit])
        } else if value < 100.0 {
            write!(f, "{value:.1} {}", units[unit])
        } else {
            write!(f, "{value:.0} {}", units[unit])
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if size.0 >= factor && size.0.is_multiple_of(factor) {
                return format!("{}{unit}", size.0 / factor);
            }
        }
        format!("{}B", size.0)
    }
}

impl std::str::FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not a size: write a number and a unit, such as 700MiB or 2GiB");
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..split].parse().map_err(|_| refuse())?;
        let factor: u64 = match text[split..].trim() {
            "" | "B" => 1,
            "KB" => 1000,
            "MB" => 1000 * 1000,
            "GB" => 1000 * 1000 * 1000,
            "TB" => 1000 * 1000 * 1000 * 1000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(refuse()),
        };
        number.checked_mul(factor).map(Size).ok_or_else(refuse)
    }
}

impl TryFrom<SizeText> for Size {
    type Error = String;
    fn try_from(text: SizeText) -> Result<Self, String> {
        match text {
            SizeText::Bytes(bytes) => Ok(Size(bytes)),
            SizeText::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("2GiB".parse::<Size>().unwrap().bytes(), 2 << 30);
        assert_eq!("1500MB".parse::<Size>().unwrap().bytes(), 1_500_000_000);
        assert!("2 gigs".parse::<Size>().is_err());
        assert!("99999999999TiB".parse::<Size>().is_err());
        assert_eq!(Size(2 << 30).to_string(), "2.00 GiB");
        assert_eq!(String::from(Size(700 << 20)), "700MiB");
    }
}
