//! What the agent refuses by itself, whatever the controller says: the card is then as it was.

use super::super::observe::shop::{flip, name_of};
use super::bench::Bench;
use bootwright::model::Digest;
use bootwright::model::receipt::ReceiptResult;
use bootwright::model::release::Manifest;
use bootwright::release::keys;
use std::fs;

/// The agent refuses the job, saying `said`, and the card is untouched.
fn refuses(what: &str, said: &str, order: &str, spoil: impl FnOnce(&Bench)) -> bool {
    let Some(mut bench) = Bench::new("") else { return false };
    if !order.is_empty() {
        let path = bench.shop.dir.path().join("runners/lab.yaml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("slot: a}", &format!("slot: a, {order}}}"), 1)).unwrap();
    }
    let _serving = bench.serve(&[]);
    bench.enrolled();
    let before = Digest::of(bench.card.bytes());
    let written = bench.written();
    spoil(&bench);
    assert_eq!(bench.once(), (0, 1), "{what}");
    let receipts = bench.receipts();
    let receipt = &receipts[0].receipt;
    assert_eq!((receipts.len(), receipt.result), (1, ReceiptResult::Refused), "{what}: {receipt:?}");
    let message = receipt.message.as_deref().unwrap_or_default();
    assert!(message.contains(said), "{what}: {message}");
    assert_eq!(Digest::of(bench.card.bytes()), before, "{what}");
    assert_eq!(bench.written(), written, "{what}: not a sector was written");
    assert_eq!(bench.states(), ["refused"], "{what}");
    // A refusal is no reason to ask again and again.
    assert_eq!(bench.once(), (0, 0), "{what}");
    // It is done again by hand only: what was refused for good reasons is refused again.
    let (code, again) = bench.controller(&["writer", "retry", "bench-1", "a"]);
    assert_eq!((code, &again["jobs"][0]["state"]), (0, &"pending".into()), "{what}: {again}");
    assert_eq!(bench.once(), (0, 1), "{what}");
    assert_eq!(bench.states(), ["refused", "refused"], "{what}");
    assert_eq!((bench.receipts().len(), bench.written()), (2, written), "{what}");
    true
}

fn released(bench: &Bench) -> (Manifest, std::path::PathBuf) {
    let index = bench.shop.store.index(&bench.shop.signers.trust).unwrap();
    let version = index.images.values().next().unwrap().releases[0].version.clone();
    let image = "demo".parse().unwrap();
    let manifest = bench.shop.store.manifest(&image, &version, &bench.shop.signers.trust).unwrap();
    let folder = bench.shop.folder(&manifest);
    (manifest, folder)
}

fn iso(bench: &Bench) -> std::path::PathBuf {
    let (manifest, folder) = released(bench);
    folder.join(name_of(&manifest, ".iso"))
}

/// Changes a file of the agent's own folder.
fn change(bench: &Bench, file: &str, from: &str, to: &str) {
    let path = bench.folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_is_not_what_was_signed() {
    let done = refuses("a changed byte", "", "", |bench| flip(&iso(bench), 40_000))
        && refuses("a file cut off", "", "", |bench| {
            let path = iso(bench);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        })
        && refuses("a changed manifest", "", "", |bench| flip(&released(bench).1.join("manifest.json"), 60))
        && refuses("no signed index", "", "", |bench| {
            fs::remove_file(bench.shop.store.path().join("index.dsse.json")).unwrap();
        })
        && refuses("no signature", "has no signature", "", |bench| {
            let (_, folder) = released(bench);
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if name.starts_with("SHA256SUMS.") || name.contains(".sig") {
                    fs::remove_file(path).unwrap();
                }
            }
        });
    if !done {
        return;
    }
    refuses("another key", "", "", |bench| {
        let key = bench.shop.dir.path().join("other/k.key");
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        keys::write_key_pair(&key, None).unwrap();
        fs::copy(key.with_extension("pub"), bench.folder.join("keys/release-1.pub")).unwrap();
    });
    refuses("a retired key", "", "", |bench| {
        change(bench, "bootwright.yaml", "{name: release-1,", "{name: release-1, until: 2026-01-01,");
    });
}

#[test]
fn what_the_slots_own_rules_forbid() {
    let slot = |bench: &Bench, rule: &str| {
        let from = format!("path: {}", bench.port);
        change(bench, "writer.yaml", &from, &format!("{from}, {rule}"));
    };
    let done = refuses("another image", "does not carry demo", "", |bench| slot(bench, "images: [other]"));
    if !done {
        return;
    }
    refuses("another architecture", "does not carry", "", |bench| slot(bench, "architectures: [aarch64]"));
    refuses("too large", "carries", "", |bench| slot(bench, "maxSize: 4KiB"));
    let generic = "is for generic-x86_64, and raspberrypi,4 is asked for";
    refuses("a board", generic, "", |bench| slot(bench, "boards: ['raspberrypi,4', aarch64]"));
    refuses("an ordered board", generic, "board: 'raspberrypi,4'", |_| {});
    refuses("an ordered architecture", "and aarch64 is asked for", "board: aarch64", |_| {});
}

#[test]
fn what_the_slots_own_rules_allow() {
    let Some(mut bench) = Bench::new("") else { return };
    let path = bench.shop.dir.path().join("runners/lab.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("slot: a}", "slot: a, board: generic-x86_64}", 1)).unwrap();
    let _serving = bench.serve(&[]);
    bench.enrolled();
    let port = format!("path: {}", bench.port);
    let rules = "images: [demo], architectures: [x86_64], boards: ['raspberrypi,4', x86_64], maxSize: 1GiB";
    change(&bench, "writer.yaml", &port, &format!("{port}, {rules}"));
    assert_eq!(bench.once(), (0, 1));
    assert!(bench.holds("one") && bench.states() == ["done"], "{:?}", bench.receipts());
}

#[test]
fn a_port_that_the_catalog_does_not_say_gets_no_job() {
    let Some(mut bench) = Bench::new("") else { return };
    let _serving = bench.serve(&[]);
    bench.enrolled();
    let (port, other) = (bench.port.clone(), bench.path("slot-b"));
    change(&bench, "writer.yaml", &format!("path: {port}"), &format!("path: {other}"));
    let output = bench.agent(&["--once"], &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{said}");
    let told = format!("slot a of bench-1 is at {other}, and at {port} by the catalog");
    assert!(said.contains(&told), "{said}");
    assert_eq!(bench.states(), ["pending"]);
    assert!(bench.card.is_untouched() && bench.receipts().is_empty());
}
