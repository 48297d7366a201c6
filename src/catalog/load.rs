//! Files → catalog, or everything that is wrong with them.

mod beside;
mod devices;
mod runners;

pub(super) use devices::{is_device, text_of};

use super::check::{self, Report};
use super::consumed::{self, Reads};
use super::diagnostic::{self, Diagnostic, Severity};
use super::files::{FileKind, Files, SETTINGS};
use super::include::{self, Library};
use super::schema::{Kind, schema};
use super::shape::{self, ShapeFault};
use super::source::Source;
use super::yaml::{self, Mark, Node};
use crate::model::catalog::{Catalog, DeviceDocument, ImageDocument};
use crate::model::device::DeviceName;
use crate::model::name::{ChannelName, ImageName};
use crate::model::policy::document::PolicyDocument;
use crate::model::policy::{Policy, Subject};
use crate::model::settings::Settings;
use crate::model::spec::{API_VERSION, OsImage};
use crate::model::{ErrorCode, Result as Outcome};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Reads a catalog; warnings are left aside.
///
/// # Errors
/// With everything that is wrong with it (and the warnings), sorted by file and line.
pub fn load(files: &Files) -> Result<Catalog, Vec<Diagnostic>> {
    let (catalog, diagnostics) = check(files);
    catalog.ok_or(diagnostics)
}

/// Reads a catalog; gives it if nothing is wrong, and all errors and warnings, sorted by
/// file and line.
pub fn check(files: &Files) -> (Option<Catalog>, Vec<Diagnostic>) {
    check_with(files, Others::none(), None)
}

/// As [`check`], for whoever writes recipes for other builders: what Bootwright itself cannot
/// build yet is no error.
pub fn check_for_other_builders(files: &Files) -> (Option<Catalog>, Vec<Diagnostic>) {
    let (catalog, mut found) = read_with(files, Others::none(), None);
    found.retain(|d| !d.message.starts_with(super::rules::UNBUILT));
    if_sound(catalog, found)
}

/// The settings of a catalog, by themselves.
///
/// # Errors
/// Class *spec* if they are not in order.
pub fn settings(files: &Files) -> Outcome<Settings> {
    let mut alone = Files::new(files.source.clone());
    if let Some(file) = files.get(SETTINGS) {
        alone.add(SETTINGS, file.kind, Arc::clone(&file.bytes))?;
    }
    let catalog = load(&alone).map_err(|found| diagnostic::failure(&found))?;
    Ok(catalog.settings)
}

/// As [`check`], for the images of some spec files of a catalog; other files are there to be
/// included. What needs all images, and what is wrong with policies, is left to `check_rest`.
pub fn check_some(files: &Files, specs: &BTreeSet<&str>) -> (Option<Catalog>, Vec<Diagnostic>) {
    check_with(files, Others::none(), Some(specs))
}

/// As [`check`], for what is left of a catalog whose images are in order.
pub fn check_rest(
    files: &Files,
    images: &BTreeMap<ImageName, Reads>,
    devices: &BTreeMap<ImageName, ChannelName>,
) -> Vec<Diagnostic> {
    check_with(files, Others { images, devices }, None).1
}

/// What a catalog has beside what is read now.
#[derive(Clone, Copy)]
struct Others<'a> {
    images: &'a BTreeMap<ImageName, Reads>,
    /// Device profiles with their channels.
    devices: &'a BTreeMap<ImageName, ChannelName>,
}

impl Others<'_> {
    fn none() -> Self {
        static IMAGES: BTreeMap<ImageName, Reads> = BTreeMap::new();
        static DEVICES: BTreeMap<ImageName, ChannelName> = BTreeMap::new();
        Self { images: &IMAGES, devices: &DEVICES }
    }
}

fn check_with(
    files: &Files,
    others: Others<'_>,
    only: Option<&BTreeSet<&str>>,
) -> (Option<Catalog>, Vec<Diagnostic>) {
    let (catalog, found) = read_with(files, others, only);
    if_sound(catalog, found)
}

fn if_sound(catalog: Catalog, found: Vec<Diagnostic>) -> (Option<Catalog>, Vec<Diagnostic>) {
    let sound = found.iter().all(|d| d.severity != Severity::Error);
    (sound.then_some(catalog), found)
}

