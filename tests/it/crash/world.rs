//! A catalog with a store, and the real program working on them.

use super::tiny::tiny;
use super::{command, words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with a catalog and a store.
pub struct World {
    pub dir: PathBuf,
    /// The catalogs' folder goes with it.
    _temporary: tempfile::TempDir,
}

/// What a run said.
pub struct Said {
    pub output: Output,
    /// The events, one JSON object each.
    pub events: Vec<Value>,
}

impl Said {
    /// What became of every task, by label: the last outcome counts.
    pub fn tasks(&self) -> BTreeMap<String, String> {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        self.events
            .iter()
            .filter(|event| event["event"] == "task-finished")
            .map(|event| (text(event, "label"), text(event, "outcome")))
            .collect()
    }

    pub fn report(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.words()))
    }

    pub fn words(&self) -> String {
        words(&self.output)
    }

    /// The versions that were published.
    pub fn published(&self) -> Vec<String> {
        let report = self.report();
        let published = report["published"].as_array().cloned().unwrap_or_default();
        published.iter().map(|p| p["version"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn spec(name: &str, outputs: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: {name}}}\nspec:\n  base: debian\n  \
         suite: bookworm\n  channel: edge\n  outputs: {outputs}\n  packages: {{utils: [hello]}}\n"
    )
}

impl World {
    /// A catalog with one image, `tiny`, and nothing published.
    pub fn new(outputs: &str) -> Self {
        let temporary = tempfile::Builder::new().prefix("crash").tempdir().unwrap();
        let dir = temporary.path().join("catalog");
        let made = bootwright(temporary.path(), &["init", "catalog"]).output().unwrap();
        assert!(made.status.success(), "{}", words(&made));
        fs::remove_file(dir.join("specs/hello.yaml")).unwrap();
        let world = Self { dir, _temporary: temporary };
        world.write("bootwright.yaml", &world.settings("releases", ".bootwright"));
        world.write("specs/tiny.yaml", &spec("tiny", outputs));
        world.commit("A tiny image");
        world
    }

    pub fn settings(&self, store: &str, cache: &str) -> String {
        let tiny = tiny();
        format!(
            "apiVersion: bootwright/v1\nkind: Settings\nstore: {{path: {store}}}\ncache: {{path: {cache}}}\n\
             signing: {{key: keys/bootwright.key}}\nbuild: {{compression: fast, minFreeSpace: 1KiB}}\n\
             mirrors:\n  - {{base: debian, urls: [\"{}\"], suites: [\"{{suite}}\"], components: [main], keyring: {}}}\n",
            tiny.url,
            tiny.keyring.display()
        )
    }

    /// A copy of everything: the catalog, the store, the cache.
    pub fn copy(&self) -> Self {
        let temporary = tempfile::Builder::new().prefix("crash").tempdir().unwrap();
        let dir = temporary.path().join("catalog");
        let copied = command("cp").args(["-a", "--reflink=auto"]).args([&self.dir, &dir]).output().unwrap();
        assert!(copied.status.success(), "{}", words(&copied));
        Self { dir, _temporary: temporary }
    }

    /// A copy of the catalog alone, in another place.
    pub fn moved(&self, path: &str) -> Self {
        let temporary = tempfile::Builder::new().prefix("crash").tempdir_in("/var/tmp").unwrap();
        let dir = temporary.path().join(path);
        fs::create_dir_all(dir.parent().unwrap()).unwrap();
        let copied = command("cp").arg("-a").args([&self.dir, &dir]).output().unwrap();
        assert!(copied.status.success(), "{}", words(&copied));
        let world = Self { dir, _temporary: temporary };
        if world.cache().exists() {
            fs::remove_dir_all(world.cache()).unwrap();
        }
        world
    }

