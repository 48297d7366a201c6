//! How each package manager is told to update and to install in a Containerfile.

use crate::tables::Manager;

/// The commands of one package manager.
pub(super) struct Commands {
    /// The folders that BuildKit keeps between builds: packages are downloaded once.
    pub caches: &'static [&'static str],
    /// Brings the base image up to date.
    pub update: &'static [&'static str],
    /// Installs; the names follow, one a line.
    pub install: &'static str,
    /// Installs groups; the names follow.
    pub group: Option<&'static str>,
    /// The linter's rule that asks for a version behind every name, if there is one.
    pub pin_rule: Option<&'static str>,
    /// Rules of the linter that cannot hold here: caches are mounts, and the update is asked for.
    pub excused: &'static [&'static str],
    /// Whether `openssh-server` makes host keys when it is installed, not when it starts.
    pub makes_host_keys: bool,
}

/// The commands of a package manager.
pub(super) fn commands(manager: Manager) -> Commands {
    match manager {
        Manager::Apt => Commands {
            // Not all of /var/lib/apt: which packages were asked for belongs to the image.
            caches: &["/var/cache/apt", "/var/lib/apt/lists"],
            update: &[
                // The base images throw downloads away; the cache mount is there to keep them.
                "rm -f /etc/apt/apt.conf.d/docker-clean",
                "apt-get update",
                "apt-get upgrade --yes --no-install-recommends",
            ],
            install: "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends",
            group: None,
            pin_rule: Some("DL3008"),
            excused: &[],
            makes_host_keys: true,
        },
        Manager::Pacman => Commands {
            caches: &["/var/cache/pacman/pkg"],
            update: &["pacman -Syu --noconfirm"],
            install: "pacman -S --noconfirm --needed",
            group: Some("pacman -S --noconfirm --needed"),
            pin_rule: None,
            excused: &[],
            makes_host_keys: false,
        },
        Manager::Apk => Commands {
            caches: &["/var/cache/apk"],
            update: &["apk --cache-dir /var/cache/apk update", "apk --cache-dir /var/cache/apk upgrade"],
            install: "apk --cache-dir /var/cache/apk add",
            group: None,
            pin_rule: Some("DL3018"),
            excused: &["DL3017", "DL3019"],
            makes_host_keys: false,
        },
        Manager::Dnf => Commands {
            caches: &["/var/cache/libdnf5"],
            update: &["dnf --assumeyes --refresh --setopt=keepcache=True upgrade"],
            install: "dnf install -y --setopt=keepcache=True --setopt=install_weak_deps=False",
            group: Some("dnf group install -y --setopt=keepcache=True"),
            pin_rule: Some("DL3041"),
            excused: &["DL3040"],
            makes_host_keys: false,
        },
        Manager::Zypper => Commands {
            caches: &["/var/cache/zypp"],
            update: &["zypper --non-interactive refresh", "zypper --non-interactive update"],
            install: "zypper --non-interactive install --no-recommends",
            group: Some("zypper --non-interactive install --no-recommends --type pattern"),
            pin_rule: Some("DL3037"),
            excused: &["DL3036"],
            makes_host_keys: false,
        },
        Manager::Xbps => Commands {
            caches: &["/var/cache/xbps"],
            update: &["xbps-install --sync --update --yes xbps", "xbps-install --update --yes"],
            install: "xbps-install --sync --yes",
            group: None,
            pin_rule: None,
            excused: &[],
            makes_host_keys: false,
        },
        Manager::Emerge => Commands {
            caches: &["/var/cache/distfiles", "/var/cache/binpkgs"],
            update: &["emerge-webrsync", "getuto"],
            // Who can write to a mirror must not be able to bring a package of their own.
            install: "FEATURES=binpkg-request-signature emerge --getbinpkg --noreplace --quiet-build",
            group: None,
            pin_rule: None,
            excused: &[],
            makes_host_keys: false,
        },
    }
}
