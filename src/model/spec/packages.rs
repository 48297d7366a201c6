//! Packages by category.

use crate::model::name::PackageName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packages by category. Names are looked up in the project's tables first, then
/// taken as the distribution's own; `extra` is never looked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Part of every system of this kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<PackageName>,
    /// Compilers, languages, version control.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub development: Vec<PackageName>,
    /// Security tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<PackageName>,
    /// Machine learning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ai_ml: Vec<PackageName>,
    /// Network tools and services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networking: Vec<PackageName>,
    /// Databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<PackageName>,
    /// Web and other servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<PackageName>,
    /// Sound, pictures, video.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub multimedia: Vec<PackageName>,
    /// Everything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub utils: Vec<PackageName>,
    /// The distribution's own names, taken as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<PackageName>,
}

impl Packages {
    /// The categories in the order of requirement 1, section 5.2, with their names as in a spec.
    pub fn categories(&self) -> [(&'static str, &[PackageName]); 10] {
        [
            ("base", &self.base),
            ("development", &self.development),
            ("security", &self.security),
            ("ai_ml", &self.ai_ml),
            ("networking", &self.networking),
            ("databases", &self.databases),
            ("servers", &self.servers),
            ("multimedia", &self.multimedia),
            ("utils", &self.utils),
            ("extra", &self.extra),
        ]
    }
}
