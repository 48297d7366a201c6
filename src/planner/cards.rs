//! Flash orders × releases × jobs → the jobs that are missing. Pure.

use crate::model::card_plan::{CardPlan, CardStands, FlashReason, FlashStep};
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::receipt::{FlashJob, JobId, JobState};
use crate::model::writer::{FlashOrder, OrderName, OrderedCard, Repeat};
use std::collections::{BTreeMap, BTreeSet};

/// What is published of one image.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The releases that channels point to.
    pub channels: BTreeMap<ChannelName, Version>,
    /// All releases.
    pub versions: BTreeSet<Version>,
}

/// A job that was issued.
#[derive(Clone, Debug)]
pub struct KnownJob {
    /// What is asked for.
    pub job: FlashJob,
    /// Where it stands.
    pub state: JobState,
    /// Why it ended as it did.
    pub said: Option<String>,
}

/// The jobs that are missing. The same inputs give the same plan.
pub fn cards(
    orders: &BTreeMap<OrderName, FlashOrder>,
    published: &BTreeMap<ImageName, Published>,
    jobs: &[KnownJob],
) -> CardPlan {
    let mut plan = CardPlan::default();
    for (name, order) in orders {
        for card in &order.spec.cards {
            let stands = match order.spec.paused {
                true => Err("paused".to_owned()),
                false => one(name, order.spec.repeat, card, published, jobs, &mut plan.wanted),
            };
            match stands {
                Ok(step) => plan.steps.push(step),
                Err(stands) => {
                    let slot = format!("{} of {}", card.slot, card.writer);
                    plan.others.push(CardStands { order: name.clone(), slot, stands });
                }
            }
        }
    }
    plan
}

/// The job that is to be issued for one card, or how it stands.
fn one(
    order: &OrderName,
    repeat: Repeat,
    card: &OrderedCard,
    published: &BTreeMap<ImageName, Published>,
    jobs: &[KnownJob],
    wanted: &mut BTreeSet<JobId>,
) -> Result<FlashStep, String> {
    let image = published.get(&card.image);
    let version = match (&card.channel, &card.version) {
        (Some(channel), _) => image.and_then(|image| image.channels.get(channel)),
        (None, version) => {
            version.as_ref().filter(|version| image.is_some_and(|image| image.versions.contains(*version)))
        }
    };
    let Some(version) = version else {
        let which = card.channel.as_ref().map(|channel| format!("@{channel}"));
        let which = which.or_else(|| card.version.as_ref().map(|version| format!("/{version}")));
        return Err(format!("waiting: {}{} is not published", card.image, which.unwrap_or_default()));
    };
    let job = |number| FlashJob {
        order: order.clone(),
        writer: card.writer.clone(),
        slot: card.slot.clone(),
        image: card.image.clone(),
        version: version.clone(),
        repeat,
        architecture: card.architecture,
        board: card.board.clone(),
        number,
    };
    let wish = job(0).wish();
    let last = jobs.iter().filter(|known| known.job.wish() == wish).max_by_key(|known| known.job.number);
    let step = |job: FlashJob, reason| FlashStep { id: job.id(), job, reason };
    let next = |last: &KnownJob, reason| Ok(step(job(last.job.number + 1), reason));
    let Some(last) = last else {
        let same = |known: &&KnownJob| {
            known.job.order == *order && known.job.slot == card.slot && known.job.writer == card.writer
        };
        let before = jobs.iter().filter(same).rfind(|known| known.state == JobState::Done);
        let reason = match before.filter(|known| known.job.version != *version) {
            Some(known) => FlashReason::NewRelease { from: known.job.version.clone() },
            None => FlashReason::NewOrder,
        };
        return Ok(step(job(0), reason));
    };
    let release = format!("{}/{version}", card.image);
    match last.state {
        JobState::Pending | JobState::Claimed | JobState::Writing => {
            wanted.insert(last.job.id());
            let said = last.said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
            Err(format!("{}: {release}{said}", last.state.as_str()))
        }
        JobState::Done if repeat == Repeat::Once => Err(format!("done: {release}")),
        JobState::Done => next(last, FlashReason::NextCard),
        JobState::Failed => next(last, FlashReason::CardFailed { why: last.said.clone() }),
        JobState::Superseded => next(last, FlashReason::NewOrder),
        JobState::Refused => {
            Err(format!("refused: {release}: {}", last.said.as_deref().unwrap_or("nobody said why")))
        }
    }
}
