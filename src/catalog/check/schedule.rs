//! Cron schedules: five fields as in crontab(5).

use super::{Report, accounts};
use crate::model::spec::OsImage;

pub fn check(report: &mut Report<'_>, image: &OsImage) {
    times(report, image.spec.schedule.as_ref(), image.spec.schedule_time_zone.as_ref());
}

/// The schedule of an image or a device profile, and the time zone that it is read in.
pub(super) fn times(report: &mut Report<'_>, schedule: Option<&String>, zone: Option<&String>) {
    if let Some(schedule) = schedule
        && let Err(why) = check_schedule(schedule)
    {
        report.error(
            "spec.schedule",
            format!("{schedule:?} is not a schedule: {why}"),
            "Write minute, hour, day of month, month and day of week: \"0 3 * * 1\" is Mondays at 3:00.",
        );
    }
    if let Some(zone) = zone {
        accounts::time_zone(report, "spec.scheduleTimeZone", zone);
        if schedule.is_none() {
            report.error(
                "spec.scheduleTimeZone",
                "nothing reads this: there is no schedule",
                "Add `schedule`, or take this away.",
            );
        }
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The longest that each month can be.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Says what is wrong with a schedule.
pub fn check_schedule(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(format!("it has {} fields, not five", fields.len()));
    };
    field("minute", minute, 0, 59, &[])?;
    field("hour", hour, 0, 23, &[])?;
    let days = field("day of month", day, 1, 31, &[])?;
    let months = field("month", month, 1, 12, &MONTHS)?;
    field("day of week", weekday, 0, 7, &DAYS)?;
    // Either day field may let a day in, so only a bare day of month can be impossible.
    let possible = months
        .iter()
        .any(|m| days.iter().any(|d| LENGTHS.get(*m as usize - 1).is_some_and(|length| d <= length)));
    if possible || *weekday != "*" { Ok(()) } else { Err("this day never comes".to_owned()) }
}

/// The numbers that a field stands for.
fn field(what: &str, text: &str, least: u32, most: u32, names: &[&str]) -> Result<Vec<u32>, String> {
    let refuse = |part: &str| format!("{part:?} is not a {what} ({least} to {most})");
    let number = |part: &str| -> Result<u32, String> {
        let name = names.iter().position(|n| n.eq_ignore_ascii_case(part));
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let value = match name {
            Some(index) => {
                Some(u32::try_from(index).unwrap_or_default() + if names.len() == 12 { 1 } else { 0 })
            }
            None if digits => part.parse().ok(),
            None => None,
        };
        value.filter(|v| (least..=most).contains(v)).ok_or_else(|| refuse(part))
    };
    let mut values = Vec::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(r, s)| (r, Some(s)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => return Err(format!("{item:?}: a step needs a range or *")),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(format!("{range:?} runs backwards"));
        }
        let step = match step {
            Some(step) => {
                let digits = !step.is_empty() && step.len() <= 2 && step.bytes().all(|b| b.is_ascii_digit());
                let step = step.parse::<usize>().ok().filter(|s| digits && *s > 0);
                step.ok_or_else(|| format!("{item:?}: the step is not a number from 1"))?
            }
            None => 1,
        };
        values.extend((from..=to).step_by(step));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_good_for_cron_too() {
        for text in [
            "0 3 * * 1",
            "*/15 * * * *",
            "0 0 1,15 * *",
            "5 4 * jan-mar mon",
            "0 2 * * 0-6/2",
            "0 0 29 2 *",
            "59 23 31 12 7",
            "0 12 * * MON-FRI",
        ] {
            assert_eq!(check_schedule(text), Ok(()), "{text}");
            assert!(text.parse::<croner::Cron>().is_ok(), "{text}");
        }
    }

    #[test]
    fn bad_ones() {
        for text in [
            "",
            "0 3 * *",
            "0 0 3 * * 1",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "5/10 * * * *",
            "*/0 * * * *",
            "30-10 * * * *",
            "a * * * *",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "0 0 L * *",
            "0 0 * * 1#2",
            "0 0 ? * *",
            "+1 * * * *",
            "1,,2 * * * *",
        ] {
            assert!(check_schedule(text).is_err(), "{text}");
        }
    }
}
