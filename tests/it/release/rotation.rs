//! The life of signing keys: they overlap, end, and what they signed is signed again.

use super::must_fail::trust;
use super::*;

/// The end of the old key, in seconds.
const END: i64 = 1000;

struct Rotation {
    shop: Shop,
    old: Signer,
    new: Signer,
}

impl Rotation {
    fn new() -> Self {
        let mut shop = Shop::new();
        shop.store = shop.store.with_memory(&shop.dir.path().join("state"));
        let old = signers(shop.dir.path(), "one.key").key;
        let new = signers(shop.dir.path(), "two.key").key;
        Self { shop, old, new }
    }

    /// As another process, which did not see what this one saw.
    fn in_a_new_process(mut self) -> Self {
        self.shop.store =
            Store::open(self.shop.store.path()).with_memory(&self.shop.dir.path().join("state"));
        self
    }

    /// Whose signatures count at a time: the old key until its end, the new one from 500 on.
    fn trust(&self, now: i64) -> Trust {
        trust(&[(&self.old, None, Some(END)), (&self.new, Some(500), None)], 1, now)
    }

    /// Every key that is active at a time signs.
    fn signers(&self, now: i64) -> Signers {
        let load = |name: &str| signers(self.shop.dir.path(), name).key;
        let (old, new) = (now < END, now >= 500);
        let mut all = [(old, "one.key"), (new, "two.key")]
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| load(name));
        let key = all.next().unwrap();
        Signers { key, further: all.collect(), openpgp: None, trust: self.trust(now) }
    }

    fn publish(&self, nginx: &str, at: i64) -> Manifest {
        self.shop.store.publish(publication(self.shop.dir.path(), nginx, at), &self.signers(at)).unwrap()
    }

    fn folder(&self, manifest: &Manifest) -> PathBuf {
        self.shop.folder(manifest)
    }

    fn read(&self, manifest: &Manifest, name: &str) -> Vec<u8> {
        std::fs::read(self.folder(manifest).join(name)).unwrap()
    }

    fn verify(&self, manifest: &Manifest, now: i64) -> Vec<Defect> {
        self.shop.store.verify(&image(), &manifest.version, &self.trust(now)).unwrap()
    }

    fn observe(&self, now: i64) -> bootwright::model::observed::ObservedImage {
        self.shop.store.observe(&self.trust(now), &[image()]).unwrap().images.remove(&image()).unwrap()
    }

    fn resign(&self, versions: &[&Manifest], now: i64) -> bootwright::model::Result<Vec<Version>> {
        let versions: Vec<Version> = versions.iter().map(|m| m.version.clone()).collect();
        self.shop.store.resign(&image(), &versions, &self.signers(now), time(now))
    }

    fn openssl(&self, manifest: &Manifest, file: &str, signature: &str, key: &str) -> bool {
        let dir = self.shop.dir.path();
        let text = String::from_utf8(self.read(manifest, signature)).unwrap();
        let der = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        std::fs::write(dir.join("sig.der"), der).unwrap();
        let (key, file) = (self.shop.store.path().join(key), self.folder(manifest).join(file));
        let args = [
            "dgst",
            "-sha256",
            "-verify",
            key.to_str().unwrap(),
            "-signature",
            "sig.der",
            file.to_str().unwrap(),
        ];
        run(dir, "openssl", &args).text().contains("Verified OK")
    }
}

