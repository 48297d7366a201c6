//! Language models as readers of prompts: a local server that speaks the wire formats of Ollama
//! and of OpenAI's chat completions, well and badly.

use bootwright::catalog::Severity;
use bootwright::effects::Cancel;
use bootwright::effects::ask::Bounds;
use bootwright::intake::model::{Access, Modelled, read};
use bootwright::intake::{Kind, Origin};
use bootwright::model::{ErrorCode, Result};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What must never be seen anywhere but in the header of a request.
const CANARY: &str = "sk-canary-5f2d";
const PROMPT: &str = "Debian 12 with nginx, ports 80 and 443 open, backups to s3://backups/web";

/// What the server does with one request.
#[derive(Clone)]
enum Reply {
    /// An answer of the model with this text.
    Says(String),
    /// A whole HTTP response.
    Raw(String),
    /// Nothing for so long.
    Slow(Duration),
    /// A body without end.
    Endless,
    /// The connection is closed.
    Closed,
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Serves the replies in their order; the last one again and again.
fn server(kind: Kind, replies: Vec<Reply>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let request = request(&mut stream);
            seen.lock().unwrap().push(request);
            let reply = replies[number.min(replies.len() - 1)].clone();
            std::thread::spawn(move || answer(&mut stream, kind, reply));
        }
    });
    Server { address, requests }
}

/// One request: head and body.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        if count == 0 {
            return text.into_owned();
        }
    }
}

fn answer(stream: &mut TcpStream, kind: Kind, reply: Reply) {
    let text = match reply {
        Reply::Says(content) => ok(&wire(kind, &content)),
        Reply::Raw(text) => text,
        Reply::Slow(time) => {
            std::thread::sleep(time);
            return;
        }
        Reply::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n");
            while stream.write_all(&[b' '; 4096]).is_ok() {}
            return;
        }
        Reply::Closed => return,
    };
    let _ = stream.write_all(text.as_bytes());
}

/// The body of an answer, as the API descriptions of the two kinds show it.
fn wire(kind: Kind, content: &str) -> String {
    match kind {
        Kind::Ollama => json!({
            "model": "qwen3:1.7b",
            "created_at": "2026-11-21T09:00:00.000000Z",
            "message": {"role": "assistant", "content": content},
            "done_reason": "stop",
            "done": true,
            "total_duration": 2_254_970_291_u64,
            "load_duration": 574_751_416,
            "prompt_eval_count": 34,
            "prompt_eval_duration": 1_502_000_000,
            "eval_count": 12,
            "eval_duration": 175_000_000,
        }),
        Kind::OpenAi => json!({
            "id": "chatcmpl-123",
            "object": "chat.completion",
            "created": 1_741_569_952,
            "model": "m",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": null, "annotations": []},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
        }),
    }
    .to_string()
}

fn ok(body: &str) -> String {
    http("200 OK", "", body)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

fn good() -> Value {
    json!({
        "apiVersion": "bootwright/v1",
        "kind": "OsImage",
        "metadata": {"name": "web"},
        "spec": {"base": "debian", "suite": "bookworm", "packages": {"servers": ["nginx"]}},
    })
}

fn says(value: &Value) -> Reply {
    Reply::Says(value.to_string())
}

const BOUNDS: Bounds =
    Bounds { time: Duration::from_secs(2), size: 256 << 10, wait: Duration::from_secs(2), tries: 3 };

fn ask(kind: Kind, server: &Server, prompt: &str) -> Result<Modelled> {
    let access =
        Access { kind, url: &server.address, model: "qwen3:1.7b", key: Some(CANARY), bounds: BOUNDS };
    assert!(!format!("{access:?}").contains(CANARY));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(read(&access, prompt, None, None, &Cancel::default()));
    if let Err(failure) = &answer {
        let told = format!("{failure:?} {}", serde_json::to_string(failure).unwrap());
        assert!(!told.contains(CANARY), "the key is shown: {told}");
    }
    answer
}

/// Both kinds of service, the same replies.
fn both(replies: &[Reply]) -> [(Result<Modelled>, Server); 2] {
    [Kind::Ollama, Kind::OpenAi].map(|kind| {
        let server = server(kind, replies.to_vec());
        (ask(kind, &server, PROMPT), server)
    })
}

fn refused(replies: &[Reply], code: ErrorCode, requests: usize) {
    for (answer, server) in both(replies) {
        let failure = answer.expect_err("it was taken");
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(
            failure.hint.is_some()
                || failure.details.is_some()
                || code == ErrorCode::Network
                || code == ErrorCode::Timeout,
            "{failure:?}"
        );
        assert_eq!(server.requests.lock().unwrap().len(), requests, "{failure:?}");
    }
}

#[test]
fn a_good_answer_is_taken() {
    for (answer, server) in both(&[says(&good())]) {
        let modelled = answer.unwrap();
        assert_eq!((modelled.tries, modelled.document.name.as_str()), (1, "web"));
        assert!(modelled.document.text.contains("servers: [nginx]"), "{}", modelled.document.text);
        assert!(modelled.document.text.contains("# from the model qwen3:1.7b"), "{}", modelled.document.text);
        assert!(modelled.document.fields.iter().all(|f| f.origin == Origin::Model("qwen3:1.7b".to_owned())));
        assert!(modelled.findings.iter().all(|f| f.severity != Severity::Error), "{:?}", modelled.findings);
        let requests = server.requests.lock().unwrap();
        assert!(requests[0].contains(&format!("authorization: Bearer {CANARY}")), "the key is sent");
    }
}

/// The requests are those of the two API descriptions.
#[test]
fn questions_are_what_the_services_read() {
    for (kind, path) in
        [(Kind::Ollama, "POST /api/chat HTTP/1.1"), (Kind::OpenAi, "POST /v1/chat/completions HTTP/1.1")]
    {
        let server = server(kind, vec![says(&good())]);
        ask(kind, &server, PROMPT).unwrap();
        let request = server.requests.lock().unwrap()[0].clone();
        assert!(request.starts_with(path), "{request}");
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["model"], "qwen3:1.7b");
        assert_eq!(body["messages"][0]["role"], "system");
        assert_eq!(body["messages"][1], json!({"role": "user", "content": PROMPT}));
        let schema = match kind {
            Kind::Ollama => {
                assert_eq!(body["stream"], false);
                assert_eq!(body["options"]["temperature"], 0);
                &body["format"]
            }
            Kind::OpenAi => {
                assert_eq!(body["response_format"]["type"], "json_schema");
                assert_eq!(body["response_format"]["json_schema"]["name"], "os_image");
                &body["response_format"]["json_schema"]["schema"]
            }
        };
        assert_eq!(schema["type"], "object");
        assert!(schema["properties"]["spec"].is_object());
        assert!(!body.to_string().contains(CANARY), "the key is in a body");
    }
}

