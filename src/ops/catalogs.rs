//! Operations on a catalog's text: `init`, `new`, `check`, `lock`.

use super::judging;
use super::openwrt::{self, profiles::ListedProfile};
use super::workspace::{Workspace, clones, locate, runtime};
use super::{
    CheckReport, CheckRequest, CheckedImage, Complaint, ConfiguredMirror, Context, InitReport, InitRequest,
    LockOutcome, LockReport, LockRequest, LockedImage, NewReport, NewRequest, SigningKey,
};
use crate::build::{Builder, cache::Cache};
use crate::catalog::{self, Diagnostic, Location, Severity, commit, diagnostic, scaffold};
use crate::effects::files::{parent, write_atomic};
use crate::model::catalog::ImageDocument;
use crate::model::failure::IoContext;
use crate::model::lock::diff;
use crate::model::name::ChannelName;
use crate::model::packaging::PackageSettings;
use crate::model::policy;
use crate::model::settings::Mirror;
use crate::model::spec::Base;
use crate::model::{Failure, ImageName, Lock, Result};
use crate::release::keys;
use crate::resolve;
use crate::tables;
use std::path::{Path, PathBuf};

/// Where the host's apt says what it uses (man sources.list).
const APT_SOURCES: &str = "/etc/apt/sources.list";
const APT_SOURCES_FOLDER: &str = "/etc/apt/sources.list.d";
/// The signing key's place in a new catalog; git ignores it.
const KEY: &str = "keys/bootwright.key";

/// Makes a catalog that works: settings with the host's own mirrors, a signing key, a spec.
///
/// # Errors
/// Class *spec* if there is a catalog already; *host* if a file cannot be written.
pub fn init(context: &Context, request: InitRequest) -> Result<InitReport> {
    let dir = context.cwd.join(&request.dir);
    if dir.join("bootwright.yaml").exists() {
        return Err(Failure::spec(format!("{} has a catalog already", dir.display()))
            .hint("Add a spec with `bootwright new NAME`."));
    }
    let mirrors = host_mirrors()?;
    if mirrors.is_empty() {
        context.events.warn(
            "no Debian mirror was found in this host's apt configuration; add one under `mirrors:` in bootwright.yaml",
        );
    }
    let mut files = match &request.from {
        Some(from) => taken_over(&context.cwd.join(from), &mirrors)?,
        None => scaffold::init_files(&mirrors, KEY).into_iter().map(plain).collect(),
    };
    files.sort();
    std::fs::create_dir_all(&dir).during(|| format!("making {}", dir.display()))?;
    let fresh = commit::create_repository(&dir)?;
    for (path, bytes, executable) in &files {
        let to = dir.join(path);
        if to.exists() {
            return Err(
                Failure::spec(format!("{} is there already", to.display())).hint("Choose an empty folder.")
            );
        }
        write_atomic(&to, bytes, if *executable { 0o755 } else { 0o644 })?;
    }
    let key = if request.key { Some(make_key(context, &dir)?) } else { None };
    if fresh {
        let paths: Vec<&str> = files.iter().map(|(path, _, _)| path.as_str()).collect();
        let author = commit::author(&dir).unwrap_or_else(nobody);
        commit::commit_files(&dir, &paths, "A catalog for Bootwright", &author, context.clock.now())?;
    }
    let read = catalog::read(&Location::WorkTree(dir.clone()), &clones(context))?;
    let images = catalog::load(&read).map_err(|d| diagnostic::failure(&d))?.images;
    Ok(InitReport {
        dir,
        files: files.into_iter().map(|(path, _, _)| path).collect(),
        mirrors: mirrors
            .into_iter()
            .map(|m| ConfiguredMirror { base: m.base, urls: m.urls, keyring: m.keyring })
            .collect(),
        key,
        images: images.into_keys().collect(),
    })
}

/// Who commits where git knows of nobody.
fn nobody() -> commit::Author {
    commit::Author { name: "Bootwright".to_owned(), email: "bootwright@localhost".to_owned() }
}

