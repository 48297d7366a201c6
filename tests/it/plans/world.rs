//! A small world in YAML: what is desired, what is published, what was tried.

use bootwright::model::catalog::{CatalogSource, Commit};
use bootwright::model::lock::{LOCK_VERSION, LayerRequest, Lock, LockRequest, LockedIndex, LockedPackage};
use bootwright::model::observed::{Defect, Mend, Observed, ObservedImage, ObservedRelease, StoreFinding};
use bootwright::model::recipe::{
    BUILD_FORMAT, BootMenu, Configuration, LayerRecipe, LayerStep, OverlayRecipe, Recipe, ResolvedRecipe,
    ScriptRecipe,
};
use bootwright::model::settings::Compression;
use bootwright::model::spec::{
    Architecture, Base, Customization, Init, Limits, Modules, Output, SecurityFeatures, Verify,
};
use bootwright::model::{Digest, ErrorCode, Failure, FailureClass, ImageName, Version};
use bootwright::planner::policy::Ruling;
use bootwright::planner::{Desired, Failures, History, Inputs, Schedule, Wanted, request_digest};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct World {
    now: DateTime<Utc>,
    #[serde(default)]
    recipes: BTreeMap<String, RecipeText>,
    images: Vec<ImageText>,
    #[serde(default)]
    published: BTreeMap<String, PublishedText>,
    #[serde(default)]
    cached: Vec<CachedText>,
    #[serde(default)]
    history: BTreeMap<String, HistoryText>,
    #[serde(default)]
    forced: Vec<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    store: Vec<StoreText>,
}

/// Something wrong with the store; an unlisted release by its date and recipe.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum StoreText {
    Unlisted { image: String, date: NaiveDate, recipe: String },
    Staging { name: String },
    Page { file: String },
}

/// A recipe in few words; `like` takes what is not said from another one.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecipeText {
    like: Option<String>,
    /// `name=version` by layer.
    packages: Option<BTreeMap<String, Vec<String>>>,
    /// What was asked for, if it is not simply all packages.
    asked: Option<BTreeMap<String, Vec<String>>>,
    hostname: Option<String>,
    /// Content by path; `-> x` is a link, `! x` an executable.
    overlay: Option<BTreeMap<String, String>>,
    /// Content by path.
    scripts: Option<Vec<(String, String)>>,
    lock_date: Option<NaiveDate>,
    /// Fields of the recipe, laid over the rest.
    set: Option<serde_json::Value>,
    /// Fields of the configuration, laid over the rest.
    configure: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageText {
    name: String,
    #[serde(default = "stable")]
    channel: String,
    recipe: Option<String>,
    /// The recipe whose packages have to be resolved.
    needs_lock: Option<String>,
    stale: Option<String>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    pinned: bool,
    schedule: Option<String>,
    time_zone: Option<String>,
    max_age_days: Option<u32>,
    #[serde(default = "commit_date")]
    commit: NaiveDate,
}

fn stable() -> String {
    "stable".to_owned()
}

