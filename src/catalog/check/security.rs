//! Firewall and SSH.

use super::{Report, doubled, text};
use crate::model::spec::{Firewall, FirewallAction, OsImage, Protocol, Ssh};

pub fn check(report: &mut Report<'_>, image: &OsImage) {
    let features = &image.spec.security_features;
    if let Some(firewall) = &features.firewall {
        check_firewall(report, firewall);
    }
    if let Some(ssh) = &features.ssh {
        check_ssh(report, ssh, image);
        if let Some(firewall) = &features.firewall
            && firewall.policy == FirewallAction::Deny
            && !lets_in(firewall, ssh.port)
        {
            report.warn(
                "spec.securityFeatures.firewall",
                format!("nobody can reach SSH: the firewall denies port {}", ssh.port),
                format!("Add the rule {{action: allow, port: {}, protocol: tcp}}.", ssh.port),
            );
        }
    }
}

fn lets_in(firewall: &Firewall, port: std::num::NonZeroU16) -> bool {
    firewall
        .rules
        .iter()
        .any(|r| r.action == FirewallAction::Allow && r.port == port && r.protocol == Protocol::Tcp)
}

fn check_firewall(report: &mut Report<'_>, firewall: &Firewall) {
    for (index, rule) in firewall.rules.iter().enumerate() {
        let field = format!("spec.securityFeatures.firewall.rules[{index}]");
        if let Some(source) = &rule.source
            && let Err(why) = text::check_network(source)
        {
            report.error(
                &format!("{field}.source"),
                format!("{source:?} is not a network: {why}"),
                "Write it as 192.0.2.0/24 or 2001:db8::/32; leave it away for any source.",
            );
        }
        let same_match = |other: &&crate::model::spec::FirewallRule| {
            other.port == rule.port && other.protocol == rule.protocol && other.source == rule.source
        };
        if let Some(first) = firewall.rules[..index].iter().find(same_match) {
            let what = if first.action == rule.action { "repeats" } else { "contradicts" };
            report.error(
                &field,
                format!("this rule {what} an earlier one for port {}/{}", rule.port, rule.protocol.as_str()),
                "The first rule that fits decides; keep one of the two.",
            );
        }
    }
}

fn check_ssh(report: &mut Report<'_>, ssh: &Ssh, image: &OsImage) {
    let users = &image.spec.defaults.users;
    if let Some(tries) = ssh.max_retries
        && !(1..=20).contains(&tries)
    {
        report.error(
            "spec.securityFeatures.ssh.maxRetries",
            format!("{tries} login attempts cannot be set"),
            "Use 1 to 20.",
        );
    }
    doubled(report, "spec.securityFeatures.ssh.allowUsers", &ssh.allow_users);
    let users_known = report.intact("spec.defaults.users");
    for (index, name) in ssh.allow_users.iter().enumerate() {
        let known =
            users.iter().any(|u| u.name == *name) || (name.as_str() == "root" && ssh.permit_root_login);
        if !known && users_known {
            report.error(
                &format!("spec.securityFeatures.ssh.allowUsers[{index}]"),
                format!("there is no user {name}"),
                "Declare it in `defaults.users`, or take it away here.",
            );
        }
    }
    let may =
        |name: &crate::model::name::UserName| ssh.allow_users.is_empty() || ssh.allow_users.contains(name);
    let somebody = users.iter().any(|u| {
        may(&u.name) && (!u.ssh_keys.is_empty() || (ssh.password_authentication && u.password_hash.is_some()))
    });
    if !somebody && users_known {
        report.warn(
            "spec.securityFeatures.ssh",
            "nobody can log in over SSH",
            "Give a user an SSH key, or set `passwordAuthentication: true` and a passwordHash.",
        );
    }
    if ssh.permit_root_login {
        report.warn(
            "spec.securityFeatures.ssh.permitRootLogin",
            "root may log in, but root stays locked and has no key",
            "Use a user with `sudo: true`, or bring a key in an overlay.",
        );
    }
}
