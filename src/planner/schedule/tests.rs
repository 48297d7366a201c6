use super::*;
use chrono::TimeDelta;
use proptest::prelude::*;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn berlin(expression: &str) -> Schedule {
    Schedule::parse(expression, Some("Europe/Berlin")).unwrap()
}

fn upcoming(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let mut t = at(from);
    (0..count)
        .map(|_| {
            t = schedule.next_after(t).unwrap();
            t.with_timezone(&schedule.zone()).to_rfc3339()
        })
        .collect()
}

#[test]
fn weekdays_are_vixies() {
    for (expression, day) in
        [("0 3 * * 1", "Mon"), ("0 3 * * 0", "Sun"), ("0 3 * * 7", "Sun"), ("0 3 * * SUN", "Sun")]
    {
        let next = Schedule::parse(expression, None).unwrap().next_after(at("2026-11-18T00:00:00Z")).unwrap();
        assert_eq!(next.format("%a %H:%M").to_string(), format!("{day} 03:00"), "{expression}");
    }
    let ends_with_sunday = Schedule::parse("0 0 * * 5-7", None).unwrap();
    assert_eq!(ends_with_sunday.days, Schedule::parse("0 0 * * fri-sun", None).unwrap().days);
}

#[test]
fn restricted_days_match_if_either_does() {
    let schedule = Schedule::parse("0 0 13 * FRI", None).unwrap();
    let days = upcoming(&schedule, "2026-11-01T00:00:00Z", 4);
    let days: Vec<&str> = days.iter().map(|t| &t[..10]).collect();
    assert_eq!(days, ["2026-11-06", "2026-11-13", "2026-11-20", "2026-11-27"]);
    // A field that begins with a star is not restricted, so both must match.
    let stepped = Schedule::parse("0 0 */2 * MON", None).unwrap();
    assert_eq!(&upcoming(&stepped, "2026-11-01T00:00:00Z", 1)[0][..10], "2026-11-09");
}

