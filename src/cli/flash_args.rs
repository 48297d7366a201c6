//! The arguments of `flash` and its commands.

use super::args::architecture_parser;
use super::release_args::{KeysArg, StoreArg};
use crate::model::device::BoardName;
use crate::model::flash::VerifyScope;
use crate::model::spec::Architecture;
use crate::model::{Digest, ImageName};
use crate::ops::BootTarget;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// Arguments of `flash`: one of its commands, or what is to be written.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct FlashArgs {
    /// What to do instead of writing.
    #[command(subcommand)]
    pub command: Option<FlashCommand>,
    /// What to write.
    #[command(flatten)]
    pub write: FlashWriteArgs,
}

/// What to do instead of writing.
#[derive(Clone, Debug, Subcommand)]
pub enum FlashCommand {
    /// Say what was written to which card, and how cards and readers did
    History(FlashHistoryArgs),
    /// Compare what a booted device says of itself with what was written
    Check(FlashCheckArgs),
}

/// Which records.
#[derive(Clone, Debug, Args)]
pub struct FlashFilterArgs {
    /// Only this card, as the history shows it (cid:…, serial:…)
    #[arg(long, value_name = "CARD")]
    pub card: Option<String>,
    /// Only this reader: a device, or WRITER/SLOT
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<String>,
    /// Only this image
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<ImageName>,
}

/// Arguments of `flash history`.
#[derive(Clone, Debug, Args)]
pub struct FlashHistoryArgs {
    /// Which.
    #[command(flatten)]
    pub filter: FlashFilterArgs,
    /// How many, the newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub most: u64,
}

/// Arguments of `flash check`.
#[derive(Clone, Debug, Args)]
pub struct FlashCheckArgs {
    /// A file with what /usr/lib/bootwright/build-id holds on the device, of OpenWrt
    /// /etc/openwrt_release or /etc/banner; `-` reads it from stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub reported: PathBuf,
    /// What the device should carry.
    #[command(flatten)]
    pub filter: FlashFilterArgs,
}

/// What is to be written.
#[derive(Clone, Debug, Args)]
pub struct FlashWriteArgs {
    /// IMAGE, IMAGE@CHANNEL or IMAGE/VERSION, or an image file (./NAME), also packed: .zst, .xz, .gz
    #[arg(value_name = "RELEASE|FILE", required = true)]
    pub target: Option<BootTarget>,
    /// The card, as a whole device such as /dev/sdb; several are written at once
    #[arg(long = "device", short, value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub devices: Vec<PathBuf>,
    /// The SHA-256 that the image file must have; releases bring their own
    #[arg(long, value_name = "DIGEST")]
    pub sha256: Option<Digest>,
    /// The block map of an image file (bmap 2.0): what it must hold, compared before a card is
    /// touched. One beside it (FILE.bmap) is found; releases bring their own
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "no_bmap")]
    pub bmap: Option<PathBuf>,
    /// Compare with no block map, also if there is one
    #[arg(long)]
    pub no_bmap: bool,
    /// Refuse a release that is for another architecture
    #[arg(long, value_name = "ARCHITECTURE", value_parser = architecture_parser())]
    pub architecture: Option<Architecture>,
    /// Refuse a release that is not for this board, such as netgear,r6220 or generic-x86_64, or
    /// for this architecture
    #[arg(long, value_name = "BOARD")]
    pub board: Option<BoardName>,
    /// Say what would be done, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Ask nothing: everything on the devices is lost
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Write also to a card that was found to be unhealthy
    #[arg(long)]
    pub force: bool,
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
