//! Names that the author chooses: accounts, host, image; and places that something is sent to.

use super::marks::{Cursor, Loose, Taken, What, Wish};
use super::phrases::{is_filler, phrase};
use super::tokens::{Kind, is_locale};
use crate::model::ImageName;
use crate::model::name::{ChannelName, HostName, UserName};
use serde_json::json;

/// Words behind "user" that are nobody's name.
const NOBODY: [&str; 12] = [
    "friendly",
    "interface",
    "space",
    "mode",
    "experience",
    "namespaces",
    "namespace",
    "manual",
    "guide",
    "root",
    "story",
    "agent",
];

/// Words that may stand between "user" and its name.
const BETWEEN: [&str; 12] =
    ["is", "called", "named", "name", "must", "be", "should", "will", "shall", "as", "the", "account"];

/// An account, a host, the image's own name, a destination.
pub fn read(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    users(cursor, at)
        .or_else(|| sudo(cursor, at))
        .or_else(|| host(cursor, at))
        .or_else(|| image(cursor, at))
        .or_else(|| channel(cursor, at))
        .or_else(|| kernel(cursor, at))
        .or_else(|| model(cursor, at))
        .or_else(|| dotfiles(cursor, at))
        .or_else(|| place(cursor, at))
}

/// The name that stands at a place, as it was written, and where it ends.
fn name<T: std::str::FromStr>(cursor: &Cursor<'_>, at: usize, explicit: bool) -> Option<(usize, T)> {
    let token = cursor.token(at)?;
    if !matches!(token.kind, Kind::Word | Kind::Number) {
        return None;
    }
    let end = cursor.run_end(at);
    let raw = cursor.raw(at, end).trim_end_matches("'s");
    if !explicit && end == at + 1 && (is_filler(&token.text) || phrase(&cursor.tokens[at..]).is_some()) {
        return None;
    }
    let name = raw.parse().or_else(|_| raw.to_ascii_lowercase().parse()).ok()?;
    Some((end, name))
}

/// Passes over the words and a colon before a name; says whether one of them announces it.
fn announced(cursor: &Cursor<'_>, from: usize) -> (usize, bool) {
    let to = cursor.skip(from, &BETWEEN);
    let said = (from..to).any(|at| ["called", "named", "name", "is", "be", "as"].contains(&cursor.word(at)));
    if cursor.is_mark(to, ':') { (cursor.skip(to + 1, &BETWEEN), true) } else { (to, said) }
}

fn users(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let word = cursor.word(at);
    if !["user", "users", "account", "accounts", "username", "login"].contains(&word) {
        return None;
    }
    let begin = at + 1 + usize::from(cursor.says(at + 1, "name"));
    let (from, said) = announced(cursor, begin);
    // "user friendly", "user root", "user interface": nobody's name.
    let quoted = cursor
        .token(from)
        .is_some_and(|t| cursor.text[..t.span.start].ends_with(['"', '\'', '“', '‘', '`', '«', '„']));
    let explicit = said || quoted || word == "username";
    let (mut end, first) = name::<UserName>(cursor, from, explicit)?;
    if NOBODY.contains(&first.as_str()) || (!quoted && is_filler(first.as_str())) {
        return None;
    }
    let mut names = vec![first];
    let several = word == "users" || word == "accounts";
    loop {
        let joint = usize::from(cursor.is_mark(end, ','));
        let next = cursor.skip(end + joint, &["and"]);
        if next == end || !several {
            break;
        }
        let Some((after, more)) = name::<UserName>(cursor, next, false) else { break };
        names.push(more);
        end = after;
    }
    let what = names
        .into_iter()
        .map(|name| {
            let wish = Wish::add("user", "defaults.users", json!({"name": name.as_str()}));
            (None, What::Wish(Box::new(wish)))
        })
        .collect();
    Some(Taken { end, what })
}

/// Rights of the account that was named before.
fn sudo(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let phrases = [
        "use sudo",
        "able to use sudo",
        "sudo rights",
        "sudo access",
        "sudo permissions",
        "sudo privileges",
        "sudo group",
        "passwordless sudo",
        "sudoer",
        "sudoers",
        "sudo",
        "admin rights",
        "administrator rights",
        "root rights",
        "admin privileges",
        "root privileges",
    ];
    let length = cursor.any(at, &phrases)?;
    Some(Taken::wish(at + length, Wish::set("sudo", "sudo", true)))
}

fn host(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let length = cursor.any(at, &["hostname", "host name", "host called", "host named", "machine name"])?;
    let (from, _) = announced(cursor, at + length);
    let (end, name) = name::<HostName>(cursor, from, true)?;
    (from > at).then(|| Taken::wish(end, Wish::set("host", "defaults.hostname", name.as_str())))
}

fn image(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let phrases = [
        "call it",
        "name it",
        "call this",
        "call the image",
        "name the image",
        "named",
        "called",
        "image name",
        "the name is",
        "its name is",
        "name should be",
        "name",
    ];
    let length = cursor.any(at, &phrases)?;
    let mut from = cursor.skip(at + length, &["is", "the", "should", "be"]);
    let mut sure = cursor.word(at) != "name" || length > 1;
    if cursor.is_mark(from, ':') {
        (from, sure) = (from + 1, true);
    }
    if !sure {
        return None;
    }
    let (end, name) = name::<ImageName>(cursor, from, false)?;
    Some(Taken::wish(end, Wish::set("name", "name", name.as_str())))
}

