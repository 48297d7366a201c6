//! A mirror's keyring as rpm's tools want it: armoured, one key in each file.

use crate::effects::files::write_atomic;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use pgp::composed::{ArmorOptions, Deserializable, SignedPublicKey};
use pgp::ser::Serialize;
use std::path::Path;

/// The files of a keyring, by their names in the folder.
pub(in crate::build::managers) struct Keys {
    /// One key each.
    pub armoured: Vec<String>,
    /// All of them, as gpgv wants them.
    pub binary: String,
}

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// The keys of a keyring: binary, or one or more armoured blocks.
fn read(keyring: &[u8]) -> Vec<SignedPublicKey> {
    let text = String::from_utf8_lossy(keyring);
    let blocks: Vec<Vec<u8>> = match text.find(BEGIN) {
        Some(first) => {
            text[first..].split(BEGIN).skip(1).map(|rest| format!("{BEGIN}{rest}").into_bytes()).collect()
        }
        None => vec![keyring.to_vec()],
    };
    let keys = |block: &Vec<u8>| -> Vec<SignedPublicKey> {
        SignedPublicKey::from_reader_many(&block[..])
            .map(|(keys, _)| keys.filter_map(std::result::Result::ok).collect())
            .unwrap_or_default()
    };
    blocks.iter().flat_map(keys).collect()
}

/// Writes the keys of the `i`th keyring into `folder`.
///
/// # Errors
/// Class *spec* if it has none.
pub(in crate::build::managers) fn write(keyring: &[u8], folder: &Path, i: usize) -> Result<Keys> {
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let keys = read(keyring);
    if keys.is_empty() {
        return Err(Failure::spec("a mirror's keyring has no OpenPGP key").hint(
            "Set `keyring:` of the mirror in bootwright.yaml to a file of public keys, armoured or not.",
        ));
    }
    let bad =
        |e: pgp::errors::Error| Failure::spec(format!("a key of a mirror's keyring cannot be used: {e}"));
    let (mut armoured, mut all) = (Vec::new(), Vec::new());
    for (n, key) in keys.iter().enumerate() {
        let name = format!("{i}-{n}.key");
        let text = key.to_armored_string(ArmorOptions::default()).map_err(bad)?;
        write_atomic(&folder.join(&name), text.as_bytes(), 0o644)?;
        all.extend(key.to_bytes().map_err(bad)?);
        armoured.push(name);
    }
    let binary = format!("{i}.gpg");
    write_atomic(&folder.join(&binary), &all, 0o644)?;
    Ok(Keys { armoured, binary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_keyring_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for bad in [&b""[..], b"garbage", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\ngarbage\n"] {
            assert!(write(bad, folder.path(), 0).is_err());
        }
    }
}