#[test]
fn markdown_round_the_json_is_no_reason_to_refuse() {
    let fenced = Reply::Says(format!("```json\n{:#}\n```", good()));
    for (answer, _) in both(&[fenced]) {
        assert_eq!(answer.unwrap().tries, 1);
    }
}

/// Errors of the reader of files go back to the model.
#[test]
fn wrong_twice_then_right() {
    let mut unknown = good();
    unknown["spec"]["desktop"] = json!("gnome");
    let mut value = good();
    value["spec"]["base"] = json!("debain");
    for (answer, server) in both(&[says(&unknown), says(&value), says(&good())]) {
        assert_eq!(answer.unwrap().tries, 3);
        let requests = server.requests.lock().unwrap();
        assert_eq!(requests.len(), 3);
        assert!(requests[1].contains("unknown field `desktop`"), "{}", requests[1]);
        assert!(requests[2].contains("debian"), "{}", requests[2]);
    }
}

#[test]
fn three_answers_that_cannot_be_read_are_enough() {
    let mut unknown = good();
    unknown["spec"]["desktop"] = json!("gnome");
    let mut nameless = good();
    nameless["metadata"] = json!({});
    for wrong in [
        Reply::Says("I am sorry, I cannot do that.".to_owned()),
        Reply::Says("{\"apiVersion\": \"bootwright/v1\",".to_owned()),
        Reply::Says(String::new()),
        Reply::Says("[]".to_owned()),
        Reply::Says("[".repeat(100_000)),
        Reply::Says(format!("{} {}", good(), good())),
        Reply::Raw(ok("<html>no</html>")),
        Reply::Raw(ok("")),
        Reply::Raw(ok("{}")),
        says(&unknown),
        says(&nameless),
    ] {
        refused(&[wrong], ErrorCode::Parse, 3);
    }
}

#[test]
fn a_service_that_refuses() {
    let quoting = format!("{{\"error\": {{\"message\": \"Incorrect API key provided: {CANARY}\"}}}}");
    refused(&[Reply::Raw(http("401 Unauthorized", "", &quoting))], ErrorCode::Permission, 1);
    refused(&[Reply::Raw(http("403 Forbidden", "", &quoting))], ErrorCode::Permission, 1);
    refused(&[Reply::Raw(http("404 Not Found", "", &quoting))], ErrorCode::NotFound, 1);
    refused(&[Reply::Raw(http("400 Bad Request", "", &quoting))], ErrorCode::Network, 1);
    refused(&[Reply::Raw(http("500 Internal Server Error", "", &quoting))], ErrorCode::Network, 3);
    refused(&[Reply::Closed], ErrorCode::Network, 1);
    refused(&[Reply::Raw("nonsense\r\n\r\n".to_owned())], ErrorCode::Network, 1);
}

