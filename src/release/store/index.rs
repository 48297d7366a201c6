//! The signed index: reading, changing, writing.

use crate::effects::files::{read_if_exists, write_atomic};
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::release::{Index, IndexedRelease, RELEASE_FORMAT};
use crate::model::{Failure, Result};
use crate::release::dsse;
use crate::release::keys::{PublicKey, Signer};
use std::path::Path;

/// The signed index: payload and signature in one file.
pub(super) const ENVELOPE: &str = "index.dsse.json";
/// The same payload for people.
const COPY: &str = "index.json";
/// A detached signature of the copy, in cosign's form.
const COPY_SIGNATURE: &str = "index.json.sig";
/// What the envelope says it holds.
const PAYLOAD_TYPE: &str = "application/vnd.bootwright.index+json";
/// No index is larger, in bytes.
pub(super) const LIMIT: u64 = 64 << 20;

/// Reads the index of a local store; an empty one if there is none.
pub(super) fn read(store: &Path, keys: &[PublicKey]) -> Result<Index> {
    let path = store.join(ENVELOPE);
    match read_if_exists(&path, LIMIT)? {
        Some(bytes) => parse(&bytes, keys).map_err(|f| f.on(path.display())),
        None => Ok(Index::default()),
    }
}

/// Opens an envelope and reads the index in it.
pub(super) fn parse(envelope: &[u8], keys: &[PublicKey]) -> Result<Index> {
    parse_payload(&dsse::open(PAYLOAD_TYPE, envelope, keys)?)
}

/// Reads the payload of an index's envelope, once its signature was checked.
///
/// # Errors
/// *Untrusted* if it is none.
pub fn parse_payload(payload: &[u8]) -> Result<Index> {
    let index: Index = serde_json::from_slice(payload)
        .map_err(|e| Failure::untrusted(format!("the index cannot be read: {e}")))?;
    if index.format != RELEASE_FORMAT {
        return Err(Failure::untrusted(format!(
            "the index has format {}, this program knows {RELEASE_FORMAT}",
            index.format
        ))
        .hint("Use a newer bootwright."));
    }
    Ok(index)
}

