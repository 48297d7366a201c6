//! The arguments of `openwrt`.

use crate::model::age::Age;
use crate::model::openwrt::{Platform, Release};
use crate::model::spec::Size;
use clap::{Args, Subcommand};

/// What to do for OpenWrt.
#[derive(Clone, Debug, Subcommand)]
pub enum OpenwrtCommand {
    /// Fetch, look at, check and remove Image Builders
    #[command(subcommand)]
    Builder(BuilderCommand),
}

/// What to do with Image Builders.
#[derive(Clone, Debug, Subcommand)]
pub enum BuilderCommand {
    /// Fetch an Image Builder, check who signed for it, and unpack it, unless it is here
    Ensure(BuilderEnsureArgs),
    /// List the Image Builders of the cache
    List,
    /// Read every byte and remove what is damaged
    Verify,
    /// Remove what was not used for long, or what does not fit; never what is in use
    Prune(BuilderPruneArgs),
}

/// Arguments of `openwrt builder ensure`.
#[derive(Clone, Debug, Args)]
pub struct BuilderEnsureArgs {
    /// 24.10.5, 25.12 (the latest of the branch), snapshot or 24.10-SNAPSHOT
    #[arg(value_name = "RELEASE")]
    pub release: Release,
    /// The target, such as x86/64
    #[arg(value_name = "TARGET/SUBTARGET")]
    pub platform: Platform,
}

/// Arguments of `openwrt builder prune`.
#[derive(Clone, Debug, Args)]
pub struct BuilderPruneArgs {
    /// Remove what was not used for so long, such as 30d
    #[arg(long, value_name = "AGE")]
    pub max_age: Option<Age>,
    /// Remove the longest unused until so much is left, such as 20GiB
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Say what would be removed and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}
