//! Calamares: an installer that the live system offers, with pages, disks and accounts as the
//! spec has them.
//!
//! What is copied is the live system itself without what was written since its start: its
//! squashfs modules, stacked once more, so that what a later module took away stays away.

mod modules;

use super::{Needs, Plan, Program, System, desktop};
use crate::model::check::Expect;
use crate::model::spec::{Installer, InstallerPage, OsSpec, Output};

/// What starts the installer in a session: it does nothing on an installed system.
pub(super) const START: &str = "/usr/local/bin/bootwright-install";
/// Stacks the modules of the live medium, for Calamares to copy.
const SOURCE: &str = "/usr/local/sbin/bootwright-installer-source";
/// What root may be asked for without a password, in the live system only.
const SUDOERS: &str = "etc/sudoers.d/50-bootwright-installer";

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
        self.configuration.installer.is_some() && self.outputs.contains(&Output::Iso)
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(installer) = system.configuration.installer.as_ref().filter(|_| system.offers_installer())
    else {
        return;
    };
    let user = system.logs_in();
    for (path, text) in modules::all(system, installer, user) {
        plan.file(&path, 0o644, text);
    }
    plan.file(&START[1..], 0o755, START_TEXT);
    plan.file(&SOURCE[1..], 0o755, SOURCE_TEXT);
    plan.file("usr/local/share/applications/bootwright-install.desktop", 0o644, entry(system, installer));
    for script in [START, SOURCE] {
        plan.test(Program::new("checking the installer's scripts", "/bin/sh", &["-n", script]));
    }
    if let Some(user) = user {
        let text = format!("{user} ALL=(root) NOPASSWD: {START}\n");
        plan.file(SUDOERS, 0o440, text);
        plan.test(Program::new(
            "checking the installer's rights",
            "/usr/sbin/visudo",
            &["-cf", &format!("/{SUDOERS}")],
        ));
    }
    plan.check(
        "spec.installer",
        Expect::Output { argv: vec![SOURCE.to_owned()], contains: "ready".to_owned() },
    );
    if user.is_some() && desktop::speaks_wayland(system.configuration.display.as_ref()).is_some() {
        plan.check("spec.installer", Expect::Process { name: "calamares".to_owned() });
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
# Made by Bootwright. Starts the installer, in a live system only.
grep -q '\bboot=live\b' /proc/cmdline || exit 0
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
/// later ones lie on top.
const SOURCE_TEXT: &str = r#"#!/bin/sh
# Made by Bootwright. Stacks the modules of the live medium for the installer.
set -eu
at=/run/bootwright-source
if ! mountpoint -q "$at"; then
	lower=
	for name in $(cat /run/live/medium/live/filesystem.module); do
		lower="/run/live/rootfs/$name${lower:+:$lower}"
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
