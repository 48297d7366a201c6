//! Walks a document beside its JSON Schema and finds every unknown field, wrong type and
//! missing field at once.
//!
//! What is wrong is left out of the value that comes back (required things get a
//! stand-in), so that the checks of `check` can still look at the rest. A stand-in never
//! reaches anyone: a document with a fault makes the catalog an error.

use super::schema::{ALSO_NUMBERS, CHECKED, SIZE, check_size, unless_null};
use super::yaml::{Key, Mark, Node, Value};
use serde_json::{Map, Value as Json};

/// One fault in the shape of a document.
#[derive(Clone, Debug)]
pub struct ShapeFault {
    /// Where.
    pub mark: Mark,
    /// The field.
    pub field: String,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Whether the value of such a field must never be shown.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["passw", "secret", "token", "passphrase"].iter().any(|word| key.contains(word))
        && key != "passwordauthentication"
}

/// Walks `node` beside `schema`; gives the value without its faults, and the faults.
pub fn walk(node: &Node, schema: &Json) -> (Option<Json>, Vec<ShapeFault>) {
    let mut walker = Walker { root: schema, faults: Vec::new(), secret: false, part: false };
    let value = walker.value(node, schema, "");
    (value, walker.faults)
}

/// As [`walk`], for a document that is a part of another: its mappings may lack whatever is
/// required of the whole. The items of its lists may not: they are never put together.
pub fn walk_part(node: &Node, schema: &Json) -> Vec<ShapeFault> {
    let mut walker = Walker { root: schema, faults: Vec::new(), secret: false, part: true };
    walker.value(node, schema, "");
    walker.faults
}

struct Walker<'a> {
    root: &'a Json,
    faults: Vec<ShapeFault>,
    secret: bool,
    part: bool,
}

