//! Values without effects: what every room speaks about.
//!
//! Nothing here reads a file, a clock or the environment. Core types can only be
//! built in a valid state: names are checked when they are parsed, witnesses
//! ([`VerifiedArtifact`]) have private constructors.

pub mod age;
pub mod artifact;
pub mod asu;
pub mod attachment;
pub mod block_map;
pub mod bucket;
pub mod builder_info;
pub mod card_plan;
pub mod catalog;
pub mod check;
pub mod deciding;
pub mod device;
pub mod digest;
pub mod event;
pub mod evidence;
pub mod failure;
pub mod firmware;
pub mod firmware_lock;
pub mod flash;
pub mod http_signature;
pub mod lock;
pub mod name;
pub mod name_changes;
pub mod observed;
pub mod openwrt;
pub mod packaging;
pub mod plan;
pub mod plist;
pub mod policy;
pub mod probe;
pub mod product;
pub mod profile;
pub mod public;
pub mod rebuild;
pub mod receipt;
pub mod recipe;
pub mod record;
pub mod release;
pub mod run;
pub mod settings;
pub mod signing;
pub mod spec;
pub mod writer;
pub mod writer_api;

pub use artifact::{Artifact, ArtifactKind, VerifiedArtifact};
pub use digest::{Digest, ImageDigest};
pub use event::{Emitter, Event};
pub use failure::{ErrorCode, Failure, FailureClass, Result};
pub use lock::Lock;
pub use name::{ChannelName, ImageName, Version};
pub use recipe::Recipe;
pub use spec::OsImage;
