//! The arguments of `release`, and where releases are and whose signatures count.

use super::args::output_parser;
use crate::model::spec::Output;
use crate::model::{ChannelName, ImageName};
use crate::ops::{ReleaseRef, VerifyTarget};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// What to do with releases.
#[derive(Clone, Debug, Subcommand)]
pub enum ReleaseCommand {
    /// List the releases of a store
    List(ReleaseListArgs),
    /// Show one release: files, packages, evidence
    Show(ReleaseShowArgs),
    /// Check the bytes and signatures of a release
    Verify(ReleaseVerifyArgs),
    /// Copy a release's files here and check them
    Fetch(ReleaseFetchArgs),
    /// Point a channel to a release
    Promote(ReleasePromoteArgs),
    /// Show which old releases may go, and remove them when told --yes
    Prune(ReleasePruneArgs),
}

/// Another store than the catalog's.
#[derive(Clone, Debug, Args)]
pub struct StoreArg {
    /// Another store than the catalog's: a folder or an address
    #[arg(long, value_name = "LOCATION", value_hint = ValueHint::AnyPath)]
    pub store: Option<String>,
}

/// Trusted keys.
#[derive(Clone, Debug, Args)]
pub struct KeysArg {
    /// A trusted public key (PEM or OpenPGP); the catalog's when there is none
    #[arg(long = "key", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub keys: Vec<PathBuf>,
    /// With --key: how many of the keys must have signed
    #[arg(long, value_name = "N", requires = "keys", value_parser = clap::value_parser!(u8).range(1..))]
    pub threshold: Option<u8>,
}

/// Arguments of `release list`.
#[derive(Clone, Debug, Args)]
pub struct ReleaseListArgs {
    /// Only this image
    #[arg(value_name = "IMAGE")]
    pub image: Option<ImageName>,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArg,
}

/// Arguments of `release show`.
#[derive(Clone, Debug, Args)]
pub struct ReleaseShowArgs {
    /// IMAGE, IMAGE@CHANNEL or IMAGE/VERSION
    #[arg(value_name = "RELEASE")]
    pub release: ReleaseRef,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArg,
}

/// Arguments of `release verify`.
#[derive(Clone, Debug, Args)]
pub struct ReleaseVerifyArgs {
    /// A release of the store, a folder with its files (./NAME), or an image in a registry
    #[arg(value_name = "RELEASE|DIR|oci://IMAGE")]
    pub target: VerifyTarget,
    /// Whom to trust.
    #[command(flatten)]
    pub keys: KeysArg,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArg,
}

/// Arguments of `release fetch`.
#[derive(Clone, Debug, Args)]
pub struct ReleaseFetchArgs {
    /// IMAGE, IMAGE@CHANNEL or IMAGE/VERSION
    #[arg(value_name = "RELEASE")]
    pub release: ReleaseRef,
    /// The folder that gets the files
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub to: PathBuf,
    /// Only these image files (and what is needed to check them)
    #[arg(long = "only", value_name = "OUTPUT", value_parser = output_parser())]
    pub outputs: Vec<Output>,
    /// Whom to trust.
    #[command(flatten)]
    pub keys: KeysArg,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArg,
}

/// Arguments of `release promote`.
#[derive(Clone, Debug, Args)]
pub struct ReleasePromoteArgs {
    /// IMAGE, IMAGE@CHANNEL or IMAGE/VERSION
    #[arg(value_name = "RELEASE")]
    pub release: ReleaseRef,
    /// The channel that shall point to it
    #[arg(value_name = "CHANNEL")]
    pub channel: ChannelName,
}

/// Arguments of `release prune`.
#[derive(Clone, Debug, Args)]
pub struct ReleasePruneArgs {
    /// Keep the newest N releases of each image; the catalog's number without it
    #[arg(long, value_name = "N")]
    pub keep: Option<u32>,
    /// Remove only what is older, in days: 30d; the catalog's number without it
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub older_than: Option<u32>,
    /// Remove nothing, only show; the same as without --yes
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Remove what is shown
    #[arg(long)]
    pub yes: bool,
}

/// `30d` → 30.
fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').and_then(|number| number.parse().ok());
    number.filter(|days| *days <= 36_500).ok_or_else(|| "write a number of days, as 30d".to_owned())
}
