//! Packages of OpenWrt that have another name from a release on, became several, or are gone.
//!
//! Format: `branches.BRANCH.package_changes` of the `overview.json` that servers of the Attended
//! Sysupgrade API publish: those of a branch are all that came before it was made.

use super::device::{DevicePackages, OpenwrtPackage};
use super::openwrt::Release;
use super::{Failure, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What the main branch is called.
pub const MAIN: &str = "SNAPSHOT";

/// One package that changed its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NameChange {
    /// The old name.
    pub source: OpenwrtPackage,
    /// The new name; the package is gone when absent. One that became several stands there once
    /// for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<OpenwrtPackage>,
    /// How many commits OpenWrt had then: the number in `r26792-0123456789`.
    pub revision: u32,
    /// Whether there is no firmware with the old name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mandatory: bool,
}

/// The changes that count for each branch: `24.10`, and `SNAPSHOT` for the main one.
pub type NameChanges = BTreeMap<String, Vec<NameChange>>;

/// A package that is asked for by a name that it has no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Renamed {
    /// The old name.
    pub from: OpenwrtPackage,
    /// The new ones; none if it is gone.
    pub to: Vec<OpenwrtPackage>,
}

impl fmt::Display for Renamed {
    /// `auc is now owut`, `kmod-nft-nat6 is gone`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<&str> = self.to.iter().map(OpenwrtPackage::as_str).collect();
        match to.as_slice() {
            [] => write!(f, "{} is gone", self.from),
            to => write!(f, "{} is now {}", self.from, to.join(" and ")),
        }
    }
}

/// The changes that count for a release.
pub fn of<'c>(changes: &'c NameChanges, release: &Release) -> &'c [NameChange] {
    changes.get(&release.branch()).map_or(&[], Vec::as_slice)
}

/// Reads `overview.json`. Branches and packages whose names nothing has are left out: how many changes.
///
/// # Errors
/// Class *upstream* if it is of another form.
pub fn published(overview: &[u8]) -> Result<(NameChanges, usize)> {
    #[derive(Deserialize)]
    struct Overview {
        branches: BTreeMap<String, Branch>,
    }
    #[derive(Deserialize)]
    struct Branch {
        #[serde(default)]
        package_changes: Vec<Wire>,
    }
    #[derive(Deserialize)]
    struct Wire {
        source: String,
        #[serde(default)]
        target: Option<String>,
        #[serde(default)]
        revision: u32,
        #[serde(default)]
        mandatory: bool,
    }
    impl Wire {
        fn change(self) -> Option<NameChange> {
            let Self { source, target, revision, mandatory } = self;
            let target = target.map(|name| name.parse()).transpose().ok()?;
            Some(NameChange { source: source.parse().ok()?, target, revision, mandatory })
        }
    }
    let overview: Overview = serde_json::from_slice(overview)
        .map_err(|e| Failure::upstream(format!("this is no overview of a server: {e}")))?;
    let (mut changes, mut odd) = (NameChanges::new(), 0);
    for (name, branch) in overview.branches {
        let all = branch.package_changes.len();
        let good: Vec<NameChange> = match is_branch(&name) {
            true => branch.package_changes.into_iter().filter_map(Wire::change).collect(),
            false => Vec::new(),
        };
        odd += all - good.len();
        if !good.is_empty() {
            changes.insert(name, good);
        }
    }
    Ok((changes, odd))
}

/// Whether a text names a branch.
pub fn is_branch(text: &str) -> bool {
    text == MAIN || matches!(text.parse(), Ok(Release::Branch(_)))
}

/// Follows packages to their new names: what is put in and what is left out alike, for an Image
/// Builder is silent about a package to leave out that there is not. Chains are followed in the
/// order of the changes.
pub fn follow(changes: &[NameChange], packages: &DevicePackages) -> (DevicePackages, Vec<Renamed>) {
    let mut renamed = Vec::new();
    let mut packages = packages.clone();
    let mut seen: BTreeSet<&OpenwrtPackage> = BTreeSet::new();
    for NameChange { source, .. } in changes {
        if !seen.insert(source) {
            continue;
        }
        let same = changes.iter().filter(|change| change.source == *source);
        let to: Vec<OpenwrtPackage> = same.filter_map(|change| change.target.clone()).collect();
        let (add, remove) =
            (replace(&mut packages.add, source, &to), replace(&mut packages.remove, source, &to));
        if add || remove {
            renamed.push(Renamed { from: source.clone(), to });
        }
    }
    (packages, renamed)
}

