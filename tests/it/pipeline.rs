//! The whole way on real input: a git catalog, the host's mirrors, real packages, real
//! boots, a signed release that other tools check.
//!
//! The slow tests share one catalog image and one package cache, and run one at a time.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The standard small system: boots under BIOS only here, `make demo` boots all ways.
const SPEC: &str = r#"apiVersion: bootwright/v1
kind: OsImage
metadata: {name: small, description: A small system for tests}
spec:
  base: debian
  suite: bookworm
  channel: edge
  outputs: [iso, oci]
  packages: {utils: [sudo]}
  defaults:
    hostname: small
    users: [{name: admin, sudo: true}]
  securityFeatures:
    firewall: {policy: deny, rules: [{action: allow, port: 22}]}
    ssh: {}
  verify: {boot: [bios], dwellSeconds: 2, units: [ssh.service, nftables.service], ports: [22]}
"#;

#[expect(clippy::disallowed_methods, reason = "tests start programs as a user does")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn bootwright(dir: &Path, args: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
    command.current_dir(dir).args(args).env_remove("BOOTWRIGHT_KEY_PASSPHRASE");
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    bootwright(dir, args).output().unwrap()
}

fn words(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let output = run(dir, &[&["--output", "json"], args].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", words(&output)))
}

fn git(dir: &Path, args: &[&str]) {
    let done = command("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {args:?}: {}", words(&done));
}

/// A catalog with one spec, made by `init` as a user makes it.
struct Catalog {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
}

impl Catalog {
    fn new(spec: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("catalog");
        let made = run(temporary.path(), &["init", "catalog"]);
        assert!(made.status.success(), "{}", words(&made));
        std::fs::remove_file(dir.join("specs/hello.yaml")).unwrap();
        let catalog = Self { _temporary: temporary, dir };
        // Tests look at the way, not at small files.
        catalog.edit("bootwright.yaml", "compression: balanced", "compression: fast");
        catalog.write("specs/small.yaml", spec);
        catalog.commit("A small image");
        catalog
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.dir.join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }

    fn commit(&self, message: &str) {
        git(&self.dir, &["add", "--all"]);
        git(&self.dir, &["commit", "--quiet", "--message", message]);
    }

    fn release(&self, version: &str) -> PathBuf {
        self.dir.join("releases/small").join(version)
    }
}

/// Mounts and processes that have to do with a folder.
fn left_behind(dir: &Path) -> Vec<String> {
    let needle = dir.to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut left: Vec<String> = mounts.lines().filter(|l| l.contains(&needle)).map(str::to_owned).collect();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&needle) && entry.file_name() != *std::process::id().to_string() {
            left.push(command);
        }
    }
    left
}

