//! The chain of layers: each one built on those below, once, and kept under the identity
//! of everything that shaped it.

use super::cache::{Cache, Found, lock_of, seal};
use super::managers::{self, Installation};
use super::packages::Packages;
use super::stack::StackedLayer;
use super::{boot_files, configuration, homes, identities, normalise, root_files};
use crate::configure;
use crate::effects::files::{FileLock, WorkFolder, read_if_exists, sync_folder, write_atomic};
use crate::effects::{Cancel, Point, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::recipe::{LayerId, LayerRecipe, LayerStep, OverlayRecipe, ResolvedRecipe, ScriptRecipe};
use crate::model::spec::Size;
use crate::model::{Digest, Emitter, ErrorCode, Failure, FailureClass, Recipe, Result, probe};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The layer that a live medium alone has.
pub(super) const LIVE: &str = "live";
/// A post-install script gets this long.
const SCRIPT_LIMIT: Duration = Duration::from_mins(30);

/// `layer.json`: what a finished layer is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerRecord {
    name: String,
    size: u64,
}

fn packages_of(layer: &LayerRecipe) -> &[LockedPackage] {
    match &layer.step {
        LayerStep::Bootstrap { packages } | LayerStep::Packages { packages } => packages,
        _ => &[],
    }
}

/// What was found where a layer should be.
enum Sought {
    Absent,
    Found(StackedLayer),
    Damaged(String),
}

/// The probe, and what the settings have to show.
fn probe_files(recipe: &Recipe) -> Vec<probe::ProbeFile> {
    let init = recipe.configuration().map_or(recipe.base.own_init(), |c| c.init);
    probe::files(&recipe.digest(), &recipe.image, init, &configure::checks_of(recipe))
}

/// The identity of the identity layer of `recipe` over the layer `below`.
pub(super) fn identity_id(recipe: &Recipe, below: Option<LayerId>) -> LayerId {
    let files = probe_files(recipe);
    let contents: Vec<_> = files.iter().map(|f| (f.path, f.mode, Digest::of(&f.bytes))).collect();
    LayerId(Digest::of_json(&(below, recipe.digest(), contents)))
}

