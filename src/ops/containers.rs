//! `containerfile`: an image's spec for other builders.

use super::workspace::{clones, locate};
use super::{CatalogRef, Context};
use crate::build::cache::Cache;
use crate::build::containerfile::{self, engine};
use crate::build::root_files::Content;
use crate::catalog::{self, Severity};
use crate::effects::files::{WorkFolder, parent, write_atomic};
use crate::model::failure::IoContext;
use crate::model::{Failure, ImageName, Result};
use crate::resolve;
pub use engine::Engine;
use engine::{BuiltRoot, EngineBuild, Start};
use serde::Serialize;
use std::path::PathBuf;

/// Write a Containerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerfileRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The image.
    pub name: ImageName,
    /// The base image, best with its digest.
    pub from: Option<String>,
    /// Where to write it and the files beside it; a folder that is new or empty.
    pub output_dir: Option<PathBuf>,
    /// Build it, and write the root filesystem to this file.
    pub build: Option<PathBuf>,
    /// The engine that builds; the first that is there when absent.
    pub engine: Option<Engine>,
}

/// A Containerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerfileReport {
    /// The image.
    pub image: ImageName,
    /// The text of the Containerfile.
    pub text: String,
    /// The files that it copies, by their path beside it, and itself.
    pub files: Vec<String>,
    /// The folder that they were written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// What is left out, what is not pinned.
    pub warnings: Vec<String>,
    /// The root filesystem that was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built: Option<BuiltRoot>,
}

/// Writes the Containerfile of an image, also of distributions that Bootwright itself cannot
/// build yet.
///
/// # Errors
/// Class *spec* if the catalog has errors or something cannot be written safely.
pub fn containerfile(context: &Context, request: ContainerfileRequest) -> Result<ContainerfileReport> {
    let (location, base) = locate(context, &request.catalog)?;
    let files = catalog::read(&location, &clones(context))?;
    let (catalog, diagnostics) = catalog::check_for_other_builders(&files);
    let Some(catalog) = catalog else {
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
        let lines: Vec<String> = errors.map(|d| format!("{}: {}", d.file, d.message)).collect();
        return Err(Failure::spec("the catalog has errors")
            .details(lines.join("\n"))
            .hint("Run `bootwright check`."));
    };
    let document = catalog.images.get(&request.name).ok_or_else(|| {
        let names: Vec<String> = catalog.images.keys().map(ToString::to_string).collect();
        Failure::spec(format!("the catalog has no image {}", request.name))
            .hint(format!("It has: {}.", names.join(", ")))
    })?;
    let resolved = resolve::packages(&document.spec, &catalog.settings.packages);
    let start = request.from.as_deref().map(|from| Start::parse(from, &base));
    if request.build.is_none() && matches!(start, Some(Start::Local { .. })) {
        return Err(Failure::spec("only a build can start from an image of this host")
            .hint("Add --build FILE, or name an image with --from NAME@sha256:DIGEST."));
    }
    if request.build.is_some() && context.offline {
        return Err(Failure::offline("a Containerfile is built with the network: its steps fetch packages"));
    }
    let work = match &request.build {
        Some(_) => {
            let cache = base.join(&catalog.settings.cache.path);
            let run = tempfile::Builder::new().prefix("bootwright-").tempdir_in("/tmp");
            let run = run.during(|| "making a folder in /tmp")?;
            let work = WorkFolder::new(&Cache::open(&cache)?.work(), "container")?;
            Some((Engine::find(request.engine)?, work, run))
        }
        None => None,
    };
    let build = work.as_ref().map(|(engine, work, run)| EngineBuild {
        engine: *engine,
        work: work.path(),
        run: run.path(),
        docker_host: context.docker_host.as_deref(),
        events: &context.events,
        cancel: &context.cancel,
    });
    let from = match (&build, &start) {
        (Some(build), Some(start)) => Some(build.base(start)?),
        _ => request.from.clone(),
    };
    let rendered = containerfile::containerfile(document, &resolved, from.as_deref())?;
    let dir = request.output_dir.map(|dir| base.join(dir));
    if let Some(dir) = &dir {
        write(dir, &rendered)?;
    }
    let mut warnings: Vec<String> =
        resolved.warnings.iter().map(|w| format!("{}: {}", w.field, w.message)).collect();
    warnings.extend(rendered.warnings.iter().cloned());
    let built = match (&build, &request.build) {
        (Some(build), Some(to)) => {
            let to = base.join(to);
            let context = build.work.join("context");
            write(&context, &rendered)?;
            let built = build.build(&context, &rendered.base, &to)?;
            record(&built, &to)?;
            Some(built)
        }
        _ => None,
    };
    let files = rendered.entries().into_iter().map(|e| e.path).collect();
    Ok(ContainerfileReport { image: request.name, text: rendered.text, files, dir, warnings, built })
}

/// Writes beside an archive what it was built by: `FILE.json`.
fn record(built: &BuiltRoot, to: &std::path::Path) -> Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".json");
    let json = serde_json::to_vec_pretty(built).map_err(|e| Failure::bug(e.to_string()))?;
    write_atomic(beside.as_ref(), &json, 0o644)
}

fn write(dir: &std::path::Path, rendered: &containerfile::Rendered) -> Result<()> {
    let shown = dir.display().to_string();
    std::fs::create_dir_all(dir).during(|| format!("making {shown}"))?;
    if std::fs::read_dir(dir).during(|| format!("reading {shown}"))?.next().is_some() {
        return Err(Failure::spec(format!("{shown} is not empty")).hint("Name a new or an empty folder."));
    }
    for entry in rendered.entries() {
        let to = dir.join(&entry.path);
        let folder = parent(&to);
        std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
        match &entry.content {
            Content::File { mode, bytes } => write_atomic(&to, bytes, *mode)?,
            Content::Symlink { target } => {
                std::os::unix::fs::symlink(target, &to).during(|| format!("linking {}", to.display()))?;
            }
        }
    }
    Ok(())
}
