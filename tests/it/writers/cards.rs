//! From an order to a card, and back to a receipt.

use super::super::flash::card::{Card, run};
use super::super::observe::shop::Shop;
use super::bench::{Bench, DEMO, until};
use bootwright::model::receipt::ReceiptResult;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn a_release_that_is_ordered_comes_on_the_card_once() {
    let Some(mut bench) = Bench::new("") else { return };
    let plan = |bench: &Bench| {
        let args = ["--catalog", bench.shop.dir.path().to_str().unwrap(), "plan"];
        run(env!("CARGO_BIN_EXE_bootwright"), &args)
    };
    let said = plan(&bench);
    assert!(said.contains("flash a of bench-1 ← demo/"), "{said}");
    assert!(said.contains("nothing was written for this order yet"), "{said}");
    let _serving = bench.serve(&[]);
    assert_eq!(bench.states(), ["pending"]);
    bench.enrolled();
    let mode = fs::metadata(bench.folder.join("writer.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(bench.once(), (0, 1));
    assert!(bench.holds("one"));
    assert_eq!(bench.states(), ["done"]);
    let receipts = bench.receipts();
    let receipt = &receipts[0].receipt;
    assert_eq!((receipts.len(), receipt.result), (1, ReceiptResult::Good));
    assert!(receipt.sha256.is_some() && receipt.sha256 == receipt.read_back, "{receipt:?}");
    assert!(receipt.card.as_ref().unwrap().starts_with("file:"), "{receipt:?}");
    assert!(plan(&bench).contains("done: demo/"), "{}", plan(&bench));
    let (_, history) = bench.controller(&["flash", "history", "--slot", "bench-1/a"]);
    assert_eq!(history["writes"][0]["result"], "good", "{history}");
    // Nothing is written a second time.
    let written = bench.written();
    assert_eq!(bench.once(), (0, 0));
    assert_eq!(bench.written(), written);
    // A newer release on the channel goes on the same card.
    bench.shop.publish("two", 0);
    assert!(plan(&bench).contains("was written before"), "{}", plan(&bench));
    drop(_serving);
    let _serving = bench.serve(&[]);
    assert_eq!(bench.once(), (0, 1));
    assert!(bench.holds("two"));
    assert_eq!((bench.states(), bench.receipts().len()), (vec!["done".to_owned(), "done".to_owned()], 2));
}

#[test]
fn without_its_database_the_controller_has_no_card_written_again() {
    let Some(mut bench) = Bench::new("") else { return };
    let serving = bench.serve(&[]);
    bench.enrolled();
    assert_eq!(bench.once(), (0, 1));
    drop(serving);
    // The key that enrolled was in there; the catalog's own stays.
    bench.lose_database();
    bench.pin(bench.receipts()[0].key.as_str());
    let written = bench.written();
    let serving = bench.serve(&[]);
    assert_eq!(bench.states(), ["done"], "the receipt tells");
    drop(serving);
    // Also without receipts: the agent has its own.
    fs::remove_dir_all(bench.path("receipts")).unwrap();
    bench.lose_database();
    let _serving = bench.serve(&[]);
    assert_eq!(bench.states(), ["pending"]);
    assert_eq!(bench.once(), (0, 1));
    assert_eq!((bench.states(), bench.receipts().len()), (vec!["done".to_owned()], 1));
    assert_eq!(bench.written(), written);
}

#[test]
fn every_new_card_is_written_and_none_twice() {
    let Some(mut bench) = Bench::new("  repeat: every-card\n") else { return };
    let _serving = bench.serve(&[]);
    bench.enrolled();
    let _agent = bench.spawn(&[], &[]);
    until("the first receipt", || bench.receipts().len() == 1);
    until("the next job", || bench.states() == ["done", "claimed"]);
    until("the wait for another card", || {
        bench.jobs()[1]["said"].as_str().is_some_and(|said| said.contains("another card"))
    });
    let written = bench.written();
    let Some(second) = Card::used(2 << 20) else { return };
    fs::remove_file(&bench.port).unwrap();
    symlink(second.path(), &bench.port).unwrap();
    until("the second receipt", || bench.receipts().len() == 2);
    let receipts = bench.receipts();
    assert_ne!(receipts[0].receipt.card, receipts[1].receipt.card);
    assert!(receipts.iter().all(|receipt| receipt.receipt.result == ReceiptResult::Good));
    assert_eq!(bench.written(), written, "the first card was left alone");
}

#[test]
fn a_slot_may_be_a_folder_of_the_reader_in_sys() {
    let Some(mut bench) = Bench::new("") else { return };
    // The folder of the device itself: whatever is above it has the other loop devices too.
    bench.port = format!("/sys/devices/virtual/block/{}", bench.card.device.name());
    bench.order(DEMO, "");
    let _serving = bench.serve(&[]);
    bench.enrolled();
    assert_eq!(bench.once(), (0, 1));
    assert!(bench.holds("one"));
    assert_eq!(bench.states(), ["done"]);
}

#[test]
fn a_folder_in_sys_with_two_disks_is_no_slot() {
    let Some(mut bench) = Bench::new("") else { return };
    let Some(second) = Card::used(2 << 20) else { return };
    bench.port = "/sys/devices/virtual/block".to_owned();
    bench.order(DEMO, "");
    let _serving = bench.serve(&[]);
    bench.enrolled();
    let agent = bench.spawn(&[], &[]);
    until("the reason", || bench.jobs()[0].to_string().contains("has more than one disk"));
    drop(agent);
    assert!(bench.card.is_untouched() && second.is_untouched());
}

#[test]
fn each_slot_of_an_order_gets_its_own_release() {
    let Some(mut bench) = Bench::new("") else { return };
    let Some(second) = Card::used(2 << 20) else { return };
    let older = bench.shop.publish("older", 8).version;
    let newest = bench.shop.publish("two", 0).version;
    symlink(second.path(), bench.path("slot-b")).unwrap();
    bench.order(DEMO, &format!("    - {{image: demo, version: {older}, writer: bench-1, slot: b}}\n"));
    let path = bench.dir.join("runners/lab.yaml");
    let slot = |name: &str, port: &str| format!("- {{name: {name}, path: {port}}}\n");
    let (a, b) = (slot("a", &bench.port), slot("b", &bench.path("slot-b")));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(&a, &format!("{a}    {b}"), 1)).unwrap();
    let _serving = bench.serve(&[]);
    bench.slots.push(("b".to_owned(), bench.path("slot-b")));
    bench.enrolled();
    // Both at once, each in its own reader.
    assert_eq!(bench.once(), (0, 2));
    assert_eq!(bench.states(), ["done", "done"]);
    assert!(bench.holds("two"));
    let iso = Shop::iso("older");
    assert!(second.bytes()[..iso.len()] == iso[..]);
    let receipts = bench.receipts();
    let told: BTreeMap<String, String> = receipts
        .iter()
        .map(|signed| &signed.receipt.asked)
        .map(|asked| (asked.slot.to_string(), asked.version.to_string()))
        .collect();
    assert_eq!(told, BTreeMap::from([("a".into(), newest.to_string()), ("b".into(), older.to_string())]));
}
