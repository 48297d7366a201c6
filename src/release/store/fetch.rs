//! Getting a release from a store, local or on the web, and trusting none of its words but
//! the signed ones.

use super::check::{self, TEXT_LIMIT};
use super::{IndexMemory, MANIFEST, index, signatures};
use crate::effects::fetch::{Download, chain, client, fetch_all};
use crate::effects::files::{digest_file, write_atomic};
use crate::effects::{Cancel, Place, Task};
use crate::model::event::{Emitter, Unit};
use crate::model::failure::IoContext;
use crate::model::name::{ChannelName, ImageName, Version};
use crate::model::release::{FileRole, Index, IndexedRelease, Manifest, ReleaseFile};
use crate::model::{ArtifactKind, ErrorCode, Failure, Result};
use crate::release::keys::Trust;
use crate::release::{keyless, sums};
use futures_util::StreamExt;
use std::path::{Path, PathBuf};

/// What is to be fetched.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// A store's folder, or its address (`https`, `http` or `file`).
    pub source: &'a str,
    /// The image.
    pub image: &'a ImageName,
    /// Which release of it.
    pub wanted: Wanted,
    /// The artifacts that are wanted; all when empty. Documents and evidence always come.
    pub only: &'a [ArtifactKind],
    /// The folder that the files go to.
    pub to: &'a Path,
    /// Whose signatures count.
    pub keys: &'a Trust,
    /// What is remembered of this store: an index that is older than one seen before is
    /// refused, so that nobody can play an old release as the newest.
    pub memory: Option<&'a IndexMemory>,
}

/// Which release of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What a channel points to.
    Channel(ChannelName),
    /// This one.
    Version(Version),
}

/// What was fetched. Every byte was checked.
#[derive(Debug)]
pub struct Fetched {
    /// The release's manifest.
    pub manifest: Manifest,
    /// The files, by their place here.
    pub files: Vec<PathBuf>,
    /// The serial of the index, to be remembered for the next time.
    pub serial: u64,
}

/// Fetches a release. Files that are in the folder already and right are kept; a download
/// that was cut off goes on.
///
/// # Errors
/// *Untrusted* if a signature, digest, size or name is not what it should be, or the index is
/// older than one seen before; *not found* if the store does not have it; class *upstream*
/// if the store cannot be reached.
pub async fn fetch(request: &Fetch<'_>, events: &Emitter, cancel: &Cancel) -> Result<Fetched> {
    fetch_from(&Source::parse(request.source)?, request, events, cancel).await
}

/// As [`fetch`] from a store that is open already.
///
/// # Errors
/// As [`fetch`].
pub async fn fetch_from(
    store: &Source,
    request: &Fetch<'_>,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Fetched> {
    let (serial, version, manifest, bytes) = agreed_manifest(store, request).await?;
    let files: Vec<&ReleaseFile> =
        manifest.files.iter().filter(|f| is_wanted(&manifest, f, request.only)).collect();
    std::fs::create_dir_all(request.to).during(|| format!("making {}", request.to.display()))?;
    let base = format!("{}/{version}", request.image);
    let missing: Vec<&ReleaseFile> = files.iter().copied().filter(|f| !is_there(request.to, f)).collect();
    let total = missing.iter().map(|f| f.size).sum();
    let label = format!("fetch {} {version}", request.image);
    let task = Task::with_total(events, label, Some(total), Unit::Bytes);
    store.download(&base, &missing, request.to, &task, cancel).await?;
    fetch_signatures(store, &base, request, &manifest, &bytes).await?;
    task.finish(format!("{} files, all checked", files.len()));
    let files = files.iter().map(|f| request.to.join(&f.name)).collect();
    Ok(Fetched { manifest, files, serial })
}

fn is_wanted(manifest: &Manifest, file: &ReleaseFile, only: &[ArtifactKind]) -> bool {
    match file.role {
        FileRole::Artifact(kind) => only.is_empty() || only.contains(&kind),
        // With what it is the map of.
        FileRole::BlockMap => {
            let of = manifest.files.iter().find(|f| file.name.strip_suffix(".bmap") == Some(&f.name));
            of.is_some_and(|of| is_wanted(manifest, of, only))
        }
        _ => true,
    }
}

