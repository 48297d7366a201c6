//! What a recipe names by digest, kept in the release, so that anyone can build it again:
//! `inputs.tar.zst`, one file for each blob, named by its SHA-256 in hexadecimal.
//!
//! Scripts are among them: what is published may be read by everyone.

use crate::model::product::Recipe;
use crate::model::{Digest, Failure, Result};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// The name of the file.
pub const FILE_NAME: &str = "inputs.tar.zst";
/// Level of compression: small files, once for each release.
const LEVEL: i32 = 9;
/// All blobs of one recipe are no larger, in bytes.
const LIMIT: u64 = 1 << 30;

/// Writes the blobs that `recipe` names.
///
/// # Errors
/// Class *bug* if one is not in `blobs`.
pub fn write(recipe: &Recipe, blobs: &BTreeMap<Digest, Arc<[u8]>>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let writing = |e: std::io::Error| Failure::io(format!("writing {FILE_NAME}"), &e);
    for digest in recipe.blobs() {
        let bytes = blobs
            .get(&digest)
            .ok_or_else(|| Failure::bug(format!("the recipe names {digest} and it is not there")))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        archive.append_data(&mut header, digest.hex(), &bytes[..]).map_err(writing)?;
    }
    zstd::encode_all(&archive.into_inner().map_err(writing)?[..], LEVEL).map_err(writing)
}

/// Reads the blobs of a release, each checked against its name.
///
/// # Errors
/// *Untrusted* if one is not what its name says, or the archive is broken or too large.
pub fn read(archive: &[u8]) -> Result<BTreeMap<Digest, Arc<[u8]>>> {
    let broken = |e: std::io::Error| Failure::untrusted(format!("{FILE_NAME} cannot be read: {e}"));
    // A few bytes can unpack to any number.
    let plain = zstd::Decoder::new(archive).map_err(broken)?.take(LIMIT);
    let mut blobs = BTreeMap::new();
    for entry in tar::Archive::new(plain).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        let digest = Digest::of(&bytes);
        if name != digest.hex() {
            return Err(Failure::untrusted(format!("{FILE_NAME}: {name:?} holds {digest}")));
        }
        blobs.insert(digest, bytes.into());
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        zstd::encode_all(&archive.into_inner().unwrap()[..], 3).unwrap()
    }

    #[test]
    fn blobs_come_back_by_their_digests() {
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        let blobs = read(&archive(&[(&one.hex(), b"one"), (&two.hex(), b"two")])).unwrap();
        assert_eq!(blobs.keys().copied().collect::<Vec<_>>(), {
            let mut both = vec![one, two];
            both.sort();
            both
        });
        assert_eq!(&blobs[&one][..], b"one");
        assert!(read(&archive(&[])).unwrap().is_empty());
    }

    #[test]
    fn lies_and_broken_archives_are_refused() {
        let whole = archive(&[(&Digest::of("one").hex(), b"one")]);
        for bad in [
            archive(&[(&Digest::of("one").hex(), b"two")]),
            archive(&[("passwd", b"x")]),
            whole[..whole.len() - 3].to_vec(),
            b"not zstd".to_vec(),
            Vec::new(),
        ] {
            assert!(read(&bad).is_err());
        }
    }
}
