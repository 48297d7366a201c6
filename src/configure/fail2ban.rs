//! fail2ban: shuts addresses out that try too often to log in over SSH.

use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Family, FirewallBackend, Init, OsSpec, Ssh};

const FIELD: &str = "spec.securityFeatures.ssh.fail2ban";
/// What fail2ban itself takes when nothing is said, in tries and seconds.
const TRIES: u8 = 5;
const BAN_SECONDS: u64 = 600;

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if !spec.security_features.ssh.as_ref().is_some_and(|ssh| ssh.fail2ban) {
        return;
    }
    needs.package(FIELD, "security", "fail2ban");
    if spec.init_system() == Init::Systemd {
        // It reads the journal through this, and does not bring it along.
        match spec.base.family() {
            Family::Debian | Family::Opensuse => needs.package(FIELD, "security", "python3-systemd"),
            Family::Arch => needs.package(FIELD, "security", "python-systemd"),
            Family::Fedora => needs.package(FIELD, "security", "fail2ban-systemd"),
            Family::Gentoo => needs.package(FIELD, "security", "dev-python/python-systemd"),
            Family::Alpine | Family::Void => {}
        }
    }
    if spec.security_features.firewall.is_none() {
        needs.package(FIELD, "security", "nftables");
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let security = &system.configuration.security_features;
    let Some(ssh) = security.ssh.as_ref().filter(|ssh| ssh.fail2ban) else { return };
    let action = match security.firewall.as_ref().map(|f| f.backend) {
        Some(FirewallBackend::Iptables) => "iptables-multiport",
        Some(FirewallBackend::Ufw) => "ufw",
        Some(FirewallBackend::Nftables) | None => "nftables-multiport",
    };
    plan.file("etc/fail2ban/jail.d/bootwright.local", 0o644, jail(ssh, system.init(), action));
    if system.is_debian() && system.init() != Init::Systemd {
        // It does not start without the file that rsyslog makes only with the first word of it.
        plan.file("var/log/auth.log", 0o640, "");
    }
    plan.test(Program::new("checking fail2ban's configuration", "/usr/bin/fail2ban-client", &["-t"]));
    let Some(service) = system.service("fail2ban") else { return };
    plan.start(&service);
    plan.check(FIELD, Expect::Service { name: service, running: true });
    let says = |what: &str, contains: String| Expect::Output {
        argv: ["/usr/bin/fail2ban-client", "get", "sshd", what].map(str::to_owned).to_vec(),
        contains,
    };
    plan.check("spec.securityFeatures.ssh.maxRetries", says("maxretry", tries(ssh).to_string()));
    plan.check("spec.securityFeatures.ssh.banTime", says("bantime", ban_seconds(ssh).to_string()));
}

fn tries(ssh: &Ssh) -> u8 {
    ssh.max_retries.unwrap_or(TRIES)
}

fn ban_seconds(ssh: &Ssh) -> u64 {
    ssh.ban_time.as_ref().map_or(BAN_SECONDS, |time| time.seconds())
}

/// A jail (man jail.conf). `.local` files are read after every `.conf`, whatever a package
/// brings later.
fn jail(ssh: &Ssh, init: Init, action: &str) -> String {
    // Without systemd, a log in a file is all there is.
    let backend = if init == Init::Systemd { "systemd" } else { "auto" };
    format!(
        "[DEFAULT]\nbackend = {backend}\nbanaction = {action}\nbantime = {}\nfindtime = {}\nmaxretry = {}\n\n\
         [sshd]\nenabled = true\nbackend = {backend}\nport = {}\n",
        ban_seconds(ssh),
        BAN_SECONDS.max(ban_seconds(ssh).min(86_400)),
        tries(ssh),
        ssh.port
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{needed, planned};
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn bans_go_to_the_firewall_that_is_there() {
        for (backend, action) in
            [("nftables", "nftables-multiport"), ("iptables", "iptables-multiport"), ("ufw", "ufw")]
        {
            let fields = json!({"securityFeatures": {"firewall": {"backend": backend},
                "ssh": {"fail2ban": true, "maxRetries": 3, "banTime": "1h", "port": 2222}}});
            let plan = planned(Base::DEBIAN, None, &fields, &["openssh-server"]);
            let jail = plan.text("etc/fail2ban/jail.d/bootwright.local").unwrap();
            for line in [&format!("banaction = {action}"), "bantime = 3600", "maxretry = 3", "port = 2222"] {
                assert!(jail.lines().any(|l| l == line), "{line}: {jail}");
            }
            assert!(jail.contains("backend = systemd"), "{jail}");
            assert!(plan.on.contains("fail2ban.service"), "{:?}", plan.on);
            assert!(plan.text("var/log/auth.log").is_none());
            let plan = planned(Base::DEBIAN, Some(Init::Openrc), &fields, &["openssh-server"]);
            assert!(plan.on.contains("fail2ban") && plan.text("var/log/auth.log").is_some(), "{:?}", plan.on);
        }
        let fields = json!({"securityFeatures": {"ssh": {"fail2ban": true}}});
        let alpine = planned(Base::ALPINE, None, &fields, &[]);
        assert!(alpine.text("etc/fail2ban/jail.d/bootwright.local").unwrap().contains("backend = auto"));
        let names: Vec<String> = needed(Base::DEBIAN, &fields).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["openssh", "fail2ban", "python3-systemd", "nftables"]);
    }
}
