//! Plymouth: what the screen shows while the system starts. The theme is one of its `script`
//! plugin, made from the boot menu's title, colours and picture.
//!
//! Its files are a layer of their own below the configuration: the initramfs carries them too,
//! and need not be made again for every other setting.

use super::{Needs, Plan, System};
use crate::model::Digest;
use crate::model::check::Expect;
use crate::model::spec::text::Color;
use crate::model::spec::{Bootloader, OsSpec};

const FIELD: &str = "spec.customization.bootloader.plymouth";
/// The theme's folder; its last part is the theme's name.
const FOLDER: &str = "usr/share/plymouth/themes/bootwright";
/// The theme's name.
const THEME: &str = "bootwright";
/// Where the picture goes.
pub const PICTURE: &str = "usr/share/plymouth/themes/bootwright/splash.png";

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if shown(spec).is_some() {
        needs.package(FIELD, "utils", "plymouth");
        needs.kernel_flag("splash");
        // Else it would keep to the serial line, and show nothing on the screen.
        needs.kernel_flag("plymouth.ignore-serial-consoles");
    }
}

/// The boot menu whose looks Plymouth goes on with, if it does. A container has no screen.
pub fn shown(spec: &OsSpec) -> Option<&Bootloader> {
    let loader = &spec.customization.bootloader;
    (loader.plymouth && spec.outputs.iter().any(|output| output.starts())).then_some(loader)
}

/// The theme and what chooses it, by their paths in the root; the picture stands beside them.
pub fn files(loader: &Bootloader) -> [(String, String); 3] {
    [
        ("etc/plymouth/plymouthd.conf".to_owned(), format!("[Daemon]\nTheme={THEME}\nShowDelay=0\n")),
        (format!("{FOLDER}/{THEME}.plymouth"), theme()),
        (format!("{FOLDER}/{THEME}.script"), script(loader)),
    ]
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let loader = &system.configuration.customization.bootloader;
    if !loader.plymouth {
        return;
    }
    plan.check(FIELD, Expect::KernelFlag { word: "splash".to_owned() });
    let chosen = "/usr/sbin/plymouth-set-default-theme";
    plan.check(FIELD, Expect::Output { argv: vec![chosen.to_owned()], contains: THEME.to_owned() });
    for (path, text) in files(loader) {
        let (path, sha256) = (format!("/{path}"), Some(Digest::of(text)));
        plan.check(FIELD, Expect::File { path, mode: Some(0o644), owner: Some("root".to_owned()), sha256 });
    }
}

fn theme() -> String {
    format!(
        "[Plymouth Theme]\nName=Bootwright\nDescription=The looks of this image's boot menu\nModuleName=script\n\n\
         [script]\nImageDir=/{FOLDER}\nScriptFile=/{FOLDER}/{THEME}.script\n"
    )
}

/// The picture in the middle, as large as the screen allows without being stretched, in front
/// of the menu's background colour; the title below it, and what the system says at the foot.
fn script(loader: &Bootloader) -> String {
    let colors = loader.colors.clone().unwrap_or_default();
    let behind = rgb(colors.background.as_ref(), [0, 0, 0]);
    let chosen = rgb(colors.highlight.as_ref(), [255, 255, 255]);
    let said = rgb(colors.foreground.as_ref(), [192, 192, 192]);
    let mut text =
        format!("Window.SetBackgroundTopColor({behind});\nWindow.SetBackgroundBottomColor({behind});\n");
    if loader.splash.is_some() {
        text.push_str(
            "picture = Image(\"splash.png\");\n\
             across = Window.GetWidth() / picture.GetWidth();\n\
             down = Window.GetHeight() * 0.75 / picture.GetHeight();\n\
             scale = Math.Min(1, Math.Min(across, down));\n\
             shown = picture.Scale(picture.GetWidth() * scale, picture.GetHeight() * scale);\n\
             sprite = Sprite(shown);\n\
             sprite.SetPosition(Window.GetWidth() / 2 - shown.GetWidth() / 2, \
             Window.GetHeight() * 0.4 - shown.GetHeight() / 2, 0);\n",
        );
    }
    if let Some(title) = &loader.title {
        // A sprite that no name holds is taken away again.
        text.push_str(&format!(
            "title = Image.Text(\"{}\", {chosen});\n\
             titled = Sprite(title);
             titled.SetPosition(Window.GetWidth() / 2 - title.GetWidth() / 2, \
             Window.GetHeight() * 0.82, 1);\n",
            quoted(title)
        ));
    }
    text.push_str(&format!(
        "message = Sprite();\n\
         message.SetPosition(Window.GetWidth() / 10, Window.GetHeight() * 0.9, 1);\n\
         fun show_message(text) {{ message.SetImage(Image.Text(text, {said})); }}\n\
         Plymouth.SetMessageFunction(show_message);\n\
         fun ask_password(prompt, bullets) {{ message.SetImage(Image.Text(prompt, {said})); }}\n\
         Plymouth.SetDisplayPasswordFunction(ask_password);\n"
    ));
    text
}

