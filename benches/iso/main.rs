//! Bootwright beside mmdebstrap with hand-made steps and live-build, on one live image, in
//! one run. `docs/benchmarks.md` says what is compared and what is not.

mod contained;
mod host;
mod image;
mod live_build;
mod measure;
mod mmdebstrap;
mod ours;
mod report;

use bootwright::effects::{Cancel, Clock, Process};
use bootwright::model::failure::IoContext;
use bootwright::model::settings::Compression;
use bootwright::model::{Failure, Result};
use clap::{Parser, ValueEnum};
use image::Image;
use live_build::LiveBuild;
use measure::Group;
use mmdebstrap::Mmdebstrap;
use ours::Ours;
use report::{Report, Row};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compares Bootwright with other builders of live images. Needs root.
#[derive(Parser)]
struct Arguments {
    /// The tools to run, in this order.
    #[arg(long, value_delimiter = ',', default_value = "bootwright,mmdebstrap,live-build")]
    tools: Vec<Tool>,
    /// Where to work; kept, so that a second run finds warm package caches. A few GiB.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-iso"))]
    work: PathBuf,
    /// Where `results.json` and `results.md` go; the work folder when absent.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tool {
    Bootwright,
    Mmdebstrap,
    LiveBuild,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            for text in [&failure.details, &failure.hint].into_iter().flatten() {
                eprintln!("{text}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(
            Failure::host("mmdebstrap and live-build are compared as root").hint("Run `make bench` as root.")
        );
    }
    let group = Group::join()?;
    let work = &arguments.work;
    std::fs::create_dir_all(work).during(|| format!("making {}", work.display()))?;
    let image = Image::prepare(&work.join("catalog"))?;
    let mut report = Report {
        date: Clock::System.now().to_rfc3339(),
        commit: commit()?,
        profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        rows: Vec::new(),
    };
    let out = arguments.out.as_ref().unwrap_or(work);
    for tool in &arguments.tools {
        report.rows.extend(rows(*tool, &image, &group, work)?);
        // After every tool: a run takes long, and a later tool may fail.
        keep(&report, out)?;
    }
    println!("\n{}\n{}", report.table(), report.parts());
    println!("kept in {}", out.display());
    Ok(())
}

fn rows(tool: Tool, image: &Image, group: &Group, work: &Path) -> Result<Vec<Row>> {
    let ours = [Compression::Fast, Compression::Balanced];
    match tool {
        Tool::Bootwright => {
            let builder = Ours::new(image, group, work.join("bootwright"))?;
            eprintln!("bootwright: packages");
            builder.warm()?;
            let mut rows = Vec::new();
            for compression in ours {
                eprintln!("bootwright: {compression:?}");
                rows.extend(builder.rows(compression)?);
            }
            Ok(rows)
        }
        Tool::Mmdebstrap => {
            let builder = Mmdebstrap::new(image, group, work.join("mmdebstrap"))?;
            eprintln!("mmdebstrap: packages");
            builder.warm()?;
            eprintln!("mmdebstrap");
            builder.rows(&ours.map(Compression::level))
        }
        Tool::LiveBuild => {
            let builder = LiveBuild::new(image, group, work.join("live-build"))?;
            eprintln!("live-build: packages");
            builder.warm()?;
            eprintln!("live-build");
            builder.rows()
        }
    }
}

fn keep(report: &Report, folder: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report).map_err(|e| Failure::bug(e.to_string()))?;
    image::write(&folder.join("results.json"), &json)?;
    image::write(&folder.join("results.md"), &format!("{}\n{}", report.table(), report.parts()))
}

/// The commit that is checked out, with a mark if files differ from it.
fn commit() -> Result<String> {
    let output = Process::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .dir(env!("CARGO_MANIFEST_DIR"))
        .run(&Cancel::default())?;
    let text = output.text().trim().to_owned();
    Ok(if text.is_empty() { "unknown".to_owned() } else { text })
}
