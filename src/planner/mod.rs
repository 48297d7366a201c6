//! Recipes × observed → plan and report. Pure: no I/O, no clock but the one it is given.
//!
//! [`plan`] looks at each image by itself, so that one image's trouble never changes what
//! is done for another. [`lint`] checks finished plans by other means; [`text`] and
//! [`markdown`] show them to people, and serde to programs.

mod changes;
mod decide;
mod inputs;
mod lint;
mod markdown;
mod retry;
pub mod schedule;
mod settled;
mod text;
mod values;
mod words;

pub use inputs::{Desired, Failures, History, Inputs, Wanted, request_digest};
pub use lint::lint;
pub use markdown::markdown;
pub use retry::STALLED_AFTER;
pub use schedule::Schedule;
pub use settled::{Remembered, settled};
pub use text::text;
pub use words::summary;

use crate::model::plan::{Plan, Planned};

/// The steps from published to desired in the order of the images' names, and how every
/// image stands. The same inputs give the same plan.
pub fn plan(inputs: &Inputs) -> Planned {
    let mut images: Vec<&Desired> = inputs.images.iter().collect();
    images.sort_by(|a, b| a.image.cmp(&b.image));
    let (mut steps, mut report) = (Vec::new(), Vec::new());
    for desired in images {
        let (step, stands) = decide::decide(inputs, desired);
        steps.extend(step);
        report.push(stands);
    }
    let planned = Planned { plan: Plan { source: inputs.source.clone(), made: inputs.now, steps }, report };
    debug_assert_eq!(lint(&planned, inputs), Vec::<String>::new());
    planned
}
