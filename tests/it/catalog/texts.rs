//! Shapes of documents, files of a catalog, settings.

use super::{SPEC, accepts, complaints, found, in_memory, refuses, root};
use bootwright::catalog::{self, Severity, diagnostic};
use bootwright::model::ErrorCode;
use bootwright::resolve;

#[test]
fn the_smallest_spec_is_enough() {
    accepts("");
    accepts("  outputs: [iso, oci, rootfs]\n  paused: true\n");
}

#[test]
fn all_problems_come_at_once() {
    let text = "apiVersion: bootwright/v2
kind: OsImage
metadata:
  nmae: edge
  description: 12
spec:
  base: debain
  suite: bookworm
  packges: {}
  paused: yes
  schedule: every day
  defaults:
    timezone: Berlin
    users:
      - name: root
      - shell: /bin/sh
      - {name: a, sudo: maybe, sudo: true}
  outputs: iso
";
    let found = complaints(text);
    let lines: Vec<u32> = found.iter().filter_map(|d| d.line).collect();
    let shown = diagnostic::render(&found, false);
    for line in [1, 4, 5, 7, 9, 10, 11, 13, 15, 16, 17, 18] {
        assert!(lines.contains(&line), "nothing about line {line}\n{shown}");
    }
    assert!(shown.contains("Did you mean `name`?"), "{shown}");
    assert!(shown.contains("Did you mean `packages`?"), "{shown}");
    assert!(shown.contains("Did you mean `debian`?"), "{shown}");
    assert!(shown.contains("Did you mean Europe/Berlin?"), "{shown}");
    assert!(shown.contains("`sudo` is set twice"), "{shown}");
}

#[test]
fn shapes_that_are_refused() {
    refuses("  sudo: true\n", 1, "unknown field `sudo` in `spec`");
    refuses("  base: debian\n", 1, "`base` is set twice");
    refuses("  paused: yes\n", 1, "should be true or false, not the text \"yes\"");
    refuses("  paused: no\n", 1, "should be true or false");
    refuses("  paused: 'true'\n", 1, "should be true or false");
    refuses("  channel:\n", 1, "should be a text, not nothing");
    refuses("  limits:\n", 1, "should be a mapping");
    refuses("  channel: Stable\n", 1, "is not a valid channel name");
    refuses("  outputs: iso\n", 1, "should be a list");
    refuses("  outputs: [isoo]\n", 1, "`isoo` is not a value");
    refuses("  packages: {utils: [nano, 5]}\n", 1, "should be a text, not the number 5");
    refuses("  packages: {utils: ['na no']}\n", 1, "is not a valid package name");
    refuses("  packages: {utils: ['../x']}\n", 1, "is not a valid package name");
    refuses("  packages: {Utils: [nano]}\n", 1, "unknown field `Utils`");
    refuses("  verify: {memoryMib: -1}\n", 1, "out of range");
    refuses("  verify: {dwellSeconds: 5000000000}\n", 1, "out of range");
    refuses("  verify: {dwellSeconds: 1.5}\n", 1, "should be a whole number");
    refuses("  verify: {dwellSeconds: '5'}\n", 1, "should be a whole number");
    refuses("  verify: {ports: [0]}\n", 1, "out of range");
    refuses("  verify: {ports: [65536]}\n", 1, "out of range");
    refuses("  limits: {isoSize: 2 gigs}\n", 1, "is not a size");
    refuses("  limits: {isoSize: -1}\n", 1, "out of range");
    refuses("  defaults: {hostname: Bad_Host}\n", 1, "is not a valid host name");
    refuses("  defaults: !local {}\n", 1, "tags are not read");
    refuses("  services: {enable: ['a b']}\n", 1, "is not a valid unit name");
    refuses("  kernel: {version: linux-its}\n", 1, "is not a value");
}

#[test]
fn documents_of_other_kinds() {
    let kinds = [
        ("Runner", "not there yet", ErrorCode::Compat),
        ("Settings", "settings do not belong here", ErrorCode::Validation),
        ("OsImgae", "there is no kind", ErrorCode::Validation),
    ];
    for (kind, words, code) in kinds {
        let found = complaints(&SPEC.replace("OsImage", kind));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains(words), "{found:?}");
        assert_eq!((found[0].code, found[0].line), (code, Some(2)));
    }
    let found = complaints(&SPEC.replace("bootwright/v1", "bootwright/v2"));
    assert!(found[0].hint.as_ref().unwrap().contains("bootwright/v1"));
    let void =
        SPEC.replace("base: debian", "base: void\n  architecture: aarch64").replace("bookworm", "rolling");
    let found = complaints(&void);
    let found: Vec<_> = found.into_iter().filter(|d| d.message.contains("this distribution for")).collect();
    assert_eq!((found.len(), found[0].code), (1, ErrorCode::Compat));
    assert!(found[0].hint.as_ref().unwrap().contains("debian"));
}

