//! The keys of a catalog in the hands of a user: listed, rotated, retired, and the plan that
//! follows.

use super::release::{publication_of, signers};
use bootwright::catalog::{self, Location};
use bootwright::model::observed::Defect;
use bootwright::release::{PublicKey, Signers, Store};
use bootwright::resolve;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SPEC: &str = "apiVersion: bootwright/v1
kind: OsImage
metadata: {name: demo}
spec: {base: debian, suite: bookworm, channel: edge, outputs: [iso, oci]}
";

struct Catalog {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
}

impl Catalog {
    /// A catalog whose one image is published already, signed with the key `a`.
    fn published() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let catalog = Self { dir: temporary.path().join("catalog"), _temporary: temporary };
        std::fs::create_dir_all(catalog.dir.join("specs")).unwrap();
        std::fs::create_dir_all(catalog.dir.join("keys")).unwrap();
        std::fs::write(catalog.dir.join("specs/demo.yaml"), SPEC).unwrap();
        let signers = signers(&catalog.dir.join("keys"), "a.key");
        catalog.settings(&[catalog.entry("a", signers.key.public(), "")]);
        catalog.publish(&signers);
        catalog
    }

    fn settings(&self, entries: &[String]) {
        let text = format!(
            "# Kept by hand.\napiVersion: bootwright/v1\nkind: Settings\nsigning:\n  keys:\n{}",
            entries.concat()
        );
        std::fs::write(self.dir.join("bootwright.yaml"), text).unwrap();
    }

    fn entry(&self, name: &str, key: &PublicKey, more: &str) -> String {
        let pem: String = key.pem().lines().map(|line| format!("        {line}\n")).collect();
        format!("    - name: {name}\n      public: |\n{pem}      private: keys/{name}.key\n{more}")
    }

    fn publish(&self, signers: &Signers) {
        let read = catalog::read(&Location::WorkTree(self.dir.clone()), Path::new("")).unwrap();
        let (loaded, found) = catalog::check(&read);
        let loaded = loaded.unwrap_or_else(|| panic!("{}", catalog::diagnostic::render(&found, false)));
        let document = &loaded.images[&"demo".parse().unwrap()];
        let lock = super::catalog::recipes::answer(&document.spec);
        std::fs::write(self.dir.join("specs/demo.lock.yaml"), catalog::lock_text(&lock)).unwrap();
        let recipe = resolve::resolve(document, lock.clone(), &loaded.settings).unwrap().recipe;
        let publication = publication_of(self.dir.parent().unwrap(), lock, recipe, "1", 0);
        self.store().publish(publication, signers).unwrap();
    }

    fn store(&self) -> Store {
        Store::open(self.dir.join("releases"))
    }

    #[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootwright"));
        command.current_dir(&self.dir).args(args).env_remove("BOOTWRIGHT_KEY_PASSPHRASE");
        command.output().unwrap()
    }

    /// What a command says, once it ended as it should.
    fn says(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        let all = [output.stdout.as_slice(), b"\n", &output.stderr].concat();
        let text = String::from_utf8(all).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        text
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--output", "json"], args].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e} {output:?}"))
    }
}

