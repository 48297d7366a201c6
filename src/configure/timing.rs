//! When something happens: one text of a spec, as timers of systemd and as crontabs have it.

use crate::model::spec::text::Timing;
use std::collections::BTreeSet;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Whether a timing is one of the four words, and so leaves the minute to the machine.
pub(super) fn is_word(timing: &Timing) -> bool {
    !timing.as_str().contains(' ')
}

/// The time fields of a crontab (man 5 crontab).
pub(super) fn cron(timing: &Timing) -> String {
    match timing.as_str() {
        "hourly" => "17 * * * *",
        "daily" => "25 6 * * *",
        "weekly" => "47 6 * * 7",
        "monthly" => "52 6 1 * *",
        fields => fields,
    }
    .to_owned()
}

/// Values of `OnCalendar=` (man systemd.time); the timer elapses at any of them.
pub(super) fn on_calendar(timing: &Timing) -> Vec<String> {
    if is_word(timing) {
        return vec![timing.as_str().to_owned()];
    }
    let fields: Vec<&str> = timing.as_str().split(' ').collect();
    let [minute, hour, day, month, week] = fields[..] else { return vec![timing.as_str().to_owned()] };
    let numbers = |field: &str, least, most, names: &[&str]| listed(field, least, most, names);
    let time = format!("{}:{}:00", numbers(hour, 0, 23, &[]), numbers(minute, 0, 59, &[]));
    let month = numbers(month, 1, 12, &MONTHS);
    let dated = |day: &str| format!("*-{month}-{} {time}", numbers(day, 1, 31, &[]));
    let weekly = |day: &str| format!("{} {}", days(week), dated(day));
    match (day.starts_with('*'), week.starts_with('*')) {
        (_, true) if week == "*" => vec![dated(day)],
        // Cron takes either day where both are said, systemd takes only days that are both.
        (false, false) => vec![dated(day), weekly("*")],
        _ => vec![weekly(day)],
    }
}

fn days(field: &str) -> String {
    let days: BTreeSet<u32> = values(field, 0, 7, &DAYS).into_iter().map(|day| day % 7).collect();
    let names: Vec<&str> = days.iter().filter_map(|day| DAYS.get(*day as usize).copied()).collect();
    names.join(",")
}

fn listed(field: &str, least: u32, most: u32, names: &[&str]) -> String {
    if field == "*" {
        return "*".to_owned();
    }
    let numbers: Vec<String> =
        values(field, least, most, names).iter().map(|number| format!("{number:02}")).collect();
    numbers.join(",")
}

/// The numbers that a field of cron means.
fn values(field: &str, least: u32, most: u32, names: &[&str]) -> BTreeSet<u32> {
    let number = |text: &str| -> Option<u32> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        named.and_then(|at| u32::try_from(at).ok()).map(|at| at + least).or_else(|| text.parse().ok())
    };
    let mut found = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (Some(least), Some(most)),
            Some((from, to)) => (number(from), number(to)),
            None => (number(range), number(range)),
        };
        let step = step.parse().ok().filter(|step| *step > 0).unwrap_or(1);
        if let (Some(from), Some(to)) = (from, to) {
            found.extend((from.max(least)..=to.min(most)).step_by(step));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_and_systemd_mean_the_same() {
        for (cron, calendar) in [
            ("daily", vec!["daily"]),
            ("0 3 * * 1", vec!["Mon *-*-* 03:00:00"]),
            ("*/15 * * * *", vec!["*-*-* *:00,15,30,45:00"]),
            ("30 2 1,15 jan-mar *", vec!["*-01,02,03-01,15 02:30:00"]),
            ("0 0 13 * fri", vec!["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
            ("5 4 * * 5-7", vec!["Sun,Fri,Sat *-*-* 04:05:00"]),
            ("0 12 */10 * mon", vec!["Mon *-*-01,11,21,31 12:00:00"]),
        ] {
            assert_eq!(on_calendar(&cron.parse().unwrap()), calendar, "{cron}");
        }
    }
}
