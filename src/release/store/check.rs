//! Checks of published bytes. What is wrong with them is an answer, not an error.

pub(crate) use super::MANIFEST;
use super::signatures;
use crate::effects::Place;
use crate::effects::files::{digest_file, parent};
use crate::effects::place::Plain;
use crate::model::name::{ImageName, Version};
use crate::model::observed::Defect;
use crate::model::release::{FileRole, IndexedRelease, Manifest, RELEASE_FORMAT, ReleaseFile};
use crate::model::{Digest, ErrorCode, Failure, Result};
use crate::release::keys::Trust;
use crate::release::{keyless, openpgp, path, provenance, sums};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// No manifest, checksum file or statement is larger, in bytes.
pub(super) const TEXT_LIMIT: u64 = 32 << 20;
/// The OpenPGP signature of `SHA256SUMS`.
pub(super) const OPENPGP: &str = "SHA256SUMS.asc";

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
pub struct Checked {
    /// The manifest, if it could be read and is the expected one.
    pub manifest: Option<Manifest>,
    /// What is wrong; empty when all is well.
    pub defects: Vec<Defect>,
    /// The signatures that hold.
    pub vouched: Vec<Vouched>,
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// What is signed, or the file that the signature is in.
    pub file: String,
    /// `signature`, `openpgp-signature` or `sigstore-bundle`.
    pub what: &'static str,
    /// By whom.
    pub by: String,
}

/// Checks a folder of release files offline, with nothing but public keys: signatures, and
/// size and digest of every file that its manifest lists.
///
/// # Errors
/// *Not found* if there is no folder; class *host* if a file cannot be read.
pub fn examine_folder(folder: &Path, trust: &Trust) -> Result<Checked> {
    if !folder.is_dir() {
        return Err(Failure::not_found(format!("{} is no folder", folder.display())));
    }
    release(&Place::folder(folder), None, trust, Depth::Digests)
}

/// As [`examine_folder`], without who signed.
///
/// # Errors
/// As [`examine_folder`].
pub fn verify_folder(folder: &Path, trust: &Trust) -> Result<(Option<Manifest>, Vec<Defect>)> {
    examine_folder(folder, trust).map(|checked| (checked.manifest, checked.defects))
}

