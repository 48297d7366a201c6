//! A spec and its lock, put together.

use super::ISO_BOOT_FILES;
use super::request::request;
use crate::configure::{self, System};
use crate::model::catalog::{ImageDocument, OverlayContent, OverlayEntry};
use crate::model::lock::{LayerRequest, Lock, LockRequest, LockedPackage};
use crate::model::name::{ImageName, PackageName, UnitName, UserName};
use crate::model::recipe::{
    BUILD_FORMAT, BootMenu, Configuration, LayerRecipe, LayerStep, OverlayRecipe, Recipe, ResolvedRecipe,
    ScriptRecipe,
};
use crate::model::settings::Settings;
use crate::model::spec::{Dotfiles, Installer, MenuColors, Origin, OsSpec, Verify};
use crate::model::{Digest, ErrorCode, Failure, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Seconds that a boot menu waits if the spec does not say.
const MENU_SECONDS: u16 = 3;

/// Resolves one image with its lock.
///
/// # Errors
/// If the spec asks for something impossible, or the lock answers another question.
pub fn resolve(document: &ImageDocument, lock: Lock, settings: &Settings) -> Result<ResolvedRecipe> {
    let image = &document.spec;
    let name = &image.metadata.name;
    let asked = request(image, &settings.packages).map_err(|problems| all(name, &problems))?;
    check_lock(name, &asked, &lock)?;
    let mut blobs = Blobs::default();
    let mut layers = package_layers(&lock);
    let configuration = configuration(document, &lock, &mut blobs)?;
    let epoch = lock.date().timestamp();
    let layer = |name, step| layer(name, epoch, step);
    if let Some(step) = splash(document, &mut blobs)? {
        layers.push(layer("splash", step));
    }
    if let Some(step) = shell(document, &mut blobs)? {
        layers.push(layer("shell", step));
    }
    layers.push(layer("configuration", LayerStep::Configuration(Box::new(configuration))));
    if let Some(step) = homes(document, &mut blobs)? {
        layers.push(layer("dotfiles", step));
    }
    if !document.overlay.is_empty() {
        layers.push(layer("overlay", overlay(document, &mut blobs)));
    }
    if !(image.spec.post_install.scripts.is_empty() && image.spec.post_install.services.is_empty()) {
        layers.push(layer("post-install", scripts(document, &mut blobs)?));
    }
    let recipe = Recipe {
        build_format: BUILD_FORMAT,
        image: name.clone(),
        base: image.spec.base,
        suite: image.spec.suite.clone(),
        architecture: image.spec.architecture,
        epoch,
        layers,
        outputs: sorted(&image.spec.outputs),
        compression: settings.build.compression,
        boot_menu: boot_menu(document, &mut blobs)?,
        boot_files: lock.of_layer(ISO_BOOT_FILES).cloned().collect(),
        verify: verify(&image.spec.verify),
        limits: image.spec.limits.clone(),
        lock: lock.digest(),
    };
    Ok(ResolvedRecipe { recipe, blobs: blobs.0, lock })
}

fn all(name: &ImageName, problems: &[super::Problem]) -> Failure {
    let Some(first) = problems.first() else {
        return Failure::bug(format!("{name} was refused without a reason"));
    };
    let lines: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect();
    first.failure().on(name).details(lines.join("\n"))
}

/// Whether the lock answers what is asked.
fn check_lock(name: &ImageName, asked: &LockRequest, lock: &Lock) -> Result<()> {
    let difference = if lock.image == *name {
        difference(asked, &lock.request).or_else(|| unanswered(lock))
    } else {
        Some(format!("it is of {}", lock.image))
    };
    match difference {
        None => Ok(()),
        Some(difference) => Err(Failure::spec(format!("{name}: the lock is out of date: {difference}"))
            .code(ErrorCode::Compat)
            .hint(format!("Run `bootwright lock --update {name}` and review the change."))),
    }
}

/// The first thing in which two requests differ.
fn difference(asked: &LockRequest, locked: &LockRequest) -> Option<String> {
    if asked.base != locked.base {
        return Some(format!("the base is {}, was {}", asked.base.as_str(), locked.base.as_str()));
    }
    if asked.suite != locked.suite {
        return Some(format!("the suite is {}, was {}", asked.suite, locked.suite));
    }
    if asked.architecture != locked.architecture {
        let (now, before) = (asked.architecture.as_str(), locked.architecture.as_str());
        return Some(format!("the architecture is {now}, was {before}"));
    }
    let find = |layers: &[LayerRequest], name: &str| layers.iter().find(|l| l.name == name).cloned();
    for layer in &asked.layers {
        let Some(before) = find(&locked.layers, &layer.name) else {
            return Some(format!("layer {} is new", layer.name));
        };
        let now: BTreeSet<&PackageName> = layer.packages.iter().collect();
        let before: BTreeSet<&PackageName> = before.packages.iter().collect();
        if let Some(package) = now.difference(&before).next() {
            return Some(format!("layer {} asks for {package}, which was not asked for", layer.name));
        }
        if let Some(package) = before.difference(&now).next() {
            return Some(format!("layer {} no longer asks for {package}", layer.name));
        }
    }
    if let Some(gone) = locked.layers.iter().find(|l| find(&asked.layers, &l.name).is_none()) {
        return Some(format!("layer {} is no longer asked for", gone.name));
    }
    (asked != locked).then(|| "the layers are in another order".to_owned())
}

/// The first package that was asked for, but not answered in its layer or below.
fn unanswered(lock: &Lock) -> Option<String> {
    let mut below: BTreeSet<&PackageName> = BTreeSet::new();
    for layer in &lock.request.layers {
        let here: BTreeSet<&PackageName> = lock.of_layer(&layer.name).map(|p| &p.name).collect();
        if layer.name == ISO_BOOT_FILES {
            below.clear();
        }
        below.extend(here);
        if let Some(package) = layer.packages.iter().find(|p| !below.contains(p)) {
            return Some(format!("it has no package {package} in layer {}", layer.name));
        }
    }
    None
}

fn layer(name: &str, epoch: i64, step: LayerStep) -> LayerRecipe {
    LayerRecipe { name: name.to_owned(), epoch, step }
}

fn package_layers(lock: &Lock) -> Vec<LayerRecipe> {
    let installed = lock.request.layers.iter().filter(|l| l.name != ISO_BOOT_FILES);
    installed
        .map(|l| {
            let packages: Vec<LockedPackage> = lock.of_layer(&l.name).cloned().collect();
            let step = match l.name.as_str() {
                "bootstrap" => LayerStep::Bootstrap { packages },
                _ => LayerStep::Packages { packages },
            };
            layer(&l.name, lock.date_of(&l.name).timestamp(), step)
        })
        .collect()
}

fn configuration(document: &ImageDocument, lock: &Lock, blobs: &mut Blobs) -> Result<Configuration> {
    let spec = &document.spec.spec;
    let mut configuration = configure::configuration(&document.spec.metadata.name, spec)?;
    for path in spec.installer.iter().flat_map(Installer::pictures) {
        let digest = blobs.add(named(document, path.as_str())?);
        configuration.pictures.insert(path.to_string(), digest);
    }
    let installed = lock.packages.iter().filter(|p| p.layer != ISO_BOOT_FILES);
    let system = System {
        configuration: &configuration,
        base: spec.base,
        suite: spec.suite.as_str(),
        architecture: spec.architecture,
        packages: installed.map(|p| (p.name.as_str(), p.version.as_str())).collect(),
        outputs: &spec.outputs,
    };
    configuration.written = configure::plan(&system).digest();
    Ok(configuration)
}

#[derive(Default)]
struct Blobs(BTreeMap<Digest, Arc<[u8]>>);

impl Blobs {
    fn add(&mut self, bytes: &Arc<[u8]>) -> Digest {
        let digest = Digest::of(bytes);
        self.0.entry(digest).or_insert_with(|| Arc::clone(bytes));
        digest
    }
}

fn overlay(document: &ImageDocument, blobs: &mut Blobs) -> LayerStep {
    LayerStep::Overlay { entries: entries("", &document.overlay, blobs) }
}

/// Entries below a folder, sorted by path.
fn entries(folder: &str, found: &[OverlayEntry], blobs: &mut Blobs) -> Vec<OverlayRecipe> {
    let mut entries: Vec<OverlayRecipe> = found
        .iter()
        .map(|entry| {
            let path = format!("{folder}{}", entry.path);
            match &entry.content {
                OverlayContent::File { bytes, executable } => {
                    OverlayRecipe::File { path, digest: blobs.add(bytes), executable: *executable }
                }
                OverlayContent::Symlink { target } => OverlayRecipe::Symlink { path, target: target.clone() },
            }
        })
        .collect();
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    entries
}

/// What Plymouth shows: its theme, and the picture of the boot menu once more.
fn splash(document: &ImageDocument, blobs: &mut Blobs) -> Result<Option<LayerStep>> {
    let Some(loader) = configure::splash_shown(&document.spec.spec) else { return Ok(None) };
    let file = |path: String, digest| OverlayRecipe::File { path, digest, executable: false };
    let files = configure::splash_files(loader).into_iter();
    let mut entries: Vec<_> =
        files.map(|(path, text)| file(path, blobs.add(&text.into_bytes().into()))).collect();
    if let Some(path) = &loader.splash {
        let digest = blobs.add(named(document, path)?);
        entries.push(file(configure::SPLASH_PICTURE.to_owned(), digest));
    }
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(Some(LayerStep::Overlay { entries }))
}

/// What the shells of users load and no package brings: below `/usr/share`, as a package would.
/// Each folder with the files that go there.
///
/// # Errors
/// If one cannot be had.
pub fn shell_files(document: &ImageDocument) -> Result<Vec<(String, &[OverlayEntry])>> {
    let sources = configure::shell_sources(&document.spec.spec).into_iter();
    sources.map(|(folder, origin)| Ok((format!("{folder}/"), tree(document, origin)?))).collect()
}

fn shell(document: &ImageDocument, blobs: &mut Blobs) -> Result<Option<LayerStep>> {
    let mut all = Vec::new();
    for (folder, files) in shell_files(document)? {
        all.extend(entries(&folder, files, blobs));
    }
    Ok((!all.is_empty()).then_some(LayerStep::Overlay { entries: all }))
}

/// The users whose homes get dotfiles, and the files, by their paths in a home; None without any.
///
/// # Errors
/// If they cannot be had.
pub fn dotfiles(document: &ImageDocument) -> Result<Option<(Vec<UserName>, &[OverlayEntry])>> {
    let spec = &document.spec.spec;
    let Some(origin) = spec.customization.dotfiles.as_ref().and_then(Dotfiles::origin) else {
        return Ok(None);
    };
    let users = configure::dotfile_users(spec);
    let files = tree(document, origin)?;
    Ok((!users.is_empty()).then_some((users, files)))
}

fn homes(document: &ImageDocument, blobs: &mut Blobs) -> Result<Option<LayerStep>> {
    let found = dotfiles(document)?;
    Ok(found.map(|(users, files)| LayerStep::Homes { users, entries: entries("", files, blobs) }))
}

/// The files of a folder or repository that the spec names.
fn tree<'d>(document: &'d ImageDocument, origin: Origin<'_>) -> Result<&'d [OverlayEntry]> {
    let name = origin.to_string();
    match document.trees.get(&name) {
        Some(Ok(entries)) => Ok(entries),
        Some(Err(failure)) => Err(failure.clone()),
        None => Err(Failure::not_found(format!("{}: nobody looked for {name}", document.place))
            .hint("See that the folder is there, or that the repository can be reached.")),
    }
}

fn scripts(document: &ImageDocument, blobs: &mut Blobs) -> Result<LayerStep> {
    let scripts = &document.spec.spec.post_install.scripts;
    let scripts: Result<Vec<ScriptRecipe>> = scripts
        .iter()
        .map(|path| Ok(ScriptRecipe { path: path.clone(), digest: blobs.add(named(document, path)?) }))
        .collect();
    Ok(LayerStep::PostInstall { scripts: scripts? })
}

fn named<'d>(document: &'d ImageDocument, path: &str) -> Result<&'d Arc<[u8]>> {
    document.files.get(path).ok_or_else(|| {
        Failure::not_found(format!("{}: there is no file {path} in the catalog", document.place))
            .hint("Add the file, or take its name out of the spec.")
    })
}

