//! What `writer …` says.

use super::{Table, count, moment};
use crate::agent::{EnrollReport, RunReport};
use crate::cli::terminal::{Palette, clean};
use crate::model::receipt::JobState;
use crate::ops::writers::JobList;

/// The flash jobs.
pub fn jobs(list: &JobList, palette: Palette) -> String {
    if list.jobs.is_empty() {
        return "there are no flash jobs; `bootwright reconcile` issues those that flash orders ask for\n"
            .to_owned();
    }
    let mut table = Table::new(["issued", "slot", "release", "state", "attempt", "said"]);
    for row in &list.jobs {
        table.row([
            moment(row.created),
            format!("{}/{}", row.job.writer, row.job.slot),
            format!("{}/{}", row.job.image, row.job.version),
            row.state.as_str().to_owned(),
            row.attempt.to_string(),
            row.said.clone().unwrap_or_default(),
        ]);
    }
    table.text(|row, column, cell| match list.jobs.get(row.wrapping_sub(1)) {
        Some(job) if column == 3 => match job.state {
            JobState::Done => palette.good(&cell),
            JobState::Failed | JobState::Refused => palette.bad(&cell),
            _ => palette.faint(&cell),
        },
        _ => cell,
    })
}

/// An agent that is enrolled.
pub fn enrolled(report: &EnrollReport, palette: Palette) -> String {
    format!(
        "{} is enrolled in {}\nPut its key into the catalog, so that it counts also without the state database:\n  {}\n",
        palette.strong(report.name.as_str()),
        clean(&report.folder.display().to_string()),
        palette.strong(&format!("publicKey: {}", report.public_key)),
    )
}

/// What an agent did.
pub fn ran(report: &RunReport, _: Palette) -> String {
    format!("{} given\n", count(report.receipts, "receipt"))
}
