//! Firewall, SSH, accounts, kernel hardening, modules and flags.

use super::rows::{Hits, has, here, package, rules};
use super::{Hit, Rule};
use crate::model::name::UserName;
use crate::model::spec::{
    BootMode, Firewall, FirewallAction, FirewallBackend, KernelHardening, Listen, Mac, OsImage, Output,
    Protocol, RootFilesystem, Ssh,
};
use std::num::NonZeroU16;

rules! {
    "firewall-denies-ssh" Warning Validation ["spec.securityFeatures.firewall", "spec.securityFeatures.ssh.port"]
    says "nobody can reach SSH: the firewall denies port {port}"
    does "Add the rule {action: allow, port: {port}, protocol: tcp}."
    why "With `policy: deny` a port is open only if a rule says so."
    => |i| firewall(i, |f| i.spec.security_features.ssh.iter()
        .filter(|ssh| f.policy == FirewallAction::Deny && !lets_in(f, ssh.port))
        .map(|ssh| Hit::at("spec.securityFeatures.firewall").with("port", ssh.port)).collect()),

    "firewall-denies-service" Warning Validation ["spec.securityFeatures.firewall", "spec.services"]
    says "{name} listens for everyone, but the firewall denies port {port}"
    does "Add the rule {action: allow, port: {port}, protocol: tcp}, or write `listen: local`."
    why "With `policy: deny` a port is open only if a rule says so."
    => |i| firewall(i, |f| super::services::listening(i).into_iter()
        .filter(|s| s.listen == Listen::All && f.policy == FirewallAction::Deny && !lets_in(f, s.port))
        .map(|s| Hit::at(s.field).with("name", s.name).with("port", s.port)).collect()),

    "firewall-opens-local-service" Warning Validation ["spec.securityFeatures.firewall", "spec.services"]
    says "the firewall opens port {port}, but {name} listens for the machine itself only"
    does "Write `listen: all` at the service, or take the rule away."
    why "A packet that is let in finds nobody on that address."
    => |i| firewall(i, |f| super::services::listening(i).into_iter()
        .filter(|s| s.listen == Listen::Local && f.policy == FirewallAction::Deny && lets_in(f, s.port))
        .map(|s| Hit::at(s.field).with("name", s.name).with("port", s.port)).collect()),

    "firewall-denies-web" Warning Validation ["spec.securityFeatures.firewall", "spec.packages.servers"]
    says "nobody can reach {name}: the firewall opens neither port 80 nor 443"
    does "Add the rule {action: allow, port: 443, protocol: tcp}."
    why "With `policy: deny` a port is open only if a rule says so."
    => |i| firewall(i, |f| i.spec.packages.servers.iter().enumerate()
        .filter(|(_, name)| f.policy == FirewallAction::Deny && WEB.contains(&name.as_str())
            && !f.rules.iter().any(|r| r.action == FirewallAction::Allow && [80, 443, 8080, 8443].contains(&r.port.get())))
        .map(|(at, name)| Hit::at(format!("spec.packages.servers[{at}]")).with("name", name)).collect()),

    "firewall-filters-nothing" Warning Validation ["spec.securityFeatures.firewall"]
    says "this firewall lets everything in"
    does "Write `policy: deny`, or add rules with `action: deny`."
    why "With `policy: allow` a rule that allows changes nothing."
    => |i| firewall(i, |f| here(f.policy == FirewallAction::Allow
        && f.rules.iter().all(|r| r.action == FirewallAction::Allow), "spec.securityFeatures.firewall.policy")),

    "firewall-second-tool" Error Compat ["spec.securityFeatures.firewall", "spec.packages"]
    says "{name} would write rules beside those of {backend}"
    does "Take the package away, or take `firewall` away and set it up in a script."
    why "Each of them takes all rules of the kernel for its own and flushes those of others."
    => |i| firewall(i, |f| {
        let others: &[&str] = match f.backend {
            FirewallBackend::Nftables => &["ufw", "firewalld", "iptables-persistent", "shorewall", "gufw"],
            FirewallBackend::Iptables => &["ufw", "firewalld", "shorewall", "gufw"],
            FirewallBackend::Ufw => &["firewalld", "iptables-persistent", "shorewall"],
        };
        package(i, others).map(|(field, name)| Hit::at(field).with("name", name).with("backend", f.backend.as_str()))
            .into_iter().collect()
    }),

    "firewall-docker" Warning Compat ["spec.securityFeatures.firewall", "spec.packages"]
    says "ports that {name} publishes get past this firewall"
    does "Publish them on 127.0.0.1, or take podman without root."
    why "Docker redirects packets before the rules for incoming traffic see them."
    => |i| firewall(i, |f| package(i, &["docker", "docker.io", "docker-ce", "moby-engine"])
        .filter(|_| f.policy == FirewallAction::Deny)
        .map(|(field, name)| Hit::at(field).with("name", name)).into_iter().collect()),

    "ban-time-alone" Error Validation ["spec.securityFeatures.ssh.banTime", "spec.securityFeatures.ssh.fail2ban"]
    says "nothing reads this: fail2ban is not asked for"
    does "Write `fail2ban: true`, or take `banTime` away."
    why "Only fail2ban shuts addresses out for a time."
    => |i| ssh(i, |s| here(s.ban_time.is_some() && !s.fail2ban, "spec.securityFeatures.ssh.banTime")),

    "ban-time-odd" Warning Validation ["spec.securityFeatures.ssh.banTime"]
    says "a ban of {time} keeps nobody off"
    does "Write 10m or more, and not more than 4w."
    why "Guessing programs wait for minutes, and addresses change hands within weeks."
    => |i| ssh(i, |s| s.ban_time.iter().filter(|t| t.seconds() < 60 || t.seconds() > 365 * 86_400)
        .map(|t| Hit::at("spec.securityFeatures.ssh.banTime").with("time", t)).collect()),

    "fail2ban-without-firewall" Warning Compat ["spec.securityFeatures.ssh.fail2ban", "spec.securityFeatures.firewall"]
    says "fail2ban has no firewall to shut addresses out with"
    does "Add `firewall` to `securityFeatures`."
    why "It adds its bans as rules of the packet filter."
    => |i| ssh(i, |s| here(s.fail2ban && i.spec.security_features.firewall.is_none(), "spec.securityFeatures.ssh.fail2ban")),

    "ssh-unknown-user" Error Validation ["spec.securityFeatures.ssh.allowUsers[]", "spec.defaults.users"]
    says "there is no user {name}"
    does "Declare it in `defaults.users`, or take it away here."
    why "sshd takes names that do not exist without a word, and then lets nobody in."
    => |i| ssh(i, |s| s.allow_users.iter().enumerate()
        .filter(|(_, name)| !(name.as_str() == "root" && s.permit_root_login
            || i.spec.defaults.users.iter().any(|u| u.name == **name)))
        .map(|(at, name)| Hit::at(format!("spec.securityFeatures.ssh.allowUsers[{at}]")).with("name", name)).collect()),

    "ssh-for-nobody" Warning Validation ["spec.securityFeatures.ssh", "spec.defaults.users"]
    says "nobody can log in over SSH"
    does "Give a user an SSH key, or set `passwordAuthentication: true` and a passwordHash."
    why "Root stays locked, and passwords are taken only where the spec says so."
    => |i| ssh(i, |s| {
        let may = |name: &UserName| s.allow_users.is_empty() || s.allow_users.contains(name);
        here(!i.spec.defaults.users.iter().any(|u| may(&u.name)
            && (!u.ssh_keys.is_empty() || (s.password_authentication && u.password_hash.is_some()))), "spec.securityFeatures.ssh")
    }),

    "ssh-root" Warning Validation ["spec.securityFeatures.ssh.permitRootLogin"]
    says "root may log in, but root stays locked and has no key"
    does "Use a user with `sudo: true`, or bring a key in an overlay."
    why "Every machine has a root, so that it is the first name that is tried."
    => |i| ssh(i, |s| here(s.permit_root_login, "spec.securityFeatures.ssh.permitRootLogin")),

    "ssh-passwords-for-nobody" Error Validation
    ["spec.securityFeatures.ssh.passwordAuthentication", "spec.defaults.users[].passwordHash"]
    says "passwords are taken over SSH, but no user has one"
    does "Give a user a passwordHash, or take `passwordAuthentication` away."
    why "An account without a hash is locked for passwords."
    => |i| ssh(i, |s| here(s.password_authentication && !i.spec.defaults.users.iter().any(|u| u.password_hash.is_some()),
        "spec.securityFeatures.ssh.passwordAuthentication")),

    "ssh-second-server" Error Compat ["spec.securityFeatures.ssh", "spec.packages"]
    says "{name} is a second SSH server on the same port"
    does "Take the package away."
    why "Both listen on port 22, and the one that starts later fails."
    => |i| ssh(i, |_| package(i, &["dropbear", "tinysshd", "dropbear-bin"])
        .map(|(field, name)| Hit::at(field).with("name", name)).into_iter().collect()),

    "user-locked-out" Warning Validation ["spec.defaults.users[].passwordHash", "spec.defaults.users[].sshKeys"]
    says "{name} can never log in: there is neither a passwordHash nor an SSH key"
    does "Add one, unless the account only runs services."
    why "An account without a hash is locked for passwords."
    => |i| i.spec.defaults.users.iter().enumerate().filter(|(_, u)| u.password_hash.is_none() && u.ssh_keys.is_empty())
        .map(|(at, u)| Hit::at(format!("spec.defaults.users[{at}].name")).with("name", &u.name)).collect(),

    "sudo-without-password" Warning Validation ["spec.defaults.users[].sudo", "spec.defaults.users[].passwordHash"]
    says "sudo asks {name} for a password that does not exist"
    does "Add a passwordHash, or a rule with NOPASSWD in an overlay."
    why "The group sudo may do everything, after its member's own password."
    => |i| i.spec.defaults.users.iter().enumerate()
        .filter(|(_, u)| u.sudo && u.password_hash.is_none() && !u.ssh_keys.is_empty())
        .map(|(at, u)| Hit::at(format!("spec.defaults.users[{at}].sudo")).with("name", &u.name)).collect(),

    "user-in-docker" Warning Validation ["spec.defaults.users[].groups", "spec.defaults.users[].sudo"]
    says "{name} becomes root through the group docker"
    does "Write `sudo: true` as well, so that it is said, or take podman without root."
    why "Whoever may start containers can mount the whole disk into one."
    => |i| i.spec.defaults.users.iter().enumerate().flat_map(|(at, u)| u.groups.iter().enumerate()
        .filter(|(_, group)| group.as_str() == "docker" && !u.sudo)
        .map(move |(index, _)| Hit::at(format!("spec.defaults.users[{at}].groups[{index}]")).with("name", &u.name))).collect(),

    "hostname-odd" Error Validation ["spec.defaults.hostname"]
    says "{name} cannot be the name of a machine in a network"
    does "Choose another name, with a letter in it."
    why "localhost means the machine itself everywhere, and digits alone read as an address."
    => |i| i.spec.defaults.hostname.iter().filter(|h| h.as_str() == "localhost" || h.as_str().bytes().all(|b| b.is_ascii_digit()))
        .map(|h| Hit::at("spec.defaults.hostname").with("name", h)).collect(),

    "module-both" Error Compat ["spec.kernel.modules.enable", "spec.kernel.modules.disable"]
    says "{name} is both enabled and disabled"
    does "Keep one of the two."
    why "The kernel takes - and _ in names of modules for the same, and `disable` wins."
    => |i| disabled(i).filter(|(_, module)| i.spec.kernel.modules.enable.iter().any(|m| plain(m) == plain(module)))
        .map(|(field, module)| Hit::at(field).with("name", module)).collect(),

    "module-needed" Error Compat ["spec.kernel.modules.disable", "spec.outputs", "spec.filesystem", "spec.verify.boot"]
    says "the image cannot start without {name}: {why}"
    does "Take it away from `disable`."
    why "The initramfs needs these modules before it has found the system."
    => |i| disabled(i).filter_map(|(field, module)| needed(i, &plain(module))
        .map(|why| Hit::at(field).with("name", module).with("why", why))).collect(),

    "flags-without-menu" Error Validation ["spec.kernel.customFlags", "spec.outputs"]
    says "nothing reads these flags: only an ISO has a boot menu"
    does "Add `iso` to `outputs`, or take the flags away."
    why "A container runs on the host's kernel, and an archive has no boot menu yet."
    => |i| here(!i.spec.kernel.custom_flags.is_empty() && !i.spec.outputs.contains(&Output::Iso)
        && !i.spec.outputs.contains(&Output::Disk), "spec.kernel.customFlags"),

    "flag-against-hardening" Error Compat ["spec.kernel.customFlags", "spec.securityFeatures.kernelHardening"]
    says "`{flag}` undoes what `kernelHardening` asks for"
    does "Take the flag or the hardening away."
    why "The kernel's command line wins over settings that are made later."
    => |i| flags(i).filter(|(_, flag)| !i.spec.security_features.kernel_hardening.is_empty()
        && (["mitigations=off", "nopti", "nosmep", "nosmap", "slab_nomerge=0", "init_on_alloc=0", "init_on_free=0"].contains(flag)
            || (*flag == "nokaslr" && i.spec.security_features.kernel_hardening.contains(&KernelHardening::Kaslr))))
        .map(|(field, flag)| Hit::at(field).with("flag", flag)).collect(),

    "flag-against-mac" Error Compat ["spec.kernel.customFlags", "spec.securityFeatures.mac"]
    says "`{flag}` switches off what `mac` asks for"
    does "Take the flag or `mac` away."
    why "The kernel decides on its guard while it starts, by these flags."
    => |i| flags(i).filter(|(_, flag)| {
        let mac = &i.spec.security_features.mac;
        (mac.contains(&Mac::Selinux) && matches!(*flag, "selinux=0" | "enforcing=0" | "security=apparmor"))
            || (mac.contains(&Mac::Apparmor) && matches!(*flag, "apparmor=0" | "security=selinux"))
    }).map(|(field, flag)| Hit::at(field).with("flag", flag)).collect(),

    "lockdown-own-modules" Error Compat
    ["spec.securityFeatures.kernelHardening", "spec.packages", "spec.filesystem.root"]
    says "a kernel in lockdown does not load {module}"
    does "Take `lockdown` away, or what needs the module."
    why "It loads modules with the distribution's signature only, and these are built on the machine."
    => |i| if !hardens(i, KernelHardening::Lockdown) { Vec::new() } else {
        let zfs = i.spec.filesystem.as_ref().is_some_and(|f| f.root == RootFilesystem::Zfs);
        let found = package(i, &["nvidia", "nvidia-driver", "nvidia-dkms", "virtualbox", "zfs", "zfs-dkms", "broadcom-sta-dkms"]);
        let name = found.map(|(_, name)| name.to_string()).or(zfs.then(|| "zfs".to_owned()));
        name.map(|name| Hit::at("spec.securityFeatures.kernelHardening").with("module", name)).into_iter().collect()
    },

    "hardening-breaks" Warning Compat ["spec.securityFeatures.kernelHardening", "spec.packages"]
    says "{name} does not work for ordinary users with `{hardening}`"
    does "Take one of the two away, or use it as root."
    why "The setting closes the very door that the program goes through."
    => |i| BREAKS.iter().filter(|(hardening, _)| hardens(i, *hardening))
        .filter_map(|(hardening, names)| package(i, names).map(|(field, name)| {
            Hit::at(field).with("name", name).with("hardening", hardening.as_str())
        })).collect(),

    "sysctl-twice" Error Validation
    ["spec.postInstall.systemTuning.sysctl", "spec.postInstall.systemTuning.swappiness"]
    says "{key} is set twice"
    does "Keep one of the two."
    why "The later one wins, and nobody sees which that is."
    => |i| i.spec.post_install.system_tuning.iter().flat_map(|t| t.sysctl.iter().enumerate()
        .filter(|(at, s)| t.sysctl[..*at].iter().any(|other| other.key == s.key)
            || (s.key.as_str() == "vm.swappiness" && t.swappiness.is_some()))
        .map(|(at, s)| Hit::at(format!("spec.postInstall.systemTuning.sysctl[{at}].key")).with("key", &s.key))).collect(),

    "sysctl-against-hardening" Error Compat
    ["spec.postInstall.systemTuning.sysctl", "spec.securityFeatures.kernelHardening"]
    says "{key} is set by `kernelHardening: {hardening}` already"
    does "Take one of the two away."
    why "Two files that set one key leave it to the order of their names."
    => |i| i.spec.post_install.system_tuning.iter().flat_map(|t| t.sysctl.iter().enumerate().filter_map(|(at, s)| {
        let (_, hardening) = HARDENED_KEYS.iter().find(|(key, h)| *key == s.key.as_str() && hardens(i, *h))?;
        Some(Hit::at(format!("spec.postInstall.systemTuning.sysctl[{at}].key")).with("key", &s.key)
            .with("hardening", hardening.as_str()))
    })).collect(),
}

