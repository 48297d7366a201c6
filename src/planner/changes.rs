//! What differs between the published recipe and the desired one, as reasons.
//!
//! Recipes are compared as the JSON that their digest is made of, so that no field can
//! change a digest without giving a reason.

use super::firmware;
use super::values::{Differences, compare, published_form, short_pair};
use crate::model::Digest;
use crate::model::lock::{self, Lock, LockRequest, LockedPackage, PackageChange};
use crate::model::plan::Reason;
use crate::model::product::{self, Resolved};
use crate::model::recipe::{Configuration, LayerRecipe, LayerStep, OverlayRecipe, Recipe, ResolvedRecipe};
use chrono::DateTime;
use serde_json::Value;
use std::collections::BTreeMap;

/// The published side of a comparison.
pub(super) struct Published<'a> {
    pub digest: &'a Digest,
    pub recipe: Option<&'a product::Recipe>,
    pub lock: Option<&'a product::Lock>,
}

/// Every difference from what is published to what is desired; empty only if the digests
/// are the same.
pub(super) fn differences(old: &Published<'_>, new: &Resolved) -> Vec<Reason> {
    let digest = new.digest();
    if *old.digest == digest {
        return Vec::new();
    }
    let mut reasons = match (old.recipe, new) {
        (Some(product::Recipe::Image(recipe)), Resolved::Image(new)) => {
            let lock = old.lock.and_then(|lock| match lock {
                product::Lock::Image(lock) => Some(lock),
                product::Lock::Firmware(_) => None,
            });
            of_recipes(recipe, lock, new)
        }
        (Some(product::Recipe::Firmware(recipe)), Resolved::Firmware(new)) => {
            firmware::differences(recipe, old.lock, new)
        }
        // One name, and another kind of thing: nothing of it can be compared.
        _ => Vec::new(),
    };
    if reasons.is_empty() {
        reasons.push(field("recipe", &digest_text(old.digest), &digest_text(&digest)));
    }
    reasons
}

fn of_recipes(old: &Recipe, old_lock: Option<&Lock>, new: &ResolvedRecipe) -> Vec<Reason> {
    let packages = match old_lock {
        Some(old) => lock::diff(&old.packages, &new.lock.packages),
        None => lock::diff(&packages(old), &packages(&new.recipe)),
    };
    let mut found = Differences::default();
    of_fields(old, &new.recipe, &mut found);
    of_layers(&old.layers, &new.recipe.layers, &packages, &mut found);
    let mut reasons = found.into_reasons();
    if let Some(old_lock) = old_lock {
        // Base, suite and architecture stand in the request and in the recipe.
        let asked = of_image_requests(&old_lock.request, &new.lock.request);
        let asked: Vec<Reason> = asked.into_iter().filter(|reason| !reasons.contains(reason)).collect();
        reasons.extend(asked);
    }
    let explained = !reasons.is_empty() || !packages.is_empty();
    if old.lock != new.recipe.lock && !explained {
        reasons.push(field("lock", &digest_text(&old.lock), &digest_text(&new.recipe.lock)));
    }
    if old.epoch != new.recipe.epoch {
        reasons.push(field("lock date", &date(old.epoch), &date(new.recipe.epoch)));
    } else {
        reasons.extend(of_dates(&old.layers, &new.recipe.layers));
    }
    reasons.extend(packages.into_iter().map(|change| Reason::ChangedPackage { change }));
    reasons
}

/// Layers with the same content and another date: their lock was made without the one before.
fn of_dates(old: &[LayerRecipe], new: &[LayerRecipe]) -> Vec<Reason> {
    let pairs = new.iter().filter_map(|n| Some((old.iter().find(|o| o.name == n.name)?, n)));
    let moved = pairs.filter(|(o, n)| o.step == n.step && o.epoch != n.epoch);
    moved.map(|(o, n)| field(&format!("{} date", n.name), &date(o.epoch), &date(n.epoch))).collect()
}

