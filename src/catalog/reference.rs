//! The reference of all documents as Markdown, made from the same schema that checks them.

use super::schema::{Kind, schema};
use serde_json::Value;
use std::fmt::Write as _;

/// The text of `docs/spec-reference.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "<!-- Made from the types by `UPDATE=1 cargo test --lib catalog::reference`; do not edit. -->
# Reference of the documents

A catalog is a git repository with these files:

| File | What it holds |
|---|---|
| `bootwright.yaml` | settings; every field has a default |
| `specs/NAME.yaml` | one image or device profile ([OpenWrt](openwrt.md)) each, or several with `---` between them |
| `specs/NAME.lock.yaml` | the exact packages of an image, written by `bootwright lock` |
| `profiles/NAME.yaml` | parts of images, for `include: [profiles/NAME.yaml]` ([profiles](profiles.md)) |
| `specs/overlays/NAME/` | files laid over the root filesystem of the image or device |
| other files below `specs/` | scripts, pictures and keys that a spec names |
| `policies/NAME.yaml` | rules for specs, locks, image content and releases ([policies](policies.md)) |
| `runners/NAME.yaml` | card writers, and what shall be on the cards in them ([card writers](card-writers.md)) |

YAML is read as version 1.2: only `true` and `false` are truth values, `no` is a text.
Unknown fields, doubled keys, tags and empty values are errors; `null` may stand where it
is listed as a value, and says the same as leaving the field out. An editor that knows
`yaml-language-server` completes and checks a spec by its first line,
`# yaml-language-server: $schema=schema/os-image.json`.

An image and a profile may also have `include: [PATH, …]`: what they do not say is taken
from there, and then nothing in `spec` is required of the file alone ([profiles](profiles.md)).

Field names and values are those of the whole plan. What cannot be built yet is refused with
the code `COMPAT_ERROR` and the words \"not yet built\": documents of kind `Runner`, and

",
    );
    for (field, what) in super::rules::unbuilt_rows() {
        let _ = writeln!(text, "- `{field}`: {what}");
    }
    for kind in Kind::ALL {
        let title = match kind {
            Kind::OsImage => "An image: kind `OsImage`",
            Kind::Settings => "Settings: kind `Settings`",
            Kind::Profile => "A part of an image: kind `Profile`",
            Kind::Policy => "A policy: kind `Policy`",
            Kind::DeviceProfile => "Firmware of a device: kind `DeviceProfile`",
            Kind::CardWriter => "A host with card readers: kind `CardWriter`",
            Kind::FlashOrder => "What shall be on cards: kind `FlashOrder`",
        };
        let _ = write!(text, "\n## {title}\n");
        let mut whole = schema(kind).clone();
        if let (Kind::Profile, Some(spec)) = (kind, whole.pointer_mut("/$defs/OsSpec")) {
            // The same fields as those of an image.
            *spec = serde_json::json!({"type": "object", "properties": {}});
        }
        Writer { root: &whole, text: &mut text }.object(&whole, "");
    }
    text
}

/// What a value looks like, in a few words.
pub(super) fn form(root: &Value, schema: &Value) -> String {
    Writer { root, text: &mut String::new() }.form(schema)
}

struct Writer<'a> {
    root: &'a Value,
    text: &'a mut String,
}

impl<'a> Writer<'a> {
    /// A table of an object's fields, then the objects inside it.
    fn object(&mut self, schema: &'a Value, path: &str) {
        let fields = schema["properties"].as_object();
        let Some(properties) = fields.filter(|fields| !fields.is_empty()) else { return };
        if !path.is_empty() {
            let _ = write!(self.text, "\n### `{path}`\n");
        }
        if let Some(description) = schema["description"].as_str() {
            let _ = write!(self.text, "\n{}\n", line(description));
        }
        let _ = write!(self.text, "\n| Field | Value | Default | What it is |\n|---|---|---|---|\n");
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (name, property) in properties {
            let default = match &property["default"] {
                _ if required.contains(&Value::from(name.as_str())) => "required".to_owned(),
                Value::Null | Value::Object(_) => String::new(),
                value => format!("`{}`", value.to_string().replace('"', "")),
            };
            let description = property["description"].as_str().map(line).unwrap_or_default();
            let _ = writeln!(self.text, "| `{name}` | {} | {default} | {description} |", self.form(property));
        }
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match property["type"].as_str() {
                Some("array") => self.object(self.resolved(&property["items"]), &format!("{path}[]")),
                _ => self.object(self.resolved(property), &path),
            }
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let schema = super::schema::unless_null(schema).unwrap_or(schema);
        match schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
            Some(name) => &self.root["$defs"][name],
            None => schema,
        }
    }

    /// What a value looks like, in a few words.
    fn form(&self, schema: &'a Value) -> String {
        if let Some(form) = super::schema::unless_null(schema) {
            return format!("{}, `null`", self.form(form));
        }
        let reference = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()).unwrap_or_default();
        let schema = self.resolved(schema);
        if let Some(words) = super::shape::words(schema) {
            return words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
        }
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.form(&schema["items"])),
            Some("object") if schema["properties"].is_object() => "mapping".to_owned(),
            Some("object") => "mapping of texts".to_owned(),
            Some("integer") => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
                (Some(least), Some(most)) => format!("number, {least} to {most}"),
                (Some(least), None) => format!("number from {least}"),
                _ => "number".to_owned(),
            },
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("string") if !reference.is_empty() => spaced(reference),
            Some("string") => "text".to_owned(),
            None if schema["type"].is_array() => format!("{} or number", spaced(reference)),
            _ if reference == super::schema::SIZE => "size".to_owned(),
            _ => "value".to_owned(),
        }
    }
}

/// `PackageName` → `package name`.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_is_current() {
        crate::catalog::generated::assert_current("docs/spec-reference.md", &super::reference());
    }
}
