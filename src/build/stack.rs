//! The stack of finished layers that every output is made from.
//!
//! A layer is an overlayfs upper directory: a removed name is a character device 0:0, a
//! folder that hides what lies below carries `trusted.overlay.opaque=y` (kernel
//! documentation, `filesystems/overlayfs.rst`). Nothing here mounts anything.

use crate::effects::{Point, files, point};
use crate::model::failure::IoContext;
use crate::model::recipe::LayerId;
use crate::model::spec::Size;
use crate::model::{Artifact, ArtifactKind, ErrorCode, Failure, FailureClass, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// One layer in its folder, already normalised.
#[derive(Clone, Debug)]
pub struct StackedLayer {
    /// Its name in the recipe.
    pub name: String,
    /// Its identity: what it does and everything below it.
    pub id: LayerId,
    /// No file in it is later than this, in seconds since 1970.
    pub epoch: i64,
    /// The overlayfs upper directory.
    pub folder: PathBuf,
    /// Whether it came from the cache.
    pub cached: bool,
    /// Size of its files, in bytes.
    pub size: u64,
}

/// All layers of one image.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Bottom first.
    pub layers: Vec<StackedLayer>,
    /// No time in any output is later than this, in seconds since 1970.
    pub epoch: i64,
    /// Where derived files (squashfs modules, OCI blobs) are kept by layer id.
    pub cache: PathBuf,
}

/// The kernel that an ISO starts.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its version: `6.1.0-30-amd64`.
    pub version: String,
    /// The signed kernel image, on the host.
    pub vmlinuz: PathBuf,
    /// Its initramfs, on the host.
    pub initrd: PathBuf,
}

/// The time that files made from `layers` alone carry, in seconds since 1970.
pub(super) fn newest(layers: &[StackedLayer]) -> i64 {
    layers.iter().map(|layer| layer.epoch).max().unwrap_or(0)
}

impl Stack {
    /// The layers' folders from top to bottom: the order in which a name is looked for.
    pub(super) fn folders_from_top(&self) -> Vec<&Path> {
        self.layers.iter().rev().map(|layer| layer.folder.as_path()).collect()
    }
}

/// How many of the largest parts a broken limit names.
const NAMED_PARTS: usize = 3;

/// Compares a finished file with its declared limit. `parts` are what it is made of, with
/// their sizes in bytes in that file.
///
/// # Errors
/// Class *limit*: by how much it is too large, and its largest parts.
pub fn within_limit(field: &str, size: u64, limit: Option<Size>, parts: &[(String, u64)]) -> Result<()> {
    let Some(limit) = limit.filter(|limit| size > limit.bytes()) else { return Ok(()) };
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let largest: Vec<String> = parts
        .iter()
        .take(NAMED_PARTS)
        .map(|(name, size)| format!("{name} {}", Size::from_bytes(*size)))
        .collect();
    Err(Failure::new(
        ErrorCode::LimitExceeded,
        FailureClass::Limit,
        format!(
            "{field}: {} is {} ({} bytes) more than the limit of {limit}",
            Size::from_bytes(size),
            Size::from_bytes(size - limit.bytes()),
            size - limit.bytes()
        ),
    )
    .details(format!("largest layers: {}", largest.join(", ")))
    .hint(format!(
        "Remove packages from the largest layers, set build.compression to small, or raise {field}."
    )))
}

/// The name that a file has until it is complete: beside it, so that a rename finishes it.
/// A killed process leaves one at most, and the next one writes over it.
pub(super) fn part_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Makes a complete file durable under its real name, readable for all whatever our umask.
pub(super) fn place(part: &Path, out: &Path) -> Result<()> {
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::File::open(part)
        .and_then(|file| file.set_permissions(readable).and_then(|()| file.sync_all()))
        .during(|| format!("syncing {}", part.display()))?;
    std::fs::rename(part, out).during(|| format!("writing {}", out.display()))?;
    files::sync_folder(files::parent(out))
}

/// Holds a finished file to its limit and gives it its real name.
pub(super) fn seal(
    kind: ArtifactKind,
    out: &Path,
    limit: (&str, Option<Size>),
    parts: &[(String, u64)],
) -> Result<Artifact> {
    let part = part_of(out);
    let (digest, size) = files::digest_file(&part)?;
    if let Err(failure) = within_limit(limit.0, size, limit.1, parts) {
        // Nobody may take it for a result.
        let _ = std::fs::remove_file(&part);
        return Err(failure);
    }
    place(&part, out)?;
    point(Point::ArtifactPlaced)?;
    Ok(Artifact { kind, path: out.to_owned(), digest, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_limit_says_by_how_much_and_why() {
        let parts = [("kernel".to_owned(), 600 << 20), ("base".to_owned(), 400 << 20), ("etc".to_owned(), 5)];
        let limit = Some(Size::from_bytes(900 << 20));
        assert!(within_limit("limits.isoSize", 900 << 20, limit, &parts).is_ok());
        assert!(within_limit("limits.isoSize", u64::MAX, None, &parts).is_ok());
        let failure = within_limit("limits.isoSize", 1000 << 20, limit, &parts).unwrap_err();
        assert_eq!(failure.class, FailureClass::Limit);
        assert!(failure.message.contains("100 MiB"), "{failure}");
        assert!(failure.details.unwrap().starts_with("largest layers: kernel 600 MiB, base 400 MiB"));
    }
}