#[test]
fn several_documents_and_doubled_names() {
    let two = format!("{SPEC}---\n{}", SPEC.replace("name: edge", "name: other"));
    let catalog = catalog::load(&in_memory(&[("specs/a.yaml", &two)])).unwrap();
    assert_eq!(catalog.images.len(), 2);
    assert_eq!(catalog.images[&"other".parse().unwrap()].place, "specs/a.yaml:9");
    let found = found(&[("specs/a.yaml", &two), ("specs/b.yaml", SPEC)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("two images with the name edge"));
    assert!(found[0].hint.as_ref().unwrap().contains("specs/a.yaml:1"));
    assert_eq!((found[0].file.as_str(), found[0].line), ("specs/b.yaml", Some(4)));
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let text = format!("{SPEC}---\na: [\n---\n{}  sudo: true\n", SPEC.replace("edge", "other"));
    let found = complaints(&text);
    assert!(found.iter().any(|d| d.code == ErrorCode::Parse), "{found:?}");
    assert!(
        found.iter().any(|d| d.message.contains("unknown field `sudo`") && d.line == Some(18)),
        "{found:?}"
    );
}

#[test]
fn everything_declared_is_read() {
    let cases = [
        ("policies/a.yml", "nothing reads this file"),
        ("runners/deep/a.yaml", "nothing reads this file"),
        ("specs/other.lock.yaml", "of no image"),
        ("specs/overlays/other/etc/x", "of no image"),
        ("specs/overlays/loose", "belong into a folder"),
        ("specs/deep/a.yaml", "nothing reads this file"),
        ("specs/a.yml", "nothing reads this file"),
        ("specs/script.sh", "nothing reads this file"),
        ("specs/empty.yaml", "holds no document"),
        ("specs/overlays/edge/proc/x", "nothing in /proc is kept"),
        ("specs/overlays/edge/lib/x", "is a link to usr/lib"),
        ("specs/overlays/edge/etc/.wh.x", "delete files in OCI images"),
    ];
    for (path, words) in cases {
        let text = if path.contains("empty") { "# nothing\n" } else { "x: 1\n" };
        let found = found(&[("specs/edge.yaml", SPEC), (path, text)]);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert!(found[0].message.contains(words), "{path}: {found:?}");
        assert!(found[0].file.starts_with(path.trim_end_matches("/etc/x")), "{found:?}");
    }
    let quiet = [
        "policies/README.md",
        "runners/README.md",
        "specs/README.md",
        "specs/schema/settings.json",
        "specs/.x.swp",
    ];
    for path in quiet {
        assert!(found(&[("specs/edge.yaml", SPEC), (path, "x")]).is_empty(), "{path}");
    }
}

#[test]
fn files_that_a_spec_names() {
    let script = format!("{SPEC}  postInstall: {{scripts: [specs/x.sh]}}\n");
    let words = |spec: &str, others: &[(&str, &str)]| {
        let mut entries = vec![("specs/edge.yaml", spec)];
        entries.extend(others);
        let found = found(&entries);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].message.clone()
    };
    assert!(found(&[("specs/edge.yaml", &script), ("specs/x.sh", "#!/bin/sh\n")]).is_empty());
    assert!(words(&script, &[]).contains("there is no file specs/x.sh"));
    assert!(words(&script, &[("specs/x.sh", "echo\n")]).contains("does not start with #!"));
    for path in ["/etc/passwd", "../x.sh", "specs/../x.sh", "bootwright.yaml", "specs/overlays/edge/x"] {
        assert!(words(&script.replace("specs/x.sh", path), &[]).contains(path), "{path}");
    }
    let splash = format!("{SPEC}  customization: {{bootloader: {{splash: specs/x.png}}}}\n");
    assert!(words(&splash, &[("specs/x.png", "GIF89a")]).contains("is not a PNG"));
    assert!(words(&splash, &[("specs/x.png", "\u{89}PNG")]).contains("is not a PNG"));
    for field in ["logo: specs/x.png", "slides: [specs/x.png]"] {
        let pictures = format!("{SPEC}  installer: {{{field}}}\n");
        let says = |others: &[(&str, &str)], words: &str| {
            let mut entries = vec![("specs/edge.yaml", pictures.as_str())];
            entries.extend(others);
            found(&entries).iter().any(|complaint| complaint.message.contains(words))
        };
        assert!(says(&[("specs/x.png", "GIF89a")], "specs/x.png is not a PNG"), "{field}");
        assert!(says(&[], "there is no file specs/x.png in the catalog"), "{field}");
    }
}

