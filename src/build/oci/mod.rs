//! The OCI image of the system: one tar+zstd blob for each layer.
//!
//! Follows the OCI image specification 1.1: layers with whiteouts, image configuration,
//! manifest, and an image layout in one tar archive (or a folder). The image is a whole
//! system, so it starts the init system and is stopped with the signal that systemd
//! understands as "power off"; `podman run -it IMAGE bash` gives a shell.

pub mod layer;
pub mod layout;

use super::archive::Archive;
use super::stack::{self, Stack};
use super::union;
use crate::effects::{Cancel, Point, Task, point};
use crate::model::catalog::Commit;
use crate::model::digest::canonical_json;
use crate::model::event::{Emitter, Unit};
use crate::model::failure::IoContext;
use crate::model::spec::Size;
use crate::model::{Artifact, ArtifactKind, Digest, Failure, Recipe, Result};
use layer::Blob;
use layout::Layout;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// The search path of everything that is started without a shell.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// systemd(1): `SIGRTMIN+3` halts the machine.
const STOP_SIGNAL: &str = "SIGRTMIN+3";

/// What an OCI image is made from.
#[derive(Debug)]
pub struct OciInput<'a> {
    /// The layers.
    pub stack: &'a Stack,
    /// Names, dates, compression and limits.
    pub recipe: &'a Recipe,
    /// What the image calls itself.
    pub build_id: Digest,
    /// The release's version; becomes the tag too.
    pub version: Option<&'a str>,
    /// The commit that asked for it. It stands in the image: another commit, other bytes.
    pub commit: Option<&'a Commit>,
    /// One line about the image.
    pub description: Option<&'a str>,
    /// Where the archive goes.
    pub out: &'a Path,
}

/// Writes the image as one archive.
///
/// # Errors
/// Class *spec* if a file cannot be stored in an OCI layer, *limit* if `limits.ociSize` is
/// exceeded, *cancelled* on request.
pub fn write(input: &OciInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<Artifact> {
    write_checked(input, events, cancel).map_err(|failure| failure.on(&input.recipe.image))
}

fn write_checked(input: &OciInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<Artifact> {
    let (layout, blobs) = layout(input, events, cancel)?;
    let task = Task::with_total(events, "oci image", Some(layout.size()), Unit::Bytes);
    let part = stack::part_of(input.out);
    let file = File::create(&part).during(|| format!("writing {}", part.display()))?;
    let to = BufWriter::with_capacity(1 << 20, file);
    let mut archive = Archive::new(to, input.out.display().to_string());
    layout.write(&mut archive, epoch(input), &task, cancel)?;
    archive.finish()?;
    point(Point::OciWritten)?;
    let parts: Vec<_> =
        input.stack.layers.iter().zip(&blobs).map(|(layer, blob)| (layer.name.clone(), blob.size)).collect();
    let limit = ("limits.ociSize", input.recipe.limits.oci_size);
    let artifact = stack::seal(ArtifactKind::OciArchive, input.out, limit, &parts)?;
    task.finish(format!("written, {}", Size::from_bytes(artifact.size)));
    Ok(artifact)
}

/// Writes the image as an image layout in a folder, its blobs linked to the cache where that
/// can be. The folder must not exist.
///
/// # Errors
/// As [`write()`], without a limit.
pub fn write_folder(
    input: &OciInput<'_>,
    folder: &Path,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Digest> {
    let (layout, _) = layout(input, events, cancel).map_err(|failure| failure.on(&input.recipe.image))?;
    layout.write_folder(folder)?;
    Ok(layout.manifest)
}

fn epoch(input: &OciInput<'_>) -> u64 {
    u64::try_from(input.recipe.epoch).unwrap_or(0)
}

fn layout(input: &OciInput<'_>, events: &Emitter, cancel: &Cancel) -> Result<(Layout, Vec<Blob>)> {
    let blobs = layer::blobs(input.stack, input.recipe.compression, events, cancel)?;
    let about = about(input)?;
    let config = canonical_json(&config(input, &blobs, &about)?);
    let manifest = canonical_json(&manifest(&config, &blobs, &about));
    let index = canonical_json(&index(input, &manifest));
    let layers = blobs.iter().map(|blob| (blob.digest, blob.size, blob.path.clone())).collect();
    Ok((Layout::new(index, manifest, config, layers), blobs))
}

/// What annotations and labels say (OCI image specification, "Pre-Defined Annotation Keys").
fn about(input: &OciInput<'_>) -> Result<Map<String, Value>> {
    let recipe = input.recipe;
    let standard = |key: &str| format!("org.opencontainers.image.{key}");
    let mut about = Map::new();
    about.insert(standard("title"), recipe.image.as_str().into());
    about.insert(standard("created"), created(input)?.into());
    about.insert("bootwright.build".to_owned(), input.build_id.hex().into());
    about.insert("bootwright.base".to_owned(), format!("{}/{}", recipe.base.as_str(), recipe.suite).into());
    let optional = [
        ("description", input.description),
        ("version", input.version),
        ("revision", input.commit.map(|commit| commit.id.as_str())),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            about.insert(standard(key), value.into());
        }
    }
    Ok(about)
}

/// RFC 3339.
fn created(input: &OciInput<'_>) -> Result<String> {
    let epoch = input.recipe.epoch.max(0);
    let date = chrono::DateTime::from_timestamp(epoch, 0)
        .ok_or_else(|| Failure::bug(format!("{epoch} is no time")))?;
    Ok(date.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

fn platform(input: &OciInput<'_>) -> Value {
    json!({ "architecture": input.recipe.architecture.oci(), "os": "linux" })
}

fn config(input: &OciInput<'_>, blobs: &[Blob], about: &Map<String, Value>) -> Result<Value> {
    let created = created(input)?;
    let command = if union::find(input.stack, "sbin/init")?.is_some() { "/sbin/init" } else { "/bin/sh" };
    let history: Vec<Value> = input
        .stack
        .layers
        .iter()
        .map(|layer| {
            json!({
                "created": created,
                "created_by": format!("bootwright: layer {}", layer.name),
                "comment": layer.id.to_string(),
            })
        })
        .collect();
    let diff_ids: Vec<String> = blobs.iter().map(|blob| blob.diff_id.to_string()).collect();
    Ok(json!({
        "architecture": input.recipe.architecture.oci(),
        "os": "linux",
        "created": created,
        "config": {
            "Env": [PATH],
            "Cmd": [command],
            "StopSignal": STOP_SIGNAL,
            "Labels": about,
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    }))
}

fn manifest(config: &[u8], blobs: &[Blob], about: &Map<String, Value>) -> Value {
    let layers: Vec<Value> = blobs
        .iter()
        .map(|blob| json!({ "mediaType": LAYER, "digest": blob.digest, "size": blob.size }))
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": Digest::of(config), "size": config.len() },
        "layers": layers,
        "annotations": about,
    })
}

fn index(input: &OciInput<'_>, manifest: &[u8]) -> Value {
    // `podman load` and `skopeo` take it as the image's name: without a colon podman would
    // take the version for the name.
    let name = format!("{}:{}", input.recipe.image, input.version.unwrap_or("latest"));
    json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": MANIFEST,
            "digest": Digest::of(manifest),
            "size": manifest.len(),
            "platform": platform(input),
            "annotations": { "org.opencontainers.image.ref.name": name },
        }],
    })
}
