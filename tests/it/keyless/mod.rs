//! Keyless signatures against a local Fulcio and Rekor: a reconcile signs with an identity
//! token, our own check takes the release, and the Python Sigstore client takes the same bundle.
//!
//! The services are the handlers of the npm package `@sigstore/mock` (`sigstore.js`); they and
//! the Python client lie in `.test-tools/`, where `make setup-test` puts them.

use super::crash::command;
use super::crash::world::{Said, World, spec};
use crate::tools::tool;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bootwright::model::ErrorCode;
use bootwright::model::settings::Keyless;
use bootwright::release::keyless;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const IDENTITY: &str = "https://ci.example/images/.ci/reconcile.yml@refs/heads/main";
const ISSUER: &str = "https://token.ci.example";
const BUNDLE: &str = keyless::FILE_NAME;

/// A local Fulcio and Rekor that answer until this goes.
struct Sigstore {
    running: Child,
    dir: tempfile::TempDir,
    url: String,
}

impl Sigstore {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// Whose certificates hold for ten minutes of a day long ago.
    fn of_the_past() -> Self {
        Self::start_with(&["2024-06-01T12:00:00Z"])
    }

    fn start_with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/keyless/sigstore.js");
        let mut running = command("node")
            .arg(script)
            .arg(dir.path())
            .args(args)
            .env("NODE_TOOLS", tool("node"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self { running, dir, url: said["url"].as_str().unwrap().to_owned() }
    }

    fn services(&self) -> Keyless {
        Keyless {
            fulcio_url: self.url.clone(),
            rekor_url: self.url.clone(),
            trusted_root: None,
            identity: None,
            issuer: None,
        }
    }

    fn trusted_root(&self) -> String {
        fs::read_to_string(self.dir.path().join("trusted_root.json")).unwrap()
    }

    /// What the Python client says of a bundle.
    fn python_takes(&self, file: &Path, bundle: &Path, identity: &str, issuer: &str) -> Result<(), String> {
        let done = command(tool("test/bin/python").to_str().unwrap())
            .args(["-m", "sigstore", "--trust-config"])
            .arg(self.dir.path().join("trust_config.json"))
            .args(["verify", "identity", "--offline", "--cert-identity", identity])
            .args(["--cert-oidc-issuer", issuer, "--bundle"])
            .args([bundle, file])
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        if done.status.success() { Ok(()) } else { Err(words) }
    }

    fn sign(&self, bytes: &[u8]) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(keyless::sign(bytes, &self.services(), &token(IDENTITY))).unwrap()
    }
}

impl Drop for Sigstore {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

/// A token as a CI system gives it. The local services believe what stands in it.
fn token(subject: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": "sigstore", "iat": 1_700_000_000, "exp": 4_000_000_000_u64,
    });
    format!("{}.{}.c2VjcmV0c2lnbmF0dXJl", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims))
}

/// A catalog of the smallest distribution that signs with an identity.
fn catalog(sigstore: &Sigstore) -> World {
    let world = World::new("[oci]");
    let settings = world.settings("releases", ".bootwright").replace(
        "signing: {key: keys/bootwright.key}",
        &format!(
            "signing:\n  key: keys/bootwright.key\n  keyless:\n    fulcioUrl: {url}\n    rekorUrl: {url}\n    \
             trustedRoot: keys/trusted_root.json\n    identity: {IDENTITY}\n    issuer: {ISSUER}",
            url = sigstore.url
        ),
    );
    world.write("bootwright.yaml", &settings);
    world.write("keys/trusted_root.json", &sigstore.trusted_root());
    world.commit("Sign with an identity");
    world
}

fn reconcile(world: &World, subject: &str) -> Said {
    world.run_with(&["reconcile"], |command| {
        command.env("SIGSTORE_ID_TOKEN", token(subject));
    })
}

fn published(world: &World) -> PathBuf {
    let said = reconcile(world, IDENTITY);
    assert!(said.output.status.success(), "{}", said.words());
    assert!(!said.words().contains(&token(IDENTITY)), "the token was shown");
    let versions = said.published();
    world.store().join("tiny").join(&versions[0])
}

fn verify(world: &World) -> Said {
    world.run(&["release", "verify", "tiny"])
}

