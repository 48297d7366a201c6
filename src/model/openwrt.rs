//! OpenWrt's releases, targets and Image Builders: what they are called.
//!
//! Names from here go into paths, addresses and arguments of `make`, which expands what it is
//! given: each is checked when it is made, and what has a letter too many is never a value.

mod server;

pub use server::{FeedKey, Sum, Sums, Targets, Versions, feed_key};

use super::name::{BadName, checked_name};
use super::spec::Architecture;
use super::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

checked_name! {
    /// A target of OpenWrt: `x86`, `ramips`.
    Target, "OpenWrt target",
    "use 1 to 64 letters, digits, _ and -, starting with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
    is_word
}

checked_name! {
    /// A subtarget of OpenWrt: `64`, `mt7621`.
    Subtarget, "OpenWrt subtarget",
    "use 1 to 64 letters, digits, _ and -, starting with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
    is_word
}

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Target and subtarget, written `x86/64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    /// The target.
    pub target: Target,
    /// The subtarget.
    pub subtarget: Subtarget,
}

impl FromStr for Platform {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let Some((target, subtarget)) = text.split_once('/') else {
            return Err(BadName::new("OpenWrt target", text.to_owned(), "write TARGET/SUBTARGET, as x86/64"));
        };
        Ok(Self { target: target.parse()?, subtarget: subtarget.parse()? })
    }
}

impl TryFrom<String> for Platform {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.subtarget)
    }
}

impl Platform {
    /// What a virtual machine has to be that starts firmware of the target, where there is one: targets
    /// whose kernels know QEMU's machines and whose images are whole disks.
    pub fn machine(&self) -> Option<Architecture> {
        match self.to_string().as_str() {
            "x86/64" => Some(Architecture::X86_64),
            "armsr/armv8" => Some(Architecture::Aarch64),
            _ => None,
        }
    }

    /// Why no virtual machine of this host starts firmware of the target; nothing where one can.
    pub fn not_bootable(&self) -> Option<String> {
        let none = self.machine().is_none();
        none.then(|| format!("cannot be booted here: there is no virtual machine for {self}"))
    }
}

/// A release as people ask for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Release {
    /// This one: `24.10.5`, `25.12.0-rc2`.
    Exact(String),
    /// The latest of a branch: `25.12`.
    Branch(String),
    /// Today's build of the main branch: `snapshot`.
    Snapshot,
    /// Today's build of a release branch: `24.10-SNAPSHOT`; the branch.
    BranchSnapshot(String),
}

impl Release {
    /// What a release looks like, as a regular expression (for JSON Schema).
    pub const PATTERN: &'static str = "^([0-9]{1,4}\\.[0-9]{1,4}(\\.[0-9]{1,4}(-rc[0-9]{1,4})?)?|[Ss][Nn][Aa][Pp][Ss][Hh][Oo][Tt]|[0-9]{1,4}\\.[0-9]{1,4}-SNAPSHOT)$";
}

impl JsonSchema for Release {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Release".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A release of OpenWrt, the latest of a branch, or a snapshot.",
            "pattern": Self::PATTERN,
        })
    }
}

/// What a branch snapshot's name ends with.
const SNAPSHOT: &str = "-SNAPSHOT";

impl FromStr for Release {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.eq_ignore_ascii_case("snapshot") {
            return Ok(Self::Snapshot);
        }
        if let Some(branch) = text.strip_suffix(SNAPSHOT)
            && numbers(branch).is_some_and(|n| n.len() == 2)
        {
            return Ok(Self::BranchSnapshot(branch.to_owned()));
        }
        let (base, candidate) = match text.split_once("-rc") {
            Some((base, candidate)) => (base, Some(candidate)),
            None => (text, None),
        };
        let candidate_fits = candidate.is_none_or(|c| numbers(c).is_some_and(|n| n.len() == 1));
        match numbers(base).map(|n| n.len()) {
            Some(2) if candidate.is_none() => Ok(Self::Branch(text.to_owned())),
            Some(3) if candidate_fits => Ok(Self::Exact(text.to_owned())),
            _ => Err(BadName::new(
                "OpenWrt release",
                text.to_owned(),
                "write it as 24.10.5, 25.12 (the latest of the branch), snapshot or 24.10-SNAPSHOT",
            )),
        }
    }
}

/// Numbers of up to four digits with dots between.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let number = |part: &str| {
        let fits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if fits { part.parse().ok() } else { None }
    };
    text.split('.').map(number).collect()
}

impl TryFrom<String> for Release {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Release> for String {
    fn from(release: Release) -> Self {
        release.to_string()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Branch(text) => f.write_str(text),
            Self::Snapshot => f.write_str("snapshot"),
            Self::BranchSnapshot(branch) => write!(f, "{branch}{SNAPSHOT}"),
        }
    }
}

impl Release {
    /// Whether it is of `branch` (`25.12`), as a release and no snapshot.
    pub fn is_of(&self, branch: &str) -> bool {
        let Self::Exact(text) = self else { return false };
        text.strip_prefix(branch).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Its folder on a server.
    pub fn folder(&self) -> String {
        match self {
            Self::Snapshot => "snapshots".to_owned(),
            release => format!("releases/{release}"),
        }
    }

    /// The branch that it is of: `24.10`; `SNAPSHOT` for the main one.
    pub fn branch(&self) -> String {
        match self {
            Self::Snapshot => super::name_changes::MAIN.to_owned(),
            Self::Branch(branch) | Self::BranchSnapshot(branch) => branch.clone(),
            Self::Exact(text) => text.split('.').take(2).collect::<Vec<_>>().join("."),
        }
    }

    /// Whether `exact` may be what somebody gets who asks for this.
    pub fn allows(&self, exact: &Self) -> bool {
        match self {
            Self::Branch(branch) => exact.is_of(branch),
            other => other == exact,
        }
    }

    /// Whether its packages are apk's: from 25.12 on, and of today's snapshot.
    pub fn has_apk(&self) -> bool {
        match self {
            Self::Snapshot => true,
            Self::Exact(text) | Self::Branch(text) | Self::BranchSnapshot(text) => {
                let text = text.split_once("-rc").map_or(text.as_str(), |(base, _)| base);
                numbers(text).is_some_and(|numbers| numbers.as_slice() >= [25, 12].as_slice())
            }
        }
    }

    /// What exact releases are ordered by: a candidate comes before its release.
    pub(super) fn age(&self) -> Option<(Vec<u32>, u32)> {
        let Self::Exact(text) = self else { return None };
        let (base, candidate) = text.split_once("-rc").unwrap_or((text, ""));
        Some((numbers(base)?, candidate.parse().unwrap_or(u32::MAX)))
    }

    /// The newest of `releases` that is of `branch`; a candidate only where there is nothing else.
    pub fn latest<'a>(releases: impl IntoIterator<Item = &'a Self>, branch: &str) -> Option<&'a Self> {
        let of_branch = releases.into_iter().filter(|release| release.is_of(branch));
        of_branch.max_by_key(|release| {
            let age = release.age();
            (age.as_ref().is_some_and(|(_, candidate)| *candidate == u32::MAX), age)
        })
    }
}

/// What an Image Builder is of. Its release is one that a server has a folder of: never the
/// name of a branch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "BuilderIdWire")]
pub struct BuilderId {
    release: Release,
    platform: Platform,
}

#[derive(Deserialize)]
struct BuilderIdWire {
    release: Release,
    platform: Platform,
}

impl TryFrom<BuilderIdWire> for BuilderId {
    type Error = Failure;

    fn try_from(wire: BuilderIdWire) -> Result<Self> {
        Self::new(wire.release, wire.platform)
    }
}

impl fmt::Display for BuilderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.release, self.platform)
    }
}

impl BuilderId {
    /// The identity of the Image Builder of a release for a platform.
    ///
    /// # Errors
    /// Class *spec* for a branch: which of its releases is meant is a server's word.
    pub fn new(release: Release, platform: Platform) -> Result<Self> {
        match release {
            Release::Branch(branch) => {
                Err(Failure::spec(format!("{branch} is a branch of OpenWrt and no release"))
                    .hint(format!("Write one of its releases, as {branch}.0.")))
            }
            release => Ok(Self { release, platform }),
        }
    }

    /// The release.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Target and subtarget.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The folder of the release on a server.
    pub fn release_folder(&self) -> String {
        self.release.folder()
    }

    /// The folder of its files on a server.
    pub fn folder(&self) -> String {
        format!("{}/targets/{}", self.release_folder(), self.platform)
    }

    /// What the name of its archive ends with, without the compression. The name is all that
    /// ties a signed list to a release and a target: a mirror may hand out another's list.
    fn archive_end(&self) -> String {
        let Platform { target, subtarget } = &self.platform;
        let version = match &self.release {
            Release::Snapshot => String::new(),
            release => format!("{release}-"),
        };
        format!("-imagebuilder-{version}{target}-{subtarget}.Linux-x86_64.tar").to_ascii_lowercase()
    }

    /// Its archive in the list of a server's files.
    ///
    /// # Errors
    /// Class *upstream* if there is none or more than one; it then says what the list is of.
    pub fn archive<'l>(&self, list: &'l Sums) -> Result<&'l Sum> {
        let end = self.archive_end();
        let fits = |sum: &&Sum| {
            let name = sum.name.to_ascii_lowercase();
            let stem =
                Compression::of(&name).map(|compression| &name[..name.len() - compression.end().len()]);
            // Before it stands the distribution's own name, without a hyphen.
            stem.and_then(|stem| stem.strip_suffix(&end)).is_some_and(|distribution| {
                !distribution.is_empty() && distribution.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        };
        let mut found = list.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(archive), None) => Ok(archive),
            (Some(one), Some(other)) => Err(Failure::upstream(format!(
                "sha256sums has two Image Builders of {self}: {} and {}",
                one.name, other.name
            ))),
            (None, _) => {
                let others = list.iter().filter(|sum| sum.name.contains("-imagebuilder-"));
                let names: Vec<&str> = others.map(|sum| sum.name.as_str()).collect();
                let message = format!("sha256sums has no Image Builder of {self}");
                Err(match names.is_empty() {
                    true => Failure::upstream(message),
                    false => Failure::untrusted(format!("{message}, but {}", names.join(", "))),
                })
            }
        }
    }
}

/// What is known of an Image Builder in the cache: where it came from and who vouched for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuilderRecord {
    /// What it is of.
    #[serde(flatten)]
    pub id: BuilderId,
    /// The name of its archive.
    pub archive: String,
    /// The digest of its archive.
    pub sha256: Digest,
    /// The address that listed it.
    pub url: String,
    /// The keys that signed the list: `openpgp:<fingerprint>`, `usign:<id>`. Nobody where the
    /// settings take what is unsigned.
    pub signed_by: Vec<String>,
    /// When it was unpacked.
    pub unpacked: DateTime<Utc>,
}

/// How an Image Builder is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Up to 23.05.
    Xz,
    /// From 24.10 on.
    Zstd,
}

impl Compression {
    /// How an archive of this name is compressed, if it can be one.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Xz, Self::Zstd].into_iter().find(|compression| {
            name.strip_suffix(compression.end()).is_some_and(|stem| stem.ends_with(".tar"))
        })
    }

    fn end(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(release: &str, platform: &str) -> BuilderId {
        BuilderId::new(release.parse().unwrap(), platform.parse().unwrap()).unwrap()
    }

    fn sums(names: &[&str]) -> Sums {
        let lines: Vec<String> =
            names.iter().map(|name| format!("{} *{name}\n", Digest::of(name).hex())).collect();
        Sums::parse(&lines.concat()).unwrap()
    }

    #[test]
    fn releases_are_told_apart() {
        assert_eq!("24.10.5".parse(), Ok(Release::Exact("24.10.5".into())));
        assert_eq!("25.12.0-rc2".parse(), Ok(Release::Exact("25.12.0-rc2".into())));
        assert_eq!("25.12".parse(), Ok(Release::Branch("25.12".into())));
        assert_eq!("SNAPSHOT".parse(), Ok(Release::Snapshot));
        assert_eq!("24.10-SNAPSHOT".parse(), Ok(Release::BranchSnapshot("24.10".into())));
        for text in ["24.10.5", "25.12.0-rc2", "25.12", "snapshot", "24.10-SNAPSHOT"] {
            assert_eq!(text.parse::<Release>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in [
            "",
            "24",
            "24.10.5.1",
            "24.10.",
            ".10.5",
            "24..5",
            "24.10.5-rc",
            "24.10.5-rc1.2",
            "24.10-rc1",
            "../24.10.5",
            "24.10.5/..",
            "24.10.5\n",
            " 24.10.5",
            "$(id)",
            "24.10.5;id",
            "-24.10.5",
            "24.+1.5",
            "99999.1.1",
            "24.10.5-SNAPSHOT",
            "24.10-snapshot",
            "२४.१०.५",
        ] {
            assert!(bad.parse::<Release>().is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "x86",
            "/64",
            "x86/",
            "x86/64/generic",
            "../64",
            "x86/..",
            "-x86/64",
            "x86/-64",
            "_x/y",
            "x86/$(id)",
            "x86/64\n",
            "x86/6 4",
            "x86/6;4",
            "x86/6'4",
            "x86/ä",
            "x86/6.4",
            &format!("x86/{}", "a".repeat(65)),
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
        assert!(BuilderId::new("25.12".parse().unwrap(), "x86/64".parse().unwrap()).is_err());
        assert!(serde_json::from_str::<BuilderId>(r#"{"release":"25.12","platform":"x86/64"}"#).is_err());
        assert!(serde_json::from_str::<BuilderId>(r#"{"release":"24.10.5","platform":"../x"}"#).is_err());
    }

    #[test]
    fn the_archive_is_found_by_release_and_target() {
        let new = "openwrt-imagebuilder-24.10.5-x86-64.Linux-x86_64.tar.zst";
        let old = "openwrt-imagebuilder-23.05.5-x86-64.Linux-x86_64.tar.xz";
        let list = sums(&["config.buildinfo", "packages/a_1.ipk", new]);
        assert_eq!(id("24.10.5", "x86/64").archive(&list).unwrap().name, new);
        assert_eq!(id("23.05.5", "x86/64").archive(&sums(&[old])).unwrap().name, old);
        let snapshot = "openwrt-imagebuilder-x86-64.Linux-x86_64.tar.zst";
        assert_eq!(id("snapshot", "x86/64").archive(&sums(&[snapshot])).unwrap().name, snapshot);
        let branch = "openwrt-imagebuilder-24.10-SNAPSHOT-x86-64.Linux-x86_64.tar.zst";
        assert_eq!(id("24.10-SNAPSHOT", "x86/64").archive(&sums(&[branch])).unwrap().name, branch);
        // A signed list of another release or target is a good list of something else.
        for other in ["24.10.4", "snapshot", "24.10-SNAPSHOT"] {
            let failure = id(other, "x86/64").archive(&list).unwrap_err();
            assert!(failure.message.contains(new), "{failure}");
        }
        assert!(id("24.10.5", "x86/generic").archive(&list).is_err());
        assert!(id("snapshot", "10/5-x86-64").archive(&list).is_err());
        assert!(id("24.10.5", "x86/64").archive(&sums(&["a.bin"])).is_err());
        let both = sums(&[new, &new.replace(".zst", ".xz")]);
        assert!(id("24.10.5", "x86/64").archive(&both).unwrap_err().message.contains("two"));
    }
}
