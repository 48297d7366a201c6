//! Every leaf of the schema of `OsImage`: setting it changes the recipe or raises a finding;
//! hostile texts in it are refused; how a document is written down changes nothing.

use crate::catalog::{in_memory, recipes::answer};
use bootwright::catalog::{self, Diagnostic, Kind, Severity, Topic};
use bootwright::model::Digest;
use bootwright::resolve;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Leaves that change no byte of an image: what reads them instead.
const READ_ELSEWHERE: &[(&str, &str)] = &[
    ("apiVersion", "the reader of documents"),
    ("kind", "the reader of documents"),
    ("metadata.description", "download pages"),
    ("metadata.labels", "`--only label=value`"),
    ("spec.channel", "the publisher"),
    ("spec.schedule", "the planner"),
    ("spec.scheduleTimeZone", "the planner"),
    ("spec.freshness.maxAgeDays", "the planner and download pages"),
    ("spec.paused", "the planner"),
];

struct Leaf {
    path: String,
    form: String,
    /// The smallest part of a document that sets it.
    sample: Value,
    /// The words that it may be.
    words: Vec<String>,
    default: Option<Value>,
}

/// All leaves of the schema, by `explain` and the fields that it lists.
fn leaves() -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let properties = catalog::schema(Kind::OsImage)["properties"].as_object().unwrap();
    properties.keys().for_each(|name| descend(name, &mut leaves));
    leaves
}

fn descend(path: &str, leaves: &mut Vec<Leaf>) {
    let Topic::Field(topic) = catalog::explain(path).unwrap() else { panic!("{path}") };
    if topic.form.starts_with("list of mapping") || (topic.path.ends_with("[]") && !topic.fields.is_empty()) {
        let inner = if topic.path.ends_with("[]") { topic.path.clone() } else { format!("{}[]", topic.path) };
        let Topic::Field(items) = catalog::explain(&inner).unwrap() else { panic!("{inner}") };
        return items.fields.iter().for_each(|f| descend(&format!("{inner}.{}", f.name), leaves));
    }
    if !topic.fields.is_empty() {
        return topic.fields.iter().for_each(|f| descend(&format!("{}.{}", topic.path, f.name), leaves));
    }
    let sample = serde_saphyr::from_str(&topic.example).unwrap();
    let words = topic.values.iter().map(|value| value.name.clone()).collect();
    let (path, form, default) = (topic.path.clone(), topic.form.clone(), topic.default.clone());
    leaves.push(Leaf { path, form, sample, words, default });
}

fn smallest() -> Value {
    json!({"apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
        "spec": {"base": "debian", "suite": "bookworm"}})
}

/// Puts a part into a document; a part of a list takes the list's place.
fn merge(into: &mut Value, part: &Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (key, value) in part {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, part) => *into = part.clone(),
    }
}

fn pointer(path: &str) -> String {
    path.replace("[]", ".0").split('.').fold(String::new(), |all, step| format!("{all}/{step}"))
}

/// What becomes of a document: the digest of its recipe, if it has one, and all findings.
fn outcome(document: &Value) -> (Option<Digest>, Vec<Diagnostic>) {
    outcome_of(&document.to_string())
}

fn outcome_of(text: &str) -> (Option<Digest>, Vec<Diagnostic>) {
    let (catalog, found) = catalog::check(&in_memory(&[("specs/edge.yaml", text)]));
    let digest = catalog.and_then(|catalog| {
        let document = catalog.images.values().next()?;
        if let Err(problems) = resolve::request(&document.spec, &catalog.settings.packages) {
            // Refused: then what is said must differ with the leaf.
            return Some(Digest::of(format!("{problems:?}")));
        }
        match resolve::resolve(document, answer(&document.spec), &catalog.settings) {
            Ok(resolved) => Some(resolved.recipe.digest()),
            // A repository, which nobody fetched here: it is named in the refusal.
            Err(failure) => Some(Digest::of(format!("{failure}"))),
        }
    });
    (digest, found)
}

