//! Images whose recipe is known by its digest alone: whether anything could be done for them.
//!
//! To say that nothing is to be done, a digest is enough; to say what, and why, [`super::plan`]
//! needs the recipe. So this answers with a report or with "ask the planner", and never plans.

use super::freshness;
use crate::model::observed::ObservedImage;
use crate::model::plan::{ImageReport, Status};
use crate::model::{ChannelName, Digest, ImageName};
use chrono::{DateTime, Utc};

/// An image as it is remembered. Only those with a lock in the catalog are: what has none may
/// change without a commit. Neither are those that are paused, or that a policy has something
/// against.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// The image.
    pub image: &'a ImageName,
    /// The channel that shall point to it.
    pub channel: &'a ChannelName,
    /// The digest of its recipe.
    pub recipe: &'a Digest,
    /// How many days old its release may get.
    pub max_age_days: Option<u32>,
    /// When packages were last resolved against the mirrors.
    pub looked: Option<DateTime<Utc>>,
    /// Somebody asked for it by hand.
    pub forced: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// How an image stands if nothing is to be done for it, whatever its recipe says; `None` if
/// that cannot be told from the digest, or there is more to say. Then [`super::plan`] would
/// give the same report and no step.
pub fn settled(image: &Remembered<'_>, observed: &ObservedImage) -> Option<ImageReport> {
    let current = observed.channels.get(image.channel)?;
    let there = current.recipe_digest == *image.recipe && !image.forced;
    let stale = image.max_age_days.and_then(|most| {
        // The recipe is the wanted one, so the last look speaks for the release.
        freshness::age_beyond(most, current.published, image.looked, image.now)
    });
    (there && observed.is_sound() && stale.is_none()).then(|| ImageReport {
        image: image.image.clone(),
        current: Some(current.version.clone()),
        status: Status::UpToDate,
        stale: None,
        damaged: None,
        lost: Vec::new(),
        room: None,
    })
}