/// Path, bytes, executable.
type NewFile = (String, Vec<u8>, bool);

fn plain((path, bytes): (String, Vec<u8>)) -> NewFile {
    (path, bytes, false)
}

/// The specs, overlays and schemas of another catalog, with settings for this host.
fn taken_over(from: &Path, mirrors: &[Mirror]) -> Result<Vec<NewFile>> {
    let read = catalog::read(&Location::WorkTree(from.to_owned()), Path::new(""))?;
    let mut files: Vec<NewFile> = Vec::new();
    for (path, file) in read.iter().filter(|(path, _)| *path != "bootwright.yaml") {
        if file.kind == catalog::files::FileKind::Symlink {
            return Err(Failure::spec(format!("{path} is a symbolic link, which init cannot take over"))
                .hint("Clone the catalog with git instead."));
        }
        let executable = file.kind == catalog::files::FileKind::Executable;
        files.push((path.to_owned(), file.bytes.to_vec(), executable));
    }
    let settings = scaffold::settings_text(mirrors, Some(KEY));
    files.push(("bootwright.yaml".to_owned(), settings.into_bytes(), false));
    let ignored = scaffold::init_files(mirrors, KEY).into_iter().find(|(path, _)| path == ".gitignore");
    files.extend(ignored.map(plain));
    Ok(files)
}

fn host_mirrors() -> Result<Vec<Mirror>> {
    let mut paths = vec![PathBuf::from(APT_SOURCES)];
    for entry in std::fs::read_dir(APT_SOURCES_FOLDER).into_iter().flatten().flatten() {
        paths.push(entry.path());
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths.iter().filter(|p| p.is_file()) {
        let text = std::fs::read_to_string(path).during(|| format!("reading {}", path.display()))?;
        texts.push((path.to_string_lossy().into_owned(), text));
    }
    Ok(catalog::mirrors_from_apt(&texts))
}

fn make_key(context: &Context, dir: &Path) -> Result<SigningKey> {
    let passphrase = context.passphrase.as_ref().map(|p| p.reveal().as_bytes());
    let private = dir.join(KEY);
    let folder = parent(&private);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let (_, public) = keys::write_key_pair(&private, passphrase)?;
    Ok(SigningKey { private, public, encrypted: passphrase.is_some() })
}

/// The channel of a document that is made anew.
pub(super) fn first_channel(files: &catalog::Files) -> Result<ChannelName> {
    match catalog::settings(files)?.channels.first() {
        Some(channel) => Ok(channel.clone()),
        None => "edge".parse().map_err(|e| Failure::bug(format!("{e}"))),
    }
}

/// The suite of a spec that names none.
fn usual_suite(base: Base) -> &'static str {
    tables::of(base).suites().next().unwrap_or("rolling")
}

/// Adds a spec to a catalog.
///
/// # Errors
/// Class *spec* if the image exists already.
pub fn new(context: &Context, request: NewRequest) -> Result<NewReport> {
    let (location, _) = locate(context, &request.catalog)?;
    let Location::WorkTree(dir) = &location else {
        return Err(Failure::spec("a spec can be added to a working tree only")
            .hint("Clone the catalog and run this in it."));
    };
    let mut files = catalog::read(&location, &clones(context))?;
    if catalog::resolved(&files, &request.name).is_ok() {
        return Err(Failure::spec(format!("the catalog has an image {} already", request.name)));
    }
    let suite = match request.suite {
        Some(suite) => suite,
        None => usual_suite(request.base).parse().map_err(|e| Failure::bug(format!("{e}")))?,
    };
    let channel = first_channel(&files)?;
    let path = format!("specs/{}.yaml", request.name);
    let to = dir.join(&path);
    if to.exists() {
        return Err(Failure::spec(format!("{path} is there already")));
    }
    let text = scaffold::new_spec(&request.name, request.base, &suite, &channel, &request.parts);
    files.add(&path, catalog::files::FileKind::Regular, text.clone().into_bytes())?;
    // A profile that is not there, or a level that cannot be built: nothing is written then.
    catalog::load(&files).map_err(|found| diagnostic::failure(&found))?;
    write_atomic(&to, text.as_bytes(), 0o644)?;
    Ok(NewReport { name: request.name, path })
}

