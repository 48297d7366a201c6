//! The text of a lock: YAML, one package in each line, so that a review shows what changed.

use super::diagnostic::{Diagnostic, Severity};
use super::source::Source;
use super::yaml::Mark;
use crate::model::ErrorCode;
use crate::model::device::DeviceName;
use crate::model::firmware_lock::FirmwareLock;
use crate::model::lock::{LOCK_VERSION, LayerDate, Lock};
use crate::model::name::ImageName;
use crate::model::product;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;

/// The longest lock that is read, in bytes (a package takes about 300).
const LONGEST: usize = 8 << 20;

/// Where the lock of an image stands in a catalog.
pub fn lock_path(image: &ImageName) -> String {
    format!("specs/{image}.lock.yaml")
}

/// The text of a lock of either kind.
pub fn product_lock_text(lock: &product::Lock) -> String {
    match lock {
        product::Lock::Image(lock) => lock_text(lock),
        product::Lock::Firmware(lock) => firmware_lock_text(lock),
    }
}

/// The text of the lock of a device. The same lock gives the same text.
pub fn firmware_lock_text(lock: &FirmwareLock) -> String {
    let mut text = String::from(
        "# The exact Image Builder and packages of this device. Written by `bootwright lock`; review it, do not edit it.\n",
    );
    let _ = writeln!(text, "lockVersion: {}", lock.lock_version);
    let _ = writeln!(text, "device: {}", scalar(&lock.device));
    let request = &lock.request;
    let _ = writeln!(text, "request:");
    let _ = writeln!(text, "  release: {}", scalar(&request.release));
    let _ = writeln!(text, "  platform: {}", scalar(&request.platform));
    let _ = writeln!(text, "  profile: {}", scalar(&request.profile));
    lines(&mut text, "  ", "packages", &request.packages);
    if !request.feeds.is_empty() {
        lines(&mut text, "  ", "feeds", &request.feeds);
    }
    let _ = writeln!(text, "release: {}", scalar(&lock.release));
    let _ = writeln!(text, "builder: {}", scalar(&lock.builder));
    let _ = writeln!(text, "date: {}", scalar(&lock.date));
    if let Some(limit) = &lock.image_limit {
        let _ = writeln!(text, "imageLimit: {limit}");
    }
    let _ = writeln!(text, "installedSize: {}", lock.installed_size);
    lines(&mut text, "", "packages", &lock.packages);
    text
}

/// The text of a lock. The same lock gives the same text.
pub fn lock_text(lock: &Lock) -> String {
    let mut text = String::from(
        "# The exact packages of this image. Written by `bootwright lock`; review it, do not edit it.\n",
    );
    let request = &lock.request;
    let _ = writeln!(text, "lockVersion: {}", lock.lock_version);
    let _ = writeln!(text, "image: {}", scalar(&lock.image));
    let _ = writeln!(text, "request:");
    let _ = writeln!(text, "  base: {}", scalar(&request.base));
    let _ = writeln!(text, "  suite: {}", scalar(&request.suite));
    let _ = writeln!(text, "  architecture: {}", scalar(&request.architecture));
    lines(&mut text, "  ", "layers", &request.layers);
    lines(&mut text, "", "indexes", &lock.indexes);
    if !lock.dates.is_empty() {
        lines(&mut text, "", "dates", &lock.dates);
    }
    if !lock.passed_over.is_empty() {
        lines(&mut text, "", "passedOver", &lock.passed_over);
    }
    lines(&mut text, "", "packages", &lock.packages);
    text
}

/// A list with one item in each line, in flow form. JSON is YAML, so each item is JSON
/// with spaces for the eye.
fn lines<T: Serialize>(text: &mut String, indent: &str, name: &str, items: &[T]) {
    if items.is_empty() {
        let _ = writeln!(text, "{indent}{name}: []");
        return;
    }
    let _ = writeln!(text, "{indent}{name}:");
    for item in items {
        let _ = writeln!(text, "{indent}- {}", flow(&value(item)));
    }
}

