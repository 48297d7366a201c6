//! Images whose recipe is known by its digest alone: whether anything could be done for them.
//!
//! To say that nothing is to be done, a digest is enough; to say what, and why, [`super::plan`]
//! needs the recipe. So this answers with a report or with "ask the planner", and never plans.

use crate::model::observed::ObservedImage;
use crate::model::plan::{ImageReport, Status};
use crate::model::{ChannelName, Digest, ImageName};

/// An image as it is remembered. Only those with a lock in the catalog are: what has none may
/// change without a commit. Neither are those that are paused, or may become stale, or that a
/// policy has a say about.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// The image.
    pub image: &'a ImageName,
    /// The channel that shall point to it.
    pub channel: &'a ChannelName,
    /// The digest of its recipe.
    pub recipe: &'a Digest,
    /// Somebody asked for it by hand.
    pub forced: bool,
}

/// How an image stands if nothing is to be done for it, whatever its recipe says; `None` if
/// that cannot be told from the digest, or there is more to say. Then [`super::plan`] would
/// give the same report and no step.
pub fn settled(image: &Remembered<'_>, observed: &ObservedImage) -> Option<ImageReport> {
    let current = observed.channels.get(image.channel)?;
    let there = current.recipe_digest == *image.recipe && !image.forced;
    let sound = observed.channels.values().all(|release| release.defects.is_empty())
        && observed.damaged.is_empty()
        && observed.outlived.is_empty()
        && observed.mends.is_empty();
    (there && sound).then(|| ImageReport {
        image: image.image.clone(),
        current: Some(current.version.clone()),
        status: Status::UpToDate,
        stale: None,
        damaged: None,
        lost: Vec::new(),
    })
}
