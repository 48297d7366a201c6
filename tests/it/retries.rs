//! What happens after a failure: tried again, said why, cleaned up, done without network.
//!
//! The real program against a mirror of our own on a loopback port, with a lock of packages
//! that are only bytes: far enough to see every way of failing before dpkg refuses them.
//! The disk-full cases run on a small tmpfs in a mount namespace of their own: they need root.

use bootwright::catalog;
use bootwright::model::lock::{LOCK_VERSION, Lock, LockedIndex, LockedPackage};
use bootwright::model::run::RunState;
use bootwright::model::{Digest, ErrorCode, ImageName};
use bootwright::resolve;
use bootwright::state::State;
use chrono::DateTime;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// How the mirror answers: the bytes by path, and what it says to each path's first requests.
#[derive(Default)]
struct Mirror {
    files: BTreeMap<String, Vec<u8>>,
    /// Status lines for the next requests, whatever they ask for; then it answers properly.
    troubles: Vec<&'static str>,
    requests: usize,
}

/// A web server on a loopback port.
fn serve(mirror: &Arc<Mutex<Mirror>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mirror = Arc::clone(mirror);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mirror = Arc::clone(&mirror);
            std::thread::spawn(move || while answer(&stream, &mirror).is_some() {});
        }
    });
    address
}

fn answer(mut stream: &TcpStream, mirror: &Mutex<Mirror>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    if reader.read_line(&mut request).ok()? == 0 {
        return None;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let (status, body) = {
        let mut mirror = mirror.lock().unwrap();
        mirror.requests += 1;
        match mirror.troubles.pop() {
            Some(trouble) => (trouble, Vec::new()),
            None => match mirror.files.get(&path) {
                Some(bytes) => ("200 OK", bytes.clone()),
                None => ("404 Not Found", Vec::new()),
            },
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).ok()
}

#[expect(clippy::disallowed_methods, reason = "tests start programs as a user does")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A catalog whose images are locked to packages that the mirror has.
struct Catalog {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
    mirror: Arc<Mutex<Mirror>>,
}

impl Catalog {
    /// `size` is that of each package, in bytes.
    fn new(images: &[&str], size: usize) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("catalog");
        let made = command(env!("CARGO_BIN_EXE_bootwright"))
            .current_dir(temporary.path())
            .args(["init", "catalog"])
            .env_remove("BOOTWRIGHT_KEY_PASSPHRASE")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", words(&made));
        std::fs::remove_file(dir.join("specs/hello.yaml")).unwrap();
        let mirror: Arc<Mutex<Mirror>> = Arc::default();
        let address = serve(&mirror);
        let settings = std::fs::read_to_string(dir.join("bootwright.yaml")).unwrap();
        let key = settings.lines().find(|line| line.starts_with("  key: ")).unwrap();
        let settings = format!(
            "apiVersion: bootwright/v1\nkind: Settings\nsigning:\n{key}\nmirrors:\n  - base: debian\n    urls: [{address}]\n    suites: [\"{{suite}}\"]\n    components: [main]\n    keyring: none.gpg\nbuild: {{minFreeSpace: 1MiB}}\n"
        );
        std::fs::write(dir.join("bootwright.yaml"), settings).unwrap();
        let catalog = Self { _temporary: temporary, dir, mirror };
        for image in images {
            let spec = format!(
                "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: {image}}}\nspec: {{base: debian, suite: bookworm, outputs: [rootfs]}}\n"
            );
            std::fs::write(catalog.dir.join(format!("specs/{image}.yaml")), spec).unwrap();
        }
        for image in images {
            catalog.lock(image, size);
        }
        catalog.git(&["add", "--all"]);
        catalog.git(&["commit", "--quiet", "--message", "images"]);
        catalog
    }

    fn git(&self, args: &[&str]) {
        let done = command("git")
            .current_dir(&self.dir)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "git {args:?}: {}", words(&done));
    }

    /// Writes a lock that answers the spec, and gives its packages to the mirror.
    fn lock(&self, image: &str, size: usize) {
        let files = catalog::read(&catalog::Location::WorkTree(self.dir.clone()), &self.dir).unwrap();
        let (read, diagnostics) = catalog::check(&files);
        let read = read.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let document = &read.images[&image.parse::<ImageName>().unwrap()];
        let request =
            resolve::request(&document.spec, &bootwright::model::packaging::PackageSettings::default())
                .unwrap();
        let mut packages = Vec::new();
        for layer in &request.layers {
            for name in &layer.packages {
                let path = format!("pool/{image}/{}/{name}.deb", layer.name);
                // Bytes that no compression makes smaller are not needed: nobody compresses them.
                let bytes =
                    format!("{path} ").into_bytes().into_iter().cycle().take(size).collect::<Vec<u8>>();
                packages.push(LockedPackage {
                    name: name.clone(),
                    version: "1.0".to_owned(),
                    architecture: "amd64".to_owned(),
                    sha256: Digest::of(&bytes),
                    size: bytes.len() as u64,
                    path: path.clone(),
                    suite: "bookworm".to_owned(),
                    layer: layer.name.clone(),
                    wave: 0,
                });
                self.mirror.lock().unwrap().files.insert(path, bytes);
            }
        }
        let lock = Lock {
            lock_version: LOCK_VERSION,
            image: image.parse().unwrap(),
            request,
            dates: Vec::new(),
            passed_over: Vec::new(),
            indexes: vec![LockedIndex {
                suite: "bookworm".to_owned(),
                date: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
                digest: Digest::of("index"),
                keyring: Digest::of("keyring"),
            }],
            packages,
        };
        let path = self.dir.join(catalog::lock_path(&lock.image));
        std::fs::write(path, catalog::lock_text(&lock)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
        command.current_dir(&self.dir).args(["--output", "json"]).args(args);
        command.env_remove("BOOTWRIGHT_KEY_PASSPHRASE").env_remove("OFFLINE_ONLY");
        command
    }

    /// Exit code, report, events.
    fn run(&self, args: &[&str]) -> (i32, Value, Vec<Value>) {
        read(&self.command(args).output().unwrap())
    }

    /// In a mount namespace with a cache folder of `size` that `prepare` (a shell script) fills.
    fn run_on_small_disk(&self, size: &str, prepare: &str, args: &[&str]) -> (i32, Value, Vec<Value>) {
        let script = format!(
            "set -e; mkdir -p .bootwright; mount -t tmpfs -o size={size} tmpfs .bootwright; {prepare}\nexec \"$0\" --output json \"$@\""
        );
        let output = command("unshare")
            .current_dir(&self.dir)
            .args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_bootwright")])
            .args(args)
            .env_remove("BOOTWRIGHT_KEY_PASSPHRASE")
            .env_remove("OFFLINE_ONLY")
            .output()
            .unwrap();
        read(&output)
    }

    fn packages(&self) -> usize {
        self.mirror.lock().unwrap().files.len()
    }

    fn state(&self) -> (tokio::runtime::Runtime, State) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let state = runtime.block_on(State::open(&self.dir.join(".bootwright/state.db"))).unwrap();
        (runtime, state)
    }
}

