//! What is tampered with is seen and mended; what the service refuses is said.

use super::server::Server;
use super::{Shop, edge, image, name_of, now, open, publication, signer};
use bootwright::effects::Cancel;
use bootwright::model::event::Emitter;
use bootwright::model::observed::{Defect, Mend, StoreFinding};
use bootwright::model::release::Manifest;
use bootwright::model::{ErrorCode, FailureClass};
use bootwright::release::store::{Look, Memory};

/// A look at everything, by sizes and what changed, or at every byte.
fn look(shop: &Shop, deep: bool, memory: &mut Memory) -> bootwright::model::observed::Observed {
    let look = Look {
        keys: shop.trust(),
        wanted: &[image()],
        beside: &[],
        whole_store: true,
        hash_older_than: deep.then(|| now() + chrono::TimeDelta::days(400)),
        copies: &|_| Vec::new(),
        now: now(),
        events: &Emitter::default(),
        cancel: &Cancel::default(),
    };
    shop.store.look(&look, memory).unwrap()
}

/// What a look finds at the channel's release, and what would mend it.
fn found(shop: &Shop, manifest: &Manifest, memory: &mut Memory) -> (Vec<Defect>, Option<Vec<Mend>>) {
    let observed = look(shop, false, memory);
    let of_image = &observed.images[&image()];
    (of_image.channels[&edge()].defects.clone(), of_image.mends.get(&manifest.version).cloned())
}

/// Every kind of tampering shows at a look that reads no bytes of what was not touched, and
/// what can be mended is whole again.
#[test]
fn tampering_of_each_kind_is_seen_and_mended() {
    let shop = Shop::new();
    let first = shop.publish("1", 0);
    let manifest = shop.publish("2", 86_400);
    let mut memory = Memory::default();
    shop.store.remember(&image(), &manifest.version, shop.trust(), now(), &mut memory).unwrap();
    assert_eq!(found(&shop, &manifest, &mut memory), (vec![], None));
    let key = |name: &str| Shop::key(&manifest, name);
    let inputs = name_of(&manifest, "inputs.tar.zst");
    let shared = manifest.files.iter().find(|f| first.files.iter().any(|o| o.sha256 == f.sha256));
    let shared = shared.map(|f| f.name.clone()).unwrap_or(inputs);
    let good = |name: &str| shop.server.get(&key(name)).unwrap();
    let flipped = |name: &str| {
        let mut bytes = good(name);
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        bytes
    };
    let others = shop.server.get(&Shop::key(&first, "SHA256SUMS.sig")).unwrap();
    let foreign = signer().sign(&good("SHA256SUMS")).unwrap().into_bytes();
    let cut = good(&shared)[1..].to_vec();
    let cases: Vec<(&str, String, Option<Vec<u8>>)> = vec![
        ("a file is missing", shared.clone(), None),
        ("a file is truncated", shared.clone(), Some(cut)),
        ("a file has other bytes of the same length", shared.clone(), Some(flipped(&shared))),
        ("the page is missing", "index.html".into(), None),
        ("the sums are missing", "SHA256SUMS".into(), None),
        ("the sums are altered", "SHA256SUMS".into(), Some(flipped("SHA256SUMS"))),
        ("a signature is missing", "manifest.json.sig".into(), None),
        ("a signature is another release's", "SHA256SUMS.sig".into(), Some(others)),
        ("a signature is a stranger's", "SHA256SUMS.sig".into(), Some(foreign)),
        ("a file more", "evidence/extra".into(), Some(b"x".to_vec())),
        ("a file more, with a name of ours", "virus.iso".into(), Some(vec![7; 100])),
    ];
    for (what, name, bytes) in cases {
        match bytes {
            Some(bytes) => shop.server.put(&key(&name), &bytes),
            None => shop.server.delete(&key(&name)),
        }
        let (defects, mends) = found(&shop, &manifest, &mut memory);
        assert!(!defects.is_empty(), "{what} was not seen");
        let mends = mends.unwrap_or_else(|| panic!("{what}: no cure for {defects:?}"));
        shop.store.repair(&image(), &manifest.version, &mends, &shop.signers, now()).unwrap();
        assert_eq!(shop.defects(&manifest), vec![], "{what}");
        assert_eq!(found(&shop, &manifest, &mut memory).0, vec![], "{what}");
    }
    // Nothing that somebody could miss is deleted.
    let kept = shop.server.keys(".quarantine/2026-11-20/");
    assert!(kept.iter().any(|key| key.ends_with("/virus.iso")), "{kept:?}");
    assert!(kept.iter().any(|key| key.contains(&shared)), "{kept:?}");
}

