//! Every rule between fields finds what it is there for, and is quiet about its cure.

use crate::catalog::in_memory;
use bootwright::catalog::{self, Diagnostic, Severity, rules};
use bootwright::model::ErrorCode;
use std::collections::BTreeMap;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const HASH: &str = "$6$bootwrightdemo$Rpygdf/.jAU8urdLdtFTeAwjrNK500dXD0uxRUt5jHJnpRt.iv524FYdZCEZOKBEybXo5vjglBUK6O6e6MJu50";

/// The findings about one spec, written as the fields of `spec` on one line each. `base`,
/// `suite` and the like stand in for those of the smallest spec.
pub fn findings(fields: &str) -> Vec<Diagnostic> {
    let fields = fields.replace("KEY", KEY).replace("HASH", HASH);
    let has = |name: &str| fields.lines().any(|line| line.starts_with(name));
    let mut text = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: edge}\nspec:\n".to_owned();
    for (name, value) in [("base:", "debian"), ("suite:", "current")] {
        if !has(name) {
            text.push_str(&format!("  {name} {value}\n"));
        }
    }
    fields.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    catalog::check(&in_memory(&[("specs/edge.yaml", &text)])).1
}

fn hits(id: &str, fields: &str) -> usize {
    findings(fields).iter().filter(|found| found.rule == Some(id)).count()
}

