//! `release list|show|verify|fetch|promote`; `prune` is in `pruning`.

use super::reconciling::publishing;
use super::trust::of_files;
use super::workspace::{Workspace, runtime, store_at};
use super::{
    CatalogRef, Context, FetchReport, FetchRequest, FetchedFile, ListedImage, ListedRelease, PromoteReport,
    PromoteRequest, ReleaseList, ReleaseListRequest, ReleaseRef, ReleaseShow, ReleaseShowRequest,
    ReleaseWhich, SignatureFound, TrustCheck, VerifyReport, VerifyRequest, VerifyTarget,
};
use crate::build::registry;
use crate::effects::Place;
use crate::effects::files::digest_file;
use crate::model::ArtifactKind;
use crate::model::bucket::is_bucket;
use crate::model::observed::Defect;
use crate::model::release::{FileRole, Index, IndexedImage, Manifest};
use crate::model::{Failure, ImageName, Result, Version};
use crate::reconcile::may_be_promoted;
use crate::release::notices::Notices;
use crate::release::store::{IndexMemory, check, fetch};
use crate::release::{Store, Trust, attached, rebuild};
use std::path::PathBuf;

/// No changelog is larger, in bytes.
const CHANGELOG_LIMIT: u64 = 4 << 20;

/// The folder of what is remembered of stores, below the one that Bootwright is run in.
const MEMORY: &str = ".bootwright";

/// A store and the keys that it is read with: of a catalog, or named on its own.
pub(super) struct Opened {
    pub store: Store,
    pub source: String,
    pub keys: Trust,
}

pub(super) fn open(
    context: &Context,
    catalog: &CatalogRef,
    store: Option<&str>,
    keys: &Keys<'_>,
) -> Result<Opened> {
    let given = of_files(context, keys.files, keys.threshold)?;
    if let (Some(text), Some(keys)) = (store, &given) {
        // Store and keys are named: no catalog is needed.
        let store = store_at(context, &context.cwd, &memory(context), text, None)?;
        return Ok(Opened { store, source: text.to_owned(), keys: keys.clone() });
    }
    let workspace = Workspace::open(context, catalog)?;
    let keys = match given {
        Some(keys) => keys,
        None => workspace.trust(context.clock.now())?,
    };
    if keys.keys().is_empty() {
        return Err(Failure::spec("no key is set to check releases with")
            .hint("Give one with --key, or set `signing:` in bootwright.yaml."));
    }
    let (store, source) = match store {
        Some(text) => {
            let settings = Some(&workspace.settings().store);
            let store = store_at(context, &context.cwd, &workspace.cache_folder(), text, settings)?;
            (store, text.to_owned())
        }
        None => {
            let store = workspace.store(context)?;
            let source = store.place().to_string();
            (store, source)
        }
    };
    Ok(Opened { store, source, keys })
}

/// Keys that a request names.
#[derive(Default)]
pub(super) struct Keys<'a> {
    pub files: &'a [PathBuf],
    pub threshold: Option<u8>,
}

/// Where stores are remembered when there is no catalog.
fn memory(context: &Context) -> PathBuf {
    context.cwd.join(MEMORY)
}

/// Says which releases a store holds.
///
/// # Errors
/// Class *upstream* if the index does not verify.
pub fn release_list(context: &Context, request: ReleaseListRequest) -> Result<ReleaseList> {
    let opened = open(context, &request.catalog, request.store.as_deref(), &Keys::default())?;
    let index = opened.store.index(&opened.keys)?;
    let wanted = |name: &ImageName| request.image.as_ref().is_none_or(|image| image == name);
    let notices = opened.store.notices()?;
    let images = index
        .images
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, image)| listed(&opened, name, image, &notices))
        .collect::<Result<_>>()?;
    Ok(ReleaseList { store: opened.source, serial: index.serial, images })
}

fn listed(opened: &Opened, name: &ImageName, image: &IndexedImage, notices: &Notices) -> Result<ListedImage> {
    let mut releases = Vec::new();
    for release in &image.releases {
        // A release whose manifest does not verify is listed by what the index says.
        let manifest = opened.store.manifest(name, &release.version, &opened.keys).ok();
        let said = notices.get(name).and_then(|said| said.get(&release.version));
        let stale = said.and_then(|notice| notice.stale.as_ref());
        let defects = opened.store.defects_by_size(name, release)?;
        releases.push(ListedRelease {
            version: release.version.clone(),
            published: release.published,
            recipe: release.recipe,
            size: manifest.as_ref().map(artifact_bytes),
            commit: manifest.and_then(|m| m.commit).map(|c| c.id),
            notes: defects.iter().map(ToString::to_string).chain(stale.map(ToString::to_string)).collect(),
        });
    }
    Ok(ListedImage { image: name.clone(), channels: image.channels.clone(), releases })
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
    let opened = open(context, &request.catalog, request.store.as_deref(), &Keys::default())?;
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
    let changelog = folder
        .join(crate::release::changelog::FILE_NAME)
        .read(CHANGELOG_LIMIT)?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(ReleaseShow {
        location: folder.to_string(),
        channels,
        signatures: signatures(&folder)?,
        rebuilds: rebuild::read(&folder, &opened.keys)?,
        manifest,
        changelog,
    })
}