/// Web servers, as the tables name them.
pub(super) const WEB: [&str; 7] = ["nginx", "apache", "apache2", "httpd", "caddy", "lighttpd", "haproxy"];

/// What hardening takes from whom.
const BREAKS: &[(KernelHardening, &[&str])] = &[
    (
        KernelHardening::RestrictUserNamespaces,
        &["podman", "flatpak", "chromium", "bubblewrap", "buildah", "firefox", "steam", "distrobox"],
    ),
    (KernelHardening::RestrictPtrace, &["gdb", "strace", "ltrace", "lldb", "rr"]),
    (KernelHardening::RestrictBpf, &["bpftrace", "bpfcc-tools", "cilium", "tetragon"]),
    (KernelHardening::RestrictPerf, &["perf", "linux-perf", "sysprof", "rr"]),
    (KernelHardening::DisableKexec, &["kexec-tools", "kdump-tools", "kdump"]),
    (KernelHardening::Network, &["frr", "bird", "bird2", "keepalived"]),
];

/// Kernel settings that hardening makes.
const HARDENED_KEYS: &[(&str, KernelHardening)] = &[
    ("kernel.randomize_va_space", KernelHardening::Kaslr),
    ("kernel.dmesg_restrict", KernelHardening::RestrictDmesg),
    ("kernel.kptr_restrict", KernelHardening::RestrictKptr),
    ("kernel.yama.ptrace_scope", KernelHardening::RestrictPtrace),
    ("kernel.unprivileged_bpf_disabled", KernelHardening::RestrictBpf),
    ("kernel.perf_event_paranoid", KernelHardening::RestrictPerf),
    ("kernel.kexec_load_disabled", KernelHardening::DisableKexec),
    ("kernel.sysrq", KernelHardening::DisableSysrq),
    ("fs.suid_dumpable", KernelHardening::DisableCoreDumps),
    ("net.ipv4.tcp_syncookies", KernelHardening::Network),
];

