//! Calamares' own files: which modules run in which order, and the settings of each
//! (`/etc/calamares`, YAML; the format stands in the comments of Calamares' sources).

use super::{BRANDING, LOGO, layout, pages, product, slide};
use crate::configure::{System, shell};
use crate::model::spec::{Installer, InstallerPage};
use serde_json::{Value, json};

/// All files with their paths. JSON is YAML, and quotes everything.
pub(super) fn all(
    system: &System<'_>,
    installer: &Installer,
    live_user: Option<&str>,
) -> Vec<(String, String)> {
    let mut files = vec![
        ("etc/calamares/settings.conf".to_owned(), text(&settings(system, installer, live_user))),
        (format!("{BRANDING}/branding.desc"), text(&branding(system, installer))),
    ];
    if installer.logo.is_none() {
        files.push((format!("{BRANDING}/{PLAIN}"), MARK.to_owned()));
    }
    let modules = [
        ("welcome", welcome(installer)),
        ("locale", locale(system)),
        ("keyboard", json!({"writeEtcDefaultKeyboard": system.is_debian()})),
        ("partition", layout::partition(system)),
        ("mount", layout::mount(system)),
        (
            "unpackfs",
            json!({"unpack": [{"source": "/run/bootwright-source", "sourcefs": "overlay", "destination": ""}]}),
        ),
        ("machineid", json!({"systemd": true, "systemd-style": "uuid", "dbus": true, "dbus-symlink": true})),
        ("users", users(system)),
        (
            "displaymanager",
            json!({"displaymanagers": ["greetd", "lightdm", "gdm", "sddm"], "basicSetup": false}),
        ),
        ("bootloader", bootloader(system)),
        ("packages", packages(system)),
        ("removeuser", json!({"username": live_user.unwrap_or_default()})),
        ("finished", json!({"restartNowMode": "user-checked", "restartNowCommand": "systemctl reboot"})),
    ];
    for (name, value) in modules.into_iter().chain(layout::pool(system).map(|pool| ("zfs", pool))) {
        files.push((format!("etc/calamares/modules/{name}.conf"), text(&value)));
    }
    files
}

fn text(value: &Value) -> String {
    format!("# Made by Bootwright.\n---\n{value:#}\n")
}

/// The order of everything: pages first, then what is done, then the last page.
fn settings(system: &System<'_>, installer: &Installer, live_user: Option<&str>) -> Value {
    let pages = pages(installer);
    let shown: Vec<&str> =
        pages.iter().filter(|page| **page != InstallerPage::Finished).map(|page| page.as_str()).collect();
    let mut exec = vec!["partition"];
    if layout::pool(system).is_some() {
        exec.push("zfs");
    }
    exec.extend(["mount", "unpackfs", "machineid", "fstab"]);
    // Their jobs write what their pages asked for, and need them.
    exec.extend(pages.iter().filter_map(|page| match page {
        InstallerPage::Locale => Some("locale"),
        InstallerPage::Keyboard => Some("keyboard"),
        _ => None,
    }));
    if pages.contains(&InstallerPage::Locale) {
        exec.push("localecfg");
    }
    if live_user.is_some() {
        exec.push("removeuser");
    }
    exec.extend(["users", "displaymanager", "networkcfg", "hwclock"]);
    if layout::encryption(system).is_some() {
        exec.push("luksbootkeyfile");
        if system.is_debian() {
            // Puts that key into the initramfs, which then asks for no second passphrase.
            exec.push("initramfscfg");
        }
    }
    exec.extend(["packages", "grubcfg", "bootloader", "initramfs", "umount"]);
    let mut sequence = vec![json!({"show": shown}), json!({"exec": exec})];
    if pages.contains(&InstallerPage::Finished) {
        sequence.push(json!({"show": ["finished"]}));
    }
    json!({
        "modules-search": ["local"],
        "sequence": sequence,
        "branding": "bootwright",
        "prompt-install": true,
        "dont-chroot": false,
        "oem-setup": false,
        "disable-cancel": false,
        "disable-cancel-during-exec": true,
        "hide-back-and-next-during-exec": true,
        "quit-at-end": !pages.contains(&InstallerPage::Finished),
    })
}

