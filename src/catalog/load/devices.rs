//! Device profiles: documents of kind `DeviceProfile` in `specs/`, beside those of images.

use super::super::check;
use super::super::diagnostic::Diagnostic;
use super::super::files::{File, Files};
use super::super::lockfile::parse_firmware_lock;
use super::super::overlay;
use super::super::schema::Kind;
use super::super::source::Source;
use super::super::yaml::{self, Node};
use super::{Loader, is_spec};
use crate::model::catalog::DeviceDocument;
use crate::model::device::{DeviceName, DeviceProfile};
use crate::model::settings::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether a document says that it is a device profile.
pub fn is_device(node: &Node) -> bool {
    node.get("kind").and_then(Node::text) == Some(Kind::DeviceProfile.as_str())
}

/// The text of the file that a device profile stands in, and its lines there, from 1.
pub fn text_of<'f>(files: &'f Files, name: &DeviceName) -> Option<(&'f str, &'f str, Node)> {
    files.iter().filter(|(path, _)| is_spec(path)).find_map(|(path, file)| {
        let text = std::str::from_utf8(&file.bytes).ok()?;
        let is_it = |node: &Node| {
            is_device(node) && node.get("metadata").and_then(|m| m.get("name")?.text()) == Some(name.as_str())
        };
        let node = yaml::parse(text).0.into_iter().find(is_it)?;
        Some((path, text, node))
    })
}

impl Loader<'_> {
    /// Reads one device profile.
    pub(super) fn device(&mut self, source: &Source<'_>, node: &Node, settings: &Settings) {
        let (profile, mut report) = self.typed::<DeviceProfile>(source, node, Kind::DeviceProfile);
        let Some(profile) = profile else {
            self.names_unsure = true;
            self.found.extend(report.finish());
            return;
        };
        check::device(&mut report, &profile, settings, self.files);
        let packages = check::renamed(&mut report, &profile, &settings.openwrt);
        let named = report.intact("metadata.name");
        self.names_unsure |= !named;
        let name = profile.metadata.name.clone();
        let other = self.place_of(name.as_str()).filter(|_| named);
        if let Some((what, place)) = &other {
            report.error(
                "metadata.name",
                format!("there is {what} with the name {name} already"),
                format!("It is at {place}; choose another name."),
            );
        }
        self.found.extend(report.finish());
        if named && other.is_none() {
            let place = format!("{}:{}", source.file, node.mark.line);
            let document = DeviceDocument {
                profile,
                place,
                lock: None,
                overlay: Vec::new(),
                files: BTreeMap::new(),
                packages,
            };
            self.devices.insert(name, document);
        }
    }

    /// What has a name already, and where: overlays are found by it.
    pub(super) fn place_of(&self, name: &str) -> Option<(&'static str, String)> {
        let device = name.parse().ok().and_then(|name: DeviceName| self.devices.get(&name));
        let image = || name.parse().ok().and_then(|name| self.images.get(&name));
        match device {
            Some(device) => Some(("a device profile", device.place.clone())),
            None => image().map(|image| ("an image", image.place.clone())),
        }
    }

    /// Reads the lock of a device.
    pub(super) fn device_lock(&mut self, path: &str, name: &DeviceName) {
        let Some(text) = self.text(path) else { return };
        match parse_firmware_lock(path, text, name) {
            Ok(lock) => {
                if let Some(document) = self.devices.get_mut(name) {
                    document.lock = Some(lock);
                }
            }
            Err(found) => self.found.extend(found),
        }
    }

    /// Takes a file of a device's overlay into its profile; says whether there is such a device.
    pub(super) fn device_overlay(&mut self, name: &str, path: &str, inner: &str, file: &File) -> bool {
        let Some(document) = name.parse().ok().and_then(|name: DeviceName| self.devices.get_mut(&name))
        else {
            return false;
        };
        if document.profile.spec.first_boot_script.is_some() && inner == crate::model::device::FIRST_BOOT {
            let message = "this is where the profile's first-boot script goes";
            let hint = "Rename the file: all of etc/uci-defaults is run, in the order of names.";
            self.found.push(Diagnostic::of_file(path, message, hint));
            return true;
        }
        match overlay::openwrt_entry(path, inner, file) {
            Ok(entry) => document.overlay.push(entry),
            Err(diagnostic) => self.found.push(*diagnostic),
        }
        true
    }

    /// Takes the files that device profiles name into their documents.
    pub(super) fn device_files(&mut self) {
        for document in self.devices.values_mut() {
            document.overlay.sort_by(|a, b| a.path.cmp(&b.path));
            for named in document.profile.spec.files() {
                let Some((path, file)) = self.files.entry(named.as_str()) else { continue };
                self.read.insert(path);
                document.files.insert(path.to_owned(), Arc::clone(&file.bytes));
            }
        }
    }
}
