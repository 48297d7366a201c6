//! QEMU's machine protocol (QMP, `docs/interop/qmp-spec.txt` of QEMU): JSON objects, one a
//! line, over a Unix socket. Requests carry an id; events come whenever they please.

use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// No message is longer than this, in bytes.
const LONGEST_MESSAGE: u64 = 1 << 20;

/// What QEMU says.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// Something happened.
    Event {
        /// `RESET`, `SHUTDOWN`, …
        name: String,
        /// Its fields.
        data: Value,
    },
    /// A request was carried out, or refused with QEMU's words.
    Reply {
        /// The id of the request.
        id: u64,
        /// What came of it.
        result: Result<Value, String>,
    },
}

impl Message {
    /// Reads one line; `None` for the greeting and anything else that is not for us.
    pub fn parse(line: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(line).ok()?;
        if let Some(name) = value.get("event").and_then(Value::as_str) {
            let name = name.to_owned();
            return Some(Self::Event { name, data: value["data"].take() });
        }
        let id = value.get("id")?.as_u64()?;
        if let Some(error) = value.get("error") {
            let words = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
            return Some(Self::Reply { id, result: Err(words.to_owned()) });
        }
        Some(Self::Reply { id, result: Ok(value.get_mut("return")?.take()) })
    }
}

/// The requesting side of the connection.
#[derive(Debug)]
pub struct Requests {
    stream: UnixStream,
    next: u64,
}

impl Requests {
    /// Speaks over a connected socket and leaves negotiation mode.
    ///
    /// # Errors
    /// If QEMU no longer listens.
    pub fn start(stream: UnixStream) -> Result<Self> {
        let mut requests = Self { stream, next: 1 };
        requests.send("qmp_capabilities", &json!({}))?;
        Ok(requests)
    }

    /// Sends a request and gives its id.
    ///
    /// # Errors
    /// If QEMU no longer listens.
    pub fn send(&mut self, command: &str, arguments: &Value) -> Result<u64> {
        let id = self.next;
        self.next += 1;
        let mut line = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes()).during(|| "asking QEMU".to_owned())?;
        Ok(id)
    }
}

/// Reads messages to the end of the stream.
///
/// # Errors
/// If a message is longer than QEMU's ever are.
pub fn read_messages(stream: impl Read, mut each: impl FnMut(Message)) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LONGEST_MESSAGE).read_until(b'\n', &mut line);
        match read {
            // A reset connection is the end, too: QEMU was killed.
            Ok(0) | Err(_) => return Ok(()),
            Ok(n) if n as u64 == LONGEST_MESSAGE => {
                return Err(Failure::host("QEMU sent a message of more than a megabyte"));
            }
            Ok(_) => {}
        }
        if let Some(message) = Message::parse(&String::from_utf8_lossy(&line)) {
            each(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_messages() {
        // QEMU 7.2, `-qmp stdio`: capabilities, query-version, a wrong screendump, quit.
        let text = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7+deb12u18"}, "capabilities": ["oob"]}}
{"return": {}, "id": 1}
{"id": 2, "error": {"class": "GenericError", "desc": "Device 'x' not found"}}
{"timestamp": {"seconds": 1795229532, "microseconds": 287864}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}
"#;
        let mut messages = Vec::new();
        read_messages(text.as_bytes(), |m| messages.push(m)).unwrap();
        assert_eq!(messages[0], Message::Reply { id: 1, result: Ok(json!({})) });
        assert_eq!(messages[1], Message::Reply { id: 2, result: Err("Device 'x' not found".into()) });
        assert!(matches!(&messages[2], Message::Event { name, data }
            if name == "SHUTDOWN" && data["reason"] == "host-qmp-quit"));
        assert_eq!(messages.len(), 3);
    }

    #[test]
    fn what_is_no_message_is_dropped() {
        for bad in
            ["", "{", "[]", "7", r#"{"return": {}}"#, r#"{"id": "x", "return": {}}"#, r#"{"event": 7}"#]
        {
            assert_eq!(Message::parse(bad), None, "{bad}");
        }
        let endless = std::io::repeat(b'x').take(4 << 20);
        assert!(read_messages(endless, |_| {}).is_err());
    }
}
