//! Block maps: what bmaptool writes is read, what is written bmaptool reads, and what a map leaves out
//! is zero on the card, whatever was there before.

use super::super::observe::shop::{Shop, flip, name_of};
use super::card::{Card, Flashed, MIB, command, flash, image, run};
use bootwright::model::ArtifactKind;
use bootwright::model::Digest;
use bootwright::model::block_map::BlockMap;
use bootwright::model::release::Manifest;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SIZE: usize = 12 * MIB;

/// An image whose zeros are holes, beside it nothing.
fn sparse(folder: &Path) -> (String, Vec<u8>) {
    let (path, bytes) = (folder.join("image.img"), image(SIZE));
    let file = fs::File::create(&path).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let data = (0..SIZE).step_by(MIB).filter(|at| bytes[*at..at + MIB].iter().any(|byte| *byte != 0));
    data.for_each(|at| file.write_all_at(&bytes[at..at + MIB], at as u64).unwrap());
    (path.to_str().unwrap().to_owned(), bytes)
}

fn holds(card: &Card, image: &[u8]) -> bool {
    card.bytes()[..image.len()] == *image
}

/// A text with a right checksum of its own.
fn sealed(text: &str) -> String {
    let at = text.find("<BmapFileChecksum> ").unwrap() + 19;
    let mut text = text.to_owned();
    text.replace_range(at..at + 64, &"0".repeat(64));
    let digest = Digest::of(&text).hex();
    text.replace_range(at..at + 64, &digest);
    text
}

#[test]
fn a_map_of_bmaptools_is_read_and_a_used_card_equals_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let (path, image) = sparse(dir.path());
    let made = run("bmaptool", &["create", &path]);
    let packed = format!("{path}.gz");
    fs::write(&packed, command("gzip").args(["-c", &path]).output().unwrap().stdout).unwrap();
    let map = dir.path().join("elsewhere.xml");
    fs::write(&map, &made).unwrap();
    let map = map.to_str().unwrap();
    let card = || Card::used(16 * MIB);
    // One that is named.
    for source in [&path, &packed] {
        let Some(card) = card() else { return };
        let flashed = flash(&[source, "--bmap", map, "-d", card.path(), "--yes"]);
        assert_eq!(flashed.code, 0, "{source}: {} {}", flashed.report, flashed.errors);
        let told = &flashed.report["source"]["blockMap"];
        assert_eq!((&told["file"], &told["vouched"]), (&map.into(), &false.into()));
        let mapped = told["mapped"].as_u64().unwrap() as usize;
        assert!((SIZE - SIZE / 4..SIZE).contains(&mapped), "{told}");
        assert!(holds(&card, &image), "{source}: what the map leaves out is not zero");
    }
    // One that lies beside, of the image or of what is packed in it.
    fs::write(format!("{path}.bmap"), &made).unwrap();
    for source in [&path, &packed] {
        let Some(card) = card() else { return };
        let flashed = flash(&[source, "-d", card.path(), "--yes"]);
        assert_eq!(flashed.code, 0, "{source}: {}", flashed.report);
        assert_eq!(flashed.report["source"]["blockMap"]["file"], format!("{path}.bmap"), "{source}");
        assert!(holds(&card, &image), "{source}");
        let without = flash(&[source, "--no-bmap", "-d", card.path(), "--dry-run"]);
        assert!(without.report["source"]["blockMap"].is_null(), "{}", without.report);
    }
    let Some(card) = card() else { return };
    let said = command(env!("CARGO_BIN_EXE_bootwright"))
        .args(["flash", &path, "--dry-run", "-d", card.path()])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains(&format!("map     {path}.bmap: ")), "{said}");
}

