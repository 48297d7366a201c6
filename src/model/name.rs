//! Names that end up in paths, URLs and commands; each is checked once, when it is made.

use super::Digest;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name was refused; the message says which letters are allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {rule}")]
pub struct BadName {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl BadName {
    /// A refusal of `text`, which is no `what`.
    pub(super) fn new(what: &'static str, text: String, rule: &'static str) -> Self {
        Self { what, text, rule }
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(#[schemars(regex(pattern = $pattern))] String);

        impl $name {
            /// What the name looks like, as a regular expression (for JSON Schema).
            pub const PATTERN: &'static str = $pattern;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadName::new($what, text, $rule))
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

pub(super) use checked_name;

fn is_label(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

checked_name! {
    /// The name of an image: a DNS label (RFC 1123), so that it is also a folder,
    /// a URL segment and an OCI repository name.
    ImageName, "image name",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |t| is_label(t, 63)
}

checked_name! {
    /// A channel: `edge`, `stable`, …
    ChannelName, "channel name",
    "use 1 to 32 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
    |t| is_label(t, 32)
}

checked_name! {
    /// A policy or one of its rules.
    RuleName, "rule name",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |t| is_label(t, 63)
}

checked_name! {
    /// What people call a profile: `edge-iot`.
    ProfileName, "profile name",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |t| is_label(t, 63)
}

checked_name! {
    /// What people call a signing key: `2027`, `release-a`.
    KeyName, "key name",
    "use 1 to 32 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
    |t| is_label(t, 32)
}

checked_name! {
    /// A host name: one DNS label.
    HostName, "host name",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |t| is_label(t, 63)
}

checked_name! {
    /// A Unix login or group name as Debian's `adduser` accepts it.
    UserName, "user name",
    "start with a lower-case letter or _, go on with lower-case letters, digits, _ or -, 32 characters at most",
    "^[a-z_][a-z0-9_-]{0,31}$",
    |t| {
        !t.is_empty()
            && t.len() <= 32
            && t.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
            && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    }
}

checked_name! {
    /// A package by a distribution's own name (Debian Policy 5.6.1, widened to what
    /// the other seven distributions use).
    PackageName, "package name",
    "use letters, digits and . + _ - @ /, starting with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9.+_@/-]{0,127}$",
    |t| {
        !t.is_empty()
            && t.len() <= 128
            && t.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b".+_@/-".contains(&b))
            && !t.contains("..")
    }
}

checked_name! {
    /// A systemd unit, with its suffix (`nginx.service`); a bare name means `.service`.
    UnitName, "unit name",
    "use letters, digits and : _ . @ \\ -, 255 characters at most",
    "^[A-Za-z0-9:_.@\\\\-]{1,255}$",
    |t| {
        !t.is_empty()
            && t.len() <= 255
            && !t.starts_with('-')
            && !t.starts_with('.')
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.@\\-".contains(&b))
    }
}

impl UnitName {
    /// The name with a unit suffix: `nginx` becomes `nginx.service`.
    pub fn full(&self) -> String {
        let known = [".service", ".socket", ".timer", ".target", ".mount", ".path", ".slice"];
        if known.iter().any(|s| self.0.ends_with(s)) { self.0.clone() } else { format!("{}.service", self.0) }
    }
}

checked_name! {
    /// A distribution's suite or codename: `bookworm`.
    SuiteName, "suite name",
    "use lower-case letters, digits, dots and inner hyphens",
    "^[a-z0-9][a-z0-9.-]{0,63}$",
    |t| {
        !t.is_empty()
            && t.len() <= 64
            && t.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
            && !t.contains("..")
    }
}

checked_name! {
    /// The version of a release: `YYYYMMDD-` and the first eight digits of the recipe digest.
    Version, "release version",
    "use YYYYMMDD-xxxxxxxx, the date of the commit and 8 hexadecimal digits of the recipe digest",
    "^[0-9]{8}-[0-9a-f]{8}$",
    |t| {
        t.len() == 17
            && t.as_bytes()[8] == b'-'
            && t.bytes().take(8).all(|b| b.is_ascii_digit())
            && t.bytes().skip(9).all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }
}

impl From<&super::device::DeviceName> for ImageName {
    /// Images and devices share one space of names; what may be a name is the same for both.
    fn from(device: &super::device::DeviceName) -> Self {
        Self(device.to_string())
    }
}

impl Version {
    /// The version of the release that `recipe` makes when it is first asked for by a commit of `date`.
    pub fn of(date: DateTime<Utc>, recipe: &Digest) -> Self {
        Self(format!("{}-{}", date.format("%Y%m%d"), recipe.short()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", "../x", "a/b", "A", "-a", "a-", "a b", "a\n", "ä"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
        for bad in ["", "-x", "a;b", "a$(x)", "a b", "a/../b"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad:?}");
        }
        assert!("2026-1".parse::<Version>().is_err());
    }

    #[test]
    fn devices_are_named_as_images() {
        use crate::model::device::DeviceName;
        assert_eq!(DeviceName::PATTERN, ImageName::PATTERN);
        let device: DeviceName = "office-router".parse().unwrap();
        assert_eq!(ImageName::from(&device).as_str(), "office-router");
    }

    #[test]
    fn version_carries_date_and_digest() {
        let date = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let version = Version::of(date, &Digest::of("abc"));
        assert_eq!(version.as_str(), "20231114-ba7816bf");
        assert_eq!(version.as_str().parse::<Version>().unwrap(), version);
    }
}
