use super::*;
use crate::model::name::PackageName;
use crate::model::spec::{Architecture, Init, KernelVersion};
use std::collections::BTreeSet;

/// What a name is called: its packages with a space between them, or `null`.
fn called(base: Base, suite: Option<&str>, name: &str) -> String {
    match row(name).and_then(|r| r.on(base)).map(|e| e.on(suite)) {
        Some(Entry::Offered(offer)) => {
            offer.packages.iter().map(PackageName::as_str).collect::<Vec<_>>().join(" ")
        }
        Some(Entry::Missing(_)) => "null".to_owned(),
        None => panic!("nobody looked for {name} on {}", base.as_str()),
    }
}

/// Reading refuses doubled names and names that no package can have.
#[test]
fn every_row_says_something_about_every_distribution() {
    for row in rows() {
        for base in Base::all() {
            let entry =
                row.on(base).unwrap_or_else(|| panic!("{} has nothing on {}", row.name, base.as_str()));
            let distribution = of(base);
            let suites = entry.suites().map(|(suite, _)| suite);
            for suite in suites {
                assert_eq!(distribution.suite(suite), Some(suite), "{} on {}", row.name, base.as_str());
            }
            for package in entry.all_packages() {
                assert!(distribution.is_name(package.as_str()), "{package} on {}", base.as_str());
            }
            let offers = std::iter::once(entry).chain(entry.suites().map(|(_, e)| e));
            for offer in offers.filter_map(|e| if let Entry::Offered(o) = e { Some(o) } else { None }) {
                if let Some(from) = &offer.from {
                    let repository =
                        repositories().get(from).unwrap_or_else(|| panic!("{from} is not listed"));
                    assert!(repository.bases.contains(&base), "{from} does not serve {}", base.as_str());
                }
            }
        }
    }
}

#[test]
fn there_are_as_many_rows_as_the_requirements_count() {
    let least = [("development", 20), ("ai_ml", 12), ("security", 16), ("networking", 10), ("databases", 6)];
    let more = [("servers", 4), ("multimedia", 8), ("utils", 10)];
    for (category, least) in least.into_iter().chain(more) {
        let count = rows().iter().filter(|r| r.category == category).count();
        assert!(count >= least, "{category} has {count} rows");
    }
    assert!(rows().len() >= 150);
}

/// Requirement 1, section 7.3, word for word.
#[test]
fn the_samples_of_the_requirements_hold() {
    for (name, base, packages) in [
        ("docker", Base::ARCH, "docker"),
        ("docker", Base::DEBIAN, "docker.io"),
        ("docker", Base::FEDORA, "docker-ce"),
        ("docker", Base::ALPINE, "docker"),
        ("nodejs", Base::ARCH, "nodejs"),
        ("nodejs", Base::DEBIAN, "nodejs"),
        ("nodejs", Base::FEDORA, "nodejs"),
        ("nodejs", Base::ALPINE, "nodejs"),
        ("python", Base::ARCH, "python"),
        ("python", Base::DEBIAN, "python3"),
        ("python", Base::FEDORA, "python3"),
        ("python", Base::ALPINE, "python3"),
        ("rust", Base::ARCH, "rust"),
        ("rust", Base::DEBIAN, "rustc"),
        ("rust", Base::FEDORA, "rust"),
        ("rust", Base::ALPINE, "rust"),
        ("apparmor", Base::ARCH, "apparmor"),
        ("apparmor", Base::DEBIAN, "apparmor"),
        ("apparmor", Base::UBUNTU, "apparmor"),
        ("apparmor", Base::FEDORA, "null"),
        ("selinux", Base::ARCH, "null"),
        ("selinux", Base::DEBIAN, "selinux-basics"),
        ("selinux", Base::FEDORA, "selinux-policy"),
        ("nftables", Base::ARCH, "nftables"),
        ("nftables", Base::DEBIAN, "nftables"),
        ("nftables", Base::FEDORA, "nftables"),
        ("nftables", Base::ALPINE, "nftables"),
        ("cuda", Base::ARCH, "cuda"),
        ("cuda", Base::DEBIAN, "nvidia-cuda-toolkit"),
        ("cuda", Base::UBUNTU, "nvidia-cuda-toolkit"),
        ("pytorch", Base::ARCH, "python-pytorch-cuda"),
        ("pytorch", Base::DEBIAN, "python3-torch"),
        ("pytorch", Base::UBUNTU, "python3-torch"),
    ] {
        assert_eq!(called(base, None, name), packages, "{name} on {}", base.as_str());
    }
}