fn firewall(image: &OsImage, of: impl FnOnce(&Firewall) -> Hits) -> Hits {
    image.spec.security_features.firewall.as_ref().map(of).unwrap_or_default()
}

fn ssh(image: &OsImage, of: impl FnOnce(&Ssh) -> Hits) -> Hits {
    image.spec.security_features.ssh.as_ref().map(of).unwrap_or_default()
}

fn lets_in(firewall: &Firewall, port: NonZeroU16) -> bool {
    let mut rules = firewall.rules.iter();
    rules.any(|r| r.action == FirewallAction::Allow && r.port == port && r.protocol == Protocol::Tcp)
}

fn hardens(image: &OsImage, hardening: KernelHardening) -> bool {
    image.spec.security_features.kernel_hardening.contains(&hardening)
}

fn disabled(image: &OsImage) -> impl Iterator<Item = (String, &String)> {
    let modules = image.spec.kernel.modules.disable.iter().enumerate();
    modules.map(|(at, module)| (format!("spec.kernel.modules.disable[{at}]"), module))
}

fn flags(image: &OsImage) -> impl Iterator<Item = (String, &str)> {
    let flags = image.spec.kernel.custom_flags.iter().enumerate();
    flags.map(|(at, flag)| (format!("spec.kernel.customFlags[{at}]"), flag.as_str()))
}

