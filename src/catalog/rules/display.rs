//! The graphical session and the installer.

use super::rows::{Hits, here, package, rules};
use super::{Hit, Rule};
use crate::model::spec::{
    Compositor, Display, DisplayServer, Encryption, Family, Init, InstallerPage, OsImage, Output,
};

rules! {
    "compositor-server" Error Compat ["spec.display.server", "spec.display.compositor"]
    says "{compositor} needs {right}, not {server}"
    does "Write `server: {right}`, or take another compositor."
    why "A compositor speaks to the screen itself (Wayland), a window manager to the X server; few do both."
    => |i| display(i, |d| d.compositor.zip(d.server).filter(|(c, server)| !c.servers().contains(server))
        .map(|(c, server)| Hit::at("spec.display.server").with("compositor", c.as_str())
            .with("right", c.servers()[0].as_str()).with("server", server.as_str())).into_iter().collect()),

    "compositor-without-server" Error Compat ["spec.display.server", "spec.display.compositor"]
    says "{compositor} cannot run without a display server"
    does "Write `server: {right}`, or take `compositor` away."
    why "`server: null`, or no server, means a text console."
    => |i| display(i, |d| d.compositor.filter(|_| d.server.is_none()).map(|c| {
        Hit::at("spec.display.compositor").with("compositor", c.as_str()).with("right", c.servers()[0].as_str())
    }).into_iter().collect()),

    "server-without-compositor" Warning Compat ["spec.display.server", "spec.display.compositor"]
    says "{server} shows an empty screen without a compositor"
    does "Choose a `compositor`, or write `server: null`."
    why "The server draws what programs ask for; nothing would start one."
    => |i| display(i, |d| d.server.filter(|_| d.compositor.is_none())
        .map(|s| Hit::at("spec.display.server").with("server", s.as_str())).into_iter().collect()),

    "parts-without-compositor" Error Validation
    ["spec.display.compositor", "spec.display.bar", "spec.display.launcher", "spec.display.terminal", "spec.display.theme", "spec.display.notifications"]
    says "nothing starts the {part}: there is no compositor"
    does "Choose a `compositor`, or take `{part}` away."
    why "A session's programs are started from its compositor's settings."
    => |i| display(i, |d| if d.compositor.is_some() { Vec::new() } else {
        parts(d).into_iter().chain([("theme", d.theme.as_ref().map(|t| t.as_str()))]).filter(|(_, set)| set.is_some())
            .map(|(part, _)| Hit::at(format!("spec.display.{part}")).with("part", part)).collect()
    }),

    "compositor-without-terminal" Warning Compat ["spec.display.compositor", "spec.display.terminal"]
    says "a session of {compositor} starts without any program to begin with"
    does "Choose a `terminal`: foot or alacritty on Wayland, alacritty or kitty on X."
    why "Tiling window managers start empty and open a terminal by a key."
    => |i| tiling(i, |d| d.terminal.is_none(), "terminal"),

    "compositor-without-launcher" Warning Compat ["spec.display.compositor", "spec.display.launcher"]
    says "nothing starts programs in a session of {compositor}"
    does "Choose a `launcher`: wofi or fuzzel on Wayland, rofi or dmenu on X."
    why "Tiling window managers have no menu of their own."
    => |i| tiling(i, |d| d.launcher.is_none(), "launcher"),

    "part-of-the-other-server" Error Compat
    ["spec.display.server", "spec.display.bar", "spec.display.launcher", "spec.display.terminal", "spec.display.notifications"]
    says "{name} does not run on {server}"
    does "{instead}"
    why "It uses a protocol that the other kind of server has."
    => |i| display(i, |d| parts(d).into_iter().filter_map(|(part, name)| {
        let (name, server) = (name?, d.server?);
        let (_, _, instead) = ONE_SERVER.iter().find(|(known, needs, _)| *known == name && *needs != server)?;
        Some(Hit::at(format!("spec.display.{part}")).with("name", name).with("server", server.as_str())
            .with("instead", instead))
    }).collect()),

    "desktop-brings-parts" Warning Compat
    ["spec.display.compositor", "spec.display.bar", "spec.display.notifications"]
    says "{compositor} brings its own {part}: there would be two"
    does "Take `{part}` away."
    why "A whole desktop starts panel and notifications by itself."
    => |i| display(i, |d| d.compositor.filter(|c| c.is_desktop()).into_iter().flat_map(|c| {
        [("bar", d.bar.is_some()), ("notifications", d.notifications.is_some())].into_iter().filter(|(_, set)| *set)
            .map(move |(part, _)| Hit::at(format!("spec.display.{part}")).with("compositor", c.as_str()).with("part", part))
    }).collect()),

    "compositor-not-packaged" Error PackageUnavailable ["spec.display.compositor", "spec.base", "spec.suite"]
    says "{suite} has no {compositor}"
    does "Write `compositor: sway`, or take a newer suite."
    why "It was packaged after this suite was closed."
    => |i| display(i, |d| d.compositor.filter(|c| *c == Compositor::Hyprland
        && matches!(i.spec.suite.as_str(), "bullseye" | "bookworm" | "trixie" | "focal" | "jammy" | "noble")).map(|c| {
        Hit::at("spec.display.compositor").with("suite", &i.spec.suite).with("compositor", c.as_str())
    }).into_iter().collect()),

    "desktop-memory" Warning Validation ["spec.display.compositor", "spec.verify.memoryMib", "spec.outputs"]
    says "{memory} MiB are too little to see {compositor} start"
    does "Write `memoryMib: {least}` in `verify`."
    why "The live system keeps what it writes in the same memory."
    => |i| display(i, |d| d.compositor.into_iter().filter_map(|c| {
        let least = if matches!(c, Compositor::Gnome | Compositor::Kde) { 3072 } else { 1536 };
        (i.spec.outputs.contains(&Output::Iso) && i.spec.verify.memory_mib < least).then(|| {
            Hit::at("spec.verify.memoryMib").with("memory", i.spec.verify.memory_mib).with("least", least)
                .with("compositor", c.as_str())
        })
    }).collect()),

    "desktop-without-user" Warning Validation ["spec.display.compositor", "spec.defaults.users"]
    says "nobody can log in to a session: there are no users"
    does "Declare one in `defaults.users`."
    why "Root stays locked, and desktops refuse root."
    => |i| display(i, |d| here(d.compositor.is_some() && i.spec.defaults.users.is_empty(), "spec.display")),

    "desktop-in-a-container" Error Compat ["spec.display", "spec.outputs"]
    says "nothing reads this: a container has no screen"
    does "Add `iso` to `outputs`, or take `display` away."
    why "An OCI image starts one program without a seat, a screen or a keyboard."
    => |i| display(i, |d| here(*d != Display::default() && i.spec.outputs == [Output::Oci], "spec.display")),

    "gnome-without-systemd" Warning Compat ["spec.display.compositor", "spec.init", "spec.base"]
    says "GNOME without systemd is not supported by its makers"
    does "Write `compositor: kde` or `xfce`, or take a base with systemd."
    why "GNOME starts its session as units of systemd; elogind stands in for a part of it only."
    => |i| display(i, |d| here(d.compositor == Some(Compositor::Gnome)
        && i.spec.init_system() != Init::Systemd, "spec.display.compositor")),

    "login-screens" Error Compat ["spec.packages"]
    says "{name} is a second login screen beside {first}"
    does "Keep one of the two."
    why "Both would take the same screen at start."
    => |i| {
        let found: Vec<_> = super::rows::packages(i)
            .filter(|(_, name)| ["gdm", "gdm3", "sddm", "lightdm", "ly", "greetd", "lxdm"].contains(&name.as_str())).collect();
        found.iter().skip(1).map(|(field, name)| Hit::at(field.as_str()).with("name", name).with("first", found[0].1)).collect()
    },

    "nvidia-wayland" Warning Compat ["spec.display.server", "spec.packages"]
    says "{name} needs `nvidia-drm.modeset=1` in `kernel.customFlags` for Wayland"
    does "Add the flag."
    why "Without kernel mode setting NVIDIA's driver offers Wayland compositors no screen."
    => |i| display(i, |d| package(i, &["nvidia", "nvidia-driver", "nvidia-dkms", "nvidia-open"])
        .filter(|_| d.server == Some(DisplayServer::Wayland)
            && !i.spec.kernel.custom_flags.iter().any(|f| f == "nvidia-drm.modeset=1"))
        .map(|(field, name)| Hit::at(field).with("name", name)).into_iter().collect()),

    "installer-without-iso" Error Compat ["spec.installer", "spec.outputs"]
    says "nothing starts the installer: iso is not among the outputs"
    does "Add `iso` to `outputs`, or take `installer` away."
    why "The installer runs in the live system of an ISO."
    => |i| here(i.spec.installer.is_some() && !i.spec.outputs.contains(&Output::Iso), "spec.installer"),

    "installer-without-screen" Error Compat ["spec.installer", "spec.display.compositor"]
    says "Calamares cannot run without a graphical session"
    does "Choose a `display.compositor`, or take `installer` away."
    why "Calamares is a program with windows and has no text form."
    => |i| here(i.spec.installer.is_some()
        && i.spec.display.as_ref().is_none_or(|d| d.compositor.is_none()), "spec.installer"),

    "installer-pages" Error Validation ["spec.installer.pages"]
    says "the installer cannot work with these pages: {why}"
    does "Take `pages` away, or write [welcome, locale, keyboard, partition, users, summary, finished]."
    why "It must know a disk and an account before it starts, and shows the end after the summary."
    => |i| i.spec.installer.iter().filter(|n| !n.pages.is_empty()).filter_map(|n| wrong_pages(&n.pages))
        .map(|why| Hit::at("spec.installer.pages").with("why", why)).collect(),

    "installer-luks2" Error Compat
    ["spec.filesystem.encryption", "spec.filesystem.partitions", "spec.installer", "spec.suite"]
    says "the installer cannot encrypt the disk like that: {why}"
    does "Write `encryption: luks1` with all of the disk encrypted, or take a newer suite and an unencrypted partition for /boot."
    why "Calamares before 3.3 makes LUKS 1 of all partitions or of none, and GRUB opens no LUKS 2 with Argon2id."
    => |i| beyond_the_installer(i).map(|why| Hit::at("spec.filesystem.encryption").with("why", why)).into_iter().collect(),

    "installer-on-gentoo" Warning Compat ["spec.installer", "spec.base"]
    says "Calamares is not packaged for {base}"
    does "Describe the installation by hand, or take another base."
    why "It has to know how the distribution sets up its boot loader and initramfs."
    => |i| here(i.spec.installer.is_some() && matches!(i.spec.base.family(), Family::Gentoo | Family::Alpine), "spec.installer")
        .into_iter().map(|hit| hit.with("base", i.spec.base.as_str())).collect(),

    "plymouth-without-picture" Warning Validation
    ["spec.customization.bootloader.plymouth", "spec.customization.bootloader.splash"]
    says "Plymouth has no picture to show"
    does "Name one in `splash`."
    why "Without a picture it shows the menu's title and colours alone."
    => |i| {
        let loader = &i.spec.customization.bootloader;
        here(loader.plymouth && loader.splash.is_none(), "spec.customization.bootloader.plymouth")
    },
}

