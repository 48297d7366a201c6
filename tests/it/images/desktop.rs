//! The small desktop: its session comes up by itself with bar and wallpaper in the theme's
//! colours, and the installer stands open in it.

use super::{Image, all_found, boots, machine};
use bootwright::verify::picture::Picture;

/// Nord's background and accent (`src/configure/desktop/palette.rs`).
const WALLPAPER: [u8; 3] = [0x2e, 0x34, 0x40];
const BAR: [u8; 3] = [0x88, 0xc0, 0xd0];
/// The installer's own side bar.
const INSTALLER: [u8; 3] = [0x1d, 0x24, 0x30];

/// Why a picture does not show the session, if it does not.
fn missing(picture: &Picture) -> Vec<String> {
    let colours = picture.colours();
    let mut missing = Vec::new();
    if colours.len() < 50 {
        missing.push(format!("{} colours only", colours.len()));
    }
    for (what, colour, least) in
        [("wallpaper", WALLPAPER, 10.0), ("bar", BAR, 2.0), ("installer", INSTALLER, 3.0)]
    {
        #[expect(clippy::cast_precision_loss, reason = "a screen has a million pixels")]
        let share = colours.get(&colour).copied().unwrap_or(0) as f64 * 100.0 / picture.pixels.len() as f64;
        if share < least {
            missing.push(format!("{what}: {share:.2} % of the screen"));
        }
    }
    missing
}

#[test]
fn a_console_is_no_session() {
    let mut console = Picture { width: 1280, height: 800, pixels: vec![[0; 3]; 1280 * 800] };
    console.pixels[..400].fill([0xaa; 3]);
    assert_eq!(missing(&console).len(), 4);
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn its_session_comes_up_with_the_installer_open() {
    let _machine = machine();
    let (folder, manifest) = Image::new("desktop", "").publish();
    let boots = boots(&manifest);
    assert_eq!(boots.len(), 2, "BIOS and UEFI");
    for findings in &boots {
        assert!(all_found(findings) >= 14, "{findings:#?}");
        for field in ["compositor: a process i3", "bar: a process polybar", "notifications: a process dunst"]
        {
            assert!(
                findings.iter().any(|f| f.starts_with(&format!("spec.display.{field}"))),
                "{findings:#?}"
            );
        }
        let window = findings.iter().any(|f| f.starts_with("spec.installer: \"(\\\"calamares\\\"\" from"));
        assert!(window, "{findings:#?}");
    }
    for boot in ["bios", "uefi"] {
        let file = folder.join(format!("evidence/{boot}-screenshot.png"));
        let picture = Picture::of(&std::fs::read(&file).unwrap()).unwrap();
        println!("{boot}: {}", picture.words());
        assert_eq!(missing(&picture), [""; 0], "{}", file.display());
    }
}
