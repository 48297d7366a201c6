//! The signed index: reading, changing, writing.

use super::seen::SeenIndex;
use super::{Signers, signatures};
use crate::effects::place::Tag;
use crate::effects::{Place, Point, point};
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::observed::Defect;
use crate::model::release::{Index, IndexedRelease, RELEASE_FORMAT};
use crate::model::{Digest, Failure, Result};
use crate::release::dsse::Sealed;
use crate::release::keys::{Standing, Trust};
use crate::release::{dsse, path};

/// The signed index: payload and signatures in one file.
pub(super) const ENVELOPE: &str = "index.dsse.json";
/// The same payload for people.
pub(super) const COPY: &str = "index.json";
/// A detached signature of the copy, in cosign's form.
pub(super) const COPY_SIGNATURE: &str = "index.json.sig";
/// What the envelope says it holds.
const PAYLOAD_TYPE: &str = "application/vnd.bootwright.index+json";
/// No index is larger, in bytes.
pub(super) const LIMIT: u64 = 64 << 20;

/// Reads the index of a store; nothing if there is none.
pub(super) fn read(store: &Place, trust: &Trust) -> Result<Option<Index>> {
    let path = store.join(ENVELOPE);
    match path.read(LIMIT)? {
        Some(bytes) => parse(&bytes, trust).map(Some).map_err(|f| f.on(&path)),
        None => Ok(None),
    }
}

/// As [`read`], for the publisher: an index that outlived its keys is read too, and the
/// defect says so. Nobody else may take it, and neither does the publisher if it is not the
/// one that was seen while its keys counted.
pub(super) fn read_outlived(
    store: &Place,
    trust: &Trust,
    seen: Option<&SeenIndex>,
) -> Result<Option<(Index, Option<Defect>, Tag)>> {
    let path = store.join(ENVELOPE);
    let Some((bytes, tag)) = path.read_tagged(LIMIT)? else { return Ok(None) };
    let on = |f: Failure| f.on(&path);
    let sealed = Sealed::read(PAYLOAD_TYPE, &bytes, trust).map_err(on)?;
    let standing = sealed.standing().clone();
    let is_the_seen = |index: &Index| {
        let digest = digest(index)?;
        Ok(seen.is_some_and(|s| s.serial == index.serial && s.index == digest))
    };
    match &standing {
        Standing::Good { .. } | Standing::Unknown => {
            let index = sealed.open().and_then(|payload| parse_payload(&payload)).map_err(on)?;
            return Ok(Some((index, ending(&bytes, trust)?, tag)));
        }
        Standing::Retired { .. } | Standing::TooFew { .. } => {}
    }
    let index = sealed.open_known().and_then(|payload| parse_payload(&payload)).map_err(on)?;
    let trusted_once = match (&standing, seen) {
        // Nothing is remembered on this host: those who signed were enough in their time.
        (Standing::Retired { .. }, None) => true,
        _ => is_the_seen(&index)?,
    };
    if !trusted_once {
        standing.accept().map_err(|f| {
            on(f).hint(
                "This is not the index that this host saw while those keys counted, so it is not signed again. Let their times or the threshold be as they were, reconcile, and then change them.",
            )
        })?;
    }
    let defect = signatures::judged(ENVELOPE.to_owned(), standing).err();
    Ok(Some((index, defect, tag)))
}

/// Whether the index has to be signed again before a key ends.
fn ending(envelope: &[u8], trust: &Trust) -> Result<Option<Defect>> {
    let Some(ahead) = trust.ahead() else { return Ok(None) };
    let standing = Sealed::read(PAYLOAD_TYPE, envelope, &ahead)?.standing().clone();
    let defect = signatures::judged(ENVELOPE.to_owned(), standing).err();
    Ok(defect.map(signatures::before_the_end).filter(Defect::is_outlived))
}

