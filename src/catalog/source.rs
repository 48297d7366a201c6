//! One file's text, for showing its lines: values of password fields are blanked.

use super::diagnostic::{Diagnostic, Severity};
use super::shape::is_secret;
use super::yaml::{Fault, Mark, Node, Value};
use crate::model::ErrorCode;

/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 240;

/// One file's text.
pub struct Source<'a> {
    /// Its path in the catalog.
    pub file: &'a str,
    lines: Vec<&'a str>,
    /// Lines that hold nothing but the rest of a secret value: first and last, from 1.
    hidden: Vec<(u32, u32)>,
}

impl<'a> Source<'a> {
    /// The text of a file and the documents that were read from it.
    pub fn new(file: &'a str, text: &'a str, documents: &[Node]) -> Self {
        let mut hidden = Vec::new();
        documents.iter().for_each(|node| find_secrets(node, &mut hidden));
        Self { file, lines: text.lines().collect(), hidden }
    }

    /// An error at a place.
    pub fn error(&self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: ErrorCode::Validation,
            file: self.file.to_owned(),
            line: Some(mark.line),
            column: Some(mark.column),
            length: Some(mark.length),
            source_line: self.line(mark.line),
            field: None,
            rule: None,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// The diagnostic of a fault in the YAML text itself.
    pub fn fault(&self, fault: &Fault) -> Diagnostic {
        let code = if fault.syntax { ErrorCode::Parse } else { ErrorCode::Validation };
        self.error(fault.mark, &fault.message, &fault.hint).code(code)
    }

    fn line(&self, number: u32) -> Option<String> {
        let line = self.lines.get((number as usize).checked_sub(1)?)?;
        if self.hidden.iter().any(|(first, last)| (*first..=*last).contains(&number)) {
            return Some("…".to_owned());
        }
        let shown = blank_secrets(line);
        let mut cut: String = shown.chars().take(LONGEST_LINE).collect();
        if cut.len() < shown.len() {
            cut.push('…');
        }
        Some(cut)
    }
}

/// Lines after the first that belong to the value of a secret field.
fn find_secrets(node: &Node, hidden: &mut Vec<(u32, u32)>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| find_secrets(item, hidden)),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                if is_secret(&key.text) && value.mark.last_line > key.mark.line {
                    hidden.push((key.mark.line + 1, value.mark.last_line));
                } else {
                    find_secrets(value, hidden);
                }
            }
        }
        _ => {}
    }
}

/// The line up to the first secret value in it. Works on text that is not valid YAML, too.
fn blank_secrets(line: &str) -> String {
    let line = blank_userinfo(line);
    let mut start = 0;
    while let Some(colon) = line[start..].find(':').map(|at| at + start) {
        let before = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next();
        if key.is_some_and(is_secret) && !line[colon + 1..].trim().is_empty() {
            return format!("{} …", &line[..=colon]);
        }
        start = colon + 1;
    }
    line
}

/// The line without what stands between `://` and `@`.
fn blank_userinfo(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(sign) => {
                shown.push('…');
                &after[sign..]
            }
            None => after,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked() {
        assert_eq!(blank_secrets("  passwordHash: hunter2 # x"), "  passwordHash: …");
        assert_eq!(blank_secrets("{name: a, password: hunter2, x: y}"), "{name: a, password: …");
        assert_eq!(blank_secrets("  'pass_word': x"), "  'pass_word': x");
        assert_eq!(blank_secrets("  \"password\" : hunter2"), "  \"password\" : …");
        assert_eq!(blank_secrets("  passwordHash:"), "  passwordHash:");
        assert_eq!(blank_secrets("    passwordAuthentication: maybe"), "    passwordAuthentication: maybe");
        assert_eq!(blank_secrets("a: b"), "a: b");
        assert_eq!(blank_secrets("- http://me:hunter2@h/x http://g/y"), "- http://…@h/x http://g/y");
    }

    #[test]
    fn lines_of_a_secret_block_are_hidden() {
        let text = "a:\n  password: |\n    hunter2\n    more\n  b: 1\n";
        let (documents, _) = crate::catalog::yaml::parse(text);
        let source = Source::new("x", text, &documents);
        assert_eq!(source.line(3).unwrap(), "…");
        assert_eq!(source.line(4).unwrap(), "…");
        assert_eq!(source.line(1).unwrap(), "a:");
    }
}
