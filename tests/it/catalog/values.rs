//! Values that are well-formed and wrong.

use super::{SPEC, accepts, complaints, refuses};
use bootwright::catalog::{Severity, diagnostic};

#[test]
fn values_that_are_refused() {
    refuses("  outputs: [disk]\n  init: openrc\n", 2, "not yet built: disk images without systemd");
    refuses(
        "  architecture: aarch64\n  outputs: [disk]\n  verify: {boot: [uefi]}\n",
        2,
        "not yet built: disk images",
    );
    refuses(
        "  outputs: [disk]\n  filesystem: {root: zfs}\n",
        2,
        "not yet built: disks with this root filesystem",
    );
    refuses("  outputs: [iso, iso]\n", 1, "listed twice");
    refuses("  outputs: []\n", 1, "no output");
    refuses("  kernel: {version: linux-zen}\n", 1, "Debian has no linux-zen");
    refuses("  kernel: {version: linux-hardened}\n", 1, "Debian has no linux-hardened");
    refuses("  kernel: {customFlags: ['quiet splash']}\n", 1, "not one word");
    refuses("  kernel: {customFlags: ['a;reboot']}\n", 1, "not one word");
    refuses("  kernel: {customFlags: ['$(x)']}\n", 1, "not one word");
    refuses("  kernel: {customFlags: [\"a\\nb\"]}\n", 1, "not one word");
    refuses("  kernel: {customFlags: [init=/bin/sh]}\n", 1, "set by the boot menu");
    refuses("  kernel: {modules: {enable: [\"x\\ninstall y\"]}}\n", 1, "not the name of a kernel module");
    refuses(
        "  kernel: {modules: {enable: [nf_tables], disable: [nf-tables]}}\n",
        1,
        "both enabled and disabled",
    );
    refuses("  packages: {utils: [nano], extra: [nano]}\n", 1, "listed twice");
    refuses("  packages: {utils: [nano, nano]}\n", 1, "listed twice");
    refuses("  services: {enable: [nginx], disable: [nginx.service]}\n", 1, "both enabled and disabled");
    refuses("  defaults: {locale: english}\n", 1, "not a UTF-8 locale");
    refuses("  defaults: {timezone: Mars/Olympus}\n", 1, "not an IANA time zone");
    refuses("  schedule: '* * *'\n", 1, "three fields".replace("three fields", "3 fields").as_str());
    refuses("  schedule: '0 25 * * *'\n", 1, "is not a schedule");
    refuses("  scheduleTimeZone: Etc/UTC\n", 1, "there is no schedule");
    refuses("  limits: {ociSize: 1GiB}\n", 1, "oci is not among the outputs");
    refuses("  outputs: [oci]\n  limits: {isoSize: 1GiB}\n", 2, "iso is not among the outputs");
    refuses("  outputs: [oci]\n  verify: {boot: [bios]}\n", 2, "iso is not among the outputs");
    refuses("  outputs: [oci]\n  kernel: {customFlags: [quiet]}\n", 2, "only an ISO has a boot menu");
    refuses("  verify: {boot: []}\n", 1, "never booted");
    refuses("  verify: {boot: [bios, bios]}\n", 1, "listed twice");
    refuses("  verify: {memoryMib: 10}\n", 1, "cannot be used");
    refuses("  verify: {timeoutSeconds: 60, dwellSeconds: 60}\n", 1, "must stay up");
    refuses("  verify: {units: [x]}\n  services: {disable: [x]}\n", 2, "wants it to be active");
    refuses("  customization: {bootloader: {title: \"a\\nb\"}}\n", 1, "cannot stand in a boot menu");
    refuses("  customization: {bootloader: {title: 'a\" --x'}}\n", 1, "cannot stand in a boot menu");
    refuses("  customization: {bootloader: {timeout: 6000}}\n", 1, "too long");
}

