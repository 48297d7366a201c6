//! What a recipe would take from the cache: taken from it last.

use super::kind::Kind;
use crate::build::{boot_files, initramfs, layers};
use crate::model::firmware::FirmwareRecipe;
use crate::model::lock::LockRequest;
use crate::model::settings::Mirror;
use crate::model::{Digest, Recipe};
use std::collections::BTreeSet;

/// Names of entries that the recipes of a catalog need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Names by kind. Those of modules and blobs are the identities of their layers.
    names: BTreeSet<(Kind, String)>,
}

impl Needs {
    /// Adds what building `recipe` would use.
    pub fn add(&mut self, recipe: &Recipe) {
        let mut ids = recipe.layer_ids();
        ids.push(layers::identity_id(recipe, ids.last().copied()));
        ids.extend(layers::live_id(recipe, ids.last().copied()));
        for id in ids {
            for kind in [Kind::Layers, Kind::Modules, Kind::Blobs] {
                self.insert(kind, id.to_string());
            }
            self.insert(Kind::Initramfs, initramfs::id(Some(id)).hex());
        }
        for package in recipe.packages().chain(&recipe.boot_files) {
            self.insert(Kind::Packages, package.sha256.hex());
        }
        self.insert(Kind::BootFiles, boot_files::id(recipe).hex());
        self.insert(Kind::Artifacts, recipe.digest().hex());
    }

    /// Adds what building a firmware would use.
    pub fn add_firmware(&mut self, recipe: &FirmwareRecipe) {
        self.insert(Kind::OpenwrtBuilders, recipe.builder.hex());
        self.insert(Kind::OpenwrtPackages, recipe.builder.hex());
        self.insert(Kind::OpenwrtFirmware, recipe.digest().hex());
        self.insert(Kind::Artifacts, recipe.digest().hex());
    }

    /// Adds what resolving `request` would use.
    pub fn add_request(&mut self, request: &LockRequest, mirrors: &[Mirror]) {
        self.insert(Kind::Indexes, index_key(request, mirrors).short());
    }

    /// Whether an entry is needed.
    pub fn has(&self, kind: Kind, name: &str) -> bool {
        // Behind the identity stand how it was compressed and its format.
        let identity = match kind {
            Kind::Modules | Kind::Blobs => name.split('-').next().unwrap_or(name),
            Kind::Packages => name.get(..64).unwrap_or(name),
            _ => name,
        };
        self.names.contains(&(kind, identity.to_owned()))
    }

    fn insert(&mut self, kind: Kind, name: String) {
        self.names.insert((kind, name));
    }
}

/// The identity of the indexes that a request is resolved with.
pub(in crate::build) fn index_key(request: &LockRequest, mirrors: &[Mirror]) -> Digest {
    Digest::of_json(&(request.base, &request.suite, request.architecture, mirrors))
}