fn value<T: Serialize>(item: &T) -> serde_json::Value {
    serde_json::to_value(item).unwrap_or_default()
}

fn scalar<T: Serialize>(item: &T) -> String {
    flow(&value(item))
}

/// Flow YAML: mappings and lists as in JSON, texts without quotes where YAML needs none.
fn flow(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            // What a reader looks for comes first; the rest in the order of the alphabet.
            keys.sort_by_key(|k| (rank(k), k.as_str()));
            let entries: Vec<String> = keys.iter().map(|k| format!("{k}: {}", flow(&map[*k]))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn rank(key: &str) -> usize {
    let order = ["name", "version", "architecture", "layer", "wave", "suite", "date", "size", "packages"];
    order.iter().position(|k| *k == key).unwrap_or(order.len())
}

/// Texts that no YAML reader takes for anything else.
fn is_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~/-".contains(&b))
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n")
}

/// Reads the text of a lock.
///
/// # Errors
/// With the place of the first thing that is wrong; a lock is written by a program.
pub fn parse_lock(file: &str, text: &str, image: &ImageName) -> Result<Lock, Vec<Diagnostic>> {
    parse(file, text, image.as_str(), |lock| check(lock, image))
}

/// Reads the text of the lock of a device.
///
/// # Errors
/// As [`parse_lock`].
pub fn parse_firmware_lock(
    file: &str,
    text: &str,
    device: &DeviceName,
) -> Result<FirmwareLock, Vec<Diagnostic>> {
    parse(file, text, device.as_str(), |lock: &FirmwareLock| lock.faults(device))
}

fn parse<T: DeserializeOwned>(
    file: &str,
    text: &str,
    name: &str,
    faults: impl FnOnce(&T) -> Vec<String>,
) -> Result<T, Vec<Diagnostic>> {
    let source = Source::new(file, text, &[]);
    let again = format!("Write it again with `bootwright lock --update {name}`.");
    let whole = |message: String| vec![Diagnostic::of_file(file, message, &again)];
    if text.len() > LONGEST {
        return Err(whole(format!("the lock has {} bytes, at most {LONGEST} are read", text.len())));
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
    };
    let lock: T = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|at| Mark {
            line: u32::try_from(at.line()).unwrap_or(1),
            column: u32::try_from(at.column()).unwrap_or(1),
            length: 1,
            last_line: 1,
            part: 0,
        });
        let message =
            format!("the lock cannot be read: {}", first_line(&error.without_snippet().to_string()));
        match place {
            Some(mark) => vec![Diagnostic { code: ErrorCode::Parse, ..source.error(mark, message, &again) }],
            None => whole(message),
        }
    })?;
    let faults = faults(&lock);
    if faults.is_empty() {
        return Ok(lock);
    }
    Err(faults
        .into_iter()
        .map(|message| Diagnostic { severity: Severity::Error, ..Diagnostic::of_file(file, message, &again) })
        .collect())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What is wrong with a lock beside its form. Paths and names go into addresses and file
