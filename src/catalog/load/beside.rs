//! Files beside the specs: locks, overlays, what specs name, and what nothing reads.

use super::super::diagnostic::Diagnostic;
use super::super::files::OVERLAYS;
use super::super::lockfile::parse_lock;
use super::super::schema::Kind;
use super::super::{overlay, trees};
use super::Loader;
use crate::model::device::DeviceName;
use crate::model::name::ImageName;
use crate::model::spec::{Installer, Origin};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Loader<'_> {
    pub(super) fn locks(&mut self) {
        let files = self.files;
        for (path, _) in files.iter() {
            let Some(name) = path.strip_prefix("specs/").and_then(|rest| rest.strip_suffix(".lock.yaml"))
            else {
                continue;
            };
            if name.contains('/') {
                continue;
            }
            self.read.insert(path);
            let device = name.parse::<DeviceName>().ok().filter(|name| self.devices.contains_key(name));
            if let Some(device) = device {
                self.device_lock(path, &device);
                continue;
            }
            let image = name.parse::<ImageName>().ok().filter(|name| self.images.contains_key(name));
            let Some(image) = image else {
                self.orphan(path, format!("this lock is of no image: there is no spec with the name {name}"));
                continue;
            };
            let Some(text) = self.text(path) else { continue };
            match parse_lock(path, text, &image) {
                Ok(lock) => {
                    if let Some(document) = self.images.get_mut(&image) {
                        document.lock = Some(lock);
                    }
                }
                Err(found) => self.found.extend(found),
            }
        }
    }

    /// Something that belongs to an image which is not there; silent while names are unsure.
    pub(super) fn orphan(&mut self, path: &str, message: String) {
        if self.names_unsure {
            return;
        }
        let names: Vec<&str> =
            self.images.keys().chain(self.others.images.keys()).map(|n| n.as_str()).take(20).collect();
        let more = if self.images.len() + self.others.images.len() > names.len() { ", …" } else { "" };
        let hint = format!("Rename it, or take it away. Images here: {}{more}.", names.join(", "));
        self.found.push(Diagnostic::of_file(path, message, hint));
    }

    pub(super) fn overlays(&mut self) {
        let files = self.files;
        let mut unknown = BTreeSet::new();
        for (path, file) in files.iter() {
            let Some(rest) = path.strip_prefix(OVERLAYS) else { continue };
            self.read.insert(path);
            let Some((name, inner)) = rest.split_once('/') else {
                if rest != "README.md" {
                    let message = "files of an overlay belong into a folder with the image's name";
                    let hint = format!("Move it into {OVERLAYS}NAME/.");
                    self.found.push(Diagnostic::of_file(path, message, hint));
                }
                continue;
            };
            let document = name.parse::<ImageName>().ok().and_then(|name| self.images.get_mut(&name));
            let Some(document) = document else {
                if !self.device_overlay(name, path, inner, file) {
                    unknown.insert(name);
                }
                continue;
            };
            match overlay::entry(path, inner, file) {
                Ok(entry) => document.overlay.push(entry),
                Err(diagnostic) => self.found.push(*diagnostic),
            }
        }
        for name in unknown {
            let message = format!("this overlay is of no image: there is no spec with the name {name}");
            self.orphan(&format!("{OVERLAYS}{name}"), message);
        }
        for document in self.images.values_mut() {
            document.overlay.sort_by(|a, b| a.path.cmp(&b.path));
        }
    }

    /// Takes the files that specs name into their documents.
    pub(super) fn named_files(&mut self) {
        self.device_files();
        for document in self.images.values_mut() {
            let spec = &document.spec.spec;
            let splash = spec.customization.bootloader.splash.as_ref();
            let pictures = spec.installer.iter().flat_map(Installer::pictures).map(|path| path.as_str());
            let named = spec.post_install.scripts.iter().chain(splash).map(String::as_str);
            for path in named.chain(pictures) {
                let Some((path, file)) = self.files.entry(path) else { continue };
                self.read.insert(path);
                document.files.insert(path.to_owned(), Arc::clone(&file.bytes));
            }
        }
    }

    /// Takes the files of the folders that specs name into their documents.
    pub(super) fn named_folders(&mut self) {
        let files = self.files;
        let mut complained: BTreeSet<String> = BTreeSet::new();
        for document in self.images.values_mut() {
            for (_, origin) in document.spec.spec.customization.origins() {
                let Origin::Folder(folder) = origin else { continue };
                let (entries, found) = trees::of_folder(files, folder.as_str());
                let below = files.iter().filter(|(path, _)| trees::inner(path, folder.as_str()).is_some());
                self.read.extend(below.map(|(path, _)| path));
                if complained.insert(folder.to_string()) {
                    self.found.extend(found);
                }
                document.trees.insert(origin.to_string(), Ok(entries));
            }
        }
    }

    /// Complains about files that nothing reads.
    pub(super) fn leftovers(&mut self) {
        let files = self.files;
        for (path, _) in files.iter().filter(|(path, _)| !self.read.contains(path)) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let folder = path.split('/').next().unwrap_or_default();
            // Notes for people, and what editors and git leave behind.
            let counts = matches!(folder, "policies" | "profiles" | "runners");
            let hidden_document = counts && (name.ends_with(".yaml") || name.ends_with(".yml"));
            let hidden = name.starts_with('.') && !hidden_document;
            let aside = name == "README.md" || hidden || name.ends_with('~');
            if aside || Kind::ALL.iter().any(|kind| kind.schema_path() == path) {
                continue;
            }
            let (message, hint) = match folder {
                "specs" if path.starts_with("specs/schema/") => (
                    "nothing reads this file: there is no kind of document that it is the schema of"
                        .to_owned(),
                    "Take it away.",
                ),
                "policies" | "profiles" | "runners" if name.ends_with(".yml") => {
                    ("nothing reads this file".to_owned(), "Rename it to .yaml.")
                }
                "policies" => (
                    "nothing reads this file: a rule in it would only look as if it were kept".to_owned(),
                    "Policies stand in policies/NAME.yaml, not in a folder below it; take anything else away.",
                ),
                "profiles" => (
                    "nothing reads this file".to_owned(),
                    "Profiles stand in profiles/NAME.yaml, not in a folder below it; take anything else away.",
                ),
                "runners" => (
                    "nothing reads this file".to_owned(),
                    "Card writers and flash orders stand in runners/NAME.yaml, not in a folder below it; take anything else away.",
                ),
                _ if name.ends_with(".yml") => ("nothing reads this file".to_owned(), "Rename it to .yaml."),
                _ if name.ends_with(".yaml") => (
                    "nothing reads this file".to_owned(),
                    "Specs stand in specs/ itself, not in a folder below it.",
                ),
                _ if self.names_unsure => continue,
                _ => (
                    "nothing reads this file".to_owned(),
                    "Name it in a spec (`postInstall.scripts`, `customization.bootloader.splash`, `customization.dotfiles.folder`, `installer.slides`, `firstBootScript`), or take it away.",
                ),
            };
            self.found.push(Diagnostic::of_file(path, message, hint));
        }
    }
}
