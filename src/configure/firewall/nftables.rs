//! nftables: one rule set that the distribution's own service loads.

use super::{Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Base, Family, Firewall, FirewallAction};

pub(super) fn plan(system: &System<'_>, firewall: &Firewall, plan: &mut Plan) {
    let path = path(system.base);
    plan.file(path, 0o755, rules(firewall));
    let check = Program::new(
        "checking the firewall rules",
        "/usr/sbin/nft",
        &["--check", "--file", &format!("/{path}")],
    );
    plan.test(check.asking_kernel());
    let shows = |contains: String| Expect::Output {
        argv: ["/usr/sbin/nft", "list", "chain", "inet", "filter", "input"].map(str::to_owned).to_vec(),
        contains,
    };
    plan.check(
        "spec.securityFeatures.firewall.policy",
        shows(format!("policy {};", verdict(firewall.policy))),
    );
    for (index, rule) in firewall.rules.iter().enumerate() {
        let line = format!("{} dport {} {}", rule.protocol.as_str(), rule.port, verdict(rule.action));
        plan.check(&format!("spec.securityFeatures.firewall.rules[{index}]"), shows(line));
    }
}

/// Where the distribution's own service looks for rules.
fn path(base: Base) -> &'static str {
    match base.family() {
        Family::Alpine => "etc/nftables.nft",
        Family::Fedora => "etc/sysconfig/nftables.conf",
        Family::Gentoo => "var/lib/nftables/rules-save",
        _ => "etc/nftables.conf",
    }
}

fn verdict(action: FirewallAction) -> &'static str {
    match action {
        FirewallAction::Allow => "accept",
        FirewallAction::Deny => "drop",
    }
}

/// An nftables rule set for incoming traffic (man nft). ICMP and ICMPv6 go by number: a small
/// root has no `/etc/protocols`.
fn rules(firewall: &Firewall) -> String {
    let rules: String = firewall
        .rules
        .iter()
        .map(|rule| {
            let source = match &rule.source {
                Some(net) if net.contains(':') => format!("ip6 saddr {net} "),
                Some(net) => format!("ip saddr {net} "),
                None => String::new(),
            };
            format!("\t\t{source}{} dport {} {}\n", rule.protocol.as_str(), rule.port, verdict(rule.action))
        })
        .collect();
    format!(
        "#!/usr/sbin/nft -f\nflush ruleset\n\ntable inet filter {{\n\tchain input {{\n\
         \t\ttype filter hook input priority filter; policy {};\n\
         \t\tct state established,related accept\n\t\tct state invalid drop\n\t\tiif lo accept\n\
         \t\tmeta l4proto {{ 1, 58 }} accept\n{rules}\t}}\n}}\n",
        verdict(firewall.policy)
    )
}
