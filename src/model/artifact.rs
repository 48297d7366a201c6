//! Files that a build made, and the witness that they were verified.

use super::digest::Digest;
use super::evidence::Evidence;
use super::failure::{ErrorCode, Failure, FailureClass, Result};
use super::recipe::LayerId;
use super::release::FirmwareFacts;
use super::spec::Output;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A hybrid live ISO.
    Iso,
    /// An OCI image layout in a tar archive.
    OciArchive,
    /// The root filesystem, tar + zstd.
    Rootfs,
    /// A disk image.
    Disk,
    /// An image of a firmware: a release may have several.
    Firmware,
}

impl ArtifactKind {
    /// The kind that an output of a spec becomes.
    pub fn of(output: Output) -> Self {
        match output {
            Output::Iso => Self::Iso,
            Output::Oci => Self::OciArchive,
            Output::Rootfs => Self::Rootfs,
            Output::Disk => Self::Disk,
        }
    }

    /// What follows the image's name in a file name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::OciArchive => "oci.tar",
            Self::Rootfs => "rootfs.tar.zst",
            Self::Disk => "img.zst",
            // Its whole name is the Image Builder's.
            Self::Firmware => "firmware",
        }
    }
}

/// A file that a build made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// Where it is now.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Everything that one build made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Built {
    /// The recipe that was built.
    pub recipe: Digest,
    /// The files.
    pub artifacts: Vec<Artifact>,
    /// The layers from bottom to top, and whether each had to be built.
    pub layers: Vec<BuiltLayer>,
    /// The package database of the finished root: one entry for each installed package.
    pub packages: Vec<InstalledPackage>,
    /// What is known of a firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<BuiltFirmware>,
}

/// What is known of a firmware that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltFirmware {
    /// What the release says of it.
    pub facts: FirmwareFacts,
    /// What the Image Builder wrote beside the images.
    pub beside: Vec<PathBuf>,
}

/// One layer as it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltLayer {
    /// Its name in the recipe.
    pub name: String,
    /// Its identity.
    pub id: LayerId,
    /// Whether it came from the cache.
    pub cached: bool,
    /// Size of its files, in bytes.
    pub size: u64,
}

/// One package as the root's own database has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledPackage {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// Source package, when it differs from `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Maintainer, as the database has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintainer: Option<String>,
    /// Home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// SHA-256 of the package file it was installed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// An artifact that proved itself. Only this can be signed and published.
#[derive(Clone, Debug)]
pub struct VerifiedArtifact {
    artifact: Artifact,
    evidence: Evidence,
}

impl VerifiedArtifact {
    /// Makes the witness, if `evidence` speaks of these very bytes and every check passed.
    ///
    /// # Errors
    /// Class *verify*, with the first check that failed, or when the evidence belongs to
    /// other bytes or holds no check at all.
    pub fn new(artifact: Artifact, evidence: Evidence) -> Result<Self> {
        let fail = |message: String| {
            Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, message).on(artifact.path.display())
        };
        if evidence.artifact != artifact.digest {
            return Err(fail(format!(
                "the evidence is of {}, the artifact is {}",
                evidence.artifact, artifact.digest
            )));
        }
        if evidence.checks.is_empty() {
            return Err(fail("nothing was checked".to_owned()));
        }
        if let Some(failure) = evidence.first_failure() {
            return Err(failure.on(artifact.path.display()));
        }
        Ok(Self { artifact, evidence })
    }

    /// The artifact.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// What it showed.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Where it is now.
    pub fn path(&self) -> &Path {
        &self.artifact.path
    }
}
