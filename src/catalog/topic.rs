//! What a field, a rule or an error code is, for who asks `bootwright explain`.
//!
//! All of it comes from the types, the schema and the rules: nothing is written twice.

use super::rules::{self, Rule};
use super::schema::{Kind, schema, unless_null};
use super::shape::{nearest, words};
use crate::model::{ErrorCode, Failure, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What something is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "topic")]
pub enum Topic {
    /// A field of a document.
    Field(Box<FieldTopic>),
    /// A rule between fields.
    Rule(RuleTopic),
    /// All rules.
    Rules {
        /// In the order in which they are told.
        rules: Vec<RuleTopic>,
    },
    /// An error code.
    Code(CodeTopic),
}

/// A field of a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldTopic {
    /// The kind of document.
    pub document: &'static str,
    /// Its path; `[]` stands for the items of a list.
    pub path: String,
    /// What a value looks like, in a few words.
    #[serde(rename = "type")]
    pub form: String,
    /// The words that it may be, with their meaning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Meaning>,
    /// A regular expression that its text matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for.
    pub description: String,
    /// What another value makes anew.
    pub changes: &'static str,
    /// A part of a document that sets it.
    pub example: String,
    /// The fields in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Meaning>,
    /// The rules that read it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<&'static str>,
    /// What of it cannot be built yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_yet_built: Vec<Meaning>,
}

/// A word and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meaning {
    /// The word.
    pub name: String,
    /// What it means.
    pub meaning: String,
}

/// A rule between fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleTopic {
    /// Its name.
    pub id: &'static str,
    /// How bad a breach is.
    pub severity: super::Severity,
    /// The code of its findings.
    pub code: ErrorCode,
    /// The fields it reads.
    pub fields: &'static [&'static str],
    /// What it says.
    pub message: &'static str,
    /// What it advises.
    pub suggestion: &'static str,
    /// The technical reason.
    pub why: &'static str,
}

/// An error code.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeTopic {
    /// The code.
    pub code: ErrorCode,
    /// What it says.
    pub meaning: &'static str,
    /// The rules whose findings have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<&'static str>,
}

impl RuleTopic {
    fn of(rule: &'static Rule) -> Self {
        let Rule { id, severity, code, fields, message, suggestion, why, .. } = *rule;
        Self { id, severity, code, fields, message, suggestion, why }
    }
}

/// What something is: `spec.display.compositor`, `compositor`, `mac-one-of`, `rules`,
/// `COMPAT_ERROR`.
///
/// # Errors
/// Class *spec* if nothing is called so, with what is called nearly so.
pub fn explain(topic: &str) -> Result<Topic> {
    if topic == "rules" {
        return Ok(Topic::Rules { rules: rules::all().map(RuleTopic::of).collect() });
    }
    if let Some(rule) = rules::rule(topic) {
        return Ok(Topic::Rule(RuleTopic::of(rule)));
    }
    if let Some(code) = ErrorCode::ALL.into_iter().find(|code| code.as_str().eq_ignore_ascii_case(topic)) {
        let rules = rules::all().filter(|rule| rule.code == code).map(|rule| rule.id).collect();
        return Ok(Topic::Code(CodeTopic { code, meaning: code.meaning(), rules }));
    }
    field(topic)
}

fn field(topic: &str) -> Result<Topic> {
    let wanted = plain_path(topic);
    let fields = all_fields();
    let exact = |path: &str| fields.iter().find(|field| field.path == path);
    if let Some(field) = exact(&wanted).or_else(|| exact(&format!("spec.{wanted}"))) {
        return Ok(Topic::Field(Box::new(field.topic())));
    }
    let ending = format!(".{wanted}");
    let ends = |f: &&Field<'_>| f.path.replace("[]", "").ends_with(&ending.replace("[]", ""));
    let mut inside: Vec<&Field<'_>> =
        fields.iter().filter(|f| f.kind == Kind::OsImage).filter(ends).collect();
    if inside.is_empty() {
        inside = fields.iter().filter(ends).collect();
    }
    match inside.as_slice() {
        [only] => Ok(Topic::Field(Box::new(only.topic()))),
        [] => Err(unknown(topic, &wanted, &fields)),
        [one, two] if one.path == format!("{}[]", two.path) || two.path == format!("{}[]", one.path) => {
            Ok(Topic::Field(Box::new(one.topic())))
        }
        many => {
            let paths: Vec<&str> = many.iter().take(8).map(|f| f.path.as_str()).collect();
            Err(Failure::not_found(format!("there are {} fields {topic}", many.len()))
                .hint(format!("Write one of: {}.", paths.join(", "))))
        }
    }
}

