//! A full disk: our own leftovers go first, then one more try.
//!
//! What may go without asking is what nobody can miss: folders of processes that are gone, and
//! artifacts of runs that ended. Entries that no recipe of the catalog needs go only where
//! the settings limit the cache, which is the permission to remove them.

use super::World;
use crate::build::cache::Kind;
use crate::build::cache::needs::Needs;
use crate::build::cache::prune::{Limits, Prune, Pruned};
use crate::effects::files::free_space;
use crate::model::spec::Size;
use crate::model::{Emitter, ErrorCode, Failure, Result};
use std::path::Path;

/// With fewer bytes than this made free, the same work fails at the same place.
const WORTHWHILE: u64 = 1 << 20;

/// Does `work`; when a disk is full, cleans up and does it once more.
pub(super) fn with_room<T>(
    world: &World<'_>,
    events: &Emitter,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    match work() {
        Err(failure) if failure.code == ErrorCode::DiskFull => {
            events.warn(format!("{failure}; leftovers are removed"));
            match clean(world) {
                Ok(freed) if freed < WORTHWHILE => Err(explain(world, failure)),
                Ok(freed) => {
                    events.warn(format!("{} were freed; it is tried once more", Size::from_bytes(freed)));
                    work().map_err(|failure| match failure.code {
                        ErrorCode::DiskFull => explain(world, failure),
                        _ => failure,
                    })
                }
                Err(cleaning) => {
                    events.warn(format!("leftovers could not be removed: {cleaning}"));
                    Err(explain(world, failure))
                }
            }
        }
        other => other,
    }
}

/// Removes what may go without asking; says how many bytes that were. What became free on the
/// disk would say what others removed too.
fn clean(world: &World<'_>) -> Result<u64> {
    let cache = &world.cache;
    let nothing = Limits { size: Some(0), age: None };
    let none = Needs::default();
    let leftovers = Prune {
        limits: nothing,
        kinds: vec![Kind::Artifacts],
        needs: &none,
        spare_needed: false,
        dry_run: false,
    };
    let mut freed = removed(&cache.prune(&leftovers, world.clock.now(), &world.cancel)?);
    if world.cache_limits().any() {
        let needs = world.needs()?;
        let unneeded =
            Prune { limits: nothing, kinds: Vec::new(), needs: &needs, spare_needed: true, dry_run: false };
        freed += removed(&cache.prune(&unneeded, world.clock.now(), &world.cancel)?);
    }
    Ok(freed)
}

/// Nobody counted the bytes in folders of processes that are gone: each is worth a try.
fn removed(pruned: &Pruned) -> u64 {
    pruned.freed_bytes + pruned.swept as u64 * WORTHWHILE
}

/// The same failure with how much is free where, and what could be freed.
fn explain(world: &World<'_>, failure: Failure) -> Failure {
    let mut lines: Vec<String> = failure.details.iter().cloned().collect();
    for place in [world.cache.root(), &world.store.place().scratch()] {
        lines.extend(free(place));
    }
    lines.dedup();
    let hint = match could_free(world) {
        Ok((all, unneeded)) if all > 0 => format!(
            "`bootwright cache prune --max-size 0` could free {}, of which the catalog does not need {}; or free some space elsewhere, or set another cache folder.",
            Size::from_bytes(all),
            Size::from_bytes(unneeded)
        ),
        _ => "Free some space there, or set another cache folder: the cache has nothing to give.".to_owned(),
    };
    failure.details(lines.join("\n")).hint(hint)
}

fn free(place: &Path) -> Option<String> {
    let free = free_space(place).ok()?;
    Some(format!("{} has {} free", place.display(), Size::from_bytes(free)))
}

/// Bytes that a prune could free now, and those of them that no recipe needs.
fn could_free(world: &World<'_>) -> Result<(u64, u64)> {
    let needs = world.needs()?;
    let limits = Limits { size: Some(0), age: None };
    let prune = Prune { limits, kinds: Vec::new(), needs: &needs, spare_needed: false, dry_run: true };
    let pruned = world.cache.prune(&prune, world.clock.now(), &world.cancel)?;
    let unneeded = pruned.removed.iter().filter(|choice| !choice.needed).map(|choice| choice.bytes).sum();
    Ok((pruned.freed_bytes, unneeded))
}
