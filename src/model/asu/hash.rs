//! What a request is found by: a SHA-256 over its fields, as the public server makes it.
//!
//! Requests that differ in the order of packages, or in who asks, have the same. Some fields go in
//! as Python writes its values, so that is done here letter by letter.

use super::{BuildRequest, Pairs};
use crate::model::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The hash of a request.
pub fn request_hash(request: &BuildRequest) -> Digest {
    let versions = &request.packages_versions;
    let keys: Vec<String> = request.repository_keys.iter().map(|key| repr(key)).collect();
    let pair = |(name, url): &(String, String)| format!("{}: {}", repr(name), repr(url));
    let repositories: Vec<String> = request.repositories.0.iter().map(pair).collect();
    let parts = [
        request.distro.clone(),
        request.version.clone(),
        request.version_code.clone(),
        request.target.clone(),
        request.profile.clone(),
        packages_hash(request.packages()).hex(),
        Digest::of(sorted_json(versions)).hex(),
        if request.diff_packages { "True" } else { "False" }.to_owned(),
        request.filesystem.clone().unwrap_or_default(),
        Digest::of(request.defaults.as_deref().unwrap_or_default()).hex(),
        request.rootfs_size_mb.map_or_else(|| "None".to_owned(), |size| size.to_string()),
        format!("[{}]", keys.join(", ")),
        format!("{{{}}}", repositories.join(", ")),
        request.repositories_mode.as_str().to_owned(),
    ];
    Digest::of(parts.concat())
}

/// The hash of a set of packages; its first twelve letters are in the names of images.
pub fn packages_hash<'p>(packages: impl IntoIterator<Item = &'p str>) -> Digest {
    let unique: BTreeSet<&str> = packages.into_iter().collect();
    Digest::of(unique.into_iter().collect::<Vec<_>>().join(" "))
}

/// `json.dumps(…, sort_keys=True)`: ASCII, with a space after each comma and colon.
fn sorted_json(pairs: &Pairs) -> String {
    let sorted: BTreeMap<&str, &str> = pairs.0.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let pair = |(name, text)| format!("{}: {}", ascii_json(name), ascii_json(text));
    format!("{{{}}}", sorted.into_iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// A text as JSON that has no letter beyond ASCII.
fn ascii_json(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// A text as Python's `repr` writes it. Which letters it can print is a table of Unicode's there;
/// here letters beyond ASCII count as printable if they are neither spaces nor controls.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        let code = u32::from(letter);
        let _ = match letter {
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            _ if letter == quote => write!(out, "\\{quote}"),
            ' '..='~' => out.write_char(letter),
            _ if !letter.is_control() && !letter.is_whitespace() => out.write_char(letter),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ => write!(out, "\\u{code:04x}"),
        };
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::asu::SysupgradeSettings;

    fn hash(fields: &str) -> String {
        let body = format!(
            r#"{{"version": "1.2.3", "target": "testtarget/testsubtarget", "profile": "testprofile"{fields}}}"#
        );
        let request = BuildRequest::parse(Some(body.as_bytes()), &SysupgradeSettings::default());
        request_hash(&request.unwrap()).hex()
    }

    /// The values are those that the public server's own tests expect.
    #[test]
    fn hashes_are_those_of_the_public_server() {
        assert_eq!(
            hash(r#", "diff_packages": true, "packages": ["test1", "zzz", "test2", "aaa"]"#),
            "1c4a79c6b711a576996cf9a5e7046a4581008c4466574096266f0e6ea4208fbc"
        );
        assert_eq!(
            hash(r#", "packages": ["aaa", "test1", "test2", "zzz", "aaa"]"#),
            "c5a849e05b60611b465042594fc3489a44f7695c3d09e36433a577ee772ad7b7"
        );
        assert_eq!(
            hash(r#", "defaults": "echo""#),
            "ba50558496f8fead41e8d5bc72afd1ad7d27bc053afb550a8bf6ee3bbcc64952"
        );
    }

    /// The value is what Python makes of the same fields.
    #[test]
    fn every_field_goes_in_as_python_writes_it() {
        let all = r#", "packages_versions": {"tmux": "3.4-r1", "a": "1~2"}, "filesystem": "ext4",
            "rootfs_size_mb": 256, "version_code": "r1-a", "repository_keys": ["a'b\n", "x\"y"],
            "repositories": {"zz": "https://h/1", "aa": "https://h/2"}"#;
        assert_eq!(hash(all), "29cedd83a08a14a8874a95b0e2a8e051f0742a7c04addc6b13221f18285daa03");
    }

    #[test]
    fn who_asks_does_not_matter_and_all_else_does() {
        let plain = hash("");
        assert_eq!(hash(r#", "client": "owut/2025", "distro": "openwrt", "unknown": 1"#), plain);
        let others = [
            r#", "distro": "other""#,
            r#", "version_code": "r1-a""#,
            r#", "packages": ["a"]"#,
            r#", "packages_versions": {"a": "1"}"#,
            r#", "packages_versions": {"a": "2"}"#,
            r#", "diff_packages": true"#,
            r#", "filesystem": "ext4""#,
            r#", "defaults": "x""#,
            r#", "rootfs_size_mb": 5"#,
            r#", "repository_keys": ["k"]"#,
            r#", "repositories": {"a": "https://h/"}"#,
            r#", "repositories": {"a": "https://h/", "b": "https://h/"}"#,
            r#", "repositories": {"b": "https://h/", "a": "https://h/"}"#,
            r#", "repositories_mode": "append""#,
        ];
        let hashes: BTreeSet<String> = others.iter().map(|fields| hash(fields)).collect();
        assert_eq!(hashes.len(), others.len());
        assert!(!hashes.contains(&plain));
    }

    #[test]
    fn texts_are_written_as_python_writes_them() {
        for (text, python) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("both ' and \"", "'both \\' and \"'"),
            ("a\\b\n\t\r", "'a\\\\b\\n\\t\\r'"),
            ("\u{0}\u{7f}\u{a0}", "'\\x00\\x7f\\xa0'"),
            ("ä\u{2028}", "'ä\\u2028'"),
        ] {
            assert_eq!(repr(text), python);
        }
        assert_eq!(ascii_json("ä\u{1f600}\""), "\"\\u00e4\\ud83d\\ude00\\\"\"");
    }
}