#[test]
fn what_cannot_be_mended_needs_a_build() {
    let shop = Shop::new();
    let manifest = shop.publish("1", 0);
    let iso = name_of(&manifest, ".iso");
    shop.server.put(&Shop::key(&manifest, &iso), b"short");
    let (defects, mends) = found(&shop, &manifest, &mut Memory::default());
    assert!(defects.iter().any(|d| matches!(d, Defect::Truncated { file, .. } if *file == iso)));
    assert_eq!(mends, None);
    shop.server.put(&Shop::key(&manifest, "manifest.json"), b"{}");
    let (defects, mends) = found(&shop, &manifest, &mut Memory::default());
    assert!(matches!(defects[0], Defect::Altered { .. }) && mends.is_none(), "{defects:?}");
    assert!(shop.store.manifest(&image(), &manifest.version, shop.trust()).is_err());
    // Published again, it is whole.
    let again = shop.publish("1", 0);
    assert_eq!(shop.defects(&again), vec![]);
}

#[test]
fn only_a_look_at_every_byte_finds_what_was_never_hashed() {
    let shop = Shop::new();
    let manifest = shop.publish("1", 0);
    let iso = Shop::key(&manifest, &name_of(&manifest, ".iso"));
    let mut bytes = shop.server.get(&iso).unwrap();
    bytes[40_000] ^= 1;
    shop.server.put(&iso, &bytes);
    let defects =
        |deep| look(&shop, deep, &mut Memory::default()).images[&image()].channels[&edge()].defects.clone();
    assert_eq!(defects(false), vec![]);
    assert!(matches!(defects(true)[0], Defect::Altered { .. }));
    assert!(!shop.defects(&manifest).is_empty());
}

#[test]
fn what_does_not_belong_there_is_put_aside() {
    let shop = Shop::new();
    shop.publish("1", 0);
    shop.server.put("demo/20200101-0123abcd/manifest.json", b"{}");
    shop.server.put("robots.txt", b"x");
    let record = serde_json::json!({"key": "store/demo/x", "upload": "none"});
    shop.server.put(".staging/left.json", record.to_string().as_bytes());
    shop.server.delete("demo/index.html");
    assert!(shop.store.needs_mending());
    let observed = look(&shop, false, &mut Memory::default());
    assert_eq!(observed.store.len(), 3, "{:?}", observed.store);
    assert!(observed.store.iter().any(|f| matches!(f, StoreFinding::UnlistedRelease { .. })));
    shop.store.tidy(&observed.store, &shop.signers, now()).unwrap();
    assert_eq!(look(&shop, false, &mut Memory::default()).store, vec![]);
    let kept = ".quarantine/2026-11-20/demo/20200101-0123abcd/manifest.json";
    assert!(shop.server.get(kept).is_some() && shop.server.get("robots.txt").is_some());
    assert!(!shop.store.needs_mending());
}

