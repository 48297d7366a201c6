//! `serve` and `writer`: arguments → request → operation → answer.

use super::args::GlobalArgs;
use super::error::Exit;
use super::render;
use super::run::{Answers, catalog};
use super::writer_args::{EnrollArgs, RunArgs, ServeArgs, TokenArgs, WriterCommand};
use crate::agent;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use crate::ops::writers::{
    ControllerRequest, JobListRequest, RetryRequest, TokenRequest, writer_jobs, writer_retry, writer_token,
};
use crate::ops::{Context, Secret};
use crate::serve::writers::{self as controller, ServeRequest};
use serde::Serialize;
use std::io::Read;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::Path;
use std::time::Duration;

/// No token is longer, in bytes.
const LONGEST_TOKEN: u64 = 4096;

/// Where `serve` listens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listening {
    listening: SocketAddr,
}

/// Serves card writers until asked to stop.
///
/// # Errors
/// What the operation says.
pub fn serve(args: ServeArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request = ServeRequest {
        controller: ControllerRequest { catalog: catalog(global), lease_seconds: args.lease },
        listen: args.listen,
        certificate: args.certificate,
        key: args.certificate_key,
    };
    let mut told = Ok(());
    controller::serve(context, request, |listening| told = listens(answers, "https", listening))?;
    told.map(|()| Exit::Ok)
}

/// Says where a server listens.
///
/// # Errors
/// If it cannot be written.
pub fn listens(answers: &Answers, scheme: &str, listening: SocketAddr) -> Result<()> {
    answers.give(&Listening { listening }, |at, _| format!("listening on {scheme}://{}\n", at.listening))
}

/// Carries out one command of `writer`.
///
/// # Errors
/// What the operation says.
pub fn run(
    command: WriterCommand,
    global: &GlobalArgs,
    context: &Context,
    answers: &Answers,
) -> Result<Exit> {
    match command {
        WriterCommand::Token(args) => token(args, global, context, answers)?,
        WriterCommand::Jobs => {
            let request = JobListRequest { catalog: catalog(global) };
            answers.give(&writer_jobs(context, &request)?, render::writers::jobs)?;
        }
        WriterCommand::Retry(args) => {
            let request = RetryRequest { catalog: catalog(global), writer: args.writer, slot: args.slot };
            answers.give(&writer_retry(context, &request)?, render::writers::jobs)?;
        }
        WriterCommand::Enroll(args) => enroll(args, context, answers)?,
        WriterCommand::Run(args) => agent_run(args, context, answers)?,
    }
    Ok(Exit::Ok)
}

fn token(args: TokenArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<()> {
    let life = chrono::TimeDelta::hours(args.hours);
    let request = TokenRequest { catalog: catalog(global), writer: args.writer, life };
    let report = writer_token(context, &request)?;
    // The token alone: it goes into a file or a pipe, never into an argument.
    answers.give(&report, |report, _| format!("{}\n", report.token.reveal()))
}

fn enroll(args: EnrollArgs, context: &Context, answers: &Answers) -> Result<()> {
    let mut slots = Vec::new();
    for slot in &args.slots {
        let (name, port) = slot
            .split_once('=')
            .ok_or_else(|| Failure::spec(format!("{slot:?} is no slot")).hint("Write --slot NAME=PORT."))?;
        slots.push((name.to_owned(), port.to_owned()));
    }
    let request = agent::EnrollRequest {
        folder: args.folder,
        name: args.name,
        controller: args.controller,
        authority: args.authority,
        store: args.store,
        keys: args.keys.keys,
        threshold: args.keys.threshold.and_then(NonZeroU8::new),
        slots,
        token: read_token(&args.token_file, context)?,
    };
    answers.give(&agent::enroll(context, &request)?, render::writers::enrolled)
}

fn read_token(path: &Path, context: &Context) -> Result<Secret> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(LONGEST_TOKEN).read_to_string(&mut text),
        false => std::fs::File::open(context.cwd.join(path))
            .and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text)),
    };
    read.during(|| format!("reading the token from {}", path.display()))?;
    Ok(Secret::new(text.trim()))
}

fn agent_run(args: RunArgs, context: &Context, answers: &Answers) -> Result<()> {
    let patience = Duration::from_secs(args.stall_after);
    let request = agent::RunRequest { folder: args.folder, once: args.once, patience };
    answers.give(&agent::run(context, &request)?, render::writers::ran)
}
