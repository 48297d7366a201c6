//! What a registry answers with, read without trusting it.
//!
//! Formats: OCI image specification 1.1, "Image Index" and "Image Manifest". What somebody
//! else wrote there is kept as it is, unknown fields included.

use crate::build::oci;
use crate::model::digest::canonical_json;
use crate::model::{Digest, Failure, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The media type of an index.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// No index or manifest lists more.
const MOST: usize = 1000;

/// An index: a list of what refers to an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    rest: Map<String, Value>,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// One entry of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The digest of the manifest; none if it is no SHA-256.
    pub digest: Option<Digest>,
    /// What the manifest is.
    pub artifact_type: Option<String>,
    all: Value,
}

impl Entry {
    /// An entry for a manifest that was just written.
    pub(super) fn of(manifest: &[u8], artifact_type: &str, annotations: &BTreeMap<String, String>) -> Self {
        let digest = Digest::of(manifest);
        let mut all = json!({
            "mediaType": oci::MANIFEST,
            "digest": digest,
            "size": manifest.len(),
            "artifactType": artifact_type,
        });
        if !annotations.is_empty() {
            all["annotations"] = json!(annotations);
        }
        Self { digest: Some(digest), artifact_type: Some(artifact_type.to_owned()), all }
    }
}

impl Default for Index {
    fn default() -> Self {
        let rest = [("mediaType".to_owned(), json!(INDEX)), ("schemaVersion".to_owned(), json!(2))];
        Self { rest: rest.into_iter().collect(), entries: Vec::new() }
    }
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// *Untrusted* if it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refuse = |why: &str| Failure::untrusted(format!("the registry's list of referrers {why}"));
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| refuse(&format!("cannot be read: {e}")))?;
        let Value::Object(mut rest) = value else { return Err(refuse("is no object")) };
        let is_index = rest.get("mediaType").is_none_or(|kind| kind == INDEX);
        let manifests = match rest.remove("manifests") {
            Some(Value::Array(manifests)) if is_index => manifests,
            Some(Value::Null) | None if is_index => Vec::new(),
            _ => return Err(refuse("is something else")),
        };
        if manifests.len() > MOST {
            return Err(refuse(&format!("has more than {MOST} entries")));
        }
        let text = |entry: &Value, field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
        let entry = |all: Value| Entry {
            digest: text(&all, "digest").and_then(|d| digest(&d)),
            artifact_type: text(&all, "artifactType"),
            all,
        };
        Ok(Self { rest, entries: manifests.into_iter().map(entry).collect() })
    }

    /// Whether it lists a manifest.
    pub fn lists(&self, digest: &Digest) -> bool {
        self.entries.iter().any(|entry| entry.digest == Some(*digest))
    }

    /// Its bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut all = self.rest.clone();
        all.insert("manifests".to_owned(), self.entries.iter().map(|entry| entry.all.clone()).collect());
        canonical_json(&all)
    }
}

/// Only the form that we write: a digest that is read goes into addresses.
fn digest(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:")?.parse().ok()
}

/// A manifest, as far as it matters for what is attached to an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// What it is.
    pub artifact_type: String,
    /// The image that it is attached to.
    pub subject: Option<Digest>,
    /// Its files.
    pub layers: Vec<Layer>,
    /// Said of it.
    pub annotations: BTreeMap<String, String>,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Said of it.
    pub annotations: BTreeMap<String, String>,
    pub(super) all: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    artifact_type: Option<String>,
    config: Option<Config>,
    subject: Option<Subject>,
    #[serde(default)]
    layers: Vec<Value>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    annotations: Option<BTreeMap<String, String>>,
}

impl Attached {
    /// Reads a manifest.
    ///
    /// # Errors
    /// *Untrusted* if it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let refuse = |why: String| Failure::untrusted(format!("a manifest of the registry {why}"));
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|e| refuse(format!("cannot be read: {e}")))?;
        if manifest.layers.len() > MOST {
            return Err(refuse(format!("has more than {MOST} files")));
        }
        let layer = |all: Value| {
            let read: Descriptor =
                serde_json::from_value(all.clone()).map_err(|e| refuse(format!("cannot be read: {e}")))?;
            let digest =
                digest(&read.digest).ok_or_else(|| refuse(format!("names the digest {:?}", read.digest)))?;
            let annotations = read.annotations.unwrap_or_default();
            Ok(Layer { media_type: read.media_type, digest, size: read.size, annotations, all })
        };
        // Without a type of its own the configuration says what it is.
        let config = manifest.config.map(|config| config.media_type);
        Ok(Self {
            artifact_type: manifest.artifact_type.or(config).unwrap_or_default(),
            subject: manifest.subject.and_then(|subject| digest(&subject.digest)),
            layers: manifest.layers.into_iter().map(layer).collect::<Result<_>>()?,
            annotations: manifest.annotations.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_keeps_what_others_wrote() {
        let text = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","annotations":{"a":"b"},"manifests":[{"digest":"sha512:00","size":1,"mediaType":"x","new":{"field":1}}]}"#;
        let mut index = Index::parse(text).unwrap();
        assert_eq!(index.entries[0].digest, None);
        index.entries.push(Entry::of(b"{}", "text/plain", &BTreeMap::new()));
        let again = Index::parse(&index.write()).unwrap();
        assert_eq!(again, index);
        assert!(again.lists(&Digest::of("{}")));
        let written = String::from_utf8(again.write()).unwrap();
        assert!(written.contains(r#""new":{"field":1}"#) && written.contains(r#""a":"b""#), "{written}");
    }

    #[test]
    fn hostile_answers_are_refused() {
        let many = format!(r#"{{"manifests":[{}{{}}]}}"#, "{},".repeat(MOST));
        for bad in [
            "",
            "[]",
            "null",
            "{\"manifests\":{}}",
            "{\"manifests\":[],\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\"}",
            &many,
        ] {
            assert!(Index::parse(bad.as_bytes()).is_err(), "{bad:.60}");
        }
        for bad in [
            "",
            "[]",
            r#"{"layers":{}}"#,
            r#"{"layers":[{"mediaType":"x","size":1,"digest":"sha256:../../x"}]}"#,
            r#"{"layers":[{"mediaType":"x","size":-1,"digest":"sha256:00"}]}"#,
            r#"{"layers":[{"mediaType":"x","size":1,"digest":"0000000000000000000000000000000000000000000000000000000000000000"}]}"#,
            r#"{"layers":[],"annotations":{"a":1}}"#,
        ] {
            assert!(Attached::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Index::parse(b"{}").unwrap().entries, []);
        assert_eq!(Attached::parse(br#"{"config":{"mediaType":"c"}}"#).unwrap().artifact_type, "c");
    }
}
