//! Packages of a lock that nothing needs.
//!
//! Only the packages themselves say what they need, so this is found out when they are
//! installed: from what the lock was asked for and what the distribution always installs,
//! along their dependencies. What is not met on the way is a pin that nothing reads.

use super::BOOT_FILES;
use crate::model::lock::Lock;
use crate::model::{Failure, Result};
use deb822_fast::Deb822;
use std::collections::{BTreeMap, BTreeSet};

/// The names of the lock's packages that nothing needs, sorted.
pub(super) fn unneeded(lock: &Lock, status: &str) -> Result<Vec<String>> {
    let stanzas: Deb822 =
        status.parse().map_err(|e| Failure::bug(format!("the package database cannot be read: {e}")))?;
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut brought_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut todo: Vec<String> = vec!["usr-is-merged".to_owned()];
    for stanza in stanzas.iter() {
        let Some(name) = stanza.get("Package") else { continue };
        let relations = |field: &str| stanza.get(field).map(names).unwrap_or_default();
        needs
            .entry(name.to_owned())
            .or_default()
            .extend(relations("Depends").into_iter().chain(relations("Pre-Depends")));
        for provided in relations("Provides").into_iter().chain([name.to_owned()]) {
            brought_by.entry(provided).or_default().push(name.to_owned());
        }
        if ["Essential", "Protected", "Important"].iter().any(|field| stanza.get(field) == Some("yes")) {
            todo.push(name.to_owned());
        }
    }
    Ok(stale(lock, todo, &needs, &brought_by))
}

/// The lock's packages that are not met from what it was asked for and `todo`, along `needs`
/// (what each installed package asks for) and `brought_by` (who answers to a name).
pub(super) fn stale(
    lock: &Lock,
    mut todo: Vec<String>,
    needs: &BTreeMap<String, Vec<String>>,
    brought_by: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let asked = lock.request.layers.iter().flat_map(|layer| &layer.packages);
    todo.extend(asked.map(ToString::to_string));
    let mut needed = BTreeSet::new();
    while let Some(name) = todo.pop() {
        for package in brought_by.get(&name).into_iter().flatten() {
            if needed.insert(package.clone()) {
                todo.extend(needs.get(package).into_iter().flatten().cloned());
            }
        }
    }
    let pinned: BTreeSet<&str> =
        lock.packages.iter().filter(|p| p.layer != BOOT_FILES).map(|p| p.name.as_str()).collect();
    let stale = pinned.into_iter().filter(|name| needs.contains_key(*name) && !needed.contains(*name));
    stale.map(str::to_owned).collect()
}

/// The names in a relation field: `a (>= 1), b:any | c` (Debian Policy, section 7.1). All
/// alternatives count: whichever is installed may be the one that was chosen.
fn names(field: &str) -> Vec<String> {
    let alternatives = field.split([',', '|']);
    let word =
        |text: &str| text.trim().split([' ', '(', ':', '[', '\n']).next().unwrap_or_default().to_owned();
    alternatives.map(word).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lock(asked: &[&str], pinned: &[&str]) -> Lock {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let package = |name: &str, layer: &str| {
            json!({"name": name, "version": "1", "architecture": "amd64", "sha256": digest("1"), "size": 1,
                "path": format!("pool/{name}.deb"), "suite": "bookworm", "layer": layer})
        };
        let packages: Vec<_> = pinned.iter().map(|name| package(name, "bootstrap")).collect();
        let boot = [package("shim-signed", "iso-boot-files")];
        serde_json::from_value(json!({
            "lockVersion": 1, "image": "edge", "indexes": [],
            "packages": packages.into_iter().chain(boot).collect::<Vec<_>>(),
            "request": {"base": "debian", "suite": "bookworm", "architecture": "x86_64",
                "layers": [{"name": "bootstrap", "packages": asked}]}
        }))
        .unwrap()
    }

    fn stanza(name: &str, fields: &str) -> String {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n{fields}\n")
    }

    fn status() -> String {
        [
            stanza("dpkg", "Essential: yes\nPre-Depends: libc6 (>= 2.34),\n zlib1g:any\n"),
            stanza("libc6", ""),
            stanza("zlib1g", ""),
            stanza("usr-is-merged", ""),
            stanza("nginx", "Depends: iproute2 | net-tools, httpd-modules\n"),
            stanza("net-tools", ""),
            stanza("nginx-core", "Provides: httpd-modules (= 1)\n"),
            stanza("htop", "Depends: libncurses6\n"),
            stanza("libncurses6", ""),
        ]
        .concat()
    }

    #[test]
    fn what_is_asked_for_and_what_that_needs_may_stay() {
        let none = Vec::<String>::new();
        let all = ["dpkg", "libc6", "zlib1g", "usr-is-merged", "nginx", "net-tools", "nginx-core"];
        assert_eq!(unneeded(&lock(&["nginx"], &all), &status()).unwrap(), none);
        // Asked for by a name that another package provides.
        let virtual_name = lock(&["httpd-modules"], &["nginx-core", "libc6"]);
        assert_eq!(unneeded(&virtual_name, &status()).unwrap(), none);
        // What is not installed at all is not this check's business.
        assert_eq!(unneeded(&lock(&["nginx"], &["elsewhere"]), &status()).unwrap(), none);
    }

    #[test]
    fn a_pin_that_nothing_needs_is_named() {
        let stale = lock(&["nginx"], &["nginx", "htop", "libncurses6"]);
        assert_eq!(unneeded(&stale, &status()).unwrap(), ["htop", "libncurses6"]);
        let asked = lock(&["nginx", "htop"], &["htop", "libncurses6"]);
        assert_eq!(unneeded(&asked, &status()).unwrap(), Vec::<String>::new());
    }
}
