//! Runs that are killed, starved, and run into each other: what was promised holds.
//!
//! The real program works on a distribution that is small enough (`tiny`) for every point of
//! a run to be tried in turn.

mod clock;
mod matrix;
mod power;
mod reader;
mod starved;
pub mod tiny;
mod together;
pub mod world;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

#[expect(clippy::disallowed_methods, reason = "tests start programs as a user does")]
pub fn command(program: &str) -> Command {
    Command::new(program)
}

/// Starts a server that says in its first line where it listens; gives it and that line.
pub fn started(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn words(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
