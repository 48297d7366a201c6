//! Who vouches for a builder: real gpg and signify keys, and every way in which they do not.

use super::fixture::{Usign, World};
use bootwright::effects::{Cancel, Output, Process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A home of gpg with one key, whose subkey signs.
struct Gpg(tempfile::TempDir);

impl Gpg {
    /// Makes a key; at another time than now where `time` says so (`20200101T000000`).
    fn new(expires: &str, time: Option<&str>) -> Self {
        let home = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
        fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let gpg = Self(home);
        gpg.at(time, &["--quick-generate-key", "OpenWrt Test <wrt@example.org>", "ed25519", "cert", "never"]);
        let fingerprint = gpg.fingerprint();
        gpg.at(time, &["--quick-add-key", &fingerprint, "ed25519", "sign", expires]);
        gpg
    }

    fn at(&self, time: Option<&str>, args: &[&str]) -> Output {
        let mut gpg =
            Process::new("gpg").args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"]);
        gpg = gpg.args(["--passphrase", ""]).arg("--homedir").arg(self.0.path());
        if let Some(time) = time {
            gpg = gpg.args(["--faked-system-time", &format!("{time}!")]);
        }
        gpg.args(args).check(&Cancel::default()).unwrap()
    }

    fn fingerprint(&self) -> String {
        let listed = self.at(None, &["--with-colons", "--list-keys"]).text();
        let line = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().to_owned();
        line.trim_matches(':').to_owned()
    }

    fn export(&self, to: &Path) {
        let public = self.at(None, &["--armor", "--export"]);
        fs::write(to, public.stdout).unwrap();
    }

    /// Signs a release's list, which is written anew.
    fn sign(&self, world: &World, time: Option<&str>, more: &[&str]) {
        world.list("24.10.5", "x86/64");
        let list = world.folder("24.10.5", "x86/64").join("sha256sums");
        let args = [more, &["--armor", "--detach-sign", list.to_str().unwrap()]].concat();
        self.at(time, &args);
        let _ = fs::remove_file(list.with_extension("sig"));
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let agent = Process::new("gpgconf").arg("--homedir").arg(self.0.path()).args(["--kill", "all"]);
        let _ = agent.run(&Cancel::default());
    }
}

/// A world that trusts this key, whose subkey signed its list.
fn signed_by(gpg: &Gpg, time: Option<&str>, more: &[&str]) -> World {
    let world = World::new();
    gpg.sign(&world, time, more);
    gpg.export(&world.catalog().join("keys/openwrt.asc"));
    world.settings(&[&world.folder_url()], "keys: [keys/openwrt.asc]");
    world
}

/// The refusal of 24.10.5: nothing of the archive may be there afterwards.
fn refusal(world: &World) -> Value {
    let error = world.ensure("24.10.5", "x86/64").error();
    assert_eq!(error["code"], "E3003", "{error}");
    assert!(!world.cache().join("openwrt-builders").exists());
    assert_eq!(world.leftovers(), Vec::<String>::new());
    error
}

fn details(error: &Value) -> String {
    let lines = error["details"]["output"].as_array().cloned().unwrap_or_default();
    lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[test]
fn openpgp_subkeys_sign_and_what_expired_was_revoked_or_is_unknown_does_not() {
    let gpg = Gpg::new("never", None);
    let world = signed_by(&gpg, None, &[]);
    let report = world.ensure("24.10.5", "x86/64").report();
    assert_eq!(report["builder"]["signedBy"], serde_json::json!([format!("openpgp:{}", gpg.fingerprint())]));

    // One byte of the list is another: whatever else is good.
    let world = signed_by(&gpg, None, &[]);
    let list = world.folder("24.10.5", "x86/64").join("sha256sums");
    fs::write(&list, fs::read_to_string(&list).unwrap() + "\n").unwrap();
    let error = refusal(&world);
    assert!(error["message"].as_str().unwrap().contains("not a signature of this"), "{error}");

    // Another key that is trusted made none of it.
    let other = Gpg::new("never", None);
    other.export(&world.catalog().join("keys/openwrt.asc"));
    assert!(details(&refusal(&world)).contains("another key"));

    let long_ago = Some("20200101T000000");
    let expired = Gpg::new("1d", long_ago);
    let error = refusal(&signed_by(&expired, long_ago, &[]));
    assert!(details(&error).contains("has expired"), "{error}");

    let lasting = Gpg::new("never", long_ago);
    let error = refusal(&signed_by(&lasting, long_ago, &["--default-sig-expire", "1d"]));
    assert!(details(&error).contains("the signature by key"), "{error}");

    let revoked = Gpg::new("never", None);
    let world = signed_by(&revoked, None, &[]);
    let made = revoked.0.path().join(format!("openpgp-revocs.d/{}.rev", revoked.fingerprint()));
    let text = fs::read_to_string(&made).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&made, text).unwrap();
    revoked.at(None, &["--import", made.to_str().unwrap()]);
    revoked.export(&world.catalog().join("keys/openwrt.asc"));
    let error = refusal(&world);
    assert!(details(&error).contains("revoked"), "{error}");
}

#[test]
fn a_good_usign_signature_does_not_cover_up_a_bad_openpgp_one() {
    let gpg = Gpg::new("never", None);
    let world = signed_by(&gpg, None, &[]);
    world.settings(&[&world.folder_url()], "keys: [keys/openwrt.asc, keys/openwrt.pub]");
    let asc = world.folder("24.10.5", "x86/64").join("sha256sums.asc");
    fs::write(world.folder("24.10.5", "x86/64").join("config.buildinfo"), "changed\n").unwrap();
    world.sign("24.10.5", "x86/64");
    let error = refusal(&world);
    assert!(error["message"].as_str().unwrap().contains("sha256sums.asc is not"), "{error}");
    // Where it is by a key that says nothing, the other one is enough.
    fs::remove_file(&asc).unwrap();
    assert_eq!(world.ensure("24.10.5", "x86/64").report()["made"], true);
}

#[test]
fn signify_makes_what_is_taken() {
    let world = World::new();
    let (public, secret) = (world.catalog().join("keys/signify.pub"), world.path().join("signify.sec"));
    let signify = || Process::new("signify-openbsd");
    let made = signify().args(["-G", "-n", "-p"]).arg(&public).arg("-s").arg(&secret);
    made.check(&Cancel::default()).unwrap();
    let list = world.folder("24.10.5", "x86/64").join("sha256sums");
    let signed = signify().args(["-S", "-s"]).arg(&secret).arg("-m").arg(&list).arg("-x");
    signed.arg(list.with_extension("sig")).check(&Cancel::default()).unwrap();
    // The old signature was made by another key.
    let error = refusal(&world);
    assert!(details(&error).contains("another key"), "{error}");
    fs::rename(list.with_extension("sig"), list.with_file_name("sha256sums.sig")).unwrap();
    let error = refusal(&world);
    assert!(details(&error).contains("another key"), "{error}");
    world.settings(&[&world.folder_url()], "keys: [keys/signify.pub]");
    assert_eq!(world.ensure("24.10.5", "x86/64").report()["made"], true);
    // And what we write is what signify takes.
    let (ours, theirs) = (world.path().join("ours.pub"), world.path().join("list.sig"));
    fs::write(&ours, world.key.public()).unwrap();
    fs::write(&theirs, world.key.sign(&fs::read(&list).unwrap())).unwrap();
    let verify = signify().args(["-V", "-p"]).arg(&ours).arg("-x").arg(&theirs).arg("-m").arg(&list);
    verify.check(&Cancel::default()).unwrap();
}

#[test]
fn altered_lists_archives_and_missing_signatures_are_refused() {
    type Change = fn(&World);
    let changes: [(&str, Change); 6] = [
        ("no signature", |w| fs::remove_file(w.folder("24.10.5", "x86/64").join("sha256sums.sig")).unwrap()),
        ("an empty signature", |w| {
            fs::write(w.folder("24.10.5", "x86/64").join("sha256sums.sig"), "").unwrap()
        }),
        ("an altered list", |w| {
            let list = w.folder("24.10.5", "x86/64").join("sha256sums");
            let text = fs::read_to_string(&list).unwrap();
            fs::write(&list, text.replace("config.buildinfo", "config.buildinf0")).unwrap();
        }),
        ("a key of another id", |w| {
            let list = fs::read(w.folder("24.10.5", "x86/64").join("sha256sums")).unwrap();
            fs::write(w.folder("24.10.5", "x86/64").join("sha256sums.sig"), Usign::new(8).sign(&list))
                .unwrap();
        }),
        ("the signed list of another release", |w| {
            for name in ["sha256sums", "sha256sums.sig"] {
                let (from, to) = (w.folder("24.10.4", "x86/64"), w.folder("24.10.5", "x86/64"));
                fs::copy(from.join(name), to.join(name)).unwrap();
            }
        }),
        ("the signed list of another target", |w| {
            for name in ["sha256sums", "sha256sums.sig"] {
                let (from, to) = (w.folder("24.10.5", "ramips/mt7621"), w.folder("24.10.5", "x86/64"));
                fs::copy(from.join(name), to.join(name)).unwrap();
            }
        }),
    ];
    for (what, change) in changes {
        let world = World::new();
        change(&world);
        println!("{what}: {}", refusal(&world)["message"]);
    }
    // The list is good, the archive is another.
    let world = World::new();
    let archive = world.archive("24.10.5", "x86/64", "zst");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let error = world.ensure("24.10.5", "x86/64").error();
    assert_eq!(error["class"], "upstream", "{error}");
    assert!(details(&error).contains("wrong bytes"), "{error}");
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn unsigned_is_taken_by_wish_only_told_of_and_not_taken_later() {
    let world = World::new();
    fs::remove_file(world.folder("24.10.5", "x86/64").join("sha256sums.sig")).unwrap();
    refusal(&world);
    world.settings(&[&world.folder_url()], "unsigned: true");
    let said = world.ensure("24.10.5", "x86/64");
    assert_eq!(said.report()["builder"]["signedBy"], serde_json::json!([]));
    assert!(said.words().contains("nobody has signed it"), "{}", said.words());
    // With keys again, what lies there unsigned does not count: neither online nor offline.
    world.settings(&["http://127.0.0.1:9"], "keys: [keys/openwrt.pub]");
    let offline = world.run(&["--offline", "openwrt", "builder", "ensure", "24.10.5", "x86/64"]);
    assert_eq!(offline.error()["code"], "OFFLINE");
    world.settings(&[&world.folder_url()], "keys: [keys/openwrt.pub]");
    assert_eq!(world.ensure("24.10.5", "x86/64").error()["code"], "E3003");
    // Vouched for by now: the bytes are the same, and the record says by whom.
    world.sign("24.10.5", "x86/64");
    let report = world.ensure("24.10.5", "x86/64").report();
    assert_eq!(report["made"], false);
    assert_eq!(report["builder"]["signedBy"], serde_json::json!(["usign:0707070707070707"]));
}

#[test]
fn what_is_no_key_is_refused_before_anything_is_asked() {
    let world = World::new();
    for (text, code) in [
        (None, "E1001"),
        (Some("hello\n"), "VALIDATION_ERROR"),
        (Some("untrusted comment: x\nAAAA\n"), "VALIDATION_ERROR"),
    ] {
        let path = world.catalog().join("keys/openwrt.pub");
        match text {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let error = world.ensure("24.10.5", "x86/64").error();
        assert_eq!(
            (&error["class"], &error["code"]),
            (&Value::from("spec"), &Value::from(code)),
            "{text:?} {error}"
        );
    }
}
