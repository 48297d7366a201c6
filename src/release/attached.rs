//! What a release puts beside its image in a registry, and what a reader makes of it.
//!
//! An image in a registry is alone: no index, no checksums. So its signature, its bill of
//! materials, its provenance and the signed manifest of its release are attached to it, and
//! whoever has the public key can check the image with nothing but the registry.

use super::keys::{Standing, Trust};
use super::store::check;
use super::{Signers, cosign, keyless, path, provenance, sbom, sums};
use crate::model::attachment::{AttachedFile, Attachment, RegistryImage};
use crate::model::release::{FileRole, Manifest};
use crate::model::{Digest, Failure, Result};
use std::collections::BTreeMap;

/// What the attachment with the release's manifest is.
pub const RELEASE: &str = "application/vnd.bootwright.release.v1+json";
/// The media type of a release's manifest.
const MANIFEST: &str = "application/vnd.bootwright.manifest.v1+json";
/// The media type of a detached signature.
const DETACHED: &str = "application/vnd.bootwright.signature.v1";
/// SPDX in JSON, as registered with IANA.
const SPDX: &str = "application/spdx+json";
/// A signed envelope (DSSE protocol).
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// A Sigstore bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What [`check()`] looks at.
pub const TYPES: [&str; 5] = [cosign::ARTIFACT_TYPE, RELEASE, SPDX, provenance::PAYLOAD_TYPE, BUNDLE];

/// The files of a release that are attached to its image.
#[derive(Clone, Debug)]
pub struct Documents {
    /// `manifest.json`.
    pub manifest: Vec<u8>,
    /// The bill of materials.
    pub sbom: Vec<u8>,
    /// The provenance.
    pub provenance: Vec<u8>,
    /// The Sigstore bundle of `SHA256SUMS`, if there is one.
    pub bundle: Option<Vec<u8>>,
}

/// Everything that is attached to the image of a release. Signatures that are in `found`
/// already are taken from there: nothing is attached twice.
///
/// # Errors
/// If it cannot be signed.
pub fn of(
    image: &RegistryImage,
    documents: Documents,
    signers: &Signers,
    found: &[Attachment],
) -> Result<Vec<Attachment>> {
    let attachment = |artifact_type: &str, files: Vec<AttachedFile>, said: &[(&str, &str)]| Attachment {
        artifact_type: artifact_type.to_owned(),
        files,
        annotations: said.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        is_signature: false,
    };
    let named = |name: &str, media_type: &str, bytes: Vec<u8>| AttachedFile::named(name, media_type, bytes);
    let old = found.iter().find(|attachment| is_signed_by_all(attachment, &documents.manifest, signers));
    let release = match old {
        Some(attachment) => attachment.files.clone(),
        None => {
            let mut files = vec![named(check::MANIFEST, MANIFEST, documents.manifest.clone())];
            for (number, signer) in signers.all().into_iter().enumerate() {
                let tag = if number == 0 { String::new() } else { format!(".{}", signer.public().tag()) };
                let signature = signer.sign(&documents.manifest)?.into_bytes();
                files.push(named(&format!("{}{tag}.sig", check::MANIFEST), DETACHED, signature));
            }
            files
        }
    };
    let mut all = vec![
        cosign::sign(image, signers, found)?,
        attachment(RELEASE, release, &[]),
        attachment(SPDX, vec![named(sbom::FILE_NAME, SPDX, documents.sbom)], &[]),
        attachment(
            provenance::PAYLOAD_TYPE,
            vec![named(provenance::FILE_NAME, ENVELOPE, documents.provenance)],
            &[("in-toto.io/predicate-type", provenance::PREDICATE_TYPE)],
        ),
    ];
    if let Some(bundle) = documents.bundle {
        // cosign takes only bundles of statements about the image itself; this says what it is.
        let said = [("dev.sigstore.bundle.content", "message-signature")];
        all.push(attachment(BUNDLE, vec![named(keyless::FILE_NAME, BUNDLE, bundle)], &said));
    }
    Ok(all)
}

/// Whether an attachment is this very manifest, with a signature by every signer.
fn is_signed_by_all(attachment: &Attachment, manifest: &[u8], signers: &Signers) -> bool {
    let is_manifest = |f: &AttachedFile| f.name() == Some(check::MANIFEST) && f.bytes == manifest;
    attachment.artifact_type == RELEASE
        && attachment.files.iter().any(is_manifest)
        && signers.all().into_iter().all(|signer| {
            let signs = |text: &str| signer.public().verifies(manifest, text);
            signatures(attachment).iter().any(|text| signs(text))
        })
}

/// The texts of the detached signatures in an attachment.
fn signatures(attachment: &Attachment) -> Vec<std::borrow::Cow<'_, str>> {
    let is_signature =
        |f: &&AttachedFile| f.name().is_some_and(|name| path::is_signature_of(check::MANIFEST, name));
    attachment.files.iter().filter(is_signature).map(|f| String::from_utf8_lossy(&f.bytes)).collect()
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub file: String,
    /// `digest`, `signature` or `sigstore-bundle`.
    pub what: &'static str,
    /// What was found, or what is wrong.
    pub finding: std::result::Result<String, String>,
}