/// Programs of a session that run on one kind of server only, and what to take on the other.
const ONE_SERVER: &[(&str, DisplayServer, &str)] = &[
    ("waybar", DisplayServer::Wayland, "Take polybar on X."),
    ("wofi", DisplayServer::Wayland, "Take rofi on X."),
    ("fuzzel", DisplayServer::Wayland, "Take rofi on X."),
    ("bemenu", DisplayServer::Wayland, "Take dmenu on X."),
    ("tofi", DisplayServer::Wayland, "Take dmenu on X."),
    ("foot", DisplayServer::Wayland, "Take alacritty or xterm on X."),
    ("mako", DisplayServer::Wayland, "Take dunst on X."),
    ("swaync", DisplayServer::Wayland, "Take dunst on X."),
    ("polybar", DisplayServer::Xorg, "Take waybar on Wayland."),
    ("i3blocks", DisplayServer::Xorg, "Take waybar on Wayland."),
    ("i3status", DisplayServer::Xorg, "Take waybar on Wayland."),
    ("xmobar", DisplayServer::Xorg, "Take waybar on Wayland."),
    ("lemonbar", DisplayServer::Xorg, "Take waybar on Wayland."),
    ("dmenu", DisplayServer::Xorg, "Take bemenu or fuzzel on Wayland."),
    ("xterm", DisplayServer::Xorg, "Take foot on Wayland."),
    ("rxvt-unicode", DisplayServer::Xorg, "Take foot on Wayland."),
    ("st", DisplayServer::Xorg, "Take foot on Wayland."),
];

