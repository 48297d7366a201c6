//! A service that speaks S3 and is not ours: moto, from Python's package index.

use super::super::crash::{command, started};
use super::super::tools::tool;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

/// The service. It ends with this process, or when it is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts it, with the bucket `images`.
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/s3/server.py");
        let mut python = command(tool("s3/bin/python").to_str().unwrap());
        python.arg(script).stdin(Stdio::piped());
        let (child, line) = started(python);
        let server = Self { child, port: line.trim().parse().unwrap() };
        assert_eq!(server.ask("PUT", "/images", b"").0, 200);
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bucket as a web server shows it.
    pub fn web(&self) -> String {
        format!("{}/-/web/images/store", self.endpoint())
    }

    /// One request without credentials: status and body.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// An object of the store; `None` if there is none.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.ask("GET", &format!("/-/web/images/store/{key}"), b"") {
            (200, bytes) => Some(bytes),
            (404, _) => None,
            other => panic!("{key}: {other:?}"),
        }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        let (status, _) = self.ask("PUT", &format!("/-/web/images/store/{key}"), bytes);
        assert_eq!(status, 200, "{key}");
    }

    pub fn delete(&self, key: &str) {
        let (status, _) = self.ask("DELETE", &format!("/-/web/images/store/{key}"), b"");
        assert_eq!(status, 204, "{key}");
    }

    /// The keys of all objects below a prefix of the store.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let path = format!("/-/web/images?list-type=2&prefix=store/{prefix}");
        let text = String::from_utf8(self.ask("GET", &path, b"").1).unwrap();
        assert!(text.contains("<IsTruncated>false"), "{text}");
        let keys = text.split("<Key>store/").skip(1);
        keys.map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
    }

    /// Uploads in parts that have begun and did not end.
    pub fn open_uploads(&self) -> usize {
        let answer = self.ask("GET", "/-/web/images?uploads", b"").1;
        String::from_utf8_lossy(&answer).matches("<UploadId>").count()
    }

    /// Has the next requests that fit refused.
    pub fn refuse(&self, method: &str, contains: &str, status: u16, times: usize) {
        let fault = json!({"method": method, "contains": contains, "status": status, "times": times});
        assert_eq!(self.ask("POST", "/-/faults", fault.to_string().as_bytes()).0, 200);
    }

    /// All requests with credentials so far: method, path, query, If-Match, If-None-Match.
    pub fn log(&self) -> Vec<[String; 5]> {
        let log: Value = serde_json::from_slice(&self.ask("GET", "/-/log", b"").1).unwrap();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let line = |line: &Value| std::array::from_fn(|at| text(&line[at]));
        log.as_array().unwrap().iter().map(line).collect()
    }

    /// How often objects whose keys contain a text were written since `from` requests.
    pub fn writes(&self, from: usize, contains: &str) -> usize {
        let log = self.log();
        log[from..].iter().filter(|line| line[0] == "PUT" && line[1].contains(contains)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
