//! Fields → the document of an image, as a tree and as YAML with the words beside each line.

use super::{Origin, Reading, Said};
use crate::catalog::scaffold::quoted;
use crate::model::spec::API_VERSION;
use crate::model::{Failure, ImageName, Result};
use crate::tables::keywords::keywords;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The order in which people read the fields of a spec; others come after them.
const ORDER: [&str; 30] = [
    "securityLevel",
    "base",
    "suite",
    "architecture",
    "init",
    "outputs",
    "channel",
    "schedule",
    "paused",
    "kernel",
    "filesystem",
    "display",
    "packages",
    "network",
    "defaults",
    "securityFeatures",
    "services",
    "backup",
    "customization",
    "postInstall",
    "installer",
    "verify",
    "limits",
    "freshness",
    "action",
    "port",
    "protocol",
    "source",
    "mount",
    "name",
];

/// The document of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The image's name.
    pub name: ImageName,
    /// The document.
    pub value: Value,
    /// The same as YAML; the words of each field stand behind it as a comment.
    pub text: String,
    /// Each field with the words that it came from.
    pub fields: Vec<Field>,
}

/// One field of the document, and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Its path: `spec.packages.development[0]`.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// The words, as they stand in the prompt.
    pub words: Vec<Words>,
    /// Where it came from.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Words of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    /// The words.
    pub text: String,
    /// Where they begin, in characters from 0.
    pub start: usize,
    /// Where they end.
    pub end: usize,
}

impl Words {
    /// The words that stand in these bytes of a prompt.
    pub fn of(prompt: &str, span: &std::ops::Range<usize>) -> Self {
        let text = prompt.get(span.clone()).unwrap_or_default();
        let start = prompt.get(..span.start).unwrap_or_default().chars().count();
        Self { text: text.to_owned(), start, end: start + text.chars().count() }
    }
}

/// Makes the document of a reading. A name that is given wins over the prompt's own.
///
/// # Errors
/// None that a prompt can cause; a name that cannot be made is a bug.
pub fn document(prompt: &str, reading: &Reading, name: Option<&ImageName>) -> Result<Document> {
    let mut fields: Vec<Said> = reading.fields.clone();
    let said_name = take(&mut fields, "name");
    complete(&mut fields);
    let own = said_name.as_ref().and_then(|said| said.value.as_str()).and_then(|name| name.parse().ok());
    let (name, origin) = match (name, own) {
        (Some(name), _) => (name.clone(), Origin::Given),
        (None, Some(own)) => (own, Origin::Words),
        (None, None) => (derived(&fields)?, Origin::Default),
    };
    let mut spec = Map::new();
    for said in &fields {
        put(&mut spec, &said.path, said.value.clone(), said.list);
    }
    let value = json!({
        "apiVersion": API_VERSION,
        "kind": "OsImage",
        "metadata": {"name": name.as_str()},
        "spec": spec,
    });
    let mut told = vec![Field {
        path: "metadata.name".to_owned(),
        value: Value::from(name.as_str()),
        words: match (&origin, &said_name) {
            (Origin::Words, Some(said)) => said.words.iter().map(|span| Words::of(prompt, span)).collect(),
            _ => Vec::new(),
        },
        origin,
    }];
    let mut indexes: BTreeMap<&str, usize> = BTreeMap::new();
    for said in &fields {
        let mut path = format!("spec.{}", said.path);
        if said.list {
            let index = indexes.entry(&said.path).or_default();
            let _ = write!(path, "[{index}]");
            *index += 1;
        }
        told.push(Field {
            path,
            value: said.value.clone(),
            words: said.words.iter().map(|span| Words::of(prompt, span)).collect(),
            origin: said.origin.clone(),
        });
    }
    let text = text(&value, &told);
    Ok(Document { name, value, text, fields: told })
}

fn take(fields: &mut Vec<Said>, path: &str) -> Option<Said> {
    let at = fields.iter().position(|said| said.path == path)?;
    Some(fields.remove(at))
}

/// A document has to name a distribution and its suite.
fn complete(fields: &mut Vec<Said>) {
    let default = |path: &str, value: &str| Said {
        path: path.to_owned(),
        value: Value::from(value),
        list: false,
        words: Vec::new(),
        origin: Origin::Default,
    };
    let find = |fields: &[Said], path: &str| {
        fields.iter().find(|said| said.path == path).and_then(|said| said.value.as_str().map(str::to_owned))
    };
    let base = find(fields, "base");
    if base.is_none() {
        fields.insert(0, default("base", "debian"));
    }
    if find(fields, "suite").is_none() {
        let suites = keywords().suites.get(base.as_deref().unwrap_or("debian"));
        fields.insert(1, default("suite", suites.map_or("stable", |suites| &suites.default)));
    }
}

