//! iptables: a file for each version of IP, as iptables-restore reads it (man iptables-restore),
//! where the distribution's own service looks for it.

use super::{Plan, System};
use crate::model::check::Expect;
use crate::model::spec::{Base, Family, Firewall, FirewallAction, FirewallRule, Init};

/// Where the rules lie and what loads them.
struct Service {
    v4: &'static str,
    v6: &'static str,
    names: &'static [&'static str],
}

fn service(base: Base, init: Init) -> Service {
    let (v4, v6, names): (_, _, &[&str]) = match (base.family(), init) {
        (Family::Debian, _) => ("etc/iptables/rules.v4", "etc/iptables/rules.v6", &["netfilter-persistent"]),
        (Family::Fedora, _) => {
            ("etc/sysconfig/iptables", "etc/sysconfig/ip6tables", &["iptables", "ip6tables"])
        }
        (Family::Alpine, _) => {
            ("etc/iptables/rules-save", "etc/iptables/rules6-save", &["iptables", "ip6tables"])
        }
        (Family::Gentoo, Init::Systemd) => (
            "var/lib/iptables/rules-save",
            "var/lib/ip6tables/rules-save",
            &["iptables-restore", "ip6tables-restore"],
        ),
        (Family::Gentoo, _) => {
            ("var/lib/iptables/rules-save", "var/lib/ip6tables/rules-save", &["iptables", "ip6tables"])
        }
        (Family::Opensuse, _) => {
            ("etc/iptables/iptables.rules", "etc/iptables/ip6tables.rules", &["bootwright-iptables"])
        }
        (Family::Arch | Family::Void, _) => {
            ("etc/iptables/iptables.rules", "etc/iptables/ip6tables.rules", &["iptables", "ip6tables"])
        }
    };
    Service { v4, v6, names }
}

pub(super) fn plan(system: &System<'_>, firewall: &Firewall, plan: &mut Plan) {
    let service = service(system.base, system.init());
    plan.file(service.v4, 0o600, rules(firewall, false));
    plan.file(service.v6, 0o600, rules(firewall, true));
    if system.base.family() == Family::Opensuse {
        plan.file("etc/systemd/system/bootwright-iptables.service", 0o644, OPENSUSE);
    }
    for name in service.names {
        plan.start(&system.named(name));
    }
    let shows = |tool: &str, contains: String| Expect::Output {
        argv: [tool, "-S", "INPUT"].map(str::to_owned).to_vec(),
        contains,
    };
    let (v4, v6) = ("/usr/sbin/iptables", "/usr/sbin/ip6tables");
    let policy = format!("-P INPUT {}", target(firewall.policy));
    for tool in [v4, v6] {
        plan.check("spec.securityFeatures.firewall.policy", shows(tool, policy.clone()));
    }
    for (index, rule) in firewall.rules.iter().enumerate() {
        let tool = if applies(rule, false) { v4 } else { v6 };
        plan.check(&format!("spec.securityFeatures.firewall.rules[{index}]"), shows(tool, matched(rule)));
    }
}

/// openSUSE's package has no service of its own.
const OPENSUSE: &str = "[Unit]\nDescription=Packet filter\nDefaultDependencies=no\nAfter=local-fs.target\n\
     Before=network-pre.target shutdown.target\nWants=network-pre.target\nConflicts=shutdown.target\n\n\
     [Service]\nType=oneshot\nRemainAfterExit=yes\n\
     ExecStart=/usr/sbin/iptables-restore /etc/iptables/iptables.rules\n\
     ExecStart=/usr/sbin/ip6tables-restore /etc/iptables/ip6tables.rules\n\n\
     [Install]\nWantedBy=multi-user.target\n";

fn target(action: FirewallAction) -> &'static str {
    match action {
        FirewallAction::Allow => "ACCEPT",
        FirewallAction::Deny => "DROP",
    }
}

/// Whether a rule has to do with this version of IP.
fn applies(rule: &FirewallRule, v6: bool) -> bool {
    rule.source.as_ref().is_none_or(|source| source.contains(':') == v6)
}

fn matched(rule: &FirewallRule) -> String {
    let protocol = rule.protocol.as_str();
    format!("-p {protocol} -m {protocol} --dport {} -j {}", rule.port, target(rule.action))
}

fn rules(firewall: &Firewall, v6: bool) -> String {
    let icmp = if v6 { "ipv6-icmp" } else { "icmp" };
    let rules: String = firewall
        .rules
        .iter()
        .filter(|rule| applies(rule, v6))
        .map(|rule| {
            let source = rule.source.as_ref().map(|net| format!("-s {net} ")).unwrap_or_default();
            format!("-A INPUT {source}{}\n", matched(rule))
        })
        .collect();
    format!(
        "*filter\n:INPUT {} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -i lo -j ACCEPT\n\
         -A INPUT -p {icmp} -j ACCEPT\n{rules}COMMIT\n",
        target(firewall.policy)
    )
}
