//! Sway, Hyprland, GNOME and KDE Plasma.

use super::super::{Plan, Program};
use super::{Session, parts};
use crate::model::spec::Keyboard;

/// `~/.config/sway/config` (man 5 sway); sway itself judges it.
pub(super) fn sway(session: &Session<'_>, plan: &mut Plan) {
    let palette = session.palette;
    let (back, fore, accent) = (palette.background, palette.foreground, palette.accent);
    let mut text = format!(
        "# Made by Bootwright.\nset $mod Mod4\nfont pango:DejaVu Sans Mono 10\n\
         floating_modifier $mod normal\ndefault_border pixel 2\n\
         output * bg #{back} solid_color\n\
         client.focused #{accent} #{accent} #{back} #{accent} #{accent}\n\
         client.unfocused #{back} #{back} #{fore} #{back} #{back}\n\
         for_window [app_id=\"(?i)calamares\"] floating enable\n"
    );
    if let Some(keyboard) = &session.system.configuration.keyboard {
        text.push_str("input type:keyboard {\n");
        for (key, value) in xkb(keyboard) {
            text.push_str(&format!("\txkb_{key} \"{value}\"\n"));
        }
        text.push_str("}\n");
    }
    if let Some(terminal) = parts::terminal(session.display) {
        text.push_str(&format!("bindsym $mod+Return exec {terminal}\n"));
    }
    if let Some(launcher) = parts::launcher(session.display) {
        text.push_str(&format!("bindsym $mod+d exec {launcher}\n"));
    }
    text.push_str(WINDOWS);
    text.push_str("bindsym $mod+Shift+c reload\nbindsym $mod+Shift+e exec swaymsg exit\n");
    text.push_str("exec dbus-update-activation-environment --systemd WAYLAND_DISPLAY XDG_CURRENT_DESKTOP\n");
    for program in parts::started(session).into_iter().chain(parts::installer(session)) {
        text.push_str(&format!("exec {program}\n"));
    }
    let path = "etc/skel/.config/sway/config";
    plan.file(path, 0o644, text);
    plan.test(Program::new(
        "checking sway's settings",
        "/usr/bin/setpriv",
        &[
            // Sway refuses to be root.
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "env",
            "XDG_RUNTIME_DIR=/tmp",
            // Without a screen and a graphics card.
            "WLR_BACKENDS=headless",
            "WLR_RENDERER=pixman",
            "sway",
            "--validate",
            "--config",
            &format!("/{path}"),
        ],
    ));
}

/// Keys that i3 and sway know alike.
pub(super) const WINDOWS: &str = "\
bindsym $mod+Shift+q kill
bindsym $mod+Left focus left
bindsym $mod+Down focus down
bindsym $mod+Up focus up
bindsym $mod+Right focus right
bindsym $mod+Shift+Left move left
bindsym $mod+Shift+Down move down
bindsym $mod+Shift+Up move up
bindsym $mod+Shift+Right move right
bindsym $mod+f fullscreen toggle
bindsym $mod+Shift+space floating toggle
bindsym $mod+1 workspace number 1
bindsym $mod+2 workspace number 2
bindsym $mod+3 workspace number 3
bindsym $mod+4 workspace number 4
bindsym $mod+Shift+1 move container to workspace number 1
bindsym $mod+Shift+2 move container to workspace number 2
bindsym $mod+Shift+3 move container to workspace number 3
bindsym $mod+Shift+4 move container to workspace number 4
";

/// A keyboard by libxkbcommon's names.
fn xkb(keyboard: &Keyboard) -> Vec<(&'static str, String)> {
    let mut all = vec![("layout", keyboard.layout.to_string())];
    all.extend(keyboard.variant.as_ref().map(|v| ("variant", v.to_string())));
    all.extend(keyboard.model.as_ref().map(|m| ("model", m.to_string())));
    if !keyboard.options.is_empty() {
        let options: Vec<&str> = keyboard.options.iter().map(|o| o.as_str()).collect();
        all.push(("options", options.join(",")));
    }
    all
}

