//! Images on cards, written and proved, with dd, bmaptool, etcher-sdk and Bootwright in turn:
//! `cargo bench --bench flash -- [--cases raw,gz,slow,memory] [--mib N] [--runs N] [--folder DIR]`.
//!
//! The card is a loop device on a file in memory, full of old bytes before each run; half of
//! the image is a hole. dd and bmaptool prove nothing themselves, so `sha256sum` reads the
//! device after them, with its cache dropped. Times of a busy machine mean little: the ratios
//! of one run are what counts.

mod card;
#[path = "../scale/child.rs"]
mod child;
mod image;
mod slow;
mod tools;

use bootwright::effects::{Cancel, Process};
use bootwright::model::{Failure, Result};
use card::{Card, MIB};
use slow::{READS, Slow, WRITES};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tools::{Tool, flash, install_etcher};

/// What issue 7 asks for: how many times as long as Bootwright others take.
const RAW_DD: f64 = 3.5;
const RAW_ETCHER: f64 = 1.8;
const GZ_ETCHER: f64 = 2.5;
/// How much of the least time that a card allows is to be reached.
const FLOOR: f64 = 0.9;
/// How many times as long four cards at once may take as one.
const FOUR: f64 = 1.05;
/// The most memory, in MiB.
const MEMORY: f64 = 200.0;
/// The image for slow cards.
const SLOW_MIB: u64 = 256;

struct Options {
    cases: Vec<String>,
    mib: u64,
    runs: usize,
    folder: PathBuf,
}

fn options(args: &[String]) -> Option<Options> {
    let cases = ["raw", "gz", "slow", "memory"].map(str::to_owned).to_vec();
    let mut options = Options { cases, mib: 4096, runs: 2, folder: "/dev/shm".into() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next()?;
        match arg.as_str() {
            "--cases" => options.cases = value.split(',').map(str::to_owned).collect(),
            "--mib" => options.mib = value.parse().ok()?,
            "--runs" => options.runs = value.parse().ok()?,
            "--folder" => options.folder = value.into(),
            _ => return None,
        }
    }
    Some(options)
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    Process::new(program).args(args).check(&Cancel::default()).map(drop)
}

/// What was asked for, and whether it came true.
#[derive(Default)]
struct Verdicts(Vec<bool>);

impl Verdicts {
    fn at_least(&mut self, what: &str, wanted: f64, is: f64) {
        println!("  asked for: {what} at least {wanted}; it is {is:.2}");
        self.0.push(is >= wanted);
    }

    fn at_most(&mut self, what: &str, wanted: f64, is: f64) {
        println!("  asked for: {what} at most {wanted}; it is {is:.2}");
        self.0.push(is <= wanted);
    }
}

/// Each tool in turn, as often as is wanted; the best time of each.
fn race(tools: &[Tool], image: &Path, card: &Card, runs: usize) -> Result<Vec<f64>> {
    let mut best = vec![f64::MAX; tools.len()];
    for number in 1..=runs {
        for (tool, best) in tools.iter().zip(&mut best) {
            card.make_old()?;
            let took = tool.time(image, card)?;
            println!("  run {number}: {}: {took:.2} s", tool.name());
            *best = took.min(*best);
        }
    }
    let ours = best[tools.len() - 1];
    for (tool, time) in tools.iter().zip(&best) {
        println!("  {}: {time:.2} s, {:.2} times as long as bootwright", tool.name(), time / ours);
    }
    Ok(best)
}

fn raw(options: &Options, etcher: Option<&Tool>, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    println!("raw, {} MiB, the best of {}:", options.mib, options.runs);
    let (path, size) = (folder.join("image.img"), options.mib * MIB);
    image::noise(&path, size)?;
    let name = path.to_string_lossy();
    run("bmaptool", &["create", "--output", &format!("{name}.map"), &name])?;
    let card = Card::new(folder.join("card"), size)?;
    let mut tools = vec![Tool::Dd, Tool::Bmaptool];
    tools.extend(etcher.cloned());
    tools.push(Tool::Bootwright);
    let best = race(&tools, &path, &card, options.runs)?;
    card.holds(&path)?;
    let ours = best[best.len() - 1];
    verdicts.at_least("dd / bootwright", RAW_DD, best[0] / ours);
    if etcher.is_some() {
        verdicts.at_least("etcher-sdk / bootwright", RAW_ETCHER, best[2] / ours);
    }
    drop(card);
    clear(folder)
}

