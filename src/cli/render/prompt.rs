//! What `prompt` says: the spec as YAML, and below it, as comments, what is to be known.

use crate::catalog::Severity;
use crate::cli::terminal::{Palette, clean};
use crate::ops::PromptReport;
use std::fmt::Write as _;

/// The whole answer is one YAML document: what is not part of the spec is a comment.
pub fn prompt(report: &PromptReport, palette: Palette) -> String {
    if let Some(path) = &report.written {
        let mut out = format!("wrote {}\n", palette.strong(&clean(path)));
        out.push_str(&remarks(report, ""));
        let name = &report.name;
        let _ = writeln!(
            out,
            "\nNext: read it, `bootwright check`, `bootwright lock {name}`, `git add {path}`, commit."
        );
        return out;
    }
    format!("{}{}", report.yaml, remarks(report, "# "))
}

fn remarks(report: &PromptReport, lead: &str) -> String {
    let mut out = String::new();
    if let Some(model) = &report.model {
        let _ =
            writeln!(out, "{lead}read by the model {} ({} of 3 answers)", clean(&model.name), model.tries);
    }
    for unread in &report.not_understood {
        let hint = unread.suggestion.as_deref().map(|hint| format!(" {hint}")).unwrap_or_default();
        let words = &unread.words;
        let _ = writeln!(
            out,
            "{lead}not understood: “{}” (characters {} to {}).{}",
            clean(&words.text),
            words.start + 1,
            words.end,
            clean(&hint)
        );
    }
    if !report.refused.is_empty() {
        let words: Vec<String> = report.refused.iter().map(|w| format!("“{}”", clean(&w.text))).collect();
        let _ = writeln!(out, "{lead}left out as asked: {}", words.join(", "));
    }
    for note in &report.notes {
        let _ = writeln!(out, "{lead}note: {}", clean(note));
    }
    for finding in &report.findings {
        let word = if finding.severity == Severity::Error { "error" } else { "warning" };
        let field = finding.field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{lead}{word}[{}]: {}{}",
            finding.code.as_str(),
            clean(&field),
            clean(&finding.message)
        );
        if !finding.words.is_empty() {
            let words: Vec<String> = finding.words.iter().map(|w| format!("“{}”", clean(&w.text))).collect();
            let _ = writeln!(out, "{lead}  from: {}", words.join(", "));
        }
        if let Some(hint) = &finding.suggestion {
            let _ = writeln!(out, "{lead}  help: {}", clean(hint));
        }
    }
    out
}
