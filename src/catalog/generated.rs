//! Files of this repository that are generated from the types: a test keeps them current.

/// Fails unless the file at `path` (from the repository's root) is `text`; with `UPDATE=1`
/// in the environment, writes it.
pub(crate) fn assert_current(path: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    #[allow(clippy::disallowed_methods, reason = "a test")]
    let update = std::env::var_os("UPDATE").is_some_and(|v| v == "1");
    if update {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "{path} is not current: run the tests once with UPDATE=1 and commit the change");
}