/// Requirement 1, section 7.2.
#[test]
fn the_examples_of_the_requirements_are_there() {
    let examples = "docker git python nodejs rust go cuda pytorch tensorflow ollama jupyter apparmor selinux \
        nftables fail2ban networkmanager wireguard tailscale postgresql mysql redis mongodb nginx apache caddy \
        ffmpeg pipewire gstreamer yay flatpak neofetch";
    for name in examples.split_whitespace() {
        assert!(row(name).is_some(), "{name}");
    }
}

/// What specs could write before there were columns, they can write still.
#[test]
fn no_name_is_lost() {
    let names = "android-tools bazel clang-tools composer deno docker docker-compose dotnet gcc github-cli go golang \
        helm java jdk jre kotlin kubectl llvm maven mono node nodejs npm openjdk php pip pipx podman protobuf python \
        python-pip python-venv ruby rust rustup terraform vscode yarn aide apparmor audit bpf-tools clamav crowdsec \
        falco fail2ban firejail gnupg john lynis metasploit nftables ossec pam-u2f rkhunter selinux suricata trivy \
        ufw usbguard conda cuda huggingface jupyter jupyterlab keras numpy ollama opencv pandas pytorch scikit-learn \
        scipy tensorflow torchvision transformers avahi bind bluez dhcp-server dig dns-utils iwd netcat \
        networkmanager openssh ping samba ssh sshd tailscale tor wifi wireguard wpa_supplicant zerotier cassandra \
        clickhouse elasticsearch influxdb mariadb memcached mongodb mysql neo4j postgres postgresql redis sqlite \
        apache caddy grafana haproxy httpd lighttpd nginx node-exporter prometheus tomcat traefik alsa ffmpeg \
        gstreamer imagemagick mpv obs pipewire pulseaudio vlc wireplumber 7zip bat cron delta exa fd flatpak fzf ack \
        helix inetutils lsb-release neofetch neovim nvim ripgrep snap starship vim yay zsh base-devel \
        build-essential cronie dbus grub linux-firmware locales man sudo tzdata";
    for name in names.split_whitespace() {
        assert!(row(name).is_some(), "{name}");
    }
}

#[test]
fn suites_differ_and_have_other_names() {
    assert_eq!(called(Base::DEBIAN, Some("bookworm"), "rustup"), "null");
    assert_eq!(called(Base::DEBIAN, Some("trixie"), "rustup"), "rustup");
    assert_eq!(called(Base::DEBIAN, Some("bookworm"), "neofetch"), "neofetch");
    assert_eq!(called(Base::DEBIAN, Some("trixie"), "neofetch"), "null");
    assert_eq!(of(Base::UBUNTU).suite("24.04"), Some("noble"));
    assert_eq!(of(Base::UBUNTU).suite("noble"), Some("noble"));
    assert_eq!(of(Base::UBUNTU).suite("warty"), None);
}

/// Every kernel flavour has a name or a reason, on both architectures (requirement 1, sections 4.2 and 6.5).
#[test]
fn every_kernel_has_a_name_or_a_reason() {
    let flavours = [KernelVersion::LinuxLts, KernelVersion::LinuxZen, KernelVersion::LinuxHardened];
    for base in Base::all() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            for flavour in flavours {
                let found = of(base).kernel(architecture, flavour);
                assert!(found.is_some(), "{} {} {flavour:?}", base.as_str(), architecture.as_str());
            }
        }
    }
    let lts = |base| match of(base).kernel(Architecture::X86_64, KernelVersion::LinuxLts) {
        Some(Entry::Offered(offer)) => offer.packages[0].as_str(),
        _ => "null",
    };
    assert_eq!(lts(Base::DEBIAN), "linux-image-amd64");
    assert_eq!(lts(Base::UBUNTU), "linux-image-generic");
    assert_eq!(lts(Base::FEDORA), "kernel");
    assert_eq!(lts(Base::GENTOO), "sys-kernel/gentoo-kernel-bin");
}

