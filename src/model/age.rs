//! How long something may go unused: `30d`, `12h`, `8w`.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A hundred years: what is longer is a slip.
const LONGEST_HOURS: i64 = 24 * 366 * 100;

/// A whole number of hours, days or weeks: `12h`, `30d`, `8w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9]+[hdw]$"))]
pub struct Age {
    hours: i64,
}

impl Age {
    /// As a difference of times.
    pub fn delta(self) -> TimeDelta {
        TimeDelta::hours(self.hours)
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is no age: write a number and h, d or w, such as 30d");
        let (at, _) = text.char_indices().next_back().ok_or_else(refused)?;
        let (number, unit) = text.split_at(at);
        let factor = match unit {
            "h" => 1,
            "d" => 24,
            "w" => 24 * 7,
            _ => return Err(refused()),
        };
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        let hours = number.parse::<i64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(refused)?;
        if hours > LONGEST_HOURS {
            return Err(format!("{text:?} is more than a hundred years"));
        }
        Ok(Self { hours })
    }
}

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Age> for String {
    fn from(age: Age) -> Self {
        age.to_string()
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hours {
            hours if hours % (24 * 7) == 0 => write!(f, "{}w", hours / (24 * 7)),
            hours if hours % 24 == 0 => write!(f, "{}d", hours / 24),
            hours => write!(f, "{hours}h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_written() {
        for (text, hours, back) in
            [("30d", 720, "30d"), ("12h", 12, "12h"), ("48h", 48, "2d"), ("2w", 336, "2w"), ("0d", 0, "0w")]
        {
            let age: Age = text.parse().unwrap();
            assert_eq!((age.delta(), age.to_string().as_str()), (TimeDelta::hours(hours), back), "{text}");
        }
        for bad in [
            "",
            "d",
            "30",
            "-1d",
            "+1d",
            "1.5d",
            "30 d",
            "30m",
            "30D",
            "9999999999w",
            "99999999999999999999h",
            "3ä",
        ] {
            assert!(bad.parse::<Age>().is_err(), "{bad:?}");
        }
    }
}
