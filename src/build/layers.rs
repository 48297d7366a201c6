//! The chain of layers: each one built on those below, once, and kept under the identity
//! of everything that shaped it.

use super::cache::Cache;
use super::packages::Packages;
use super::stack::StackedLayer;
use super::{configuration, dpkg, normalise, root_files};
use crate::effects::files::{FileLock, WorkFolder, sync_folder, write_atomic};
use crate::effects::{Cancel, Point, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::recipe::{LayerId, LayerRecipe, LayerStep, OverlayRecipe, ResolvedRecipe, ScriptRecipe};
use crate::model::spec::Size;
use crate::model::{Digest, Emitter, ErrorCode, Failure, FailureClass, Result, probe};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A post-install script gets this long.
const SCRIPT_LIMIT: Duration = Duration::from_mins(30);

/// `layer.json`: what a finished layer is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerRecord {
    name: String,
    size: u64,
}

/// Builds layers.
pub struct LayerBuilder<'a> {
    /// Where layers are kept.
    pub cache: &'a Cache,
    /// Where package files come from.
    pub packages: &'a Packages<'a>,
    /// What is built.
    pub resolved: &'a ResolvedRecipe,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
}

impl LayerBuilder<'_> {
    /// Makes sure that every layer of the recipe is there, bottom first, and tops them with
    /// the identity layer. `built` hears of each layer as it is ready.
    ///
    /// # Errors
    /// The first step that fails; the layers before it stay for the next try.
    pub fn build(&self, mut ready: impl FnMut(&[StackedLayer]) -> Result<()>) -> Result<Vec<StackedLayer>> {
        let recipe = &self.resolved.recipe;
        let ids = recipe.layer_ids();
        let missing = recipe.layers.iter().zip(&ids).filter(|(_, id)| !self.cache.layer(id).is_dir());
        let needed = missing.flat_map(|(layer, _)| match &layer.step {
            LayerStep::Bootstrap { packages } | LayerStep::Packages { packages } => packages.as_slice(),
            _ => &[],
        });
        self.packages.ensure(needed, self.events, self.cancel)?;
        let mut stack: Vec<StackedLayer> = Vec::new();
        for (layer, id) in recipe.layers.iter().zip(ids) {
            let done =
                self.layer(&layer.name, id, &stack, |sandbox, work| self.step(layer, sandbox, work))?;
            stack.push(done);
            ready(&stack)?;
        }
        stack.push(self.identity(&stack)?);
        Ok(stack)
    }

    /// The top layer: who this image is, and the probe that answers its verifier. It depends
    /// on the recipe digest, so it cannot be part of the recipe.
    fn identity(&self, below: &[StackedLayer]) -> Result<StackedLayer> {
        let recipe = &self.resolved.recipe;
        let files = probe::files(&recipe.digest(), &recipe.image);
        let base = below.last().map(|l| l.id);
        let contents: Vec<_> = files.iter().map(|f| (f.path, f.mode, Digest::of(&f.bytes))).collect();
        let id = LayerId(Digest::of_json(&(base, recipe.digest(), contents)));
        self.layer("identity", id, below, |sandbox, _| {
            let entries: Vec<root_files::Entry> = files.iter().map(root_files::Entry::of_probe).collect();
            root_files::write(sandbox, &entries, recipe.epoch, self.cancel)
        })
    }

    fn layer(
        &self,
        name: &str,
        id: LayerId,
        below: &[StackedLayer],
        step: impl FnOnce(&Sandbox, &Path) -> Result<()>,
    ) -> Result<StackedLayer> {
        let folder = self.cache.layer(&id);
        if let Some(found) = self.find(name, id, &folder)? {
            return Ok(found);
        }
        // Two builds that need the same layer make it once.
        let mut lock = folder.clone().into_os_string();
        lock.push(".lock");
        let _held = FileLock::take(Path::new(&lock))?;
        if let Some(found) = self.find(name, id, &folder)? {
            return Ok(found);
        }
        self.cancel.check()?;
        let task = Task::start(self.events, format!("layer {name}"));
        let work = WorkFolder::new(&self.cache.work(), name)?;
        let lowers: Vec<PathBuf> = below.iter().map(|l| l.folder.clone()).collect();
        let sandbox = Sandbox::new(&lowers, work.path())?
            .env("SOURCE_DATE_EPOCH", self.resolved.recipe.epoch.to_string());
        step(&sandbox, work.path()).map_err(|f| f.on(format!("layer {name}")))?;
        point(Point::LayerInstalled)?;
        let size = normalise::normalise(sandbox.upper(), self.resolved.recipe.epoch)?;
        point(Point::LayerNormalised)?;
        self.keep(name, &folder, sandbox.upper(), size, work.path())?;
        task.finish(format!("built, {}", Size::from_bytes(size)));
        Ok(StackedLayer { name: name.to_owned(), id, folder: folder.join("root"), cached: false, size })
    }

    fn find(&self, name: &str, id: LayerId, folder: &Path) -> Result<Option<StackedLayer>> {
        let Some(record) = crate::effects::files::read_if_exists(&folder.join("layer.json"), 1 << 20)? else {
            return Ok(None);
        };
        let Ok(record) = serde_json::from_slice::<LayerRecord>(&record) else {
            self.events.warn(format!("layer {name} in the cache is corrupt; it is built again"));
            crate::effects::files::remove_tree(folder)?;
            return Ok(None);
        };
        Task::start(self.events, format!("layer {name}")).finish("cached");
        Ok(Some(StackedLayer {
            name: name.to_owned(),
            id,
            folder: folder.join("root"),
            cached: true,
            size: record.size,
        }))
    }

    fn keep(&self, name: &str, folder: &Path, upper: &Path, size: u64, work: &Path) -> Result<()> {
        let staged = work.join("layer");
        std::fs::create_dir(&staged).during(|| format!("making {}", staged.display()))?;
        std::fs::rename(upper, staged.join("root")).during(|| format!("keeping layer {name}"))?;
        let record = LayerRecord { name: name.to_owned(), size };
        let json = serde_json::to_vec_pretty(&record).map_err(|e| Failure::bug(e.to_string()))?;
        write_atomic(&staged.join("layer.json"), &json, 0o644)?;
        point(Point::LayerRecorded)?;
        let layers = crate::effects::files::parent(folder);
        std::fs::rename(&staged, folder).during(|| format!("keeping layer {name}"))?;
        sync_folder(layers)?;
        point(Point::LayerKept)
    }

    fn step(&self, layer: &LayerRecipe, sandbox: &Sandbox, work: &Path) -> Result<()> {
        let debs = |packages: &[_]| -> Result<PathBuf> {
            let folder = work.join("debs");
            std::fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
            self.packages.lay_out(packages, &folder)?;
            Ok(folder)
        };
        match &layer.step {
            LayerStep::Bootstrap { packages } => {
                dpkg::bootstrap(sandbox, packages, &debs(packages)?, self.events, self.cancel)
            }
            LayerStep::Packages { packages } => {
                dpkg::install(sandbox, packages, &debs(packages)?, self.events, self.cancel)
            }
            LayerStep::Configuration(configuration) => {
                configuration::apply(configuration, &self.resolved.recipe, sandbox, self.events, self.cancel)
            }
            LayerStep::Overlay { entries } => {
                let entries: Vec<root_files::Entry> =
                    entries.iter().map(|e| self.overlay_entry(e)).collect::<Result<_>>()?;
                root_files::write(sandbox, &entries, self.resolved.recipe.epoch, self.cancel)
            }
            LayerStep::PostInstall { scripts } => scripts
                .iter()
                .enumerate()
                .try_for_each(|(i, script)| self.run_script(i, script, sandbox, work)),
        }
    }

    fn blob(&self, digest: &Digest) -> Result<&Arc<[u8]>> {
        self.resolved
            .blobs
            .get(digest)
            .ok_or_else(|| Failure::bug(format!("the recipe names {digest} and nobody brought it")))
    }

    fn overlay_entry(&self, entry: &OverlayRecipe) -> Result<root_files::Entry> {
        Ok(match entry {
            OverlayRecipe::File { path, digest, executable } => root_files::Entry::file(
                path,
                if *executable { 0o755 } else { 0o644 },
                self.blob(digest)?.to_vec(),
            ),
            OverlayRecipe::Symlink { path, target } => root_files::Entry::symlink(path, target),
        })
    }

    fn run_script(&self, i: usize, script: &ScriptRecipe, sandbox: &Sandbox, work: &Path) -> Result<()> {
        let file = work.join(format!("script-{i}"));
        write_atomic(&file, self.blob(&script.digest)?, 0o755)?;
        let at = format!("/run/post-install-{i}");
        let output = sandbox
            .clone()
            .bind(&file, &at)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .process(&at)?
            .log_to(self.events, script.path.clone())
            .timeout(SCRIPT_LIMIT)
            .run(self.cancel)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::BuildStep,
            FailureClass::Spec,
            format!("{} failed: {}", script.path, output.status),
        )
        .details(output.tail())
        .hint("Post-install scripts run as root in the finished root, without network."))
    }
}