/// Rule, fields that break it, fields that do not.
const CASES: &[(&str, &str, &str)] = &[
    ("init-of-distribution", "base: fedora\ninit: runit", "base: void\ninit: runit"),
    ("init-of-distribution", "base: alpine\ninit: s6", "init: s6"),
    ("kernel-of-distribution", "kernel: {version: linux-zen}", "base: arch\nkernel: {version: linux-zen}"),
    ("arch-on-arm", "base: arch\narchitecture: aarch64", "base: alpine\narchitecture: aarch64"),
    ("bios-on-arm", "architecture: aarch64", "architecture: aarch64\nverify: {boot: [uefi]}"),
    (
        "secure-boot-distribution",
        "base: void\nverify: {boot: [secure-boot]}",
        "verify: {boot: [secure-boot]}",
    ),
    (
        "secure-boot-kernel",
        "kernel: {version: linux-hardened}\nverify: {boot: [secure-boot]}",
        "kernel: {version: linux-hardened}\nverify: {boot: [uefi]}",
    ),
    ("suite-of-another", "base: ubuntu\nsuite: bookworm", "base: ubuntu\nsuite: noble"),
    (
        "package-of-x86",
        "architecture: aarch64\npackages: {utils: [steam]}",
        "architecture: x86_64\npackages: {utils: [steam]}",
    ),
    ("package-of-glibc", "base: alpine\npackages: {ai_ml: [cuda]}", "packages: {ai_ml: [cuda]}"),
    ("mac-one-of", "securityFeatures: {mac: [apparmor, selinux]}", "securityFeatures: {mac: [apparmor]}"),
    (
        "selinux-no-policy",
        "base: alpine\nsecurityFeatures: {mac: [selinux]}",
        "base: fedora\nsecurityFeatures: {mac: [selinux]}",
    ),
    (
        "selinux-by-hand",
        "base: arch\nsecurityFeatures: {mac: [selinux]}",
        "base: fedora\nsecurityFeatures: {mac: [selinux]}",
    ),
    (
        "apparmor-not-there",
        "base: fedora\nsecurityFeatures: {mac: [apparmor]}",
        "securityFeatures: {mac: [apparmor]}",
    ),
    (
        "mac-in-a-container",
        "outputs: [oci]\nsecurityFeatures: {mac: [apparmor]}",
        "outputs: [oci, iso]\nsecurityFeatures: {mac: [apparmor]}",
    ),
    ("updates-on-rolling", "base: arch\nsecurityFeatures: {updates: {}}", "securityFeatures: {updates: {}}"),
    (
        "updates-security-on-rolling",
        "base: arch\nsecurityFeatures: {updates: {}}",
        "base: arch\nsecurityFeatures: {updates: {scope: all}}",
    ),
    (
        "updates-forgotten",
        "securityFeatures: {updates: {}}",
        "outputs: [disk]\nsecurityFeatures: {updates: {}}",
    ),
    (
        "units-without-systemd",
        "base: void\nservices: {enable: [nginx.service]}",
        "base: void\nservices: {enable: [nginx]}",
    ),
    (
        "networkd-without-systemd",
        "base: alpine\nnetwork: {manager: systemd-networkd}",
        "network: {manager: systemd-networkd}",
    ),
    ("ifupdown-of-debian", "base: arch\nnetwork: {manager: ifupdown}", "network: {manager: ifupdown}"),
    (
        "network-two-managers",
        "network: {manager: networkmanager}\npackages: {networking: [dhcpcd]}",
        "network: {manager: dhcpcd}\npackages: {networking: [dhcpcd]}",
    ),
    (
        "ufw-beside-firewalld",
        "base: fedora\nsecurityFeatures: {firewall: {backend: ufw}}",
        "base: ubuntu\nsecurityFeatures: {firewall: {backend: ufw}}",
    ),
    (
        "locale-on-musl",
        "base: alpine\ndefaults: {locale: de_DE.UTF-8}",
        "base: alpine\ndefaults: {locale: C.UTF-8}",
    ),
    ("filesystem-unread", "filesystem: {root: btrfs}", "outputs: [disk]\nfilesystem: {root: btrfs}"),
    (
        "encryption-argon2-grub",
        "filesystem: {encryption: luks2, partitions: [{mount: /, size: rest, encrypted: true}]}",
        "filesystem: {encryption: luks2, partitions: [{mount: /boot, size: 1GiB}, {mount: /, size: rest, encrypted: true}]}",
    ),
    (
        "boot-encrypted",
        "filesystem: {encryption: luks2, partitions: [{mount: /boot, size: 1GiB, encrypted: true}]}",
        "filesystem: {encryption: luks1, partitions: [{mount: /boot, size: 1GiB, encrypted: true}]}",
    ),
    (
        "efi-encrypted",
        "filesystem: {encryption: luks2, partitions: [{mount: /boot/efi, size: 1GiB, encrypted: true}]}",
        "filesystem: {encryption: luks2, partitions: [{mount: /boot/efi, size: 1GiB}]}",
    ),
    (
        "partition-encrypted-how",
        "filesystem: {encryption: null, partitions: [{mount: /, size: rest, encrypted: true}]}",
        "filesystem: {encryption: luks1, partitions: [{mount: /, size: rest, encrypted: true}]}",
    ),
    (
        "encryption-of-nothing",
        "filesystem: {encryption: luks2, partitions: [{mount: /, size: rest}]}",
        "filesystem: {encryption: luks2}",
    ),
    (
        "compression-filesystem",
        "filesystem: {compression: true}",
        "filesystem: {root: zfs, compression: true}",
    ),
    (
        "snapshots-filesystem",
        "filesystem: {root: xfs, snapshots: {enabled: true}}",
        "filesystem: {root: xfs, lvm: true, snapshots: {enabled: true}}",
    ),
    (
        "snapshots-off",
        "filesystem: {root: btrfs, snapshots: {interval: daily}}",
        "filesystem: {root: btrfs, snapshots: {enabled: true, interval: daily}}",
    ),
    (
        "snapshots-fill-the-disk",
        "filesystem: {root: btrfs, snapshots: {enabled: true, retention: 1000}}",
        "filesystem: {root: btrfs, snapshots: {enabled: true, retention: 20}}",
    ),
    ("zfs-on-alpine", "base: alpine\nfilesystem: {root: zfs}", "base: ubuntu\nfilesystem: {root: zfs}"),
    (
        "zfs-outside-the-kernel",
        "base: fedora\nfilesystem: {root: zfs}",
        "base: ubuntu\nfilesystem: {root: zfs}",
    ),
    (
        "zfs-on-luks",
        "filesystem: {root: zfs, encryption: luks2}",
        "filesystem: {root: ext4, encryption: luks2}",
    ),
    ("zfs-on-volumes", "filesystem: {root: zfs, lvm: true}", "filesystem: {root: ext4, lvm: true}"),
    (
        "btrfs-on-raid",
        "filesystem: {root: btrfs, raid: true, disks: 2}",
        "filesystem: {root: xfs, raid: true, disks: 2}",
    ),
    ("raid-disks", "filesystem: {raid: true}", "filesystem: {raid: true, disks: 2}"),
    (
        "raid10-even",
        "filesystem: {raid: true, raidLevel: raid10, disks: 5}",
        "filesystem: {raid: true, raidLevel: raid10, disks: 6}",
    ),
    (
        "raid-level-alone",
        "filesystem: {raidLevel: raid1}",
        "filesystem: {raid: true, raidLevel: raid1, disks: 2}",
    ),
    (
        "raid0-loses-all",
        "filesystem: {raid: true, raidLevel: raid0, disks: 2}",
        "filesystem: {raid: true, raidLevel: raid1, disks: 2}",
    ),
    ("disks-unused", "filesystem: {disks: 2}", "filesystem: {root: btrfs, disks: 2}"),
    (
        "partition-root",
        "filesystem: {partitions: [{mount: /home, size: rest}]}",
        "filesystem: {partitions: [{mount: /, size: rest}]}",
    ),
    (
        "partition-twice",
        "filesystem: {partitions: [{mount: /, size: 50%}, {mount: /, size: 40%}]}",
        "filesystem: {partitions: [{mount: /, size: 50%}, {mount: /home, size: 40%}]}",
    ),
    (
        "partition-shares",
        "filesystem: {partitions: [{mount: /, size: 60%}, {mount: /home, size: 50%}]}",
        "filesystem: {partitions: [{mount: /, size: 60%}, {mount: /home, size: rest}]}",
    ),
    (
        "partition-rest-once",
        "filesystem: {partitions: [{mount: /, size: rest}, {mount: /home, size: rest}]}",
        "filesystem: {partitions: [{mount: /, size: 20GiB}, {mount: /home, size: rest}]}",
    ),
    (
        "partition-efi",
        "outputs: [disk]\nfilesystem: {partitions: [{mount: /, size: rest}]}",
        "outputs: [disk]\nfilesystem: {partitions: [{mount: /efi, size: 1GiB}, {mount: /, size: rest}]}",
    ),
    (
        "partition-efi-small",
        "filesystem: {partitions: [{mount: /efi, size: 20MiB}]}",
        "filesystem: {partitions: [{mount: /efi, size: 512MiB}]}",
    ),
    (
        "partition-root-small",
        "filesystem: {partitions: [{mount: /, size: 500MiB}]}",
        "filesystem: {partitions: [{mount: /, size: 5GiB}]}",
    ),
    (
        "partition-of-the-system",
        "filesystem: {partitions: [{mount: /etc/x, size: 1GiB}]}",
        "filesystem: {partitions: [{mount: /etcetera, size: 1GiB}]}",
    ),
    (
        "partition-usr",
        "filesystem: {partitions: [{mount: /usr, size: 9GiB}]}",
        "filesystem: {partitions: [{mount: /usr/local, size: 9GiB}]}",
    ),
    (
        "hibernation-zram",
        "filesystem: {swap: {kind: zram, size: 8GiB, hibernation: true}}",
        "filesystem: {swap: {kind: file, size: 8GiB, hibernation: true}}",
    ),
    (
        "hibernation-in-clear",
        "filesystem: {encryption: luks2, swap: {kind: partition, size: 8GiB, hibernation: true}}",
        "filesystem: {encryption: luks2, swap: {kind: file, size: 8GiB, hibernation: true}}",
    ),
    (
        "hibernation-lockdown",
        "filesystem: {swap: {size: 8GiB, hibernation: true}}\nsecurityFeatures: {kernelHardening: [lockdown]}",
        "filesystem: {swap: {size: 8GiB}}\nsecurityFeatures: {kernelHardening: [lockdown]}",
    ),
    (
        "hibernation-swap-small",
        "filesystem: {swap: {size: 512MiB, hibernation: true}}",
        "filesystem: {swap: {size: 512MiB}}",
    ),
    ("swap-absurd", "filesystem: {swap: {size: 1TiB}}", "filesystem: {swap: {size: 64GiB}}"),
    (
        "swap-file-zfs",
        "filesystem: {root: zfs, swap: {size: 8GiB}}",
        "filesystem: {root: zfs, swap: {kind: zram, size: 8GiB}}",
    ),
    (
        "swap-file-snapshots",
        "filesystem: {root: btrfs, snapshots: {enabled: true}, swap: {size: 8GiB}}",
        "filesystem: {root: btrfs, swap: {size: 8GiB}}",
    ),
    (
        "systemd-boot-bios",
        "customization: {bootloader: {kind: systemd-boot}}",
        "customization: {bootloader: {kind: systemd-boot}}\nverify: {boot: [uefi]}",
    ),
    (
        "systemd-boot-plain",
        "customization: {bootloader: {kind: systemd-boot, colors: {foreground: '#ffffff'}}}",
        "customization: {bootloader: {kind: grub, colors: {foreground: '#ffffff'}}}",
    ),
    (
        "systemd-boot-iso",
        "outputs: [iso]\ncustomization: {bootloader: {kind: systemd-boot}}",
        "outputs: [disk]\ncustomization: {bootloader: {kind: systemd-boot}}",
    ),
    (
        "systemd-boot-unsigned",
        "customization: {bootloader: {kind: systemd-boot}}\nverify: {boot: [uefi, secure-boot-usb]}",
        "customization: {bootloader: {kind: systemd-boot}}\nverify: {boot: [uefi, uefi-usb]}",
    ),
    (
        "compositor-server",
        "display: {server: xorg, compositor: hyprland}",
        "display: {server: wayland, compositor: hyprland}",
    ),
    (
        "compositor-without-server",
        "display: {server: null, compositor: i3}",
        "display: {server: xorg, compositor: i3}",
    ),
    ("server-without-compositor", "display: {server: xorg}", "display: {server: xorg, compositor: i3}"),
    (
        "parts-without-compositor",
        "display: {bar: waybar}",
        "display: {server: wayland, compositor: sway, bar: waybar}",
    ),
    (
        "compositor-without-terminal",
        "display: {server: xorg, compositor: i3}",
        "display: {server: xorg, compositor: i3, terminal: kitty}",
    ),
    (
        "compositor-without-launcher",
        "display: {server: xorg, compositor: i3}",
        "display: {server: xorg, compositor: xfce}",
    ),
    (
        "part-of-the-other-server",
        "display: {server: xorg, compositor: i3, bar: waybar}",
        "display: {server: xorg, compositor: i3, bar: polybar}",
    ),
    (
        "desktop-brings-parts",
        "display: {server: wayland, compositor: kde, bar: waybar}",
        "display: {server: wayland, compositor: sway, bar: waybar}",
    ),
    (
        "compositor-not-packaged",
        "suite: bookworm\ndisplay: {server: wayland, compositor: hyprland}",
        "suite: bookworm\ndisplay: {server: wayland, compositor: sway}",
    ),
    (
        "desktop-memory",
        "display: {server: wayland, compositor: gnome}",
        "display: {server: wayland, compositor: gnome}\nverify: {memoryMib: 4096}",
    ),
    (
        "desktop-without-user",
        "display: {server: xorg, compositor: xfce}",
        "display: {server: xorg, compositor: xfce}\ndefaults: {users: [{name: a, passwordHash: 'HASH'}]}",
    ),
    (
        "desktop-in-a-container",
        "outputs: [oci]\ndisplay: {server: xorg, compositor: xfce}",
        "outputs: [oci]\ndisplay: {server: null}",
    ),
    (
        "gnome-without-systemd",
        "base: void\ndisplay: {server: wayland, compositor: gnome}",
        "display: {server: wayland, compositor: gnome}",
    ),
    ("login-screens", "packages: {extra: [gdm3, sddm]}", "packages: {extra: [gdm3]}"),
    (
        "nvidia-wayland",
        "display: {server: wayland, compositor: sway}\npackages: {extra: [nvidia-driver]}",
        "display: {server: wayland, compositor: sway}\npackages: {extra: [nvidia-driver]}\nkernel: {customFlags: [nvidia-drm.modeset=1]}",
    ),
    ("installer-without-iso", "outputs: [disk]\ninstaller: {}", "installer: {}"),
    ("installer-without-screen", "installer: {}", "installer: {}\ndisplay: {server: xorg, compositor: xfce}"),
    (
        "installer-pages",
        "installer: {pages: [welcome, users, summary]}",
        "installer: {pages: [welcome, partition, users, summary, finished]}",
    ),
    (
        "installer-luks2",
        "display: {server: xorg, compositor: xfce}\ninstaller: {}\nfilesystem: {encryption: luks2}",
        "display: {server: xorg, compositor: xfce}\ninstaller: {}\nfilesystem: {encryption: luks1}",
    ),
    ("installer-on-gentoo", "base: gentoo\ninstaller: {}", "base: debian\ninstaller: {}"),
    (
        "plymouth-without-picture",
        "customization: {bootloader: {plymouth: true}}",
        "customization: {bootloader: {plymouth: false}}",
    ),
    (
        "firewall-denies-ssh",
        "securityFeatures: {ssh: {}, firewall: {}}",
        "securityFeatures: {ssh: {}, firewall: {rules: [{action: allow, port: 22}]}}",
    ),
    (
        "firewall-denies-service",
        "securityFeatures: {firewall: {}}\nservices: {databases: [{name: postgresql, listen: all}]}",
        "securityFeatures: {firewall: {}}\nservices: {databases: [{name: postgresql}]}",
    ),
    (
        "firewall-opens-local-service",
        "securityFeatures: {firewall: {rules: [{action: allow, port: 3000}]}}\nservices: {monitoring: [{name: grafana}]}",
        "securityFeatures: {firewall: {rules: [{action: allow, port: 3000}]}}\nservices: {monitoring: [{name: grafana, listen: all}]}",
    ),
    (
        "firewall-denies-web",
        "securityFeatures: {firewall: {}}\npackages: {servers: [nginx]}",
        "securityFeatures: {firewall: {rules: [{action: allow, port: 443}]}}\npackages: {servers: [nginx]}",
    ),
    (
        "firewall-filters-nothing",
        "securityFeatures: {firewall: {policy: allow}}",
        "securityFeatures: {firewall: {policy: allow, rules: [{action: deny, port: 25}]}}",
    ),
    (
        "firewall-second-tool",
        "securityFeatures: {firewall: {}}\npackages: {security: [ufw]}",
        "securityFeatures: {firewall: {backend: ufw}}\npackages: {security: [ufw]}",
    ),
    (
        "firewall-docker",
        "securityFeatures: {firewall: {}}\npackages: {development: [docker]}",
        "securityFeatures: {firewall: {}}\npackages: {development: [podman]}",
    ),
    (
        "ban-time-alone",
        "securityFeatures: {ssh: {banTime: 10m}}",
        "securityFeatures: {ssh: {fail2ban: true, banTime: 10m}}",
    ),
    (
        "ban-time-odd",
        "securityFeatures: {ssh: {fail2ban: true, banTime: 5s}}",
        "securityFeatures: {ssh: {fail2ban: true, banTime: 1h}}",
    ),
    (
        "fail2ban-without-firewall",
        "securityFeatures: {ssh: {fail2ban: true}}",
        "securityFeatures: {ssh: {fail2ban: true}, firewall: {}}",
    ),
    (
        "ssh-unknown-user",
        "securityFeatures: {ssh: {allowUsers: [a]}}",
        "securityFeatures: {ssh: {allowUsers: [a]}}\ndefaults: {users: [{name: a, sshKeys: [KEY]}]}",
    ),
    (
        "ssh-for-nobody",
        "securityFeatures: {ssh: {}}",
        "securityFeatures: {ssh: {}}\ndefaults: {users: [{name: a, sshKeys: [KEY]}]}",
    ),
    (
        "ssh-root",
        "securityFeatures: {ssh: {permitRootLogin: true}}",
        "securityFeatures: {ssh: {permitRootLogin: false}}",
    ),
    (
        "ssh-passwords-for-nobody",
        "securityFeatures: {ssh: {passwordAuthentication: true}}",
        "securityFeatures: {ssh: {passwordAuthentication: true}}\ndefaults: {users: [{name: a, passwordHash: 'HASH'}]}",
    ),
    (
        "ssh-second-server",
        "securityFeatures: {ssh: {}}\npackages: {networking: [dropbear]}",
        "packages: {networking: [dropbear]}",
    ),
    ("user-locked-out", "defaults: {users: [{name: a}]}", "defaults: {users: [{name: a, sshKeys: [KEY]}]}"),
    (
        "sudo-without-password",
        "defaults: {users: [{name: a, sudo: true, sshKeys: [KEY]}]}",
        "defaults: {users: [{name: a, sudo: true, passwordHash: 'HASH'}]}",
    ),
    (
        "user-in-docker",
        "defaults: {users: [{name: a, groups: [docker], sshKeys: [KEY]}]}",
        "defaults: {users: [{name: a, groups: [docker], sudo: true, passwordHash: 'HASH'}]}",
    ),
    ("hostname-odd", "defaults: {hostname: '127'}", "defaults: {hostname: host127}"),
    (
        "module-both",
        "kernel: {modules: {enable: [nf_tables], disable: [nf-tables]}}",
        "kernel: {modules: {enable: [nf_tables], disable: [pcspkr]}}",
    ),
    (
        "module-needed",
        "kernel: {modules: {disable: [squashfs]}}",
        "outputs: [oci]\nkernel: {modules: {disable: [squashfs]}}",
    ),
    (
        "flags-without-menu",
        "outputs: [oci]\nkernel: {customFlags: [quiet]}",
        "kernel: {customFlags: [quiet]}",
    ),
    (
        "flag-against-hardening",
        "kernel: {customFlags: [nokaslr]}\nsecurityFeatures: {kernelHardening: [kaslr]}",
        "kernel: {customFlags: [nokaslr]}\nsecurityFeatures: {kernelHardening: [network]}",
    ),
    (
        "flag-against-mac",
        "kernel: {customFlags: [apparmor=0]}\nsecurityFeatures: {mac: [apparmor]}",
        "kernel: {customFlags: [apparmor=1]}\nsecurityFeatures: {mac: [apparmor]}",
    ),
    (
        "lockdown-own-modules",
        "securityFeatures: {kernelHardening: [lockdown]}\nfilesystem: {root: zfs}",
        "securityFeatures: {kernelHardening: [lockdown]}\nfilesystem: {root: xfs}",
    ),
    (
        "hardening-breaks",
        "securityFeatures: {kernelHardening: [restrict-user-namespaces]}\npackages: {utils: [flatpak]}",
        "securityFeatures: {kernelHardening: [restrict-dmesg]}\npackages: {utils: [flatpak]}",
    ),
    (
        "sysctl-twice",
        "postInstall: {systemTuning: {swappiness: 10, sysctl: [{key: vm.swappiness, value: 20}]}}",
        "postInstall: {systemTuning: {swappiness: 10, sysctl: [{key: vm.dirty_ratio, value: 20}]}}",
    ),
    (
        "sysctl-against-hardening",
        "postInstall: {systemTuning: {sysctl: [{key: kernel.sysrq, value: 1}]}}\nsecurityFeatures: {kernelHardening: [disable-sysrq]}",
        "postInstall: {systemTuning: {sysctl: [{key: kernel.sysrq, value: 1}]}}\nsecurityFeatures: {kernelHardening: [kaslr]}",
    ),
    (
        "unit-both",
        "services: {enable: [nginx], disable: [nginx.service]}",
        "services: {disable: [nginx.service]}",
    ),
    (
        "unit-off-but-needed",
        "services: {disable: [ssh]}\nsecurityFeatures: {ssh: {}}",
        "services: {disable: [cron]}\nsecurityFeatures: {ssh: {}}",
    ),
    ("unit-off-but-verified", "services: {disable: [x]}\nverify: {units: [x]}", "services: {disable: [x]}"),
    (
        "unit-without-package",
        "services: {enable: [nginx]}",
        "services: {enable: [nginx]}\npackages: {servers: [nginx]}",
    ),
    (
        "port-clash",
        "services: {ai: [{name: open-webui}], monitoring: [{name: grafana, port: 8080}]}",
        "services: {ai: [{name: open-webui}], monitoring: [{name: grafana}]}",
    ),
    (
        "service-twice",
        "services: {databases: [{name: redis}, {name: redis, port: 6380}]}",
        "services: {databases: [{name: redis}, {name: memcached}]}",
    ),
    (
        "mysql-and-mariadb",
        "services: {databases: [{name: mysql}, {name: mariadb, port: 3307}]}",
        "services: {databases: [{name: mysql}]}",
    ),
    (
        "database-for-everyone",
        "services: {databases: [{name: redis, listen: all}]}",
        "services: {databases: [{name: redis}]}",
    ),
    (
        "model-of-ollama",
        "services: {ai: [{name: jupyter, model: phi3}]}",
        "services: {ai: [{name: ollama, model: phi3}]}",
    ),
    (
        "ollama-without-model",
        "services: {ai: [{name: ollama}]}",
        "services: {ai: [{name: ollama, model: phi3:instruct}]}",
    ),
    (
        "webui-without-ollama",
        "services: {ai: [{name: open-webui}]}",
        "services: {ai: [{name: open-webui}, {name: ollama}]}",
    ),
    (
        "model-memory",
        "services: {ai: [{name: ollama, model: phi3}]}",
        "services: {ai: [{name: ollama, model: phi3}]}\nverify: {memoryMib: 8192}",
    ),
    (
        "alertmanager-alone",
        "services: {monitoring: [{name: alertmanager}]}",
        "services: {monitoring: [{name: alertmanager}, {name: prometheus}]}",
    ),
    ("same-work-twice", "packages: {servers: [nginx, caddy]}", "packages: {servers: [nginx]}"),
    (
        "backup-nowhere",
        "backup: {tool: borg}",
        "backup: {tool: borg, destinations: ['sftp://me@nas/backup']}",
    ),
    ("backup-key", "backup: {tool: borg}", "backup: {tool: borg, keyFile: /etc/backup.key}"),
    (
        "backup-borg-where",
        "backup: {tool: borg, destinations: ['s3://bucket/a']}",
        "backup: {tool: restic, destinations: ['s3://bucket/a']}",
    ),
    (
        "backup-of-itself",
        "backup: {tool: borg, destinations: [/srv/backup]}",
        "backup: {tool: borg, destinations: [/srv/backup], exclude: [/srv/backup]}",
    ),
    (
        "backup-same-machine",
        "backup: {tool: borg, destinations: [/mnt/disk]}",
        "backup: {tool: borg, destinations: [/mnt/disk, 'sftp://me@nas/backup']}",
    ),
    (
        "backup-for-ever",
        "backup: {tool: borg, retention: {}}",
        "backup: {tool: borg, retention: {keepDaily: 7}}",
    ),
    (
        "backup-exclude-unsaved",
        "backup: {tool: borg, exclude: [/opt/x]}",
        "backup: {tool: borg, paths: [/opt], exclude: [/opt/x]}",
    ),
    (
        "backup-of-databases",
        "backup: {tool: borg}\nservices: {databases: [{name: postgresql}]}",
        "backup: {tool: borg, paths: [/etc]}\nservices: {databases: [{name: postgresql}]}",
    ),
    (
        "framework-of-shell",
        "customization: {shellFramework: oh-my-zsh}",
        "customization: {shell: zsh, shellFramework: oh-my-zsh}",
    ),
    (
        "prompt-of-shell",
        "customization: {shell: fish, prompt: pure}",
        "customization: {shell: fish, prompt: starship}",
    ),
    (
        "shell-theme-alone",
        "customization: {shellTheme: agnoster}",
        "customization: {shell: zsh, shellFramework: oh-my-zsh, shellTheme: agnoster}",
    ),
    (
        "prompt-over-theme",
        "customization: {shellTheme: agnoster, prompt: starship}",
        "customization: {prompt: starship}",
    ),
    (
        "dotfiles-from-where",
        "customization: {dotfiles: {}}",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "dotfiles-commit",
        "customization: {dotfiles: {repository: 'https://example.org/d.git'}}",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "dotfiles-commit-alone",
        "customization: {dotfiles: {revision: 0123456789abcdef0123456789abcdef01234567}}",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "dotfiles-user",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567, users: [a]}}",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567, users: [a]}}\ndefaults: {users: [{name: a, sshKeys: [KEY]}]}",
    ),
    (
        "dotfiles-for-nobody",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
        "customization: {dotfiles: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}\ndefaults: {users: [{name: a, sshKeys: [KEY]}]}",
    ),
    (
        "framework-source",
        "customization: {shell: zsh, shellFramework: prezto}",
        "customization: {shell: zsh, shellFramework: prezto, shellFrameworkSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "framework-source-alone",
        "customization: {shellFrameworkSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
        "customization: {shell: zsh, shellFramework: prezto, shellFrameworkSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "theme-of-framework",
        "customization: {shell: fish, shellFramework: fisher, shellTheme: agnoster, shellFrameworkSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
        "customization: {shell: fish, shellFramework: oh-my-fish, shellTheme: agnoster, shellFrameworkSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "prompt-source",
        "customization: {shell: zsh, prompt: pure}",
        "customization: {shell: zsh, prompt: pure, promptSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "prompt-source-alone",
        "customization: {prompt: starship, promptSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
        "customization: {shell: zsh, prompt: powerlevel10k, promptSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "source-from-where",
        "customization: {shell: zsh, prompt: pure, promptSource: {}}",
        "customization: {shell: zsh, prompt: pure, promptSource: {repository: 'https://example.org/d.git', revision: 0123456789abcdef0123456789abcdef01234567}}",
    ),
    (
        "network-in-a-container",
        "outputs: [oci]\nnetwork: {manager: networkmanager}",
        "network: {manager: networkmanager}",
    ),
    (
        "wireless-ifupdown",
        "network: {manager: ifupdown, wireless: {supplicant: iwd}}",
        "network: {manager: ifupdown, wireless: {}}",
    ),
    ("wireless-firmware", "network: {wireless: {}}", "network: {wireless: {firmware: true}}"),
    ("wireless-country", "network: {wireless: {}}", "network: {wireless: {country: DE}}"),
    (
        "verify-too-short",
        "verify: {dwellSeconds: 60, timeoutSeconds: 60}",
        "verify: {dwellSeconds: 60, timeoutSeconds: 600}",
    ),
    ("limit-hopeless", "limits: {isoSize: 5MiB}", "limits: {isoSize: 500MiB}"),
    (
        "freshness-before-schedule",
        "schedule: '0 3 * * 1'\nfreshness: {maxAgeDays: 2}",
        "schedule: '0 3 * * 1'\nfreshness: {maxAgeDays: 14}",
    ),
    (
        "secret-in-clear-text",
        "kernel: {customFlags: [wifi.password=hunter2]}",
        "kernel: {customFlags: [quiet]}",
    ),
    ("not-yet-built", "base: gentoo\ninit: runit", "init: s6"),
];

