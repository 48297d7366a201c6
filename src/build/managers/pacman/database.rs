//! pacman's databases: stanzas of `%FIELD%` lines, one `desc` for each package.
//!
//! A repository's database is a tar archive of `NAME-VERSION/desc`; the local one is a folder
//! of such folders (man pacman, "Configuration"; libalpm's `be_sync.c`, `be_local.c`).

use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::{Failure, Result};
use std::collections::BTreeMap;
use std::io::Read;

/// What the local database needs to know of a package that counts as installed.
const LOCAL: [&str; 8] = ["NAME", "VERSION", "BASE", "ARCH", "REPLACES", "DEPENDS", "CONFLICTS", "PROVIDES"];

/// The format of the local database (libalpm, `ALPM_LOCAL_DB_VERSION`).
pub(super) const LOCAL_VERSION: &str = "9\n";

/// A `desc`: the lines of every field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Desc(BTreeMap<String, Vec<String>>);

impl Desc {
    /// Reads the text of a `desc`.
    pub(super) fn parse(text: &str) -> Self {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut field = None;
        for line in text.lines() {
            match line.strip_prefix('%').and_then(|l| l.strip_suffix('%')) {
                Some(name) => {
                    fields.entry(name.to_owned()).or_default();
                    field = Some(name.to_owned());
                }
                None if line.is_empty() => field = None,
                None => {
                    if let Some(values) = field.as_ref().and_then(|name| fields.get_mut(name)) {
                        values.push(line.to_owned());
                    }
                }
            }
        }
        Self(fields)
    }

    /// All lines of a field.
    pub(super) fn all(&self, field: &str) -> &[String] {
        self.0.get(field).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first line of a field.
    pub(super) fn one(&self, field: &str) -> Option<&str> {
        self.all(field).first().map(String::as_str)
    }

    /// The `desc` of a package that counts as installed.
    pub(super) fn as_installed(&self) -> String {
        let mut text = String::new();
        for field in LOCAL {
            let values = self.all(field);
            if !values.is_empty() {
                text.push_str(&format!("%{field}%\n{}\n\n", values.join("\n")));
            }
        }
        text
    }

    /// Its entry in a lock.
    pub(super) fn locked(&self, folder: &str, suite: &str, layer: &str) -> Result<LockedPackage> {
        let name = self.one("NAME").unwrap_or_default();
        let bad = |what: &str| Failure::upstream(format!("the database has no usable {what} for {name:?}"));
        let file = self.one("FILENAME").filter(|f| !f.contains('/')).ok_or_else(|| bad("FILENAME"))?;
        Ok(LockedPackage {
            name: name
                .parse()
                .map_err(|e| Failure::untrusted(format!("the database has a bad name: {e}")))?,
            version: self.one("VERSION").ok_or_else(|| bad("VERSION"))?.to_owned(),
            architecture: self.one("ARCH").ok_or_else(|| bad("ARCH"))?.to_owned(),
            sha256: self.one("SHA256SUM").and_then(|d| d.parse().ok()).ok_or_else(|| bad("SHA256SUM"))?,
            size: self.one("CSIZE").and_then(|s| s.parse().ok()).ok_or_else(|| bad("CSIZE"))?,
            path: super::super::outside::below_mirror(&format!("{folder}/{file}"))?,
            suite: suite.to_owned(),
            layer: layer.to_owned(),
            wave: 0,
        })
    }
}

/// The packages of a repository's database, by name. `archive` is unpacked already.
pub(super) fn read(archive: &[u8], name: &str) -> Result<BTreeMap<String, Desc>> {
    let during = || format!("reading the database {name}");
    let mut packages = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().during(during)? {
        let mut entry = entry.during(during)?;
        if !entry.path_bytes().ends_with(b"/desc") {
            continue;
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).during(during)?;
        let desc = Desc::parse(&String::from_utf8_lossy(&text));
        if let Some(name) = desc.one("NAME").map(str::to_owned) {
            packages.insert(name, desc);
        }
    }
    Ok(packages)
}

/// What others are told to keep away from: a name, and which versions.
pub(super) struct Relation<'a> {
    pub name: &'a str,
    /// `<`, `<=`, `=`, `>=`, `>` and the version.
    pub version: Option<(&'a str, &'a str)>,
}

/// Reads `name`, `name>=1.0` or `name=2-1` (man PKGBUILD, "depends").
pub(super) fn relation(text: &str) -> Relation<'_> {
    let Some(at) = text.find(['<', '>', '=']) else { return Relation { name: text, version: None } };
    let (name, rest) = text.split_at(at);
    let length = rest.find(|c| !matches!(c, '<' | '>' | '=')).unwrap_or(rest.len());
    Relation { name, version: Some(rest.split_at(length)) }
}

/// A local `desc` as if the package had been installed at `epoch` (seconds).
pub(super) fn installed_at(text: &str, epoch: i64) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_date = false;
    for line in text.split_inclusive('\n') {
        if is_date {
            out.push_str(&format!("{epoch}\n"));
        } else {
            out.push_str(line);
        }
        is_date = line.trim_end() == "%INSTALLDATE%";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `repo-add` 6.0.2 writes it.
    const DESC: &str = "%FILENAME%\nhello-1-1-x86_64.pkg.tar.zst\n\n%NAME%\nhello\n\n%BASE%\nhello\n\n\
        %VERSION%\n1-1\n\n%CSIZE%\n683\n\n%SHA256SUM%\n\
        88e21c972abdccfa4c676dd4ab9a2478170868d10b600578b65047d786d51635\n\n%ARCH%\nx86_64\n\n\
        %DEPENDS%\nbusybox>=1.0\nfilesystem\n\n";

    #[test]
    fn a_stanza_becomes_a_lock_entry() {
        let desc = Desc::parse(DESC);
        assert_eq!(desc.all("DEPENDS"), ["busybox>=1.0", "filesystem"]);
        let locked = desc.locked("core/os/x86_64", "rolling", "base").unwrap();
        assert_eq!(locked.path, "core/os/x86_64/hello-1-1-x86_64.pkg.tar.zst");
        assert_eq!((locked.version.as_str(), locked.size, locked.suite.as_str()), ("1-1", 683, "rolling"));
        let local = Desc::parse(&desc.as_installed());
        assert_eq!(local.one("VERSION"), Some("1-1"));
        assert_eq!(local.one("SHA256SUM"), None);
    }

    #[test]
    fn a_bad_stanza_is_refused() {
        for (from, to) in [
            ("hello-1-1-x86_64.pkg.tar.zst", "../hello.pkg.tar.zst"),
            ("hello-1-1-x86_64.pkg.tar.zst", ".."),
            ("%NAME%\nhello", "%NAME%\n-rf"),
            ("%CSIZE%\n683", "%CSIZE%\nmany"),
            ("88e21c", "zzzzzz"),
        ] {
            let desc = Desc::parse(&DESC.replace(from, to));
            assert!(desc.locked("core/os/x86_64", "rolling", "base").is_err(), "{to}");
        }
    }

    #[test]
    fn the_time_of_installation_is_the_images() {
        let text = "%NAME%\nhello\n\n%INSTALLDATE%\n1795264598\n\n%SIZE%\n3\n";
        assert_eq!(installed_at(text, 7), "%NAME%\nhello\n\n%INSTALLDATE%\n7\n\n%SIZE%\n3\n");
    }
}