/// "the stable channel", "channel edge".
fn channel(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let wish =
        |end: usize, name: ChannelName| Taken::wish(end, Wish::set("channel", "channel", name.as_str()));
    if cursor.word(at) == "channel" {
        let from = cursor.skip(at + 1, &["is", "called", "named", "should", "be", "the"]);
        let from = from + usize::from(cursor.is_mark(from, ':'));
        let known = ["stable", "edge", "testing", "beta", "nightly", "dev"].contains(&cursor.word(from));
        let (end, name) =
            name::<ChannelName>(cursor, from, known || cursor.is_mark(from.checked_sub(1)?, ':'))?;
        return Some(wish(end, name));
    }
    let (end, name) =
        name::<ChannelName>(cursor, at, true).filter(|(end, _)| cursor.word(*end) == "channel")?;
    let article = ["the", "to", "on", "a", "our", "my", "into"];
    (!article.contains(&name.as_str())).then(|| wish(end + 1, name))
}

/// "ollama with llama3", "the model phi3:instruct".
fn model(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let ollama = cursor.word(at) == "ollama";
    if !ollama && cursor.word(at) != "model" {
        return None;
    }
    let from = cursor.skip(
        at + 1,
        &[
            "with",
            "the",
            "and",
            "model",
            "models",
            "running",
            "preloaded",
            "serving",
            "called",
            "named",
            "is",
            "using",
        ],
    );
    let from = from + usize::from(!ollama && cursor.is_mark(from, ':'));
    cursor.token(from).filter(|t| t.kind == Kind::Word && from > at + usize::from(ollama))?;
    let end = cursor.run_end(from);
    let raw = cursor.raw(from, end);
    let name = raw.to_ascii_lowercase();
    // A model's name has a number or a tag: "ollama with docker" names none.
    let is_model = raw.contains(|c: char| c.is_ascii_digit() || c == ':');
    let known = phrase(&cursor.tokens[from..]).is_some_and(|found| found.length >= end - from);
    if !is_model || known {
        return None;
    }
    let mut wish = Wish::add("model", "services.ai", json!({"name": "ollama", "model": name}));
    wish.add.push(("packages.ai_ml".to_owned(), json!("ollama")));
    Some(Taken::wish(end, wish))
}

/// "dotfiles from https://…".
fn dotfiles(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let length = cursor.any(at, &["dotfiles", "dot files"])?;
    let from = cursor
        .skip(at + length, &["from", "at", "in", "are", "repo", "repository", "the", "my", "is", "live"]);
    let from = from + usize::from(cursor.is_mark(from, ':'));
    let place = cursor.token(from).filter(|t| t.kind == Kind::Place && t.text.starts_with("https://"));
    match place {
        Some(place) => {
            let set = Wish::set("dotfiles", "customization.dotfiles.repository", place.text.as_str());
            Some(Taken::wish(from + 1, set))
        }
        None => Some(Taken::unread(at + length, "Say where they are: `dotfiles from https://…`.")),
    }
}

/// Words of the kernel's command line and its modules.
fn kernel(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let flags = [
        "kernel parameter",
        "kernel parameters",
        "kernel flag",
        "kernel flags",
        "kernel option",
        "boot parameter",
        "kernel command line",
    ];
    let plain = |word: &str| {
        (1..=64).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=.,:".contains(&b))
    };
    if let Some(length) = cursor.any(at, &flags) {
        let from = cursor.skip(at + length, &["the", "is", "with"]);
        let from = from + usize::from(cursor.is_mark(from, ':'));
        cursor.token(from).filter(|t| t.kind == Kind::Word)?;
        let end = cursor.run_end(from);
        let flag = cursor.raw(from, end);
        return plain(flag).then(|| Taken::wish(end, Wish::add("kernel-flag", "kernel.customFlags", flag)));
    }
    let module = |length: usize, list: &str| {
        let from = cursor.skip(at + length, &["the", "kernel", "module", "modules", "driver"]);
        cursor.token(from).filter(|t| t.kind == Kind::Word)?;
        let end = cursor.run_end(from);
        let name = cursor.raw(from, end).replace('-', "_");
        plain(&name).then(|| Taken::wish(end, Wish::add("kernel-module", list, name)))
    };
    if let Some(length) = cursor.any(at, &["blacklist", "blacklist the"]) {
        return module(length, "kernel.modules.disable");
    }
    if let Some(length) =
        cursor.any(at, &["kernel module", "load module", "load the module", "load the kernel module"])
    {
        return module(length, "kernel.modules.enable");
    }
    None
}

/// A path or an address: where backups go, a locale, a time zone.
fn place(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let token = cursor.token(at)?;
    if token.kind == Kind::Place {
        if is_locale(&token.text) {
            let name = token.text.split('.').next().unwrap_or_default();
            return Some(Taken::wish(
                at + 1,
                Wish::set("language", "defaults.locale", format!("{name}.UTF-8")),
            ));
        }
        if token.text.contains("://") || cursor.text[token.span.clone()].len() > 1 {
            let to = at.checked_sub(1).map(|before| cursor.word(before));
            let sent = to.is_some_and(|word| ["to", "into", "at", "on", "onto", "in"].contains(&word));
            if token.text.contains("://") || sent {
                return Some(Taken::loose(at + 1, Loose::Destination(token.text.clone())));
            }
        }
        return None;
    }
    // Europe/Vienna
    let end = cursor.run_end(at);
    let raw = cursor.raw(at, end);
    if end > at + 1 && raw.contains('/') && raw.parse::<chrono_tz::Tz>().is_ok() {
        return Some(Taken::wish(end, Wish::set("place", "defaults.timezone", raw)));
    }
    None
}
