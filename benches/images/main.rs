//! Every image of this repository, built one after the other from one cache: what each
//! costs, and which layers it shares with those before it. Nothing is booted or signed.

#[path = "../iso/host.rs"]
mod host;
#[path = "../iso/measure.rs"]
mod measure;

use bootwright::build::Builder;
use bootwright::build::cache::Cache;
use bootwright::build::packages::Packages;
use bootwright::catalog::{self, Location};
use bootwright::effects::files::remove_tree;
use bootwright::effects::{Cancel, fetch};
use bootwright::model::artifact::Built;
use bootwright::model::catalog::{Catalog, ImageDocument};
use bootwright::model::failure::IoContext;
use bootwright::model::settings::Mirror;
use bootwright::model::spec::Size;
use bootwright::model::{Emitter, Event, Failure, Lock, Result};
use bootwright::resolve;
use clap::Parser;
use measure::{Cost, Group};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Builds the images of this repository and says what each costs. Needs root.
#[derive(Parser)]
struct Arguments {
    /// Only these images; all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where to work; packages in it are kept, so that a second run fetches none. Some GiB.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-images"))]
    work: PathBuf,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
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

/// What one image cost.
struct Row {
    image: String,
    locking: Cost,
    building: Cost,
    built: Built,
}

fn run(arguments: &Arguments) -> Result<()> {
    let group = Group::join()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = catalog::read(&Location::WorkTree(root.to_owned()), Path::new(""))?;
    let catalog = catalog::load(&files).map_err(|found| catalog::diagnostic::failure(&found))?;
    let work = Work::new(&arguments.work, host::mirrors()?)?;
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut rows = Vec::new();
    for (name, document) in catalog.images.iter().filter(|(name, _)| wanted(name.as_str())) {
        eprintln!("{name}: packages");
        let (lock, locking) = group.measure(|| work.lock(document, &catalog))?;
        work.fetch(&lock)?;
        eprintln!("{name}: build");
        let (built, building) = group.measure(|| work.build(document, lock, &catalog))?;
        rows.push(Row { image: name.to_string(), locking, building, built });
    }
    println!("\n{}", table(&rows));
    Ok(())
}

/// Where images are built.
struct Work {
    cache: Cache,
    out: PathBuf,
    mirrors: Vec<Mirror>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    events: Emitter,
    cancel: Cancel,
}

impl Work {
    /// An empty cache, but for package files of an earlier run.
    fn new(folder: &Path, mirrors: Vec<Mirror>) -> Result<Self> {
        let (cache, out) = (folder.join("cache"), folder.join("out"));
        for entry in fs::read_dir(&cache).into_iter().flatten().flatten() {
            if entry.file_name() != "packages" && entry.path().is_dir() {
                remove_tree(&entry.path())?;
            }
        }
        fs::create_dir_all(&out).during(|| format!("making {}", out.display()))?;
        Ok(Self {
            cache: Cache::open(&cache)?,
            out,
            mirrors,
            client: fetch::client()?,
            runtime: tokio::runtime::Runtime::new().map_err(|e| Failure::io("starting the runtime", &e))?,
            events: Emitter::new(|event| {
                if let Event::Warning { message } = event {
                    eprintln!("warning: {message}");
                }
            }),
            cancel: Cancel::default(),
        })
    }

    fn builder(&self) -> Builder<'_> {
        Builder {
            cache: &self.cache,
            mirrors: &self.mirrors,
            client: &self.client,
            runtime: self.runtime.handle(),
            events: &self.events,
            cancel: &self.cancel,
            offline: false,
        }
    }

    fn lock(&self, document: &ImageDocument, catalog: &Catalog) -> Result<Lock> {
        let request = resolve::request(&document.spec, &catalog.settings.packages)
            .map_err(|problems| problems[0].failure().on(&document.place))?;
        self.builder().lock(&document.spec.metadata.name, &request, None)
    }

    /// Fetches packages, so that nothing is fetched while the build's time is taken.
    fn fetch(&self, lock: &Lock) -> Result<()> {
        let packages = Packages {
            cache: &self.cache,
            base: lock.request.base,
            suite: lock.request.suite.as_str(),
            architecture: lock.request.architecture,
            mirrors: &self.mirrors,
            client: &self.client,
            runtime: self.runtime.handle(),
            offline: false,
        };
        packages.ensure(lock.packages.iter(), &self.events, &self.cancel)
    }

    fn build(&self, document: &ImageDocument, lock: Lock, catalog: &Catalog) -> Result<Built> {
        let resolved = resolve::resolve(document, lock, &catalog.settings)?;
        self.builder().build(&resolved, Size::from_bytes(2 << 30), &self.out)
    }
}

/// One line for each image, and what would have been built twice without sharing.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| image | packages | lock, CPU s | build, wall s | build, CPU s | others, CPU s | layers built | layers \
         shared | artifacts |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut seen = BTreeSet::new();
    for row in rows {
        let (shared, built): (Vec<_>, Vec<_>) = row.built.layers.iter().partition(|l| !seen.insert(l.id));
        let size = |layers: &[&_]| -> Size {
            Size::from_bytes(layers.iter().map(|l: &&bootwright::model::artifact::BuiltLayer| l.size).sum())
        };
        let artifacts: u64 = row.built.artifacts.iter().map(|a| a.size).sum();
        text += &format!(
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {}, {} | {}, {} | {} |\n",
            row.image,
            row.built.packages.len(),
            row.locking.cpu_s,
            row.building.wall_s,
            row.building.cpu_s,
            row.building.others_s,
            built.len(),
            size(&built),
            shared.len(),
            size(&shared),
            Size::from_bytes(artifacts)
        );
    }
    text
}
