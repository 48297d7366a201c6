//! `SHA256SUMS`: the text that `sha256sum --check` of GNU coreutils takes.
//!
//! One line for each file, sorted by name: 64 hexadecimal digits, two spaces, the name.
//! coreutils escapes backslashes and line ends in names; here such names are refused.

use super::path;
use crate::effects::files::digest_file;
use crate::model::observed::Defect;
use crate::model::{Digest, Failure, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The name of the file.
pub const FILE_NAME: &str = "SHA256SUMS";

/// Writes the text.
///
/// # Errors
/// *Untrusted* if a name is not one that a release may have.
pub fn write(files: &BTreeMap<String, Digest>) -> Result<String> {
    let mut text = String::new();
    for (name, digest) in files {
        path::check(name)?;
        let _ = writeln!(text, "{}  {name}", digest.hex());
    }
    Ok(text)
}

/// Reads the text, as we and coreutils write it (a `*` before the name means binary mode).
///
/// # Errors
/// *Untrusted* with the line, if it is not of that form, names a file twice or a path
/// outside the release.
pub fn parse(text: &str) -> Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let refuse = |why: &str| Failure::untrusted(format!("{FILE_NAME} line {}: {why}", number + 1));
        let (hex, name) = line
            .split_at_checked(64)
            .and_then(|(hex, rest)| Some((hex, rest.strip_prefix("  ").or(rest.strip_prefix(" *"))?)))
            .ok_or_else(|| refuse("not a digest, two spaces and a name"))?;
        let digest = hex.parse().map_err(|_| refuse("not a SHA-256 digest"))?;
        path::check(name).map_err(|f| refuse(&f.message))?;
        if files.insert(name.to_owned(), digest).is_some() {
            return Err(refuse(&format!("{name} stands there twice")));
        }
    }
    Ok(files)
}

/// Checks the files of a folder against the text's entries.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn check(folder: &Path, files: &BTreeMap<String, Digest>) -> Result<Vec<Defect>> {
    let mut defects = Vec::new();
    for (name, expected) in files {
        let path = folder.join(name);
        if !path.is_file() {
            defects.push(Defect::Missing { file: name.clone() });
            continue;
        }
        let (digest, _) = digest_file(&path)?;
        if digest != *expected {
            let how = format!("its digest is {digest}, {FILE_NAME} says {expected}");
            defects.push(Defect::Altered { file: name.clone(), how });
        }
    }
    Ok(defects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};

    #[test]
    fn coreutils_takes_it_and_finds_a_flipped_byte() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("evidence")).unwrap();
        let mut files = BTreeMap::new();
        for (name, bytes) in [("b.iso", "iso"), ("evidence/a.log", "log"), ("manifest.json", "{}")] {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            files.insert(name.to_owned(), Digest::of(bytes));
        }
        let text = write(&files).unwrap();
        assert_eq!(parse(&text).unwrap(), files);
        std::fs::write(dir.path().join(FILE_NAME), &text).unwrap();
        let run = || {
            let check = Process::new("sha256sum").args(["--check", "--strict", FILE_NAME]).dir(dir.path());
            check.run(&Cancel::default()).unwrap()
        };
        let output = run();
        assert!(output.status.success(), "{}", output.tail());
        assert_eq!(output.text().lines().count(), 3);
        assert!(check(dir.path(), &files).unwrap().is_empty());
        std::fs::write(dir.path().join("b.iso"), "isp").unwrap();
        std::fs::remove_file(dir.path().join("manifest.json")).unwrap();
        assert!(!run().status.success());
        let defects = check(dir.path(), &files).unwrap();
        assert!(matches!(&defects[0], Defect::Altered { file, .. } if file == "b.iso"));
        assert!(matches!(&defects[1], Defect::Missing { file } if file == "manifest.json"));
    }

    #[test]
    fn hostile_texts_are_refused() {
        let d = Digest::of("x").hex();
        assert_eq!(parse(&format!("{d} *a.iso\n")).unwrap().len(), 1);
        for bad in [
            format!("{d}  ../a\n"),
            format!("{d}  /etc/passwd\n"),
            format!("\\{d}  a\\nb\n"),
            format!("{d} a\n"),
            format!("{d}\n"),
            format!("{d}  a\n{d}  a\n"),
            format!("{}  a\n", &d[1..]),
            "ä".repeat(40),
            "\n".to_owned(),
        ] {
            assert_eq!(parse(&bad).unwrap_err().code, crate::model::ErrorCode::Untrusted, "{bad:?}");
        }
        assert!(write(&BTreeMap::from([("a\nb".to_owned(), Digest::of("x"))])).is_err());
    }
}
