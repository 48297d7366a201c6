//! `lock`, for device profiles.

use super::place::Place;
use crate::catalog;
use crate::effects::files::write_atomic;
use crate::model::catalog::DeviceDocument;
use crate::model::firmware_lock::{self, FirmwareLock};
use crate::model::lock::PackageChange;
use crate::model::openwrt::Release;
use crate::model::{Digest, ImageName, Result, product};
use crate::ops::workspace::Workspace;
use crate::ops::{Context, LockOutcome, LockRequest};
use crate::reconcile::upstream::Upstream;
use crate::resolve;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// What became of the lock of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockedDevice {
    /// The device.
    pub device: ImageName,
    /// Its lock file, from the catalog's root.
    pub path: String,
    /// What was done.
    pub outcome: LockOutcome,
    /// The exact release.
    pub release: Release,
    /// The digest of the Image Builder's archive.
    pub builder: Digest,
    /// How many packages there will be.
    pub packages: usize,
    /// Bytes of them as they are installed, before they are compressed.
    pub installed_size: u64,
    /// The most bytes that an image may have, where the release says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_limit: Option<u64>,
    /// What changed since the lock before.
    pub changes: Vec<PackageChange>,
}

/// Asks Image Builders what the devices come to, and writes their locks. Those that are deprecated
/// are left out unless they are named.
pub(in crate::ops) fn lock(
    context: &Context,
    workspace: &Workspace,
    only: &BTreeSet<ImageName>,
    request: &LockRequest,
    dir: &Path,
) -> Result<Vec<LockedDevice>> {
    let devices = workspace.catalog.devices.iter().map(|(name, device)| (ImageName::from(name), device));
    let wanted: Vec<(ImageName, &DeviceDocument)> = devices
        .filter(|(name, device)| match only.is_empty() {
            true => device.profile.metadata.deprecated.is_none(),
            false => only.contains(name),
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // Locks that answer need no server.
    let answers = |device: &DeviceDocument| {
        let (asked, _) = resolve::firmware_request(device);
        !request.update && device.lock.as_ref().is_some_and(|lock| lock.request == asked)
    };
    let place = Place::open(context, workspace)?;
    let upstream = match wanted.iter().all(|(_, device)| answers(device)) {
        true => None,
        false => Some(place.upstream(context, workspace)?),
    };
    let mut locked = Vec::new();
    for (name, device) in wanted {
        context.cancel.check()?;
        let kept = device.lock.as_ref().filter(|_| answers(device));
        locked.push(match (kept, &upstream) {
            (Some(lock), _) => report(&name, device, lock, LockOutcome::Kept),
            (None, Some(upstream)) => one(&name, device, upstream, request, dir)?,
            (None, None) => continue,
        });
    }
    Ok(locked)
}

fn one(
    name: &ImageName,
    device: &DeviceDocument,
    upstream: &Upstream<'_>,
    request: &LockRequest,
    dir: &Path,
) -> Result<LockedDevice> {
    let old = device.lock.as_ref();
    let new = upstream.lock(device, old)?;
    if old == Some(&new) {
        return Ok(report(name, device, &new, LockOutcome::Unchanged));
    }
    if request.dry_run {
        return Ok(report(name, device, &new, LockOutcome::WouldWrite));
    }
    let written = report(name, device, &new, LockOutcome::Written);
    let text = catalog::product_lock_text(&product::Lock::Firmware(new));
    write_atomic(&dir.join(&written.path), text.as_bytes(), 0o644)?;
    Ok(written)
}

fn report(
    name: &ImageName,
    device: &DeviceDocument,
    lock: &FirmwareLock,
    outcome: LockOutcome,
) -> LockedDevice {
    let before = device.lock.as_ref().map_or(&[][..], |old| old.packages.as_slice());
    LockedDevice {
        device: name.clone(),
        path: catalog::lock_path(name),
        outcome,
        release: lock.release.clone(),
        builder: lock.builder,
        packages: lock.packages.len(),
        installed_size: lock.installed_size,
        image_limit: lock.image_limit,
        changes: firmware_lock::diff(before, &lock.packages),
    }
}