/// Reads a catalog and says everything that is wrong with it, in one go.
///
/// # Errors
/// Only if the catalog cannot be read at all: what is wrong inside is in the report.
pub fn check(context: &Context, request: CheckRequest) -> Result<CheckReport> {
    let (location, base) = locate(context, &request.catalog)?;
    let files = catalog::read(&location, &clones(context))?;
    let (catalog, mut diagnostics) = catalog::check(&files);
    let (mut images, mut findings) = (Vec::new(), Vec::new());
    let devices = catalog.iter().flat_map(|c| c.devices.values()).map(ListedProfile::of).collect();
    let packages = catalog.as_ref().map(|c| c.settings.packages.clone()).unwrap_or_default();
    for (name, document) in catalog.iter().flat_map(|c| &c.images) {
        let (asked, found) = resolve::check(&document.spec, &packages);
        diagnostics.extend(found.into_iter().map(|problem| Diagnostic {
            code: problem.code,
            severity: if problem.fatal { Severity::Error } else { Severity::Warning },
            ..catalog::at_field(&files, document, &problem.field, problem.message, problem.hint)
        }));
        let of_image = catalog.iter().flat_map(|c| judging::findings(&files, c, document, asked.as_ref()));
        findings.extend(of_image);
        if let Some(asked) = asked {
            diagnostics.extend(judging::stale_pins(&files, name, document, &asked));
            images.push(checked(name, document, &asked));
        }
    }
    if let Some(catalog) = &catalog {
        for document in catalog.devices.values() {
            findings.extend(judging::device_findings(&files, catalog, document));
            diagnostics.extend(judging::stale_device_lock(document));
        }
    }
    diagnostics.extend(unknown_repositories(&files, &packages));
    let shown = findings.iter().filter(|f| f.severity != policy::Severity::Info);
    diagnostics.extend(shown.map(|finding| catalog::diagnostic_of(&files, finding)));
    if let Some(catalog) = catalog {
        diagnostics.extend(key_problems(context, &files, &Workspace::of(catalog, files.clone(), base)));
    }
    let (warnings, problems): (Vec<_>, Vec<_>) =
        diagnostics.iter().partition(|d| d.severity == Severity::Warning);
    Ok(CheckReport {
        source: files.source.clone(),
        images,
        devices,
        problems: problems.into_iter().map(complaint).collect(),
        warnings: warnings.into_iter().map(complaint).collect(),
        findings,
    })
}

/// Repositories that the settings allow and that the tables do not know.
fn unknown_repositories(files: &catalog::Files, settings: &PackageSettings) -> Vec<Diagnostic> {
    let unknown =
        settings.repositories.iter().enumerate().filter(|(_, r)| !tables::repositories().contains_key(*r));
    let known: Vec<&str> = tables::repositories().keys().map(String::as_str).collect();
    unknown
        .map(|(index, name)| {
            let field = format!("packages.repositories[{index}]");
            let message = format!("no table knows a repository {name:?}");
            catalog::at_setting(files, &field, message, format!("There are: {}.", known.join(", ")))
        })
        .collect()
}

/// What is wrong with the signing keys today.
fn key_problems(context: &Context, files: &catalog::Files, workspace: &Workspace) -> Vec<Diagnostic> {
    match workspace.unchecked_trust(context.clock.now()) {
        Ok(trust) => workspace
            .trust_problems(&trust)
            .into_iter()
            .map(|problem| Diagnostic {
                severity: if problem.fatal { Severity::Error } else { Severity::Warning },
                ..catalog::at_setting(files, &problem.field, problem.message, problem.hint)
            })
            .collect(),
        Err(failure) => {
            let field = failure.field.as_deref().unwrap_or("signing");
            let hint = failure.hint.clone().unwrap_or_default();
            vec![catalog::at_setting(files, field, failure.message.clone(), hint).code(failure.code)]
        }
    }
}