#[test]
fn a_key_is_rotated_and_retired_and_the_store_follows() {
    let catalog = Catalog::published();
    let a = signers(&catalog.dir.join("keys"), "a.key").key;
    assert!(catalog.says(&["plan", "--exit-code"], 0).contains("1 up to date"));
    let list = catalog.json(&["key", "list"]);
    assert_eq!(
        (list["keys"][0]["term"].as_str(), list["keys"][0]["here"].as_bool()),
        (Some("active"), Some(true))
    );
    // The last valid key stays.
    let refused = catalog.says(&["key", "retire", "a"], 2);
    assert!(refused.contains("the last valid signing key is retired"), "{refused}");

    // Its successor: nothing is edited, the lines are shown.
    let before = std::fs::read_to_string(catalog.dir.join("bootwright.yaml")).unwrap();
    let change = catalog.json(&["key", "rotate", "b", "--overlap", "20"]);
    assert_eq!(std::fs::read_to_string(catalog.dir.join("bootwright.yaml")).unwrap(), before);
    let (entry, until) = (&change["edits"][0]["lines"], &change["edits"][1]["lines"]);
    let old = catalog.entry("a", a.public(), until.as_str().unwrap());
    catalog.settings(&[old, entry.as_str().unwrap().to_owned()]);
    catalog.says(&["check"], 0);
    let list = catalog.says(&["key", "list"], 0);
    assert_eq!(list.matches("active").count(), 2, "{list}");
    let plan = catalog.says(&["plan", "--exit-code"], 3);
    assert!(
        plan.contains("is not signed by a key that goes on: a (") && plan.contains("1 to sign again"),
        "{plan}"
    );
    catalog.says(&["release", "verify", "demo"], 0);
    assert!(catalog.says(&["key", "rotate", "b"], 2).contains("already"));
    assert!(catalog.says(&["key", "rotate", "c"], 2).contains("several keys are active"));
    let retire = catalog.says(&["key", "retire", "a"], 0);
    assert!(retire.contains("until: 20"), "{retire}");

    // Its end.
    let ended = catalog.entry("a", a.public(), "      until: 2024-01-01\n");
    catalog.settings(&[ended.clone(), entry.as_str().unwrap().to_owned()]);
    catalog.says(&["check"], 0);
    let plan = catalog.says(&["plan", "--exit-code"], 3);
    assert!(plan.contains("is signed by a retired key: a (") && plan.contains("1 to sign again"), "{plan}");
    let refused = catalog.run(&["release", "verify", "demo"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("retired key"));
    let done = catalog.says(&["reconcile"], 0);
    assert!(done.contains("signed again demo"), "{done}");
    assert!(catalog.says(&["plan", "--exit-code"], 0).contains("1 up to date"));
    let verified = catalog.says(&["release", "verify", "demo"], 0);
    assert!(verified.contains("manifest.json  signature  by b ("), "{verified}");

    // With store and keys named, nothing else is needed.
    let (store, key) = (catalog.dir.join("releases"), catalog.dir.join("keys/b.pub"));
    let (store, key) = (store.to_str().unwrap(), key.to_str().unwrap());
    catalog.says(
        &["-C", "/nowhere", "release", "fetch", "demo@edge", "--to", "alone", "--store", store, "--key", key],
        0,
    );
    catalog.says(&["-C", "/nowhere", "release", "verify", "./alone", "--key", key], 0);
    let other = catalog.dir.join("keys/a.pub");
    std::fs::write(&other, a.public().pem()).unwrap();
    let other = other.to_str().unwrap();
    let two = ["release", "verify", "./alone", "--key", key, "--key", other, "--threshold", "2"];
    assert!(catalog.says(&two, 7).contains("1 of 2 needed keys"));
    assert!(
        catalog
            .says(&["release", "verify", "./alone", "--key", key, "--threshold", "2"], 2)
            .contains("1 are given")
    );

    // An old state is refused by who saw the new one.
    let index = catalog.dir.join("releases/index.dsse.json");
    catalog.says(&["release", "fetch", "demo@edge", "--to", "out"], 0);
    let good = std::fs::read(&index).unwrap();
    let store = catalog.store();
    let keys = signers(&catalog.dir.join("keys"), "b.key");
    let stable = "stable".parse().unwrap();
    let version = store.list(keys.keys()).unwrap()[0].version.clone();
    store.promote(&"demo".parse().unwrap(), &version, &stable, &keys, chrono::DateTime::UNIX_EPOCH).unwrap();
    catalog.says(&["release", "fetch", "demo@edge", "--to", "out"], 0);
    std::fs::write(&index, good).unwrap();
    for command in [&["release", "fetch", "demo@edge", "--to", "out"][..], &["plan"], &["reconcile"]] {
        let output = catalog.run(command);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains("this is an old state"), "{command:?}: {words}");
    }

    // Dropping the only valid key.
    catalog.settings(&[ended]);
    for command in ["check", "plan", "reconcile"] {
        let words = catalog.says(&[command], 2);
        assert!(words.contains("the last valid signing key is retired"), "{command}: {words}");
    }
    assert!(catalog.says(&["check"], 2).contains("bootwright.yaml:5:"), "with its place");
}

