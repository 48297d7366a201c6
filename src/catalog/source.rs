//! The texts that a document was put together from, for showing their lines: values of
//! password fields are blanked. Most documents have one; those that include others have
//! more, and a mark says which of them it is in.

use super::diagnostic::{Diagnostic, Severity};
use super::shape::is_secret;
use super::yaml::{Fault, Mark, Node, Value};
use crate::model::ErrorCode;
use crate::model::profile::SecurityLevel;
use std::rc::Rc;

/// The longest line that is shown, in characters.
const LONGEST_LINE: usize = 240;

/// The texts of one document.
pub struct Source<'a> {
    /// The path of its own file in the catalog.
    pub file: &'a str,
    parts: Vec<Part<'a>>,
}

/// The lines of one file; shared by all the documents that it is a part of.
pub struct Text<'a> {
    lines: Vec<&'a str>,
    /// Lines that hold nothing but the rest of a secret value: first and last, from 1.
    hidden: Vec<(u32, u32)>,
}

struct Part<'a> {
    text: Rc<Text<'a>>,
    origin: Origin<'a>,
}

/// How a text came into a document.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// It is the document's own file.
    Own,
    /// The file at a path, included at a mark.
    Included(&'a str, Mark),
    /// What a security level stands for, asked for at a mark.
    Level(SecurityLevel, Mark),
}

impl<'a> Text<'a> {
    /// The text of a file and the documents that were read from it.
    pub fn new(text: &'a str, documents: &[Node]) -> Rc<Self> {
        let mut hidden = Vec::new();
        documents.iter().for_each(|node| find_secrets(node, &mut hidden));
        Rc::new(Self { lines: text.lines().collect(), hidden })
    }
}

impl<'a> Source<'a> {
    /// The text of a file and the documents that were read from it.
    pub fn new(file: &'a str, text: &'a str, documents: &[Node]) -> Self {
        Self { file, parts: vec![Part { text: Text::new(text, documents), origin: Origin::Own }] }
    }

    /// The same without the texts that were added.
    pub fn own(&self) -> Self {
        let own = self.parts.iter().take(1).map(|part| Part { text: Rc::clone(&part.text), ..*part });
        Self { file: self.file, parts: own.collect() }
    }

    /// Adds a text; gives what its marks have as their part, or nothing if there are too many.
    pub fn add(&mut self, text: &Rc<Text<'a>>, origin: Origin<'a>) -> Option<u16> {
        let number = u16::try_from(self.parts.len()).ok()?;
        self.parts.push(Part { text: Rc::clone(text), origin });
        Some(number)
    }

    /// How the text that a mark is in came into the document.
    pub fn origin(&self, mark: Mark) -> Origin<'a> {
        self.parts.get(usize::from(mark.part)).map_or(Origin::Own, |part| part.origin)
    }

    /// The file that a mark is in; for what a security level stands for, the file that asks for it.
    pub fn file_of(&self, mark: Mark) -> &'a str {
        match self.origin(mark) {
            Origin::Own => self.file,
            Origin::Included(file, _) => file,
            Origin::Level(_, at) => self.file_of(at),
        }
    }

    /// The places, from the nearest on, that brought in the text that a mark is in: none for
    /// the document's own.
    pub fn chain(&self, mark: Mark) -> Vec<String> {
        let mut chain = Vec::new();
        let mut origin = self.origin(mark);
        while let Origin::Included(_, at) | Origin::Level(_, at) = origin {
            chain.push(format!("{}:{}", self.file_of(at), at.line));
            origin = self.origin(at);
        }
        chain
    }

    /// An error at a place.
    pub fn error(&self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) -> Diagnostic {
        let (mut message, mut hint, mut mark) = (message.into(), hint.into(), mark);
        if let Origin::Level(level, at) = self.origin(mark) {
            message = format!("{message} (set by `securityLevel: {}`)", level.as_str());
            mark = at;
        }
        let chain = self.chain(mark);
        if !chain.is_empty() {
            hint = format!("{hint} Included at {}.", chain.join(", from "));
        }
        Diagnostic {
            severity: Severity::Error,
            code: ErrorCode::Validation,
            file: self.file_of(mark).to_owned(),
            line: Some(mark.line),
            column: Some(mark.column),
            length: Some(mark.length),
            source_line: self.line(mark),
            field: None,
            rule: None,
            message,
            hint: Some(hint),
        }
    }

    /// The diagnostic of a fault in the YAML text itself.
    pub fn fault(&self, fault: &Fault) -> Diagnostic {
        let code = if fault.syntax { ErrorCode::Parse } else { ErrorCode::Validation };
        self.error(fault.mark, &fault.message, &fault.hint).code(code)
    }

    fn line(&self, mark: Mark) -> Option<String> {
        let (part, number) = (&self.parts.get(usize::from(mark.part))?.text, mark.line);
        let line = part.lines.get((number as usize).checked_sub(1)?)?;
        if part.hidden.iter().any(|(first, last)| (*first..=*last).contains(&number)) {
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
        let line = |line| source.line(Mark { line, ..Mark::default() }).unwrap();
        assert_eq!((line(1), line(3), line(4)), ("a:".to_owned(), "…".to_owned(), "…".to_owned()));
    }
}
