//! Laying one part of a spec over another. The schema says what a field is: mappings are
//! merged field by field, everything else is replaced; `null` takes an inherited value away.
//!
//! A list is replaced as well, unless it is written as a change: `{prepend: […], add: […],
//! remove: […]}`. What a list holds is never merged into: an item is one value.

use super::super::shape::nearest;
use super::super::source::Source;
use super::super::yaml::{Fault, Key, Mark, Node, Value};
use serde_json::Value as Json;

/// How a list is changed, in the order in which it is done.
pub const CHANGES: [&str; 3] = ["remove", "prepend", "add"];

/// Lays parts over one another.
pub struct Merge<'m, 'a> {
    root: &'m Json,
    source: &'m Source<'a>,
    /// What was wrong.
    pub faults: Vec<Fault>,
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Mapping,
    List,
    Scalar,
}

impl<'m, 'a> Merge<'m, 'a> {
    /// Of documents with this schema, whose marks are in `source`.
    pub fn new(root: &'m Json, source: &'m Source<'a>) -> Self {
        Self { root, source, faults: Vec::new() }
    }

    /// Lays `upper` over `lower`; nothing is left if that was taken away.
    pub fn value(
        &mut self,
        lower: Option<Node>,
        upper: &Node,
        schema: Option<&'m Json>,
        field: &str,
    ) -> Option<Node> {
        let lower = lower.filter(|node| !matches!(node.value, Value::Null));
        if matches!(upper.value, Value::Null) {
            // Nothing was there to be taken away: the walk along the schema complains.
            return lower.is_none().then(|| upper.clone());
        }
        let schema = schema.map(|schema| self.resolved(schema));
        match schema.and_then(expected) {
            Some(Form::Mapping) => self.mapping(lower, upper, schema, field),
            Some(Form::List) => self.list(lower, upper, schema, field),
            Some(Form::Scalar) => Some(self.fitting(lower, upper, Form::Scalar, field)),
            None => Some(upper.clone()),
        }
    }

    fn resolved(&self, schema: &'m Json) -> &'m Json {
        match schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
            Some(name) => &self.root["$defs"][name],
            None => schema,
        }
    }

    fn mapping(
        &mut self,
        lower: Option<Node>,
        upper: &Node,
        schema: Option<&'m Json>,
        field: &str,
    ) -> Option<Node> {
        let Value::Mapping(uppers) = &upper.value else {
            return Some(self.fitting(lower, upper, Form::Mapping, field));
        };
        let mut entries = match lower {
            Some(Node { value: Value::Mapping(entries), .. }) => entries,
            Some(lower) => {
                self.conflict(&lower, upper, field);
                Vec::new()
            }
            None => Vec::new(),
        };
        for (key, child) in uppers {
            let inner = schema.and_then(|s| s["properties"].get(&key.text).or(s.get("additionalProperties")));
            let at = entries.iter().position(|(k, _)| k.text == key.text);
            let below = at.map(|at| {
                let mark = entries[at].1.mark;
                std::mem::replace(&mut entries[at].1, Node { mark, value: Value::Null })
            });
            let path = if field.is_empty() { key.text.clone() } else { format!("{field}.{}", key.text) };
            match (self.value(below, child, inner, &path), at) {
                (Some(node), Some(at)) => entries[at] = (key.clone(), node),
                (Some(node), None) => entries.push((key.clone(), node)),
                (None, Some(at)) => drop(entries.remove(at)),
                (None, None) => {}
            }
        }
        Some(Node { mark: upper.mark, value: Value::Mapping(entries) })
    }

    fn list(
        &mut self,
        lower: Option<Node>,
        upper: &Node,
        schema: Option<&'m Json>,
        field: &str,
    ) -> Option<Node> {
        let changes = match &upper.value {
            Value::Mapping(entries) if entries.iter().any(|(k, _)| CHANGES.contains(&k.text.as_str())) => {
                entries
            }
            _ => return Some(self.fitting(lower, upper, Form::List, field)),
        };
        let mut items = match lower {
            Some(Node { value: Value::List(items), .. }) => items,
            Some(lower) => {
                self.conflict(&lower, upper, field);
                Vec::new()
            }
            None => default_items(schema, upper.mark),
        };
        for (key, _) in changes.iter().filter(|(k, _)| !CHANGES.contains(&k.text.as_str())) {
            self.unknown(key, field);
        }
        for change in CHANGES {
            let Some((_, node)) = changes.iter().find(|(k, _)| k.text == change) else { continue };
            let Value::List(edits) = &node.value else {
                let message = format!("`{field}.{change}` should be a list");
                self.fault(node.mark, message, "Write `[a, b]` or lines with `- `.");
                continue;
            };
            match change {
                "remove" => edits.iter().for_each(|edit| self.remove(&mut items, edit, field)),
                _ => {
                    let new: Vec<Node> =
                        edits.iter().filter(|e| !items.iter().any(|i| same(i, e))).cloned().collect();
                    let at = if change == "add" { items.len() } else { 0 };
                    items.splice(at..at, new);
                }
            }
        }
        Some(Node { mark: upper.mark, value: Value::List(items) })
    }

