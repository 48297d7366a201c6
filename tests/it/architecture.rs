//! Rules about the repository itself: who may import whom, who may print, spawn and read
//! the environment, how long files get, and that made documents are up to date.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file that ships, its tests not counted.
const LONGEST: usize = 700;
/// Lines of a script.
const LONGEST_SCRIPT: usize = 50;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// One source file: the code that ships, without comments and tests.
struct Source {
    /// Path from the repository's root, with `/`.
    path: String,
    /// The room: the first part below `src/`.
    room: String,
    /// How deep the module is below the crate's root.
    depth: usize,
    code: String,
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let paths = files(&src, "rs");
    let tests: BTreeSet<PathBuf> = paths.iter().flat_map(|path| test_modules(path)).collect();
    let shipped = paths.iter().filter(|path| !tests.contains(*path));
    let sources: Vec<_> = shipped.map(|path| source(&src, path)).collect();
    assert!(sources.len() > 20, "found only {} files in src", sources.len());
    sources
}

fn source(src: &Path, path: &Path) -> Source {
    let below = path.strip_prefix(src).unwrap();
    let parts: Vec<_> = below.iter().map(|p| p.to_str().unwrap()).collect();
    let (file, folders) = parts.split_last().unwrap();
    Source {
        path: format!("src/{}", below.display()),
        room: parts[0].trim_end_matches(".rs").to_owned(),
        depth: folders.len() + usize::from(!is_folder(file)),
        code: shipped(&fs::read_to_string(path).unwrap()),
    }
}

/// Whether a file's modules lie beside it, not in a folder of its name.
fn is_folder(file: &str) -> bool {
    ["mod.rs", "lib.rs", "main.rs"].contains(&file)
}

/// The files that a file declares for its tests alone: `#[cfg(test)] mod NAME;`.
fn test_modules(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].trim().strip_prefix("mod ")?.strip_suffix(';'));
    let file = path.file_name().unwrap().to_str().unwrap();
    let folder = if is_folder(file) { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    names.map(|name| folder.join(format!("{name}.rs"))).collect()
}

/// The part of a file that ships: no comments, nothing from `#[cfg(test)] mod NAME {` on.
fn shipped(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let begins_tests = |pair: &[&str]| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    let end = lines.windows(2).position(begins_tests).unwrap_or(lines.len());
    lines[..end].iter().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect()
}

/// The rooms in reading order, from the codemap in `lib.rs`.
fn codemap() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = lib.lines().filter_map(|l| l.strip_prefix("//! - [`"));
    let rooms: Vec<_> = rows.filter_map(|l| l.split_once("`]: ")).map(|(room, _)| room.to_owned()).collect();
    assert!(rooms.len() > 10, "the codemap in lib.rs has only {} rooms", rooms.len());
    rooms
}

