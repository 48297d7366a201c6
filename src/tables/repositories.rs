//! Where packages come from beside a distribution's own repository.

use crate::model::spec::Base;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A repository that a catalog has to allow before it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repository {
    /// The distributions that it serves.
    pub bases: Vec<Base>,
    /// What kind of place it is.
    pub kind: RepositoryKind,
    /// What it is.
    pub title: String,
    /// The OpenPGP fingerprint of its key, where it is known for sure.
    #[serde(default)]
    pub key: Option<String>,
    /// Who signs, where that is somebody else.
    #[serde(default)]
    pub signed_by: Option<Signer>,
}

/// What kind of place a repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepositoryKind {
    /// A part of the distribution's own mirrors.
    Component,
    /// Recipes that users build from.
    Recipes,
    /// Packages of somebody else.
    Vendor,
}

/// Who signs a repository that has no key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signer {
    /// The distribution, with the key of its main repository.
    Distribution,
}

static REPOSITORIES: LazyLock<BTreeMap<String, Repository>> =
    LazyLock::new(|| super::read("repositories.yaml", include_str!("repositories.yaml")));

/// All repositories by name.
pub fn repositories() -> &'static BTreeMap<String, Repository> {
    &REPOSITORIES
}

impl Repository {
    /// Who signs it, in words.
    pub fn signed(&self) -> String {
        match (&self.key, self.signed_by) {
            (Some(key), _) => format!("signed with {key}"),
            (None, Some(Signer::Distribution)) => "signed by the distribution".to_owned(),
            (None, None) => "its key is not known here: pin it yourself".to_owned(),
        }
    }
}
