//! From wall-clock times to instants and back, where clocks are put forward and back.
//!
//! A *fold* is a stretch of wall-clock time that passes twice (autumn), a *gap* one that
//! never passes (spring).

use super::fields::Days;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Where the calendar of crate `cron` begins.
pub(super) const FIRST: NaiveDateTime = DateTime::UNIX_EPOCH.naive_utc();

/// Longer than any gap or fold, offsets included: Samoa once left out a whole day.
const FAR: TimeDelta = TimeDelta::hours(26);

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// The first time after `t` for wall-clock times that count once each.
pub(super) fn next_named(days: &Days, zone: Tz, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // The instant of a wall-clock time never goes back as the wall-clock time goes on, so
    // the first one past `t` is the answer.
    let mut wall = days.next(wall_clock(zone, t))?;
    loop {
        let instant = once(zone, wall)?;
        if instant > t {
            return Some(instant);
        }
        wall = days.next(wall)?;
    }
}

/// The last time up to `now` for wall-clock times that count once each.
pub(super) fn last_named(days: &Days, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wall = wall_clock(zone, now);
    // In the second passing of a fold all of the fold has come due already.
    let before = match passings(zone, wall) {
        MappedLocalTime::Ambiguous(first, second) if now >= second => {
            wall_clock(zone, change_between(zone, first, second) - SECOND) + SECOND
        }
        _ => wall + SECOND,
    };
    once(zone, days.previous(before)?)
}

/// The first time after `t` for wall-clock times that count as often as they pass.
pub(super) fn next_passing(days: &Days, zone: Tz, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wall = wall_clock(zone, t);
    let ahead = first_after(days, zone, wall, t)?;
    match passings(zone, wall) {
        // In the first passing of a fold its beginning is still to come again.
        MappedLocalTime::Ambiguous(first, second) if t < second => {
            let change = change_between(zone, first, second);
            let again = first_after(days, zone, wall_clock(zone, change) - SECOND, change - SECOND)?;
            Some(ahead.min(again))
        }
        _ => Some(ahead),
    }
}

/// The last time up to `now` for wall-clock times that count as often as they pass.
pub(super) fn last_passing(days: &Days, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wall = wall_clock(zone, now);
    let behind = last_until(days, zone, wall + SECOND, now)?;
    match passings(zone, wall) {
        // In the second passing of a fold all of the first one is behind us.
        MappedLocalTime::Ambiguous(first, second) if now >= second => {
            let end = change_between(zone, first, second) - SECOND;
            let before = last_until(days, zone, wall_clock(zone, end) + SECOND, end)?;
            Some(behind.max(before))
        }
        _ => Some(behind),
    }
}

/// The first passing, after `t`, of the first wall-clock times after `wall`.
fn first_after(days: &Days, zone: Tz, mut wall: NaiveDateTime, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
    loop {
        wall = days.next(wall)?;
        match passings(zone, wall) {
            MappedLocalTime::Single(only) if only > t => return Some(only),
            MappedLocalTime::Ambiguous(first, _) if first > t => return Some(first),
            MappedLocalTime::Ambiguous(_, second) if second > t => return Some(second),
            _ => {}
        }
    }
}

/// The last passing, up to `t`, of the last wall-clock times before `wall`.
fn last_until(days: &Days, zone: Tz, mut wall: NaiveDateTime, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
    loop {
        wall = days.previous(wall)?;
        match passings(zone, wall) {
            MappedLocalTime::Single(only) if only <= t => return Some(only),
            MappedLocalTime::Ambiguous(_, second) if second <= t => return Some(second),
            MappedLocalTime::Ambiguous(first, _) if first <= t => return Some(first),
            _ => {}
        }
    }
}

/// What the clock on the wall shows at `t`, in whole seconds.
fn wall_clock(zone: Tz, t: DateTime<Utc>) -> NaiveDateTime {
    let wall = t.with_timezone(&zone).naive_local();
    wall - TimeDelta::nanoseconds(i64::from(wall.and_utc().timestamp_subsec_nanos()))
}

/// When a wall-clock time passes: never, once or twice.
fn passings(zone: Tz, wall: NaiveDateTime) -> MappedLocalTime<DateTime<Utc>> {
    zone.from_local_datetime(&wall).map(|t| t.with_timezone(&Utc))
}

/// When a wall-clock time comes due if it counts once: its first passing, or the end of the
/// gap that it is in.
fn once(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match passings(zone, wall) {
        MappedLocalTime::Single(t) | MappedLocalTime::Ambiguous(t, _) => Some(t),
        MappedLocalTime::None => {
            let middle = Utc.from_utc_datetime(&wall);
            first_where(middle - FAR, middle + FAR, |t| wall_clock(zone, t) > wall)
        }
    }
}

/// The moment at which clocks are put back, between the two passings of a time in a fold.
fn change_between(zone: Tz, first: DateTime<Utc>, second: DateTime<Utc>) -> DateTime<Utc> {
    let offset = |t: DateTime<Utc>| zone.offset_from_utc_datetime(&t.naive_utc()).fix();
    first_where(first, second, |t| offset(t) != offset(first)).unwrap_or(second)
}

/// The first second after `low` and up to `high` at which something became true for good.
fn first_where(
    low: DateTime<Utc>,
    high: DateTime<Utc>,
    is_true: impl Fn(DateTime<Utc>) -> bool,
) -> Option<DateTime<Utc>> {
    let (mut low, mut high) = (low.timestamp(), high.timestamp());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_true(DateTime::from_timestamp(middle, 0)?) {
            high = middle;
        } else {
            low = middle;
        }
    }
    DateTime::from_timestamp(high, 0)
}
