//! What is written: the file, and who vouches for it.

use super::{FlashRequest, MapChoice};
use crate::effects::Place;
use crate::effects::files::read_if_exists;
use crate::effects::place::Local;
use crate::flash::Expected;
use crate::model::block_map::{BlockMap, LONGEST};
use crate::model::flash::FlashedMap;
use crate::model::release::{FileRole, Manifest, ReleaseFile};
use crate::model::{ArtifactKind, Digest, Failure, Result};
use crate::ops::releases::{Keys, open, version};
use crate::ops::{BootTarget, Context, ReleaseRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How packed images end: the map of one may be named after the unpacked image.
const PACKED: [&str; 3] = ["zst", "xz", "gz"];

/// The file that is written.
pub struct Found {
    pub name: String,
    pub path: PathBuf,
    pub expected: Expected,
    pub map: Option<FlashedMap>,
    pub release: Option<Box<Manifest>>,
    pub fetched: Option<Local>,
}

pub fn find(context: &Context, request: &FlashRequest) -> Result<Found> {
    match &request.target {
        BootTarget::Release(release) => find_release(context, request, release),
        BootTarget::File(path) => find_file(context, request, path),
    }
}

fn find_file(context: &Context, request: &FlashRequest, path: &Path) -> Result<Found> {
    let architecture = request.architecture.map(|wanted| ("architecture", wanted.as_str()));
    let board = request.board.as_ref().map(|wanted| ("board", wanted.as_str()));
    if let Some((what, wanted)) = architecture.or(board) {
        return Err(Failure::spec(format!(
            "{} says of no {what} that it is for it, and {wanted} is asked for",
            path.display()
        ))
        .hint(format!(
            "Only releases say what they are for: flash a release, or leave --{what} out. No card was touched."
        )));
    }
    let path = context.cwd.join(path);
    if !path.exists() {
        return Err(Failure::not_found(format!("there is no file {}", path.display())).hint(
            "Name an image file (.img, .iso, packed or not), or a release as IMAGE, IMAGE@CHANNEL or IMAGE/VERSION.",
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (map, told) = match map_of_file(context, request, &path)? {
        Some((map, file)) => {
            let told = FlashedMap { file, mapped: map.mapped_bytes(), vouched: false };
            (Some(Arc::new(map)), Some(told))
        }
        None => (None, None),
    };
    let expected = Expected { sha256: request.sha256, map, signed: false };
    Ok(Found { name, path, expected, map: told, release: None, fetched: None })
}

/// The block map of an image file, and where it lies.
fn map_of_file(
    context: &Context,
    request: &FlashRequest,
    image: &Path,
) -> Result<Option<(BlockMap, PathBuf)>> {
    let candidates = match &request.block_map {
        MapChoice::Without => return Ok(None),
        MapChoice::File(path) => vec![context.cwd.join(path)],
        MapChoice::Beside => {
            let ending = image.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let unpacked = PACKED.contains(&ending).then(|| image.with_extension("bmap"));
            [beside(image)].into_iter().chain(unpacked).chain(unpacked_beside(image, ending)).collect()
        }
    };
    for path in candidates {
        let on = |failure: Failure| failure.on(path.display());
        if let Some(bytes) = read_if_exists(&path, LONGEST)? {
            let text = String::from_utf8(bytes)
                .map_err(|_| on(Failure::untrusted("not a block map: it is no text")))?;
            return Ok(Some((BlockMap::parse(&text).map_err(on)?, path)));
        }
        if matches!(request.block_map, MapChoice::File(_)) {
            return Err(Failure::not_found(format!("there is no block map {}", path.display()))
                .hint("Name the file that `bmaptool create` made of this image, or leave --bmap out."));
        }
    }
    Ok(None)
}

/// `image.img.gz` → `image.img.gz.bmap`.
fn beside(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".bmap");
    name.into()
}

/// `image.img.gz` → `image.img.bmap`.
fn unpacked_beside(image: &Path, ending: &str) -> Option<PathBuf> {
    PACKED.contains(&ending).then(|| beside(&image.with_extension("")))
}

fn find_release(context: &Context, request: &FlashRequest, release: &ReleaseRef) -> Result<Found> {
    if let MapChoice::File(path) = &request.block_map {
        return Err(Failure::spec(format!(
            "{} is for an image file, and a release is to be written",
            path.display()
        ))
        .hint("A release brings its own block map: leave --bmap out."));
    }
    let keys = Keys { files: &request.keys, threshold: request.threshold };
    let opened = open(context, &request.catalog, request.store.as_deref(), &keys)?;
    // Index and manifest are believed by their signatures, the file by the manifest's digest.
    let version = version(&opened.store.index(&opened.keys)?, release)?;
    let manifest = opened.store.manifest(&release.image, &version, &opened.keys)?;
    opened.store.must_be_signed(&release.image, &version, &opened.keys)?;
    is_for(request, &manifest)?;
    let of = |kind| manifest.files.iter().find(|f| f.role == FileRole::Artifact(kind));
    let firmware = || {
        let name = manifest.system.firmware()?.card_image()?;
        manifest.files.iter().find(|f| f.name == name)
    };
    let image = of(ArtifactKind::Disk).or_else(|| of(ArtifactKind::Iso)).or_else(firmware);
    let image = image.ok_or_else(|| {
        Failure::not_found(format!("{} {version} has neither disk image nor ISO nor firmware for a card", release.image))
            .hint("Only images with `disk` or `iso` in their outputs, and firmware that comes as a disk image, can be put on a card.")
    })?;
    if let Some(asked) = request.sha256.filter(|asked| *asked != image.sha256) {
        return Err(Failure::untrusted(format!(
            "{} of {} {version} is {}, not {asked}",
            image.name, release.image, image.sha256
        )));
    }
    let folder = opened.store.folder(&release.image, &version);
    let (map, told) = match map_of_release(context, request, &folder, &manifest, image)? {
        Some((map, name)) => {
            let told = FlashedMap { file: name.into(), mapped: map.mapped_bytes(), vouched: true };
            (Some(Arc::new(map)), Some(told))
        }
        None => (None, None),
    };
    let place: Place = folder.join(&image.name);
    let file = place.local()?;
    Ok(Found {
        name: format!("{}/{version} {}", release.image, image.name),
        path: file.path().to_owned(),
        expected: Expected { sha256: Some(image.sha256), map, signed: true },
        map: told,
        release: Some(Box::new(manifest)),
        fetched: Some(file),
    })
}

/// Whether a release is for the architecture and the board that are asked for.
fn is_for(request: &FlashRequest, manifest: &Manifest) -> Result<()> {
    let (system, is) = (&manifest.system, manifest.system.architecture());
    let architecture = request.architecture.map(|wanted| wanted.as_str()).filter(|wanted| *wanted != is);
    let board = request.board.as_ref().map(|wanted| wanted.as_str()).filter(|wanted| !system.is_for(wanted));
    let why = match (architecture, board) {
        (Some(wanted), _) => format!("is for {is}, and {wanted} is asked for"),
        (None, Some(wanted)) => not_for(&system.boards(), wanted),
        (None, None) => return Ok(()),
    };
    Err(Failure::spec(format!("{} {} {why}", manifest.image, manifest.version))
        .hint("Flash a release for that. No card was touched."))
}

/// That what is for these boards is not for the one that is asked for.
pub fn not_for(boards: &[String], wanted: &str) -> String {
    match boards {
        [] => format!("says of no board that it is for it, and {wanted} is asked for"),
        boards => format!("is for {}, and {wanted} is asked for", boards.join(", ")),
    }
}

/// The block map that a release has of an image, as it was signed. One that is missing spares no
/// time and does no harm.
fn map_of_release(
    context: &Context,
    request: &FlashRequest,
    folder: &Place,
    manifest: &Manifest,
    image: &ReleaseFile,
) -> Result<Option<(BlockMap, String)>> {
    let is_map = |f: &&ReleaseFile| {
        f.role == FileRole::BlockMap && f.name.strip_suffix(".bmap") == Some(image.name.as_str())
    };
    let listed = manifest.files.iter().find(is_map).filter(|_| request.block_map != MapChoice::Without);
    let Some(listed) = listed else { return Ok(None) };
    let place = folder.join(&listed.name);
    let Some(bytes) = place.read(LONGEST)? else {
        context.events.warn(format!("{place} is missing; the image is written without its block map"));
        return Ok(None);
    };
    let found = Digest::of(&bytes);
    if found != listed.sha256 {
        return Err(Failure::untrusted(format!("{place} is {found}, not {}", listed.sha256))
            .hint("The store is damaged: run `bootwright reconcile` on it. No card was touched."));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some((BlockMap::parse(&text).map_err(|failure| failure.on(&place))?, listed.name.clone())))
}
