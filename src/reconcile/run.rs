//! One run: build, verify, publish, with its phase recorded before each begins.

use super::heartbeat::{Heartbeat, LEASE};
use super::journal::Journal;
use super::{Publishing, World, evidence, firmware, rescue};
use crate::build::cache::{Cache, Kind, lock_of};
use crate::configure;
use crate::effects::files::{FileLock, WorkFolder, parent, remove_tree};
use crate::effects::{Point, point};
use crate::model::artifact::Built;
use crate::model::evidence::Evidence;
use crate::model::failure::IoContext;
use crate::model::name::{ChannelName, Version};
use crate::model::plan::{Reason, Step};
use crate::model::product::{Resolved, ResolvedFirmware};
use crate::model::recipe::ResolvedRecipe;
use crate::model::run::{Run, RunState};
use crate::model::spec::Architecture;
use crate::model::{
    Artifact, ArtifactKind, Digest, Emitter, Event, Failure, FailureClass, Result, VerifiedArtifact,
};
use crate::release::{Look, Publication, changelog};
use crate::state::{Acquired, image_lease};
use crate::verify;
use std::path::Path;

/// Drives one build step to its end; `false` if another process is at it.
pub(super) fn drive(
    world: &World<'_>,
    resolved: &Resolved,
    step: &Step,
    version: &Version,
    channel: &ChannelName,
    publishing: &Publishing,
) -> Result<bool> {
    let (state, runtime) = (world.state()?, &world.runtime);
    let (image, now) = (&step.image, world.clock.now());
    let (name, pid) = (image_lease(image), std::process::id());
    let lease = match runtime.block_on(state.acquire_lease(&name, "bootwright", pid, LEASE, now))? {
        Acquired::Yes(lease) => lease,
        Acquired::HeldBy(holder) => {
            let (who, pid) = (holder.holder, holder.pid);
            world.events.warn(format!("{image} is being built by {who} (pid {pid}); it is left to them"));
            return Ok(false);
        }
    };
    let heartbeat = Heartbeat::start(world, lease)?;
    let result = drive_leased(world, resolved, step, (version, channel), publishing, &heartbeat);
    // Whatever came of it, the image is free: a watch goes on and will want it again.
    let freed = runtime.block_on(state.release(heartbeat.stop())).and_then(|()| point(Point::LeaseReleased));
    result.and_then(|done| freed.map(|()| done))
}

fn drive_leased(
    world: &World<'_>,
    resolved: &Resolved,
    step: &Step,
    (version, channel): (&Version, &ChannelName),
    publishing: &Publishing,
    heartbeat: &Heartbeat,
) -> Result<bool> {
    point(Point::LeaseTaken)?;
    let recipe = resolved.digest();
    if !step.reasons.contains(&Reason::ByHand) && published_meanwhile(world, step, channel, &recipe)? {
        world.events.warn(format!("{} {version} was published by another process meanwhile", step.image));
        return Ok(false);
    }
    let state = world.state()?;
    let started = state.start_run(&step.image, &recipe, version, world.clock.now());
    let journal = Journal::new(&world.events, world.clock);
    let events = journal.events().clone();
    let mut steps = Steps { world, run: world.runtime.block_on(started)?, heartbeat, journal };
    let result = point(Point::RunStarted)
        .and_then(|()| rescue::with_room(world, &events, || steps.all(resolved, step, channel, publishing)));
    let end = match &result {
        Ok(()) => Some(RunState::Published),
        // Stopped on request: the run stays where it stood and is taken up again.
        Err(f) if f.class == FailureClass::Cancelled => None,
        Err(failure) => Some(RunState::Failed { failure: failure.clone() }),
    };
    let recorded = end.map_or(Ok(()), |end| steps.enter(end)).and_then(|()| steps.write_journal());
    // Of several failures the first one is the cause.
    result.and(recorded).map(|()| true)
}

/// Whether the channel points to a sound release of the recipe by now: another process may
/// have had the lease between our plan and our turn.
fn published_meanwhile(
    world: &World<'_>,
    step: &Step,
    channel: &ChannelName,
    recipe: &Digest,
) -> Result<bool> {
    // With what the plan's look found out: sizes alone do not show altered bytes.
    let observed = world.observe_some(std::slice::from_ref(&step.image))?;
    let release = observed.images.get(&step.image).and_then(|image| image.channels.get(channel));
    Ok(release.is_some_and(|release| release.recipe_digest == *recipe && release.defects.is_empty()))
}

struct Steps<'a, 'w> {
    world: &'a World<'w>,
    run: Run,
    heartbeat: &'a Heartbeat,
    journal: Journal,
}