/// The signature files in a release's folder, by their endings.
fn signatures(folder: &Place) -> Result<Vec<SignatureFound>> {
    let kinds = [
        (".sigstore.json", "Sigstore bundle"),
        (".asc", "OpenPGP"),
        (".sig", "ECDSA P-256"),
        (".intoto.jsonl", "DSSE, ECDSA P-256"),
    ];
    let kind = |file: String| {
        let (_, kind) = kinds.iter().find(|(ending, _)| file.ends_with(ending))?;
        Some(SignatureFound { kind: (*kind).to_owned(), file })
    };
    let mut found: Vec<SignatureFound> = folder.names()?.into_iter().filter_map(kind).collect();
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

/// Checks the bytes and signatures of a release; works offline from files and a key.
///
/// # Errors
/// Only if there is nothing to check: what does not match is in the report.
pub fn release_verify(context: &Context, request: VerifyRequest) -> Result<VerifyReport> {
    let keys = Keys { files: &request.keys, threshold: request.threshold };
    match &request.target {
        VerifyTarget::Release(release) => {
            let opened = open(context, &request.catalog, request.store.as_deref(), &keys)?;
            let version = version(&opened.store.index(&opened.keys)?, release)?;
            let checked = opened.store.examine(&release.image, &version, &opened.keys)?;
            Ok(VerifyReport { image: release.image.clone(), version, checks: checks(&checked) })
        }
        VerifyTarget::Registry(image) => {
            let keys = match of_files(context, keys.files, keys.threshold)? {
                Some(keys) => keys,
                None => Workspace::open(context, &request.catalog)?.trust(context.clock.now())?,
            };
            verify_image(context, image, &keys)
        }
        VerifyTarget::Folder(folder) => {
            let keys = match of_files(context, keys.files, keys.threshold)? {
                Some(keys) => keys,
                None => Workspace::open(context, &request.catalog)?.trust(context.clock.now())?,
            };
            let folder = context.cwd.join(folder);
            let checked = check::examine_folder(&folder, &keys)?;
            let Some(manifest) = &checked.manifest else {
                let why: Vec<String> = checked.defects.iter().map(ToString::to_string).collect();
                return Err(Failure::untrusted(format!(
                    "{} is no release that can be trusted",
                    folder.display()
                ))
                .details(why.join("\n"))
                .hint("Fetch it again with `bootwright release fetch`."));
            };
            let (image, version) = (manifest.image.clone(), manifest.version.clone());
            Ok(VerifyReport { image, version, checks: checks(&checked) })
        }
    }
}

/// Checks an image in a registry by what is attached to it there.
fn verify_image(context: &Context, image: &str, keys: &Trust) -> Result<VerifyReport> {
    if context.offline {
        return Err(Failure::offline(format!("{image} cannot be looked at without network"))
            .hint("Check the release in the store: `bootwright release verify IMAGE`."));
    }
    let credentials = context.registry_credentials();
    let reading = registry::read(image, &attached::TYPES, &credentials, &context.cancel);
    let found = runtime()?.block_on(reading)?;
    let (manifest, checked) = attached::check(&found.digest, &found.attachments, keys)?;
    let check = |check: attached::Check| TrustCheck {
        file: check.file,
        what: check.what.to_owned(),
        passed: check.finding.is_ok(),
        finding: check.finding.unwrap_or_else(|why| why),
    };
    let checks = checked.into_iter().map(check).collect();
    Ok(VerifyReport { image: manifest.image, version: manifest.version, checks })
}

/// One check for every file and signature, and one for every defect of something that is no
/// listed file.
fn checks(checked: &check::Checked) -> Vec<TrustCheck> {
    let failed = |defect: &Defect| {
        let what = match defect {
            Defect::NoFolder | Defect::Missing { .. } | Defect::Altered { .. } | Defect::Truncated { .. } => {
                "digest"
            }
            Defect::Orphaned { .. } => "listed",
            Defect::Registry { .. } => "registry",
            Defect::Unsigned { .. }
            | Defect::BadSignature { .. }
            | Defect::RetiredKey { .. }
            | Defect::EndingKey { .. }
            | Defect::TooFewKeys { .. } => "signature",
        };
        let file = defect.file().unwrap_or("manifest.json").to_owned();
        TrustCheck { file, what: what.to_owned(), passed: false, finding: defect.to_string() }
    };
    let mut checks: Vec<TrustCheck> = checked.defects.iter().map(failed).collect();
    let bad: Vec<(String, String)> = checks.iter().map(|c| (c.file.clone(), c.what.clone())).collect();
    let mut pass = |file: &str, what: &str, finding: String| {
        if !bad.contains(&(file.to_owned(), what.to_owned())) {
            checks.push(TrustCheck { file: file.to_owned(), what: what.to_owned(), passed: true, finding });
        }
    };
    for vouched in &checked.vouched {
        pass(&vouched.file, vouched.what, format!("by {}", vouched.by));
    }
    for file in checked.manifest.iter().flat_map(|m| &m.files) {
        pass(&file.name, "digest", file.sha256.to_string());
    }
    checks
}

/// Copies a release's files into a folder, and keeps none that does not verify.
///
/// # Errors
/// [`crate::model::ErrorCode::Untrusted`] if a digest or signature does not match.
pub fn release_fetch(context: &Context, request: FetchRequest) -> Result<FetchReport> {
    let is_web = request.store.as_deref().is_some_and(|s| s.contains("://") && !is_bucket(s));
    if context.offline && request.store.as_deref().is_some_and(|s| s.starts_with("http")) {
        return Err(Failure::offline("a store on another host cannot be read without network")
            .hint("Name a folder as --store, or fetch the release while there is network."));
    }
    let given = of_files(context, &request.keys, request.threshold)?;
    let keys_given = Keys { files: &request.keys, threshold: request.threshold };
    let (keys, state, from, source) = match (&request.store, given) {
        // An address and keys are named: no catalog is needed.
        (Some(address), Some(keys)) if is_web => {
            (keys, memory(context), fetch::Source::parse(address)?, address.clone())
        }
        (Some(address), None) if is_web => {
            let opened = open(context, &request.catalog, None, &keys_given)?;
            let state = Workspace::open(context, &request.catalog)?.cache_folder();
            (opened.keys, state, fetch::Source::parse(address)?, address.clone())
        }
        (store, given) => {
            let opened = open(context, &request.catalog, store.as_deref(), &keys_given)?;
            let state = match given.filter(|_| store.is_some()) {
                Some(_) => memory(context),
                None => Workspace::open(context, &request.catalog)?.cache_folder(),
            };
            let place = opened.store.place().clone();
            (opened.keys, state, fetch::Source::Place(place.clone()), place.to_string())
        }
    };
    let remembered = IndexMemory::new(&state, &source);
    let wanted = match &request.release.which {
        ReleaseWhich::Channel(channel) => fetch::Wanted::Channel(channel.clone()),
        ReleaseWhich::Version(version) => fetch::Wanted::Version(version.clone()),
        ReleaseWhich::Newest => {
            let fetch::Source::Place(place) = &from else {
                return Err(Failure::spec(format!("{}: say which release", request.release.image))
                    .hint("Write IMAGE@CHANNEL or IMAGE/VERSION."));
            };
            let index = Store::at(place.clone()).with_memory(&state).index(&keys)?;
            fetch::Wanted::Version(version(&index, &request.release)?)
        }
    };
    let only: Vec<ArtifactKind> = request.outputs.iter().map(|o| ArtifactKind::of(*o)).collect();
    let to = context.cwd.join(&request.to);
    let before: Vec<PathBuf> =
        std::fs::read_dir(&to).into_iter().flatten().flatten().map(|e| e.path()).collect();
    let fetched = runtime()?.block_on(fetch::fetch_from(
        &from,
        &fetch::Fetch {
            source: &source,
            image: &request.release.image,
            wanted,
            only: &only,
            to: &to,
            keys: &keys,
            memory: Some(&remembered),
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
    let (store, image) = (workspace.store(context)?, &request.release.image);
    let index = store.index(&workspace.trust(context.clock.now())?)?;
    let version = version(&index, &request.release)?;
    let allowed = &workspace.settings().channels;
    if !allowed.is_empty() && !allowed.contains(&request.channel) {
        return Err(Failure::spec(format!("the catalog has no channel {}", request.channel))
            .hint("Add it to `channels:` in bootwright.yaml."));
    }
    let previous = index.images.get(image).and_then(|i| i.channels.get(&request.channel)).cloned();
    let publishing = publishing(context, &workspace, &runtime)?;
    let manifest = store.manifest(image, &version, &workspace.trust(context.clock.now())?)?;
    let signers = &publishing.signers;
    may_be_promoted(&workspace.catalog, &workspace.files, &context.events, &manifest, signers)?;
    store.promote(image, &version, &request.channel, &publishing.signers, context.clock.now())?;
    Ok(PromoteReport { image: image.clone(), version, channel: request.channel, previous })
}
