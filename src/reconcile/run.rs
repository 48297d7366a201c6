//! One run: build, verify, publish, with its phase recorded before each begins.

use super::{Publishing, World, evidence};
use crate::build::registry;
use crate::effects::files::{FileLock, WorkFolder, parent, remove_tree};
use crate::model::artifact::Built;
use crate::model::evidence::Evidence;
use crate::model::failure::IoContext;
use crate::model::name::{ChannelName, Version};
use crate::model::plan::{Reason, Step};
use crate::model::recipe::ResolvedRecipe;
use crate::model::run::{Run, RunState};
use crate::model::{Artifact, ArtifactKind, Event, Failure, FailureClass, Result, VerifiedArtifact};
use crate::release::{Publication, changelog};
use crate::state::{Acquired, image_lease};
use crate::verify;
use chrono::TimeDelta;
use std::path::Path;

/// A lease outlives any build; one whose holder died is taken over at once all the same.
const LEASE: TimeDelta = TimeDelta::hours(24);

/// Drives one build step to its end; `false` if another process is at it.
pub(super) fn drive(
    world: &World<'_>,
    resolved: &ResolvedRecipe,
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
    let run =
        runtime.block_on(state.start_run(image, &resolved.recipe.digest(), version, world.clock.now()))?;
    let mut steps = Steps { world, run };
    let result = steps.all(resolved, step, channel, publishing);
    let end = match &result {
        Ok(()) => Some(RunState::Published),
        // Stopped on request: the run stays where it stood and is taken up again.
        Err(f) if f.class == FailureClass::Cancelled => None,
        Err(failure) => Some(RunState::Failed { failure: failure.clone() }),
    };
    let recorded = end.map_or(Ok(()), |end| steps.enter(end));
    runtime.block_on(state.release(lease))?;
    result.and(recorded).map(|()| true)
}

struct Steps<'a, 'w> {
    world: &'a World<'w>,
    run: Run,
}

impl Steps<'_, '_> {
    fn enter(&mut self, next: RunState) -> Result<()> {
        let world = self.world;
        self.run = world.runtime.block_on(world.state()?.advance(self.run.id, next, world.clock.now()))?;
        world.events.emit(Event::Phase { image: self.run.image.clone(), phase: self.run.state.phase() });
        Ok(())
    }

    fn all(
        &mut self,
        resolved: &ResolvedRecipe,
        step: &Step,
        channel: &ChannelName,
        publishing: &Publishing,
    ) -> Result<()> {
        let world = self.world;
        let started = world.clock.now();
        self.enter(RunState::Building)?;
        let folder = world.artifacts(&resolved.recipe.digest());
        // Two images never share a recipe; two catalogs on one cache may.
        let _held = FileLock::take(&folder.with_extension("lock"))?;
        std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        let document = world.document(&step.image);
        let space = world.catalog.settings.build.min_free_space;
        let built = world.with_builder(|b| b.build(resolved, space, &folder))?;

        self.enter(RunState::Verifying)?;
        let artifacts = self.verify(resolved, &built)?;

        self.enter(RunState::Publishing)?;
        world.cancel.check()?;
        // Before the release: a registry that refuses fails the run, which is tried again.
        self.push(&artifacts, publishing)?;
        let publication = Publication {
            recipe: resolved.recipe.clone(),
            lock: resolved.lock.clone(),
            lock_text: crate::catalog::lock_text(&resolved.lock).into_bytes(),
            blobs: resolved.blobs.clone(),
            built,
            artifacts,
            description: document.and_then(|d| d.spec.metadata.description.clone()),
            version: self.run.version.clone(),
            channel: channel.clone(),
            source: world.catalog.source.clone(),
            changes: changes(world, step),
            builder: publishing.builder.clone(),
            invocation: Some(self.run.id.to_string()),
            started,
            published: world.clock.now(),
            not_reproducible: Vec::new(),
        };
        match &publishing.keyless {
            Some((services, token)) => world.runtime.block_on(world.store.publish_keyless(
                publication,
                &publishing.signers,
                services,
                token,
            ))?,
            None => world.store.publish(publication, &publishing.signers)?,
        };
        // Published: the copies that were verified are not needed any more.
        remove_tree(&folder)?;
        let (image, version) = (self.run.image.clone(), self.run.version.clone());
        world.events.emit(Event::Published { image, version });
        Ok(())
    }

    fn verify(&self, resolved: &ResolvedRecipe, built: &Built) -> Result<Vec<VerifiedArtifact>> {
        let world = self.world;
        built
            .artifacts
            .iter()
            .map(|artifact| {
                world.cancel.check()?;
                let place = evidence::place(world.cache.root(), artifact, &resolved.recipe);
                if let Some(found) = evidence::find(&place, artifact)? {
                    return VerifiedArtifact::new(artifact.clone(), found);
                }
                let gathered = WorkFolder::new(&world.cache.work(), "verify")?;
                let shown = self.show(resolved, artifact, gathered.path())?;
                let kept = evidence::keep(world.cache.root(), &place, shown)?;
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
        let aside = parent(parent(place)).join("refused").join(self.run.image.as_str());
        std::fs::create_dir_all(parent(&aside)).during(|| format!("making {}", parent(&aside).display()))?;
        remove_tree(&aside)?;
        std::fs::rename(place, &aside).during(|| format!("keeping {}", aside.display()))?;
        self.world.events.warn(format!("{}: the evidence is in {}", self.run.image, aside.display()));
        Ok(())
    }

    fn show(&self, resolved: &ResolvedRecipe, artifact: &Artifact, to: &Path) -> Result<Evidence> {
        let world = self.world;
        let build_id = resolved.recipe.digest();
        let options = verify::Options {
            scratch: world.cache.work(),
            evidence: to.to_owned(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            acceleration: verify::Acceleration::Auto { cache: world.cache.root().join("acceleration.json") },
            clock: world.clock,
            tools: verify::Tools::default(),
        };
        match artifact.kind {
            ArtifactKind::Iso => verify::iso(
                artifact,
                &build_id,
                &resolved.recipe.verify,
                &options,
                &world.events,
                &world.cancel,
            ),
            ArtifactKind::OciArchive => {
                verify::oci(artifact, &build_id, &options, &world.events, &world.cancel)
            }
            ArtifactKind::Rootfs => {
                verify::rootfs(artifact, &build_id, &options, &world.events, &world.cancel)
            }
            ArtifactKind::Disk => Err(Failure::bug("a disk image cannot be verified yet")),
        }
    }

    /// Pushes the verified OCI image, tagged with the version, where a registry is set.
    fn push(&self, artifacts: &[VerifiedArtifact], publishing: &Publishing) -> Result<()> {
        let Some((prefix, credentials)) = &publishing.registry else { return Ok(()) };
        let world = self.world;
        for image in artifacts.iter().filter(|a| a.artifact().kind == ArtifactKind::OciArchive) {
            let target = format!("{}/{}:{}", prefix.trim_end_matches('/'), self.run.image, self.run.version);
            world.runtime.block_on(registry::push(
                image.path(),
                &target,
                credentials,
                &world.events,
                &world.cancel,
            ))?;
        }
        Ok(())
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
            Reason::ChangedField { field, from, to } => Some(format!("{field}: {from} → {to}")),
            _ => None,
        })
        .collect();
    changelog::Inputs { commits, configuration }
}