#[test]
fn keys_overlap_end_and_what_they_signed_is_signed_again() {
    let life = Rotation::new();
    let first = life.publish("1", 0);
    let second = life.publish("2", 600);
    let tag = life.new.public().tag();
    // In the overlap both sign, each in a form that common tools check.
    for file in ["SHA256SUMS", "manifest.json"] {
        assert!(life.openssl(&second, file, &format!("{file}.sig"), "bootwright.pub"));
        let further = format!("bootwright.{tag}.pub");
        assert!(life.openssl(&second, file, &format!("{file}.{tag}.sig"), &further));
        assert!(!life.openssl(&second, file, &format!("{file}.{tag}.sig"), "bootwright.pub"));
    }
    let envelope: serde_json::Value =
        serde_json::from_slice(&std::fs::read(life.shop.store.path().join("index.dsse.json")).unwrap())
            .unwrap();
    let ids: Vec<_> =
        envelope["signatures"].as_array().unwrap().iter().map(|s| s["keyid"].as_str().unwrap()).collect();
    assert_eq!(ids, [life.old.public().id().hex(), life.new.public().id().hex()]);
    for now in [0, 600] {
        assert_eq!((life.verify(&first, now), life.verify(&second, now)), (vec![], vec![]), "{now}");
        assert!(life.observe(now).outlived.is_empty());
    }
    // The end: the newer release goes on by the new key, the older one has outlived its own.
    assert_eq!(life.verify(&second, END), []);
    let outlived = life.verify(&first, END);
    assert_eq!(outlived.len(), 2, "{outlived:?}");
    assert!(outlived.iter().all(|d| matches!(d, Defect::RetiredKey { .. })), "{outlived:?}");
    let observed = life.observe(END);
    assert_eq!(observed.channels[&edge()].defects, []);
    assert_eq!(observed.outlived.keys().collect::<Vec<_>>(), [&first.version]);
    // Signed again: only signatures change, and the serial.
    let kept = [
        life.read(&first, "manifest.json"),
        life.read(&first, "SHA256SUMS"),
        life.read(&first, provenance::FILE_NAME),
    ];
    let serial = life.shop.store.index(&life.trust(END)).unwrap().serial;
    assert_eq!(
        life.resign(&[&first, &second], END + 1).unwrap(),
        std::slice::from_ref(&first.version),
        "the other one is in order"
    );
    assert_eq!(life.shop.store.index(&life.trust(END)).unwrap().serial, serial + 1);
    assert_eq!(
        [
            life.read(&first, "manifest.json"),
            life.read(&first, "SHA256SUMS"),
            life.read(&first, provenance::FILE_NAME)
        ],
        kept
    );
    assert_eq!((life.verify(&first, END), life.observe(END).outlived.len()), (vec![], 0));
    assert!(
        life.openssl(&first, "SHA256SUMS", "SHA256SUMS.sig", "bootwright.pub"),
        "the new key is the first one now"
    );
    assert!(!life.shop.store.path().join(format!("bootwright.{tag}.pub")).exists());
    assert!(!life.shop.store.path().join(format!("index.json.{tag}.sig")).exists());
    // Whoever knows only the new key is content, and told of what only the old one had sealed.
    let only_new = Trust::of([life.new.public().clone()]);
    let checked = life.shop.store.examine(&image(), &first.version, &only_new).unwrap();
    assert_eq!(checked.defects, []);
    let told = |v: &bootwright::release::store::check::Vouched| {
        v.file == provenance::FILE_NAME && v.by.contains("not known here")
    };
    assert!(checked.vouched.iter().any(told), "{:?}", checked.vouched);
    assert_eq!(life.shop.store.index(&only_new).unwrap().serial, serial + 1);
    let sums = run(&life.folder(&first), "sha256sum", &["--check", "--quiet", "SHA256SUMS"]);
    assert!(sums.status.success(), "{}", sums.tail());
    assert_eq!(life.resign(&[&first], END + 2).unwrap(), [], "nothing is left to do");
    assert_eq!(std::fs::read_dir(life.shop.store.path().join(".staging")).unwrap().count(), 0);
}

#[test]
fn an_index_that_outlived_its_only_key_is_read_by_its_publisher_alone() {
    let life = Rotation::new();
    let first = life.publish("1", 0);
    let failure = life.shop.store.index(&life.trust(END)).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Untrusted);
    assert!(failure.message.contains("retired key: key-0"), "{failure}");
    let defects = life.observe(END).channels[&edge()].defects.clone();
    let of =
        |name: &str| defects.iter().any(|d| matches!(d, Defect::RetiredKey { file, .. } if file == name));
    assert!(
        of("index.dsse.json") && of("manifest.json") && of("SHA256SUMS") && defects.len() == 3,
        "{defects:?}"
    );
    life.resign(&[&first], END).unwrap();
    assert_eq!(life.observe(END).channels[&edge()].defects, []);
    assert_eq!(life.verify(&first, END), []);
    assert_eq!(life.shop.store.index(&life.trust(END)).unwrap().serial, 2);
}

