//! Calamares: an installer that the live system offers, with pages, disks and accounts as the
//! spec has them.
//!
//! What is copied is the live system itself without what was written since its start: its
//! squashfs modules, stacked once more, so that what a later module took away stays away.
//! The module that the live medium alone has stays behind, and with it the installer itself,
//! its rights and the login without a password.

mod layout;
mod modules;

use super::{Needs, Plan, Program, System, desktop};
use crate::model::check::Expect;
use crate::model::spec::{Installer, InstallerPage, OsSpec};

/// What starts the installer in a session.
pub(super) const START: &str = "/usr/local/bin/bootwright-install";
/// Stacks the modules of the live medium, for Calamares to copy.
const SOURCE: &str = "/usr/local/sbin/bootwright-installer-source";
/// What root may be asked for without a password, in the live system only.
const SUDOERS: &str = "etc/sudoers.d/50-bootwright-installer";

/// Where names, colours and pictures stand.
const BRANDING: &str = "etc/calamares/branding/bootwright";
/// The spec's logo there.
const LOGO: &str = "logo.png";

/// The name there of one of the spec's slides.
fn slide(index: usize) -> String {
    format!("slide-{}.png", index + 1)
}

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if spec.installer.is_none() {
        return;
    }
    needs.package("spec.installer", "utils", "calamares");
    needs.package("spec.installer", "utils", "rsync");
    needs.package("spec.installer", "base", "sudo");
    if desktop::speaks_wayland(spec.display.as_ref()) == Some(true) {
        needs.package("spec.installer", "utils", "qt-wayland");
    }
}

impl System<'_> {
    /// Whether there is an installer, and a live system to start it in.
    pub(super) fn offers_installer(&self) -> bool {
        self.configuration.installer.is_some() && self.is_live()
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(installer) = system.configuration.installer.as_ref().filter(|_| system.offers_installer())
    else {
        return;
    };
    let user = system.logs_in();
    let live = &mut plan.live;
    for (path, text) in modules::all(system, installer, user) {
        live.file(&path, 0o644, text);
    }
    let slides = installer.slides.iter().enumerate().map(|(index, path)| (slide(index), path));
    for (name, path) in installer.logo.iter().map(|path| (LOGO.to_owned(), path)).chain(slides) {
        if let Some(digest) = system.configuration.pictures.get(path.as_str()) {
            live.picture(&format!("{BRANDING}/{name}"), *digest);
        }
    }
    live.file(&START[1..], 0o755, START_TEXT);
    live.file(&SOURCE[1..], 0o755, SOURCE_TEXT);
    live.file("usr/local/share/applications/bootwright-install.desktop", 0o644, entry(system, installer));
    for script in [START, SOURCE] {
        live.test(Program::new("checking the installer's scripts", "/bin/sh", &["-n", script]));
    }
    if let Some(user) = user {
        let text = format!("{user} ALL=(root) NOPASSWD: {START}\n");
        live.file(SUDOERS, 0o440, text);
        live.test(Program::new(
            "checking the installer's rights",
            "/usr/sbin/visudo",
            &["-cf", &format!("/{SUDOERS}")],
        ));
    }
    plan.check_live(
        "spec.installer",
        Expect::Output { argv: vec![SOURCE.to_owned()], contains: "ready".to_owned() },
    );
    if user.is_some() && desktop::speaks_wayland(system.configuration.display.as_ref()).is_some() {
        plan.check_live("spec.installer", Expect::Process { name: "calamares".to_owned() });
    }
    if user.is_some() && desktop::is_of_lightdm(system.configuration.display.as_ref()) {
        plan.check_live("spec.installer", its_window());
    }
}

/// Calamares' window, among those of the first screen; its server knows root by LightDM's key.
fn its_window() -> Expect {
    let argv =
        ["/usr/bin/env", "XAUTHORITY=/run/lightdm/root/:0", "xwininfo", "-display", ":0", "-root", "-tree"];
    Expect::Output {
        argv: argv.map(str::to_owned).to_vec(),
        // Its class, as `xwininfo` writes it.
        contains: "(\"calamares\"".to_owned(),
    }
}

/// The pages that are shown, in order: the spec's, else all.
fn pages(installer: &Installer) -> Vec<InstallerPage> {
    use InstallerPage::{Finished, Keyboard, Locale, Partition, Summary, Users, Welcome};
    if installer.pages.is_empty() {
        return vec![Welcome, Locale, Keyboard, Partition, Users, Summary, Finished];
    }
    installer.pages.clone()
}

/// What the installer calls the system.
fn product(system: &System<'_>, installer: &Installer) -> String {
    let named = installer.product_name.as_ref().map(ToString::to_string);
    named.unwrap_or_else(|| system.configuration.hostname.to_string())
}

/// An entry for launchers and menus (Desktop Entry Specification). A title has no quotes and line
/// ends; what else would have a meaning there is `=`-free text on one line.
fn entry(system: &System<'_>, installer: &Installer) -> String {
    format!(
        "[Desktop Entry]\nType=Application\nName=Install {}\nExec={START}\nIcon=calamares\nTerminal=false\n\
         Categories=System;\n",
        product(system, installer)
    )
}

/// Root has no session of its own: it is told of the user's. Calamares is a program of Qt, which
/// finds a Wayland compositor by the absolute path of its socket.
const START_TEXT: &str = r#"#!/bin/sh
# Made by Bootwright. Starts the installer.
if [ "$(id -u)" != 0 ]; then
	if [ -n "${WAYLAND_DISPLAY:-}" ]; then
		socket=${XDG_RUNTIME_DIR:?}/$WAYLAND_DISPLAY
		exec sudo -n /usr/local/bin/bootwright-install wayland "$socket"
	fi
	exec sudo -n /usr/local/bin/bootwright-install x11 "${DISPLAY:-:0}" "${XAUTHORITY:-$HOME/.Xauthority}"
fi
case "${1:-}" in
wayland)
	export WAYLAND_DISPLAY="$2" QT_QPA_PLATFORM=wayland XDG_SESSION_TYPE=wayland
	;;
x11)
	export DISPLAY="$2" XAUTHORITY="$3" QT_QPA_PLATFORM=xcb
	;;
esac
mkdir -p -m 0700 /run/bootwright-installer
export XDG_RUNTIME_DIR=/run/bootwright-installer HOME=/root
/usr/local/sbin/bootwright-installer-source >/dev/null || exit 1
exec calamares
"#;

/// live-boot keeps each module below `/run/live/rootfs`, and the list of them on the medium:
/// later ones lie on top. The last one is the medium's own.
const SOURCE_TEXT: &str = r#"#!/bin/sh
# Made by Bootwright. Stacks the modules of the live medium for the installer.
set -eu
at=/run/bootwright-source
if ! mountpoint -q "$at"; then
	lower=
	for name in $(cat /run/live/medium/live/filesystem.module); do
		case "$name" in
		*-live.squashfs) ;;
		*) lower="/run/live/rootfs/$name${lower:+:$lower}" ;;
		esac
	done
	mkdir -p "$at"
	case "$lower" in
	*:*) mount -t overlay -o "ro,lowerdir=$lower" overlay "$at" ;;
	*) mount --bind "$lower" "$at" ;;
	esac
fi
test -e "$at/etc/os-release"
echo ready
"#;

#[cfg(test)]
mod tests;