fn display(image: &OsImage, of: impl FnOnce(&Display) -> Hits) -> Hits {
    image.spec.display.as_ref().map(of).unwrap_or_default()
}

/// The programs of a session by the names of their fields.
fn parts(display: &Display) -> [(&'static str, Option<&str>); 4] {
    [
        ("bar", display.bar.as_ref().map(|name| name.as_str())),
        ("launcher", display.launcher.as_ref().map(|name| name.as_str())),
        ("terminal", display.terminal.as_ref().map(|name| name.as_str())),
        ("notifications", display.notifications.as_ref().map(|name| name.as_str())),
    ]
}

fn tiling(image: &OsImage, lacks: impl Fn(&Display) -> bool, part: &str) -> Hits {
    let found =
        image.spec.display.as_ref().filter(|display| lacks(display)).and_then(|display| display.compositor);
    found
        .filter(|compositor| !compositor.is_desktop())
        .map(|compositor| Hit::at(format!("spec.display.{part}")).with("compositor", compositor.as_str()))
        .into_iter()
        .collect()
}

/// Suites whose Calamares is older than 3.3.
const OLD_INSTALLERS: [&str; 4] = ["bullseye", "bookworm", "focal", "jammy"];

fn beyond_the_installer(image: &OsImage) -> Option<&'static str> {
    let spec = &image.spec;
    let filesystem = spec.filesystem.as_ref().filter(|_| spec.installer.is_some())?;
    let efi = |mount: &str| matches!(mount, "/boot/efi" | "/efi");
    let old = OLD_INSTALLERS.contains(&spec.suite.as_str());
    match filesystem.encryption? {
        Encryption::Luks2 if old => Some("this suite's Calamares makes LUKS 1 only"),
        Encryption::Luks2 if filesystem.partitions.is_empty() => Some("nothing would open /boot"),
        _ if old && filesystem.partitions.iter().any(|p| !p.encrypted && !efi(p.mount.as_str())) => {
            Some("this suite's Calamares leaves no partition out")
        }
        _ => None,
    }
}

fn wrong_pages(pages: &[InstallerPage]) -> Option<String> {
    let at = |page: InstallerPage| pages.iter().position(|other| *other == page);
    for needed in [InstallerPage::Partition, InstallerPage::Users, InstallerPage::Summary] {
        if at(needed).is_none() {
            return Some(format!("{} is missing", needed.as_str()));
        }
    }
    for (index, page) in pages.iter().enumerate() {
        if pages[..index].contains(page) {
            return Some(format!("{} is there twice", page.as_str()));
        }
    }
    let summary = at(InstallerPage::Summary)?;
    let late = pages[summary + 1..].iter().find(|page| **page != InstallerPage::Finished);
    late.map(|page| format!("{} comes after the summary", page.as_str())).or_else(|| {
        at(InstallerPage::Finished)
            .filter(|end| *end < summary)
            .map(|_| "finished comes too early".to_owned())
    })
}
