//! Host name, language, keyboard, time zone and users.

use super::text::{KeyboardName, KeyboardOption};
use crate::model::name::{HostName, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The keyboard; an American one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<Keyboard>,
    /// Accounts beside root. Root stays locked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
}

/// A keyboard, on the console and in graphical sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keyboard {
    /// The layout, such as `de`.
    pub layout: KeyboardName,
    /// The layout's variant, such as `nodeadkeys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<KeyboardName>,
    /// The model; `pc105` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<KeyboardName>,
    /// Options, such as `ctrl:nocaps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<KeyboardOption>,
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
    /// The login shell; that of `customization.shell` when absent, else `/bin/bash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Puts the account into the group `sudo`.
    #[serde(default)]
    pub sudo: bool,
}
