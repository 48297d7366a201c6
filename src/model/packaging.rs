//! Which packages a catalog takes, and what happens when there is none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which packages a catalog takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PackageSettings {
    /// Repositories beside the distribution's own that packages may come from, such as
    /// `non-free` or `aur`; `bootwright packages` names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// What happens to a name that the distribution does not have.
    #[serde(default)]
    pub missing: MissingPackage,
}

/// What happens to a name that the distribution does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingPackage {
    /// The image is refused.
    #[default]
    Error,
    /// The image is built without it, and that is said.
    Warning,
}
