//! Times that come again: `every night at 3`, `weekly on sunday`, `every 6 hours`.

use super::marks::{Cursor, Loose, Taken};
use super::numbers::count;
use super::tokens::Kind;

/// When something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// Five cron fields.
    pub cron: String,
    /// The word for it, where it is no more than that: `daily`.
    pub interval: &'static str,
}

/// No time has more parts: a period, days, clocks.
const MOST_PARTS: usize = 12;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Minutes(u32),
    Hours(u32),
    Days(u32),
    Week,
    Month,
    Weekdays,
    Weekend,
}

const DAYS: [(&str, u32); 7] = [
    ("sunday", 0),
    ("monday", 1),
    ("tuesday", 2),
    ("wednesday", 3),
    ("thursday", 4),
    ("friday", 5),
    ("saturday", 6),
];
const SHORT: [(&str, u32); 7] =
    [("sun", 0), ("mon", 1), ("tue", 2), ("wed", 3), ("thu", 4), ("fri", 5), ("sat", 6)];

#[derive(Default)]
struct Said {
    period: Option<Period>,
    days: Vec<u32>,
    /// Hours and minutes.
    clocks: Vec<(u32, u32)>,
    /// The part of the day: the hour when no clock is said, and whether hours are past noon.
    part: Option<(u32, bool)>,
    day_of_month: Option<u32>,
}

/// A time that comes again.
pub fn read(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let mut said = Said::default();
    let mut end = at;
    let mut from = at;
    for _ in 0..MOST_PARTS {
        let Some(next) = atom(cursor, from, &mut said, end > at) else { break };
        end = next;
        from = cursor.skip(
            end,
            &[
                "on", "each", "the", "in", "and", "oclock", "o", "clock", "sharp", "exactly", "around",
                "about",
            ],
        );
        from += usize::from(cursor.is_mark(end, ',') && from == end && clock_or_day(cursor, end + 1));
    }
    if end == at || (said.period.is_none() && said.days.is_empty()) {
        return None;
    }
    end = cursor.skip(end, &["oclock", "sharp"]);
    let times = said.times()?;
    Some(Taken::loose(end, Loose::Times(times)))
}

fn clock_or_day(cursor: &Cursor<'_>, at: usize) -> bool {
    cursor.word(at) == "at" || day(cursor, at).is_some()
}

/// Whether a number is a time of the day.
pub fn is_clock(cursor: &Cursor<'_>, at: usize) -> bool {
    let next = cursor.word(at + 1);
    ["am", "pm", "oclock"].contains(&next) || cursor.token(at + 1).is_some_and(|t| t.joined == Some(':'))
}

fn day(cursor: &Cursor<'_>, at: usize) -> Option<u32> {
    let word = cursor.word(at);
    let word = word.strip_suffix('s').filter(|w| w.ends_with("day")).unwrap_or(word);
    let long = DAYS.iter().find(|(name, _)| *name == word);
    // "sun", "sat" and "mon" are words of their own: only after "every" or "on".
    let before = at.checked_sub(1).map_or("", |before| cursor.word(before));
    let short =
        SHORT.iter().find(|(name, _)| *name == word && ["every", "each", "on", "and"].contains(&before));
    long.or(short).map(|(_, day)| *day)
}

/// One part of a time; gives where it ends.
fn atom(cursor: &Cursor<'_>, at: usize, said: &mut Said, begun: bool) -> Option<usize> {
    if let Some(day) = day(cursor, at) {
        said.days.push(day);
        return Some(at + 1);
    }
    let word = cursor.word(at);
    let adverb = match word {
        "hourly" => Some(Period::Hours(1)),
        "daily" => Some(Period::Days(1)),
        "weekly" => Some(Period::Week),
        "monthly" => Some(Period::Month),
        _ => None,
    };
    if let Some(period) = adverb.filter(|_| said.period.is_none()) {
        said.period = Some(period);
        return Some(at + 1);
    }
    if word == "nightly" && said.period.is_none() {
        said.period = Some(Period::Days(1));
        return Some(at + 1);
    }
    if (said.period.is_none() || begun)
        && let Some(end) = every(cursor, at, said)
    {
        return Some(end);
    }
    if let Some(end) = part_of_day(cursor, at, said).filter(|_| begun) {
        return Some(end);
    }
    let with_at = ["at", "around"].contains(&word);
    let from = if with_at { cursor.skip(at + 1, &["around", "about", "exactly"]) } else { at };
    if let Some((end, clock)) = clock(cursor, from, with_at && (begun || period_follows(cursor, from))) {
        said.clocks.push(clock);
        // "at 2 and 14"
        let next = from_and(cursor, end);
        if let Some((end, clock)) = next.and_then(|next| clock_plain(cursor, next)) {
            said.clocks.push(clock);
            return Some(end);
        }
        return Some(end);
    }
    None
}

