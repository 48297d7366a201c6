//! The signing keys of a catalog, as its settings list them.
//!
//! What a newcomer would get wrong: a key that ended is not a key that leaked. What an ended
//! key signed was trusted once and is signed again; the entry of a key that leaked is taken
//! out, and what it signed counts as signed by a stranger.

use super::name::KeyName;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// One signing key: who it is, and in which time its signatures count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningKey {
    /// What people call it.
    pub name: KeyName,
    /// The public key: its PEM, or the path of its file.
    pub public: String,
    /// The private key: an ECDSA P-256 key in cosign's form, by its path on this host. A host
    /// that does not have the file signs without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<String>,
    /// From when on it signs and counts; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Moment>,
    /// When it is retired: from then on it neither signs nor counts. Never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// Whether a public key is written out, rather than named by its path.
pub fn is_pem(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN ")
}

/// A date (its first moment, UTC) or a moment: `2027-01-01`, `2027-01-01T12:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(DateTime<Utc>);

impl Moment {
    /// What it looks like, as a regular expression (for JSON Schema).
    pub const PATTERN: &'static str =
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?$";

    /// The moment.
    pub fn at(self) -> DateTime<Utc> {
        self.0
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

/// A text is neither a date nor a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date: write it as 2027-01-01 or 2027-01-01T12:00:00Z")]
pub struct BadMoment(String);

impl std::str::FromStr for Moment {
    type Err = BadMoment;
    fn from_str(text: &str) -> Result<Self, BadMoment> {
        let bad = || BadMoment(text.to_owned());
        let digit = |(at, b): (usize, u8)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
        if text.len() == 10 && text.bytes().enumerate().all(digit) {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| bad())?;
            return Ok(Self(date.and_time(chrono::NaiveTime::MIN).and_utc()));
        }
        // RFC 3339 also knows a small t, a space and fractions: one form is enough.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b"-:+TZ".contains(&b));
        let moment = DateTime::parse_from_rfc3339(text).ok().filter(|_| plain).ok_or_else(bad)?;
        Ok(Self(moment.with_timezone(&Utc)))
    }
}

impl TryFrom<String> for Moment {
    type Error = BadMoment;
    fn try_from(text: String) -> Result<Self, BadMoment> {
        text.parse()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.time() == chrono::NaiveTime::MIN {
            write!(f, "{}", self.0.format("%Y-%m-%d"))
        } else {
            f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A date (its first moment, UTC) or a moment.",
            "type": "string",
            "pattern": Self::PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_moments() {
        for (text, shown) in [
            ("2027-01-01", "2027-01-01"),
            ("2027-01-01T00:00:00Z", "2027-01-01"),
            ("2027-01-01T12:30:00Z", "2027-01-01T12:30:00Z"),
            ("2027-01-01T01:00:00+02:00", "2026-12-31T23:00:00Z"),
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "2027",
            "2027-13-01",
            "2027-02-30",
            "01.01.2027",
            "2027-01-01T12:00",
            "2027-01-01 12:00:00Z",
            "2027-01-01t12:00:00z",
            "2027-01-01T12:00:00.5Z",
            "tomorrow",
            "2027-1-1",
            "ää027-01-0",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad:?}");
        }
    }
}
