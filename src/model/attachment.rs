//! What is attached to an image in an OCI registry, and where the image is there.

use super::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image in a registry, as the signed manifest of its release names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryImage {
    /// Where it was pushed to: `registry.example/team/edge-gateway:20260101-0a1b2c3d`.
    pub reference: String,
    /// The digest of its manifest: what it is called everywhere.
    pub digest: Digest,
}

impl RegistryImage {
    /// The reference without its tag.
    pub fn repository(&self) -> &str {
        let end = self.reference.rfind(':').filter(|at| !self.reference[*at..].contains('/'));
        end.map_or(self.reference.as_str(), |end| &self.reference[..end])
    }
}

/// Something that is attached to an image: one manifest that names the image as its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it is, as a media type.
    pub artifact_type: String,
    /// Its files.
    pub files: Vec<AttachedFile>,
    /// Said of the whole.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is a signature of the image, which cosign looks for under a tag made of the
    /// image's digest. Signatures of others under that tag stay.
    pub is_signature: bool,
}

/// One file of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedFile {
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Said of it, its name among that.
    pub annotations: BTreeMap<String, String>,
}

/// The annotation with a file's name (OCI image specification, "Annotations").
pub const TITLE: &str = "org.opencontainers.image.title";

impl AttachedFile {
    /// A file that has a name.
    pub fn named(name: &str, media_type: &str, bytes: Vec<u8>) -> Self {
        let annotations = BTreeMap::from([(TITLE.to_owned(), name.to_owned())]);
        Self { media_type: media_type.to_owned(), bytes, annotations }
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_no_tag_and_may_have_a_port() {
        for (reference, repository) in [
            ("localhost:5000/team/gw:20260101-0a1b2c3d", "localhost:5000/team/gw"),
            ("registry.example/gw:1", "registry.example/gw"),
            ("localhost:5000/team/gw", "localhost:5000/team/gw"),
        ] {
            let image = RegistryImage { reference: reference.to_owned(), digest: Digest::of("x") };
            assert_eq!(image.repository(), repository);
        }
    }
}