/// The identity of what the live medium of `recipe` alone has, over the layer `below`; `None`
/// if that is nothing.
pub(super) fn live_id(recipe: &Recipe, below: Option<LayerId>) -> Option<LayerId> {
    let live = configure::plan_of(recipe)?.live;
    (live != configure::Live::default()).then(|| LayerId(Digest::of_json(&(LIVE, below, live))))
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
        let missing: Vec<bool> = ids.iter().map(|id| !self.cache.layer(id).is_dir()).collect();
        let needed = recipe.layers.iter().zip(&missing).filter(|(_, missing)| **missing);
        let needed = needed.flat_map(|(layer, _)| packages_of(layer));
        self.cache.hold_packages()?;
        // Without network all that is missing is to be said at once.
        let later = match self.packages.offline && !self.cache.boot_files(&boot_files::id(recipe)).is_dir() {
            true => recipe.boot_files.as_slice(),
            false => &[],
        };
        self.packages.ensure(needed.chain(later), self.events, self.cancel)?;
        let mut stack: Vec<StackedLayer> = Vec::new();
        for ((layer, id), fetched) in recipe.layers.iter().zip(ids).zip(missing) {
            let done = self.layer((&layer.name, id, layer.epoch), &stack, |sandbox, work| {
                if !fetched {
                    // It was there and turned out to be damaged.
                    self.packages.ensure(packages_of(layer).iter(), self.events, self.cancel)?;
                }
                self.step(layer, sandbox, work)
            })?;
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
        let files = probe_files(recipe);
        let id = identity_id(recipe, below.last().map(|l| l.id));
        self.layer(("identity", id, recipe.epoch), below, |sandbox, _| {
            let entries: Vec<root_files::Entry> = files.iter().map(root_files::Entry::of_probe).collect();
            root_files::write(sandbox, &entries, recipe.epoch, self.cancel)
        })
    }

    /// What only the live medium has, over the identity layer `below`: the top of an ISO's
    /// modules, and of nothing else.
    ///
    /// # Errors
    /// If a file cannot be written, or a program of the root does not like what was.
    pub fn live(&self, below: &[StackedLayer]) -> Result<Option<StackedLayer>> {
        let recipe = &self.resolved.recipe;
        let Some(id) = live_id(recipe, below.last().map(|l| l.id)) else { return Ok(None) };
        let step = |sandbox: &Sandbox, _: &Path| {
            configuration::apply_live(self.resolved, sandbox, self.events, self.cancel)
        };
        self.layer((LIVE, id, recipe.epoch), below, step).map(Some)
    }

    fn layer(
        &self,
        (name, id, epoch): (&str, LayerId, i64),
        below: &[StackedLayer],
        step: impl FnOnce(&Sandbox, &Path) -> Result<()>,
    ) -> Result<StackedLayer> {
        let folder = self.cache.layer(&id);
        if let Sought::Found(found) = self.find((name, id, epoch), &folder)? {
            return Ok(found);
        }
        // Two builds that need the same layer make it once.
        let lock = lock_of(&folder);
        let _making = FileLock::take(&lock)?;
        match self.find((name, id, epoch), &folder)? {
            Sought::Found(found) => return Ok(found),
            Sought::Absent => {}
            Sought::Damaged(why) => {
                self.events.warn(format!("layer {name} in the cache is damaged ({why}); it is built again"));
                self.cache.discard(&folder)?;
            }
        }
        self.cancel.check()?;
        let task = Task::start(self.events, format!("layer {name}"));
        let work = WorkFolder::new(&self.cache.work(), name)?;
        let lowers: Vec<PathBuf> = below.iter().map(|l| l.folder.clone()).collect();
        let architecture = self.resolved.recipe.architecture;
        let sandbox = Sandbox::new(&lowers, work.path())?
            .running(architecture)?
            .env("SOURCE_DATE_EPOCH", epoch.to_string());
        step(&sandbox, work.path()).map_err(|f| f.on(format!("layer {name}")))?;
        point(Point::LayerInstalled)?;
        let traces = managers::of(self.resolved.recipe.base).traces();
        let size = normalise::normalise(sandbox.upper(), epoch, &traces)?;
        point(Point::LayerNormalised)?;
        self.keep(name, &folder, sandbox.upper(), size, work.path())?;
        let _ = std::fs::remove_file(&lock);
        task.finish(format!("built, {}", Size::from_bytes(size)));
        Ok(StackedLayer {
            name: name.to_owned(),
            id,
            epoch,
            folder: folder.join("root"),
            cached: false,
            size,
        })
    }

    fn find(&self, (name, id, epoch): (&str, LayerId, i64), folder: &Path) -> Result<Sought> {
        match self.cache.find_tree(folder)? {
            Found::Absent => return Ok(Sought::Absent),
            Found::Damaged(why) => return Ok(Sought::Damaged(why)),
            Found::Sound => {}
        }
        let record = read_if_exists(&folder.join("layer.json"), 1 << 20)?.unwrap_or_default();
        let Ok(record) = serde_json::from_slice::<LayerRecord>(&record) else {
            return Ok(Sought::Damaged("its record cannot be read".to_owned()));
        };
        Task::start(self.events, format!("layer {name}")).finish("cached");
        Ok(Sought::Found(StackedLayer {
            name: name.to_owned(),
            id,
            epoch,
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
        seal::seal_tree(&staged)?;
        point(Point::LayerRecorded)?;
        let layers = crate::effects::files::parent(folder);
        std::fs::rename(&staged, folder).during(|| format!("keeping layer {name}"))?;
        sync_folder(layers)?;
        self.cache.hold(folder)?;
        point(Point::LayerKept)
    }

    fn step(&self, layer: &LayerRecipe, sandbox: &Sandbox, work: &Path) -> Result<()> {
        let manager = managers::of(self.resolved.recipe.base);
        let with_files =
            |packages: &[LockedPackage], act: &dyn Fn(&Installation<'_>) -> Result<()>| -> Result<()> {
                let make = |name: &str| -> Result<PathBuf> {
                    let folder = work.join(name);
                    std::fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
                    Ok(folder)
                };
                let (files, own) = (make("packages")?, make("manager")?);
                self.packages.lay_out(packages, &files)?;
                let (events, cancel, epoch) = (self.events, self.cancel, layer.epoch);
                let keyrings = self.packages.keyrings();
                act(&Installation {
                    sandbox,
                    packages,
                    files: &files,
                    keyrings: &keyrings,
                    work: &own,
                    architecture: self.resolved.recipe.architecture,
                    epoch,
                    events,
                    cancel,
                })?;
                identities::forget(sandbox.upper())
            };
        match &layer.step {
            LayerStep::Bootstrap { packages } => with_files(packages, &|it| manager.bootstrap(it)),
            // Earlier layers brought them all.
            LayerStep::Packages { packages } if packages.is_empty() => Ok(()),
            LayerStep::Packages { packages } => with_files(packages, &|it| manager.install(it)),
            LayerStep::Configuration(configuration) => {
                configuration::apply(configuration, &self.resolved.recipe, sandbox, self.events, self.cancel)
            }
            LayerStep::Overlay { entries } => {
                let entries: Vec<root_files::Entry> =
                    entries.iter().map(|e| self.overlay_entry(e)).collect::<Result<_>>()?;
                root_files::write(sandbox, &entries, self.resolved.recipe.epoch, self.cancel)
            }
            LayerStep::Homes { users, entries } => {
                let read = |entry: &OverlayRecipe, at: &str| self.dotfile(entry, at);
                homes::lay(sandbox, users, entries, read, self.resolved.recipe.epoch, self.cancel)
            }
            LayerStep::PostInstall { scripts } => {
                for (i, script) in scripts.iter().enumerate() {
                    self.run_script(i, script, sandbox, work)?;
                }
                configuration::start_brought(&self.resolved.recipe, sandbox, self.events, self.cancel)
            }
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

    fn dotfile(&self, entry: &OverlayRecipe, at: &str) -> Result<root_files::Entry> {
        Ok(match entry {
            OverlayRecipe::File { path, digest, executable } => root_files::Entry::file(
                at,
                configure::dotfile_mode(path, *executable),
                self.blob(digest)?.to_vec(),
            ),
            OverlayRecipe::Symlink { target, .. } => root_files::Entry::symlink(at, target),
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
