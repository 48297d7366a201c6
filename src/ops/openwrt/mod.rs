//! What a user can ask for about OpenWrt.
//!
//! - [`builders`]: Image Builders in the cache
//! - [`profiles`]: device profiles of the catalog
//! - [`bundle`]: device profiles as one file
//! - [`building`]: device profiles → firmware
//! - `upstream`: the servers and the cache that the others speak of

pub mod builders;
pub mod building;
pub mod bundle;
pub mod profiles;
mod upstream;
