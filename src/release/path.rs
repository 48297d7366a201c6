//! Names of files in a release: they come from hostile manifests and go into paths, URLs,
//! pages and checksum files, so only plain ones are taken.

use crate::model::{ArtifactKind, Failure, Result};

/// No name is longer, in bytes.
const LONGEST: usize = 200;

/// Checks a name: one or two parts joined by `/`, each of ASCII letters, digits and `._+-`,
/// starting with a letter or digit.
///
/// # Errors
/// *Untrusted*, naming the file.
pub fn check(name: &str) -> Result<()> {
    let plain = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
    };
    if name.len() <= LONGEST && name.split('/').count() <= 2 && name.split('/').all(plain) {
        return Ok(());
    }
    Err(Failure::untrusted(format!("{name:?} is not a file name that a release may have"))
        .hint("Names are made of letters, digits and . _ + -, with one folder at most."))
}

/// Files that carry the checks themselves or are made for people: no manifest lists them.
pub fn is_unlisted(name: &str) -> bool {
    matches!(name, "manifest.json" | "SHA256SUMS" | "index.html" | "SHA256SUMS.sigstore.json")
        || name == super::rebuild::FILE_NAME
        || name.ends_with(".sig")
        || name.ends_with(".asc")
}

/// The names that a file of evidence may get, by choice: a second artifact whose check left
/// a file of the same name gets the second one.
pub fn evidence_names(name: &str, kind: ArtifactKind) -> [String; 2] {
    let plain = name.replace('/', "-");
    [format!("evidence/{plain}"), format!("evidence/{}-{plain}", kind.suffix())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names() {
        for good in ["a.iso", "evidence/boot-bios.log", "x+y_z.tar.zst"] {
            check(good).unwrap();
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/b/c",
            ".hidden",
            "a/.b",
            "-rf",
            "a b",
            "a\nb",
            "a\\b",
            "a\u{0}",
            "ä",
            "a/",
            "%2e%2e/x",
            "a:b",
            "a?b",
            "a#b",
            long.as_str(),
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