fn is_there(folder: &Path, file: &ReleaseFile) -> bool {
    let path = folder.join(&file.name);
    path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == file.size)
        && digest_file(&path).is_ok_and(|(digest, _)| digest == file.sha256)
}

/// Index and manifest that belong together. A publisher that replaces a defective release
/// renames its folder just before the index: who comes in between looks again.
async fn agreed_manifest(store: &Source, request: &Fetch<'_>) -> Result<(u64, Version, Manifest, Vec<u8>)> {
    let mut tries = 0;
    loop {
        let index = store.index(request).await?;
        let listed = choose(&index, request)?.clone();
        let path = format!("{}/{}/{MANIFEST}", request.image, listed.version);
        let bytes = store.read(&path, TEXT_LIMIT).await?.ok_or_else(|| missing(&path))?;
        match check::expect_manifest(&bytes, request.image, &listed) {
            Ok(manifest) => return Ok((index.serial, listed.version, manifest, bytes)),
            Err(failure) if tries == 3 => return Err(failure.on(path)),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn missing(path: &str) -> Failure {
    Failure::untrusted(format!("the store lists {path} and does not have it"))
        .hint("Tell the publisher; `bootwright release verify` on their side shows what is wrong.")
}

fn choose<'i>(index: &'i Index, request: &Fetch<'_>) -> Result<&'i IndexedRelease> {
    match &request.wanted {
        Wanted::Version(version) => index::find(index, request.image, version),
        Wanted::Channel(channel) => index.on_channel(request.image, channel).ok_or_else(|| {
            let channels: Vec<&str> = index
                .images
                .get(request.image)
                .map(|image| image.channels.keys().map(ChannelName::as_str).collect())
                .unwrap_or_default();
            Failure::not_found(format!("{} has no channel {channel}", request.image)).hint(
                if channels.is_empty() {
                    "The store has no release of this image.".to_owned()
                } else {
                    format!("It has: {}.", channels.join(", "))
                },
            )
        }),
    }
}

/// Manifest, checksums and signatures go last: a folder that has them is complete.
async fn fetch_signatures(
    store: &Source,
    base: &str,
    request: &Fetch<'_>,
    manifest: &Manifest,
    manifest_bytes: &[u8],
) -> Result<()> {
    let sums_path = format!("{base}/{}", sums::FILE_NAME);
    let text = store.read(&sums_path, TEXT_LIMIT).await?.ok_or_else(|| missing(&sums_path))?;
    let listed = sums::parse(&String::from_utf8_lossy(&text))?;
    if listed != check::sums_of(manifest, crate::model::Digest::of(manifest_bytes)) {
        return Err(Failure::untrusted(format!("{sums_path} differs from the signed manifest")));
    }
    let mut checked = Vec::new();
    for (name, bytes) in [(sums::FILE_NAME, text.as_slice()), (MANIFEST, manifest_bytes)] {
        let mut found = Vec::new();
        for file in signatures::names(name, request.keys) {
            if let Some(signature) = store.read(&format!("{base}/{file}"), signatures::LIMIT).await? {
                found.push((file, signature));
            }
        }
        if found.is_empty() {
            return Err(missing(&format!("{base}/{name}.sig")));
        }
        let texts: Vec<_> = found.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
        let standing = request.keys.judge(bytes, texts.iter().map(AsRef::as_ref));
        standing.accept().map_err(|f| f.on(format!("{base}/{name}")))?;
        checked.extend(found);
        checked.push((name.to_owned(), bytes.to_vec()));
    }
    let mut further = Vec::new();
    for name in [check::OPENPGP, keyless::FILE_NAME] {
        let bytes = store.read(&format!("{base}/{name}"), TEXT_LIMIT).await?;
        check::further(name, &text, bytes.as_deref(), request.keys).map_err(|f| f.on(base))?;
        further.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
    }
    further.append(&mut checked);
    let checked = further;
    checked.iter().try_for_each(|(name, bytes)| write_atomic(&request.to.join(name), bytes, 0o644))
}

/// Where a store is.
#[derive(Debug)]
pub enum Source {
    /// Read as its publisher reads it.
    Place(Place),
    /// Read as everybody does.
    Web {
        /// Its address.
        base: String,
        /// What asks for it.
        client: reqwest::Client,
    },
}

impl Source {
    /// A folder, or an address that begins with `file`, `http` or `https`.
    ///
    /// # Errors
    /// Class *spec* if it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::Place(Place::folder(path)));
        }
        if !text.contains("://") {
            return Ok(Self::Place(Place::folder(text)));
        }
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => {
                Ok(Self::Web { base: text.trim_end_matches('/').to_owned(), client: client()? })
            }
            _ => Err(Failure::spec(format!("{text:?} is not the address of a release store"))
                .hint("Give a folder, or an address that begins with https://.")),
        }
    }

    async fn index(&self, request: &Fetch<'_>) -> Result<Index> {
        // What was seen is read first: an index that comes in between is newer.
        let seen = request.memory.map_or(Ok(None), IndexMemory::recall)?;
        let bytes = self.read(index::ENVELOPE, index::LIMIT).await?.ok_or_else(|| {
            Failure::not_found(format!("{} is no release store", request.source))
                .hint(format!("It has no {}.", index::ENVELOPE))
        })?;
        let on = |f: Failure| f.on(format!("{}/{}", request.source, index::ENVELOPE));
        let index = index::parse(&bytes, request.keys).map_err(on)?;
        if let Some(memory) = request.memory {
            memory.check(&index, seen.as_ref())?;
            memory.keep(&index)?;
        }
        Ok(index)
    }

    /// Reads a small file; `None` if it is not there.
    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Place(store) => store.join(path).read(limit),
            Self::Web { base, client } => get(client, &format!("{base}/{path}"), limit).await,
        }
    }

    async fn download(
        &self,
        base: &str,
        files: &[&ReleaseFile],
        to: &Path,
        task: &Task,
        cancel: &Cancel,
    ) -> Result<()> {
        match self {
            Self::Place(store) => files.iter().try_for_each(|file| {
                cancel.check()?;
                copy(&store.join(base).join(&file.name), file, to)?;
                task.advance(file.size);
                Ok(())
            }),
            Self::Web { base: url, client } => {
                let downloads = files
                    .iter()
                    .map(|file| Download {
                        urls: vec![format!("{url}/{base}/{}", file.name)],
                        sha256: file.sha256,
                        size: file.size,
                        to: to.join(&file.name),
                    })
                    .collect();
                fetch_all(client, downloads, task, cancel).await.map_err(|f| {
                    if f.code == ErrorCode::Cancelled {
                        return f;
                    }
                    f.hint("The store cannot be reached, or gives other bytes than its signed manifest says.")
                })
            }
        }
    }
}