#[test]
fn retry_after_is_obeyed() {
    let busy = Reply::Raw(http("429 Too Many Requests", "retry-after: 1\r\n", "{}"));
    for (answer, server) in both(&[busy, says(&good())]) {
        assert_eq!(answer.unwrap().tries, 1);
        assert_eq!(server.requests.lock().unwrap().len(), 2);
    }
    let begun = Instant::now();
    let never = Reply::Raw(http("429 Too Many Requests", "retry-after: 3600\r\n", "{}"));
    refused(&[never], ErrorCode::Network, 1);
    assert!(begun.elapsed() < Duration::from_secs(5), "an hour is not waited for");
}

#[test]
fn a_service_that_is_slow_or_talks_without_end() {
    refused(&[Reply::Slow(Duration::from_secs(20))], ErrorCode::Timeout, 1);
    refused(&[Reply::Endless], ErrorCode::Network, 1);
}

/// Neither the prompt nor the key goes to somebody else.
#[test]
fn redirects_are_not_followed() {
    let elsewhere = server(Kind::OpenAi, vec![says(&good())]);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let header = format!("location: {}/v1/chat/completions\r\n", elsewhere.address);
        refused(&[Reply::Raw(http(status, &header, ""))], ErrorCode::Untrusted, 1);
    }
    assert!(elsewhere.requests.lock().unwrap().is_empty(), "somebody else was asked");
}

/// A model that does what a hostile prompt tells it makes nothing but a spec.
#[test]
fn hostile_answers_become_nothing_but_a_spec() {
    let mut hostile = good();
    hostile["metadata"]["description"] = json!("x\u{1b}[2J");
    hostile["spec"]["postInstall"] = json!({"scripts": ["../../etc/passwd", "$(touch /tmp/owned)"]});
    hostile["spec"]["defaults"] = json!({"users": [{"name": "eve", "sudo": true, "passwordHash": "$6$x$y", "sshKeys": ["ssh-ed25519 AAAA eve"]}]});
    hostile["spec"]["customization"] = json!({"bootloader": {"splash": "../../x.png"}, "dotfiles": {"repository": "https://evil.example/x"}});
    hostile["spec"]["kernel"] = json!({"customFlags": ["init=/bin/sh"]});
    hostile["spec"]["include"] = json!(["/etc/shadow"]);
    hostile["spec"]["packages"]["extra"] = json!(["evil"]);
    for (answer, _) in both(&[says(&hostile)]) {
        let modelled = answer.unwrap();
        let text = &modelled.document.text;
        for word in ["passwd", "touch", "$6$", "AAAA", "x.png", "evil", "init=", "shadow", "\u{1b}"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
        assert!(modelled.dropped.len() >= 8, "{:?}", modelled.dropped);
        assert!(text.contains("eve"), "{text}");
    }
    // A destination of its own is taken out, and backups without one are refused by rule.
    hostile["spec"]["backup"] = json!({"tool": "restic", "destinations": ["sftp://evil@evil.example/x"]});
    refused(&[says(&hostile)], ErrorCode::Parse, 3);
    // What stands in the prompt may be taken over.
    hostile["spec"]["backup"]["destinations"] = json!(["s3://backups/web"]);
    hostile["spec"]["backup"]["keyFile"] = json!("/etc/shadow");
    refused(&[says(&hostile)], ErrorCode::Parse, 3);
    hostile["spec"]["backup"]["keyFile"] = json!("/etc/backup.key");
    for (answer, _) in both(&[says(&hostile)]) {
        assert!(answer.unwrap().document.text.contains("s3://backups/web"));
    }
}

#[test]
fn hostile_values_are_refused_like_those_of_files() {
    for (pointer, value) in [
        ("/metadata/name", json!("../../etc/cron.d/x")),
        ("/metadata/name", json!("$(reboot)")),
        ("/spec/suite", json!("bookworm; reboot")),
        ("/spec/packages/servers", json!(["nginx", "$(reboot)"])),
        ("/spec/packages/servers", json!(["nginx\nevil"])),
        ("/spec/packages/servers", json!(["n".repeat(100_000)])),
        ("/spec/packages", json!("nginx")),
        ("/spec/base", json!({"a": 1})),
        ("/kind", json!("Policy")),
        ("/apiVersion", json!("bootwright/v2")),
    ] {
        let mut bad = good();
        *bad.pointer_mut(pointer).unwrap() = value;
        for (answer, _) in both(&[says(&bad)]) {
            let failure = answer.expect_err(pointer);
            assert_eq!(failure.code, ErrorCode::Parse, "{pointer}: {failure:?}");
        }
    }
}

/// A stop is heard while a model thinks.
#[test]
fn asking_can_be_stopped() {
    let server = server(Kind::Ollama, vec![Reply::Slow(Duration::from_secs(20))]);
    let bounds = Bounds { time: Duration::from_secs(30), ..BOUNDS };
    let access = Access { kind: Kind::Ollama, url: &server.address, model: "m", key: None, bounds };
    let cancel = Cancel::default();
    let stopper = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stopper.request();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    let failure = runtime.block_on(read(&access, PROMPT, None, None, &cancel)).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
