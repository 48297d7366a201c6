//! What people ask for in plain words, and the specs that they mean.
//!
//! The sentences of `prompts/*.yaml` are written as people ask in forums, not after the keyword
//! table. `want` holds every field that comes from words; lists of objects in a short form
//! (`allow 22/udp from NETWORK`, `/home 50GB`, `anna sudo`). `unread` holds what must not be
//! understood, where that matters.

use bootwright::intake::{self, Origin, Reading};
use bootwright::tables::keywords::all_keywords;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The share of sentences that have to be read fully right.
const LEAST: f64 = 0.95;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentence {
    say: String,
    want: Map<String, Value>,
    #[serde(default)]
    unread: Option<Vec<String>>,
    /// Fields that contradict each other.
    #[serde(default)]
    clashes: Vec<String>,
}

fn sentences() -> Vec<(String, Sentence)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/prompts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let options = serde_saphyr::options! { strict_booleans: true };
        let sentences: Vec<Sentence> = serde_saphyr::from_str_with_options(&text, options)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        all.extend(sentences.into_iter().map(|sentence| (name.clone(), sentence)));
    }
    all
}

/// An entry of a list in its short form.
fn brief(value: &Value) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    if map.is_empty() {
        return value.clone();
    }
    let text = |key: &str| map.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let short = if let (Some(action), Some(port)) = (text("action"), text("port")) {
        let protocol = text("protocol").map(|p| format!("/{p}")).unwrap_or_default();
        let source = text("source").map(|s| format!(" from {s}")).unwrap_or_default();
        format!("{action} {port}{protocol}{source}")
    } else if let (Some(mount), Some(size)) = (text("mount"), text("size")) {
        format!("{mount} {size}")
    } else if let (Some(name), Some(model)) = (text("name"), text("model")) {
        format!("{name} {model}")
    } else {
        let sudo = if map.get("sudo") == Some(&Value::from(true)) { " sudo" } else { "" };
        format!("{}{sudo}", text("name").unwrap_or_default())
    };
    Value::from(short)
}

fn found(reading: &Reading) -> BTreeMap<String, Value> {
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    for said in reading.fields.iter().filter(|said| said.origin == Origin::Words) {
        if said.list {
            let list = fields.entry(said.path.clone()).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().unwrap().push(brief(&said.value));
        } else {
            fields.insert(said.path.clone(), said.value.clone());
        }
    }
    fields
}

/// What is wrong with the reading of a sentence.
fn wrong(sentence: &Sentence) -> Vec<String> {
    let reading = intake::reading(&sentence.say);
    let found = found(&reading);
    let mut wrong = Vec::new();
    for (path, value) in &sentence.want {
        match found.get(path) {
            Some(other) if other == value => {}
            other => wrong.push(format!("{path}: wanted {value}, found {}", other.unwrap_or(&Value::Null))),
        }
    }
    for (path, value) in found.iter().filter(|(path, _)| !sentence.want.contains_key(*path)) {
        wrong.push(format!("{path}: not wanted, found {value}"));
    }
    if let Some(unread) = &sentence.unread {
        let words: Vec<&str> = reading.unread.iter().map(|u| &sentence.say[u.span.clone()]).collect();
        if words != *unread {
            wrong.push(format!("not understood: wanted {unread:?}, found {words:?}"));
        }
    }
    let clashes: Vec<&str> = reading.clashes.iter().map(|clash| clash.path.as_str()).collect();
    if clashes != sentence.clashes {
        wrong.push(format!("contradictions: wanted {:?}, found {clashes:?}", sentence.clashes));
    }
    wrong
}

#[test]
fn sentences_are_understood() {
    let sentences = sentences();
    let mut right: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut report = String::new();
    for (file, sentence) in &sentences {
        let wrong = wrong(sentence);
        let count = right.entry(file).or_default();
        count.1 += 1;
        count.0 += usize::from(wrong.is_empty());
        if !wrong.is_empty() {
            report.push_str(&format!("{file}: {:?}\n", sentence.say));
            wrong.iter().for_each(|line| report.push_str(&format!("    {line}\n")));
        }
    }
    let all: usize = right.values().map(|count| count.0).sum();
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    let share = all as f64 / sentences.len() as f64;
    println!(
        "{report}\n{all} of {} sentences are read fully right ({:.1} %): {right:?}",
        sentences.len(),
        share * 100.0
    );
    assert!(sentences.len() >= 150, "only {} sentences", sentences.len());
    assert!(share >= LEAST, "{report}\nonly {:.1} % are read fully right", share * 100.0);
}