#[test]
fn a_reconcile_signs_keyless_and_two_clients_check_it() {
    let sigstore = Sigstore::start();
    let world = catalog(&sigstore);
    let first = published(&world);
    let (sums, bundle) = (first.join("SHA256SUMS"), first.join(BUNDLE));
    let said = verify(&world);
    assert!(said.output.status.success(), "{}", said.words());
    assert!(said.words().contains(IDENTITY), "nobody says who signed: {}", said.words());
    sigstore.python_takes(&sums, &bundle, IDENTITY, ISSUER).unwrap();

    // The same bundle beside another release.
    world.write("specs/tiny.yaml", &format!("{}  defaults: {{hostname: other}}\n", spec("tiny", "[oci]")));
    world.commit("Another host name");
    let second = published(&world);
    assert_ne!(first, second);
    sigstore.python_takes(&second.join("SHA256SUMS"), &second.join(BUNDLE), IDENTITY, ISSUER).unwrap();
    let own = fs::read(second.join(BUNDLE)).unwrap();
    let mut must_fail = 0;
    let mut refused = |what: &str, said: &Said| {
        must_fail += 1;
        assert!(!said.output.status.success(), "{what}: {}", said.words());
        assert!(said.words().contains("SHA256SUMS"), "{what}: {}", said.words());
    };
    fs::copy(&bundle, second.join(BUNDLE)).unwrap();
    refused("the bundle of another release", &verify(&world));
    fs::remove_file(second.join(BUNDLE)).unwrap();
    refused("no bundle", &verify(&world));
    fs::write(second.join(BUNDLE), &own).unwrap();
    assert!(verify(&world).output.status.success());
    let settings = fs::read_to_string(world.dir.join("bootwright.yaml")).unwrap();
    for (what, from, to) in [
        ("another identity", IDENTITY, "https://ci.example/images/.ci/other.yml@refs/heads/main"),
        ("another branch", "refs/heads/main", "refs/heads/mine"),
        ("another issuer", ISSUER, "https://token.other.example"),
    ] {
        world.write("bootwright.yaml", &settings.replace(from, to));
        world.commit(what);
        refused(what, &verify(&world));
    }
    println!("must-fail cases of a release's bundle: {must_fail}");
}

