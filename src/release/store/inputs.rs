//! What a release was built from, read back out of it.

use super::{check, observe};
use crate::effects::Place;
use crate::model::catalog::{OverlayContent, OverlayEntry};
use crate::model::firmware::{FirmwareFile, FirmwareOrder, FirmwareRecipe};
use crate::model::name::ImageName;
use crate::model::product::{Lock, ResolvedFirmware};
use crate::model::recipe::{Recipe, ResolvedRecipe};
use crate::model::release::{FileRole, Manifest};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use crate::release::inputs;
use serde::de::DeserializeOwned;

/// No archive of inputs is larger, in bytes.
const LIMIT: u64 = 256 << 20;

/// The recipe of a release with its lock and all bytes that it names, each checked against
/// the release's manifest, which is trusted already.
///
/// # Errors
/// *Untrusted* if a file is missing or is not what the manifest says; class *spec* if the
/// release was made by a program that kept no inputs or wrote recipes otherwise.
pub fn recorded(folder: &Place, manifest: &Manifest) -> Result<ResolvedRecipe> {
    let recipe: Recipe = recipe(folder, manifest, Recipe::digest)?;
    let Lock::Image(lock) = lock(folder, manifest)? else { return Err(other_lock(manifest)) };
    let blobs = inputs::read(&read(folder, manifest, FileRole::Inputs)?)?;
    if let Some(missing) = recipe.blobs().iter().find(|digest| !blobs.contains_key(*digest)) {
        return Err(lacking(missing));
    }
    Ok(ResolvedRecipe { recipe, blobs, lock })
}

/// The same of a firmware.
///
/// # Errors
/// As [`recorded`].
pub fn recorded_firmware(folder: &Place, manifest: &Manifest) -> Result<ResolvedFirmware> {
    let recipe: FirmwareRecipe = recipe(folder, manifest, FirmwareRecipe::digest)?;
    let Lock::Firmware(lock) = lock(folder, manifest)? else { return Err(other_lock(manifest)) };
    let blobs = inputs::read(&read(folder, manifest, FileRole::Inputs)?)?;
    let blob = |digest: &Digest| blobs.get(digest).cloned().ok_or_else(|| lacking(digest));
    let entry = |file: &FirmwareFile| -> Result<OverlayEntry> {
        let content = match (&file.link, &file.sha256) {
            (Some(target), _) => OverlayContent::Symlink { target: target.clone() },
            (None, Some(digest)) => {
                OverlayContent::File { bytes: blob(digest)?, executable: file.executable }
            }
            (None, None) => {
                return Err(Failure::untrusted(format!("the recipe has no bytes for {}", file.path)));
            }
        };
        Ok(OverlayEntry { path: file.path.clone(), content })
    };
    let files = recipe.files.iter().map(entry).collect::<Result<_>>()?;
    let keys = recipe.feeds.iter().map(|feed| blob(&feed.key)).collect::<Result<_>>()?;
    Ok(ResolvedFirmware { order: FirmwareOrder { recipe, files, keys }, lock })
}

/// The recipe, if this program reads all of it.
fn recipe<T: DeserializeOwned>(
    folder: &Place,
    manifest: &Manifest,
    digest: impl Fn(&T) -> Digest,
) -> Result<T> {
    let of = &manifest.image;
    let recipe: T = serde_json::from_slice(&read(folder, manifest, FileRole::Recipe)?)
        .map_err(|e| other_program(of, manifest, &format!("its recipe cannot be read: {e}")))?;
    if digest(&recipe) != manifest.recipe {
        return Err(other_program(of, manifest, "its recipe has fields that this program does not know"));
    }
    Ok(recipe)
}

fn lock(folder: &Place, manifest: &Manifest) -> Result<Lock> {
    let lock = observe::parse_lock(&read(folder, manifest, FileRole::Lock)?)?;
    if lock.digest() != manifest.lock {
        return Err(other_lock(manifest));
    }
    Ok(lock)
}

fn other_lock(manifest: &Manifest) -> Failure {
    Failure::untrusted(format!("{} {}: its lock is another one", manifest.image, manifest.version))
}

fn lacking(digest: &Digest) -> Failure {
    Failure::untrusted(format!("{} lacks {digest}", inputs::FILE_NAME))
}

fn read(folder: &Place, manifest: &Manifest, role: FileRole) -> Result<Vec<u8>> {
    let Some(file) = manifest.files.iter().find(|f| f.role == role) else {
        return Err(other_program(&manifest.image, manifest, "it carries no inputs to build from"));
    };
    let limit = if role == FileRole::Inputs { LIMIT } else { check::TEXT_LIMIT };
    let path = folder.join(&file.name);
    let bytes = path.read(limit)?.ok_or_else(|| Failure::untrusted(format!("{path} is missing")))?;
    if Digest::of(&bytes) != file.sha256 {
        return Err(Failure::untrusted(format!("{path} is not what the manifest lists")));
    }
    Ok(bytes)
}

fn other_program(image: &ImageName, manifest: &Manifest, why: &str) -> Failure {
    Failure::new(
        ErrorCode::BuildEnvironment,
        FailureClass::Spec,
        format!("{image} {} cannot be built again here: {why}", manifest.version),
    )
    .hint(format!("It was made by {}; build it again with that program.", manifest.tool))
}
