//! What is refused, and that the card is then as it was.

use super::card::{Card, Loop, MIB, bootwright, command, flash, image, run, skip};
use bootwright::model::Digest;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

struct World {
    dir: tempfile::TempDir,
    image: String,
}

fn world(size: usize) -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.img");
    fs::write(&path, image(size)).unwrap();
    World { image: path.to_str().unwrap().to_owned(), dir }
}

impl World {
    /// `flash` with these arguments is refused with `code`, saying all of `said`.
    fn refuses(&self, code: i32, said: &[&str], args: &[&str]) {
        let flashed = flash(args);
        assert_eq!(flashed.code, code, "{args:?}: {} {}", flashed.report, flashed.errors);
        let refusal = flashed.refusal();
        said.iter().for_each(|said| assert!(refusal.contains(said), "{args:?}: {said} is not in {refusal}"));
        assert!(flashed.report["error"]["suggestion"].is_string(), "{args:?}: no cure in {}", flashed.report);
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Unmounts when dropped.
struct Mounted(String);

impl Mounted {
    fn at(device: &str, place: &str) -> Self {
        run("mount", &[device, place]);
        Self(place.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = command("umount").arg(&self.0).output();
    }
}

/// Takes a device's partitions away when dropped.
struct Partitions(String);

impl Drop for Partitions {
    fn drop(&mut self) {
        let _ = command("partx").args(["--delete", &self.0]).output();
    }
}

#[test]
fn what_is_no_card_is_refused() {
    let world = world(MIB);
    let file = world.file("no-device", b"x");
    for (device, said) in [
        (file.as_str(), "is no block device"),
        ("/dev/null", "is no block device"),
        ("/dev", "is no block device"),
        ("/dev/no-such-card", "there is no device"),
        ("sdb", "is no path of a device"),
    ] {
        world.refuses(2, &[device, said], &[&world.image, "--yes", "--device", device]);
    }
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn nothing_is_overwritten_unasked() {
    let world = world(MIB);
    let Some(card) = Card::used(2 * MIB) else { return };
    let wanted = [world.image.as_str(), "--yes", "--architecture", "aarch64", "-d", card.path()];
    world.refuses(2, &["says of no architecture"], &wanted);
    let wanted = [world.image.as_str(), "--yes", "--board", "raspberrypi,4", "-d", card.path()];
    world.refuses(2, &["says of no board", "raspberrypi,4"], &wanted);
    world.refuses(2, &["no terminal", "--yes"], &[&world.image, "--device", card.path()]);
    world.refuses(2, &["named twice"], &[&world.image, "--yes", "-d", card.path(), "-d", card.path()]);
    assert!(card.is_untouched());
}

#[test]
fn a_mounted_card_is_refused_with_its_place() {
    let world = world(MIB);
    let Some(card) = Card::used(16 * MIB) else { return };
    run("mkfs.ext4", &["-q", card.path()]);
    let place = world.dir.path().join("my place");
    fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    let mounted = Mounted::at(card.path(), place);
    let before = Digest::of(card.bytes());
    world.refuses(2, &["is mounted at", place, "umount"], &[&world.image, "--yes", "-d", card.path()]);
    world.refuses(2, &["is mounted at"], &[&world.image, "--dry-run", "-d", card.path()]);
    assert_eq!(Digest::of(card.bytes()), before);
    drop(mounted);
    card.device.until_free();
    assert_eq!(flash(&[&world.image, "--yes", "-d", card.path()]).code, 0);
}

#[test]
fn partitions_are_refused_and_so_is_a_disk_whose_partition_is_in_use() {
    let world = world(MIB);
    let Some(card) = Card::used(64 * MIB) else { return };
    let table = world.file("table", b"label: gpt\nsize=20MiB\nsize=20MiB\n");
    let sfdisk = fs::File::open(table).unwrap();
    // The kernel here reads no tables of loop devices by itself; `partx` tells it.
    let made = command("sfdisk")
        .args(["--quiet", "--no-reread", "--wipe", "always", card.path()])
        .stdin(sfdisk)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    run("partx", &["--add", card.path()]);
    let partitions = Partitions(card.path().to_owned());
    let [first, second] = [1, 2].map(|number| format!("{}p{number}", card.path()));
    world.refuses(2, &["is a partition of", card.device.name()], &[&world.image, "--yes", "-d", &first]);
    run("mkfs.ext4", &["-q", &first]);
    let place = world.dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let mounted = Mounted::at(&first, place.to_str().unwrap());
    world.refuses(2, &[&first, "is mounted at"], &[&world.image, "--yes", "-d", card.path()]);
    drop(mounted);
    card.device.until_free();
    run("mkswap", &[&second]);
    if command("swapon").arg(&second).output().unwrap().status.success() {
        world.refuses(2, &["as swap space", &second, "swapoff"], &[&world.image, "--yes", "-d", card.path()]);
        run("swapoff", &[&second]);
        card.device.until_free();
    } else {
        skip("this host switches no swap on; a card in use as swap was NOT tested");
    }
    let plan = flash(&[&world.image, "--dry-run", "-d", card.path()]);
    let found = &plan.report["devices"][0]["partitions"];
    assert_eq!(
        (&found[0]["filesystem"], &found[1]["filesystem"]),
        (&"ext2, ext3 or ext4".into(), &"swap".into())
    );
    assert_eq!((&found[0]["start"], &found[0]["size"]), (&MIB.into(), &(20 * MIB).into()));
    drop(partitions);
}

#[test]
fn a_device_that_another_is_made_of_is_refused() {
    let world = world(MIB);
    let Some(card) = Card::used(4 * MIB) else { return };
    let above = Loop::with(std::path::Path::new(card.path()), &[]).unwrap();
    world.refuses(
        2,
        &[above.name(), "is made of", card.device.name()],
        &[&world.image, "--yes", "-d", card.path()],
    );
    drop(above);
    assert!(card.is_untouched());
}

#[test]
fn a_card_that_somebody_else_holds_is_refused() {
    let world = world(MIB);
    let Some(card) = Card::used(4 * MIB) else { return };
    // As another writer would: O_EXCL (open(2)).
    let held = OpenOptions::new().read(true).custom_flags(0o200).open(card.path()).unwrap();
    world.refuses(2, &["somebody else holds it"], &[&world.image, "--yes", "-d", card.path()]);
    drop(held);
    assert!(card.is_untouched());
}

#[test]
fn a_read_only_card_is_refused() {
    let world = world(MIB);
    let Some(card) = Card::with(4 * MIB, &["--read-only"]) else { return };
    world.refuses(2, &["is read-only"], &[&world.image, "--yes", "-d", card.path()]);
    world.refuses(2, &["is read-only"], &[&world.image, "--dry-run", "-d", card.path()]);
    assert!(card.is_untouched());
}

#[test]
fn an_image_that_does_not_fit_is_refused() {
    let world = world(4 * MIB + 512);
    let Some(card) = Card::used(4 * MIB) else { return };
    let args = [world.image.as_str(), "--yes", "-d", card.path()];
    world.refuses(6, &["4.00 MiB", "No card was touched"], &args);
    // A bomb: 2 GiB of zeros in some KiB.
    let bomb = world.file(
        "bomb.img.zst",
        &zstd::encode_all(std::io::Read::take(std::io::repeat(0), 2 << 30), 3).unwrap(),
    );
    world.refuses(6, &["No card was touched"], &[&bomb, "--yes", "-d", card.path()]);
    assert!(card.is_untouched());
}

#[test]
fn blocks_of_another_size_than_the_images_table_are_refused() {
    let world = world(MIB);
    let Some(card) = Card::with(4 * MIB, &["--sector-size", "4096"]) else { return };
    let mut bytes = image(MIB);
    bytes[512..520].copy_from_slice(b"EFI PART");
    let table = world.file("gpt.img", &bytes);
    world.refuses(6, &["4096 bytes", "counts in 512"], &[&table, "--yes", "-d", card.path()]);
    assert!(card.is_untouched());
    assert_eq!(flash(&[&world.image, "--yes", "-d", card.path()]).code, 0, "without a table it fits");
    assert!(card.bytes()[..MIB] == image(MIB)[..]);
}

#[test]
fn another_digest_and_damaged_files_are_refused() {
    let world = world(3 * MIB);
    let Some(card) = Card::used(4 * MIB) else { return };
    let other = Digest::of("another image").to_string();
    world.refuses(
        7,
        &["not sha256:", "No card was touched"],
        &[&world.image, "--yes", "-d", card.path(), "--sha256", &other],
    );
    let packed = command("gzip").args(["-c", &world.image]).output().unwrap().stdout;
    let cut = world.file("cut.img.gz", &packed[..packed.len() - 20_000]);
    world.refuses(7, &["is damaged"], &[&cut, "--yes", "-d", card.path()]);
    let no_gzip = world.file("none.img.gz", &image(MIB));
    world.refuses(7, &["is damaged"], &[&no_gzip, "--yes", "-d", card.path()]);
    world.refuses(2, &["a zip archive"], &[&world.file("x.zip", b"PK\x03\x04"), "--yes", "-d", card.path()]);
    world.refuses(2, &["is empty"], &[&world.file("x.img", b""), "--yes", "-d", card.path()]);
    world.refuses(2, &["there is no file"], &["./no-such.img", "--yes", "-d", card.path()]);
    assert!(card.is_untouched());
    let right = Digest::of(fs::read(&world.image).unwrap()).to_string();
    let flashed = flash(&[&world.image, "--yes", "-d", card.path(), "--sha256", &right]);
    assert_eq!((flashed.code, &flashed.report["source"]["vouched"]), (0, &true.into()));
    let read_back = &flashed.card(0)["readBack"];
    assert_eq!((&flashed.report["imageDigest"], read_back), (&right.clone().into(), &right.into()));
}

#[test]
fn one_card_that_is_refused_keeps_all_from_being_written() {
    let world = world(3 * MIB);
    let (Some(good), Some(small)) = (Card::used(4 * MIB), Card::used(2 * MIB)) else { return };
    let output = bootwright()
        .args(["flash", &world.image, "--yes", "-d", good.path(), "-d", small.path()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(good.is_untouched() && small.is_untouched());
}
