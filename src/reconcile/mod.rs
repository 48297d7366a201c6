//! Observe, plan, drive.
//!
//! [`World::plan`] looks at everything and changes nothing. [`World::carry_out`] drives the
//! steps of a plan, each to its end, recording every change of phase before the work of the
//! phase begins: whoever comes after a kill sees where the run stood, and finds finished
//! layers, artifacts and evidence in the cache.

mod desired;
mod evidence;
mod firmware;
mod heartbeat;
mod journal;
pub mod known;
mod looking;
pub mod memory;
mod needs;
mod policies;
pub mod rebuild;
mod registry;
mod rescue;
mod run;
mod settle;
mod settled;
pub mod upstream;

pub use policies::may_be_promoted;

pub use looking::Looking;
pub use registry::Registry;
pub use settled::Remembered;

use crate::build::cache::Cache;
use crate::catalog::Files;
use crate::effects::{Cancel, Clock, Point, point};
use crate::model::catalog::{Catalog, Document, ImageDocument};
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::observed::{Mend, StoreFinding};
use crate::model::plan::{Action, Planned, Status, Step};
use crate::model::product::{self, Resolved};
use crate::model::settings::{Keyless, Mirror};
use crate::model::{Emitter, Event, Failure, FailureClass, Result};
use crate::planner::{self, Inputs, StoreWork, Wanted};
use crate::release::{Signers, Store, Trust};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Everything that reconciling needs to know and to reach.
pub struct World<'a> {
    /// What is asked for.
    pub catalog: &'a Catalog,
    /// Its text, for the places of findings; empty where there is something `remembered`.
    pub files: &'a Files,
    /// Images of the catalog that were not read, because they are as they were.
    pub remembered: Option<&'a Remembered>,
    /// The images that are looked at; others are left as they are.
    pub selected: BTreeSet<ImageName>,
    /// The images that are built even if nothing changed.
    pub forced: BTreeSet<ImageName>,
    /// What is published.
    pub store: Store,
    /// Whose signatures count.
    pub keys: Trust,
    /// Where OCI images are pushed to, if anywhere.
    pub registry: Option<Registry>,
    /// Where builds keep what they make.
    pub cache: Cache,
    /// Where packages come from, keyrings by their place on this host.
    pub mirrors: Vec<Mirror>,
    /// The keys that OpenWrt's servers are trusted by, by their places on this host.
    pub openwrt_keys: Vec<PathBuf>,
    /// What happened before; none when nothing ever did and nothing may be written.
    pub state: Option<State>,
    /// How deep the store is looked into.
    pub looking: Looking,
    /// Runs what is asynchronous.
    pub runtime: tokio::runtime::Handle,
    /// Where progress goes.
    pub events: Emitter,
    /// A wish to stop.
    pub cancel: Cancel,
    /// The time.
    pub clock: Clock,
    /// Nothing may be asked of the network: what is not here is missing.
    pub offline: bool,
}

/// What is needed to publish.
pub struct Publishing {
    /// Who signs.
    pub signers: Signers,
    /// Sigstore services and an identity token, where both are there.
    pub keyless: Option<(Keyless, String)>,
    /// Who builds, as a URI for the provenance.
    pub builder: String,
}

impl Publishing {
    /// Refuses to build what could not be published: a release without the bundle that its
    /// own catalog asks for would be refused by everyone.
    fn check(&self) -> Result<()> {
        if self.keyless.is_some() || self.signers.trust.keyless().is_none() {
            return Ok(());
        }
        Err(Failure::host("signing.keyless says who signs, and there is no identity token here").hint(
            "Run where CI gives one, set SIGSTORE_ID_TOKEN, or take `identity` out of signing.keyless.",
        ))
    }
}

/// A plan, with what its steps need.
pub struct Decided {
    /// The plan and the report.
    pub planned: Planned,
    /// The recipes of all images that have one.
    pub recipes: BTreeMap<ImageName, Resolved>,
    /// What has to be resolved for the images that have none.
    requests: BTreeMap<ImageName, Wanted>,
    /// Images whose spec cannot be resolved.
    pub failed: Vec<(ImageName, Failure)>,
    /// Images whose last attempt failed: they wait until the others had their turn.
    failed_before: BTreeSet<ImageName>,
}

