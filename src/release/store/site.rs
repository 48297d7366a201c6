//! The pages of a store: front page, image pages, style sheet, public key.

use super::{PUBLIC_KEY, Store, check};
use crate::effects::{Place, Point, point};
use crate::model::Result;
use crate::model::name::ImageName;
use crate::model::release::{Index, IndexedImage, IndexedRelease};
use crate::release::keys::PublicKey;
use crate::release::notices::Notices;
use crate::release::pages::{self, ImageView, KeyRow};

/// No page is larger, in bytes.
const LIMIT: u64 = 16 << 20;

/// Writes what differs: the front page, and the page of the image that was worked on.
pub(super) fn write(
    store: &Store,
    index: &Index,
    changed: Option<&ImageName>,
    notices: &Notices,
    keys: &[&PublicKey],
) -> Result<()> {
    put(&store.place.join("style.css"), pages::STYLE)?;
    let keys = public_keys(store, keys)?;
    let mut views = Vec::new();
    for (name, image) in &index.images {
        let view = view(store, name, image, notices, changed == Some(name));
        if changed == Some(name) {
            put_image(store, &view)?;
        }
        views.push(view);
    }
    put(&store.place.join("index.html"), &pages::store(&views, store.url.as_deref(), &keys)?)
}

/// Writes the signers' public keys, and takes those of keys that sign no more away.
fn public_keys(store: &Store, keys: &[&PublicKey]) -> Result<Vec<KeyRow>> {
    let mut rows = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let file = if at == 0 { PUBLIC_KEY.to_owned() } else { format!("bootwright.{}.pub", key.tag()) };
        put(&store.place.join(&file), key.pem())?;
        rows.push(KeyRow { file, short: key.id().short(), id: key.id().hex() });
    }
    for name in store.place.names()? {
        let further = name.strip_prefix("bootwright.").is_some_and(|rest| rest.ends_with(".pub"));
        if further && !rows.iter().any(|row| row.file == name) {
            store.place.join(&name).remove()?;
        }
    }
    Ok(rows)
}

/// Writes the page of one image, if it differs.
pub(super) fn write_image(store: &Store, index: &Index, name: &ImageName, notices: &Notices) -> Result<()> {
    match index.images.get(name) {
        Some(image) => put_image(store, &view(store, name, image, notices, true)),
        None => Ok(()),
    }
}

fn put_image(store: &Store, view: &ImageView<'_>) -> Result<()> {
    put(&store.place.join(view.name.as_str()).join("index.html"), &pages::image(view)?)
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

fn put(path: &Place, text: &str) -> Result<()> {
    if path.read(LIMIT).ok().flatten().is_some_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    path.put(text.as_bytes())?;
    point(Point::PagePut)
}
