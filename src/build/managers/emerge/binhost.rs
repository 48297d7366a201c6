//! The index of a binary package host: `Packages`, stanzas of `KEY: value` lines, the first of
//! which is about the host itself (man emerge, "BINARY PACKAGE HOST"; portage's
//! `getbinpkg.PackageIndex`).

use crate::build::managers::outside::below_mirror;
use crate::model::lock::LockedPackage;
use crate::model::spec::Architecture;
use crate::model::{Digest, Failure, Result};
use std::collections::BTreeMap;

/// What the resolver is told of a package, as it is written. What was needed to build it, or
/// must run on the host that installs it, is nobody's business here.
const TOLD: [&str; 18] = [
    "BUILD_ID",
    "BUILD_TIME",
    "CPV",
    "DEFINED_PHASES",
    "EAPI",
    "IUSE",
    "KEYWORDS",
    "LICENSE",
    "PATH",
    "PDEPEND",
    "PROVIDES",
    "RDEPEND",
    "REPO",
    "REQUIRES",
    "SHA1",
    "SIZE",
    "SLOT",
    "USE",
];

/// What the database of a root has of an installed package, for the resolver.
const INSTALLED: [&str; 9] =
    ["BUILD_ID", "BUILD_TIME", "EAPI", "IUSE", "KEYWORDS", "PDEPEND", "RDEPEND", "SLOT", "USE"];

/// Gentoo's word for an architecture.
pub(super) fn keyword(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Aarch64 => "arm64",
    }
}

/// A stanza.
type Fields = BTreeMap<String, String>;

/// A parsed index.
pub(super) struct Index {
    /// When it was written, in seconds since 1970.
    pub timestamp: i64,
    /// The packages.
    pub packages: Vec<Package>,
}

/// A binary package.
#[derive(Clone, Debug)]
pub(super) struct Package {
    /// `category/name`.
    pub name: String,
    /// Version with revision: `1.35-r2`.
    version: String,
    /// Which build of that version, where the host counts them.
    build: Option<String>,
    fields: Fields,
}

/// Reads an index.
///
/// # Errors
/// Class *upstream* if it is none.
pub(super) fn parse(text: &str) -> Result<Index> {
    let mut stanzas = text.split("\n\n").map(stanza).filter(|fields| !fields.is_empty());
    let no_index = || Failure::upstream("what the mirror calls Packages is no index of binary packages");
    let head = stanzas.next().ok_or_else(no_index)?;
    let timestamp = head.get("TIMESTAMP").and_then(|t| t.parse().ok()).ok_or_else(no_index)?;
    // A name that is no package's is nobody's to ask for.
    let packages = stanzas.filter_map(Package::new).collect();
    Ok(Index { timestamp, packages })
}

