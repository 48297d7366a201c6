//! A language model as the reader of a prompt: what it is asked, and what is taken of its answer.
//!
//! A model's answer is outside input like any other. It is one JSON document, it is cut down to
//! what a model may say, and then read and checked as every file is. What is wrong with it is
//! sent back; after the third answer that cannot be read it is given up.

use super::answer::{self, Answer};
use super::document::Document;
use super::findings::{Finding, findings};
use super::wire::{self, Kind, Message};
use crate::catalog::Severity;
use crate::effects::Cancel;
use crate::effects::ask::{Bounds, ask, service};
use crate::model::{ErrorCode, Failure, ImageName, Result};

/// Answers that are asked for before it is given up.
const TRIES: u32 = 3;
/// Problems of one answer that are sent back.
const MOST_SENT_BACK: usize = 12;

/// A model that can be asked.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// How it is spoken to.
    pub kind: Kind,
    /// Its address.
    pub url: &'a str,
    /// The model's name there.
    pub model: &'a str,
    /// The key, if it wants one.
    pub key: Option<&'a str>,
    /// How much is borne.
    pub bounds: Bounds,
}

impl std::fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.key.map(|_| "…");
        f.debug_struct("Access")
            .field("kind", &self.kind)
            .field("model", &self.model)
            .field("key", &key)
            .finish_non_exhaustive()
    }
}

/// What a model made of a prompt.
#[derive(Clone, Debug)]
pub struct Modelled {
    /// The document.
    pub document: Document,
    /// What is wrong with it, or worth knowing.
    pub findings: Vec<Finding>,
    /// What was taken out of the answer.
    pub dropped: Vec<String>,
    /// How many answers it took.
    pub tries: u32,
}

/// Has a model read a prompt.
///
/// # Errors
/// `PARSE_ERROR` after three answers that cannot be taken; else what [`ask`] says.
pub async fn read(
    access: &Access<'_>,
    prompt: &str,
    name: Option<&ImageName>,
    settings: Option<&[u8]>,
    cancel: &Cancel,
) -> Result<Modelled> {
    super::check_length(prompt)?;
    let url = wire::address(access.kind, service(access.url)?);
    let mut messages = vec![
        Message { role: "system", content: answer::instructions() },
        Message { role: "user", content: prompt.to_owned() },
    ];
    let mut wrong = Vec::new();
    for tries in 1..=TRIES {
        let body = wire::question(access.kind, access.model, &messages, answer::schema_of_answers());
        let text = ask(&url, access.key, &body, &access.bounds, cancel).await?;
        let content = match wire::content(access.kind, &text) {
            Ok(content) => content,
            Err(fault) => {
                wrong = vec![fault];
                continue;
            }
        };
        match answer::take(&content, prompt, access.model, name) {
            Ok(Answer { document, dropped }) => {
                let findings = findings(&document, settings)?;
                wrong = errors(&findings, tries == TRIES);
                if wrong.is_empty() {
                    return Ok(Modelled { document, findings, dropped, tries });
                }
            }
            Err(fault) => wrong = vec![fault],
        }
        messages.push(Message { role: "assistant", content: cut(&content) });
        messages.push(Message { role: "user", content: answer::complaint(&wrong) });
    }
    Err(Failure::spec(format!("{} gave no usable spec in {TRIES} answers", access.model))
        .code(ErrorCode::Parse)
        .hint("Say it in simpler words, use another model, or use `--reader words`.")
        .details(wrong.join("\n")))
}

/// What a model can mend: all but what cannot be built yet. In its last answer two fields may
/// contradict each other: perhaps the prompt does.
fn errors(findings: &[Finding], last: bool) -> Vec<String> {
    let mendable = findings.iter().filter(|finding| {
        let unbuilt =
            finding.message.starts_with("not yet built") || finding.message.contains("cannot be built yet");
        let contradiction =
            finding.code == ErrorCode::Compat || finding.code == ErrorCode::PackageUnavailable;
        finding.severity == Severity::Error && !unbuilt && !(last && contradiction)
    });
    let line = |finding: &Finding| {
        let field = finding.field.as_deref().unwrap_or("document");
        let hint = finding.suggestion.as_deref().unwrap_or_default();
        format!("{field}: {} {hint}", finding.message)
    };
    mendable.map(line).take(MOST_SENT_BACK).collect()
}

/// An answer is sent back to the model only as far as it can matter.
fn cut(content: &str) -> String {
    content[..content.floor_char_boundary(8 << 10)].to_owned()
}