fn unknown(topic: &str, wanted: &str, fields: &[Field<'_>]) -> Failure {
    let mut known: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
    known.extend(fields.iter().filter_map(|field| field.path.rsplit('.').next()));
    known.extend(rules::all().map(|rule| rule.id));
    known.extend(ErrorCode::ALL.iter().map(|code| code.as_str()));
    let hint = match nearest(wanted, &known) {
        Some(near) => format!("Did you mean {near}?"),
        None => "Write a field such as spec.display.compositor, a rule such as mac-one-of, a code such as \
                 COMPAT_ERROR, or `rules` for all rules."
            .to_owned(),
    };
    Failure::not_found(format!("nothing is called {topic:?}")).hint(hint)
}

/// A path without the numbers of list items.
fn plain_path(topic: &str) -> String {
    let mut path = String::new();
    let mut rest = topic.trim();
    while let Some((before, after)) = rest.split_once('[') {
        path.push_str(before);
        path.push_str("[]");
        rest = after.split_once(']').map_or("", |(_, behind)| behind);
    }
    path + rest
}

/// A field of a kind of document.
pub(super) struct Field<'s> {
    kind: Kind,
    /// Its path.
    pub path: String,
    /// Its schema.
    pub schema: &'s Value,
    /// Whether it must be there.
    pub required: bool,
}

/// All fields of all kinds of documents, images first; a list and its items are two.
pub(super) fn all_fields() -> Vec<Field<'static>> {
    let mut fields = Vec::new();
    for kind in Kind::ALL {
        collect(kind, schema(kind), "", &mut fields);
    }
    fields
}

fn collect(kind: Kind, at: &'static Value, path: &str, fields: &mut Vec<Field<'static>>) {
    let object = resolved(kind, at);
    if object["type"] == "array" {
        let path = format!("{path}[]");
        let items = &object["items"];
        fields.push(Field { kind, path: path.clone(), schema: items, required: false });
        return collect(kind, items, &path, fields);
    }
    let Some(properties) = object["properties"].as_object() else { return };
    let required = object["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (name, property) in properties {
        if kind == Kind::Profile && name == "spec" {
            // A part of the same spec.
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let required = required.contains(&Value::from(name.as_str()));
        fields.push(Field { kind, path: path.clone(), schema: property, required });
        collect(kind, property, &path, fields);
    }
}

fn resolved(kind: Kind, at: &'static Value) -> &'static Value {
    let at = unless_null(at).unwrap_or(at);
    match definition(at) {
        Some(name) => &schema(kind)["$defs"][name],
        None => at,
    }
}

fn definition(at: &Value) -> Option<&str> {
    at["$ref"].as_str()?.rsplit('/').next()
}

impl Field<'static> {
    fn topic(&self) -> FieldTopic {
        let object = resolved(self.kind, self.schema);
        let described = |value: &Value| value["description"].as_str().map(one_line);
        let read = |field: &str| {
            let field = field.split("[]").next().unwrap_or(field);
            let path = self.path.split("[]").next().unwrap_or(&self.path);
            field == path || path.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
        };
        let is_spec = self.kind == Kind::OsImage;
        let about = |rule: &&Rule| {
            is_spec && rule.fields.iter().any(|f| !matches!(*f, "spec" | "metadata") && read(f))
        };
        let unbuilt = rules::unbuilt_rows().filter(|(field, _)| {
            is_spec
                && (read(field) || field.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('.')))
        });
        let fields = object["properties"].as_object().into_iter().flatten();
        FieldTopic {
            document: self.kind.as_str(),
            path: self.path.clone(),
            form: super::reference::form(schema(self.kind), self.schema),
            values: meanings(object),
            pattern: object["pattern"].as_str().map(str::to_owned),
            required: self.required,
            default: Some(&self.schema["default"]).filter(|d| !d.is_null() && !d.is_object()).cloned(),
            description: described(self.schema).or_else(|| described(object)).unwrap_or_default(),
            changes: if is_spec { changes(&self.path) } else { "What this changes is in its description." },
            example: self.example(),
            fields: fields
                .map(|(name, property)| Meaning {
                    name: name.clone(),
                    meaning: described(property).unwrap_or_default(),
                })
                .collect(),
            rules: rules::all().filter(about).map(|rule| rule.id).collect(),
            not_yet_built: unbuilt
                .map(|(field, what)| Meaning { name: field.to_owned(), meaning: what.to_owned() })
                .collect(),
        }
    }

    fn example(&self) -> String {
        let mut text = String::new();
        write_yaml(&self.sample(), 0, &mut text);
        text
    }

    /// The smallest document part that sets this field, with what must stand beside it.
    pub(super) fn sample(&self) -> Value {
        let steps: Vec<&str> = self.path.split('.').collect();
        build(self.kind, schema(self.kind), &steps)
    }
}