/// What became of a plan.
#[derive(Default)]
pub struct Outcome {
    /// Releases that are on their channels now.
    pub published: Vec<(ImageName, Version, ChannelName)>,
    /// Damaged releases that are whole again.
    pub repaired: Vec<(ImageName, Version)>,
    /// Images that failed.
    pub failed: Vec<(ImageName, Failure)>,
    /// Steps that were not taken, because somebody asked to stop.
    pub remaining: Vec<Step>,
}

/// What came of one step.
enum Done {
    Published(Version, ChannelName),
    Repaired(Vec<Version>),
    /// It was left to another process, or taken before.
    Nothing,
}

impl World<'_> {
    /// Compares what is asked for with what is published.
    ///
    /// # Errors
    /// If the store or the state cannot be read; an image that cannot be resolved is in
    /// [`Decided::failed`].
    pub fn plan(&self) -> Result<Decided> {
        let now = self.clock.now();
        let history = match &self.state {
            Some(state) => self.runtime.block_on(state.history(now))?,
            None => BTreeMap::new(),
        };
        let (settled, open) = self.settled(&history)?;
        let due = self.due_in_registry()?;
        let mut observed = self.observe(&open)?;
        self.look_at_registry(&mut observed, &due)?;
        self.forget_unsound(&observed);
        let documents = self.documents(&open)?;
        let made = self.made_locks(&documents)?;
        let mut gathered = desired::gather(self, &documents, &observed, &made);
        let ruling = self.ruling(&documents, &gathered.desired, &gathered.failed, &observed)?;
        let failed = |history: &planner::History| {
            history.build.is_some() || history.lock.is_some() || !history.store.is_empty()
        };
        let failed_before = history.iter().filter(|(_, h)| failed(h)).map(|(i, _)| i.clone()).collect();
        let inputs = Inputs {
            now,
            source: self.catalog.source.clone(),
            images: gathered.desired,
            observed,
            cached_layers: if open.is_empty() { BTreeSet::new() } else { self.cache.layers() },
            history,
            forced: self.forced.clone(),
            ruling,
        };
        let mut planned = planner::plan(&inputs);
        let refused = planned.report.iter().filter(|r| matches!(r.status, Status::Refused { .. }));
        gathered.failed.extend(refused.filter_map(|report| {
            policies::refused(&report.image, &inputs.ruling).map(|f| (report.image.clone(), f))
        }));
        planned.report.extend(settled);
        planned.report.sort_by(|a, b| a.image.cmp(&b.image));
        let (mut recipes, mut requests) = (BTreeMap::new(), BTreeMap::new());
        for desired in inputs.images {
            if let Wanted::Recipe(resolved) = &desired.wanted {
                recipes.insert(desired.image.clone(), (**resolved).clone());
            }
            requests.insert(desired.image, desired.wanted);
        }
        Ok(Decided { planned, recipes, requests, failed: gathered.failed, failed_before })
    }

    /// Resolves the packages of every image whose plan says so, then plans again with the
    /// answers. The plan that comes back has the lock steps that were taken in front.
    ///
    /// # Errors
    /// As [`World::plan`]; an image whose packages cannot be resolved is in
    /// [`Decided::failed`].
    pub fn lock_and_plan(&self) -> Result<Decided> {
        let first = self.plan()?;
        let mut locks: Vec<Step> =
            first.planned.plan.steps.iter().filter(|s| matches!(s.action, Action::Lock)).cloned().collect();
        if self.offline {
            // Looking for what is new upstream has to wait; a first lock may be had from the
            // indexes that are here.
            locks.retain(|step| matches!(first.requests.get(&step.image), Some(Wanted::NeedsLock { .. })));
        }
        if locks.is_empty() && !self.offline {
            return Ok(first);
        }
        locks.sort_by_key(|step| first.failed_before.contains(&step.image));
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
            Some(Wanted::Recipe(resolved)) => (resolved.request(), Some(resolved.lock())),
            None => return Err(Failure::bug(format!("the plan locks {image}, which nobody asked for"))),
        };
        let state = self.state()?;
        let now = self.clock.now();
        let locked = rescue::with_room(self, &self.events, || self.resolve(image, &request, old.as_ref()));
        match locked {
            // What is here says nothing about what is new upstream.
            Ok(new) if self.offline => self.runtime.block_on(state.put_made_lock(image, &new)),
            Ok(new) => {
                point(Point::LockResolved)?;
                // The same packages from a newer index are no change: what was built from the
                // older lock stays what it is.
                let lock = match old {
                    Some(old) if new.says_the_same(&old) => old,
                    _ => new,
                };
                self.runtime.block_on(async {
                    state.put_made_lock(image, &lock).await?;
                    point(Point::LockKept)?;
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

    /// Asks what an image's packages are now.
    fn resolve(
        &self,
        image: &ImageName,
        request: &product::Request,
        old: Option<&product::Lock>,
    ) -> Result<product::Lock> {
        match request {
            product::Request::Image(request) => {
                let old = old.and_then(|lock| match lock {
                    product::Lock::Image(lock) => Some(lock),
                    product::Lock::Firmware(_) => None,
                });
                let new = self.with_builder(&self.events, |builder| builder.lock(image, request, old))?;
                let new = match old {
                    Some(old) => new.following(old)?,
                    None => new,
                };
                Ok(product::Lock::Image(new))
            }
            product::Request::Firmware(_) => self.resolve_firmware(image, old).map(product::Lock::Firmware),
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
        self.announce(&decided.planned, true)?;
        self.tidy(&decided.planned.plan.store, publishing);
        // The steps of one image are taken one after the other.
        let mut images: Vec<&[&Step]> = steps.chunk_by(|a, b| a.image == b.image).collect();
        // One that failed before may take its time to fail again; nobody waits for that.
        images.sort_by_key(|steps| steps.first().is_some_and(|s| decided.failed_before.contains(&s.image)));
        let next = std::sync::atomic::AtomicUsize::new(0);
        let outcome = Mutex::new(Outcome { failed: decided.failed.clone(), ..Outcome::default() });
        let work = || {
            let next = || images.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
            for step in std::iter::from_fn(next).copied().flatten() {
                let result = self.cancel.check().and_then(|()| self.take(step, decided, publishing));
                self.note(step, result.as_ref().err());
                let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match result {
                    Ok(Done::Published(version, channel)) => {
                        outcome.published.push((step.image.clone(), version, channel));
                    }
                    Ok(Done::Repaired(versions)) => {
                        outcome.repaired.extend(versions.into_iter().map(|v| (step.image.clone(), v)));
                    }
                    Ok(Done::Nothing) => {}
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
            for _ in 1..jobs.clamp(1, images.len().max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let mut outcome = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        outcome.published.sort();
        outcome.repaired.sort();
        Ok(outcome)
    }

    /// Remembers what became of work on published releases: what failed is not tried in every
    /// round.
    fn note(&self, step: &Step, failure: Option<&Failure>) {
        let Some((work, state)) = StoreWork::of(&step.action).zip(self.state.as_ref()) else { return };
        if failure.is_some_and(|f| f.class == FailureClass::Cancelled) {
            return;
        }
        let of = planner::attempt_digest(&step.action, &step.reasons);
        let noted = match failure {
            Some(failure) => {
                let now = self.clock.now();
                self.runtime.block_on(state.record_work_failure(&step.image, work, &of, failure, now))
            }
            None => self.runtime.block_on(state.forget_work_failures(&step.image, work)),
        };
        if let Err(failure) = noted {
            self.events.warn(format!("{}: it is not remembered how this went: {failure}", step.image));
        }
    }

    /// Puts the store itself right; what cannot be moved keeps nobody from publishing.
    fn tidy(&self, findings: &[StoreFinding], publishing: &Publishing) {
        if findings.is_empty() {
            return;
        }
        if let Err(failure) = self.store.tidy(findings, &publishing.signers, self.clock.now()) {
            self.events.warn(format!("putting the store right: {failure}"));
        }
    }

    fn take(&self, step: &Step, decided: &Decided, publishing: &Publishing) -> Result<Done> {
        let image = &step.image;
        match &step.action {
            Action::Lock => Ok(Done::Nothing),
            Action::Repair { releases } => {
                for release in releases {
                    let version = &release.version;
                    let (push, mends): (Vec<_>, Vec<_>) =
                        release.mends.iter().cloned().partition(|mend| *mend == Mend::Push);
                    if !mends.is_empty() {
                        self.store.repair(image, version, &mends, &publishing.signers, self.clock.now())?;
                    }
                    if !push.is_empty() {
                        self.push_again(image, version, publishing)?;
                    }
                }
                Ok(Done::Repaired(releases.iter().map(|r| r.version.clone()).collect()))
            }
            Action::Promote { version, channel } => {
                let manifest = self.store.manifest(image, version, &self.keys)?;
                self.may_be_promoted(&manifest, &publishing.signers)?;
                self.store.promote(image, version, channel, &publishing.signers, self.clock.now())?;
                self.events.emit(Event::Published { image: image.clone(), version: version.clone() });
                Ok(Done::Published(version.clone(), channel.clone()))
            }
            Action::Resign { versions } => {
                self.store.resign(image, versions, &publishing.signers, self.clock.now())?;
                Ok(Done::Nothing)
            }
            Action::Build { version, channel, .. } => {
                publishing.check()?;
                let resolved = decided
                    .recipes
                    .get(image)
                    .ok_or_else(|| Failure::bug(format!("the plan builds {image} and has no recipe")))?;
                let done = run::drive(self, resolved, step, version, channel, publishing)?;
                Ok(if done { Done::Published(version.clone(), channel.clone()) } else { Done::Nothing })
            }
        }
    }

    fn state(&self) -> Result<&State> {
        self.state.as_ref().ok_or_else(|| Failure::bug("a run without a state database"))
    }

    /// The documents of some images and devices.
    fn documents(&self, names: &BTreeSet<ImageName>) -> Result<BTreeMap<ImageName, Document>> {
        let mut images: BTreeMap<ImageName, Arc<ImageDocument>> = BTreeMap::new();
        if let Some(remembered) = self.remembered {
            remembered.read(names)?;
            images = remembered.documents();
        }
        images.retain(|name, _| names.contains(name));
        for (name, document) in self.catalog.images.iter().filter(|(name, _)| names.contains(*name)) {
            images.insert(name.clone(), Arc::new(document.clone()));
        }
        let images = images.into_iter().map(|(name, document)| (name, Document::Image(document)));
        let devices = self.catalog.devices.iter().map(|(name, device)| (ImageName::from(name), device));
        let devices = devices.filter(|(name, _)| names.contains(name));
        let devices = devices.map(|(name, device)| (name, Document::Device(Arc::new(device.clone()))));
        Ok(images.chain(devices).collect())
    }

    /// The document of one image or device that was planned.
    fn document(&self, name: &ImageName) -> Option<Document> {
        if let Some(document) = product::device_name(name).and_then(|name| self.catalog.devices.get(&name)) {
            return Some(Document::Device(Arc::new(document.clone())));
        }
        let read = || self.remembered?.documents().get(name).cloned();
        let image = self.catalog.images.get(name).map(|document| Arc::new(document.clone()));
        image.or_else(read).map(Document::Image)
    }

    /// The locks that were made for images whose catalog has none.
    fn made_locks(
        &self,
        documents: &BTreeMap<ImageName, Document>,
    ) -> Result<BTreeMap<ImageName, product::Lock>> {
        let mut made = BTreeMap::new();
        if let Some(state) = &self.state {
            for image in documents.iter().filter(|(_, d)| !d.has_lock()).map(|(name, _)| name) {
                if let Some(lock) = self.runtime.block_on(state.made_lock(image))? {
                    made.insert(image.clone(), lock);
                }
            }
        }
        Ok(made)
    }

    fn with_builder<T>(
        &self,
        events: &Emitter,
        work: impl FnOnce(&crate::build::Builder<'_>) -> Result<T>,
    ) -> Result<T> {
        let client = crate::effects::fetch::client()?;
        work(&crate::build::Builder {
            cache: &self.cache,
            mirrors: &self.mirrors,
            client: &client,
            runtime: &self.runtime,
            events,
            cancel: &self.cancel,
            offline: self.offline,
        })
    }
}