#[test]
fn settings_that_cannot_hold_are_refused_with_their_place() {
    let catalog = Catalog::published();
    let (a, b) =
        (signers(&catalog.dir.join("keys"), "a.key").key, signers(&catalog.dir.join("keys"), "b.key").key);
    let entry = |name: &str, more: &str| {
        let key = if name == "b" { b.public() } else { a.public() };
        catalog.entry(name, key, more)
    };
    for (entries, more, words) in [
        (vec![entry("a", ""), entry("a", "")], "", "two keys are called a"),
        (vec![entry("a", ""), entry("twin", "")], "", "stands in the list twice"),
        (
            vec![entry("a", "      from: 2025-01-01\n      until: 2024-01-01\n"), entry("b", "")],
            "",
            "before it begins",
        ),
        (vec![entry("a", "      until: tomorrow\n")], "", "is not a date"),
        (vec![entry("a", "")], "  threshold: 2\n", "2 keys must have signed, and the catalog has 1"),
        (
            vec![entry("a", ""), entry("b", "      until: 2024-01-01\n")],
            "  threshold: 2\n",
            "greater than the number of active keys",
        ),
        (vec![entry("a", "")], "  threshold: 0\n", "out of range"),
        (vec![entry("a", "")], "  key: keys/a.key\n", "do not go together"),
        (vec![entry("a", "      from: 2099-01-01\n")], "", "no signing key is active"),
        (vec![entry("a", "")], "  openpgpCertificate: x.asc\n", "nothing makes the signatures"),
        (
            vec![entry("a", "")],
            "  keyless: {fulcioUrl: 'https://f.example', rekorUrl: 'https://r.example', identity: me}\n",
            "nothing reads this",
        ),
        (vec![entry("a", "")], "build: {builderId: me}\n", "is not a URI"),
    ] {
        catalog.settings(&[entries.concat(), more.to_owned()]);
        let report = catalog.json(&["check"]);
        let problems = report["problems"].as_array().unwrap();
        let found = problems.iter().find(|p| p["message"].as_str().unwrap().contains(words));
        let problem = found.unwrap_or_else(|| panic!("{words}: {problems:?}"));
        assert!(problem["line"].as_u64().unwrap() > 3 && problem["file"] == "bootwright.yaml", "{problem}");
        assert!(!catalog.run(&["plan"]).status.success(), "{words}");
    }
    // One key in two forms is one key.
    std::fs::write(catalog.dir.join("keys/a.pub"), a.public().pem().replace('\n', "\r\n")).unwrap();
    catalog.settings(&[entry("a", ""), "    - {name: twin, public: keys/a.pub}\n".to_owned()]);
    assert!(catalog.says(&["check"], 2).contains("are the same key"));
    catalog.settings(&["    - {name: a, public: keys/gone.pub}\n".to_owned()]);
    assert!(catalog.says(&["check"], 2).contains("keys/gone.pub"));
    // The private key of another entry.
    catalog.settings(&[entry("a", "").replace("keys/a.key", "keys/b.key")]);
    let refused = catalog.says(&["release", "promote", "demo", "stable"], 2);
    assert!(refused.contains("this is the private key of"), "{refused}");
    catalog.settings(&[entry("a", "").replace("keys/a.key", "keys/elsewhere.key")]);
    let refused = catalog.says(&["release", "promote", "demo", "stable"], 5);
    assert!(refused.contains("private key of no active signing key"), "{refused}");
    catalog.settings(&[
        entry("a", ""),
        entry("b", "").replace("keys/b.key", "keys/elsewhere.key"),
        "  threshold: 2\n".to_owned(),
    ]);
    assert!(!catalog.run(&["plan"]).status.success(), "the index has one signature");
    // An end without a successor is a warning, in time.
    catalog.settings(&[entry("a", "      until: 2099-01-01\n")]);
    let report = catalog.json(&["check"]);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
    assert!(report["warnings"].to_string().contains("from 2099-01-01T00:00:00Z on too few"), "{report}");
}

