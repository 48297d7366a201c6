//! What a catalog asks for and a store publishes, whichever kind it is: an OS image, or the
//! firmware of a device.
//!
//! Plans, runs and releases treat both alike and speak of these; who builds or looks at bytes
//! speaks of one kind. As JSON each is what its kind is: nothing says which one, the fields do.

use super::Digest;
use super::device::DeviceName;
use super::firmware::{FirmwareOrder, FirmwareRecipe};
use super::firmware_lock::{self, FirmwareLock, FirmwareRequest};
use super::lock::{self, LockRequest, PackageChange};
use super::name::ImageName;
use super::recipe::{LayerId, ResolvedRecipe};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What something is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Recipe {
    /// Of an image.
    Image(Box<super::Recipe>),
    /// Of a firmware.
    Firmware(Box<FirmwareRecipe>),
}

impl Recipe {
    /// The identity behind "build or reuse".
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// The lock that the packages come from.
    pub fn lock(&self) -> Digest {
        match self {
            Self::Image(recipe) => recipe.lock,
            Self::Firmware(recipe) => recipe.lock,
        }
    }

    /// Everything that it names by digest and that a release keeps.
    pub fn blobs(&self) -> BTreeSet<Digest> {
        match self {
            Self::Image(recipe) => recipe.blobs(),
            Self::Firmware(recipe) => {
                let files = recipe.files.iter().filter_map(|file| file.sha256);
                files.chain(recipe.feeds.iter().map(|feed| feed.key)).collect()
            }
        }
    }
}

impl From<super::Recipe> for Recipe {
    fn from(recipe: super::Recipe) -> Self {
        Self::Image(Box::new(recipe))
    }
}

/// The exact packages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lock {
    /// Of an image.
    Image(lock::Lock),
    /// Of a firmware.
    Firmware(FirmwareLock),
}

impl Lock {
    /// The name of what it belongs to.
    pub fn name(&self) -> ImageName {
        match self {
            Self::Image(lock) => lock.image.clone(),
            Self::Firmware(lock) => ImageName::from(&lock.device),
        }
    }

    /// The identity of the answer.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Image(lock) => lock.digest(),
            Self::Firmware(lock) => lock.digest(),
        }
    }

    /// The date that everything built from it carries.
    pub fn date(&self) -> DateTime<Utc> {
        match self {
            Self::Image(lock) => lock.date(),
            Self::Firmware(lock) => lock.date,
        }
    }

    /// What was asked.
    pub fn request(&self) -> Request {
        match self {
            Self::Image(lock) => Request::Image(lock.request.clone()),
            Self::Firmware(lock) => Request::Firmware(lock.request.clone()),
        }
    }

    /// Whether it says the same as another one but for when it was found out.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Image(a), Self::Image(b)) => a.request == b.request && a.packages == b.packages,
            (Self::Firmware(a), Self::Firmware(b)) => a == b,
            _ => false,
        }
    }

    /// The packages that differ from those of an older lock; none where the kinds differ.
    pub fn changes_since(&self, old: &Self) -> Vec<PackageChange> {
        match (old, self) {
            (Self::Image(old), Self::Image(new)) => lock::diff(&old.packages, &new.packages),
            (Self::Firmware(old), Self::Firmware(new)) => firmware_lock::diff(&old.packages, &new.packages),
            _ => Vec::new(),
        }
    }
}

impl From<lock::Lock> for Lock {
    fn from(lock: lock::Lock) -> Self {
        Self::Image(lock)
    }
}

impl From<FirmwareLock> for Lock {
    fn from(lock: FirmwareLock) -> Self {
        Self::Firmware(lock)
    }
}

/// What is asked of a package manager or an Image Builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Request {
    /// For an image.
    Image(LockRequest),
    /// For a firmware.
    Firmware(FirmwareRequest),
}

impl From<LockRequest> for Request {
    fn from(request: LockRequest) -> Self {
        Self::Image(request)
    }
}

/// A firmware's recipe with the bytes that it names, and the lock that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedFirmware {
    /// The recipe and its bytes.
    pub order: FirmwareOrder,
    /// The lock, to be kept in the release.
    pub lock: FirmwareLock,
}

/// A recipe with the bytes that it names, and its lock.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// Of an image.
    Image(ResolvedRecipe),
    /// Of a firmware.
    Firmware(ResolvedFirmware),
}

impl Resolved {
    /// The digest of the recipe.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Image(resolved) => resolved.recipe.digest(),
            Self::Firmware(resolved) => resolved.order.recipe.digest(),
        }
    }

    /// The recipe.
    pub fn recipe(&self) -> Recipe {
        match self {
            Self::Image(resolved) => Recipe::Image(Box::new(resolved.recipe.clone())),
            Self::Firmware(resolved) => Recipe::Firmware(Box::new(resolved.order.recipe.clone())),
        }
    }

    /// The lock.
    pub fn lock(&self) -> Lock {
        match self {
            Self::Image(resolved) => Lock::Image(resolved.lock.clone()),
            Self::Firmware(resolved) => Lock::Firmware(resolved.lock.clone()),
        }
    }

    /// What the lock answers.
    pub fn request(&self) -> Request {
        match self {
            Self::Image(resolved) => Request::Image(resolved.lock.request.clone()),
            Self::Firmware(resolved) => Request::Firmware(resolved.lock.request.clone()),
        }
    }

    /// The layers from bottom to top, by name; a firmware has none.
    pub fn layers(&self) -> Vec<(String, LayerId)> {
        match self {
            Self::Image(resolved) => {
                let names = resolved.recipe.layers.iter().map(|layer| layer.name.clone());
                names.zip(resolved.recipe.layer_ids()).collect()
            }
            Self::Firmware(_) => Vec::new(),
        }
    }

    /// The bytes that the recipe names by digest.
    pub fn blobs(&self) -> BTreeMap<Digest, Arc<[u8]>> {
        match self {
            Self::Image(resolved) => resolved.blobs.clone(),
            Self::Firmware(resolved) => resolved.order.blobs(),
        }
    }
}

impl From<ResolvedRecipe> for Resolved {
    fn from(resolved: ResolvedRecipe) -> Self {
        Self::Image(resolved)
    }
}

/// A device by the name that it is published under, if it can be one.
pub fn device_name(name: &ImageName) -> Option<DeviceName> {
    name.as_str().parse().ok()
}
