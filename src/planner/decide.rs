//! One image: what should be done for it, and what keeps it from being done.

use super::changes::{self, Published};
use super::inputs::{Desired, Failures, History, Inputs, Wanted, request_digest};
use super::retry;
use crate::model::lock::LockRequest;
use crate::model::observed::{Defect, ObservedImage, ObservedRelease};
use crate::model::plan::{Action, ImageReport, LayerPlan, Reason, Status, Step};
use crate::model::recipe::ResolvedRecipe;
use crate::model::{Digest, ErrorCode, FailureClass, Lock, Version};
use chrono::{DateTime, Utc};

/// Something that should be done, and what earlier failures say about doing it now.
struct Candidate {
    action: Action,
    reasons: Vec<Reason>,
    held: Option<Status>,
}

/// One image with everything that is known about it.
struct Image<'a> {
    inputs: &'a Inputs,
    desired: &'a Desired,
    observed: Option<&'a ObservedImage>,
    current: Option<&'a ObservedRelease>,
    history: Option<&'a History>,
    forced: bool,
}

/// The step for one image, if there is one, and how it stands.
pub(super) fn decide(inputs: &Inputs, desired: &Desired) -> (Option<Step>, ImageReport) {
    let observed = inputs.observed.images.get(&desired.image);
    let image = Image {
        inputs,
        desired,
        observed,
        current: observed.and_then(|o| o.channels.get(&desired.channel)),
        history: inputs.history.get(&desired.image),
        forced: inputs.forced.contains(&desired.image),
    };
    let (step, status) = match image.choose() {
        Ok((action, reasons)) => {
            (Some(Step { image: desired.image.clone(), action, reasons }), Status::Planned)
        }
        Err(status) => (None, status),
    };
    let current = image.current.map(|release| release.version.clone());
    (step, ImageReport { image: desired.image.clone(), current, status })
}

