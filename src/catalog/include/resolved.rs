//! An image as it is after everything that it includes was put together: each value with the
//! place that set it, and the whole as one document that needs no other.

use super::super::diagnostic::{self, Diagnostic};
use super::super::files::Files;
use super::super::load::{is_device, is_spec};
use super::super::scaffold::quoted;
use super::super::schema::{Kind, schema};
use super::super::shape;
use super::super::source::{Origin, Source};
use super::super::yaml::{self, Mark, Node, Value};
use super::{Composed, Library};
use crate::model::name::ImageName;
use crate::model::profile::SecurityLevel;
use crate::model::spec::OsImage;
use crate::model::{Failure, Result};
use serde::Serialize;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// What stands between a value and its origin is no wider than this, in characters.
const WIDEST: usize = 60;

/// An image, put together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// Where it stands: `specs/edge.yaml:1`.
    pub place: String,
    /// The files that it includes, directly or not.
    pub included: Vec<String>,
    /// The security level that it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_level: Option<SecurityLevel>,
    /// Every single value, in the order of the document.
    pub values: Vec<ResolvedValue>,
    /// The same as a document without includes; what nobody set stands in comments.
    pub document: String,
}

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedValue {
    /// The field: `spec.packages.utils[0]`.
    pub field: String,
    /// The value.
    pub value: Json,
    /// Where it came from.
    pub origin: ValueOrigin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "camelCase")]
pub enum ValueOrigin {
    /// A line of a file.
    File {
        /// Its path in the catalog.
        file: String,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
        /// The places that included the file, the nearest first; none for the image's own.
        through: Vec<String>,
    },
    /// What a security level stands for.
    Level {
        /// The level.
        level: SecurityLevel,
        /// The file that asks for it.
        file: String,
        /// The line that does.
        line: u32,
    },
    /// Nobody: it is what the field is when it is left out.
    Default,
}

impl std::fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Level { level, file, line } => {
                write!(f, "securityLevel: {} at {file}:{line}", level.as_str())
            }
            Self::Default => f.write_str("default"),
        }
    }
}

/// Where the value at a mark came from.
pub fn origin(source: &Source<'_>, mark: Mark) -> ValueOrigin {
    match source.origin(mark) {
        Origin::Level(level, at) => {
            ValueOrigin::Level { level, file: source.file_of(at).to_owned(), line: at.line }
        }
        Origin::Own | Origin::Included(..) => ValueOrigin::File {
            file: source.file_of(mark).to_owned(),
            line: mark.line,
            column: mark.column,
            through: source.chain(mark),
        },
    }
}

/// Puts the image of a name together.
///
/// # Errors
/// If there is none, or with everything that is wrong with its shape. What cannot be built, or
/// does not go together, is no reason to refuse here: how it came about is what is asked for.
pub fn resolved(files: &Files, name: &ImageName) -> Result<Resolved> {
    for (path, file) in files.iter().filter(|(path, _)| is_spec(path)) {
        let Ok(text) = std::str::from_utf8(&file.bytes) else { continue };
        let (documents, _) = yaml::parse(text);
        let named =
            |node: &&Node| node.get("metadata").and_then(|m| m.get("name")?.text()) == Some(name.as_str());
        let is_image = |node: &&Node| named(node) && !is_device(node);
        let Some(node) = documents.iter().find(is_image) else { continue };
        let source = Source::new(path, text, &documents);
        let whole = Library::new(files).compose(&source, node);
        return of(&whole, node.mark);
    }
    Err(Failure::not_found(format!("the catalog has no image {name}"))
        .hint("`bootwright check` lists the images that there are."))
}

fn of(whole: &Composed<'_>, start: Mark) -> Result<Resolved> {
    let (value, faults) = shape::walk(&whole.node, schema(Kind::OsImage));
    let mut found: Vec<Diagnostic> = whole.faults.iter().map(|fault| whole.source.fault(fault)).collect();
    found.extend(faults.into_iter().map(|f| whole.source.error(f.mark, f.message, f.hint)));
    let image = value.map(serde_json::from_value::<OsImage>);
    let (Some(Ok(mut image)), true) = (image, found.is_empty()) else {
        return Err(diagnostic::failure(&found));
    };
    // Its values are written out; asking for it again would bring back what was taken away.
    let security_level = image.spec.security_level.take();
    let json = serde_json::to_value(&image).map_err(|e| Failure::bug(e.to_string()))?;
    let mut writer = Writer { source: &whole.source, lines: Vec::new(), values: Vec::new() };
    if let Json::Object(fields) = &json {
        for (key, value) in ordered(fields, Some(&whole.node)) {
            writer.entry(key, value, whole.node.get(key), key, 0, false);
        }
    }
    let mut document = String::new();
    if let Some(level) = security_level {
        let _ = writeln!(document, "# securityLevel: {} is written out below", level.as_str());
    }
    for path in &whole.included {
        let _ = writeln!(document, "# includes {path}");
    }
    document.push_str(&writer.text());
    Ok(Resolved {
        place: format!("{}:{}", whole.source.file, start.line),
        included: whole.included.iter().map(|path| (*path).to_owned()).collect(),
        security_level,
        values: writer.values,
        document,
    })
}

