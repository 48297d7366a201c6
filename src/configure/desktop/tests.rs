use crate::configure::testing::{needed, planned};
use crate::configure::{FileContent, Live};
use crate::model::check::Expect;
use crate::model::spec::{Base, Compositor};
use serde_json::{Value, json};

const ALL: [Compositor; 8] = [
    Compositor::Hyprland,
    Compositor::Sway,
    Compositor::I3,
    Compositor::Gnome,
    Compositor::Kde,
    Compositor::Xfce,
    Compositor::Dwm,
    Compositor::Bspwm,
];

fn spec(compositor: Compositor) -> Value {
    let wayland = compositor.servers()[0].as_str() == "wayland";
    let (bar, launcher, terminal, notifications) =
        if wayland { ("waybar", "wofi", "foot", "mako") } else { ("polybar", "rofi", "xterm", "dunst") };
    json!({"outputs": ["iso"], "defaults": {"users": [{"name": "live"}], "keyboard": {"layout": "de"}},
        "display": {"server": compositor.servers()[0].as_str(), "compositor": compositor.as_str(), "bar": bar,
            "launcher": launcher, "terminal": terminal, "notifications": notifications, "theme": "nord"}})
}

/// Requirement 1, section 4.2: every compositor has an effect.
#[test]
fn every_compositor_gets_a_session() {
    for compositor in ALL {
        for base in Base::all() {
            let plan = planned(base, None, &spec(compositor), &[]);
            let name = compositor.as_str();
            let login = super::login::row(compositor);
            assert!(plan.on.iter().any(|s| s.starts_with(login)), "{name}: {:?}", plan.on);
            assert!(plan.checks.iter().any(|c| matches!(c.expect, Expect::Process { .. })), "{name}");
            // Everything that is started beside it stands somewhere.
            let parts: Vec<String> = plan
                .files
                .iter()
                .filter_map(|file| plan.text(&file.path))
                .filter(|text| text.contains("waybar") || text.contains("polybar"))
                .map(str::to_owned)
                .collect();
            assert!(!parts.is_empty(), "{name} starts no bar");
            let needs: Vec<String> = needed(base, &spec(compositor)).into_iter().map(|(_, n)| n).collect();
            assert!(needs.iter().any(|n| n == name) && needs.iter().any(|n| n == login), "{needs:?}");
            // What users own wins over defaults: nothing is put into homes.
            assert!(plan.files.iter().all(|file| !file.path.starts_with("home/")), "{name}");
        }
    }
}

/// Disk and root filesystem of the same spec share all layers but the live medium's own.
#[test]
fn only_the_live_medium_logs_somebody_in() {
    let words = ["initial_session", "autologin", "AutomaticLogin", "[Autologin]"];
    let texts = |files: &[crate::configure::File]| -> String {
        files
            .iter()
            .filter_map(|file| match &file.content {
                FileContent::Bytes { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
                FileContent::Link { .. } => None,
            })
            .collect()
    };
    for compositor in ALL {
        let name = compositor.as_str();
        let mut both = spec(compositor);
        both["outputs"] = json!(["iso", "disk", "rootfs"]);
        both["installer"] = json!({});
        let plan = planned(Base::DEBIAN, None, &both, &[]);
        let shared = texts(&plan.files);
        assert!(words.iter().all(|word| !shared.contains(word)), "{name}");
        assert!(
            plan.files.iter().all(|f| !f.path.contains("calamares") && !f.path.contains("sudoers")),
            "{name}"
        );
        let live = texts(&plan.live.files);
        assert!(words.iter().any(|word| live.contains(word)) && live.contains("NOPASSWD"), "{name}");
        for check in &plan.checks {
            assert_eq!(
                check.live,
                matches!(check.expect, Expect::Process { .. } | Expect::Output { .. }),
                "{check:?}"
            );
        }
        both["outputs"] = json!(["disk", "rootfs"]);
        let plan = planned(Base::DEBIAN, None, &both, &[]);
        assert_eq!(plan.live, Live::default(), "{name}");
    }
}

#[test]
fn sway_starts_what_was_chosen_in_the_themes_colours() {
    let plan = planned(Base::DEBIAN, None, &spec(Compositor::Sway), &[]);
    let text = plan.text("etc/skel/.config/sway/config").unwrap();
    for line in [
        "output * bg #2e3440 solid_color",
        "bindsym $mod+Return exec foot",
        "bindsym $mod+d exec wofi --show drun",
        "exec waybar",
        "exec mako",
        "\txkb_layout \"de\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let none = json!({"display": {"server": "wayland"}});
    assert!(planned(Base::DEBIAN, None, &none, &[]).text("etc/greetd/config.toml").is_none());
}