fn read_with(files: &Files, others: Others<'_>, only: Option<&BTreeSet<&str>>) -> (Catalog, Vec<Diagnostic>) {
    let mut loader = Loader::new(files, others);
    let settings = loader.settings();
    loader.profiles();
    loader.specs(&settings, only);
    if only.is_none() {
        loader.unread_settings(&settings);
        loader.unread_profiles();
    }
    let policies = loader.policies(only.is_none());
    let runners = loader.runners(only.is_none());
    loader.locks();
    loader.overlays();
    loader.named_files();
    loader.named_folders();
    loader.leftovers();
    let mut found = std::mem::take(&mut loader.found);
    diagnostic::sort(&mut found);
    diagnostic::bound(&mut found);
    diagnostic::sort(&mut found);
    let Loader { images, devices, .. } = loader;
    let source = files.source.clone();
    let (writers, orders) = (runners.writers, runners.orders);
    let catalog = Catalog { source, settings, images, devices, policies, writers, orders };
    (catalog, found)
}

/// An error at a field of an image, for what other rooms find out about it (they set code
/// and severity).
pub fn at_field(
    files: &Files,
    image: &ImageDocument,
    field: &str,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Diagnostic {
    let (file, line) = image.place.rsplit_once(':').unwrap_or((image.place.as_str(), "1"));
    let Some(text) = files.get(file).and_then(|f| std::str::from_utf8(&f.bytes).ok()) else {
        return Diagnostic::of_file(file, message, hint);
    };
    let (documents, _) = yaml::parse(text);
    let source = Source::new(file, text, &documents);
    match documents.iter().find(|node| node.mark.line.to_string() == line) {
        Some(node) => {
            let whole = Library::new(files).compose(&source, node);
            let mark = check::locate(&whole.node, field);
            Diagnostic { field: Some(field.to_owned()), ..whole.source.error(mark, message, hint) }
        }
        None => Diagnostic::of_file(file, message, hint),
    }
}

/// An error at a field of the settings, for what other rooms find out about it.
pub fn at_setting(
    files: &Files,
    field: &str,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Diagnostic {
    let text = files.get(SETTINGS).and_then(|f| std::str::from_utf8(&f.bytes).ok()).unwrap_or_default();
    let (documents, _) = yaml::parse(text);
    match documents.first() {
        Some(node) => Diagnostic {
            field: Some(field.to_owned()),
            ..Source::new(SETTINGS, text, &documents).error(check::locate(node, field), message, hint)
        },
        None => Diagnostic::of_file(SETTINGS, message, hint),
    }
}

struct Loader<'a> {
    files: &'a Files,
    /// What the catalog has that these files do not hold.
    others: Others<'a>,
    found: Vec<Diagnostic>,
    images: BTreeMap<ImageName, ImageDocument>,
    devices: BTreeMap<DeviceName, DeviceDocument>,
    /// Files that something read.
    read: BTreeSet<&'a str>,
    /// The files that are included.
    library: Library<'a>,
    /// The files that some image includes.
    included: BTreeSet<&'a str>,
    /// The places in profiles that were complained about already.
    complained: Vec<(&'a str, Mark)>,
    /// Whether a name in some spec could not be made out: then nobody knows what is missing.
    names_unsure: bool,
}

impl<'a> Loader<'a> {
    fn new(files: &'a Files, others: Others<'a>) -> Self {
        Self {
            files,
            others,
            found: Vec::new(),
            images: BTreeMap::new(),
            devices: BTreeMap::new(),
            read: BTreeSet::new(),
            library: Library::new(files),
            included: BTreeSet::new(),
            complained: Vec::new(),
            names_unsure: false,
        }
    }

    fn settings(&mut self) -> Settings {
        let Some(text) = self.text(SETTINGS) else { return Settings::default() };
        let (documents, faults) = yaml::parse(text);
        let source = Source::new(SETTINGS, text, &documents);
        self.found.extend(faults.iter().map(|f| source.fault(f)));
        if let Some(second) = documents.get(1) {
            let hint = "Keep one; images belong into specs/.";
            self.found.push(source.error(second.mark, "bootwright.yaml holds one document only", hint));
        }
        let Some(node) = documents.first() else { return Settings::default() };
        if !self.is_kind(&source, node, Kind::Settings) {
            return Settings::default();
        }
        let (settings, mut report) = self.typed::<Settings>(&source, node, Kind::Settings);
        if let Some(settings) = &settings {
            check::settings(&mut report, settings);
        }
        self.found.extend(report.finish());
        settings.unwrap_or_default()
    }

    /// Whether every spec says what its author meant: else nobody knows what it would read.
    fn specs_are_sound(&self) -> bool {
        let of_image = |d: &Diagnostic| d.file.starts_with("specs/") || d.file.starts_with("profiles/");
        let wrong = |d: &Diagnostic| d.severity == Severity::Error && of_image(d);
        !self.names_unsure && !self.found.iter().any(wrong)
    }

    /// Complains about settings that no image reads.
    fn unread_settings(&mut self, settings: &Settings) {
        let known = if self.specs_are_sound() { self.files.entry(SETTINGS) } else { None };
        let Some(text) = known.and_then(|(_, file)| std::str::from_utf8(&file.bytes).ok()) else { return };
        let (documents, _) = yaml::parse(text);
        let source = Source::new(SETTINGS, text, &documents);
        let Some(node) = documents.first() else { return };
        // What is wrong with the shape of the settings was said before.
        let (_, faults) = shape::walk(node, schema(Kind::Settings));
        if faults.is_empty() {
            let mut report = Report::new(&source, node, Vec::new());
            let images = self.images.values().map(Reads::of).chain(self.others.images.values().cloned());
            consumed::settings(&mut report, settings, &images.collect());
            for fault in report.finish() {
                // What is wrong with a setting itself was said before.
                if !self.found.iter().any(|f| f.file == SETTINGS && f.field == fault.field) {
                    self.found.push(fault);
                }
            }
        }
    }

    /// The policies of `policies/*.yaml`. Whatever is wrong with one is an error, also for
    /// images that it might not be about: a rule that cannot be read is not kept. With
    /// `judged`, that is complained about.
    fn policies(&mut self, judged: bool) -> Vec<Policy> {
        let files = self.files;
        let (sure, found) = (!self.names_unsure, self.found.len());
        // The images that selectors may be about, as far as they are known.
        let own: Vec<(ImageName, Reads)> =
            self.images.iter().map(|(name, document)| (name.clone(), Reads::of(document))).collect();
        let own = own.iter().map(|(name, reads)| reads.subject(name));
        let others = self.others;
        let images = others.images.iter().map(|(name, reads)| reads.subject(name));
        let devices =
            self.devices.iter().map(|(name, d)| (ImageName::from(name), d.profile.spec.channel.clone()));
        let devices: Vec<(ImageName, ChannelName)> = devices.collect();
        let devices = devices.iter().map(|(name, channel)| (name, channel)).chain(others.devices);
        let devices = devices.map(|(name, channel)| Subject::of_device(name, channel));
        let mut images: Vec<Subject<'_>> = own.chain(images).chain(devices).collect();
        images.sort_by(|a, b| a.name.cmp(b.name));
        let images = (judged && self.specs_are_sound()).then_some(images.as_slice());
        let mut policies: Vec<Policy> = Vec::new();
        for (path, _) in files.iter().filter(|(path, _)| is_policy(path)) {
            let unsure = self.names_unsure;
            let Some(text) = self.text(path) else {
                // A policy that is no text says nothing about the names of images.
                self.names_unsure = unsure;
                continue;
            };
            let (documents, faults) = yaml::parse(text);
            let source = Source::new(path, text, &documents);
            self.found.extend(faults.iter().map(|f| source.fault(f)));
            if documents.is_empty() && faults.is_empty() {
                let hint = "Write a document of kind Policy, or take the file away.";
                self.found.push(Diagnostic::of_file(path, "the file holds no document", hint));
            }
            for node in &documents {
                self.policy(&source, node, images, &mut policies);
            }
        }
        if !judged {
            self.found.truncate(found);
            self.names_unsure = !sure;
        }
        policies
    }

    fn policy(
        &mut self,
        source: &Source<'_>,
        node: &Node,
        images: check::Images<'_>,
        policies: &mut Vec<Policy>,
    ) {
        if !self.is_kind(source, node, Kind::Policy) {
            return;
        }
        let (document, mut report) = self.typed::<PolicyDocument>(source, node, Kind::Policy);
        if let Some(document) = document {
            let policy = check::policy(&mut report, &document, images);
            for (index, rule) in document.spec.rules.iter().enumerate() {
                let earlier = document.spec.rules[..index].iter().any(|other| other.id == rule.id);
                let other = policies.iter().flat_map(|p| &p.rules).find(|other| other.id == rule.id);
                let place = match other {
                    Some(other) => other.place.to_string(),
                    None if earlier => "further up in this document".to_owned(),
                    None => continue,
                };
                report.error(
                    &format!("spec.rules[{index}].id"),
                    format!("there are two rules with the id {}", rule.id),
                    format!("The other one is at {place}; choose another id."),
                );
            }
            policies.push(policy);
        }
        self.found.extend(report.finish());
    }

    /// The profiles of `profiles/*.yaml`, each by itself: what is wrong with a value is wrong
    /// also where an image says otherwise.
    fn profiles(&mut self) {
        let files = self.files;
        for (path, _) in files.iter().filter(|(path, _)| is_profile(path)) {
            let unsure = self.names_unsure;
            let text = self.text(path);
            self.names_unsure = unsure;
            let Some(text) = text else { continue };
            let (documents, faults) = include::profiles(text);
            let source = Source::new(path, text, &documents);
            self.found.extend(faults.iter().map(|f| source.fault(f)));
            match documents.as_slice() {
                [] if faults.is_empty() => {
                    let hint = "Write a document of kind Profile, or take the file away.";
                    self.found.push(Diagnostic::of_file(path, "the file holds no document", hint));
                }
                [_, second, ..] => {
                    let hint = "Put each profile into a file of its own: a file is what is included.";
                    self.found.push(source.error(second.mark, "this is a second profile in one file", hint));
                }
                _ => {}
            }
            for node in &documents {
                if self.is_kind(&source, node, Kind::Profile) {
                    let faults = shape::walk_part(&include::alone(node), schema(Kind::Profile));
                    self.complained.extend(faults.iter().map(|fault| (path, fault.mark)));
                    self.found.extend(Report::new(&source, node, faults).finish());
                }
            }
        }
    }

    /// Complains about profiles that no image includes.
    fn unread_profiles(&mut self) {
        let files = self.files;
        let begun = self.images.is_empty() && self.others.images.is_empty();
        if begun || !self.specs_are_sound() {
            return;
        }
        for (path, _) in files.iter().filter(|(path, _)| is_profile(path)) {
            if !self.included.contains(path) {
                let hint = format!("Write `include: [{path}]` into a spec, or take the file away.");
                let message = "nothing reads this profile: no image includes it";
                self.found.push(Diagnostic::of_file(path, message, hint));
            }
        }
    }

    fn specs(&mut self, settings: &Settings, only: Option<&BTreeSet<&str>>) {
        let files = self.files;
        let wanted = |path: &str| is_spec(path) && only.is_none_or(|only| only.contains(path));
        for (path, _) in files.iter().filter(|(path, _)| wanted(path)) {
            let Some(text) = self.text(path) else { continue };
            let (documents, faults) = yaml::parse(text);
            let source = Source::new(path, text, &documents);
            self.names_unsure |= !faults.is_empty();
            self.found.extend(faults.iter().map(|f| source.fault(f)));
            if documents.is_empty() && faults.is_empty() {
                let hint = "Add a document with `bootwright new`, or take the file away.";
                self.found.push(Diagnostic::of_file(path, "the file holds no document", hint));
            }
            for node in &documents {
                self.spec(&source, node, settings);
            }
        }
    }

    fn spec(&mut self, source: &Source<'a>, node: &Node, settings: &Settings) {
        if is_device(node) {
            return self.device(source, node, settings);
        }
        if !self.is_kind(source, node, Kind::OsImage) {
            self.names_unsure = true;
            return;
        }
        let whole = self.library.compose(source, node);
        let (source, node) = (&whole.source, &whole.node);
        self.read.extend(whole.included.iter().copied());
        self.included.extend(whole.included.iter().copied());
        self.found.extend(whole.faults.iter().map(|fault| source.fault(fault)));
        let (image, mut report) = self.typed::<OsImage>(source, node, Kind::OsImage);
        let Some(image) = image else {
            self.names_unsure = true;
            self.found.extend(report.finish());
            return;
        };
        check::image(&mut report, &image, settings, self.files);
        let named = report.intact("metadata.name");
        self.names_unsure |= !named;
        let name = image.metadata.name.clone();
        let place = format!("{}:{}", source.file, node.mark.line);
        let other = self.place_of(name.as_str()).filter(|_| named);
        if let Some((what, place)) = &other {
            let message = match *what {
                "an image" => format!("there are two images with the name {name}"),
                what => format!("there is {what} with the name {name} already"),
            };
            report.error(
                "metadata.name",
                message,
                format!("The other one is at {place}; choose another name."),
            );
        }
        self.found.extend(report.finish());
        if named && other.is_none() {
            let document = ImageDocument {
                spec: image,
                place,
                origins: include::origins(&whole),
                lock: None,
                overlay: Vec::new(),
                files: BTreeMap::new(),
                trees: BTreeMap::new(),
            };
            self.images.insert(name, document);
        }
    }

    /// Whether a document is of the kind that belongs here; complains if not.
    fn is_kind(&mut self, source: &Source<'_>, node: &Node, kind: Kind) -> bool {
        let found = node.entry("kind");
        let Some((_, value)) = found else { return true };
        let Some(text) = value.text().filter(|text| *text != kind.as_str()) else { return true };
        let known: Vec<&str> = Kind::ALL.iter().map(|k| k.as_str()).collect();
        let (code, message, hint) = match (text, kind) {
            ("Settings", _) => (
                ErrorCode::Validation,
                "settings do not belong here".to_owned(),
                "Write them into bootwright.yaml.".to_owned(),
            ),
            ("OsImage", _) => (
                ErrorCode::Validation,
                "images do not belong here".to_owned(),
                "Write them into specs/NAME.yaml.".to_owned(),
            ),
            ("Profile", _) => (
                ErrorCode::Validation,
                "profiles do not belong here".to_owned(),
                "Write them into profiles/NAME.yaml.".to_owned(),
            ),
            ("Policy", _) => (
                ErrorCode::Validation,
                "policies do not belong here".to_owned(),
                "Write them into policies/NAME.yaml.".to_owned(),
            ),
            ("DeviceProfile", _) => (
                ErrorCode::Validation,
                "device profiles do not belong here".to_owned(),
                "Write them into specs/NAME.yaml.".to_owned(),
            ),
            ("CardWriter" | "FlashOrder", _) => (
                ErrorCode::Validation,
                "card writers and flash orders do not belong here".to_owned(),
                "Write them into runners/NAME.yaml.".to_owned(),
            ),
            ("Runner", _) => (
                ErrorCode::Compat,
                format!("documents of kind {text} are not there yet"),
                format!("What there is now: {}.", known.join(", ")),
            ),
            _ => (
                ErrorCode::Validation,
                format!("there is no kind {text:?}"),
                match shape::nearest(text, &known) {
                    Some(near) => format!("Did you mean {near}?"),
                    None => format!("Write `kind: {}`.", kind.as_str()),
                },
            ),
        };
        let diagnostic = source.error(value.mark, message, hint).code(code);
        self.found.push(Diagnostic { field: Some("kind".to_owned()), ..diagnostic });
        false
    }

    /// The document as its type, as far as its shape allows, and a report of its shape.
    fn typed<'s, T: DeserializeOwned>(
        &mut self,
        source: &'s Source<'s>,
        node: &'s Node,
        kind: Kind,
    ) -> (Option<T>, Report<'s>) {
        let (value, mut faults) = shape::walk(node, schema(kind));
        let told = |fault: &ShapeFault| {
            fault.mark.part > 0
                && self.complained.contains(&(source.file_of(fault.mark), at_home(fault.mark)))
        };
        let all = faults.len();
        faults.retain(|fault| !told(fault));
        let broken = faults.len() < all;
        for fault in faults.iter_mut().filter(|f| f.field == "apiVersion") {
            fault.hint = format!("Write `apiVersion: {API_VERSION}`; there is no other version yet.");
        }
        let clean = faults.is_empty() && !broken;
        let mut report = Report::new(source, node, faults);
        let typed = value.map(serde_json::from_value::<T>);
        if let (true, Some(Err(error))) = (clean, &typed) {
            // The schema let something through that the type refuses.
            report.error("", format!("the document cannot be read: {error}"), "Please report this.");
        }
        (typed.and_then(Result::ok), report)
    }

    /// The text of a file; complains if it is no text.
    fn text(&mut self, path: &str) -> Option<&'a str> {
        let (path, file) = self.files.entry(path)?;
        self.read.insert(path);
        if file.kind == FileKind::Symlink {
            return None;
        }
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let line = file.bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
                let diagnostic = Diagnostic::of_file(path, "the file is not in UTF-8", "Save it as UTF-8.");
                let line = u32::try_from(line).ok();
                self.found.push(Diagnostic { line, ..diagnostic.code(ErrorCode::Parse) });
                self.names_unsure = true;
                None
            }
        }
    }
}

/// The same place as its own file knows it.
fn at_home(mark: Mark) -> Mark {
    Mark { part: 0, ..mark }
}

/// `profiles/NAME.yaml`.
pub(super) fn is_profile(path: &str) -> bool {
    is_document_of("profiles/", path)
}

/// `policies/NAME.yaml`.
pub(super) fn is_policy(path: &str) -> bool {
    is_document_of("policies/", path)
}

/// `runners/NAME.yaml`.
pub(super) fn is_runner(path: &str) -> bool {
    is_document_of("runners/", path)
}

fn is_document_of(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|name| !name.contains('/') && !name.starts_with('.') && name.ends_with(".yaml"))
}

/// Whether a path is that of a spec: `specs/NAME.yaml`, but no lock.
pub fn is_spec(path: &str) -> bool {
    path.strip_prefix("specs/").is_some_and(|name| {
        !name.contains('/')
            && !name.starts_with('.')
            && name.ends_with(".yaml")
            && !name.ends_with(".lock.yaml")
    })
}
