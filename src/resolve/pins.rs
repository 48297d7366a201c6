//! Pins that no longer belong to what a spec asks for.

use crate::model::lock::{LayerRequest, LockRequest};
use crate::model::name::PackageName;

/// One difference between what a spec asks for and what its lock answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StalePin {
    /// The lock pins a package for a layer that no longer asks for it.
    Unread {
        /// The layer.
        layer: String,
        /// The package.
        package: PackageName,
    },
    /// A layer asks for a package that the lock was not asked for.
    Missing {
        /// The layer.
        layer: String,
        /// The package.
        package: PackageName,
    },
    /// Distribution, suite, architecture or the order of the layers differ.
    Other {
        /// How.
        how: String,
    },
}

/// Every way in which a lock's request is not the one that its spec makes.
pub fn stale_pins(asked: &LockRequest, locked: &LockRequest) -> Vec<StalePin> {
    let mut stale = Vec::new();
    let mut other = |what: &str, now: &str, before: &str| {
        if now != before {
            stale.push(StalePin::Other { how: format!("the {what} is {now}, was {before}") });
        }
    };
    other("base", asked.base.as_str(), locked.base.as_str());
    other("suite", asked.suite.as_str(), locked.suite.as_str());
    other("architecture", asked.architecture.as_str(), locked.architecture.as_str());
    for (layer, package) in only_in(&locked.layers, &asked.layers) {
        stale.push(StalePin::Unread { layer, package });
    }
    for (layer, package) in only_in(&asked.layers, &locked.layers) {
        stale.push(StalePin::Missing { layer, package });
    }
    if stale.is_empty() && asked != locked {
        stale.push(StalePin::Other { how: "the layers are in another order".to_owned() });
    }
    stale
}

/// The packages that some layer of `these` asks for and the same layer of `those` does not.
fn only_in(these: &[LayerRequest], those: &[LayerRequest]) -> Vec<(String, PackageName)> {
    let mut found = Vec::new();
    for layer in these {
        let other = those.iter().find(|l| l.name == layer.name);
        for package in &layer.packages {
            if !other.is_some_and(|l| l.packages.contains(package)) {
                found.push((layer.name.clone(), package.clone()));
            }
        }
    }
    found
}