fn payload(index: &Index) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(index).map_err(|e| Failure::bug(format!("writing the index: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Signs and writes the index: the moment in which a change is published.
pub(super) fn write(store: &Path, index: &Index, signer: &Signer) -> Result<()> {
    let envelope = dsse::seal(PAYLOAD_TYPE, &payload(index)?, signer)?;
    write_atomic(&store.join(ENVELOPE), envelope.as_bytes(), 0o644)
}

/// Brings the copies for people up to date, also after a writer was killed before it did.
pub(super) fn write_copies(store: &Path, index: &Index, signer: &Signer) -> Result<()> {
    if index.serial == 0 {
        return Ok(());
    }
    let bytes = payload(index)?;
    let (copy, signature) = (store.join(COPY), store.join(COPY_SIGNATURE));
    let there = read_if_exists(&copy, LIMIT)?.is_some_and(|there| there == bytes);
    let signed = read_if_exists(&signature, 4096)?
        .is_some_and(|there| signer.public().verifies(&bytes, &String::from_utf8_lossy(&there)));
    if there && signed {
        return Ok(());
    }
    write_atomic(&copy, &bytes, 0o644)?;
    write_atomic(&signature, signer.sign(&bytes)?.as_bytes(), 0o644)
}

/// One release of the index.
pub(super) fn find<'i>(index: &'i Index, image: &ImageName, version: &Version) -> Result<&'i IndexedRelease> {
    let of_image = index.images.get(image).ok_or_else(|| {
        let known: Vec<&str> = index.images.keys().map(ImageName::as_str).collect();
        Failure::not_found(format!("the store has no image {image}")).hint(format!(
            "It has: {}.",
            if known.is_empty() { "none yet".to_owned() } else { known.join(", ") }
        ))
    })?;
    of_image.releases.iter().find(|r| &r.version == version).ok_or_else(|| {
        Failure::not_found(format!("{image} has no release {version}"))
            .hint("`bootwright release list` shows what there is.")
    })
}

/// Lists a release, newest first, in place of an entry of the same version.
pub(super) fn upsert(index: &mut Index, image: &ImageName, release: IndexedRelease) {
    let releases = &mut index.images.entry(image.clone()).or_default().releases;
    match releases.iter_mut().find(|r| r.version == release.version) {
        Some(there) => *there = release,
        None => releases.push(release),
    }
    releases.sort_by(|a, b| (b.published, &b.version).cmp(&(a.published, &a.version)));
}

/// Points a channel to a release.
pub(super) fn set_channel(index: &mut Index, image: &ImageName, channel: &ChannelName, version: &Version) {
    let image = index.images.entry(image.clone()).or_default();
    image.channels.insert(channel.clone(), version.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, ErrorCode};
    use crate::release::keys::generate;
    use chrono::DateTime;

    fn signer() -> Signer {
        Signer::parse(&generate(None).unwrap().0, None).unwrap()
    }

    fn entry(version: &str, published: i64) -> IndexedRelease {
        IndexedRelease {
            version: version.parse().unwrap(),
            recipe: Digest::of(version),
            manifest: Digest::of("m"),
            published: DateTime::from_timestamp(published, 0).unwrap(),
        }
    }

    #[test]
    fn newest_first_and_one_entry_for_each_version() {
        let (mut index, image) = (Index::default(), "demo".parse().unwrap());
        upsert(&mut index, &image, entry("20230101-00000000", 1));
        upsert(&mut index, &image, entry("20230301-00000000", 3));
        upsert(&mut index, &image, entry("20230201-00000000", 2));
        upsert(&mut index, &image, entry("20230101-00000000", 4));
        let versions: Vec<_> = index.images[&image].releases.iter().map(|r| r.version.as_str()).collect();
        assert_eq!(versions, ["20230101-00000000", "20230301-00000000", "20230201-00000000"]);
        assert!(find(&index, &image, &"20200101-00000000".parse().unwrap()).is_err());
        assert!(find(&index, &"other".parse().unwrap(), &"20230101-00000000".parse().unwrap()).is_err());
    }

    #[test]
    fn tampered_and_foreign_indexes_are_refused() {
        let (dir, signer) = (tempfile::tempdir().unwrap(), signer());
        let keys = [signer.public().clone()];
        assert_eq!(read(dir.path(), &keys).unwrap(), Index::default(), "missing is empty");
        let index = Index { serial: 7, ..Index::default() };
        write(dir.path(), &index, &signer).unwrap();
        assert_eq!(read(dir.path(), &keys).unwrap(), index);
        let refused = |keys: &[PublicKey]| read(dir.path(), keys).unwrap_err().code == ErrorCode::Untrusted;
        assert!(refused(&[self::signer().public().clone()]) && refused(&[]));
        let path = dir.path().join(ENVELOPE);
        let good = std::fs::read(&path).unwrap();
        for at in [0, 60, good.len() / 2, good.len() - 10] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(refused(&keys), "byte {at}");
        }
        std::fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
        assert!(refused(&keys), "an unsigned index");
        let newer = Index { format: RELEASE_FORMAT + 1, ..Index::default() };
        write(dir.path(), &newer, &signer).unwrap();
        assert!(refused(&keys), "a format of the future");
    }

    #[test]
    fn copies_are_mended() {
        let (dir, signer) = (tempfile::tempdir().unwrap(), signer());
        let index = Index { serial: 1, ..Index::default() };
        let read = |name| std::fs::read(dir.path().join(name)).unwrap();
        write_copies(dir.path(), &index, &signer).unwrap();
        let signature = read(COPY_SIGNATURE);
        write_copies(dir.path(), &index, &signer).unwrap();
        assert_eq!(read(COPY_SIGNATURE), signature, "nothing to mend, nothing written");
        std::fs::write(dir.path().join(COPY), "x").unwrap();
        write_copies(dir.path(), &index, &signer).unwrap();
        assert!(signer.public().verifies(&read(COPY), &String::from_utf8(read(COPY_SIGNATURE)).unwrap()));
    }
}
