//! The programs of a session: bar, launcher, terminal and notifications, and their settings.

use super::super::Plan;
use super::{Session, palette};
use crate::model::check::Expect;
use crate::model::name::PackageName;
use crate::model::spec::Display;

/// Fields and names of the parts that a spec asks for.
pub(super) fn named(display: &Display) -> Vec<(String, &PackageName)> {
    [
        ("bar", &display.bar),
        ("launcher", &display.launcher),
        ("terminal", &display.terminal),
        ("notifications", &display.notifications),
    ]
    .into_iter()
    .filter_map(|(field, name)| Some((format!("spec.display.{field}"), name.as_ref()?)))
    .collect()
}

/// A package's program. Gentoo's names have a category in front.
fn program(name: &PackageName) -> &str {
    let name = name.as_str().rsplit('/').next().unwrap_or_default();
    match name {
        "mako-notifier" => "mako",
        "stterm" => "st",
        "suckless-tools" => "dmenu",
        "sway-notification-center" => "swaync",
        "Waybar" => "waybar",
        "rxvt-unicode" => "urxvt",
        "gnome-console" => "kgx",
        name => name,
    }
}

/// What opens a terminal.
pub(super) fn terminal(display: &Display) -> Option<&str> {
    display.terminal.as_ref().map(program)
}

/// Starts a launcher that is told its colours on its command line, and a bar that is told what to
/// show: compositors do not agree on what `#` means in theirs.
const LAUNCHER: &str = "/usr/local/bin/bootwright-launcher";
const BAR: &str = "/usr/local/bin/bootwright-bar";

/// What starts programs.
pub(super) fn launcher(display: &Display) -> Option<String> {
    let name = display.launcher.as_ref().map(program)?;
    Some(match name {
        "wofi" => "wofi --show drun".to_owned(),
        "rofi" => "rofi -show drun".to_owned(),
        "dmenu" | "bemenu" => LAUNCHER.to_owned(),
        "tofi" => "tofi-drun --drun-launch=true".to_owned(),
        name => name.to_owned(),
    })
}

/// What shows a bar, where it is a program of its own.
pub(super) fn bar(display: &Display) -> Option<&str> {
    display.bar.as_ref().map(program)
}

/// What shows notifications.
pub(super) fn notifications(display: &Display) -> Option<&str> {
    display.notifications.as_ref().map(program)
}

/// Fields and processes of what runs all the time; i3status lives inside of i3's own bar.
pub(super) fn running(session: &Session<'_>) -> Vec<(&'static str, String)> {
    let parts = [
        ("spec.display.bar", bar(session.display)),
        ("spec.display.notifications", notifications(session.display)),
    ];
    let runs = parts.into_iter().filter_map(|(field, name)| Some((field, name?)));
    runs.map(|(field, name)| (field, name.chars().take(15).collect())).collect()
}

/// Everything that a session starts beside the compositor, in this order.
pub(super) fn started(session: &Session<'_>) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(bar) = bar(session.display).filter(|bar| !matches!(*bar, "i3status" | "i3blocks")) {
        all.push(if bar == "lemonbar" { BAR.to_owned() } else { bar.to_owned() });
    }
    all.extend(notifications(session.display).map(str::to_owned));
    all
}

/// What starts the installer where it is: on a live medium, and not on what it installs.
pub(super) fn installer(session: &Session<'_>) -> Option<String> {
    let start = super::super::installer::START;
    session.system.offers_installer().then(|| format!("test ! -x {start} || {start}"))
}

