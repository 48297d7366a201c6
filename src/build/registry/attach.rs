//! Attaches things to an image in a registry, and reads what is attached to one.
//!
//! Each thing is a manifest of its own whose `subject` is the image (OCI image specification
//! 1.1). A registry lists them by itself, or an index under a tag made of the image's digest
//! does; what others put into that index stays. Signatures stand under cosign's tag too.

use super::answers::{Attached, Entry, INDEX, Layer};
use super::remote::{Remote, media_type, signature_tag, tag};
use super::{Credentials, parse, reference, refused};
use crate::build::oci;
use crate::effects::{Cancel, Task};
use crate::model::attachment::{AttachedFile, Attachment, RegistryImage};
use crate::model::digest::canonical_json;
use crate::model::event::Emitter;
use crate::model::{Digest, ErrorCode, Failure, Result};
use oci_client::RegistryOperation;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The configuration of a manifest that has none (image specification, "Guidelines for
/// Artifact Usage").
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The configuration of an image, which cosign gives its signatures.
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// How often the index of referrers is written when somebody else writes it too.
const TRIES: u32 = 5;
/// No file that is attached is larger, in bytes.
const LARGEST_FILE: u64 = 64 << 20;
/// Attachments that are looked at.
const MOST: usize = 200;

/// An image of a registry, with what is attached to it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The digest of its manifest, whose bytes were looked at.
    pub digest: Digest,
    /// What is attached, as far as it was wanted and could be read.
    pub attachments: Vec<Attachment>,
}

/// A manifest, and the blobs that it names.
struct Prepared {
    bytes: Vec<u8>,
    config: Vec<u8>,
}

/// Attaches things to an image that is in its registry; gives the number of those that were
/// not there before.
///
/// # Errors
/// Class *spec* for a bad reference, *host* (permission) when the registry refuses the
/// credentials, *upstream* when it fails or lacks the image.
pub async fn attach(
    image: &RegistryImage,
    attachments: &[Attachment],
    credentials: &Credentials,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<usize> {
    let to = reference(&image.reference)?;
    let remote = Remote::open(to, credentials, RegistryOperation::Push, cancel).await?;
    let task = Task::start(events, format!("attach to {}", image.reference));
    let subject = remote.manifest_of(&image.digest).await?.ok_or_else(|| {
        Failure::upstream(format!("{}: the image {} is not there", image.reference, image.digest))
            .hint("Somebody removed it. Run `bootwright reconcile --deep`: it pushes it again.")
    })?;
    let subject = json!({
        "mediaType": media_type(&subject), "digest": image.digest, "size": subject.len(),
    });
    let listed = remote.referrers(&image.digest).await?;
    let (mut written, mut unlisted) = (0, Vec::new());
    for attachment in attachments {
        let (manifest, is_new, is_listed) = if attachment.is_signature {
            put_signature(&remote, image, attachment, &subject).await?
        } else {
            put(&remote, attachment, &subject).await?
        };
        written += usize::from(is_new);
        let entry = Entry::of(&manifest, &attachment.artifact_type, &attachment.annotations);
        let was_listed = entry.digest.is_some_and(|digest| listed.lists(&digest));
        if !was_listed && !is_listed {
            unlisted.push(entry);
        }
    }
    // A registry with a list of its own says so with each manifest that it puts there; what
    // was there already is listed.
    if !unlisted.is_empty() {
        list(&remote, &image.digest, unlisted).await?;
        written = written.max(1);
    }
    task.finish(match written {
        0 => "all there".to_owned(),
        n => format!("{n} of {} written", attachments.len()),
    });
    Ok(written)
}

/// Writes one attachment; gives its manifest, whether it is new, and whether the registry
/// lists it by itself.
async fn put(remote: &Remote<'_>, attachment: &Attachment, subject: &Value) -> Result<(Vec<u8>, bool, bool)> {
    let layers = attachment.files.iter().map(descriptor).collect();
    let mut manifest = manifest(attachment, subject, layers, EMPTY_TYPE, EMPTY);
    if !attachment.annotations.is_empty() {
        manifest["annotations"] = json!(attachment.annotations);
    }
    let prepared = Prepared { bytes: canonical_json(&manifest), config: EMPTY.to_vec() };
    let digest = Digest::of(&prepared.bytes);
    if remote.manifest_of(&digest).await?.is_some() {
        return Ok((prepared.bytes, false, false));
    }
    let is_listed = send(remote, &digest.to_string(), &prepared, &attachment.files).await?;
    Ok((prepared.bytes, true, is_listed))
}

/// As [`put`], for signatures: added to those that stand under cosign's tag already.
async fn put_signature(
    remote: &Remote<'_>,
    image: &RegistryImage,
    attachment: &Attachment,
    subject: &Value,
) -> Result<(Vec<u8>, bool, bool)> {
    let place = signature_tag(&image.digest);
    let there = remote.manifest(&place).await?;
    // What cannot be read is nobody's signature, and gives way.
    let others = there.as_deref().and_then(|bytes| Attached::parse(bytes).ok());
    let mut layers: Vec<Value> =
        others.as_ref().map(|m| m.layers.iter().map(|l| l.all.clone()).collect()).unwrap_or_default();
    let is_there = |file: &AttachedFile| {
        let same = |l: &Layer| {
            l.digest == Digest::of(&file.bytes)
                && l.media_type == file.media_type
                && file.annotations.iter().all(|(name, text)| l.annotations.get(name) == Some(text))
        };
        others.as_ref().is_some_and(|m| m.layers.iter().any(same))
    };
    let missing: Vec<&AttachedFile> = attachment.files.iter().filter(|file| !is_there(file)).collect();
    let refers = others.as_ref().is_some_and(|m| m.subject == Some(image.digest));
    if let (Some(bytes), true, true) = (&there, missing.is_empty(), refers) {
        return Ok((bytes.clone(), false, false));
    }
    layers.extend(missing.into_iter().map(descriptor));
    let digests: Vec<&Value> = layers.iter().filter_map(|layer| layer.get("digest")).collect();
    let config = canonical_json(&json!({
        "architecture": "", "os": "", "config": {}, "rootfs": { "type": "layers", "diff_ids": digests },
    }));
    let manifest = manifest(attachment, subject, layers, CONFIG_TYPE, &config);
    let prepared = Prepared { bytes: canonical_json(&manifest), config };
    let is_listed = send(remote, &place, &prepared, &attachment.files).await?;
    Ok((prepared.bytes, true, is_listed))
}

fn manifest(
    attachment: &Attachment,
    subject: &Value,
    layers: Vec<Value>,
    config_type: &str,
    config: &[u8],
) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": oci::MANIFEST,
        "artifactType": attachment.artifact_type,
        "config": { "mediaType": config_type, "digest": Digest::of(config), "size": config.len() },
        "layers": layers,
        "subject": subject,
    })
}

