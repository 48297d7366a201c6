//! Ports that are opened and closed: `open 80 and 443`, `ssh on port 2222`, `22/tcp`.

use super::marks::{Cursor, Taken, What, Wish};
use super::numbers;
use super::times;
use super::tokens::Kind;
use serde_json::{Map, Value, json};

const ALLOW: [&str; 11] = [
    "open", "allow", "expose", "permit", "accept", "allowing", "opening", "opened", "forward", "allows",
    "exposing",
];
const DENY: [&str; 12] = [
    "block", "deny", "close", "drop", "reject", "forbid", "blocking", "closing", "closed", "blocked",
    "denied", "dropping",
];
const BETWEEN: [&str; 15] = [
    "only", "incoming", "inbound", "traffic", "port", "ports", "the", "just", "also", "for", "on", "access",
    "to", "tcp", "udp",
];
const LISTENING: [&str; 8] =
    ["answer", "answers", "listen", "listening", "reachable", "respond", "responds", "up"];

/// A longer list is read as several: else time would grow with the square of its length.
const MOST: usize = 64;

/// One port of a list.
struct Port {
    number: u16,
    protocol: Option<&'static str>,
}

/// A list of ports with what shall happen to them.
pub fn read(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let word = cursor.word(at);
    if let Some(taken) = ssh(cursor, at) {
        return Some(taken);
    }
    let verb = if ALLOW.contains(&word) {
        Some("allow")
    } else if DENY.contains(&word) {
        Some("deny")
    } else {
        None
    };
    let named = ["port", "ports"].contains(&word);
    let protocol = ["udp", "tcp"].contains(&word);
    let number = cursor.token(at)?.kind == Kind::Number;
    if !(verb.is_some() || named || protocol || number) {
        return None;
    }
    let from = if number || protocol { at } else { cursor.skip(at + 1, &BETWEEN[..13]) };
    let from = from + usize::from((named || verb.is_some()) && cursor.is_mark(from, ':'));
    let (end, ports) = list(cursor, from, verb.is_some())?;
    let after = cursor.skip(
        end,
        &["should", "be", "is", "are", "must", "need", "to", "has", "have", "only", "please", "all"],
    );
    let said = cursor.word(after);
    let action = match verb {
        Some(verb) => verb,
        None if DENY.contains(&said) => "deny",
        None if ALLOW.contains(&said) || named => "allow",
        None if protocol && ports.iter().all(|p| p.protocol.is_some()) => "allow",
        None if number && ports.iter().any(|p| p.protocol.is_some()) => "allow",
        None => return None,
    };
    if verb.is_none() && LISTENING.contains(&said) {
        let what = ports.iter().map(|port| wish(Wish::add("proof", "verify.ports", port.number)));
        return Some(Taken { end: after + 1, what: what.collect() });
    }
    if verb.is_none()
        && named
        && ["for", "is"].contains(&said)
        && cursor.word(after + 1) == "ssh"
        && ports.len() == 1
    {
        let set = Wish::set("remote-access", "securityFeatures.ssh.port", ports[0].number);
        return Some(Taken::wish(after + 2, set));
    }
    let mut end =
        if verb.is_none() && (DENY.contains(&said) || ALLOW.contains(&said)) { after + 1 } else { end };
    let mut source = None;
    let network = cursor.skip(end, &["only", "from"]);
    if cursor.word(end) == "from" || (cursor.word(end) == "only" && cursor.word(end + 1) == "from") {
        let place = cursor
            .token(network)
            .filter(|t| t.kind == Kind::Place && t.text.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(place) = place {
            source = Some(place.text.clone());
            end = network + 1;
        }
    }
    let what = ports.iter().map(|port| {
        wish(Wish::add("port", "securityFeatures.firewall.rules", rule(port, action, source.as_deref())))
    });
    Some(Taken { end, what: what.collect() })
}

fn wish(wish: Wish) -> (Option<std::ops::Range<usize>>, What) {
    (None, What::Wish(Box::new(wish)))
}

fn rule(port: &Port, action: &str, source: Option<&str>) -> Value {
    let mut rule = Map::new();
    rule.insert("action".to_owned(), json!(action));
    rule.insert("port".to_owned(), json!(port.number));
    if let Some(protocol) = port.protocol.filter(|p| *p != "tcp") {
        rule.insert("protocol".to_owned(), json!(protocol));
    }
    if let Some(source) = source {
        rule.insert("source".to_owned(), json!(source));
    }
    Value::Object(rule)
}

/// "ssh on port 2222", "ssh port 2222".
fn ssh(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    if !["ssh", "sshd", "openssh"].contains(&cursor.word(at)) {
        return None;
    }
    let between = [
        "on",
        "at",
        "port",
        "listening",
        "running",
        "server",
        "to",
        "the",
        "daemon",
        "is",
        "should",
        "be",
        "listen",
        "run",
        "runs",
        "using",
        "via",
        "access",
        "uses",
    ];
    let to = cursor.skip(at + 1, &between);
    let to = to + usize::from(cursor.is_mark(to, ':'));
    let port = number(cursor, to)?;
    let said = (at + 1..to).any(|i| ["on", "port", "at"].contains(&cursor.word(i)));
    said.then(|| Taken::wish(to + 1, Wish::set("remote-access", "securityFeatures.ssh.port", port)))
}

fn number(cursor: &Cursor<'_>, at: usize) -> Option<u16> {
    let token = cursor.token(at).filter(|t| t.kind == Kind::Number)?;
    let port = token.text.parse::<u16>().ok().filter(|port| *port > 0)?;
    let counted = numbers::unit(cursor, at + 1).is_some() || times::is_clock(cursor, at);
    (!counted).then_some(port)
}

fn protocol(cursor: &Cursor<'_>, at: usize) -> Option<&'static str> {
    ["tcp", "udp"].into_iter().find(|name| cursor.word(at) == *name)
}

/// Ports that services are known by.
fn service(word: &str) -> Option<(u16, &'static str)> {
    Some(match word {
        "ssh" => (22, "tcp"),
        "http" => (80, "tcp"),
        "https" => (443, "tcp"),
        "dns" => (53, "udp"),
        "smtp" => (25, "tcp"),
        "ntp" => (123, "udp"),
        "rdp" => (3389, "tcp"),
        "vnc" => (5900, "tcp"),
        _ => return None,
    })
}

fn list(cursor: &Cursor<'_>, from: usize, services: bool) -> Option<(usize, Vec<Port>)> {
    let mut ports = Vec::new();
    let (mut at, mut end) = (from, from);
    loop {
        let before = protocol(cursor, at);
        let place = at + usize::from(before.is_some());
        let place = cursor.skip(place, &["port", "ports"]);
        if let Some(number) = number(cursor, place) {
            let after = protocol(cursor, place + 1);
            end = place + 1 + usize::from(after.is_some());
            ports.push(Port { number, protocol: after.or(before) });
        } else if let Some((number, name)) =
            service(cursor.word(place)).filter(|_| services && before.is_none())
        {
            ports.push(Port { number, protocol: Some(name) });
            end = place + 1;
        } else {
            break;
        }
        let comma = usize::from(cursor.is_mark(end, ','));
        let joint = cursor.skip(end + comma, &["and", "plus", "only"]);
        if ports.len() == MOST {
            break;
        }
        // Without a joint only another number goes on: "ports 80 443".
        if joint == end && number_follows(cursor, end).is_none() {
            break;
        }
        at = joint;
    }
    (!ports.is_empty()).then_some((end, ports))
}

fn number_follows(cursor: &Cursor<'_>, at: usize) -> Option<u16> {
    number(cursor, at)
}
