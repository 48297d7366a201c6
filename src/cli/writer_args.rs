//! The arguments of `writer` and `serve`.

use super::release_args::KeysArg;
use crate::model::writer::{SlotName, WriterName};
use clap::{Args, Subcommand, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// The certificate chain that is shown, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate: PathBuf,
    /// Its private key, PEM, which nobody else may read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate_key: PathBuf,
    /// How many seconds a card writer may be silent before another may take its job
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub lease: u32,
}

/// What to do with card writers.
#[derive(Clone, Debug, Subcommand)]
pub enum WriterCommand {
    /// On the controller: make a token, good for one enrolment of one card writer
    Token(TokenArgs),
    /// On the controller: list the flash jobs
    Jobs,
    /// On the controller: issue a job again that a card writer refused
    Retry(RetryArgs),
    /// On the card writer: make its key, pin the keys of releases, enrol with the controller
    Enroll(EnrollArgs),
    /// On the card writer: take jobs, write cards, sign receipts
    Run(RunArgs),
}

/// Arguments of `writer token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// The card writer, as the catalog names it
    #[arg(value_name = "NAME")]
    pub writer: WriterName,
    /// How many hours the token is good
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(i64).range(1..=168))]
    pub hours: i64,
}

/// Arguments of `writer retry`.
#[derive(Clone, Debug, Args)]
pub struct RetryArgs {
    /// The card writer
    #[arg(value_name = "NAME")]
    pub writer: WriterName,
    /// Its slot
    #[arg(value_name = "SLOT")]
    pub slot: SlotName,
}

/// Arguments of `writer enroll`.
#[derive(Clone, Debug, Args)]
pub struct EnrollArgs {
    /// The folder for settings, key, journal and receipts
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// The card writer, as the catalog names it
    #[arg(long, value_name = "NAME")]
    pub name: WriterName,
    /// The controller
    #[arg(long, value_name = "https://HOST:PORT")]
    pub controller: String,
    /// The authority that issued the controller's certificate, PEM; the host's own when absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub authority: Option<PathBuf>,
    /// Where releases are: a folder or a bucket
    #[arg(long, value_name = "LOCATION", value_hint = ValueHint::AnyPath)]
    pub store: String,
    /// Whom to trust: at least one --key.
    #[command(flatten)]
    pub keys: KeysArg,
    /// A card reader and the port that it is plugged into
    #[arg(long = "slot", value_name = "NAME=PORT", required = true)]
    pub slots: Vec<String>,
    /// A file with the token; `-` reads it from stdin
    #[arg(long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub token_file: PathBuf,
}

/// Arguments of `writer run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The folder that `writer enroll` made
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// Stop once each slot has had one job, or there is none for it
    #[arg(long)]
    pub once: bool,
    /// How many seconds one request to a card may take before the card is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub stall_after: u64,
}