#[test]
fn a_damaged_map_or_that_of_another_image_is_refused_and_the_card_is_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = sparse(dir.path());
    let Some(card) = Card::used(16 * MIB) else { return };
    let good = run("bmaptool", &["create", &path]);
    let map = BlockMap::parse(&good).unwrap();
    let packed = format!("{path}.gz");
    fs::write(&packed, command("gzip").args(["-c", &path]).output().unwrap().stdout).unwrap();
    let text = map.to_xml();
    let (first, digest) = (&map.ranges[0], map.ranges[0].sha256.hex());
    let blocks = format!("> {}-{} <", first.first, first.last);
    let last = map.blocks();
    let bomb =
        "<!DOCTYPE b [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;\">]><bmap";
    let another = BlockMap { image_size: map.image_size - 4096, ..map.clone() };
    let short = {
        // Sound in itself, and leaves out what holds data.
        let mut map = map.clone();
        map.ranges.remove(0);
        map
    };
    for (what, said, text) in [
        ("its checksum", "checksum is wrong", text.replace(&digest, &Digest::of("x").hex())),
        ("a digest", "not the one of its block map", sealed(&text.replace(&digest, &Digest::of("x").hex()))),
        ("no digest", "a range has no digest", sealed(&text.replacen("chksum=", "sum=", 1))),
        (
            "out of the image",
            "leave the image",
            sealed(&text.replacen(&blocks, &format!("> {last}-{last} <"), 1)),
        ),
        ("overlapping", "overlap", sealed(&text.replacen(&blocks, &format!("> {0}-{0} <", last - 1), 1))),
        ("counts", "counts are wrong", sealed(&text.replacen(&blocks, "> 0-1 <", 1))),
        ("another image's", "block map", another.to_xml()),
        ("data left out", "leaves out blocks that hold data", short.to_xml()),
        ("entities", "more than elements", sealed(&text.replacen("<bmap", bomb, 1))),
        ("cut off", "not a block map", text[..text.len() / 2].to_owned()),
        ("sha1", "not SHA-256", sealed(&text.replacen("sha256", "sha1", 1))),
        ("nothing", "not a block map", String::new()),
    ] {
        let at = dir.path().join("map");
        fs::write(&at, text).unwrap();
        for source in [&path, &packed] {
            let flashed = flash(&[source, "--bmap", at.to_str().unwrap(), "-d", card.path(), "--yes"]);
            assert_eq!(flashed.code, 7, "{what}: {} {}", flashed.report, flashed.errors);
            assert!(flashed.refusal().contains(said), "{what}: {}", flashed.refusal());
        }
        assert!(card.is_untouched(), "{what}");
    }
    let flashed = flash(&[&path, "--bmap", "/no/such.bmap", "-d", card.path(), "--yes"]);
    assert!(flashed.code == 2 && flashed.refusal().contains("there is no block map"), "{}", flashed.report);
    assert!(card.is_untouched());
}

/// A release with a disk image, which is packed.
fn disk() -> (Shop, Manifest, Vec<u8>) {
    let (shop, image) = (Shop::empty(), image(SIZE));
    let packed = zstd::encode_all(image.as_slice(), 1).unwrap();
    let manifest = shop.publish_with("one", 0, &[(ArtifactKind::Disk, packed)]);
    (shop, manifest, image)
}

fn from_shop(shop: &Shop, card: &Card, more: &[&str]) -> Flashed {
    let catalog = shop.dir.path().to_str().unwrap();
    flash(&[&["demo", "--catalog", catalog, "--yes", "-d", card.path()], more].concat())
}

#[test]
fn a_released_disk_image_has_a_map_that_bmaptool_takes_and_that_is_believed_by_its_signature() {
    let (shop, manifest, image) = disk();
    let folder = shop.folder(&manifest);
    let name = name_of(&manifest, ".img.zst.bmap");
    assert!(fs::read_to_string(folder.join("SHA256SUMS")).unwrap().contains(&name));
    let packed = folder.join(name_of(&manifest, ".img.zst"));
    let new = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::File::create(new.path().join("card")).unwrap().set_len(16 << 20).unwrap();
    let Some(device) = super::card::Loop::with(&new.path().join("card"), &[]) else { return };
    let map = folder.join(&name);
    run("bmaptool", &["copy", "--bmap", map.to_str().unwrap(), packed.to_str().unwrap(), &device.path]);
    assert!(fs::read(new.path().join("card")).unwrap()[..SIZE] == image[..]);
    // A used card, on which bmaptool would leave old bytes.
    let Some(card) = Card::used(16 * MIB) else { return };
    let flashed = from_shop(&shop, &card, &[]);
    assert_eq!(flashed.code, 0, "{} {}", flashed.report, flashed.errors);
    let told = &flashed.report["source"]["blockMap"];
    assert_eq!((&told["file"], &told["vouched"]), (&name.as_str().into(), &true.into()));
    assert_eq!(flashed.report["imageDigest"], Digest::of(&image).to_string());
    assert!(holds(&card, &image));
}

#[test]
fn a_map_that_is_not_what_was_signed_is_refused() {
    let (shop, manifest, image) = disk();
    let map = shop.folder(&manifest).join(name_of(&manifest, ".img.zst.bmap"));
    let Some(card) = Card::used(16 * MIB) else { return };
    let named = from_shop(&shop, &card, &["--bmap", map.to_str().unwrap()]);
    assert!(named.code == 2 && named.refusal().contains("brings its own"), "{}", named.report);
    flip(&map, 100);
    let flashed = from_shop(&shop, &card, &[]);
    assert!(flashed.code == 7 && flashed.refusal().contains("No card was touched"), "{}", flashed.report);
    assert!(card.is_untouched());
    let Some(small) = Card::used(8 * MIB) else { return };
    let (shop, manifest, _) = disk();
    let flashed = from_shop(&shop, &small, &[]);
    assert!(flashed.code == 6 && small.is_untouched(), "{}", flashed.report);
    // Without it nothing is lost but time.
    fs::remove_file(shop.folder(&manifest).join(name_of(&manifest, ".img.zst.bmap"))).unwrap();
    let flashed = from_shop(&shop, &card, &[]);
    assert_eq!(flashed.code, 0, "{} {}", flashed.report, flashed.errors);
    assert!(flashed.errors.contains("without its block map") && holds(&card, &image));
}
