//! What most operations begin with: a catalog, and the places that its settings name.

use super::{CatalogRef, Context, Selector};
use crate::build::cache::Cache;
use crate::catalog::{self, Diagnostic, Files, Location, Severity, Survey, diagnostic};
use crate::effects::Place;
use crate::model::bucket::{Access, is_bucket};
use crate::model::catalog::{Catalog, ImageDocument};
use crate::model::failure::IoContext;
use crate::model::settings::{Mirror, Settings, StoreSettings};
use crate::model::{Failure, ImageName, Result, Version};
use crate::planner::Schedule;
use crate::reconcile::memory::{self, Memory};
use crate::reconcile::{Looking, Registry, Remembered, World, known};
use crate::release::{PublicKey, Store};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where remote catalogs are kept, below the folder that Bootwright is run on.
const CLONES: &str = ".bootwright/catalogs";
/// Where releases for a bucket are made, below the cache.
const BUCKET_WORK: &str = "bucket";
/// The state database, below the cache.
pub(super) const STATE: &str = "state.db";

/// A catalog and where its settings point.
pub(super) struct Workspace {
    pub catalog: Catalog,
    /// Its text; empty where images were not read: what needs it is read again.
    pub files: Files,
    /// Images of the catalog that were not read, because they are as they were.
    pub remembered: Option<Remembered>,
    /// The folder that relative paths of the settings start from.
    base: PathBuf,
}

/// Where a catalog is, and the folder that it is run on.
pub(super) fn locate(context: &Context, catalog: &CatalogRef) -> Result<(Location, PathBuf)> {
    let on_disk = context.cwd.join(&catalog.location);
    let text =
        if on_disk.exists() { on_disk.to_string_lossy().into_owned() } else { catalog.location.clone() };
    let location = Location::parse(&text, catalog.rev.as_deref())?;
    let base = match &location {
        Location::WorkTree(path) => path.clone(),
        Location::Commit { repo, .. } if repo.join(".git").exists() => repo.clone(),
        Location::Commit { .. } | Location::Remote { .. } => context.cwd.clone(),
    };
    Ok((location, base))
}

/// As [`locate`], at the commit that `HEAD` names where a repository has a working tree: what
/// is published is what git says, not what an editor has open.
pub(super) fn locate_commit(context: &Context, catalog: &CatalogRef) -> Result<(Location, PathBuf)> {
    match locate(context, catalog)? {
        (Location::WorkTree(path), base) if path.join(".git").exists() => {
            Ok((Location::Commit { repo: path, rev: "HEAD".to_owned() }, base))
        }
        other => Ok(other),
    }
}

pub(super) fn clones(context: &Context) -> PathBuf {
    context.cwd.join(CLONES)
}

/// Takes the files of repositories that the images name into the catalog.
pub(super) fn gather(context: &Context, catalog: &mut Catalog) {
    let folder = clones(context);
    catalog::gather(catalog, &catalog::Clones { folder: &folder, offline: context.offline });
}

impl Workspace {
    /// Reads and checks a catalog as it is.
    pub fn open(context: &Context, catalog: &CatalogRef) -> Result<Self> {
        let (location, base) = locate(context, catalog)?;
        Self::read(context, &location, base)
    }

    /// As [`Workspace::open`], at the commit that `HEAD` names where a catalog has commits.
    pub fn open_commit(context: &Context, catalog: &CatalogRef) -> Result<Self> {
        let (location, base) = locate_commit(context, catalog)?;
        Self::read(context, &location, base)
    }

    /// Reads and checks as much of a catalog as there is to plan; with `commit`, at a commit
    /// where it has commits. The images that are as they were are in `remembered`.
    /// None is with `deep`, which looks at every byte.
    pub fn open_to_plan(context: &Context, catalog: &CatalogRef, commit: bool, deep: bool) -> Result<Self> {
        let (location, base) =
            if commit { locate_commit(context, catalog)? } else { locate(context, catalog)? };
        if deep {
            let workspace = Self::read(context, &location, base)?;
            memory::forget(&workspace.cache_folder())?;
            return Ok(workspace);
        }
        check_reachable(context, &location)?;
        let Some(survey) = Survey::of(&location, &clones(context))? else {
            return Self::read(context, &location, base);
        };
        let survey = survey.offline(context.offline);
        let whole = survey.without_images()?;
        let mut memory = Memory::open(&base.join(&whole.settings.cache.path), survey.shared_identity());
        let files = Files::new(survey.source().clone());
        let found = known::look_through(survey, whole, &mut memory)?;
        warn(context, &found.warnings);
        let remembered = Some(Remembered::new(found.known, memory));
        Ok(Self { catalog: found.catalog, files, remembered, base })
    }

