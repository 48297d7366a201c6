//! Bad cards: none is called good, and each is called what it is.

use super::card::{Card, Flashed, Loop, MIB, flash, image};
use super::liar::{Liar, Lies};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::time::Duration;

const M: u64 = MIB as u64;
/// The image has this size, a hole from 6 to 12 MiB.
const IMAGE: usize = 24 * MIB;

struct Image {
    _dir: tempfile::TempDir,
    path: String,
    bytes: Vec<u8>,
}

fn written() -> Image {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = (dir.path().join("image.img"), image(IMAGE));
    fs::write(&path, &bytes).unwrap();
    Image { path: path.to_str().unwrap().to_owned(), _dir: dir, bytes }
}

fn flashed(image: &Image, size: u64, lies: Lies) -> Option<Flashed> {
    let card = Liar::new(size, 32 * MIB, lies)?;
    Some(flash(&[&image.path, "--yes", "-d", card.path()]))
}

#[test]
fn a_card_that_tells_the_truth_is_good() {
    let image = written();
    let Some(card) = Liar::new(64 * M, 32 * MIB, Lies::default()) else { return };
    let flashed = flash(&[&image.path, "--yes", "-d", card.path()]);
    assert_eq!(flashed.code, 0, "{}", flashed.report);
    assert!(fs::read(card.store()).unwrap()[..IMAGE] == image.bytes[..]);
}

#[test]
fn every_lie_is_found_and_named() {
    let image = written();
    let lies = Lies::default;
    let cases: Vec<(&str, u64, Lies, &str, Option<u64>)> = vec![
        ("drops all", 64, Lies { drop: Some(0..64 * M), ..lies() }, "drops-writes", None),
        ("drops a block", 64, Lies { drop: Some(20 * M..21 * M), ..lies() }, "drops-writes", Some(20 * M)),
        ("drops later on", 64, Lies { drop_after: Some(14 * M), ..lies() }, "drops-writes", None),
        ("wraps around", 32 << 10, Lies { wrap: Some(16 * M), ..lies() }, "wraps-around", None),
        ("wraps oddly", 64, Lies { wrap: Some(20 * M), ..lies() }, "wraps-around", None),
        ("loses the end", 32 << 10, Lies { lose: Some(16 * M), ..lies() }, "loses-writes", None),
        ("fails to write", 64, Lies { fail_write: Some(18 * M..19 * M), ..lies() }, "write-error", None),
        ("takes no write", 64, Lies { fail_write: Some(0..64 * M), ..lies() }, "refuses-writes", None),
        (
            "fails to read",
            64,
            Lies { fail_read: Some(20 * M..20 * M + 4096), ..lies() },
            "read-error",
            Some(20 * M),
        ),
        ("flips on reads", 64, Lies { flip_read: Some(13 * M + 5), ..lies() }, "flips-bits", Some(13 * M)),
        ("flips on writes", 64, Lies { flip_write: Some(13 * M + 5), ..lies() }, "flips-bits", Some(13 * M)),
        ("flips now and then", 64, Lies { flip_every: Some(3 * M), ..lies() }, "flips-bits", None),
        ("keeps halves", 64, Lies { torn: true, ..lies() }, "partial-writes", None),
        ("goes away", 64, Lies { vanish_after: Some(10 * M), ..lies() }, "vanished", None),
    ];
    for (what, mib, lies, fault, first_bad) in cases {
        let Some(flashed) = flashed(&image, mib * M, lies) else { return };
        let card = flashed.card(0);
        assert_eq!(
            (flashed.code, &card["good"], &card["fault"]),
            (7, &false.into(), &fault.into()),
            "{what}: {card}"
        );
        assert!(card["failure"]["hint"].is_string(), "{what}: {card}");
        if let Some(first_bad) = first_bad {
            assert_eq!(
                (&card["firstBad"], &card["badBlocks"]),
                (&first_bad.into(), &1.into()),
                "{what}: {card}"
            );
        }
        let gone = fault == "vanished";
        assert_eq!(card["unhealthy"], !gone, "{what}: {card}");
    }
}

#[test]
fn the_size_that_a_fake_card_really_has_is_said() {
    let image = written();
    for lies in
        [Lies { wrap: Some(16 * M), ..Lies::default() }, Lies { lose: Some(16 * M), ..Lies::default() }]
    {
        let Some(flashed) = flashed(&image, 32 << 30, lies) else { return };
        assert_eq!(flashed.card(0)["realSize"], 16 * M);
        assert_eq!(
            (&flashed.card(0)["written"], &flashed.card(0)["bootable"]),
            (&0.into(), &false.into()),
            "found before anything was written"
        );
    }
}