/// An index that is not the signed one, or an older one, is nobody's index.
#[test]
fn a_foreign_or_old_index_is_refused() {
    let shop = Shop::new();
    shop.publish("1", 0);
    let old = shop.server.get("index.dsse.json").unwrap();
    shop.publish("2", 86_400);
    let good = shop.server.get("index.dsse.json").unwrap();
    assert_eq!(shop.store.index(shop.trust()).unwrap().serial, 2);
    let refused = |what: &str| {
        let failure = shop.store.index(shop.trust()).unwrap_err();
        assert_ne!(failure.class, FailureClass::Bug, "{what}: {failure}");
        let published = shop.store.publish(publication(shop.dir.path(), "3", 172_800), &shop.signers);
        assert!(published.is_err(), "{what}");
    };
    for at in [0, 60, good.len() / 2] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        shop.server.put("index.dsse.json", &bad);
        refused("a byte is another one");
    }
    shop.server.put("index.dsse.json", &old);
    refused("an older one");
    shop.server.delete("index.dsse.json");
    let failure = shop.store.index(shop.trust()).unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::NotFound, FailureClass::Host));
    shop.server.put("index.dsse.json", &good);
    assert!(shop.store.index(shop.trust()).is_ok());
}

#[test]
fn a_service_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let shop = Shop::new();
    shop.server.refuse("PUT", "/demo/", 503, 2);
    shop.server.refuse("GET", "index.dsse.json", 500, 1);
    let manifest = shop.publish("1", 0);
    assert_eq!(shop.defects(&manifest), vec![]);

    shop.server.refuse("GET", "index.dsse.json", 403, 1);
    let failure = shop.store.index(shop.trust()).unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::Permission, FailureClass::Host));
    assert!(failure.message.contains("AccessDenied: as asked"), "{failure}");
    assert!(failure.hint.as_deref().unwrap().contains("AWS_ACCESS_KEY_ID"));

    shop.server.refuse("PUT", ".iso", 403, 1);
    let failed = shop.store.publish(publication(shop.dir.path(), "2", 86_400), &shop.signers);
    assert_eq!(failed.unwrap_err().class, FailureClass::Host);
    assert_eq!(shop.store.list(shop.trust()).unwrap().len(), 1, "nothing is half published");
    // The service comes back.
    let second = shop.publish("2", 86_400);
    assert_eq!(shop.defects(&second), vec![]);
}

#[test]
fn no_bucket_no_service_and_no_address_are_told_apart() {
    let shop = Shop::new();
    let absent = open(&shop.server, shop.dir.path(), "s3://nowhere/store").unwrap();
    let failure = absent.index(shop.trust()).unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::NotFound, FailureClass::Host));
    assert!(failure.message.contains("no bucket nowhere"), "{failure}");
    assert!(absent.check_writable().is_err());
    let published = absent.publish(publication(shop.dir.path(), "1", 0), &shop.signers);
    assert_eq!(published.unwrap_err().class, FailureClass::Host);
    assert!(
        open(&shop.server, shop.dir.path(), "s3://images/other")
            .unwrap()
            .list(shop.trust())
            .unwrap()
            .is_empty()
    );
}

/// A part of a store that vanished while it was worked with is not begun anew.
#[test]
fn a_vanished_bucket_is_no_new_store() {
    let shop = Shop::new();
    shop.publish("1", 0);
    let before = shop.store.clone();
    assert!(before.index(shop.trust()).is_ok());
    for key in shop.server.keys("") {
        shop.server.delete(&key);
    }
    let failure = before.publish(publication(shop.dir.path(), "2", 86_400), &shop.signers).unwrap_err();
    assert!(failure.message.contains("vanished"), "{failure}");
    assert_eq!(shop.server.keys(""), Vec::<String>::new(), "nothing is written");
}

/// The service that ends is one that cannot be reached: not a store without releases.
#[test]
fn a_dead_service_is_an_error_of_the_network() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let store = open(&server, dir.path(), "s3://images/store").unwrap();
    drop(server);
    let trust = bootwright::release::Trust::of([signer().public().clone()]);
    let failure = store.index(&trust).unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::Network, FailureClass::Upstream), "{failure}");
}
