//! Where two image files differ: the first file inside that is not the same, and why.
//!
//! Digests say *that* two builds differ; this says *where*, from the outside in: the ISO's
//! squashfs module, the file in it, its mode or its first byte.

mod tar;
mod tree;

use crate::effects::files::{WorkFolder, read_if_exists};
use crate::effects::process::find_tool;
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::rebuild::Difference;
use crate::model::{ArtifactKind, Digest, Failure, Result};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a tool may take.
const LIMIT: Duration = Duration::from_mins(20);
/// diffoscope gets this long; it can take hours.
const DIFFOSCOPE_LIMIT: Duration = Duration::from_mins(5);
/// So much of what diffoscope says is kept, in bytes.
const REPORT: usize = 64 << 10;
/// No index or manifest of an OCI image is larger, in bytes.
const JSON_LIMIT: u64 = 4 << 20;

/// What one container has that another lacks, or has otherwise.
struct Found {
    place: Vec<String>,
    what: String,
    /// The two files, where they lie on disk.
    pair: Option<(PathBuf, PathBuf)>,
}

/// Two files to compare and what the comparison works with.
struct Sides<'a> {
    published: &'a Path,
    rebuilt: &'a Path,
    /// An empty folder for what is unpacked.
    scratch: &'a Path,
    cancel: &'a Cancel,
}

/// Finds the first difference between the published file and the one of this build; `None`
/// if they are the same.
///
/// # Errors
/// Class *host* if one cannot be read or unpacked here.
pub fn difference(
    kind: ArtifactKind,
    published: &Path,
    rebuilt: &Path,
    scratch: &Path,
    cancel: &Cancel,
) -> Result<Option<Difference>> {
    let Some(offset) = first_byte(published, rebuilt, cancel)? else { return Ok(None) };
    let work = WorkFolder::new(scratch, "compare")?;
    let sides = Sides { published, rebuilt, scratch: work.path(), cancel };
    let found = match kind {
        ArtifactKind::Iso => iso(&sides)?,
        ArtifactKind::OciArchive => oci(&sides)?,
        ArtifactKind::Rootfs => tar::zstd(&sides)?,
        ArtifactKind::Disk | ArtifactKind::Firmware => Some(Found {
            place: Vec::new(),
            what: "the bytes are others; what is inside was not compared".to_owned(),
            pair: None,
        }),
    };
    let found = found.unwrap_or_else(|| Found {
        place: Vec::new(),
        what: "the files inside are the same, the bytes around them are not".to_owned(),
        pair: None,
    });
    let report = match &found.pair {
        Some((a, b)) => diffoscope(a, b, cancel)?,
        None => None,
    };
    Ok(Some(Difference { offset, place: found.place, what: found.what, report }))
}

/// The offset of the first byte that differs; where one file is the other's beginning, the
/// shorter one's length.
fn first_byte(a: &Path, b: &Path, cancel: &Cancel) -> Result<Option<u64>> {
    let open = |path: &Path| File::open(path).during(|| format!("opening {}", path.display()));
    let reading = || format!("comparing {} and {}", a.display(), b.display());
    first_byte_of(&mut open(a)?, &mut open(b)?, cancel)?.during(reading)
}

/// As [`first_byte`], of two streams.
fn first_byte_of(
    a: &mut impl Read,
    b: &mut impl Read,
    cancel: &Cancel,
) -> Result<std::io::Result<Option<u64>>> {
    let (mut a, mut b) = (BufReader::with_capacity(1 << 20, a), BufReader::with_capacity(1 << 20, b));
    let mut at = 0;
    loop {
        cancel.check()?;
        match step(&mut a, &mut b) {
            Err(e) => return Ok(Err(e)),
            Ok(Step::Same(0)) => return Ok(Ok(None)),
            Ok(Step::Same(n)) => at += n,
            Ok(Step::Differ(n)) => return Ok(Ok(Some(at + n))),
        }
    }
}

enum Step {
    /// So many equal bytes; none at the end of both.
    Same(u64),
    /// The first difference is so many bytes further on.
    Differ(u64),
}

fn step(a: &mut impl std::io::BufRead, b: &mut impl std::io::BufRead) -> std::io::Result<Step> {
    let (left, right) = (a.fill_buf()?, b.fill_buf()?);
    let common = left.len().min(right.len());
    if common == 0 {
        return Ok(if left.len() == right.len() { Step::Same(0) } else { Step::Differ(0) });
    }
    if left[..common] != right[..common] {
        let n = left.iter().zip(right).position(|(x, y)| x != y).unwrap_or(common);
        return Ok(Step::Differ(n as u64));
    }
    a.consume(common);
    b.consume(common);
    Ok(Step::Same(common as u64))
}

