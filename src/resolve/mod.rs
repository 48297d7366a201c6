//! Spec + tables + lock → recipe.
//!
//! Pure: the same inputs give the same recipe, and nothing but what shapes the bytes of
//! an image goes in. [`request`] says what a package manager is asked; [`resolve`] puts
//! its answer (the lock) and the spec together.

mod pins;
mod recipe;
mod request;

pub use pins::{StalePin, stale_pins};
pub use recipe::resolve;
pub use request::{Problem, check, request};

/// The layer whose packages are never installed: their files make an ISO start.
pub const ISO_BOOT_FILES: &str = "iso-boot-files";
