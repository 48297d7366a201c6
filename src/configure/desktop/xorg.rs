//! i3, bspwm, dwm and Xfce.

use super::super::{Plan, Program};
use super::wayland::{WINDOWS, autostart};
use super::{Session, palette, parts};

/// `~/.config/i3/config`; i3 itself judges it.
pub(super) fn i3(session: &Session<'_>, plan: &mut Plan) {
    let (back, fore) = (session.palette.background, session.palette.foreground);
    let accent = session.palette.accent;
    let mut text = format!(
        "# i3 config file (v4), made by Bootwright.\nset $mod Mod4\nfont pango:DejaVu Sans Mono 10\n\
         floating_modifier $mod\nnew_window pixel 2\n\
         client.focused #{accent} #{accent} #{back} #{accent} #{accent}\n\
         client.unfocused #{back} #{back} #{fore} #{back} #{back}\n\
         for_window [class=\"(?i)calamares\"] floating enable\n\
         exec --no-startup-id xsetroot -solid \"#{back}\"\n"
    );
    if let Some(terminal) = parts::terminal(session.display) {
        text.push_str(&format!("bindsym $mod+Return exec {terminal}\n"));
    }
    if let Some(launcher) = parts::launcher(session.display) {
        text.push_str(&format!("bindsym $mod+d exec --no-startup-id {launcher}\n"));
    }
    text.push_str(WINDOWS);
    text.push_str("bindsym $mod+Shift+r restart\nbindsym $mod+Shift+e exit\n");
    if let Some(status @ ("i3status" | "i3blocks")) = parts::bar(session.display) {
        text.push_str(&format!(
            "bar {{\n\tstatus_command {status}\n\tposition top\n\tcolors {{\n\t\tbackground #{accent}\n\
             \t\tstatusline #{back}\n\t}}\n}}\n"
        ));
    }
    for program in parts::started(session).into_iter().chain(parts::installer(session)) {
        text.push_str(&format!("exec --no-startup-id {program}\n"));
    }
    let path = "etc/skel/.config/i3/config";
    plan.file(path, 0o644, text);
    let args = ["-C", "-c", &format!("/{path}")];
    plan.test(Program::new("checking i3's settings", "/usr/bin/i3", &args));
}

/// `~/.config/bspwm/bspwmrc`, a script, and the keys of sxhkd.
pub(super) fn bspwm(session: &Session<'_>, plan: &mut Plan) {
    let (back, accent) = (session.palette.background, session.palette.accent);
    let mut text = format!(
        "#!/bin/sh\n# Made by Bootwright.\nsxhkd &\nxsetroot -solid '#{back}'\nbspc monitor -d 1 2 3 4\n\
         bspc config border_width 2\nbspc config window_gap 6\nbspc config focused_border_color '#{accent}'\n\
         bspc config normal_border_color '#{back}'\n"
    );
    for program in parts::started(session) {
        text.push_str(&format!("{program} &\n"));
    }
    if let Some(installer) = parts::installer(session) {
        text.push_str(&format!("{{ {installer}; }} &\n"));
    }
    plan.file("etc/skel/.config/bspwm/bspwmrc", 0o755, text);
    let mut keys = "# Made by Bootwright.\n".to_owned();
    if let Some(terminal) = parts::terminal(session.display) {
        keys.push_str(&format!("super + Return\n\t{terminal}\n\n"));
    }
    if let Some(launcher) = parts::launcher(session.display) {
        keys.push_str(&format!("super + d\n\t{launcher}\n\n"));
    }
    keys.push_str(
        "super + shift + q\n\tbspc node -c\n\nsuper + {Left,Down,Up,Right}\n\tbspc node -f {west,south,north,east}\n\n\
         super + {1-4}\n\tbspc desktop -f {1-4}\n\nsuper + shift + {1-4}\n\tbspc node -d {1-4}\n\n\
         super + shift + e\n\tbspc quit\n",
    );
    plan.file("etc/skel/.config/sxhkd/sxhkdrc", 0o644, keys);
    let args = ["-n", "/etc/skel/.config/bspwm/bspwmrc"];
    plan.test(Program::new("checking bspwm's script", "/bin/sh", &args));
}

/// dwm reads no file: its settings are compiled in. What it cannot start by itself is started
/// with the session.
pub(super) fn dwm(session: &Session<'_>, plan: &mut Plan) {
    let mut text =
        format!("#!/bin/sh\n# Made by Bootwright.\nxsetroot -solid '#{}'\n", session.palette.background);
    for program in parts::started(session) {
        text.push_str(&format!("{program} &\n"));
    }
    if let Some(installer) = parts::installer(session) {
        text.push_str(&format!("{{ {installer}; }} &\n"));
    }
    text.push_str("exec dwm\n");
    plan.file("usr/local/bin/bootwright-dwm", 0o755, text);
    // LightDM and others know the session by this name.
    plan.file(
        "usr/share/xsessions/dwm.desktop",
        0o644,
        "[Desktop Entry]\nType=Application\nName=dwm\nExec=/usr/local/bin/bootwright-dwm\n",
    );
    let args = ["-n", "/usr/local/bin/bootwright-dwm"];
    plan.test(Program::new("checking dwm's session", "/bin/sh", &args));
}

/// Xfce's defaults for all users (xfconf's own XML).
pub(super) fn xfce(session: &Session<'_>, plan: &mut Plan) {
    let folder = "etc/xdg/xfce4/xfconf/xfce-perchannel-xml";
    let theme = palette::widgets(session.display.theme.as_ref().map(|t| t.as_str()));
    plan.file(
        &format!("{folder}/xsettings.xml"),
        0o644,
        channel("xsettings", &format!(
            "  <property name=\"Net\" type=\"empty\">\n    <property name=\"ThemeName\" type=\"string\" value=\"{theme}\"/>\n  </property>\n"
        )),
    );
    // Shadows and fading cost a machine without a graphics card more than they give.
    plan.file(
        &format!("{folder}/xfwm4.xml"),
        0o644,
        channel("xfwm4", "  <property name=\"general\" type=\"empty\">\n    <property name=\"use_compositing\" type=\"bool\" value=\"false\"/>\n  </property>\n"),
    );
    if let Some(terminal) = parts::terminal(session.display) {
        let text = format!("TerminalEmulator={terminal}\n");
        plan.file("etc/xdg/xfce4/helpers.rc", 0o644, text);
    }
    autostart(session, plan);
}

fn channel(name: &str, inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<channel name=\"{name}\" version=\"1.0\">\n{inner}</channel>\n"
    )
}