/// names later, so they are checked here, once.
fn check(lock: &Lock, image: &ImageName) -> Vec<String> {
    let mut faults = Vec::new();
    if lock.lock_version != LOCK_VERSION {
        faults.push(format!("lock version {} is not {LOCK_VERSION}", lock.lock_version));
    }
    if lock.image != *image {
        faults.push(format!("the lock is of {}, not of {image}", lock.image));
    }
    let layers: Vec<&str> = lock.request.layers.iter().map(|l| l.name.as_str()).collect();
    for (index, layer) in layers.iter().enumerate() {
        if layers[..index].contains(layer) {
            faults.push(format!("layer {layer} is there twice"));
        }
        if !is_layer(layer) {
            faults.push(format!("there is no layer {layer:?}"));
        }
    }
    let suites: Vec<&str> = lock.indexes.iter().map(|i| i.suite.as_str()).collect();
    if suites.is_empty() {
        faults.push("the lock names no index".to_owned());
    }
    let newest = lock.indexes.iter().map(|index| index.date).max();
    for (index, LayerDate { layer, date }) in lock.dates.iter().enumerate() {
        if !layers.contains(&layer.as_str()) {
            faults.push(format!("dates: layer {layer:?} is not in the request"));
        }
        if lock.dates[..index].iter().any(|before| before.layer == *layer) {
            faults.push(format!("dates: layer {layer} is there twice"));
        }
        if newest.is_some_and(|newest| *date > newest) || date.timestamp() < 0 {
            faults.push(format!("dates: layer {layer} is of {date}, which the indexes do not allow"));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for package in &lock.packages {
        let name = &package.name;
        if !layers.contains(&package.layer.as_str()) {
            faults.push(format!("{name}: layer {:?} is not in the request", package.layer));
        }
        if !suites.contains(&package.suite.as_str()) {
            faults.push(format!("{name}: suite {:?} is not among the indexes", package.suite));
        }
        if !is_safe_path(&package.path) {
            faults.push(format!("{name}: {:?} is not a path below a mirror", package.path));
        }
        if !is_word(&package.version, b".+~:-_") || !is_word(&package.architecture, b"-_") {
            faults.push(format!("{name}: version or architecture is not a word"));
        }
        if !seen.insert((name.as_str(), package.architecture.as_str(), package.layer.as_str())) {
            faults.push(format!("{name} is there twice"));
        }
    }
    faults
}

fn is_layer(name: &str) -> bool {
    let packages = crate::model::spec::Packages::default();
    ["bootstrap", "kernel", "iso-boot-files"].contains(&name)
        || packages.categories().iter().any(|(category, _)| *category == name)
}

fn is_word(text: &str, others: &[u8]) -> bool {
    (1..=255).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

/// A relative path that stays below its root and needs no escaping in an address.
fn is_safe_path(path: &str) -> bool {
    path.len() <= 1024
        && path.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~:=%@-".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lock::LockedPackage;

    pub(crate) fn sample() -> Lock {
        serde_json::from_value(serde_json::json!({
            "lockVersion": 1, "image": "edge",
            "request": {"base": "debian", "suite": "bookworm", "architecture": "x86_64", "layers": [
                {"name": "bootstrap", "packages": ["apt", "systemd-sysv"]},
                {"name": "utils", "packages": ["nano"]}
            ]},
            "dates": [{"layer": "bootstrap", "date": "2026-09-01T10:00:00Z"}],
            "indexes": [{"suite": "bookworm", "date": "2026-09-05T10:00:00Z",
                "digest": format!("sha256:{}", "a".repeat(64)), "keyring": format!("sha256:{}", "b".repeat(64))}],
            "packages": [
                {"name": "apt", "version": "2.6.1", "architecture": "amd64", "sha256": format!("sha256:{}", "1".repeat(64)),
                 "size": 1_379_000, "path": "pool/main/a/apt/apt_2.6.1_amd64.deb", "suite": "bookworm", "layer": "bootstrap"},
                {"name": "nano", "version": "1:7.2-1+deb12u1", "architecture": "amd64",
                 "sha256": format!("sha256:{}", "2".repeat(64)), "size": 690_000, "wave": 1,
                 "path": "pool/main/n/nano/nano_7.2-1+deb12u1_amd64.deb", "suite": "bookworm", "layer": "utils"}
            ]
        }))
        .unwrap()
    }

    fn name() -> ImageName {
        "edge".parse().unwrap()
    }

    #[test]
    fn a_lock_comes_back_the_same() {
        let text = lock_text(&sample());
        assert_eq!(parse_lock("x", &text, &name()).unwrap(), sample());
        assert_eq!(text, lock_text(&sample()));
        assert_eq!(text.lines().filter(|l| l.contains("pool/")).count(), 2);
        assert!(
            text.contains(
                "- {name: nano, version: \"1:7.2-1+deb12u1\", architecture: amd64, layer: utils, wave: 1"
            ),
            "{text}"
        );
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for text in ["1.20", "0x1f", "null", "no", "true", "1e3", "", "a: b", "a #b", "*x", "1:30", "~"] {
            assert!(!is_plain(text), "{text}");
        }
        let mut lock = sample();
        for version in ["1.20", "007", "1e3", "0x10", "2024", "1:30", "1~rc1"] {
            lock.packages[0].version = version.to_owned();
            assert_eq!(parse_lock("x", &lock_text(&lock), &name()).unwrap(), lock);
        }
    }

    #[test]
    fn hostile_locks_are_refused() {
        let change = |f: &dyn Fn(&mut Lock)| {
            let mut lock = sample();
            f(&mut lock);
            parse_lock("specs/edge.lock.yaml", &lock_text(&lock), &name()).unwrap_err()[0].message.clone()
        };
        for path in [
            "../../etc/passwd",
            "/etc/passwd",
            "pool//x",
            "pool/./x",
            "",
            "pool/a b",
            "pool/a\nb",
            "x?y",
            "x#y",
            ".x",
        ] {
            let message = change(&|l| path.clone_into(&mut l.packages[0].path));
            assert!(message.contains("not a path below a mirror"), "{path}: {message}");
        }
        assert!(change(&|l| l.packages[0].layer = "nowhere".into()).contains("not in the request"));
        assert!(change(&|l| l.packages[0].suite = "sid".into()).contains("not among the indexes"));
        assert!(change(&|l| l.packages[0].version = "1 2".into()).contains("not a word"));
        assert!(change(&|l| l.packages[0].version = "-1".into()).contains("not a word"));
        assert!(change(&|l| l.request.layers[1].name = "../x".into()).contains("no layer"));
        assert!(change(&|l| l.request.layers[1].name = "bootstrap".into()).contains("twice"));
        assert!(change(&|l| l.packages[1] = l.packages[0].clone()).contains("twice"));
        assert!(change(&|l| l.image = "other".parse().unwrap()).contains("not of edge"));
        assert!(change(&|l| l.lock_version = 2).contains("lock version 2"));
        assert!(change(&|l| l.indexes.clear()).contains("no index"));
        let dated =
            |layer: &str, date: &str| LayerDate { layer: layer.to_owned(), date: date.parse().unwrap() };
        let day = "2026-09-01T00:00:00Z";
        assert!(change(&|l| l.dates = vec![dated("servers", day)]).contains("not in the request"));
        assert!(change(&|l| l.dates = vec![dated("utils", day); 2]).contains("twice"));
        for day in ["2026-09-06T00:00:00Z", "1969-12-31T00:00:00Z"] {
            assert!(change(&|l| l.dates = vec![dated("utils", day)]).contains("do not allow"), "{day}");
        }
    }

    /// A desktop has about 2,000 packages.
    #[test]
    fn large_locks_fit_the_budget() {
        let mut lock = sample();
        let package = lock.packages[1].clone();
        lock.packages = (0..6000)
            .map(|n| LockedPackage { name: format!("package-{n}").parse().unwrap(), ..package.clone() })
            .collect();
        assert_eq!(parse_lock("x", &lock_text(&lock), &name()).unwrap(), lock);
    }

    #[test]
    fn broken_locks_have_a_place() {
        let text = lock_text(&sample()).replace("size: 690000", "size: many");
        let found = parse_lock("specs/edge.lock.yaml", &text, &name()).unwrap_err();
        assert_eq!(found[0].line, Some(17), "{found:?}");
        assert!(found[0].hint.as_ref().unwrap().contains("bootwright lock --update edge"));
        assert!(parse_lock("x", "a: 1\na: 2\n", &name()).is_err());
        assert!(parse_lock("x", "", &name()).is_err());
        let doubled = lock_text(&sample()).replace("image: edge", "image: edge\nimage: edge");
        assert!(parse_lock("x", &doubled, &name()).unwrap_err()[0].message.contains("image"));
    }
}
