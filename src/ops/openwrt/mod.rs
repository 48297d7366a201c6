//! What a user can ask for about OpenWrt.
//!
//! - [`builders`]: Image Builders in the cache
//! - [`profiles`]: device profiles of the catalog
//! - [`bundle`]: device profiles as one file
//! - [`building`]: device profiles → firmware
//! - [`changes`]: packages with new names
//! - [`asu`]: routers ask for firmware
//! - [`locking`]: device profiles → locks
//! - [`records`]: what was built
//! - `place`: the cache that the others speak of

pub mod asu;
pub mod builders;
pub mod building;
pub mod bundle;
pub mod changes;
pub mod locking;
mod place;
pub mod profiles;
pub mod records;

pub(super) use place::Place;
