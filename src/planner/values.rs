//! Comparing two JSON values field by field, with values short enough to be read.

use crate::model::plan::Reason;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// A shown value has at most so many characters.
const LONGEST: usize = 60;

/// So many characters before a difference stay when the equal beginning is left out.
const LEAD: usize = 12;

/// The differences found so far.
#[derive(Debug, Default)]
pub(super) struct Differences(Vec<Reason>);

impl Differences {
    pub(super) fn add(&mut self, field: &str, from: &str, to: &str) {
        // The text "1" and the number 1 are different and look the same.
        let (from, to) = match from == to {
            true => (from.to_owned(), format!("{to}, written as another type")),
            false => short_pair(from, to),
        };
        self.0.push(Reason::ChangedField { field: field.to_owned(), from, to, origin: None });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_reasons(self) -> Vec<Reason> {
        self.0
    }
}

/// A value as JSON, password hashes replaced by digests of them: plans are shown to more
/// people than may read the catalog.
pub(super) fn published_form(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    hide_secrets(&mut value);
    value
}

fn hide_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(secret) if name == "passwordHash" => {
                        *secret = format!("hidden {}", hex::encode(&Sha256::digest(&*secret)[..4]));
                    }
                    value => hide_secrets(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_secrets),
        _ => {}
    }
}

/// Adds one difference for every field below `path` that is not the same.
pub(super) fn compare(path: &str, old: &Value, new: &Value, found: &mut Differences) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let side = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or(Value::Null)
                };
                compare(&join(path, name), &side(a), &side(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) => compare_lists(path, a, b, found),
        _ => found.add(path, &shown(old), &shown(new)),
    }
}

fn compare_lists(path: &str, old: &[Value], new: &[Value], found: &mut Differences) {
    if let (Some(a), Some(b)) = (by_name(old), by_name(new)) {
        compare(path, &Value::Object(a.clone()), &Value::Object(b.clone()), found);
        let order = |items: &[Value]| items.iter().filter_map(name_of).collect::<Vec<_>>().join(" ");
        if a == b {
            found.add(&format!("{path} order"), &order(old), &order(new));
        }
    } else if old.len() == new.len() && old.iter().chain(new).all(Value::is_object) {
        for (index, (a, b)) in old.iter().zip(new).enumerate() {
            compare(&format!("{path}[{index}]"), a, b, found);
        }
    } else if old.iter().chain(new).any(Value::is_object) {
        let without = |items: &[Value], others: &[Value]| {
            items.iter().filter(|i| !others.contains(i)).map(shown).collect::<Vec<_>>().join(", ")
        };
        let (gone, come) = (without(old, new), without(new, old));
        if gone.is_empty() && come.is_empty() {
            found.add(path, &format!("{} entries", old.len()), &format!("{} entries", new.len()));
        } else {
            let text = |items: String| if items.is_empty() { "absent".to_owned() } else { items };
            found.add(path, &text(gone), &text(come));
        }
    } else {
        found.add(path, &shown_list(old), &shown_list(new));
    }
}

/// The items by their `name`, if each one has another.
fn by_name(items: &[Value]) -> Option<serde_json::Map<String, Value>> {
    let map: serde_json::Map<String, Value> =
        items.iter().map(|item| Some((name_of(item)?.to_owned(), item.clone()))).collect::<Option<_>>()?;
    (map.len() == items.len() && !map.is_empty()).then_some(map)
}

fn name_of(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "absent".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => shown_list(items),
        other => other.to_string(),
    }
}

fn shown_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
}

/// Two different texts, each short, still different.
pub(super) fn short_pair(from: &str, to: &str) -> (String, String) {
    let count = |text: &str| text.chars().count();
    if count(from) <= LONGEST && count(to) <= LONGEST {
        return (from.to_owned(), to.to_owned());
    }
    let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).count();
    let skip = if same > LEAD + 1 { same - LEAD } else { 0 };
    (window(from, skip), window(to, skip))
}

fn window(text: &str, skip: usize) -> String {
    let mut shown = String::new();
    if skip > 0 {
        shown.push('…');
    }
    let rest: Vec<char> = text.chars().skip(skip).collect();
    if rest.len() <= LONGEST {
        shown.extend(rest);
    } else {
        shown.extend(&rest[..LONGEST - 1]);
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(old: &Value, new: &Value) -> Vec<String> {
        let mut found = Differences::default();
        compare("", old, new, &mut found);
        let text = |reason: Reason| match reason {
            Reason::ChangedField { field, from, to, .. } => format!("{field}: {from} -> {to}"),
            other => panic!("{other:?}"),
        };
        found.into_reasons().into_iter().map(text).collect()
    }

    #[test]
    fn fields_are_found_by_path() {
        let old = json!({"a": {"b": 1, "c": [1, 2]}, "d": null, "e": "x"});
        let new = json!({"a": {"b": 2, "c": [1, 3]}, "d": {"k": true}, "e": ""});
        assert_eq!(
            found(&old, &new),
            ["a.b: 1 -> 2", "a.c: [1, 2] -> [1, 3]", "d: absent -> {\"k\":true}", "e: x -> \"\""]
        );
        assert_eq!(found(&old, &old), [""; 0]);
        assert_eq!(found(&json!({"a": 1}), &json!({"a": "1"})), ["a: 1 -> 1, written as another type"]);
    }

    #[test]
    fn lists_of_objects_are_compared_by_name_or_place() {
        let users = |shell: &str| json!({"users": [{"name": "a"}, {"name": "b", "shell": shell}]});
        assert_eq!(found(&users("sh"), &users("zsh")), ["users.b.shell: sh -> zsh"]);
        let swapped = json!({"users": [{"name": "b", "shell": "sh"}, {"name": "a"}]});
        assert_eq!(found(&users("sh"), &swapped), ["users order: a b -> b a"]);
        let rules =
            |ports: &[u16]| json!({"rules": ports.iter().map(|p| json!({"port": p})).collect::<Vec<_>>()});
        assert_eq!(found(&rules(&[22]), &rules(&[80])), ["rules[0].port: 22 -> 80"]);
        assert_eq!(found(&rules(&[22]), &rules(&[80, 22])), ["rules: absent -> {\"port\":80}"]);
        let same_set = (rules(&[22, 22]), rules(&[22]));
        assert_eq!(found(&same_set.0, &same_set.1).len(), 1);
    }

    #[test]
    fn password_hashes_are_never_shown() {
        let user = |hash: &str| published_form(&json!([{"name": "a", "passwordHash": hash}]));
        let shown = found(&json!({"u": null}), &json!({"u": user("$y$secret")})).join("");
        assert!(!shown.contains("secret"), "{shown}");
        assert_ne!(user("$y$one"), user("$y$two"));
    }

    #[test]
    fn long_values_are_cut_around_their_difference() {
        let long = "x".repeat(500);
        let (from, to) = short_pair(&format!("{long}a{long}"), &format!("{long}b{long}"));
        assert_ne!(from, to);
        assert!(from.chars().count() <= LONGEST + 1 && from.starts_with('…') && from.ends_with('…'));
        let (from, to) = short_pair(&long, "");
        assert!(from.chars().count() <= LONGEST && to.is_empty());
        let (from, to) = short_pair(&long, &format!("{long}é"));
        assert_ne!(from, to);
    }
}
