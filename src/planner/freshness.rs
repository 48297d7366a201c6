//! How old a release may get, and why nothing newer is there.
//!
//! Its age counts from the day it was published, or from the last look at the mirrors that
//! found nothing newer: packages that are still the newest are not old.

use super::inputs::{Desired, History, Wanted};
use super::words;
use crate::model::observed::ObservedRelease;
use crate::model::plan::{Action, Stale, Status};
use chrono::{DateTime, TimeDelta, Utc};

/// The age of a release in days and the days that its spec allows, if it is too old.
pub(super) fn overdue(
    desired: &Desired,
    current: Option<&ObservedRelease>,
    history: Option<&History>,
    now: DateTime<Utc>,
) -> Option<(i64, u32)> {
    let (most, current) = (desired.max_age_days?, current?);
    let looked = history.and_then(|h| h.last_checked_upstream).filter(|_| is_answer(desired, current));
    let since = looked.map_or(current.published, |looked| looked.max(current.published));
    let age = now.signed_duration_since(since);
    (age > TimeDelta::days(i64::from(most))).then(|| (age.num_days(), most))
}

/// Whether the release is what the spec asks for now: only then a look that found nothing
/// newer speaks for it.
fn is_answer(desired: &Desired, current: &ObservedRelease) -> bool {
    match &desired.wanted {
        Wanted::Recipe(resolved) => resolved.recipe.digest() == current.recipe_digest,
        Wanted::NeedsLock { .. } => false,
    }
}

/// The same in words: what decides that nothing newer is there.
pub(super) fn stale(
    (days, max_age_days): (i64, u32),
    desired: &Desired,
    chosen: Result<&Action, &Status>,
    now: DateTime<Utc>,
) -> Stale {
    let because = match chosen {
        Ok(action) => format!("this is still to be done: {}", words::action(action)),
        Err(Status::UpToDate) => idle(desired, now),
        Err(Status::Paused) => "its spec says `paused: true`".to_owned(),
        Err(Status::Waiting { on }) => format!("it waits: {on}"),
        Err(status) => format!("it is {}", words::status(status)),
    };
    Stale { days, max_age_days, because }
}

/// Why nobody looks for newer packages now.
fn idle(desired: &Desired, now: DateTime<Utc>) -> String {
    if desired.lock_pinned {
        return "its lock is pinned: run `bootwright lock --update` and commit".to_owned();
    }
    match desired.schedule.as_ref().and_then(|s| s.next_after(now)) {
        Some(next) => {
            format!("it waits for its schedule, due {}", next.format("%Y-%m-%dT%H:%M:%SZ"))
        }
        None => "no look for newer packages is due".to_owned(),
    }
}
