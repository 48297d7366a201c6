//! Themes: the colours of windows, bar, launcher, terminal and notifications, and the name
//! by which widgets know them.

/// Colours as `rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Palette {
    pub background: &'static str,
    pub foreground: &'static str,
    pub accent: &'static str,
    pub dark: bool,
}

/// The colours that the makers of these themes publish.
const KNOWN: [(&str, Palette); 8] = [
    ("adwaita", colours("fafafa", "2e3436", "3584e4", false)),
    ("breeze", colours("eff0f1", "232629", "3daee9", false)),
    ("catppuccin", colours("1e1e2e", "cdd6f4", "89b4fa", true)),
    ("dracula", colours("282a36", "f8f8f2", "bd93f9", true)),
    ("gruvbox", colours("282828", "ebdbb2", "d79921", true)),
    ("nord", colours("2e3440", "d8dee9", "88c0d0", true)),
    ("solarized", colours("002b36", "839496", "268bd2", true)),
    ("tokyo-night", colours("1a1b26", "c0caf5", "7aa2f7", true)),
];

const fn colours(
    background: &'static str,
    foreground: &'static str,
    accent: &'static str,
    dark: bool,
) -> Palette {
    Palette { background, foreground, accent, dark }
}

/// The colours of a theme; those of a dark one when there is none, or none that is known.
pub(super) fn of(theme: Option<&str>) -> Palette {
    let name = theme.unwrap_or_default().to_ascii_lowercase();
    let known = KNOWN.iter().find(|(known, _)| name.starts_with(known)).map(|(_, palette)| *palette);
    let dark = name.contains("dark");
    match known {
        Some(palette) if dark && !palette.dark => colours("242424", "ffffff", palette.accent, true),
        Some(palette) => palette,
        None if name.is_empty() || dark => colours("1d2430", "e6e9ef", "5aa9e6", true),
        None => KNOWN[0].1,
    }
}

/// The name that GTK knows a theme by. Palettes are colours only: their widgets are GTK's own.
pub(super) fn widgets(theme: Option<&str>) -> &str {
    let theme = theme.unwrap_or("Adwaita");
    let ours = KNOWN.iter().any(|(known, _)| theme.eq_ignore_ascii_case(known));
    if ours { "Adwaita" } else { theme }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn themes_have_colours() {
        assert_eq!(of(Some("Nord")).background, "2e3440");
        assert!(of(Some("Adwaita-dark")).dark && !of(Some("adwaita")).dark);
        assert!(of(Some("Arc Dark")).dark && of(None).dark && !of(Some("Greybird")).dark);
        assert_eq!(widgets(Some("nord")), "Adwaita");
        assert_eq!(widgets(Some("Arc Dark")), "Arc Dark");
    }
}