fn from_and(cursor: &Cursor<'_>, at: usize) -> Option<usize> {
    (cursor.word(at) == "and" && is_clock(cursor, at + 1)).then_some(at + 1)
}

/// "at 3 every night"
fn period_follows(cursor: &Cursor<'_>, at: usize) -> bool {
    (1..=4).any(|ahead| {
        ["every", "each", "daily", "nightly", "weekly"].contains(&cursor.word(at + ahead))
            || day(cursor, at + ahead).is_some()
    })
}

fn every(cursor: &Cursor<'_>, at: usize, said: &mut Said) -> Option<usize> {
    let length = cursor.any(
        at,
        &["every single", "once a", "once per", "once every", "twice a", "twice per", "every", "each", "per"],
    )?;
    let twice = cursor.word(at) == "twice";
    let mut from = at + length;
    let mut number = 1;
    if cursor.word(from) == "other" || cursor.word(from) == "second" {
        (number, from) = (2, from + 1);
    } else if let Some(count) = count(cursor, from).filter(|n| *n > 0) {
        (number, from) = (count, from + 1);
    }
    let period = match cursor.word(from) {
        "minute" | "minutes" | "min" | "mins" => Period::Minutes(number),
        "hour" | "hours" => Period::Hours(number),
        "day" | "days" if twice => Period::Hours(12),
        "day" | "days" => Period::Days(number),
        "night" | "nights" => Period::Days(number),
        "morning" | "mornings" => {
            said.part = Some((6, false));
            Period::Days(number)
        }
        "evening" | "evenings" => {
            said.part = Some((20, true));
            Period::Days(number)
        }
        "week" | "weeks" => Period::Week,
        "month" | "months" => Period::Month,
        "weekday" | "weekdays" | "workday" => Period::Weekdays,
        "weekend" | "weekends" => Period::Weekend,
        _ => {
            let day = day(cursor, from)?;
            said.days.push(day);
            return Some(from + 1);
        }
    };
    // "per day" alone is a rate of something else.
    if cursor.word(at) == "per" && said.period.is_none() {
        return None;
    }
    said.period = Some(period);
    let mut end = from + 1;
    if period == Period::Month && cursor.any(end, &["on the first", "on the 1"]).is_some() {
        said.day_of_month = Some(1);
        end += 3 + usize::from(cursor.word(end + 3) == "st");
    }
    Some(end)
}

fn part_of_day(cursor: &Cursor<'_>, at: usize, said: &mut Said) -> Option<usize> {
    let at = cursor.skip(at, &["in", "the", "at", "during"]);
    said.part = Some(match cursor.word(at) {
        "night" => (3, false),
        "morning" => (6, false),
        "afternoon" => (15, true),
        "evening" => (20, true),
        _ => return None,
    });
    if let (Some((_, true)), Some(clock)) = (said.part, said.clocks.last_mut())
        && clock.0 < 12
    {
        clock.0 += 12;
    }
    Some(at + 1)
}

/// "3", "3:30", "3 am", "midnight"; a bare number only where a time is expected.
fn clock(cursor: &Cursor<'_>, at: usize, expected: bool) -> Option<(usize, (u32, u32))> {
    match cursor.word(at) {
        "midnight" => return Some((at + 1, (0, 0))),
        "noon" | "midday" => return Some((at + 1, (12, 0))),
        _ => {}
    }
    if expected || is_clock(cursor, at) { clock_plain(cursor, at) } else { None }
}