#[test]
fn signed_again_in_the_overlap_it_outlives_its_key_without_a_gap() {
    let mut life = Rotation::new();
    let first = life.publish("1", 0);
    let second = life.publish("2", 10);
    let with_own =
        |own: &[&Signer], now| life.trust(now).with_own(own.iter().map(|s| s.public().clone()).collect());
    let observe =
        |trust: &Trust| life.shop.store.observe(trust, &[image()]).unwrap().images.remove(&image()).unwrap();
    // Before its time, and on a host that has only the old key, nothing can be done.
    for trust in [with_own(&[&life.old, &life.new], 499), with_own(&[&life.old], 500), with_own(&[], 500)] {
        let observed = observe(&trust);
        assert!(observed.outlived.is_empty() && observed.channels[&edge()].defects.is_empty());
    }
    let both = with_own(&[&life.old, &life.new], 500);
    let observed = observe(&both);
    let ending = |d: &Defect| matches!(d, Defect::EndingKey { .. });
    let head = &observed.channels[&edge()].defects;
    assert!(head.len() == 3 && head.iter().all(ending), "{head:?}");
    assert_eq!(observed.outlived.keys().collect::<Vec<_>>(), [&first.version]);
    let signers = Signers { trust: both.clone(), ..life.signers(500) };
    let versions = [first.version.clone(), second.version.clone()];
    let done = life.shop.store.resign(&image(), &versions, &signers, time(500)).unwrap();
    assert_eq!(done, versions);
    let observed = observe(&both);
    assert!(observed.outlived.is_empty() && observed.channels[&edge()].defects.is_empty());
    assert_eq!(
        life.shop.store.resign(&image(), &versions, &signers, time(500)).unwrap(),
        [],
        "once is enough"
    );
    for now in [500, END - 1, END, END + 1] {
        assert_eq!((life.verify(&first, now), life.verify(&second, now)), (vec![], vec![]), "{now}");
    }
    // Who knows only the old key still reads it.
    life.shop.signers.trust = Trust::of([life.old.public().clone()]);
    assert_eq!(life.shop.defects(&first), []);
}

/// Killed after a release was signed again and before the index was: the next one goes on.
#[test]
fn signing_again_is_taken_up_where_it_was_killed() {
    let mut life = Rotation::new();
    life.shop.store = Store::open(life.shop.store.path());
    let (first, second) = (life.publish("1", 0), life.publish("2", 1));
    let path = life.shop.store.path().join("index.dsse.json");
    let index = std::fs::read(&path).unwrap();
    life.resign(&[&first], END).unwrap();
    std::fs::write(&path, index).unwrap();
    std::fs::create_dir_all(life.shop.store.path().join(".staging/demo-killed/release")).unwrap();
    let observed = life.observe(END);
    assert_eq!(observed.channels[&edge()].defects.len(), 3, "the head and the index");
    assert!(observed.outlived.is_empty(), "the first one is done");
    assert_eq!(life.resign(&[&first, &second], END).unwrap(), std::slice::from_ref(&second.version));
    assert_eq!((life.verify(&first, END), life.verify(&second, END)), (vec![], vec![]));
    assert_eq!(std::fs::read_dir(life.shop.store.path().join(".staging")).unwrap().count(), 0);
}

#[test]
fn promoting_signs_again_what_outlived_its_key() {
    let life = Rotation::new();
    let first = life.publish("1", 0);
    life.publish("2", 600);
    let stable: ChannelName = "stable".parse().unwrap();
    life.shop.store.promote(&image(), &first.version, &stable, &life.signers(END), time(END)).unwrap();
    assert_eq!(life.verify(&first, END), []);
}

