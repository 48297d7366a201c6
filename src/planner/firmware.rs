//! What differs between published and desired firmware, as reasons.
//!
//! As for images, recipes are compared as the JSON that their digest is made of.

use super::changes::{by_path, digest_text, short_digest};
use super::values::{Differences, compare, published_form};
use crate::model::firmware::{FirmwareFile, FirmwareRecipe};
use crate::model::firmware_lock::{self, FirmwareRequest};
use crate::model::plan::Reason;
use crate::model::product::{Lock, ResolvedFirmware};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a profile asks for, which may be a branch; `release` is the exact one.
const ASKED: &str = "asked release";

/// Every difference from a published recipe to the desired one.
pub(super) fn differences(
    old: &FirmwareRecipe,
    old_lock: Option<&Lock>,
    new: &ResolvedFirmware,
) -> Vec<Reason> {
    let recipe = &new.order.recipe;
    let mut found = Differences::default();
    // Files are told by their paths, the builder by its digest.
    compare("", &form(old), &form(recipe), &mut found);
    if old.builder != recipe.builder {
        found.add("builder", &digest_text(&old.builder), &digest_text(&recipe.builder));
    }
    by_path("overlay", &files(&old.files), &files(&recipe.files), &mut found);
    let mut reasons = found.into_reasons();
    let old_lock = old_lock.and_then(|lock| match lock {
        Lock::Firmware(lock) => Some(lock),
        Lock::Image(_) => None,
    });
    if let Some(old_lock) = old_lock {
        let asked = of_requests(&old_lock.request, &new.lock.request);
        // Another exact release is told already.
        let known = |reason: &Reason| {
            let is_asked = |r: &Reason| matches!(r, Reason::ChangedField { field, .. } if field == ASKED);
            reasons.contains(reason) || (is_asked(reason) && old.release != recipe.release)
        };
        let asked: Vec<Reason> = asked.into_iter().filter(|reason| !known(reason)).collect();
        reasons.extend(asked);
        let packages = firmware_lock::diff(&old_lock.packages, &new.lock.packages);
        reasons.extend(packages.into_iter().map(|change| Reason::ChangedPackage { change }));
    }
    if old.lock != recipe.lock && reasons.is_empty() {
        let mut found = Differences::default();
        found.add("lock", &digest_text(&old.lock), &digest_text(&recipe.lock));
        reasons = found.into_reasons();
    }
    reasons
}

/// What the profile asks of an Image Builder now, and did when `old` was made. Releases and lists of
/// packages stand in the recipe too, where both are exact.
pub(super) fn of_requests(old: &FirmwareRequest, new: &FirmwareRequest) -> Vec<Reason> {
    let asked = |request: &FirmwareRequest| {
        let mut value = published_form(request);
        if let Value::Object(fields) = &mut value
            && let Some(release) = fields.remove("release")
        {
            fields.insert(ASKED.to_owned(), release);
        }
        value
    };
    let mut found = Differences::default();
    compare("", &asked(old), &asked(new), &mut found);
    found.into_reasons()
}

fn form(recipe: &FirmwareRecipe) -> Value {
    let mut value = published_form(recipe);
    if let Value::Object(fields) = &mut value {
        for elsewhere in ["files", "builder", "lock"] {
            fields.remove(elsewhere);
        }
    }
    value
}

fn files(files: &[FirmwareFile]) -> BTreeMap<String, String> {
    let describe = |file: &FirmwareFile| match (&file.sha256, &file.link) {
        (Some(digest), _) => short_digest(if file.executable { "executable" } else { "file" }, digest),
        (None, Some(target)) => format!("link to {target}"),
        (None, None) => "nothing".to_owned(),
    };
    files.iter().map(|file| (file.path.clone(), describe(file))).collect()
}
