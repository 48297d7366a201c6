//! Bootwright's own build: the lock and the build, without verifying, signing and
//! publishing, which the other tools do not do.

use crate::image::{Image, NAME};
use crate::measure::{Cost, Group};
use crate::report::{Case, Part, Row};
use bootwright::build::Builder;
use bootwright::build::cache::Cache;
use bootwright::build::packages::Packages;
use bootwright::effects::files::remove_tree;
use bootwright::effects::{Cancel, fetch};
use bootwright::model::artifact::Built;
use bootwright::model::failure::IoContext;
use bootwright::model::settings::Compression;
use bootwright::model::spec::Size;
use bootwright::model::{Emitter, Event, Failure, Lock, Result};
use bootwright::resolve;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Packages by digest: what a warm cache keeps.
const PACKAGES: &str = "packages";

/// Builds the image with Bootwright.
pub struct Ours<'a> {
    image: &'a Image,
    group: &'a Group,
    cache: Cache,
    out: PathBuf,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    parts: Arc<Mutex<Vec<Part>>>,
    events: Emitter,
    cancel: Cancel,
}

impl<'a> Ours<'a> {
    /// Works in `folder`.
    pub fn new(image: &'a Image, group: &'a Group, folder: PathBuf) -> Result<Self> {
        let out = folder.join("out");
        fs::create_dir_all(&out).during(|| format!("making {}", out.display()))?;
        let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::io("starting the runtime", &e))?;
        let parts = Arc::new(Mutex::new(Vec::new()));
        Ok(Self {
            image,
            group,
            cache: Cache::open(&folder.join("cache"))?,
            out,
            client: fetch::client()?,
            runtime,
            events: keep_tasks(&parts),
            parts,
            cancel: Cancel::default(),
        })
    }

    /// Fetches all packages, so that nothing but indexes is fetched while time is taken.
    pub fn warm(&self) -> Result<()> {
        let lock = self.lock()?;
        let packages = Packages {
            cache: &self.cache,
            base: lock.request.base,
            suite: lock.request.suite.as_str(),
            architecture: lock.request.architecture,
            mirrors: &self.image.mirrors,
            client: &self.client,
            runtime: self.runtime.handle(),
            offline: false,
        };
        packages.ensure(lock.packages.iter(), &self.events, &self.cancel)
    }

    /// A full build, then one after a changed line.
    pub fn rows(&self, compression: Compression) -> Result<Vec<Row>> {
        self.forget_all_but_packages()?;
        self.image.set_line(0)?;
        self.take_parts();
        let (lock, locking) = self.group.measure(|| self.lock())?;
        let mut parts = vec![Part::of("lock: indexes fetched, packages resolved", locking)];
        self.take_parts();
        let (built, building) = self.group.measure(|| self.build(&lock, compression))?;
        parts.extend(self.take_parts());
        let full = row(compression, Case::Full, locking + building, &built, parts);

        self.image.set_line(1)?;
        let (built, cost) = self.group.measure(|| self.build(&lock, compression))?;
        let change = row(compression, Case::Change, cost, &built, self.take_parts());
        Ok(vec![full, change])
    }

    fn builder(&self) -> Builder<'_> {
        Builder {
            cache: &self.cache,
            mirrors: &self.image.mirrors,
            client: &self.client,
            runtime: self.runtime.handle(),
            events: &self.events,
            cancel: &self.cancel,
            offline: false,
        }
    }

    fn lock(&self) -> Result<Lock> {
        let catalog = self.image.load()?;
        let document = &catalog.images.values().next().ok_or_else(|| Failure::bug("no image"))?;
        let request = resolve::request(&document.spec, &catalog.settings.packages)
            .map_err(|problems| problems[0].failure().on(&document.place))?;
        self.builder().lock(&document.spec.metadata.name, &request, None)
    }

    /// From the text of the catalog to the ISO.
    fn build(&self, lock: &Lock, compression: Compression) -> Result<Built> {
        let mut catalog = self.image.load()?;
        catalog.settings.build.compression = compression;
        let document = catalog.images.values().next().ok_or_else(|| Failure::bug("no image"))?;
        let resolved = resolve::resolve(document, lock.clone(), &catalog.settings)?;
        self.builder().build(&resolved, Size::from_bytes(2 << 30), &self.out)
    }

    fn forget_all_but_packages(&self) -> Result<()> {
        let root = self.cache.root();
        for entry in fs::read_dir(root).during(|| format!("reading {}", root.display()))?.flatten() {
            if entry.file_name() != PACKAGES && entry.path().is_dir() {
                remove_tree(&entry.path())?;
            }
        }
        let _ = fs::remove_file(self.out.join(format!("{NAME}.iso")));
        Ok(())
    }

    fn take_parts(&self) -> Vec<Part> {
        self.parts.lock().map(|mut parts| std::mem::take(&mut *parts)).unwrap_or_default()
    }
}

/// Keeps how long every task took.
fn keep_tasks(parts: &Arc<Mutex<Vec<Part>>>) -> Emitter {
    let parts = Arc::clone(parts);
    Emitter::new(move |event| match event {
        Event::TaskFinished { label, elapsed_ms, outcome, .. } => {
            let part = Part { label, wall_s: elapsed_ms as f64 / 1e3, cpu_s: None, outcome };
            if let Ok(mut parts) = parts.lock() {
                parts.push(part);
            }
        }
        Event::Warning { message } => eprintln!("warning: {message}"),
        _ => {}
    })
}

fn row(compression: Compression, case: Case, cost: Cost, built: &Built, parts: Vec<Part>) -> Row {
    Row {
        tool: format!("Bootwright, zstd-{}", compression.level()),
        case,
        cost,
        iso_bytes: built.artifacts.iter().map(|a| a.size).sum(),
        packages: built.packages.len(),
        parts,
    }
}
