//! Users' own settings: whose they are, with which modes, and what shows that they are there.
//!
//! They are a layer of their own above the configuration: what it wrote into a home gives way
//! to a dotfile of the same name.

use crate::model::check::{Check, Expect};
use crate::model::name::UserName;
use crate::model::recipe::{LayerStep, OverlayRecipe, Recipe};
use crate::model::spec::OsSpec;
use std::collections::BTreeSet;

/// Programs refuse keys and settings in these folders that others could read (man ssh, "FILES").
const PRIVATE: [&str; 2] = [".ssh", ".gnupg"];

/// So many files of each home are asked for in the booted system.
const ASKED: usize = 40;

/// The users that a spec's dotfiles are for, in the order of the spec.
pub fn users(spec: &OsSpec) -> Vec<UserName> {
    let all = spec.defaults.users.iter().map(|user| &user.name);
    let Some(dotfiles) = &spec.customization.dotfiles else { return Vec::new() };
    all.filter(|name| dotfiles.users.is_empty() || dotfiles.users.contains(name)).cloned().collect()
}

/// Whether a path of a home is in a folder that is its user's alone.
pub fn is_private(path: &str) -> bool {
    PRIVATE.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// The mode of a dotfile.
pub fn mode(path: &str, executable: bool) -> u32 {
    match (is_private(path), executable) {
        (true, true) => 0o700,
        (true, false) => 0o600,
        (false, true) => 0o755,
        (false, false) => 0o644,
    }
}

/// What a recipe's dotfiles have to look like once it is booted, but for those that its
/// overlay covers.
pub(super) fn checks(recipe: &Recipe) -> Vec<Check> {
    let covered: BTreeSet<&str> = recipe
        .layers
        .iter()
        .filter(|layer| layer.name == "overlay")
        .flat_map(|layer| match &layer.step {
            LayerStep::Overlay { entries } => entries.as_slice(),
            _ => &[],
        })
        .map(OverlayRecipe::path)
        .collect();
    let mut checks = Vec::new();
    for layer in &recipe.layers {
        let LayerStep::Homes { users, entries } = &layer.step else { continue };
        for user in users {
            let place = |entry: &OverlayRecipe| format!("home/{user}/{}", entry.path());
            let seen = entries.iter().filter(|entry| !covered.contains(place(entry).as_str()));
            checks.extend(seen.take(ASKED).map(|entry| Check {
                field: "spec.customization.dotfiles".to_owned(),
                expect: expected(user, format!("/{}", place(entry)), entry),
                live: false,
            }));
        }
    }
    checks
}

fn expected(user: &UserName, path: String, entry: &OverlayRecipe) -> Expect {
    match entry {
        OverlayRecipe::File { path: inner, digest, executable } => Expect::File {
            path,
            mode: Some(mode(inner, *executable)),
            owner: Some(user.to_string()),
            sha256: Some(*digest),
        },
        OverlayRecipe::Symlink { target, .. } => Expect::Link { path, target: target.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_nobody_elses_business() {
        assert_eq!(mode(".ssh/config", false), 0o600);
        assert_eq!(mode(".gnupg/x", true), 0o700);
        assert_eq!(mode(".sshrc", false), 0o644);
        assert_eq!(mode(".local/bin/up", true), 0o755);
    }
}
