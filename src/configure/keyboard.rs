//! The keyboard, on the console and in graphical sessions.

use super::{Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::{Family, Init, Keyboard, OsSpec};

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if spec.defaults.keyboard.is_some() {
        needs.package("spec.defaults.keyboard", "base", "console-keyboard");
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(keyboard) = &system.configuration.keyboard else { return };
    let layout = keyboard.layout.as_str();
    if system.is_debian() {
        // The console, the X server (a udev rule) and systemd-localed all read this file.
        plan.file("etc/default/keyboard", 0o644, debian(keyboard));
        line(plan, "/etc/default/keyboard", &format!("XKBLAYOUT=\"{layout}\""));
        if system.init() == Init::Systemd {
            // What was set up at the start, not only written down.
            let name = "keyboard-setup.service".to_owned();
            plan.check("spec.defaults.keyboard", Expect::Service { name, running: true });
        }
        return;
    }
    plan.file("etc/X11/xorg.conf.d/00-keyboard.conf", 0o644, xorg(keyboard));
    let keymap = keymap(keyboard);
    match (system.base.family(), system.init()) {
        (_, Init::Systemd) => {
            plan.file("etc/vconsole.conf", 0o644, format!("KEYMAP={keymap}\n"));
            line(plan, "/etc/vconsole.conf", &format!("KEYMAP={keymap}"));
        }
        (Family::Alpine, _) => {
            // The package kbd-bkeymaps; OpenRC's own service would want another program.
            let map = format!("KEYMAP=/usr/share/bkeymaps/{layout}/{}.bmap.gz", alpine_map(keyboard));
            plan.file("etc/conf.d/loadkmap", 0o644, format!("{map}\n"));
            plan.start("loadkmap");
            line(plan, "/etc/conf.d/loadkmap", &map);
        }
        (_, Init::Openrc) => {
            plan.file("etc/conf.d/keymaps", 0o644, format!("keymap=\"{keymap}\"\n"));
            plan.start("keymaps");
            line(plan, "/etc/conf.d/keymaps", &format!("keymap=\"{keymap}\""));
        }
        (_, Init::Runit | Init::S6) => {
            // Void's first stage reads it (`/etc/runit/core-services`).
            plan.file("etc/rc.conf", 0o644, format!("KEYMAP=\"{keymap}\"\n"));
            line(plan, "/etc/rc.conf", &format!("KEYMAP=\"{keymap}\""));
        }
    }
}

fn line(plan: &mut Plan, path: &str, line: &str) {
    plan.check("spec.defaults.keyboard", Expect::Line { path: path.to_owned(), line: line.to_owned() });
}

/// The model where the spec names none: the usual one with 105 keys.
const MODEL: &str = "pc105";

fn options(keyboard: &Keyboard) -> String {
    keyboard.options.iter().map(|o| o.as_str()).collect::<Vec<_>>().join(",")
}

/// `/etc/default/keyboard` (man 5 keyboard).
fn debian(keyboard: &Keyboard) -> String {
    format!(
        "XKBMODEL=\"{}\"\nXKBLAYOUT=\"{}\"\nXKBVARIANT=\"{}\"\nXKBOPTIONS=\"{}\"\nBACKSPACE=\"guess\"\n",
        keyboard.model.as_ref().map_or(MODEL, |m| m.as_str()),
        keyboard.layout,
        keyboard.variant.as_ref().map_or("", |v| v.as_str()),
        options(keyboard),
    )
}

/// A class of input devices for the X server (man xorg.conf, "INPUTCLASS SECTION").
fn xorg(keyboard: &Keyboard) -> String {
    let mut text = "Section \"InputClass\"\n\tIdentifier \"keyboard\"\n\tMatchIsKeyboard \"on\"\n".to_owned();
    let model = keyboard.model.as_ref().map_or(MODEL, |m| m.as_str());
    let variant = keyboard.variant.as_ref().map_or("", |v| v.as_str());
    let options = options(keyboard);
    for (name, value) in [
        ("XkbModel", model),
        ("XkbLayout", keyboard.layout.as_str()),
        ("XkbVariant", variant),
        ("XkbOptions", options.as_str()),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("\tOption \"{name}\" \"{value}\"\n"));
        }
    }
    text + "EndSection\n"
}

