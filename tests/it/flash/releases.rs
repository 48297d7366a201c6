//! A release on a card: signature and digest come before the first byte.

use super::super::observe::shop::{Shop, flip, name_of};
use super::card::{Card, Flashed, MIB, flash};
use bootwright::model::Digest;
use bootwright::release::keys;
use std::fs;

fn from_shop(shop: &Shop, card: &Card, release: &str, more: &[&str]) -> Flashed {
    let catalog = shop.dir.path().to_str().unwrap();
    flash(&[&[release, "--catalog", catalog, "--yes", "-d", card.path()], more].concat())
}

#[test]
fn a_release_is_found_by_image_channel_and_version() {
    let Some(card) = Card::used(2 * MIB) else { return };
    let shop = Shop::empty();
    let old = shop.publish("one", 10);
    let new = shop.publish("two", 0);
    for (release, manifest, hostname) in [
        ("demo".to_owned(), &new, "two"),
        (format!("demo/{}", old.version), &old, "one"),
        ("demo@edge".to_owned(), &new, "two"),
    ] {
        // It says which machines it is for.
        let board = if hostname == "one" { "--board=generic-x86_64" } else { "--board=x86_64" };
        let flashed = from_shop(&shop, &card, &release, &[board]);
        assert_eq!(flashed.code, 0, "{release}: {} {}", flashed.report, flashed.errors);
        let source = &flashed.report["source"];
        let iso = Shop::iso(hostname);
        assert_eq!(
            (&source["vouched"], &source["fileSha256"]),
            (&true.into(), &Digest::of(&iso).to_string().into())
        );
        assert!(
            source["name"].as_str().unwrap().starts_with(&format!("demo/{}", manifest.version)),
            "{source}"
        );
        assert!(card.bytes()[..iso.len()] == iso[..], "{release}");
    }
}

#[test]
fn nothing_that_is_not_what_was_signed_touches_a_card() {
    let Some(card) = Card::used(2 * MIB) else { return };
    let refused =
        |what: &str, code: i32, said: &str, spoil: &dyn Fn(&Shop, &std::path::Path) -> Vec<String>| {
            let shop = Shop::empty();
            let manifest = shop.publish("one", 0);
            let folder = shop.folder(&manifest);
            let iso = folder.join(name_of(&manifest, ".iso"));
            let more = spoil(&shop, &iso);
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            let flashed = from_shop(&shop, &card, "demo", &more);
            assert_eq!(flashed.code, code, "{what}: {} {}", flashed.report, flashed.errors);
            assert!(flashed.refusal().contains(said), "{what}: {}", flashed.refusal());
            assert!(card.is_untouched(), "{what}");
        };
    refused("a changed byte", 7, "No card was touched", &|_, iso| {
        flip(iso, 40_000);
        Vec::new()
    });
    refused("a file cut off", 7, "No card was touched", &|_, iso| {
        let bytes = fs::read(iso).unwrap();
        fs::write(iso, &bytes[..bytes.len() - 1]).unwrap();
        Vec::new()
    });
    refused("a changed manifest", 7, "", &|_, iso| {
        flip(&iso.with_file_name("manifest.json"), 60);
        Vec::new()
    });
    refused("a changed index", 7, "", &|shop, _| {
        let index = shop.store.path().join("index.dsse.json");
        let text = fs::read_to_string(&index).unwrap();
        let at = text.find("\"payload\":").unwrap() + 40;
        flip(&index, at);
        Vec::new()
    });
    refused("another key than the signer's", 7, "", &|shop, _| {
        let key = shop.dir.path().join("other/k.key");
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        keys::write_key_pair(&key, None).unwrap();
        vec!["--key".to_owned(), key.with_extension("pub").to_str().unwrap().to_owned()]
    });
    refused("another architecture", 2, "is for x86_64, and aarch64 is asked for", &|_, _| {
        vec!["--architecture".to_owned(), "aarch64".to_owned()]
    });
    refused("another board", 2, "is for generic-x86_64, and raspberrypi,4 is asked for", &|_, _| {
        vec!["--board=raspberrypi,4".to_owned()]
    });
    refused("another architecture, as a board", 2, "and aarch64 is asked for", &|_, _| {
        vec!["--board=aarch64".to_owned()]
    });
    refused("another digest than was asked for", 7, "not sha256:", &|_, _| {
        vec!["--sha256".to_owned(), Digest::of("x").to_string()]
    });
}

#[test]
fn what_the_store_does_not_have_is_said() {
    let Some(card) = Card::used(2 * MIB) else { return };
    let shop = Shop::new();
    for (release, said) in
        [("demo@stable", "the store has no release demo@stable"), ("other", "no release of other")]
    {
        let flashed = from_shop(&shop, &card, release, &[]);
        assert_eq!(flashed.code, 2, "{}", flashed.report);
        assert!(flashed.refusal().contains(said), "{}", flashed.refusal());
    }
    assert!(card.is_untouched());
}
