//! What a single field's type cannot say: forms of texts, and fields that contradict one
//! another. Every check adds to one report; none stops another.

mod accounts;
mod device;
mod kernel;
mod outputs;
mod policy;
mod runners;
mod schedule;
mod security;
mod settings;
mod signing;
mod system;
pub(super) mod text;

pub use device::renamed;
pub use policy::Images;
pub use runners::{Orderable, Ordered, card_writer, flash_order};

use super::diagnostic::{Diagnostic, Severity};
use super::files::Files;
use super::rules::{self, Breach};
use super::shape::ShapeFault;
use super::source::{Origin, Source};
use super::yaml::{Key, Mark, Node};
use crate::model::ErrorCode;
use crate::model::device::DeviceProfile;
use crate::model::policy::Policy;
use crate::model::policy::document::PolicyDocument;
use crate::model::settings::Settings;
use crate::model::spec::OsImage;

/// Collects what is wrong with one document.
pub struct Report<'a> {
    source: &'a Source<'a>,
    root: &'a Node,
    /// Fields whose shape is wrong already: what the checks see of them is not what the file says.
    broken: Vec<String>,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    /// A report that starts with what is wrong with the document's shape.
    pub fn new(source: &'a Source<'a>, root: &'a Node, faults: Vec<ShapeFault>) -> Self {
        let broken = faults.iter().map(|f| f.field.clone()).collect();
        let found = faults
            .into_iter()
            .map(|f| Diagnostic { field: Some(f.field), ..source.error(f.mark, f.message, f.hint) })
            .collect();
        Self { source, root, broken, found }
    }

    /// All that was found.
    pub fn finish(self) -> Vec<Diagnostic> {
        self.found
    }

    /// Adds an error at a field.
    pub fn error(&mut self, field: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(ErrorCode::Validation, Severity::Error, field, message.into(), hint.into());
    }

    /// Adds an error about fields that do not go together, or something that cannot be built.
    pub fn conflict(&mut self, field: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(ErrorCode::Compat, Severity::Error, field, message.into(), hint.into());
    }

    /// Adds a warning at a field.
    pub fn warning(&mut self, field: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(ErrorCode::Compat, Severity::Warning, field, message.into(), hint.into());
    }

    /// Adds what a rule has against the document.
    pub fn breach(&mut self, breach: Breach) {
        let Breach { rule, severity, code, field, message, suggestion } = breach;
        let before = self.found.len();
        self.add(code, severity, &field, message, suggestion);
        for diagnostic in &mut self.found[before..] {
            diagnostic.rule = Some(rule);
            if rule == rules::secrets::SECRET {
                diagnostic.source_line = None;
            }
        }
    }

    fn add(&mut self, code: ErrorCode, severity: Severity, field: &str, message: String, hint: String) {
        if !self.intact(field) {
            return;
        }
        let mark = locate(self.root, field);
        let hint = match self.source.origin(mark) {
            Origin::Level(..) => format!("{hint} Or go without it: write `null` for `{field}`."),
            Origin::Own | Origin::Included(..) => hint,
        };
        let diagnostic = self.source.error(mark, message, hint);
        self.found.push(Diagnostic { code, severity, field: Some(field.to_owned()), ..diagnostic });
    }

    /// Whether nothing is wrong yet with the shape of a field, what it is in, and what is in it.
    pub fn intact(&self, field: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !self.broken.iter().any(|broken| inside(broken, field) || inside(field, broken))
    }

    /// The file.
    pub fn file(&self) -> &str {
        self.source.file
    }

    /// The place of a field, or of the nearest thing around it that is in the file.
    pub fn mark(&self, field: &str) -> Mark {
        locate(self.root, field)
    }

    /// Whether the file itself sets a field, rather than a default.
    pub fn is_set(&self, field: &str) -> bool {
        find(self.root, field).is_some()
    }
}

/// The place of a field, or of the nearest thing around it that is in the file.
pub fn locate(root: &Node, field: &str) -> Mark {
    let mut path = field;
    loop {
        if let Some((key, node)) = find(root, path) {
            let is_scalar =
                !matches!(node.value, super::yaml::Value::List(_) | super::yaml::Value::Mapping(_));
            return match key {
                Some(key) if !is_scalar => key.mark,
                _ => node.mark,
            };
        }
        match path.rfind(['.', '[']) {
            Some(at) => path = &path[..at],
            None => return root.mark,
        }
    }
}

/// The node at `a.b[0].c`, and the key that it stands under if it is no list item.
fn find<'n>(root: &'n Node, field: &str) -> Option<(Option<&'n Key>, &'n Node)> {
    let (mut key, mut node) = (None, root);
    for step in field.split('.') {
        let (name, indexes) = step.split_once('[').unwrap_or((step, ""));
        let (found, child) = node.entry(name)?;
        (key, node) = (Some(found), child);
        for index in indexes.split('[').filter(|i| !i.is_empty()) {
            node = node.item(index.trim_end_matches(']').parse().ok()?)?;
            key = None;
        }
    }
    Some((key, node))
}

/// Checks one image.
pub fn image(report: &mut Report<'_>, image: &OsImage, settings: &Settings, files: &Files) {
    system::check(report, image, settings);
    kernel::check(report, image);
    accounts::check(report, image);
    security::check(report, image);
    outputs::check(report, image, files);
    schedule::check(report, image);
    rules::check(report, image);
}

/// Checks one device profile.
pub fn device(report: &mut Report<'_>, profile: &DeviceProfile, settings: &Settings, files: &Files) {
    system::known_channel(report, &profile.spec.channel, settings);
    device::check(report, profile, files);
}

/// Checks `bootwright.yaml`.
pub fn settings(report: &mut Report<'_>, settings: &Settings) {
    settings::check(report, settings);
}

/// The policy of a document.
pub fn policy(report: &mut Report<'_>, document: &PolicyDocument, images: Images<'_>) -> Policy {
    policy::check(report, document, images)
}

/// Adds an error for every item of a list that was there before.
fn doubled<T: PartialEq + std::fmt::Display>(report: &mut Report<'_>, field: &str, items: &[T]) {
    for (index, item) in items.iter().enumerate() {
        if items[..index].contains(item) {
            report.error(
                &format!("{field}[{index}]"),
                format!("{item} is listed twice"),
                "Keep one of the two.",
            );
        }
    }
}