#[test]
fn spring_comes_due_once_after_the_gap() {
    // 2026-03-29: 02:00 becomes 03:00.
    let daily = upcoming(&berlin("30 2 * * *"), "2026-03-28T00:00:00Z", 3);
    assert_eq!(
        daily,
        ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    let often = upcoming(&berlin("*/30 2 * * *"), "2026-03-29T00:00:00Z", 2);
    assert_eq!(often, ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]);
    let hourly = upcoming(&berlin("30 * * * *"), "2026-03-29T00:00:00Z", 2);
    assert_eq!(hourly, ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"]);
}

#[test]
fn autumn_comes_due_once() {
    // 2026-10-25: 03:00 becomes 02:00.
    let daily = upcoming(&berlin("30 2 * * *"), "2026-10-24T12:00:00Z", 2);
    assert_eq!(daily, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
    let between = upcoming(&berlin("30 2 * * *"), "2026-10-25T00:45:00Z", 1);
    assert_eq!(between, ["2026-10-26T02:30:00+01:00"]);
    // An interval goes on through both passings.
    let half_hours = upcoming(&berlin("*/30 * * * *"), "2026-10-25T00:00:00Z", 4);
    assert_eq!(
        half_hours,
        [
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00"
        ]
    );
}

#[test]
fn a_day_that_never_was_comes_due_after_it() {
    // Samoa went from 2011-12-29 straight to 2011-12-31.
    let schedule = Schedule::parse("0 12 30 12 *", Some("Pacific/Apia")).unwrap();
    let next = schedule.next_after(at("2011-12-01T00:00:00Z")).unwrap();
    assert_eq!(next, at("2011-12-30T10:00:00Z"));
    assert_eq!(schedule.last_due(at("2012-01-01T00:00:00Z")), Some(next));
}

#[test]
fn due_since() {
    let schedule = Schedule::parse("@weekly", None).unwrap();
    let (monday, sunday) = (at("2026-11-16T00:00:00Z"), at("2026-11-22T00:00:00Z"));
    assert_eq!(schedule.due_since(monday, sunday - TimeDelta::seconds(1)), None);
    assert_eq!(schedule.due_since(monday, sunday), Some(sunday));
    assert_eq!(schedule.due_since(sunday, sunday), None);
    assert_eq!(schedule.due_since(monday - TimeDelta::days(90), monday), Some(sunday - TimeDelta::days(7)));
}

#[test]
fn refused_with_words_that_help() {
    for (expression, words) in [
        ("", "has 0 fields"),
        ("0 3 * *", "has 4 fields"),
        ("0 0 3 * * 1", "has 6 fields"),
        ("60 3 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day of month"),
        ("0 0 32 * *", "day of month"),
        ("0 0 * 13 *", "month"),
        ("0 0 * * 8", "day of week"),
        ("0 0 L * *", "are not part of cron"),
        ("0 0 * * 5#2", "are not part of cron"),
        ("0 0 * * FRI#2", "are not part of cron"),
        ("0 0 15W * *", "are not part of cron"),
        ("0 0 ? * *", "are not part of cron"),
        ("0 0 * * 5L", "are not part of cron"),
        ("5/15 * * * *", "write 5-59/15"),
        ("*/0 * * * *", "a step is"),
        ("*/-1 * * * *", "a step is"),
        ("*/99999999999 * * * *", "a step is"),
        ("30-10 * * * *", "30 is after 10"),
        ("1,,2 * * * *", "\"\" is not understood"),
        ("+1 * * * *", "\"+1\" is not understood"),
        ("0 0 * FOO *", "\"FOO\" is not understood"),
        ("0 0 31 2 *", "never comes due"),
        ("@reboot", "is not a schedule"),
        ("@daily 1", "is not a schedule"),
        ("٣ 3 * * *", "is not understood"),
    ] {
        let message = Schedule::parse(expression, None).unwrap_err();
        assert!(message.contains(words), "{expression:?}: {message}");
    }
    assert!(Schedule::parse("@daily", Some("Mars/Olympus")).unwrap_err().contains("time zone"));
}

#[test]
fn rare_days_come_due() {
    let leap = Schedule::parse("0 0 29 2 *", None).unwrap();
    assert_eq!(leap.next_after(at("2026-11-18T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
    assert_eq!(leap.last_due(at("2026-11-18T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",   // gaps at midnight until 2018
    "Australia/Lord_Howe", // half an hour
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca", // winter time during Ramadan
];

/// One cron field: a star, a step, a value, a range with and without step, a list.
fn field(first: u32, last: u32) -> impl Strategy<Value = String> {
    let range = move |step: bool| {
        (first..=last, first..=last, 1..=last).prop_map(move |(a, b, s)| {
            let (a, b) = (a.min(b), a.max(b));
            if step { format!("{a}-{b}/{s}") } else { format!("{a}-{b}") }
        })
    };
    prop_oneof![
        4 => Just("*".to_owned()),
        2 => (1..=last).prop_map(|s| format!("*/{s}")),
        4 => (first..=last).prop_map(|n| n.to_string()),
        1 => range(false),
        1 => range(true),
        1 => (first..=last, first..=last).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let hour = prop_oneof![1 => Just("2".to_owned()), 3 => field(0, 23)];
    (field(0, 59), hour, field(1, 31), field(1, 12), field(0, 7))
        .prop_map(|(m, h, d, mo, w)| format!("{m} {h} {d} {mo} {w}"))
}

/// Any moment from 1990 to 2040, many of them within a day of a change of clocks.
fn moment(zone: Tz) -> impl Strategy<Value = DateTime<Utc>> {
    use chrono::Offset;
    let seconds = 631_152_000_i64..2_208_988_800;
    (seconds, any::<bool>(), -86_400_i64..86_400).prop_map(move |(t, near_change, by)| {
        use chrono::TimeZone;
        let offset = |t: i64| {
            let utc = DateTime::from_timestamp(t, 0).unwrap().naive_utc();
            zone.offset_from_utc_datetime(&utc).fix()
        };
        let change = (0..400).map(|day| t + day * 86_400).find(|t| offset(*t) != offset(t + 86_400));
        let t = change.filter(|_| near_change).map_or(t, |change| change + by);
        DateTime::from_timestamp(t, 0).unwrap()
    })
}

fn case() -> impl Strategy<Value = (String, &'static str, DateTime<Utc>)> {
    (expression(), prop::sample::select(ZONES.as_slice()))
        .prop_flat_map(|(expression, zone)| (Just(expression), Just(zone), moment(zone.parse().unwrap())))
}

/// Whether a change of clocks lies within a day of `t`.
fn near_change(zone: Tz, t: DateTime<Utc>) -> bool {
    use chrono::{Offset, TimeZone};
    let offset = |t: DateTime<Utc>| zone.offset_from_utc_datetime(&t.naive_utc()).fix();
    let day = TimeDelta::hours(26);
    (0..=52).any(|h| offset(t - day + TimeDelta::hours(h)) != offset(t))
}

/// A deliberate difference: what a stepped star does to the other day field.
fn without_stepped_days(expression: &str) -> String {
    let fields: Vec<&str> = expression.split(' ').collect();
    let stepped = fields[2].starts_with("*/") || fields[4].starts_with("*/");
    let weekday = if stepped { "*" } else { fields[4] };
    format!("{} {} {} {} {weekday}", fields[0], fields[1], fields[2], fields[3])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn agrees_with_croner((expression, zone, t) in case()) {
        use std::str::FromStr;
        let expression = without_stepped_days(&expression);
        // Days that no month has: croner only finds out by looking for them.
        let Ok(ours) = Schedule::parse(&expression, Some(zone)) else { return Ok(()) };
        let fields: Vec<&str> = expression.split(' ').collect();
        let single = |field: &str| field.parse::<u32>().is_ok();
        let named = single(fields[0]) && single(fields[1]);
        let interval = fields[1].starts_with('*');
        let tz: Tz = zone.parse().unwrap();
        let next = ours.next_after(t);
        // The other one: lists of minutes and hours near a change of clocks.
        if !(named || interval && !single(fields[1])) {
            prop_assume!(!near_change(tz, t) && next.is_some_and(|next| !near_change(tz, next)));
        }
        let theirs = croner::Cron::from_str(&expression).unwrap();
        let theirs = theirs.find_next_occurrence(&t.with_timezone(&tz), false);
        // And the last one: a gap that takes the day with it.
        prop_assume!(theirs.is_ok());
        prop_assert_eq!(next, Some(theirs.unwrap().to_utc()), "{} in {} after {}", expression, zone, t);
    }

    #[test]
    fn looking_back_finds_what_looking_ahead_found((expression, zone, t) in case()) {
        let Ok(schedule) = Schedule::parse(&expression, Some(zone)) else { return Ok(()) };
        let mut last = None;
        let mut now = t;
        for _ in 0..40 {
            let Some(next) = schedule.next_after(now) else { break };
            prop_assert!(next > now);
            if last.is_some() {
                prop_assert_eq!(schedule.last_due(next - TimeDelta::seconds(1)), last);
            }
            prop_assert_eq!(schedule.last_due(next), Some(next));
            prop_assert_eq!(schedule.due_since(now, next), Some(next));
            last = Some(next);
            now = next;
        }
    }
}
