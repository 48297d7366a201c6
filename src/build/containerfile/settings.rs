//! Accounts, services and settings of a spec as commands and files of a Containerfile.

use super::{Rendered, word};
use crate::configure::{FileContent, Plan};
use crate::model::spec::{Base, Family, Init, OsSpec, User};
use crate::model::{Failure, Result};
use crate::resolve::ResolvedService;
use crate::tables;
use std::collections::BTreeSet;

/// Accounts and their shells.
pub(super) fn accounts(spec: &OsSpec, out: &mut Rendered) -> Result<()> {
    let default = spec.customization.shell.map(|s| s.as_str());
    for (index, user) in spec.defaults.users.iter().enumerate() {
        let shell = match (&user.shell, default) {
            (Some(shell), _) => path(shell, &format!("spec.defaults.users[{index}].shell"))?,
            (None, Some(shell)) if shell != "bash" => format!("/usr/bin/{shell}"),
            (None, _) if spec.base.family() == Family::Alpine => "/bin/ash".to_owned(),
            (None, _) => "/bin/bash".to_owned(),
        };
        let mut commands = account(spec.base, user, &shell);
        if !user.ssh_keys.is_empty() {
            let name = &user.name;
            commands.push(format!("install -d -m 0700 -o {name} -g {name} /home/{name}/.ssh"));
        }
        out.run(&commands);
        if let Some(hash) = &user.password_hash {
            // A file, not an argument: a command line stays in the image's history.
            let file = format!("accounts/{}", user.name);
            out.file(&file, 0o600, format!("{}:{hash}\n", user.name));
            out.run_with(&file, "/run/account", &["chpasswd -e < /run/account".to_owned()]);
        }
        if !user.ssh_keys.is_empty() {
            let keys: String = user.ssh_keys.iter().map(|k| format!("{k}\n")).collect();
            let file = format!("keys/{}", user.name);
            out.file(&file, 0o600, keys);
            let name = &user.name;
            out.line(&format!(
                "COPY --chown={name}:{name} --chmod=0600 {file} /home/{name}/.ssh/authorized_keys"
            ));
        }
    }
    Ok(())
}

fn account(base: Base, user: &User, shell: &str) -> Vec<String> {
    let name = user.name.as_str();
    let administrators = if base.family() == Family::Debian { "sudo" } else { "wheel" };
    let mut groups: Vec<&str> = user.groups.iter().map(|g| g.as_str()).collect();
    if user.sudo && !groups.contains(&administrators) {
        groups.push(administrators);
    }
    let mut commands = Vec::new();
    if base.family() == Family::Alpine {
        commands.push(format!("adduser -D -s {shell} {name}"));
        for group in groups {
            commands.push(format!("{{ getent group {group} || addgroup {group}; }}"));
            commands.push(format!("addgroup {name} {group}"));
        }
        return commands;
    }
    commands.extend(groups.iter().map(|group| format!("groupadd --force {group}")));
    let groups = if groups.is_empty() { String::new() } else { format!("--groups {} ", groups.join(",")) };
    commands.push(format!("useradd --create-home --user-group --shell {shell} {groups}{name}"));
    commands
}

