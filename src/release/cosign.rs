//! Signatures of images in registries, in the form that `cosign verify --key` checks.
//!
//! Format: cosign's signature specification (`SIGNATURE_SPEC.md`) over "simple signing"
//! (containers/image, `containers-signature.5`): a JSON payload names the digest of the image's
//! manifest; each key's signature is base64 of a DER ECDSA signature of that payload, kept in
//! an annotation. The payload of one image is always the same bytes.

use super::{Signers, Trust};
use crate::model::attachment::{AttachedFile, Attachment, RegistryImage};
use crate::model::digest::canonical_json;
use crate::model::{Digest, Failure, Result};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// What a manifest with signatures is.
pub const ARTIFACT_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The media type of a payload.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with a signature.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What `critical.type` must say.
const TYPE: &str = "cosign container image signature";

/// The bytes that are signed for an image.
pub fn payload(image: &RegistryImage) -> Vec<u8> {
    canonical_json(&json!({
        "critical": {
            "identity": { "docker-reference": image.repository() },
            "image": { "docker-manifest-digest": image.digest },
            "type": TYPE,
        },
        "optional": { "creator": super::TOOL },
    }))
}

/// The signatures of an image by every signer, to be attached to it. Each signature is other
/// bytes, so one that is in `found` already is taken.
///
/// # Errors
/// As [`super::Signer::sign`].
pub fn sign(image: &RegistryImage, signers: &Signers, found: &[Attachment]) -> Result<Attachment> {
    let payload = payload(image);
    let there =
        || found.iter().flat_map(|a| &a.files).filter(|f| f.media_type == PAYLOAD && f.bytes == payload);
    let sign = |signer: &&super::Signer| {
        let is_ours = |signature: &&String| signer.public().verifies(&payload, signature);
        let signature = match there().filter_map(|f| f.annotations.get(SIGNATURE)).find(is_ours) {
            Some(signature) => signature.clone(),
            None => signer.sign(&payload)?,
        };
        let annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
        Ok(AttachedFile { media_type: PAYLOAD.to_owned(), bytes: payload.clone(), annotations })
    };
    Ok(Attachment {
        artifact_type: ARTIFACT_TYPE.to_owned(),
        files: signers.all().iter().map(sign).collect::<Result<_>>()?,
        annotations: BTreeMap::new(),
        is_signature: true,
    })
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// The digest of the image that a payload is about.
///
/// # Errors
/// *Untrusted* if it is none that cosign would take.
pub fn subject(payload: &[u8]) -> Result<Digest> {
    let read: Payload = serde_json::from_slice(payload)
        .map_err(|e| Failure::untrusted(format!("the signed payload cannot be read: {e}")))?;
    if read.critical.kind != TYPE {
        return Err(Failure::untrusted(format!("the signed payload is a {:?}", read.critical.kind)));
    }
    Ok(read.critical.image.digest)
}

/// Who signed the image with this digest, if enough keys that count did. Signatures by others
/// and of other images count for nothing.
///
/// # Errors
/// *Untrusted*, saying what is missing.
pub fn verify(found: &[Attachment], image: &Digest, trust: &Trust) -> Result<Vec<String>> {
    let mut by_payload: BTreeMap<&[u8], Vec<&str>> = BTreeMap::new();
    let mut wrong = None;
    for file in found.iter().flat_map(|a| &a.files).filter(|f| f.media_type == PAYLOAD) {
        let Some(signature) = file.annotations.get(SIGNATURE) else { continue };
        match subject(&file.bytes) {
            Ok(digest) if digest == *image => by_payload.entry(&file.bytes).or_default().push(signature),
            Ok(digest) => wrong = Some(Failure::untrusted(format!("it is signed as {digest}"))),
            Err(failure) => wrong = Some(failure),
        }
    }
    let mut refused = wrong.unwrap_or_else(|| {
        Failure::untrusted("it has no signature").hint(
            "Run `bootwright reconcile --deep` where it is published: it signs what lost its signature.",
        )
    });
    for (payload, signatures) in by_payload {
        match trust.judge(payload, signatures) {
            super::keys::Standing::Good { by } => return Ok(by),
            standing => refused = standing.accept().err().unwrap_or(refused),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Signer;

    fn signer() -> Signer {
        let (pem, _) = crate::release::keys::generate(None).unwrap();
        Signer::parse(&pem, Some(b"")).unwrap()
    }

    fn image(text: &str) -> RegistryImage {
        RegistryImage { reference: "r.example/team/gw:1".to_owned(), digest: Digest::of(text) }
    }

    #[test]
    fn the_payload_is_what_cosign_signs() {
        let text = String::from_utf8(payload(&image("x"))).unwrap();
        let start = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"r.example/team/gw"}},"image":{{"docker-manifest-digest":"{}"}},"type":"cosign container image signature"}},"optional":"#,
            Digest::of("x")
        );
        assert!(text.starts_with(&start), "{text}");
        assert_eq!(subject(text.as_bytes()).unwrap(), Digest::of("x"));
    }

    #[test]
    fn a_signature_counts_for_its_image_and_key_only() {
        let (signers, other) = (Signers::alone(signer()), signer());
        let made = sign(&image("x"), &signers, &[]).unwrap();
        let again = sign(&image("x"), &signers, std::slice::from_ref(&made)).unwrap();
        assert_eq!(made, again, "what is signed is not signed again");
        let trust = signers.keys();
        let found = std::slice::from_ref(&made);
        assert_eq!(verify(found, &Digest::of("x"), trust).unwrap().len(), 1);
        let with = |change: &dyn Fn(&mut AttachedFile)| {
            let mut changed = made.clone();
            changed.files.iter_mut().for_each(change);
            vec![changed]
        };
        let foreign = Trust::of([other.public().clone()]);
        let two = Trust::of([signers.key.public().clone(), other.public().clone()]).with_threshold(2);
        let twice = vec![made.clone(), made.clone()];
        let cases: [(&str, Vec<Attachment>, Digest, &Trust); 9] = [
            ("nothing", vec![], Digest::of("x"), trust),
            ("another image", vec![made.clone()], Digest::of("y"), trust),
            ("another key", vec![made.clone()], Digest::of("x"), &foreign),
            ("too few keys", vec![made.clone()], Digest::of("x"), &two),
            ("one key twice", twice, Digest::of("x"), &two),
            ("no signature", with(&|f| f.annotations.clear()), Digest::of("x"), trust),
            ("another payload", with(&|f| f.bytes = payload(&image("y"))), Digest::of("y"), trust),
            ("no payload", with(&|f| f.bytes.clear()), Digest::of("x"), trust),
            ("of another kind", with(&|f| f.media_type = "text/plain".to_owned()), Digest::of("x"), trust),
        ];
        for (what, found, digest, trust) in cases {
            assert!(verify(&found, &digest, trust).is_err(), "{what}");
        }
        // Others may sign too; theirs neither help nor harm.
        let both = vec![sign(&image("x"), &Signers::alone(other), &[]).unwrap(), made.clone()];
        assert!(verify(&both, &Digest::of("x"), trust).is_ok());
    }

    #[test]
    fn a_payload_of_another_kind_is_refused() {
        let text = String::from_utf8(payload(&image("x"))).unwrap();
        for bad in [
            "",
            "{}",
            "[]",
            &text.replace("cosign container", "atomic container"),
            &text.replace("sha256:", "")[..40],
        ] {
            assert!(subject(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
