//! Evidence that outlives a killed run: artifacts that proved themselves need not do it
//! again before they are published.
//!
//! ```text
//! evidence/HEX/record.json    what was asked and what was shown
//! evidence/HEX/0000, 0001 …   the files of the checks
//! ```

use crate::effects::files::{WorkFolder, read_if_exists, remove_tree, write_atomic};
use crate::effects::{Point, point};
use crate::model::evidence::{Evidence, EvidenceFile};
use crate::model::failure::IoContext;
use crate::model::{Artifact, Digest, Failure, Recipe, Result};
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
pub(super) fn place(cache: &Path, artifact: &Artifact, recipe: &Recipe) -> PathBuf {
    let id = Digest::of_json(&(artifact.digest, &recipe.verify, recipe.digest()));
    cache.join("evidence").join(id.hex())
}

/// The evidence that is kept, if it is whole and of these bytes.
pub(super) fn find(place: &Path, artifact: &Artifact) -> Result<Option<Evidence>> {
    let Some(bytes) = read_if_exists(&place.join("record.json"), LIMIT)? else { return Ok(None) };
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
        remove_tree(place)?;
        return Ok(None);
    };
    let mut evidence = record.evidence;
    if evidence.artifact != artifact.digest || evidence.checks.len() != record.files.len() {
        return Ok(None);
    }
    for (check, files) in evidence.checks.iter_mut().zip(record.files) {
        check.files =
            files.into_iter().map(|(name, file)| EvidenceFile { name, path: place.join(file) }).collect();
        if check.files.iter().any(|f| !f.path.is_file()) {
            return Ok(None);
        }
    }
    Ok(Some(evidence))
}

/// Keeps evidence, with copies of its files, and gives it back with the files' new places.
pub(super) fn keep(cache: &Path, place: &Path, mut evidence: Evidence) -> Result<Evidence> {
    let work = WorkFolder::new(&cache.join("work"), "evidence")?;
    let staged = work.path().join("record");
    std::fs::create_dir(&staged).during(|| format!("making {}", staged.display()))?;
    let (mut names, mut count) = (Vec::new(), 0);
    for check in &mut evidence.checks {
        let mut of_check = Vec::new();
        for file in &mut check.files {
            let name = format!("{count:04}");
            std::fs::copy(&file.path, staged.join(&name))
                .during(|| format!("keeping {}", file.path.display()))?;
            file.path = place.join(&name);
            of_check.push((file.name.clone(), name));
            count += 1;
        }
        names.push(of_check);
    }
    let record = Record { evidence: evidence.clone(), files: names };
    let json = serde_json::to_vec_pretty(&record).map_err(|e| Failure::bug(e.to_string()))?;
    write_atomic(&staged.join("record.json"), &json, 0o644)?;
    point(Point::EvidenceStaged)?;
    let folder = crate::effects::files::parent(place);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    remove_tree(place)?;
    std::fs::rename(&staged, place).during(|| format!("keeping {}", place.display()))?;
    point(Point::EvidenceKept)?;
    Ok(evidence)
}
