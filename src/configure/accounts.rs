//! Accounts: users, their groups, shells, passwords and keys; root is locked.

use super::{Account, Needs, Plan, Program, System, shell};
use crate::model::check::Expect;
use crate::model::spec::{Base, Family, OsSpec, User};

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    for (index, user) in spec.defaults.users.iter().enumerate() {
        if user.sudo {
            needs.package(&format!("spec.defaults.users[{index}].sudo"), "base", "sudo");
        }
    }
}

/// The group whose members may use sudo.
fn administrators(base: Base) -> &'static str {
    if base.family() == Family::Debian { "sudo" } else { "wheel" }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    plan.run(Program::new("locking root", "/usr/sbin/usermod", &["--lock", "root"]));
    let users = &system.configuration.users;
    for (index, user) in users.iter().enumerate() {
        account(system, user, &format!("spec.defaults.users[{index}]"), plan);
    }
    if users.iter().any(|u| u.sudo) && !system.is_debian() {
        plan.file("etc/sudoers.d/10-wheel", 0o440, "%wheel ALL=(ALL:ALL) ALL\n");
    }
}

fn account(system: &System<'_>, user: &User, field: &str, plan: &mut Plan) {
    let name = &user.name;
    let mut groups: Vec<String> = user.groups.iter().map(ToString::to_string).collect();
    let administrators = administrators(system.base);
    if user.sudo && !groups.iter().any(|g| g == administrators) {
        groups.push(administrators.to_owned());
    }
    let shell = user.shell.clone().unwrap_or_else(|| shell::of_all(system));
    plan.check(
        field,
        Expect::User { name: name.clone(), shell: Some(shell.clone()), groups: groups.clone() },
    );
    plan.accounts.push(Account {
        name: name.clone(),
        shell,
        groups,
        password_hash: user.password_hash.clone(),
    });
    if !user.ssh_keys.is_empty() {
        let keys: String = user.ssh_keys.iter().map(|k| format!("{k}\n")).collect();
        let path = format!("home/{name}/.ssh/authorized_keys");
        plan.file_of(name, &path, 0o600, keys);
        plan.check(
            &format!("{field}.sshKeys"),
            Expect::File {
                path: format!("/{path}"),
                mode: Some(0o600),
                owner: Some(name.to_string()),
                sha256: None,
            },
        );
    }
}
