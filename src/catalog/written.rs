//! The schema of documents as people write them: an image may leave to what it includes
//! whatever it does not say itself, change a list that it inherits, and take a value away
//! with `null`.

use super::include::INCLUDE;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The schema of a document that may include others.
pub fn open(strict: &Value) -> Value {
    let mut schema = strict.clone();
    let mut seen = BTreeSet::new();
    let spec = strict["properties"]["spec"].clone();
    opened(&spec, strict, &mut schema, &mut seen);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.insert(
            INCLUDE.to_owned(),
            json!({
                "description": "Profiles and specs that this document is laid over, the first one lowest: \
                    profiles/NAME.yaml, specs/NAME.yaml, or a path from this file's folder that starts with ./ or ../.",
                "type": "array",
                "items": {"type": "string"},
                "uniqueItems": true,
            }),
        );
    }
    schema
}

/// Opens the object that a property refers to, in `schema`, once.
fn opened(property: &Value, strict: &Value, schema: &mut Value, seen: &mut BTreeSet<String>) {
    let Some(name) = property["$ref"].as_str().and_then(|r| r.rsplit('/').next()) else { return };
    let definition = &strict["$defs"][name];
    let Some(properties) = definition["properties"].as_object() else { return };
    if !seen.insert(name.to_owned()) {
        return;
    }
    for inner in properties.values() {
        opened(inner, strict, schema, seen);
    }
    let Some(definition) = schema["$defs"][name].as_object_mut() else { return };
    definition.remove("required");
    if let Some(properties) = definition.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(open_field);
    }
}

/// The field as it is, `null`, or for a list what is changed in it.
fn open_field(field: &mut Value) {
    let Some(object) = field.as_object_mut() else { return };
    let mut outer = Map::new();
    for about in ["description", "default"] {
        outer.extend(object.remove(about).map(|value| (about.to_owned(), value)));
    }
    let mut forms = vec![field.clone()];
    if field["type"] == "array" {
        let items = field["items"].clone();
        let list = json!({"type": "array", "items": items});
        forms.push(json!({
            "description": "Changes of the inherited list.",
            "type": "object",
            "properties": {
                "remove": {"description": "Items to leave out: as they are, or by some of their fields.", "type": "array"},
                "prepend": list,
                "add": list,
            },
            "additionalProperties": false,
            "minProperties": 1,
        }));
    }
    forms.push(json!({"description": "Takes the inherited value away.", "type": "null"}));
    outer.insert("anyOf".to_owned(), Value::Array(forms));
    *field = Value::Object(outer);
}
