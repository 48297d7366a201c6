//! What is answered to a build request, and to who asks how far it is.

use super::Sysupgrade;
use crate::model::asu::answer::{Standing, Told};
use crate::model::asu::hash::request_hash;
use crate::model::asu::overview::{self, Offer};
use crate::model::asu::{Asked, BuildRequest, JobState};
use crate::model::device::{BuilderProfile, OpenwrtPackage};
use crate::model::firmware::ProfilesJson;
use crate::model::openwrt::{BuilderId, Platform};
use crate::model::{Digest, Failure, Result};
use serde_json::Map;
use std::sync::PoisonError;

/// The answer to a build request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is taken, or was before.
    Told(Told),
    /// What it asks for is not to be had here: why.
    Unsupported(String),
    /// So many wait already.
    Overloaded(usize),
}

impl Sysupgrade {
    /// Takes a request, unless an equal one was taken before.
    ///
    /// # Errors
    /// If no server can say whether there is what it asks for, or the database fails.
    pub fn ask(&self, request: BuildRequest) -> Result<Reply> {
        let hash = request_hash(&request);
        if let Some(told) = self.look(&hash)? {
            return Ok(Reply::Told(told));
        }
        let request = match self.supported(request)? {
            Ok(request) => request,
            Err(why) => return Ok(Reply::Unsupported(why)),
        };
        // Of equal requests that come at once one is new.
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = self.look(&hash)? {
            return Ok(Reply::Told(told));
        }
        let waiting = self.queue.waiting();
        if waiting >= self.settings().queue as usize {
            return Ok(Reply::Overloaded(waiting));
        }
        let asked = Asked {
            hash,
            request,
            state: JobState::Queued,
            enqueued: self.context.clock.now(),
            expires: None,
            recipe: None,
            answer: Map::new(),
        };
        self.runtime.block_on(self.state.put_sysupgrade(&asked))?;
        self.queue.push(hash);
        let standing = self.queue.standing(&hash).unwrap_or(Standing::Waits(waiting));
        Ok(Reply::Told(asked.told(standing)))
    }

    /// How far a request is; nothing if none has this hash, or its firmware is gone.
    ///
    /// # Errors
    /// If database or cache cannot be read.
    pub fn look(&self, hash: &Digest) -> Result<Option<Told>> {
        // Before the database is asked: what ends in between is found ended there.
        let standing = self.queue.standing(hash);
        let Some(asked) = self.asked(hash)? else { return Ok(None) };
        Ok(match asked.state {
            JobState::Done if self.firmware(&asked)?.is_none() => None,
            JobState::Done | JobState::Failed => Some(asked.told(Standing::Waits(0))),
            // One that nobody works on was left by a worker that failed to say so.
            JobState::Queued | JobState::Started => {
                standing.or_else(|| self.queue.standing(hash)).map(|standing| asked.told(standing))
            }
        })
    }

    /// A request by its hash.
    pub(super) fn asked(&self, hash: &Digest) -> Result<Option<Asked>> {
        self.runtime.block_on(self.state.sysupgrade(hash, self.context.clock.now()))
    }

    /// The releases that are built.
    pub(super) fn offer(&self) -> Result<Offer> {
        Ok(Offer::of(&self.versions()?, self.settings()))
    }

    /// Whether there is what a request asks for; if so, with the device by the name that the Image
    /// Builder has for it. What is said otherwise begins with words that clients know.
    fn supported(&self, mut request: BuildRequest) -> Result<Result<BuildRequest, String>> {
        let settings = self.settings();
        if request.defaults.as_ref().is_some_and(|script| !script.is_empty()) && !settings.allow_defaults {
            return Ok(Err("Handling `defaults` not enabled on server".to_owned()));
        }
        if let Some((_, url)) = request.repositories.0.iter().find(|(_, url)| !settings.allows(url)) {
            return Ok(Err(format!("Repository not allowed: {url}")));
        }
        if let Err(why) = super::building::feeds(&request) {
            return Ok(Err(why));
        }
        if request.distro != "openwrt" {
            return Ok(Err(format!("Unsupported distro: {}", request.distro)));
        }
        let (offer, version) = (self.offer()?, &request.version);
        if !offer.branches.contains_key(branch(version, &offer)) {
            return Ok(Err(format!("Unsupported branch: {version}")));
        }
        let Some(release) = overview::release(version).filter(|release| offer.has(release)) else {
            return Ok(Err(format!("Unsupported version: {version}")));
        };
        let is_none = |name: &&str| {
            let name = name.strip_prefix('-').unwrap_or(name);
            !name.is_empty() && name.parse::<OpenwrtPackage>().is_err()
        };
        if let Some(name) = request.packages().find(is_none) {
            return Ok(Err(format!("Unsupported package: {name}")));
        }
        let platform = request.target.parse::<Platform>().ok();
        let listed = |platform: &Platform| -> Result<bool> {
            let targets = self.targets(&release)?;
            Ok(targets.is_some_and(|t| t.architectures().contains_key(&platform.to_string())))
        };
        let platform = match platform {
            Some(platform) if listed(&platform)? => platform,
            _ => {
                return Ok(Err(format!(
                    "Unsupported target: {}. Release {version} has no such target, or not yet.",
                    request.target
                )));
            }
        };
        let id = BuilderId::new(release, platform)?;
        let profiles = self.profiles(&id)?.ok_or_else(|| {
            Failure::upstream(format!("no server of `openwrt.urls` says which devices {id} has"))
        })?;
        match device(&profiles, &request.profile) {
            Some(profile) => request.profile = profile.to_string(),
            None => {
                return Ok(Err(format!(
                    "Unsupported profile: {}. Release {version} has no such device for this target.",
                    request.profile
                )));
            }
        }
        Ok(Ok(request))
    }
}

/// The branch that a version names, whether there is one or not.
fn branch<'v>(version: &'v str, offer: &Offer) -> &'v str {
    if offer.branches.contains_key(version) {
        return version;
    }
    let cut = if version.ends_with("-SNAPSHOT") { '-' } else { '.' };
    version.rsplit_once(cut).map_or(version, |(branch, _)| branch)
}

/// The device that is meant: by the Image Builder's own name, by a board that its images are for, or
/// the one that all machines of a target are.
fn device<'p>(profiles: &'p ProfilesJson, asked: &str) -> Option<&'p BuilderProfile> {
    let is_board = |board: &String| board.replace(',', "_") == asked;
    let named = profiles.profiles.keys().find(|profile| profile.as_str() == asked);
    let of_board = || {
        let found = profiles.profiles.iter().find(|(_, offered)| offered.boards.iter().any(is_board));
        found.map(|(profile, _)| profile)
    };
    let generic = || {
        let only = if profiles.profiles.len() == 1 { profiles.profiles.keys().next() } else { None };
        only.filter(|profile| profile.as_str() == "generic")
    };
    named.or_else(of_board).or_else(generic)
}
