//! Distribution, architecture, init system.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Arch Linux: rolling, pacman.
    Arch,
    /// Debian: apt.
    Debian,
    /// Ubuntu: apt.
    Ubuntu,
    /// Alpine Linux: musl, BusyBox, apk.
    Alpine,
    /// Fedora: dnf.
    Fedora,
    /// openSUSE: zypper.
    Opensuse,
    /// Void Linux: rolling, runit, xbps.
    Void,
    /// Gentoo: rolling, emerge.
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

    /// All of them.
    pub const ALL: [Base; 8] = [
        Self::Arch,
        Self::Debian,
        Self::Ubuntu,
        Self::Alpine,
        Self::Fedora,
        Self::Opensuse,
        Self::Void,
        Self::Gentoo,
    ];

    /// The init systems that it has packages for, its own first.
    pub fn inits(self) -> &'static [Init] {
        match self {
            Self::Arch | Self::Ubuntu | Self::Fedora | Self::Opensuse => &[Init::Systemd],
            Self::Debian => &[Init::Systemd, Init::Openrc, Init::Runit],
            Self::Alpine => &[Init::Openrc, Init::S6],
            Self::Void => &[Init::Runit, Init::S6],
            Self::Gentoo => &[Init::Openrc, Init::Systemd, Init::Runit, Init::S6],
        }
    }

    /// The init system that it installs when nobody asks for another.
    pub fn own_init(self) -> Init {
        self.inits()[0]
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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// systemd: units, timers, journal.
    #[default]
    Systemd,
    /// OpenRC: scripts in runlevels.
    Openrc,
    /// runit: supervised service folders.
    Runit,
    /// s6 with s6-rc.
    S6,
}

impl Init {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Openrc => "openrc",
            Self::Runit => "runit",
            Self::S6 => "s6",
        }
    }
}