/// A name from the distribution and the first things that are asked for.
fn derived(fields: &[Said]) -> Result<ImageName> {
    let value =
        |path: &str| fields.iter().find(|said| said.path == path).and_then(|said| said.value.as_str());
    let lists = [
        "packages.servers",
        "packages.databases",
        "packages.ai_ml",
        "packages.development",
        "packages.networking",
    ];
    let first = lists.iter().find_map(|list| value(list));
    let parts = [value("base"), value("display.compositor"), first];
    let name = parts.into_iter().flatten().take(3).collect::<Vec<_>>().join("-");
    let usual = || "image".parse().map_err(|e| Failure::bug(format!("{e}")));
    name.parse().or_else(|_| usual())
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value, list: bool) {
    let Some((first, rest)) = path.split_once('.') else {
        let empty = value.as_object().is_some_and(Map::is_empty);
        match map.get_mut(path) {
            Some(Value::Array(items)) if list => items.push(value),
            None if list => drop(map.insert(path.to_owned(), Value::Array(vec![value]))),
            // "with ssh" says nothing more than "ssh on port 2222" did.
            Some(Value::Object(_)) if empty => {}
            _ => drop(map.insert(path.to_owned(), value)),
        }
        return;
    };
    let child = map.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    if let Value::Object(child) = child {
        put(child, rest, value, list);
    }
}

/// A field's comment shows so many of the words that it came from.
const MOST_WORDS: usize = 4;
/// Words in a comment are cut to this many characters.
const LONGEST_COMMENT: usize = 80;

/// The document as YAML, with a comment behind each line.
pub(super) fn text(value: &Value, fields: &[Field]) -> String {
    let mut text = String::from("# yaml-language-server: $schema=schema/os-image.json\n");
    let mut comments: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in fields {
        let path = field.path.split('[').next().unwrap_or_default().to_owned();
        let of_line = comments.entry(path).or_default();
        let more: Vec<String> = comment(field).into_iter().filter(|words| !of_line.contains(words)).collect();
        of_line.extend(more);
    }
    write_map(&mut text, value, "", 0, &comments);
    text
}

fn comment(field: &Field) -> Vec<String> {
    let more = field.words.len().saturating_sub(MOST_WORDS);
    let more = (more > 0).then(|| format!("{more} more"));
    let words =
        field.words.iter().take(MOST_WORDS).map(|words| format!("“{}”", one_line(&words.text))).chain(more);
    match &field.origin {
        Origin::Words => words.collect(),
        Origin::Follows(value) => vec![format!("goes with {value}")],
        Origin::Given => Vec::new(),
        Origin::Default => vec!["not said".to_owned()],
        Origin::Model(model) => vec![format!("from the model {}", one_line(model))],
    }
}

/// A text that fits into a comment: nothing in it ends the line or steers a terminal.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        c if c.is_whitespace() => ' ',
        c if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}') => '\u{fffd}',
        c => c,
    });
    let mut text: String = plain.take(LONGEST_COMMENT + 1).collect();
    if text.chars().count() > LONGEST_COMMENT {
        text = text.chars().take(LONGEST_COMMENT).collect();
        text.push('…');
    }
    text
}

fn write_map(
    text: &mut String,
    value: &Value,
    path: &str,
    depth: usize,
    comments: &BTreeMap<String, Vec<String>>,
) {
    let Value::Object(map) = value else { return };
    let place = |key: &str| ORDER.iter().position(|name| *name == key).unwrap_or(ORDER.len());
    let mut keys: Vec<&String> = map.keys().collect();
    if path.starts_with("spec") {
        keys.sort_by_key(|key| (place(key), (*key).clone()));
    }
    for key in keys {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let indent = "  ".repeat(depth);
        let comment = comments
            .get(&below)
            .filter(|words| !words.is_empty())
            .map(|words| format!("  # {}", words.join(", ")))
            .unwrap_or_default();
        match &map[key] {
            Value::Object(child) if child.is_empty() => {
                let _ = writeln!(text, "{indent}{}: {{}}{comment}", quoted(key));
            }
            child @ Value::Object(_) => {
                let _ = writeln!(text, "{indent}{}:", quoted(key));
                write_map(text, child, &below, depth + 1, comments);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let _ = writeln!(text, "{indent}{}:{comment}", quoted(key));
                for item in items {
                    let _ = writeln!(text, "{indent}- {}", flow(item));
                }
            }
            other => {
                let _ = writeln!(text, "{indent}{}: {}{comment}", quoted(key), flow(other));
            }
        }
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by_key(|key| {
                (ORDER.iter().position(|name| name == key).unwrap_or(ORDER.len()), (*key).clone())
            });
            let entries = keys.iter().map(|key| format!("{}: {}", quoted(key), flow(&map[*key])));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