impl<'a> Walker<'a> {
    fn value(&mut self, node: &Node, schema: &'a Json, path: &str) -> Option<Json> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            let definition = &self.root["$defs"][name];
            return self.definition(node, name, definition, path);
        }
        match schema["type"].as_str() {
            Some("object") if schema["properties"].is_object() => self.object(node, schema, path),
            Some("object") => self.map(node, &schema["additionalProperties"], path),
            Some("array") => self.list(node, &schema["items"], path),
            Some("string") => self.string(node, path),
            Some("integer") => self.integer(node, schema, path),
            Some("boolean") => self.boolean(node, path),
            _ => None,
        }
    }

    fn definition(&mut self, node: &Node, name: &str, definition: &'a Json, path: &str) -> Option<Json> {
        if name == SIZE {
            return self.size(node, path);
        }
        if let Some(words) = words(definition) {
            return self.word(node, &words, path);
        }
        let value = match node.value {
            Value::Integer(number) if ALSO_NUMBERS.contains(&name) => Json::from(number.to_string()),
            _ if ALSO_NUMBERS.contains(&name) => self.string(node, path)?,
            _ => self.value(node, definition, path)?,
        };
        if let (Some(checked), Some(text)) = (CHECKED.iter().find(|c| c.name == name), value.as_str())
            && let Err(message) = (checked.check)(text)
        {
            return self.fault(node.mark, path, message, "Write it in that form.".to_owned());
        }
        Some(value)
    }

    fn object(&mut self, node: &Node, schema: &'a Json, path: &str) -> Option<Json> {
        let Value::Mapping(entries) = &node.value else {
            return self.wrong_type(node, "a mapping (`key: value` lines)", path);
        };
        let properties = schema["properties"].as_object()?;
        let mut object = Map::new();
        for (key, child) in entries {
            let field = join(path, &key.text);
            let Some(property) = properties.get(&key.text) else {
                let elsewhere = self.places_of(&key.text);
                self.unknown(key, path, properties.keys(), &elsewhere);
                continue;
            };
            let outer = std::mem::replace(&mut self.secret, is_secret(&key.text));
            // `null` says the same as leaving the field out, where it may stand at all.
            let value = match unless_null(property) {
                Some(_) if matches!(child.value, Value::Null) => None,
                form => self.value(child, form.unwrap_or(property), &field),
            };
            self.secret = outer;
            if let Some(value) = value {
                object.insert(key.text.clone(), value);
            }
        }
        let mut whole = true;
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for name in required.iter().filter_map(Json::as_str) {
            if object.contains_key(name) {
                continue;
            }
            let elsewhere = self.part && path.starts_with("spec") && !path.contains('[');
            if node.get(name).is_none() && !elsewhere {
                self.missing(node, name, &properties[name], path);
            }
            match self.stand_in(&properties[name]) {
                Some(value) => drop(object.insert(name.to_owned(), value)),
                None => whole = false,
            }
        }
        whole.then_some(Json::Object(object))
    }

    fn missing(&mut self, node: &Node, name: &str, property: &Json, path: &str) {
        let place = if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") };
        let mut hint = format!("Add `{name}: …`.");
        if let Some(words) = self.resolved(property).and_then(words) {
            hint = format!("Add `{name}: …` with one of: {}.", words.join(", "));
        }
        let first = match &node.value {
            Value::Mapping(entries) => entries.first().map(|(key, _)| key.mark),
            _ => None,
        };
        let mark = first.unwrap_or(node.mark);
        self.fault(mark, &join(path, name), format!("{place} has no `{name}`"), hint);
    }

    fn resolved(&self, schema: &Json) -> Option<&'a Json> {
        let name = unless_null(schema).unwrap_or(schema)["$ref"].as_str()?.rsplit('/').next()?;
        self.root["$defs"].get(name)
    }

    /// A value that stands in for a required one that is missing or wrong.
    fn stand_in(&self, schema: &'a Json) -> Option<Json> {
        let definition = self.resolved(schema)?;
        if let Some(words) = words(definition) {
            // The distribution that most checks know about.
            let word = words.iter().find(|w| **w == "debian").or_else(|| words.first())?;
            return Some(Json::from(*word));
        }
        match definition["type"].as_str()? {
            "string" => Some(Json::from("x")),
            "object" => {
                let mut object = Map::new();
                for name in definition["required"].as_array().map(Vec::as_slice).unwrap_or_default() {
                    let name = name.as_str()?;
                    object.insert(name.to_owned(), self.stand_in(&definition["properties"][name])?);
                }
                Some(Json::Object(object))
            }
            _ => None,
        }
    }

    /// The paths at which a field of this name is known, for "it belongs there".
    fn places_of(&self, name: &str) -> Vec<String> {
        let mut places = Vec::new();
        self.search(self.root, name, "", &mut places, 0);
        places
    }

    fn search(&self, schema: &'a Json, name: &str, path: &str, places: &mut Vec<String>, depth: usize) {
        let schema = self.resolved(schema).unwrap_or(schema);
        let Some(properties) = schema["properties"].as_object().filter(|_| depth < 8) else { return };
        if properties.contains_key(name) {
            places.push(join(path, name));
        }
        for (key, property) in properties {
            self.search(property, name, &join(path, key), places, depth + 1);
        }
    }

    fn unknown<'k>(
        &mut self,
        key: &Key,
        path: &str,
        known: impl Iterator<Item = &'k String>,
        elsewhere: &[String],
    ) {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let hint = match (nearest(&key.text, &known), elsewhere) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, [place]) => format!("It belongs at `{place}`."),
            (None, _) if path == "spec" && key.text == "name" => "It belongs at `metadata.name`.".to_owned(),
            (None, _) => format!("Known here: {}.", known.join(", ")),
        };
        let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        let message = format!("unknown field `{}`{place}", key.text);
        self.fault(key.mark, &join(path, &key.text), message, hint);
    }

    fn map(&mut self, node: &Node, schema: &'a Json, path: &str) -> Option<Json> {
        let Value::Mapping(entries) = &node.value else {
            return self.wrong_type(node, "a mapping (`key: value` lines)", path);
        };
        let mut map = Map::new();
        for (key, child) in entries {
            if let Some(value) = self.value(child, schema, &join(path, &key.text)) {
                map.insert(key.text.clone(), value);
            }
        }
        Some(Json::Object(map))
    }

    fn list(&mut self, node: &Node, schema: &'a Json, path: &str) -> Option<Json> {
        let Value::List(items) = &node.value else {
            return self.wrong_type(node, "a list (`[a, b]` or lines with `- `)", path);
        };
        let items = items.iter().enumerate();
        Some(Json::Array(
            items.filter_map(|(i, item)| self.value(item, schema, &format!("{path}[{i}]"))).collect(),
        ))
    }

    fn string(&mut self, node: &Node, path: &str) -> Option<Json> {
        match node.text() {
            Some(text) => Some(Json::from(text)),
            None => self.wrong_type(node, "a text", path),
        }
    }

    fn boolean(&mut self, node: &Node, path: &str) -> Option<Json> {
        match node.value {
            Value::Boolean(value) => Some(Json::from(value)),
            _ => self.wrong_type(node, "true or false", path),
        }
    }

    fn integer(&mut self, node: &Node, schema: &Json, path: &str) -> Option<Json> {
        let Value::Integer(number) = node.value else {
            return self.wrong_type(node, "a whole number", path);
        };
        let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let most = match (schema["maximum"].as_i64(), schema["format"].as_str()) {
            (Some(most), _) => most,
            (None, Some("uint8")) => i64::from(u8::MAX),
            (None, Some("uint16")) => i64::from(u16::MAX),
            (None, Some("uint32")) => i64::from(u32::MAX),
            (None, _) => i64::MAX,
        };
        match i64::try_from(number) {
            Ok(n) if (least..=most).contains(&n) => Some(Json::from(n)),
            _ => {
                let shown = if self.secret { "the number".to_owned() } else { number.to_string() };
                let message = format!("{shown} is out of range for `{path}`");
                self.fault(node.mark, path, message, format!("Use {least} to {most}."))
            }
        }
    }

    fn word(&mut self, node: &Node, words: &[&str], path: &str) -> Option<Json> {
        let Some(text) = node.text() else {
            return self.wrong_type(node, &format!("one of {}", words.join(", ")), path);
        };
        if words.contains(&text) {
            return Some(Json::from(text));
        }
        let all = format!("Use one of: {}.", words.join(", "));
        let hint = match nearest(text, words) {
            Some(near) => format!("Did you mean `{near}`? {all}"),
            None => all,
        };
        self.fault(node.mark, path, format!("`{text}` is not a value of `{path}`"), hint)
    }

    fn size(&mut self, node: &Node, path: &str) -> Option<Json> {
        match &node.value {
            Value::Integer(n) => match u64::try_from(*n) {
                Ok(n) => Some(Json::from(n)),
                Err(_) => self.fault(
                    node.mark,
                    path,
                    format!("{n} is out of range for `{path}`"),
                    "Write a number and a unit, such as 700MiB or 2GiB.".to_owned(),
                ),
            },
            Value::Text(text) => match check_size(text) {
                Ok(()) => Some(Json::from(text.as_str())),
                Err(message) => self.fault(
                    node.mark,
                    path,
                    message,
                    "Units are B, KB, MB, GB, TB, KiB, MiB, GiB, TiB.".to_owned(),
                ),
            },
            _ => self.wrong_type(node, "a size such as 700MiB", path),
        }
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, path: &str) -> Option<Json> {
        let found = if self.secret { kind(node).to_owned() } else { describe(node) };
        let hint = match (&node.value, wanted) {
            (Value::Null, _) => "Give it a value, or take the line away.".to_owned(),
            (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), "a text") => {
                "Put it in quotes to make it a text.".to_owned()
            }
            (Value::Text(_), "true or false") => {
                "YAML 1.2 knows only `true` and `false`, without quotes.".to_owned()
            }
            (Value::Text(_), "a whole number") => "Write the number without quotes or units.".to_owned(),
            (Value::Text(text), wanted) if wanted.starts_with("a list") && !self.secret => {
                format!("Write `[{text}]` for a list of one.")
            }
            _ => format!("Write {wanted}."),
        };
        let place = if path.is_empty() { "the document".to_owned() } else { format!("`{path}`") };
        self.fault(node.mark, path, format!("{place} should be {wanted}, not {found}"), hint)
    }

    fn fault(&mut self, mark: Mark, field: &str, message: String, hint: String) -> Option<Json> {
        self.faults.push(ShapeFault { mark, field: field.to_owned(), message, hint });
        None
    }
}

/// The words that an enumeration allows.
pub(super) fn words(definition: &Json) -> Option<Vec<&str>> {
    if let Some(words) = definition["enum"].as_array() {
        return Some(words.iter().filter_map(Json::as_str).collect());
    }
    let forms = definition["oneOf"].as_array()?;
    let words: Vec<&str> = forms
        .iter()
        .flat_map(|form| match form["enum"].as_array() {
            Some(words) => words.iter().filter_map(Json::as_str).collect(),
            None => form["const"].as_str().into_iter().collect::<Vec<_>>(),
        })
        .collect();
    (!words.is_empty()).then_some(words)
}

/// The known name that a wrong one most likely stands for.
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = fold(wrong);
    let best = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &fold(name)), *name))
        .min_by_key(|(distance, _)| *distance)?;
    (best.0 <= wrong.chars().count().div_ceil(3)).then_some(best.1)
}

fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Boolean(_) => "a truth value",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}

fn describe(node: &Node) -> String {
    match &node.value {
        Value::Boolean(value) => format!("the truth value {value}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(text) => format!("the number {text}"),
        Value::Text(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
        _ => kind(node).to_owned(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
