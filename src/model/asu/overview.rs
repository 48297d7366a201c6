//! Which releases there are, as clients read it: `overview.json`, `branches.json`, `latest.json`.

use super::SysupgradeSettings;
use crate::model::name_changes::{MAIN, NameChanges};
use crate::model::openwrt::{Release, Targets, Versions};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The releases that a server builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Those that are recommended.
    pub latest: Vec<Release>,
    /// Those of each branch, the newest first and the branch's snapshot last.
    pub branches: BTreeMap<String, Vec<Release>>,
}

/// A release as the API writes it.
pub fn version(release: &Release) -> String {
    match release {
        Release::Snapshot => MAIN.to_owned(),
        release => release.to_string(),
    }
}

/// The release that a version of the API names, which is never a branch.
pub fn release(version: &str) -> Option<Release> {
    let release = version.parse().ok()?;
    match release {
        Release::Branch(_) => None,
        Release::Snapshot if version != MAIN => None,
        release => Some(release),
    }
}

/// The folder of a release on an OpenWrt server, with `{version}` for what differs in a branch.
fn path(branch: &str) -> &'static str {
    if branch == MAIN { "snapshots" } else { "releases/{version}" }
}

impl Offer {
    /// What is built of what an OpenWrt server lists.
    pub fn of(versions: &Versions, settings: &SysupgradeSettings) -> Self {
        let wanted = |branch: &str| {
            settings.branches.is_empty() || settings.branches.iter().any(|allowed| allowed == branch)
        };
        let mut branches: BTreeMap<String, Vec<Release>> = BTreeMap::new();
        if wanted(MAIN) {
            branches.insert(MAIN.to_owned(), vec![Release::Snapshot]);
        }
        for release in versions.releases().filter(|release| wanted(&release.branch())) {
            let known = branches.entry(release.branch()).or_default();
            if !known.contains(&release) {
                known.push(release);
            }
        }
        for (branch, releases) in branches.iter_mut().filter(|(branch, _)| *branch != MAIN) {
            releases.sort_by_key(|release| Reverse(release.age()));
            releases.push(Release::BranchSnapshot(branch.clone()));
        }
        let mut latest: Vec<Release> = Vec::new();
        for release in versions.recommended().filter(|release| wanted(&release.branch())) {
            if !latest.contains(&release) {
                latest.push(release);
            }
        }
        Self { latest, branches }
    }

    /// Whether a release is built.
    pub fn has(&self, release: &Release) -> bool {
        self.branches.get(&release.branch()).is_some_and(|releases| releases.contains(release))
    }

    /// `latest.json`.
    pub fn latest_json(&self) -> Value {
        json!({"latest": self.latest.iter().map(version).collect::<Vec<_>>()})
    }

    /// What `overview.json` says of each branch; `targets` are those of its newest release.
    pub fn branches_json(
        &self,
        changes: &NameChanges,
        targets: &BTreeMap<String, Targets>,
    ) -> Map<String, Value> {
        let branch = |(name, releases): (&String, &Vec<Release>)| {
            let versions: Vec<String> = releases.iter().map(version).collect();
            let targets = targets.get(name).map(Targets::architectures);
            let value = json!({
                "name": name,
                "path": path(name),
                "path_packages": "DEPRECATED",
                "enabled": true,
                "snapshot": name == MAIN,
                "package_changes": changes.get(name).map_or(&[][..], Vec::as_slice),
                "versions": versions,
                "targets": targets.unwrap_or(&BTreeMap::new()),
            });
            (name.clone(), value)
        };
        self.branches.iter().map(branch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(branches: &[&str]) -> Offer {
        let versions = r#"{"stable_version": "25.12.2", "oldstable_version": "24.10.10",
            "upcoming_version": "26.06.0-rc1",
            "versions_list": ["24.10.9", "24.10.10", "24.10.0-rc7", "25.12.2", "25.12.0-rc1", "17.01.0", "odd"]}"#;
        let branches = branches.iter().map(|branch| (*branch).to_owned()).collect();
        let settings = SysupgradeSettings { branches, ..SysupgradeSettings::default() };
        Offer::of(&Versions::parse(versions.as_bytes()).unwrap(), &settings)
    }

    #[test]
    fn branches_have_their_releases_with_the_newest_first() {
        let offer = offer(&[]);
        let names: Vec<&String> = offer.branches.keys().collect();
        assert_eq!(names, ["17.01", "24.10", "25.12", "26.06", "SNAPSHOT"]);
        let json = offer.branches_json(&NameChanges::new(), &BTreeMap::new());
        assert_eq!(
            json["24.10"]["versions"],
            json!(["24.10.10", "24.10.9", "24.10.0-rc7", "24.10-SNAPSHOT"])
        );
        assert_eq!(
            (&json["24.10"]["path"], &json["24.10"]["enabled"]),
            (&json!("releases/{version}"), &json!(true))
        );
        assert_eq!(json["SNAPSHOT"]["versions"], json!(["SNAPSHOT"]));
        assert_eq!(
            (&json["SNAPSHOT"]["path"], &json["SNAPSHOT"]["snapshot"]),
            (&json!("snapshots"), &json!(true))
        );
        assert_eq!(offer.latest_json(), json!({"latest": ["26.06.0-rc1", "25.12.2", "24.10.10"]}));
    }

    #[test]
    fn what_is_not_allowed_is_not_there() {
        let offer = offer(&["24.10", "23.05"]);
        assert_eq!(offer.branches.len(), 1);
        assert_eq!(offer.latest_json(), json!({"latest": ["24.10.10"]}));
        for (version, has) in [
            ("24.10.10", true),
            ("24.10-SNAPSHOT", true),
            ("24.10.11", false),
            ("25.12.2", false),
            ("SNAPSHOT", false),
            ("23.05-SNAPSHOT", false),
        ] {
            assert_eq!(offer.has(&release(version).unwrap()), has, "{version}");
        }
    }

    #[test]
    fn versions_are_releases_and_never_branches() {
        for bad in ["24.10", "snapshot", "Snapshot", "", "../x", "24.10.5/.."] {
            assert_eq!(release(bad), None, "{bad:?}");
        }
        for good in ["24.10.5", "SNAPSHOT", "24.10-SNAPSHOT", "25.12.0-rc2"] {
            assert_eq!(version(&release(good).unwrap()), good);
        }
    }
}