fn gz(options: &Options, etcher: Option<&Tool>, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    println!("gzip of programs, {} MiB unpacked, the best of {}:", options.mib, options.runs);
    let (path, size) = (folder.join("image.img"), options.mib * MIB);
    image::programs(&path, size)?;
    let packed = folder.join("image.img.gz");
    let gzip = Process::new("gzip").args(["--stdout", "--fast"]).arg(&path);
    let to = std::fs::File::create(&packed).map_err(|e| Failure::io("making image.img.gz", &e))?;
    gzip.stdout_to(to).check(&Cancel::default())?;
    let card = Card::new(folder.join("card"), size)?;
    let mut tools: Vec<Tool> = etcher.cloned().into_iter().collect();
    tools.push(Tool::Bootwright);
    let best = race(&tools, &packed, &card, options.runs)?;
    card.holds(&path)?;
    if etcher.is_some() {
        verdicts.at_least("etcher-sdk / bootwright", GZ_ETCHER, best[0] / best[1]);
    }
    drop(card);
    clear(folder)
}

fn slow(folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    println!("a card of {} and {} MiB/s, {SLOW_MIB} MiB without a hole:", WRITES / MIB, READS / MIB);
    let (path, size) = (folder.join("image.img"), SLOW_MIB * MIB);
    image::full(&path, size)?;
    let card = |number| Card::new(folder.join(format!("card{number}")), size);
    let cards = (0..4).map(card).collect::<Result<Vec<Card>>>()?;
    let slow = Slow::down(&cards)?;
    let floor = size as f64 / WRITES as f64 + size as f64 / READS as f64;
    let one = flash(&path, &[&cards[0]])?.wall_s;
    println!("  one card: {one:.2} s, of which a card takes {floor:.2}");
    verdicts.at_least("floor / one card", FLOOR, floor / one);
    let four = flash(&path, &cards.iter().collect::<Vec<_>>())?.wall_s;
    println!("  four cards at once: {four:.2} s");
    verdicts.at_most("four cards / one card", FOUR, four / one);
    drop(slow);
    cards.iter().try_for_each(|card| card.holds(&path))?;
    drop(cards);
    clear(folder)
}

fn memory(options: &Options, folder: &Path, verdicts: &mut Verdicts) -> Result<()> {
    println!("memory, whatever the size of the image:");
    let (path, packed) = (folder.join("image.img"), folder.join("image.img.zst"));
    for mib in [options.mib / 4, options.mib] {
        image::noise(&path, mib * MIB)?;
        let (from, to) = (path.to_string_lossy(), packed.to_string_lossy());
        run("zstd", &["-q", "-f", "-1", &from, "-o", &to])?;
        let card = Card::new(folder.join("card"), mib * MIB)?;
        for image in [&path, &packed] {
            let cost = flash(image, &[&card])?;
            let name = image.extension().unwrap_or_default().to_string_lossy().into_owned();
            println!("  {mib} MiB, .{name}: {:.0} MiB, {:.1} CPU s", cost.peak_mib, cost.cpu_s);
            verdicts.at_most("MiB of memory", MEMORY, cost.peak_mib);
        }
    }
    clear(folder)
}

/// Gives back the memory that files take.
fn clear(folder: &Path) -> Result<()> {
    let failed = |e: std::io::Error| Failure::io(format!("clearing {}", folder.display()), &e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}

fn measure(options: &Options) -> Result<Verdicts> {
    let folder = tempfile::tempdir_in(&options.folder).map_err(|e| Failure::io("making a folder", &e))?;
    let (folder, mut verdicts) = (folder.path(), Verdicts::default());
    let wants = |case: &str| options.cases.iter().any(|wanted| wanted == case);
    let etcher = if wants("raw") || wants("gz") { install_etcher() } else { None };
    if wants("raw") {
        raw(options, etcher.as_ref(), folder, &mut verdicts)?;
    }
    if wants("gz") {
        gz(options, etcher.as_ref(), folder, &mut verdicts)?;
    }
    if wants("slow") {
        slow(folder, &mut verdicts)?;
    }
    if wants("memory") {
        memory(options, folder, &mut verdicts)?;
    }
    Ok(verdicts)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [first, second, command @ ..] = args.as_slice()
        && (first.as_str(), second.as_str()) == ("--child", "--")
    {
        return match child::run(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => said(&failure),
        };
    }
    let Some(options) = options(&args) else {
        eprintln!(
            "usage: cargo bench --bench flash -- [--cases raw,gz,slow,memory] [--mib N] [--runs N] [--folder DIR]"
        );
        return ExitCode::from(2);
    };
    match measure(&options) {
        Ok(verdicts) if verdicts.0.iter().all(|is| *is) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => said(&failure),
    }
}

fn said(failure: &Failure) -> ExitCode {
    eprintln!("{failure}: {}", failure.details.clone().unwrap_or_default());
    ExitCode::FAILURE
}
