//! The arguments of `flash`.

use super::args::{KeysArg, StoreArg, architecture_parser};
use crate::model::Digest;
use crate::model::flash::VerifyScope;
use crate::model::spec::Architecture;
use crate::ops::BootTarget;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Arguments of `flash`.
#[derive(Clone, Debug, Args)]
pub struct FlashArgs {
    /// IMAGE, IMAGE@CHANNEL or IMAGE/VERSION, or an image file (./NAME), also packed: .zst, .xz, .gz
    #[arg(value_name = "RELEASE|FILE")]
    pub target: BootTarget,
    /// The card, as a whole device such as /dev/sdb; several are written at once
    #[arg(long = "device", short, value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub devices: Vec<PathBuf>,
    /// The SHA-256 that the image file must have; releases bring their own
    #[arg(long, value_name = "DIGEST")]
    pub sha256: Option<Digest>,
    /// Refuse a release that is for another architecture
    #[arg(long, value_name = "ARCHITECTURE", value_parser = architecture_parser())]
    pub architecture: Option<Architecture>,
    /// Say what would be done, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Ask nothing: everything on the devices is lost
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// How much is read back and compared: all, prefix=SIZE or none
    #[arg(long, value_name = "SCOPE", default_value = "all")]
    pub verify: VerifyScope,
    /// Make the last MiB of the device zero too: backup partition tables, RAID marks
    #[arg(long)]
    pub wipe: bool,
    /// How many seconds one request to a card may take before the card is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub stall_after: u64,
    /// Whom to trust.
    #[command(flatten)]
    pub keys: KeysArg,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArg,
}