fn boot_menu(document: &ImageDocument, blobs: &mut Blobs) -> Result<BootMenu> {
    let spec = &document.spec.spec;
    let bootloader = &spec.customization.bootloader;
    let splash = bootloader.splash.as_ref().map(|path| Ok::<_, Failure>(blobs.add(named(document, path)?)));
    Ok(BootMenu {
        kind: bootloader.kind.unwrap_or_default(),
        title: bootloader.title.clone().unwrap_or_else(|| document.spec.metadata.name.to_string()),
        timeout: bootloader.timeout.unwrap_or(MENU_SECONDS),
        splash: splash.transpose()?,
        colors: bootloader.colors.clone().filter(|colors| *colors != MenuColors::default()),
        kernel_flags: kernel_flags(spec),
    })
}

/// The words of the kernel command line: those of the features, then the spec's own, so that
/// the last word is the spec's.
fn kernel_flags(spec: &OsSpec) -> Vec<String> {
    let mut flags = configure::needs(spec).kernel_flags;
    flags.retain(|flag| !spec.kernel.custom_flags.contains(flag));
    flags.extend(spec.kernel.custom_flags.iter().cloned());
    flags
}

/// The same demands in one order: listing them otherwise is no change.
fn verify(verify: &Verify) -> Verify {
    let mut verify = verify.clone();
    verify.boot = sorted(&verify.boot);
    verify.ports = sorted(&verify.ports);
    let full = verify.units.iter().map(|unit| unit.full().parse().unwrap_or_else(|_| unit.clone()));
    let full: Vec<UnitName> = full.collect();
    verify.units = sorted(&full);
    verify
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    items.iter().cloned().collect::<BTreeSet<T>>().into_iter().collect()
}
