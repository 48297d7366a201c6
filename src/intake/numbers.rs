//! Sizes, durations and counts: `20 GB root`, `ban for 10 minutes`, `keep 7 snapshots`.

use super::marks::{Cursor, Loose, Taken, What, Wish};
use super::tokens::Kind;
use serde_json::json;

/// A size, a duration, or how many are kept.
pub fn read(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    size_of_image(cursor, at)
        .or_else(|| partition(cursor, at))
        .or_else(|| keep(cursor, at))
        .or_else(|| tries(cursor, at))
        .or_else(|| age(cursor, at))
        .or_else(|| menu(cursor, at))
        .or_else(|| swappiness(cursor, at))
        .or_else(|| memory(cursor, at))
        .or_else(|| duration(cursor, at).map(|(end, text)| Taken::loose(end, Loose::Duration(text))))
}

/// A whole number, in digits or as a word.
pub fn count(cursor: &Cursor<'_>, at: usize) -> Option<u32> {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let word = cursor.word(at);
    let place = WORDS.iter().position(|w| *w == word).and_then(|place| u32::try_from(place).ok());
    place.or_else(|| word.parse().ok())
}

/// What the number before it counts.
pub fn unit(cursor: &Cursor<'_>, at: usize) -> Option<&'static str> {
    let token = cursor.token(at).filter(|t| t.kind == Kind::Word)?;
    let glued = token.joined == Some('\0');
    Some(match token.text.as_str() {
        "kb" => "KB",
        "mb" | "meg" | "megs" | "megabyte" | "megabytes" => "MB",
        "gb" | "gig" | "gigs" | "gigabyte" | "gigabytes" | "gbs" => "GB",
        "tb" | "terabyte" | "terabytes" => "TB",
        "kib" => "KiB",
        "mib" => "MiB",
        "gib" => "GiB",
        "tib" => "TiB",
        "g" if glued => "GB",
        "t" if glued => "TB",
        "s" if glued => "s",
        "m" if glued => "m",
        "h" if glued => "h",
        "d" if glued => "d",
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        _ => return None,
    })
}

/// `20 GB` → `20GB`; `1.5 GB` → `1500MB`.
fn size(cursor: &Cursor<'_>, at: usize) -> Option<(usize, String)> {
    let token = cursor.token(at).filter(|t| t.kind == Kind::Number)?;
    let unit = unit(cursor, at + 1).filter(|unit| unit.ends_with('B'))?;
    let (whole, part) = token.text.split_once('.').unwrap_or((&token.text, ""));
    let text = if part.trim_end_matches('0').is_empty() {
        format!("{}{unit}", whole.parse::<u32>().ok()?)
    } else {
        let smaller = match unit {
            "GB" => "MB",
            "TB" => "GB",
            "GiB" => "MiB",
            "TiB" => "GiB",
            _ => return None,
        };
        let step: u64 = if unit.ends_with("iB") { 1024 } else { 1000 };
        let part: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
        format!("{}{smaller}", whole.parse::<u64>().ok()?.checked_mul(step)? + part * step / 1000)
    };
    Some((at + 2, text))
}

const LIMITS: [&str; 22] = [
    "no bigger than",
    "not bigger than",
    "no larger than",
    "not larger than",
    "no more than",
    "not more than",
    "not be bigger than",
    "not exceed",
    "not be larger than",
    "never exceed",
    "smaller than",
    "less than",
    "at most",
    "under",
    "below",
    "max",
    "maximum",
    "up to",
    "within",
    "not over",
    "stay under",
    "fit in",
];

/// The output that a limit is about, and where it ends.
fn output(cursor: &Cursor<'_>, at: usize) -> Option<(&'static str, usize)> {
    let at = cursor.skip(at, &["for", "the", "a", "an", "as"]);
    let word = cursor.word(at);
    let field = match word {
        "iso" | "image" | "cd" | "download" | "stick" => "limits.isoSize",
        "oci" | "container" => "limits.ociSize",
        "rootfs" | "tarball" => "limits.rootfsSize",
        _ => return None,
    };
    Some((field, at + 1))
}

/// "iso under 700 MB", "max 2 GB".
fn size_of_image(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let (field, from) = match output(cursor, at).filter(|(_, end)| *end == at + 1) {
        Some((field, end)) => (Some(field), end),
        None => (None, at),
    };
    let from = if field.is_some() {
        let from = cursor.skip(
            from,
            &["image", "file", "must", "should", "has", "to", "be", "is", "of", "size", "stay", "stays"],
        );
        from + usize::from(cursor.is_mark(from, ':'))
    } else {
        from
    };
    let limit = cursor.any(from, &LIMITS)?;
    let number = cursor.skip(from + limit, &["of", "a", "size", "is"]);
    let (mut end, size) = size(cursor, number)?;
    let mut named = field;
    if named.is_none()
        && let Some((field, after)) = output(cursor, end)
    {
        (named, end) = (Some(field), after);
    }
    if ["ram", "memory"].contains(&cursor.word(cursor.skip(end, &["of"]))) {
        return None;
    }
    Some(Taken::wish(end, Wish::set("size", named.unwrap_or("limits.isoSize"), size)))
}

/// The mount point that a word means.
fn mount(cursor: &Cursor<'_>, at: usize) -> Option<(String, usize)> {
    let token = cursor.token(at)?;
    if token.kind == Kind::Place && token.text.starts_with('/') {
        return Some((token.text.clone(), at + 1));
    }
    let mount = match token.text.as_str() {
        "root" if !["login", "access", "user", "ssh", "rights"].contains(&cursor.word(at + 1)) => "/",
        "home" => "/home",
        "swap" => "swap",
        "boot" => "/boot",
        "var" => "/var",
        "data" => "/data",
        "efi" | "esp" => "/boot/efi",
        _ => return None,
    };
    let end = cursor.skip(at + 1, &["partition", "filesystem", "volume", "fs"]);
    Some((mount.to_owned(), end))
}

/// "20 GB root", "/home 50G", "swap of 4 GB".
fn partition(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let between = [
        "for",
        "as",
        "the",
        "on",
        "to",
        "of",
        "a",
        "is",
        "with",
        "gets",
        "should",
        "be",
        "have",
        "has",
        "in",
        "my",
        "partition",
        "size",
    ];
    let wish = |mount: String, size: String| {
        if mount == "swap" {
            return Wish::set("swap", "filesystem.swap.size", size);
        }
        Wish::add("partition", "filesystem.partitions", json!({"mount": mount, "size": size}))
    };
    if let Some((end, size)) = size(cursor, at) {
        let (mount, end) = mount(cursor, cursor.skip(end, &between))?;
        return Some(Taken::wish(end, wish(mount, size)));
    }
    let (mount, from) = mount(cursor, at)?;
    let from = cursor.skip(from, &between);
    let from = from + usize::from(cursor.is_mark(from, ':'));
    let (end, size) = size(cursor, from)?;
    // "root 20 GB home 50 GB": the size goes with what stands before it.
    Some(Taken::wish(end, wish(mount, size)))
}

/// "keep 7 snapshots", "keep 7 daily and 4 weekly".
fn keep(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let cues = ["keep", "keeping", "retain", "retaining", "keeps", "retention of", "retention", "hold"];
    let length = cursor.any(at, &cues)?;
    let fill = ["the", "last", "latest", "up", "to", "at", "most", "only", "of", "newest", "past", "is"];
    let mut from = cursor.skip(at + length, &fill);
    from += usize::from(cursor.is_mark(from, ':'));
    let mut kept = Vec::new();
    let mut end = from;
    while let Some(number) = count(cursor, from) {
        let (period, after) = match cursor.word(from + 1) {
            "hourly" | "hours" => (Some("hourly"), from + 2),
            "daily" | "dailies" | "days" => (Some("daily"), from + 2),
            "weekly" | "weeklies" | "weeks" => (Some("weekly"), from + 2),
            "monthly" | "monthlies" | "months" => (Some("monthly"), from + 2),
            "yearly" | "years" => (Some("yearly"), from + 2),
            _ => (None, from + 1),
        };
        kept.push((number, period));
        end = after;
        let joint = end + usize::from(cursor.is_mark(end, ','));
        let next = cursor.skip(joint, &["and", "plus"]);
        if next == end || count(cursor, next).is_none() || period.is_none() {
            break;
        }
        from = next;
    }
    (!kept.is_empty()).then(|| {
        let end = cursor.skip(end, &["of", "them", "copies", "versions", "generations"]);
        Taken::loose(end, Loose::Keep(kept))
    })
}

/// "after 3 failed attempts", "max 3 retries".
fn tries(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let from = cursor.skip(at, &["after", "max", "maximum", "only"]);
    let number = count(cursor, from).filter(|n| (1..=100).contains(n))?;
    let word = cursor.skip(from + 1, &["failed", "wrong", "bad", "login", "ssh", "unsuccessful", "max"]);
    let nouns =
        ["attempt", "attempts", "tries", "retries", "logins", "failures", "fails", "passwords", "times"];
    let matched = nouns.contains(&cursor.word(word)) || (word > from + 1 && cursor.word(word - 1) == "login");
    if !matched || (cursor.word(word) == "times" && from == at) {
        return None;
    }
    let end = if nouns.contains(&cursor.word(word)) { word + 1 } else { word };
    Some(Taken::wish(end, Wish::set("intrusion-prevention", "securityFeatures.ssh.maxRetries", number)))
}

/// "not older than 30 days".
fn age(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let length =
        cursor.any(at, &["not older than", "no older than", "never older than", "at most", "max age of"])?;
    let days = count(cursor, at + length)?;
    let unit = unit(cursor, at + length + 1)?;
    let old = cursor.word(at + length + 2) == "old";
    if cursor.says(at, "at most") && !old {
        return None;
    }
    let days = match unit {
        "d" => days,
        "w" => days.checked_mul(7)?,
        _ => return None,
    };
    Some(Taken::wish(at + length + 2 + usize::from(old), Wish::set("age", "freshness.maxAgeDays", days)))
}

/// "boot menu timeout of 5 seconds".
fn menu(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let length = cursor.any(at, &["boot menu timeout", "menu timeout", "grub timeout", "boot timeout"])?;
    let from = cursor.skip(at + length, &["of", "is", "should", "be", "to", "set"]);
    let from = from + usize::from(cursor.is_mark(from, ':'));
    let seconds = count(cursor, from).filter(|n| *n <= 3600)?;
    let end = from + 1 + usize::from(unit(cursor, from + 1) == Some("s"));
    Some(Taken::wish(end, Wish::set("boot-menu", "customization.bootloader.timeout", seconds)))
}

fn swappiness(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let from = cursor.skip(at + 1, &["of", "is", "to", "at"]);
    let from = from + usize::from(cursor.is_mark(from, ':'));
    let number = count(cursor, from).filter(|n| *n <= 200 && cursor.word(at) == "swappiness")?;
    Some(Taken::wish(from + 1, Wish::set("swappiness", "postInstall.systemTuning.swappiness", number)))
}

/// A machine's memory is no part of an image.
fn memory(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let (end, _) = size(cursor, at)?;
    let word = cursor.skip(end, &["of"]);
    ["ram", "memory", "vram"].contains(&cursor.word(word)).then(|| {
        Taken::unread(
            word + 1,
            "A spec says nothing about the machine's memory; verify.memoryMib is that of the test machine.",
        )
    })
}

/// `10 minutes` → `10m`.
fn duration(cursor: &Cursor<'_>, at: usize) -> Option<(usize, String)> {
    let (number, from) = if cursor.says(at, "half an") {
        return (unit(cursor, at + 2) == Some("h")).then(|| (at + 3, "30m".to_owned()));
    } else if ["a", "an"].contains(&cursor.word(at)) {
        (1, at + 1)
    } else {
        (count(cursor, at)?, at + 1)
    };
    let unit = unit(cursor, from)?;
    let bare = cursor.word(at).starts_with('a');
    let text = match unit {
        // "a day" is hardly ever a length of time.
        "d" | "w" if bare => return None,
        "s" | "m" | "h" | "d" => format!("{number}{unit}"),
        "w" => format!("{}d", number.checked_mul(7)?),
        _ => return None,
    };
    Some((from + 1, text))
}

/// The meaning of a duration that nothing near it explains.
pub fn no_subject() -> What {
    What::Unread(Some("Say what lasts so long: `ban for 10 minutes`.".to_owned()))
}
