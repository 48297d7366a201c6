//! Schedules: five cron fields in a time zone, and when they come due.
//!
//! The expression is read as Vixie cron reads it (crontab(5)); crate `cron` then does the
//! calendar arithmetic on wall-clock times that know no time zone, and `clock` turns
//! those into instants. That keeps `cron`'s own habits out (Sunday as 1, 02:30 lost in
//! spring and doubled in autumn).
//!
//! # When clocks change
//! - A schedule with a restricted hour (`30 2 * * *`) means a wall-clock time. If it is
//!   skipped in spring, the schedule comes due at the first moment after the gap; if it is
//!   doubled in autumn, only its first passing counts.
//! - A schedule whose hour field begins with `*` (`*/15 * * * *`) means "so often": it
//!   follows the time that really passes, skips what does not exist and comes due in both
//!   passings.
//!
//! # Where we differ from crate `croner`, on purpose
//! - `croner` calls a schedule one of wall-clock times only if it has a single minute and a
//!   single hour; `0,30 2 * * *` is one too here, as in Vixie cron, and no day is lost.
//! - A day field that begins with `*` is unrestricted even with a step, as in Vixie cron:
//!   `0 0 */2 * MON` needs both; `croner` takes either.
//! - A skipped time comes due after the gap even if that is another day (a gap over
//!   midnight, or the day that Samoa left out in 2011).
//! - `?`, `L`, `W`, `#`, seconds and years are refused.

mod clock;
mod fields;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// A schedule in its time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    expression: String,
    zone: Tz,
    days: fields::Days,
    by_interval: bool,
}

impl Schedule {
    /// Reads five cron fields (minute, hour, day of month, month, day of week) or one of
    /// `@hourly @daily @midnight @weekly @monthly @yearly @annually`, and the name of an
    /// IANA time zone (UTC when absent).
    ///
    /// # Errors
    /// A sentence that names the field and says how to write it.
    pub fn parse(expression: &str, zone: Option<&str>) -> Result<Self, String> {
        let zone = match zone {
            None => Tz::UTC,
            Some(name) => name.parse().map_err(|_| {
                format!(
                    "{name:?} is not a time zone: write an IANA name such as \"Europe/Berlin\" or \"Etc/UTC\""
                )
            })?,
        };
        let (days, by_interval) = fields::parse(expression)?;
        let schedule = Self { expression: expression.trim().to_owned(), zone, days, by_interval };
        match schedule.days.next(clock::FIRST) {
            Some(_) => Ok(schedule),
            None => {
                Err(format!("schedule {:?} never comes due: no month has such a day", schedule.expression))
            }
        }
    }

    /// The first time after `t` at which the schedule comes due; `None` after the year 2100.
    pub fn next_after(&self, t: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.by_interval {
            clock::next_passing(&self.days, self.zone, t)
        } else {
            clock::next_named(&self.days, self.zone, t)
        }
    }

    /// The last time up to and with `now` at which the schedule came due; `None` before 1971.
    pub fn last_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.by_interval {
            clock::last_passing(&self.days, self.zone, now)
        } else {
            clock::last_named(&self.days, self.zone, now)
        }
    }

    /// The last time after `t` and up to `now` at which the schedule came due, if it did.
    pub fn due_since(&self, t: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.last_due(now).filter(|due| *due > t)
    }

    /// The time zone that it is read in.
    pub fn zone(&self) -> Tz {
        self.zone
    }
}

impl std::fmt::Display for Schedule {
    /// The expression as it was written, and the zone: `0 3 * * 1 (Europe/Berlin)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone)
    }
}

#[cfg(test)]
mod tests;
