//! OpenWrt's official Image Builders: found on a server, vouched for, unpacked once, kept.
//!
//! - [`server`]: what a server says of releases and their files
//! - [`signature`]: who vouches for it
//! - [`archive`]: archive → folder
//! - [`builders`]: the cache of unpacked builders
//! - `make`: `make image` in a sandbox
//! - `chosen`: which packages it will put in
//! - [`firmware`]: the cache of what it made
//! - `failure`: why it failed
//! - [`selection`]: which packages it failed for
//!
//! An Image Builder is what its archive's SHA-256 says: the same release and target can have
//! another one tomorrow (snapshots do), and both then lie side by side.

pub mod archive;
pub mod builders;
mod chosen;
mod failure;
pub mod firmware;
mod make;
pub mod selection;
pub mod server;
pub mod signature;

pub use archive::Limits;
pub use builders::{Builder, Builders};
pub use firmware::{Firmware, Firmwares, LONGEST_BUILD};
pub use make::copy_packages;
pub use server::{Listed, Server};
pub use signature::Keys;
