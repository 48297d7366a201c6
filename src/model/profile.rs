//! The `Profile` document: a part of a spec that images include, and the security levels.
//!
//! A profile is never an image: what it sets counts only in the images that include it, so
//! nothing in it is required.

use super::name::ProfileName;
use super::spec::{ApiVersion, Base, OsSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far an image is closed: the values that it starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecurityLevel {
    /// A firewall that lets nothing in.
    Minimal,
    /// The firewall, fail2ban and automatic updates.
    Standard,
    /// All of it, mandatory access control, a hardened kernel and encryption.
    Hardened,
}

impl SecurityLevel {
    /// All levels, the most open one first.
    pub const ALL: [SecurityLevel; 3] = [Self::Minimal, Self::Standard, Self::Hardened];

    /// The name as it stands in a spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Standard => "standard",
            Self::Hardened => "hardened",
        }
    }
}

/// The kind of document this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProfileKind {
    /// A part of a spec.
    Profile,
}

/// One document of kind `Profile`: a part of a spec, for images to include.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Always `bootwright/v1`.
    pub api_version: ApiVersion,
    /// Always `Profile`.
    pub kind: ProfileKind,
    /// Who this document is.
    pub metadata: ProfileMetadata,
    /// The distributions that it is made for; any when absent. Another image that includes
    /// it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<Base>,
    /// Fields of an image, none of them required.
    pub spec: OsSpec,
}

/// Name and description of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileMetadata {
    /// What people call it.
    pub name: ProfileName,
    /// What it is for, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
