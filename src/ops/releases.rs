//! `release list|show|verify|fetch|promote`.

use super::reconciling::publishing;
use super::workspace::{Workspace, read_key, runtime};
use super::{
    CatalogRef, Context, FetchReport, FetchRequest, FetchedFile, ListedImage, ListedRelease, PromoteReport,
    PromoteRequest, ReleaseList, ReleaseListRequest, ReleaseRef, ReleaseShow, ReleaseShowRequest,
    ReleaseWhich, SignatureFound, TrustCheck, VerifyReport, VerifyRequest, VerifyTarget,
};
use crate::effects::files::{digest_file, read_if_exists};
use crate::model::ArtifactKind;
use crate::model::observed::Defect;
use crate::model::release::{FileRole, Index, IndexedImage, Manifest};
use crate::model::{Failure, ImageName, Result, Version};
use crate::release::store::{check, fetch};
use crate::release::{PublicKey, Store, rebuild};
use std::path::{Path, PathBuf};

/// No changelog is larger, in bytes.
const CHANGELOG_LIMIT: u64 = 4 << 20;

/// A store and the keys that it is read with: of a catalog, or named on its own.
pub(super) struct Opened {
    pub store: Store,
    pub source: String,
    pub keys: Vec<PublicKey>,
}

pub(super) fn open(
    context: &Context,
    catalog: &CatalogRef,
    store: Option<&str>,
    keys: &[PathBuf],
) -> Result<Opened> {
    let mut trusted: Vec<PublicKey> =
        keys.iter().map(|path| read_key(&context.cwd.join(path))).collect::<Result<_>>()?;
    if let (Some(text), false) = (store, trusted.is_empty()) {
        // Store and keys are named: no catalog is needed.
        let store = Store::open(context.cwd.join(text));
        return Ok(Opened { store, source: text.to_owned(), keys: trusted });
    }
    let workspace = Workspace::open(context, catalog)?;
    if trusted.is_empty() {
        trusted = workspace.keys()?;
    }
    if trusted.is_empty() {
        return Err(Failure::spec("no key is set to check releases with")
            .hint("Give one with --key, or set `signing:` in bootwright.yaml."));
    }
    let (store, source) = match store {
        Some(text) => (Store::open(context.cwd.join(text)), text.to_owned()),
        None => {
            let store = workspace.store();
            let source = store.path().display().to_string();
            (store, source)
        }
    };
    Ok(Opened { store, source, keys: trusted })
}

/// Says which releases a store holds.
///
/// # Errors
/// Class *upstream* if the index does not verify.
pub fn release_list(context: &Context, request: ReleaseListRequest) -> Result<ReleaseList> {
    let opened = open(context, &request.catalog, request.store.as_deref(), &[])?;
    let index = opened.store.index(&opened.keys)?;
    let wanted = |name: &ImageName| request.image.as_ref().is_none_or(|image| image == name);
    let images = index
        .images
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, image)| listed(&opened, name, image))
        .collect();
    Ok(ReleaseList { store: opened.source, serial: index.serial, images })
}

fn listed(opened: &Opened, name: &ImageName, image: &IndexedImage) -> ListedImage {
    let releases = image
        .releases
        .iter()
        .map(|release| {
            // A release whose manifest does not verify is listed by what the index says.
            let manifest = opened.store.manifest(name, &release.version, &opened.keys).ok();
            ListedRelease {
                version: release.version.clone(),
                published: release.published,
                recipe: release.recipe,
                size: manifest.as_ref().map(artifact_bytes),
                commit: manifest.and_then(|m| m.commit).map(|c| c.id),
            }
        })
        .collect();
    ListedImage { image: name.clone(), channels: image.channels.clone(), releases }
}

fn artifact_bytes(manifest: &Manifest) -> u64 {
    manifest.files.iter().filter(|f| matches!(f.role, FileRole::Artifact(_))).map(|f| f.size).sum()
}

/// The version that a reference means.
pub(super) fn version(index: &Index, release: &ReleaseRef) -> Result<Version> {
    let image = index.images.get(&release.image).ok_or_else(|| {
        let names: Vec<&str> = index.images.keys().map(ImageName::as_str).collect();
        Failure::not_found(format!("the store has no release of {}", release.image))
            .hint(format!("It has: {}.", names.join(", ")))
    })?;
    let found = match &release.which {
        ReleaseWhich::Version(version) => {
            image.releases.iter().map(|r| &r.version).find(|v| *v == version).cloned()
        }
        ReleaseWhich::Channel(channel) => image.channels.get(channel).cloned(),
        ReleaseWhich::Newest => image.releases.first().map(|r| r.version.clone()),
    };
    found.ok_or_else(|| {
        Failure::not_found(format!("the store has no release {release}"))
            .hint(format!("`bootwright release list` shows the releases of {}.", release.image))
    })
}

