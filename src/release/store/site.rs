//! The pages of a store: front page, image pages, style sheet, public key.

use super::{PUBLIC_KEY, Store, check};
use crate::effects::files::{read_if_exists, write_atomic};
use crate::model::Result;
use crate::model::name::ImageName;
use crate::model::release::{Index, IndexedImage, IndexedRelease};
use crate::release::keys::PublicKey;
use crate::release::notices::Notices;
use crate::release::pages::{self, ImageView};
use std::path::Path;

/// No page is larger, in bytes.
const LIMIT: u64 = 16 << 20;

/// Writes what differs: the front page, and the page of the image that was worked on.
pub(super) fn write(
    store: &Store,
    index: &Index,
    changed: Option<&ImageName>,
    notices: &Notices,
    key: &PublicKey,
) -> Result<()> {
    put(&store.path.join("style.css"), pages::STYLE)?;
    put(&store.path.join(PUBLIC_KEY), key.pem())?;
    let mut views = Vec::new();
    for (name, image) in &index.images {
        let view = view(store, name, image, notices, changed == Some(name));
        if changed == Some(name) {
            put_image(store, &view, key)?;
        }
        views.push(view);
    }
    put(&store.path.join("index.html"), &pages::store(&views, store.url.as_deref(), key)?)
}

/// Writes the page of one image, if it differs.
pub(super) fn write_image(
    store: &Store,
    index: &Index,
    name: &ImageName,
    notices: &Notices,
    key: &PublicKey,
) -> Result<()> {
    match index.images.get(name) {
        Some(image) => put_image(store, &view(store, name, image, notices, true), key),
        None => Ok(()),
    }
}

fn put_image(store: &Store, view: &ImageView<'_>, key: &PublicKey) -> Result<()> {
    put(&store.path.join(view.name.as_str()).join("index.html"), &pages::image(view, key)?)
}

/// An image with the manifests that its pages need: all, or those of its channels. A
/// manifest that cannot be read leaves a gap in the page, not a publisher that fails.
fn view<'a>(
    store: &Store,
    name: &'a ImageName,
    image: &'a IndexedImage,
    notices: &'a Notices,
    all: bool,
) -> ImageView<'a> {
    let read = |listed: &IndexedRelease| {
        check::read_manifest(&store.folder(name, &listed.version), name, listed).ok()
    };
    let releases = image
        .releases
        .iter()
        .map(|listed| {
            let wanted = all || image.channels.values().any(|version| version == &listed.version);
            (listed, if wanted { read(listed) } else { None })
        })
        .collect();
    ImageView { name, channels: &image.channels, releases, notices: notices.get(name) }
}

fn put(path: &Path, text: &str) -> Result<()> {
    if read_if_exists(path, LIMIT).ok().flatten().is_some_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    write_atomic(path, text.as_bytes(), 0o644)
}
