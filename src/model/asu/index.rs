//! Which packages there are, as clients read it, and as OpenWrt's servers write it.
//!
//! From 24.10 on `index.json` (`version: 2`) has names without the version of a binary interface.
//! Before, names have it there and `Packages` (opkg's index) says which part of a name it is.

use crate::model::{Failure, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The packages of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// What they are made for; empty where nobody says it.
    pub architecture: String,
    /// Their versions by name.
    pub packages: BTreeMap<String, String>,
    /// Whether names may have the version of a binary interface.
    pub with_abi: bool,
}

impl Index {
    /// Reads `index.json`.
    ///
    /// # Errors
    /// Class *upstream* if it is of another form.
    pub fn of_json(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            version: u32,
            #[serde(default)]
            architecture: String,
            #[serde(default)]
            packages: BTreeMap<String, String>,
        }
        let unreadable = |e| Failure::upstream(format!("index.json cannot be read: {e}"));
        // A list would be taken for the fields in their order.
        let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(unreadable)?;
        let wire: Wire = serde_json::from_value(Value::Object(object)).map_err(unreadable)?;
        let Wire { version, architecture, packages } = wire;
        Ok(Self { architecture, packages, with_abi: version < 2 })
    }

    /// Reads `Packages`: fields of one package, an empty line, the next.
    pub fn of_opkg(text: &str) -> Self {
        let mut index = Self::default();
        for paragraph in text.split("\n\n") {
            let field = |name: &str| {
                let mut lines = paragraph.lines();
                lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
            };
            let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
            let plain = field("ABIVersion").filter(|abi| !abi.is_empty());
            let plain = plain.and_then(|abi| name.strip_suffix(abi)).unwrap_or(name);
            index.packages.insert(plain.to_owned(), version.to_owned());
            if let Some(architecture) = field("Architecture").filter(|a| *a != "all")
                && index.architecture.is_empty()
            {
                index.architecture = architecture.to_owned();
            }
        }
        index
    }

    /// As clients read it.
    pub fn json(&self) -> Value {
        json!({"architecture": self.architecture, "packages": self.packages})
    }
}

/// The names of package feeds in `feeds.conf`: the second word of each line.
pub fn feeds(text: &str) -> Vec<String> {
    let is_name = |name: &&str| {
        !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let names = text.lines().filter(|line| !line.starts_with('#'));
    names.filter_map(|line| line.split_ascii_whitespace().nth(1)).filter(is_name).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_names_without_the_binary_interface() {
        let new = br#"{"version": 2, "architecture": "x86_64", "packages": {"libubox": "1"}}"#;
        let index = Index::of_json(new).unwrap();
        assert!(!index.with_abi);
        assert_eq!(index.json(), json!({"architecture": "x86_64", "packages": {"libubox": "1"}}));
        let old = br#"{"architecture": "x86_64", "packages": {"libubox20230523": "1"}}"#;
        assert!(Index::of_json(old).unwrap().with_abi);
        let opkg = "Package: base-files\nVersion: 1637\nArchitecture: all\n\nPackage: libubox20230523\n\
            ABIVersion: 20230523\nVersion: 2023-05-23-1\nArchitecture: mips_24kc\nDescription: a\n b: c\n";
        let index = Index::of_opkg(opkg);
        assert_eq!(
            index.json(),
            json!({"architecture": "mips_24kc", "packages": {"base-files": "1637", "libubox": "2023-05-23-1"}})
        );
        for bad in ["", "<html>", "[]", r#"{"packages": []}"#] {
            assert!(Index::of_json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Index::of_opkg("<html>"), Index::default());
    }

    #[test]
    fn feeds_are_second_words() {
        let text = "src-git packages https://x/packages.git^abc\n# src-git no x\nsrc-git-full luci https://x\n\
            src-git ../up x\nsrc-git a/b x\nodd\n";
        assert_eq!(feeds(text), ["packages", "luci"]);
    }
}