fn read(output: &Output) -> (i32, Value, Vec<Value>) {
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", words(output)));
    let events = String::from_utf8_lossy(&output.stderr);
    let events = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (output.status.code().unwrap(), report, events)
}

fn failure(report: &Value) -> &Value {
    &report["failed"][0]["failure"]
}

fn warnings(events: &[Value]) -> Vec<String> {
    let warnings = events.iter().filter(|event| event["event"] == "warning");
    warnings.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// All packages came and are bytes of ours: dpkg-deb says that they are no packages.
fn came_as_far_as_dpkg(report: &Value) -> bool {
    failure(report)["message"]
        .as_str()
        .is_some_and(|m| m.contains("is no sound package") || m.contains("extracting"))
}

#[test]
fn a_mirror_that_stumbles_is_asked_again() {
    let catalog = Catalog::new(&["small"], 100);
    let wanted = catalog.packages();
    catalog.mirror.lock().unwrap().troubles =
        vec!["503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests"];
    let (_, report, _) = catalog.run(&["reconcile"]);
    assert!(came_as_far_as_dpkg(&report), "{report:#}");
    assert_eq!(catalog.mirror.lock().unwrap().requests, wanted + 3);
    // What came stays: the next attempt asks for nothing.
    let (_, report, _) = catalog.run(&["reconcile", "--force", "small"]);
    assert!(came_as_far_as_dpkg(&report), "{report:#}");
    assert_eq!(catalog.mirror.lock().unwrap().requests, wanted + 3);
}

#[test]
fn a_package_that_is_gone_is_not_asked_for_again_and_again() {
    let catalog = Catalog::new(&["small"], 100);
    let gone = catalog.mirror.lock().unwrap().files.keys().next().cloned().unwrap();
    catalog.mirror.lock().unwrap().files.remove(&gone);
    let (code, report, _) = catalog.run(&["reconcile"]);
    assert_eq!((code, failure(&report)["code"].as_str()), (4, Some("PKG_UNAVAILABLE")), "{report:#}");
    assert_eq!(failure(&report)["class"], "upstream");
    let details = failure(&report)["details"].as_str().unwrap();
    assert!(details.contains(&gone) && details.contains("404"), "{details}");

    // It waits for its time, with the line that decided; by hand it may be tried at once.
    let (code, report, _) = catalog.run(&["reconcile"]);
    assert_eq!(code, 0);
    let on = report["planned"]["report"][0]["status"]["on"].as_str().unwrap_or_else(|| panic!("{report:#}"));
    assert!(on.contains("retry after") && on.contains("upstream failure 1 of 5"), "{on}");
    assert!(on.contains("404"), "{on}");
    let (code, ..) = catalog.run(&["reconcile", "--force", "small"]);
    assert_eq!(code, 4);
    for _ in 0..3 {
        catalog.run(&["reconcile", "--force", "small"]);
    }
    let (_, report, _) = catalog.run(&["reconcile"]);
    let status = &report["planned"]["report"][0]["status"];
    assert_eq!(
        (status["status"].as_str(), status["failures"].as_u64()),
        (Some("stalled"), Some(5)),
        "{status}"
    );
    assert_eq!(status["class"], "upstream");
    assert!(status["message"].as_str().unwrap().contains("404"), "{status}");
}

#[test]
fn without_network_every_missing_package_is_named_at_once() {
    let catalog = Catalog::new(&["small"], 100);
    let wanted = catalog.packages();
    assert!(wanted > 3, "{wanted}");
    for offline in ["flag", "variable"] {
        let mut command = match offline {
            "flag" => catalog.command(&["--offline", "reconcile"]),
            _ => catalog.command(&["reconcile"]),
        };
        if offline == "variable" {
            command.env("OFFLINE_ONLY", "true");
        }
        let (code, report, _) = read(&command.output().unwrap());
        assert_eq!((code, failure(&report)["code"].as_str()), (4, Some("OFFLINE")), "{offline}: {report:#}");
        let details = failure(&report)["details"].as_str().unwrap();
        assert_eq!(details.lines().count(), wanted, "{details}");
        assert!(details.lines().all(|line| line.contains(" 1.0 amd64 sha256:")), "{details}");
        assert!(failure(&report)["hint"].as_str().unwrap().contains("packages/SHA256.deb"));
    }
    assert_eq!(catalog.mirror.lock().unwrap().requests, 0, "nothing was asked");
    // Nobody has to wait after that. What the hint says helps: files put into the cache.
    let packages = catalog.dir.join(".bootwright/packages");
    std::fs::create_dir_all(&packages).unwrap();
    for bytes in catalog.mirror.lock().unwrap().files.values() {
        std::fs::write(packages.join(format!("{}.deb", Digest::of(bytes).hex())), bytes).unwrap();
    }
    let (_, report, _) = catalog.run(&["--offline", "reconcile"]);
    assert!(came_as_far_as_dpkg(&report), "{report:#}");
    assert_eq!(catalog.mirror.lock().unwrap().requests, 0);
}

#[test]
fn without_network_a_first_lock_says_which_indexes_are_missing() {
    let catalog = Catalog::new(&["small"], 100);
    std::fs::remove_file(catalog.dir.join("specs/small.lock.yaml")).unwrap();
    std::fs::write(catalog.dir.join("none.gpg"), "").unwrap();
    catalog.git(&["add", "--all"]);
    catalog.git(&["commit", "--quiet", "--message", "no lock"]);
    let (code, report, _) = catalog.run(&["--offline", "reconcile"]);
    assert_eq!((code, failure(&report)["code"].as_str()), (4, Some("OFFLINE")), "{report:#}");
    assert!(
        failure(&report)["details"].as_str().unwrap().starts_with("bookworm of http://127.0.0.1"),
        "{report:#}"
    );
    let output = catalog.command(&["--offline", "lock", "small"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", words(&output));
    assert_eq!(catalog.mirror.lock().unwrap().requests, 0);
}

#[test]
fn an_image_that_failed_before_comes_after_the_others() {
    let catalog = Catalog::new(&["aaa", "zzz"], 100);
    let gone: Vec<String> =
        catalog.mirror.lock().unwrap().files.keys().filter(|path| path.contains("/aaa/")).cloned().collect();
    for path in &gone {
        catalog.mirror.lock().unwrap().files.remove(path);
    }
    let (_, report, _) = catalog.run(&["reconcile", "--only", "aaa"]);
    assert_eq!(failure(&report)["code"], "PKG_UNAVAILABLE");
    let (_, report, events) = catalog.run(&["reconcile", "--force", "aaa"]);
    let begun: Vec<&str> = events
        .iter()
        .filter(|event| event["event"] == "phase" && event["phase"] == "building")
        .map(|event| event["image"].as_str().unwrap())
        .collect();
    let order: Vec<&str> = ["zzz", "aaa"].into();
    let mut first: Vec<&str> = Vec::new();
    begun.iter().for_each(|image| {
        if !first.contains(image) {
            first.push(image)
        }
    });
    assert_eq!(first, order, "{begun:?}");
    assert_eq!(report["failed"].as_array().unwrap().len(), 2);
}

#[test]
fn a_run_remembers_what_it_said() {
    let catalog = Catalog::new(&["small"], 100);
    catalog.run(&["reconcile"]);
    let (runtime, state) = catalog.state();
    let runs = runtime.block_on(state.runs(&"small".parse().unwrap())).unwrap();
    let RunState::Failed { failure } = &runs[0].state else { panic!("{runs:?}") };
    assert_ne!(failure.code, ErrorCode::Internal);
    let events = runtime.block_on(state.events(runs[0].id)).unwrap();
    let kinds: Vec<&str> = events.iter().map(|(_, event)| event["event"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"phase"), Some(&"phase")), "{kinds:?}");
    let fetched = events.iter().find(|(_, event)| event["label"] == "fetch packages");
    assert!(
        fetched.is_some_and(|(_, event)| event["outcome"].as_str().unwrap().contains("packages")),
        "{events:?}"
    );
    assert!(!kinds.contains(&"task-progress") && !kinds.contains(&"log"), "{kinds:?}");
}

/// Bytes of each package in the disk-full cases: all of them do not fit into 24 MiB.
fn large(catalog: &Catalog) -> usize {
    catalog.mirror.lock().unwrap().files.values().map(Vec::len).sum()
}

#[test]
fn leftovers_make_room_before_a_disk_is_full() {
    let catalog = Catalog::new(&["small"], 1_000_000);
    let need = large(&catalog) / 1_000_000;
    // Room for the packages, but for what an earlier run and a killed process left.
    let size = format!("{}m", need + 8);
    let prepare = format!(
        "mkdir -p .bootwright/artifacts/{0} .bootwright/modules/work/killed; head -c 6000000 /dev/zero > .bootwright/artifacts/{0}/small.tar; head -c 6000000 /dev/zero > .bootwright/modules/work/killed/x; ",
        Digest::of("old").hex()
    );
    let (_, report, events) = catalog.run_on_small_disk(&size, &prepare, &["reconcile"]);
    // They are removed before the work begins, so that it finds room the first time.
    let said = warnings(&events);
    assert!(!said.iter().any(|w| w.contains("tried once more")), "{said:?}\n{report:#}");
    assert!(came_as_far_as_dpkg(&report), "{report:#}");
}

#[test]
fn a_disk_that_stays_full_is_told_with_what_is_free_and_what_could_be() {
    let catalog = Catalog::new(&["small"], 1_000_000);
    let size = format!("{}m", large(&catalog) / 1_000_000 / 2);
    let (code, report, events) = catalog.run_on_small_disk(&size, "", &["reconcile"]);
    assert_eq!((code, failure(&report)["code"].as_str()), (5, Some("E5002")), "{report:#}");
    assert_eq!(failure(&report)["class"], "host");
    let details = failure(&report)["details"].as_str().unwrap();
    assert!(details.lines().any(|l| l.contains(".bootwright has ") && l.ends_with(" free")), "{details}");
    assert!(failure(&report)["hint"].as_str().unwrap().contains("cache prune"), "{report:#}");
    let tries = warnings(&events).iter().filter(|w| w.contains("tried once more")).count();
    assert!(tries <= 1, "{events:?}");
}

/// An old layer that nothing needs, on a disk that is too small for it and the packages.
fn with_an_old_layer(settings: &str) -> (i32, Value, Vec<String>) {
    let catalog = Catalog::new(&["small"], 1_000_000);
    let path = catalog.dir.join("bootwright.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}# {settings:?}\n{settings}")).unwrap();
    catalog.git(&["commit", "--quiet", "--all", "--message", "settings"]);
    let size = format!("{}m", large(&catalog) / 1_000_000 + 6);
    let prepare = format!(
        "mkdir -p .bootwright/layers/{0}/root; head -c 8000000 /dev/zero > .bootwright/layers/{0}/root/x; ",
        Digest::of("old layer").hex()
    );
    let (code, report, events) = catalog.run_on_small_disk(&size, &prepare, &["reconcile"]);
    (code, report, warnings(&events))
}

#[test]
fn unneeded_entries_go_only_where_a_setting_allows() {
    let (code, report, said) = with_an_old_layer("");
    assert_eq!((code, failure(&report)["code"].as_str()), (5, Some("E5002")), "{report:#}\n{said:?}");
    let (_, report, said) = with_an_old_layer("cache: {maxSize: 1GiB}\n");
    assert!(came_as_far_as_dpkg(&report), "{report:#}\n{said:?}");
}

#[test]
fn the_cache_commands_answer() {
    let catalog = Catalog::new(&["small"], 1000);
    catalog.run(&["reconcile"]);
    let (code, list, _) = catalog.run(&["cache", "list"]);
    assert_eq!(code, 0);
    assert_eq!(list["kinds"].as_array().unwrap().len(), 14);
    assert_eq!(
        (list["kinds"][0]["kind"].as_str(), list["kinds"][0]["entries"].as_u64()),
        (Some("packages"), Some(catalog.packages() as u64))
    );
    assert!(list["kinds"][0]["bytes"].as_u64().unwrap() > 0 && list["kinds"][0]["newestUse"].is_string());

    let (code, sound, _) = catalog.run(&["cache", "verify"]);
    assert_eq!((code, sound["damaged"].as_array().unwrap().len()), (0, 0));
    let packages = catalog.dir.join(".bootwright/packages");
    let first = std::fs::read_dir(&packages).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&first, "other").unwrap();
    let (code, report, events) = catalog.run(&["cache", "verify", "--kind", "packages"]);
    assert_eq!((code, report["damaged"][0]["dropped"].as_bool()), (7, Some(true)), "{report}");
    assert_eq!(warnings(&events).len(), 1);
    assert!(!first.exists());
    assert_eq!(catalog.run(&["cache", "verify"]).0, 0);

    // Nothing says what may go.
    let output = catalog.command(&["cache", "prune"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    // The packages are needed, however old.
    let (_, kept, _) = catalog.run(&["cache", "prune", "--older-than", "0h"]);
    assert_eq!(
        kept["removed"].as_array().unwrap().iter().filter(|c| c["kind"] == "packages").count(),
        0,
        "{kept}"
    );
    let (_, dry, _) = catalog.run(&["cache", "prune", "--max-size", "0", "--dry-run"]);
    assert_eq!((dry["dryRun"].as_bool(), dry["leftBytes"].as_u64()), (Some(true), Some(0)));
    assert!(packages.read_dir().unwrap().count() > 0);
    let (_, pruned, _) = catalog.run(&["cache", "prune", "--max-size", "0"]);
    assert!(pruned["removed"].as_array().unwrap().iter().all(|c| c["needed"] == true), "{pruned}");
    assert_eq!(packages.read_dir().unwrap().count(), 0);
}