#[test]
fn what_was_altered_is_not_signed_again() {
    let life = Rotation::new();
    let (first, second) = (life.publish("1", 0), life.publish("2", 1));
    let signature = life.read(&first, "SHA256SUMS.sig");
    flip(&life.folder(&first).join(name_of(&first, ".iso")), 40_000);
    let failure = life.resign(&[&first, &second], END).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Untrusted);
    assert!(failure.message.contains("is not signed again") && failure.message.contains(".iso"), "{failure}");
    assert_eq!(life.read(&first, "SHA256SUMS.sig"), signature);
    assert_eq!(life.verify(&second, END), [], "the other one is");
    // Signatures of strangers are no reason to sign either.
    let sums = life.read(&first, "SHA256SUMS");
    let stranger = signers(life.shop.dir.path(), "stranger.key").key;
    std::fs::write(life.folder(&first).join("SHA256SUMS.sig"), stranger.sign(&sums).unwrap()).unwrap();
    assert_eq!(life.resign(&[&first], END).unwrap(), []);
}

/// Whoever gets hold of a key after its end cannot have the publisher sign for them.
#[test]
fn a_retired_key_cannot_slip_in_a_newer_index() {
    let life = Rotation::new();
    life.publish("1", 0);
    let index = life.shop.store.path().join("index.dsse.json");
    let good = std::fs::read(&index).unwrap();
    let mut forged = life.shop.store.index(&life.trust(0)).unwrap();
    forged.serial = 99;
    let forged = serde_json::to_vec(&forged).unwrap();
    let sealed = dsse::seal("application/vnd.bootwright.index+json", &forged, &[&life.old]).unwrap();
    std::fs::write(&index, sealed).unwrap();
    let refused = life.shop.store.observe(&life.trust(END), &[image()]).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Untrusted);
    let again = life.shop.store.resign(&image(), &[], &life.signers(END), time(END)).unwrap_err();
    assert_eq!(again.code, ErrorCode::Untrusted);
    std::fs::write(&index, good).unwrap();
    life.shop.store.observe(&life.trust(END), &[image()]).unwrap();
}

#[test]
fn a_raised_threshold_is_met_by_signing_again() {
    let life = Rotation::new();
    let first = life.publish("1", 0);
    let keys = [(&life.old, None, None), (&life.new, None, None)];
    let both = trust(&keys, 2, 600);
    let store = &life.shop.store;
    assert!(store.index(&both).unwrap_err().message.contains("1 of the 2 keys"));
    // The host that published remembers what it published.
    let observed = store.observe(&both, &[image()]).unwrap();
    let defects = &observed.images[&image()].channels[&edge()].defects;
    assert!(
        defects.len() == 3 && defects.iter().all(|d| matches!(d, Defect::TooFewKeys { needed: 2, .. })),
        "{defects:?}"
    );
    let signers = Signers { trust: both.clone(), ..life.signers(600) };
    // One that does not remember cannot know whether one key was ever enough.
    let stranger = Store::open(store.path());
    assert_eq!(stranger.resign(&image(), &[], &signers, time(600)).unwrap_err().code, ErrorCode::Untrusted);
    store.resign(&image(), std::slice::from_ref(&first.version), &signers, time(600)).unwrap();
    assert_eq!(store.verify(&image(), &first.version, &both).unwrap(), []);
}

#[test]
fn a_lost_index_does_not_set_the_serial_back() {
    let life = Rotation::new();
    life.publish("1", 0);
    life.publish("2", 10);
    std::fs::remove_dir_all(life.shop.store.path()).unwrap();
    // Who worked with it is told; a new process begins again, behind what was seen.
    assert!(life.shop.store.index(&life.trust(20)).is_err());
    let life = life.in_a_new_process();
    assert_eq!(life.shop.store.index(&life.trust(20)).unwrap().images.len(), 0);
    life.publish("3", 20);
    assert_eq!(life.shop.store.index(&life.trust(20)).unwrap().serial, 3);
}
