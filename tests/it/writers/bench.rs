//! A catalog with a card writer and an order, its controller, its agent, and a card in its slot.

use super::super::crash::started;
use super::super::flash::card::{Card, bootwright, command, run};
use super::super::observe::shop::Shop;
use bootwright::model::receipt::{JobId, SignedReceipt};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const SLOT: &str = "a";
/// The image of the shop.
pub const DEMO: &str = "image: demo, channel: edge";

pub struct Bench<C = Shop> {
    /// What has the catalog, and its folder.
    pub shop: C,
    pub dir: PathBuf,
    pub card: Card,
    /// The port of the slot.
    pub port: String,
    /// Further slots that the agent is told of, and their ports.
    pub slots: Vec<(String, String)>,
    /// The agent's folder.
    pub folder: PathBuf,
    /// What runs commands: nothing, or `ip netns exec NAME`.
    pub controller_in: Vec<String>,
    pub agent_in: Vec<String>,
    pub address: SocketAddr,
}

/// The controller; killed when dropped.
pub struct Serving {
    pub child: Child,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The agent; killed when dropped.
pub struct Agent(pub Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bench {
    /// A bench with a release `one`, ordered once for its one slot.
    pub fn new(order: &str) -> Option<Self> {
        Self::with(order, "127.0.0.1")
    }

    pub fn with(order: &str, address: &str) -> Option<Self> {
        let card = Card::used(2 << 20)?;
        let shop = Shop::empty();
        shop.publish("one", 2);
        let dir = shop.dir.path().to_owned();
        let bench = Self::of(shop, dir, card, address);
        bench.order(DEMO, order);
        Some(bench)
    }

    /// Whether the card holds the image of the release with this host name.
    pub fn holds(&self, hostname: &str) -> bool {
        let iso = Shop::iso(hostname);
        self.card.bytes()[..iso.len()] == iso[..]
    }
}

impl<C> Bench<C> {
    /// A bench of any catalog, with a card in its slot; nothing is ordered.
    pub fn of(shop: C, dir: PathBuf, card: Card, address: &str) -> Self {
        let (folder, port) = (dir.join("agent"), dir.join("slot-a").to_str().unwrap().to_owned());
        let address = format!("{address}:0").parse().unwrap();
        symlink(card.path(), &port).unwrap();
        let (controller_in, agent_in) = (Vec::new(), Vec::new());
        let slots = Vec::new();
        let bench = Self { shop, dir, card, port, slots, folder, controller_in, agent_in, address };
        bench.certificate();
        bench
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// Writes the writer and an order of `what`: image, and channel or version. `more` goes behind the
    /// ordered card.
    pub fn order(&self, what: &str, more: &str) {
        fs::create_dir_all(self.path("runners")).unwrap();
        let port = &self.port;
        let text = format!(
            "apiVersion: bootwright/v1\nkind: CardWriter\nmetadata: {{name: bench-1}}\nspec:\n  slots:\n    - {{name: {SLOT}, path: {port}}}\n---\napiVersion: bootwright/v1\nkind: FlashOrder\nmetadata: {{name: lab}}\nspec:\n  cards:\n    - {{{what}, writer: bench-1, slot: {SLOT}}}\n{more}"
        );
        fs::write(self.path("runners/lab.yaml"), text).unwrap();
    }

    /// An authority and a leaf: rustls refuses a server's certificate that is an authority.
    fn certificate(&self) {
        let of = |name: &str| self.path(name);
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let (ca, ca_key) = (of("ca.pem"), of("ca.key"));
        let (leaf, leaf_key, asked, named) = (of("tls.pem"), of("tls.key"), of("tls.csr"), of("tls.ext"));
        let made = ["req", "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", &ca_key, "-out", &ca];
        run("openssl", &[&made[..1], &key[..], &made[1..]].concat());
        let made = ["req", "-subj", "/CN=controller", "-keyout", &leaf_key, "-out", &asked];
        run("openssl", &[&made[..1], &key[..], &made[1..]].concat());
        let ip = self.address.ip();
        fs::write(&named, format!("subjectAltName=IP:{ip}\nbasicConstraints=CA:FALSE\n")).unwrap();
        run(
            "openssl",
            &[
                "x509",
                "-req",
                "-in",
                &asked,
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &named,
                "-out",
                &leaf,
            ],
        );
    }

    fn program(&self, within: &[String]) -> Command {
        let mut command = match within.split_first() {
            Some((program, arguments)) => {
                let mut command = command(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_bootwright")).stdin(Stdio::null());
                command
            }
            None => bootwright(),
        };
        command.current_dir(&self.dir).args(["--output", "json"]);
        command
    }

    /// The controller, started and listening.
    pub fn serve(&mut self, environment: &[(&str, &str)]) -> Serving {
        let listen = self.address.to_string();
        let mut program = self.program(&self.controller_in);
        program
            .args(["serve", "--listen", &listen, "--certificate", "tls.pem", "--certificate-key", "tls.key"])
            .args(["--lease", "2"])
            .envs(environment.iter().copied());
        let (child, line) = started(program);
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = told["listening"].as_str() {
            self.address = address.parse().unwrap();
        }
        Serving { child }
    }

    pub fn controller(&self, args: &[&str]) -> (i32, Value) {
        answer(self.program(&[]).args(args).output().unwrap())
    }

    /// Enrols the agent with a fresh token; `key` is what releases must be signed with.
    pub fn enroll(&self, key: &str) -> (i32, Value) {
        let (code, token) = self.controller(&["writer", "token", "bench-1"]);
        assert_eq!(code, 0, "{token}");
        self.enroll_with(token["token"].as_str().unwrap(), key)
    }

    pub fn enroll_with(&self, token: &str, key: &str) -> (i32, Value) {
        let controller = format!("https://{}", self.address);
        let mut slots = vec![format!("--slot={SLOT}={}", self.port)];
        slots.extend(self.slots.iter().map(|(name, port)| format!("--slot={name}={port}")));
        let folder = self.folder.to_str().unwrap();
        let mut child = self
            .program(&self.agent_in)
            .args(["writer", "enroll", folder, "--name", "bench-1", "--controller", &controller])
            .args(["--authority", "ca.pem", "--store", "releases", "--key", key])
            .args(slots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        answer(child.wait_with_output().unwrap())
    }

    /// Enrols with the shop's own key; gives the agent's.
    pub fn enrolled(&self) -> String {
        let (code, report) = self.enroll("keys/k.pub");
        assert_eq!(code, 0, "{report}");
        report["publicKey"].as_str().unwrap().to_owned()
    }

    /// Writes the agent's key into the catalog: it then counts whatever becomes of the database.
    pub fn pin(&self, key: &str) {
        let path = self.dir.join("runners/lab.yaml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            text.replacen("spec:\n  slots:", &format!("spec:\n  publicKey: {key}\n  slots:"), 1),
        )
        .unwrap();
    }

    /// Takes the controller's database away.
    pub fn lose_database(&self) {
        let mut lost = 0;
        for folder in [".bootwright", ".bootwright/cache"] {
            for name in ["state.db", "state.db-wal", "state.db-shm"] {
                lost += usize::from(fs::remove_file(self.dir.join(folder).join(name)).is_ok());
            }
        }
        assert!(lost > 0, "there was no database");
    }

    pub fn agent(&self, args: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = self.program(&self.agent_in);
        command.args(["writer", "run", self.folder.to_str().unwrap()]).args(args);
        command.envs(environment.iter().copied());
        command
    }

    /// Runs the agent for one job; gives its exit code and how many receipts it gave.
    pub fn once(&self) -> (i32, u64) {
        let (code, report) = answer(self.agent(&["--once"], &[]).output().unwrap());
        (code, report["receipts"].as_u64().unwrap_or_else(|| panic!("{report}")))
    }

    pub fn spawn(&self, args: &[&str], environment: &[(&str, &str)]) -> Agent {
        let mut command = self.agent(args, environment);
        Agent(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn jobs(&self) -> Vec<Value> {
        let (code, report) = self.controller(&["writer", "jobs"]);
        assert_eq!(code, 0, "{report}");
        report["jobs"].as_array().unwrap().clone()
    }

    pub fn states(&self) -> Vec<String> {
        self.jobs().iter().map(|job| job["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The receipts that the controller has.
    pub fn receipts(&self) -> Vec<SignedReceipt> {
        let Ok(entries) = fs::read_dir(self.path("receipts")) else { return Vec::new() };
        let mut receipts = Vec::new();
        for entry in entries {
            let path = entry.unwrap().path();
            // One that is being written has another name until it is whole.
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let receipt: SignedReceipt = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let job: JobId = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            assert_eq!(receipt.receipt.job, job);
            assert!(receipt.verified(&receipt.key).is_some(), "{receipt:?}");
            receipts.push(receipt);
        }
        receipts.sort_by_key(|receipt| receipt.receipt.finished);
        receipts
    }

    /// Sectors that were written to the card's device so far (Documentation/block/stat.rst).
    pub fn written(&self) -> u64 {
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", self.card.device.name())).unwrap();
        stat.split_whitespace().nth(6).unwrap().parse().unwrap()
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until an agent has stopped itself; gives its process id.
pub fn until_stopped(agent: &Agent) -> i32 {
    let pid = i32::try_from(agent.0.id()).unwrap();
    until("the stop", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|text| text.contains(") T "))
    });
    pid
}

fn answer(output: Output) -> (i32, Value) {
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&output.stderr).into_owned()));
    (output.status.code().unwrap_or(-1), report)
}
