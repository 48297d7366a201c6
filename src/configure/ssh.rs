//! The OpenSSH server.

use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Init, OsSpec, Protocol, Ssh};

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if spec.security_features.ssh.is_some() {
        needs.package("spec.securityFeatures.ssh", "networking", "openssh");
    }
}

/// A host key that lives for the question to sshd only.
const KEY_FOR_TESTS: &str = "/etc/ssh/ssh_host_ed25519_key";

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    if system.has("openssh-server") && system.is_debian() {
        match system.init() {
            Init::Systemd => {
                plan.file("etc/systemd/system/ssh.service.d/10-host-keys.conf", 0o644, HOST_KEYS);
            }
            // Its script reads this file as a part of itself.
            Init::Openrc | Init::S6 => plan.file("etc/default/ssh", 0o644, HOST_KEYS_OF_SCRIPT),
            Init::Runit => plan.file("etc/sv/ssh/run", 0o755, HOST_KEYS_OF_RUNIT),
        }
    }
    let Some(ssh) = &system.configuration.security_features.ssh else { return };
    plan.file("etc/ssh/sshd_config.d/10-bootwright.conf", 0o644, sshd(ssh));
    plan.test(Program::new(
        "making a key for a moment",
        "/usr/bin/ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", KEY_FOR_TESTS],
    ));
    plan.test(
        Program::new(
            "checking sshd's configuration",
            "/usr/sbin/sshd",
            &["-T", "-C", "user=root,host=h,addr=127.0.0.1"],
        )
        .folder("/run/sshd"),
    );
    let key = [KEY_FOR_TESTS, &format!("{KEY_FOR_TESTS}.pub")];
    plan.test(Program::new("dropping the key again", "/bin/rm", &["-f", key[0], key[1]]));
    plan.check(
        "spec.securityFeatures.ssh.port",
        Expect::Listen { protocol: Protocol::Tcp, port: ssh.port.get(), outside: Some(true) },
    );
}

/// Has sshd make its keys when it starts first. No RSA: those keys take a small machine many
/// seconds, and clients have not needed one for ten years.
const HOST_KEYS: &str = "# An image has no host keys: each machine makes its own.\n[Service]\nExecStartPre=\n\
     ExecStartPre=/bin/sh -c 'for t in ed25519 ecdsa; do f=/etc/ssh/ssh_host_$${t}_key; \
     test -s $$f || ssh-keygen -q -t $$t -N \"\" -f $$f || exit; done'\n\
     ExecStartPre=/usr/sbin/sshd -t\n";

/// The same in what Debian's script sources.
const HOST_KEYS_OF_SCRIPT: &str = "# An image has no host keys: each machine makes its own.\nSSHD_OPTS=\n\
     case ${1-} in start | restart)\n\tfor t in ed25519 ecdsa; do\n\
     \t\tf=/etc/ssh/ssh_host_${t}_key\n\t\ttest -s $f || ssh-keygen -q -t $t -N '' -f $f\n\tdone\nesac\n";

/// Debian's own service for runit tests sshd before there can be keys: ours makes them first.
const HOST_KEYS_OF_RUNIT: &str = "#!/bin/sh\n# An image has no host keys: each machine makes its own.\nset -e\nexec 2>&1\n\
     install -d -m 0755 /run/sshd\nfor t in ed25519 ecdsa; do\n\
     \tf=/etc/ssh/ssh_host_${t}_key\n\ttest -s $f || ssh-keygen -q -t $t -N '' -f $f\ndone\n\
     exec /usr/sbin/sshd -D -e\n";

/// A drop-in for sshd (man sshd_config); the first value of a setting wins, and drop-ins
/// are read first.
fn sshd(ssh: &Ssh) -> String {
    let yes = |b: bool| if b { "yes" } else { "no" };
    let mut text = format!(
        "Port {}\nPermitRootLogin {}\nPasswordAuthentication {}\nKbdInteractiveAuthentication no\n",
        ssh.port,
        yes(ssh.permit_root_login),
        yes(ssh.password_authentication)
    );
    if let Some(tries) = ssh.max_retries {
        text.push_str(&format!("MaxAuthTries {tries}\n"));
    }
    if !ssh.allow_users.is_empty() {
        let users: Vec<&str> = ssh.allow_users.iter().map(|u| u.as_str()).collect();
        text.push_str(&format!("AllowUsers {}\n", users.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use crate::effects::{Cancel, Process};
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn each_machine_makes_its_own_host_keys_whatever_starts_it() {
        for (init, path) in [
            (Init::Systemd, "etc/systemd/system/ssh.service.d/10-host-keys.conf"),
            (Init::Openrc, "etc/default/ssh"),
            (Init::Runit, "etc/sv/ssh/run"),
            (Init::S6, "etc/default/ssh"),
        ] {
            let plan = planned(Base::DEBIAN, Some(init), &json!({}), &["openssh-server"]);
            let text = plan.text(path).unwrap_or_else(|| panic!("{init:?}: {:?}", plan.files));
            assert!(text.contains("ssh-keygen -q -t $"), "{text}");
            if init != Init::Systemd {
                Process::new("sh").arg("-n").stdin(text.to_owned()).check(&Cancel::default()).unwrap();
            }
        }
        assert!(planned(Base::DEBIAN, None, &json!({}), &[]).text("etc/default/ssh").is_none());
    }
}
