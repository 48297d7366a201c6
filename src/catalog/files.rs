//! The files of a catalog as they came from a folder or a commit: a bounded map.
//!
//! Only five places are read; everything else in a repository is nobody's business.

use crate::model::catalog::CatalogSource;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The settings file.
pub const SETTINGS: &str = "bootwright.yaml";
/// The folders that are read.
pub const FOLDERS: [&str; 4] = ["specs", "profiles", "policies", "runners"];
/// The folder of overlays, where files may be large.
pub const OVERLAYS: &str = "specs/overlays/";
/// The folder of users' own settings, the only other one in which symbolic links may be.
pub const DOTFILES: &str = "specs/dotfiles/";

/// Two for each of 10,000 images, and room for overlays.
const MOST_FILES: usize = 50_000;
const LARGEST_FILE: u64 = 64 << 20;
const LARGEST_TEXT: u64 = 8 << 20;
const LARGEST_TOTAL: u64 = 1 << 30;
const DEEPEST: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A regular file that may be executed.
    Executable,
    /// A symbolic link; the bytes are its target.
    Symlink,
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its bytes, or a link's target.
    pub bytes: Arc<[u8]>,
    /// What it is.
    pub kind: FileKind,
}

/// The files of a catalog by their path, and where they came from.
#[derive(Clone, Debug)]
pub struct Files {
    /// Where they came from.
    pub source: CatalogSource,
    entries: BTreeMap<String, File>,
    folded: BTreeSet<String>,
    total: u64,
}

impl Files {
    /// Lets go of what nobody needs once the catalog is read: a finding names a place in
    /// settings, specs and profiles only, and locks are large.
    pub fn keep_what_findings_name(&mut self) {
        let named =
            |path: &str| path == SETTINGS || (path.ends_with(".yaml") && !path.ends_with(".lock.yaml"));
        self.entries.retain(|path, _| named(path) && !path.starts_with(OVERLAYS));
    }

    /// No files yet.
    pub fn new(source: CatalogSource) -> Self {
        Self { source, entries: BTreeMap::new(), folded: BTreeSet::new(), total: 0 }
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.entries.get(path)
    }

    /// Path and file at a path.
    pub fn entry(&self, path: &str) -> Option<(&str, &File)> {
        self.entries.get_key_value(path).map(|(path, file)| (path.as_str(), file))
    }

    /// All files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.entries.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If its path is not sane, or a limit would be passed.
    pub fn add(&mut self, path: &str, kind: FileKind, bytes: impl Into<Arc<[u8]>>) -> Result<()> {
        let bytes = bytes.into();
        self.expect(path, kind, bytes.len() as u64)?;
        fold_case(&mut self.folded, path)?;
        self.total += bytes.len() as u64;
        self.entries.insert(path.to_owned(), File { bytes, kind });
        Ok(())
    }

    /// Puts a file in the place of the one that is there, if one is.
    ///
    /// # Errors
    /// As [`Files::add`].
    pub fn replace(&mut self, path: &str, kind: FileKind, bytes: impl Into<Arc<[u8]>>) -> Result<()> {
        if let Some(old) = self.entries.remove(path) {
            self.total -= old.bytes.len() as u64;
            self.folded.remove(&path.to_lowercase());
        }
        self.add(path, kind, bytes)
    }

    /// Says whether a file of so many bytes may be added, so that it need not be read first.
    ///
    /// # Errors
    /// If its path is not sane, or a limit would be passed.
    pub fn expect(&self, path: &str, kind: FileKind, size: u64) -> Result<()> {
        check_path(path)?;
        if kind == FileKind::Symlink && !path.starts_with(OVERLAYS) && !path.starts_with(DOTFILES) {
            return Err(Failure::spec(format!("{path} is a symbolic link")).hint(
                "Symbolic links are read only in specs/overlays/NAME/ and specs/dotfiles/NAME/; put the file itself there.",
            ));
        }
        let limit = |what: String, hint: &str| {
            Err(Failure::new(ErrorCode::LimitExceeded, FailureClass::Spec, what).hint(hint.to_owned()))
        };
        let largest = if path.starts_with(OVERLAYS) { LARGEST_FILE } else { LARGEST_TEXT };
        if size > largest {
            return limit(
                format!("{path} has {size} bytes, at most {largest} are read"),
                "Large data belongs into a package.",
            );
        }
        if self.total + size > LARGEST_TOTAL {
            return Err(too_large());
        }
        check_count(self.entries.len())
    }
}

