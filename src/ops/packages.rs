//! `packages`: what distributions call a package, where it comes from, or why it is not there.

use crate::model::spec::Base;
use crate::tables::{self, Entry, Row};
use serde::Serialize;
use std::collections::BTreeMap;

/// Look into the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackagesRequest {
    /// Names as specs write them; all when empty.
    pub names: Vec<String>,
    /// Only this distribution.
    pub base: Option<Base>,
    /// Only names of this category.
    pub category: Option<String>,
}

/// What the tables say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackagesReport {
    /// The rows that were asked for.
    pub rows: Vec<PackageRow>,
    /// Names that are in no row: a spec that writes one gets the distribution's own package.
    pub unknown: Vec<UnknownPackage>,
}

/// One name over the distributions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageRow {
    /// The name.
    pub name: String,
    /// Other names for the same thing.
    pub also: Vec<String>,
    /// Its category.
    pub category: String,
    /// What each distribution has.
    pub on: BTreeMap<&'static str, PackageCell>,
}

/// What one distribution has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageCell {
    /// Its packages; empty where there are none.
    pub packages: Vec<String>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The repository beside the distribution's own that has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether the names are those of groups.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// The architectures that have them; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<&'static str>,
    /// What is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The service that comes with them, by the name of the usual init system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where the names were seen; absent if nobody has seen one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The suites that differ.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub suites: BTreeMap<String, PackageCell>,
}

/// A name that is in no row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownPackage {
    /// The name.
    pub name: String,
    /// Names that are written nearly like it.
    pub near: Vec<&'static str>,
}

/// Looks into the tables.
pub fn packages(request: PackagesRequest) -> PackagesReport {
    let bases: Vec<Base> = match request.base {
        Some(base) => vec![base],
        None => Base::all().collect(),
    };
    let mut report = PackagesReport { rows: Vec::new(), unknown: Vec::new() };
    let mut asked: Vec<&'static Row> = Vec::new();
    for name in &request.names {
        match tables::row(name) {
            Some(row) => asked.push(row),
            None => report.unknown.push(UnknownPackage { name: name.clone(), near: tables::near(name) }),
        }
    }
    if request.names.is_empty() {
        asked.extend(tables::rows());
    }
    asked.retain(|row| request.category.as_ref().is_none_or(|c| c == row.category));
    report.rows = asked.into_iter().map(|row| shown(row, &bases)).collect();
    report
}

fn shown(row: &Row, bases: &[Base]) -> PackageRow {
    let cells = bases.iter().filter_map(|base| {
        let mut cell = cell(*base, row.on(*base)?);
        cell.service = row.service(*base, base.own_init()).map(str::to_owned);
        Some((base.as_str(), cell))
    });
    PackageRow {
        name: row.name.clone(),
        also: row.also.clone(),
        category: row.category.to_owned(),
        on: cells.collect(),
    }
}

fn cell(base: Base, entry: &Entry) -> PackageCell {
    let suites = entry.suites().map(|(suite, entry)| (suite.to_owned(), cell(base, entry)));
    let suites = suites.collect();
    match entry {
        Entry::Missing(why) => PackageCell { missing: Some(why.clone()), ..PackageCell::default() },
        Entry::Offered(offer) => {
            let table = tables::of(base);
            let seen: Option<Vec<&str>> =
                offer.packages.iter().map(|p| Some(table.evidence(p)?.source.as_str())).collect();
            PackageCell {
                packages: offer.packages.iter().map(ToString::to_string).collect(),
                missing: None,
                from: offer.from.clone(),
                group: offer.group,
                architectures: offer.architectures.iter().map(|a| a.as_str()).collect(),
                note: offer.note.clone(),
                service: None,
                seen: seen.map(|mut places| {
                    places.dedup();
                    places.join("; ")
                }),
                suites,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(names: &[&str], base: Option<Base>) -> PackagesReport {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        packages(PackagesRequest { names, base, category: None })
    }

    #[test]
    fn one_name_over_all_and_over_one() {
        let report = ask(&["docker"], None);
        assert_eq!(report.rows[0].on.len(), 8);
        assert_eq!(report.rows[0].on["fedora"].from.as_deref(), Some("docker"));
        let report = ask(&["golang", "selinux"], Some(Base::ARCH));
        assert_eq!((report.rows[0].name.as_str(), report.rows[0].on.len()), ("go", 1));
        assert!(report.rows[1].on["arch"].missing.is_some());
    }

    #[test]
    fn unknown_names_get_near_ones() {
        let report = ask(&["ngnix", "zzzzzzzz"], None);
        assert!(report.rows.is_empty());
        assert_eq!(report.unknown[0].near, ["nginx"]);
        assert!(report.unknown[1].near.is_empty());
    }

    #[test]
    fn a_category_alone() {
        let servers = PackagesRequest { category: Some("servers".to_owned()), ..PackagesRequest::default() };
        let report = packages(servers);
        assert!(report.rows.len() >= 4 && report.rows.iter().all(|r| r.category == "servers"));
        assert!(packages(PackagesRequest::default()).rows.len() > 150);
    }
}
