//! What lies in a store and should not, and what is missing beside the releases.
//!
//! Only what looks like ours is judged: folders with an image's name that hold folders with
//! a version's name, and what is below `.staging`. A publisher may keep other files there.

use crate::model::Result;
use crate::model::name::{ImageName, Version};
use crate::model::observed::StoreFinding;
use crate::model::release::Index;
use crate::release::store::{LOCK, PUBLIC_KEY, Store, index};
use std::collections::BTreeSet;

/// Everything that is wrong with the store itself, sorted. With `only`, other images' folders
/// and what belongs to no image are left alone.
pub(super) fn find(store: &Store, index: &Index, only: Option<&[ImageName]>) -> Result<Vec<StoreFinding>> {
    // Whoever holds the lock is about to put things in their place.
    if !store.place.is_folder()? || store.place.join(LOCK).is_locked()? {
        return Ok(Vec::new());
    }
    let mut found = BTreeSet::new();
    if only.is_none() {
        found.extend(store.staging().names()?.into_iter().map(|name| StoreFinding::LeftStaging { name }));
    }
    // Without an index nothing is listed: folders beside it wait for a publisher that takes
    // them up, or for an index that was lost.
    if index.serial > 0 && store.place.join(index::ENVELOPE).exists()? {
        missing_pages(store, index, only, &mut found)?;
        for image in images(store, only)? {
            unlisted(store, index, &image, &mut found)?;
        }
    }
    Ok(found.into_iter().collect())
}

fn images(store: &Store, only: Option<&[ImageName]>) -> Result<Vec<ImageName>> {
    match only {
        Some(only) => Ok(only.to_vec()),
        None => Ok(store.place.names()?.iter().filter_map(|name| name.parse().ok()).collect()),
    }
}

fn unlisted(
    store: &Store,
    index: &Index,
    image: &ImageName,
    found: &mut BTreeSet<StoreFinding>,
) -> Result<()> {
    let releases = index.images.get(image).map(|i| i.releases.as_slice()).unwrap_or_default();
    let listed: BTreeSet<&str> = releases.iter().map(|r| r.version.as_str()).collect();
    let folder = store.place.join(image.as_str());
    for name in folder.names()? {
        let Ok(version) = name.parse::<Version>() else { continue };
        if !listed.contains(name.as_str()) && folder.join(&name).is_folder()? {
            found.insert(StoreFinding::UnlistedRelease { image: image.clone(), version });
        }
    }
    Ok(())
}

fn missing_pages(
    store: &Store,
    index: &Index,
    only: Option<&[ImageName]>,
    found: &mut BTreeSet<StoreFinding>,
) -> Result<()> {
    let of_store = ["index.html", "style.css", PUBLIC_KEY, index::COPY, index::COPY_SIGNATURE];
    let of_store = of_store.into_iter().filter(|_| only.is_none()).map(str::to_owned);
    let wanted = |image: &&ImageName| only.is_none_or(|only| only.contains(*image));
    let of_images = index.images.keys().filter(wanted).map(|image| format!("{image}/index.html"));
    for file in of_store.chain(of_images) {
        if !store.place.join(&file).exists()? {
            found.insert(StoreFinding::MissingPage { file });
        }
    }
    Ok(())
}