/// What is asked now, and was when `old` was made.
pub(super) fn of_requests(old: &product::Request, new: &product::Request) -> Vec<Reason> {
    match (old, new) {
        (product::Request::Image(old), product::Request::Image(new)) => of_image_requests(old, new),
        (product::Request::Firmware(old), product::Request::Firmware(new)) => firmware::of_requests(old, new),
        _ => Vec::new(),
    }
}

/// What the spec asks of the package manager now, and did when `old` was made.
fn of_image_requests(old: &LockRequest, new: &LockRequest) -> Vec<Reason> {
    let form = |request: &LockRequest| {
        let mut value = published_form(request);
        let layers = request.layers.iter().map(|l| (l.name.clone(), published_form(&l.packages)));
        let layers: serde_json::Map<String, Value> = layers.collect();
        if let Value::Object(fields) = &mut value {
            fields.remove("layers");
            fields.insert("packages".to_owned(), Value::Object(layers));
        }
        value
    };
    let mut found = Differences::default();
    compare("", &form(old), &form(new), &mut found);
    found.into_reasons()
}

/// All fields but the layers, the lock and its date.
fn of_fields(old: &Recipe, new: &Recipe, found: &mut Differences) {
    let form = |recipe: &Recipe| {
        let mut value = published_form(recipe);
        if let Value::Object(fields) = &mut value {
            for elsewhere in ["layers", "lock", "epoch"] {
                fields.remove(elsewhere);
            }
        }
        value
    };
    compare("", &form(old), &form(new), found);
}

fn of_layers(old: &[LayerRecipe], new: &[LayerRecipe], packages: &[PackageChange], found: &mut Differences) {
    let names = |layers: &[LayerRecipe]| layers.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(" ");
    if names(old) != names(new) {
        found.add("layers", &names(old), &names(new));
    }
    for layer in new {
        let before = old.iter().find(|l| l.name == layer.name).map(|l| &l.step);
        of_step(&layer.name, before, Some(&layer.step), packages, found);
    }
    for layer in old.iter().filter(|o| new.iter().all(|n| n.name != o.name)) {
        of_step(&layer.name, Some(&layer.step), None, packages, found);
    }
}

fn of_step(
    name: &str,
    old: Option<&LayerStep>,
    new: Option<&LayerStep>,
    packages: &[PackageChange],
    found: &mut Differences,
) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(LayerStep::Configuration(old)), Some(LayerStep::Configuration(new))) => {
            let form = |configuration: &Configuration| {
                let mut value = published_form(configuration);
                if let Value::Object(fields) = &mut value {
                    fields.remove("written");
                }
                value
            };
            match (form(old), form(new)) {
                // The same settings, written otherwise: by another version, or for other packages.
                (before, after) if before == after => {
                    let (before, after) = (digest_text(&old.written), digest_text(&new.written));
                    found.add(&format!("{name}.written"), &before, &after);
                }
                (before, after) => compare(name, &before, &after, found),
            }
        }
        (Some(LayerStep::Overlay { .. } | LayerStep::Homes { .. }), _)
        | (_, Some(LayerStep::Overlay { .. } | LayerStep::Homes { .. })) => {
            if let (Some(old), Some(new)) = (homes(old), homes(new))
                && old != new
            {
                found.add(&format!("{name} users"), &old, &new);
            }
            by_path(name, &overlay(old), &overlay(new), found);
        }
        (Some(LayerStep::PostInstall { .. }), _) | (_, Some(LayerStep::PostInstall { .. })) => {
            of_scripts(name, old, new, found);
        }
        _ => match (installed(old), installed(new)) {
            (Some(old), Some(new)) => of_packages(name, old, new, packages, found),
            // A whole layer of packages came or went: `layers` and the packages say so.
            (Some(_), None) | (None, Some(_)) if old.is_none() || new.is_none() => {}
            _ => found.add(name, &short_json(old), &short_json(new)),
        },
    }
}

