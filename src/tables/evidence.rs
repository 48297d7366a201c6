//! Where the names of a table were seen. A name that was seen nowhere may be right; whoever
//! uses it is told.

use crate::model::name::PackageName;
use serde::Deserialize;
use std::collections::BTreeSet;

/// One place that was looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What it is, and as of when.
    pub source: String,
    /// The day on which somebody looked (`YYYY-MM-DD`).
    pub looked: String,
    /// The names that were found there.
    pub names: BTreeSet<PackageName>,
}
