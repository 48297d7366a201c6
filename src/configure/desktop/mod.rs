//! Graphical sessions: the compositor with its bar, launcher, terminal, notifications and
//! theme, and the login that leads there.
//!
//! A user's files lie in `/etc/skel`: accounts that are made later, on the running system
//! too, get the same. Dotfiles of the spec win over them.

mod login;
mod palette;
mod parts;
mod wayland;
mod xorg;

use super::{Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::{Compositor, Display, DisplayServer, OsSpec};
use palette::Palette;

const COMPOSITOR: &str = "spec.display.compositor";

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let Some((display, compositor)) = chosen(spec.display.as_ref()) else { return };
    if server(display, compositor) == DisplayServer::Xorg {
        needs.package("spec.display.server", "utils", "xorg");
    }
    needs.package(COMPOSITOR, "utils", compositor.as_str());
    if compositor == Compositor::Kde {
        // What its session consists of is packaged by server.
        let session = match server(display, compositor) {
            DisplayServer::Wayland => "plasma-wayland",
            DisplayServer::Xorg => "plasma-xorg",
        };
        needs.package(COMPOSITOR, "utils", session);
    }
    needs.package(COMPOSITOR, "utils", "session-basics");
    needs.package(COMPOSITOR, "utils", login::row(compositor));
    for (field, name) in parts::named(display) {
        needs.package(&field, "utils", name.as_str());
    }
}

/// What there is a session of.
fn chosen(display: Option<&Display>) -> Option<(&Display, Compositor)> {
    display.and_then(|display| Some((display, display.compositor?)))
}

fn server(display: &Display, compositor: Compositor) -> DisplayServer {
    display.server.unwrap_or(compositor.servers()[0])
}

/// Whether a system's session speaks Wayland; `None` without a session.
pub(super) fn speaks_wayland(display: Option<&Display>) -> Option<bool> {
    chosen(display).map(|(display, compositor)| server(display, compositor) == DisplayServer::Wayland)
}

/// Whether LightDM starts the session, on an X server of its own.
pub(super) fn is_of_lightdm(display: Option<&Display>) -> bool {
    chosen(display).is_some_and(|(_, compositor)| login::row(compositor) == "lightdm")
}

/// A session that is to be written.
struct Session<'a> {
    system: &'a System<'a>,
    display: &'a Display,
    compositor: Compositor,
    palette: Palette,
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some((display, compositor)) = chosen(system.configuration.display.as_ref()) else { return };
    let theme = display.theme.as_ref().map(|t| t.as_str());
    let session = Session { system, display, compositor, palette: palette::of(theme) };
    match compositor {
        Compositor::Sway => wayland::sway(&session, plan),
        Compositor::Hyprland => wayland::hyprland(&session, plan),
        Compositor::I3 => xorg::i3(&session, plan),
        Compositor::Bspwm => xorg::bspwm(&session, plan),
        Compositor::Dwm => xorg::dwm(&session, plan),
        Compositor::Xfce => xorg::xfce(&session, plan),
        Compositor::Gnome => wayland::gnome(&session, plan),
        Compositor::Kde => wayland::kde(&session, plan),
    }
    parts::plan(&session, plan);
    login::plan(&session, plan);
    plan.check(COMPOSITOR, Expect::Service { name: login::service(&session), running: true });
    if system.logs_in().is_some() {
        let name = process(&session).to_owned();
        plan.check_live(COMPOSITOR, Expect::Process { name });
        for (field, process) in parts::running(&session) {
            plan.check_live(field, Expect::Process { name: process });
        }
    }
}

/// The process that a running session has, as `/proc/PID/comm` names it.
fn process(session: &Session<'_>) -> &'static str {
    match session.compositor {
        Compositor::Hyprland => "Hyprland",
        Compositor::Sway => "sway",
        Compositor::I3 => "i3",
        Compositor::Gnome => "gnome-shell",
        Compositor::Kde => "plasmashell",
        Compositor::Xfce => "xfce4-session",
        Compositor::Dwm => "dwm",
        Compositor::Bspwm => "bspwm",
    }
}

#[cfg(test)]
mod tests;