/// The kernel takes - and _ in module names for the same.
fn plain(module: &str) -> String {
    module.replace('-', "_")
}

/// Why an image needs a module to start, if it does.
fn needed(image: &OsImage, module: &str) -> Option<&'static str> {
    let spec = &image.spec;
    let iso = spec.outputs.contains(&Output::Iso);
    let usb = spec
        .verify
        .boot
        .iter()
        .any(|mode| matches!(mode, BootMode::BiosUsb | BootMode::UefiUsb | BootMode::SecureBootUsb));
    let filesystem = spec.filesystem.as_ref();
    match module {
        "squashfs" | "overlay" | "loop" | "isofs" if iso => {
            Some("a live system lies in files of these kinds")
        }
        "usb_storage" if iso && usb => Some("`verify.boot` starts it from a USB stick"),
        "dm_crypt" if filesystem.is_some_and(|f| f.encryption.is_some()) => Some("the root is encrypted"),
        "dm_mod" if filesystem.is_some_and(|f| f.lvm || f.encryption.is_some()) => {
            Some("the root lies on it")
        }
        name if filesystem.is_some_and(|f| f.root.as_str() == name) => Some("the root has this filesystem"),
        "wireguard" if has(image, &["wireguard", "wireguard-tools"]) => Some("a package of the spec uses it"),
        _ => None,
    }
}