fn iso(sides: &Sides<'_>) -> Result<Option<Found>> {
    let unpack = |from: &Path, name: &str| -> Result<PathBuf> {
        let to = sides.scratch.join(name);
        Process::new("xorriso")
            .args(["-osirrox", "on", "-indev"])
            .arg(from)
            .args(["-extract", "/"])
            .arg(&to)
            .timeout(LIMIT)
            .check(sides.cancel)?;
        Ok(to)
    };
    let (a, b) = (unpack(sides.published, "published")?, unpack(sides.rebuilt, "rebuilt")?);
    let Some(mut found) = tree::first(&a, &b, sides.cancel)? else { return Ok(None) };
    let module = found.place.last().is_some_and(|name| name.ends_with(".squashfs"));
    if let (true, Some((a, b))) = (module, found.pair.clone()) {
        let inside = squashfs(&Sides { published: &a, rebuilt: &b, ..*sides })?;
        if let Some(inside) = inside {
            found.place.extend(inside.place);
            found = Found { place: found.place, ..inside };
        }
    }
    Ok(Some(found))
}

fn squashfs(sides: &Sides<'_>) -> Result<Option<Found>> {
    let unpack = |from: &Path, name: &str| -> Result<PathBuf> {
        let to = sides.scratch.join(name);
        Process::new("unsquashfs")
            .args(["-no-progress", "-quiet", "-dest"])
            .args([&to, from])
            .timeout(LIMIT)
            .check(sides.cancel)?;
        Ok(to)
    };
    let a = unpack(sides.published, "published-module")?;
    let b = unpack(sides.rebuilt, "rebuilt-module")?;
    tree::first(&a, &b, sides.cancel)
}

/// What `index.json` and an image manifest have in common (OCI image specification).
#[derive(Deserialize)]
struct Blob {
    digest: Digest,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Blob>,
}

#[derive(Deserialize)]
struct ImageManifest {
    config: Blob,
    layers: Vec<Blob>,
}

fn oci(sides: &Sides<'_>) -> Result<Option<Found>> {
    let unpack = |from: &Path, name: &str| -> Result<PathBuf> {
        let folder = sides.scratch.join(name);
        std::fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
        super::root::unpack::tar(from, &folder, sides.cancel)
    };
    let (a, b) = (unpack(sides.published, "published")?, unpack(sides.rebuilt, "rebuilt")?);
    let (ours, theirs) = (image(&a)?, image(&b)?);
    if ours.layers.len() != theirs.layers.len() {
        let what = format!("{} layers, {} in this build", ours.layers.len(), theirs.layers.len());
        return Ok(Some(Found { place: Vec::new(), what, pair: None }));
    }
    for (i, (x, y)) in ours.layers.iter().zip(&theirs.layers).enumerate() {
        if x.digest == y.digest {
            continue;
        }
        let (x, y) = (blob(&a, &x.digest), blob(&b, &y.digest));
        let place = format!("layer {}", i + 1);
        let inside = tar::zstd(&Sides { published: &x, rebuilt: &y, ..*sides })?;
        return Ok(Some(match inside {
            Some(mut inside) => {
                inside.place.insert(0, place);
                inside
            }
            None => Found {
                place: vec![place],
                what: "the files inside are the same, the compressed bytes are not".to_owned(),
                pair: None,
            },
        }));
    }
    if ours.config.digest != theirs.config.digest {
        let pair = (blob(&a, &ours.config.digest), blob(&b, &theirs.config.digest));
        let place = vec!["image configuration".to_owned()];
        return Ok(Some(Found { place, what: "its text differs".to_owned(), pair: Some(pair) }));
    }
    tree::first(&a, &b, sides.cancel)
}

fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

fn image(layout: &Path) -> Result<ImageManifest> {
    fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
        let bytes = read_if_exists(path, JSON_LIMIT)?
            .ok_or_else(|| Failure::untrusted(format!("the OCI archive has no {}", path.display())))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Failure::untrusted(format!("{} cannot be read: {e}", path.display())))
    }
    let index: Index = json(&layout.join("index.json"))?;
    let first = index.manifests.first();
    let first = first.ok_or_else(|| Failure::untrusted("the OCI archive has no image"))?;
    json(&blob(layout, &first.digest))
}

/// What diffoscope says about two files, if it is installed and done in time.
fn diffoscope(a: &Path, b: &Path, cancel: &Cancel) -> Result<Option<String>> {
    if find_tool("diffoscope").is_none() {
        return Ok(None);
    }
    let said = Process::new("diffoscope")
        .args(["--no-progress", "--max-text-report-size", "65536", "--text", "-"])
        .args([a, b])
        .timeout(DIFFOSCOPE_LIMIT)
        .run(cancel);
    match said {
        Ok(output) => {
            let text = output.text();
            let end = (0..=text.len().min(REPORT)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            Ok((!text.trim().is_empty()).then(|| text[..end].to_owned()))
        }
        Err(failure) if failure.class == crate::model::FailureClass::Cancelled => Err(failure),
        // It is an extra: what was found without it stands.
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
