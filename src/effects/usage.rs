//! How much room files take, as `du` counts it: allocated blocks, hard links once.

use crate::model::{Failure, Result};
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The files that were counted already, over several trees.
#[derive(Debug, Default)]
pub struct Usage {
    linked: HashSet<(u64, u64)>,
}

impl Usage {
    /// Bytes that `path` and everything below takes and that were not counted before. What
    /// vanishes meanwhile counts nothing; links are not followed, nor other file systems
    /// looked into.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<u64> {
        match std::fs::symlink_metadata(path) {
            Ok(meta) => self.tree(path, &meta, meta.dev()),
            Err(e) => absent(path, &e),
        }
    }

    fn tree(&mut self, path: &Path, meta: &Metadata, device: u64) -> Result<u64> {
        if meta.dev() != device {
            return Ok(0);
        }
        if !meta.is_dir() && meta.nlink() > 1 && !self.linked.insert((meta.dev(), meta.ino())) {
            return Ok(0);
        }
        // Blocks of 512 bytes, whatever the file system's own (man 3type stat).
        let mut bytes = meta.blocks() * 512;
        if meta.is_dir() {
            let entries = match std::fs::read_dir(path) {
                Ok(entries) => entries,
                Err(e) => return absent(path, &e),
            };
            for entry in entries.flatten() {
                bytes += match entry.metadata() {
                    Ok(meta) => self.tree(&entry.path(), &meta, device)?,
                    Err(e) => absent(&entry.path(), &e)?,
                };
            }
        }
        Ok(bytes)
    }
}

fn absent(path: &Path, error: &std::io::Error) -> Result<u64> {
    match error.kind() {
        std::io::ErrorKind::NotFound => Ok(0),
        _ => Err(Failure::io(format!("looking at {}", path.display()), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_links_count_once_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        std::fs::write(a.join("file"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(a.join("file"), b.join("same")).unwrap();
        std::os::unix::fs::symlink(a.join("file"), b.join("link")).unwrap();
        let mut usage = Usage::default();
        let first = usage.add(&a).unwrap();
        let second = usage.add(&b).unwrap();
        assert!(first >= 1 << 20 && second < 1 << 16, "{first} {second}");
        assert_eq!(usage.add(&dir.path().join("none")).unwrap(), 0);
        assert!(Usage::default().add(&b).unwrap() >= 1 << 20, "nobody counted it before");
    }
}
