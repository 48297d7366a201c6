//! A front for Debian's docker-registry that adds what it lacks, by the OCI distribution
//! specification 1.1: the referrers API, in pages of two, and bearer tokens.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const TOKEN: &str = "a-token-for-an-hour";
/// `pusher:hunter2` in base64.
const BASIC: &str = "Basic cHVzaGVyOmh1bnRlcjI=";

/// What was asked, and what refers to what.
#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    referrers: BTreeMap<String, Vec<Value>>,
}

/// The front, as long as this process lives.
#[derive(Clone)]
pub struct Front {
    pub host: String,
    seen: Arc<Mutex<Seen>>,
}

impl Front {
    /// Stands before the registry at `behind`.
    pub fn start(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Self { host: listener.local_addr().unwrap().to_string(), seen: Arc::default() };
        let (own, behind) = (front.clone(), behind.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, behind) = (own.clone(), behind.clone());
                std::thread::spawn(move || drop(own.answer(stream, &behind)));
            }
        });
        front
    }

    /// Requests that write something, as `METHOD PATH`.
    pub fn writes(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let writes = |r: &&String| ["PUT ", "POST ", "PATCH "].iter().any(|method| r.starts_with(method));
        seen.requests.iter().filter(writes).cloned().collect()
    }

    fn answer(&self, mut stream: TcpStream, behind: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(head) = head(&mut reader)? else { return Ok(()) };
        let field = |name: &str| {
            head.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let mut words = head[0].split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let length = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        self.seen.lock().unwrap().requests.push(format!("{method} {path}"));
        if path.starts_with("/token") {
            let right = field("authorization").as_deref() == Some(BASIC);
            let status = if right { "200 OK" } else { "401 Unauthorized" };
            return reply(&mut stream, status, "", &json!({ "token": TOKEN }).to_string());
        }
        if field("authorization") != Some(format!("Bearer {TOKEN}")) {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"front\"\r\n",
                self.host
            );
            return reply(&mut stream, "401 Unauthorized", &challenge, "{\"errors\":[]}");
        }
        if let Some((_, rest)) = path.split_once("/referrers/") {
            return self.list(&mut stream, path, rest);
        }
        let subject = self.subject(method, path, &body);
        let mut other = TcpStream::connect(behind)?;
        let kept = head.iter().filter(|line| {
            let lower = line.to_ascii_lowercase();
            !lower.starts_with("connection:") && !lower.starts_with("authorization:")
        });
        let mut request: Vec<u8> = kept.flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
        request.extend_from_slice(b"Connection: close\r\n\r\n");
        request.extend_from_slice(&body);
        other.write_all(&request)?;
        let mut answer = Vec::new();
        other.read_to_end(&mut answer)?;
        if let Some(subject) = subject
            && let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n")
            && answer.starts_with(b"HTTP/1.1 201")
        {
            let line = format!("\r\nOCI-Subject: {subject}");
            answer.splice(end..end, line.into_bytes());
        }
        stream.write_all(&answer)
    }

    /// The subject of a manifest that is written; remembered.
    fn subject(&self, method: &str, path: &str, body: &[u8]) -> Option<String> {
        if method != "PUT" || !path.contains("/manifests/") {
            return None;
        }
        let manifest: Value = serde_json::from_slice(body).ok()?;
        let subject = manifest["subject"]["digest"].as_str()?.to_owned();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(body)));
        let entry = json!({
            "mediaType": manifest["mediaType"], "digest": digest, "size": body.len(),
            "artifactType": manifest["artifactType"],
        });
        let mut seen = self.seen.lock().unwrap();
        let list = seen.referrers.entry(subject.clone()).or_default();
        if !list.iter().any(|known| known["digest"] == entry["digest"]) {
            list.push(entry);
        }
        Some(subject)
    }

    fn list(&self, stream: &mut TcpStream, path: &str, rest: &str) -> std::io::Result<()> {
        let (subject, query) = rest.split_once('?').unwrap_or((rest, ""));
        let from = query.strip_prefix("from=").and_then(|n| n.parse().ok()).unwrap_or(0);
        let all = self.seen.lock().unwrap().referrers.get(subject).cloned().unwrap_or_default();
        let page: Vec<&Value> = all.iter().skip(from).take(2).collect();
        let more = from + 2 < all.len();
        let place = path.split('?').next().unwrap_or_default();
        let link = format!("Link: <{place}?from={}>; rel=\"next\"\r\n", from + 2);
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": page,
        });
        reply(stream, "200 OK", if more { &link } else { "" }, &index.to_string())
    }
}

fn reply(stream: &mut TcpStream, status: &str, fields: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The first line of a request and its fields; nothing if whoever asked is gone.
pub fn head(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<String>>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim() {
            "" => return Ok(Some(head)),
            text => head.push(text.to_owned()),
        }
    }
}
