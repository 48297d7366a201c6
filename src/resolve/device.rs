//! Device profile + Image Builder → what `make` is given.

use crate::model::Digest;
use crate::model::catalog::{DeviceDocument, OverlayContent, OverlayEntry};
use crate::model::device::FIRST_BOOT;
use crate::model::firmware::{FIRMWARE_FORMAT, FirmwareFeed, FirmwareFile, FirmwareOrder, FirmwareRecipe};
use crate::model::openwrt::BuilderId;
use std::sync::Arc;

/// What the firmware of a device is made from, with the Image Builder whose archive has the
/// digest `sha256`. The device's own name is not in the recipe: two devices that ask for the
/// same share it.
pub fn firmware(document: &DeviceDocument, builder: &BuilderId, sha256: Digest) -> FirmwareOrder {
    let spec = &document.profile.spec;
    let bytes = |path: &str| document.files.get(path).cloned().unwrap_or_else(|| Arc::from(&b""[..]));
    let mut files = document.overlay.clone();
    if let Some(script) = &spec.first_boot_script {
        let content = OverlayContent::File { bytes: bytes(script.as_str()), executable: true };
        files.push(OverlayEntry { path: FIRST_BOOT.to_owned(), content });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut packages: Vec<String> = spec.packages.add.iter().map(ToString::to_string).collect();
    packages.sort();
    let mut removed: Vec<String> = spec.packages.remove.iter().map(|package| format!("-{package}")).collect();
    removed.sort();
    packages.extend(removed);
    let mut disabled = spec.disabled_services.clone();
    disabled.sort();
    let feeds: Vec<(FirmwareFeed, Arc<[u8]>)> = spec
        .repositories
        .iter()
        .map(|feed| {
            let key = bytes(feed.key.as_str());
            let (name, url) = (feed.name.clone(), feed.url.clone());
            (FirmwareFeed { name, url, key: Digest::of(&key) }, key)
        })
        .collect();
    let recipe = FirmwareRecipe {
        format: FIRMWARE_FORMAT,
        release: builder.release().clone(),
        platform: builder.platform().clone(),
        builder: sha256,
        profile: spec.profile.clone(),
        packages,
        files: files.iter().map(listed).collect(),
        rootfs_mib: spec.rootfs_mib(),
        disabled_services: disabled,
        feeds: feeds.iter().map(|(feed, _)| feed.clone()).collect(),
    };
    FirmwareOrder { recipe, files, keys: feeds.into_iter().map(|(_, key)| key).collect() }
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
