//! What a killed run left, tidied up before anything new is begun.
//!
//! Everything here is about things that nobody holds any more: locks, which the kernel frees
//! when their process dies, say so. What others work on is left alone, and doing it twice
//! does no harm.

use super::World;
use crate::build::cache::lock_of;
use crate::effects::files::{FileLock, WorkFolder, remove_tree};
use crate::effects::{Point, point, unfinished};
use crate::model::failure::IoContext;
use crate::model::observed::Mend;
use crate::model::plan::{Action, Planned};
use crate::model::run::{Phase, Run, RunState};
use crate::model::{Digest, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Folders of the cache that small files are written to.
const WRITTEN_TO: [&str; 5] = ["", "modules", "blobs", "initramfs", "initramfs/modules"];
/// Folders of the cache that squashfs modules and OCI blobs are made in.
const WORKED_IN: [&str; 2] = ["modules/work", "blobs/work"];

impl World<'_> {
    /// Ends runs whose release is published, and removes what killed processes left in the
    /// cache, but for copies that `planned` repairs releases from.
    ///
    /// # Errors
    /// If state or cache cannot be read or written.
    pub fn settle(&self, planned: &Planned) -> Result<()> {
        let open = self.end_published_runs()?;
        let cache = self.cache.root();
        for folder in WORKED_IN {
            WorkFolder::sweep(&cache.join(folder))?;
        }
        for folder in WRITTEN_TO {
            unfinished::sweep(&cache.join(folder))?;
        }
        let indexes = cache.join("apt");
        for state in std::fs::read_dir(&indexes).into_iter().flatten().flatten() {
            for folder in ["", "etc", "keys"] {
                unfinished::sweep(&state.path().join(folder))?;
            }
        }
        remove_artifacts(&cache.join("artifacts"), &open, &copies(planned))?;
        point(Point::Settled)
    }

    /// A run that was killed between the index and its own last words is over all the same.
    /// Gives the recipes of the runs that are not.
    fn end_published_runs(&self) -> Result<BTreeSet<Digest>> {
        let state = self.state()?;
        let mut open: Vec<Run> = self.runtime.block_on(state.open_runs())?;
        if open.iter().any(may_be_published) {
            let (index, _) = self.store.index_outlived(&self.keys)?;
            let history = self.runtime.block_on(state.history(self.clock.now()))?;
            let published = |run: &Run| {
                let image = index.images.get(&run.image);
                let held = history.get(&run.image).is_some_and(|h| h.leased_by.is_some());
                let listed = image.is_some_and(|image| {
                    image.releases.iter().any(|r| r.version == run.version && r.recipe == run.recipe)
                });
                may_be_published(run) && !held && listed
            };
            let (over, left): (Vec<Run>, Vec<Run>) = open.into_iter().partition(published);
            for run in over {
                // One that failed after its release was listed has nothing left to do either.
                let end = match run.state.phase() {
                    Phase::Publishing => RunState::Published,
                    _ => RunState::Superseded,
                };
                self.runtime.block_on(state.advance(run.id, end, self.clock.now()))?;
            }
            open = left;
        }
        Ok(open.into_iter().map(|run| run.recipe).collect())
    }
}

fn may_be_published(run: &Run) -> bool {
    matches!(run.state.phase(), Phase::Publishing | Phase::Failed)
}

/// The files that a plan restores published ones from.
fn copies(planned: &Planned) -> Vec<&Path> {
    let repaired = planned.plan.steps.iter().filter_map(|step| match &step.action {
        Action::Repair { releases } => Some(releases),
        _ => None,
    });
    let mends = repaired.flatten().flat_map(|release| &release.mends);
    mends
        .filter_map(|mend| match mend {
            Mend::Restore { from, .. } => Some(Path::new(from)),
            _ => None,
        })
        .collect()
}

/// Removes the artifacts of recipes that no open run is about.
fn remove_artifacts(artifacts: &Path, open: &BTreeSet<Digest>, copies: &[&Path]) -> Result<()> {
    let reading = || format!("reading {}", artifacts.display());
    let entries = match std::fs::read_dir(artifacts) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).during(reading),
    };
    for entry in entries {
        let folder = entry.during(reading)?.path();
        let recipe = folder.file_name().and_then(|name| format!("sha256:{}", name.to_str()?).parse().ok());
        let left = recipe.is_some_and(|recipe: Digest| !open.contains(&recipe));
        if !left || !folder.is_dir() || copies.iter().any(|copy| copy.starts_with(&folder)) {
            continue;
        }
        if let Some(_free) = FileLock::try_take(&lock_of(&folder))? {
            remove_tree(&folder)?;
        }
    }
    Ok(())
}
