//! Loop devices of the tests' own.

use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const MIB: usize = 1 << 20;

pub use super::super::crash::command;

/// Runs a tool that must succeed; gives what it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = command(program).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Says loudly what cannot be tested here. In CI everything can.
#[expect(clippy::disallowed_methods, reason = "said by whoever runs the tests")]
pub fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI: {what}");
    eprintln!("SKIPPED: {what}");
}

/// A loop device on a file of this test; detached when dropped, also after a failure.
pub struct Loop {
    pub path: String,
    backing: PathBuf,
}

impl Loop {
    /// A device on `backing`, with further options of losetup. `None` where this host gives none.
    pub fn with(backing: &Path, options: &[&str]) -> Option<Self> {
        let made = command("losetup").args(["--find", "--show"]).args(options).arg(backing).output().unwrap();
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr);
            skip(&format!("this host gives no loop device ({}); cards were NOT tested", why.trim()));
            return None;
        }
        let path = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let made = Self { path, backing: backing.canonicalize().unwrap() };
        made.assert_ours();
        Some(made)
    }

    pub fn name(&self) -> &str {
        self.path.strip_prefix("/dev/").unwrap()
    }

    /// Nothing but a loop device, and that on our own file, is ever given to the program.
    pub fn assert_ours(&self) {
        let number = self.path.strip_prefix("/dev/loop").unwrap_or_else(|| panic!("{}", self.path));
        assert!(!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()), "{}", self.path);
        let backing = fs::read_to_string(format!("/sys/block/{}/loop/backing_file", self.name())).unwrap();
        assert_eq!(Path::new(backing.trim_end()), self.backing, "{} is somebody else's", self.path);
    }
}

impl Loop {
    /// Waits until nobody holds it. What is unmounted here may still be mounted in a sandbox of another
    /// test: mount namespaces that were made meanwhile have copies, for as long as they live.
    pub fn until_free(&self) {
        let begun = Instant::now();
        // As another writer would: O_EXCL (open(2)).
        while let Err(e) = OpenOptions::new().read(true).custom_flags(0o200).open(&self.path) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} stays held: {e}", self.path);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // A read-only mark outlives the loop device.
        let _ = command("blockdev").args(["--setrw", &self.path]).output();
        let detached = command("losetup").args(["--detach", &self.path]).output();
        if !std::thread::panicking() {
            assert!(detached.unwrap().status.success(), "{} was not detached", self.path);
        }
    }
}

/// A card: a loop device on a file full of old bytes.
pub struct Card {
    pub device: Loop,
    pub file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Card {
    /// A used card of so many bytes: nothing on it is zero.
    pub fn used(size: usize) -> Option<Self> {
        Self::with(size, &[])
    }

    pub fn with(size: usize, options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = dir.path().join("card");
        fs::write(&file, old(size)).unwrap();
        let device = Loop::with(&file, options)?;
        Some(Self { device, file, _dir: dir })
    }

    pub fn path(&self) -> &str {
        &self.device.path
    }

    /// What the card holds, past every cache of the device.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.file).unwrap()
    }

    /// Whether its first MiB is zero: nothing boots from it.
    pub fn has_no_beginning(&self) -> bool {
        let mut head = vec![1; MIB];
        fs::File::open(&self.file).unwrap().read_exact(&mut head).unwrap();
        head.iter().all(|byte| *byte == 0)
    }

    pub fn is_untouched(&self) -> bool {
        let bytes = self.bytes();
        bytes == old(bytes.len())
    }
}

/// What was on a used card before.
pub fn old(size: usize) -> Vec<u8> {
    vec![b'O'; size]
}

/// An image: noise, a hole of several MiB, some more, an odd end.
pub fn image(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    let hole = size / 4..size / 2;
    bytes[hole].fill(0);
    bytes
}

/// The program, its JSON and its exit code.
pub struct Flashed {
    pub code: i32,
    pub report: Value,
    pub events: Vec<Value>,
    pub errors: String,
}

impl Flashed {
    pub fn card(&self, index: usize) -> &Value {
        &self.report["cards"][index]
    }

    /// The message and hint of a refusal.
    pub fn refusal(&self) -> String {
        let error = &self.report["error"];
        format!(
            "{} {}",
            error["message"].as_str().unwrap_or_default(),
            error["suggestion"].as_str().unwrap_or_default()
        )
    }
}

pub fn bootwright() -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
    for name in ["NO_COLOR", "BOOTWRIGHT_CATALOG", "BOOTWRIGHT_LOG", "BOOTWRIGHT_KEY_PASSPHRASE"] {
        command.env_remove(name);
    }
    // What it remembers of cards lies where it is run, which shall not be this repository.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flash");
    fs::create_dir_all(&folder).unwrap();
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs `flash` with JSON and further arguments.
pub fn flash(args: &[&str]) -> Flashed {
    answer(bootwright().args(["--output", "json", "flash"]).args(args).output().unwrap())
}

pub fn answer(output: Output) -> Flashed {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let events = errors.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Flashed { code: output.status.code().unwrap_or(-1), report, events, errors }
}
