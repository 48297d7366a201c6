//! Recipes × observed → plan and report. Pure: no I/O, no clock but the one it is given.
//!
//! [`plan`] looks at each image by itself, so that one image's trouble never changes what
//! is done for another. [`lint`] checks finished plans by other means; [`text`] and
//! [`markdown`] show them to people, and serde to programs.

pub mod cards;
mod changes;
mod decide;
mod firmware;
mod freshness;
mod inputs;
mod lint;
mod markdown;
mod origins;
pub mod policy;
mod retry;
pub mod schedule;
mod settled;
mod text;
mod values;
mod words;

pub use inputs::{Desired, Failures, History, Inputs, StoreWork, Wanted, attempt_digest, request_digest};
pub use lint::lint;
pub use markdown::markdown;
pub use retry::STALLED_AFTER;
pub use schedule::Schedule;
pub use settled::{Remembered, settled};
pub use text::text;
pub use words::summary;

use crate::model::card_plan::CardPlan;
use crate::model::observed::StoreFinding;
use crate::model::plan::{Plan, Planned};

/// The steps from published to desired in the order of the images' names, and how every
/// image stands. The same inputs give the same plan.
pub fn plan(inputs: &Inputs) -> Planned {
    let mut images: Vec<&Desired> = inputs.images.iter().collect();
    images.sort_by(|a, b| a.image.cmp(&b.image));
    let (mut steps, mut report) = (Vec::new(), Vec::new());
    for desired in images {
        let (of_image, stands) = decide::decide(inputs, desired);
        steps.extend(of_image);
        report.push(stands);
    }
    let findings = inputs.ruling.findings.values().flatten().cloned().collect();
    let store = inputs.observed.store.iter().filter(|f| !is_awaited(f, inputs)).cloned().collect();
    let plan = Plan { source: inputs.source.clone(), made: inputs.now, store, steps };
    let planned = Planned { plan, report, findings, cards: CardPlan::default() };
    debug_assert_eq!(lint(&planned, inputs), Vec::<String>::new());
    planned
}

/// Whether an unlisted release is what a publisher was killed over and a build will take up.
fn is_awaited(finding: &StoreFinding, inputs: &Inputs) -> bool {
    let StoreFinding::UnlistedRelease { image, version } = finding else { return false };
    let Some(desired) = inputs.images.iter().find(|d| &d.image == image) else { return false };
    if inputs.history.get(image).is_some_and(|h| h.leased_by.is_some()) {
        return true;
    }
    match &desired.wanted {
        // What it will be is not known yet.
        Wanted::NeedsLock { .. } => true,
        Wanted::Recipe(resolved) => {
            let recipe = resolved.digest();
            let observed = inputs.observed.images.get(image);
            let current = observed.and_then(|o| o.channels.get(&desired.channel));
            version.as_str().ends_with(&format!("-{}", recipe.short()))
                && current.is_none_or(|c| c.recipe_digest != recipe)
        }
    }
}
