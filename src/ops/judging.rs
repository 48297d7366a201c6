//! What `check` adds to the text of a catalog: policies, and pins that nothing reads.

use super::LockState;
use crate::catalog::{self, Diagnostic, Files};
use crate::model::ErrorCode;
use crate::model::catalog::{Catalog, DeviceDocument, ImageDocument};
use crate::model::lock::LockRequest;
use crate::model::name::ImageName;
use crate::model::policy::Finding;
use crate::planner::policy::{self, FirmwarePackages, Packages};
use crate::resolve::{self, StalePin};

/// What the policies of a catalog have against one of its images, with exact places.
pub(super) fn findings(
    files: &Files,
    catalog: &Catalog,
    document: &ImageDocument,
    asked: Option<&LockRequest>,
) -> Vec<Finding> {
    let packages = match (&document.lock, asked) {
        (Some(lock), Some(asked)) if lock.request == *asked => Packages::Locked(lock),
        (_, Some(asked)) => Packages::Asked(asked),
        (_, None) => Packages::Unknown,
    };
    let mut findings = policy::of_image(&catalog.policies, document, &catalog.settings.mirrors, packages);
    findings.iter_mut().for_each(|finding| catalog::locate(files, finding));
    findings
}

/// What the policies of a catalog have against one of its devices, with exact places.
pub(super) fn device_findings(files: &Files, catalog: &Catalog, document: &DeviceDocument) -> Vec<Finding> {
    let (request, _) = resolve::firmware_request(document);
    let packages = match &document.lock {
        Some(lock) if lock.request == request => FirmwarePackages::Locked(lock),
        _ => FirmwarePackages::Asked(&request),
    };
    let name = ImageName::from(&document.profile.metadata.name);
    let mut findings = policy::of_device(&catalog.policies, &name, document, packages);
    findings.iter_mut().for_each(|finding| catalog::locate(files, finding));
    findings
}

/// An error if the lock of a device answers something else than its profile asks.
pub(super) fn stale_device_lock(document: &DeviceDocument) -> Option<Diagnostic> {
    let (request, _) = resolve::firmware_request(document);
    let lock = document.lock.as_ref().filter(|lock| lock.request != request)?;
    let name = ImageName::from(&lock.device);
    let message = format!("the lock is out of date: {} asks for something else", document.place);
    let hint = format!("Run `bootwright lock {name}` and review the change.");
    Some(Diagnostic::of_file(catalog::lock_path(&name), message, &hint).code(ErrorCode::Compat))
}

/// How a lock stands to its spec.
pub(super) fn lock_state(document: &ImageDocument, asked: &LockRequest) -> LockState {
    match &document.lock {
        None => LockState::Missing,
        Some(lock) if &lock.request != asked => LockState::Outdated,
        Some(lock) => LockState::Current { packages: lock.packages.len(), date: lock.date() },
    }
}

/// An error for every pin of a lock that its spec does not ask for, and for everything that
/// the spec asks for and the lock does not answer.
pub(super) fn stale_pins(
    files: &Files,
    name: &ImageName,
    document: &ImageDocument,
    asked: &LockRequest,
) -> Vec<Diagnostic> {
    let Some(lock) = &document.lock else { return Vec::new() };
    let path = catalog::lock_path(name);
    let text = files.get(&path).and_then(|f| std::str::from_utf8(&f.bytes).ok()).unwrap_or_default();
    let hint = format!("Run `bootwright lock {name}` and review the change.");
    let stale = resolve::stale_pins(asked, &lock.request);
    stale
        .into_iter()
        .map(|pin| {
            let (message, place) = match &pin {
                StalePin::Unread { layer, package } => (
                    format!("nothing reads this pin: layer {layer} no longer asks for {package}"),
                    place_of(text, layer, package.as_str()),
                ),
                StalePin::Missing { layer, package } => {
                    (format!("the lock has no answer for {package}, which layer {layer} asks for"), None)
                }
                StalePin::Other { how } => (format!("the lock is out of date: {how}"), None),
            };
            let (line, column, source_line) = match place {
                Some((line, column, source)) => (Some(line), Some(column), Some(source)),
                None => (None, None, None),
            };
            let diagnostic = Diagnostic::of_file(&path, message, &hint).code(ErrorCode::Compat);
            Diagnostic { line, column, source_line, ..diagnostic }
        })
        .collect()
}

/// Line and column of a package in the request of a lock's text: each layer is a line.
fn place_of(text: &str, layer: &str, package: &str) -> Option<(u32, u32, String)> {
    let head = format!("  - {{name: {layer}, packages: [");
    let (index, line) = text.lines().enumerate().find(|(_, line)| line.starts_with(&head))?;
    let words = line[head.len()..].split([',', ']']);
    let mut at = head.len();
    for word in words {
        let name = word.trim_matches([' ', '"', '}']);
        if name == package {
            let column = at + word.len() - word.trim_start().len() + 1;
            let source: String = line.chars().take(200).collect();
            return Some((u32::try_from(index + 1).ok()?, u32::try_from(column).ok()?, source));
        }
        at += word.len() + 1;
    }
    None
}
