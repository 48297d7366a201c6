//! What must never pass: one table of attacks on a release, its signatures, its index and
//! what else vouches for it. The number of cases is printed.

use super::*;
use bootwright::release::keyless;
use bootwright::release::keys::{KeylessTrust, TrustedKey};

/// The cases that were tried, and those that wrongly passed.
#[derive(Default)]
struct Table {
    count: usize,
    passed: Vec<String>,
}

impl Table {
    fn case(&mut self, name: impl Into<String>, refused: bool) {
        self.count += 1;
        if !refused {
            self.passed.push(name.into());
        }
    }

    /// Refused as untrusted, not by accident for another reason.
    fn untrusted<T>(&mut self, name: impl Into<String>, result: bootwright::model::Result<T>) {
        self.case(name, result.is_err_and(|f| f.code == ErrorCode::Untrusted));
    }

    fn done(self, what: &str) {
        println!("must-fail cases: {} ({what})", self.count);
        assert!(self.passed.is_empty(), "these passed: {:#?}", self.passed);
    }
}

/// Named keys with the seconds of their times, `threshold` of which must have signed at `now`.
pub(super) fn trust(keys: &[(&Signer, Option<i64>, Option<i64>)], threshold: usize, now: i64) -> Trust {
    let known = keys.iter().enumerate().map(|(at, (signer, from, until))| TrustedKey {
        name: format!("key-{at}"),
        key: signer.public().clone(),
        from: from.map(time),
        until: until.map(time),
    });
    Trust::new(known.collect(), threshold, time(now))
}

/// A store whose releases two keys sign, both of which must have.
fn two_must_sign() -> Shop {
    let mut shop = Shop::new();
    shop.signers.further.push(signers(shop.dir.path(), "two.key").key);
    let all = [(&shop.signers.key, None, None), (&shop.signers.further[0], None, None)];
    let trust = trust(&all, 2, 0);
    shop.signers.trust = trust;
    shop
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Puts something in a file's place for the time of one look.
fn with<T>(path: &Path, change: impl FnOnce(&Path, Vec<u8>), look: impl FnOnce() -> T) -> T {
    let good = std::fs::read(path).unwrap();
    change(path, good.clone());
    let seen = look();
    let _ = std::fs::remove_file(path);
    std::fs::write(path, good).unwrap();
    seen
}

fn write(bytes: impl AsRef<[u8]>) -> impl FnOnce(&Path, Vec<u8>) {
    move |path, _| std::fs::write(path, bytes).unwrap()
}

#[test]
fn tampering_with_each_file_in_turn() {
    let shop = two_must_sign();
    let manifest = shop.publish("1", 0);
    let folder = shop.folder(&manifest);
    let tag = shop.signers.further[0].public().tag();
    let mut names: Vec<String> = manifest.files.iter().map(|f| f.name.clone()).collect();
    for file in ["manifest.json", "SHA256SUMS"] {
        names.extend([file.to_owned(), format!("{file}.sig"), format!("{file}.{tag}.sig")]);
    }
    // The page is for people and made from the rest: it alone is not covered.
    let mut there: Vec<String> = walk(&folder, "").into_iter().filter(|n| n != "index.html").collect();
    names.sort();
    there.sort();
    assert_eq!(names, there, "every file of a release is tried");
    let keys = shop.keys();
    assert_eq!((shop.defects(&manifest), verify_folder(&folder, &keys).unwrap().1), (vec![], vec![]));
    let runtime = runtime();
    let fetched = || {
        let to = tempfile::tempdir().unwrap();
        runtime.block_on(shop.fetch(&shop.path(), to.path(), None))
    };
    fetched().unwrap();
    let mut table = Table::default();
    for name in &names {
        let path = folder.join(name);
        let found = || !shop.defects(&manifest).is_empty();
        let everywhere = || {
            let offline = !verify_folder(&folder, &keys).unwrap().1.is_empty();
            let refused = fetched().is_err_and(|f| f.code == ErrorCode::Untrusted);
            found() && offline && refused
        };
        let flipped = with(&path, |path, good| flip(path, good.len() / 2), everywhere);
        table.case(format!("{name} altered"), flipped);
        let cut = |path: &Path, good: Vec<u8>| std::fs::write(path, &good[..good.len() / 2]).unwrap();
        table.case(format!("{name} truncated"), with(&path, cut, found));
        let longer =
            |path: &Path, good: Vec<u8>| std::fs::write(path, [good, vec![b'A'; 9]].concat()).unwrap();
        table.case(format!("{name} made longer"), with(&path, longer, found));
        let removed = with(&path, |path, _| std::fs::remove_file(path).unwrap(), everywhere);
        table.case(format!("{name} removed"), removed);
        // The same bytes, for now: what the link shows can be changed behind every check.
        let link = |path: &Path, good: Vec<u8>| {
            let elsewhere = shop.dir.path().join("elsewhere");
            std::fs::write(&elsewhere, good).unwrap();
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink(elsewhere, path).unwrap();
        };
        table.case(format!("{name} replaced by a link"), with(&path, link, found));
    }
    // Things that nobody signed.
    let stranger = |table: &mut Table, name: &str| {
        std::fs::write(folder.join(name), "x").unwrap();
        table.case(format!("{name} added"), !shop.defects(&manifest).is_empty());
        std::fs::remove_file(folder.join(name)).unwrap();
    };
    for name in ["extra.iso", "extra.sig", "evidence/extra.log", "SHA256SUMS.old", "SHA256SUMS.0123.sig"] {
        stranger(&mut table, name);
    }
    std::fs::rename(folder.join("evidence"), shop.dir.path().join("evidence")).unwrap();
    std::os::unix::fs::symlink(shop.dir.path().join("evidence"), folder.join("evidence")).unwrap();
    table.case("evidence/ replaced by a link", !shop.defects(&manifest).is_empty());
    table.done("each file of a release");
}

/// All files below a folder, by their paths in it.
fn walk(folder: &Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(walk(&entry.path(), &format!("{name}/")));
        } else {
            found.push(name);
        }
    }
    found
}