/// `~/.config/hypr/hyprland.conf`.
pub(super) fn hyprland(session: &Session<'_>, plan: &mut Plan) {
    let palette = session.palette;
    let mut text = format!(
        "# Made by Bootwright.\n$mod = SUPER\nmonitor = , preferred, auto, 1\n\
         general {{\n\tborder_size = 2\n\tcol.active_border = rgb({})\n\tcol.inactive_border = rgb({})\n}}\n\
         misc {{\n\tdisable_hyprland_logo = true\n\tbackground_color = rgb({})\n}}\n",
        palette.accent, palette.background, palette.background
    );
    if let Some(keyboard) = &session.system.configuration.keyboard {
        text.push_str("input {\n");
        for (key, value) in xkb(keyboard) {
            text.push_str(&format!("\tkb_{key} = {value}\n"));
        }
        text.push_str("}\n");
    }
    if let Some(terminal) = parts::terminal(session.display) {
        text.push_str(&format!("bind = $mod, Return, exec, {terminal}\n"));
    }
    if let Some(launcher) = parts::launcher(session.display) {
        text.push_str(&format!("bind = $mod, D, exec, {launcher}\n"));
    }
    text.push_str(
        "bind = $mod SHIFT, Q, killactive\nbind = $mod SHIFT, E, exit\nbind = $mod, F, fullscreen\n",
    );
    for number in 1..=4 {
        text.push_str(&format!(
            "bind = $mod, {number}, workspace, {number}\nbind = $mod SHIFT, {number}, movetoworkspace, {number}\n"
        ));
    }
    for program in parts::started(session).into_iter().chain(parts::installer(session)) {
        text.push_str(&format!("exec-once = {program}\n"));
    }
    plan.file("etc/skel/.config/hypr/hyprland.conf", 0o644, text);
}

/// GNOME's own defaults, by its keyfiles (man dconf, "CREATING A CUSTOM PROFILE").
pub(super) fn gnome(session: &Session<'_>, plan: &mut Plan) {
    let scheme = if session.palette.dark { "prefer-dark" } else { "default" };
    let mut text = format!("[org/gnome/desktop/interface]\ncolor-scheme='{scheme}'\n");
    if let Some(theme) = &session.display.theme {
        text.push_str(&format!("gtk-theme='{}'\n", super::palette::widgets(Some(theme.as_str()))));
        text.push_str(&format!(
            "\n[org/gnome/desktop/background]\npicture-options='none'\ncolor-shading-type='solid'\n\
             primary-color='#{}'\n",
            session.palette.background
        ));
    }
    if let Some(keyboard) = &session.system.configuration.keyboard {
        let variant = keyboard.variant.as_ref().map_or_else(String::new, |v| format!("+{v}"));
        text.push_str(&format!(
            "\n[org/gnome/desktop/input-sources]\nsources=[('xkb', '{}{variant}')]\n",
            keyboard.layout
        ));
    }
    plan.file("etc/dconf/profile/user", 0o644, "user-db:user\nsystem-db:local\n");
    plan.file("etc/dconf/db/local.d/10-bootwright", 0o644, text);
    plan.run(Program::new("compiling GNOME's defaults", "/usr/bin/dconf", &["update"]));
    autostart(session, plan);
}

/// Plasma's own defaults. A look takes colours, icons and the panel with it; the name of a colour
/// scheme alone would change nothing that is drawn.
pub(super) fn kde(session: &Session<'_>, plan: &mut Plan) {
    let look = if session.palette.dark { "org.kde.breezedark.desktop" } else { "org.kde.breeze.desktop" };
    plan.file("etc/xdg/kdeglobals", 0o644, format!("[KDE]\nLookAndFeelPackage={look}\n"));
    if let Some(keyboard) = &session.system.configuration.keyboard {
        let variant = keyboard.variant.as_ref().map_or("", |v| v.as_str());
        let text = format!("[Layout]\nUse=true\nLayoutList={}\nVariantList={variant}\n", keyboard.layout);
        plan.file("etc/xdg/kxkbrc", 0o644, text);
    }
    autostart(session, plan);
}

/// What whole desktops start: they read entries below `/etc/xdg/autostart`.
pub(super) fn autostart(session: &Session<'_>, plan: &mut Plan) {
    for (index, program) in parts::started(session).iter().enumerate() {
        let text = format!("[Desktop Entry]\nType=Application\nName={program}\nExec={program}\n");
        plan.file(&format!("etc/xdg/autostart/bootwright-{index}.desktop"), 0o644, text);
    }
    if session.system.offers_installer() {
        let start = super::super::installer::START;
        let text = format!("[Desktop Entry]\nType=Application\nName=Installer\nExec={start}\n");
        plan.live.file("etc/xdg/autostart/bootwright-installer.desktop", 0o644, text);
    }
}
