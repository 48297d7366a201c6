//! A catalog as the rest of the program sees it: validated documents of one commit.

use super::Result;
use super::device::{DeviceName, DevicePackages, DeviceProfile};
use super::firmware_lock::FirmwareLock;
use super::lock::Lock;
use super::name::{ChannelName, ImageName};
use super::policy::Policy;
use super::settings::Settings;
use super::spec::OsImage;
use super::writer::{CardWriter, FlashOrder, OrderName, WriterName};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that one commit (or one working tree) declares.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Where it was read from.
    pub source: CatalogSource,
    /// `bootwright.yaml`, or the defaults.
    pub settings: Settings,
    /// All images by name.
    pub images: BTreeMap<ImageName, ImageDocument>,
    /// All device profiles by name.
    pub devices: BTreeMap<DeviceName, DeviceDocument>,
    /// The policies, by file and place.
    pub policies: Vec<Policy>,
    /// The card writers, by name.
    pub writers: BTreeMap<WriterName, CardWriter>,
    /// The flash orders, by name.
    pub orders: BTreeMap<OrderName, FlashOrder>,
}

/// Where a catalog was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogSource {
    /// The repository or folder as the user named it.
    pub location: String,
    /// The commit; absent for a working tree.
    pub commit: Option<Commit>,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Commit {
    /// The object id, 40 hexadecimal digits.
    pub id: String,
    /// The committer's date.
    pub date: DateTime<Utc>,
    /// The first line of the message.
    pub subject: String,
}

/// One image with all the files that its spec refers to.
#[derive(Clone, Debug)]
pub struct ImageDocument {
    /// The spec.
    pub spec: OsImage,
    /// Where it stands: `specs/edge-gateway.yaml:12`.
    pub place: String,
    /// The fields whose values came from elsewhere, each with the place that set it.
    pub origins: BTreeMap<String, String>,
    /// `specs/NAME.lock.yaml`, if there is one.
    pub lock: Option<Lock>,
    /// `specs/overlays/NAME/`, sorted by path.
    pub overlay: Vec<OverlayEntry>,
    /// The files that the spec names (scripts, splash), by their path in the catalog.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// The folders and repositories that the spec takes files from (dotfiles, frameworks of the
    /// shell), by their [origin](super::spec::Origin)'s name, or why one cannot be had.
    pub trees: BTreeMap<String, Result<Vec<OverlayEntry>>>,
}

/// One device profile with all the files that it refers to.
#[derive(Clone, Debug)]
pub struct DeviceDocument {
    /// The profile.
    pub profile: DeviceProfile,
    /// Where it stands: `specs/office-router.yaml:1`.
    pub place: String,
    /// `specs/NAME.lock.yaml`, if there is one.
    pub lock: Option<FirmwareLock>,
    /// `specs/overlays/NAME/`, sorted by path.
    pub overlay: Vec<OverlayEntry>,
    /// The files that the profile names (script, keys), by their path in the catalog.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Its packages, by the names that they have in its release.
    pub packages: DevicePackages,
}

/// A document that something is built from.
#[derive(Clone, Debug)]
pub enum Document {
    /// An image.
    Image(Arc<ImageDocument>),
    /// A device profile.
    Device(Arc<DeviceDocument>),
}

impl Document {
    /// Where it stands.
    pub fn place(&self) -> &str {
        match self {
            Self::Image(document) => &document.place,
            Self::Device(document) => &document.place,
        }
    }

    /// The channel that shall point to what is built.
    pub fn channel(&self) -> &ChannelName {
        match self {
            Self::Image(document) => &document.spec.spec.channel,
            Self::Device(document) => &document.profile.spec.channel,
        }
    }

    /// What it is, in one line.
    pub fn description(&self) -> Option<&String> {
        match self {
            Self::Image(document) => document.spec.metadata.description.as_ref(),
            Self::Device(document) => document.profile.metadata.description.as_ref(),
        }
    }

    /// Whether the catalog has a lock of it, which only a commit may change.
    pub fn has_lock(&self) -> bool {
        match self {
            Self::Image(document) => document.lock.is_some(),
            Self::Device(document) => document.lock.is_some(),
        }
    }
}

/// One entry of an overlay, or of a folder that files are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayEntry {
    /// Path in the image or folder, without the leading slash; no `..`, no empty parts.
    pub path: String,
    /// What it is.
    pub content: OverlayContent,
}

/// What git can store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverlayContent {
    /// A regular file.
    File {
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// Whether git marks it executable (mode 0755, else 0644).
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
}