/// Says everything about one release.
///
/// # Errors
/// [`crate::model::ErrorCode::NotFound`] if there is no such release.
pub fn release_show(context: &Context, request: ReleaseShowRequest) -> Result<ReleaseShow> {
    let opened = open(context, &request.catalog, request.store.as_deref(), &[])?;
    let index = opened.store.index(&opened.keys)?;
    let version = version(&index, &request.release)?;
    let image = &request.release.image;
    let manifest = opened.store.manifest(image, &version, &opened.keys)?;
    let folder = opened.store.folder(image, &version);
    let channels = index
        .images
        .get(image)
        .into_iter()
        .flat_map(|i| &i.channels)
        .filter(|(_, v)| **v == version)
        .map(|(channel, _)| channel.clone())
        .collect();
    let changelog = read_if_exists(&folder.join(crate::release::changelog::FILE_NAME), CHANGELOG_LIMIT)?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(ReleaseShow {
        location: folder.display().to_string(),
        channels,
        signatures: signatures(&folder),
        rebuilds: rebuild::read(&folder, &opened.keys)?,
        manifest,
        changelog,
    })
}

/// The signature files in a release's folder, by their endings.
fn signatures(folder: &Path) -> Vec<SignatureFound> {
    let kinds = [
        (".sigstore.json", "Sigstore bundle"),
        (".asc", "OpenPGP"),
        (".sig", "ECDSA P-256"),
        (".intoto.jsonl", "DSSE, ECDSA P-256"),
    ];
    let mut found: Vec<SignatureFound> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let (_, kind) = kinds.iter().find(|(ending, _)| file.ends_with(ending))?;
            Some(SignatureFound { kind: (*kind).to_owned(), file })
        })
        .collect();
    found.sort_by(|a, b| a.file.cmp(&b.file));
    found
}

/// Checks the bytes and signatures of a release; works offline from files and a key.
///
/// # Errors
/// Only if there is nothing to check: what does not match is in the report.
pub fn release_verify(context: &Context, request: VerifyRequest) -> Result<VerifyReport> {
    match &request.target {
        VerifyTarget::Release(release) => {
            let opened = open(context, &request.catalog, request.store.as_deref(), &request.keys)?;
            let version = version(&opened.store.index(&opened.keys)?, release)?;
            let defects = opened.store.verify(&release.image, &version, &opened.keys)?;
            let manifest = opened.store.manifest(&release.image, &version, &opened.keys).ok();
            Ok(VerifyReport {
                image: release.image.clone(),
                version,
                checks: checks(manifest.as_ref(), &defects),
            })
        }
        VerifyTarget::Folder(folder) => {
            let keys = if request.keys.is_empty() {
                Workspace::open(context, &request.catalog)?.keys()?
            } else {
                request.keys.iter().map(|p| read_key(&context.cwd.join(p))).collect::<Result<_>>()?
            };
            let folder = context.cwd.join(folder);
            let (manifest, defects) = check::verify_folder(&folder, &keys)?;
            let Some(manifest) = manifest else {
                let why: Vec<String> = defects.iter().map(ToString::to_string).collect();
                return Err(Failure::untrusted(format!(
                    "{} is no release that can be trusted",
                    folder.display()
                ))
                .details(why.join("\n"))
                .hint("Fetch it again with `bootwright release fetch`."));
            };
            Ok(VerifyReport {
                image: manifest.image.clone(),
                version: manifest.version.clone(),
                checks: checks(Some(&manifest), &defects),
            })
        }
    }
}

