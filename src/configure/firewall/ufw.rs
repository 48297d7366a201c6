//! ufw: the files that its command would write, so that none has to run in a live kernel.

use super::Plan;
use crate::model::check::Expect;
use crate::model::spec::{Firewall, FirewallAction, FirewallRule};

pub(super) fn plan(firewall: &Firewall, plan: &mut Plan) {
    plan.file("etc/ufw/ufw.conf", 0o644, "ENABLED=yes\nLOGLEVEL=low\n");
    plan.file("etc/default/ufw", 0o644, defaults(firewall.policy));
    plan.file("etc/ufw/user.rules", 0o640, rules(firewall, false));
    plan.file("etc/ufw/user6.rules", 0o640, rules(firewall, true));
    // What the kernel has: ufw's own word for it comes out of its files.
    let shows = |tool: &str, chain: &str, contains: String| Expect::Output {
        argv: vec![format!("/usr/sbin/{tool}"), "-S".to_owned(), chain.to_owned()],
        contains,
    };
    let policy = format!("-P INPUT {}", input(firewall.policy));
    plan.check("spec.securityFeatures.firewall.policy", shows("iptables", "INPUT", policy));
    for (index, rule) in firewall.rules.iter().enumerate() {
        let v6 = rule.source.as_ref().is_some_and(|source| source.contains(':'));
        let (tool, chain) =
            if v6 { ("ip6tables", "ufw6-user-input") } else { ("iptables", "ufw-user-input") };
        let (protocol, port) = (rule.protocol.as_str(), rule.port);
        let line = format!("-p {protocol} -m {protocol} --dport {port} -j {}", input(rule.action));
        plan.check(&format!("spec.securityFeatures.firewall.rules[{index}]"), shows(tool, chain, line));
    }
}

fn input(action: FirewallAction) -> &'static str {
    match action {
        FirewallAction::Allow => "ACCEPT",
        FirewallAction::Deny => "DROP",
    }
}

/// `/etc/default/ufw` (man ufw-framework): all of its variables, since the file is replaced.
fn defaults(policy: FirewallAction) -> String {
    let input = input(policy);
    format!(
        "IPV6=yes\nDEFAULT_INPUT_POLICY=\"{input}\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\n\
         DEFAULT_FORWARD_POLICY=\"DROP\"\nDEFAULT_APPLICATION_POLICY=\"SKIP\"\nMANAGE_BUILTINS=no\n\
         IPT_SYSCTL=/etc/ufw/sysctl.conf\nIPT_MODULES=\"\"\n"
    )
}

/// The chains that ufw fills.
const CHAINS: [&str; 14] = [
    "user-input",
    "user-output",
    "user-forward",
    "before-logging-input",
    "before-logging-output",
    "before-logging-forward",
    "user-logging-input",
    "user-logging-output",
    "user-logging-forward",
    "after-logging-input",
    "after-logging-output",
    "after-logging-forward",
    "logging-deny",
    "logging-allow",
];

/// `user.rules` and `user6.rules`: a comment that ufw itself reads the rule from (`tuple`), and
/// the rule as the kernel gets it.
fn rules(firewall: &Firewall, v6: bool) -> String {
    let (ufw, anywhere) = if v6 { ("ufw6", "::/0") } else { ("ufw", "0.0.0.0/0") };
    let mut text = "*filter\n".to_owned();
    let limits = ["user-limit", "user-limit-accept"];
    for chain in CHAINS.iter().chain(&limits) {
        text.push_str(&format!(":{ufw}-{chain} - [0:0]\n"));
    }
    text.push_str("### RULES ###\n");
    let of_version =
        |rule: &&FirewallRule| rule.source.as_ref().is_none_or(|source| source.contains(':') == v6);
    for rule in firewall.rules.iter().filter(of_version) {
        let word = match rule.action {
            FirewallAction::Allow => "allow",
            FirewallAction::Deny => "deny",
        };
        let target = input(rule.action);
        let (protocol, port) = (rule.protocol.as_str(), rule.port);
        let source = rule.source.as_deref().unwrap_or(anywhere);
        let only = rule.source.as_ref().map(|net| format!("-s {net} ")).unwrap_or_default();
        text.push_str(&format!(
            "\n### tuple ### {word} {protocol} {port} {anywhere} any {source} in\n\
             -A {ufw}-user-input -p {protocol} --dport {port} {only}-j {target}\n"
        ));
    }
    text.push_str("\n### END RULES ###\n\n### LOGGING ###\n");
    for chain in ["input", "forward"] {
        let deny = format!("-A {ufw}-after-logging-{chain} -j LOG --log-prefix \"[UFW BLOCK] \"");
        text.push_str(&format!("{deny} -m limit --limit 3/min --limit-burst 10\n"));
    }
    text.push_str(&format!(
        "### END LOGGING ###\n\n### RATE LIMITING ###\n-A {ufw}-user-limit -j REJECT\n\
         -A {ufw}-user-limit-accept -j ACCEPT\n### END RATE LIMITING ###\nCOMMIT\n"
    ));
    text
}
