//! One problem in a catalog: where it is, what it is, and what to do about it.
//!
//! A source line is part of a diagnostic and ends up in terminals and pull requests, so
//! values of password fields are blanked before they get here (see `source`).

use crate::model::{ErrorCode, Failure, FailureClass};
use serde::Serialize;
use std::fmt::Write as _;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The catalog cannot be used.
    Error,
    /// The catalog can be used, but is probably not what its author meant.
    Warning,
}

/// No text of a diagnostic is longer, in characters.
const LONGEST_TEXT: usize = 400;
/// More problems are not told at once.
const MOST: usize = 200;

/// Shortens what nobody could read: texts that quote a key of a megabyte, and thousands of
/// problems of one file that is no catalog at all.
pub fn bound(found: &mut Vec<Diagnostic>) {
    for diagnostic in found.iter_mut() {
        let texts = [diagnostic.field.as_mut(), Some(&mut diagnostic.message), diagnostic.hint.as_mut()];
        for text in texts.into_iter().flatten() {
            if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
                text.truncate(end);
                text.push('…');
            }
        }
    }
    let more = found.len().saturating_sub(MOST);
    if more > 0 {
        // Errors are not cut away in favour of warnings.
        found.sort_by_key(|diagnostic| diagnostic.severity);
        // Warnings that are not told must not stop anybody.
        let severity = found[MOST].severity;
        found.truncate(MOST);
        let file = found[0].file.clone();
        let hint = "Mend these first; then the others are told.";
        let rest = Diagnostic::of_file(file, format!("there are {more} more problems"), hint);
        found.push(Diagnostic { severity, ..rest });
    }
}

/// Puts problems into the order of their files and lines. Those of the same words and place
/// are one: what is wrong in a profile is wrong in every image that includes it.
pub fn sort(found: &mut Vec<Diagnostic>) {
    found.sort_by(|a, b| key(a).cmp(&key(b)));
    found.dedup_by(|a, b| key(a) == key(b));
}

fn key(d: &Diagnostic) -> (&str, Option<u32>, Option<u32>, Severity, &str) {
    (&d.file, d.line, d.column, d.severity, &d.message)
}

/// One problem in a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable code.
    pub code: ErrorCode,
    /// The file, by its path in the catalog.
    pub file: String,
    /// The line, from 1; absent when the whole file is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// How many characters are meant, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// The line as it stands in the file, values of password fields blanked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_line: Option<String>,
    /// The field: `spec.defaults.users[0].name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule that found it, if it was one of [`super::rules`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error about a whole file.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: ErrorCode::Validation,
            file: file.into(),
            line: None,
            column: None,
            length: None,
            source_line: None,
            field: None,
            rule: None,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// The same problem with another code.
    #[must_use]
    pub fn code(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }

    /// `file:line:column`, as far as they are known.
    pub fn place(&self) -> String {
        let mut place = printable(&self.file);
        for number in [self.line, self.column].into_iter().flatten() {
            let _ = write!(place, ":{number}");
        }
        place
    }

    /// The problem as text of several lines: message, place, the line with a mark below
    /// it, and the hint. Ends with a line break.
    pub fn render(&self, color: bool) -> String {
        let paint = |code: &'static str| if color { code } else { "" };
        let (bold, blue, off) = (paint("\x1b[1m"), paint("\x1b[1;34m"), paint("\x1b[0m"));
        let (word, tone) = match self.severity {
            Severity::Error => ("error", paint("\x1b[1;31m")),
            Severity::Warning => ("warning", paint("\x1b[1;33m")),
        };
        let gutter = self.line.map_or(1, |line| line.to_string().len());
        let mut text = format!(
            "{tone}{word}[{}]{off}{bold}: {}{off}\n{:gutter$}{blue}-->{off} {}\n",
            self.code.as_str(),
            printable(&self.message),
            "",
            self.place()
        );
        if let (Some(line), Some(source)) = (self.line, &self.source_line) {
            let (before, length) = self.marked(source);
            let _ = writeln!(text, "{:gutter$} {blue}|{off}", "");
            let _ = writeln!(text, "{blue}{line} |{off} {}", printable(source));
            let _ =
                writeln!(text, "{:gutter$} {blue}|{off} {:before$}{tone}{}{off}", "", "", "^".repeat(length));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{:gutter$} {blue}={off} {bold}help{off}: {}", "", printable(hint));
        }
        text
    }

    /// How many characters stand before the mark, and how many it spans on this line.
    fn marked(&self, source: &str) -> (usize, usize) {
        let characters = source.chars().count();
        let before = (self.column.unwrap_or(1).max(1) - 1) as usize;
        let longest = characters.saturating_sub(before).max(1);
        (before.min(characters), (self.length.unwrap_or(1) as usize).clamp(1, longest))
    }
}

