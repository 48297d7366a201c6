//! Hyprland, which Debian does not have: an Arch of small packages whose session it is.

use super::containers::same::Root;
use super::containers::worlds::{arch_with, spec};
use super::pacman::About;
use super::{find, put};

/// A session with everything that goes into one.
const DECLARED: &str = r#"display:
    server: wayland
    compositor: hyprland
    bar: waybar
    launcher: wofi
    terminal: kitty
    notifications: mako
    theme: nord
  defaults:
    keyboard: {layout: de, variant: nodeadkeys}
    users: [{name: ada, sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlGqbKEIiDnWlCcaYJcRYjDrCHYIVI6cU8kPr2sFfVc a@b"]}]
"#;

/// Background, foreground and accent of the theme, as its makers publish them.
const NORD: [&str; 3] = ["2e3440", "d8dee9", "88c0d0"];

#[test]
fn a_session_of_hyprland_is_in_the_root() {
    let parts = ["hyprland", "kbd", "kitty", "mako", "polkit", "ttf-dejavu", "waybar", "wofi"];
    let small = arch_with(|repository| {
        let about = || About { depends: &["base"], ..About::default() };
        for name in parts {
            repository
                .package(name, about(), |tree| put(tree, &format!("usr/share/{name}/is-there"), "", 0o644));
        }
        repository.package("greetd", about(), |tree| {
            put(tree, "usr/lib/systemd/system/greetd.service", GREETD, 0o644);
        });
    });
    put(&small.world.dir, "specs/tiny.yaml", spec(small.base, small.suite, "rootfs", DECLARED), 0o644);
    let root = Root::read(&find(&small.world.released(), ".rootfs.tar.zst"));
    for name in parts.iter().chain(&["greetd"]) {
        assert!(root.packages.contains_key(*name), "{name}: {:?}", root.packages);
    }

    // Who logs in gets the session: by the login's own name for it, and by a service that is on.
    root.says("etc/systemd/system/display-manager.service", "Symlink");
    root.says("etc/greetd/config.toml", "Regular 644 0:0 ");
    root.says("etc/greetd/config.toml", "command = \"agreety --cmd /usr/local/bin/bootwright-session\"");
    root.says("usr/local/bin/bootwright-session", "Regular 755 0:0 #!/bin/sh\n");
    root.says("usr/local/bin/bootwright-session", "Hyprland && exit 0\n");

    // The session's settings, for accounts that are there and for those to come.
    let [back, fore, accent] = NORD;
    for (home, owner) in [("home/ada", "1000:1000"), ("etc/skel", "0:0")] {
        let says = |path: &str, words: &str| {
            let path = format!("{home}/.config/{path}");
            root.says(&path, &format!("Regular 644 {owner} "));
            root.says(&path, words);
        };
        says("hypr/hyprland.conf", &format!("col.active_border = rgb({accent})\n"));
        says("hypr/hyprland.conf", &format!("background_color = rgb({back})\n"));
        says("hypr/hyprland.conf", "kb_layout = de\n\tkb_variant = nodeadkeys\n");
        says(
            "hypr/hyprland.conf",
            "bind = $mod, Return, exec, kitty\nbind = $mod, D, exec, wofi --show drun\n",
        );
        says("hypr/hyprland.conf", "exec-once = waybar\nexec-once = mako\n");
        says("waybar/config", "\"hyprland/workspaces\", \"hyprland/window\"");
        says("waybar/style.css", &format!("window#waybar {{ background: #{accent}; color: #{back}; }}"));
        says("mako/config", &format!("background-color=#{back}\ntext-color=#{fore}\n"));
        says("wofi/style.css", &format!("#entry:selected {{ background-color: #{accent}; }}"));
        says("kitty/kitty.conf", &format!("background #{back}\nforeground #{fore}\n"));
        root.says(&format!("{home}/.config/hypr"), &format!("Directory 755 {owner}"));
    }
    root.says("etc/gtk-3.0/settings.ini", "gtk-application-prefer-dark-theme=1\n");
    root.says("etc/vconsole.conf", "KEYMAP=");
}

/// As greetd's package has it, shortened.
const GREETD: &str = "[Unit]\nDescription=Greeter daemon\n[Service]\nExecStart=greetd\n\
    [Install]\nAlias=display-manager.service\n";
