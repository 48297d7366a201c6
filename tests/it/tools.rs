//! Tools of the tests' own from PyPI and npm. `make setup-test` puts them into `.test-tools/`.

use std::path::{Path, PathBuf};

/// A file or folder there: `test/bin/python`, `s3/bin/python`, `node`.
pub fn tool(path: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test-tools");
    assert!(tools.join("installed").exists(), "`make setup-test` installs the tests' tools");
    tools.join(path)
}
