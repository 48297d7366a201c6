//! The boot menu as a person sees it: an ISO of the builder is started in QEMU, and the
//! picture of its menu is held against the colours that were asked for.

use crate::outputs::{Disc, quiet, run};
use bootwright::effects::Process;
use bootwright::model::Digest;
use bootwright::model::evidence::Verdict;
use bootwright::model::spec::{BootMode, MenuColors, Verify};
use bootwright::verify::{self, Acceleration, Accelerator, Options, Wish};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

const BACKGROUND: [u8; 3] = [0x1d, 0x20, 0x21];
const FOREGROUND: [u8; 3] = [0xeb, 0xdb, 0xb2];
const HIGHLIGHT: [u8; 3] = [0xfa, 0xbd, 0x2f];

/// How many pixels a picture of QEMU has of each colour: PNG of 8 bits, red, green, blue.
pub(crate) fn colors(path: &Path) -> BTreeMap<[u8; 3], usize> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (width, height) = (number(16), number(20));
    assert_eq!((bytes[24], bytes[25]), (8, 2), "{}", path.display());
    let (mut packed, mut at) = (Vec::new(), 8);
    while at < bytes.len() {
        let length = number(at);
        if &bytes[at + 4..at + 8] == b"IDAT" {
            packed.extend_from_slice(&bytes[at + 8..at + 8 + length]);
        }
        at += length + 12;
    }
    let mut raw = Vec::new();
    flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut raw).unwrap();
    let line = width * 3;
    let mut above = vec![0_u8; line];
    let mut found = BTreeMap::new();
    for row in raw.chunks(line + 1).take(height) {
        let (filter, data) = (row[0], &row[1..]);
        let mut here = vec![0_u8; line];
        for x in 0..line {
            let left = if x >= 3 { here[x - 3] } else { 0 };
            let corner = if x >= 3 { above[x - 3] } else { 0 };
            let (a, b, c) = (i32::from(left), i32::from(above[x]), i32::from(corner));
            let guess = match filter {
                1 => left,
                2 => above[x],
                3 => u8::try_from((a + b) / 2).unwrap(),
                4 => {
                    let p = a + b - c;
                    let near = |v: i32| (p - v).abs();
                    if near(a) <= near(b) && near(a) <= near(c) {
                        left
                    } else if near(b) <= near(c) {
                        above[x]
                    } else {
                        corner
                    }
                }
                _ => 0,
            };
            here[x] = data[x].wrapping_add(guess);
        }
        for pixel in here.chunks(3) {
            *found.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
        }
        above = here;
    }
    found
}

/// Pixels of a colour, or so near to it that a screen with fewer bits shows the same.
pub(crate) fn like(found: &BTreeMap<[u8; 3], usize>, wanted: [u8; 3]) -> usize {
    let near = |color: &[u8; 3]| color.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 8);
    found.iter().filter(|(color, _)| near(color)).map(|(_, count)| count).sum()
}

fn coloured() -> Disc {
    let mut disc = Disc::new();
    disc.recipe.boot_menu.colors = Some(MenuColors {
        foreground: Some("#ebdbb2".parse().unwrap()),
        background: Some("#1d2021".parse().unwrap()),
        highlight: Some("#fabd2f".parse().unwrap()),
    });
    disc.recipe.boot_menu.title = "Development box".to_owned();
    disc.recipe.boot_menu.timeout = 3;
    disc
}

#[test]
fn a_menu_is_shown_in_its_colours_by_bios_and_secure_boot() {
    let disc = coloured();
    let artifact = disc.write("coloured", None).unwrap();
    let cfg = disc.dir.path().join("grub.cfg");
    std::fs::write(&cfg, disc.extract(&artifact.path, "/boot/grub/grub.cfg")).unwrap();
    run(Process::new("grub-script-check").arg(&cfg));
    // There is no kernel behind this menu: the machine shows it, and comes no further.
    let wish = Verify {
        boot: vec![BootMode::Bios, BootMode::SecureBoot],
        dwell_seconds: 1,
        timeout_seconds: 75,
        memory_mib: 512,
        units: Vec::new(),
        ports: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { acceleration: Acceleration::Always(Accelerator::Tcg), ..Options::below(folder.path()) };
    let (events, cancel) = quiet();
    let asked = Wish { verify: &wish, checks: &[] };
    let evidence = verify::iso(&artifact, &Digest::of("build"), asked, &options, &events, &cancel).unwrap();
    assert_eq!(evidence.checks.len(), 2);
    for check in &evidence.checks {
        assert!(matches!(check.verdict, Verdict::Hang { .. }), "{check:?}");
        let picture = check.files.iter().find(|file| file.name.ends_with("/menu.png"));
        let picture = picture.unwrap_or_else(|| panic!("no picture of the menu: {check:?}"));
        let menu = colors(&picture.path);
        let all: usize = menu.values().sum();
        let counted = [BACKGROUND, FOREGROUND, HIGHLIGHT].map(|color| like(&menu, color));
        println!("{}: of {all} pixels background, foreground, highlight have {counted:?}", check.name);
        assert!(counted[0] * 10 > all * 8, "{}: the background is not there: {counted:?}", check.name);
        assert!(counted[1] > 100 && counted[2] > 100, "{}: the text is not there: {counted:?}", check.name);
    }
}

/// A menu without colours has none of their files, and the same bytes as ever.
#[test]
fn a_plain_menu_stays_as_it_is() {
    let plain = Disc::new();
    let artifact = plain.write("plain", None).unwrap();
    let cfg = plain.extract(&artifact.path, "/boot/grub/grub.cfg");
    assert!(!cfg.contains("gfxterm") && !cfg.contains("theme"), "{cfg}");
    let disc = coloured();
    let theme = disc.extract(&disc.write("coloured", None).unwrap().path, "/boot/grub/theme.txt");
    assert!(theme.contains("desktop-color: \"#1d2021\"") && theme.contains("text = \"Development box\""));
}
