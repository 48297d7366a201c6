//! Observe, plan, drive.
//!
//! [`World::plan`] looks at everything and changes nothing. [`World::carry_out`] drives the
//! steps of a plan, each to its end, recording every change of phase before the work of the
//! phase begins: whoever comes after a kill sees where the run stood, and finds finished
//! layers, artifacts and evidence in the cache.

mod desired;
mod evidence;
pub mod known;
pub mod memory;
pub mod rebuild;
mod run;
mod settled;

pub use settled::Remembered;

use crate::build::cache::Cache;
use crate::build::registry::Credentials;
use crate::effects::{Cancel, Clock};
use crate::model::catalog::{Catalog, ImageDocument};
use crate::model::lock::check_not_older;
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::observed::Observed;
use crate::model::plan::{Action, Planned, Step};
use crate::model::recipe::ResolvedRecipe;
use crate::model::settings::{Keyless, Mirror};
use crate::model::{Emitter, Event, Failure, FailureClass, Lock, Result};
use crate::planner::{self, Inputs, Wanted};
use crate::release::{PublicKey, Signers, Store};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Everything that reconciling needs to know and to reach.
pub struct World<'a> {
    /// What is asked for.
    pub catalog: &'a Catalog,
    /// Images of the catalog that were not read, because they are as they were.
    pub remembered: Option<&'a Remembered>,
    /// The images that are looked at; others are left as they are.
    pub selected: BTreeSet<ImageName>,
    /// The images that are built even if nothing changed.
    pub forced: BTreeSet<ImageName>,
    /// What is published.
    pub store: Store,
    /// Whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Where builds keep what they make.
    pub cache: Cache,
    /// Where packages come from, keyrings by their place on this host.
    pub mirrors: Vec<Mirror>,
    /// What happened before; none when nothing ever did and nothing may be written.
    pub state: Option<State>,
    /// Runs what is asynchronous.
    pub runtime: tokio::runtime::Handle,
    /// Where progress goes.
    pub events: Emitter,
    /// A wish to stop.
    pub cancel: Cancel,
    /// The time.
    pub clock: Clock,
}

/// What is needed to publish.
pub struct Publishing {
    /// Who signs.
    pub signers: Signers,
    /// Sigstore services and an identity token, where both are there.
    pub keyless: Option<(Keyless, String)>,
    /// The repository prefix that OCI images are pushed below, and who pushes.
    pub registry: Option<(String, Credentials)>,
    /// Who builds, as a URI for the provenance.
    pub builder: String,
}

/// A plan, with what its steps need.
pub struct Decided {
    /// The plan and the report.
    pub planned: Planned,
    /// The recipes of all images that have one.
    pub recipes: BTreeMap<ImageName, ResolvedRecipe>,
    /// What has to be resolved for the images that have none.
    requests: BTreeMap<ImageName, Wanted>,
    /// Images whose spec cannot be resolved.
    pub failed: Vec<(ImageName, Failure)>,
}

/// What became of a plan.
#[derive(Default)]
pub struct Outcome {
    /// Releases that are on their channels now.
    pub published: Vec<(ImageName, Version, ChannelName)>,
    /// Images that failed.
    pub failed: Vec<(ImageName, Failure)>,
    /// Steps that were not taken, because somebody asked to stop.
    pub remaining: Vec<Step>,
}

