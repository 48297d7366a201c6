//! The same rules in the words of each tool, read by the tools themselves.

use super::super::testing::planned;
use crate::effects::{Cancel, Process};
use crate::model::spec::{Base, Init};
use serde_json::{Value, json};

fn fields(backend: &str) -> Value {
    json!({"securityFeatures": {"firewall": {"backend": backend, "policy": "deny", "rules": [
        {"action": "allow", "port": 22},
        {"action": "allow", "port": 53, "protocol": "udp", "source": "10.1.0.0/16"},
        {"action": "deny", "port": 23},
        {"action": "allow", "port": 443, "source": "2001:db8::/32"}]}}})
}

/// What a program says to a text on its standard input, in a network of its own.
fn read_by(program: &str, args: &[&str], text: &str) -> Result<(), String> {
    let output = Process::new("unshare")
        .args(["--net", program])
        .args(args)
        .stdin(text.to_owned())
        .run(&Cancel::default())
        .unwrap_or_else(|f| panic!("{program}: {f:?}"));
    if output.status.success() { Ok(()) } else { Err(output.tail()) }
}

fn accepted(program: &str, args: &[&str], text: &str) {
    match read_by(program, args, text) {
        // A container's kernel may have none of the old tables: the words were read by then.
        Err(words)
            if words.contains("Table does not exist") || words.contains("Could not fetch rule set") =>
        {
            println!("SKIPPED: this kernel has no tables for {program}: {words}");
        }
        result => assert_eq!(result, Ok(()), "{program}\n{text}"),
    }
}

#[test]
fn nftables_reads_its_rules() {
    let plan = planned(Base::DEBIAN, None, &fields("nftables"), &["nftables"]);
    let text = plan.text("etc/nftables.conf").unwrap();
    accepted("/usr/sbin/nft", &["--check", "--file", "-"], text);
    let broken = text.replace("tcp dport 22", "tcp dport port");
    assert!(read_by("/usr/sbin/nft", &["--check", "--file", "-"], &broken).is_err());
    assert_eq!(plan.checks.iter().filter(|c| c.field.contains("firewall.rules")).count(), 4);
}

#[test]
fn iptables_reads_its_rules_wherever_they_lie() {
    for (base, init, v4, service) in [
        (Base::DEBIAN, None, "etc/iptables/rules.v4", "netfilter-persistent.service"),
        (Base::FEDORA, None, "etc/sysconfig/iptables", "iptables.service"),
        (Base::ALPINE, None, "etc/iptables/rules-save", "iptables"),
        (Base::VOID, None, "etc/iptables/iptables.rules", "ip6tables"),
        (Base::OPENSUSE, None, "etc/iptables/iptables.rules", "bootwright-iptables.service"),
        (Base::GENTOO, Some(Init::Systemd), "var/lib/iptables/rules-save", "iptables-restore.service"),
        (Base::GENTOO, Some(Init::Openrc), "var/lib/iptables/rules-save", "iptables"),
    ] {
        let plan = planned(base, init, &fields("iptables"), &[]);
        assert!(plan.on.contains(service), "{base:?}: {:?}", plan.on);
        let text = plan.text(v4).unwrap_or_else(|| panic!("{base:?}"));
        assert!(text.contains("-s 10.1.0.0/16 -p udp") && !text.contains("2001:db8"), "{text}");
        accepted("/usr/sbin/iptables-restore", &["--test"], text);
    }
    let plan = planned(Base::DEBIAN, None, &fields("iptables"), &[]);
    let v6 = plan.text("etc/iptables/rules.v6").unwrap();
    assert!(v6.contains("-s 2001:db8::/32 -p tcp") && !v6.contains("10.1.0.0"), "{v6}");
    accepted("/usr/sbin/ip6tables-restore", &["--test"], v6);
}

#[test]
fn ufw_gets_the_files_that_its_command_would_write() {
    let plan = planned(Base::DEBIAN, None, &fields("ufw"), &[]);
    assert!(plan.text("etc/ufw/ufw.conf").unwrap().contains("ENABLED=yes"));
    assert!(plan.text("etc/default/ufw").unwrap().contains("DEFAULT_INPUT_POLICY=\"DROP\""));
    let v4 = plan.text("etc/ufw/user.rules").unwrap();
    assert!(v4.contains("### tuple ### deny tcp 23 0.0.0.0/0 any 0.0.0.0/0 in\n"), "{v4}");
    assert!(v4.contains("### tuple ### allow udp 53 0.0.0.0/0 any 10.1.0.0/16 in\n"), "{v4}");
    accepted("/usr/sbin/iptables-restore", &["--test", "--noflush"], v4);
    let v6 = plan.text("etc/ufw/user6.rules").unwrap();
    assert!(v6.contains("-A ufw6-user-input -p tcp --dport 443 -s 2001:db8::/32 -j ACCEPT"), "{v6}");
    accepted("/usr/sbin/ip6tables-restore", &["--test", "--noflush"], v6);
    assert!(plan.on.contains("ufw.service"), "{:?}", plan.on);
}