    fn remove(&mut self, items: &mut Vec<Node>, edit: &Node, field: &str) {
        let before = items.len();
        items.retain(|item| !fits(item, edit));
        if items.len() < before {
            return;
        }
        let what = edit.text().map_or_else(|| "nothing like this".to_owned(), |text| format!("no {text}"));
        let texts: Vec<&str> = items.iter().filter_map(Node::text).collect();
        let near = edit.text().and_then(|text| nearest(text, &texts));
        let hint = match near {
            Some(near) => format!("Did you mean {near}?"),
            None if items.is_empty() => {
                "Take this line away: nothing that is included puts anything there.".to_owned()
            }
            None => "Take this line away, or look with `bootwright explain --resolved`.".to_owned(),
        };
        self.fault(edit.mark, format!("`{field}` has {what} to remove"), hint);
    }

    fn unknown(&mut self, key: &Key, field: &str) {
        let message = format!("`{}` is not a change of the list `{field}`", key.text);
        let hint = match nearest(&key.text, &CHANGES) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => format!("Known here: {}.", CHANGES.join(", ")),
        };
        self.fault(key.mark, message, hint);
    }

    /// The upper value, with a complaint if it is of another form than the one it replaces;
    /// then the one stays that the schema asks for, so that there is one complaint only.
    fn fitting(&mut self, lower: Option<Node>, upper: &Node, wanted: Form, field: &str) -> Node {
        let Some(lower) = lower else { return upper.clone() };
        if form(&lower) == form(upper) {
            return upper.clone();
        }
        self.conflict(&lower, upper, field);
        if form(upper) == wanted { upper.clone() } else { lower }
    }

    fn conflict(&mut self, lower: &Node, upper: &Node, field: &str) {
        let word = |node: &Node| match form(node) {
            Form::Mapping => "a mapping",
            Form::List => "a list",
            Form::Scalar => "a single value",
        };
        let place = format!("{}:{}:{}", self.source.file_of(lower.mark), lower.mark.line, lower.mark.column);
        let message = format!("`{field}` is {} here and {} at {place}", word(upper), word(lower));
        self.fault(
            upper.mark,
            message,
            "Give both the same form; only values of one form replace each other.",
        );
    }

    fn fault(&mut self, mark: Mark, message: String, hint: impl Into<String>) {
        self.faults.push(Fault { mark, message, hint: hint.into(), syntax: false });
    }
}

/// The form that a schema asks for, if it asks for one.
fn expected(schema: &Json) -> Option<Form> {
    match schema["type"].as_str()? {
        "object" => Some(Form::Mapping),
        "array" => Some(Form::List),
        _ => Some(Form::Scalar),
    }
}

fn form(node: &Node) -> Form {
    match node.value {
        Value::Mapping(_) => Form::Mapping,
        Value::List(_) => Form::List,
        _ => Form::Scalar,
    }
}

/// What a list holds that nobody wrote.
fn default_items(schema: Option<&Json>, mark: Mark) -> Vec<Node> {
    let texts = schema.and_then(|s| s["default"].as_array()).into_iter().flatten().filter_map(Json::as_str);
    texts.map(|text| Node { mark, value: Value::Text(text.to_owned()) }).collect()
}

/// Whether two values say the same, wherever they stand.
pub fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(a), Value::Boolean(b)) => a == b,
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Float(a), Value::Float(b)) | (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Mapping(entries), Value::Mapping(others)) => {
            entries.len() == others.len()
                && entries.iter().all(|(key, node)| b.get(&key.text).is_some_and(|other| same(node, other)))
        }
        _ => false,
    }
}

/// Whether an item is what a change names: the same value, or a mapping with all its fields.
fn fits(item: &Node, named: &Node) -> bool {
    match (&item.value, &named.value) {
        (Value::Mapping(_), Value::Mapping(fields)) => {
            !fields.is_empty()
                && fields.iter().all(|(key, node)| item.get(&key.text).is_some_and(|own| same(own, node)))
        }
        _ => same(item, named),
    }
}