impl Steps<'_, '_> {
    fn enter(&mut self, next: RunState) -> Result<()> {
        let world = self.world;
        self.heartbeat.check()?;
        self.run = world.runtime.block_on(world.state()?.advance(self.run.id, next, world.clock.now()))?;
        match self.run.state {
            RunState::Building => point(Point::RunBuilding)?,
            RunState::Verifying => point(Point::RunVerifying)?,
            RunState::Publishing => point(Point::RunPublishing)?,
            RunState::Published => point(Point::RunPublished)?,
            _ => {}
        }
        self.events().emit(Event::Phase { image: self.run.image.clone(), phase: self.run.state.phase() });
        self.write_journal()
    }

    fn events(&self) -> &Emitter {
        self.journal.events()
    }

    fn write_journal(&self) -> Result<()> {
        let world = self.world;
        self.journal.write(world.state()?, &world.runtime, self.run.id, world.clock.now())
    }

    fn all(
        &mut self,
        resolved: &Resolved,
        step: &Step,
        channel: &ChannelName,
        publishing: &Publishing,
    ) -> Result<()> {
        let world = self.world;
        let started = world.clock.now();
        self.enter(RunState::Building)?;
        world.may_be_signed(&step.image, publishing)?;
        let session = world.cache.session();
        let folder = session.artifacts(&resolved.digest());
        // Two images never share a recipe; two devices may, and two catalogs on one cache.
        let _held = FileLock::take(&lock_of(&folder))?;
        std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        let document = world.document(&step.image);
        let space = world.catalog.settings.build.min_free_space;
        let built = match resolved {
            Resolved::Image(resolved) => {
                world.with_builder(self.events(), |b| b.build(resolved, space, &folder))?
            }
            Resolved::Firmware(resolved) => world.build_firmware(&step.image, resolved, &folder)?,
        };

        world.may_be_verified(&step.image, &built)?;

        if self.restore(resolved, channel, publishing)? {
            return remove_tree(&folder);
        }
        self.enter(RunState::Verifying)?;
        let artifacts = self.verify(resolved, &built, &session)?;

        self.enter(RunState::Publishing)?;
        world.cancel.check()?;
        let differing =
            built.firmware.as_ref().map(|f| firmware::not_reproducible(&f.facts)).unwrap_or_default();
        let mut publication = Publication {
            recipe: resolved.recipe(),
            lock_text: crate::catalog::product_lock_text(&resolved.lock()).into_bytes(),
            lock: resolved.lock(),
            blobs: resolved.blobs(),
            artifacts,
            description: document.and_then(|d| d.description().cloned()),
            version: self.run.version.clone(),
            channel: channel.clone(),
            source: world.catalog.source.clone(),
            changes: changes(world, step),
            builder: publishing.builder.clone(),
            invocation: Some(self.run.id.to_string()),
            registry: None,
            started,
            published: world.clock.now(),
            not_reproducible: differing,
            built,
        };
        world.may_be_published(&publication, publishing)?;
        // Before the release: a registry that refuses fails the run, which is tried again.
        publication.registry =
            world.push(&self.run.image, &self.run.version, &publication.artifacts, self.events())?;
        let mut staged = world.store.stage(publication, &publishing.signers)?;
        if let Some((services, token)) = &publishing.keyless {
            world.runtime.block_on(staged.sign_keyless(services, token))?;
        }
        world.attach(staged.documents()?, publishing, self.events())?;
        staged.publish()?;
        world.remember(&self.run.image, &self.run.version)?;
        // Published: the copies that were verified are not needed any more.
        remove_tree(&folder)?;
        point(Point::ArtifactsRemoved)?;
        let (image, version) = (self.run.image.clone(), self.run.version.clone());
        self.events().emit(Event::Published { image, version });
        Ok(())
    }

    /// Makes a damaged release of this very recipe whole with what was just built. That needs
    /// no new proof: the signed manifest has the evidence of the same bytes. `false` if there
    /// is no such release, or the bytes are others: then a new one takes its place.
    fn restore(
        &mut self,
        resolved: &Resolved,
        channel: &ChannelName,
        publishing: &Publishing,
    ) -> Result<bool> {
        let world = self.world;
        let (image, version, now) = (self.run.image.clone(), self.run.version.clone(), world.clock.now());
        let look = Look {
            keys: publishing.signers.keys(),
            wanted: &[],
            beside: &[],
            whole_store: false,
            hash_older_than: None,
            copies: &|_| world.copies(&resolved.digest()),
            now,
            events: &world.events,
            cancel: &world.cancel,
        };
        let Some(mends) = world.store.mends_from(&look, &image, &version)? else { return Ok(false) };
        self.enter(RunState::Verifying)?;
        self.enter(RunState::Publishing)?;
        world.store.repair(&image, &version, &mends, &publishing.signers, now)?;
        world.store.promote(&image, &version, channel, &publishing.signers, now)?;
        world.remember(&image, &version)?;
        world.events.emit(Event::Published { image, version });
        Ok(true)
    }

