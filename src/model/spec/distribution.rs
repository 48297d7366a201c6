//! Distribution, architecture, init system.

use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::LazyLock;

/// A distribution, by the name of its folder in `src/tables/distributions`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base(&'static str);

/// The files of one distribution's folder.
pub(crate) struct Texts {
    about: &'static str,
    /// What every system of it needs; read by `tables`.
    pub(crate) system: &'static str,
    /// Where the names of its packages were seen; read by `tables`.
    pub(crate) seen: &'static str,
}

// NAMES and TEXTS, in the same order: made by build.rs from the folders.
include!(concat!(env!("OUT_DIR"), "/distributions.rs"));

/// What a distribution is: `about.yaml` of its folder.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct About {
    /// What it calls itself.
    pub title: String,
    /// One line for who chooses.
    pub summary: String,
    /// Whose files and habits it has.
    pub family: Family,
    /// The distribution whose package names it takes over where it has none of its own.
    #[serde(default)]
    pub like: Option<Base>,
    /// The init systems that it has packages for, its own first.
    pub inits: Vec<Init>,
    /// The processors that it is made for.
    pub architectures: Vec<Architecture>,
    /// Type and namespace of its package URLs (purl specification 1.0).
    pub purl: String,
    /// Suites that belong to it without doubt.
    #[serde(default)]
    pub codenames: Vec<String>,
    /// Its C library.
    #[serde(default)]
    pub libc: Libc,
    /// Whether firmware with Microsoft's keys starts its boot loader.
    #[serde(default)]
    pub secure_boot: bool,
    /// Whether it has one repository and one state, without releases.
    #[serde(default)]
    pub rolling: bool,
    /// The origins of security updates, as unattended-upgrades writes them (apt only).
    #[serde(default)]
    pub security_origins: Vec<String>,
    /// What it has of SELinux.
    #[serde(default)]
    pub selinux: Guard,
    /// What it has of AppArmor.
    #[serde(default)]
    pub apparmor: Guard,
}

/// Whose files and habits a distribution has: where settings lie, which programs read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Family {
    Alpine,
    Arch,
    Debian,
    Fedora,
    Gentoo,
    Opensuse,
    Void,
}

/// C libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Libc {
    #[default]
    Glibc,
    Musl,
}

/// How well a distribution can be guarded by one kind of mandatory access control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Packages and policies are its own.
    #[default]
    Kept,
    /// Its packages are built and tested without.
    ByHand,
    /// It has no policy or no support in its kernel.
    None,
}

static ABOUT: LazyLock<Vec<About>> = LazyLock::new(|| {
    let read = |texts: &Texts| serde_saphyr::from_str(texts.about);
    let all: Result<Vec<About>, _> = TEXTS.iter().map(read).collect();
    all.unwrap_or_else(|e| panic!("the folders of distributions are compiled in and a test reads them: {e}"))
});

// Those that code and tests name; each has its folder.
#[allow(missing_docs)]
impl Base {
    pub const ARCH: Base = Base("arch");
    pub const DEBIAN: Base = Base("debian");
    pub const UBUNTU: Base = Base("ubuntu");
    pub const ALPINE: Base = Base("alpine");
    pub const FEDORA: Base = Base("fedora");
    pub const OPENSUSE: Base = Base("opensuse");
    pub const VOID: Base = Base("void");
    pub const GENTOO: Base = Base("gentoo");
}

impl Base {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Base> {
        NAMES.iter().map(|name| Base(name))
    }

    /// The distribution of a name.
    pub fn named(name: &str) -> Option<Base> {
        Self::all().find(|base| base.0 == name)
    }

    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    fn place(self) -> usize {
        NAMES.iter().position(|name| *name == self.0).expect("made from these names only")
    }

    /// The files of its folder.
    pub(crate) fn texts(self) -> &'static Texts {
        &TEXTS[self.place()]
    }

    /// What it is.
    pub fn about(self) -> &'static About {
        &ABOUT[self.place()]
    }

    /// What it calls itself.
    pub fn title(self) -> &'static str {
        &self.about().title
    }

    /// Whose files and habits it has.
    pub fn family(self) -> Family {
        self.about().family
    }

    /// The init systems that it has packages for, its own first.
    pub fn inits(self) -> &'static [Init] {
        &self.about().inits
    }

    /// The init system that it installs when nobody asks for another.
    pub fn own_init(self) -> Init {
        self.inits()[0]
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Base {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Base::named(&name).ok_or_else(|| serde::de::Error::unknown_variant(&name, NAMES))
    }
}

impl JsonSchema for Base {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Base".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = |base: Base| json_schema!({"description": base.about().summary, "type": "string", "const": base.0});
        let all: Vec<schemars::Schema> = Base::all().map(one).collect();
        json_schema!({"description": "The distributions.", "oneOf": all})
    }
}

/// Processor architectures, in the kernel's spelling.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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
    /// s6: its s6-svscan is process 1.
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