impl Check {
    fn new(file: &str, what: &'static str, finding: std::result::Result<String, String>) -> Self {
        Self { file: file.to_owned(), what, finding }
    }
}

/// Checks an image by what is attached to it: signatures, and that the release that it says it
/// is of is of this very image.
///
/// # Errors
/// *Untrusted* if no release that can be trusted is attached. All else that is wrong is part
/// of the answer.
pub fn check(image: &Digest, found: &[Attachment], trust: &Trust) -> Result<(Manifest, Vec<Check>)> {
    let signed = cosign::verify(found, image, trust);
    let signed = signed.map(|by| format!("by {}", by.join(", "))).map_err(|failure| failure.message);
    let (manifest, bytes, by) = release(image, found, trust)?;
    let mut checks = vec![
        Check::new("image", "signature", signed),
        Check::new(check::MANIFEST, "signature", Ok(format!("by {}", by.join(", ")))),
        Check::new("image", "digest", Ok(image.to_string())),
    ];
    for role in [FileRole::Sbom, FileRole::Provenance] {
        let Some(listed) = manifest.files.iter().find(|f| f.role == role) else { continue };
        let attached = files(found).find(|f| Digest::of(&f.bytes) == listed.sha256);
        let finding = attached.map(|_| listed.sha256.to_string());
        checks.push(Check::new(
            &listed.name,
            "digest",
            finding.ok_or_else(|| "it is not attached".to_owned()),
        ));
        if let (FileRole::Provenance, Some(file)) = (role, attached) {
            checks.push(Check::new(&listed.name, "signature", provenance_by(&file.bytes, trust)));
        }
    }
    checks.extend(bundle(found, &manifest, &bytes, trust));
    Ok((manifest, checks))
}

fn files(found: &[Attachment]) -> impl Iterator<Item = &AttachedFile> {
    found.iter().flat_map(|attachment| &attachment.files)
}

/// The signed manifest of the image's release, its bytes, and who signed it. There may be
/// several after keys changed; any good one does.
fn release(image: &Digest, found: &[Attachment], trust: &Trust) -> Result<(Manifest, Vec<u8>, Vec<String>)> {
    let mut refused = Failure::untrusted("nothing that is attached says which release it is of");
    for attachment in found.iter().filter(|a| a.artifact_type == RELEASE) {
        let Some(file) = attachment.files.iter().find(|f| f.name() == Some(check::MANIFEST)) else {
            continue;
        };
        let by = match trust.judge(&file.bytes, signatures(attachment).iter().map(AsRef::as_ref)) {
            Standing::Good { by } => by,
            standing => {
                refused = standing.accept().err().unwrap_or(refused);
                continue;
            }
        };
        let manifest = match check::parse_manifest(&file.bytes) {
            Ok(manifest) => manifest,
            Err(failure) => {
                refused = failure;
                continue;
            }
        };
        match &manifest.registry {
            Some(registry) if registry.digest == *image => return Ok((manifest, file.bytes.clone(), by)),
            Some(other) => {
                refused = Failure::untrusted(format!(
                    "the release that is attached, {} {}, is of image {}",
                    manifest.image, manifest.version, other.digest
                ));
            }
            None => {
                refused = Failure::untrusted(format!(
                    "the release that is attached, {} {}, has no image in a registry",
                    manifest.image, manifest.version
                ));
            }
        }
    }
    Err(refused
        .on(image)
        .hint("Do not use the image. Its publisher sees what is wrong with `bootwright plan --deep`."))
}

fn provenance_by(bytes: &[u8], trust: &Trust) -> std::result::Result<String, String> {
    if provenance::read_listed(bytes, trust).is_ok() {
        return Ok("by a known key".to_owned());
    }
    // The signed manifest names these bytes: keys of an earlier day may have signed them.
    let read = provenance::read_vouched(bytes);
    read.map(|_| "by a key that is not known here; the signed manifest names these bytes".to_owned())
        .map_err(|failure| failure.message)
}

/// The Sigstore bundle, where one is asked for.
fn bundle(found: &[Attachment], manifest: &Manifest, bytes: &[u8], trust: &Trust) -> Option<Check> {
    let wanted = trust.keyless()?;
    let listed: BTreeMap<String, Digest> = manifest
        .files
        .iter()
        .map(|f| (f.name.clone(), f.sha256))
        .chain([(check::MANIFEST.to_owned(), Digest::of(bytes))])
        .collect();
    let mut finding = Err("it is not attached".to_owned());
    if let Ok(sums) = sums::write(&listed) {
        for file in files(found).filter(|f| f.media_type == BUNDLE) {
            let text = String::from_utf8_lossy(&file.bytes);
            let (identity, issuer) = (&wanted.identity, &wanted.issuer);
            finding = keyless::verify(sums.as_bytes(), &text, &wanted.trusted_root, identity, issuer)
                .map(|()| format!("by {identity} of {issuer}"))
                .map_err(|failure| failure.message);
            if finding.is_ok() {
                break;
            }
        }
    }
    Some(Check::new(keyless::FILE_NAME, "sigstore-bundle", finding))
}
