//! A server that other init systems than systemd start, behind the older packet filters: what it
//! declares is found in the booted machine, and what can be reached from outside is what its
//! rules say.

use super::hardened::Machine;
use super::{Image, all_found, boots, file, machine};

const SERVER: &str = r#"apiVersion: bootwright/v1
kind: OsImage
metadata: {name: NAME}
spec:
  base: debian
  suite: bookworm
  init: INIT
  architecture: x86_64
  outputs: [iso, rootfs]
  channel: stable
  kernel: {modules: {enable: [dummy], disable: [dccp]}}
  filesystem: {swap: {kind: zram, size: 256MiB}}
  packages: {networking: [ca-certificates, curl], servers: [nginx]}
  services:
    enable: [nginx]
    disable: [rsync]
    monitoring: [{name: node-exporter}]
  defaults:
    users:
      - name: admin
        sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxjweeCU3cN1JeEc92uw8BYH/IEhaqAaZL5BvZC0ESS demo key, its private half was thrown away"]
  securityFeatures:
    firewall:
      backend: FILTER
      policy: deny
      rules: [{action: allow, port: 22}, {action: allow, port: 80}]
    ssh: {allowUsers: [admin], fail2ban: true}
    kernelHardening: [restrict-dmesg, disable-sysrq]
  backup: {tool: restic, destinations: [/srv/backup], schedule: daily, keyFile: /etc/backup.key, retention: {keepDaily: 7}, paths: [/etc]}
  postInstall: {systemTuning: {swappiness: 10, openFiles: 65536}}
  verify: {boot: [bios], dwellSeconds: 5, units: [nginx, ssh, cron], ports: [22, 80]}
"#;

fn server(name: &'static str, variant: &str, init: &str, filter: &str) -> Image {
    let text = SERVER.replace("NAME", name).replace("INIT", init).replace("FILTER", filter);
    Image::of(name, variant, &text)
}

/// The image, everything of which was found, and a machine that shows its ports.
fn starts(image: &Image) {
    let (release, manifest) = image.publish();
    let boots = boots(&manifest);
    assert_eq!(boots.len(), 1);
    for findings in &boots {
        assert!(all_found(findings) >= 20, "{findings:#?}");
        let told = |text: &str| findings.iter().any(|f| f.starts_with(text));
        for unit in ["nginx", "ssh", "cron"] {
            assert!(told(&format!("unit {unit}.service: active")), "{unit}: {findings:#?}");
        }
        for field in [
            "spec.backup.schedule: ",
            "spec.defaults.hostname: ",
            "spec.defaults.users[0]: ",
            "spec.filesystem.swap.kind: ",
            "spec.filesystem.swap.size: ",
            "spec.kernel.modules.disable[0]: ",
            "spec.kernel.modules.enable[0]: ",
            "spec.postInstall.systemTuning.swappiness: ",
            "spec.securityFeatures.firewall.policy: ",
            "spec.securityFeatures.firewall.rules[1]: ",
            "spec.securityFeatures.kernelHardening[1]: ",
            "spec.securityFeatures.ssh.fail2ban: ",
            "spec.services.disable[0]: ",
            "spec.services.monitoring[0]: ",
        ] {
            assert!(told(field), "{field}: {findings:#?}");
        }
    }
    Machine::start(&file(&release, ".iso")).answers_where_it_should();
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn debian_starts_by_openrc_behind_iptables() {
    let _one = machine();
    starts(&server("openrc-server", "", "openrc", "iptables"));
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn debian_starts_by_runit_behind_ufw() {
    let _one = machine();
    starts(&server("runit-server", "", "runit", "ufw"));
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn debian_starts_by_s6_behind_nftables() {
    let _one = machine();
    starts(&server("s6-server", "", "s6", "nftables"));
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn a_rule_that_is_not_loaded_is_refused_by_its_field() {
    let _one = machine();
    let image = server("openrc-server", "-broken", "openrc", "iptables");
    // Laid over ours: port 80 is forgotten.
    image.overlay(
        "etc/iptables/rules.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n",
    );
    let words = image.refused();
    let named = "spec.securityFeatures.firewall.rules[1]: expected";
    assert!(words.contains(named) && !words.contains("firewall.rules[0]"), "{words}");
}
