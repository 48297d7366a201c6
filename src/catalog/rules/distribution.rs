//! What a distribution and an architecture have: init systems, kernels, suites, packages.

use super::rows::{Hits, here, packages, rules};
use super::{Hit, Rule};
use crate::model::spec::{
    Architecture, Base, BootMode, Family, FirewallBackend, Guard, Init, KernelVersion, Libc, Mac,
    NetworkManager, OsImage, Output, UpdateScope,
};

rules! {
    "init-of-distribution" Error Compat ["spec.init", "spec.base"]
    says "{base} cannot be started with {init}"
    does "Write `init: {own}`, or take the line away."
    why "Its packages bring services for the init systems it supports, and for no others."
    => |i| i.spec.init.iter().filter(|init| !i.spec.base.inits().contains(init)).map(|init| {
        Hit::at("spec.init").with("base", i.spec.base.as_str()).with("init", init.as_str())
            .with("own", i.spec.base.own_init().as_str())
    }).collect(),

    "kernel-of-distribution" Error Compat ["spec.kernel.version", "spec.base"]
    says "{base} has no {kernel}"
    does "Write `version: linux-lts`: the distribution's own kernel, which gets its security updates."
    why "The zen and the hardened kernel are packaged by Arch and Gentoo only."
    => |i| {
        let rare = i.spec.kernel.version != KernelVersion::LinuxLts;
        here(rare && !matches!(i.spec.base.family(), Family::Arch | Family::Gentoo), "spec.kernel.version").into_iter()
            .map(|hit| hit.with("base", i.spec.base.title()).with("kernel", i.spec.kernel.version.as_str())).collect()
    },

    "arch-on-arm" Error Compat ["spec.architecture", "spec.base"]
    says "{base} exists for {only} only"
    does "Take another base for aarch64: debian, alpine, fedora, opensuse, ubuntu, void or gentoo."
    why "Arch Linux ARM is another project with its own keys and mirrors."
    => |i| {
        let made = &i.spec.base.about().architectures;
        let only: Vec<&str> = made.iter().map(|a| a.as_str()).collect();
        here(!made.contains(&i.spec.architecture), "spec.architecture").into_iter()
            .map(|hit| hit.with("base", i.spec.base.title()).with("only", only.join(", "))).collect()
    },

    "bios-on-arm" Error Compat ["spec.verify.boot", "spec.architecture", "spec.outputs"]
    says "an aarch64 machine has no BIOS: it cannot start with {mode}"
    does "Write `verify: {boot: [uefi]}`."
    why "BIOS calls are code for x86; ARM machines start with UEFI or a boot loader of the board."
    => |i| bios(i).filter(|_| i.spec.architecture == Architecture::Aarch64 && i.spec.outputs.contains(&Output::Iso))
        .take(1).map(|mode| Hit::at("spec.verify.boot").with("mode", mode.as_str())).collect(),

    "secure-boot-distribution" Error Compat ["spec.verify.boot", "spec.base"]
    says "{base} has no boot loader with Microsoft's signature: {mode} cannot succeed"
    does "Take {mode} away from `verify.boot`, or take debian, ubuntu, fedora or opensuse."
    why "Firmware with Microsoft's keys starts a signed shim, which these four have only."
    => |i| secure(i).filter(|_| !i.spec.base.about().secure_boot)
        .take(1).map(|mode| Hit::at("spec.verify.boot").with("base", i.spec.base.title()).with("mode", mode.as_str()))
        .collect(),

    "secure-boot-kernel" Error Compat ["spec.verify.boot", "spec.kernel.version"]
    says "{kernel} is not signed: {mode} cannot succeed"
    does "Write `version: linux-lts`, or take {mode} away from `verify.boot`."
    why "The shim starts kernels with the distribution's signature only."
    => |i| secure(i).filter(|_| i.spec.kernel.version != KernelVersion::LinuxLts).take(1)
        .map(|mode| Hit::at("spec.kernel.version").with("kernel", i.spec.kernel.version.as_str())
            .with("mode", mode.as_str())).collect(),

    "suite-of-another" Error Validation ["spec.suite", "spec.base"]
    says "{suite} is a suite of {other}, not of {base}"
    does "Write `base: {other}`, or a suite of {base}."
    why "A mirror of one distribution does not have the suites of another."
    => |i| owner(i.spec.suite.as_str()).filter(|owner| *owner != i.spec.base).map(|owner| {
        Hit::at("spec.suite").with("suite", &i.spec.suite).with("other", owner.as_str())
            .with("base", i.spec.base.as_str())
    }).into_iter().collect(),

    "package-of-x86" Error PackageUnavailable ["spec.packages", "spec.architecture"]
    says "{name} exists for x86_64 only"
    does "Take it away, or build for x86_64."
    why "Its makers publish no program for ARM, or it drives hardware of PCs."
    => |i| if i.spec.architecture == Architecture::X86_64 { Vec::new() } else { listed(i, &X86_ONLY) },

    "package-of-glibc" Error PackageUnavailable ["spec.packages", "spec.base"]
    says "{name} does not run on {base}"
    does "Take it away, or take another base."
    why "Its programs are built for glibc, and this distribution has musl."
    => |i| if musl(i) { listed(i, &GLIBC_ONLY) } else { Vec::new() },

    "mac-one-of" Error Compat ["spec.securityFeatures.mac"]
    says "AppArmor and SELinux cannot both guard one system"
    does "Keep one of the two: apparmor on debian, ubuntu, arch and opensuse, selinux on fedora."
    why "The kernel lets one of the two label files and programs."
    => |i| {
        let mac = &i.spec.security_features.mac;
        here(mac.contains(&Mac::Apparmor) && mac.contains(&Mac::Selinux), "spec.securityFeatures.mac")
    },

    "selinux-no-policy" Error Compat ["spec.securityFeatures.mac", "spec.base"]
    says "{base} has no SELinux policy"
    does "Write `mac: [apparmor]`."
    why "Without a policy SELinux allows everything or nothing."
    => |i| mac(i, Mac::Selinux, Guard::None),

    "selinux-by-hand" Warning Compat ["spec.securityFeatures.mac", "spec.base"]
    says "SELinux is hard to keep running on {base}"
    does "Write `mac: [apparmor]`, or plan for work on the policy at every update."
    why "Its packages are built and tested without a policy, on Arch even without the libraries."
    => |i| mac(i, Mac::Selinux, Guard::ByHand),

    "apparmor-not-there" Error Compat ["spec.securityFeatures.mac", "spec.base"]
    says "{base} has no AppArmor"
    does "Write `mac: [selinux]`."
    why "Fedora's kernel is built with SELinux as its only guard of this kind, and it packages no profiles."
    => |i| mac(i, Mac::Apparmor, Guard::None),

    "mac-in-a-container" Warning Compat ["spec.securityFeatures.mac", "spec.outputs"]
    says "a container cannot choose its access control"
    does "Take `mac` away, or add an output that starts a kernel of its own."
    why "Profiles and policies are loaded into the kernel, which belongs to the host."
    => |i| here(!i.spec.security_features.mac.is_empty() && only_oci(i), "spec.securityFeatures.mac"),

    "updates-on-rolling" Warning Compat ["spec.securityFeatures.updates", "spec.base"]
    says "updates without anybody watching break a rolling distribution sooner or later"
    does "Let `schedule` build a new image instead, which is booted before it is published."
    why "Arch, Void and Gentoo expect that their news are read before an update."
    => |i| rolling(i, i.spec.security_features.updates.is_some(), "spec.securityFeatures.updates"),

    "updates-security-on-rolling" Error Compat ["spec.securityFeatures.updates.scope", "spec.base"]
    says "{base} does not tell security updates from others"
    does "Write `scope: all`."
    why "A rolling distribution has one repository and one state."
    => |i| rolling(i, i.spec.security_features.updates.as_ref()
        .is_some_and(|u| u.scope == UpdateScope::Security), "spec.securityFeatures.updates"),

    "updates-forgotten" Warning Compat ["spec.securityFeatures.updates", "spec.outputs", "spec.installer"]
    says "a live system forgets its updates at every start"
    does "Take `updates` away, or add an installer, a disk image or an archive; `schedule` renews the image itself."
    why "What a live system writes lies in memory; an archive is unpacked onto a disk."
    => |i| here(i.spec.security_features.updates.is_some() && i.spec.installer.is_none()
        && !i.spec.outputs.iter().any(|o| matches!(o, Output::Disk | Output::Rootfs)), "spec.securityFeatures.updates"),

    "units-without-systemd" Error Compat ["spec.services", "spec.verify.units", "spec.init", "spec.base"]
    says "{unit} is a unit of systemd, and {init} starts this system"
    does "Name the service of {init}, without a suffix such as .service."
    why "OpenRC, runit and s6 have services, but no sockets, timers and targets."
    => |i| if i.spec.init_system() == Init::Systemd { Vec::new() } else {
        let lists = [("spec.services.enable", &i.spec.services.enable), ("spec.services.disable", &i.spec.services.disable),
            ("spec.verify.units", &i.spec.verify.units), ("spec.postInstall.services", &i.spec.post_install.services)];
        lists.into_iter().flat_map(|(field, units)| units.iter().enumerate().map(move |(at, unit)| (format!("{field}[{at}]"), unit)))
            .filter(|(_, unit)| unit.as_str().contains('.'))
            .map(|(field, unit)| Hit::at(field).with("unit", unit).with("init", i.spec.init_system().as_str())).collect()
    },

    "networkd-without-systemd" Error Compat ["spec.network.manager", "spec.init", "spec.base"]
    says "systemd-networkd needs systemd, and {init} starts this system"
    does "Write `manager: dhcpcd` or `manager: networkmanager`."
    why "It is one of systemd's own services."
    => |i| manager(i, |m| m == NetworkManager::SystemdNetworkd && i.spec.init_system() != Init::Systemd),

    "ifupdown-of-debian" Error Compat ["spec.network.manager", "spec.base"]
    says "{base} has no ifupdown"
    does "Write `manager: networkmanager`, `systemd-networkd` or `dhcpcd`."
    why "Debian, Ubuntu and Alpine read /etc/network/interfaces, others do not."
    => |i| manager(i, |m| m == NetworkManager::Ifupdown
        && !matches!(i.spec.base.family(), Family::Debian | Family::Alpine)),

    "network-two-managers" Error Compat ["spec.network.manager", "spec.packages"]
    says "{name} and `network.manager: {manager}` would both set addresses"
    does "Take the package away, or choose it as the manager."
    why "Two programs that answer DHCP on one card take turns in breaking the other's routes."
    => |i| {
        let Some(manager) = i.spec.network.as_ref().and_then(|n| n.manager) else { return Vec::new() };
        let others: &[&str] = match manager {
            NetworkManager::Networkmanager => &["dhcpcd", "ifupdown", "connman"],
            NetworkManager::SystemdNetworkd | NetworkManager::Ifupdown => &["dhcpcd", "networkmanager", "network-manager", "connman"],
            NetworkManager::Dhcpcd => &["networkmanager", "network-manager", "ifupdown", "connman"],
        };
        listed(i, others).into_iter().map(|hit| hit.with("manager", manager.as_str())).collect()
    },

    "ufw-beside-firewalld" Warning Compat ["spec.securityFeatures.firewall.backend", "spec.base"]
    says "{base} comes with firewalld, which ufw fights with"
    does "Write `backend: nftables`."
    why "Both write rules at start, and the later one wins."
    => |i| here(matches!(i.spec.base.family(), Family::Fedora | Family::Opensuse) && i.spec.security_features.firewall.as_ref()
        .is_some_and(|f| f.backend == FirewallBackend::Ufw), "spec.securityFeatures.firewall.backend")
        .into_iter().map(|hit| hit.with("base", i.spec.base.title())).collect(),

    "locale-on-musl" Warning Compat ["spec.defaults.locale", "spec.base"]
    says "{base} has no locales: {locale} changes next to nothing"
    does "Take the line away, or take a base with glibc."
    why "musl knows C.UTF-8 only; programs speak another language only through their own catalogues."
    => |i| i.spec.defaults.locale.iter().filter(|l| musl(i) && *l != "C.UTF-8")
        .map(|l| Hit::at("spec.defaults.locale").with("locale", l).with("base", i.spec.base.title())).collect(),
}

