//! Checks of published bytes. What is wrong with them is an answer, not an error.

pub(crate) use super::MANIFEST;
use crate::effects::files::{digest_file, read_if_exists};
use crate::model::failure::IoContext;
use crate::model::name::{ImageName, Version};
use crate::model::observed::Defect;
use crate::model::release::{FileRole, IndexedRelease, Manifest, RELEASE_FORMAT, ReleaseFile};
use crate::model::{Digest, Failure, Result};
use crate::release::keys::PublicKey;
use crate::release::{path, provenance, sums};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// No manifest, checksum file or statement is larger, in bytes.
pub(super) const TEXT_LIMIT: u64 = 32 << 20;
/// No signature is larger, in bytes.
pub(super) const SIGNATURE_LIMIT: u64 = 64 << 10;

/// How far a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Signatures, and whether every file is there with its size: milliseconds.
    Sizes,
    /// Every byte.
    Digests,
}

/// Which release it should be.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub image: &'a ImageName,
    pub version: &'a Version,
    /// The manifest that the index names.
    pub manifest: Option<Digest>,
}

/// What a check found.
#[derive(Debug)]
pub(super) struct Checked {
    /// The manifest, if it could be read and is the expected one.
    pub manifest: Option<Manifest>,
    /// What is wrong; empty when all is well.
    pub defects: Vec<Defect>,
}

/// Checks a folder of release files offline, with nothing but public keys: signatures, and
/// size and digest of every file that its manifest lists.
///
/// # Errors
/// *Not found* if there is no folder; class *host* if a file cannot be read.
pub fn verify_folder(folder: &Path, keys: &[PublicKey]) -> Result<(Option<Manifest>, Vec<Defect>)> {
    if !folder.is_dir() {
        return Err(Failure::not_found(format!("{} is no folder", folder.display())));
    }
    let checked = release(folder, None, keys, Depth::Digests)?;
    Ok((checked.manifest, checked.defects))
}

/// Checks one downloaded file against the signed `SHA256SUMS` beside it.
///
/// # Errors
/// *Untrusted* if the signature or the digest does not hold, or `SHA256SUMS` does not list
/// the file; *not found* if one of the three files is missing.
pub fn verify_file(file: &Path, keys: &[PublicKey]) -> Result<Digest> {
    let folder = crate::effects::files::parent(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let need = |name: &str| -> Result<Vec<u8>> {
        read_if_exists(&folder.join(name), TEXT_LIMIT)?.ok_or_else(|| {
            Failure::not_found(format!("{} is missing", folder.join(name).display()))
                .hint(format!("Download {0} and {0}.sig into the same folder.", sums::FILE_NAME))
        })
    };
    let text = need(sums::FILE_NAME)?;
    let signature = need(&format!("{}.sig", sums::FILE_NAME))?;
    if !signed(keys, &text, &signature) {
        return Err(Failure::untrusted(format!(
            "no trusted key signed {}",
            folder.join(sums::FILE_NAME).display()
        ))
        .hint("Check that this is the publisher's public key, and get the files again."));
    }
    let listed = sums::parse(&String::from_utf8_lossy(&text))?;
    let expected = listed.get(&name).ok_or_else(|| {
        Failure::untrusted(format!("{} does not list {name}", sums::FILE_NAME))
            .hint("The file must have the name that it was published under.")
    })?;
    let (digest, _) = digest_file(file)?;
    if digest != *expected {
        return Err(Failure::untrusted(format!(
            "{}: its digest is {digest}, {} says {expected}",
            file.display(),
            sums::FILE_NAME
        ))
        .hint("Download it again."));
    }
    Ok(digest)
}

/// Whether one of the keys signed `bytes`.
pub(super) fn signed(keys: &[PublicKey], bytes: &[u8], signature: &[u8]) -> bool {
    let signature = String::from_utf8_lossy(signature);
    keys.iter().any(|key| key.verifies(bytes, &signature))
}

/// Reads the manifest that the index names.
pub(super) fn read_manifest(folder: &Path, image: &ImageName, listed: &IndexedRelease) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let bytes = read_if_exists(&path, TEXT_LIMIT)?
        .ok_or_else(|| Failure::untrusted(format!("{} is missing", path.display())))?;
    expect_manifest(&bytes, image, listed).map_err(|f| f.on(path.display()))
}

/// Reads a manifest's bytes once they have the digest that the index names.
pub(super) fn expect_manifest(bytes: &[u8], image: &ImageName, listed: &IndexedRelease) -> Result<Manifest> {
    if Digest::of(bytes) != listed.manifest {
        return Err(Failure::untrusted("not the manifest that the signed index names"));
    }
    let manifest = parse_manifest(bytes)?;
    if &manifest.image != image || manifest.version != listed.version {
        return Err(Failure::untrusted(format!(
            "the manifest is of {} {}, expected {image} {}",
            manifest.image, manifest.version, listed.version
        )));
    }
    Ok(manifest)
}

/// Reads a manifest and refuses one whose file names could lead anywhere else.
///
/// # Errors
/// *Untrusted* if it is none.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest> {
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|e| Failure::untrusted(format!("the manifest cannot be read: {e}")))?;
    if manifest.format != RELEASE_FORMAT {
        return Err(Failure::untrusted(format!(
            "the manifest has format {}, this program knows {RELEASE_FORMAT}",
            manifest.format
        ))
        .hint("Use a newer bootwright."));
    }
    let mut names = BTreeSet::new();
    for file in &manifest.files {
        path::check(&file.name)?;
        if path::is_unlisted(&file.name) || !names.insert(&file.name) {
            return Err(Failure::untrusted(format!("the manifest cannot list {} there", file.name)));
        }
    }
    Ok(manifest)
}

