//! What a rule has against an image, and where.

use super::document::Severity;
use crate::model::name::{ImageName, RuleName};
use serde::Serialize;
use std::fmt;

/// A place in a file of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Path in the catalog.
    pub file: String,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Place {
    /// A place from its text: `specs/edge.yaml:12`.
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((file, line)) if line.parse::<u32>().is_ok() => {
                Self { file: file.to_owned(), line: line.parse().ok(), column: None }
            }
            _ => Self { file: text.to_owned(), line: None, column: None },
        }
    }
}

impl fmt::Display for Place {
    /// `policies/house.yaml:12:5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// What a spec asks for.
    Spec,
    /// The packages that it resolved to.
    Lock,
    /// The root filesystem that was built.
    Content,
    /// The release that is about to be published.
    Release,
    /// The release that a channel points to now.
    Published,
}

/// What a rule has against an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: RuleName,
    /// What follows from it.
    pub severity: Severity,
    /// The image.
    pub image: ImageName,
    /// What it is about.
    pub stage: Stage,
    /// Where the rule stands.
    pub policy: Place,
    /// The place that the author would change: in the spec, or in the settings.
    pub place: Place,
    /// The field there: `spec.packages.servers[2]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was found.
    pub message: String,
    /// The policy's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What to do.
    pub suggestion: String,
    /// Whether building the same recipe again would do away with it.
    #[serde(skip)]
    pub curable: bool,
}

impl Finding {
    /// Whether it keeps its image from being built: what is published already stays, and
    /// keeps nothing newer from taking its place.
    pub fn refuses(&self) -> bool {
        self.severity == Severity::Error && matches!(self.stage, Stage::Spec | Stage::Lock)
    }

    /// Whether a new release of the same recipe is worth building because of it.
    pub fn would_be_cured(&self) -> bool {
        self.curable && self.severity == Severity::Error && self.stage == Stage::Published
    }

    /// What was found, and the policy's own words.
    pub fn words(&self) -> String {
        match &self.note {
            Some(note) => format!("{}: {note}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Finding {
    /// `error debian-only: … (rule at policies/house.yaml:7:5, spec.base at specs/edge.yaml:8:3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} (rule at {}, ", self.severity.as_str(), self.rule, self.words(), self.policy)?;
        match &self.field {
            Some(field) => write!(f, "{field} at {})", self.place),
            None => write!(f, "{})", self.place),
        }
    }
}
