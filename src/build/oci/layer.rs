//! One layer as an OCI blob: a tar of its changes, compressed with zstd.
//!
//! A removed name becomes an empty file `.wh.NAME`, a folder that hides what lies below
//! gets a file `.wh..wh..opq` (OCI image specification, "Representing Changes").
//! overlayfs marks every new folder as hiding, even where nothing is hidden; only the marks
//! that mean something are written.

use crate::build::archive::Archive;
use crate::build::derived;
use crate::build::entry::{Entry, Kind};
use crate::build::rootfs::compressor;
use crate::build::stack::{Stack, StackedLayer};
use crate::build::union::{self, There};
use crate::effects::files::WorkFolder;
use crate::effects::{Cancel, Task};
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::settings::Compression;
use crate::model::spec::Size;
use crate::model::{Digest, Failure, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Raised when the form of the tar changes, so that blobs of before are not taken for new ones.
const BLOB_FORMAT: u32 = 1;
/// What a removed name begins with.
const WHITEOUT: &[u8] = b".wh.";
/// The name that hides everything below a folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One layer as a blob in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// SHA-256 of the tar in it.
    pub diff_id: Digest,
    /// The blob's size in bytes.
    pub size: u64,
}

/// What is written beside a blob when it is complete.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seal {
    digest: Digest,
    diff_id: Digest,
    size: u64,
}

impl derived::Seal for Seal {
    fn size(&self) -> u64 {
        self.size
    }
}

/// Makes the blobs of all layers that are not in the cache, bottom first, several at once.
///
/// # Errors
/// Class *spec* if a file's name cannot be stored, *cancelled* on request.
pub fn blobs(
    stack: &Stack,
    compression: Compression,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Vec<Blob>> {
    let folder = stack.cache.join("blobs");
    let work = folder.join("work");
    WorkFolder::sweep(&work)?;
    let path = |layer: &StackedLayer| {
        folder.join(format!("{}-zstd{}-{BLOB_FORMAT}.tar.zst", layer.id, compression.level()))
    };
    let mut missing = Vec::new();
    for (i, layer) in stack.layers.iter().enumerate() {
        if derived::cached::<Seal>(&path(layer))?.is_none() {
            missing.push(i);
        }
    }
    // The largest first: the others then fill the gaps.
    missing.sort_by_key(|i| std::cmp::Reverse(stack.layers[*i].size));
    if !missing.is_empty() {
        let scratch = WorkFolder::new(&work, "oci")?;
        derived::in_parallel(&missing, |i| {
            let layer = &stack.layers[*i];
            let task = Task::start(events, format!("oci layer {}", layer.name));
            let made = scratch.path().join(layer.id.to_string());
            let seal = make(stack, *i, compression, &made, cancel)
                .map_err(|failure| failure.on(format!("layer {}", layer.name)))?;
            derived::keep(&made, &path(layer), &seal)?;
            task.finish(format!("made, {}", Size::from_bytes(seal.size)));
            Ok(())
        })?;
    }
    stack
        .layers
        .iter()
        .map(|layer| {
            let path = path(layer);
            let seal: Seal = derived::present(&path)?;
            Ok(Blob { path, digest: seal.digest, diff_id: seal.diff_id, size: seal.size })
        })
        .collect()
}

fn make(stack: &Stack, index: usize, compression: Compression, to: &Path, cancel: &Cancel) -> Result<Seal> {
    let compressing = || format!("compressing {}", to.display());
    let file = File::create(to).during(|| format!("writing {}", to.display()))?;
    let compressed = Hashing::new(BufWriter::with_capacity(1 << 20, file));
    let plain = Hashing::new(compressor(compressed, compression).during(compressing)?);
    let mut archive = Archive::new(plain, to.display().to_string());
    let below =
        Stack { layers: stack.layers[..index].to_vec(), epoch: stack.epoch, cache: stack.cache.clone() };
    for found in union::walk_layers(&[&stack.layers[index].folder], stack.epoch) {
        cancel.check()?;
        let found = found?;
        add(&mut archive, &found.entry, found.link.as_deref(), &below)?;
    }
    let plain = archive.finish()?;
    let (encoder, diff_id, _) = plain.finish();
    let compressed = encoder.finish().during(compressing)?;
    let (mut file, digest, size) = compressed.finish();
    file.flush().during(|| format!("writing {}", to.display()))?;
    Ok(Seal { digest, diff_id, size })
}

fn add<W: Write>(archive: &mut Archive<W>, entry: &Entry, link: Option<&Path>, below: &Stack) -> Result<()> {
    let leaf = entry.path.file_name().map_or(b"".as_slice(), OsStrExt::as_bytes);
    if leaf.starts_with(WHITEOUT) {
        return Err(Failure::spec(format!(
            "/{}: names that begin with .wh. cannot be stored in an OCI image",
            entry.path.display()
        ))
        .hint("Rename or remove the file, or remove oci from outputs."));
    }
    match entry.kind {
        Kind::Whiteout => {
            if union::there(below, &entry.path)? != There::Nothing {
                let folder = entry.path.parent().unwrap_or(Path::new(""));
                archive.file(&beside(folder, &[WHITEOUT, leaf].concat()), 0o644, entry.mtime, b"")?;
            }
            Ok(())
        }
        Kind::Folder { opaque } => {
            archive.entry(entry, None)?;
            if opaque && union::there(below, &entry.path)? == There::Folder {
                archive.file(&beside(&entry.path, OPAQUE), 0o644, entry.mtime, b"")?;
            }
            Ok(())
        }
        _ => archive.entry(entry, link),
    }
}

fn beside(folder: &Path, name: &[u8]) -> Vec<u8> {
    let mut path = folder.as_os_str().as_bytes().to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A writer that knows the digest and length of what went through it.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), size: 0 }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.to, Digest::from_bytes(self.hash.finalize().into()), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
