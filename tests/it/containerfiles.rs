//! The stored Containerfiles of all eight distributions are what a linter and a builder take.
//! `src/build/containerfile/tests.rs` writes them.

use crate::tools::tool;
use bootwright::effects::{Cancel, Process};
use std::path::{Path, PathBuf};

fn stored() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/containerfiles");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn the_linter_has_nothing_to_say() {
    let hadolint = || Process::new(tool("test/bin/hadolint")).arg("--no-color");
    let files = stored();
    assert_eq!(files.len(), 8);
    for file in files {
        let told = hadolint().arg(&file).run(&Cancel::default()).unwrap();
        assert!(told.status.success(), "{}:\n{}", file.display(), told.text());
    }
    // A mistake is seen: else the silence above would prove nothing.
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("Containerfile");
    std::fs::write(&bad, "FROM debian\nRUN apt-get install nginx\n").unwrap();
    assert!(!hadolint().arg(&bad).run(&Cancel::default()).unwrap().status.success());
}
