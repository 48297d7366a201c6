//! What OpenWrt's servers say of their files: lists of sums, of releases and of targets, and keys.
//!
//! Formats: the metadata that downloads.openwrt.org serves beside its files.

use super::{Platform, Release};
use crate::model::{Digest, Failure, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One line of `sha256sums`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The file, below the folder of the list.
    pub name: String,
    /// What it must be.
    pub sha256: Digest,
}

/// `sha256sums`: `<64 hexadecimal digits> *<name>`, one file a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(Vec<Sum>);

impl Sums {
    /// Reads the list.
    ///
    /// # Errors
    /// Class *upstream* if a line is of another form: what is a page of HTML is no list.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |number: usize| {
            let html = text.trim_start().starts_with('<');
            let what = if html { ": it is a web page" } else { "" };
            Failure::upstream(format!("sha256sums, line {}, is no digest and file name{what}", number + 1))
        };
        let mut sums: Vec<Sum> = Vec::new();
        let mut seen: BTreeMap<&str, Digest> = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let (digest, name) = line.split_at_checked(64).ok_or_else(|| bad(number))?;
            let name = name.strip_prefix(" *").or_else(|| name.strip_prefix("  "));
            let name = name.filter(|name| is_file_path(name)).ok_or_else(|| bad(number))?;
            let sha256 = digest.parse().map_err(|_| bad(number))?;
            match seen.insert(name, sha256) {
                Some(other) if other != sha256 => {
                    return Err(Failure::upstream(format!("sha256sums has two digests of {name}")));
                }
                Some(_) => continue,
                None => {}
            }
            sums.push(Sum { name: name.to_owned(), sha256 });
        }
        if sums.is_empty() {
            return Err(Failure::upstream("sha256sums is empty"));
        }
        Ok(Self(sums))
    }

    /// The line of a file.
    pub fn of(&self, name: &str) -> Option<&Sum> {
        self.0.iter().find(|sum| sum.name == name)
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = &Sum> {
        self.0.iter()
    }
}

/// Whether a name from a list may be asked for: a plain path that stays below its folder.
fn is_file_path(name: &str) -> bool {
    name.len() <= 512
        && name.split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~@,=-".contains(&b))
        })
}

/// The public key of a package repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedKey {
    /// Of usign or signify: what opkg takes, under the name of its id.
    Usign {
        /// The id, 16 hexadecimal digits.
        id: String,
    },
    /// In PEM: what apk takes.
    Pem,
}

/// Tells what kind of public key a file is; nothing if it is none.
pub fn feed_key(bytes: &[u8]) -> Option<FeedKey> {
    use base64::Engine;
    let text = std::str::from_utf8(bytes).ok()?;
    if text.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
        return text.trim_end().ends_with("-----END PUBLIC KEY-----").then_some(FeedKey::Pem);
    }
    let (comment, rest) = text.split_once('\n')?;
    let fields = base64::engine::general_purpose::STANDARD.decode(rest.trim_end()).ok()?;
    let fits = comment.starts_with("untrusted comment:") && fields.len() == 42 && fields.starts_with(b"Ed");
    fits.then(|| FeedKey::Usign { id: hex::encode(&fields[2..10]) })
}

/// `.versions.json`, which lies beside `releases/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Versions {
    /// All releases.
    #[serde(default)]
    versions_list: Vec<String>,
    #[serde(default)]
    stable_version: Option<String>,
    #[serde(default)]
    oldstable_version: Option<String>,
    #[serde(default)]
    upcoming_version: Option<String>,
}

