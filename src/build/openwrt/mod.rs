//! OpenWrt's official Image Builders: found on a server, vouched for, unpacked once, kept.
//!
//! - [`server`]: what a server says of releases and their files
//! - [`signature`]: who vouches for it
//! - [`archive`]: archive → folder
//! - [`builders`]: the cache of unpacked builders
//!
//! An Image Builder is what its archive's SHA-256 says: the same release and target can have
//! another one tomorrow (snapshots do), and both then lie side by side.

pub mod archive;
pub mod builders;
pub mod server;
pub mod signature;

pub use archive::Limits;
pub use builders::{Builder, Builders};
pub use server::{Listed, Server};
pub use signature::Keys;
