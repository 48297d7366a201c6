//! `explain FIELD`, `explain RULE`, `explain CODE`: what something is.

use super::Context;
use crate::catalog::{self, Topic};
use crate::model::Result;

/// Says what a field, a rule or an error code is; no catalog is read.
///
/// # Errors
/// Class *spec* if nothing is called so, with what is called nearly so.
pub fn topic(_context: &Context, topic: &str) -> Result<Topic> {
    catalog::explain(topic)
}
