//! What the system looks like: shell, dotfiles, boot menu.

use super::text::{CatalogPath, Color, GitRevision, HttpsUrl, ThemeName};
use crate::model::name::UserName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the system looks like: shell, dotfiles, boot menu.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Customization {
    /// The login shell of users who name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Shell>,
    /// A collection of settings for the shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_framework: Option<ShellFramework>,
    /// The framework's theme, such as `agnoster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_theme: Option<ThemeName>,
    /// What draws the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// The boot menu.
    #[serde(default)]
    pub bootloader: Bootloader,
    /// Users' own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotfiles: Option<Dotfiles>,
}

/// Login shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// The Z shell.
    Zsh,
    /// The Bourne again shell.
    Bash,
    /// The friendly interactive shell.
    Fish,
}

impl Shell {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zsh => "zsh",
            Self::Bash => "bash",
            Self::Fish => "fish",
        }
    }
}

/// Collections of settings for shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShellFramework {
    /// Oh My Zsh.
    OhMyZsh,
    /// Prezto, for zsh.
    Prezto,
    /// Oh My Bash.
    OhMyBash,
    /// Bash-it.
    BashIt,
    /// Oh My Fish.
    OhMyFish,
    /// Fisher, for fish.
    Fisher,
}

impl ShellFramework {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OhMyZsh => "oh-my-zsh",
            Self::Prezto => "prezto",
            Self::OhMyBash => "oh-my-bash",
            Self::BashIt => "bash-it",
            Self::OhMyFish => "oh-my-fish",
            Self::Fisher => "fisher",
        }
    }

    /// The shell it is for.
    pub fn shell(self) -> Shell {
        match self {
            Self::OhMyZsh | Self::Prezto => Shell::Zsh,
            Self::OhMyBash | Self::BashIt => Shell::Bash,
            Self::OhMyFish | Self::Fisher => Shell::Fish,
        }
    }
}

/// Programs that draw the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Prompt {
    /// Starship, for every shell.
    Starship,
    /// Powerlevel10k, for zsh.
    Powerlevel10k,
    /// Pure, for zsh.
    Pure,
    /// Oh My Posh, for every shell.
    OhMyPosh,
}

impl Prompt {
    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starship => "starship",
            Self::Powerlevel10k => "powerlevel10k",
            Self::Pure => "pure",
            Self::OhMyPosh => "oh-my-posh",
        }
    }
}

/// Users' own settings: from a folder of the catalog, or from a git repository at one commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dotfiles {
    /// The folder of the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<CatalogPath>,
    /// The git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<HttpsUrl>,
    /// The commit of that repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<GitRevision>,
    /// Whose settings they are; all of `defaults.users` when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserName>,
}

/// The boot menu.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootloader {
    /// Which boot loader; GRUB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<BootloaderKind>,
    /// The first entry's title; the image's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Seconds until the first entry starts by itself; 3 when absent, 0 starts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u16>,
    /// A PNG picture behind the menu: a path in the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splash: Option<String>,
    /// The menu's colours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colors: Option<MenuColors>,
    /// Whether Plymouth shows the picture while the system starts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plymouth: bool,
}

/// Boot loaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootloaderKind {
    /// GRUB: BIOS and UEFI.
    Grub,
    /// systemd-boot: UEFI only.
    SystemdBoot,
}

/// Colours of the boot menu.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MenuColors {
    /// Of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreground: Option<Color>,
    /// Behind the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Color>,
    /// Of the entry that is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highlight: Option<Color>,
}