fn copy(from: &Place, file: &ReleaseFile, to: &Path) -> Result<()> {
    let to = to.join(&file.name);
    let folder = crate::effects::files::parent(&to);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let size = from.look()?.filter(|seen| seen.is_file()).map(|seen| seen.size);
    if size != Some(file.size) {
        return Err(missing(&from.to_string()));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    from.copy_out(&part)?;
    let (digest, _) = digest_file(&part)?;
    if digest != file.sha256 {
        let _ = std::fs::remove_file(&part);
        return Err(Failure::untrusted(format!(
            "{from}: its digest is {digest}, the signed manifest says {}",
            file.sha256
        )));
    }
    std::fs::rename(&part, &to).during(|| format!("writing {}", to.display()))
}

async fn get(client: &reqwest::Client, url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let upstream = |e: reqwest::Error| Failure::upstream(format!("{url}: {}", chain(&e.without_url())));
    let response = client.get(url).send().await.map_err(upstream)?;
    let status = response.status();
    if matches!(status.as_u16(), 404 | 410) {
        return Ok(None);
    }
    if !status.is_success() {
        return Err(Failure::upstream(format!("{url}: HTTP {status}")));
    }
    let (mut bytes, mut body) = (Vec::new(), response.bytes_stream());
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(upstream)?);
        if bytes.len() as u64 > limit {
            return Err(Failure::untrusted(format!("{url} is larger than {limit} bytes")));
        }
    }
    Ok(Some(bytes))
}
