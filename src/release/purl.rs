//! Package URLs: one text that names a package of any distribution.
//!
//! Format: purl specification 1.0, types `deb`, `alpm`, `apk`, `rpm`, `opkg` and `generic`.

use crate::model::release::System;

/// The package URL of one package of a distribution's suite.
pub fn of_package(system: &System, name: &str, version: &str, architecture: &str) -> String {
    let (kind, suite) = match system {
        System::Image { base, suite, .. } => (base.about().purl.clone(), suite.clone()),
        // Up to 24.10 packages are opkg's, later apk's.
        System::Firmware { openwrt } => {
            let kind = if openwrt.release.has_apk() { "apk" } else { "opkg" };
            (format!("{kind}/openwrt"), format!("openwrt-{}", openwrt.release))
        }
    };
    format!(
        "pkg:{kind}/{}@{}?arch={}&distro={}",
        encode(name),
        encode(version),
        encode(architecture),
        encode(&suite)
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

/// A system for tests.
#[cfg(test)]
pub(super) fn debian() -> System {
    use crate::model::spec::{Architecture, Base};
    System::Image { base: Base::DEBIAN, suite: "bookworm".to_owned(), architecture: Architecture::X86_64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::{Architecture, Base};

    #[test]
    fn special_characters_are_encoded() {
        assert_eq!(
            of_package(&debian(), "libstdc++6", "1:12.2.0-14+deb12u1~x", "amd64"),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~x?arch=amd64&distro=bookworm"
        );
        let arch =
            System::Image { base: Base::ARCH, suite: "x".to_owned(), architecture: Architecture::X86_64 };
        assert!(!of_package(&arch, "a?b#c/d@e", "1 2", "any").contains(' '));
    }
}
