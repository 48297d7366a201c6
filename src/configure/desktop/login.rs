//! From the start of the machine to the session: greetd for Wayland, LightDM for X, GNOME's and
//! KDE's own. A live system logs its first user in by itself; anything else asks.

use super::super::Plan;
use super::Session;
use crate::model::spec::{Base, Compositor, Family, Output};
use crate::tables;

/// The table's row of what asks who is there.
pub(super) fn row(compositor: Compositor) -> &'static str {
    match compositor {
        Compositor::Hyprland | Compositor::Sway => "greetd",
        Compositor::I3 | Compositor::Xfce | Compositor::Dwm | Compositor::Bspwm => "lightdm",
        Compositor::Gnome => "gdm",
        Compositor::Kde => "sddm",
    }
}

impl super::System<'_> {
    /// The user whose session a live system starts by itself: the first one.
    pub(in crate::configure) fn logs_in(&self) -> Option<&str> {
        let live = self.outputs.contains(&Output::Iso);
        self.configuration.users.first().filter(|_| live).map(|user| user.name.as_str())
    }
}

/// The service of the login, by its init system's name.
pub(super) fn service(session: &Session<'_>) -> String {
    let row = row(session.compositor);
    session.system.service(row).unwrap_or_else(|| session.system.named(row))
}

/// What LightDM, GDM and SDDM call the session (`/usr/share/xsessions`, `wayland-sessions`).
fn name(compositor: Compositor) -> &'static str {
    match compositor {
        Compositor::Hyprland => "hyprland",
        Compositor::Sway => "sway",
        Compositor::I3 => "i3",
        Compositor::Gnome => "gnome",
        Compositor::Kde => "plasma",
        Compositor::Xfce => "xfce",
        Compositor::Dwm => "dwm",
        Compositor::Bspwm => "bspwm",
    }
}

/// What greetd starts; the name is also what a person at the greeter gets.
pub(super) const SESSION: &str = "/usr/local/bin/bootwright-session";

pub(super) fn plan(session: &Session<'_>, plan: &mut Plan) {
    let user = session.system.logs_in();
    plan.start(&service(session));
    match row(session.compositor) {
        "greetd" => {
            plan.file("etc/greetd/config.toml", 0o644, greetd(session.system.base, user));
            plan.file(&SESSION[1..], 0o755, wrapper(session.compositor));
        }
        "lightdm" => {
            let named = name(session.compositor);
            let mut text = format!("[Seat:*]\nuser-session={named}\n");
            if let Some(user) = user {
                text.push_str(&format!(
                    "autologin-user={user}\nautologin-user-timeout=0\nautologin-session={named}\n"
                ));
            }
            plan.file("etc/lightdm/lightdm.conf.d/10-bootwright.conf", 0o644, text);
            if session.system.is_debian() {
                plan.file("etc/X11/default-display-manager", 0o644, "/usr/sbin/lightdm\n");
            }
            // Arch's and Void's PAM rules let this group in without a password.
            if user.is_some()
                && matches!(session.system.base.family(), Family::Arch | Family::Void)
                && let Some(account) = plan.accounts.first_mut()
            {
                account.groups.push("autologin".to_owned());
            }
        }
        "gdm" => {
            let folder = if session.system.is_debian() { "gdm3" } else { "gdm" };
            let file = if session.system.is_debian() { "daemon.conf" } else { "custom.conf" };
            let mut text = "[daemon]\n".to_owned();
            if let Some(user) = user {
                text.push_str(&format!("AutomaticLoginEnable=true\nAutomaticLogin={user}\n"));
            }
            let xorg = session.display.server == Some(crate::model::spec::DisplayServer::Xorg);
            if xorg {
                text.push_str("WaylandEnable=false\n");
            }
            plan.file(&format!("etc/{folder}/{file}"), 0o644, text);
            if session.system.is_debian() {
                plan.file("etc/X11/default-display-manager", 0o644, "/usr/sbin/gdm3\n");
            }
        }
        _ => {
            let mut text = "[Theme]\nCurrent=breeze\n".to_owned();
            if let Some(user) = user {
                text.push_str(&format!("\n[Autologin]\nUser={user}\nSession={}\n", name(session.compositor)));
            }
            plan.file("etc/sddm.conf.d/10-bootwright.conf", 0o644, text);
            if session.system.is_debian() {
                plan.file("etc/X11/default-display-manager", 0o644, "/usr/bin/sddm\n");
            }
        }
    }
}

/// greetd's settings (man 5 greetd): it starts the session of a user, then asks by agreety.
fn greetd(base: Base, user: Option<&str>) -> String {
    let (agreety, greeter) = match base.family() {
        Family::Debian => ("/usr/sbin/agreety", "_greetd"),
        Family::Void => ("agreety", "_greeter"),
        Family::Arch | Family::Opensuse => ("agreety", "greeter"),
        Family::Alpine | Family::Fedora | Family::Gentoo => ("agreety", "greetd"),
    };
    let mut text = format!(
        "[terminal]\nvt = 7\n\n[default_session]\ncommand = \"{agreety} --cmd {SESSION}\"\nuser = \"{greeter}\"\n"
    );
    if let Some(user) = user {
        text.push_str(&format!("\n[initial_session]\ncommand = \"{SESSION}\"\nuser = \"{user}\"\n"));
    }
    text
}

/// Starts the compositor. Where no graphics card can draw, the processor does. On a slow
/// machine the login may not be the active one within the seconds that wlroots waits, so it is
/// tried again.
fn wrapper(compositor: Compositor) -> String {
    let program = if compositor == Compositor::Hyprland { "Hyprland" } else { "sway" };
    debug_assert!(tables::row(compositor.as_str()).is_some());
    format!(
        "#!/bin/sh\n# Made by Bootwright.\n\
         export XDG_SESSION_TYPE=wayland XDG_CURRENT_DESKTOP={} MOZ_ENABLE_WAYLAND=1\n\
         if [ ! -e /dev/dri/renderD128 ]; then\n\
         \texport WLR_RENDERER=pixman WLR_NO_HARDWARE_CURSORS=1 WLR_RENDERER_ALLOW_SOFTWARE=1\nfi\n\
         for try in 1 2 3 4; do\n\t{program} && exit 0\n\tsleep 3\ndone\nexit 1\n",
        compositor.as_str()
    )
}
