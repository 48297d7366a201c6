//! Images whose recipe is known by its digest alone: whether anything could be done for them.
//!
//! To say that nothing is to be done, a digest is enough; to say what, and why, [`super::plan`]
//! needs the recipe. So this answers with a report or with "ask the planner", and never plans.

use super::decide::is_there;
use crate::model::observed::ObservedImage;
use crate::model::plan::{ImageReport, Status};
use crate::model::{ChannelName, Digest, ImageName};

/// An image as it is remembered. Only those with a lock in the catalog are: what has none
/// may change without a commit.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// The image.
    pub image: &'a ImageName,
    /// The channel that shall point to it.
    pub channel: &'a ChannelName,
    /// The spec says `paused: true`.
    pub paused: bool,
    /// The digest of its recipe.
    pub recipe: &'a Digest,
    /// Somebody asked for it by hand.
    pub forced: bool,
}

/// How an image stands if nothing is to be done for it, whatever its recipe says; `None` if
/// that cannot be told from the digest. Then [`super::plan`] would give the same report and no
/// step.
pub fn settled(image: &Remembered<'_>, observed: Option<&ObservedImage>) -> Option<ImageReport> {
    let current = observed.and_then(|observed| observed.channels.get(image.channel));
    let status = if image.paused {
        Status::Paused
    } else if !image.forced && is_there(current, image.recipe) {
        Status::UpToDate
    } else {
        return None;
    };
    Some(ImageReport {
        image: image.image.clone(),
        current: current.map(|release| release.version.clone()),
        status,
    })
}
