//! The boot menu's looks: a theme of GRUB's graphical menu, made from colours, title and a
//! picture (GRUB manual, "Theme file format").
//!
//! Everything that it needs is inside Debian's signed GRUB (gfxmenu, PNG, a font in its
//! memdisk), so that Secure Boot shows the same menu. Where there are no graphics, the text
//! menu stays, and the serial line always has it.

use super::firmware;
use crate::model::Result;
use crate::model::recipe::BootMenu;
use crate::model::spec::text::Color;
use std::path::Path;

/// The modules of GRUB that a menu with colours needs beside the usual ones; the signed GRUB has them.
pub(in crate::build) fn modules(menu: &BootMenu) -> &'static [&'static str] {
    if menu.colors.is_some() { &["gfxmenu"] } else { &[] }
}

/// The files that a menu with colours or a picture needs, below `boot/grub` of its medium; `splash` is the
/// picture's bytes.
///
/// # Errors
/// Class *spec* if GRUB cannot show the picture, or the lock has no font.
pub(in crate::build) fn files(
    menu: &BootMenu,
    splash: Option<&[u8]>,
    boot_files: &Path,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut files = Vec::new();
    if menu.colors.is_some() {
        files.push(("boot/grub/theme.txt", theme(menu).into_bytes()));
    }
    if let Some(png) = splash {
        files.push(("boot/grub/splash.png", firmware::checked_png(png)?.to_vec()));
    }
    if !files.is_empty() {
        files.push(("boot/grub/unicode.pf2", firmware::font(boot_files)?));
    }
    Ok(files)
}

/// What the menu's configuration does before its entries: nothing for a plain menu. Under
/// Secure Boot fonts are taken only from the signed GRUB's own memdisk.
pub(super) fn set_up(menu: &BootMenu) -> String {
    let dress = match (&menu.colors, &menu.splash) {
        (Some(_), _) => "    set theme=$prefix/theme.txt\n    export theme\n",
        // A picture alone stands behind the menu that GRUB draws by itself.
        (None, Some(_)) => "    background_image $prefix/splash.png\n",
        (None, None) => return String::new(),
    };
    format!(
        "if [ \"$grub_platform\" = efi ]; then\n  set font=(memdisk)/fonts/unicode.pf2\nelse\n  \
         set font=$prefix/unicode.pf2\nfi\nif loadfont $font; then\n  set gfxmode=auto\n  \
         if terminal_output gfxterm; then\n    terminal_output --append serial\n{dress}  fi\nfi\n"
    )
}

/// `theme.txt`.
fn theme(menu: &BootMenu) -> String {
    let colors = menu.colors.clone().unwrap_or_default();
    let color = |color: &Option<Color>, usual: &str| {
        color.as_ref().map_or_else(|| usual.to_owned(), ToString::to_string)
    };
    let (text, behind) = (color(&colors.foreground, "#c0c0c0"), color(&colors.background, "#000000"));
    let chosen = color(&colors.highlight, "#ffffff");
    let picture = if menu.splash.is_some() {
        "desktop-image: \"splash.png\"\ndesktop-image-scale-method: \"crop\"\n"
    } else {
        ""
    };
    // A quote would end the text; the menu's entries have the title anyway.
    let title = menu.title.replace(['"', '\\'], " ");
    format!(
        "title-text: \"\"\n\
         desktop-color: \"{behind}\"\n\
         {picture}\
         + label {{\n  left = 15%\n  top = 12%\n  width = 70%\n  height = 32\n  align = \"center\"\n  \
         color = \"{chosen}\"\n  text = \"{title}\"\n}}\n\
         + boot_menu {{\n  left = 15%\n  top = 25%\n  width = 70%\n  height = 45%\n  item_color = \"{text}\"\n  \
         selected_item_color = \"{chosen}\"\n  item_height = 24\n  item_spacing = 8\n  scrollbar = false\n}}\n\
         + label {{\n  id = \"__timeout__\"\n  left = 15%\n  top = 78%\n  width = 70%\n  height = 24\n  \
         align = \"center\"\n  color = \"{text}\"\n  text = \"%d\"\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::MenuColors;

    #[test]
    fn colours_and_title_are_in_the_theme() {
        let colors = MenuColors {
            background: Some("#1d2021".parse().unwrap()),
            highlight: Some("#FABD2F".parse().unwrap()),
            foreground: None,
        };
        let menu = BootMenu {
            kind: Default::default(),
            title: "a\"\n+ image { file = \\ }".replace('\n', " "),
            timeout: 3,
            splash: None,
            colors: Some(colors),
            kernel_flags: Vec::new(),
        };
        let theme = theme(&menu);
        assert!(
            theme.contains("desktop-color: \"#1d2021\"\n") && theme.contains("item_color = \"#c0c0c0\"\n")
        );
        assert!(theme.contains("selected_item_color = \"#FABD2F\"\n") && !theme.contains("desktop-image"));
        assert!(theme.contains("text = \"a  + image { file =   }\"\n"), "{theme}");
        assert_eq!(theme.matches("+ ").count(), 4, "{theme}");
        let plain = BootMenu { colors: None, ..menu };
        assert!(modules(&plain).is_empty() && set_up(&plain).is_empty());
    }
}
