//! Policies and inputs that nothing reads: what must be refused, where it is said, and what
//! goes on all the same.

mod consumed;
mod content;
mod plans;
mod published;
mod reading;
mod specs;

use bootwright::catalog::{self, Diagnostic, Files, Severity, files::FileKind};
use bootwright::model::catalog::{Catalog, CatalogSource};
use bootwright::ops::{self, CatalogRef, CheckReport, CheckRequest, Context};
use std::path::Path;

pub const SPEC: &str = "apiVersion: bootwright/v1
kind: OsImage
metadata:
  name: edge
spec:
  base: debian
  suite: bookworm
";

pub const POLICY: &str = "apiVersion: bootwright/v1
kind: Policy
metadata: {name: house}
spec:
  rules:
";

/// A policy of one rule, whose id stands on line 6.
pub fn rule(fields: &str) -> String {
    format!("{POLICY}    - id: one\n      {}\n", fields.replace('\n', "\n      "))
}

pub fn in_memory(entries: &[(&str, &str)]) -> Files {
    let mut files = Files::new(CatalogSource { location: "test".to_owned(), commit: None });
    for (path, text) in entries {
        files.add(path, FileKind::Regular, text.as_bytes().to_vec()).unwrap();
    }
    files
}

/// What is wrong with a catalog; there is one exactly if nothing is.
pub fn errors(entries: &[(&str, &str)]) -> Vec<Diagnostic> {
    let (catalog, mut found) = catalog::check(&in_memory(entries));
    found.retain(|d| d.severity == Severity::Error);
    assert_eq!(catalog.is_none(), !found.is_empty());
    found
}

pub fn loaded(entries: &[(&str, &str)]) -> Catalog {
    catalog::load(&in_memory(entries))
        .unwrap_or_else(|d| panic!("{}", catalog::diagnostic::render(&d, false)))
}

/// Writes a catalog into a folder.
pub fn write(dir: &Path, entries: &[(&str, &str)]) {
    for (path, text) in entries {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// `bootwright check` of a catalog.
pub fn checked(entries: &[(&str, &str)]) -> CheckReport {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), entries);
    let context = Context { cwd: dir.path().to_owned(), ..Context::default() };
    let catalog = CatalogRef { location: ".".to_owned(), rev: None };
    ops::check(&context, CheckRequest { catalog }).unwrap()
}