/// The console's keymap of a layout. Most have the layout's name; these do not
/// (systemd's `kbd-model-map`).
fn keymap(keyboard: &Keyboard) -> String {
    let variant = keyboard.variant.as_ref().map_or("", |v| v.as_str());
    match (keyboard.layout.as_str(), variant) {
        ("gb", _) => "uk".to_owned(),
        ("us", "dvorak") => "dvorak".to_owned(),
        ("us", "colemak") => "colemak".to_owned(),
        ("us", "intl") => "us-acentos".to_owned(),
        ("de", "nodeadkeys") => "de-latin1-nodeadkeys".to_owned(),
        ("de", _) => "de-latin1".to_owned(),
        ("fr", _) => "fr-latin1".to_owned(),
        ("ch", "fr") => "fr_CH-latin1".to_owned(),
        ("ch", _) => "de_CH-latin1".to_owned(),
        ("br", _) => "br-abnt2".to_owned(),
        ("jp", _) => "jp106".to_owned(),
        ("se", _) => "sv-latin1".to_owned(),
        (layout, _) => layout.to_owned(),
    }
}

/// Alpine's files are named by layout and variant.
fn alpine_map(keyboard: &Keyboard) -> String {
    match &keyboard.variant {
        Some(variant) => format!("{}-{variant}", keyboard.layout),
        None => keyboard.layout.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use crate::model::check::Expect;
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn each_distribution_reads_its_own_file() {
        let spec = json!({"defaults": {"keyboard": {"layout": "de", "variant": "nodeadkeys", "options": ["ctrl:nocaps"]}}});
        let debian = planned(Base::DEBIAN, None, &spec, &[]);
        assert_eq!(
            debian.text("etc/default/keyboard").unwrap(),
            "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"de\"\nXKBVARIANT=\"nodeadkeys\"\nXKBOPTIONS=\"ctrl:nocaps\"\nBACKSPACE=\"guess\"\n"
        );
        let arch = planned(Base::ARCH, None, &spec, &[]);
        assert_eq!(arch.text("etc/vconsole.conf"), Some("KEYMAP=de-latin1-nodeadkeys\n"));
        let xorg = arch.text("etc/X11/xorg.conf.d/00-keyboard.conf").unwrap();
        assert!(xorg.contains("\tOption \"XkbVariant\" \"nodeadkeys\"\n"), "{xorg}");
        let alpine = planned(Base::ALPINE, None, &spec, &[]);
        assert_eq!(
            alpine.text("etc/conf.d/loadkmap"),
            Some("KEYMAP=/usr/share/bkeymaps/de/de-nodeadkeys.bmap.gz\n")
        );
        assert!(alpine.on.contains("loadkmap"));
        let void = planned(Base::VOID, None, &spec, &[]);
        assert_eq!(void.text("etc/rc.conf"), Some("KEYMAP=\"de-latin1-nodeadkeys\"\n"));
        let gentoo = planned(Base::GENTOO, Some(Init::Openrc), &spec, &[]);
        assert!(gentoo.text("etc/conf.d/keymaps").is_some() && gentoo.on.contains("keymaps"));
        for plan in [debian, arch, alpine, void, gentoo] {
            let asks = |c: &&crate::model::check::Check| c.field == "spec.defaults.keyboard";
            assert!(plan.checks.iter().filter(asks).any(|c| matches!(c.expect, Expect::Line { .. })));
        }
    }

    #[test]
    fn without_a_keyboard_nothing_is_written() {
        let plan = planned(Base::DEBIAN, None, &json!({}), &[]);
        assert!(plan.text("etc/default/keyboard").is_none());
    }
}
