//! Plain words → spec.
//!
//! ```text
//! prompt ──tokens──▶ marks ──scope, settle──▶ gather ──▶ Reading ──document──▶ OsImage as YAML
//!                                  a model's answer ──▶ answer ──▶ Reading ─┘
//! ```
//!
//! The reader is deterministic: a keyword table (`tables::keywords`), readers of numbers, times
//! and names, and rules for how far a "no" reaches. It does no I/O. What it makes is read again
//! by the room `catalog`, as every file of a catalog is: a prompt can ask for no more than a
//! file can say. A language model that is asked instead (`model`) can say less than that. What is not understood is told, never guessed.

pub mod answer;
mod document;
mod findings;
mod gather;
mod marks;
pub mod model;
mod names;
mod numbers;
mod phrases;
mod ports;
mod scope;
mod times;
mod tokens;
mod wire;

pub use document::{Document, Field, Words, document};
pub use findings::{Finding, clashes, findings};
pub use wire::Kind;

use crate::model::{ErrorCode, Failure, Result};
use serde::Serialize;
use serde_json::Value;
use std::ops::Range;

/// Longer prompts are refused, in bytes.
pub const LONGEST_PROMPT: usize = 16 << 10;

/// What a prompt asks for. Ranges are bytes of the prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Fields and values, in the order of the prompt.
    pub fields: Vec<Said>,
    /// What was not understood.
    pub unread: Vec<Unread>,
    /// What contradicts itself.
    pub clashes: Vec<Clash>,
    /// What was asked to stay out.
    pub refused: Vec<Range<usize>>,
    /// What a reader should know: spelling that was mended, choices that were made.
    pub notes: Vec<Note>,
}

/// One field, or one entry of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The field below `spec`, or `name`.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// Whether it is one entry of a list.
    pub list: bool,
    /// The words that it came from.
    pub words: Vec<Range<usize>>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a field came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "from", content = "of")]
pub enum Origin {
    /// Words of the prompt.
    Words,
    /// It goes with this value.
    Follows(String),
    /// It was given beside the prompt.
    Given,
    /// Nobody said anything.
    Default,
    /// This language model.
    Model(String),
}

/// Words that were not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The words.
    pub span: Range<usize>,
    /// What to say instead.
    pub hint: Option<String>,
}

/// Two places of a prompt that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Both places.
    pub words: [Range<usize>; 2],
}

/// Something that a reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub message: String,
    /// The words that it is about.
    pub span: Range<usize>,
}

/// Reads a prompt.
///
/// # Errors
/// `PARSE_ERROR` if it is empty or longer than [`LONGEST_PROMPT`].
pub fn read(prompt: &str) -> Result<Reading> {
    check_length(prompt)?;
    Ok(reading(prompt))
}

/// Whether a text can be a prompt at all.
pub(crate) fn check_length(prompt: &str) -> Result<()> {
    if prompt.len() > LONGEST_PROMPT {
        let message = format!("the prompt has {} bytes, more than {LONGEST_PROMPT}", prompt.len());
        return Err(Failure::spec(message).code(ErrorCode::Parse).hint("Say it in fewer words."));
    }
    if prompt.trim().is_empty() {
        return Err(Failure::spec("the prompt is empty").code(ErrorCode::Parse).hint(
            "Say what the image shall be: bootwright prompt \"Debian 12 with nginx, ports 80 and 443 open\".",
        ));
    }
    Ok(())
}

/// Reads a prompt of any length, in time that grows with it.
pub fn reading(prompt: &str) -> Reading {
    let tokens = tokens::tokens(prompt);
    let mut marks = marks::marks(prompt, &tokens);
    scope::scope(&mut marks);
    scope::settle(&mut marks);
    gather::gather(prompt, &marks)
}
