//! Checksums, SBOM, provenance, signatures, store, download pages.
//!
//! What a newcomer would get wrong: the signed truth of a store is the one file
//! `index.dsse.json`. It names the digest of every `manifest.json`, which names the digest
//! of every other file. All else at the root (`index.json`, pages) is there for people and
//! foreign tools and is never read back.

pub mod attached;
pub mod blockmap;
pub mod changelog;
pub mod cosign;
pub mod dsse;
pub mod inputs;
pub mod keyless;
pub mod keys;
pub mod notices;
pub mod openpgp;
pub mod pages;
pub mod path;
pub mod provenance;
pub mod purl;
pub mod rebuild;
pub mod sbom;
pub mod store;
pub mod sums;

pub use keys::{PublicKey, Signer, Trust};
pub use store::{Look, Memory, Publication, Signers, Store};

/// This program and its version, as manifests and documents name it.
pub const TOOL: &str = concat!("bootwright ", env!("CARGO_PKG_VERSION"));
