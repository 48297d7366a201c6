//! Data the project curates: how distributions call packages, kernels and services.
//!
//! The data are YAML files beside this one, compiled in and read once. A name that is in no
//! row is the distribution's own; a table only translates, it is no list of what may be
//! installed.

mod distribution;
mod entry;
mod evidence;
pub mod keywords;
mod live;
mod packages;
mod page;
mod repositories;
mod support;
mod tools;

pub use distribution::{Container, Distribution, Grub, Manager, Network};
pub use entry::{Entry, Offer};
pub use evidence::Evidence;
pub use live::{Generator, Live, live, live_systems};
pub use packages::{Answers, CATEGORIES, Row, all_packages, near, row, rows};
pub use page::page;
pub use repositories::{Repository, RepositoryKind, Signer, repositories};
pub use support::{Cell, Support, support, support_page, values};
pub use tools::tool_package;

use crate::model::spec::Base;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static DISTRIBUTIONS: LazyLock<BTreeMap<Base, Distribution>> =
    LazyLock::new(|| Base::all().map(|base| (base, load(base))).collect());

fn load(base: Base) -> Distribution {
    let mut distribution: Distribution = read(base.as_str(), base.texts().system);
    distribution.evidence = read(base.as_str(), base.texts().seen);
    distribution
}

fn read<T: DeserializeOwned>(what: &str, text: &str) -> T {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .unwrap_or_else(|e| panic!("the tables are compiled in and a test reads them: {what}: {e}"))
}

/// What is known about a distribution.
pub fn of(base: Base) -> &'static Distribution {
    &DISTRIBUTIONS[&base]
}

#[cfg(test)]
mod tests;