fn descriptor(file: &AttachedFile) -> Value {
    let mut value = json!({
        "mediaType": file.media_type, "digest": Digest::of(&file.bytes), "size": file.bytes.len(),
    });
    if !file.annotations.is_empty() {
        value["annotations"] = json!(file.annotations);
    }
    value
}

/// Sends blobs first and the manifest last; says whether the registry lists it by itself.
async fn send(remote: &Remote<'_>, place: &str, prepared: &Prepared, files: &[AttachedFile]) -> Result<bool> {
    let failed = |e| refused(&remote.to, &e);
    let mut blobs: BTreeMap<Digest, &[u8]> =
        files.iter().map(|file| (Digest::of(&file.bytes), file.bytes.as_slice())).collect();
    blobs.insert(Digest::of(&prepared.config), &prepared.config);
    for (digest, bytes) in blobs {
        let digest = digest.to_string();
        if !remote.client.blob_exists(&remote.to, &digest).await.map_err(failed)? {
            remote.client.push_blob(&remote.to, bytes.to_vec(), &digest).await.map_err(failed)?;
        }
    }
    remote.put_manifest(place, oci::MANIFEST, &prepared.bytes).await
}

/// Adds entries to the index under the tag of an image's digest. Somebody else may write it at
/// the same time: it is read again afterwards.
async fn list(remote: &Remote<'_>, image: &Digest, entries: Vec<Entry>) -> Result<()> {
    for _ in 0..TRIES {
        let mut index = remote.index_by_tag(image).await?.unwrap_or_default();
        let missing: Vec<&Entry> = {
            let is_missing = |e: &&Entry| e.digest.is_some_and(|digest| !index.lists(&digest));
            entries.iter().filter(is_missing).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let added: Vec<Entry> = missing.into_iter().cloned().collect();
        index.entries.extend(added);
        let written = remote.put_manifest(&tag(image), INDEX, &index.write()).await;
        let Err(refused) = written else { continue };
        // Some registries take no index with an entry whose manifest somebody removed.
        let before = index.entries.len();
        let mut there = Vec::new();
        for entry in index.entries {
            let is_gone = match &entry.digest {
                Some(digest) => remote.manifest_of(digest).await?.is_none(),
                None => false,
            };
            if !is_gone {
                there.push(entry);
            }
        }
        index.entries = there;
        if index.entries.len() == before {
            return Err(refused);
        }
        remote.put_manifest(&tag(image), INDEX, &index.write()).await?;
    }
    Err(Failure::upstream(format!("{}: somebody else keeps writing what refers to {image}", remote.to))
        .hint("Run it again when nobody else attaches things to the image."))
}

/// The digest of the image that a tag points to; nothing if there is none.
///
/// # Errors
/// As [`attach`].
pub async fn tagged(image: &str, credentials: &Credentials, cancel: &Cancel) -> Result<Option<Digest>> {
    let to = reference(image)?;
    let tag = to.tag().unwrap_or_default().to_owned();
    let remote = Remote::open(to, credentials, RegistryOperation::Pull, cancel).await?;
    Ok(remote.manifest(&tag).await?.map(Digest::of))
}

/// Reads the manifest of an image, by tag or digest, and what is attached to it with one of
/// the types in `wanted`. Attachments that cannot be read count as not there.
///
/// # Errors
/// As [`attach`]; *not found* if there is no such image; *untrusted* if the registry gives
/// another manifest than the digest says.
pub async fn read(image: &str, wanted: &[&str], credentials: &Credentials, cancel: &Cancel) -> Result<Found> {
    let to = parse(image)?;
    let by_digest = to.digest().map(str::to_owned);
    let place = by_digest.clone().or_else(|| to.tag().map(str::to_owned)).unwrap_or_default();
    let remote = Remote::open(to, credentials, RegistryOperation::Pull, cancel).await?;
    let bytes = remote.manifest(&place).await?.ok_or_else(|| {
        Failure::not_found(format!("{image}: the registry has no such image"))
            .hint("`bootwright release show` names the image of a release.")
    })?;
    let digest = Digest::of(&bytes);
    if by_digest.is_some_and(|wanted| wanted != digest.to_string()) {
        return Err(Failure::untrusted(format!("{image}: the registry gives another image, {digest}"))
            .hint("The registry, or something on the way to it, is broken or lies."));
    }
    let mut attachments = Vec::new();
    if let Some(bytes) = remote.manifest(&signature_tag(&digest)).await? {
        attachments.extend(or_nothing(attachment(&remote, &bytes, &digest, true).await)?);
    }
    let listed = remote.referrers(&digest).await?.entries;
    let is_wanted = |e: &&Entry| e.artifact_type.as_deref().is_none_or(|kind| wanted.contains(&kind));
    for entry in listed.iter().filter(is_wanted).take(MOST) {
        let Some(named) = entry.digest else { continue };
        let Some(bytes) = or_nothing(remote.manifest_of(&named).await)?.flatten() else { continue };
        let found = or_nothing(attachment(&remote, &bytes, &digest, false).await)?;
        attachments.extend(found.filter(|a| wanted.contains(&a.artifact_type.as_str())));
    }
    Ok(Found { digest, attachments })
}

/// What somebody attached and cannot be read harms nobody.
fn or_nothing<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.code == ErrorCode::Untrusted => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn attachment(
    remote: &Remote<'_>,
    manifest: &[u8],
    image: &Digest,
    by_tag: bool,
) -> Result<Attachment> {
    let read = Attached::parse(manifest)?;
    // cosign's own signatures have no subject: the tag says whose they are.
    if read.subject != Some(*image) && !(by_tag && read.subject.is_none()) {
        return Err(Failure::untrusted(format!("an attachment is of another image than {image}")));
    }
    let mut files = Vec::new();
    for layer in read.layers.into_iter().take(MOST) {
        if layer.size > LARGEST_FILE {
            return Err(Failure::untrusted(format!("an attached file has {} bytes", layer.size)));
        }
        let bytes = remote.blob(&layer.digest, layer.size).await?;
        files.push(AttachedFile { media_type: layer.media_type, bytes, annotations: layer.annotations });
    }
    let (artifact_type, annotations) = (read.artifact_type, read.annotations);
    Ok(Attachment { artifact_type, files, annotations, is_signature: by_tag })
}
