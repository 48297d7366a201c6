//! The rows: one name as specs write it, over all distributions.

use super::entry::Entry;
use crate::model::name::PackageName;
use crate::model::spec::{Base, Init};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One name, as specs write it.
#[derive(Debug)]
pub struct Row {
    /// The name.
    pub name: String,
    /// Its category: the spec's field that it is made for. Any other takes it too.
    pub category: &'static str,
    /// Other names for the same thing.
    pub also: Vec<String>,
    all: Option<Entry>,
    on: BTreeMap<Base, Entry>,
    service: BTreeMap<String, String>,
    answers: Option<Answers>,
}

/// A program of a package that says its version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "AnswersText")]
pub struct Answers {
    /// Its absolute path and its arguments, with one space between them.
    pub run: String,
    /// Whether what it says has the package's version in it; some packages count by themselves.
    pub version: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnswersText {
    Version(String),
    Else { run: String, version: bool },
}

impl From<AnswersText> for Answers {
    fn from(text: AnswersText) -> Self {
        match text {
            AnswersText::Version(run) => Self { run, version: true },
            AnswersText::Else { run, version } => Self { run, version },
        }
    }
}

#[derive(Deserialize)]
struct RowText {
    #[serde(default)]
    also: Vec<String>,
    all: Option<Entry>,
    service: Option<ServiceText>,
    answers: Option<Answers>,
    /// By distribution; any other key is a mistake.
    #[serde(flatten)]
    on: BTreeMap<Base, Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ServiceText {
    Everywhere(String),
    Somewhere(BTreeMap<String, String>),
}

/// The categories in the order of requirement 1, section 7.2, what is in every system, and what
/// graphical sessions are made of.
pub const CATEGORIES: [&str; 10] = [
    "development",
    "ai_ml",
    "security",
    "networking",
    "databases",
    "servers",
    "multimedia",
    "utils",
    "base",
    "desktop",
];

const TEXTS: [&str; 10] = [
    include_str!("packages/development.yaml"),
    include_str!("packages/ai_ml.yaml"),
    include_str!("packages/security.yaml"),
    include_str!("packages/networking.yaml"),
    include_str!("packages/databases.yaml"),
    include_str!("packages/servers.yaml"),
    include_str!("packages/multimedia.yaml"),
    include_str!("packages/utils.yaml"),
    include_str!("packages/base.yaml"),
    include_str!("packages/desktop.yaml"),
];

/// All rows in the order of their categories, and where each name stands.
struct Rows {
    rows: Vec<Row>,
    places: BTreeMap<String, usize>,
}

static ROWS: LazyLock<Rows> = LazyLock::new(|| {
    let mut rows = Vec::new();
    for (category, text) in CATEGORIES.into_iter().zip(TEXTS) {
        let texts: BTreeMap<String, RowText> = super::read(category, text);
        rows.extend(texts.into_iter().map(|(name, text)| text.row(name, category)));
    }
    let mut places = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        for name in std::iter::once(&row.name).chain(&row.also) {
            let before = places.insert(name.clone(), place);
            assert!(
                before.is_none(),
                "the tables are compiled in and a test reads them: {name} stands twice"
            );
        }
    }
    Rows { rows, places }
});

impl RowText {
    fn row(self, name: String, category: &'static str) -> Row {
        let service = match self.service {
            None => BTreeMap::new(),
            Some(ServiceText::Everywhere(name)) => BTreeMap::from([("all".to_owned(), name)]),
            Some(ServiceText::Somewhere(map)) => map,
        };
        Row { name, category, also: self.also, all: self.all, on: self.on, service, answers: self.answers }
    }
}

impl Row {
    /// What a distribution has; `None` where nobody looked.
    pub fn on(&self, base: Base) -> Option<&Entry> {
        let like = || self.on.get(&base.about().like?);
        self.on.get(&base).or_else(like).or(self.all.as_ref())
    }

    /// Its program that says its version, if there is one everywhere.
    pub fn answers(&self) -> Option<&Answers> {
        self.answers.as_ref()
    }

    /// What the service that comes with it is called, if one does.
    pub fn service(&self, base: Base, init: Init) -> Option<&str> {
        let like = base.about().like.map_or(base.as_str(), Base::as_str);
        let keys = [base.as_str(), like, init.as_str(), "all"];
        keys.into_iter().find_map(|key| self.service.get(key)).map(String::as_str)
    }
}

/// All rows, in the order of their categories.
pub fn rows() -> &'static [Row] {
    &ROWS.rows
}

/// The row of a name.
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.places.get(name).map(|place| &ROWS.rows[*place])
}

/// Names of rows that are written nearly like this one, the nearest first; three at most.
pub fn near(name: &str) -> Vec<&'static str> {
    let name = name.to_ascii_lowercase();
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    for (other, place) in &ROWS.places {
        let part = |long: &str, short: &str| short.len() >= 3 && long.contains(short);
        let distance = match strsim::damerau_levenshtein(&name, other) {
            distance if distance * 3 <= name.len() => distance,
            _ if part(other, &name) || part(&name, other) => name.len(),
            _ => continue,
        };
        found.push((distance, ROWS.rows[*place].name.as_str()));
    }
    found.sort();
    let mut names: Vec<&'static str> = Vec::new();
    for (_, name) in found {
        if !names.contains(&name) && names.len() < 3 {
            names.push(name);
        }
    }
    names
}

/// Every package name that the rows have for a distribution, whatever the suite.
pub fn all_packages(base: Base) -> Vec<&'static PackageName> {
    let mut all: Vec<_> = rows().iter().filter_map(|r| r.on(base)).flat_map(Entry::all_packages).collect();
    all.sort();
    all.dedup();
    all
}