fn branding(system: &System<'_>, installer: &Installer) -> Value {
    let name = product(system, installer);
    let logo = if installer.logo.is_some() { LOGO } else { PLAIN };
    let slides = match installer.slides.len() {
        0 => vec![logo.to_owned()],
        count => (0..count).map(slide).collect(),
    };
    let support = installer.support_url.as_ref().map(|url| url.as_str()).unwrap_or_default();
    json!({
        "componentName": "bootwright",
        "welcomeStyleCalamares": false,
        "welcomeExpandingLogo": true,
        "windowExpanding": "normal",
        "windowSize": "800px,520px",
        "strings": {
            "productName": name, "shortProductName": name, "version": system.suite,
            "shortVersion": system.suite, "versionedName": name, "shortVersionedName": name,
            "bootloaderEntryName": entry_name(&name),
            "productUrl": support, "supportUrl": support,
        },
        "images": {"productLogo": logo, "productIcon": logo, "productWelcome": logo},
        "slideshow": slides,
        "slideshowAPI": 1,
        "style": {"sidebarBackground": "#1d2430", "sidebarText": "#e6e9ef",
            "sidebarTextSelect": "#1d2430", "sidebarTextHighlight": "#5aa9e6",
            "SidebarBackground": "#1d2430", "SidebarText": "#e6e9ef",
            "SidebarTextCurrent": "#1d2430", "SidebarBackgroundCurrent": "#5aa9e6"},
    })
}

/// A folder's name in the EFI partition: letters and digits only.
fn entry_name(name: &str) -> String {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    if plain.is_empty() { "bootwright".to_owned() } else { plain }
}

fn welcome(installer: &Installer) -> Value {
    json!({
        "showSupportUrl": installer.support_url.is_some(),
        "showKnownIssuesUrl": false, "showReleaseNotesUrl": false,
        "requirements": {
            "requiredStorage": 6.0, "requiredRam": 0.9,
            "check": ["storage", "ram", "root"], "required": ["storage", "root"],
        },
    })
}

fn locale(system: &System<'_>) -> Value {
    let zone = system.configuration.timezone.as_str();
    let (region, zone) = zone.split_once('/').unwrap_or(("Etc", "UTC"));
    json!({"region": region, "zone": zone, "adjustLiveTimezone": false})
}

fn users(system: &System<'_>) -> Value {
    let administrators = if system.is_debian() { "sudo" } else { "wheel" };
    let groups = ["audio", "video", "users", "netdev", "plugdev"];
    json!({
        "defaultGroups": if system.is_debian() { json!(groups) } else { json!(["audio", "video", "users"]) },
        "sudoersGroup": administrators,
        "autologinGroup": "autologin",
        "doAutologin": false,
        "setRootPassword": false,
        "doReusePassword": false,
        "passwordRequirements": {"minLength": 8},
        "allowWeakPasswords": false,
        "userShell": shell::of_all(system),
        "setHostname": "EtcFile",
        "writeHostsFile": true,
    })
}

fn bootloader(system: &System<'_>) -> Value {
    let prefix = if system.is_debian() { "grub" } else { "grub2" };
    json!({
        "efiBootLoader": "grub",
        "kernel": "/vmlinuz", "img": "/initrd.img", "fallback": "/initrd.img", "timeout": "5",
        "grubInstall": format!("{prefix}-install"),
        "grubMkconfig": format!("{prefix}-mkconfig"),
        "grubCfg": "/boot/grub/grub.cfg",
        "grubProbe": format!("{prefix}-probe"),
        "efiBootMgr": "efibootmgr",
        "installEFIFallback": true,
    })
}

/// What only a live system has a use for.
fn packages(system: &System<'_>) -> Value {
    let live = crate::tables::of(system.base).live.iter().map(|p| p.as_str());
    let live: Vec<&str> = live.filter(|package| system.has(package)).collect();
    let backend = if system.is_debian() { "apt" } else { "dummy" };
    json!({"backend": backend, "skip_if_no_internet": false, "update_db": false, "update_system": false,
        "operations": [{"remove": live}]})
}

/// A plain mark for who brings no logo, and its name.
const PLAIN: &str = "logo.svg";
const MARK: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 128 128\">\
<rect width=\"128\" height=\"128\" rx=\"20\" fill=\"#1d2430\"/>\
<path d=\"M64 24v52m0 0l-24-24m24 24l24-24M32 100h64\" stroke=\"#5aa9e6\" stroke-width=\"10\" fill=\"none\" \
stroke-linecap=\"round\"/></svg>\n";