/// A value for the first of some steps, with the others in it and what must stand beside them.
fn build(kind: Kind, at: &'static Value, steps: &[&str]) -> Value {
    let object = resolved(kind, at);
    let Some((first, rest)) = steps.split_first() else { return sample(kind, at) };
    let (name, lists) = first.split_once("[]").unwrap_or((first, ""));
    let property = &object["properties"][name];
    let mut map = Map::new();
    let inner = if first.ends_with("[]") {
        let mut items = &resolved(kind, property)["items"];
        for _ in 0..lists.matches("[]").count() {
            items = &resolved(kind, items)["items"];
        }
        let item = build(kind, items, rest);
        json!([item])
    } else {
        build(kind, property, rest)
    };
    let required = object["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    // At the top of a document everybody knows what has to stand there.
    let beside = |other: &&str| {
        *other != name && !matches!(*other, "apiVersion" | "kind" | "metadata" | "base" | "suite" | "spec")
    };
    for other in required.iter().filter_map(Value::as_str).filter(beside) {
        map.insert(other.to_owned(), sample(kind, &object["properties"][other]));
    }
    map.insert(name.to_owned(), inner);
    Value::Object(map)
}

/// A value that a schema allows.
fn sample(kind: Kind, at: &'static Value) -> Value {
    let object = resolved(kind, at);
    let name = definition(unless_null(at).unwrap_or(at)).unwrap_or_default();
    if let Some((_, text)) = SAMPLES.iter().find(|(known, _)| *known == name) {
        return Value::from(*text);
    }
    if let Some(words) = words(object) {
        return Value::from(words.last().copied().unwrap_or_default());
    }
    match object["type"].as_str() {
        Some("array") => json!([sample(kind, &object["items"])]),
        Some("boolean") => json!(true),
        Some("integer") => {
            let least = object["minimum"].as_i64().unwrap_or(1).max(1);
            json!(at["default"].as_i64().unwrap_or(least))
        }
        Some("string") => Value::from("text"),
        Some("object") => {
            let properties = object["properties"].as_object();
            let required = object["required"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut names: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
            if names.is_empty() {
                names.extend(properties.and_then(|p| p.keys().next()).map(String::as_str));
            }
            let entries =
                names.into_iter().map(|name| (name.to_owned(), sample(kind, &object["properties"][name])));
            if properties.is_some() { Value::Object(entries.collect()) } else { json!({"name": "text"}) }
        }
        _ => Value::Null,
    }
}

/// What texts of each kind look like.
const SAMPLES: &[(&str, &str)] = &[
    ("ImageName", "edge-gateway"),
    ("ChannelName", "stable"),
    ("RuleName", "debian-only"),
    ("ProfileName", "edge-iot"),
    ("KeyName", "2027"),
    ("HostName", "gateway"),
    ("UserName", "admin"),
    ("PackageName", "htop"),
    ("UnitName", "nginx.service"),
    ("SuiteName", "bookworm"),
    ("Moment", "2027-01-01"),
    ("Size", "20GiB"),
    ("CatalogPath", "specs/pictures/logo.png"),
    ("SystemPath", "/srv/backup"),
    ("MountPoint", "/home"),
    ("PartitionSize", "20GiB"),
    ("TimeSpan", "10m"),
    ("TimeOfDay", "03:30"),
    ("Timing", "daily"),
    ("ThemeName", "Adwaita-dark"),
    ("Color", "#1d2021"),
    ("Title", "Edge Gateway"),
    ("KeyboardName", "de"),
    ("KeyboardOption", "ctrl:nocaps"),
    ("CountryCode", "DE"),
    ("HttpsUrl", "https://git.example.org/dotfiles.git"),
    ("GitRevision", "0123456789abcdef0123456789abcdef01234567"),
    ("ModelName", "phi3:instruct"),
    ("SysctlKey", "net.core.somaxconn"),
    ("SysctlValue", "4096"),
    ("Destination", "sftp://backup@nas.example.org/srv/backup"),
    ("DeviceName", "office-router"),
    ("TagName", "office"),
    ("BuilderProfile", "netgear_r6220"),
    ("OpenwrtPackage", "luci"),
    ("ServiceName", "odhcpd"),
    ("BoardName", "netgear,r6220"),
    ("FeedName", "ours"),
    ("FeedUrl", "https://packages.example.org/openwrt"),
    ("Release", "24.10.5"),
    ("Target", "ramips"),
    ("Subtarget", "mt7621"),
    ("WriterName", "bench-1"),
    ("SlotName", "a"),
    ("OrderName", "lab-cards"),
    ("PortPath", "/dev/disk/by-path/pci-0000:00:14.0-usb-0:1.1:1.0-scsi-0:0:0:0"),
    ("WriterKey", "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    ("Version", "20261120-0123abcd"),
];

fn meanings(object: &Value) -> Vec<Meaning> {
    let described: Vec<Meaning> = object["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|form| {
            let name = form["const"].as_str()?.to_owned();
            Some(Meaning { name, meaning: one_line(form["description"].as_str().unwrap_or_default()) })
        })
        .collect();
    if !described.is_empty() {
        return described;
    }
    let plain = words(object).into_iter().flatten();
    plain.map(|name| Meaning { name: name.to_owned(), meaning: String::new() }).collect()
}

/// What another value of a field makes anew. The longest beginning of the path decides.
fn changes(path: &str) -> &'static str {
    const EFFECTS: &[(&str, &str)] = &[
        ("metadata.name", "Everything: it is another image, with releases of its own."),
        ("metadata", "The download page; no layer."),
        ("spec.base", "Every layer."),
        ("spec.suite", "Every layer."),
        ("spec.architecture", "Every layer."),
        ("spec.init", "Every layer."),
        ("spec.kernel", "The kernel's layer and all above it."),
        ("spec.kernel.customFlags", "The boot menu of the ISO; no layer."),
        ("spec.kernel.modules", "The configuration layer and all above it."),
        ("spec.packages", "The layer of its category and all above it, once `bootwright lock` has run."),
        ("spec.filesystem", "The disk image and the installer's settings; no layer of a live system."),
        ("spec.display", "The package layers and the configuration layer."),
        ("spec.customization.bootloader", "The boot menu; no layer."),
        ("spec.postInstall.scripts", "The layer of the scripts, which is the last one."),
        ("spec.outputs", "Which files a release has; layers are used again."),
        ("spec.channel", "Which channel the next release is put on; nothing is built anew."),
        ("spec.schedule", "When packages are looked up again; nothing is built anew."),
        ("spec.scheduleTimeZone", "When packages are looked up again; nothing is built anew."),
        ("spec.freshness", "When a release is called stale; nothing is built anew."),
        ("spec.verify", "What a new release has to show; layers are used again."),
        ("spec.limits", "Which files are refused as too large; layers are used again."),
        ("spec.paused", "Whether anything is built at all."),
        ("spec", "The configuration layer and all above it, and packages where it needs some."),
    ];
    let fits = |begin: &str| {
        path.strip_prefix(begin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let best = EFFECTS.iter().filter(|(begin, _)| fits(begin)).max_by_key(|(begin, _)| begin.len());
    best.map_or("The form of the document; nothing is built anew.", |(_, effect)| effect)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value as YAML of indented lines, the last without a line break.
fn write_yaml(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (at, (key, child)) in map.iter().enumerate() {
                if at > 0 {
                    text.push_str(&format!("\n{indent}"));
                }
                text.push_str(&format!("{key}:"));
                match child {
                    Value::Object(inner) if !inner.is_empty() => {
                        text.push_str(&format!("\n{}", "  ".repeat(depth + 1)));
                        write_yaml(child, depth + 1, text);
                    }
                    Value::Array(items) if items.iter().any(Value::is_object) => {
                        text.push_str(&format!("\n{}", "  ".repeat(depth + 1)));
                        write_yaml(child, depth + 1, text);
                    }
                    other => {
                        text.push(' ');
                        write_yaml(other, depth, text);
                    }
                }
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push_str(&format!("\n{indent}"));
                }
                text.push_str("- ");
                write_yaml(item, depth + 1, text);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            text.push_str(&format!("[{}]", items.join(", ")));
        }
        other => text.push_str(&scalar(other)),
    }
}

fn scalar(value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/')
        && !matches!(text, "true" | "false" | "null");
    if plain { text.to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::shape;
    use crate::catalog::yaml;

    #[test]
    fn every_field_is_explained_and_its_example_has_the_right_shape() {
        let mut count = 0;
        for field in all_fields() {
            let topic = field.topic();
            assert!(!topic.description.is_empty() || topic.path.ends_with("[]"), "{}", topic.path);
            assert!(!topic.form.is_empty() && topic.form != "value", "{}: {}", topic.path, topic.form);
            let (documents, faults) = yaml::parse(&topic.example);
            assert!(faults.is_empty() && documents.len() == 1, "{}\n{}", topic.path, topic.example);
            // Only what everybody knows to write may be missing, and texts of no special form.
            let (_, faults) = shape::walk(&documents[0], schema(field.kind));
            let wrong: Vec<&str> = faults
                .iter()
                .filter(|f| {
                    !matches!(
                        f.field.rsplit('.').next().unwrap(),
                        "apiVersion" | "kind" | "metadata" | "base" | "suite" | "spec" | "name"
                    )
                })
                .map(|f| f.message.as_str())
                .collect();
            assert!(wrong.is_empty(), "{}\n{}\n{wrong:?}", topic.path, topic.example);
            count += 1;
        }
        println!("fields explained: {count}");
    }

    #[test]
    fn rules_name_fields_that_exist() {
        let fields = all_fields();
        for rule in rules::all() {
            for field in rule.fields {
                let known = fields.iter().any(|known| known.kind == Kind::OsImage && known.path == *field);
                assert!(known, "{} reads {field}, which does not exist", rule.id);
            }
        }
        for (field, _) in rules::unbuilt_rows() {
            assert!(fields.iter().any(|known| known.path == field), "{field} does not exist");
        }
    }

    #[test]
    fn what_is_meant_is_found() {
        let path = |topic: &str| match explain(topic) {
            Ok(Topic::Field(field)) => field.path,
            other => panic!("{topic}: {other:?}"),
        };
        assert_eq!(path("spec.display.compositor"), "spec.display.compositor");
        assert_eq!(path("display.compositor"), "spec.display.compositor");
        assert_eq!(path("compositor"), "spec.display.compositor");
        assert_eq!(path("spec.defaults.users[3].sudo"), "spec.defaults.users[].sudo");
        assert!(matches!(explain("mac-one-of"), Ok(Topic::Rule(_))));
        assert!(matches!(explain("compat_error"), Ok(Topic::Code(_))));
        assert!(matches!(explain("rules"), Ok(Topic::Rules { .. })));
        assert!(explain("spec.dispaly").unwrap_err().hint.unwrap().contains("spec.display"));
        assert!(explain("spec.base").is_ok() && explain("").is_err() && explain("[[[").is_err());
        assert!(explain("enabled").unwrap_err().hint.unwrap().contains("spec.filesystem.snapshots.enabled"));
    }
}