impl World<'_> {
    /// Compares what is asked for with what is published.
    ///
    /// # Errors
    /// If the store or the state cannot be read; an image that cannot be resolved is in
    /// [`Decided::failed`].
    pub fn plan(&self) -> Result<Decided> {
        let (settled, open) = self.settled()?;
        let names: Vec<ImageName> = open.iter().cloned().collect();
        let observed =
            if names.is_empty() { Observed::default() } else { self.store.observe(&self.keys, &names)? };
        let documents = self.documents(&open)?;
        let made = self.made_locks(&documents)?;
        let gathered = desired::gather(self, &documents, &observed, &made);
        let now = self.clock.now();
        let history = match &self.state {
            Some(state) => self.runtime.block_on(state.history(now))?,
            None => BTreeMap::new(),
        };
        let inputs = Inputs {
            now,
            source: self.catalog.source.clone(),
            images: gathered.desired,
            observed,
            cached_layers: if names.is_empty() { BTreeSet::new() } else { self.cache.layers() },
            history,
            forced: self.forced.clone(),
        };
        let mut planned = planner::plan(&inputs);
        planned.report.extend(settled);
        planned.report.sort_by(|a, b| a.image.cmp(&b.image));
        let (mut recipes, mut requests) = (BTreeMap::new(), BTreeMap::new());
        for desired in inputs.images {
            if let Wanted::Recipe(resolved) = &desired.wanted {
                recipes.insert(desired.image.clone(), (**resolved).clone());
            }
            requests.insert(desired.image, desired.wanted);
        }
        Ok(Decided { planned, recipes, requests, failed: gathered.failed })
    }

    /// Resolves the packages of every image whose plan says so, then plans again with the
    /// answers. The plan that comes back has the lock steps that were taken in front.
    ///
    /// # Errors
    /// As [`World::plan`]; an image whose packages cannot be resolved is in
    /// [`Decided::failed`].
    pub fn lock_and_plan(&self) -> Result<Decided> {
        let first = self.plan()?;
        let locks: Vec<Step> =
            first.planned.plan.steps.iter().filter(|s| matches!(s.action, Action::Lock)).cloned().collect();
        if locks.is_empty() {
            return Ok(first);
        }
        let mut failed = Vec::new();
        for step in &locks {
            if let Err(failure) = self.take_lock_step(&first, &step.image) {
                if failure.class == FailureClass::Cancelled {
                    return Err(failure);
                }
                self.events.emit(Event::Failed { image: step.image.clone(), failure: failure.clone() });
                failed.push((step.image.clone(), failure));
            }
        }
        let mut second = self.plan()?;
        // What was just resolved, or failed to be, is not asked again in the same round.
        second.planned.plan.steps.retain(|s| !matches!(s.action, Action::Lock));
        second.planned.plan.steps.splice(0..0, locks);
        second.failed.extend(failed);
        Ok(second)
    }

    fn take_lock_step(&self, decided: &Decided, image: &ImageName) -> Result<()> {
        let (request, old) = match decided.requests.get(image) {
            Some(Wanted::NeedsLock { request, stale }) => (request.clone(), stale.as_deref().cloned()),
            Some(Wanted::Recipe(resolved)) => (resolved.lock.request.clone(), Some(resolved.lock.clone())),
            None => return Err(Failure::bug(format!("the plan locks {image}, which nobody asked for"))),
        };
        let state = self.state()?;
        let now = self.clock.now();
        let made = self
            .with_builder(|builder| builder.lock(image, &request))
            .and_then(|new| old.as_ref().map_or(Ok(()), |old| check_not_older(old, &new)).map(|()| new));
        match made {
            Ok(new) => {
                // The same packages from a newer index are no change: what was built from the
                // older lock stays what it is.
                let lock = match old {
                    Some(old) if old.request == new.request && old.packages == new.packages => old,
                    _ => new,
                };
                self.runtime.block_on(async {
                    state.put_made_lock(image, &lock).await?;
                    state.record_check(image, now).await
                })
            }
            Err(failure) => {
                if failure.class != FailureClass::Cancelled {
                    self.runtime.block_on(state.record_check_failure(image, &request, &failure, now))?;
                }
                Err(failure)
            }
        }
    }

    /// Drives every build and promotion of a plan to its end, `jobs` at a time.
    ///
    /// A failed image does not keep the others from being built.
    ///
    /// # Errors
    /// Only what concerns no single image.
    pub fn carry_out(&self, decided: &Decided, publishing: &Publishing, jobs: usize) -> Result<Outcome> {
        let steps: Vec<&Step> =
            decided.planned.plan.steps.iter().filter(|s| !matches!(s.action, Action::Lock)).collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let outcome = Mutex::new(Outcome { failed: decided.failed.clone(), ..Outcome::default() });
        let work = || {
            while let Some(step) = steps.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                let result = self.cancel.check().and_then(|()| self.take(step, decided, publishing));
                let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match result {
                    Ok(Some(done)) => outcome.published.push(done),
                    Ok(None) => {}
                    Err(f) if f.class == FailureClass::Cancelled => outcome.remaining.push((*step).clone()),
                    Err(failure) => {
                        self.events
                            .emit(Event::Failed { image: step.image.clone(), failure: failure.clone() });
                        outcome.failed.push((step.image.clone(), failure));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs.clamp(1, steps.len().max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let mut outcome = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        outcome.published.sort();
        Ok(outcome)
    }

    fn take(
        &self,
        step: &Step,
        decided: &Decided,
        publishing: &Publishing,
    ) -> Result<Option<(ImageName, Version, ChannelName)>> {
        let image = &step.image;
        match &step.action {
            Action::Lock => Ok(None),
            Action::Promote { version, channel } => {
                self.store.promote(image, version, channel, &publishing.signers, self.clock.now())?;
                self.events.emit(Event::Published { image: image.clone(), version: version.clone() });
                Ok(Some((image.clone(), version.clone(), channel.clone())))
            }
            Action::Build { version, channel, .. } => {
                let resolved = decided
                    .recipes
                    .get(image)
                    .ok_or_else(|| Failure::bug(format!("the plan builds {image} and has no recipe")))?;
                let done = run::drive(self, resolved, step, version, channel, publishing)?;
                Ok(done.then(|| (image.clone(), version.clone(), channel.clone())))
            }
        }
    }

    fn state(&self) -> Result<&State> {
        self.state.as_ref().ok_or_else(|| Failure::bug("a run without a state database"))
    }

    /// The documents of some images.
    fn documents(&self, names: &BTreeSet<ImageName>) -> Result<BTreeMap<ImageName, Arc<ImageDocument>>> {
        let mut documents = BTreeMap::new();
        if let Some(remembered) = self.remembered {
            remembered.read(names)?;
            documents = remembered.documents();
        }
        for (name, document) in &self.catalog.images {
            documents.insert(name.clone(), Arc::new(document.clone()));
        }
        documents.retain(|name, _| names.contains(name));
        Ok(documents)
    }

    /// The document of one image that was planned.
    fn document(&self, name: &ImageName) -> Option<ImageDocument> {
        let read = || self.remembered?.documents().get(name).map(|document| (**document).clone());
        self.catalog.images.get(name).cloned().or_else(read)
    }

    /// The locks that were made for images whose catalog has none.
    fn made_locks(
        &self,
        documents: &BTreeMap<ImageName, Arc<ImageDocument>>,
    ) -> Result<BTreeMap<ImageName, Lock>> {
        let mut made = BTreeMap::new();
        if let Some(state) = &self.state {
            for image in documents.iter().filter(|(_, d)| d.lock.is_none()).map(|(name, _)| name) {
                if let Some(lock) = self.runtime.block_on(state.made_lock(image))? {
                    made.insert(image.clone(), lock);
                }
            }
        }
        Ok(made)
    }

    fn with_builder<T>(&self, work: impl FnOnce(&crate::build::Builder<'_>) -> Result<T>) -> Result<T> {
        let client = crate::effects::fetch::client()?;
        work(&crate::build::Builder {
            cache: &self.cache,
            mirrors: &self.mirrors,
            client: &client,
            runtime: &self.runtime,
            events: &self.events,
            cancel: &self.cancel,
        })
    }

    /// Where artifacts of a recipe lie while they are verified and published.
    fn artifacts(&self, recipe: &crate::model::Digest) -> PathBuf {
        self.cache.root().join("artifacts").join(recipe.hex())
    }
}