fn commit_date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 20).unwrap()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PublishedText {
    #[serde(default)]
    channels: BTreeMap<String, ReleaseText>,
    /// Releases that no channel points to: recipe by date.
    #[serde(default)]
    others: BTreeMap<NaiveDate, String>,
    /// Those that only a retired key signed: recipe by date.
    #[serde(default)]
    outlived: BTreeMap<NaiveDate, String>,
    /// Damaged ones of these.
    #[serde(default)]
    damaged: Vec<ReleaseText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReleaseText {
    recipe: String,
    date: NaiveDate,
    #[serde(default)]
    recipe_unreadable: bool,
    #[serde(default)]
    lock_unreadable: bool,
    #[serde(default)]
    defects: Vec<Defect>,
    /// What cures all of them.
    #[serde(default)]
    mends: Vec<Mend>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CachedText {
    image: String,
    recipe: String,
    layers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HistoryText {
    build: Option<FailuresText>,
    lock: Option<FailuresText>,
    leased_by: Option<String>,
    last_checked: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailuresText {
    of: String,
    count: u32,
    class: FailureClass,
    code: Option<ErrorCode>,
    message: String,
    at: DateTime<Utc>,
}

impl World {
    pub(super) fn inputs(&self) -> Inputs {
        let images = self.images.iter().map(|image| self.desired(image)).collect();
        let published = self.published.iter().map(|(name, p)| (image_name(name), self.observed(name, p)));
        let history = self.history.iter().map(|(name, h)| (image_name(name), self.history(name, h)));
        let commit = self.subject.as_ref().map(|subject| Commit {
            id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            date: midnight(commit_date()),
            subject: subject.clone(),
        });
        Inputs {
            now: self.now,
            source: CatalogSource { location: "catalog.git".to_owned(), commit },
            images,
            observed: Observed { images: published.collect(), store: self.findings() },
            cached_layers: self.cached.iter().flat_map(|c| self.layers(c)).collect(),
            history: history.collect(),
            forced: self.forced.iter().map(|name| image_name(name)).collect(),
            ruling: Ruling::default(),
        }
    }

    fn findings(&self) -> Vec<StoreFinding> {
        let finding = |text: &StoreText| match text {
            StoreText::Unlisted { image, date, recipe } => StoreFinding::UnlistedRelease {
                image: image_name(image),
                version: Version::of(midnight(*date), &self.resolved(image, recipe).recipe.digest()),
            },
            StoreText::Staging { name } => StoreFinding::LeftStaging { name: name.clone() },
            StoreText::Page { file } => StoreFinding::MissingPage { file: file.clone() },
        };
        self.store.iter().map(finding).collect()
    }

    fn desired(&self, text: &ImageText) -> Desired {
        let wanted = match (&text.recipe, &text.needs_lock) {
            (Some(recipe), None) => Wanted::Recipe(Box::new(self.resolved(&text.name, recipe).into())),
            (None, Some(recipe)) => Wanted::NeedsLock {
                request: self.resolved(&text.name, recipe).lock.request.into(),
                stale: text
                    .stale
                    .as_ref()
                    .map(|stale| Box::new(self.resolved(&text.name, stale).lock.into())),
            },
            _ => panic!("{}: either recipe or needsLock", text.name),
        };
        let zone = text.time_zone.as_deref();
        Desired {
            image: image_name(&text.name),
            channel: text.channel.parse().unwrap(),
            paused: text.paused,
            schedule: text.schedule.as_ref().map(|s| Schedule::parse(s, zone).unwrap()),
            max_age_days: text.max_age_days,
            lock_pinned: text.pinned,
            commit_date: midnight(text.commit),
            origins: BTreeMap::new(),
            wanted,
        }
    }

    fn observed(&self, image: &str, text: &PublishedText) -> ObservedImage {
        let release = |release: &ReleaseText| {
            let resolved = self.resolved(image, &release.recipe);
            let recipe_digest = resolved.recipe.digest();
            ObservedRelease {
                version: Version::of(midnight(release.date), &recipe_digest),
                recipe_digest,
                recipe: (!release.recipe_unreadable).then(|| resolved.recipe.clone().into()),
                lock: (!release.lock_unreadable).then(|| resolved.lock.clone().into()),
                commit: None,
                facts: None,
                published: midnight(release.date),
                defects: release.defects.clone(),
            }
        };
        let outlived = |version| {
            let keys = vec!["2025 (0123abcd), until 2026-11-01T00:00:00Z".to_owned()];
            (version, vec![Defect::RetiredKey { file: "manifest.json".to_owned(), keys }])
        };
        let other = |(date, recipe): (&NaiveDate, &String)| {
            let digest = self.resolved(image, recipe).recipe.digest();
            (digest, Version::of(midnight(*date), &digest))
        };
        let version =
            |r: &ReleaseText| Version::of(midnight(r.date), &self.resolved(image, &r.recipe).recipe.digest());
        let all = || text.channels.values().chain(&text.damaged);
        let mends = all().filter(|r| !r.mends.is_empty()).map(|r| (version(r), r.mends.clone()));
        let sound = all().filter(|r| !r.defects.iter().any(Defect::harms));
        let whole = sound.map(|r| (version(r), midnight(r.date)));
        let whole = whole.chain(
            text.others
                .iter()
                .map(other)
                .zip(text.others.keys())
                .map(|((_, version), date)| (version, midnight(*date))),
        );
        let mut whole: Vec<_> = whole.collect();
        whole.sort_by_key(|(_, date)| std::cmp::Reverse(*date));
        ObservedImage {
            channels: text.channels.iter().map(|(name, r)| (name.parse().unwrap(), release(r))).collect(),
            by_recipe: text.others.iter().map(other).collect(),
            outlived: text.outlived.iter().map(|(date, recipe)| outlived(other((date, recipe)).1)).collect(),
            damaged: text.damaged.iter().map(|r| (version(r), r.defects.clone())).collect(),
            mends: mends.collect(),
            whole,
        }
    }

    fn history(&self, image: &str, text: &HistoryText) -> History {
        let failures = |f: &FailuresText, of: Digest| {
            let code = f.code.unwrap_or(ErrorCode::BuildStep);
            let last = Failure::new(code, f.class, f.message.clone());
            Failures { of, count: f.count, last, at: f.at }
        };
        let build = text.build.as_ref().map(|f| failures(f, self.resolved(image, &f.of).recipe.digest()));
        let lock = text
            .lock
            .as_ref()
            .map(|f| failures(f, request_digest(&self.resolved(image, &f.of).lock.request.into())));
        let store = BTreeMap::new();
        History {
            build,
            lock,
            store,
            leased_by: text.leased_by.clone(),
            last_checked_upstream: text.last_checked,
        }
    }

    fn layers(&self, cached: &CachedText) -> Vec<bootwright::model::recipe::LayerId> {
        let recipe = self.resolved(&cached.image, &cached.recipe).recipe;
        let ids = recipe.layer_ids();
        let named = recipe.layers.iter().zip(ids).filter(|(l, _)| cached.layers.contains(&l.name));
        let ids: Vec<_> = named.map(|(_, id)| id).collect();
        assert_eq!(ids.len(), cached.layers.len(), "cached layers that {} has not", cached.recipe);
        ids
    }

    fn text(&self, name: &str) -> RecipeText {
        let text = self.recipes.get(name).unwrap_or_else(|| panic!("no recipe {name}")).clone();
        let Some(like) = &text.like else { return text };
        let base = self.text(like);
        RecipeText {
            like: None,
            packages: text.packages.or(base.packages),
            asked: text.asked.or(base.asked),
            hostname: text.hostname.or(base.hostname),
            overlay: text.overlay.or(base.overlay),
            scripts: text.scripts.or(base.scripts),
            lock_date: text.lock_date.or(base.lock_date),
            set: text.set.or(base.set),
            configure: text.configure.or(base.configure),
        }
    }

    pub(super) fn resolved(&self, image: &str, name: &str) -> ResolvedRecipe {
        self.text(name).resolve(image)
    }

    /// The plan with the recipes' names instead of their digests.
    pub(super) fn readable(&self, mut plan: String) -> String {
        let names = self.images.iter().map(|i| &i.name).chain(self.published.keys());
        for image in names.collect::<BTreeSet<_>>() {
            for recipe in self.recipes.keys() {
                let digest = self.resolved(image, recipe).recipe.digest().short();
                plan = plan.replace(&digest, &format!("<{recipe}>"));
            }
        }
        plan
    }
}

impl RecipeText {
    fn resolve(&self, image: &str) -> ResolvedRecipe {
        let packages = self.packages.clone().unwrap_or_default();
        let layers = |map: &BTreeMap<String, Vec<String>>| {
            let order = ["bootstrap", "kernel", "base", "networking", "servers", "utils"];
            assert!(map.keys().all(|name| order.contains(&name.as_str())));
            order
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), map.get(*name)?.clone())))
                .collect::<Vec<_>>()
        };
        let locked: Vec<(String, Vec<LockedPackage>)> = layers(&packages)
            .into_iter()
            .map(|(layer, list)| (layer.clone(), list.iter().map(|p| package(p, &layer)).collect()))
            .collect();
        let date = self.date();
        let asked = layers(self.asked.as_ref().unwrap_or(&packages)).into_iter().map(|(name, list)| {
            let packages = list.iter().map(|p| p.split('=').next().unwrap().parse().unwrap()).collect();
            LayerRequest { name, packages }
        });
        let lock = Lock {
            lock_version: LOCK_VERSION,
            image: image_name(image),
            request: LockRequest {
                base: Base::DEBIAN,
                suite: "bookworm".parse().unwrap(),
                architecture: Architecture::X86_64,
                layers: asked.collect(),
            },
            dates: Vec::new(),
            passed_over: Vec::new(),
            indexes: vec![LockedIndex {
                suite: "suite".to_owned(),
                date,
                digest: Digest::of("index"),
                keyring: Digest::of("keyring"),
            }],
            packages: locked.iter().flat_map(|(_, list)| list.clone()).collect(),
        };
        let recipe = Recipe {
            build_format: BUILD_FORMAT,
            image: image_name(image),
            base: Base::DEBIAN,
            suite: "bookworm".parse().unwrap(),
            architecture: Architecture::X86_64,
            epoch: lock.date().timestamp(),
            layers: self.layers(&locked),
            outputs: vec![Output::Iso],
            compression: Compression::default(),
            boot_files: Vec::new(),
            boot_menu: BootMenu {
                kind: Default::default(),
                title: image.to_owned(),
                timeout: 3,
                splash: None,
                colors: None,
                kernel_flags: Vec::new(),
            },
            verify: Verify::default(),
            limits: Limits::default(),
            lock: lock.digest(),
        };
        let recipe = laid_over(recipe, self.set.as_ref());
        ResolvedRecipe { recipe, blobs: BTreeMap::new(), lock }
    }

    /// The date of the lock's index.
    fn date(&self) -> DateTime<Utc> {
        midnight(self.lock_date.unwrap_or(NaiveDate::from_ymd_opt(2026, 11, 1).unwrap()))
    }

    fn epoch(&self) -> i64 {
        self.date().timestamp()
    }

    fn layers(&self, locked: &[(String, Vec<LockedPackage>)]) -> Vec<LayerRecipe> {
        let mut layers: Vec<LayerRecipe> = locked
            .iter()
            .map(|(name, packages)| {
                let packages = packages.clone();
                let step = match name.as_str() {
                    "bootstrap" => LayerStep::Bootstrap { packages },
                    _ => LayerStep::Packages { packages },
                };
                LayerRecipe { name: name.clone(), epoch: self.epoch(), step }
            })
            .collect();
        let configuration = Configuration {
            hostname: self.hostname.as_deref().unwrap_or("host").parse().unwrap(),
            locale: "C.UTF-8".to_owned(),
            timezone: "Etc/UTC".to_owned(),
            users: Vec::new(),
            enable: Vec::new(),
            disable: Vec::new(),
            brought: Vec::new(),
            written: Digest::of(""),
            init: Init::Systemd,
            keyboard: None,
            databases: Vec::new(),
            monitoring: Vec::new(),
            ai: Vec::new(),
            security_features: SecurityFeatures::default(),
            network: None,
            tools: BTreeSet::new(),
            modules: Modules::default(),
            filesystem: None,
            display: None,
            backup: None,
            customization: Customization::default(),
            tuning: None,
            installer: None,
            pictures: BTreeMap::new(),
        };
        let configuration = Box::new(laid_over(configuration, self.configure.as_ref()));
        let epoch = self.epoch();
        let mut push = |name: &str, step| layers.push(LayerRecipe { name: name.to_owned(), epoch, step });
        push("configuration", LayerStep::Configuration(configuration));
        if let Some(overlay) = &self.overlay {
            push("overlay", LayerStep::Overlay { entries: overlay.iter().map(overlay_entry).collect() });
        }
        if let Some(scripts) = &self.scripts {
            let script = |(path, text): &(String, String)| ScriptRecipe {
                path: path.clone(),
                digest: Digest::of(text),
            };
            push("post-install", LayerStep::PostInstall { scripts: scripts.iter().map(script).collect() });
        }
        layers
    }
}