/// The parts' own settings: their colours are the theme's.
pub(super) fn plan(session: &Session<'_>, plan: &mut Plan) {
    let (display, palette) = (session.display, session.palette);
    let (back, fore, accent) = (palette.background, palette.foreground, palette.accent);
    match bar(display) {
        Some("waybar") => {
            let modules = match session.compositor.as_str() {
                "sway" => "\"sway/workspaces\", \"sway/window\"",
                "hyprland" => "\"hyprland/workspaces\", \"hyprland/window\"",
                _ => "",
            };
            plan.file("etc/skel/.config/waybar/config", 0o644, format!(
                "{{\n\t\"layer\": \"top\", \"position\": \"top\", \"height\": 28,\n\t\"modules-left\": [{modules}],\n\
                 \t\"modules-right\": [\"cpu\", \"memory\", \"clock\"],\n\t\"clock\": {{\"format\": \"{{:%Y-%m-%d %H:%M}}\"}}\n}}\n"
            ));
            plan.file("etc/skel/.config/waybar/style.css", 0o644, format!(
                "* {{ font-family: \"DejaVu Sans\"; font-size: 13px; border: none; border-radius: 0; }}\n\
                 window#waybar {{ background: #{accent}; color: #{back}; }}\n\
                 #workspaces button {{ color: #{back}; padding: 0 6px; }}\n\
                 #workspaces button.focused {{ background: #{back}; color: #{fore}; }}\n\
                 #cpu, #memory, #clock, #window {{ padding: 0 10px; }}\n"
            ));
        }
        Some("polybar") => plan.file("etc/skel/.config/polybar/config.ini", 0o644, format!(
            "[bar/main]\nwidth = 100%\nheight = 24pt\npadding-right = 1\nmodule-margin = 1\nbackground = #{accent}\nforeground = #{back}\n\
             font-0 = DejaVu Sans:size=10\nmodules-left = xworkspaces xwindow\nmodules-right = date\n\n\
             [module/xworkspaces]\ntype = internal/xworkspaces\nlabel-active-background = #{back}\n\
             label-active-foreground = #{fore}\nlabel-active-padding = 1\nlabel-occupied-padding = 1\nlabel-empty-padding = 1\n\n\
             [module/xwindow]\ntype = internal/xwindow\n\n[module/date]\ntype = internal/date\ndate = %Y-%m-%d %H:%M\n"
        )),
        Some("xmobar") => plan.file("etc/skel/.config/xmobar/xmobarrc", 0o644, format!(
            "Config {{ font = \"DejaVu Sans 10\", bgColor = \"#{accent}\", fgColor = \"#{back}\", position = TopH 24\n\
             \x20      , commands = [ Run Date \"%Y-%m-%d %H:%M\" \"date\" 300 ]\n\
             \x20      , sepChar = \"%\", alignSep = \"}}{{\", template = \" }}{{ %date% \" }}\n"
        )),
        Some("lemonbar") => plan.file(&BAR[1..], 0o755, format!(
            "#!/bin/sh\n# Made by Bootwright.\nwhile date '+%%{{r}}%Y-%m-%d %H:%M '; do sleep 30; done |\n\
             \texec lemonbar -p -g x24 -B '#{accent}' -F '#{back}'\n"
        )),
        _ => {}
    }
    match notifications(display) {
        Some("mako") => plan.file("etc/skel/.config/mako/config", 0o644, format!(
            "background-color=#{back}\ntext-color=#{fore}\nborder-color=#{accent}\ndefault-timeout=8000\n"
        )),
        Some("dunst") => plan.file("etc/skel/.config/dunst/dunstrc", 0o644, format!(
            "[global]\n\tfont = DejaVu Sans 10\n\tframe_color = \"#{accent}\"\n\n[urgency_low]\n\tbackground = \"#{back}\"\n\
             \tforeground = \"#{fore}\"\n\n[urgency_normal]\n\tbackground = \"#{back}\"\n\tforeground = \"#{fore}\"\n"
        )),
        Some("swaync") => plan.file("etc/skel/.config/swaync/style.css", 0o644, format!(
            "* {{ font-family: \"DejaVu Sans\"; color: #{fore}; }}\n\
             .notification, .control-center {{ background: #{back}; border: 2px solid #{accent}; padding: 8px; }}\n"
        )),
        _ => {}
    }
    match terminal(display) {
        Some("foot") => plan.file(
            "etc/skel/.config/foot/foot.ini",
            0o644,
            format!("font=DejaVu Sans Mono:size=11\n\n[colors]\nbackground={back}\nforeground={fore}\n"),
        ),
        Some("alacritty") => {
            // Until 0.12 it reads YAML, since 0.13 TOML.
            let colours = [
                ("yml", "colors:\n  primary:\n    ", "\n    ", ": "),
                ("toml", "[colors.primary]\n", "\n", " = "),
            ];
            for (ending, head, next, is) in colours {
                let text = format!("{head}background{is}\"#{back}\"{next}foreground{is}\"#{fore}\"\n");
                plan.file(&format!("etc/skel/.config/alacritty/alacritty.{ending}"), 0o644, text);
            }
        }
        Some(name @ ("xterm" | "urxvt")) => {
            let (class, font) = match name {
                "xterm" => ("XTerm", "faceName: DejaVu Sans Mono\nXTerm*faceSize: 11"),
                _ => ("URxvt", "font: xft:DejaVu Sans Mono:size=11"),
            };
            plan.file("etc/skel/.Xresources", 0o644, format!(
                "{class}*background: #{back}\n{class}*foreground: #{fore}\n{class}*cursorColor: #{accent}\n{class}*{font}\n"
            ));
        }
        Some("kitty") => plan.file(
            "etc/skel/.config/kitty/kitty.conf",
            0o644,
            format!("background #{back}\nforeground #{fore}\ncursor #{accent}\n"),
        ),
        _ => {}
    }
    match display.launcher.as_ref().map(program) {
        Some("wofi") => plan.file("etc/skel/.config/wofi/style.css", 0o644, format!(
            "window {{ background-color: #{back}; color: #{fore}; }}\n#entry:selected {{ background-color: #{accent}; }}\n"
        )),
        Some("fuzzel") => plan.file("etc/skel/.config/fuzzel/fuzzel.ini", 0o644, format!(
            "[colors]\nbackground={back}ff\ntext={fore}ff\nselection={accent}ff\nselection-text={back}ff\n"
        )),
        Some("tofi") => plan.file("etc/skel/.config/tofi/config", 0o644, format!(
            "background-color = #{back}\ntext-color = #{fore}\nselection-color = #{accent}\nborder-color = #{accent}\n"
        )),
        Some(name @ ("dmenu" | "bemenu")) => {
            // The bar is at the top.
            let words = if name == "dmenu" {
                format!("dmenu_run -b -nb '#{back}' -nf '#{fore}' -sb '#{accent}' -sf '#{back}'")
            } else {
                format!(
                    "bemenu-run --bottom --nb '#{back}' --nf '#{fore}' --ab '#{back}' --af '#{fore}' --fb '#{back}' --ff '#{fore}' \
                     --tb '#{accent}' --tf '#{back}' --hb '#{accent}' --hf '#{back}'"
                )
            };
            plan.file(&LAUNCHER[1..], 0o755, format!("#!/bin/sh\n# Made by Bootwright.\nexec {words}\n"));
        }
        Some("rofi") => plan.file("etc/skel/.config/rofi/config.rasi", 0o644, format!(
            // Its own theme would win over single colours.
            "configuration {{ modi: \"drun,run\"; }}\n@theme \"/dev/null\"\n\
             * {{ background-color: #{back}; text-color: #{fore}; }}\n\
             window {{ width: 40%; border: 2px; border-color: #{accent}; padding: 8px; }}\n\
             listview {{ lines: 10; }}\nelement selected {{ background-color: #{accent}; text-color: #{back}; }}\n\
             element-text, element-icon {{ background-color: inherit; text-color: inherit; }}\n"
        )),
        _ => {}
    }
    widgets(session, plan);
}

/// GTK's own settings (gtk-3.0 and 4.0 read the same keys).
fn widgets(session: &Session<'_>, plan: &mut Plan) {
    let Some(theme) = &session.display.theme else { return };
    let name = palette::widgets(Some(theme.as_str()));
    let dark = i32::from(session.palette.dark);
    let text = format!("[Settings]\ngtk-theme-name={name}\ngtk-application-prefer-dark-theme={dark}\n");
    for folder in ["gtk-3.0", "gtk-4.0"] {
        plan.file(&format!("etc/{folder}/settings.ini"), 0o644, text.clone());
    }
    plan.check(
        "spec.display.theme",
        Expect::Line { path: "/etc/gtk-3.0/settings.ini".to_owned(), line: format!("gtk-theme-name={name}") },
    );
}