#[test]
fn accounts_that_are_refused() {
    let user = |fields: &str| format!("  defaults: {{users: [{{{fields}}}]}}\n");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f x";
    accepts(&user(&format!("name: admin, sshKeys: ['{key}']")));
    for name in ["root", "www-data", "sshd", "systemd-network", "nobody", "_apt"] {
        refuses(&user(&format!("name: {name}, sshKeys: ['{key}']")), 1, "of the system itself");
    }
    refuses(&user("name: Admin"), 1, "is not a valid user name");
    refuses(&user("name: a, sshKeys: ['ssh-dss AAAA']"), 1, "not an OpenSSH public key");
    refuses(&user("name: a, sshKeys: [\"ssh-ed25519 AAAA\\nx\"]"), 1, "not an OpenSSH public key");
    refuses(&user(&format!("name: a, sshKeys: ['{key}', '{key}']")), 1, "listed twice");
    refuses(&user(&format!("name: a, shell: zsh, sshKeys: ['{key}']")), 1, "not the path of a shell");
    refuses(&user(&format!("name: a, shell: /bin/../x, sshKeys: ['{key}']")), 1, "not the path of a shell");
    refuses(&user(&format!("name: a, groups: [x, x], sshKeys: ['{key}']")), 1, "listed twice");
    let two = format!(
        "  defaults:\n    users:\n    - {{name: a, sshKeys: ['{key}']}}\n    - {{name: a, sshKeys: ['{key}']}}\n"
    );
    refuses(&two, 4, "declared twice");
}

#[test]
fn passwords_never_come_back() {
    for text in [
        "  defaults: {users: [{name: a, passwordHash: hunter2}]}\n",
        "  defaults: {users: [{name: a, passwordHash: 'hunter2 $6$'}]}\n",
        "  defaults:\n    users:\n    - name: a\n      passwordHash: |\n        hunter2\n",
        "  defaults: {users: [{name: a, password: hunter2}]}\n",
        "  defaults: {users: [{name: a, passwordHash: 4711hunter2, bad: x}]}\n",
        "  defaults: {users: [{name: a, passwordHash: [hunter2]}]}\n",
        "  defaults: {users: [{name: a, passwordHash: hunter2}\n",
    ] {
        let found = complaints(&format!("{SPEC}{text}"));
        assert!(found.iter().any(|d| d.severity == Severity::Error));
        let shown = diagnostic::render(&found, false) + &serde_json::to_string(&found).unwrap();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    refuses(
        "  defaults: {users: [{name: a, passwordHash: 12345678}]}\n",
        1,
        "should be a text, not a number",
    );
}

#[test]
fn security_that_is_refused() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    let users = format!("  defaults: {{users: [{{name: a, sshKeys: ['{key}']}}]}}\n");
    accepts(&format!("{users}  securityFeatures: {{ssh: {{allowUsers: [a]}}}}\n"));
    let features = |features: &str| format!("{users}  securityFeatures: {{{features}}}\n");
    accepts(&features("firewall: {backend: ufw}"));
    accepts(&features("firewall: {backend: iptables}"));
    refuses(&features("mac: [selinux]"), 2, "not yet built");
    refuses(&features("firewall: {rules: [{action: allow, port: 0}]}"), 2, "out of range");
    refuses(&features("firewall: {rules: [{action: allow}]}"), 2, "has no `port`");
    refuses(&features("firewall: {rules: [{action: permit, port: 1}]}"), 2, "is not a value");
    refuses(&features("firewall: {rules: [{action: allow, port: 1, source: any}]}"), 2, "not a network");
    refuses(
        &features("firewall: {rules: [{action: allow, port: 1, source: 10.0.0.1/8}]}"),
        2,
        "not a network",
    );
    refuses(
        &features("firewall: {rules: [{action: allow, port: 1}, {action: deny, port: 1}]}"),
        2,
        "contradicts",
    );
    refuses(
        &features("firewall: {rules: [{action: allow, port: 1}, {action: allow, port: 1}]}"),
        2,
        "repeats",
    );
    refuses(&features("ssh: {allowUsers: [b]}"), 2, "there is no user b");
    refuses(&features("ssh: {maxRetries: 0}"), 2, "cannot be set");
    refuses(&features("ssh: {}, firewal: {}"), 2, "unknown field `firewal`");
    refuses(
        &features("ssh: {}")
            .replace("users}", "x")
            .replace("securityFeatures", "services: {disable: [ssh]}\n  securityFeatures"),
        2,
        "starts it",
    );
    let warned = complaints(&format!("{SPEC}{}", features("ssh: {}, firewall: {}")));
    assert!(warned.iter().all(|d| d.severity == Severity::Warning));
    assert!(warned[0].message.contains("nobody can reach SSH"));
}
