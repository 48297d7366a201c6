//! How long `bootwright reconcile` takes when there is nothing to do, for catalogs of 100,
//! 1,000 and 10,000 images, and how long a plan takes after one of the specs was changed.
//!
//! The catalogs, the stores and the state are synthetic, the program is the real one, started
//! anew for every measurement. `docs/large-catalogs.md` says what was seen.

mod catalog;
mod child;
mod releases;
mod report;

use bootwright::effects::Clock;
use bootwright::model::failure::IoContext;
use bootwright::model::{Failure, Result};
use catalog::{Variant, World};
use child::{Cost, measured};
use clap::Parser;
use report::{Report, Row};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures plans and rounds that find nothing to do.
#[derive(Parser)]
struct Arguments {
    /// How many images the catalogs have.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    sizes: Vec<usize>,
    /// How many packages every lock has.
    #[arg(long, default_value_t = 170)]
    packages: usize,
    /// How often every case is measured; the first start, with nothing remembered, is a case of its own.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// The catalogs have a policy of ten rules.
    #[arg(long)]
    policies: bool,
    /// Two keys that begin and end sign, and both must have signed.
    #[arg(long)]
    keys: bool,
    /// Where the catalogs and stores are made; kept for the next run. 10,000 images take 3 GB.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-scale"))]
    work: PathBuf,
    /// Where `results.json` and `results.md` go; the work folder when absent.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The program that is measured; the one built with this benchmark when absent.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_bootwright"))]
    program: PathBuf,
    /// Start the program that the arguments after `--` name, and say what it cost.
    #[arg(long, hide = true)]
    child: bool,
    /// The program and its arguments for `--child`.
    #[arg(last = true, hide = true)]
    command: Vec<String>,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.child { child::run(&arguments.command) } else { run(&arguments) };
    match done {
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
    let work = &arguments.work;
    let out = arguments.out.as_ref().unwrap_or(work);
    for folder in [work, out] {
        std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    }
    let mut report = Report {
        date: Clock::System.now().to_rfc3339(),
        profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        packages: arguments.packages,
        policies: arguments.policies,
        dated_keys: arguments.keys,
        rows: Vec::new(),
    };
    for size in &arguments.sizes {
        let variant = Variant { policies: arguments.policies, keys: arguments.keys };
        let folder = work.join(format!("{size}x{}{}", arguments.packages, variant.suffix()));
        let world = World::prepare(&folder, *size, arguments.packages, variant)?;
        report.rows.extend(rows(&world, arguments)?);
        keep(&report, out)?;
    }
    println!("\n{}", report.table());
    println!("kept in {}", out.display());
    Ok(())
}

fn rows(world: &World, arguments: &Arguments) -> Result<Vec<Row>> {
    let (program, size) = (&arguments.program, world.size);
    let reconcile = ["--quiet", "reconcile"];
    let plan = ["--quiet", "--rev", "HEAD", "plan"];
    let one = |args: &[&str]| measured(program, args, &world.folder);
    let many = |args: &[&str]| (0..arguments.runs.max(1)).map(|_| one(args)).collect::<Result<Vec<Cost>>>();
    let mut rows = Vec::new();
    world.forget()?;
    eprintln!("{size} images: nothing remembered");
    rows.push(Row::new(size, "first start", &[one(&reconcile)?]));
    world.nothing_to_do(program)?;
    eprintln!("{size} images: nothing to do");
    rows.push(Row::new(size, "no-op reconcile", &many(&reconcile)?));
    rows.push(Row::new(size, "no-op plan", &many(&plan)?));
    eprintln!("{size} images: one spec changed");
    let before = world.change_one_spec()?;
    let changed = one(&plan).and_then(|first| {
        world.one_thing_to_do(program)?;
        Ok(vec![
            Row::new(size, "one changed spec, first plan", &[first]),
            Row::new(size, "one changed spec, plan", &many(&plan)?),
        ])
    });
    world.go_back_to(&before)?;
    rows.extend(changed?);
    Ok(rows)
}

fn keep(report: &Report, folder: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report).map_err(|e| Failure::bug(e.to_string()))?;
    for (name, text) in [("results.json", json), ("results.md", report.table())] {
        let path = folder.join(name);
        std::fs::write(&path, text).during(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