#[test]
fn keys_that_do_not_count_or_are_too_few() {
    let mut table = Table::default();
    let mut shop = Shop::new();
    let (one, two, third) = (
        signers(shop.dir.path(), "one.key").key,
        signers(shop.dir.path(), "two.key").key,
        signers(shop.dir.path(), "three.key").key,
    );
    shop.signers.further.push(signers(shop.dir.path(), "two.key").key);
    shop.signers.trust = trust(&[(&one, None, None), (&two, None, None)], 2, 0);
    let manifest = shop.publish("1", 0);
    let folder = shop.folder(&manifest);
    let readers = |table: &mut Table, what: &str, reader: &Trust| {
        table.untrusted(format!("index: {what}"), shop.store.index(reader));
        let (_, defects) = verify_folder(&folder, reader).unwrap();
        let bad = |name: &str| {
            defects.iter().any(|d| match d {
                Defect::BadSignature { file }
                | Defect::RetiredKey { file, .. }
                | Defect::TooFewKeys { file, .. } => file == name,
                _ => false,
            })
        };
        table.case(format!("manifest: {what}"), bad("manifest.json"));
        table.case(format!("checksums: {what}"), bad("SHA256SUMS"));
        let iso = folder.join(name_of(&manifest, ".iso"));
        table.untrusted(format!("one file: {what}"), verify_file(&iso, reader));
    };
    let good = [
        trust(&[(&one, None, None)], 1, 0),
        trust(&[(&two, None, None)], 1, 0),
        trust(&[(&one, None, Some(10)), (&two, Some(0), None), (&third, None, None)], 2, 5),
    ];
    for reader in &good {
        assert_eq!(shop.store.verify(&image(), &manifest.version, reader).unwrap(), []);
    }
    for (what, reader) in [
        ("no key", Trust::of([])),
        ("a stranger's key", trust(&[(&third, None, None)], 1, 0)),
        (
            "retired keys",
            trust(&[(&one, None, Some(10)), (&two, None, Some(10)), (&third, None, None)], 1, 10),
        ),
        (
            "one of two keys retired",
            trust(&[(&one, None, Some(10)), (&two, None, None), (&third, None, None)], 2, 10),
        ),
        ("keys whose time has not come", trust(&[(&one, Some(10), None), (&two, Some(10), None)], 1, 9)),
        ("three keys needed", trust(&[(&one, None, None), (&two, None, None), (&third, None, None)], 3, 0)),
        ("one known key, two needed", trust(&[(&one, None, None), (&third, None, None)], 2, 0)),
    ] {
        readers(&mut table, what, &reader);
    }
    // One key under two names counts once.
    let tag = two.public().tag();
    for file in ["manifest.json", "SHA256SUMS"] {
        std::fs::copy(folder.join(format!("{file}.sig")), folder.join(format!("{file}.{tag}.sig"))).unwrap();
    }
    let payload = serde_json::to_vec(&shop.store.index(&shop.keys()).unwrap()).unwrap();
    let twice = dsse::seal(INDEX_TYPE, &payload, &[&one, &one]).unwrap();
    std::fs::write(shop.store.path().join("index.dsse.json"), twice).unwrap();
    readers(&mut table, "one key twice", &shop.keys());
    // Who may not sign, or cannot enough, publishes nothing.
    let publish = |key: &str, trust: Trust| {
        let signers = Signers { trust, ..signers(shop.dir.path(), key) };
        Store::open(shop.dir.path().join("other")).publish(publication(shop.dir.path(), "1", 0), &signers)
    };
    for (what, trust) in [
        ("a key that nobody trusts", trust(&[(&two, None, None)], 1, 0)),
        ("a retired key", trust(&[(&one, None, Some(5)), (&two, None, None)], 1, 5)),
        ("a key whose time has not come", trust(&[(&one, Some(6), None), (&two, None, None)], 1, 5)),
        ("one key of two", trust(&[(&one, None, None), (&two, None, None)], 2, 0)),
    ] {
        table.case(format!("publishing with {what}"), publish("one.key", trust).is_err());
    }
    assert!(!shop.dir.path().join("other").exists(), "nothing was written");
    publish("one.key", trust(&[(&one, None, None)], 1, 0)).unwrap();
    table.done("keys");
}