#[test]
fn every_rule_finds_its_case_and_is_quiet_about_the_cure() {
    let mut wrong = Vec::new();
    for (id, breaks, keeps) in CASES {
        if hits(id, breaks) == 0 {
            wrong.push(format!("{id} finds nothing in: {breaks}\n{:?}", findings(breaks)));
        }
        if hits(id, keeps) > 0 {
            wrong.push(format!("{id} complains about: {keeps}"));
        }
        for found in findings(breaks).iter().chain(&findings(keeps)).filter(|found| found.rule.is_none()) {
            wrong.push(format!("{id}: not only a rule speaks: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let tried: BTreeMap<&str, ()> = CASES.iter().map(|(id, ..)| (*id, ())).collect();
    let untried: Vec<&str> = rules::all().map(|rule| rule.id).filter(|id| !tried.contains_key(id)).collect();
    assert!(untried.is_empty(), "no case tries {untried:?}");
    println!("rules: {}, cases: {}", tried.len(), 2 * CASES.len());
}

#[test]
fn what_a_rule_says_is_whole() {
    for (id, breaks, _) in CASES {
        for found in findings(breaks).iter().filter(|found| found.rule == Some(id)) {
            let rule = rules::rule(id).unwrap();
            let said = format!("{} {}", found.message, found.hint.clone().unwrap_or_default());
            // A word that no hit gave would leave its name in braces.
            for open in ["{name}", "{base}", "{mount}", "{unit}", "{port}", "{server}", "{what}", "{instead}"]
            {
                assert!(!said.contains(open), "{id}: {said}");
            }
            assert_eq!((found.severity, found.code), (rule.severity, rule.code), "{id}");
            assert!(found.line.is_some() && found.column.is_some() && found.field.is_some(), "{found:?}");
        }
    }
}

#[test]
fn a_secret_is_never_shown() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let text = format!("kernel: {{customFlags: [x={token}]}}\ndefaults: {{hostname: ok}}");
    let found = findings(&text);
    assert!(found.iter().any(|d| d.rule == Some("secret-in-clear-text")));
    let shown = catalog::diagnostic::render(&found, false) + &serde_json::to_string(&found).unwrap();
    assert!(!shown.contains("ghp_0123"), "{shown}");
}

#[test]
fn all_findings_of_a_document_come_at_once() {
    let found = findings(
        "base: alpine\ninit: runit\nfilesystem: {root: zfs, lvm: true}\ndisplay: {server: xorg, compositor: hyprland}\n\
         securityFeatures: {mac: [apparmor, selinux], ssh: {banTime: 10m}}\nkernel: {version: linux-zen}",
    );
    let ids: Vec<&str> = found.iter().filter_map(|d| d.rule).collect();
    for id in [
        "init-of-distribution",
        "zfs-on-alpine",
        "zfs-on-volumes",
        "compositor-server",
        "mac-one-of",
        "selinux-no-policy",
        "ban-time-alone",
        "kernel-of-distribution",
        "not-yet-built",
    ] {
        assert!(ids.contains(&id), "{id} is not in {ids:?}");
    }
    let errors = found.iter().filter(|d| d.severity == Severity::Error);
    assert!(errors.clone().count() >= 10 && errors.clone().any(|d| d.code == ErrorCode::Compat));
}