#[test]
fn services_have_the_names_of_their_init_system() {
    let service = |name: &str, base, init| row(name).unwrap().service(base, init);
    assert_eq!(service("openssh", Base::DEBIAN, Init::Systemd), Some("ssh"));
    assert_eq!(service("openssh", Base::FEDORA, Init::Systemd), Some("sshd"));
    assert_eq!(service("tailscale", Base::ALPINE, Init::Openrc), Some("tailscale"));
    assert_eq!(service("bluez", Base::VOID, Init::Runit), Some("bluetoothd"));
    assert_eq!(service("git", Base::DEBIAN, Init::Systemd), None);
}

#[test]
fn a_slip_of_the_pen_is_understood() {
    assert_eq!(near("postgres-sql").first(), Some(&"postgresql"));
    assert_eq!(near("ngnix"), ["nginx"]);
    assert!(near("python3").contains(&"python"));
    assert!(near("qqqqqqqqq").is_empty());
}

#[test]
fn names_that_a_package_manager_would_misread_are_no_names() {
    for (base, bad) in [
        (Base::DEBIAN, "nano-"),
        (Base::DEBIAN, "Nano"),
        (Base::DEBIAN, "a/b"),
        (Base::DEBIAN, "x"),
        (Base::ARCH, "community/x"),
        (Base::ALPINE, "x@testing"),
        (Base::FEDORA, "@core"),
        (Base::GENTOO, "a/b/c"),
        (Base::GENTOO, "a/"),
        (Base::VOID, "-y"),
    ] {
        assert!(!of(base).is_name(bad), "{bad} on {}", base.as_str());
    }
    assert!(of(Base::GENTOO).is_name("www-servers/nginx") && of(Base::ARCH).is_name("gtk-sharp-2"));
}

/// A name without evidence is shown as unchecked; Debian has none.
#[test]
fn what_was_checked_is_in_the_table() {
    for base in Base::all() {
        let known: BTreeSet<&PackageName> =
            all_packages(base).into_iter().chain(of(base).own_packages()).collect();
        for evidence in of(base).all_evidence() {
            let stray: Vec<_> = evidence.names.iter().filter(|n| !known.contains(n)).collect();
            assert!(
                stray.is_empty(),
                "{}: {} names {stray:?}, which no row has",
                base.as_str(),
                evidence.source
            );
        }
    }
    // Of Debian's column, only what vendors publish is in no index of Debian's.
    let vendor = |name: &str| {
        let offers = rows().iter().filter_map(|r| r.on(Base::DEBIAN)?.offer());
        offers.filter(|o| o.packages.iter().any(|p| p.as_str() == name)).all(|o| {
            let from = o.from.as_ref().and_then(|from| repositories().get(from));
            from.is_some_and(|r| r.kind == RepositoryKind::Vendor)
        })
    };
    let unseen = all_packages(Base::DEBIAN).into_iter().filter(|n| of(Base::DEBIAN).evidence(n).is_none());
    let wrong: Vec<_> = unseen.filter(|n| !vendor(n.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_wrong_table_would_be_noticed() {
    let bad = [
        "x: {packages: a, missing: b}",
        "x: {note: a}",
        "x: {missing: ''}",
        "x: {packages: []}",
        "x: {packages: 'a b'}",
        "x: {packages: a, arch: [x86_64]}",
    ];
    for text in bad {
        assert!(serde_saphyr::from_str::<std::collections::BTreeMap<String, Entry>>(text).is_err(), "{text}");
    }
    assert!(serde_saphyr::from_str::<std::collections::BTreeMap<String, Entry>>("x: a\nx: b\n").is_err());
}
