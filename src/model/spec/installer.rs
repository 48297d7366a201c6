//! The installer that a live system offers.

use super::text::{CatalogPath, HttpsUrl, Title};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The installer that a live system offers; absent means none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Installer {
    /// Which program.
    #[serde(default)]
    pub program: InstallerProgram,
    /// The system's name in its windows; the boot menu's title when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_name: Option<Title>,
    /// The page that "support" leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_url: Option<HttpsUrl>,
    /// A PNG picture for its windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<CatalogPath>,
    /// PNG pictures shown while it copies files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slides: Vec<CatalogPath>,
    /// The pages it shows, in this order; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<InstallerPage>,
}

impl Installer {
    /// The pictures that it shows: files of the catalog, in the order of their fields.
    pub fn pictures(&self) -> impl Iterator<Item = &CatalogPath> {
        self.logo.iter().chain(&self.slides)
    }
}

/// Installers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstallerProgram {
    /// Calamares, with windows.
    #[default]
    Calamares,
}

/// Pages of the installer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstallerPage {
    /// Language and what the machine needs.
    Welcome,
    /// Time zone and formats.
    Locale,
    /// Keyboard.
    Keyboard,
    /// Disks.
    Partition,
    /// Accounts.
    Users,
    /// What will be done.
    Summary,
    /// The end, with a restart.
    Finished,
}

impl InstallerPage {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Locale => "locale",
            Self::Keyboard => "keyboard",
            Self::Partition => "partition",
            Self::Users => "users",
            Self::Summary => "summary",
            Self::Finished => "finished",
        }
    }
}
