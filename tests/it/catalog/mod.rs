//! A catalog is read out of real git repositories, and every complaint has a place and a hint.

mod git;
pub(crate) mod recipes;
pub(crate) mod remotes;
mod runners;
mod tables;
mod texts;
mod values;

use bootwright::catalog::{self, Diagnostic, Files, Location, Severity, diagnostic, files::FileKind};
use bootwright::effects::{Cancel, Process};
use bootwright::model::catalog::CatalogSource;
use std::path::{Path, PathBuf};

pub const SPEC: &str = "apiVersion: bootwright/v1
kind: OsImage
metadata:
  name: edge
spec:
  base: debian
  suite: bookworm
";

pub fn in_memory(entries: &[(&str, &str)]) -> Files {
    let mut files = Files::new(CatalogSource { location: "test".to_owned(), commit: None });
    for (path, text) in entries {
        files.add(path, FileKind::Regular, text.as_bytes().to_vec()).unwrap();
    }
    files
}

pub fn found(entries: &[(&str, &str)]) -> Vec<Diagnostic> {
    catalog::check(&in_memory(entries)).1
}

/// The complaints about one spec, which must all have a place, the source line and a hint.
pub fn complaints(text: &str) -> Vec<Diagnostic> {
    let found = found(&[("specs/edge.yaml", text)]);
    for d in &found {
        let line = d.line.unwrap_or_else(|| panic!("no line: {d:?}")) as usize;
        assert!(d.column.is_some() && d.hint.is_some() && d.source_line.is_some(), "{d:?}");
        assert!(line <= text.lines().count(), "{d:?}");
    }
    found
}

/// One error at a line with words in its message.
pub fn refuses(spec: &str, line: u32, words: &str) {
    let text = format!("{SPEC}{spec}");
    let errors: Vec<Diagnostic> =
        complaints(&text).into_iter().filter(|d| d.severity == Severity::Error).collect();
    let shown = diagnostic::render(&errors, false);
    assert_eq!(errors.len(), 1, "{spec}\n{shown}");
    assert!(errors[0].message.contains(words), "{words:?} is not in\n{shown}");
    assert_eq!(errors[0].line, Some(7 + line), "{shown}");
}

pub fn accepts(spec: &str) {
    let found = complaints(&format!("{SPEC}{spec}"));
    assert!(found.is_empty(), "{}", diagnostic::render(&found, false));
}

pub struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(self.path(), args)
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Process::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"])
        .args(args)
        .dir(dir)
        .env("GIT_COMMITTER_DATE", "2026-09-06T03:00:00Z")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .check(&Cancel::default())
        .unwrap_or_else(|f| panic!("{f}: {:?}", f.details));
    output.text().trim().to_owned()
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(location: &Location) -> bootwright::model::Result<Files> {
    let clones = tempfile::tempdir().unwrap();
    catalog::read(location, clones.path())
}

pub fn at(repo: &Path, rev: &str) -> Location {
    Location::parse(repo.to_str().unwrap(), Some(rev)).unwrap()
}

pub fn names(files: &Files) -> Vec<String> {
    let (catalog, found) = catalog::check(files);
    let catalog = catalog.unwrap_or_else(|| panic!("{}", diagnostic::render(&found, false)));
    catalog.images.keys().map(ToString::to_string).collect()
}
