//! What fields of one image must not say together, and what cannot be built yet.
//!
//! Every rule is one row: it looks at a typed spec and nothing else, and says what is wrong,
//! what to do about it, and why that is so. All rules look at every document; none keeps
//! another from speaking. A rule does not look at a document in which one of its fields has
//! the wrong shape: what it would see there is a stand-in.

mod display;
mod distribution;
mod looks;
mod page;
mod rows;
pub(super) mod secrets;
mod security;
mod services;
mod shells;
mod storage;
mod unbuilt;

pub use page::page;
pub use unbuilt::{NOT_YET_BUILT, UNBUILT, rows as unbuilt_rows};

use super::check::Report;
use super::diagnostic::Severity;
use crate::model::ErrorCode;
use crate::model::spec::OsImage;

/// One rule.
pub struct Rule {
    /// Its name, which never changes: `mac-one-of`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Which kind of problem it is.
    pub code: ErrorCode,
    /// The fields it reads; `[]` stands for the items of a list. `spec` and `metadata` alone:
    /// each of their fields by itself.
    pub fields: &'static [&'static str],
    /// Finds every place where it does not hold.
    pub when: fn(&OsImage) -> Vec<Hit>,
    /// What is wrong; `{name}` stands for a word of the hit.
    pub message: &'static str,
    /// What to do; `{name}` stands for a word of the hit.
    pub suggestion: &'static str,
    /// The technical reason, in one sentence.
    pub why: &'static str,
}

/// One place where a rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The field that its author would change.
    pub field: String,
    words: Vec<(&'static str, String)>,
}

impl Hit {
    /// A hit at a field.
    pub fn at(field: impl Into<String>) -> Self {
        Self { field: field.into(), words: Vec::new() }
    }

    /// The same hit with a word for the message.
    #[must_use]
    pub fn with(mut self, name: &'static str, word: impl ToString) -> Self {
        self.words.push((name, word.to_string()));
        self
    }

    /// A text of the rule with the words of the hit. Words are put in at once, so that one
    /// which looks like a place for another stays as it is.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let word = after.split_once('}').and_then(|(name, behind)| {
                let (_, word) = self.words.iter().find(|(known, _)| *known == name)?;
                Some((word, behind))
            });
            match word {
                Some((word, behind)) => {
                    filled.push_str(word);
                    rest = behind;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// What a rule has against an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Which kind of problem it is.
    pub code: ErrorCode,
    /// The field that its author would change.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub suggestion: String,
}

/// All rules, in the order in which they are told.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        distribution::RULES,
        storage::RULES,
        display::RULES,
        security::RULES,
        services::RULES,
        looks::RULES,
        shells::RULES,
        secrets::RULES,
        unbuilt::RULES,
    ]
    .into_iter()
    .flatten()
}

/// The rule of a name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id == id)
}

/// Everything that the rules have against an image whose shape is sound.
pub fn breaches(image: &OsImage) -> Vec<Breach> {
    all().flat_map(|rule| rule.breaches(image)).collect()
}

impl Rule {
    fn breaches(&'static self, image: &OsImage) -> impl Iterator<Item = Breach> {
        (self.when)(image).into_iter().map(|hit| Breach {
            rule: self.id,
            severity: self.severity,
            code: self.code,
            message: hit.fill(self.message),
            suggestion: hit.fill(self.suggestion),
            field: hit.field,
        })
    }
}

/// Adds what the rules have against an image to a report.
pub(super) fn check(report: &mut Report<'_>, image: &OsImage) {
    for rule in all() {
        let sound =
            |field: &&str| *field == "spec" || report.intact(field.split('[').next().unwrap_or(field));
        if rule.fields.iter().all(sound) {
            rule.breaches(image).for_each(|breach| report.breach(breach));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_put_in_once() {
        let hit = Hit::at("a").with("one", "{two}").with("two", "x");
        assert_eq!(hit.fill("{one} and {two}, {three} {"), "{two} and x, {three} {");
    }

    #[test]
    fn every_rule_has_a_name_of_its_own_and_says_why() {
        let mut seen = std::collections::BTreeSet::new();
        for rule in all() {
            assert!(rule.id.parse::<crate::model::name::RuleName>().is_ok(), "{}", rule.id);
            assert!(seen.insert(rule.id), "there are two rules {}", rule.id);
            assert!(!rule.fields.is_empty() && !rule.message.is_empty(), "{}", rule.id);
            assert!(rule.suggestion.ends_with(['.', '}']) && rule.why.ends_with('.'), "{}", rule.id);
        }
    }
}