/// Text between the quotes of a script: what would end it or mean something else is left out.
fn quoted(title: &str) -> String {
    title.chars().map(|c| if c == '"' || c == '\\' || c.is_control() { ' ' } else { c }).collect()
}

/// Red, green and blue from 0 to 1, as scripts take them.
fn rgb(color: Option<&Color>, usual: [u8; 3]) -> String {
    let parts = color.map_or(usual, |color| {
        let digits = color.as_str().trim_start_matches('#');
        [0, 2, 4].map(|at| digits.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0))
    });
    parts.map(|part| format!("{:.4}", f64::from(part) / 255.0)).join(", ")
}

#[cfg(test)]
mod tests {
    use crate::configure::testing::{needed, planned};
    use crate::model::check::Expect;
    use crate::model::spec::{Base, Bootloader};
    use serde_json::json;

    fn loader() -> Bootloader {
        serde_json::from_value(json!({"plymouth": true, "splash": "specs/pictures/a.png",
            "title": "a\"); Plymouth.Quit(\\", "colors": {"background": "#336699"}}))
        .unwrap()
    }

    #[test]
    fn title_and_picture_in_front_of_the_menus_colour() {
        let [settings, theme, script] = super::files(&loader());
        assert_eq!(settings.1, "[Daemon]\nTheme=bootwright\nShowDelay=0\n");
        assert!(theme.1.contains(&format!("ScriptFile=/{}\n", script.0)), "{theme:?}");
        let script = script.1;
        assert!(script.contains("SetBackgroundTopColor(0.2000, 0.4000, 0.6000);"), "{script}");
        assert!(script.contains("splash.png"));
        // A title cannot leave its quotes.
        assert!(script.contains("Image.Text(\"a ); Plymouth.Quit( \", 1.0000, 1.0000, 1.0000)"), "{script}");
        let plain = super::files(&Bootloader { splash: None, title: None, ..loader() });
        assert!(!plain[2].1.contains("splash.png") && !plain[2].1.contains("title"));
    }

    #[test]
    fn only_what_starts_shows_it() {
        let mut fields = json!({"outputs": ["iso"], "customization": {"bootloader": loader()}});
        assert!(needed(Base::DEBIAN, &fields).iter().any(|(_, name)| name == "plymouth"));
        let checks = |fields: &serde_json::Value| {
            let plan = planned(Base::DEBIAN, None, fields, &[]);
            plan.checks.into_iter().filter(|check| check.field == super::FIELD).collect::<Vec<_>>()
        };
        let found = checks(&fields);
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(found.iter().any(|c| matches!(&c.expect, Expect::KernelFlag { word } if word == "splash")));
        fields["outputs"] = json!(["oci"]);
        assert!(needed(Base::DEBIAN, &fields).iter().all(|(_, name)| name != "plymouth"));
        assert!(checks(&fields).is_empty());
    }
}