/// Packages of programs or drivers for PCs.
const X86_ONLY: [&str; 16] = [
    "steam",
    "wine",
    "google-chrome",
    "virtualbox",
    "intel-microcode",
    "amd64-microcode",
    "intel-ucode",
    "amd-ucode",
    "intel-media-driver",
    "intel-media-va-driver",
    "thermald",
    "memtest86+",
    "lib32-glibc",
    "spotify",
    "discord",
    "dropbox",
];

/// Packages that their makers build for glibc alone.
const GLIBC_ONLY: [&str; 12] = [
    "steam",
    "google-chrome",
    "cuda",
    "nvidia",
    "nvidia-driver",
    "pytorch",
    "tensorflow",
    "vscode",
    "code",
    "spotify",
    "discord",
    "mongodb",
];

/// The distribution that a suite's name belongs to without doubt.
fn owner(suite: &str) -> Option<Base> {
    Base::all().find(|base| base.about().codenames.iter().any(|name| name == suite))
}

fn musl(image: &OsImage) -> bool {
    image.spec.base.about().libc == Libc::Musl
}

fn listed(image: &OsImage, names: &[&str]) -> Hits {
    let found = packages(image).filter(|(_, name)| names.contains(&name.as_str()));
    let hit = |(field, name)| Hit::at(field).with("name", name).with("base", image.spec.base.title());
    found.map(hit).collect()
}

