//! The texts of a Debian repository: `Release` and `Packages` (Debian wiki, "DebianRepository/
//! Format"). They are signed, or listed with their digest in what is signed; apt has checked
//! that before they are read here.

use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The head of a `Release` or `InRelease` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Field `Suite`.
    pub suite: Option<String>,
    /// Field `Codename`.
    pub codename: Option<String>,
    /// Field `Date`.
    pub date: Option<DateTime<Utc>>,
}

impl Release {
    /// Reads the text, with or without an OpenPGP signature around it.
    pub fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        Self {
            suite: field("Suite:"),
            codename: field("Codename:"),
            date: field("Date:").and_then(|date| parse_date(&date)),
        }
    }

    /// Refuses the index of one suite in the place of another one, which apt only warns of.
    ///
    /// # Errors
    /// *Untrusted* if neither suite nor codename is the one that was asked for.
    pub fn check_suite(&self, asked: &str) -> Result<()> {
        // `bookworm/updates` was the name of bookworm's security suite once.
        let short = asked.split('/').next().unwrap_or_default();
        if [&self.suite, &self.codename].into_iter().flatten().any(|name| name == asked || name == short) {
            return Ok(());
        }
        Err(Failure::untrusted(format!(
            "the index that the mirror shows as {asked} is of another suite: {} ({})",
            self.codename.as_deref().unwrap_or("no codename"),
            self.suite.as_deref().unwrap_or("no suite")
        ))
        .hint("Check `urls:` and `suites:` of the mirror in bootwright.yaml; tell who runs the mirror."))
    }
}

/// `Sat, 11 Jul 2026 10:16:37 UTC` (Debian repository format, field `Date`).
fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim().replace("UTC", "+0000").replace("GMT", "+0000");
    DateTime::parse_from_rfc2822(&text).ok().map(|d| d.to_utc())
}

/// A package as apt chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
}

/// One entry of a `Packages` file.
#[derive(Clone, Debug)]
pub struct Stanza {
    /// The suite whose index it stands in.
    pub suite: String,
    /// Its text.
    pub text: String,
}

impl Stanza {
    /// The value of a field in one line.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
    }
}

/// All entries of all indexes, found by name; kept as the text they are, since of tens of
/// thousands only some hundred are looked at.
#[derive(Debug)]
pub struct Stanzas {
    files: Vec<(String, String)>,
    by_name: HashMap<String, Vec<(usize, usize, usize)>>,
}

impl Stanzas {
    /// Reads the indexes that apt has kept in its folder of lists.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(lists: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut names: Vec<PathBuf> = std::fs::read_dir(lists)
            .during(|| format!("reading {}", lists.display()))?
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| p.to_string_lossy().ends_with("_Packages"))
            .collect();
        names.sort();
        for path in names {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let suite = file
                .rsplit_once("_dists_")
                .and_then(|(_, rest)| rest.split('_').next())
                .unwrap_or_default()
                .to_owned();
            let text = std::fs::read_to_string(&path).during(|| format!("reading {}", path.display()))?;
            files.push((suite, text));
        }
        Ok(Self::of(files))
    }

    /// The entries of some texts, each with its suite.
    pub fn of(files: Vec<(String, String)>) -> Self {
        let mut by_name: HashMap<String, Vec<(usize, usize, usize)>> = HashMap::new();
        for (file, (_, text)) in files.iter().enumerate() {
            let mut start = 0;
            for stanza in text.split_inclusive("\n\n") {
                let end = start + stanza.len();
                if let Some(name) = stanza.strip_prefix("Package: ").and_then(|s| s.lines().next()) {
                    by_name.entry(name.to_owned()).or_default().push((file, start, end));
                }
                start = end;
            }
        }
        Self { files, by_name }
    }

    /// The entry of a package.
    ///
    /// # Errors
    /// Class *upstream* if no index lists it.
    pub fn get(&self, package: &Chosen) -> Result<Stanza> {
        self.by_name
            .get(&package.name)
            .into_iter()
            .flatten()
            .map(|&(file, start, end)| {
                let (suite, text) = &self.files[file];
                Stanza { suite: suite.clone(), text: text[start..end].trim_end().to_owned() }
            })
            .find(|s| {
                s.field("Version") == Some(&package.version)
                    && s.field("Architecture") == Some(&package.architecture)
            })
            .ok_or_else(|| {
                Failure::upstream(format!(
                    "{} {} ({}) is chosen by apt and listed in no index",
                    package.name, package.version, package.architecture
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_indexes() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: oldstable-updates\n\
                    Codename: bookworm-updates\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n";
        let release = Release::parse(text);
        assert_eq!(release.date.unwrap().to_rfc3339(), "2026-07-11T10:16:37+00:00");
        assert!(
            release.check_suite("bookworm-updates").is_ok()
                && release.check_suite("oldstable-updates").is_ok()
        );
        for other in ["bookworm", "oldstable", "bookworm-security", ""] {
            assert!(release.check_suite(other).is_err(), "{other:?}");
        }
        let old = Release::parse("Suite: stable\nCodename: buster\n");
        assert!(old.check_suite("buster/updates").is_ok() && old.date.is_none());
        assert!(Release::parse("Suite:\nCodename: \n").check_suite("").is_err());
    }
}
