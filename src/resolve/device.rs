//! Device profile + lock → what `make` is given.

use crate::model::catalog::{DeviceDocument, OverlayContent, OverlayEntry};
use crate::model::device::{DevicePackages, FIRST_BOOT, ServiceName};
use crate::model::firmware::{FIRMWARE_FORMAT, FirmwareFeed, FirmwareFile, FirmwareOrder, FirmwareRecipe};
use crate::model::firmware_lock::{FirmwareLock, FirmwareRequest};
use crate::model::product::ResolvedFirmware;
use crate::model::{Digest, ErrorCode, Failure, Result};
use std::sync::Arc;

/// What an Image Builder is asked for a device, and the keys of the repositories in their order.
pub fn firmware_request(document: &DeviceDocument) -> (FirmwareRequest, Vec<Arc<[u8]>>) {
    let spec = &document.profile.spec;
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
        packages: listed_packages(&document.packages),
        feeds,
        only_feeds: false,
    };
    (request, keys)
}

/// Packages as an Image Builder takes them, in an order that does not depend on who asks: those to put
/// in, then those to leave out as `-NAME`.
pub fn listed_packages(packages: &DevicePackages) -> Vec<String> {
    let mut listed: Vec<String> = packages.add.iter().map(ToString::to_string).collect();
    listed.sort();
    let mut removed: Vec<String> = packages.remove.iter().map(|package| format!("-{package}")).collect();
    removed.sort();
    listed.extend(removed);
    listed
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
    let mut disabled_services = spec.disabled_services.clone();
    disabled_services.sort();
    let rest = Beside { files, rootfs_mib: spec.rootfs_mib(), disabled_services, filesystem: None };
    Ok(resolved((request, keys), rest, lock))
}

/// What of a firmware packages do not depend on.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Files that are laid over the root file system.
    pub files: Vec<OverlayEntry>,
    /// The size of the root file system in MiB.
    pub rootfs_mib: Option<u64>,
    /// Services that are not started, sorted.
    pub disabled_services: Vec<ServiceName>,
    /// The only root file system that is made.
    pub filesystem: Option<String>,
}

/// What `make` is given for a request, with the lock that answers it.
pub fn resolved(
    (request, keys): (FirmwareRequest, Vec<Arc<[u8]>>),
    beside: Beside,
    lock: FirmwareLock,
) -> ResolvedFirmware {
    let Beside { mut files, rootfs_mib, disabled_services, filesystem } = beside;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let recipe = FirmwareRecipe {
        format: FIRMWARE_FORMAT,
        release: lock.release.clone(),
        platform: request.platform,
        builder: lock.builder,
        profile: request.profile,
        packages: request.packages,
        files: files.iter().map(listed).collect(),
        rootfs_mib,
        disabled_services,
        filesystem,
        feeds: request.feeds,
        only_feeds: request.only_feeds,
        lock: lock.digest(),
    };
    ResolvedFirmware { order: FirmwareOrder { recipe, files, keys }, lock }
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
