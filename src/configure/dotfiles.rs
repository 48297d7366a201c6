//! Users' own settings: whose they are, with which modes, and what shows that they are there.
//!
//! They are a layer of their own above the configuration: what it wrote into a home gives way
//! to a dotfile of the same name.

use super::plan::Program;
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

/// So many bytes of paths are given to a program at once: its command line is bounded, and a
/// shell's command more so (128 KiB, man execve).
const AT_ONCE: usize = 48 << 10;

/// What gives the dotfiles at these paths of a home to its user, with the folders on the way:
/// programs of the root.
pub fn given(user: &UserName, paths: &[&str]) -> Vec<Program> {
    let folders: BTreeSet<&str> = paths.iter().flat_map(|path| folders_of(path)).collect();
    let private: Vec<&str> =
        folders.iter().copied().filter(|folder| is_private(&format!("{folder}/"))).collect();
    let owned: Vec<&str> = folders.into_iter().chain(paths.iter().copied()).collect();
    let run = |what: &str, program: &str, first: &[&str], paths: &[&str]| -> Vec<Program> {
        let what = format!("{what} {user}");
        let some = at_once(paths).into_iter();
        some.map(|paths| {
            let paths: Vec<String> = paths.iter().map(|path| format!("/home/{user}/{path}")).collect();
            let args: Vec<&str> = first.iter().copied().chain(paths.iter().map(String::as_str)).collect();
            Program::new(&what, program, &args)
        })
        .collect()
    };
    // The links themselves: what they point to may be anybody's.
    let mut programs = run("giving dotfiles to", "/bin/chown", &["-h", &format!("{user}:{user}")], &owned);
    programs.extend(run("closing folders of", "/bin/chmod", &["0700"], &private));
    programs
}

/// Paths in runs that a command line can hold.
fn at_once<'p>(paths: &[&'p str]) -> Vec<Vec<&'p str>> {
    let mut runs: Vec<Vec<&str>> = Vec::new();
    let mut bytes = AT_ONCE;
    for path in paths {
        bytes += path.len();
        if bytes >= AT_ONCE {
            runs.push(Vec::new());
            bytes = path.len();
        }
        if let Some(run) = runs.last_mut() {
            run.push(path);
        }
    }
    runs
}

/// The folders on the way to a path.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
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

    #[test]
    fn every_folder_on_the_way_changes_hands_and_keys_are_closed() {
        assert_eq!(folders_of(".config/nvim/init.lua").collect::<Vec<_>>(), [".config", ".config/nvim"]);
        assert_eq!(folders_of(".zshrc").count(), 0);
        let user: UserName = "ada".parse().unwrap();
        let programs = given(&user, &[".zshrc", ".ssh/config"]);
        let said: Vec<String> = programs.iter().map(|p| format!("{} {}", p.path, p.args.join(" "))).collect();
        assert_eq!(
            said,
            [
                "/bin/chown -h ada:ada /home/ada/.ssh /home/ada/.zshrc /home/ada/.ssh/config",
                "/bin/chmod 0700 /home/ada/.ssh"
            ]
        );
        assert!(given(&user, &[]).is_empty());
    }

    #[test]
    fn no_command_line_gets_too_long() {
        let names: Vec<String> = (0..2000).map(|n| format!(".config/{n:0100}")).collect();
        let paths: Vec<&str> = names.iter().map(String::as_str).collect();
        let runs = at_once(&paths);
        assert!(
            runs.len() > 2 && runs.iter().all(|run| run.iter().map(|p| p.len()).sum::<usize>() < AT_ONCE)
        );
        assert_eq!(runs.concat(), paths);
    }
}