/// Packages that changed speak for themselves; what remains is where and in which order
/// the same ones are installed.
fn of_packages(
    name: &str,
    old: &[LockedPackage],
    new: &[LockedPackage],
    packages: &[PackageChange],
    found: &mut Differences,
) {
    if lock::diff(old, new).iter().any(|change| packages.contains(change)) {
        return;
    }
    let field = format!("layers.{name}");
    if old.len() == new.len() {
        found.add(&field, &count(old), "the same ones in another order or place");
    } else {
        found.add(&field, &count(old), &count(new));
    }
}

fn count(packages: &[LockedPackage]) -> String {
    format!("{} package{}", packages.len(), if packages.len() == 1 { "" } else { "s" })
}

fn of_scripts(name: &str, old: Option<&LayerStep>, new: Option<&LayerStep>, found: &mut Differences) {
    let scripts = |step: Option<&LayerStep>| match step {
        Some(LayerStep::PostInstall { scripts }) => {
            scripts.iter().map(|s| (s.path.clone(), short_digest("script", &s.digest))).collect()
        }
        _ => Vec::new(),
    };
    let (old, new): (Vec<_>, Vec<_>) = (scripts(old), scripts(new));
    let count = found.len();
    by_path(name, &old.iter().cloned().collect(), &new.iter().cloned().collect(), found);
    if found.len() == count {
        let order = |s: &[(String, String)]| s.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>().join(" ");
        found.add(&format!("{name} order"), &order(&old), &order(&new));
    }
}

pub(super) fn by_path(
    name: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    found: &mut Differences,
) {
    let paths: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for path in paths {
        let side = |entries: &BTreeMap<String, String>| entries.get(path).cloned();
        let (from, to) = (side(old), side(new));
        if from != to {
            let text = |side: Option<String>| side.unwrap_or_else(|| "absent".to_owned());
            found.add(&format!("{name}: {path}"), &text(from), &text(to));
        }
    }
}

fn overlay(step: Option<&LayerStep>) -> BTreeMap<String, String> {
    let Some(LayerStep::Overlay { entries } | LayerStep::Homes { entries, .. }) = step else {
        return BTreeMap::new();
    };
    let describe = |entry: &OverlayRecipe| match entry {
        OverlayRecipe::File { path, digest, executable } => {
            let kind = if *executable { "executable" } else { "file" };
            (path.clone(), short_digest(kind, digest))
        }
        OverlayRecipe::Symlink { path, target } => (path.clone(), format!("link to {target}")),
    };
    entries.iter().map(describe).collect()
}

/// Whose homes a step is about.
fn homes(step: Option<&LayerStep>) -> Option<String> {
    let Some(LayerStep::Homes { users, .. }) = step else { return None };
    Some(users.iter().map(|user| user.as_str()).collect::<Vec<_>>().join(" "))
}

fn installed(step: Option<&LayerStep>) -> Option<&[LockedPackage]> {
    match step {
        Some(LayerStep::Bootstrap { packages } | LayerStep::Packages { packages }) => Some(packages),
        _ => None,
    }
}

fn packages(recipe: &Recipe) -> Vec<LockedPackage> {
    recipe.packages().cloned().collect()
}

fn short_json(step: Option<&LayerStep>) -> String {
    step.map_or_else(|| "absent".to_owned(), |step| published_form(step).to_string())
}

pub(super) fn short_digest(what: &str, digest: &Digest) -> String {
    format!("{what} {}", digest.short())
}

pub(super) fn digest_text(digest: &Digest) -> String {
    format!("sha256:{}", digest.short())
}

fn date(epoch: i64) -> String {
    match DateTime::from_timestamp(epoch, 0) {
        Some(date) => date.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None => epoch.to_string(),
    }
}

fn field(field: &str, from: &str, to: &str) -> Reason {
    let (from, to) = short_pair(from, to);
    Reason::ChangedField { field: field.to_owned(), from, to, origin: None }
}