    fn read(context: &Context, location: &Location, base: PathBuf) -> Result<Self> {
        check_reachable(context, location)?;
        let mut files = catalog::read(location, &clones(context))?;
        let (catalog, diagnostics) = catalog::check(&files);
        files.keep_what_findings_name();
        let mut catalog = catalog.ok_or_else(|| diagnostic::failure(&diagnostics))?;
        gather(context, &mut catalog);
        warn(context, &diagnostics);
        Ok(Self { catalog, files, remembered: None, base })
    }

    /// A catalog that was read already.
    pub fn of(catalog: Catalog, files: Files, base: PathBuf) -> Self {
        Self { catalog, files, remembered: None, base }
    }

    pub fn settings(&self) -> &Settings {
        &self.catalog.settings
    }

    /// A path of the settings, as a path on this host.
    pub fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    pub fn cache_folder(&self) -> PathBuf {
        self.path(&self.settings().cache.path)
    }

    /// The folder that the catalog is run on.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The state database.
    pub fn state_path(&self) -> PathBuf {
        self.cache_folder().join(STATE)
    }

    /// The store that the settings name.
    ///
    /// # Errors
    /// As [`store_at`].
    pub fn store(&self, context: &Context) -> Result<Store> {
        let settings = &self.settings().store;
        let store = store_at(context, &self.base, &self.cache_folder(), &settings.path, Some(settings))?;
        Ok(store.with_url(settings.url.clone()))
    }

    /// When every published byte is hashed.
    pub fn deep_check(&self) -> Result<Option<Schedule>> {
        let store = &self.settings().store;
        let parse = |text: &String| {
            Schedule::parse(text, store.deep_check_time_zone.as_deref())
                .map_err(|e| Failure::spec(format!("bootwright.yaml: store.deepCheck {text:?}: {e}")))
        };
        store.deep_check.as_ref().map(parse).transpose()
    }

    /// Mirrors with their keyrings' places on this host.
    pub fn mirrors(&self) -> Vec<Mirror> {
        self.settings()
            .mirrors
            .iter()
            .map(|mirror| Mirror {
                keyring: self.path(&mirror.keyring).to_string_lossy().into_owned(),
                ..mirror.clone()
            })
            .collect()
    }

    /// The keys that OpenWrt's servers are trusted by.
    pub fn openwrt_keys(&self) -> Vec<PathBuf> {
        self.settings().openwrt.keys.iter().map(|key| self.path(key)).collect()
    }

    /// The images that `only` names; all if it is empty.
    pub fn select(&self, only: &[Selector]) -> Result<BTreeSet<ImageName>> {
        let labels = |document: &'_ ImageDocument| document.spec.metadata.labels.clone();
        let mut images: BTreeMap<&ImageName, BTreeMap<String, String>> =
            self.catalog.images.iter().map(|(name, document)| (name, labels(document))).collect();
        for (name, (_, image)) in self.remembered.iter().flat_map(|r| &r.known.images) {
            images.insert(name, image.labels.clone());
        }
        let devices = || self.catalog.devices.iter().map(|(name, device)| (ImageName::from(name), device));
        if only.is_empty() {
            // What nobody should use any more is built only when it is named.
            let kept = devices().filter(|(_, device)| device.profile.metadata.deprecated.is_none());
            return Ok(images.into_keys().cloned().chain(kept.map(|(name, _)| name)).collect());
        }
        let mut selected = BTreeSet::new();
        for selector in only {
            let before = selected.len();
            for (name, labels) in &images {
                let fits = match selector {
                    Selector::Image(image) => image == *name,
                    Selector::Label { key, value } => labels.get(key) == Some(value),
                };
                if fits {
                    selected.insert((*name).clone());
                }
            }
            selected.extend(devices().map(|(name, _)| name).filter(|name| match selector {
                Selector::Image(image) => image == name,
                Selector::Label { .. } => false,
            }));
            if selected.len() == before {
                let devices: Vec<ImageName> = devices().map(|(name, _)| name).collect();
                return Err(unknown(selector, images.into_keys().chain(&devices)));
            }
        }
        Ok(selected)
    }

    /// Checks that images exist.
    pub fn known(&self, names: &[ImageName]) -> Result<BTreeSet<ImageName>> {
        let selectors: Vec<Selector> = names.iter().cloned().map(Selector::Image).collect();
        if selectors.is_empty() { Ok(BTreeSet::new()) } else { self.select(&selectors) }
    }