fn checked(
    name: &ImageName,
    document: &ImageDocument,
    asked: &crate::model::lock::LockRequest,
) -> CheckedImage {
    let spec = &document.spec.spec;
    CheckedImage {
        name: name.clone(),
        place: document.place.clone(),
        base: spec.base,
        suite: spec.suite.clone(),
        architecture: spec.architecture,
        outputs: spec.outputs.clone(),
        channel: spec.channel.clone(),
        lock: judging::lock_state(document, asked),
    }
}

fn complaint(d: &Diagnostic) -> Complaint {
    Complaint {
        code: d.code,
        file: d.file.clone(),
        line: d.line,
        column: d.column,
        field: d.field.clone(),
        message: d.message.clone(),
        source_line: d.source_line.clone(),
        suggestion: d.hint.clone(),
    }
}

/// Resolves packages against the configured mirrors and writes the locks.
///
/// # Errors
/// Class *spec* (no such package), *upstream* (mirror), *host*.
pub fn lock(context: &Context, request: LockRequest) -> Result<LockReport> {
    let (location, _) = locate(context, &request.catalog)?;
    let Location::WorkTree(dir) = location else {
        return Err(Failure::spec("a lock can be written into a working tree only")
            .hint("Clone the catalog and run this in it."));
    };
    let workspace = Workspace::open(context, &request.catalog)?;
    let only = workspace.known(&request.only)?;
    let runtime = runtime()?;
    let client = crate::effects::fetch::client()?;
    let cache = Cache::open(&workspace.cache_folder())?;
    let mirrors = workspace.mirrors();
    let builder = Builder {
        cache: &cache,
        mirrors: &mirrors,
        client: &client,
        runtime: runtime.handle(),
        events: &context.events,
        cancel: &context.cancel,
        offline: context.offline,
    };
    let mut images = Vec::new();
    for (name, document) in
        workspace.catalog.images.iter().filter(|(name, _)| only.is_empty() || only.contains(name))
    {
        let packages = &workspace.settings().packages;
        images.push(lock_one(name, document, packages, &builder, &request, &dir)?);
    }
    let devices = openwrt::locking::lock(context, &workspace, &only, &request, &dir)?;
    Ok(LockReport { images, devices })
}

fn lock_one(
    name: &ImageName,
    document: &ImageDocument,
    packages: &PackageSettings,
    builder: &Builder<'_>,
    request: &LockRequest,
    dir: &Path,
) -> Result<LockedImage> {
    let asked = resolve::request(&document.spec, packages).map_err(|problems| {
        problems.first().map_or_else(
            || Failure::bug("a spec was refused without a reason"),
            |p| p.failure().on(&document.place),
        )
    })?;
    let old = document.lock.as_ref();
    let path = catalog::lock_path(name);
    let report = |lock: &Lock, outcome| LockedImage {
        image: name.clone(),
        path: path.clone(),
        outcome,
        packages: lock.packages.len(),
        size: lock.packages.iter().map(|p| p.size).sum(),
        indexes: lock.indexes.clone(),
        changes: diff(old.map_or(&[], |l| l.packages.as_slice()), &lock.packages),
    };
    if let Some(old) = old.filter(|l| l.request == asked && !request.update) {
        return Ok(report(old, LockOutcome::Kept));
    }
    let new = builder.lock(name, &asked, old)?;
    let new = match old {
        Some(old) => new.following(old)?,
        None => new,
    };
    if let Some(old) = old.filter(|l| l.request == new.request && l.packages == new.packages) {
        return Ok(report(old, LockOutcome::Unchanged));
    }
    if request.dry_run {
        return Ok(report(&new, LockOutcome::WouldWrite));
    }
    write_atomic(&dir.join(&path), catalog::lock_text(&new).as_bytes(), 0o644)?;
    Ok(report(&new, LockOutcome::Written))
}