fn wait_for(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < until, "{what} did not happen within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn layers(plan: &Value, cached: bool) -> Vec<String> {
    plan["plan"]["steps"][0]["action"]["layers"]
        .as_array()
        .unwrap_or_else(|| panic!("no layers in {plan}"))
        .iter()
        .filter(|l| l["cached"] == cached)
        .map(|l| l["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn from_a_commit_to_a_signed_boot_proved_release() {
    let catalog = Catalog::new(SPEC);
    let dir = catalog.dir.as_path();

    // What is pending is said, with its reason, and an exit code that programs can use.
    let plan = run(dir, &["plan", "--exit-code"]);
    assert_eq!(plan.status.code(), Some(3), "{}", words(&plan));
    assert!(words(&plan).contains("nothing is published"), "{}", words(&plan));

    // Killed in the middle: nothing stays, and finished layers are not built again.
    let mut killed =
        bootwright(dir, &["reconcile"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the bootstrap layer", Duration::from_mins(10), || {
        std::fs::read_dir(dir.join(".bootwright/layers"))
            .is_ok_and(|mut l| l.any(|e| e.is_ok_and(|e| e.path().join("layer.json").exists())))
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_for("the end of all processes", Duration::from_secs(20), || left_behind(dir).is_empty());
    let plan = json(dir, &["plan"]);
    assert!(layers(&plan, true).contains(&"bootstrap".to_owned()), "{plan}");

    // The rest of the way.
    let report = json(dir, &["reconcile"]);
    assert_eq!(report["failed"], Value::Array(Vec::new()), "{report:#}");
    let version = report["published"][0]["version"].as_str().unwrap().to_owned();
    assert!(left_behind(dir).is_empty(), "{:?}", left_behind(dir));
    assert_eq!(std::fs::read_dir(dir.join(".bootwright/work")).unwrap().count(), 0, "work folders stay");

    published_release_convinces_other_tools(&catalog, &version);

    // Nothing to do is said quickly.
    let started = Instant::now();
    let again = run(dir, &["reconcile"]);
    println!("second reconcile: {:?}", started.elapsed());
    assert!(again.status.success() && words(&again).contains("up to date"), "{}", words(&again));

    // A changed line costs the layers from there on; the old release stays.
    catalog.write("specs/overlays/small/etc/motd", "changed\n");
    catalog.commit("A message of the day");
    let plan = json(dir, &["--rev", "HEAD", "plan"]);
    let below = ["bootstrap", "kernel", "base", "security", "networking", "configuration"];
    assert_eq!(layers(&plan, true), below, "{plan}");
    assert_eq!(layers(&plan, false), ["overlay"], "{plan}");
    let report = json(dir, &["reconcile"]);
    let newer = report["published"][0]["version"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned();
    assert_ne!(newer, version);
    let list = json(dir, &["release", "list"]);
    assert_eq!(list["images"][0]["channels"]["edge"], newer.as_str());
    assert_eq!(list["images"][0]["releases"].as_array().unwrap().len(), 2);
    let verified = run(dir, &["release", "verify", &format!("small/{version}")]);
    assert!(verified.status.success(), "the old release: {}", words(&verified));

    // Published bytes that change are noticed.
    let iso = std::fs::read_dir(catalog.release(&newer))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "iso"))
        .unwrap();
    let mut bytes = std::fs::read(&iso).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&iso, bytes).unwrap();
    let verified = run(dir, &["release", "verify", "small@edge"]);
    assert_eq!(verified.status.code(), Some(7), "{}", words(&verified));
    std::fs::remove_file(&iso).unwrap();
    let plan = run(dir, &["plan"]);
    assert!(words(&plan).contains("is missing"), "{}", words(&plan));
}

/// The release's files, judged by programs that are not ours.
fn published_release_convinces_other_tools(catalog: &Catalog, version: &str) {
    let release = catalog.release(version);
    let sums =
        command("sha256sum").current_dir(&release).args(["-c", "--quiet", "SHA256SUMS"]).output().unwrap();
    assert!(sums.status.success(), "{}", words(&sums));
    let der = command("sh")
        .current_dir(&release)
        .args(["-c", "base64 -d SHA256SUMS.sig > ../sums.der"])
        .output()
        .unwrap();
    assert!(der.status.success());
    let signed = command("openssl")
        .current_dir(&release)
        .args(["dgst", "-sha256", "-signature", "../sums.der", "-verify"])
        .arg(catalog.dir.join("keys/bootwright.pub"))
        .arg("SHA256SUMS")
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", words(&signed));
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(release.join("manifest.json")).unwrap()).unwrap();
    let name_of = |role: &str| {
        manifest["files"]
            .as_array()
            .unwrap()
            .iter()
            .find(|f| f["role"] == role || f["role"]["artifact"] == role)
            .unwrap_or_else(|| panic!("no {role} in {manifest:#}"))["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let inspected = command("skopeo")
        .args([
            "inspect",
            "--raw",
            &format!("oci-archive:{}", release.join(name_of("oci-archive")).display()),
        ])
        .output()
        .unwrap();
    assert!(inspected.status.success(), "{}", words(&inspected));
    let boot = manifest["verification"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|e| e["checks"].as_array().unwrap())
        .find(|c| c["boot"] == "bios")
        .unwrap_or_else(|| panic!("no boot in {manifest:#}"));
    assert_eq!(boot["verdict"]["verdict"], "passed", "{boot:#}");
    let log = std::fs::read_to_string(release.join("evidence/bios-serial.log")).unwrap();
    assert!(log.contains("GRUB") || log.contains("Linux"), "{log}");
    let picture = std::fs::read(release.join("evidence/bios-screenshot.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    let page = std::fs::read_to_string(release.join("index.html")).unwrap();
    assert!(page.contains(version));
}

#[test]
fn an_index_that_the_keyring_did_not_sign_is_refused() {
    let catalog = Catalog::new(SPEC);
    let keys = tempfile::tempdir().unwrap();
    let gpg = |args: &[&str]| {
        let done = command("gpg")
            .env("GNUPGHOME", keys.path())
            .args(["--batch", "--quiet"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", words(&done));
        done.stdout
    };
    gpg(&["--passphrase", "", "--quick-generate-key", "stranger@example.invalid", "rsa2048"]);
    std::fs::write(catalog.dir.join("stranger.gpg"), gpg(&["--export"])).unwrap();
    let text = std::fs::read_to_string(catalog.dir.join("bootwright.yaml")).unwrap();
    let text: String = text
        .lines()
        .map(|l| match l.find("keyring:") {
            Some(i) => format!("{}keyring: stranger.gpg\n", &l[..i]),
            None => format!("{l}\n"),
        })
        .collect();
    catalog.write("bootwright.yaml", &text);
    let refused = run(&catalog.dir, &["lock"]);
    assert_eq!(refused.status.code(), Some(7), "{}", words(&refused));
    assert!(words(&refused).contains("not signed by a key of the mirror's keyring"), "{}", words(&refused));
    assert!(!catalog.dir.join("specs/small.lock.yaml").exists());
}

#[test]
fn an_altered_package_and_an_unknown_one_are_refused() {
    let catalog = Catalog::new(SPEC);
    let locked = run(&catalog.dir, &["lock"]);
    assert!(locked.status.success(), "{}", words(&locked));
    let kept = run(&catalog.dir, &["lock"]);
    assert!(words(&kept).contains("small"), "{}", words(&kept));

    // One wrong digit in the lock: the mirror's bytes are not what was reviewed.
    let path = "specs/small.lock.yaml";
    let text = std::fs::read_to_string(catalog.dir.join(path)).unwrap();
    // The last digest of the file is a package's.
    let digest = text.rfind("sha256:").unwrap_or_else(|| panic!("no digest in {text}")) + "sha256:".len();
    let digest = digest + text[digest..].find(|c: char| c.is_ascii_hexdigit()).unwrap();
    let mut bytes = text.into_bytes();
    bytes[digest] = if bytes[digest] == b'0' { b'1' } else { b'0' };
    std::fs::write(catalog.dir.join(path), bytes).unwrap();
    catalog.commit("A lock that somebody touched");
    let refused = run(&catalog.dir, &["reconcile"]);
    assert!(!refused.status.success());
    assert!(words(&refused).contains("wrong bytes"), "{}", words(&refused));
    assert!(!catalog.dir.join("releases").exists(), "something was published");

    std::fs::remove_file(catalog.dir.join(path)).unwrap();
    catalog.edit("specs/small.yaml", "utils: [sudo]", "utils: [sudo, no-such-package]");
    let refused = run(&catalog.dir, &["lock"]);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert!(words(&refused).contains("no-such-package"), "{}", words(&refused));
}
