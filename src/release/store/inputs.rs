//! What a release was built from, read back out of it.

use super::{check, observe};
use crate::effects::Place;
use crate::model::name::ImageName;
use crate::model::product::Lock;
use crate::model::recipe::{Recipe, ResolvedRecipe};
use crate::model::release::{FileRole, Manifest};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use crate::release::inputs;

/// No archive of inputs is larger, in bytes.
const LIMIT: u64 = 256 << 20;

/// The recipe of a release with its lock and all bytes that it names, each checked against
/// the release's manifest, which is trusted already.
///
/// # Errors
/// *Untrusted* if a file is missing or is not what the manifest says; class *spec* if the
/// release was made by a program that kept no inputs or wrote recipes otherwise.
pub fn recorded(folder: &Place, manifest: &Manifest) -> Result<ResolvedRecipe> {
    let of = &manifest.image;
    if manifest.system.firmware().is_some() {
        return Err(Failure::spec(format!(
            "{of} {} is firmware, which is not built again here",
            manifest.version
        ))
        .hint("Build it again with `bootwright openwrt build --force` and compare `sha256Unsigned`."));
    }
    let recipe: Recipe = serde_json::from_slice(&read(folder, manifest, FileRole::Recipe)?)
        .map_err(|e| other_program(of, manifest, &format!("its recipe cannot be read: {e}")))?;
    if recipe.digest() != manifest.recipe {
        return Err(other_program(of, manifest, "its recipe has fields that this program does not know"));
    }
    let lock = observe::parse_lock(&read(folder, manifest, FileRole::Lock)?)?;
    let Lock::Image(lock) = lock else {
        return Err(Failure::untrusted(format!("{of} {}: its lock is of a firmware", manifest.version)));
    };
    if lock.digest() != manifest.lock {
        return Err(Failure::untrusted(format!("{of} {}: its lock is another one", manifest.version)));
    }
    let blobs = inputs::read(&read(folder, manifest, FileRole::Inputs)?)?;
    if let Some(missing) = recipe.blobs().iter().find(|digest| !blobs.contains_key(*digest)) {
        return Err(Failure::untrusted(format!("{} lacks {missing}", inputs::FILE_NAME)));
    }
    Ok(ResolvedRecipe { recipe, blobs, lock })
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
