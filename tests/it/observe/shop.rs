//! A catalog with one image and a store with its releases, as a user has them; only the
//! artifacts are made up.

use super::super::release::witness;
use bootwright::catalog::{self, Location};
use bootwright::effects::Clock;
use bootwright::model::artifact::{Built, BuiltLayer};
use bootwright::model::catalog::CatalogSource;
use bootwright::model::event::{Emitter, Event};
use bootwright::model::lock::Lock;
use bootwright::model::name::{ChannelName, ImageName, Version};
use bootwright::model::recipe::{LayerId, ResolvedRecipe};
use bootwright::model::release::Manifest;
use bootwright::model::{ArtifactKind, Result};
use bootwright::ops::{
    self, CatalogRef, Context, PlanReport, PlanRequest, PruneReport, PruneRequest, ReconcileReport,
    ReconcileRequest,
};
use bootwright::release::changelog::Inputs;
use bootwright::release::{Publication, Signer, Signers, Store, keys};
use bootwright::resolve;
use chrono::{DateTime, TimeDelta, Utc};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub fn image() -> ImageName {
    "demo".parse().unwrap()
}

pub fn edge() -> ChannelName {
    "edge".parse().unwrap()
}

/// Noon of the day on which the newest release is published.
pub fn noon() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub struct Shop {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub signers: Signers,
    pub now: Mutex<DateTime<Utc>>,
}

impl Shop {
    /// A release `one` of ten days ago, and `two` of today on the channel.
    pub fn new() -> Self {
        let shop = Self::empty();
        shop.publish("one", 10);
        shop.publish("two", 0);
        shop
    }

    /// Nothing is published yet.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("keys/k.key");
        std::fs::create_dir_all(key.parent().unwrap()).unwrap();
        keys::write_key_pair(&key, None).unwrap();
        let signers = Signers::alone(Signer::load(&key, None).unwrap());
        let store = Store::open(dir.path().join("releases"));
        let shop = Self { dir, store, signers, now: Mutex::new(noon()) };
        shop.settings("");
        shop
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Settings; `store` goes below `store:`.
    pub fn settings(&self, store: &str) {
        self.write(
            "bootwright.yaml",
            &format!(
                "apiVersion: bootwright/v1\nkind: Settings\nsigning: {{key: keys/k.key}}\nstore:\n  path: releases\n{store}"
            ),
        );
    }

    /// The spec; `more` goes below `spec:`.
    pub fn spec(&self, hostname: &str, more: &str) {
        let text = format!(
            "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: demo}}\nspec:\n  base: debian\n  suite: bookworm\n  channel: edge\n  outputs: [iso, oci]\n  defaults: {{hostname: {hostname}}}\n{more}"
        );
        self.write("specs/demo.yaml", &text);
        let lock = self.dir.path().join("specs/demo.lock.yaml");
        if !lock.exists() {
            std::fs::write(lock, catalog::lock_text(&self.lock())).unwrap();
        }
    }

