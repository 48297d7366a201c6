//! A full disk: our own leftovers go first, then one more try.
//!
//! Only what lies on the file system that is full goes: what is finished in the cache is no help
//! to a store on another disk.
//!
//! What may go without asking is what nobody can miss: folders of processes that are gone, and
//! artifacts of runs that ended. Entries that no recipe of the catalog needs go only where
//! the settings limit the cache, which is the permission to remove them.

use super::World;
use crate::build::cache::Kind;
use crate::build::cache::kind::TABLE;
use crate::build::cache::needs::Needs;
use crate::build::cache::prune::{Limits, Prune, Pruned};
use crate::effects::files::{file_system, free_space};
use crate::model::spec::Size;
use crate::model::{Emitter, ErrorCode, Failure, Result};
use std::path::{Path, PathBuf};

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
            let full = Full::of(world, &failure);
            if full.kinds.is_empty() {
                return Err(explain(world, &full, failure));
            }
            events.warn(format!("{failure}; leftovers are removed"));
            match clean(world, &full.kinds) {
                Ok(freed) if freed < WORTHWHILE => Err(explain(world, &full, failure)),
                Ok(freed) => {
                    events.warn(format!("{} were freed; it is tried once more", Size::from_bytes(freed)));
                    work().map_err(|failure| match failure.code {
                        ErrorCode::DiskFull => explain(world, &Full::of(world, &failure), failure),
                        _ => failure,
                    })
                }
                Err(cleaning) => {
                    events.warn(format!("leftovers could not be removed: {cleaning}"));
                    Err(explain(world, &full, failure))
                }
            }
        }
        other => other,
    }
}

/// Where room is missing.
struct Full {
    /// A folder on the file system that is full.
    place: PathBuf,
    /// The kinds of entries of the cache that lie on it.
    kinds: Vec<Kind>,
}

impl Full {
    /// A failure of ours names the path; what a tool says was written in the cache.
    fn of(world: &World<'_>, failure: &Failure) -> Self {
        let (cache, store) = (&world.cache, world.store.path().to_owned());
        let mut places: Vec<PathBuf> = TABLE.iter().map(|row| cache.folder(row.kind)).collect();
        places.extend([cache.root().to_owned(), store]);
        let place = named(&failure.message, &places).unwrap_or_else(|| cache.work());
        let kinds = TABLE.iter().map(|row| row.kind);
        let kinds = kinds.filter(|kind| on_one_file_system(&cache.folder(*kind), &place)).collect();
        Self { place, kinds }
    }
}

/// The place that a message names; a copy names last where it goes to. Of places that lie in
/// each other the inner one.
fn named(message: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let found = places.iter().filter_map(|place| {
        let text = place.to_string_lossy();
        let ends =
            |at: &usize| matches!(message.as_bytes().get(at + text.len()), None | Some(b'/' | b':' | b' '));
        let at = message.match_indices(text.as_ref()).map(|(at, _)| at).filter(ends).last()?;
        Some((at, text.len(), place))
    });
    found.max_by_key(|(at, length, _)| (*at, *length)).map(|(.., place)| place.clone())
}

fn on_one_file_system(one: &Path, other: &Path) -> bool {
    match (file_system(one), file_system(other)) {
        (Ok(one), Ok(other)) => one == other,
        // What cannot be asked is not touched.
        _ => false,
    }
}

/// Removes what may go without asking; says how many bytes that were. What became free on the
/// disk would say what others removed too.
fn clean(world: &World<'_>, kinds: &[Kind]) -> Result<u64> {
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
    let mut freed = match kinds.contains(&Kind::Artifacts) {
        true => removed(&cache.prune(&leftovers, world.clock.now(), &world.cancel)?),
        false => 0,
    };
    if world.cache_limits().any() {
        let needs = world.needs()?;
        let kinds = kinds.to_vec();
        let unneeded = Prune { limits: nothing, kinds, needs: &needs, spare_needed: true, dry_run: false };
        freed += removed(&cache.prune(&unneeded, world.clock.now(), &world.cancel)?);
    }
    Ok(freed)
}

/// Nobody counted the bytes in folders of processes that are gone: each is worth a try.
fn removed(pruned: &Pruned) -> u64 {
    pruned.freed_bytes + pruned.swept as u64 * WORTHWHILE
}

/// The same failure with how much is free where, and what could be freed.
fn explain(world: &World<'_>, full: &Full, failure: Failure) -> Failure {
    let mut lines: Vec<String> = failure.details.iter().cloned().collect();
    for place in [world.cache.root(), &world.store.place().scratch()] {
        lines.extend(free(place));
    }
    lines.dedup();
    let hint = match could_free(world, &full.kinds) {
        Ok((all, unneeded)) if all > 0 => format!(
            "`bootwright cache prune --max-size 0` could free {}, of which the catalog does not need {}; or free some space elsewhere, or set another cache folder.",
            Size::from_bytes(all),
            Size::from_bytes(unneeded)
        ),
        _ => format!(
            "Free some space on the file system of {}, or set another folder: the cache has nothing to give there.",
            full.place.display()
        ),
    };
    failure.details(lines.join("\n")).hint(hint)
}

fn free(place: &Path) -> Option<String> {
    let free = free_space(place).ok()?;
    Some(format!("{} has {} free", place.display(), Size::from_bytes(free)))
}

/// Bytes that a prune could free now, and those of them that no recipe needs.
fn could_free(world: &World<'_>, kinds: &[Kind]) -> Result<(u64, u64)> {
    if kinds.is_empty() {
        return Ok((0, 0));
    }
    let needs = world.needs()?;
    let limits = Limits { size: Some(0), age: None };
    let prune = Prune { limits, kinds: kinds.to_vec(), needs: &needs, spare_needed: false, dry_run: true };
    let pruned = world.cache.prune(&prune, world.clock.now(), &world.cancel)?;
    let unneeded = pruned.removed.iter().filter(|choice| !choice.needed).map(|choice| choice.bytes).sum();
    Ok((pruned.freed_bytes, unneeded))
}

#[cfg(test)]
mod tests {
    use super::named;
    use std::path::PathBuf;

    #[test]
    fn the_place_that_is_full_is_the_one_that_is_written_to() {
        let places =
            ["/srv/shop", "/srv/shop/cache", "/srv/shop/cache/artifacts", "/data"].map(PathBuf::from);
        let named = |message: &str| named(message, &places).map(|place| place.display().to_string());
        for (message, place) in [
            ("writing /data/tiny/x: No space left on device", Some("/data")),
            ("writing /data: No space left on device", Some("/data")),
            ("writing /srv/shop/cache/artifacts/x: full", Some("/srv/shop/cache/artifacts")),
            ("copying /srv/shop/cache/artifacts/x to /data/y: full", Some("/data")),
            ("copying /data/y to /srv/shop/cache/artifacts/x: full", Some("/srv/shop/cache/artifacts")),
            ("writing /database/x: full", None),
            ("writing /srv/shop/cachet: full", Some("/srv/shop")),
            ("mksquashfs: No space left on device", None),
        ] {
            assert_eq!(named(message).as_deref(), place, "{message}");
        }
    }
}