    /// The evidence is held by `session` until the release is published.
    fn verify(&self, resolved: &Resolved, built: &Built, session: &Cache) -> Result<Vec<VerifiedArtifact>> {
        let world = self.world;
        built
            .artifacts
            .iter()
            .map(|artifact| {
                world.cancel.check()?;
                let place = evidence::place(session, artifact, resolved);
                let looking = session.session();
                if let Some(found) = evidence::find(&looking, &place, artifact, self.events())? {
                    session.hold(&place)?;
                    return VerifiedArtifact::new(artifact.clone(), found);
                }
                drop(looking);
                let gathered = WorkFolder::new(&world.cache.work(), "verify")?;
                let shown = match resolved {
                    Resolved::Image(resolved) => self.show(resolved, artifact, gathered.path())?,
                    Resolved::Firmware(resolved) => {
                        self.show_firmware(resolved, built, artifact, gathered.path())?
                    }
                };
                point(Point::EvidenceGathered)?;
                let kept = evidence::keep(session, &place, shown)?;
                let verified = VerifiedArtifact::new(artifact.clone(), kept);
                if verified.is_err() {
                    self.put_aside(&place)?;
                }
                verified
            })
            .collect()
    }

    /// Evidence that refuses an artifact is kept for people to read, and never found again
    /// as a reason to publish or not to try.
    fn put_aside(&self, place: &Path) -> Result<()> {
        let aside = self.world.cache.folder(Kind::Refused).join(self.run.image.as_str());
        std::fs::create_dir_all(parent(&aside)).during(|| format!("making {}", parent(&aside).display()))?;
        remove_tree(&aside)?;
        std::fs::rename(place, &aside).during(|| format!("keeping {}", aside.display()))?;
        self.events().warn(format!("{}: the evidence is in {}", self.run.image, aside.display()));
        Ok(())
    }

    fn options(&self, architecture: Architecture, to: &Path) -> verify::Options {
        let cache = &self.world.cache;
        verify::Options {
            scratch: cache.work(),
            evidence: to.to_owned(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            acceleration: verify::Acceleration::Auto { cache: cache.root().join("acceleration.json") },
            clock: self.world.clock,
            tools: verify::Tools::of(architecture),
        }
    }

    fn show_firmware(
        &self,
        resolved: &ResolvedFirmware,
        built: &Built,
        artifact: &Artifact,
        to: &Path,
    ) -> Result<Evidence> {
        let world = self.world;
        let Some(firmware) = &built.firmware else {
            return Err(Failure::bug("a firmware was built and nothing is known of it"));
        };
        let promised =
            verify::Promised { order: &resolved.order, lock: &resolved.lock, facts: &firmware.facts };
        let options = self.options(Architecture::default(), to);
        verify::firmware(artifact, &promised, &options, self.events(), &world.cancel)
    }

    fn show(&self, resolved: &ResolvedRecipe, artifact: &Artifact, to: &Path) -> Result<Evidence> {
        let world = self.world;
        let build_id = resolved.recipe.digest();
        let options = self.options(resolved.recipe.architecture, to);
        let checks = configure::checks_of(&resolved.recipe);
        let wish = verify::Wish { verify: &resolved.recipe.verify, checks: &checks };
        match artifact.kind {
            ArtifactKind::Iso => {
                verify::iso(artifact, &build_id, wish, &options, self.events(), &world.cancel)
            }
            ArtifactKind::OciArchive => {
                verify::oci(artifact, &build_id, &options, self.events(), &world.cancel)
            }
            ArtifactKind::Rootfs => {
                verify::rootfs(artifact, &build_id, &options, self.events(), &world.cancel)
            }
            ArtifactKind::Disk => {
                verify::disk(artifact, &build_id, wish, &options, self.events(), &world.cancel)
            }
            ArtifactKind::Firmware => Err(Failure::bug("an image has no firmware among its outputs")),
        }
    }
}

/// What the changelog says beside packages and sizes.
fn changes(world: &World<'_>, step: &Step) -> changelog::Inputs {
    let commits = world
        .catalog
        .source
        .commit
        .iter()
        .map(|c| changelog::CommitLine { id: c.id.clone(), subject: c.subject.clone() })
        .collect();
    let configuration = step
        .reasons
        .iter()
        .filter_map(|reason| match reason {
            Reason::ChangedField { field, from, to, .. } => Some(format!("{field}: {from} → {to}")),
            _ => None,
        })
        .collect();
    changelog::Inputs { commits, configuration }
}