#[test]
fn every_leaf_has_an_effect() {
    let (mut recipe, mut finding, mut elsewhere, mut idle) = (0, 0, 0, Vec::new());
    let leaves = leaves();
    for leaf in &leaves {
        let mut after = smallest();
        merge(&mut after, &leaf.sample);
        for (rare, common) in [("n8n", "jupyter"), ("telegraf", "netdata")] {
            // A program without a package is refused whatever else is said of it.
            for list in ["ai", "monitoring"] {
                let name = after.pointer_mut(&format!("/spec/services/{list}/0/name"));
                if let Some(name) = name.filter(|name| **name == rare && !leaf.path.ends_with(".name")) {
                    *name = json!(common);
                }
            }
        }
        let at = pointer(&leaf.path);
        if leaf.path.starts_with("spec.services.") && leaf.path.ends_with(".enabled") {
            // Services are on unless they are switched off.
            *after.pointer_mut(&at).unwrap() = json!(false);
        }
        if leaf.form.starts_with("number") {
            // The sample of a number is its default.
            let value = after.pointer_mut(&at).unwrap();
            *value = json!(value.as_i64().unwrap() + 1);
        }
        // Nor would a word that is the default change anything.
        if let Some(value) = after.pointer_mut(&at).filter(|value| leaf.default.as_ref() == Some(value))
            && let Some(word) = leaf.words.iter().find(|word| *value != json!(word))
        {
            *value = json!(word);
        }
        let mut before = after.clone();
        let (parent, name) = at.rsplit_once('/').unwrap();
        if let Some(Value::Object(parent)) = before.pointer_mut(parent) {
            parent.remove(name);
        }
        if smallest().pointer(&at).is_some() {
            before = smallest();
            if leaf.path == "spec.suite" {
                *before.pointer_mut(&at).unwrap() = json!("trixie");
            }
        }
        if outcome(&before).1.iter().any(|d| d.message.contains("has no `")) {
            // It has to be there: then with another value.
            before = after.clone();
            let value = before.pointer_mut(&at).unwrap();
            let other = leaf.words.iter().find(|word| *value != json!(word));
            *value = match (other, value.as_str()) {
                (Some(word), _) => json!(word),
                (None, Some(text)) => json!(format!("{text}x")),
                (None, None) => json!(value.as_i64().map_or(1, |n| n + 7)),
            };
        }
        let ((old, said), (new, says)) = (outcome(&before), outcome(&after));
        let plain = |d: &Diagnostic| (d.field.clone(), d.message.clone());
        let known: BTreeSet<_> = said.iter().map(plain).collect();
        let told: BTreeSet<_> = says.iter().map(plain).collect();
        let refused = says.iter().any(|d| {
            let field = d.field.as_deref().unwrap_or_default().replace("[0]", "[]");
            d.severity == Severity::Error && (leaf.path.starts_with(&field) || field.starts_with(&leaf.path))
        });
        if READ_ELSEWHERE.iter().any(|(path, _)| *path == leaf.path) {
            elsewhere += 1;
        } else if new.is_some() && old.is_some() && new != old {
            recipe += 1;
        } else if refused || told != known {
            // One finding more, or one less: memory as swap needs no disk.
            finding += 1;
        } else {
            idle.push(format!("{}: {after}\n{says:?}", leaf.path));
        }
    }
    println!(
        "leaves: {}; changes the recipe: {recipe}, raises a finding: {finding}, read elsewhere: {elsewhere}",
        leaves.len()
    );
    assert!(idle.is_empty(), "nothing reads:\n{}", idle.join("\n"));
    assert!(leaves.len() > 150, "{}", leaves.len());
}

/// Texts that would do harm in a shell, a configuration file, a path or a page.
const HOSTILE: [&str; 14] = [
    "$(touch MARK)",
    "`touch MARK`",
    "; touch MARK",
    "| touch MARK",
    "x && touch MARK",
    "'; touch MARK; '",
    "\"; touch MARK; \"",
    "x\ntouch MARK",
    "x\r\nPermitRootLogin yes",
    "../../../etc/cron.d/MARK",
    "--pre-invoke=touch MARK",
    "%{lua:os.execute('touch MARK')}",
    "\u{202e}x\u{0}",
    "<script>MARK</script>",
];

/// Leaves in which dots and slashes lead nowhere: words of the kernel's command line, and
/// labels, which are only ever compared.
const NO_PATHS: [&str; 2] = ["metadata.labels", "spec.kernel.customFlags"];

/// Free texts for people: what is taken here is only ever shown, escaped by who shows it.
const SHOWN: [&str; 3] =
    ["metadata.description", "spec.customization.bootloader.title", "spec.installer.productName"];

