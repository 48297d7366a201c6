//! `flash check`: what a booted device says of itself, against what was written.
//!
//! Images of Bootwright carry the identity of their recipe. OpenWrt's own word is weaker: its release,
//! revision and target, but not which packages were added; what agrees is *alike*, not the same.

use super::records::Records;
use super::releases::{Keys, open};
use super::{CatalogRef, Context};
use crate::model::probe::BUILD_ID_PATH;
use crate::model::record::{FlashRecord, FlashResult};
use crate::model::release::{Manifest, SaidRelease};
use crate::model::{Digest, Failure, Result};
use crate::state::FlashFilter;
use serde::Serialize;

/// Compare what a booted device says of itself with what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashCheckRequest {
    /// The catalog whose settings say where the state database is.
    pub catalog: CatalogRef,
    /// What the device's `/usr/lib/bootwright/build-id` holds; of OpenWrt, `/etc/openwrt_release` or
    /// `/etc/banner`.
    pub reported: String,
    /// Which card the device should carry: the newest good record of it is compared.
    pub filter: FlashFilter,
}

/// What a booted device is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlashCheck {
    /// What it says: the recipe of its image, or its release of OpenWrt.
    pub reported: String,
    /// What that means.
    pub verdict: CheckVerdict,
    /// The newest good write that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<FlashRecord>,
    /// The newest good write of what the device runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<FlashRecord>,
}

/// What a device's word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckVerdict {
    /// It runs what was written.
    Same,
    /// It runs the release of OpenWrt that was written; its packages it does not say.
    Alike,
    /// It runs another release that was written once: the card, or its place, is another.
    Other,
    /// It runs what nobody wrote, as far as the records know.
    Unknown,
}

/// Compares what a booted device says of itself with the records.
///
/// # Errors
/// Class *spec* if what it says is no build id and no release of OpenWrt; for the latter also if a
/// release cannot be read from the store.
pub fn flash_check(context: &Context, request: &FlashCheckRequest) -> Result<FlashCheck> {
    let text = request.reported.trim();
    let all = match Records::open(context, &request.catalog, false)? {
        Some(records) => records.find(&FlashFilter::default())?,
        None => Vec::new(),
    };
    let good: Vec<&FlashRecord> =
        all.iter().filter(|r| r.result == FlashResult::Good && r.recipe.is_some()).collect();
    if let Ok(recipe) = format!("sha256:{}", text.strip_prefix("sha256:").unwrap_or(text)).parse::<Digest>() {
        let is = |record: &FlashRecord| Ok(record.recipe == Some(recipe));
        return judge(request, &good, recipe.to_string(), CheckVerdict::Same, &is);
    }
    let said = SaidRelease::read(text).ok_or_else(|| {
        Failure::spec("this is no build id of an image, and no release of OpenWrt").hint(format!(
            "Give what /{BUILD_ID_PATH} holds on the device: 64 hexadecimal digits; of OpenWrt, /etc/openwrt_release."
        ))
    })?;
    let opened = open(context, &request.catalog, None, &Keys::default())?;
    let is = |record: &FlashRecord| {
        let (Some(image), Some(version)) = (&record.image, &record.version) else { return Ok(false) };
        // Releases that were pruned since then are known no more.
        let manifest: Option<Manifest> = opened.store.manifest(image, version, &opened.keys).ok();
        Ok(manifest.as_ref().and_then(|m| m.system.firmware()).is_some_and(|facts| said.is_of(facts)))
    };
    judge(request, &good, said.to_string(), CheckVerdict::Alike, &is)
}

/// What it means that a device runs what those records are of that `is` says yes to.
fn judge(
    request: &FlashCheckRequest,
    good: &[&FlashRecord],
    reported: String,
    right: CheckVerdict,
    is: &dyn Fn(&FlashRecord) -> Result<bool>,
) -> Result<FlashCheck> {
    let filter = &request.filter;
    let asked = |r: &&&FlashRecord| {
        filter.card.as_ref().is_none_or(|card| r.card.as_ref() == Some(card))
            && filter.slot.as_ref().is_none_or(|slot| &r.slot == slot)
            && filter.image.as_ref().is_none_or(|i| r.image.as_ref().is_some_and(|image| image.as_str() == i))
    };
    // With nothing asked for, any write of it will do.
    let expected = match *filter == FlashFilter::default() {
        true => None,
        false => good.iter().find(asked).copied(),
    };
    if let Some(expected) = expected.filter(|record| is(record).unwrap_or(false)) {
        let record = Some(expected.clone());
        return Ok(FlashCheck { reported, verdict: right, expected: record.clone(), found: record });
    }
    let mut found = None;
    for record in good {
        if is(record)? {
            found = Some((*record).clone());
            break;
        }
    }
    let any = *filter == FlashFilter::default();
    let verdict = match &found {
        Some(_) if any => right,
        Some(_) => CheckVerdict::Other,
        None => CheckVerdict::Unknown,
    };
    let expected = if any { found.clone() } else { expected.cloned() };
    Ok(FlashCheck { reported, verdict, expected, found })
}
