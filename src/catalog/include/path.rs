//! What a line of `include` may name: a file of the catalog, and nothing else.

use super::super::load::{is_profile, is_spec};

/// The longest path.
const LONGEST: usize = 512;

/// Why a path is refused, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

/// The path in the catalog that `text`, written in the file `from`, means. A path starts at
/// the catalog's own folder; one that starts with `./` or `../`, at the folder of the file.
pub fn target(from: &str, text: &str) -> Result<String, Refused> {
    let refuse = |message: String, hint| Err(Refused { message, hint });
    let forms = "Write it as profiles/NAME.yaml or specs/NAME.yaml; ../ starts at the folder of this file.";
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        return refuse("this is not a path".to_owned(), forms);
    }
    if text.starts_with('/') || text.starts_with('~') {
        return refuse(format!("{text:?} is a path on a host, not one in the catalog"), forms);
    }
    if text.contains("://") || text.contains('\\') {
        return refuse(format!("{text:?} is not a path"), forms);
    }
    let relative = text.starts_with("./") || text.starts_with("../");
    let mut parts: Vec<&str> = Vec::new();
    if relative {
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        parts.extend(folder.split('/').filter(|part| !part.is_empty()));
    }
    let mut leading = relative;
    for part in text.split('/') {
        match part {
            "." | ".." if !leading => {
                return refuse(format!("{text:?} has {part:?} in its middle"), forms);
            }
            "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return refuse(format!("{text:?} leads out of the catalog"), forms);
                }
            }
            "" => return refuse(format!("{text:?} has an empty part"), forms),
            _ => {
                leading = false;
                parts.push(part);
            }
        }
    }
    let path = parts.join("/");
    if !is_profile(&path) && !is_spec(&path) {
        return refuse(
            format!("{path:?} is neither a profile nor a spec"),
            "What can be included: profiles/NAME.yaml and specs/NAME.yaml, no folder below them, no lock.",
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_path_starts() {
        for (from, text, path) in [
            ("specs/a.yaml", "profiles/b.yaml", "profiles/b.yaml"),
            ("specs/a.yaml", "../profiles/b.yaml", "profiles/b.yaml"),
            ("specs/a.yaml", "./b.yaml", "specs/b.yaml"),
            ("specs/a.yaml", "specs/b.yaml", "specs/b.yaml"),
            ("profiles/a.yaml", "./b.yaml", "profiles/b.yaml"),
            ("profiles/a.yaml", "../specs/b.yaml", "specs/b.yaml"),
            ("profiles/a.yaml", "./../profiles/b.yaml", "profiles/b.yaml"),
        ] {
            assert_eq!(target(from, text), Ok(path.to_owned()), "{from} {text}");
        }
    }

    #[test]
    fn what_is_no_file_of_the_catalog() {
        for text in [
            "",
            ".",
            "..",
            "./",
            "../",
            "/profiles/b.yaml",
            "/etc/passwd",
            "~/b.yaml",
            "../../b.yaml",
            "../../profiles/b.yaml",
            "../../../etc/passwd",
            "../base.yaml",
            "specs/../profiles/b.yaml",
            "profiles/../../b.yaml",
            "profiles/./b.yaml",
            "../profiles/../profiles/b.yaml",
            "profiles//b.yaml",
            "profiles/b.yaml/",
            "profiles/b.yml",
            "profiles/b",
            "profiles/.b.yaml",
            "profiles/deep/b.yaml",
            "specs/overlays/a/b.yaml",
            "specs/a.lock.yaml",
            "policies/house.yaml",
            "bootwright.yaml",
            "b.yaml",
            "profiles\\b.yaml",
            "https://example.org/b.yaml",
            "file:///etc/passwd",
            "profiles/b.yaml\n",
            "profiles/\0b.yaml",
        ] {
            assert!(target("specs/a.yaml", text).is_err(), "{text:?}");
        }
        assert!(target("specs/a.yaml", &format!("profiles/{}.yaml", "x".repeat(600))).is_err());
    }
}
