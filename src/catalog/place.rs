//! The exact places of findings: rules know the field, the text knows the line.

use super::check;
use super::diagnostic::{Diagnostic, Severity};
use super::files::Files;
use super::include::Library;
use super::load::is_spec;
use super::source::Source;
use super::yaml::{self, Mark};
use crate::model::ErrorCode;
use crate::model::policy::{self, Finding, Place};

/// Sets the place of a finding to the line and column of its field.
pub fn locate(files: &Files, finding: &mut Finding) {
    let found = diagnostic_of(files, finding);
    finding.place = Place { file: found.file, line: found.line, column: found.column };
}

/// A finding as the complaint of a compiler, at the place that its author would change.
pub fn diagnostic_of(files: &Files, finding: &Finding) -> Diagnostic {
    let message = format!("policy rule {}: {} (rule at {})", finding.rule, finding.words(), finding.policy);
    let severity = match finding.severity {
        policy::Severity::Error => Severity::Error,
        policy::Severity::Warning | policy::Severity::Info => Severity::Warning,
    };
    let bare = Diagnostic {
        code: ErrorCode::Policy,
        severity,
        line: finding.place.line,
        column: finding.place.column,
        field: finding.field.clone(),
        ..Diagnostic::of_file(&finding.place.file, &message, &finding.suggestion)
    };
    let text = files.get(&finding.place.file).and_then(|f| std::str::from_utf8(&f.bytes).ok());
    let (Some(text), Some(field)) = (text, &finding.field) else { return bare };
    let (documents, _) = yaml::parse(text);
    let source = Source::new(&finding.place.file, text, &documents);
    if let (false, Some(line)) = (is_spec(&finding.place.file), finding.place.line) {
        // Its place is known already: it came out of a file that the image includes.
        let mark = Mark { line, column: finding.place.column.unwrap_or(1), length: 1, ..Mark::default() };
        let found = source.error(mark, message, &finding.suggestion);
        return Diagnostic { code: ErrorCode::Policy, severity, field: Some(field.clone()), ..found };
    }
    // The document that holds the line; a file of one document need not name one.
    let line = finding.place.line.unwrap_or(u32::MAX);
    let Some(node) = documents.iter().rev().find(|node| node.mark.line <= line) else { return bare };
    let whole = Library::new(files).compose(&source, node);
    let mark = check::locate(&whole.node, field);
    let found = whole.source.error(mark, message, &finding.suggestion);
    Diagnostic { code: ErrorCode::Policy, severity, field: Some(field.clone()), ..found }
}
