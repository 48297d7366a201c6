//! One start of the program, and what it cost.
//!
//! The peak of a process's memory is known to the kernel only for all ended children of a
//! process together. So every measurement has a parent of its own: this benchmark, started
//! again with `--child`.

use bootwright::effects::{Cancel, Process};
use bootwright::model::{Failure, Result};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// What one start cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// From start to end, in seconds.
    pub wall_s: f64,
    /// User and system time, in seconds.
    pub cpu_s: f64,
    /// The most memory that was resident, in MiB.
    pub peak_mib: f64,
}

/// Starts `program` in `folder` under a parent of its own.
pub fn measured(program: &Path, args: &[&str], folder: &Path) -> Result<Cost> {
    let own = std::env::current_exe().map_err(|e| Failure::io("finding this benchmark", &e))?;
    let done = Process::new(own).args(["--child", "--"]).arg(program).args(args).dir(folder);
    let output = done.check(&Cancel::default())?;
    serde_json::from_slice(&output.stdout).map_err(|e| Failure::bug(format!("{e}: {}", output.text())))
}

/// What the parent does: runs the command and prints its cost as JSON.
pub fn run(command: &[String]) -> Result<()> {
    let Some((program, args)) = command.split_first() else {
        return Err(Failure::spec("--child needs a command"));
    };
    let begun = Instant::now();
    let output = Process::new(program).args(args).run(&Cancel::default())?;
    let wall_s = begun.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(output.failure());
    }
    let usage =
        getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| Failure::io("asking for CPU time", &e.into()))?;
    let cost = Cost { wall_s, cpu_s: cpu(&usage), peak_mib: usage.max_rss() as f64 / 1024.0 };
    let json = serde_json::to_string(&cost).map_err(|e| Failure::bug(e.to_string()))?;
    println!("{json}");
    Ok(())
}

fn cpu(usage: &Usage) -> f64 {
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}
