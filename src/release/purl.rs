//! Package URLs: one text that names a package of any distribution.
//!
//! Format: purl specification 1.0, types `deb`, `alpm`, `apk`, `rpm` and `generic`.

use crate::model::spec::Base;

/// The package URL of one package of a distribution's suite.
pub fn of_package(base: Base, suite: &str, name: &str, version: &str, architecture: &str) -> String {
    let kind = &base.about().purl;
    format!(
        "pkg:{kind}/{}@{}?arch={}&distro={}",
        encode(name),
        encode(version),
        encode(architecture),
        encode(suite)
    )
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 and the colon.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_encoded() {
        assert_eq!(
            of_package(Base::DEBIAN, "bookworm", "libstdc++6", "1:12.2.0-14+deb12u1~x", "amd64"),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=bookworm"
        );
        assert!(!of_package(Base::ARCH, "x", "a?b#c/d@e", "1 2", "any").contains(' '));
    }
}
