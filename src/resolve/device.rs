//! Device profile + lock → what `make` is given.

use crate::model::catalog::{DeviceDocument, OverlayContent, OverlayEntry};
use crate::model::device::FIRST_BOOT;
use crate::model::firmware::{FIRMWARE_FORMAT, FirmwareFeed, FirmwareFile, FirmwareOrder, FirmwareRecipe};
use crate::model::firmware_lock::{FirmwareLock, FirmwareRequest};
use crate::model::product::ResolvedFirmware;
use crate::model::{Digest, ErrorCode, Failure, Result};
use std::sync::Arc;

/// What an Image Builder is asked for a device, and the keys of the repositories in their order.
pub fn firmware_request(document: &DeviceDocument) -> (FirmwareRequest, Vec<Arc<[u8]>>) {
    let spec = &document.profile.spec;
    let mut packages: Vec<String> = spec.packages.add.iter().map(ToString::to_string).collect();
    packages.sort();
    let mut removed: Vec<String> = spec.packages.remove.iter().map(|package| format!("-{package}")).collect();
    removed.sort();
    packages.extend(removed);
    let feeds = spec.repositories.iter().map(|feed| {
        let key = bytes(document, feed.key.as_str());
        let (name, url) = (feed.name.clone(), feed.url.clone());
        (FirmwareFeed { name, url, key: Digest::of(&key) }, key)
    });
    let (feeds, keys) = feeds.unzip();
    let request = FirmwareRequest {
        release: spec.release.clone(),
        platform: spec.platform(),
        profile: spec.profile.clone(),
        packages,
        feeds,
    };
    (request, keys)
}

/// Resolves the firmware of a device with its lock. The device's own name is not in the recipe: two
/// devices that ask for the same share it.
///
/// # Errors
/// Class *spec* if the lock answers another question.
pub fn firmware(document: &DeviceDocument, lock: FirmwareLock) -> Result<ResolvedFirmware> {
    let spec = &document.profile.spec;
    let (request, keys) = firmware_request(document);
    if request != lock.request {
        let name = &document.profile.metadata.name;
        return Err(Failure::spec(format!("{name}: the lock is out of date: it answers another question"))
            .code(ErrorCode::Compat)
            .hint(format!("Run `bootwright lock --update {name}` and review the change.")));
    }
    let mut files = document.overlay.clone();
    if let Some(script) = &spec.first_boot_script {
        let content = OverlayContent::File { bytes: bytes(document, script.as_str()), executable: true };
        files.push(OverlayEntry { path: FIRST_BOOT.to_owned(), content });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut disabled = spec.disabled_services.clone();
    disabled.sort();
    let recipe = FirmwareRecipe {
        format: FIRMWARE_FORMAT,
        release: lock.release.clone(),
        platform: request.platform,
        builder: lock.builder,
        profile: request.profile,
        packages: request.packages,
        files: files.iter().map(listed).collect(),
        rootfs_mib: spec.rootfs_mib(),
        disabled_services: disabled,
        feeds: request.feeds,
        lock: lock.digest(),
    };
    Ok(ResolvedFirmware { order: FirmwareOrder { recipe, files, keys }, lock })
}

/// The bytes of a file that the profile names; the catalog saw that they are there.
fn bytes(document: &DeviceDocument, path: &str) -> Arc<[u8]> {
    document.files.get(path).cloned().unwrap_or_else(|| Arc::from(&b""[..]))
}

fn listed(entry: &OverlayEntry) -> FirmwareFile {
    let path = entry.path.clone();
    match &entry.content {
        OverlayContent::File { bytes, executable } => {
            FirmwareFile { path, sha256: Some(Digest::of(bytes)), executable: *executable, link: None }
        }
        OverlayContent::Symlink { target } => {
            FirmwareFile { path, sha256: None, executable: false, link: Some(target.clone()) }
        }
    }
}
