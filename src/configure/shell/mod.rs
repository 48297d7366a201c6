//! The login shell of users who name none, and what the shells of users load: a framework
//! with its theme, and what draws the prompt.
//!
//! Frameworks lie below `/usr/share` for all users, as a package would put them; each user's
//! own rc file loads them. It is written only for users whose shell is the framework's.

mod frameworks;
mod prompts;
mod rc;

use super::{Needs, Plan, System};
use crate::model::spec::{Base, Family, Origin, OsSpec, Prompt, Shell, User};
use crate::tables;

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let looks = &spec.customization;
    if let Some(shell) = looks.shell {
        needs.package("spec.customization.shell", "base", shell.as_str());
    }
    if let Some(prompt) = looks.prompt.filter(|_| looks.prompt_source.is_none()) {
        needs.package("spec.customization.prompt", "utils", prompt.as_str());
    }
}

/// What no package brings, each with its folder of the root.
pub fn sources(spec: &OsSpec) -> Vec<(String, Origin<'_>)> {
    let looks = &spec.customization;
    let framework = looks.shell_framework.map(|f| f.as_str()).zip(looks.shell_framework_source.as_ref());
    let prompt = looks.prompt.map(Prompt::as_str).zip(looks.prompt_source.as_ref());
    let both = framework.into_iter().chain(prompt);
    both.filter_map(|(name, source)| Some((folder(name), source.origin()?))).collect()
}

/// Where a source's files go, without the leading slash.
fn folder(name: &str) -> String {
    format!("usr/share/{name}")
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    for user in &system.configuration.users {
        if let Some(shell) = shell_of(system, user) {
            rc::plan(system, user, shell, plan);
        }
    }
}

/// The shell of a user, if it is one that is known here.
fn shell_of(system: &System<'_>, user: &User) -> Option<Shell> {
    let path = user.shell.clone().unwrap_or_else(|| of_all(system));
    let name = path.rsplit('/').next().unwrap_or_default();
    [Shell::Bash, Shell::Zsh, Shell::Fish].into_iter().find(|shell| shell.as_str() == name)
}

/// The shell of users who name none, by its path.
pub(super) fn of_all(system: &System<'_>) -> String {
    match system.configuration.customization.shell {
        Some(shell) => path(system.base, shell),
        None if system.base.family() == Family::Alpine => "/bin/ash".to_owned(),
        None => "/bin/bash".to_owned(),
    }
}

/// Where a distribution's package puts a shell.
fn path(base: Base, shell: Shell) -> String {
    let (name, folders) = match shell {
        Shell::Bash => ("bash", ["/bin", "/usr/bin"]),
        Shell::Zsh => ("zsh", ["/usr/bin", "/bin"]),
        Shell::Fish => ("fish", ["/usr/bin", "/bin"]),
    };
    let paths = folders.map(|folder| format!("{folder}/{name}"));
    let known = paths.iter().find(|path| tables::of(base).shell(path).is_some());
    known.unwrap_or(&paths[0]).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `useradd` takes any path; login refuses one that is not there.
    #[test]
    fn every_distribution_has_every_shell_somewhere() {
        for base in Base::all() {
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                let path = path(base, shell);
                assert!(tables::of(base).shell(&path).is_some(), "{path} on {}", base.as_str());
            }
        }
        assert_eq!(path(Base::GENTOO, Shell::Fish), "/bin/fish");
        assert_eq!(path(Base::DEBIAN, Shell::Zsh), "/usr/bin/zsh");
    }
}
