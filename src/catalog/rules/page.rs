//! `docs/rules.md`, made from the rules.

use super::{Rule, all, unbuilt_rows};
use crate::catalog::diagnostic::Severity;
use std::fmt::Write as _;

/// The text of the page.
pub fn page() -> String {
    let count = |severity| all().filter(|rule| rule.severity == severity).count();
    let mut text = format!(
        "<!-- Made from the rules by `UPDATE=1 cargo test --lib catalog::rules`; do not edit. -->
# Rules between fields

A field that is right alone can be wrong beside another. `bootwright check` holds every image
to these {} rules ({} errors, {} warnings) and tells all findings of all documents at once,
each with its place. `bootwright explain RULE` shows one of them, `bootwright explain FIELD`
the rules that read a field.

A rule reads the document and nothing else: no mirror, no clock. A policy can
refuse what only warns (`keptRules`), and forbid more ([policies](policies.md)).
",
        all().count(),
        count(Severity::Error),
        count(Severity::Warning)
    );
    for rule in all() {
        let Rule { id, severity, code, fields, message, suggestion, why, .. } = rule;
        let word = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        let _ = write!(
            text,
            "\n## `{id}`\n\n{word}, `{}`, reads {}\n\n> {message}\n\n{suggestion}\n*Why:* {why}\n",
            code.as_str(),
            fields.join(", "),
        );
    }
    text.push_str("\n## What is not yet built\n\n");
    for (field, what) in unbuilt_rows() {
        let _ = writeln!(text, "- `{field}`: {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_current() {
        crate::catalog::generated::assert_current("docs/rules.md", &super::page());
    }
}
