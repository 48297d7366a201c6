//! A recipe: a spec with everything resolved. Its digest is the identity behind
//! "build or reuse".
//!
//! Only what shapes the bytes of an image stands in a recipe: no commit, no clock, no
//! path of this host, no mirror address.

use super::digest::Digest;
use super::lock::{Lock, LockedPackage};
use super::name::{HostName, ImageName, PackageName, SuiteName, UnitName, UserName};
use super::settings::Compression;
use super::spec::{
    AiService, Architecture, Backup, Base, BootloaderKind, Customization, DatabaseService, Display,
    Filesystem, Init, Installer, Keyboard, Limits, MenuColors, Modules, MonitoringService, Network, Output,
    SecurityFeatures, SystemTuning, User, Verify,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Raised when the way in which layers or artifacts are made changes their bytes: all
/// recipes get new digests then.
pub const BUILD_FORMAT: u32 = 6;

/// A spec with everything resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// [`BUILD_FORMAT`] of the program that resolved it.
    pub build_format: u32,
    /// The image.
    pub image: ImageName,
    /// The distribution.
    pub base: Base,
    /// Its suite.
    pub suite: SuiteName,
    /// The processor architecture.
    pub architecture: Architecture,
    /// `SOURCE_DATE_EPOCH` of what is made from the layers, in seconds: the lock's date.
    pub epoch: i64,
    /// The layers from bottom to top.
    pub layers: Vec<LayerRecipe>,
    /// What is made from the layers.
    pub outputs: Vec<Output>,
    /// How hard artifacts are compressed.
    pub compression: Compression,
    /// The boot menu of ISO and disk.
    pub boot_menu: BootMenu,
    /// Packages whose files make an ISO or a disk start; they are never installed. Empty without
    /// either.
    pub boot_files: Vec<LockedPackage>,
    /// What the image has to show before it is trusted.
    pub verify: Verify,
    /// Sizes that must not be exceeded.
    pub limits: Limits,
    /// The lock that the packages come from.
    pub lock: Digest,
}

/// One layer of the fixed chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecipe {
    /// `bootstrap`, `kernel`, a package category, `splash`, `shell`, `configuration`, `dotfiles`,
    /// `overlay`, `post-install`.
    pub name: String,
    /// `SOURCE_DATE_EPOCH` of its step, in seconds: when its packages last changed. No file in
    /// it is later.
    pub epoch: i64,
    /// What it does.
    pub step: LayerStep,
}

/// What one layer does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum LayerStep {
    /// Makes the smallest root that can install packages.
    Bootstrap {
        /// In the order in which they are installed.
        packages: Vec<LockedPackage>,
    },
    /// Installs packages.
    Packages {
        /// In the order in which they are installed.
        packages: Vec<LockedPackage>,
    },
    /// Writes the configuration that the spec asks for.
    Configuration(Box<Configuration>),
    /// Lays files over the root.
    Overlay {
        /// Sorted by path.
        entries: Vec<OverlayRecipe>,
    },
    /// Lays files into users' homes.
    Homes {
        /// Whose homes.
        users: Vec<UserName>,
        /// Paths are below each home; sorted.
        entries: Vec<OverlayRecipe>,
    },
    /// Runs scripts in the root, without network, and switches on what only now is there.
    PostInstall {
        /// In the order in which they run.
        scripts: Vec<ScriptRecipe>,
    },
}

/// The settings that become configuration files, accounts and services: what the spec says,
/// with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// SHA-256 of the [plan](crate::configure::Plan) that these settings become: another way
    /// of writing the same settings is another image.
    pub written: Digest,
    /// The init system.
    pub init: Init,
    /// The host name.
    pub hostname: HostName,
    /// The locale, such as `en_US.UTF-8`.
    pub locale: String,
    /// The IANA time zone.
    pub timezone: String,
    /// The keyboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<Keyboard>,
    /// The accounts.
    pub users: Vec<User>,
    /// Units started at boot.
    pub enable: Vec<UnitName>,
    /// Units not started at boot.
    pub disable: Vec<UnitName>,
    /// Units started at boot that the overlay or a post-install script brings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brought: Vec<UnitName>,
    /// Databases that are set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseService>,
    /// Monitoring that is set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<MonitoringService>,
    /// Language models and what serves them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ai: Vec<AiService>,
    /// Access control, packet filter, remote access, updates, kernel hardening.
    pub security_features: SecurityFeatures,
    /// How the network is set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// What the spec asks for by name and has a program that says its version, by category.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<(String, PackageName)>,
    /// Kernel modules.
    pub modules: Modules,
    /// How disks are laid out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    /// The graphical session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,
    /// Backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Shells, dotfiles, and what Plymouth shows; the boot menu stands elsewhere.
    pub customization: Customization,
    /// How the running system is tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<SystemTuning>,
    /// The installer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<Installer>,
    /// Pictures that settings name, by their paths in the catalog; their bytes are found in
    /// [`ResolvedRecipe::blobs`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pictures: BTreeMap<String, Digest>,
}

