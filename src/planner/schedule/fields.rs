//! The five fields of a cron expression, and the wall-clock times that they name.

use chrono::{NaiveDateTime, TimeZone, Utc};
use std::collections::BTreeSet;
use std::str::FromStr;

/// One field: its name in messages, its bounds, and names for its values.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
const DAY: Field = Field { name: "day of month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
/// 7 is Sunday, as 0 is.
const WEEKDAY: Field = Field {
    name: "day of week",
    first: 0,
    last: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// `@` words, as crontab(5) has them. `@reboot` has no meaning here.
const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The values of one field.
struct Values {
    /// Whether the field begins with `*`, which is what Vixie cron calls unrestricted.
    star: bool,
    values: BTreeSet<u32>,
}

/// Wall-clock times, as one or two `cron` schedules of which any may match: two when day of
/// month and day of week are both restricted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days(Vec<cron::Schedule>);

impl Days {
    /// The first wall-clock time after `t`.
    pub(super) fn next(&self, t: NaiveDateTime) -> Option<NaiveDateTime> {
        let t = Utc.from_utc_datetime(&t);
        self.0.iter().filter_map(|s| s.after(&t).next()).map(|t| t.naive_utc()).min()
    }

    /// The last wall-clock time before `t`.
    pub(super) fn previous(&self, t: NaiveDateTime) -> Option<NaiveDateTime> {
        let t = Utc.from_utc_datetime(&t);
        self.0.iter().filter_map(|s| s.after(&t).next_back()).map(|t| t.naive_utc()).max()
    }
}

/// Reads an expression; says also whether its hour field begins with `*`.
pub(super) fn parse(expression: &str) -> Result<(Days, bool), String> {
    let text = expression.trim();
    let text = match text.strip_prefix('@') {
        None => text,
        Some(_) => WORDS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, fields)| *fields)
            .ok_or_else(|| unknown_word(text))?,
    };
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[minute, hour, day, month, weekday] = parts.as_slice() else {
        return Err(format!(
            "schedule {text:?} has {} fields: write five (minute, hour, day of month, month, day of week), \
             such as \"0 3 * * 1\"",
            parts.len()
        ));
    };
    let minute = MINUTE.parse(minute)?;
    let hour = HOUR.parse(hour)?;
    let day = DAY.parse(day)?;
    let month = MONTH.parse(month)?;
    let weekday = WEEKDAY.parse(weekday)?;

    let time = format!("0 {} {}", list(&minute), list(&hour));
    let weekdays: Vec<&str> = weekday
        .values
        .iter()
        .map(|n| WEEKDAY.names[*n as usize % 7])
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let of = |day: &str, weekday: &str| {
        let normal = format!("{time} {day} {} {weekday}", list(&month));
        cron::Schedule::from_str(&normal).map_err(|e| format!("schedule {text:?} is not understood: {e}"))
    };
    // Vixie cron: if both day fields are restricted, a day that matches either will do; a
    // field that begins with `*` is unrestricted, yet its step still counts.
    let both = if day.star || weekday.star {
        vec![of(&list(&day), &weekdays.join(","))?]
    } else {
        vec![of(&list(&day), "*")?, of("*", &weekdays.join(","))?]
    };
    Ok((Days(both), hour.star))
}

fn unknown_word(text: &str) -> String {
    let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
    format!("{text:?} is not a schedule: write five fields or one of {}", words.join(" "))
}

fn list(values: &Values) -> String {
    values.values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

impl Field {
    fn parse(&self, text: &str) -> Result<Values, String> {
        let mut values = BTreeSet::new();
        for part in text.split(',') {
            let (first, last, step) = self.range(part, text)?;
            values.extend((first..=last).step_by(step));
        }
        Ok(Values { star: text.starts_with('*'), values })
    }

    /// `*`, `n`, `a-b`, `*/s`, `a-b/s`: first value, last value, step.
    fn range(&self, part: &str, text: &str) -> Result<(u32, u32, usize), String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step, text)?)),
            None => (part, None),
        };
        if range == "*" {
            return Ok((self.first, self.last, step.unwrap_or(1)));
        }
        let Some((first, last)) = range.split_once('-') else {
            let value = self.value(range, text)?;
            return match step {
                None => Ok((value, value, 1)),
                Some(step) => Err(self.refuse(text, &format!("write {value}-{}/{step}", self.last))),
            };
        };
        let (first, mut last) = (self.value(first, text)?, self.value(last, text)?);
        // FRI-SUN: Sunday ends a week as well as it begins one.
        if last == 0 && first > 0 && self.last == WEEKDAY.last {
            last = WEEKDAY.last;
        }
        if first > last {
            return Err(self.refuse(text, &format!("{first} is after {last}")));
        }
        Ok((first, last, step.unwrap_or(1)))
    }

    fn step(&self, step: &str, text: &str) -> Result<usize, String> {
        match number(step) {
            Some(n) if (1..=self.last).contains(&n) => Ok(n as usize),
            _ => Err(self.refuse(text, &format!("a step is a number from 1 to {}", self.last))),
        }
    }

    fn value(&self, value: &str, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(value));
        if let Some(at) = named {
            return Ok(self.first + u32::try_from(at).unwrap_or(0));
        }
        match number(value) {
            Some(n) if (self.first..=self.last).contains(&n) => Ok(n),
            Some(n) => Err(self.refuse(text, &format!("{n} is not from {} to {}", self.first, self.last))),
            None if value.contains(['#', '?', 'L', 'W', 'l', 'w']) && self.is_extension(value) => {
                Err(self.refuse(text, "L, W, # and ? are not part of cron's five fields; name the days"))
            }
            None => Err(self.refuse(text, &format!("{value:?} is not understood"))),
        }
    }

    /// Whether a value is Quartz's: `L`, `15W`, `5#2`, `5L`, `?`, `MON#1`.
    fn is_extension(&self, value: &str) -> bool {
        let names = self.names.iter().any(|n| value.to_ascii_uppercase().starts_with(n));
        names || value.bytes().all(|b| b.is_ascii_digit() || b"#?LWlw".contains(&b))
    }

    fn refuse(&self, text: &str, why: &str) -> String {
        format!("schedule field {} is {text:?}: {why}", self.name)
    }
}

/// Digits only: no sign, at most four of them.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
