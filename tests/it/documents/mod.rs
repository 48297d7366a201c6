//! The documents of a release, read by other people's code: the bill of materials by the SPDX
//! tools, the provenance by in-toto's own types. Both lie in `.test-tools/`, where
//! `make setup-test` puts them.

use super::crash::command;
use super::crash::world::World;
use crate::tools::tool;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What the validator says of a document.
fn validate(kind: &str, file: &Path) -> Result<String, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let done = command(tool("test/bin/python").to_str().unwrap())
        .arg(root.join("tests/it/documents/documents.py"))
        .arg(kind)
        .arg(file)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

#[test]
fn public_validators_take_them_and_nothing_altered() {
    let world = World::new("[rootfs, oci]");
    let said = world.reconcile();
    assert!(said.output.status.success(), "{}", said.words());
    let release = world.store().join("tiny").join(&said.published()[0]);
    let (sbom, provenance) = (release.join("sbom.spdx.json"), release.join("provenance.intoto.jsonl"));
    let words = validate("sbom", &sbom).unwrap();
    assert!(words.contains("packages"), "{words}");
    let words = validate("provenance", &provenance).unwrap();
    assert_eq!(words.trim(), "2 subjects");

    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let envelope = read(&provenance);
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let (sbom, statement): (Value, Value) = (read(&sbom), serde_json::from_slice(&payload).unwrap());
    let changed = |from: &Value, change: &dyn Fn(&mut Value)| {
        let mut value = from.clone();
        change(&mut value);
        assert_ne!(value, *from);
        value
    };
    let sealed = |change: &dyn Fn(&mut Value)| {
        let payload = STANDARD.encode(changed(&statement, change).to_string());
        changed(&envelope, &|envelope| envelope["payload"] = json!(payload))
    };
    let cases = [
        ("sbom", changed(&sbom, &|v| v["spdxVersion"] = json!("SPDX-9"))),
        ("sbom", changed(&sbom, &|v| v["packages"][1]["SPDXID"] = v["packages"][2]["SPDXID"].clone())),
        ("sbom", changed(&sbom, &|v| v["relationships"][0]["relatedSpdxElement"] = json!("SPDXRef-none"))),
        ("sbom", changed(&sbom, &|v| v["packages"][1]["downloadLocation"] = json!("somewhere"))),
        ("provenance", sealed(&|v| v["_type"] = json!("https://in-toto.io/Statement/v9"))),
        ("provenance", sealed(&|v| v["subject"] = json!([]))),
        ("provenance", sealed(&|v| drop(v["subject"][0].as_object_mut().unwrap().remove("digest")))),
        ("provenance", sealed(&|v| v["extra"] = json!(1))),
        ("provenance", sealed(&|v| v["predicate"]["runDetails"]["extra"] = json!(1))),
    ];
    let file = world.dir.join("altered.json");
    for (number, (kind, document)) in cases.iter().enumerate() {
        fs::write(&file, document.to_string()).unwrap();
        assert!(validate(kind, &file).is_err(), "the validator is blind: {kind} {number}");
    }
    println!("altered documents that the validators refuse: {}", cases.len());
}