/// One overlay entry, its bytes by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum OverlayRecipe {
    /// A regular file.
    File {
        /// Path in the image, without the leading slash.
        path: String,
        /// Its content, found in [`ResolvedRecipe::blobs`].
        digest: Digest,
        /// Mode 0755, else 0644.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Path in the image, without the leading slash.
        path: String,
        /// Where it points.
        target: String,
    },
}

/// One script, its bytes by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptRecipe {
    /// Path in the catalog, for messages.
    pub path: String,
    /// Its content, found in [`ResolvedRecipe::blobs`].
    pub digest: Digest,
}

/// The boot menu of the ISO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootMenu {
    /// Which boot loader shows it.
    #[serde(default, skip_serializing_if = "BootloaderKind::is_grub")]
    pub kind: BootloaderKind,
    /// The first entry's title.
    pub title: String,
    /// Seconds until it starts by itself.
    pub timeout: u16,
    /// A PNG picture behind the menu.
    pub splash: Option<Digest>,
    /// Its colours, if they are not GRUB's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colors: Option<MenuColors>,
    /// Words added to the kernel command line.
    pub kernel_flags: Vec<String>,
}

/// A recipe with the bytes that it names by digest and the lock that it was made from.
#[derive(Clone, Debug)]
pub struct ResolvedRecipe {
    /// The recipe.
    pub recipe: Recipe,
    /// Overlay files, scripts and pictures by digest.
    pub blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// The lock, to be kept in the release.
    pub lock: Lock,
}

/// The identity of one layer: what it does and everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerId(pub Digest);

impl OverlayRecipe {
    /// Where it goes.
    pub fn path(&self) -> &str {
        match self {
            Self::File { path, .. } | Self::Symlink { path, .. } => path,
        }
    }
}

impl std::fmt::Display for LayerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl Recipe {
    /// The recipe digest: SHA-256 of the canonical JSON.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// The identity of every layer, from bottom to top. A change in one layer changes
    /// its own id and those above, none below.
    pub fn layer_ids(&self) -> Vec<LayerId> {
        let root = Digest::of_json(&(self.build_format, self.base, &self.suite, self.architecture));
        let mut below = root;
        self.layers
            .iter()
            .map(|layer| {
                below = Digest::of_json(&(below, layer));
                LayerId(below)
            })
            .collect()
    }

    /// Everything that the recipe names by digest and [`ResolvedRecipe::blobs`] has.
    pub fn blobs(&self) -> std::collections::BTreeSet<Digest> {
        let of_layers = self.layers.iter().flat_map(|layer| match &layer.step {
            LayerStep::Overlay { entries } | LayerStep::Homes { entries, .. } => entries
                .iter()
                .filter_map(|entry| match entry {
                    OverlayRecipe::File { digest, .. } => Some(*digest),
                    OverlayRecipe::Symlink { .. } => None,
                })
                .collect(),
            LayerStep::PostInstall { scripts } => scripts.iter().map(|s| s.digest).collect(),
            LayerStep::Configuration(configuration) => configuration.pictures.values().copied().collect(),
            _ => Vec::new(),
        });
        of_layers.chain(self.boot_menu.splash).collect()
    }

    /// The settings of the configuration layer.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.layers.iter().find_map(|layer| match &layer.step {
            LayerStep::Configuration(configuration) => Some(&**configuration),
            _ => None,
        })
    }

    /// Whether one of the outputs starts by itself, and so needs kernel and boot loaders.
    pub fn starts(&self) -> bool {
        self.outputs.iter().any(|output| output.starts())
    }

    /// All packages of all layers.
    pub fn packages(&self) -> impl Iterator<Item = &LockedPackage> {
        self.layers.iter().flat_map(|layer| match &layer.step {
            LayerStep::Bootstrap { packages } | LayerStep::Packages { packages } => packages.as_slice(),
            _ => &[],
        })
    }
}