    /// The mirrors that `init` finds on this host, as they stand in the settings.
    pub fn hosts_mirrors(&self) -> String {
        let other = self.dir.with_extension("mirrors");
        let made = bootwright(self.dir.parent().unwrap(), &["init", other.to_str().unwrap(), "--no-key"]);
        let made = { made }.output().unwrap();
        assert!(made.status.success(), "{}", words(&made));
        let text = fs::read_to_string(other.join("bootwright.yaml")).unwrap();
        let mirrors = text.split("\nmirrors:").nth(1).expect("this host has mirrors");
        let end = mirrors.find("\n\n").unwrap_or(mirrors.len());
        format!("mirrors:{}\n", &mirrors[..end])
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn commit(&self, message: &str) {
        for args in [&["add", "--all"][..], &["commit", "--quiet", "--message", message]] {
            let done = command("git")
                .current_dir(&self.dir)
                .args([
                    "-c",
                    "user.name=t",
                    "-c",
                    "user.email=t@example.invalid",
                    "-c",
                    "commit.gpgsign=false",
                ])
                .args(args)
                .output()
                .unwrap();
            assert!(done.status.success(), "git {args:?}: {}", words(&done));
        }
    }

    pub fn store(&self) -> PathBuf {
        self.dir.join("releases")
    }

    pub fn cache(&self) -> PathBuf {
        self.dir.join(".bootwright")
    }

    /// Everything up to the exit.
    pub fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, |_| {})
    }

    pub fn reconcile(&self) -> Said {
        self.run(&["reconcile"])
    }

    pub fn run_with(&self, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Said {
        let mut command = bootwright(&self.dir, &[&["--output", "json"], args].concat());
        prepare(&mut command);
        said(command.output().unwrap())
    }

    /// Reconciles up to a point, where `how` happens.
    pub fn stopped(&self, at: &str, how: &str, args: &[&str]) -> Said {
        self.run_with(args, |command| {
            command.env("BOOTWRIGHT_STOP_AT", at).env("BOOTWRIGHT_STOP_HOW", how);
        })
    }

    /// Reconciles and is killed by itself at a point.
    pub fn killed(&self, at: &str) -> Said {
        let said = self.stopped(at, "kill", &["reconcile"]);
        assert_eq!(said.output.status.signal(), Some(9), "not killed at {at}: {}", said.words());
        said
    }

    /// Reconciles and gives the points that were passed, in their order.
    pub fn traced(&self, prepare: impl FnOnce(&mut Command)) -> (Said, Vec<String>) {
        let (mut read, write) = std::io::pipe().unwrap();
        // The child may have it under this number too: nothing else of it is open there.
        rustix::io::fcntl_setfd(&write, rustix::io::FdFlags::empty()).unwrap();
        let number = write.as_raw_fd().to_string();
        let mut command = bootwright(&self.dir, &["--output", "json", "reconcile"]);
        command.env("BOOTWRIGHT_POINTS_FD", number);
        prepare(&mut command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(write);
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            read.read_to_string(&mut text).unwrap();
            text
        });
        let said = said(child.wait_with_output().unwrap());
        (said, reader.join().unwrap().lines().map(str::to_owned).collect())
    }
}

pub fn said(output: Output) -> Said {
    let events = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    Said { output, events }
}

pub fn bootwright(dir: &Path, args: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
    command.current_dir(dir).args(args).env_remove("BOOTWRIGHT_KEY_PASSPHRASE");
    command
}

/// What of a world is still about on this host: processes (also those in sandboxes), mounts,
/// loop devices.
fn about(dir: &Path) -> Vec<String> {
    let needle = dir.parent().unwrap().to_string_lossy().into_owned();
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|l| l.contains(&needle)).map(|l| format!("mount {l}")));
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_process = name.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        if !is_process || name.to_string_lossy() == std::process::id().to_string() {
            continue;
        }
        let read =
            |file: &str| String::from_utf8_lossy(&fs::read(path.join(file)).unwrap_or_default()).into_owned();
        let link = |name: &str| fs::read_link(path.join(name)).unwrap_or_default();
        let of_ours = read("cmdline").contains(&needle)
            || read("environ").contains(&needle)
            || read("mountinfo").contains(&needle)
            || [link("cwd"), link("root")].iter().any(|p| p.to_string_lossy().contains(&needle));
        // A thread that has a mount namespace of its own is this test.
        let mine = read("status").lines().any(|l| l == format!("Tgid:\t{}", std::process::id()));
        if of_ours && !mine {
            found.push(format!("process {} {}", name.to_string_lossy(), read("cmdline").replace('\0', " ")));
        }
    }
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if backing.contains(&needle) {
            found.push(format!("loop device {backing}"));
        }
    }
    found
}

/// Nothing stays on the host after a kill: the kernel ends what was started within moments.
pub fn nothing_is_about(world: &World, when: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = about(&world.dir);
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{when}: still about:\n{}", found.join("\n"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Temporary files and folders below a place.
pub fn temporary(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![place.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let in_work = folder.ends_with("work") || folder.ends_with(".staging");
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            if name.starts_with(".new-") || name.ends_with(".part") || in_work && is_dir {
                found.push(path);
            } else if is_dir && name != "root" {
                // Layers hold files of images.
                open.push(path);
            }
        }
    }
    found
}