#[test]
fn the_short_form_becomes_the_long_one() {
    let catalog = Catalog::published();
    std::fs::write(
        catalog.dir.join("bootwright.yaml"),
        "apiVersion: bootwright/v1\nkind: Settings\nsigning: {key: keys/a.key}\n",
    )
    .unwrap();
    let a = signers(&catalog.dir.join("keys"), "a.key").key;
    std::fs::write(catalog.dir.join("keys/a.pub"), a.public().pem()).unwrap();
    assert!(catalog.says(&["plan"], 0).contains("1 up to date"));
    let change = catalog.json(&["key", "rotate", "next"]);
    let lines = change["edits"][0]["lines"].as_str().unwrap();
    let text = format!("apiVersion: bootwright/v1\nkind: Settings\nsigning:\n{lines}");
    std::fs::write(catalog.dir.join("bootwright.yaml"), text).unwrap();
    catalog.says(&["check"], 0);
    let list = catalog.json(&["key", "list"]);
    let keys = list["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|k| k["term"] == "active" && k["here"] == true), "{list}");
    assert!(keys[0]["until"].is_string() && keys[1]["until"].is_null());
    // Signed again in the overlap, it outlives the old key without a gap.
    let done = catalog.says(&["reconcile"], 0);
    assert!(done.contains("signed again demo"), "{done}");
    assert!(catalog.says(&["plan", "--exit-code"], 0).contains("1 up to date"));
    let until = keys[0]["until"].as_str().unwrap();
    let text = std::fs::read_to_string(catalog.dir.join("bootwright.yaml")).unwrap();
    assert_eq!(text.matches(until).count(), 1, "{until} in {text}");
    std::fs::write(catalog.dir.join("bootwright.yaml"), text.replace(until, "2024-01-01")).unwrap();
    assert!(catalog.says(&["plan", "--exit-code"], 0).contains("1 up to date"));
    catalog.says(&["release", "verify", "demo"], 0);
}

/// Nothing is built that could not be published: the catalog asks for a bundle, and nobody
/// gives a token here.
#[test]
fn a_build_without_the_identity_that_signs_is_refused_first() {
    let catalog = Catalog::published();
    let a = signers(&catalog.dir.join("keys"), "a.key").key;
    let root = include_str!("../../src/release/fixtures/trusted_root.json");
    std::fs::write(catalog.dir.join("keys/root.json"), root).unwrap();
    let keyless = "  keyless: {fulcioUrl: 'https://f.example', rekorUrl: 'https://r.example', trustedRoot: keys/root.json, identity: me, issuer: 'https://issuer.example'}\n";
    catalog.settings(&[catalog.entry("a", a.public(), ""), keyless.to_owned()]);
    catalog.says(&["check"], 0);
    let refused = catalog.says(&["reconcile", "--force", "demo"], 5);
    assert!(refused.contains("there is no identity token here"), "{refused}");
    let report = catalog.json(&["release", "verify", "demo"]);
    let bundle = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["file"] == "SHA256SUMS.sigstore.json")
        .unwrap();
    assert_eq!(bundle["passed"], false, "{report}");
    // Promoting signs no new checksums.
    catalog.says(&["release", "promote", "demo", "stable"], 0);
}

/// A key that leaked is taken out: what it signed is a stranger's, and is not signed again.
#[test]
fn what_a_dropped_key_signed_is_not_signed_again() {
    let catalog = Catalog::published();
    let b = signers(&catalog.dir.join("keys"), "b.key");
    catalog.settings(&[catalog.entry("b", b.key.public(), "")]);
    for command in ["plan", "reconcile"] {
        let output = catalog.run(&[command]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains("no trusted key signed it"), "{words}");
        assert!(words.contains("signing.keys"), "{words}");
    }
    let version = "20231114-00000000".parse().unwrap();
    let refused = catalog.store().verify(&"demo".parse().unwrap(), &version, b.keys());
    assert!(refused.is_err_and(|f| f.code == bootwright::model::ErrorCode::Untrusted));
    let defect = Defect::BadSignature { file: "manifest.json".into() };
    assert!(!defect.is_outlived());
}
