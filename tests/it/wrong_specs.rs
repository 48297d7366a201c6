//! `docs/wrong-specs.md`: ten wrong specs, and exactly what is said to each.

use crate::catalog::in_memory;
use bootwright::catalog::{self, Severity, diagnostic};

const CASES: [(&str, &str, &str); 10] = [
    (
        "A slip of the hand",
        "An unknown field, a value that is nearly right, a word where a truth value belongs.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: edge}
spec:
  base: debain
  suite: bookworm
  packges: {utils: [htop]}
  paused: yes
",
    ),
    (
        "A field in the wrong place",
        "Right names, one level off.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: edge}
spec:
  base: debian
  suite: bookworm
  hostname: gateway
  firewall: {policy: deny}
",
    ),
    (
        "Hyprland on X",
        "Fields that are right alone and wrong together.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: desk}
spec:
  base: arch
  suite: rolling
  display: {server: xorg, compositor: hyprland, bar: waybar, terminal: foot, launcher: wofi}
  defaults:
    users: [{name: ann, passwordHash: $y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7}]
  verify: {memoryMib: 2048}
",
    ),
    (
        "Two guards, one door",
        "Mandatory access control that contradicts itself and the distribution.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: server}
spec:
  base: fedora
  suite: '41'
  init: runit
  securityFeatures:
    mac: [selinux, apparmor]
",
    ),
    (
        "A disk that cannot start",
        "Encryption, boot loader and filesystem, each against the other.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: laptop}
spec:
  base: debian
  suite: trixie
  outputs: [disk]
  filesystem:
    root: ext4
    compression: true
    encryption: luks2
    partitions:
      - {mount: /boot, size: 1GiB, encrypted: true}
      - {mount: /, size: rest}
    snapshots: {enabled: true, interval: hourly}
",
    ),
    (
        "A server that nobody can reach",
        "Every line is valid, and still nobody gets in.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: web}
spec:
  base: debian
  suite: bookworm
  packages: {servers: [nginx]}
  defaults:
    users: [{name: ann, sudo: true}]
  securityFeatures:
    firewall: {policy: deny}
    ssh: {allowUsers: [anne]}
",
    ),
    (
        "A secret in a public place",
        "The line with the secret is not shown again.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: edge}
spec:
  base: debian
  suite: bookworm
  kernel:
    customFlags: [wg.token=c2VjcmV0LWtleS1vZi1hLXR1bm5lbA]
  defaults:
    users: [{name: ann, passwordHash: hunter2}]
",
    ),
    (
        "Backups that would not help",
        "",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: nas}
spec:
  base: debian
  suite: bookworm
  backup:
    tool: borg
    schedule: every night
    destinations: [/home/backup, 's3://bucket/nas']
",
    ),
    (
        "A small machine of another kind",
        "ARM has no BIOS, and Alpine no glibc.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: pi}
spec:
  base: alpine
  suite: v3.20
  architecture: aarch64
  packages: {ai_ml: [cuda], utils: [steam]}
  services: {enable: [ollama.service]}
",
    ),
    (
        "Values out of bounds",
        "Numbers, sizes, times and names, each with the form that it should have.",
        "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: Edge Gateway}
spec:
  base: debian
  suite: bookworm
  limits: {isoSize: 2 gigs}
  schedule: '0 25 * * *'
  securityFeatures:
    ssh: {port: 70000, fail2ban: true, banTime: 10 minutes}
  defaults: {timezone: Berlin}
",
    ),
];

fn page() -> String {
    let mut text = String::from(
        "<!-- Made by `UPDATE=1 cargo test --test it wrong_specs`; do not edit. -->
# Ten wrong specs

What `bootwright check` says to specs that are wrong, word for word. Every problem of every
document is told at once, with its place and what to do about it. Rules that a message comes
from are in [rules](rules.md); `bootwright explain FIELD` tells more about a field.
",
    );
    for (at, (title, about, spec)) in CASES.iter().enumerate() {
        let (_, found) = catalog::check(&in_memory(&[("specs/x.yaml", spec)]));
        assert!(found.iter().any(|d| d.severity == Severity::Error), "{title}");
        let said = diagnostic::render(&found, false);
        text.push_str(&format!("\n## {}. {title}\n\n", at + 1));
        if !about.is_empty() {
            text.push_str(&format!("{about}\n\n"));
        }
        text.push_str(&format!("```yaml\n{spec}```\n\n```text\n{said}```\n"));
    }
    text
}

#[test]
fn the_page_is_current() {
    let path = crate::catalog::root().join("docs/wrong-specs.md");
    let text = page();
    assert!(
        !text.contains("hunter2\n  |") && text.matches("c2VjcmV0").count() == 1,
        "a secret is shown again"
    );
    #[expect(clippy::disallowed_methods, reason = "a switch of this test")]
    if std::env::var_os("UPDATE").is_some_and(|v| v == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/wrong-specs.md is not current: run this test once with UPDATE=1");
}
