//! The development box: zsh with its user's dotfiles and starship's prompt, languages that
//! answer with the versions of the lock, a boot menu and a start in the looks of its spec.

use super::{Image, all_found, boots, machine};
use crate::menus::{colors, like};

/// Colours of the spec.
const BACKGROUND: [u8; 3] = [0x1d, 0x20, 0x21];
const FOREGROUND: [u8; 3] = [0xeb, 0xdb, 0xb2];
const HIGHLIGHT: [u8; 3] = [0xfa, 0xbd, 0x2f];
/// Three of its picture.
const PICTURE: [[u8; 3]; 3] = [[0xcc, 0x24, 0x1d], [0xd7, 0x99, 0x21], [0x45, 0x85, 0x88]];

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn a_development_box_with_its_own_shell_and_colours() {
    let _machine = machine();
    let (folder, manifest) = Image::new("dev-box", "").publish();
    let boots = boots(&manifest);
    assert_eq!(boots.len(), 2, "BIOS and UEFI");
    for findings in &boots {
        assert!(all_found(findings) >= 20, "{findings:#?}");
        let told =
            |begin: &str| findings.iter().filter(|f| f.starts_with(begin) && f.ends_with("so it is")).count();
        for (begin, least) in [
            ("spec.defaults.users[0]: user dev, shell /usr/bin/zsh", 1),
            ("spec.customization.dotfiles: /home/dev/.zshrc, mode 0644, owner dev, SHA-256", 1),
            ("spec.customization.dotfiles: /home/dev/.local/bin/languages, mode 0755, owner dev", 1),
            ("spec.customization.dotfiles: ", 6),
            ("spec.customization.prompt", 1),
            ("spec.customization.bootloader.plymouth: ", 5),
            ("spec.packages.development: ", 11),
            ("spec.packages.utils: ", 2),
        ] {
            assert!(told(begin) >= least, "{begin}: {findings:#?}");
        }
    }
    for mode in ["bios", "uefi"] {
        let menu = colors(&folder.join(format!("evidence/{mode}-menu.png")));
        let all: usize = menu.values().sum();
        let counted = [BACKGROUND, FOREGROUND, HIGHLIGHT].map(|color| like(&menu, color));
        println!("{mode}: menu of {all} pixels: background, foreground, highlight {counted:?}");
        assert!(counted[0] * 2 > all, "{mode}: the background is not there: {counted:?}");
        assert!(counted[1] > 50 && counted[2] > 50, "{mode}: text or title is not there: {counted:?}");
        let start = colors(&folder.join(format!("evidence/{mode}-start.png")));
        let all: usize = start.values().sum();
        let shown = PICTURE.map(|color| like(&start, color));
        let (behind, title) = (like(&start, BACKGROUND), like(&start, HIGHLIGHT));
        println!("{mode}: start of {all} pixels: background {behind}, picture {shown:?}, title {title}");
        assert!(behind * 3 > all, "{mode}: Plymouth's background is not there: {behind}");
        assert!(shown.iter().all(|count| *count > 500), "{mode}: the picture is not there: {shown:?}");
        assert!(title > 50, "{mode}: the title is not there: {title}");
    }
}