fn stanza(text: &str) -> Fields {
    let pair = |line: &str| {
        let (key, value) = line.split_once(':')?;
        Some((key.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// `category/name` and version of `category/name-version` (Package Manager Specification, 3.1
/// and 3.2).
pub(super) fn split(cpv: &str) -> Option<(&str, &str)> {
    let (rest, revision) = cpv.rsplit_once('-')?;
    let is_revision = revision.strip_prefix('r').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    let end = if is_revision { rest } else { cpv };
    let (name, version) = end.rsplit_once('-')?;
    let fine = version.starts_with(|c: char| c.is_ascii_digit())
        && cpv.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_./-".contains(&b))
        && name.matches('/').count() == 1
        && !name.starts_with('/')
        && !name.ends_with('/');
    fine.then(|| (name, &cpv[name.len() + 1..]))
}

impl Package {
    fn new(fields: Fields) -> Option<Self> {
        let (name, version) = split(fields.get("CPV")?)?;
        let build = fields.get("BUILD_ID").filter(|b| b.bytes().all(|b| b.is_ascii_digit())).cloned();
        Some(Self { name: name.to_owned(), version: version.to_owned(), build, fields })
    }

    /// `category/name-version` and the build: how emerge shows it.
    pub(super) fn shown(&self) -> String {
        format!("{}-{}", self.name, full_version(&self.version, self.build.as_deref()))
    }

    /// What a lock calls its version.
    pub(super) fn full_version(&self) -> String {
        full_version(&self.version, self.build.as_deref())
    }

    /// `category/name-version`: its folder in the database.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// Its category.
    pub(super) fn category(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Where installed versions of it replace one another.
    pub(super) fn slot(&self) -> (&str, &str) {
        let slot = self.fields.get("SLOT").map_or("0", String::as_str);
        (&self.name, slot.split('/').next().unwrap_or(slot))
    }

    /// What the index says of its bytes.
    ///
    /// # Errors
    /// Class *upstream* if that is nothing.
    pub(super) fn bytes(&self) -> Result<(u64, String, String)> {
        let bad =
            |what: &str| Failure::upstream(format!("the index has no usable {what} for {}", self.shown()));
        let field = |name: &str| self.fields.get(name).cloned().ok_or_else(|| bad(name));
        let size = field("SIZE")?.parse().ok().filter(|size| *size > 0).ok_or_else(|| bad("SIZE"))?;
        let sha1 = field("SHA1")?;
        if sha1.len() != 40 {
            return Err(bad("SHA1"));
        }
        Ok((size, sha1, below_mirror(&field("PATH")?)?))
    }

    /// Its stanza for the resolver.
    pub(super) fn told(&self) -> String {
        let line = |key: &&str| Some(format!("{key}: {}\n", self.fields.get(*key)?));
        TOLD.iter().filter_map(line).collect()
    }

    /// Its files in the database of a root, as if it were installed.
    pub(super) fn as_installed(&self) -> Vec<(&'static str, String)> {
        let mut files: Vec<(&str, String)> = INSTALLED
            .iter()
            .filter_map(|key| Some((*key, format!("{}\n", self.fields.get(*key)?))))
            .collect();
        let repository = self.fields.get("REPO").map_or("gentoo", String::as_str);
        files.push(("repository", format!("{repository}\n")));
        if !self.fields.contains_key("SLOT") {
            files.push(("SLOT", "0\n".to_owned()));
        }
        files.push(("CONTENTS", String::new()));
        files.push(("COUNTER", "1".to_owned()));
        files
    }

    /// Its entry in a lock.
    pub(super) fn locked(
        &self,
        (folder, suite, layer): (&str, &str, &str),
        architecture: Architecture,
        sha256: Digest,
    ) -> Result<LockedPackage> {
        let (size, _, path) = self.bytes()?;
        Ok(LockedPackage {
            name: self
                .name
                .parse()
                .map_err(|e| Failure::untrusted(format!("the index has a bad name: {e}")))?,
            version: self.full_version(),
            architecture: keyword(architecture).to_owned(),
            sha256,
            size,
            path: format!("{folder}/{path}"),
            suite: suite.to_owned(),
            layer: layer.to_owned(),
            wave: 0,
        })
    }
}

/// `1.35-r2` of which it is the third build: `1.35-r2-3`.
pub(super) fn full_version(version: &str, build: Option<&str>) -> String {
    match build {
        Some(build) => format!("{version}-{build}"),
        None => version.to_owned(),
    }
}

/// `category/name` of a dependency (Package Manager Specification, 8.3): without operator,
/// version, slot, repository and switches; none for what is to be absent, and for words of the
/// syntax.
pub(super) fn name_of(atom: &str) -> Option<&str> {
    if atom.starts_with('!') {
        return None;
    }
    let plain = atom.trim_start_matches(['<', '>', '=', '~']);
    let plain = plain.split([':', '[']).next().unwrap_or_default();
    let name = match plain.len() == atom.split([':', '[']).next().unwrap_or_default().len() {
        true => plain,
        false => split(plain.trim_end_matches('*')).map_or(plain, |(name, _)| name),
    };
    name.contains('/').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As portage 3.0.83 writes it, shortened.
    const TEXT: &str = "ACCEPT_KEYWORDS: amd64\nCHOST: x86_64-pc-linux-gnu\nPACKAGES: 2\n\
        TIMESTAMP: 1795277212\nVERSION: 0\n\nBUILD_ID: 3\nBUILD_TIME: 1795277204\nBDEPEND: dev-lang/perl\n\
        CPV: app-misc/hello-1-r2\nEAPI: 8\nKEYWORDS: amd64\nPATH: app-misc/hello/hello-1-r2-3.gpkg.tar\n\
        RDEPEND: >=sys-apps/busybox-1\nSHA1: 2e10dabd4229e7efa6aefe8a6453b4be43d15493\nSIZE: 20480\n\
        REPO: demo\n\nCPV: sys-apps/busybox-1.35\nSIZE: 7\nPATH: ../x\n\
        SHA1: c7122cc5bcdbbd2f5398e696e158b41b5cfbf0d6\n\nCPV: nonsense\n\n";

    #[test]
    fn an_index_is_read() {
        let index = parse(TEXT).unwrap();
        assert_eq!((index.timestamp, index.packages.len()), (1_795_277_212, 2));
        let hello = &index.packages[0];
        assert_eq!(hello.shown(), "app-misc/hello-1-r2-3");
        assert_eq!(hello.folder(), "app-misc/hello-1-r2");
        assert_eq!(hello.slot(), ("app-misc/hello", "0"));
        assert!(hello.told().contains("RDEPEND: >=sys-apps/busybox-1\n") && !hello.told().contains("perl"));
        let locked =
            hello.locked(("amd64/23.0", "rolling", "utils"), Architecture::X86_64, Digest::of("x")).unwrap();
        assert_eq!(locked.path, "amd64/23.0/app-misc/hello/hello-1-r2-3.gpkg.tar");
        assert_eq!((locked.version.as_str(), locked.architecture.as_str()), ("1-r2-3", "amd64"));
        assert!(index.packages[1].bytes().is_err(), "a path that leads outside");
        for bad in ["", "<html>", "VERSION: 0\n\nCPV: a/b-1\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_and_versions() {
        assert_eq!(split("app-misc/hello-1"), Some(("app-misc/hello", "1")));
        assert_eq!(split("x11-libs/gtk+-3.24.41-r1"), Some(("x11-libs/gtk+", "3.24.41-r1")));
        assert_eq!(
            split("media-libs/libva-intel-media-driver-24.1"),
            Some(("media-libs/libva-intel-media-driver", "24.1"))
        );
        for bad in ["hello-1", "a/b", "a/b/c-1", "/b-1", "a/b-x", "a/b-1;c", "a/-1"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_dependencies() {
        for (atom, name) in [
            (">=sys-apps/busybox-1.35-r2:0/1=[static(+)]", Some("sys-apps/busybox")),
            ("sys-apps/busybox", Some("sys-apps/busybox")),
            ("=dev-lang/python-3.12*", Some("dev-lang/python")),
            ("dev-lang/python:3.12", Some("dev-lang/python")),
            ("!sys-apps/hello", None),
            ("||", None),
            ("ssl?", None),
        ] {
            assert_eq!(name_of(atom), name, "{atom}");
        }
    }
}
