//! Data the project curates: how eight distributions call packages, kernels and services.
//!
//! The data are YAML files beside this one, compiled in and read once. A name that is in no
//! row is the distribution's own; a table only translates, it is no list of what may be
//! installed.

mod distribution;
mod entry;
mod evidence;
pub mod keywords;
mod packages;
mod page;
mod repositories;
mod support;
mod tools;

pub use distribution::{Container, Distribution, Manager, Network};
pub use entry::{Entry, Offer};
pub use evidence::Evidence;
pub use packages::{CATEGORIES, Row, all_packages, near, row, rows};
pub use page::page;
pub use repositories::{Repository, RepositoryKind, Signer, repositories};
pub use support::{Cell, Support, support, support_page};
pub use tools::tool_package;

use crate::model::spec::Base;
use serde::de::DeserializeOwned;
use std::sync::LazyLock;

static DISTRIBUTIONS: [LazyLock<Distribution>; 8] = [
    LazyLock::new(|| load(include_str!("distributions/arch.yaml"), include_str!("checked/arch.yaml"))),
    LazyLock::new(|| load(include_str!("distributions/debian.yaml"), include_str!("checked/debian.yaml"))),
    LazyLock::new(|| load(include_str!("distributions/ubuntu.yaml"), include_str!("checked/ubuntu.yaml"))),
    LazyLock::new(|| load(include_str!("distributions/alpine.yaml"), include_str!("checked/alpine.yaml"))),
    LazyLock::new(|| load(include_str!("distributions/fedora.yaml"), include_str!("checked/fedora.yaml"))),
    LazyLock::new(|| {
        load(include_str!("distributions/opensuse.yaml"), include_str!("checked/opensuse.yaml"))
    }),
    LazyLock::new(|| load(include_str!("distributions/void.yaml"), include_str!("checked/void.yaml"))),
    LazyLock::new(|| load(include_str!("distributions/gentoo.yaml"), include_str!("checked/gentoo.yaml"))),
];

fn load(distribution: &str, checked: &str) -> Distribution {
    let mut distribution: Distribution = read("a distribution", distribution);
    distribution.evidence = read("what was checked", checked);
    distribution
}

fn read<T: DeserializeOwned>(what: &str, text: &str) -> T {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
        .unwrap_or_else(|e| panic!("the tables are compiled in and a test reads them: {what}: {e}"))
}

/// What is known about a distribution.
pub fn of(base: Base) -> &'static Distribution {
    let place = match base {
        Base::Arch => 0,
        Base::Debian => 1,
        Base::Ubuntu => 2,
        Base::Alpine => 3,
        Base::Fedora => 4,
        Base::Opensuse => 5,
        Base::Void => 6,
        Base::Gentoo => 7,
    };
    &DISTRIBUTIONS[place]
}

#[cfg(test)]
mod tests;
