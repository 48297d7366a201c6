//! The words that people use when they say what they want, and the fields that they mean.
//!
//! The data are `keywords.yaml`. Its texts are already in the form that a prompt is brought
//! into before it is compared: lower case, no accents, blanks between words.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keywords {
    categories: BTreeMap<String, Category>,
    /// What follows from a value if nothing else is said: field, value, fields.
    pub implied: BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>,
    /// How people call the suites of a distribution.
    pub suites: BTreeMap<String, Suites>,
    /// Places by the IANA time zone that they are in.
    pub places: BTreeMap<String, Vec<String>>,
    /// Languages by their English name.
    pub languages: BTreeMap<String, Language>,
    /// Keyboard layouts that are called by their first keys.
    pub layouts: BTreeMap<String, String>,
    /// Words that steer the reading.
    pub cues: BTreeMap<Cue, Vec<String>>,
    /// Words that say nothing about an image, separated by blanks.
    pub fillers: String,
}

/// One subject: values of one field, or keywords that mean several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    /// The field that each value is of.
    #[serde(default)]
    set: Option<String>,
    /// The list that each value is added to.
    #[serde(default)]
    add: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    keywords: Vec<Keyword>,
}

/// What some words mean.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyword {
    /// The ways to say it.
    pub words: Vec<String>,
    /// Fields and their values.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Lists and what is added to them.
    #[serde(default)]
    pub add: BTreeMap<String, Vec<Value>>,
    /// Fields and their values when it is not wanted.
    #[serde(default)]
    pub not: BTreeMap<String, Value>,
    /// What it is about, for numbers and times that stand near.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// The branch of the spec that stays empty when it is not wanted.
    #[serde(default)]
    pub clears: Option<String>,
    /// The words themselves say that the branch stays empty.
    #[serde(default)]
    pub refuses: bool,
    /// The words alone decide nothing.
    #[serde(default)]
    pub vague: bool,
    /// The field that has to be said by other words.
    #[serde(default)]
    pub needs: Option<String>,
    /// What to say about it when nobody does.
    #[serde(default)]
    pub ask: Option<String>,
    /// The category.
    #[serde(skip)]
    pub category: String,
}

/// What numbers and times may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Backups: schedule, retention, destinations.
    Backup,
    /// Snapshots: interval, retention.
    Snapshots,
    /// Security updates: schedule.
    Updates,
    /// The firewall: ports.
    Firewall,
    /// The SSH server: port.
    Ssh,
    /// Banned addresses: for how long, after how many tries.
    Ban,
    /// The image itself: when it is built again.
    Rebuild,
}

/// Words that steer the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cue {
    /// What follows is not wanted.
    No,
    /// The next thing alone is not wanted.
    InsteadOf,
    /// What follows is left out of a whole.
    Except,
    /// Looks like a negation and is none.
    NotOnly,
    /// Ends what came before.
    But,
    /// What follows is wanted.
    With,
    /// Goes on with a list.
    And,
    /// Goes on with a list of which one is taken.
    Or,
    /// What follows corrects what came before.
    Correct,
    /// What came before is not wanted.
    Refused,
    /// What came before is wanted.
    Granted,
    /// As the thing before it.
    Too,
    /// What came before was only thought about.
    Impossible,
    /// The next thing is only told about.
    Past,
}

/// The suites of one distribution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suites {
    /// Taken when none is said.
    pub default: String,
    /// Suite by what people say.
    pub names: BTreeMap<String, String>,
    /// Whether any version number is a suite.
    #[serde(default)]
    pub numbers: bool,
    /// Names that mean this distribution even when it is not named.
    #[serde(default)]
    pub known: Vec<String>,
}

/// One language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// The locale.
    pub locale: String,
    /// The keyboard layout.
    pub keyboard: String,
    /// Other names.
    pub words: Vec<String>,
}

static KEYWORDS: LazyLock<(Keywords, Vec<Keyword>)> = LazyLock::new(|| {
    let options = serde_saphyr::options! { strict_booleans: true };
    let table: Keywords = serde_saphyr::from_str_with_options(include_str!("keywords.yaml"), options)
        .expect("keywords.yaml is compiled in and a test reads it");
    let all = table.categories.iter().flat_map(|(name, category)| category.all(name)).collect();
    (table, all)
});

/// The table.
pub fn keywords() -> &'static Keywords {
    &KEYWORDS.0
}

/// Every keyword of every category.
pub fn all_keywords() -> &'static [Keyword] {
    &KEYWORDS.1
}

impl Category {
    fn all(&self, name: &str) -> Vec<Keyword> {
        let values = self.values.iter().map(|(value, other)| {
            let spoken = value.replace(['-', '_', '.'], " ");
            let words = std::iter::once(spoken).chain(other.iter().cloned()).collect();
            let mut keyword = Keyword { words, ..Keyword::default() };
            if let Some(field) = &self.set {
                keyword.set.insert(field.clone(), Value::from(value.as_str()));
            }
            if let Some(list) = &self.add {
                keyword.add.insert(list.clone(), vec![Value::from(value.as_str())]);
            }
            keyword
        });
        let mut all: Vec<Keyword> = values.chain(self.keywords.iter().cloned()).collect();
        all.iter_mut().for_each(|keyword| name.clone_into(&mut keyword.category));
        all
    }
}

impl Keywords {
    /// The names of all categories.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.categories.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn there_are_enough() {
        let categories = keywords().categories().count();
        let count = all_keywords().len();
        let ways: usize = all_keywords().iter().map(|keyword| keyword.words.len()).sum();
        println!("{count} keywords in {categories} categories, {ways} ways to say them");
        assert!(count >= 250 && categories >= 25, "{count} keywords in {categories} categories");
    }

    #[test]
    fn no_way_to_say_it_means_two_things() {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for keyword in all_keywords() {
            for words in &keyword.words {
                let other = seen.insert(words, &keyword.category);
                assert_eq!(other, None, "{words:?} is in {} too", keyword.category);
            }
        }
    }

    /// Else nothing would ever match them.
    #[test]
    fn texts_are_in_the_form_that_is_compared() {
        let table = keywords();
        let texts = all_keywords()
            .iter()
            .flat_map(|k| &k.words)
            .chain(table.cues.values().flatten())
            .chain(table.places.values().flatten())
            .chain(table.languages.keys())
            .chain(table.languages.values().flat_map(|language| &language.words));
        for text in texts {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || " +#".contains(c);
            assert!(text.chars().all(plain) && text.trim() == text && !text.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn every_distribution_has_suites() {
        use crate::model::spec::Base;
        let bases = ["arch", "debian", "ubuntu", "alpine", "fedora", "opensuse", "void", "gentoo"];
        for name in bases {
            let suites = &keywords().suites[name];
            assert!(
                suites
                    .names
                    .values()
                    .chain([&suites.default])
                    .all(|s| s.parse::<crate::model::name::SuiteName>().is_ok())
            );
            assert!(serde_json::from_value::<Base>(name.into()).is_ok());
        }
    }
}
