//! What is on a card afterwards.

use super::card::{Card, MIB, answer, bootwright, command, flash, image, old, run};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use xxhash_rust::xxh3::xxh3_128;

struct Image {
    dir: tempfile::TempDir,
    path: String,
    bytes: Vec<u8>,
}

fn written(size: usize) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = (dir.path().join("image.img"), image(size));
    fs::write(&path, &bytes).unwrap();
    Image { path: path.to_str().unwrap().to_owned(), dir, bytes }
}

impl Image {
    /// The image packed by a real tool.
    fn packed(&self, tool: &str, ending: &str) -> String {
        let path: PathBuf = self.dir.path().join(format!("image.img.{ending}"));
        let output = command(tool).args(["-c", &self.path]).output().unwrap();
        assert!(output.status.success());
        fs::write(&path, output.stdout).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn a_used_card_holds_the_image_whatever_it_is_packed_in() {
    // Not a whole number of MiB, nor of 4096.
    let image = written(21 * MIB + 512 * 3);
    let sources = [
        image.path.clone(),
        image.packed("zstd", "zst"),
        image.packed("xz", "xz"),
        image.packed("gzip", "gz"),
    ];
    for source in sources {
        let Some(card) = Card::used(32 * MIB) else { return };
        let flashed = flash(&[&source, "--device", card.path(), "--yes"]);
        assert_eq!(flashed.code, 0, "{source}: {} {}", flashed.report, flashed.errors);
        let report = flashed.card(0);
        assert_eq!(
            (&report["good"], &report["bootable"], &report["unhealthy"]),
            (&true.into(), &true.into(), &false.into())
        );
        // Nobody gave a SHA-256 of it: it is known by what `xxhsum -H128` says.
        let digest = format!("xxh128:{:032x}", xxh3_128(&image.bytes));
        assert_eq!(
            (&flashed.report["imageDigest"], &report["readBack"]),
            (&digest.clone().into(), &digest.into())
        );
        let (size, now) = (image.bytes.len(), card.bytes());
        assert!(now[..size] == image.bytes[..], "{source}");
        assert!(now[size..] == old(32 * MIB - size)[..], "{source}: what lies behind the image was touched");
        let labels: Vec<&str> = flashed.events.iter().filter_map(|e| e["label"].as_str()).collect();
        for phase in ["probe", "write", "verify"] {
            let label = format!("{phase} {}", card.path());
            assert!(labels.contains(&label.as_str()), "{labels:?}");
        }
    }
}

#[test]
fn the_holes_of_an_image_are_zero_on_a_used_card() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.img");
    let size = 88 * MIB + 512;
    let (file, data) = (fs::File::create(&path).unwrap(), image(3 * MIB));
    file.set_len(size as u64).unwrap();
    // Holes between pieces of data, so that buffers with old data come round; and one apart.
    for at in (0..80 * MIB).step_by(8 * MIB).chain([84 * MIB + 4096 * 9]) {
        file.write_all_at(&data, at as u64).unwrap();
    }
    let bytes = fs::read(&path).unwrap();
    let Some(card) = Card::used(92 * MIB) else { return };
    let flashed = flash(&[path.to_str().unwrap(), "-d", card.path(), "--yes"]);
    assert_eq!(flashed.code, 0, "{} {}", flashed.report, flashed.errors);
    assert!(card.bytes()[..size] == bytes[..]);
    assert!(card.bytes()[size..] == old(92 * MIB - size)[..], "what lies behind was touched");
    let report = flashed.card(0);
    let zeros = report["zeroed"].as_u64().unwrap() + report["foundZero"].as_u64().unwrap();
    assert!(zeros > 40 * MIB as u64, "{report}");
    assert_eq!(flashed.report["imageDigest"], format!("xxh128:{:032x}", xxh3_128(&bytes)));
}

#[test]
fn an_image_of_an_odd_size_ends_with_zeros_up_to_the_next_block() {
    let image = written(3 * MIB + 100);
    let Some(card) = Card::used(8 * MIB) else { return };
    let flashed = flash(&[&image.path, "-d", card.path(), "--yes", "--wipe"]);
    assert_eq!(flashed.code, 0, "{}", flashed.report);
    let (size, now) = (image.bytes.len(), card.bytes());
    assert!(now[..size] == image.bytes[..]);
    assert!(now[size..3 * MIB + 512].iter().all(|byte| *byte == 0));
    assert!(now[3 * MIB + 512..7 * MIB].iter().all(|byte| *byte == b'O'));
    assert!(now[7 * MIB..].iter().all(|byte| *byte == 0), "--wipe clears the last MiB");
}

#[test]
fn several_cards_are_written_from_one_decode() {
    let image = written(12 * MIB);
    let source = image.packed("gzip", "gz");
    let cards: Vec<_> = (0..3).map_while(|n| Card::used((12 + n * 7) * MIB)).collect();
    if cards.len() < 3 {
        return;
    }
    let mut args = vec![source.as_str(), "--yes"];
    cards.iter().for_each(|card| args.extend(["--device", card.path()]));
    let flashed = flash(&args);
    assert_eq!(flashed.code, 0, "{}", flashed.report);
    for (index, card) in cards.iter().enumerate() {
        assert_eq!(flashed.card(index)["device"]["path"], card.path());
        assert!(card.bytes()[..12 * MIB] == image.bytes[..]);
    }
}

#[test]
fn a_dry_run_says_everything_and_touches_nothing() {
    let image = written(5 * MIB);
    let Some(card) = Card::used(64 * MIB) else { return };
    run("mkfs.ext4", &["-q", "-L", "old", card.path()]);
    let before = card.bytes();
    let output = bootwright().args(["flash", &image.path, "-d", card.path(), "--dry-run"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for said in [
        card.path(),
        "64.0 MiB",
        "ext2, ext3 or ext4",
        "5.00 MiB",
        "not checked against any digest",
        "would be overwritten",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(card.bytes() == before);
    let json = flash(&[&image.path, "-d", card.path(), "--dry-run"]);
    assert_eq!(json.report["devices"][0]["size"], 64 * MIB);
    assert_eq!(json.report["source"]["packing"], "raw");
}

#[test]
fn less_is_verified_only_by_explicit_wish_and_the_report_says_so() {
    let image = written(9 * MIB);
    let Some(card) = Card::used(16 * MIB) else { return };
    for (scope, verified) in [("none", 0), ("prefix=2MiB", 2 * MIB)] {
        let flashed = flash(&[&image.path, "-d", card.path(), "--yes", "--verify", scope]);
        assert_eq!(flashed.code, 0, "{}", flashed.report);
        assert_eq!(
            (&flashed.card(0)["verify"], &flashed.card(0)["verified"]),
            (&scope.into(), &verified.into())
        );
        assert!(card.bytes()[..9 * MIB] == image.bytes[..]);
    }
}

/// At a terminal of its own (script(1)), with these words typed.
fn at_a_terminal(words: &str, args: &[&str]) -> (i32, String) {
    let line = [&[env!("CARGO_BIN_EXE_bootwright"), "flash"], args].concat().join(" ");
    let mut script = command("script")
        .args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(words.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    drop(stdin);
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_devices_name_must_be_typed() {
    let image = written(4 * MIB);
    let Some(card) = Card::used(8 * MIB) else { return };
    for words in ["yes\n", "\n", "loop\n", "sda\n"] {
        let (code, text) = at_a_terminal(words, &[&image.path, "-d", card.path()]);
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(text.contains("nothing was written") && card.is_untouched(), "{words:?}: {text}");
    }
    let (code, text) = at_a_terminal(&format!("{}\n", card.device.name()), &[&image.path, "-d", card.path()]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Everything on 1 device would be overwritten"), "{text}");
    assert!(card.bytes()[..4 * MIB] == image.bytes[..]);
}

/// Starts to write, and sends a signal when the writing has begun.
fn signalled(image: &Image, card: &Card, signal: &str) -> (Output, Vec<String>) {
    let mut child = bootwright()
        .args(["--output", "json", "flash", &image.path, "-d", card.path(), "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let began = |line: &String| line.contains("task-started") && line.contains("\"write ");
    assert!(lines.by_ref().map_while(Result::ok).any(|line| began(&line)));
    // The beginning is made zero first of all, and written last of all.
    while !card.has_no_beginning() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
    }
    run("kill", &[signal, &child.id().to_string()]);
    let rest = lines.map_while(Result::ok).collect();
    (child.wait_with_output().unwrap(), rest)
}

#[test]
fn who_is_killed_leaves_a_card_that_does_not_boot_and_can_be_written_again() {
    let image = written(300 * MIB);
    let Some(card) = Card::used(300 * MIB) else { return };
    let (output, _) = signalled(&image, &card, "-KILL");
    assert!(output.stdout.is_empty() && output.status.code().is_none());
    assert!(card.has_no_beginning());
    assert_eq!(flash(&[&image.path, "-d", card.path(), "--yes"]).code, 0);
    assert!(card.bytes() == image.bytes);
}

#[test]
fn who_is_interrupted_leaves_a_card_that_does_not_boot() {
    let image = written(300 * MIB);
    let Some(card) = Card::used(300 * MIB) else { return };
    let (output, rest) = signalled(&image, &card, "-INT");
    let flashed = answer(output);
    assert_eq!(flashed.code, 130, "{} {rest:?}", flashed.report);
    assert_eq!((&flashed.card(0)["good"], &flashed.card(0)["bootable"]), (&false.into(), &false.into()));
    assert!(card.has_no_beginning());
    assert!(rest.iter().any(|line| line.contains("do not boot")), "{rest:?}");
}