/// Fields as they were written, then those that nobody wrote.
fn ordered<'j>(
    fields: &'j serde_json::Map<String, Json>,
    node: Option<&Node>,
) -> Vec<(&'j String, &'j Json)> {
    let place = |name: &String| match node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => entries.iter().position(|(key, _)| key.text == *name),
        _ => None,
    };
    let mut all: Vec<(&String, &Json)> = fields.iter().collect();
    all.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    all
}

struct Line {
    text: String,
    origin: Option<String>,
}

struct Writer<'w, 'a> {
    source: &'w Source<'a>,
    lines: Vec<Line>,
    values: Vec<ResolvedValue>,
}

impl Writer<'_, '_> {
    /// `key: value`, or a key with what is in it below. `first` is the first line of a list's item.
    fn entry(&mut self, key: &str, json: &Json, node: Option<&Node>, field: &str, depth: usize, first: bool) {
        let start = self.start(depth, first, node.is_none());
        let start = format!("{start}{}:", quoted(key));
        self.node(start, json, node, field, depth + 1);
    }

    fn start(&self, depth: usize, first: bool, unset: bool) -> String {
        let indent = "  ".repeat(if first { depth.saturating_sub(1) } else { depth });
        format!("{indent}{}{}", if first { "- " } else { "" }, if unset { "# " } else { "" })
    }

    /// A value after what stands before it on its line.
    fn node(&mut self, start: String, json: &Json, node: Option<&Node>, field: &str, depth: usize) {
        match json {
            Json::Object(fields) if !fields.is_empty() => {
                let any = fields.keys().any(|key| node.is_some_and(|node| node.get(key).is_some()));
                let empty = node.is_some() && !any;
                self.lines
                    .push(Line { text: format!("{start}{}", if empty { " {}" } else { "" }), origin: None });
                for (key, value) in ordered(fields, node) {
                    let inner = node.and_then(|node| node.get(key));
                    self.entry(key, value, inner, &format!("{field}.{key}"), depth, false);
                }
            }
            Json::Array(items) if !items.is_empty() => {
                self.lines.push(Line { text: start, origin: None });
                for (index, item) in items.iter().enumerate() {
                    let inner = node.and_then(|node| node.item(index));
                    self.item(item, inner, &format!("{field}[{index}]"), depth);
                }
            }
            _ => self.leaf(start, json, node, field),
        }
    }

    fn item(&mut self, json: &Json, node: Option<&Node>, field: &str, depth: usize) {
        let Json::Object(fields) = json else {
            let start = format!("{}{}-", "  ".repeat(depth), if node.is_none() { "# " } else { "" });
            return self.node(start, json, node, field, depth + 1);
        };
        if fields.keys().all(|key| node.is_none_or(|node| node.get(key).is_none())) {
            let text = format!("{}- {{}}", "  ".repeat(depth));
            return self.lines.push(Line { text, origin: None });
        }
        let mut first = true;
        for (key, value) in ordered(fields, node) {
            let inner = node.and_then(|node| node.get(key));
            self.entry(key, value, inner, &format!("{field}.{key}"), depth + 1, first && inner.is_some());
            first = false;
        }
    }

    fn leaf(&mut self, start: String, json: &Json, node: Option<&Node>, field: &str) {
        let text = match json {
            Json::String(text) => quoted(text),
            other => other.to_string(),
        };
        let origin = node.map_or(ValueOrigin::Default, |node| origin(self.source, node.mark));
        // An empty list or mapping that nobody wrote says nothing.
        if node.is_none() && (json.is_array() || json.is_object()) {
            return;
        }
        self.lines.push(Line { text: format!("{start} {text}"), origin: Some(origin.to_string()) });
        self.values.push(ResolvedValue { field: field.to_owned(), value: json.clone(), origin });
    }

    /// All lines, their origins in one column.
    fn text(&self) -> String {
        let width = |line: &Line| line.text.chars().count();
        let widest =
            self.lines.iter().filter(|l| l.origin.is_some()).map(width).filter(|w| *w <= WIDEST).max();
        let widest = widest.unwrap_or(0);
        let mut text = String::new();
        for line in &self.lines {
            match &line.origin {
                Some(origin) => {
                    let _ = writeln!(text, "{:widest$}  # {origin}", line.text);
                }
                None => {
                    let _ = writeln!(text, "{}", line.text);
                }
            }
        }
        text
    }
}