/// What a document may never have wrong: its form.
fn faults(prompt: &str) -> Vec<String> {
    let reading = intake::reading(prompt);
    let document = intake::document(prompt, &reading, None).unwrap();
    let findings = intake::findings(&document, None).unwrap();
    let form = ["unknown field", "` has no `", "should be", "is not a value of", "cannot be read"];
    let wrong = findings.iter().filter(|f| {
        ["PARSE_ERROR", "INTERNAL"].contains(&f.code.as_str())
            || form.iter().any(|words| f.message.contains(words))
    });
    wrong
        .map(|f| format!("{prompt:?}: {}: {}", f.field.as_deref().unwrap_or("document"), f.message))
        .collect()
}

/// Every field of the table is one of the spec, with a value that the spec takes.
#[test]
fn every_keyword_is_a_field_that_there_is() {
    let mut wrong = Vec::new();
    let mut ways = 0;
    for keyword in all_keywords() {
        let mut values = keyword
            .set
            .iter()
            .chain(&keyword.not)
            .map(|(path, value)| (path, value.clone(), false))
            .collect::<Vec<_>>();
        values.extend(
            keyword
                .add
                .iter()
                .flat_map(|(path, all)| all.iter().map(move |value| (path, value.clone(), true))),
        );
        let positive = intake::reading(&keyword.words[0]);
        for (path, value, list) in values.into_iter().take(keyword.set.len()) {
            let said = positive
                .fields
                .iter()
                .any(|said| *said.path == *path && said.value == value && said.list == list);
            let alone = ["backup.", "filesystem.swap."]
                .iter()
                .any(|branch| path.starts_with(branch) && path != "backup.tool");
            if !said && !alone {
                wrong.push(format!("{:?} does not give {path}", keyword.words[0]));
            }
        }
        ways += keyword.words.len();
        wrong.extend(faults(&format!("{}, 4 GB swap, borg", keyword.words[0])));
        wrong.extend(faults(&format!("without {}", keyword.words[0])));
    }
    println!("{} keywords, {ways} ways to say them", all_keywords().len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every way to say a keyword is found as that keyword.
#[test]
fn every_way_to_say_it_is_found() {
    let mut wrong = Vec::new();
    for keyword in all_keywords().iter().filter(|k| !k.add.is_empty()) {
        for words in &keyword.words {
            let reading = intake::reading(words);
            for (path, values) in &keyword.add {
                for value in values {
                    if !reading.fields.iter().any(|said| said.path == *path && said.value == *value) {
                        wrong.push(format!("{words:?} does not give {value} in {path}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sentences_become_documents_that_files_may_be() {
    let wrong: Vec<String> = sentences().iter().flat_map(|(_, sentence)| faults(&sentence.say)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same prompt is always read in the same way.
#[test]
fn reading_is_deterministic() {
    for (_, sentence) in sentences() {
        assert_eq!(intake::reading(&sentence.say), intake::reading(&sentence.say));
    }
}

/// Texts that are made to be slow take time in proportion to their length.
#[test]
fn time_grows_with_the_length_and_no_faster() {
    for part in [
        "docker, ",
        "!a!",
        "no docker, podman or ",
        "80 and 443, ",
        "frobnicator ",
        "user u1 ",
        "every ",
        "port ",
        "at 3 pm ",
        "without ",
        "-",
        "1. ",
        "\n",
        "is impossible docker ",
    ] {
        let time = |bytes: usize| {
            let text = part.repeat(bytes / part.len() + 1);
            let begun = std::time::Instant::now();
            intake::reading(&text);
            begun.elapsed().as_secs_f64()
        };
        let (short, long) = (time(2_000), time(16_000));
        println!("{part:?}: 2 KB in {:.1} ms, 16 KB in {:.1} ms", short * 1e3, long * 1e3);
        // Eight times the length; the square would be 64 times.
        assert!(long < short * 32.0 + 0.1, "{part:?}: {short:.3} s, then {long:.3} s");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Any text becomes a document that the reader of files takes, and spans lie in the text.
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        let reading = intake::reading(&text);
        for unread in &reading.unread {
            proptest::prop_assert!(text.get(unread.span.clone()).is_some());
        }
        proptest::prop_assert_eq!(faults(&text), Vec::<String>::new());
    }

    /// So does any row of words that mean something.
    #[test]
    fn any_words_are_read(picks in proptest::collection::vec((0usize..10_000, 0usize..8), 0..12)) {
        let joints = [", ", " and ", " or ", " no ", " without ", ". Actually ", " 80 ", " every night at 3 "];
        let keywords = all_keywords();
        let text: String = picks.iter().map(|(word, joint)| {
            let keyword = &keywords[word % keywords.len()];
            format!("{}{}", keyword.words[word % keyword.words.len()], joints[*joint])
        }).collect();
        proptest::prop_assert_eq!(faults(&text), Vec::<String>::new());
    }
}
