//! What a root's own rpm database says.

use super::{DATABASE, RPM, metadata};
use crate::build::managers::{outside, pins};
use crate::build::stack::Stack;
use crate::effects::files::WorkFolder;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Cancel, Sandbox};
use crate::model::artifact::InstalledPackage;
use crate::model::{Failure, Lock, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One line for each package.
const PACKAGES: &str =
    "%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{VENDOR}\\t%{URL}\\n";

/// What each package needs (`R`), brings (`P`) and holds (`F`).
const RELATIONS: &str =
    "[%{=NAME}\\tR\\t%{REQUIRENAME}\\n][%{=NAME}\\tP\\t%{PROVIDENAME}\\n][%{=NAME}\\tF\\t%{FILENAMES}\\n]";

/// Keys in the database look like packages.
const KEY: &str = "gpg-pubkey";

/// Asks the database of a stack.
fn query(stack: &Stack, format: &str) -> Result<String> {
    outside::need("rpm")?;
    let work = WorkFolder::new(&stack.cache.join("work"), "rpm")?;
    let lowers: Vec<PathBuf> = stack.layers.iter().map(|layer| layer.folder.clone()).collect();
    let output = Sandbox::new(&lowers, work.path())?
        .tool(RPM)?
        .args(["--root", TOOL_ROOT, "--dbpath", &format!("/{DATABASE}"), "-qa", "--qf", format])
        .check(&Cancel::default())?;
    Ok(output.text())
}

/// The packages that are installed, sorted.
pub(super) fn installed(stack: &Stack) -> Result<Vec<InstalledPackage>> {
    let packages = parse(&query(stack, PACKAGES)?);
    if packages.is_empty() {
        return Err(Failure::bug("the image has no package database"));
    }
    Ok(packages)
}

fn parse(text: &str) -> Vec<InstalledPackage> {
    let given = |text: &str| (!matches!(text, "" | "(none)")).then(|| text.to_owned());
    let mut packages: Vec<InstalledPackage> = text
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, epoch, version, architecture, source, vendor, url] = fields[..] else { return None };
            Some(InstalledPackage {
                name: name.to_owned(),
                version: metadata::evr(epoch, version),
                architecture: architecture.to_owned(),
                source: source_name(source).filter(|source| source != name),
                maintainer: given(vendor),
                homepage: given(url),
                sha256: None,
            })
        })
        .filter(|package| package.name != KEY)
        .collect();
    packages.sort();
    packages
}

/// `bash` of `bash-5.2.26-1.fc40.src.rpm`.
fn source_name(file: &str) -> Option<String> {
    let (rest, _release) = file.rsplit_once('-')?;
    let (name, _version) = rest.rsplit_once('-')?;
    Some(name.to_owned())
}

/// The locked packages that nothing needs, sorted.
pub(super) fn unneeded(lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
    if lock.packages.is_empty() {
        return Ok(Vec::new());
    }
    Ok(stale(lock, &query(stack, RELATIONS)?))
}

fn stale(lock: &Lock, relations: &str) -> Vec<String> {
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut brought_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut files: BTreeSet<String> = BTreeSet::new();
    let fields = || {
        relations.lines().filter_map(|line| line.split_once('\t').map(|(n, rest)| (n, rest.split_once('\t'))))
    };
    for (name, rest) in fields() {
        match rest {
            Some(("R", relation)) => {
                let words = words(relation);
                files.extend(words.iter().filter(|word| word.starts_with('/')).cloned());
                needs.entry(name.to_owned()).or_default().extend(words);
            }
            Some(("P", capability)) => {
                brought_by.entry(capability.to_owned()).or_default().push(name.to_owned())
            }
            _ => {}
        }
    }
    files.extend(lock.request.layers.iter().flat_map(|l| &l.packages).map(ToString::to_string));
    for (name, rest) in fields() {
        needs.entry(name.to_owned()).or_default();
        if let Some(("F", path)) = rest
            && files.contains(path)
        {
            brought_by.entry(path.to_owned()).or_default().push(name.to_owned());
        }
    }
    pins::stale(lock, Vec::new(), &needs, &brought_by)
}

/// The capabilities in a requirement: itself, or those within a rich one (`(a if b)`, rpm's
/// manual, "Boolean Dependencies"); all of its alternatives count.
fn words(relation: &str) -> Vec<String> {
    if !relation.starts_with('(') {
        return vec![relation.to_owned()];
    }
    let word = |word: &str| {
        let mut word = word.trim_start_matches('(');
        while word.matches(')').count() > word.matches('(').count() {
            word = word.strip_suffix(')')?;
        }
        Some(word.to_owned())
    };
    relation.split_whitespace().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_rpm_prints() {
        // `rpm -qa --qf …`, rpm 4.18.
        let text = "hello\t0\t1-1\tx86_64\thello-1-1.src.rpm\t(none)\t(none)\n\
            libssl3\t1\t3.0-4.fc41\tx86_64\topenssl-3.0-4.fc41.src.rpm\tFedora Project\thttp://x.example\n\
            gpg-pubkey\t0\t1-1\t(none)\t(none)\t(none)\t(none)\n";
        let packages = parse(text);
        assert_eq!(packages.len(), 2);
        assert_eq!((packages[0].name.as_str(), packages[0].source.as_deref()), ("hello", None));
        assert_eq!(
            (packages[1].version.as_str(), packages[1].source.as_deref()),
            ("1:3.0-4.fc41", Some("openssl"))
        );
    }

    #[test]
    fn rich_requirements_name_all_their_words() {
        assert_eq!(words("libc.so.6(GLIBC_2.34)(64bit)"), ["libc.so.6(GLIBC_2.34)(64bit)"]);
        assert_eq!(words("(pkgconfig(foo) if (bar or baz))"), ["pkgconfig(foo)", "if", "bar", "or", "baz"]);
    }

    #[test]
    fn a_pin_that_nothing_needs_is_named() {
        let package = |name: &str| {
            json!({"name": name, "version": "1", "architecture": "x86_64", "size": 1, "suite": "r",
                "sha256": format!("sha256:{}", "1".repeat(64)), "path": format!("r/{name}.rpm"), "layer": "bootstrap"})
        };
        let packages = ["hello", "busybox", "filesystem", "htop"].map(package);
        let lock = |asked: &[&str]| -> Lock {
            serde_json::from_value(json!({
                "lockVersion": 1, "image": "edge", "indexes": [],
                "packages": packages,
                "request": {"base": "fedora", "suite": "41", "architecture": "x86_64",
                    "layers": [{"name": "bootstrap", "packages": asked}]}
            }))
            .unwrap()
        };
        let relations = "hello\tP\thello\nhello\tR\t/bin/sh\nhello\tR\trpmlib(PayloadIsZstd)\n\
            busybox\tF\t/bin/sh\nbusybox\tR\tfilesystem\nbusybox\tP\tbusybox\nfilesystem\tP\tfilesystem\nhtop\tP\thtop\n";
        assert_eq!(stale(&lock(&["hello"]), relations), ["htop"]);
        assert!(stale(&lock(&["hello", "htop"]), relations).is_empty());
    }
}