    fn lock(&self) -> Lock {
        let document = self.catalog().images.remove(&image()).unwrap();
        let request =
            resolve::request(&document.spec, &bootwright::model::packaging::PackageSettings::default())
                .unwrap();
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let asked = request.layers.iter().flat_map(|l| l.packages.iter().map(move |p| (l.name.clone(), p)));
        let packages: Vec<serde_json::Value> = asked
            .map(|(layer, name)| {
                serde_json::json!({"name": name, "version": "1.0", "architecture": "amd64",
                    "sha256": digest("1"), "size": 1, "path": format!("pool/{name}.deb"),
                    "suite": "bookworm", "layer": layer})
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "lockVersion": 1, "image": "demo", "request": request, "packages": packages,
            "indexes": [{"suite": "bookworm", "date": "2026-11-01T10:00:00Z", "digest": digest("a"),
                "keyring": digest("b")}]
        }))
        .unwrap()
    }

    fn catalog(&self) -> bootwright::model::catalog::Catalog {
        let location = Location::WorkTree(self.dir.path().to_owned());
        catalog::load(&catalog::read(&location, self.dir.path()).unwrap()).unwrap()
    }

    pub fn resolved(&self) -> ResolvedRecipe {
        let catalog = self.catalog();
        let document = &catalog.images[&image()];
        resolve::resolve(document, document.lock.clone().unwrap(), &catalog.settings).unwrap()
    }

    /// The bytes of an artifact of a release.
    pub fn iso(hostname: &str) -> Vec<u8> {
        [hostname.as_bytes(), &[7; 70_000]].concat()
    }

    /// Publishes what the spec with this host name asks for, so many days ago.
    pub fn publish(&self, hostname: &str, days_ago: i64) -> Manifest {
        self.publish_with(hostname, days_ago, &[])
    }

    /// The same with further artifacts.
    pub fn publish_with(&self, hostname: &str, days_ago: i64, more: &[(ArtifactKind, Vec<u8>)]) -> Manifest {
        self.spec(hostname, "");
        let resolved = self.resolved();
        let recipe = resolved.recipe;
        let at = noon() - TimeDelta::days(days_ago);
        let work = self.dir.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        let (iso, good_iso) = witness(&work, ArtifactKind::Iso, &Self::iso(hostname));
        let (oci, good_oci) = witness(&work, ArtifactKind::OciArchive, format!("oci {hostname}").as_bytes());
        let more = more.iter().map(|(kind, bytes)| witness(&work, *kind, bytes));
        let (more, good_more): (Vec<_>, Vec<_>) = more.unzip();
        let layers = recipe.layers.iter().zip(recipe.layer_ids());
        let publication = Publication {
            version: Version::of(at, &recipe.digest()),
            lock_text: catalog::lock_text(&resolved.lock).into_bytes(),
            blobs: resolved.blobs.clone(),
            built: Built {
                firmware: None,
                recipe: recipe.digest(),
                artifacts: [vec![iso, oci], more].concat(),
                layers: layers
                    .map(|(l, id)| BuiltLayer {
                        name: l.name.clone(),
                        id: LayerId(id.0),
                        cached: false,
                        size: 1,
                    })
                    .collect(),
                packages: Vec::new(),
            },
            recipe: recipe.into(),
            lock: resolved.lock.into(),
            artifacts: [vec![good_iso, good_oci], good_more].concat(),
            description: None,
            channel: edge(),
            source: CatalogSource { location: "catalog".into(), commit: None },
            changes: Inputs::default(),
            builder: "urn:example:runner".into(),
            invocation: None,
            registry: None,
            started: at,
            published: at,
            not_reproducible: Vec::new(),
        };
        self.store.publish(publication, &self.signers).unwrap()
    }

    pub fn context(&self) -> Context {
        Context {
            clock: Clock::Fixed(*self.now.lock().unwrap()),
            cwd: self.dir.path().to_owned(),
            ..Context::default()
        }
    }

    pub fn later(&self, days: i64) {
        *self.now.lock().unwrap() += TimeDelta::days(days);
    }

    fn location(&self) -> CatalogRef {
        CatalogRef { location: ".".to_owned(), rev: None }
    }

    pub fn plan(&self, deep: bool) -> PlanReport {
        let request = PlanRequest { catalog: self.location(), only: Vec::new(), force: Vec::new(), deep };
        ops::plan(&self.context(), request).unwrap()
    }

    pub fn reconcile(&self, deep: bool) -> ReconcileReport {
        self.reconcile_in(&self.context(), deep)
    }

    fn reconcile_in(&self, context: &Context, deep: bool) -> ReconcileReport {
        let (only, force) = (Vec::new(), Vec::new());
        let request =
            ReconcileRequest { catalog: self.location(), only, force, jobs: None, dry_run: false, deep };
        ops::reconcile(context, request).unwrap()
    }

    /// Reconciles and says which releases were hashed.
    pub fn hashed(&self) -> Vec<String> {
        let labels = Arc::new(Mutex::new(Vec::new()));
        let heard = labels.clone();
        let events = Emitter::new(move |event| {
            if let Event::TaskStarted { label, .. } = event
                && label.starts_with("check ")
            {
                heard.lock().unwrap().push(label);
            }
        });
        self.reconcile_in(&Context { events, ..self.context() }, false);
        let labels = labels.lock().unwrap();
        labels.clone()
    }

    pub fn prune(&self, keep: Option<u32>, days: Option<u32>, remove: bool) -> Result<PruneReport> {
        let request = PruneRequest { catalog: self.location(), keep, older_than_days: days, remove };
        ops::release_prune(&self.context(), request)
    }

    /// The folder of the release that was published for a host name.
    pub fn folder(&self, manifest: &Manifest) -> PathBuf {
        self.store.folder(&image(), &manifest.version).path().to_owned()
    }

    /// Newest first.
    pub fn manifests(&self) -> Vec<Manifest> {
        let keys = self.signers.keys();
        let list = self.store.list(keys).unwrap();
        list.iter().map(|r| self.store.manifest(&r.image, &r.version, keys).unwrap()).collect()
    }

    /// The versions that the index lists, newest first.
    pub fn manifests_listed(&self) -> Vec<Version> {
        self.store.list(self.signers.keys()).unwrap().into_iter().map(|r| r.version).collect()
    }

    pub fn is_good(&self, manifest: &Manifest) -> bool {
        self.store.verify(&image(), &manifest.version, self.signers.keys()).unwrap().is_empty()
    }

    /// Every file of the store with the moment at which it was written.
    pub fn files(&self) -> Vec<(PathBuf, std::time::SystemTime)> {
        let (mut files, mut open) = (Vec::new(), vec![self.store.path().to_owned()]);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                } else {
                    files.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    /// The paths below the quarantine.
    pub fn quarantined(&self) -> Vec<String> {
        let root = self.store.path().join(".quarantine");
        let files = self.files().into_iter().filter_map(|(path, _)| {
            let below = path.strip_prefix(&root).ok()?;
            Some(below.to_string_lossy().into_owned())
        });
        files.collect()
    }

    pub fn page(&self, name: &str) -> String {
        std::fs::read_to_string(self.store.path().join(name)).unwrap()
    }
}

pub fn name_of(manifest: &Manifest, end: &str) -> String {
    manifest.files.iter().find(|f| f.name.ends_with(end)).unwrap().name.clone()
}

/// Changes one byte of a file.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