fn clock_plain(cursor: &Cursor<'_>, at: usize) -> Option<(usize, (u32, u32))> {
    let number = cursor.token(at).filter(|t| t.kind == Kind::Number)?;
    let (hour, minute) = number.text.split_once('.').unwrap_or((&number.text, ""));
    let mut hour: u32 = hour.parse().ok()?;
    let mut minute: u32 = if minute.is_empty() { 0 } else { minute.parse().ok()? };
    let mut end = at + 1;
    if cursor.token(end).is_some_and(|t| t.joined == Some(':') && t.kind == Kind::Number) {
        minute = cursor.word(end).parse().ok()?;
        end += 1;
    }
    match cursor.word(end) {
        "am" | "a" if hour <= 12 => {
            hour %= 12;
            end += 1;
        }
        "pm" | "p" if hour <= 12 => {
            hour = hour % 12 + 12;
            end += 1;
        }
        "h" | "oclock" | "hours" => end += 1,
        _ => {}
    }
    (hour < 24 && minute < 60).then_some((end, (hour, minute)))
}

impl Said {
    fn times(self) -> Option<Times> {
        let (hour, minute) = match (self.clocks.first(), self.part) {
            (Some(clock), _) => *clock,
            (None, Some((hour, _))) => (hour, 0),
            (None, None) => (3, 0),
        };
        let mut hours = vec![hour];
        hours.extend(self.clocks.iter().skip(1).filter(|c| c.1 == minute).map(|c| c.0));
        let hours = hours.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        if !self.days.is_empty() {
            let mut days = self.days;
            days.sort_unstable();
            days.dedup();
            let weekly = days.len() == 1;
            let days = days.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let interval = if weekly { "weekly" } else { "daily" };
            return Some(Times { cron: format!("{minute} {hours} * * {days}"), interval });
        }
        let (cron, interval) = match self.period? {
            Period::Minutes(1) => ("* * * * *".to_owned(), "hourly"),
            Period::Minutes(n) if n < 60 => (format!("*/{n} * * * *"), "hourly"),
            Period::Hours(1) => ("0 * * * *".to_owned(), "hourly"),
            Period::Hours(n) if n < 24 => (format!("0 */{n} * * *"), "hourly"),
            Period::Hours(24) | Period::Days(1) => (format!("{minute} {hours} * * *"), "daily"),
            Period::Days(7) | Period::Week => (format!("{minute} {hours} * * 0"), "weekly"),
            Period::Days(n) if n <= 31 => (format!("{minute} {hours} */{n} * *"), "daily"),
            Period::Month => (format!("{minute} {hours} {} * *", self.day_of_month.unwrap_or(1)), "monthly"),
            Period::Weekdays => (format!("{minute} {hours} * * 1-5"), "daily"),
            Period::Weekend => (format!("{minute} {hours} * * 0,6"), "weekly"),
            Period::Minutes(_) | Period::Hours(_) | Period::Days(_) => return None,
        };
        Some(Times { cron, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::marks::What;
    use crate::intake::tokens::tokens;

    fn cron(prompt: &str) -> Option<String> {
        let tokens = tokens(prompt);
        let taken = read(&Cursor { text: prompt, tokens: &tokens }, 0)?;
        match &taken.what[0].1 {
            What::Loose(Loose::Times(times)) => Some(times.cron.clone()),
            _ => None,
        }
    }

    #[test]
    fn times_as_cron() {
        for (prompt, wanted) in [
            ("every night at 3", "0 3 * * *"),
            ("weekly on sunday", "0 3 * * 0"),
            ("every monday at 6:30", "30 6 * * 1"),
            ("every monday at 3 in the morning", "0 3 * * 1"),
            ("daily at 4am", "0 4 * * *"),
            ("at 4 pm every day", "0 16 * * *"),
            ("nightly", "0 3 * * *"),
            ("hourly", "0 * * * *"),
            ("every 6 hours", "0 */6 * * *"),
            ("every 15 minutes", "*/15 * * * *"),
            ("twice a day", "0 */12 * * *"),
            ("on weekdays", ""),
            ("every weekday at 7", "0 7 * * 1-5"),
            ("monthly", "0 3 1 * *"),
            ("every month at noon", "0 12 1 * *"),
            ("every tuesday and friday at 22:00", "0 22 * * 2,5"),
            ("sundays at 5", "0 5 * * 0"),
            ("daily at midnight", "0 0 * * *"),
            ("every morning", "0 6 * * *"),
            ("every other day at 2", "0 2 */2 * *"),
            ("each day at 8 in the evening", "0 20 * * *"),
        ] {
            assert_eq!(cron(prompt).unwrap_or_default(), wanted, "{prompt}");
        }
        for other in ["everything", "at 5", "every desktop", "3 days", "every 90 minutes", "every 25:99"] {
            assert_eq!(cron(other), None, "{other}");
        }
    }
}
