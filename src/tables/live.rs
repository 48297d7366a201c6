//! How the live systems of distributions find their root file system on the medium.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static ROWS: LazyLock<BTreeMap<String, Live>> =
    LazyLock::new(|| super::read("live systems", include_str!("live.yaml")));

/// One live system: what runs in the initramfs, and what it expects of the medium. Paths are
/// those on the medium, without the leading slash.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Live {
    /// What it is called.
    pub title: String,
    /// What makes the initramfs.
    pub generator: Generator,
    /// The kernel.
    pub kernel: String,
    /// The initramfs.
    pub initrd: String,
    /// The squashfs file; the folder of all of them where they are stacked.
    pub system: String,
    /// Whether it lays several squashfs files over each other.
    #[serde(default)]
    pub stacked: bool,
    /// The file by which the initramfs knows its medium; without one it goes by the label.
    #[serde(default)]
    pub identity: Option<String>,
    words: String,
}

/// What makes an initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// initramfs-tools (Debian, Ubuntu).
    Mkinitramfs,
    /// dracut (Fedora, openSUSE, Void, Gentoo, Alpine).
    Dracut,
    /// mkinitcpio (Arch).
    Mkinitcpio,
}

impl Live {
    /// The kernel's words that lead to the system on a medium with this volume id.
    pub fn words(&self, label: &str) -> String {
        self.words.replace("{label}", label)
    }

    /// Whether the medium is known by its volume id.
    pub fn goes_by_label(&self) -> bool {
        self.identity.is_none()
    }
}

/// The live system of that name.
pub fn live(name: &str) -> Option<&'static Live> {
    ROWS.get(name)
}

/// All of them.
pub fn live_systems() -> impl Iterator<Item = &'static Live> {
    ROWS.values()
}