fn overlay_entry((path, text): (&String, &String)) -> OverlayRecipe {
    let path = path.clone();
    match text.strip_prefix("-> ") {
        Some(target) => OverlayRecipe::Symlink { path, target: target.to_owned() },
        None => OverlayRecipe::File { path, digest: Digest::of(text), executable: text.starts_with("! ") },
    }
}

fn package(text: &str, layer: &str) -> LockedPackage {
    let (name, version) = text.split_once('=').unwrap_or((text, "1"));
    LockedPackage {
        name: name.parse().unwrap(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        sha256: Digest::of(text),
        size: 1000 + text.len() as u64,
        path: format!("pool/{name}_{version}_amd64.deb"),
        suite: "suite".to_owned(),
        layer: layer.to_owned(),
        wave: 0,
    }
}

/// `value` with the fields of `over` in place of its own.
fn laid_over<T: serde::Serialize + serde::de::DeserializeOwned>(
    value: T,
    over: Option<&serde_json::Value>,
) -> T {
    fn lay(under: &mut serde_json::Value, over: &serde_json::Value) {
        match (under, over) {
            (serde_json::Value::Object(under), serde_json::Value::Object(over)) => {
                for (name, value) in over {
                    lay(under.entry(name.clone()).or_insert(serde_json::Value::Null), value);
                }
            }
            (under, over) => *under = over.clone(),
        }
    }
    let Some(over) = over else { return value };
    let mut json = serde_json::to_value(value).unwrap();
    lay(&mut json, over);
    serde_json::from_value(json).unwrap()
}

pub(super) fn image_name(text: &str) -> ImageName {
    text.parse().unwrap()
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_hms_opt(0, 0, 0).unwrap().and_utc()
}
