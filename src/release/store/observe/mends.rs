//! What makes a damaged release whole without a build.
//!
//! The signed manifest says which bytes belong there: any copy that has their digest is as
//! good as the original. Only what was found and hashed here is promised.

use super::{Found, PAGE};
use crate::effects::Place;
use crate::model::observed::{Defect, Mend};
use crate::model::release::{FileRole, Manifest, ReleaseFile};
use crate::model::{Digest, Result};
use crate::release::blockmap;
use crate::release::store::MANIFEST;
use crate::release::sums;
use std::path::PathBuf;

/// All mends of a release, in the order in which they are made; `None` if it needs a build.
pub(super) fn of<'a, 'i: 'a>(
    release: &Found<'i>,
    others: impl Iterator<Item = &'a Found<'i>> + Clone,
    copies: &[PathBuf],
    is_head: bool,
) -> Result<Option<Vec<Mend>>> {
    let Some(manifest) = &release.manifest else {
        // Nothing says any more what belongs there. What no channel points to goes.
        let gone = !is_head && release.defects == [Defect::NoFolder];
        return Ok(gone.then(|| vec![Mend::Unlist]));
    };
    let mut mends = Vec::new();
    // What outlived its keys is signed again in a step of its own.
    for defect in release.defects.iter().filter(|defect| !defect.is_outlived()) {
        let Some(mend) = one(release, manifest, defect, others.clone(), copies)? else { return Ok(None) };
        if !mends.contains(&mend) {
            mends.push(mend);
        }
    }
    mends.sort_by_key(order);
    Ok((!mends.is_empty()).then_some(mends))
}

/// What is in the way first, then bytes, then what is made from them, then signatures.
fn order(mend: &Mend) -> u8 {
    match mend {
        Mend::Quarantine { .. } => 0,
        Mend::Restore { .. } => 1,
        Mend::Rewrite { .. } => 2,
        Mend::Sign { .. } => 3,
        Mend::Unlist => 4,
        Mend::Push => 5,
    }
}

fn one<'a, 'i: 'a>(
    release: &Found<'i>,
    manifest: &Manifest,
    defect: &Defect,
    others: impl Iterator<Item = &'a Found<'i>>,
    copies: &[PathBuf],
) -> Result<Option<Mend>> {
    let vouched = |file: &str| file == MANIFEST || file == sums::FILE_NAME;
    match defect {
        Defect::NoFolder
        | Defect::Registry { .. }
        | Defect::RetiredKey { .. }
        | Defect::EndingKey { .. }
        | Defect::TooFewKeys { .. } => Ok(None),
        Defect::Orphaned { file } => Ok(Some(Mend::Quarantine { file: file.clone() })),
        Defect::Unsigned { file } | Defect::BadSignature { file } => {
            Ok(vouched(file).then(|| Mend::Sign { file: file.clone() }))
        }
        Defect::Missing { file } | Defect::Altered { file, .. } | Defect::Truncated { file, .. } => {
            if file == sums::FILE_NAME || file == PAGE {
                return Ok(Some(Mend::Rewrite { file: file.clone() }));
            }
            let Some(listed) = manifest.files.iter().find(|f| &f.name == file) else { return Ok(None) };
            if derived(release, manifest, listed)?.is_some() {
                return Ok(Some(Mend::Rewrite { file: file.clone() }));
            }
            let copy = copy_of(listed, others, copies)?;
            Ok(copy.map(|from| Mend::Restore { file: file.clone(), from: from.to_string() }))
        }
    }
}

/// The text of a block map, made again from an image with which nothing is wrong.
fn derived(release: &Found<'_>, manifest: &Manifest, file: &ReleaseFile) -> Result<Option<String>> {
    let Some(of) = file.name.strip_suffix(".bmap").filter(|_| file.role == FileRole::BlockMap) else {
        return Ok(None);
    };
    let listed = manifest.files.iter().any(|f| f.name == of);
    if !listed || release.defects.iter().any(|d| d.file() == Some(of)) {
        return Ok(None);
    }
    block_map(&release.folder.join(of), file)
}

/// The block map of a file, if it is the one that the manifest lists.
pub(in crate::release::store) fn block_map(of: &Place, listed: &ReleaseFile) -> Result<Option<String>> {
    let text = blockmap::map(of.local()?.path())?.to_xml();
    Ok((Digest::of(&text) == listed.sha256).then_some(text))
}

/// A file with the bytes that are missing: of another release, or one of `copies`.
fn copy_of<'a, 'i: 'a>(
    file: &ReleaseFile,
    others: impl Iterator<Item = &'a Found<'i>>,
    copies: &[PathBuf],
) -> Result<Option<Place>> {
    let mut candidates = Vec::new();
    for other in others {
        let same = other.manifest.iter().flat_map(|m| &m.files).filter(|f| f.sha256 == file.sha256);
        candidates.extend(same.map(|f| other.folder.join(&f.name)));
    }
    for folder in copies {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        candidates.extend(entries.map(|entry| Place::folder(entry.path())));
    }
    for place in candidates {
        let fits = place.look().is_ok_and(|seen| seen.is_some_and(|s| s.is_file() && s.size == file.size));
        if fits && place.digest().is_ok_and(|(digest, _)| digest == file.sha256) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
