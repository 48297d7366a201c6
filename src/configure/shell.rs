//! The login shell of users who name none.

use super::{Needs, System};
use crate::model::spec::{Base, Family, OsSpec, Shell};
use crate::tables;

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if let Some(shell) = spec.customization.shell {
        needs.package("spec.customization.shell", "base", shell.as_str());
    }
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
        assert_eq!(path(Base::Gentoo, Shell::Fish), "/bin/fish");
        assert_eq!(path(Base::Debian, Shell::Zsh), "/usr/bin/zsh");
    }
}
