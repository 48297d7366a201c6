//! Text of a catalog → validated specs and settings, with a place for every complaint.
//!
//! ```text
//! git::read(location) ──▶ Files ──load──▶ Catalog, or all Diagnostics at once
//! ```

mod apt;
mod check;
pub mod commit;
mod consumed;
mod devices;
pub mod diagnostic;
pub mod files;
#[cfg(test)]
mod generated;
pub mod git;
mod include;
mod load;
pub mod location;
mod lockfile;
mod overlay;
mod place;
mod reference;
mod remote;
pub mod rules;
pub mod scaffold;
mod schema;
mod shape;
mod source;
pub mod survey;
mod topic;
pub mod trees;
mod worktree;
mod written;
mod yaml;

#[cfg(test)]
pub(crate) use generated::assert_current;

pub use apt::mirrors_from_apt;
pub use consumed::Reads;
pub use devices::{deprecate, device_text};
pub use diagnostic::{Diagnostic, Severity};
pub use files::Files;
pub use git::{head, read};
pub use include::{Resolved, ResolvedValue, ValueOrigin, resolved};
pub use load::is_spec as is_spec_path;
pub use load::{at_field, at_setting, check, check_for_other_builders, check_some, load, settings};
pub use location::Location;
pub use lockfile::{lock_path, lock_text, parse_lock, product_lock_text};
pub use place::{diagnostic_of, locate};
pub use reference::reference;
pub use schema::{Kind, schema, schema_text};
pub use shape::nearest;
pub use survey::Survey;
pub use topic::{CodeTopic, FieldTopic, Meaning, RuleTopic, Topic, explain};
pub use trees::{Clones, gather};
