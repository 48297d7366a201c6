//! From the start of the machine to the session: greetd for Wayland, LightDM for X, GNOME's and
//! KDE's own. A live medium, and nothing else made of the spec, logs its first user in by itself.

use super::super::Plan;
use super::Session;
use crate::model::probe;
use crate::model::spec::{Base, Compositor, DisplayServer, Family, Init};
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
    /// The user whose session a live medium starts by itself: the first one.
    pub(in crate::configure) fn logs_in(&self) -> Option<&str> {
        self.configuration.users.first().filter(|_| self.is_live()).map(|user| user.name.as_str())
    }
}

/// The service of the login, by its init system's name.
pub(super) fn service(session: &Session<'_>) -> String {
    let row = row(session.compositor);
    session.system.service(row).unwrap_or_else(|| session.system.named(row))
}

/// What LightDM, GDM and SDDM call the session (`/usr/share/xsessions`, `wayland-sessions`).
fn name(session: &Session<'_>) -> &'static str {
    match session.compositor {
        Compositor::Hyprland => "hyprland",
        Compositor::Sway => "sway",
        Compositor::I3 => "i3",
        Compositor::Gnome => "gnome",
        Compositor::Kde => plasma(session),
        Compositor::Xfce => "xfce",
        Compositor::Dwm => "dwm",
        Compositor::Bspwm => "bspwm",
    }
}

/// Suites with Plasma 5, which has the plain name for its session on X; since 6 the one on Wayland
/// has it.
const PLASMA_5: [&str; 5] = ["bullseye", "bookworm", "focal", "jammy", "noble"];

fn plasma(session: &Session<'_>) -> &'static str {
    let old = PLASMA_5.contains(&session.system.suite);
    match super::server(session.display, session.compositor) {
        DisplayServer::Wayland if old => "plasmawayland",
        DisplayServer::Xorg if !old => "plasmax11",
        _ => "plasma",
    }
}

/// What greetd starts; the name is also what a person at the greeter gets.
pub(super) const SESSION: &str = "/usr/local/bin/bootwright-session";

pub(super) fn plan(session: &Session<'_>, plan: &mut Plan) {
    let (system, user) = (session.system, session.system.logs_in());
    plan.start(&service(session));
    let named = name(session);
    let manager = match row(session.compositor) {
        "greetd" => {
            plan.file("etc/greetd/config.toml", 0o644, greetd(system.base, None));
            if user.is_some() {
                plan.live.file("etc/greetd/config.toml", 0o644, greetd(system.base, user));
            }
            plan.file(&SESSION[1..], 0o755, wrapper(session));
            return;
        }
        "lightdm" => {
            let folder = "etc/lightdm/lightdm.conf.d";
            plan.file(
                &format!("{folder}/10-bootwright.conf"),
                0o644,
                format!("[Seat:*]\nuser-session={named}\n"),
            );
            if let Some(user) = user {
                plan.live.file(&format!("{folder}/20-live.conf"), 0o644, format!(
                    "[Seat:*]\nautologin-user={user}\nautologin-user-timeout=0\nautologin-session={named}\n"
                ));
            }
            // Arch's and Void's PAM rules let this group in without a password.
            if user.is_some()
                && matches!(system.base.family(), Family::Arch | Family::Void)
                && let Some(account) = plan.accounts.first_mut()
            {
                account.groups.push("autologin".to_owned());
            }
            "/usr/sbin/lightdm"
        }
        "gdm" => {
            let path = if system.is_debian() { "etc/gdm3/daemon.conf" } else { "etc/gdm/custom.conf" };
            let xorg = session.display.server == Some(DisplayServer::Xorg);
            plan.file(path, 0o644, gdm(xorg, None));
            if user.is_some() {
                plan.live.file(path, 0o644, gdm(xorg, user));
            }
            "/usr/sbin/gdm3"
        }
        _ => {
            plan.file("etc/sddm.conf.d/10-bootwright.conf", 0o644, "[Theme]\nCurrent=breeze\n");
            if let Some(user) = user {
                let text = format!("[Autologin]\nUser={user}\nSession={named}\n");
                plan.live.file("etc/sddm.conf.d/20-live.conf", 0o644, text);
            }
            "/usr/bin/sddm"
        }
    };
    if system.is_debian() && system.init() == Init::Systemd {
        let text = format!("# Made by Bootwright.\nSTARTUP=\"{}$STARTUP\"\n", to_journal());
        plan.file("etc/X11/Xsession.d/95bootwright-journal", 0o644, text);
    }
    if system.is_debian() {
        plan.file("etc/X11/default-display-manager", 0o644, format!("{manager}\n"));
    }
}

/// What a session says goes into the journal, where the verifier finds it if the session does
/// not come up (man systemd-cat).
fn to_journal() -> String {
    format!("systemd-cat --identifier={} ", probe::SESSION)
}

/// GDM's settings: it reads one file.
fn gdm(xorg: bool, user: Option<&str>) -> String {
    let mut text = "[daemon]\n".to_owned();
    if let Some(user) = user {
        text.push_str(&format!("AutomaticLoginEnable=true\nAutomaticLogin={user}\n"));
    }
    if xorg {
        text.push_str("WaylandEnable=false\n");
    }
    text
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
fn wrapper(session: &Session<'_>) -> String {
    let compositor = session.compositor;
    let journal = if session.system.init() == Init::Systemd { to_journal() } else { String::new() };
    let program = if compositor == Compositor::Hyprland { "Hyprland" } else { "sway" };
    debug_assert!(tables::row(compositor.as_str()).is_some());
    format!(
        "#!/bin/sh\n# Made by Bootwright.\n\
         export XDG_SESSION_TYPE=wayland XDG_CURRENT_DESKTOP={} MOZ_ENABLE_WAYLAND=1\n\
         if [ ! -e /dev/dri/renderD128 ]; then\n\
         \texport WLR_RENDERER=pixman WLR_NO_HARDWARE_CURSORS=1 WLR_RENDERER_ALLOW_SOFTWARE=1\nfi\n\
         for try in 1 2 3 4; do\n\t{journal}{program} && exit 0\n\tsleep 3\ndone\nexit 1\n",
        compositor.as_str()
    )
}