fn too_large() -> Failure {
    let what =
        format!("the catalog is too large: at most {MOST_FILES} files and {LARGEST_TOTAL} bytes are read");
    Failure::new(ErrorCode::LimitExceeded, FailureClass::Spec, what).hint("Large data belongs into packages.")
}

/// Says whether there may be another file when there are `count` already.
///
/// # Errors
/// If the limit would be passed.
pub fn check_count(count: usize) -> Result<()> {
    if count < MOST_FILES { Ok(()) } else { Err(too_large()) }
}

/// Remembers a path without its case. Overlays are trees of Linux systems, where two names
/// may differ in case only; two such files of a catalog are one file on some hosts, and
/// nobody sees which.
///
/// # Errors
/// If another path differs from it in case only.
pub fn fold_case(folded: &mut BTreeSet<String>, path: &str) -> Result<()> {
    if path.starts_with(OVERLAYS) || folded.insert(path.to_lowercase()) {
        return Ok(());
    }
    Err(Failure::spec(format!("another file's path differs from {path} only in case"))
        .hint("Rename one of them."))
}

/// Whether a path in a repository is one that a catalog is read from.
pub fn is_read(path: &str) -> bool {
    path == SETTINGS || FOLDERS.iter().any(|f| path.strip_prefix(f).is_some_and(|rest| rest.starts_with('/')))
}

/// Refuses a path that could mean another place, or that would break a line of a listing.
fn check_path(path: &str) -> Result<()> {
    let sane_part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.eq_ignore_ascii_case(".git")
            && part.len() <= 255
            && !part.contains('\\')
            && !part.chars().any(char::is_control)
    };
    let depth = path.split('/').count();
    if is_read(path) && path.len() <= 1024 && depth <= DEEPEST && path.split('/').all(sane_part) {
        return Ok(());
    }
    Err(Failure::spec(format!("{path:?} is not a path that a catalog may have"))
        .hint("Use names without control characters, backslashes, `..` and `.git`."))
}

/// A path that git stores as bytes.
///
/// # Errors
/// If it is not UTF-8.
pub fn utf8_path(path: &[u8]) -> Result<&str> {
    std::str::from_utf8(path).map_err(|_| {
        Failure::spec(format!("{:?} is not a path in UTF-8", String::from_utf8_lossy(path)))
            .hint("Rename the file.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Files {
        Files::new(CatalogSource { location: "test".to_owned(), commit: None })
    }

    #[test]
    fn paths_that_are_refused() {
        for path in [
            "specs/../etc/passwd",
            "/specs/a",
            "specs//a",
            "specs/",
            "specs/./a",
            "specs/a\nb",
            "specs/.git/config",
            "specs/a\\b",
            "README.md",
            "specsx/a",
            "",
        ] {
            assert!(empty().add(path, FileKind::Regular, *b"x").is_err(), "{path}");
        }
        assert!(empty().add("specs/a.yaml", FileKind::Regular, *b"x").is_ok());
    }

    #[test]
    fn links_only_in_overlays() {
        assert!(empty().add("specs/a.yaml", FileKind::Symlink, *b"/etc/passwd").is_err());
        assert!(empty().add("specs/overlays/a/etc/b", FileKind::Symlink, *b"c").is_ok());
    }

    #[test]
    fn sizes_are_bounded_before_reading() {
        let failure = empty().expect("specs/a.yaml", FileKind::Regular, LARGEST_TEXT + 1).unwrap_err();
        assert_eq!(failure.code, ErrorCode::LimitExceeded);
        assert!(empty().expect("specs/overlays/a/b", FileKind::Regular, LARGEST_TEXT + 1).is_ok());
        assert!(empty().expect("specs/overlays/a/b", FileKind::Regular, LARGEST_FILE + 1).is_err());
    }
}
