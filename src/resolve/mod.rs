//! Spec + tables + lock → recipe.
//!
//! Pure: the same inputs give the same recipe, and nothing but what shapes the bytes of
//! an image goes in. [`request`] says what a package manager is asked; [`resolve`] puts
//! its answer (the lock) and the spec together. [`packages`] says what a spec comes to on
//! any of the distributions.

mod device;
mod lookup;
mod packages;
mod pins;
mod recipe;
mod request;

pub use device::{Beside, firmware, firmware_request, listed_packages, resolved};
pub use packages::{Resolved, ResolvedCategory, ResolvedService, packages};
pub use pins::{StalePin, stale_pins};
pub use recipe::{dotfiles, resolve, shell_files};
pub use request::{Problem, check, request};

/// The layer whose packages are never installed: their files make an ISO start.
pub const ISO_BOOT_FILES: &str = "iso-boot-files";

/// The name of the tables that this one looks like a slip of, as a sentence.
fn did_you_mean(name: &str) -> Option<String> {
    let near = crate::tables::near(name);
    let slip = near.first().filter(|near| strsim::damerau_levenshtein(near, name) * 4 <= name.len())?;
    Some(format!("If you mean {slip}, write that."))
}
