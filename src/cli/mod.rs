//! Arguments, progress, tables, exit codes. The only room that prints.
//!
//! stdout is data, stderr is messages. With `--output json` both are JSON: the report (or
//! `{"error": …}`) on stdout, one event a line on stderr. Nothing asks a question but `flash`.

pub mod args;
mod completions;
mod env;
pub mod error;
mod flash_args;
mod flashing;
mod logs;
mod openwrt;
mod openwrt_args;
mod progress;
mod release_args;
mod render;
mod run;
mod signals;
mod terminal;
mod writer_args;
mod writers;

use crate::effects::{Cancel, Clock};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use crate::ops::Context;
use args::{Cli, ColorChoice, Command, GlobalArgs, OutputFormat};
use clap::Parser;
use env::Environment;
use error::{BuildError, Exit};
use openwrt_args::OpenwrtCommand;
use progress::{Detail, Progress, Style};
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use terminal::Palette;

/// Runs the program with its arguments, the first being its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::effects::umask::fix();
    let args: Vec<OsString> = args.into_iter().collect();
    let exit = match Cli::try_parse_from(&args) {
        Ok(cli) => Session::new(&cli.global).run(cli),
        Err(e) => refuse(&e, asks_for_json(&args)),
    };
    ExitCode::from(exit as u8)
}

/// What is set up once for a command: how it speaks, and in which colours.
struct Session {
    environment: Environment,
    format: OutputFormat,
    progress: Progress,
    out: Palette,
    err: Palette,
}

impl Session {
    fn new(global: &GlobalArgs) -> Self {
        let environment = Environment::read();
        let (out_terminal, err_terminal) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let colours = |terminal: bool| Palette {
            on: match global.color {
                _ if global.no_color => false,
                ColorChoice::Never => false,
                ColorChoice::Always => true,
                ColorChoice::Auto => terminal && !environment.no_color,
            },
        };
        let (out, err) = (colours(out_terminal), colours(err_terminal));
        let detail = match (global.quiet, global.verbose) {
            (true, _) => Detail::Quiet,
            (_, true) => Detail::Verbose,
            _ => Detail::Normal,
        };
        let style = match global.output {
            OutputFormat::Json => Style::Json,
            OutputFormat::Text if err_terminal => Style::Bars,
            OutputFormat::Text => Style::Lines,
        };
        let progress = Progress::stderr(style, detail, err);
        Self { environment, format: global.output, progress, out, err }
    }

    fn run(self, cli: Cli) -> Exit {
        match self.carry_out(cli) {
            Ok(exit) => exit,
            Err(failure) => {
                self.progress.clear();
                self.report(&failure)
            }
        }
    }

    fn carry_out(&self, cli: Cli) -> Result<Exit> {
        if let Some(path) = &cli.global.log {
            logs::start(path, self.environment.log_filter.as_deref())?;
        }
        self.environment.points.arm()?;
        let cwd = std::env::current_dir().during(|| "looking up the current folder")?;
        let cancel = Cancel::default();
        let outlives_terminal = matches!(
            cli.command,
            Command::Reconcile(_)
                | Command::Serve(_)
                | Command::Writer(_)
                | Command::Openwrt(OpenwrtCommand::Serve(_))
        );
        let stopping = match cli.command {
            Command::Flash(_) | Command::Writer(_) => signals::STOPPING_FLASH,
            _ => signals::STOPPING,
        };
        signals::listen(cancel.clone(), self.progress.clone(), outlives_terminal, stopping)?;
        let context = Context {
            events: self.progress.emitter(),
            cancel,
            clock: Clock::System,
            cwd,
            passphrase: self.environment.passphrase.clone(),
            identity: self.environment.identity.clone(),
            registry: self.environment.registry.clone(),
            model: self.environment.model.clone(),
            docker_host: self.environment.docker_host.clone(),
            bucket: self.environment.bucket.clone(),
            offline: cli.global.offline || self.environment.offline,
        };
        let answers = run::Answers {
            palette: self.out,
            format: self.format,
            display: &self.environment.display,
            progress: &self.progress,
        };
        run::run(cli, &context, &answers)
    }

    fn report(&self, failure: &Failure) -> Exit {
        match self.format {
            OutputFormat::Text => {
                let _ = std::io::stderr().write_all(error::text(failure, self.err).as_bytes());
            }
            OutputFormat::Json => write_json_error(failure),
        }
        Exit::of(failure)
    }
}

/// Answers `--help`, `--version` and arguments that make no sense.
fn refuse(e: &clap::Error, json: bool) -> Exit {
    let asked = !e.use_stderr();
    if asked || !json {
        // A closed pipe is no failure: `bootwright --help | head`.
        let _ = e.print();
    } else {
        let text = e.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        write_json_error(&Failure::spec(message).details(text.trim_end()).hint("Run `bootwright --help`."));
    }
    if asked { Exit::Ok } else { Exit::Spec }
}

/// Whether arguments that could not be parsed ask for JSON.
fn asks_for_json(args: &[OsString]) -> bool {
    args.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--output=json")
}

fn write_json_error(failure: &Failure) {
    let value = serde_json::json!({ "error": BuildError::from(failure) });
    let _ = std::io::stdout().write_all(format!("{value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_noticed_in_arguments_that_make_no_sense() {
        let args = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(asks_for_json(&args("bootwright --output json nonsense")));
        assert!(asks_for_json(&args("bootwright nonsense --output=json")));
        assert!(!asks_for_json(&args("bootwright --output text json")));
    }
}
