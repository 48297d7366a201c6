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
    /// Where the framework comes from: no distribution has packages of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_framework_source: Option<Source>,
    /// The framework's theme, such as `agnoster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_theme: Option<ThemeName>,
    /// What draws the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// Where the prompt comes from, if not from a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_source: Option<Source>,
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

/// Files that no package brings: a folder of the catalog, or a git repository at one commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The folder of the catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<CatalogPath>,
    /// The git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<HttpsUrl>,
    /// The commit of that repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<GitRevision>,
}

/// The one place that a [`Source`] or [`Dotfiles`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A folder of the catalog.
    Folder(&'a CatalogPath),
    /// A git repository at one commit.
    Repository {
        /// Its address.
        url: &'a HttpsUrl,
        /// The commit.
        revision: &'a GitRevision,
    },
}

impl<'a> Origin<'a> {
    fn of(
        folder: Option<&'a CatalogPath>,
        repository: Option<&'a HttpsUrl>,
        revision: Option<&'a GitRevision>,
    ) -> Option<Self> {
        match (folder, repository, revision) {
            (Some(folder), None, None) => Some(Self::Folder(folder)),
            (None, Some(url), Some(revision)) => Some(Self::Repository { url, revision }),
            _ => None,
        }
    }
}

/// As it is called in messages, and in [`ImageDocument::trees`](crate::model::catalog::ImageDocument).
impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{folder}/"),
            Self::Repository { url, revision } => write!(f, "{url} at {revision}"),
        }
    }
}

impl Source {
    /// The place; `None` if it names two or none.
    pub fn origin(&self) -> Option<Origin<'_>> {
        Origin::of(self.folder.as_ref(), self.repository.as_ref(), self.revision.as_ref())
    }
}

impl Dotfiles {
    /// The place; `None` if they name two or none.
    pub fn origin(&self) -> Option<Origin<'_>> {
        Origin::of(self.folder.as_ref(), self.repository.as_ref(), self.revision.as_ref())
    }
}

impl Customization {
    /// All places that files are taken from, each with its field.
    pub fn origins(&self) -> impl Iterator<Item = (&'static str, Origin<'_>)> {
        let framework = self.shell_framework_source.as_ref().and_then(Source::origin);
        let prompt = self.prompt_source.as_ref().and_then(Source::origin);
        let dotfiles = self.dotfiles.as_ref().and_then(Dotfiles::origin);
        [
            ("spec.customization.shellFrameworkSource", framework),
            ("spec.customization.promptSource", prompt),
            ("spec.customization.dotfiles", dotfiles),
        ]
        .into_iter()
        .filter_map(|(field, origin)| Some((field, origin?)))
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
    /// Whether Plymouth shows title, colours and picture while the system starts too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plymouth: bool,
}

/// Boot loaders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootloaderKind {
    /// GRUB: BIOS and UEFI.
    #[default]
    Grub,
    /// systemd-boot: UEFI only.
    SystemdBoot,
}

impl BootloaderKind {
    /// Whether it is the one that a spec need not name.
    pub fn is_grub(&self) -> bool {
        *self == Self::Grub
    }
}

/// Colours of the boot menu.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