#[test]
fn what_is_right_the_second_time_is_good_and_not_to_be_trusted() {
    let image = written();
    let lies = Lies { drop_once: Some(20 * M..21 * M), ..Lies::default() };
    let Some(card) = Liar::new(64 * M, 32 * MIB, lies) else { return };
    let flashed = flash(&[&image.path, "--yes", "-d", card.path()]);
    let report = flashed.card(0);
    assert_eq!(flashed.code, 0, "{report}");
    let found = (&report["good"], &report["unhealthy"], &report["repairedBlocks"], &report["firstBad"]);
    assert_eq!(found, (&true.into(), &true.into(), &1.into(), &(20 * M).into()));
    assert!(fs::read(card.store()).unwrap()[..IMAGE] == image.bytes[..]);
}

#[test]
fn a_bad_card_does_not_boot_and_the_others_are_written() {
    let image = written();
    let Some(good) = Card::used(32 * MIB) else { return };
    let bad = |lies| Liar::new(64 * M, 32 * MIB, lies);
    let (Some(drops), Some(fails)) = (
        bad(Lies { drop: Some(20 * M..21 * M), ..Lies::default() }),
        bad(Lies { fail_write: Some(18 * M..19 * M), ..Lies::default() }),
    ) else {
        return;
    };
    let flashed = flash(&[&image.path, "--yes", "-d", drops.path(), "-d", good.path(), "-d", fails.path()]);
    let good_ones: Vec<&Value> = (0..3).map(|index| &flashed.card(index)["good"]).collect();
    assert_eq!((flashed.code, good_ones), (7, vec![&false.into(), &true.into(), &false.into()]));
    assert!(good.bytes()[..IMAGE] == image.bytes[..]);
    for (index, card) in [(0, &drops), (2, &fails)] {
        assert_eq!(flashed.card(index)["bootable"], false);
        assert!(fs::read(card.store()).unwrap()[..MIB].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_card_that_hangs_holds_nobody_up() {
    let image = written();
    let Some(good) = Card::used(32 * MIB) else { return };
    let lies = Lies { stall: Some((10 * M, Duration::from_secs(7))), ..Lies::default() };
    let Some(hangs) = Liar::new(64 * M, 32 * MIB, lies) else { return };
    let flashed = flash(&[&image.path, "--yes", "--stall-after", "2", "-d", hangs.path(), "-d", good.path()]);
    let [first, second] = [0, 1].map(|index| (&flashed.card(index)["good"], &flashed.card(index)["fault"]));
    assert_eq!(
        (first, second),
        ((&false.into(), &"stalled".into()), (&true.into(), &Value::Null)),
        "{}",
        flashed.report
    );
    let warned = flashed.events.iter().filter(|e| e["event"] == "warning").count();
    assert_eq!(warned, 1, "{}", flashed.errors);
    let verified =
        |e: &&Value| e["event"] == "task-finished" && e["label"] == format!("verify {}", good.path());
    let verified = flashed.events.iter().find(verified).unwrap();
    assert!(verified["elapsed_ms"].as_u64().unwrap() < 5000, "it waited for the card that hangs");
}

/// Unmounts when dropped.
struct Full(std::path::PathBuf);

impl Drop for Full {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_card_whose_memory_is_full_is_not_good() {
    let image = written();
    let dir = tempfile::tempdir().unwrap();
    let small = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("small"), dir.path(), Some("tmpfs"), small, Some("size=16m")).unwrap();
    let _full = Full(dir.path().to_owned());
    let file = dir.path().join("card");
    fs::File::create(&file).unwrap().set_len(64 * M).unwrap();
    let Some(card) = Loop::with(&file, &[]) else { return };
    let flashed = flash(&[&image.path, "--yes", "-d", &card.path]);
    let report = flashed.card(0);
    assert_eq!(
        (flashed.code, &report["fault"], &report["bootable"]),
        (7, &"write-error".into(), &false.into()),
        "{report}"
    );
}

#[test]
fn what_the_page_cache_says_is_not_believed() {
    let image = written();
    let lies = Lies { drop: Some(20 * M..21 * M), ..Lies::default() };
    let Some(card) = Liar::new(64 * M, 32 * MIB, lies) else { return };
    // Another opener keeps the cache alive between writing and reading, as a desktop does.
    let mut other = OpenOptions::new().read(true).write(true).open(card.path()).unwrap();
    other.write_all(&image.bytes).unwrap();
    other.sync_all().unwrap();
    let mut read = vec![0; IMAGE];
    fs::File::open(card.path()).unwrap().read_exact(&mut read).unwrap();
    assert!(read == image.bytes, "a buffered read is fooled");
    assert!(fs::read(card.store()).unwrap()[..IMAGE] != image.bytes[..], "the card does not hold it");
    let flashed = flash(&[&image.path, "--yes", "-d", card.path()]);
    assert_eq!((flashed.code, &flashed.card(0)["fault"]), (7, &"drops-writes".into()), "{}", flashed.report);
}
