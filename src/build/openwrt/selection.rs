//! Which packages a `make` failed for, in the words that clients of the Attended Sysupgrade API know.

use std::collections::BTreeSet;

/// The packages that are missing and those that do not go together, as opkg and apk name them:
/// `Impossible package selection: missing (a) conflicts (b, c)`.
pub fn impossible(log: &str) -> String {
    let (mut missing, mut conflicts): (BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    // apk groups conflicts below the package that has them.
    let mut heading: Option<&str> = None;
    for line in log.lines() {
        let text = line.trim();
        if let Some((_, name)) = text.split_once("Cannot install package ") {
            missing.insert(name.trim_end_matches('.'));
        } else if let Some((before, _)) = text.split_once(" (no such package)") {
            missing.extend(before.rsplit(' ').next());
        } else if let Some((_, rest)) = text.split_once("check_data_file_clashes: Package ") {
            conflicts.extend(rest.split(' ').next());
        } else if let Some((_, name)) = text.split_once("already provided by package  * ") {
            conflicts.insert(name);
        } else if let Some((_, rest)) = text.split_once("check_conflicts_for: ") {
            conflicts.extend(rest.trim_end_matches([' ', '*', ':']).rsplit(' ').next());
        } else if let Some((before, after)) = text.split_once(": trying to overwrite ") {
            conflicts.extend(before.strip_prefix("ERROR: "));
            conflicts.extend(after.rsplit_once(" owned by ").map(|(_, name)| name.trim_end_matches('.')));
        } else if let Some(other) = text.strip_prefix("conflicts: ") {
            conflicts.extend(heading);
            conflicts.extend(other.split('[').next());
        } else if let Some(name) = text.strip_suffix(':').filter(|name| !name.contains(' ')) {
            heading = Some(name);
        }
    }
    // opkg says of both that it cannot install them.
    missing.retain(|name| !conflicts.contains(name));
    let mut words = "Impossible package selection".to_owned();
    if !missing.is_empty() || !conflicts.is_empty() {
        words.push(':');
    }
    for (what, names) in [("missing", missing), ("conflicts", conflicts)] {
        if !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            words.push_str(&format!(" {what} ({})", names.join(", ")));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_in_the_words_of_both_package_managers() {
        for (log, words) in [
            (
                "Collected errors:\n * opkg_install_cmd: Cannot install package nosuch.\n",
                ": missing (nosuch)",
            ),
            (
                "ERROR: unable to select packages:\n  nosuch (no such package):\n    required by: world[nosuch]\n  \
                 another (no such package):\n    required by: world[another]\n",
                ": missing (another, nosuch)",
            ),
            (
                "Collected errors:\n * check_conflicts_for: The following packages conflict with one:\n \
                 * check_conflicts_for:         two *\n * opkg_install_cmd: Cannot install package one.\n",
                ": conflicts (one, two)",
            ),
            (
                " * check_data_file_clashes: Package one wants to install file /etc/x\n\tBut that file is already \
                 provided by package  * two\n * opkg_install_cmd: Cannot install package one.\n",
                ": conflicts (one, two)",
            ),
            (
                "ERROR: unable to select packages:\n  one-json-1.1-r1:\n    conflicts: two[nftables=1.1-r1]\n    \
                 satisfies: world[one-json]\n",
                ": conflicts (one-json-1.1-r1, two)",
            ),
            ("ERROR: one-1-r1: trying to overwrite etc/x owned by two-2.\n", ": conflicts (one-1-r1, two-2)"),
            ("something else\n", ""),
        ] {
            assert_eq!(impossible(log), format!("Impossible package selection{words}"));
        }
    }
}