/// A bundle with one thing changed.
fn changed(bundle: &str, pointer: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(bundle).unwrap();
    change(value.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")));
    let text = value.to_string();
    assert_ne!(serde_json::from_str::<Value>(bundle).unwrap(), value, "{pointer} is as it was");
    text
}

/// Base64 with one bit of its bytes turned.
fn turned(value: &mut Value) {
    let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    *value = Value::from(STANDARD.encode(bytes));
}

#[test]
fn two_clients_refuse_the_same_bundles() {
    let (sigstore, other, past) = (Sigstore::start(), Sigstore::start(), Sigstore::of_the_past());
    let root = sigstore.trusted_root();
    let good = sigstore.sign(b"sums");
    let entry = "/verificationMaterial/tlogEntries/0";
    let removed = |bundle: &str, pointer: &str, field: &str| {
        changed(bundle, pointer, |v| drop(v.as_object_mut().unwrap().remove(field)))
    };
    let with_others_entry = changed(&good, entry, |v| {
        let strange: Value = serde_json::from_str(&sigstore.sign(b"other")).unwrap();
        *v = strange.pointer(entry).unwrap().clone();
    });
    let with_others_certificate = changed(&good, "/verificationMaterial/certificate", |v| {
        let strange: Value = serde_json::from_str(&sigstore.sign(b"sums")).unwrap();
        *v = strange.pointer("/verificationMaterial/certificate").unwrap().clone();
    });
    // What was changed, the bundle, the bytes, identity and issuer, and whose roots count.
    let plain = |what: &'static str, bundle: String| (what, bundle, "sums", IDENTITY, ISSUER, &sigstore);
    let cases = [
        ("other bytes", good.clone(), "sumz", IDENTITY, ISSUER, &sigstore),
        ("no bytes", good.clone(), "", IDENTITY, ISSUER, &sigstore),
        ("another identity", good.clone(), "sums", "https://ci.example/other", ISSUER, &sigstore),
        ("a part of the identity", good.clone(), "sums", "https://ci.example/images", ISSUER, &sigstore),
        ("another issuer", good.clone(), "sums", IDENTITY, "https://token.other.example", &sigstore),
        ("the root of others", good.clone(), "sums", IDENTITY, ISSUER, &other),
        ("the bundle of others", other.sign(b"sums"), "sums", IDENTITY, ISSUER, &sigstore),
        ("a certificate that had expired", past.sign(b"sums"), "sums", IDENTITY, ISSUER, &past),
        plain("no log entry", changed(&good, "/verificationMaterial/tlogEntries", |v| *v = json!([]))),
        plain("no log entries at all", removed(&good, "/verificationMaterial", "tlogEntries")),
        plain("the log entry of another bundle", with_others_entry),
        plain("the certificate of another bundle", with_others_certificate),
        plain("no promise of the log", removed(&good, entry, "inclusionPromise")),
        plain(
            "a turned bit in the promise",
            changed(&good, &format!("{entry}/inclusionPromise/signedEntryTimestamp"), turned),
        ),
        plain("a turned bit in the entry", changed(&good, &format!("{entry}/canonicalizedBody"), turned)),
        plain(
            "another time in the log",
            changed(&good, &format!("{entry}/integratedTime"), |v| *v = json!("1717243201")),
        ),
        plain("another log", changed(&good, &format!("{entry}/logId/keyId"), turned)),
        plain("a turned bit in the signature", changed(&good, "/messageSignature/signature", turned)),
        plain(
            "a turned bit in the certificate",
            changed(&good, "/verificationMaterial/certificate/rawBytes", turned),
        ),
        plain("no certificate", removed(&good, "/verificationMaterial", "certificate")),
        plain("cut off", good[..good.len() / 2].to_owned()),
        plain("nothing", "{}".to_owned()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (file, path) = (dir.path().join("file"), dir.path().join("bundle.json"));
    fs::write(&file, "sums").unwrap();
    fs::write(&path, &good).unwrap();
    keyless::verify(b"sums", &good, &root, IDENTITY, ISSUER).unwrap();
    sigstore.python_takes(&file, &path, IDENTITY, ISSUER).unwrap();
    for (what, bundle, bytes, identity, issuer, services) in &cases {
        let ours = keyless::verify(bytes.as_bytes(), bundle, &services.trusted_root(), identity, issuer);
        let failure = ours.err().unwrap_or_else(|| panic!("{what} was taken"));
        assert_eq!(failure.code, ErrorCode::Untrusted, "{what}: {failure}");
        fs::write(&file, bytes).unwrap();
        fs::write(&path, bundle).unwrap();
        let python = services.python_takes(&file, &path, identity, issuer);
        assert!(python.is_err(), "the Python client takes {what}");
    }
    println!("must-fail cases of a bundle, each refused by both clients: {}", cases.len());
}

#[test]
fn nothing_goes_out_without_the_services() {
    let sigstore = Sigstore::start();
    let world = catalog(&sigstore);
    let down = sigstore.url.clone();
    drop(sigstore);
    let said = reconcile(&world, IDENTITY);
    let failed = &said.report()["failed"][0]["failure"];
    assert_eq!(failed["class"], "upstream", "{}", said.words());
    assert!(failed["message"].as_str().unwrap().contains(&down), "{failed}");
    assert!(!said.words().contains(&token(IDENTITY)), "the token was shown");
    assert_eq!(said.published(), Vec::<String>::new());
    let releases = fs::read_dir(world.store().join("tiny")).map(Iterator::count).unwrap_or_default();
    assert_eq!(releases, 0, "a release without its bundle lies in the store");
}

#[test]
fn a_bundle_that_readers_would_refuse_is_not_published() {
    let (sigstore, past) = (Sigstore::start(), Sigstore::of_the_past());
    let mut must_fail = 0;
    // A token of somebody else; a certificate that has expired when the log sees it.
    for (services, subject) in [(&sigstore, "https://ci.example/other"), (&past, IDENTITY)] {
        let world = catalog(services);
        let said = reconcile(&world, subject);
        assert!(!said.output.status.success(), "{}", said.words());
        assert_eq!(said.report()["failed"][0]["failure"]["code"], "E3003", "{}", said.words());
        assert_eq!(said.published(), Vec::<String>::new());
        must_fail += 1;
    }
    // Nobody vouches at all: it is not signed by the key alone.
    let world = catalog(&sigstore);
    let said = world.reconcile();
    assert!(said.words().contains("no identity token"), "{}", said.words());
    assert_eq!(said.published(), Vec::<String>::new());
    println!("must-fail cases of publishing keyless: {}", must_fail + 1);
}
