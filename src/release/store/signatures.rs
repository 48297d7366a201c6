//! Detached signatures beside a file: made, found, judged.
//!
//! The first signer's is `FILE.sig`, which common tools look for; each further one's is
//! `FILE.TAG.sig` with the first 16 digits of its key's id. A reader trusts no name: every
//! known key is tried on every signature.

use super::Signers;
use crate::effects::files::read_if_exists;
use crate::model::observed::Defect;
use crate::model::{Failure, Result};
use crate::release::keys::{PublicKey, Standing, Trust};
use std::path::Path;

/// No signature is larger, in bytes.
pub(super) const LIMIT: u64 = 64 << 10;

/// The name of the further signature of one key.
fn tagged(file: &str, key: &PublicKey) -> String {
    format!("{file}.{}.sig", key.tag())
}

/// The names under which signatures of `file` by known keys may lie.
pub(super) fn names(file: &str, trust: &Trust) -> Vec<String> {
    let first = std::iter::once(format!("{file}.sig"));
    first.chain(trust.keys().iter().map(|k| tagged(file, &k.key))).collect()
}

/// Every signer's signature of `bytes`, by the name of its file.
pub(super) fn make(file: &str, bytes: &[u8], signers: &Signers) -> Result<Vec<(String, String)>> {
    let mut made = vec![(format!("{file}.sig"), signers.key.sign(bytes)?)];
    for signer in &signers.further {
        made.push((tagged(file, signer.public()), signer.sign(bytes)?));
    }
    Ok(made)
}

/// The text of a small file that lies where it should.
pub(super) enum Plain {
    /// There is none.
    Missing,
    /// There is something else, and what: a link, a folder, a pipe, far too much.
    Other(&'static str),
    /// Its bytes.
    Bytes(Vec<u8>),
}

/// Reads a file of a release without following links: what a link shows may change.
pub(super) fn read_plain(path: &Path, limit: u64) -> Result<Plain> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => return Ok(Plain::Other("it is no plain file")),
        Ok(metadata) if metadata.len() > limit => return Ok(Plain::Other("it is far too large")),
        Ok(_) => {}
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Plain::Missing);
        }
        Err(e) => return Err(Failure::io(format!("looking at {}", path.display()), &e)),
    }
    Ok(read_if_exists(path, limit)?.map_or(Plain::Missing, Plain::Bytes))
}

/// Who signed `file`, whose bytes are given, or what is wrong with its signatures.
pub(super) fn check(
    folder: &Path,
    file: &str,
    bytes: &[u8],
    trust: &Trust,
) -> Result<std::result::Result<Vec<String>, Defect>> {
    let mut found = Vec::new();
    for name in names(file, trust) {
        match read_plain(&folder.join(&name), LIMIT)? {
            Plain::Missing => {}
            Plain::Other(how) => return Ok(Err(Defect::Altered { file: name, how: how.to_owned() })),
            Plain::Bytes(bytes) => found.push(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
    let file = file.to_owned();
    if found.is_empty() {
        return Ok(Err(Defect::Unsigned { file }));
    }
    Ok(judged(file, trust.judge(bytes, found.iter().map(String::as_str))))
}

/// Who signed, or the defect that a standing is.
pub(super) fn judged(file: String, standing: Standing) -> std::result::Result<Vec<String>, Defect> {
    match standing {
        Standing::Good { by } => Ok(by),
        Standing::Retired { by } => Err(Defect::RetiredKey { file, keys: by }),
        Standing::TooFew { by, needed } => Err(Defect::TooFewKeys { file, keys: by, needed }),
        Standing::Unknown => Err(Defect::BadSignature { file }),
    }
}

/// The same defect, found before it is one.
pub(super) fn before_the_end(defect: Defect) -> Defect {
    match defect {
        Defect::RetiredKey { file, keys } | Defect::TooFewKeys { file, keys, .. } => {
            Defect::EndingKey { file, keys }
        }
        other => other,
    }
}
