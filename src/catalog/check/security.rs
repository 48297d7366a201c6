//! Firewall and SSH.

use super::{Report, doubled, text};
use crate::model::spec::{Firewall, OsImage, Ssh};

pub fn check(report: &mut Report<'_>, image: &OsImage) {
    let features = &image.spec.security_features;
    if let Some(firewall) = &features.firewall {
        check_firewall(report, firewall);
    }
    if let Some(ssh) = &features.ssh {
        check_ssh(report, ssh);
    }
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

fn check_ssh(report: &mut Report<'_>, ssh: &Ssh) {
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
}