impl Versions {
    /// Reads the file.
    ///
    /// # Errors
    /// Class *upstream* if it is of another form.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|e| Failure::upstream(format!(".versions.json cannot be read: {e}")))
    }

    /// The releases that are recommended: the candidate for the next one, the stable one, and the one
    /// before it, as far as they are named.
    pub fn recommended(&self) -> impl Iterator<Item = Release> {
        let named = [&self.upcoming_version, &self.stable_version, &self.oldstable_version];
        named.into_iter().flatten().filter_map(|text| text.parse().ok())
    }

    /// All releases with a number.
    pub fn releases(&self) -> impl Iterator<Item = Release> {
        let named = self.upcoming_version.iter().chain(&self.versions_list);
        let releases = named.filter_map(|text| text.parse().ok());
        releases.filter(|release| matches!(release, Release::Exact(_)))
    }

    /// The newest release of a branch, if there is one.
    pub fn latest(&self, branch: &str) -> Option<Release> {
        // What we have no name for we never ask for.
        let releases: Vec<Release> = self.versions_list.iter().filter_map(|text| text.parse().ok()).collect();
        Release::latest(&releases, branch).cloned()
    }
}

/// `.targets.json` of a release: its targets with their packages' architectures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets(BTreeMap<String, String>);

impl Targets {
    /// Reads the file.
    ///
    /// # Errors
    /// Class *upstream* if it is of another form.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let map: BTreeMap<String, serde_json::Value> = serde_json::from_slice(bytes)
            .map_err(|e| Failure::upstream(format!(".targets.json cannot be read: {e}")))?;
        let named = |text: &String| text.parse::<Platform>().is_ok();
        let architecture = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let targets = map.into_iter().filter(|(name, _)| named(name));
        Ok(Self(targets.map(|(name, value)| (name, architecture(value))).collect()))
    }

    /// The architectures of packages by `TARGET/SUBTARGET`.
    pub fn architectures(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The names that are nearest to one that is not there, three at most.
    pub fn nearest(&self, wanted: &Platform) -> Vec<String> {
        let wanted = wanted.to_string();
        let mut names: Vec<(usize, String)> =
            self.0.keys().cloned().map(|name| (strsim::damerau_levenshtein(&wanted, &name), name)).collect();
        names.sort();
        names.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_a_branch_is_no_candidate_and_counts_by_number() {
        let list = r#"{"stable_version":"25.12.5","versions_list":
            ["24.10.9","24.10.10","25.12.1","25.12.10","25.12.9","25.12.11-rc1","26.05.0-rc1","26.05.0-rc2","odd"]}"#;
        let versions = Versions::parse(list.as_bytes()).unwrap();
        let latest = |branch| versions.latest(branch).map(|r| r.to_string());
        assert_eq!(latest("24.10").as_deref(), Some("24.10.10"));
        assert_eq!(latest("25.12").as_deref(), Some("25.12.10"));
        assert_eq!(latest("26.05").as_deref(), Some("26.05.0-rc2"));
        assert_eq!(latest("25.1"), None);
        assert!(Versions::parse(b"<html>").is_err());
    }

    #[test]
    fn lists_of_another_form_are_refused() {
        let digest = "a".repeat(64);
        for bad in [
            String::new(),
            "<html><body>404</body></html>\n".to_owned(),
            format!("{digest} *../x\n"),
            format!("{digest} */etc/passwd\n"),
            format!("{digest} *a b\n"),
            format!("{digest} *$(id)\n"),
            format!("{digest}*a\n"),
            format!("{} *a\n", "g".repeat(64)),
            format!("{} *a\n", "a".repeat(63)),
            format!("{digest} *a\n{} *a\n", "b".repeat(64)),
        ] {
            assert!(Sums::parse(&bad).is_err(), "{bad:?}");
        }
        assert!(Sums::parse("<!DOCTYPE html>").unwrap_err().message.contains("web page"));
        assert!(Sums::parse(&format!("{}ä *a\n", "a".repeat(63))).is_err());
    }

    #[test]
    fn near_targets_are_named() {
        let targets = Targets::parse(br#"{"x86/64":"x86_64","ath79/generic":"mips","x86/generic":"i386"}"#);
        let near = targets.unwrap().nearest(&"x86/65".parse().unwrap());
        assert_eq!(near[0], "x86/64");
        assert!(Targets::parse(b"[]").is_err());
    }
}