/// The rooms that a text names after `crate::` (also in braces) or through `super`.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let up = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for root in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if root == "crate::" && before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            if root != "crate::" && code[..at].ends_with("super::") {
                continue;
            }
            let after = &code[at + root.len()..];
            match after.strip_prefix('{') {
                Some(braces) => found.extend(first_level(braces)),
                None => found.extend(identifier(after)),
            }
        }
    }
    found
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The first identifiers of a list in braces: `a, b::{c, d}, e}` gives a, b, e.
fn first_level(text: &str) -> Vec<String> {
    let (mut level, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => level += 1,
            ',' | '}' if level == 0 => {
                names.extend(identifier(text[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => level -= 1,
            _ => {}
        }
    }
    names
}

/// Why `room` may not import `other`, if it may not.
fn forbidden(rooms: &[String], room: &str, other: &str) -> Option<&'static str> {
    const PURE: [&str; 4] = ["model", "tables", "resolve", "planner"];
    const STAGES: [&str; 4] = ["build", "verify", "release", "flash"];
    if room == other || !rooms.iter().any(|r| r == other) {
        return None;
    }
    if STAGES.contains(&room) && STAGES.contains(&other) {
        return Some("build, verify, release and flash never use one another; pass a value from model");
    }
    if other == "effects" {
        return PURE.contains(&room).then_some("it does no I/O");
    }
    let place = |name: &str| rooms.iter().position(|r| r == name);
    (place(other) > place(room)).then_some("the codemap has it further down")
}

#[test]
fn rooms_import_only_what_stands_above_them() {
    let rooms = codemap();
    let mut wrong = Vec::new();
    for source in sources() {
        if source.room == "lib" || source.room == "main" {
            continue;
        }
        for other in imports(&source.code, source.depth) {
            if let Some(why) = forbidden(&rooms, &source.room, &other) {
                wrong.push(format!("{} imports {other}: {why}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn wrong_imports_would_be_seen() {
    let rooms = codemap();
    for (room, depth, code, other) in [
        ("build", 1, "use crate::verify::boot;", "verify"),
        ("verify", 2, "fn f() { crate::release::sign() }", "release"),
        ("model", 2, "use crate::{Digest, effects::{files, Clock}};", "effects"),
        ("planner", 1, "use crate::{\n    model::plan::Plan,\n    effects::Clock,\n};", "effects"),
        ("state", 2, "use super::super::ops;", "ops"),
        ("catalog", 1, "use super::reconcile::Loop;", "reconcile"),
        ("ops", 3, "use super::super::super::cli;", "cli"),
    ] {
        let found: Vec<_> =
            imports(code, depth).into_iter().filter(|o| forbidden(&rooms, room, o).is_some()).collect();
        assert_eq!(found, [other], "{code}");
    }
    for (room, depth, code) in [
        ("catalog", 1, "use crate::effects::files; use crate::model::{Digest, spec::OsImage};"),
        ("ops", 1, "use crate::{build, verify, release};"),
        ("build", 2, "use super::layers; pub(crate) fn verify() {}"),
    ] {
        let found = imports(code, depth);
        assert!(found.iter().all(|o| forbidden(&rooms, room, o).is_none()), "{code}: {found:?}");
    }
}

#[test]
fn every_room_is_in_the_codemap_and_declared() {
    let declared: BTreeSet<String> = sources().into_iter().map(|s| s.room).collect();
    let named: BTreeSet<String> = codemap().into_iter().collect();
    let rooms: BTreeSet<String> = declared.into_iter().filter(|r| r != "lib" && r != "main").collect();
    assert_eq!(rooms, named, "folders of src/ (left) and the codemap in lib.rs (right)");
}

/// Fails for every file that has one of `words` and is not allowed to.
fn nobody_says(words: &[&str], allowed: impl Fn(&Source) -> bool, instead: &str) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| !allowed(s)) {
        for (number, line) in source.code.lines().enumerate() {
            if let Some(word) = words.iter().find(|w| line.contains(**w)) {
                wrong.push(format!(
                    "{} has {word} (line {} of its code): {instead}",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints() {
    let words = ["println!", "print!(", "dbg!(", "io::stdout()", "io::stderr()"];
    nobody_says(&words, |s| s.room == "cli" || s.room == "main", "emit an event or return a report");
}

#[test]
fn only_effects_starts_processes() {
    nobody_says(&["Command::new("], |s| s.room == "effects", "use effects::Process");
}

#[test]
fn only_the_command_line_reads_the_environment() {
    let words =
        ["env::var", "env::vars", "env::temp_dir", "env::home_dir", "tempfile::tempdir()", "TempDir::new()"];
    nobody_says(&words, |s| s.path == "src/cli/env.rs", "take it as an input (TMPDIR is one too)");
}

#[test]
fn pure_rooms_reach_for_nothing() {
    let words =
        ["std::fs", "std::process", "std::net", "std::time::SystemTime", "tokio::", "reqwest::", "Utc::now"];
    let pure = ["model", "tables", "resolve", "planner"];
    nobody_says(&words, |s| !pure.contains(&s.room.as_str()), "this room does no I/O and knows no clock");
}

#[test]
fn unfinished_work_does_not_land() {
    nobody_says(
        &["todo!(", "unimplemented!(", "allow(dead_code", "allow(unused"],
        |_| false,
        "finish it or leave it out",
    );
}

#[test]
fn files_tell_one_story() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.code.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{}: {lines} lines, more than {LONGEST}", source.path));
        }
        let name = source.path.rsplit('/').next().unwrap().trim_end_matches(".rs");
        if ["utils", "util", "helper", "helpers", "common", "misc", "manager"].contains(&name) {
            wrong.push(format!("{}: the name does not say what it is for", source.path));
        }
    }
    let scripts = files(&root().join("scripts"), "sh");
    for script in scripts.iter().chain([&root().join(".ci/run")]) {
        let lines = fs::read_to_string(script).unwrap().lines().count();
        if lines > LONGEST_SCRIPT {
            wrong.push(format!("{}: {lines} lines, more than {LONGEST_SCRIPT}", script.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Compares a made document with its file; with `BOOTWRIGHT_BLESS` set, writes it.
fn is_current(path: &str, made: &str) {
    let file = root().join(path);
    #[expect(clippy::disallowed_methods, reason = "asked for by whoever runs the tests")]
    if std::env::var_os("BOOTWRIGHT_BLESS").is_some() {
        fs::write(&file, made).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == made,
        "{path} is out of date: run BOOTWRIGHT_BLESS=1 cargo test --test it architecture::"
    );
}

#[test]
fn exit_codes_are_documented() {
    is_current("docs/exit-codes.md", &bootwright::cli::error::exit_codes_markdown());
}

fn listed(path: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn setup_installs_what_doctor_looks_for() {
    assert_eq!(listed(".ci/packages.txt"), bootwright::ops::doctor::packages());
    for list in [".ci/packages-build.txt", ".ci/packages-test.txt"] {
        let names = listed(list);
        assert!(names.is_sorted(), "{list} is not sorted");
        let twice: Vec<_> = names.iter().filter(|n| listed(".ci/packages.txt").contains(n)).collect();
        assert!(twice.is_empty(), "{list} repeats {twice:?}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = files(&root().join("docs"), "md");
    documents.push(root().join("README.md"));
    let mut wrong = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap().split('#').next().unwrap();
            let outside = target.is_empty() || target.contains("://");
            if !outside && !document.parent().unwrap().join(target).exists() {
                wrong.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}
