//! From a name in a spec to a distribution's packages (requirement 1, section 7.1).
//!
//! A name that is in a row is translated; one that is in no row is the distribution's own.
//! What a distribution does not have is never replaced in silence: the reason is given, and
//! [`PackageSettings::missing`] says whether the image goes on without it.

use crate::model::name::PackageName;
use crate::model::packaging::PackageSettings;
use crate::model::spec::{Architecture, Base, OsSpec};
use crate::tables::{self, Distribution, Entry, Offer, Row};

/// For which system names are looked up.
pub(super) struct Lookup<'a> {
    base: Base,
    architecture: Architecture,
    /// The suite's first name in the tables, if they know it.
    pub suite: Option<&'static str>,
    pub distribution: &'static Distribution,
    settings: &'a PackageSettings,
}

/// What became of a name.
pub(super) enum Found {
    /// The packages of a row.
    Packages(&'static Row, &'static Offer),
    /// A name of the distribution's own.
    Own,
    /// There is nothing to install, and why, and what could be done.
    Nothing { why: String, cure: String },
    /// No package of this package manager can have such a name.
    NoName,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(spec: &OsSpec, settings: &'a PackageSettings) -> Self {
        let distribution = tables::of(spec.base);
        let suite = distribution.suite(spec.suite.as_str());
        Self { base: spec.base, architecture: spec.architecture, suite, distribution, settings }
    }

    /// What a name of one category becomes. `extra` holds the distribution's own names.
    pub(super) fn find(&self, category: &str, name: &PackageName) -> Found {
        let row = if category == "extra" { None } else { tables::row(name.as_str()) };
        let Some((row, entry)) = row.and_then(|row| Some((row, row.on(self.base)?))) else {
            return if self.distribution.is_name(name.as_str()) { Found::Own } else { Found::NoName };
        };
        match self.offer(entry) {
            Ok(offer) => Found::Packages(row, offer),
            Err((why, cure)) => {
                Found::Nothing { why: format!("{} has no {name}: {why}", self.title()), cure }
            }
        }
    }

    /// The packages of an entry, or why there are none here and what could be done.
    pub(super) fn offer(&self, entry: &'static Entry) -> Result<&'static Offer, (String, String)> {
        let offer = match entry.on(self.suite) {
            Entry::Offered(offer) => offer,
            Entry::Missing(why) => {
                let cure = "Take it away, or bring it in a post-install script or an overlay.";
                return Err((why.clone(), cure.to_owned()));
            }
        };
        if !offer.is_for(self.architecture) {
            let there: Vec<&str> = offer.architectures.iter().map(|a| a.as_str()).collect();
            let why = format!("it is there for {} only", there.join(", "));
            return Err((why, format!("Take it away for {}.", self.architecture.as_str())));
        }
        if let Some(from) = offer.from.as_ref().filter(|f| !self.settings.repositories.contains(*f)) {
            let title = tables::repositories().get(from).map_or("", |r| r.title.as_str());
            let why = format!("it is in {from} only ({title}), which this catalog does not allow");
            return Err((
                why,
                format!(
                    "Allow it in bootwright.yaml, `packages: {{repositories: [{from}]}}`, or take the name away."
                ),
            ));
        }
        Ok(offer)
    }

    /// What the distribution calls itself.
    pub(super) fn title(&self) -> &'static str {
        self.base.title()
    }

    /// What a name must look like here.
    pub(super) fn name_rule(&self) -> &'static str {
        match self.distribution.manager {
            tables::Manager::Apt => {
                "Debian's names have lower-case letters, digits and + - . only; versions and releases do not belong here."
            }
            tables::Manager::Emerge => "Write category/package, without a version.",
            _ => "Write a plain name, without version, repository or group sign.",
        }
    }
}
