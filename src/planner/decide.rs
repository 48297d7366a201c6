//! One image: what should be done for it, and what keeps it from being done.

use super::changes::{self, Published};
use super::freshness;
use super::inputs::{Desired, Failures, History, Inputs, StoreWork, Wanted, attempt_digest, request_digest};
use super::origins;
use super::retry;
use crate::model::firmware_lock::FlashRoom;
use crate::model::name::RuleName;
use crate::model::observed::{Defect, Mend, ObservedImage, ObservedRelease};
use crate::model::plan::{
    Action, Damaged, ImageReport, LayerPlan, Lost, Reason, ReleaseRepair, Status, Step,
};
use crate::model::policy::Finding;
use crate::model::product::{Lock, Request, Resolved};
use crate::model::{Digest, ErrorCode, FailureClass, Version};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

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

/// The steps for one image, its repair first, and how it stands.
pub(super) fn decide(inputs: &Inputs, desired: &Desired) -> (Vec<Step>, ImageReport) {
    let observed = inputs.observed.images.get(&desired.image);
    let image = Image {
        inputs,
        desired,
        observed,
        current: observed.and_then(|o| o.channels.get(&desired.channel)),
        history: inputs.history.get(&desired.image),
        forced: inputs.forced.contains(&desired.image),
    };
    let chosen = image.choose();
    let stale = image.overdue().map(|overdue| {
        let chosen = chosen.as_ref().map(|(action, _)| action);
        freshness::stale(overdue, desired, image.history, chosen, inputs.now)
    });
    let damaged = image.damaged();
    let lost = image.lost(chosen.as_ref().ok().map(|(action, _)| action));
    let (main, status) = match chosen {
        Ok(main) => (Some(main), Status::Planned),
        Err(status) => (None, status),
    };
    let (repair, status) = match image.repair() {
        Some(Candidate { held: Some(held), .. }) if status == Status::UpToDate => (None, held),
        Some(Candidate { held: Some(_), .. }) | None => (None, status),
        Some(repair) => (Some((repair.action, repair.reasons)), status),
    };
    let step = |(action, reasons)| Step { image: desired.image.clone(), action, reasons };
    let steps: Vec<Step> = repair.into_iter().chain(main).map(step).collect();
    let status = if steps.is_empty() { status } else { Status::Planned };
    let current = image.current.map(|release| release.version.clone());
    let room = image.room();
    let image = desired.image.clone();
    (steps, ImageReport { image, current, status, stale, damaged, lost, room })
}