/// Text from a catalog without control characters: a file must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            // Direction marks can make a line read otherwise than it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// All diagnostics as text, with a last line that counts them.
pub fn render(diagnostics: &[Diagnostic], color: bool) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&diagnostic.render(color));
        text.push('\n');
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let some = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let counts = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")];
    let counts: Vec<String> = counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, w)| some(n, w)).collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "{}", counts.join(", "));
    }
    text
}

/// One failure for callers that report failures: the first error, the rest in `details`.
pub fn failure(diagnostics: &[Diagnostic]) -> Failure {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    let Some(first) = errors.first() else {
        return Failure::bug("a catalog was refused without a reason");
    };
    let message = match errors.len() {
        1 => format!("{}: {}", first.place(), first.message),
        n => format!("{}: {} (and {} more)", first.place(), first.message, n - 1),
    };
    let mut failure = Failure::new(first.code, FailureClass::Spec, message);
    failure.hint = first.hint.clone();
    failure.details(render(diagnostics, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Diagnostic {
        Diagnostic {
            line: Some(12),
            column: Some(5),
            length: Some(4),
            source_line: Some("    bsae: debian".to_owned()),
            field: Some("spec.bsae".to_owned()),
            ..Diagnostic::of_file("specs/a.yaml", "unknown field `bsae`", "Write `base`.")
        }
    }

    #[test]
    fn many_warnings_stay_warnings() {
        let warning = || Diagnostic { severity: Severity::Warning, ..sample() };
        let rest = |errors: usize, warnings: usize| {
            let mut found: Vec<Diagnostic> = (0..warnings).map(|_| warning()).collect();
            found.extend((0..errors).map(|_| sample()));
            bound(&mut found);
            let told = found.iter().filter(|d| d.severity == Severity::Error).count();
            (told, found.len(), found[found.len() - 1].severity)
        };
        assert_eq!(rest(0, 10_000), (0, MOST + 1, Severity::Warning));
        assert_eq!(rest(3, 10_000), (3, MOST + 1, Severity::Warning));
        assert_eq!(rest(MOST + 1, 0), (MOST + 1, MOST + 1, Severity::Error));
        assert_eq!(rest(2, 2).1, 4);
    }

    #[test]
    fn reads_like_a_compiler() {
        assert_eq!(
            sample().render(false),
            "error[VALIDATION_ERROR]: unknown field `bsae`\n  --> specs/a.yaml:12:5\n   |\n\
             12 |     bsae: debian\n   |     ^^^^\n   = help: Write `base`.\n"
        );
        assert!(sample().render(true).contains("\x1b[1;31m"));
    }

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        let mut evil = sample();
        evil.source_line = Some("x: \x1b[2J\u{202e}".to_owned());
        evil.message = "a\x07b".to_owned();
        let text = evil.render(false);
        assert!(!text.contains('\x1b') && !text.contains('\x07') && !text.contains('\u{202e}'));
    }

    #[test]
    fn counts_and_failure() {
        let all = [sample(), Diagnostic { severity: Severity::Warning, ..sample() }, sample()];
        assert!(render(&all, false).ends_with("2 errors, 1 warning\n"));
        assert_eq!(failure(&all).message, "specs/a.yaml:12:5: unknown field `bsae` (and 1 more)");
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["sourceLine"], "    bsae: debian");
        assert_eq!(json["code"], "VALIDATION_ERROR");
    }
}