/// Puts `to` where `source` stands; nothing comes twice. Says whether it was there.
fn replace(packages: &mut Vec<OpenwrtPackage>, source: &OpenwrtPackage, to: &[OpenwrtPackage]) -> bool {
    let Some(at) = packages.iter().position(|package| package == source) else { return false };
    packages.remove(at);
    let new: Vec<OpenwrtPackage> = to.iter().filter(|name| !packages.contains(name)).cloned().collect();
    packages.splice(at..at, new);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> OpenwrtPackage {
        text.parse().unwrap()
    }

    fn names(texts: &[&str]) -> Vec<OpenwrtPackage> {
        texts.iter().map(|text| name(text)).collect()
    }

    fn changes() -> Vec<NameChange> {
        // As the public server writes them.
        let text = r#"[{"source": "firewall", "target": "firewall4", "revision": 18611},
            {"source": "kmod-nft-nat6", "revision": 20282, "mandatory": true},
            {"source": "auc", "target": "owut", "revision": 26792},
            {"source": "owut", "target": "owut-ng", "revision": 30000},
            {"source": "iptables", "target": "iptables-nft", "revision": 18000},
            {"source": "iptables", "target": "xtables-legacy", "revision": 18000}]"#;
        serde_json::from_str(text).unwrap()
    }

    fn packages(add: &[&str], remove: &[&str]) -> DevicePackages {
        DevicePackages { add: names(add), remove: names(remove) }
    }

    fn said(renamed: &[Renamed]) -> Vec<String> {
        renamed.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn renames_splits_and_what_is_gone_are_followed_where_they_stand() {
        let asked = packages(&["luci", "auc", "iptables", "kmod-nft-nat6"], &["firewall", "ppp"]);
        let (followed, renamed) = follow(&changes(), &asked);
        assert_eq!(
            followed,
            packages(&["luci", "owut-ng", "iptables-nft", "xtables-legacy"], &["firewall4", "ppp"])
        );
        assert_eq!(
            said(&renamed),
            [
                "firewall is now firewall4",
                "kmod-nft-nat6 is gone",
                "auc is now owut",
                "owut is now owut-ng",
                "iptables is now iptables-nft and xtables-legacy"
            ]
        );
    }

    #[test]
    fn what_is_there_already_comes_once_and_what_nobody_asked_for_not_at_all() {
        let (followed, _) =
            follow(&changes(), &packages(&["iptables-nft", "iptables", "firewall4", "firewall"], &[]));
        assert_eq!(followed.add, names(&["iptables-nft", "xtables-legacy", "firewall4"]));
        let same = packages(&["luci", "owut-ng"], &["ppp"]);
        assert_eq!(follow(&changes(), &same), (same.clone(), Vec::new()));
        assert_eq!(follow(&[], &same), (same.clone(), Vec::new()));
    }

    #[test]
    fn a_circle_ends() {
        let text = r#"[{"source": "a", "target": "b", "revision": 1}, {"source": "b", "target": "a", "revision": 2},
            {"source": "c", "target": "c", "revision": 3}]"#;
        let circle: Vec<NameChange> = serde_json::from_str(text).unwrap();
        let (followed, renamed) = follow(&circle, &packages(&["a", "c"], &[]));
        assert_eq!((followed.add, renamed.len()), (names(&["a", "c"]), 3));
    }

    #[test]
    fn each_branch_has_its_own() {
        let all = NameChanges::from([("24.10".to_owned(), changes()), (MAIN.to_owned(), Vec::new())]);
        for (release, many) in
            [("24.10.5", 6), ("24.10", 6), ("24.10-SNAPSHOT", 6), ("snapshot", 0), ("23.05.5", 0)]
        {
            assert_eq!(of(&all, &release.parse().unwrap()).len(), many, "{release}");
        }
    }

    #[test]
    fn what_servers_publish_is_read_and_odd_names_are_left_out() {
        let overview = r#"{"latest": [], "branches": {
            "24.10": {"enabled": true, "package_changes": [
                {"source": "auc", "target": "owut", "revision": 26792, "unknown": 1},
                {"source": "$(id)", "revision": 1}, {"source": "a", "target": "-b", "revision": 1}]},
            "23.05": {"package_changes": []}, "21.02": {},
            "../x": {"package_changes": [{"source": "a", "revision": 1}]}}}"#;
        let (changes, odd) = published(overview.as_bytes()).unwrap();
        assert_eq!((changes.keys().map(String::as_str).collect::<Vec<_>>(), odd), (vec!["24.10"], 3));
        assert_eq!(changes["24.10"][0], super::tests::changes()[2]);
        for bad in ["", "<html>", "[]", "{}", r#"{"branches": []}"#, r#"{"branches": {"24.10": []}}"#] {
            assert!(published(bad.as_bytes()).is_err() || bad.contains("24.10"), "{bad}");
        }
    }

    #[test]
    fn names_that_no_package_has_are_refused() {
        for bad in [
            r#"{"source": "$(id)", "revision": 1}"#,
            r#"{"source": "a", "target": "-b", "revision": 1}"#,
            r#"{"target": "a", "revision": 1}"#,
            r#"{"source": "a"}"#,
            r#"{"source": "a", "revision": -1}"#,
            r#"{"source": "a", "revision": 1, "name": "b"}"#,
        ] {
            assert!(serde_json::from_str::<NameChange>(bad).is_err(), "{bad}");
        }
    }
}