/// One check for every file, and one for every defect of something that is no listed file.
fn checks(manifest: Option<&Manifest>, defects: &[Defect]) -> Vec<TrustCheck> {
    let file_of = |defect: &Defect| match defect {
        Defect::Missing { file }
        | Defect::Altered { file, .. }
        | Defect::Unsigned { file }
        | Defect::BadSignature { file } => file.clone(),
    };
    let what_of = |defect: &Defect| match defect {
        Defect::Missing { .. } | Defect::Altered { .. } => "digest",
        Defect::Unsigned { .. } | Defect::BadSignature { .. } => "signature",
    };
    let mut checks: Vec<TrustCheck> = defects
        .iter()
        .map(|defect| TrustCheck {
            file: file_of(defect),
            what: what_of(defect).to_owned(),
            passed: false,
            finding: defect.to_string(),
        })
        .collect();
    let bad: Vec<(String, String)> = checks.iter().map(|c| (c.file.clone(), c.what.clone())).collect();
    let mut pass = |file: &str, what: &str, finding: String| {
        if !bad.contains(&(file.to_owned(), what.to_owned())) {
            checks.push(TrustCheck { file: file.to_owned(), what: what.to_owned(), passed: true, finding });
        }
    };
    if let Some(manifest) = manifest {
        pass(crate::release::sums::FILE_NAME, "signature", "made by a trusted key".to_owned());
        for file in &manifest.files {
            pass(&file.name, "digest", file.sha256.to_string());
        }
    }
    checks
}

/// Copies a release's files into a folder, and keeps none that does not verify.
///
/// # Errors
/// [`crate::model::ErrorCode::Untrusted`] if a digest or signature does not match.
pub fn release_fetch(context: &Context, request: FetchRequest) -> Result<FetchReport> {
    let is_address = request.store.as_deref().is_some_and(|s| s.contains("://"));
    let keys = if is_address && !request.keys.is_empty() {
        request.keys.iter().map(|p| read_key(&context.cwd.join(p))).collect::<Result<_>>()?
    } else {
        open(context, &request.catalog, None, &request.keys)?.keys
    };
    let source = match &request.store {
        Some(address) if is_address => address.clone(),
        Some(path) => context.cwd.join(path).display().to_string(),
        None => Workspace::open(context, &request.catalog)?.store().path().display().to_string(),
    };
    let wanted = match &request.release.which {
        ReleaseWhich::Channel(channel) => fetch::Wanted::Channel(channel.clone()),
        ReleaseWhich::Version(version) => fetch::Wanted::Version(version.clone()),
        ReleaseWhich::Newest if is_address => {
            return Err(Failure::spec(format!("{}: say which release", request.release.image))
                .hint("Write IMAGE@CHANNEL or IMAGE/VERSION."));
        }
        ReleaseWhich::Newest => {
            let index = Store::open(&source).index(&keys)?;
            fetch::Wanted::Version(version(&index, &request.release)?)
        }
    };
    let only: Vec<ArtifactKind> = request.outputs.iter().map(|o| ArtifactKind::of(*o)).collect();
    let to = context.cwd.join(&request.to);
    let before: Vec<PathBuf> =
        std::fs::read_dir(&to).into_iter().flatten().flatten().map(|e| e.path()).collect();
    let fetched = runtime()?.block_on(fetch::fetch(
        &fetch::Fetch {
            source: &source,
            image: &request.release.image,
            wanted,
            only: &only,
            to: &to,
            keys: &keys,
            seen_serial: None,
        },
        &context.events,
        &context.cancel,
    ))?;
    let files = fetched
        .files
        .iter()
        .map(|path| {
            let (sha256, size) = digest_file(path)?;
            let name = path.strip_prefix(&to).unwrap_or(path).to_string_lossy().into_owned();
            Ok(FetchedFile { name, size, sha256, present: before.contains(path) })
        })
        .collect::<Result<_>>()?;
    Ok(FetchReport { image: fetched.manifest.image, version: fetched.manifest.version, folder: to, files })
}

/// Points a channel to a release that is published already.
///
/// # Errors
/// [`crate::model::ErrorCode::NotFound`] if there is no such release.
pub fn release_promote(context: &Context, request: PromoteRequest) -> Result<PromoteReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let runtime = runtime()?;
    let (store, image) = (workspace.store(), &request.release.image);
    let index = store.index(&workspace.keys()?)?;
    let version = version(&index, &request.release)?;
    let allowed = &workspace.settings().channels;
    if !allowed.is_empty() && !allowed.contains(&request.channel) {
        return Err(Failure::spec(format!("the catalog has no channel {}", request.channel))
            .hint("Add it to `channels:` in bootwright.yaml."));
    }
    let previous = index.images.get(image).and_then(|i| i.channels.get(&request.channel)).cloned();
    let publishing = publishing(context, &workspace, &runtime)?;
    store.promote(image, &version, &request.channel, &publishing.signers, context.clock.now())?;
    Ok(PromoteReport { image: image.clone(), version, channel: request.channel, previous })
}
