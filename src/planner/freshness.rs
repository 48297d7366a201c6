//! How old a release may get, and why nothing newer is there.
//!
//! Its age counts from the day it was published, or from the last look at the mirrors that
//! found nothing newer: packages that are still the newest are not old.

use super::inputs::{Desired, History, Wanted};
use super::words;
use crate::model::observed::ObservedRelease;
use crate::model::plan::{Action, Stale, Status};
use crate::model::{Failure, public};
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
    age_beyond(most, current.published, looked, now).map(|days| (days, most))
}

/// The age of a release in days if it is more than `most`; `looked` is when a look found nothing
/// newer.
pub(super) fn age_beyond(
    most: u32,
    published: DateTime<Utc>,
    looked: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<i64> {
    let since = looked.map_or(published, |looked| looked.max(published));
    let age = now.signed_duration_since(since);
    (age > TimeDelta::days(i64::from(most))).then(|| age.num_days())
}

/// Whether the release is what the spec asks for now: only then a look that found nothing
/// newer speaks for it.
fn is_answer(desired: &Desired, current: &ObservedRelease) -> bool {
    match &desired.wanted {
        Wanted::Recipe(resolved) => resolved.digest() == current.recipe_digest,
        Wanted::NeedsLock { .. } => false,
    }
}

/// The same in words: what decides that nothing newer is there.
pub(super) fn stale(
    (days, max_age_days): (i64, u32),
    desired: &Desired,
    history: Option<&History>,
    chosen: Result<&Action, &Status>,
    now: DateTime<Utc>,
) -> Stale {
    let public = in_public(desired, history, chosen, now);
    let because = match chosen {
        Ok(action) => format!("this is still to be done: {}", words::action(action)),
        Err(Status::UpToDate) => idle(desired, now),
        Err(Status::Paused) => "its spec says `paused: true`".to_owned(),
        Err(Status::Waiting { on }) => format!("it waits: {on}"),
        Err(status) => format!("it is {}", words::status(status)),
    };
    Stale { days, max_age_days, because, public }
}

/// The same for a page that anybody may read: the class and the code of a failure and the line
/// that decided, and nothing of the host that it happened on.
fn in_public(
    desired: &Desired,
    history: Option<&History>,
    chosen: Result<&Action, &Status>,
    now: DateTime<Utc>,
) -> String {
    match chosen {
        Ok(action) => format!("this is still to be done: {}", words::action(action)),
        Err(Status::UpToDate | Status::Planned) => idle(desired, now),
        Err(Status::Paused) => "its spec says `paused: true`".to_owned(),
        Err(Status::Refused { rules, .. }) => {
            let rules: Vec<&str> = rules.iter().map(|rule| rule.as_str()).collect();
            format!("it is refused by policy ({})", rules.join(", "))
        }
        Err(Status::Stalled { .. }) => match last_failure(history) {
            Some(failure) => format!("it failed: {}", failure_in_public(failure)),
            None => "it failed".to_owned(),
        },
        Err(Status::Waiting { .. }) if history.is_some_and(|h| h.leased_by.is_some()) => {
            "another process is working on it".to_owned()
        }
        Err(Status::Waiting { .. }) => match last_failure(history) {
            Some(failure) => format!("it is tried again after a failure: {}", failure_in_public(failure)),
            None => "it waits for a commit".to_owned(),
        },
    }
}

fn last_failure(history: Option<&History>) -> Option<&Failure> {
    let history = history?;
    let all = [&history.build, &history.lock].into_iter().flatten().chain(history.store.values());
    all.max_by_key(|failures| failures.at).map(|failures| &failures.last)
}

/// `upstream E5003: could not resolve …`.
fn failure_in_public(failure: &Failure) -> String {
    let line = failure.deciding_line().unwrap_or(&failure.message);
    format!("{} {}: {}", failure.class, failure.code.as_str(), public::wording(line, &[]))
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
