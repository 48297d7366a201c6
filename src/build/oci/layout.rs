//! An OCI image layout: in a tar archive, in a folder, and read back from an archive.
//!
//! `oci-layout`, `index.json` and `blobs/sha256/HEX` (OCI image specification, "Image
//! Layout"). An archive that is read is not trusted: its paths are never used as host
//! paths, sizes are bounded, and every document is checked against its digest.

use crate::build::archive::Archive;
use crate::build::derived;
use crate::effects::files::{self, link_or_copy};
use crate::effects::{Cancel, Task};
use crate::model::failure::IoContext;
use crate::model::{Digest, ErrorCode, Failure, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// No manifest, index or configuration is larger, in bytes (registries draw the line there too).
const LARGEST_DOCUMENT: u64 = 4 << 20;
/// Entries of an archive that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// One image, ready to be written.
#[derive(Debug)]
pub(super) struct Layout {
    index: Vec<u8>,
    /// Configuration and manifest.
    documents: Vec<(Digest, Vec<u8>)>,
    layers: Vec<(Digest, u64, PathBuf)>,
    /// The manifest's digest: what the image is called everywhere.
    pub(super) manifest: Digest,
}

impl Layout {
    pub(super) fn new(
        index: Vec<u8>,
        manifest: Vec<u8>,
        config: Vec<u8>,
        mut layers: Vec<(Digest, u64, PathBuf)>,
    ) -> Self {
        let name = Digest::of(&manifest);
        // Two layers may be the same bytes, such as two empty ones.
        let mut seen = BTreeSet::new();
        layers.retain(|(digest, ..)| seen.insert(*digest));
        let documents = vec![(name, manifest), (Digest::of(&config), config)];
        Self { index, documents, layers, manifest: name }
    }

    /// Bytes of all layers.
    pub(super) fn size(&self) -> u64 {
        self.layers.iter().map(|(_, size, _)| size).sum()
    }

    /// Writes everything in a fixed order: documents first, so that a reader of a stream
    /// knows what follows.
    pub(super) fn write<W: Write>(
        &self,
        archive: &mut Archive<W>,
        mtime: u64,
        task: &Task,
        cancel: &Cancel,
    ) -> Result<()> {
        archive.file(b"oci-layout", 0o644, mtime, OCI_LAYOUT)?;
        archive.file(b"index.json", 0o644, mtime, &self.index)?;
        archive.folder("blobs", mtime)?;
        archive.folder("blobs/sha256", mtime)?;
        for (digest, bytes) in &self.documents {
            archive.file(name_of(digest).as_bytes(), 0o644, mtime, bytes)?;
        }
        for (digest, size, path) in &self.layers {
            cancel.check()?;
            let file = File::open(path).during(|| format!("opening {}", path.display()))?;
            let mut checked = Checked { from: file, hash: Sha256::new() };
            archive.stream(&name_of(digest), mtime, *size, &mut checked)?;
            checked.compare(digest, path)?;
            task.advance(*size);
        }
        Ok(())
    }

    /// Writes everything into a new folder.
    pub(super) fn write_folder(&self, folder: &Path) -> Result<()> {
        let writing = || format!("writing {}", folder.display());
        std::fs::create_dir(folder).during(writing)?;
        std::fs::create_dir_all(folder.join("blobs/sha256")).during(writing)?;
        for (digest, bytes) in &self.documents {
            files::write_atomic(&folder.join(name_of(digest)), bytes, 0o644)?;
        }
        for (digest, _, path) in &self.layers {
            link_or_copy(path, &folder.join(name_of(digest)))?;
        }
        files::write_atomic(&folder.join("oci-layout"), OCI_LAYOUT, 0o644)?;
        files::write_atomic(&folder.join("index.json"), &self.index, 0o644)
    }
}

fn name_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads a cached blob and notices when it is not what its seal says.
struct Checked {
    from: File,
    hash: Sha256,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

impl Checked {
    fn compare(self, digest: &Digest, path: &Path) -> Result<()> {
        if Digest::from_bytes(self.hash.finalize().into()) == *digest {
            return Ok(());
        }
        derived::forget(path);
        Err(Failure::host(format!("{} was damaged in the cache", path.display()))
            .code(ErrorCode::Corrupt)
            .hint("It was removed; run again. If it happens again, check the disk."))
    }
}

/// An image in an archive, opened for reading.
#[derive(Debug)]
pub struct OciArchive {
    path: PathBuf,
    blobs: BTreeMap<Digest, (u64, u64)>,
    /// The manifest's digest.
    pub manifest: Digest,
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
    /// Digest and size of the configuration.
    pub config: (Digest, u64),
    /// Digest and size of every layer, bottom first, each only once.
    pub layers: Vec<(Digest, u64)>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

impl OciArchive {
    /// Opens an archive that holds exactly one image.
    ///
    /// # Errors
    /// Class *spec*, with what is wrong with the archive.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(path).map_err(|failure| failure.on(path.display()))
    }

    fn parse(path: &Path) -> Result<Self> {
        let (blobs, index) = contents(path)?;
        let index: Index = document(&index, "index.json")?;
        let [only] = index.manifests.as_slice() else {
            return Err(damaged(format!("has {} images, not one", index.manifests.len())));
        };
        let mut archive = Self {
            path: path.to_owned(),
            blobs,
            manifest: only.digest,
            manifest_bytes: Vec::new(),
            config: (only.digest, 0),
            layers: Vec::new(),
        };
        archive.manifest_bytes = archive.small(only)?;
        let manifest: Manifest = document(&archive.manifest_bytes, "the manifest")?;
        archive.config = archive.present(&manifest.config)?;
        for layer in &manifest.layers {
            let layer = archive.present(layer)?;
            if !archive.layers.contains(&layer) {
                archive.layers.push(layer);
            }
        }
        Ok(archive)
    }

    /// A reader of one blob's bytes. They are not checked here.
    ///
    /// # Errors
    /// If the archive cannot be read or has no such blob.
    pub fn blob(&self, digest: &Digest) -> Result<std::io::Take<File>> {
        let reading = || format!("reading {}", self.path.display());
        let (offset, size) =
            self.blobs.get(digest).copied().ok_or_else(|| damaged(format!("has no blob {digest}")))?;
        let mut file = File::open(&self.path).during(reading)?;
        file.seek(SeekFrom::Start(offset)).during(reading)?;
        Ok(file.take(size))
    }

    fn present(&self, wanted: &Descriptor) -> Result<(Digest, u64)> {
        match self.blobs.get(&wanted.digest) {
            Some((_, size)) if *size == wanted.size => Ok((wanted.digest, wanted.size)),
            Some((_, size)) => {
                Err(damaged(format!("{} has {size} bytes, not {}", wanted.digest, wanted.size)))
            }
            None => Err(damaged(format!("has no blob {}", wanted.digest))),
        }
    }

    fn small(&self, wanted: &Descriptor) -> Result<Vec<u8>> {
        self.present(wanted)?;
        if wanted.size > LARGEST_DOCUMENT {
            return Err(damaged(format!("{} is too large for a manifest", wanted.digest)));
        }
        let mut bytes = Vec::new();
        let reading = || format!("reading {}", self.path.display());
        self.blob(&wanted.digest)?.read_to_end(&mut bytes).during(reading)?;
        if Digest::of(&bytes) == wanted.digest {
            Ok(bytes)
        } else {
            Err(damaged(format!("{} has other bytes", wanted.digest)))
        }
    }
}

fn damaged(why: String) -> Failure {
    Failure::spec(why)
        .code(ErrorCode::Corrupt)
        .hint("Give an archive that Bootwright wrote: IMAGE-VERSION.oci.tar of a release.")
}

fn document<'a, T: Deserialize<'a>>(bytes: &'a [u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| damaged(format!("{name} is damaged: {e}")))
}

type Places = BTreeMap<Digest, (u64, u64)>;

/// Where every blob lies (offset and size in bytes), and the index.
fn contents(path: &Path) -> Result<(Places, Vec<u8>)> {
    let file = File::open(path).during(|| "opening".to_owned())?;
    let length = file.metadata().during(|| "looking".to_owned())?.len();
    let mut archive = tar::Archive::new(file);
    let (mut blobs, mut index) = (Places::new(), None);
    let broken = |e: std::io::Error| damaged(format!("is no tar archive: {e}"));
    for (i, entry) in archive.entries_with_seek().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if i >= MOST_ENTRIES {
            return Err(damaged(format!("has more than {MOST_ENTRIES} entries")));
        }
        let name = entry.path_bytes().into_owned();
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(damaged("ends in the middle of a file".to_owned()));
        }
        let name = String::from_utf8_lossy(&name);
        let name = name.strip_prefix("./").unwrap_or(&name);
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            let digest = hex.parse().map_err(|_| damaged(format!("{name} is no blob's name")))?;
            if entry.header().entry_type().is_file() {
                blobs.insert(digest, (offset, size));
            }
        } else if name == "index.json" {
            let mut bytes = Vec::new();
            entry.by_ref().take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(broken)?;
            index = Some(bytes);
        }
    }
    let index = index.ok_or_else(|| damaged("has no index.json".to_owned()))?;
    Ok((blobs, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = Archive::new(file.reopen().unwrap(), "test");
        for (name, bytes) in files {
            archive.file(name.as_bytes(), 0o644, 0, bytes).unwrap();
        }
        archive.finish().unwrap();
        file
    }

    fn index(digest: Digest, size: usize) -> Vec<u8> {
        format!(r#"{{"manifests":[{{"digest":"{digest}","size":{size}}}]}}"#).into_bytes()
    }

    #[test]
    fn damaged_archives_are_refused() {
        let refuse = |files: &[(&str, &[u8])], words: &str| {
            let file = archive(files);
            let failure = OciArchive::open(file.path()).unwrap_err();
            assert!(failure.message.contains(words), "{failure} lacks {words:?}");
        };
        let manifest = br#"{"config":{"digest":"sha256:00","size":1},"layers":[]}"#;
        let name = format!("blobs/sha256/{}", Digest::of(manifest).hex());
        let right = index(Digest::of(manifest), manifest.len());
        refuse(&[], "no index.json");
        refuse(&[("index.json", b"{")], "index.json is damaged");
        refuse(&[("index.json", br#"{"manifests":[]}"#)], "0 images");
        refuse(&[("index.json", &right)], "has no blob");
        refuse(&[("index.json", &index(Digest::of(manifest), 3)), (&name, manifest)], "not 3");
        refuse(&[("index.json", &right), (&name, &[b'x'; 54])], "other bytes");
        refuse(&[("index.json", &right), (&name, manifest)], "the manifest is damaged");
        refuse(&[("index.json", &right), ("blobs/sha256/../../etc/passwd", b"")], "no blob's name");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; 2000]).unwrap();
        assert!(OciArchive::open(file.path()).is_err());
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let blob = vec![7; 5000];
        let name = format!("blobs/sha256/{}", Digest::of(&blob).hex());
        let file = archive(&[("index.json", &index(Digest::of(&blob), blob.len())), (&name, &blob)]);
        file.as_file().set_len(3000).unwrap();
        assert!(OciArchive::open(file.path()).is_err());
    }
}
