//! Routers ask for firmware: the real program, asked over HTTP as owut, LuCI and the firmware selector
//! ask. These themselves cannot run here: two want a router, one a browser.

mod clients;
mod documents;
mod queue;
mod refused;

use super::fixture::World;
use bootwright::effects::Point;
use bootwright::model::Digest;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The revision of every release of the tests.
const REVISION: &str = "r28739-d9340319c6";
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the program answers.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// `bootwright openwrt serve`, at work.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(world: &World) -> Self {
        Self::of(world.bootwright(&["openwrt", "serve", "--listen", "127.0.0.1:0"]))
    }

    /// One that is killed when it comes to a point.
    fn start_with(world: &World, point: Point) -> Self {
        let mut command = world.bootwright(&["openwrt", "serve", "--listen", "127.0.0.1:0"]);
        command.env("BOOTWRIGHT_STOP_AT", point.name());
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self { address: said["listening"].as_str().unwrap().parse().unwrap(), child }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// One request on a connection of its own.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // Who is refused early may have stopped to listen.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        answered(stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    fn post(&self, body: &Value) -> Answer {
        self.ask(
            "POST",
            "/api/v1/build",
            &[("Content-Type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    /// Asks until it is done or failed.
    fn wait(&self, hash: &str) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.get(&format!("/api/v1/build/{hash}"));
            if answer.status != 202 {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "{}", answer.json());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks for a build and waits for it.
    fn build(&self, body: &Value) -> Answer {
        let asked = self.post(body);
        match asked.status {
            202 => self.wait(asked.json()["request_hash"].as_str().unwrap()),
            _ => asked,
        }
    }

    /// Asks to stop, and says how it ended.
    fn stop(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answered(stream: TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let status = lines.first().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    Answer { status, headers, body }
}

/// A world whose catalog has these settings for routers.
fn world(sysupgrade: &str) -> World {
    let world = World::new();
    // Tests ask more often than routers.
    let often = match sysupgrade.strip_prefix('{').filter(|text| !text.contains("requestsPerMinute")) {
        Some(rest) => format!("{{requestsPerMinute: 60000, {rest}"),
        None => sysupgrade.to_owned(),
    };
    world.settings(&[&world.folder_url()], &format!("keys: [keys/openwrt.pub], sysupgrade: {often}"));
    world
}

/// A small request.
fn request(packages: &[&str]) -> Value {
    json!({"version": "24.10.5", "target": "ramips/mt7621", "profile": "netgear_r6220", "packages": packages})
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}