#[test]
fn what_the_tables_know_has_a_place_too() {
    let text =
        format!("{SPEC}---\n{}  packages:\n    ai_ml: [jupyter, ollama]\n", SPEC.replace("edge", "other"));
    let files = in_memory(&[("specs/a.yaml", &text)]);
    let catalog = catalog::load(&files).unwrap();
    let document = &catalog.images[&"other".parse().unwrap()];
    let (_, problems) = resolve::check(&document.spec, &catalog.settings.packages);
    let fatal = problems.iter().find(|p| p.fatal).unwrap();
    let place = catalog::at_field(&files, document, &fatal.field, &fatal.message, &fatal.hint);
    assert_eq!((place.line, place.column), (Some(17), Some(22)));
    assert_eq!(place.source_line.as_deref(), Some("    ai_ml: [jupyter, ollama]"));
}

/// Whatever a file holds, it is answered with complaints, not with a crash or silence.
#[test]
fn no_text_breaks_the_reader() {
    use proptest::prelude::*;
    let own = std::fs::read_to_string(root().join("specs/edge-gateway.yaml")).unwrap();
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 300, ..Default::default() });
    let junk = prop::sample::select(vec![
        "",
        ":",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "|",
        ">",
        "&a",
        "*a",
        "!!x ",
        "\t",
        "\n",
        "\u{0}",
        "\u{feff}",
        "\u{202e}",
        "é",
        "---\n",
        "null",
        "~",
        "1e9",
        "true",
        "? ",
        "#",
        "%YAML 9.9\n",
        "  ",
        "spec: ",
        "99999999999999999999999999999999999999999",
    ]);
    runner
        .run(&prop::collection::vec((0..own.len(), 0..20usize, junk), 1..4), |edits| {
            let mut text = own.clone();
            for (at, cut, junk) in edits {
                let start = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap();
                let end = (start..=(start + cut).min(text.len()))
                    .rev()
                    .find(|i| text.is_char_boundary(*i))
                    .unwrap();
                text.replace_range(start..end, junk);
            }
            let (catalog, found) = catalog::check(&in_memory(&[("specs/edge-gateway.yaml", &text)]));
            prop_assert!(catalog.is_some() || found.iter().any(|d| d.severity == Severity::Error));
            prop_assert!(!found.iter().any(|d| d.message.contains("cannot be read:")), "{:?}", found);
            diagnostic::render(&found, true);
            Ok(())
        })
        .unwrap();
}

#[test]
fn settings_are_checked() {
    let head = "apiVersion: bootwright/v1\nkind: Settings\n";
    let cases = [
        ("channels: [stable]\n", "channel edge is not one of"),
        ("stroe: {}\n", "unknown field `stroe`"),
        (
            "mirrors: [{base: debian, urls: [ftp://x/y], suites: ['{suite}'], components: [main], keyring: k}]\n",
            "not the address",
        ),
        (
            "mirrors: [{base: debian, urls: [http://u:hunter2@x/y], suites: ['{suite}'], components: [main], keyring: k}]\n",
            "not the address",
        ),
        (
            "mirrors: [{base: debian, urls: [http://x/y], suites: [../x], components: [main], keyring: k}]\n",
            "not a suite",
        ),
        (
            "mirrors: [{base: debian, urls: [], suites: ['{suite}'], components: [main], keyring: k}]\n",
            "is empty",
        ),
        (
            "mirrors: [{base: debian, urls: [http://x/y], suites: ['{suite}'], components: [main]}]\n",
            "has no `keyring`",
        ),
        (
            "mirrors: [{base: debian, urls: [http://x/y], suites: ['{suite}'], components: [main], keyring: k, \
             unsignedIndexes: true}]\n",
            "are always signed",
        ),
        ("store: {registry: 'https://x/y'}\n", "not an OCI repository prefix"),
        ("signing: {trusted: [x]}\n", "not a public key"),
        ("build: {minFreeSpace: lots}\n", "is not a size"),
    ];
    for (text, words) in cases {
        let settings = format!("{head}{text}");
        let found = found(&[("bootwright.yaml", &settings), ("specs/edge.yaml", SPEC)]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].message.contains(words), "{found:?}");
        assert!(!diagnostic::render(&found, false).contains("hunter2"));
    }
    let found = found(&[("bootwright.yaml", SPEC)]);
    assert!(found[0].message.contains("images do not belong here"), "{found:?}");
}

/// The schema that editors use accepts what we accept, and refuses what we refuse by shape.
#[test]
fn the_schema_agrees() {
    let schema = serde_json::from_str(&catalog::schema_text(catalog::Kind::OsImage)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let read = |text: &str| -> serde_json::Value { serde_saphyr::from_str(text).unwrap() };
    let own = std::fs::read_to_string(root().join("specs/edge-gateway.yaml")).unwrap();
    for text in [SPEC, &own] {
        assert!(validator.is_valid(&read(text)));
    }
    for part in [
        "  sudo: true\n",
        "  channel: Stable\n",
        "  outputs: iso\n",
        "  limits: {isoSize: 2 gigs}\n",
        "  init: s7\n",
    ] {
        let text = format!("{SPEC}{part}");
        assert!(!validator.is_valid(&read(&text)), "{part}");
        assert!(!complaints(&text).is_empty(), "{part}");
    }
}