/// Checks the files of a release.
pub(super) fn release(
    folder: &Path,
    expected: Option<&Expected<'_>>,
    keys: &[PublicKey],
    depth: Depth,
) -> Result<Checked> {
    let mut defects = Vec::new();
    let Some(bytes) = read_if_exists(&folder.join(MANIFEST), TEXT_LIMIT)? else {
        return Ok(Checked { manifest: None, defects: vec![Defect::Missing { file: MANIFEST.to_owned() }] });
    };
    let manifest = match manifest_of(&bytes, expected) {
        Ok(manifest) => manifest,
        Err(how) => {
            defects.push(Defect::Altered { file: MANIFEST.to_owned(), how });
            return Ok(Checked { manifest: None, defects });
        }
    };
    defects.extend(signature(folder, MANIFEST, &bytes, keys)?);
    defects.extend(check_sums(folder, &manifest, Digest::of(&bytes), keys)?);
    for file in &manifest.files {
        defects.extend(check_file(folder, file, keys, depth)?);
    }
    if depth == Depth::Digests {
        defects.extend(strangers(folder, &manifest)?);
    }
    Ok(Checked { manifest: Some(manifest), defects })
}

fn manifest_of(bytes: &[u8], expected: Option<&Expected<'_>>) -> Result<Manifest, String> {
    if let Some(digest) = expected.and_then(|e| e.manifest)
        && Digest::of(bytes) != digest
    {
        return Err(format!("its digest is {}, the signed index says {digest}", Digest::of(bytes)));
    }
    let manifest = parse_manifest(bytes).map_err(|f| f.message)?;
    match expected {
        Some(e) if e.image != &manifest.image || e.version != &manifest.version => {
            Err(format!("it is of {} {}", manifest.image, manifest.version))
        }
        _ => Ok(manifest),
    }
}

fn signature(folder: &Path, name: &str, bytes: &[u8], keys: &[PublicKey]) -> Result<Option<Defect>> {
    let file = name.to_owned();
    Ok(match read_if_exists(&folder.join(format!("{name}.sig")), SIGNATURE_LIMIT)? {
        None => Some(Defect::Unsigned { file }),
        Some(signature) if !signed(keys, bytes, &signature) => Some(Defect::BadSignature { file }),
        Some(_) => None,
    })
}

fn check_sums(folder: &Path, manifest: &Manifest, digest: Digest, keys: &[PublicKey]) -> Result<Vec<Defect>> {
    let file = sums::FILE_NAME.to_owned();
    let Some(bytes) = read_if_exists(&folder.join(&file), TEXT_LIMIT)? else {
        return Ok(vec![Defect::Missing { file }]);
    };
    let mut defects: Vec<Defect> = signature(folder, &file, &bytes, keys)?.into_iter().collect();
    match sums::parse(&String::from_utf8_lossy(&bytes)) {
        Err(failure) => defects.push(Defect::Altered { file, how: failure.message }),
        Ok(listed) if listed != sums_of(manifest, digest) => {
            defects.push(Defect::Altered { file, how: "it differs from the manifest".to_owned() });
        }
        Ok(_) => {}
    }
    Ok(defects)
}

/// What `SHA256SUMS` lists: every file of the manifest, and the manifest.
pub(super) fn sums_of(manifest: &Manifest, digest: Digest) -> BTreeMap<String, Digest> {
    let files = manifest.files.iter().map(|f| (f.name.clone(), f.sha256));
    files.chain([(MANIFEST.to_owned(), digest)]).collect()
}

fn check_file(folder: &Path, file: &ReleaseFile, keys: &[PublicKey], depth: Depth) -> Result<Option<Defect>> {
    let (path, name) = (folder.join(&file.name), file.name.clone());
    let altered = |how: String| Ok(Some(Defect::Altered { file: name.clone(), how }));
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Some(Defect::Missing { file: name }));
        }
        Err(e) => return Err(Failure::io(format!("looking at {}", path.display()), &e)),
    };
    if !metadata.is_file() {
        return altered("it is no plain file".to_owned());
    }
    if metadata.len() != file.size {
        return altered(format!("it has {} bytes, the manifest says {}", metadata.len(), file.size));
    }
    if depth == Depth::Digests {
        let (digest, _) = digest_file(&path)?;
        if digest != file.sha256 {
            return altered(format!("its digest is {digest}, the manifest says {}", file.sha256));
        }
        if file.role == FileRole::Provenance {
            let bytes = read_if_exists(&path, TEXT_LIMIT)?.unwrap_or_default();
            if provenance::read(&bytes, keys).is_err() {
                return Ok(Some(Defect::BadSignature { file: name }));
            }
        }
    }
    Ok(None)
}

/// Files in the folder that nothing signed speaks of.
fn strangers(folder: &Path, manifest: &Manifest) -> Result<Vec<Defect>> {
    let known: BTreeSet<&str> = manifest.files.iter().map(|f| f.name.as_str()).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        let reading = || format!("reading {}", dir.display());
        for entry in std::fs::read_dir(&dir).during(reading)? {
            let entry = entry.during(reading)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().during(reading)?.is_dir() && prefix.is_empty() {
                open.push((entry.path(), format!("{name}/")));
            } else if !(known.contains(name.as_str()) || prefix.is_empty() && path::is_unlisted(&name)) {
                found.insert(name);
            }
        }
    }
    Ok(found.into_iter().map(|file| Defect::Unsigned { file }).collect())
}
