//! What one distribution says about one name: its packages, or why it has none.

use crate::model::name::PackageName;
use crate::model::spec::Architecture;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a distribution has under a name, for all its suites or for one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EntryText")]
pub enum Entry {
    /// It has it.
    Offered(Offer),
    /// It does not have it, and why.
    Missing(String),
}

/// The packages behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What the distribution calls them; never empty.
    pub packages: Vec<PackageName>,
    /// The repository that has them, by its name in the table, if it is not the distribution's own.
    pub from: Option<String>,
    /// Whether the names are those of groups, which bring a set of packages.
    pub group: bool,
    /// The architectures that have them; all when empty.
    pub architectures: Vec<Architecture>,
    /// What is worth knowing.
    pub note: Option<String>,
    /// The suites that differ.
    suites: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EntryText {
    Name(PackageName),
    Full(Box<EntryFields>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFields {
    packages: Option<OneOrMore>,
    missing: Option<String>,
    from: Option<String>,
    #[serde(default)]
    group: bool,
    #[serde(default)]
    architectures: Vec<Architecture>,
    note: Option<String>,
    #[serde(default)]
    suites: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(PackageName),
    More(Vec<PackageName>),
}

impl TryFrom<EntryText> for Entry {
    type Error = String;
    fn try_from(text: EntryText) -> Result<Self, String> {
        let fields = match text {
            EntryText::Name(name) => return Ok(Self::Offered(Offer::of(vec![name]))),
            EntryText::Full(fields) => *fields,
        };
        let packages = match (fields.packages, fields.missing) {
            (Some(OneOrMore::One(name)), None) => vec![name],
            (Some(OneOrMore::More(names)), None) if !names.is_empty() => names,
            (None, Some(why)) if !why.is_empty() => return Ok(Self::Missing(why)),
            _ => return Err("an entry has either packages or missing".to_owned()),
        };
        Ok(Self::Offered(Offer {
            from: fields.from,
            group: fields.group,
            architectures: fields.architectures,
            note: fields.note,
            suites: fields.suites,
            ..Offer::of(packages)
        }))
    }
}

impl Offer {
    fn of(packages: Vec<PackageName>) -> Self {
        let (from, note) = (None, None);
        Self { packages, from, group: false, architectures: Vec::new(), note, suites: BTreeMap::new() }
    }

    /// Whether the packages are there for an architecture.
    pub fn is_for(&self, architecture: Architecture) -> bool {
        self.architectures.is_empty() || self.architectures.contains(&architecture)
    }
}

impl Entry {
    /// The entry of one suite, by the suite's first name.
    pub fn on(&self, suite: Option<&str>) -> &Self {
        match (self, suite) {
            (Self::Offered(offer), Some(suite)) => offer.suites.get(suite).unwrap_or(self),
            _ => self,
        }
    }

    /// What is offered, whatever the suite, if anything is.
    pub fn offer(&self) -> Option<&Offer> {
        match self {
            Self::Offered(offer) => Some(offer),
            Self::Missing(_) => None,
        }
    }

    /// The suites that differ, each with its own entry.
    pub fn suites(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let suites = match self {
            Self::Offered(offer) => Some(&offer.suites),
            Self::Missing(_) => None,
        };
        suites.into_iter().flatten().map(|(suite, entry)| (suite.as_str(), entry))
    }

    /// The packages of all suites.
    pub fn all_packages(&self) -> Vec<&PackageName> {
        match self {
            Self::Missing(_) => Vec::new(),
            Self::Offered(offer) => {
                let others = offer.suites.values().flat_map(Entry::all_packages);
                offer.packages.iter().chain(others).collect()
            }
        }
    }
}