fn secure(image: &OsImage) -> impl Iterator<Item = &BootMode> {
    image
        .spec
        .verify
        .boot
        .iter()
        .filter(|mode| matches!(mode, BootMode::SecureBoot | BootMode::SecureBootUsb))
}

fn bios(image: &OsImage) -> impl Iterator<Item = &BootMode> {
    image.spec.verify.boot.iter().filter(|mode| matches!(mode, BootMode::Bios | BootMode::BiosUsb))
}

fn only_oci(image: &OsImage) -> bool {
    !image.spec.outputs.is_empty() && image.spec.outputs.iter().all(|output| *output == Output::Oci)
}

fn mac(image: &OsImage, mac: Mac, how: Guard) -> Hits {
    let about = image.spec.base.about();
    let kept = if mac == Mac::Selinux { about.selinux } else { about.apparmor };
    let asked = image.spec.security_features.mac.iter().enumerate();
    let wrong = asked.filter(|(_, asked)| **asked == mac && kept == how);
    wrong
        .map(|(at, _)| {
            Hit::at(format!("spec.securityFeatures.mac[{at}]")).with("base", image.spec.base.title())
        })
        .collect()
}

fn rolling(image: &OsImage, asked: bool, field: &str) -> Hits {
    here(asked && image.spec.base.about().rolling, field)
        .into_iter()
        .map(|hit| hit.with("base", image.spec.base.title()))
        .collect()
}

fn manager(image: &OsImage, wrong: impl Fn(NetworkManager) -> bool) -> Hits {
    let found =
        image.spec.network.as_ref().and_then(|network| network.manager).filter(|manager| wrong(*manager));
    found
        .map(|_| {
            Hit::at("spec.network.manager")
                .with("init", image.spec.init_system().as_str())
                .with("base", image.spec.base.title())
        })
        .into_iter()
        .collect()
}
