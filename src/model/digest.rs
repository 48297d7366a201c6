//! SHA-256 digests, written `sha256:<64 hex>` in JSON and as bare hex in `SHA256SUMS`; and what an
//! image on a card is known by.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest of a value's canonical JSON: object keys sorted, no white space.
    ///
    /// # Panics
    /// Never for the types of this crate: they all have string keys and finite numbers.
    pub fn of_json(value: &impl Serialize) -> Self {
        Self::of(canonical_json(value))
    }

    /// A digest that is already known, as 32 raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits, without the `sha256:` prefix.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first eight hexadecimal digits: what a release version carries.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

/// Canonical JSON of a value: keys sorted, no white space, as used for digests.
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    // serde_json's map is sorted unless `preserve_order` is switched on, so a
    // round through `Value` sorts the keys of structs too.
    let value = serde_json::to_value(value).expect("model types have string keys");
    serde_json::to_vec(&value).expect("a JSON value can always be written")
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text was not `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a SHA-256 digest: expected 64 hexadecimal digits, with or without the prefix \"sha256:\""
)]
pub struct BadDigest(String);

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadDigest(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an image's bytes are known by, written `sha256:<64 hex>` or `xxh128:<32 hex>`.
///
/// SHA-256 where somebody vouched by it: a release, or a user who gave one. Of an image that nobody
/// vouched for nothing rests on it, and it is the XXH3 of 128 bits that `xxhsum -H128` says: as fast as
/// memory, where SHA-256 would take most of the time. No two images have the same by chance, but who
/// wants to can make such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageDigest {
    /// SHA-256 (FIPS 180-4).
    Sha256(Digest),
    /// XXH3 of 128 bits, without a seed.
    Xxh128(u128),
}

impl ImageDigest {
    /// The SHA-256, if it is one.
    pub fn sha256(self) -> Option<Digest> {
        match self {
            Self::Sha256(digest) => Some(digest),
            Self::Xxh128(_) => None,
        }
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "{digest}"),
            Self::Xxh128(hash) => write!(f, "xxh128:{hash:032x}"),
        }
    }
}

impl FromStr for ImageDigest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let Some(digits) = text.strip_prefix("xxh128:") else { return text.parse().map(Self::Sha256) };
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadDigest(text.to_owned()))?;
        Ok(Self::Xxh128(u128::from_be_bytes(bytes)))
    }
}

impl TryFrom<String> for ImageDigest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        text.parse()
    }
}

impl From<ImageDigest> for String {
    fn from(digest: ImageDigest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_digest_says_which_it_is() {
        let digest = Digest::of("abc");
        for (digest, prefix) in
            [(ImageDigest::Sha256(digest), "sha256:"), (ImageDigest::Xxh128(0x0123 << 64), "xxh128:")]
        {
            let json = serde_json::to_value(digest).unwrap();
            assert!(json.as_str().unwrap().starts_with(prefix), "{json}");
            assert_eq!(serde_json::from_value::<ImageDigest>(json).unwrap(), digest);
        }
        for bad in ["xxh128:12", "xxh128:+123456789abcdef0123456789abcdef", "md5:00", ""] {
            assert!(bad.parse::<ImageDigest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn text_forms_round_trip() {
        let d = Digest::of("abc");
        assert_eq!(d.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(d.to_string().parse(), Ok(d));
        assert_eq!(d.hex().parse(), Ok(d));
        assert!("sha256:12".parse::<Digest>().is_err());
    }

    #[test]
    fn canonical_json_does_not_depend_on_field_order() {
        #[derive(Serialize)]
        struct A {
            b: u8,
            a: u8,
        }
        assert_eq!(canonical_json(&A { b: 1, a: 2 }), br#"{"a":2,"b":1}"#);
    }
}