/// Checks one downloaded file against the signed `SHA256SUMS` beside it.
///
/// # Errors
/// *Untrusted* if the signature or the digest does not hold, or `SHA256SUMS` does not list
/// the file; *not found* if one of the three files is missing.
pub fn verify_file(file: &Path, trust: &Trust) -> Result<Digest> {
    let folder = Place::folder(parent(file));
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let place = folder.join(sums::FILE_NAME);
    let missing = |name: &str| {
        Failure::not_found(format!("{} is missing", folder.join(name)))
            .hint(format!("Download {0} and {0}.sig into the same folder.", sums::FILE_NAME))
    };
    let text = place.read(TEXT_LIMIT)?.ok_or_else(|| missing(sums::FILE_NAME))?;
    if let Err(defect) = signatures::check(&folder, sums::FILE_NAME, &text, trust)? {
        return Err(match defect {
            Defect::Unsigned { .. } => missing(&format!("{}.sig", sums::FILE_NAME)),
            Defect::BadSignature { .. } => Failure::untrusted(format!("no trusted key signed {place}"))
                .hint("Check that this is the publisher's public key, and get the files again."),
            other => {
                Failure::untrusted(format!("{folder}: {other}")).hint("Its publisher has to sign it again.")
            }
        });
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

/// Reads the manifest that the index names.
pub(super) fn read_manifest(folder: &Place, image: &ImageName, listed: &IndexedRelease) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let bytes = path.read(TEXT_LIMIT)?.ok_or_else(|| Failure::untrusted(format!("{path} is missing")))?;
    expect_manifest(&bytes, image, listed).map_err(|f| f.on(&path))
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
    folder: &Place,
    expected: Option<&Expected<'_>>,
    trust: &Trust,
    depth: Depth,
) -> Result<Checked> {
    let unreadable = |defect| Ok(Checked { manifest: None, defects: vec![defect], vouched: Vec::new() });
    let altered = |how: &str| Defect::Altered { file: MANIFEST.to_owned(), how: how.to_owned() };
    let bytes = match folder.join(MANIFEST).read_plain(TEXT_LIMIT)? {
        Plain::Missing => return unreadable(no_manifest(folder)?),
        Plain::Other(how) => return unreadable(altered(how)),
        Plain::Bytes(bytes) => bytes,
    };
    let manifest = match manifest_of(&bytes, expected) {
        Ok(manifest) => manifest,
        Err(how) => return unreadable(altered(&how)),
    };
    let mut findings = Findings::default();
    let signed = findings.signatures(folder, MANIFEST, &bytes, trust)?;
    findings.sums(folder, &manifest, Digest::of(&bytes), trust, depth)?;
    for file in &manifest.files {
        let defect = check_file(folder, file, depth)?;
        if defect.is_none() && depth == Depth::Digests && file.role == FileRole::Provenance {
            findings.provenance(folder, &file.name, signed, trust)?;
        }
        findings.defects.extend(defect);
    }
    if depth == Depth::Digests {
        findings.defects.extend(strangers(folder, &manifest)?);
    }
    Ok(Checked { manifest: Some(manifest), defects: findings.defects, vouched: findings.vouched })
}

/// Checks a release that no channel points to: its manifest against the index, its files by
/// size. Signatures are for the deep look.
pub(super) fn sizes(folder: &Place, expected: &Expected<'_>) -> Result<Checked> {
    let Some(bytes) = folder.join(MANIFEST).read(TEXT_LIMIT)? else {
        return Ok(Checked { manifest: None, defects: vec![no_manifest(folder)?], vouched: Vec::new() });
    };
    let manifest = match manifest_of(&bytes, Some(expected)) {
        Ok(manifest) => manifest,
        Err(how) => {
            let defect = Defect::Altered { file: MANIFEST.to_owned(), how };
            return Ok(Checked { manifest: None, defects: vec![defect], vouched: Vec::new() });
        }
    };
    let mut defects = Vec::new();
    for file in &manifest.files {
        defects.extend(check_file(folder, file, Depth::Sizes)?);
    }
    Ok(Checked { manifest: Some(manifest), defects, vouched: Vec::new() })
}

fn no_manifest(folder: &Place) -> Result<Defect> {
    Ok(match folder.look()? {
        None => Defect::NoFolder,
        Some(_) => Defect::Missing { file: MANIFEST.to_owned() },
    })
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

#[derive(Default)]
struct Findings {
    defects: Vec<Defect>,
    vouched: Vec<Vouched>,
}

impl Findings {
    /// Says whether enough trusted keys signed.
    fn signatures(&mut self, folder: &Place, file: &str, bytes: &[u8], trust: &Trust) -> Result<bool> {
        match signatures::check(folder, file, bytes, trust)? {
            Err(defect) => {
                self.defects.push(defect);
                Ok(false)
            }
            Ok(by) => {
                let by = by.join(", ");
                self.vouched.push(Vouched { file: file.to_owned(), what: "signature", by });
                Ok(true)
            }
        }
    }

    /// The provenance keeps the signatures of its day. Whoever never knew the keys of that
    /// day has the signed manifest, which names these very bytes, and is told so.
    fn provenance(&mut self, folder: &Place, name: &str, signed: bool, trust: &Trust) -> Result<()> {
        let (file, what) = (name.to_owned(), "signature");
        let bytes = folder.join(name).read(TEXT_LIMIT)?.unwrap_or_default();
        let by = if provenance::read_listed(&bytes, trust).is_ok() {
            "a known key"
        } else if signed && provenance::read_vouched(&bytes).is_ok() {
            "a key that is not known here; the signed manifest names these bytes"
        } else {
            self.defects.push(Defect::BadSignature { file });
            return Ok(());
        };
        self.vouched.push(Vouched { file, what, by: by.to_owned() });
        Ok(())
    }

    fn sums(
        &mut self,
        folder: &Place,
        manifest: &Manifest,
        digest: Digest,
        trust: &Trust,
        depth: Depth,
    ) -> Result<()> {
        let file = sums::FILE_NAME.to_owned();
        let bytes = match folder.join(&file).read_plain(TEXT_LIMIT)? {
            Plain::Missing => {
                self.defects.push(Defect::Missing { file });
                return Ok(());
            }
            Plain::Other(how) => {
                self.defects.push(Defect::Altered { file, how: how.to_owned() });
                return Ok(());
            }
            Plain::Bytes(bytes) => bytes,
        };
        self.signatures(folder, &file, &bytes, trust)?;
        if depth == Depth::Digests {
            self.further(folder, OPENPGP, &bytes, trust)?;
            self.further(folder, keyless::FILE_NAME, &bytes, trust)?;
        }
        match sums::parse(&String::from_utf8_lossy(&bytes)) {
            Err(failure) => self.defects.push(Defect::Altered { file, how: failure.message }),
            Ok(listed) if listed != sums_of(manifest, digest) => {
                self.defects.push(Defect::Altered { file, how: "it differs from the manifest".to_owned() });
            }
            Ok(_) => {}
        }
        Ok(())
    }

    /// A signature of `SHA256SUMS` by other means than our keys.
    fn further(&mut self, folder: &Place, name: &str, sums: &[u8], trust: &Trust) -> Result<()> {
        if !is_asked_for(name, trust) {
            return Ok(());
        }
        let Some(signature) = self.text(folder, name)? else { return Ok(()) };
        let file = name.to_owned();
        match further(name, sums, Some(&signature), trust) {
            Ok(Some(vouched)) => self.vouched.push(vouched),
            Ok(None) => {}
            Err(failure) if failure.code == ErrorCode::Untrusted => {
                self.defects.push(Defect::BadSignature { file });
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// A further signature that must be there.
    fn text(&mut self, folder: &Place, name: &str) -> Result<Option<Vec<u8>>> {
        let file = name.to_owned();
        self.defects.push(match folder.join(name).read_plain(TEXT_LIMIT)? {
            Plain::Bytes(bytes) => return Ok(Some(bytes)),
            Plain::Missing => Defect::Missing { file },
            Plain::Other(how) => Defect::Altered { file, how: how.to_owned() },
        });
        Ok(None)
    }
}

fn is_asked_for(name: &str, trust: &Trust) -> bool {
    if name == OPENPGP { trust.openpgp().is_some() } else { trust.keyless().is_some() }
}

/// Checks the OpenPGP signature or the Sigstore bundle of `SHA256SUMS`, where it is asked for.
///
/// # Errors
/// *Untrusted* if it is asked for and is missing or does not hold; class *spec* if what to
/// check it with cannot be read.
pub(super) fn further(
    name: &str,
    sums: &[u8],
    signature: Option<&[u8]>,
    trust: &Trust,
) -> Result<Option<Vouched>> {
    if !is_asked_for(name, trust) {
        return Ok(None);
    }
    let signature = signature.ok_or_else(|| {
        Failure::untrusted(format!("{name} is missing")).hint("The settings under `signing:` ask for it.")
    })?;
    let (text, file) = (String::from_utf8_lossy(signature), name.to_owned());
    if let (OPENPGP, Some(certificate)) = (name, trust.openpgp()) {
        let by = openpgp::verify(certificate, sums, &text)?;
        return Ok(Some(Vouched { file, what: "openpgp-signature", by }));
    }
    let Some(wanted) = trust.keyless() else { return Ok(None) };
    let (identity, issuer) = (&wanted.identity, &wanted.issuer);
    keyless::verify(sums, &text, &wanted.trusted_root, identity, issuer)?;
    Ok(Some(Vouched { file, what: "sigstore-bundle", by: format!("{identity} of {issuer}") }))
}

/// What has to be signed again at a release whose bytes are not looked at here: by now, or
/// before a key ends.
pub(super) fn outlived(folder: &Place, trust: &Trust) -> Result<Vec<Defect>> {
    let now = signature_defects(folder, trust)?;
    if !now.is_empty() {
        return Ok(now);
    }
    ending(folder, trust)
}

/// What has to be signed again before a key ends.
pub(super) fn ending(folder: &Place, trust: &Trust) -> Result<Vec<Defect>> {
    let Some(ahead) = trust.ahead() else { return Ok(Vec::new()) };
    let defects = signature_defects(folder, &ahead)?;
    Ok(defects.into_iter().map(signatures::before_the_end).collect())
}

/// The defects of a release's signatures, if signing again mends all of them.
fn signature_defects(folder: &Place, trust: &Trust) -> Result<Vec<Defect>> {
    let mut defects = Vec::new();
    for file in path::SIGNED {
        if let Plain::Bytes(bytes) = folder.join(file).read_plain(TEXT_LIMIT)?
            && let Err(defect) = signatures::check(folder, file, &bytes, trust)?
        {
            defects.push(defect);
        }
    }
    Ok(if defects.iter().all(Defect::is_outlived) { defects } else { Vec::new() })
}

/// What `SHA256SUMS` lists: every file of the manifest, and the manifest.
pub(super) fn sums_of(manifest: &Manifest, digest: Digest) -> BTreeMap<String, Digest> {
    let files = manifest.files.iter().map(|f| (f.name.clone(), f.sha256));
    files.chain([(MANIFEST.to_owned(), digest)]).collect()
}

fn check_file(folder: &Place, file: &ReleaseFile, depth: Depth) -> Result<Option<Defect>> {
    let (path, name) = (folder.join(&file.name), file.name.clone());
    let altered = |how: String| Ok(Some(Defect::Altered { file: name.clone(), how }));
    let Some(seen) = path.look()? else { return Ok(Some(Defect::Missing { file: name })) };
    if !seen.is_file() {
        return altered("it is no plain file".to_owned());
    }
    if seen.size < file.size {
        return Ok(Some(Defect::Truncated { file: name, size: seen.size, expected: file.size }));
    }
    if seen.size != file.size {
        return altered(format!("it has {} bytes, the manifest says {}", seen.size, file.size));
    }
    if depth == Depth::Digests {
        let (digest, _) = path.digest()?;
        if digest != file.sha256 {
            return altered(format!("its digest is {digest}, the manifest says {}", file.sha256));
        }
    }
    Ok(None)
}

/// Files in the folder that nothing signed speaks of.
pub(super) fn strangers(folder: &Place, manifest: &Manifest) -> Result<Vec<Defect>> {
    let known: BTreeSet<&str> = manifest.files.iter().map(|f| f.name.as_str()).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![(folder.clone(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        for (entry, seen) in dir.entries()? {
            let name = format!("{prefix}{}", entry.to_string_lossy());
            if seen.is_folder() && prefix.is_empty() {
                open.push((dir.join(entry), format!("{name}/")));
            } else if !(known.contains(name.as_str()) || prefix.is_empty() && path::is_unlisted(&name)) {
                found.insert(name);
            }
        }
    }
    Ok(found.into_iter().map(|file| Defect::Orphaned { file }).collect())
}
