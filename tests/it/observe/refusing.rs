//! A store that refuses to be put right: it is asked again by and by, and it is said why.

use super::shop::{Shop, image};
use bootwright::model::FailureClass;
use bootwright::model::plan::Status;
use bootwright::ops::{self, CatalogRef, Context, ReconcileReport, ReconcileRequest};
use bootwright::release::{Signer, keys};
use chrono::TimeDelta;

fn hours(shop: &Shop, hours: i64) {
    *shop.now.lock().unwrap() += TimeDelta::hours(hours);
}

fn by_hand(shop: &Shop) -> ReconcileReport {
    let request = ReconcileRequest {
        catalog: CatalogRef { location: ".".to_owned(), rev: None },
        only: Vec::new(),
        force: vec![image()],
        jobs: None,
        dry_run: false,
        deep: false,
    };
    ops::reconcile(&Context { ..shop.context() }, request).unwrap()
}

/// Refused as often as it is tried, and never tried again at once; stalled in the end.
fn refused_by_and_by(shop: &Shop, decides: &str) {
    for attempt in 1..=5 {
        let report = shop.reconcile(false);
        assert_eq!(report.failed.len(), 1, "attempt {attempt}: {:?}", report.planned);
        let failure = &report.failed[0].failure;
        assert_eq!(failure.class, FailureClass::Host, "{failure}");
        assert!(failure.message.contains(decides), "{failure}");
        let again = shop.reconcile(false);
        assert!(again.failed.is_empty(), "it was tried again at once: {:?}", again.failed);
        match &again.planned.report[0].status {
            Status::Waiting { on } if attempt < 5 => {
                assert!(on.contains(&format!("host failure {attempt} of 5")), "{on}");
                assert!(on.contains(decides), "{on}");
            }
            Status::Stalled { failures: 5, class: FailureClass::Host, message } if attempt == 5 => {
                assert!(message.contains(decides), "{message}");
            }
            other => panic!("attempt {attempt}: {other:?}"),
        }
        hours(shop, 8);
    }
    shop.later(30);
    assert!(shop.reconcile(false).failed.is_empty(), "stalled is stalled");
}

#[test]
fn a_repair_that_is_refused_is_tried_by_and_by() {
    let shop = Shop::new();
    let newest = shop.manifests()[0].clone();
    let quarantine = shop.store.path().join(".quarantine");
    std::fs::write(&quarantine, "a file, where a folder should be").unwrap();
    std::fs::write(shop.folder(&newest).join("stray"), "x").unwrap();
    refused_by_and_by(&shop, ".quarantine");
    // Other damage is another thing to do.
    std::fs::write(shop.folder(&newest).join("stray too"), "x").unwrap();
    assert_eq!(shop.reconcile(false).failed.len(), 1);
    assert!(shop.reconcile(false).failed.is_empty());
    // Whoever made room asks by hand.
    std::fs::remove_file(&quarantine).unwrap();
    assert!(shop.reconcile(false).repaired.is_empty(), "nobody knows yet");
    assert_eq!(by_hand(&shop).repaired.len(), 1);
    assert!(shop.is_good(&newest));
    // What was done is forgotten: the next damage is cured at once.
    std::fs::write(shop.folder(&newest).join("stray"), "x").unwrap();
    assert_eq!(shop.reconcile(false).repaired.len(), 1);
}

#[test]
fn signatures_that_cannot_be_renewed_are_tried_by_and_by() {
    let shop = Shop::new();
    let new = shop.dir.path().join("keys/new.key");
    keys::write_key_pair(&new, None).unwrap();
    let key = |name: &str, file: &str, more: &str| {
        format!("{{name: {name}, public: keys/{file}.pub, private: keys/{file}.key{more}}}")
    };
    let all = [key("old", "k", ", until: 2026-11-20T18:00:00Z"), key("new", "new", "")].join(", ");
    let settings = format!(
        "apiVersion: bootwright/v1\nkind: Settings\nstore: {{path: releases}}\nsigning: {{keys: [{all}]}}\n"
    );
    shop.write("bootwright.yaml", &settings);
    // The old key is retired by now.
    shop.later(1);
    let staging = shop.store.path().join(".staging");
    let _ = std::fs::remove_dir_all(&staging);
    std::fs::write(&staging, "a file, where a folder should be").unwrap();
    refused_by_and_by(&shop, ".staging");
    std::fs::remove_file(&staging).unwrap();
    by_hand(&shop);
    shop.later(1);
    let report = shop.reconcile(false);
    assert_eq!(report.planned.report[0].status, Status::UpToDate, "{:?}", report.planned);
    let signer = Signer::load(&new, None).unwrap();
    for manifest in shop.store.list(&bootwright::release::Trust::of([signer.public().clone()])).unwrap() {
        let keys = bootwright::release::Trust::of([signer.public().clone()]);
        assert!(shop.store.verify(&manifest.image, &manifest.version, &keys).unwrap().is_empty());
    }
}

/// Whatever a failure says of the builder, the pages and `status.json` do not.
#[test]
fn pages_say_nothing_of_the_builder() {
    let shop = Shop::new();
    shop.spec("two", "  freshness: {maxAgeDays: 7}\n");
    std::fs::remove_file(shop.dir.path().join("specs/demo.lock.yaml")).unwrap();
    // A mirror on this host, and a keyring in somebody's home.
    let settings = std::fs::read_to_string(shop.dir.path().join("bootwright.yaml")).unwrap();
    let mirror = "mirrors:\n  - base: debian\n    urls: [\"https://127.0.0.1:9/secret\"]\n    \
                  suites: [\"{suite}\"]\n    components: [main]\n    keyring: /home/alice/secret.gpg\n";
    shop.write("bootwright.yaml", &format!("{settings}{mirror}"));
    shop.later(12);
    shop.reconcile(false);
    shop.reconcile(false);
    let secrets = ["alice", "/home", "secret", "127.0.0.1", shop.dir.path().to_str().unwrap()];
    for page in ["index.html", "demo/index.html", "status.json"] {
        let text = shop.page(page);
        assert!(text.contains("because"), "{page}: {text}");
        for secret in secrets {
            assert!(!text.contains(secret), "{page} says {secret}: {text}");
        }
    }
    let status = shop.page("status.json");
    assert!(status.contains("it failed: ") || status.contains("after a failure: "), "{status}");
    // The plan, which the builder's people read, says it in full.
    let report = shop.plan(false);
    let stale = report.planned.report[0].stale.clone().unwrap();
    assert!(stale.because.contains("alice"), "{}", stale.because);
}
