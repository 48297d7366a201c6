//! Locale, time zone and users.

use super::{Report, doubled, text};
use crate::model::spec::{OsImage, User};

/// Accounts that Debian's base-passwd and the packages of every image bring along.
const RESERVED: [&str; 34] = [
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "gnats",
    "_apt",
    "nobody",
    "nogroup",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-journal",
    "systemd-coredump",
    "messagebus",
    "sshd",
    "adm",
    "tty",
    "disk",
    "sudo",
    "shadow",
    "staff",
    "users",
];

pub fn check(report: &mut Report<'_>, image: &OsImage) {
    let defaults = &image.spec.defaults;
    if let Some(locale) = &defaults.locale
        && !text::is_locale(locale)
    {
        report.error(
            "spec.defaults.locale",
            format!("{locale:?} is not a UTF-8 locale"),
            "Write it as en_US.UTF-8, de_DE.UTF-8@euro or C.UTF-8.",
        );
    }
    if let Some(zone) = &defaults.timezone {
        time_zone(report, "spec.defaults.timezone", zone);
    }
    for (index, user) in defaults.users.iter().enumerate() {
        let field = format!("spec.defaults.users[{index}]");
        check_user(report, &field, user);
        if defaults.users[..index].iter().any(|u| u.name == user.name) {
            report.error(
                &format!("{field}.name"),
                format!("user {} is declared twice", user.name),
                "Keep one of the two.",
            );
        }
    }
}

/// Checks a field that names an IANA time zone.
pub fn time_zone(report: &mut Report<'_>, field: &str, zone: &str) {
    if let Err(near) = text::check_time_zone(zone) {
        let hint = near.map_or("Write it as Europe/Berlin.".to_owned(), |n| format!("Did you mean {n}?"));
        report.error(field, format!("{zone:?} is not an IANA time zone"), hint);
    }
}

fn check_user(report: &mut Report<'_>, field: &str, user: &User) {
    let name = user.name.as_str();
    if RESERVED.contains(&name) || name.starts_with("systemd-") {
        report.error(
            &format!("{field}.name"),
            format!("{name} is an account or group of the system itself"),
            if name == "root" {
                "Root stays locked; declare a user of your own with `sudo: true`."
            } else {
                "Choose another name."
            },
        );
    }
    if let Some(hash) = &user.password_hash
        && let Err(why) = text::check_password_hash(hash)
    {
        report.error(
            &format!("{field}.passwordHash"),
            format!("the passwordHash of {name} is {why}"),
            "Make one with `mkpasswd -m yescrypt` or `openssl passwd -6`. A password that stood here in clear text is known now: do not use it again.",
        );
    }
    doubled(report, &format!("{field}.groups"), &user.groups);
    for (index, key) in user.ssh_keys.iter().enumerate() {
        let field = format!("{field}.sshKeys[{index}]");
        if let Err(why) = text::check_ssh_key(key) {
            report.error(
                &field,
                format!("this is not an OpenSSH public key: {why}"),
                "Copy the line of a .pub file.",
            );
        } else if user.ssh_keys[..index].contains(key) {
            report.error(&field, "this key is listed twice", "Keep one of the two.");
        }
    }
    if let Some(shell) = &user.shell {
        check_shell(report, &format!("{field}.shell"), shell);
    }
}

fn check_shell(report: &mut Report<'_>, field: &str, shell: &str) {
    let sane = shell.starts_with('/')
        && shell.len() <= 255
        && !shell.ends_with('/')
        && shell.split('/').skip(1).all(|p| !p.is_empty() && p != "." && p != "..")
        && shell.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if !sane {
        report.error(
            field,
            format!("{shell:?} is not the path of a shell"),
            "Write a full path: /bin/bash, /usr/bin/zsh, /usr/bin/fish, /usr/sbin/nologin.",
        );
    }
}