/// Services switched on and off, by the init system's own means.
pub(super) fn services(spec: &OsSpec, from_packages: &[ResolvedService], out: &mut Rendered) -> bool {
    let init = spec.init_system();
    let mut on: BTreeSet<String> = spec.services.enable.iter().map(|u| named(u.as_str(), init)).collect();
    let off: BTreeSet<String> = spec.services.disable.iter().map(|u| named(u.as_str(), init)).collect();
    let of_row =
        |row: &str| tables::row(row).and_then(|r| r.service(spec.base, init)).map(|s| named(s, init));
    let security = &spec.security_features;
    on.extend(security.ssh.as_ref().and_then(|_| of_row("openssh")));
    on.extend(security.ssh.as_ref().filter(|s| s.fail2ban).and_then(|_| of_row("fail2ban")));
    on.extend(security.firewall.as_ref().and_then(|f| of_row(f.backend.as_str())));
    on.retain(|service| !off.contains(service));
    let others: Vec<&str> = from_packages.iter().map(|s| s.name.as_str()).collect();
    let others: Vec<&str> = others.into_iter().filter(|s| !on.contains(&named(s, init))).collect();
    if !others.is_empty() {
        out.comment(&format!(
            "Services that come with packages and are left as they are: {}.",
            others.join(", ")
        ));
    }
    if init == Init::S6 && !(on.is_empty() && off.is_empty()) {
        out.warn("s6 has no common way to switch services: see to it in a post-install script".to_owned());
        return !on.is_empty();
    }
    let mut commands: Vec<String> = on.iter().map(|service| switch(init, service, true)).collect();
    commands.extend(off.iter().map(|service| switch(init, service, false)));
    out.run(&commands);
    !on.is_empty()
}

/// Services that the overlay or a script brought, switched on once they are there.
pub(super) fn brought(spec: &OsSpec, out: &mut Rendered) {
    let init = spec.init_system();
    let units: BTreeSet<String> =
        spec.post_install.services.iter().map(|u| named(u.as_str(), init)).collect();
    if init == Init::S6 && !units.is_empty() {
        return out.warn("s6 has no common way to switch services: have a script do it".to_owned());
    }
    let commands: Vec<String> = units.iter().map(|unit| switch(init, unit, true)).collect();
    out.run(&commands);
}

/// A service's name as its init system has it.
fn named(name: &str, init: Init) -> String {
    match init {
        Init::Systemd if name.contains('.') => name.to_owned(),
        Init::Systemd => format!("{name}.service"),
        _ => name.strip_suffix(".service").unwrap_or(name).to_owned(),
    }
}

fn switch(init: Init, service: &str, on: bool) -> String {
    let quoted = word(service);
    match (init, on) {
        (Init::Systemd, true) => format!("systemctl enable {quoted}"),
        (Init::Systemd, false) => format!("systemctl disable {quoted}"),
        (Init::Openrc, true) => format!("rc-update add {quoted} default"),
        (Init::Openrc, false) => format!("rc-update del {quoted} default"),
        (Init::Runit | Init::S6, true) => {
            format!("ln -sf {} /etc/runit/runsvdir/default/", word(&format!("/etc/sv/{service}")))
        }
        (Init::Runit | Init::S6, false) => {
            format!("rm -f {}", word(&format!("/etc/runit/runsvdir/default/{service}")))
        }
    }
}

/// Files that a container's engine writes, that other lines of a Containerfile make, or that
/// only a machine of its own has a use for.
const NOT_IN_CONTAINERS: [&str; 9] = [
    "etc/hostname",
    "etc/hosts",
    "etc/localtime",
    "etc/timezone",
    "etc/default/locale",
    "etc/locale.conf",
    "etc/locale.gen",
    "etc/machine-id",
    "etc/systemd/network/80-dhcp.network",
];

/// The files of settings.
pub(super) fn files(plan: &Plan, out: &mut Rendered) {
    for file in plan.files.iter().filter(|f| f.owner.is_none()) {
        if let FileContent::Bytes { mode, bytes } = &file.content
            && !NOT_IN_CONTAINERS.contains(&file.path.as_str())
        {
            out.place(&file.path, *mode, bytes.clone());
        }
    }
}

/// A path that needs no quoting.
pub(super) fn path(text: &str, field: &str) -> Result<String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+-".contains(&b));
    if text.starts_with('/') && plain && !text.split('/').any(|part| part == "..") {
        return Ok(text.to_owned());
    }
    Err(Failure::spec(format!("{field}: {text:?} is not a plain path"))
        .hint("Use letters, digits and / . _ + - only, from / on, without `..`."))
}