impl Image<'_> {
    /// What is done now, or how the image stands if nothing is.
    fn choose(&self) -> Result<(Action, Vec<Reason>), Status> {
        if self.desired.paused {
            return Err(Status::Paused);
        }
        let mut candidates = self.candidates()?;
        if candidates.is_empty() {
            return Err(Status::UpToDate);
        }
        if let Some(holder) = self.history.and_then(|h| h.leased_by.as_ref()) {
            return Err(Status::Waiting { on: format!("another process is working on it ({holder})") });
        }
        if self.forced {
            candidates[0].held = None;
            candidates[0].reasons.push(Reason::ByHand);
        }
        let mut last_held = Status::UpToDate;
        for candidate in candidates {
            match candidate.held {
                None => return Ok((candidate.action, candidate.reasons)),
                Some(status) => last_held = status,
            }
        }
        Err(last_held)
    }

    /// What should be done, most urgent first. A look at the mirrors comes before a build,
    /// because the build might be pointless after it; if the look has to wait, the build
    /// goes ahead.
    fn candidates(&self) -> Result<Vec<Candidate>, Status> {
        match &self.desired.wanted {
            Wanted::NeedsLock { request, stale } => {
                self.first_lock(request, stale.as_deref()).map(|c| vec![c])
            }
            Wanted::Recipe(resolved) => {
                let digest = resolved.recipe.digest();
                let looks = self.scheduled_lock(resolved).or_else(|| self.lock_again(resolved, &digest));
                let work = self.publish(resolved, digest);
                Ok(looks.into_iter().chain(work).collect())
            }
        }
    }

    fn first_lock(&self, request: &LockRequest, stale: Option<&Lock>) -> Result<Candidate, Status> {
        let image = &self.desired.image;
        if self.desired.lock_pinned {
            return Err(Status::Waiting {
                on: format!(
                    "a commit with a new lock: the one of {image} does not answer what its spec asks for; run `bootwright lock`"
                ),
            });
        }
        let mut reasons = Vec::new();
        if self.observed.is_none_or(is_empty) {
            reasons.push(Reason::NewSpec);
        }
        reasons.push(Reason::NoLock);
        if let Some(stale) = stale {
            reasons.extend(changes::of_requests(&stale.request, request));
        }
        let held = self.lock_hold(request, None);
        Ok(Candidate { action: Action::Lock, reasons, held })
    }

    /// The schedule says to look for upstream changes.
    fn scheduled_lock(&self, resolved: &ResolvedRecipe) -> Option<Candidate> {
        if self.desired.lock_pinned {
            return None;
        }
        let since = self
            .history
            .and_then(|h| h.last_checked_upstream)
            .or(self.current.map(|release| release.published))?;
        let due = self.desired.schedule.as_ref()?.due_since(since, self.inputs.now)?;
        let held = self.lock_hold(&resolved.lock.request, Some(due));
        Some(Candidate { action: Action::Lock, reasons: vec![Reason::Schedule { due }], held })
    }

    /// The mirrors no longer have a package of a lock that no commit pins.
    fn lock_again(&self, resolved: &ResolvedRecipe, digest: &Digest) -> Option<Candidate> {
        let history = self.history?;
        let failed = history.build.as_ref().filter(|f| f.of == *digest)?;
        let gone =
            failed.last.class == FailureClass::Upstream && failed.last.code == ErrorCode::PackageUnavailable;
        let looked_since = history.last_checked_upstream.is_some_and(|t| t >= failed.at);
        if self.desired.lock_pinned || !gone || looked_since {
            return None;
        }
        let held = self.lock_hold(&resolved.lock.request, None);
        Some(Candidate { action: Action::Lock, reasons: vec![Reason::NoLock], held })
    }

    /// What earlier attempts to resolve say; with `since`, only attempts from then on count.
    fn lock_hold(&self, request: &LockRequest, since: Option<DateTime<Utc>>) -> Option<Status> {
        let failures = self.history.and_then(|h| h.lock.as_ref());
        let failures = failures.filter(|f| since.is_none_or(|since| f.at >= since));
        self.hold(&request_digest(request), failures)
    }

    fn hold(&self, of: &Digest, failures: Option<&Failures>) -> Option<Status> {
        retry::hold(&self.desired.image, of, failures, self.inputs.now)
    }

    /// The build or promotion that puts the recipe on its channel.
    fn publish(&self, resolved: &ResolvedRecipe, digest: Digest) -> Option<Candidate> {
        match self.current {
            Some(current) if current.recipe_digest == digest => {
                if is_there(self.current, &digest) && !self.forced {
                    return None;
                }
                let reasons = defects(&current.defects).collect();
                Some(self.build(resolved, digest, current.version.clone(), reasons))
            }
            current => Some(self.replace(resolved, digest, current)),
        }
    }

    /// Puts another release on the channel: one that exists already, or a new one.
    fn replace(
        &self,
        resolved: &ResolvedRecipe,
        digest: Digest,
        current: Option<&ObservedRelease>,
    ) -> Candidate {
        let channel = &self.desired.channel;
        let differences = current.map_or_else(Vec::new, |current| {
            let published = Published {
                digest: &current.recipe_digest,
                recipe: current.recipe.as_ref(),
                lock: current.lock.as_ref(),
            };
            let mut reasons = changes::differences(&published, resolved);
            reasons.extend(defects(&current.defects));
            reasons
        });
        let moved = Reason::Channel { channel: channel.clone() };
        match self.elsewhere(&digest) {
            Some((version, [])) => Candidate {
                action: Action::Promote { version: version.clone(), channel: channel.clone() },
                reasons: std::iter::once(moved).chain(differences).collect(),
                held: None,
            },
            Some((version, broken)) => {
                let reasons = std::iter::once(moved).chain(defects(broken)).chain(differences).collect();
                self.build(resolved, digest, version.clone(), reasons)
            }
            None => {
                let reasons = match current {
                    Some(_) => differences,
                    None if self.observed.is_none_or(is_empty) => vec![Reason::NewSpec],
                    None => vec![moved],
                };
                let version = Version::of(self.desired.commit_date, &digest);
                self.build(resolved, digest, version, reasons)
            }
        }
    }

    /// A release of the same recipe that this channel does not point to, and what is known
    /// to be wrong with it.
    fn elsewhere(&self, digest: &Digest) -> Option<(&Version, &[Defect])> {
        let observed = self.observed?;
        let on_channel = observed.channels.values().find(|release| release.recipe_digest == *digest);
        match on_channel {
            Some(release) => Some((&release.version, &release.defects)),
            None => observed.by_recipe.get(digest).map(|version| (version, [].as_slice())),
        }
    }

    fn build(
        &self,
        resolved: &ResolvedRecipe,
        recipe: Digest,
        version: Version,
        reasons: Vec<Reason>,
    ) -> Candidate {
        let ids = resolved.recipe.layer_ids();
        let layers = resolved.recipe.layers.iter().zip(ids).map(|(layer, id)| LayerPlan {
            name: layer.name.clone(),
            id,
            cached: self.inputs.cached_layers.contains(&id),
        });
        let held = self.hold(&recipe, self.history.and_then(|h| h.build.as_ref()));
        // A store that gives a release a name that is not its own does not pass it on.
        let own = version.as_str().ends_with(&format!("-{}", recipe.short()));
        let version = if own { version } else { Version::of(self.desired.commit_date, &recipe) };
        let channel = self.desired.channel.clone();
        let action = Action::Build { recipe, version, channel, layers: layers.collect() };
        Candidate { action, reasons, held }
    }
}

/// Whether a channel points to a sound release of a recipe: the one answer for images that are
/// planned in full and for those that are only remembered.
pub(super) fn is_there(current: Option<&ObservedRelease>, recipe: &Digest) -> bool {
    current.is_some_and(|release| release.recipe_digest == *recipe && release.defects.is_empty())
}

fn defects(defects: &[Defect]) -> impl Iterator<Item = Reason> + '_ {
    let first = |(i, defect): &(usize, &Defect)| !defects[..*i].contains(defect);
    defects.iter().enumerate().filter(first).map(|(_, defect)| Reason::Defect { defect: defect.clone() })
}

fn is_empty(observed: &ObservedImage) -> bool {
    observed.channels.is_empty() && observed.by_recipe.is_empty()
}