#[test]
fn hostile_texts_are_refused_in_every_leaf() {
    let mark = std::env::temp_dir().join(format!("bootwright-mark-{}", std::process::id()));
    let (mut cases, mut taken) = (0, Vec::new());
    for leaf in
        leaves().iter().filter(|leaf| !leaf.form.starts_with("number") && !leaf.form.starts_with("`true`"))
    {
        for hostile in HOSTILE {
            let hostile = hostile.replace("MARK", mark.to_str().unwrap());
            let mut document = smallest();
            merge(&mut document, &leaf.sample);
            let at = pointer(&leaf.path);
            match document.pointer_mut(&at) {
                Some(Value::Array(items)) => *items = vec![json!(hostile)],
                Some(Value::Object(map)) => *map = [(hostile.clone(), json!(hostile))].into_iter().collect(),
                Some(value) => *value = json!(hostile),
                None => panic!("{} is not in {document}", leaf.path),
            }
            cases += 1;
            // A field that is not yet built is refused whatever it says: that shows nothing.
            let own = |d: &Diagnostic| d.severity == Severity::Error && d.rule != Some("not-yet-built");
            let leads_nowhere = hostile.starts_with("../") && NO_PATHS.contains(&leaf.path.as_str());
            if !leads_nowhere && !outcome(&document).1.iter().any(own) && !SHOWN.contains(&leaf.path.as_str())
            {
                taken.push(format!("{}: {hostile:?}", leaf.path));
            }
        }
    }
    println!("hostile texts: {cases}");
    assert!(taken.is_empty(), "was taken:\n{}", taken.join("\n"));
    assert!(!mark.exists(), "something ran");
}

/// Leaves that a sound document may set, one at a time.
fn sound_leaves() -> Vec<Leaf> {
    let mut leaves = leaves();
    leaves.retain(|leaf| {
        let mut document = smallest();
        merge(&mut document, &leaf.sample);
        outcome(&document).0.is_some()
    });
    leaves
}

/// A document as block YAML with comments, its keys in the other order, texts in other quotes.
fn rewritten(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, child) in map.iter().rev() {
                text.push_str(&format!("\n{indent}# about {key}\n{indent}\"{key}\": "));
                rewritten(child, depth + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&format!("\n{indent}-   "));
                rewritten(item, depth + 2, text);
            }
        }
        Value::String(word) if !word.contains('\'') => text.push_str(&format!("'{word}'   # a text")),
        other => text.push_str(&other.to_string()),
    }
}

#[test]
fn how_it_is_written_changes_nothing_and_what_it_says_does() {
    let leaves = sound_leaves();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(120));
    let picks = proptest::collection::vec(any::<prop::sample::Index>(), 0..8);
    let (mut digests, mut sound) = (BTreeSet::new(), 0);
    runner
        .run(&picks, |picks| {
            let mut document = smallest();
            for pick in &picks {
                merge(&mut document, &pick.get(&leaves).sample);
            }
            let mut other = String::new();
            rewritten(&document, 0, &mut other);
            let ((one, said), (two, says)) = (outcome(&document), outcome_of(&other));
            prop_assert_eq!(one, two, "{}\n{}", document, other);
            let plain = |found: &[Diagnostic]| -> BTreeSet<(Option<String>, String)> {
                found.iter().map(|d| (d.field.clone(), d.message.clone())).collect()
            };
            prop_assert_eq!(plain(&said), plain(&says));
            Ok(())
        })
        .unwrap();
    // Every sound leaf alone means something else than every other.
    for leaf in leaves.iter().filter(|leaf| READ_ELSEWHERE.iter().all(|(path, _)| *path != leaf.path)) {
        let mut document = smallest();
        merge(&mut document, &leaf.sample);
        digests.insert(outcome(&document).0.unwrap());
        sound += 1;
    }
    println!("sound leaves: {sound}, recipes: {}", digests.len());
    assert!(digests.len() * 10 >= sound * 7, "{} of {sound}", digests.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any values anywhere: findings, never a panic, and the same ones again.
    #[test]
    fn nothing_panics(seed in proptest::collection::vec((any::<prop::sample::Index>(), any::<i64>(), ".{0,12}", 0..6u8), 1..6)) {
        static LEAVES: std::sync::LazyLock<Vec<Leaf>> = std::sync::LazyLock::new(leaves);
        let leaves = &*LEAVES;
        let mut document = smallest();
        for (pick, number, text, kind) in &seed {
            let leaf = pick.get(leaves);
            merge(&mut document, &leaf.sample);
            if let Some(value) = document.pointer_mut(&pointer(&leaf.path)) {
                *value = match kind {
                    0 => json!(number),
                    1 => json!(text),
                    2 => json!([text, number]),
                    3 => json!({text.as_str(): number}),
                    4 => Value::Null,
                    _ => continue,
                };
            }
        }
        let text = document.to_string();
        prop_assert_eq!(outcome_of(&text), outcome_of(&text));
    }
}
