//! Detached signatures beside a file: made, found, judged.
//!
//! The first signer's is `FILE.sig`, which common tools look for; each further one's is
//! `FILE.TAG.sig` with the first 16 digits of its key's id. A reader trusts no name: every
//! known key is tried on every signature.

use super::Signers;
use crate::effects::Place;
use crate::effects::place::Plain;
use crate::model::Result;
use crate::model::observed::Defect;
use crate::release::keys::{PublicKey, Standing, Trust};

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

/// Who signed `file`, whose bytes are given, or what is wrong with its signatures.
pub(super) fn check(
    folder: &Place,
    file: &str,
    bytes: &[u8],
    trust: &Trust,
) -> Result<std::result::Result<Vec<String>, Defect>> {
    let mut found = Vec::new();
    for name in names(file, trust) {
        match folder.join(&name).read_plain(LIMIT)? {
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
