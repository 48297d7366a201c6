//! `release prune`.

use super::reconciling::publishing;
use super::workspace::{Workspace, runtime};
use super::{Context, KeptRelease, PruneReport, PruneRequest, PrunedRelease};
use crate::model::settings::Retention as Rules;
use crate::model::{Failure, ImageName, Result, Version};
use crate::release::store::prune::{Fate, Retention};
use chrono::TimeDelta;

/// Lets old releases go: shows which, and removes them when asked to.
///
/// What a channel points to stays, the last good release before it, and what
/// `store.retention.hold` names.
///
/// # Errors
/// Class *spec* if nothing says how many or how old releases have to be, or what is held does
/// not exist.
pub fn release_prune(context: &Context, request: PruneRequest) -> Result<PruneReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let retention = retention(&workspace.settings().store.retention, &request)?;
    let (store, now) = (workspace.store(context)?, context.clock.now());
    let fates = if request.remove {
        let runtime = runtime()?;
        let publishing = publishing(context, &workspace, &runtime)?;
        let fates = store.prune(&retention, &publishing.signers, now)?;
        let gone: Vec<(ImageName, Version)> =
            fates.iter().filter(|f| f.kept.is_none()).map(|f| (f.image.clone(), f.version.clone())).collect();
        workspace.forget(&runtime, &gone)?;
        fates
    } else {
        store.prunable(&retention, &workspace.trust(now)?, now)?
    };
    Ok(report(store.place().to_string(), request.remove, fates))
}

fn report(store: String, done: bool, fates: Vec<Fate>) -> PruneReport {
    let (mut removed, mut kept, mut bytes) = (Vec::new(), Vec::new(), 0);
    for fate in fates {
        let Fate { image, version, published, .. } = fate;
        match fate.kept {
            Some(why) => kept.push(KeptRelease { image, version, why }),
            None => {
                bytes += fate.bytes;
                removed.push(PrunedRelease { image, version, published, bytes: fate.bytes });
            }
        }
    }
    PruneReport { store, done, removed, bytes, kept }
}

/// What the command line says, else what the catalog says.
fn retention(rules: &Rules, request: &PruneRequest) -> Result<Retention> {
    let keep = request.keep.or(rules.keep);
    let days = request.older_than_days.or(rules.older_than_days);
    if keep.is_none() && days.is_none() {
        return Err(Failure::spec("nothing says which releases may go").hint(
            "Give --keep N or --older-than DAYSd, or set `store: {retention: {keep: …, olderThanDays: …}}` \
             in bootwright.yaml.",
        ));
    }
    let hold = rules.hold.iter().map(|text| {
        let parts = text.split_once('/').and_then(|(image, version)| {
            Some((image.parse::<ImageName>().ok()?, version.parse::<Version>().ok()?))
        });
        parts.ok_or_else(|| Failure::spec(format!("store.retention.hold: {text:?} is not a release")))
    });
    Ok(Retention {
        keep: keep.map_or(0, |keep| usize::try_from(keep).unwrap_or(usize::MAX)),
        older_than: TimeDelta::days(days.map_or(0, i64::from)),
        hold: hold.collect::<Result<_>>()?,
    })
}
