//! The table of what can be done with each distribution says what the code does.

use bootwright::catalog::{self, Topic, rules};
use bootwright::model::spec::{Base, OsImage};
use bootwright::tables;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every test function of this program, as `module::function`.
fn tests() -> BTreeSet<String> {
    fn walk(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let inner = match stem {
                "mod" | "main" => module.to_owned(),
                _ if module.is_empty() => stem.to_owned(),
                _ => format!("{module}::{stem}"),
            };
            if path.is_dir() {
                walk(&path, &inner, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "#[test]") {
                    let head = lines[at..].iter().find_map(|line| line.strip_prefix("fn "));
                    let name = head.and_then(|head| head.split('(').next()).unwrap();
                    found.insert(format!("{inner}::{name}"));
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), "", &mut found);
    assert!(found.len() > 200, "{}", found.len());
    found
}

#[test]
fn every_claim_names_a_test_that_is_there() {
    let tests = tests();
    for base in Base::all() {
        for (head, cell) in tables::support(base).unwrap().cells() {
            for test in &cell.shown {
                assert!(tests.contains(test), "{} {head}: there is no test {test}", base.as_str());
            }
        }
    }
}

/// The values that a field takes, by its own documentation.
fn taken(field: &str) -> BTreeSet<String> {
    // A list's values are those of its items.
    let all = [field.to_owned(), format!("{field}[]")];
    let topics = all.iter().filter_map(|field| match catalog::explain(field) {
        Ok(Topic::Field(topic)) => Some(topic),
        _ => None,
    });
    topics.flat_map(|topic| topic.values).map(|value| value.name).collect()
}

#[test]
fn every_value_of_the_requirement_has_a_row_and_the_tests_that_it_names() {
    let tests = tests();
    let mut rows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (field, value, cell) in tables::values() {
        rows.entry(field).or_default().insert(value.to_owned());
        for test in &cell.shown {
            assert!(tests.contains(test), "{field} {value}: there is no test {test}");
        }
    }
    assert_eq!(rows.len(), 11);
    for (field, values) in rows {
        assert_eq!(taken(field), values, "{field}");
    }
}

/// Whether a spec of this distribution may ask for an output.
fn is_taken(base: Base, output: &str) -> bool {
    let suite = tables::of(base).suites().next().unwrap();
    let image: OsImage = serde_json::from_value(serde_json::json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
        "spec": {"base": base.as_str(), "suite": suite, "outputs": [output]}
    }))
    .unwrap();
    rules::breaches(&image).iter().all(|breach| breach.rule != rules::NOT_YET_BUILT)
}

#[test]
fn what_is_taken_and_refused_agrees_with_the_table() {
    for base in Base::all() {
        let support = tables::support(base).unwrap();
        let name = base.as_str();
        assert_eq!(support.lock.is_there(), support.native.is_there(), "{name}: lock");
        for (output, cell) in [
            ("rootfs", &support.native),
            ("oci", &support.native),
            ("iso", &support.iso),
            ("disk", &support.disk),
        ] {
            assert_eq!(is_taken(base, output), cell.is_there(), "{name}: {output}");
        }
    }
}
