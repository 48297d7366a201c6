//! Mandatory access control, firewall, remote access, updates, kernel hardening.

use super::firewall::Firewall;
use super::text::{TimeOfDay, TimeSpan, Timing};
use crate::model::name::UserName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// Access control, firewall, remote access, updates, kernel hardening.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityFeatures {
    /// Mandatory access control: one of the systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mac: Vec<Mac>,
    /// The packet filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// The OpenSSH server; present means installed and started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Updates that the system fetches and installs by itself; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<Updates>,
    /// What makes the kernel harder to attack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_hardening: Vec<KernelHardening>,
}

/// Systems of mandatory access control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mac {
    /// AppArmor: profiles by path.
    Apparmor,
    /// SELinux: labels on every file.
    Selinux,
}

impl Mac {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apparmor => "apparmor",
            Self::Selinux => "selinux",
        }
    }
}

/// The OpenSSH server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ssh {
    /// The port it listens on.
    #[serde(default = "default_ssh_port")]
    pub port: NonZeroU16,
    /// Whether root may log in.
    #[serde(default)]
    pub permit_root_login: bool,
    /// Whether passwords are taken; keys always are.
    #[serde(default)]
    pub password_authentication: bool,
    /// Login attempts in one connection (`MaxAuthTries`), and before fail2ban shuts an
    /// address out, 1 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u8>,
    /// If present, only these accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_users: Vec<UserName>,
    /// Whether fail2ban shuts addresses out that try too often.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fail2ban: bool,
    /// How long fail2ban shuts an address out; `10m` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban_time: Option<TimeSpan>,
}

fn default_ssh_port() -> NonZeroU16 {
    NonZeroU16::new(22).expect("22 is not zero")
}

/// Updates that the system fetches and installs by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Updates {
    /// Which updates.
    #[serde(default)]
    pub scope: UpdateScope,
    /// When it looks for them; `daily` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Timing>,
    /// When it may restart if an update needs that; never by itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<TimeOfDay>,
}

/// Which updates are installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpdateScope {
    /// Those that close holes.
    #[default]
    Security,
    /// All.
    All,
}

/// What makes the kernel harder to attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelHardening {
    /// Random places in memory for kernel and programs (`kernel.randomize_va_space=2`, no `nokaslr`).
    Kaslr,
    /// Guards against overwritten stacks: memory is emptied when it is given out and back
    /// (`init_on_alloc=1 init_on_free=1`).
    StackProtector,
    /// The kernel's log only for root (`kernel.dmesg_restrict=1`).
    RestrictDmesg,
    /// Kernel addresses for nobody (`kernel.kptr_restrict=2`).
    RestrictKptr,
    /// Programs cannot look into one another (`kernel.yama.ptrace_scope=2`).
    RestrictPtrace,
    /// BPF programs only for root, with a hardened compiler (`kernel.unprivileged_bpf_disabled=1`).
    RestrictBpf,
    /// Performance counters only for root (`kernel.perf_event_paranoid=3`).
    RestrictPerf,
    /// No user namespaces for ordinary users; breaks rootless containers and browser sandboxes.
    RestrictUserNamespaces,
    /// No other kernel can be started from this one (`kernel.kexec_load_disabled=1`).
    DisableKexec,
    /// No magic keys (`kernel.sysrq=0`).
    DisableSysrq,
    /// No memory dumps of programs with other rights (`fs.suid_dumpable=0`).
    DisableCoreDumps,
    /// Links and pipes in shared folders are not followed (`fs.protected_*`).
    ProtectLinks,
    /// Packets with forged senders are dropped, floods of connections survived
    /// (`net.ipv4.conf.*.rp_filter`, `tcp_syncookies`).
    Network,
    /// The kernel refuses to be changed by root (`lockdown=confidentiality`).
    Lockdown,
}

impl KernelHardening {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kaslr => "kaslr",
            Self::StackProtector => "stack-protector",
            Self::RestrictDmesg => "restrict-dmesg",
            Self::RestrictKptr => "restrict-kptr",
            Self::RestrictPtrace => "restrict-ptrace",
            Self::RestrictBpf => "restrict-bpf",
            Self::RestrictPerf => "restrict-perf",
            Self::RestrictUserNamespaces => "restrict-user-namespaces",
            Self::DisableKexec => "disable-kexec",
            Self::DisableSysrq => "disable-sysrq",
            Self::DisableCoreDumps => "disable-core-dumps",
            Self::ProtectLinks => "protect-links",
            Self::Network => "network",
            Self::Lockdown => "lockdown",
        }
    }
}