impl Image<'_> {
    /// What is done now, or how the image stands if nothing is.
    fn choose(&self) -> Result<(Action, Vec<Reason>), Status> {
        if self.desired.paused {
            return Err(Status::Paused);
        }
        if let Some(refused) = self.refused() {
            return Err(refused);
        }
        let mut candidates = self.candidates()?;
        if candidates.is_empty() && !self.is_mendable() {
            return Err(Status::UpToDate);
        }
        if let Some(holder) = self.history.and_then(|h| h.leased_by.as_ref()) {
            return Err(Status::Waiting { on: format!("another process is working on it ({holder})") });
        }
        if candidates.is_empty() {
            return Err(Status::UpToDate);
        }
        if self.forced {
            // Signatures that were given up come first: a build would not renew them.
            let given_up = |c: &Candidate| c.held.is_some() && matches!(c.action, Action::Resign { .. });
            let by_hand = candidates.iter().position(given_up).unwrap_or(0);
            candidates.swap(0, by_hand);
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

    /// What policies have against what is desired. What is published stays as it is.
    fn refused(&self) -> Option<Status> {
        let errors: Vec<&Finding> = self.findings().filter(|f| f.refuses()).collect();
        let first = errors.first()?;
        let mut rules: Vec<RuleName> = Vec::new();
        for finding in &errors {
            if !rules.contains(&finding.rule) {
                rules.push(finding.rule.clone());
            }
        }
        Some(Status::Refused { rules, message: first.words() })
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.inputs.ruling.findings.get(&self.desired.image).into_iter().flatten()
    }

    /// What should be done, most urgent first. A look at the mirrors comes before a build,
    /// because the build might be pointless after it; if the look has to wait, the build
    /// goes ahead.
    fn candidates(&self) -> Result<Vec<Candidate>, Status> {
        match &self.desired.wanted {
            Wanted::NeedsLock { request, stale } => {
                match (self.first_lock(request, stale.as_deref()), self.resign()) {
                    (Ok(lock), resign) => Ok(std::iter::once(lock).chain(resign).collect()),
                    (Err(_), Some(resign)) => Ok(vec![resign]),
                    (Err(status), None) => Err(status),
                }
            }
            Wanted::Recipe(resolved) => {
                let digest = resolved.digest();
                let looks = self
                    .scheduled_lock(resolved)
                    .or_else(|| self.lock_again(resolved, &digest))
                    .or_else(|| self.lock_of_stale(resolved));
                let work = self.publish(resolved, digest);
                // What is built or promoted signs the index anew; the rest can wait for it.
                Ok(looks.into_iter().chain(work).chain(self.resign()).collect())
            }
        }
    }

    fn first_lock(&self, request: &Request, stale: Option<&Lock>) -> Result<Candidate, Status> {
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
            reasons.extend(changes::of_requests(&stale.request(), request));
        }
        let held = self.lock_hold(request, None);
        Ok(Candidate { action: Action::Lock, reasons, held })
    }

    /// The schedule says to look for upstream changes.
    fn scheduled_lock(&self, resolved: &Resolved) -> Option<Candidate> {
        if self.desired.lock_pinned {
            return None;
        }
        let since = self
            .history
            .and_then(|h| h.last_checked_upstream)
            .or(self.current.map(|release| release.published))?;
        let schedule = self.desired.schedule.as_ref()?;
        let due = if since > self.inputs.now {
            // The clock was set back since: without a look now, none would come until it has
            // caught up.
            schedule.last_due(self.inputs.now)?
        } else {
            schedule.due_since(since, self.inputs.now)?
        };
        let held = self.lock_hold(&resolved.request(), Some(due));
        Some(Candidate { action: Action::Lock, reasons: vec![Reason::Schedule { due }], held })
    }

    /// The mirrors no longer have a package of a lock that no commit pins.
    fn lock_again(&self, resolved: &Resolved, digest: &Digest) -> Option<Candidate> {
        let history = self.history?;
        let failed = history.build.as_ref().filter(|f| f.of == *digest)?;
        let gone =
            failed.last.class == FailureClass::Upstream && failed.last.code == ErrorCode::PackageUnavailable;
        // After the clock was set back a failure may lie ahead of every later look.
        let clock_set_back = failed.at > self.inputs.now;
        let looked_since = history.last_checked_upstream.is_some_and(|t| t >= failed.at || clock_set_back);
        if self.desired.lock_pinned || !gone || looked_since {
            return None;
        }
        let held = self.lock_hold(&resolved.request(), None);
        Some(Candidate { action: Action::Lock, reasons: vec![Reason::NoLock], held })
    }

    /// The release is too old, and no schedule says when to look for newer packages: that is
    /// done once in the days that the spec allows.
    fn lock_of_stale(&self, resolved: &Resolved) -> Option<Candidate> {
        let (days, max_age_days) = self.overdue()?;
        let looked = self.history.and_then(|h| h.last_checked_upstream);
        let again = looked.map(|looked| looked + TimeDelta::days(i64::from(max_age_days)));
        let looks = !self.desired.lock_pinned && self.desired.schedule.is_none();
        if !looks || again.is_some_and(|again| self.inputs.now < again) {
            return None;
        }
        let held = self.lock_hold(&resolved.request(), None);
        let reasons = vec![Reason::Stale { days, max_age_days }];
        Some(Candidate { action: Action::Lock, reasons, held })
    }

    fn overdue(&self) -> Option<(i64, u32)> {
        freshness::overdue(self.desired, self.current, self.history, self.inputs.now)
    }

    /// What earlier attempts to resolve say; with `since`, only attempts from then on count.
    fn lock_hold(&self, request: &Request, since: Option<DateTime<Utc>>) -> Option<Status> {
        let failures = self.history.and_then(|h| h.lock.as_ref());
        let failures = failures.filter(|f| since.is_none_or(|since| f.at >= since));
        self.hold(&request_digest(request), failures)
    }

    fn hold(&self, of: &Digest, failures: Option<&Failures>) -> Option<Status> {
        let policies = self.inputs.ruling.policies.as_ref();
        retry::hold(&self.desired.image, of, failures, policies, self.inputs.now)
    }

    /// The build or promotion that puts the recipe on its channel.
    fn publish(&self, resolved: &Resolved, digest: Digest) -> Option<Candidate> {
        match self.current {
            Some(current) if current.recipe_digest == digest => {
                if self.needs_no_build(&current.version, &current.defects) && !self.forced {
                    return self.by_policy(resolved, digest, current);
                }
                let reasons = defects(&current.defects).collect();
                Some(self.build(resolved, digest, current.version.clone(), reasons))
            }
            current => Some(self.replace(resolved, digest, current)),
        }
    }

    /// The same recipe once more, where a rule asks for more than the release shows and a new
    /// release would show it. A release of the same version is not made again, so without a
    /// later commit there is nothing to build.
    fn by_policy(&self, resolved: &Resolved, digest: Digest, current: &ObservedRelease) -> Option<Candidate> {
        let version = Version::of(self.desired.commit_date, &digest);
        let mut reasons: Vec<Reason> = Vec::new();
        for finding in self.findings().filter(|f| f.would_be_cured()) {
            let reason = Reason::PolicyChanged { rule: finding.rule.clone() };
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        let newer = self.inputs.source.commit.is_some() && version > current.version;
        (newer && !reasons.is_empty()).then(|| self.build(resolved, digest, version, reasons))
    }

    /// Puts another release on the channel: one that exists already, or a new one.
    fn replace(&self, resolved: &Resolved, digest: Digest, current: Option<&ObservedRelease>) -> Candidate {
        let channel = &self.desired.channel;
        let differences = current.map_or_else(Vec::new, |current| {
            let published = Published {
                digest: &current.recipe_digest,
                recipe: current.recipe.as_ref(),
                lock: current.lock.as_ref(),
            };
            let mut reasons = changes::differences(&published, resolved);
            origins::name(&mut reasons, &self.desired.origins);
            // What its repair cures is said there.
            if !self.is_mended(&current.version) {
                reasons.extend(defects(&current.defects));
            }
            reasons
        });
        let moved = Reason::Channel { channel: channel.clone() };
        match self.elsewhere(&digest) {
            // Promoting signs again what outlived its keys.
            Some((version, defects)) if self.needs_no_build(version, defects) => self.of_store(
                Action::Promote { version: version.clone(), channel: channel.clone() },
                std::iter::once(moved).chain(differences).collect(),
            ),
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

    /// Whether nothing is wrong with a release that neither its repair nor new signatures cure.
    fn needs_no_build(&self, version: &Version, defects: &[Defect]) -> bool {
        self.is_mended(version) || defects.iter().all(Defect::is_outlived)
    }

    fn is_mended(&self, version: &Version) -> bool {
        self.observed.is_some_and(|o| o.mends.contains_key(version))
    }

    fn is_mendable(&self) -> bool {
        self.observed.is_some_and(|o| !o.mends.is_empty())
    }

    /// Work on published releases, held back if it failed a moment ago.
    fn of_store(&self, action: Action, reasons: Vec<Reason>) -> Candidate {
        let failures = StoreWork::of(&action).and_then(|work| self.history?.store.get(&work));
        let held = failures.and_then(|f| self.hold(&attempt_digest(&action, &reasons), Some(f)));
        Candidate { action, reasons, held }
    }

    /// What makes the image's damaged releases whole, as far as that needs no build.
    fn repair(&self) -> Option<Candidate> {
        let observed = self.observed.filter(|o| !o.mends.is_empty())?;
        if self.history.is_some_and(|h| h.leased_by.is_some()) {
            return None;
        }
        let repair = |(version, mends): (&Version, &Vec<Mend>)| ReleaseRepair {
            version: version.clone(),
            mends: mends.clone(),
        };
        let releases = observed.mends.iter().rev().map(repair).collect();
        let mut reasons = Vec::new();
        for version in observed.mends.keys().rev() {
            let found = observed.defects(version);
            match self.current.filter(|current| &current.version == version) {
                Some(_) => reasons.extend(defects(found)),
                None => reasons.extend(defects(found).filter_map(|reason| match reason {
                    Reason::Defect { defect } => {
                        Some(Reason::OtherDefect { version: version.clone(), defect })
                    }
                    _ => None,
                })),
            }
        }
        let mut repair = self.of_store(Action::Repair { releases }, reasons);
        if self.forced {
            repair.held = None;
        }
        Some(repair)
    }

    /// How much room there is on the device, of a firmware.
    fn room(&self) -> Option<FlashRoom> {
        let Wanted::Recipe(resolved) = &self.desired.wanted else { return None };
        let Resolved::Firmware(firmware) = &**resolved else { return None };
        let facts = self.current.and_then(|current| current.facts.as_ref());
        let before = self.current.and_then(|current| match &current.lock {
            Some(Lock::Firmware(lock)) => Some(lock.installed_size),
            _ => None,
        });
        let installed = firmware.lock.installed_size;
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Some(FlashRoom {
            limit: firmware.lock.image_limit,
            published: facts.and_then(|facts| facts.firmware.iter().map(|image| image.size).max()),
            installed,
            installed_delta: before.map(|before| signed(installed) - signed(before)),
        })
    }

    /// What is wrong with the current release, if a download of it may be wrong.
    fn damaged(&self) -> Option<Damaged> {
        let current = self.current?;
        let mut harm: Vec<Defect> = Vec::new();
        for defect in current.defects.iter().filter(|d| d.harms()) {
            if !harm.contains(defect) {
                harm.push(defect.clone());
            }
        }
        let older = |(_, published): &&(Version, DateTime<Utc>)| *published <= current.published;
        let whole = self.observed?.whole.iter().find(older).map(|(version, _)| version.clone());
        (!harm.is_empty()).then_some(Damaged { defects: harm, whole })
    }

    /// Damaged releases beside the current one that nothing planned makes whole.
    fn lost(&self, planned: Option<&Action>) -> Vec<Lost> {
        let Some(observed) = self.observed else { return Vec::new() };
        let is_current = |version: &Version| self.current.is_some_and(|c| &c.version == version);
        let is_built = |version: &Version| matches!(planned, Some(Action::Build { version: built, .. }) if built == version);
        let heads = observed.channels.values().map(|r| (&r.version, &r.defects));
        let mut lost: BTreeMap<&Version, &Vec<Defect>> = heads.chain(&observed.damaged).collect();
        lost.retain(|version, defects| {
            let mended = observed.mends.contains_key(version);
            !defects.iter().all(Defect::is_outlived) && !mended && !is_current(version) && !is_built(version)
        });
        let lost = lost.into_iter().rev();
        lost.map(|(version, defects)| Lost { version: version.clone(), defects: defects.clone() }).collect()
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

    /// Signs again what is served and outlived its keys, as far as its bytes are in order.
    fn resign(&self) -> Option<Candidate> {
        let observed = self.observed?;
        let heads = observed.channels.values().map(|release| (&release.version, &release.defects));
        let (mut versions, mut reasons) = (Vec::new(), Vec::new());
        for (version, defects) in heads.chain(&observed.outlived) {
            if !defects.is_empty() && defects.iter().all(Defect::is_outlived) && !versions.contains(version) {
                versions.push(version.clone());
                reasons.extend(defects.iter().map(|d| Reason::Defect { defect: d.clone() }));
            }
        }
        versions.sort();
        let first = |(i, reason): &(usize, &Reason)| !reasons[..*i].contains(reason);
        let reasons = reasons.iter().enumerate().filter(first).map(|(_, r)| r.clone()).collect();
        (!versions.is_empty()).then(|| self.of_store(Action::Resign { versions }, reasons))
    }

    fn build(
        &self,
        resolved: &Resolved,
        recipe: Digest,
        version: Version,
        reasons: Vec<Reason>,
    ) -> Candidate {
        let layers = resolved.layers().into_iter();
        let layers =
            layers.map(|(name, id)| LayerPlan { name, id, cached: self.inputs.cached_layers.contains(&id) });
        let held = self.hold(&recipe, self.history.and_then(|h| h.build.as_ref()));
        // A store that gives a release a name that is not its own does not pass it on.
        let own = version.as_str().ends_with(&format!("-{}", recipe.short()));
        let version = if own { version } else { Version::of(self.desired.commit_date, &recipe) };
        let channel = self.desired.channel.clone();
        let action = Action::Build { recipe, version, channel, layers: layers.collect() };
        Candidate { action, reasons, held }
    }
}

fn defects(defects: &[Defect]) -> impl Iterator<Item = Reason> + '_ {
    let first = |(i, defect): &(usize, &Defect)| !defects[..*i].contains(defect);
    defects.iter().enumerate().filter(first).map(|(_, defect)| Reason::Defect { defect: defect.clone() })
}

fn is_empty(observed: &ObservedImage) -> bool {
    observed.channels.is_empty() && observed.by_recipe.is_empty()
}