/// Opens an envelope and reads the index in it.
pub(super) fn parse(envelope: &[u8], trust: &Trust) -> Result<Index> {
    parse_payload(&dsse::open(PAYLOAD_TYPE, envelope, trust)?)
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

/// The digest that an index is remembered by.
pub(super) fn digest(index: &Index) -> Result<Digest> {
    payload(index).map(Digest::of)
}

/// Signs and writes the index: the moment in which a change is published. Says `false`, and
/// writes nothing, if its file is no longer the one that was read.
pub(super) fn write(store: &Place, index: &Index, signers: &Signers, before: Option<&Tag>) -> Result<bool> {
    let envelope = dsse::seal(PAYLOAD_TYPE, &payload(index)?, &signers.all())?;
    let written = store.join(ENVELOPE).put_after(envelope.as_bytes(), before)?;
    point(Point::IndexWritten)?;
    Ok(written)
}

/// Brings the copies for people up to date, also after a writer was killed before it did.
pub(super) fn write_copies(store: &Place, index: &Index, signers: &Signers) -> Result<()> {
    if index.serial == 0 {
        return Ok(());
    }
    let bytes = payload(index)?;
    let copy = store.join(COPY);
    let there = copy.read(LIMIT)?.is_some_and(|there| there == bytes);
    let made_by = signers.all();
    let wanted: Vec<String> =
        signatures::names(COPY, &Trust::of(made_by[1..].iter().map(|s| s.public().clone())));
    let mut signed = there;
    for (name, signer) in wanted.iter().zip(&made_by) {
        signed &= store
            .join(name)
            .read(signatures::LIMIT)?
            .is_some_and(|there| signer.public().verifies(&bytes, &String::from_utf8_lossy(&there)));
    }
    if !signed {
        copy.put(&bytes)?;
        point(Point::IndexCopied)?;
        for (name, signature) in signatures::make(COPY, &bytes, signers)? {
            store.join(name).put(signature.as_bytes())?;
        }
    }
    drop_signatures(store, &wanted)
}

/// Removes signatures of the copy by keys that sign no more.
fn drop_signatures(store: &Place, wanted: &[String]) -> Result<()> {
    for name in store.names()? {
        if path::is_signature_of(COPY, &name) && !wanted.contains(&name) {
            store.join(&name).remove()?;
        }
    }
    Ok(())
}

/// Whether the copies for people were written before the index: its writer was killed. Looks
/// at times only.
pub(super) fn copies_are_older(store: &Place) -> bool {
    let written = |name: &str| store.join(name).look().ok().flatten().map(|seen| seen.modified);
    let Some(index) = written(ENVELOPE) else { return false };
    let (copy, signature) = (written(COPY), written(COPY_SIGNATURE));
    copy.is_none_or(|copy| copy < index) || signature < copy
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
    use crate::model::ErrorCode;
    use crate::release::keys::{Signer, generate};
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
        let (dir, signers) = (tempfile::tempdir().unwrap(), Signers::alone(signer()));
        let keys = signers.trust.clone();
        let place = Place::folder(dir.path());
        assert_eq!(read(&place, &keys).unwrap(), None);
        let index = Index { serial: 7, ..Index::default() };
        assert!(write(&place, &index, &signers, None).unwrap());
        assert_eq!(read(&place, &keys).unwrap().as_ref(), Some(&index));
        let refused = |keys: &Trust| read(&place, keys).unwrap_err().code == ErrorCode::Untrusted;
        assert!(refused(&Trust::of([self::signer().public().clone()])) && refused(&Trust::of([])));
        assert!(refused(&keys.clone().with_threshold(2)));
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
        assert!(write(&place, &newer, &signers, None).unwrap());
        assert!(refused(&keys), "a format of the future");
    }

    #[test]
    fn copies_are_mended_and_lose_what_retired_keys_signed() {
        let (dir, mut signers) = (tempfile::tempdir().unwrap(), Signers::alone(signer()));
        let index = Index { serial: 1, ..Index::default() };
        let place = Place::folder(dir.path());
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let holds = |signer: &Signer, name: &str| {
            signer.public().verifies(&read(COPY), &String::from_utf8(read(name)).unwrap())
        };
        write_copies(&place, &index, &signers).unwrap();
        let signature = read("index.json.sig");
        write_copies(&place, &index, &signers).unwrap();
        assert_eq!(read("index.json.sig"), signature, "nothing to mend, nothing written");
        std::fs::write(dir.path().join(COPY), "x").unwrap();
        write_copies(&place, &index, &signers).unwrap();
        assert!(holds(&signers.key, "index.json.sig"));
        signers.further.push(signer());
        write_copies(&place, &index, &signers).unwrap();
        let further = format!("index.json.{}.sig", signers.further[0].public().tag());
        assert!(holds(&signers.key, "index.json.sig") && holds(&signers.further[0], &further));
        signers.further.clear();
        write_copies(&place, &index, &signers).unwrap();
        assert!(!dir.path().join(further).exists());
    }
}