    /// Forgets what the state database, if there is one, knows of releases that are gone.
    pub fn forget(&self, runtime: &tokio::runtime::Runtime, releases: &[(ImageName, Version)]) -> Result<()> {
        let path = self.state_path();
        if releases.is_empty() || !path.exists() {
            return Ok(());
        }
        runtime.block_on(async { State::open(&path).await?.forget_looks(releases).await })
    }

    /// Everything that reconciling needs. With `writes` the state database is made if it is
    /// not there; with `deep` every published byte is hashed.
    pub fn world(
        &self,
        context: &Context,
        runtime: &tokio::runtime::Runtime,
        only: &[Selector],
        force: &[ImageName],
        writes: bool,
        deep: bool,
    ) -> Result<World<'_>> {
        let (cache, settings) = (Cache::open(&self.cache_folder())?, self.settings());
        let path = cache.root().join(STATE);
        let state = if writes || path.exists() {
            let state = runtime.block_on(State::open(&path))?;
            if let Some(warning) = state.warning() {
                context.events.warn(warning);
            }
            Some(state)
        } else {
            None
        };
        Ok(World {
            catalog: &self.catalog,
            files: &self.files,
            remembered: self.remembered.as_ref(),
            selected: self.select(only)?,
            forced: self.known(force)?,
            store: self.store(context)?,
            registry: settings
                .store
                .registry
                .as_ref()
                .map(|p| Registry::new(p, context.registry_credentials())),
            keys: self.trust(context.clock.now())?,
            mirrors: self.mirrors(),
            openwrt_keys: self.openwrt_keys(),
            cache,
            state,
            looking: Looking::new(only.is_empty(), deep, writes, self.deep_check()?),
            runtime: runtime.handle().clone(),
            events: context.events.clone(),
            cancel: context.cancel.clone(),
            clock: context.clock,
            offline: context.offline,
        })
    }
}

/// The store at a path of this host or in a bucket, remembered below the folder of caches.
///
/// # Errors
/// *Offline* for a bucket without network; class *spec* or *host* if it cannot be opened.
pub(super) fn store_at(
    context: &Context,
    base: &Path,
    cache: &Path,
    text: &str,
    settings: Option<&StoreSettings>,
) -> Result<Store> {
    if !is_bucket(text) {
        return Ok(Store::open(base.join(text)).with_memory(cache));
    }
    if context.offline {
        return Err(Failure::offline(format!("{text} cannot be read without network"))
            .hint("Copy the release while there is network: `bootwright release fetch`."));
    }
    let mut access = Access::parse(text)?;
    if let Some(s3) = settings.and_then(|settings| settings.s3.clone()) {
        (access.endpoint, access.region) = (s3.endpoint, s3.region);
        access.virtual_hosted_style = s3.virtual_hosted_style;
    }
    let scratch = cache.join(BUCKET_WORK);
    let place = Place::bucket(&access, &context.bucket, &scratch, &context.events, &context.cancel)?;
    Ok(Store::at(place).with_memory(cache))
}

fn unknown<'n>(selector: &Selector, names: impl Iterator<Item = &'n ImageName>) -> Failure {
    let names: Vec<&str> = names.map(ImageName::as_str).collect();
    match selector {
        Selector::Image(image) => Failure::not_found(format!("the catalog has no image {image}")),
        Selector::Label { key, value } => {
            Failure::not_found(format!("no image of the catalog has the label {key}={value}"))
        }
    }
    .hint(format!("It has: {}.", names.join(", ")))
}

fn warn(context: &Context, diagnostics: &[Diagnostic]) {
    for warning in diagnostics.iter().filter(|d| d.severity == Severity::Warning) {
        context.events.warn(warning.render(false).trim_end());
    }
}

fn check_reachable(context: &Context, location: &Location) -> Result<()> {
    if context.offline && matches!(location, Location::Remote { url, .. } if !url.starts_with("file://")) {
        return Err(Failure::offline("a catalog on another host cannot be read without network")
            .hint("Clone it while there is network, and give the folder as --catalog."));
    }
    Ok(())
}

/// A public key from its file.
pub(super) fn read_key(path: &Path) -> Result<PublicKey> {
    let pem = std::fs::read_to_string(path).during(|| format!("reading the key {}", path.display()))?;
    PublicKey::parse(&pem).map_err(|f| f.on(path.display()))
}

/// The runtime that carries what is asynchronous.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime", &e))
}