/// What the index says it is.
const INDEX_TYPE: &str = "application/vnd.bootwright.index+json";

#[test]
fn signatures_and_envelopes_that_are_not_what_they_seem() {
    let mut table = Table::default();
    let (shop, first) = Shop::with_release();
    let old_index = std::fs::read(shop.store.path().join("index.dsse.json")).unwrap();
    let second = shop.publish("2", 86_400);
    let stranger = signers(shop.dir.path(), "stranger.key").key;
    let (folder, keys) = (shop.folder(&second), shop.keys());
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let found = || !shop.defects(&second).is_empty();

    // Detached signatures.
    let sums = read(folder.join("SHA256SUMS"));
    let good = read(folder.join("SHA256SUMS.sig"));
    let of_manifest = read(folder.join("manifest.json.sig"));
    for (what, bytes) in [
        ("empty", vec![]),
        ("cut by one", good[..good.len() - 1].to_vec()),
        ("cut to a third", good[..good.len() / 3].to_vec()),
        ("not base64", b"!!!!".to_vec()),
        ("no text", vec![0xff; 96]),
        ("doubled", [good.clone(), good.clone()].concat()),
        ("a line of garbage before it", [b"x\n".to_vec(), good.clone()].concat()),
        ("of the manifest", of_manifest),
        ("of the release before", read(shop.folder(&first).join("SHA256SUMS.sig"))),
        ("by a stranger", stranger.sign(&sums).unwrap().into_bytes()),
        ("larger than any signature", vec![b'A'; 65 << 10]),
    ] {
        table.case(format!("signature: {what}"), with(&folder.join("SHA256SUMS.sig"), write(bytes), found));
    }

    // The manifest of another release, with everything that belongs to it.
    let borrowed = ["manifest.json", "manifest.json.sig", "SHA256SUMS", "SHA256SUMS.sig"];
    let kept: Vec<Vec<u8>> = borrowed.iter().map(|name| read(folder.join(name))).collect();
    for name in borrowed {
        std::fs::copy(shop.folder(&first).join(name), folder.join(name)).unwrap();
    }
    table.case("manifest of another release, in the store", found());
    table.case("manifest of another release, offline", !verify_folder(&folder, &keys).unwrap().1.is_empty());
    let runtime = runtime();
    let fetched = |memory: Option<&IndexMemory>| {
        let to = tempfile::tempdir().unwrap();
        runtime.block_on(shop.fetch(&shop.path(), to.path(), memory))
    };
    table.untrusted("manifest of another release, fetched", fetched(None));
    for (name, bytes) in borrowed.iter().zip(kept) {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    assert!(!found());

    // The index.
    let index = shop.store.path().join("index.dsse.json");
    let good = read(index.clone());
    let text = String::from_utf8(good.clone()).unwrap();
    let payload = serde_json::to_vec(&shop.store.index(&keys).unwrap()).unwrap();
    let seal = |payload_type: &str, payload: &[u8], signer: &Signer| {
        dsse::seal(payload_type, payload, &[signer]).unwrap()
    };
    let key = &shop.signers.key;
    let mut envelope: serde_json::Value = serde_json::from_slice(&good).unwrap();
    envelope["signatures"] = serde_json::json!([]);
    let no_signature = envelope.to_string();
    let format = String::from_utf8(payload.clone()).unwrap().replacen("\"format\":1", "\"format\":2", 1);
    for (what, bytes) in [
        ("empty", String::new()),
        ("cut by one", text.trim_end()[..text.trim_end().len() - 1].to_owned()),
        ("cut in the middle", text[..text.len() / 2].to_owned()),
        ("something behind it", format!("{text}{text}")),
        ("without signatures", no_signature),
        ("payload type changed", text.replace(INDEX_TYPE, "application/vnd.in-toto+json")),
        ("signed as something else", seal("application/vnd.in-toto+json", &payload, key)),
        (
            "signed as something else, type put right",
            seal("text/plain", &payload, key).replace("text/plain", INDEX_TYPE),
        ),
        ("no index inside", seal(INDEX_TYPE, b"[]", key)),
        ("of a format of the future", seal(INDEX_TYPE, format.as_bytes(), key)),
        ("by a stranger", seal(INDEX_TYPE, &payload, &stranger)),
        ("a bare payload", String::from_utf8(payload.clone()).unwrap()),
        ("the provenance", String::from_utf8(read(folder.join(provenance::FILE_NAME))).unwrap()),
    ] {
        let refused = with(&index, write(bytes), || shop.store.index(&keys));
        table.untrusted(format!("index: {what}"), refused);
    }
    let manifest_of_first = read(shop.folder(&first).join("manifest.json"));
    let mut lying = shop.store.index(&keys).unwrap();
    lying.images.get_mut(&image()).unwrap().releases[0].manifest = Digest::of(manifest_of_first);
    let lying = seal(INDEX_TYPE, &serde_json::to_vec(&lying).unwrap(), &stranger);
    table.untrusted("index: points to another manifest", with(&index, write(lying), || fetched(None)));

    // Played again.
    let memory = IndexMemory::new(&shop.dir.path().join("state"), &shop.path());
    fetched(Some(&memory)).unwrap();
    let replayed = with(&index, write(&old_index), || fetched(Some(&memory)));
    table.case(
        "index: replayed",
        replayed.is_err_and(|f| f.code == ErrorCode::Untrusted && f.message.contains("old state")),
    );
    let remembering = shop.store.clone().with_memory(&shop.dir.path().join("state"));
    table.untrusted(
        "index: replayed to its publisher",
        with(&index, write(&old_index), || remembering.index(&keys)),
    );
    let publish_on_it = || remembering.publish(publication(shop.dir.path(), "3", 172_800), &shop.signers);
    table.untrusted("index: replayed, published on", with(&index, write(&old_index), publish_on_it));
    let mut other = shop.store.index(&keys).unwrap();
    other.updated = time(1);
    let other = seal(INDEX_TYPE, &serde_json::to_vec(&other).unwrap(), key);
    table.untrusted(
        "index: another one of the same serial",
        with(&index, write(other), || fetched(Some(&memory))),
    );
    fetched(Some(&memory)).unwrap();

    // The provenance by itself.
    let statement = String::from_utf8(read(folder.join(provenance::FILE_NAME))).unwrap();
    provenance::read(statement.as_bytes(), &keys).unwrap();
    for (what, text) in [
        ("payload type changed", statement.replace(provenance::PAYLOAD_TYPE, INDEX_TYPE)),
        ("the index", text),
        (
            "by a stranger",
            seal(provenance::PAYLOAD_TYPE, b"{\"_type\":\"https://in-toto.io/Statement/v1\"}", &stranger),
        ),
        ("no statement", seal(provenance::PAYLOAD_TYPE, b"{}", key)),
        ("cut", statement[..statement.len() / 2].to_owned()),
    ] {
        table.untrusted(format!("provenance: {what}"), provenance::read(text.as_bytes(), &keys));
        table
            .untrusted(format!("listed provenance: {what}"), provenance::read_listed(text.as_bytes(), &keys));
    }
    table.done("signatures and envelopes");
}

/// Made by [`keyless::sign`] against a local Fulcio and Rekor, see the fixtures' own test.
const BUNDLE: &str = include_str!("../../../src/release/fixtures/sums.sigstore.json");
const ROOT: &str = include_str!("../../../src/release/fixtures/trusted_root.json");

#[test]
fn sigstore_bundles_that_do_not_hold() {
    let mut table = Table::default();
    let (me, issuer) = ("me", "https://issuer.example");
    keyless::verify(b"sums", BUNDLE, ROOT, me, issuer).unwrap();
    for part in 0..8 {
        let cut = &BUNDLE[..BUNDLE.len() * part / 8];
        table.untrusted(format!("cut to {part} eighths"), keyless::verify(b"sums", cut, ROOT, me, issuer));
    }
    for identity in ["you", "ME", "me ", "me@example.org", "*", ""] {
        let result = keyless::verify(b"sums", BUNDLE, ROOT, identity, issuer);
        table.untrusted(format!("of another identity: {identity:?}"), result);
    }
    for other in
        ["https://other.example", "https://issuer.example/", "http://issuer.example", "issuer.example", ""]
    {
        table.untrusted(
            format!("by another issuer: {other:?}"),
            keyless::verify(b"sums", BUNDLE, ROOT, me, other),
        );
    }
    for bytes in ["sumz", "sums\n", ""] {
        table.untrusted(
            format!("of other bytes: {bytes:?}"),
            keyless::verify(bytes.as_bytes(), BUNDLE, ROOT, me, issuer),
        );
    }
    // Every value of the bundle in turn.
    let bundle: serde_json::Value = serde_json::from_str(BUNDLE).unwrap();
    for pointer in [
        "/messageSignature/signature",
        "/messageSignature/messageDigest/digest",
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries",
        "/verificationMaterial",
    ] {
        let mut other = bundle.clone();
        let value = other.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        *value = match value {
            serde_json::Value::String(text) => {
                let middle = text.len() / 2;
                let byte = if &text[middle..=middle] == "A" { "B" } else { "A" };
                format!("{}{byte}{}", &text[..middle], &text[middle + 1..]).into()
            }
            serde_json::Value::Array(_) => serde_json::json!([]),
            _ => serde_json::json!({}),
        };
        table.untrusted(
            format!("{pointer} changed"),
            keyless::verify(b"sums", &other.to_string(), ROOT, me, issuer),
        );
    }
    // A catalog that asks for bundles takes no release without one, or with another's.
    let mut shop = Shop::new();
    let manifest = shop.publish("1", 0);
    let keyless =
        KeylessTrust { trusted_root: ROOT.to_owned(), identity: me.to_owned(), issuer: issuer.to_owned() };
    shop.signers.trust = shop.keys().with_keyless(Some(keyless));
    let path = shop.folder(&manifest).join(keyless::FILE_NAME);
    let runtime = runtime();
    let mut look = |what: &str| {
        let to = tempfile::tempdir().unwrap();
        table.untrusted(
            format!("fetched: {what}"),
            runtime.block_on(shop.fetch(&shop.path(), to.path(), None)),
        );
        table.case(what, !shop.defects(&manifest).is_empty());
    };
    look("no bundle");
    std::fs::write(&path, BUNDLE).unwrap();
    look("the bundle of other bytes");
    std::fs::write(&path, &BUNDLE[..BUNDLE.len() / 2]).unwrap();
    look("half a bundle");
    table.done("Sigstore bundles");
}

#[test]
fn openpgp_signatures_that_do_not_hold() {
    let mut table = Table::default();
    let (mine, theirs) = (openpgp_key("a@example.org"), openpgp_key("b@example.org"));
    let mut shop = Shop::new();
    let certificate = mine.public_armour().unwrap();
    shop.signers.trust = shop.keys().with_openpgp(Some(certificate));
    shop.signers.openpgp = Some(mine);
    let manifest = shop.publish("1", 0);
    assert_eq!(shop.defects(&manifest), []);
    let examined = shop.store.examine(&image(), &manifest.version, &shop.keys()).unwrap();
    assert!(examined.vouched.iter().any(|v| v.what == "openpgp-signature"), "{:?}", examined.vouched);
    let folder = shop.folder(&manifest);
    let asc = folder.join("SHA256SUMS.asc");
    let sums = std::fs::read(folder.join("SHA256SUMS")).unwrap();
    let good = std::fs::read_to_string(&asc).unwrap();
    let own = shop.signers.openpgp.as_ref().unwrap();
    for (what, text) in [
        ("by another key", theirs.sign(&sums, time(0)).unwrap()),
        ("of other bytes", own.sign(b"other", time(0)).unwrap()),
        ("cut", good[..good.len() / 2].to_owned()),
        ("empty", String::new()),
        ("a public key", own.public_armour().unwrap()),
    ] {
        table.case(what, with(&asc, write(text), || !shop.defects(&manifest).is_empty()));
    }
    table.case(
        "missing",
        with(&asc, |path, _| std::fs::remove_file(path).unwrap(), || !shop.defects(&manifest).is_empty()),
    );
    table.done("OpenPGP signatures");
}

/// A key made by gpg.
fn openpgp_key(user: &str) -> openpgp::SecretKey {
    let home = tempfile::Builder::new().prefix("g").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let homedir = home.path().to_str().unwrap();
    let base =
        ["--batch", "--quiet", "--homedir", homedir, "--pinentry-mode", "loopback", "--passphrase", ""];
    let gpg = |args: &[&str]| {
        let output = run(home.path(), "gpg", &[&base[..], args].concat());
        assert!(output.status.success(), "{}", output.tail());
        output
    };
    gpg(&["--faked-system-time", "1600000000", "--quick-generate-key", user, "ed25519", "default", "never"]);
    let secret = gpg(&["--armor", "--export-secret-keys"]).stdout;
    run(home.path(), "gpgconf", &["--homedir", homedir, "--kill", "all"]);
    openpgp::SecretKey::parse(&secret, None).unwrap()
}
