//! Evidence that outlives a killed run: artifacts that proved themselves need not do it
//! again before they are published.
//!
//! ```text
//! evidence/HEX/root/record.json    what was asked and what was shown
//! evidence/HEX/root/0000, 0001 …   the files of the checks
//! ```

use crate::build::cache::{Cache, Found, Kind, lock_of, seal};
use crate::effects::files::{FileLock, WorkFolder, read_if_exists, write_atomic};
use crate::effects::{Point, point};
use crate::model::evidence::{Evidence, EvidenceFile};
use crate::model::failure::IoContext;
use crate::model::product::Resolved;
use crate::model::{Artifact, Digest, Emitter, Failure, Result};
use crate::verify;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// No record is larger, in bytes.
const LIMIT: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Record {
    evidence: Evidence,
    /// For each check, the files' names in the release and in this folder.
    files: Vec<Vec<(String, String)>>,
}

/// Where the evidence of one artifact is kept. What was asked for is part of the name: other
/// wishes need other evidence.
pub(super) fn place(cache: &Cache, artifact: &Artifact, resolved: &Resolved) -> PathBuf {
    let id = match resolved {
        Resolved::Image(resolved) => {
            Digest::of_json(&(artifact.digest, &resolved.recipe.verify, resolved.recipe.digest()))
        }
        Resolved::Firmware(_) => {
            Digest::of_json(&(artifact.digest, resolved.digest(), verify::FIRMWARE_CHECKS))
        }
    };
    cache.folder(Kind::Evidence).join(id.hex())
}

/// The evidence that is kept, if it is whole and of these bytes. What is damaged is told of;
/// new evidence takes its place.
pub(super) fn find(
    cache: &Cache,
    place: &Path,
    artifact: &Artifact,
    events: &Emitter,
) -> Result<Option<Evidence>> {
    match cache.find_tree(place)? {
        Found::Sound => {}
        Found::Absent => return Ok(None),
        Found::Damaged(why) => {
            events.warn(format!("evidence in the cache is damaged ({why}); it is gathered again"));
            return Ok(None);
        }
    }
    let root = place.join("root");
    let Some(bytes) = read_if_exists(&root.join("record.json"), LIMIT)? else { return Ok(None) };
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(None) };
    let mut evidence = record.evidence;
    if evidence.artifact != artifact.digest || evidence.checks.len() != record.files.len() {
        return Ok(None);
    }
    for (check, files) in evidence.checks.iter_mut().zip(record.files) {
        check.files =
            files.into_iter().map(|(name, file)| EvidenceFile { name, path: root.join(file) }).collect();
        if check.files.iter().any(|f| !f.path.is_file()) {
            return Ok(None);
        }
    }
    Ok(Some(evidence))
}

/// Keeps evidence, with copies of its files, and gives it back with the files' new places.
pub(super) fn keep(cache: &Cache, place: &Path, mut evidence: Evidence) -> Result<Evidence> {
    let work = WorkFolder::new(&cache.work(), "evidence")?;
    let kept = work.path().join("kept");
    let (staged, root) = (kept.join("root"), place.join("root"));
    std::fs::create_dir_all(&staged).during(|| format!("making {}", staged.display()))?;
    let (mut names, mut count) = (Vec::new(), 0);
    for check in &mut evidence.checks {
        let mut of_check = Vec::new();
        for file in &mut check.files {
            let name = format!("{count:04}");
            std::fs::copy(&file.path, staged.join(&name))
                .during(|| format!("keeping {}", file.path.display()))?;
            file.path = root.join(&name);
            of_check.push((file.name.clone(), name));
            count += 1;
        }
        names.push(of_check);
    }
    let record = Record { evidence: evidence.clone(), files: names };
    let json = serde_json::to_vec_pretty(&record).map_err(|e| Failure::bug(e.to_string()))?;
    write_atomic(&staged.join("record.json"), &json, 0o644)?;
    seal::seal_tree(&kept)?;
    point(Point::EvidenceStaged)?;
    let _making = FileLock::take(&lock_of(place))?;
    cache.discard(place)?;
    std::fs::rename(&kept, place).during(|| format!("keeping {}", place.display()))?;
    cache.hold(place)?;
    point(Point::EvidenceKept)?;
    Ok(evidence)
}
