//! Debian's column is held to the signed package indexes of every suite that it is for.

use bootwright::effects::{Cancel, Process};
use bootwright::model::name::PackageName;
use bootwright::model::spec::Base;
use bootwright::tables::{self, Entry, Offer};
use std::collections::BTreeSet;
use std::path::Path;

/// The components that a name may be in, by the repository that its row names.
fn components(from: Option<&str>) -> Option<&'static [&'static str]> {
    match from {
        None => Some(&["main"]),
        Some("non-free") => Some(&["non-free"]),
        Some("non-free-firmware") => Some(&["non-free-firmware"]),
        // A vendor's own repository: no mirror of Debian has it.
        Some(_) => None,
    }
}

/// Debian's mirror, as this host's own configuration names it.
fn mirror() -> Option<String> {
    let process =
        Process::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)"]);
    let text = process.arg("Created-By: Packages").run(&Cancel::default()).ok()?.text();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Debian main "));
    lines.find(|uri| uri.trim_end_matches('/').ends_with("/debian")).map(str::to_owned)
}

/// The names that one component of a suite has; apt has checked the index against its signature.
fn index(dir: &Path, uri: &str, suite: &str, component: &str) -> Option<BTreeSet<String>> {
    let dir = dir.join(format!("{suite}-{component}"));
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    std::fs::write(
        dir.join("sources.list"),
        format!("deb [signed-by={keyring}] {uri} {suite} {component}\n"),
    )
    .unwrap();
    std::fs::write(dir.join("status"), "").unwrap();
    let own = |program: &str| {
        let option = |key: &str, path: &str| format!("{key}={}", dir.join(path).display());
        Process::new(program).args([
            "-o".to_owned(),
            option("Dir::Etc::sourcelist", "sources.list"),
            "-oDir::Etc::sourceparts=/dev/null".to_owned(),
            "-o".to_owned(),
            option("Dir::State::lists", "lists"),
            "-o".to_owned(),
            option("Dir::State::status", "status"),
            "-o".to_owned(),
            option("Dir::Cache", "cache"),
            "-oAPT::Sandbox::User=root".to_owned(),
            "-oAcquire::Languages=none".to_owned(),
            "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ])
    };
    let updated = own("apt-get").args(["update", "--error-on=any"]).run(&Cancel::default()).unwrap();
    if !updated.status.success() {
        eprintln!("{suite} {component}: {}", updated.tail());
        return None;
    }
    let names = own("apt-cache").arg("pkgnames").run(&Cancel::default()).unwrap();
    let names: BTreeSet<String> = names.text().lines().map(str::to_owned).collect();
    assert!(names.len() > 10, "{suite} {component} has only {} packages", names.len());
    Some(names)
}

/// What a row offers on one suite.
fn offer<'a>(entry: &'a Entry, suite: &str) -> Option<&'a Offer> {
    match entry.on(Some(suite)) {
        Entry::Offered(offer) => Some(offer),
        Entry::Missing(_) => None,
    }
}

/// Every name that the tables have is in the index that they say; what they call missing is not.
#[test]
fn every_debian_name_is_in_the_real_indexes() {
    let uri = mirror().expect("apt's configuration of this host names a Debian mirror");
    let dir = tempfile::tempdir().unwrap();
    let debian = tables::of(Base::DEBIAN);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for suite in debian.suites() {
        let Some(main) = index(dir.path(), &uri, suite, "main") else {
            eprintln!("SKIPPED: the mirror did not serve {suite}; its names were NOT checked");
            continue;
        };
        let others: Vec<(&str, BTreeSet<String>)> = ["non-free", "non-free-firmware"]
            .into_iter()
            .filter_map(|c| Some((c, index(dir.path(), &uri, suite, c)?)))
            .collect();
        let has = |component: &str, name: &PackageName| match component {
            "main" => main.contains(name.as_str()),
            other => others.iter().any(|(c, names)| *c == other && names.contains(name.as_str())),
        };
        for row in tables::rows() {
            let entry = row.on(Base::DEBIAN).unwrap();
            match offer(entry, suite) {
                Some(offer) => {
                    let Some(components) = components(offer.from.as_deref()) else { continue };
                    for package in &offer.packages {
                        seen += 1;
                        if !components.iter().any(|c| has(c, package)) {
                            wrong.push(format!(
                                "{suite}: {} is said to be {package} in {components:?}",
                                row.name
                            ));
                        }
                    }
                }
                // Said to be missing, and there under its own name: somebody should look again.
                // (Debian's delta is a tool that makes failing inputs small.)
                None if main.contains(&row.name) && row.name != "delta" => {
                    wrong.push(format!("{suite}: {} is said to be missing and is there", row.name));
                }
                None => {}
            }
        }
        // The index is that of x86_64: what the other architecture starts with is not in it.
        for package in debian.own_packages().into_iter().filter(|p| !p.as_str().contains("arm64")) {
            seen += 1;
            if !main.contains(package.as_str()) {
                wrong.push(format!("{suite}: {package} is what every system needs"));
            }
        }
    }
    println!("{seen} names looked up");
    assert!(seen > 0, "the mirror served no suite at all");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
