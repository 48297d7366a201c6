//! The lock of an Arch image: pacman itself resolves, against signed databases.
//!
//! Layers are resolved one after the other over a local database that says the layers below
//! are installed. In the end pacman fetches what it chose and checks each package's own
//! signature; what is sound goes to the cache, where the build finds it.

use super::database::{self, Desc, LOCAL_VERSION, relation};
use super::keys;
use crate::build::managers::{BOOT_FILES, Question, outside, refusals};
use crate::effects::files::{digest_file, link_or_copy, parent, remove_tree, write_atomic};
use crate::effects::{Output, Point, Process, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::{LayerRequest, LockedIndex, LockedPackage};
use crate::model::settings::Mirror;
use crate::model::spec::Architecture;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Lock, Result};
use chrono::DateTime;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How chosen packages are told from other words on stdout.
const CHOSEN: &str = "bootwright-chose";
/// Where things are seen inside.
const CONFIG: &str = "/run/pacman.conf";
const DATABASES: &str = "/run/db";
const FILES: &str = "/run/files";

/// Resolves a request against the mirrors.
pub(super) fn lock(question: &Question<'_>) -> Result<Lock> {
    let Question { image, request, mirrors, offline, events, .. } = *question;
    let task = Task::start(events, format!("lock {image}"));
    let asked = Asked::prepare(question)?;
    if !offline || outside::all_local(mirrors) {
        asked.update()?;
    }
    point(Point::IndexesFetched)?;
    let databases = asked.databases()?;
    let indexes = asked.indexes(&databases)?;
    let mut packages: Vec<LockedPackage> = Vec::new();
    let mut below = BTreeMap::new();
    for layer in &request.layers {
        packages.extend(asked.layer(layer, &databases, &mut below)?);
    }
    asked.fetch(&packages)?;
    task.finish(format!("{} packages", packages.len()));
    Ok(Lock::new(image, request, indexes, packages))
}

/// One repository: a component of a mirror.
struct Repository {
    name: String,
    /// Its folder below the mirror.
    folder: String,
    suite: String,
    mirror: usize,
}

/// The packages of every repository, by name.
type Databases = BTreeMap<String, BTreeMap<String, Desc>>;

struct Asked<'a> {
    question: &'a Question<'a>,
    sandbox: Sandbox,
    folder: PathBuf,
    repositories: Vec<Repository>,
    keyrings: Vec<Digest>,
}

impl<'a> Asked<'a> {
    fn prepare(question: &'a Question<'a>) -> Result<Self> {
        outside::need("pacman")?;
        let (sandbox, folder) = outside::asking(question)?;
        let repositories = repositories(question)?;
        for sub in ["db/sync", "files"] {
            let path = folder.join(sub);
            std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
        }
        let local = folder.join("db/local");
        remove_tree(&local)?;
        std::fs::create_dir(&local).during(|| format!("making {}", local.display()))?;
        let version = local.join("ALPM_DB_VERSION");
        std::fs::write(&version, LOCAL_VERSION).during(|| format!("writing {}", version.display()))?;
        let text = configuration(question.mirrors, &repositories, question.request.architecture)?;
        write_atomic(&folder.join("pacman.conf"), text.as_bytes(), 0o644)?;
        // One home for all: the same key signs databases and packages.
        let (mut all, mut beside, mut keyrings) = (Vec::new(), keys::Beside::default(), Vec::new());
        for mirror in question.mirrors {
            let bytes = outside::keyring(mirror)?;
            keyrings.push(Digest::of(&bytes));
            all.extend(bytes);
            let more = keys::Beside::read(mirror.keyring.as_ref())?;
            beside.revoked.push_str(&more.revoked);
            if let Some(trusted) = more.trusted {
                beside.trusted.get_or_insert_default().push_str(&trusted);
            }
        }
        let home = folder.join("keys");
        remove_tree(&home)?;
        keys::make(&home, &sandbox, &all, &beside, question.cancel)?;
        let sandbox = sandbox
            .bind(folder.join("pacman.conf"), CONFIG)
            .bind_writable(folder.join("db"), DATABASES)
            .bind_writable(folder.join("files"), FILES)
            .bind_writable(&home, keys::HOME);
        Ok(Self { question, sandbox, folder, repositories, keyrings })
    }

    fn pacman(&self) -> Result<Process> {
        let process = self.sandbox.tool("/usr/bin/pacman")?;
        Ok(process.args(options()).timeout(outside::TIME_LIMIT))
    }

    fn run(&self, process: Process) -> Result<Output> {
        process.run(self.question.cancel)
    }

    fn update(&self) -> Result<()> {
        // Twice: what a killed call left half-written is fetched anew.
        let output = self.run(self.pacman()?.args(["-S", "--refresh", "--refresh"]))?;
        if output.status.success() { Ok(()) } else { Err(classify_update(&output)) }
    }

    /// The databases as they are here, which pacman has checked; their date is their signature's,
    /// or without one that of their newest package.
    fn indexes(&self, databases: &Databases) -> Result<Vec<LockedIndex>> {
        let mut indexes: Vec<LockedIndex> = Vec::new();
        for (i, keyring) in self.keyrings.iter().enumerate() {
            let of_mirror: Vec<&Repository> = self.repositories.iter().filter(|r| r.mirror == i).collect();
            let (mut digests, mut date) = (Vec::new(), DateTime::default());
            for repository in &of_mirror {
                digests.push(digest_file(&self.database(repository)?)?.0);
                let unsigned = self.question.mirrors[i].unsigned_indexes && !self.is_signed(repository);
                date = date.max(match unsigned {
                    true => built_last(databases, repository)?,
                    false => self.signed_at(repository)?,
                });
            }
            let Some(first) = of_mirror.first() else { continue };
            indexes.push(LockedIndex {
                suite: first.suite.clone(),
                date,
                digest: Digest::of_json(&digests),
                keyring: *keyring,
            });
        }
        Ok(indexes)
    }

    fn database(&self, repository: &Repository) -> Result<PathBuf> {
        let path = self.folder.join(format!("db/sync/{}.db", repository.name));
        if path.is_file() {
            return Ok(path);
        }
        Err(Failure::offline(format!("the database of {} is not in the cache", repository.name)).hint(
            "Run `bootwright lock` or `bootwright reconcile` once with network: the indexes stay in the cache.",
        ))
    }

    fn is_signed(&self, repository: &Repository) -> bool {
        self.folder.join(format!("db/sync/{}.db.sig", repository.name)).is_file()
    }

    fn signed_at(&self, repository: &Repository) -> Result<DateTime<chrono::Utc>> {
        let file = format!("{DATABASES}/sync/{}.db", repository.name);
        let gpg = self.sandbox.tool("/usr/bin/gpg")?.args(["--homedir", keys::HOME, "--batch", "--no-tty"]);
        let output = self.run(gpg.args(["--status-fd", "1", "--verify", &format!("{file}.sig"), &file]))?;
        if output.host_trouble().is_some() {
            return Err(output.failure());
        }
        signature_date(&output.text()).filter(|_| output.status.success()).ok_or_else(|| {
            Failure::untrusted(format!(
                "the database of {} is not signed by the mirror's keyring",
                repository.name
            ))
            .details(output.tail())
        })
    }

    /// Resolves one layer; adds what it brings to the local database.
    fn layer(
        &self,
        layer: &LayerRequest,
        databases: &Databases,
        below: &mut BTreeMap<String, Desc>,
    ) -> Result<Vec<LockedPackage>> {
        if layer.packages.is_empty() {
            return Ok(Vec::new());
        }
        let alone = layer.name == BOOT_FILES;
        let mut process = self.pacman()?.args(["-S", "--print", "--print-format"]);
        process = process.arg(format!("{CHOSEN} %r %n"));
        if alone {
            process = process.args(["--nodeps", "--nodeps"]);
        }
        let output = self.run(process.arg("--").args(layer.packages.iter().map(|p| p.as_str())))?;
        if !output.status.success() {
            return Err(classify_solve(&output, &layer.name));
        }
        let mut locked = Vec::new();
        for (repository, name) in chosen(&output.text()) {
            if !alone && below.contains_key(&name) {
                continue;
            }
            let lost = || Failure::bug(format!("pacman chose {repository}/{name}, which no database has"));
            let of = self.repositories.iter().find(|r| r.name == repository).ok_or_else(lost)?;
            let desc = databases.get(&repository).and_then(|d| d.get(&name)).ok_or_else(lost)?;
            locked.push(desc.locked(&of.folder, &of.suite, &layer.name)?);
            if !alone {
                self.count_as_installed(desc)?;
                below.insert(name, desc.clone());
            }
        }
        if let Some((one, other)) = self.conflict(below)? {
            return Err(refusals::conflict(&layer.name)
                .details(format!("{one} and {other} conflict with each other.")));
        }
        let here = |name: &str| below.contains_key(name) || locked.iter().any(|p| p.name.as_str() == name);
        match layer.packages.iter().find(|name| !here(name.as_str())) {
            None => Ok(locked),
            Some(name) => Err(Failure::new(
                ErrorCode::PackageUnavailable,
                FailureClass::Spec,
                format!("{name} of layer {} is a group or another package's second name", layer.name),
            )
            .hint("Name the packages themselves.")),
        }
    }

    fn databases(&self) -> Result<Databases> {
        let read = |repository: &Repository| {
            let path = self.database(repository)?;
            let bytes = std::fs::read(&path).during(|| format!("reading {}", path.display()))?;
            let name = &repository.name;
            Ok((name.clone(), database::read(&outside::unpack(&bytes, name)?, name)?))
        };
        self.repositories.iter().map(read).collect()
    }

    /// Two packages of which one says that it cannot stand the other: pacman does not look at
    /// that when it only prints.
    fn conflict(&self, all: &BTreeMap<String, Desc>) -> Result<Option<(String, String)>> {
        let mut brought: BTreeMap<&str, Vec<(&str, Option<&str>)>> = BTreeMap::new();
        for (name, desc) in all {
            brought.entry(name).or_default().push((name, desc.one("VERSION")));
            for provided in desc.all("PROVIDES").iter().map(|p| relation(p)) {
                let version = provided.version.map(|(_, version)| version);
                brought.entry(provided.name).or_default().push((name, version));
            }
        }
        for (name, desc) in all {
            for relation in desc.all("CONFLICTS").iter().map(|c| relation(c)) {
                for (other, version) in brought.get(relation.name).into_iter().flatten() {
                    if other != name && self.meets(*version, relation.version)? {
                        return Ok(Some((name.clone(), (*other).to_owned())));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether a version is one of those that are meant.
    fn meets(&self, version: Option<&str>, meant: Option<(&str, &str)>) -> Result<bool> {
        let Some((sign, than)) = meant else { return Ok(true) };
        // What is provided without a version is none of any (libalpm, `dep_vercmp`).
        let Some(version) = version else { return Ok(false) };
        let process = self.sandbox.tool("/usr/bin/vercmp")?.args([version, than]);
        let answer = process.check(self.question.cancel)?.text();
        let order = answer.trim().parse::<i32>().unwrap_or_default().cmp(&0);
        Ok(match sign {
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            _ => order.is_eq(),
        })
    }

    fn count_as_installed(&self, desc: &Desc) -> Result<()> {
        let id =
            format!("{}-{}", desc.one("NAME").unwrap_or_default(), desc.one("VERSION").unwrap_or_default());
        let folder = self.folder.join("db/local").join(outside::below_mirror(&id)?);
        if parent(&folder) != self.folder.join("db/local") {
            return Err(Failure::untrusted(format!("the database has a bad name: {id:?}")));
        }
        std::fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
        for (name, text) in [("desc", desc.as_installed()), ("files", "%FILES%\n".to_owned())] {
            std::fs::write(folder.join(name), text).during(|| format!("writing {}", folder.display()))?;
        }
        Ok(())
    }

    /// Fetches what was chosen, with every package's signature checked, into the cache.
    fn fetch(&self, packages: &[LockedPackage]) -> Result<()> {
        let cache = self.question.cache;
        let here =
            |p: &LockedPackage| self.folder.join("files").join(p.path.rsplit('/').next().unwrap_or(""));
        for package in packages {
            let (kept, at) = (cache.package(&package.sha256), here(package));
            if kept.exists() && !at.exists() {
                link_or_copy(&kept, &at)?;
            }
        }
        let targets = packages.iter().map(|package| {
            let of = self.repositories.iter().find(|r| package.path.starts_with(&format!("{}/", r.folder)));
            format!("{}/{}", of.map_or("", |r| r.name.as_str()), package.name)
        });
        let process = self.pacman()?.args(["-S", "--downloadonly", "--nodeps", "--nodeps", "--"]);
        let output = self.run(process.args(targets).log_to(self.question.events, "pacman"))?;
        if !output.status.success() {
            let failure = classify_fetch(&output);
            return Err(match self.question.offline && failure.code == ErrorCode::Network {
                true => {
                    Failure::offline("packages whose signatures are not checked yet are not in the cache")
                        .details(output.tail())
                }
                false => failure,
            });
        }
        for package in packages {
            let file = here(package);
            if digest_file(&file)? != (package.sha256, package.size) {
                return Err(Failure::untrusted(format!("{} is not what its database says", package.name)));
            }
            let kept = cache.package(&package.sha256);
            if !kept.exists() {
                let folder = parent(&kept);
                std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
                std::fs::rename(&file, &kept).during(|| format!("keeping {}", package.name))?;
            } else {
                std::fs::remove_file(&file).during(|| format!("removing {}", file.display()))?;
            }
        }
        Ok(())
    }
}

/// When the newest package of a database was built.
fn built_last(databases: &Databases, repository: &Repository) -> Result<DateTime<chrono::Utc>> {
    let packages = databases.get(&repository.name).into_iter().flat_map(BTreeMap::values);
    let dates = packages.filter_map(|desc| desc.one("BUILDDATE")?.parse().ok());
    dates.max().and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or_else(|| {
        Failure::upstream(format!("the database of {} has neither signature nor dates", repository.name))
    })
}

fn options() -> [&'static str; 15] {
    [
        "--config",
        CONFIG,
        "--root",
        crate::effects::sandbox::TOOL_ROOT,
        "--dbpath",
        DATABASES,
        "--cachedir",
        FILES,
        "--gpgdir",
        keys::HOME,
        "--logfile",
        "/dev/null",
        "--noconfirm",
        "--noprogressbar",
        "--color=never",
    ]
}

fn repositories(question: &Question<'_>) -> Result<Vec<Repository>> {
    let mut repositories: Vec<Repository> = Vec::new();
    for (mirror, settings) in question.mirrors.iter().enumerate() {
        let suite = outside::suite(settings, question.request.suite.as_str())?;
        for name in &settings.components {
            if !is_repository(name) {
                return Err(Failure::spec(format!("{name:?} cannot be the name of a pacman repository"))
                    .hint("Write `components:` of the mirror as [core, extra]."));
            }
            if repositories.iter().any(|r| r.name == *name) {
                return Err(Failure::spec(format!("two mirrors of Arch have a repository {name}")).hint(
                    "pacman tells repositories by their names: list further addresses of one under `urls:`.",
                ));
            }
            let folder = format!("{name}/os/{}", question.request.architecture.as_str());
            repositories.push(Repository { name: name.clone(), folder, suite: suite.clone(), mirror });
        }
    }
    Ok(repositories)
}

fn is_repository(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+.-".contains(&b));
    plain && !name.is_empty() && !name.starts_with(['.', '-']) && name != "options" && name != "local"
}

/// `pacman.conf` (man pacman.conf): nothing else is read.
fn configuration(
    mirrors: &[&Mirror],
    repositories: &[Repository],
    architecture: Architecture,
) -> Result<String> {
    let mut text = format!(
        "[options]\nArchitecture = {}\nSigLevel = Required DatabaseRequired TrustedOnly\n\
         LocalFileSigLevel = Required\nParallelDownloads = 5\n",
        architecture.as_str()
    );
    for repository in repositories {
        text.push_str(&format!("\n[{}]\n", repository.name));
        if mirrors[repository.mirror].unsigned_indexes {
            // A signature that is there must be right all the same.
            text.push_str("SigLevel = PackageRequired DatabaseOptional TrustedOnly\n");
        }
        for url in &mirrors[repository.mirror].urls {
            // `$repo` and `$arch` would be filled in.
            if url.contains(['$', '\n', '\r']) {
                return Err(Failure::spec(format!(
                    "the mirror's address {url:?} has a character that pacman cannot take"
                )));
            }
            text.push_str(&format!("Server = {}/{}\n", url.trim_end_matches('/'), repository.folder));
        }
    }
    Ok(text)
}

/// Repository and name of what was chosen, in the order of installation.
fn chosen(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (repository, name) = line.strip_prefix(CHOSEN)?.trim().split_once(' ')?;
            Some((repository.to_owned(), name.to_owned()))
        })
        .collect()
}

/// The date in GnuPG's `VALIDSIG FINGERPRINT DATE SECONDS …` (doc/DETAILS).
fn signature_date(status: &str) -> Option<DateTime<chrono::Utc>> {
    let line = status.lines().find_map(|l| l.strip_prefix("[GNUPG:] VALIDSIG "))?;
    DateTime::from_timestamp(line.split(' ').nth(2)?.parse().ok()?, 0)
}

/// What pacman and libalpm 6.0 say of signatures and sums.
const UNTRUSTED: [&str; 7] = [
    "PGP signature",
    "unknown trust",
    "marginal trust",
    "missing required signature",
    "invalid or corrupted",
    "Maximum file size exceeded",
    "required key missing",
];

fn is_untrusted(output: &Output) -> bool {
    let said = format!("{}\n{}", output.text(), output.errors());
    UNTRUSTED.iter().any(|words| said.contains(words))
}

fn classify_update(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure().on("fetching package databases");
    }
    // A database without a signature beside it fails at the signature's address.
    if is_untrusted(output) || output.errors().contains(".db.sig'") {
        return Failure::untrusted("a package database is not signed by a key of the mirror's keyring")
            .details(output.tail())
            .hint("Check `urls:` and `keyring:` of the mirror in bootwright.yaml, and this host's clock.");
    }
    Failure::upstream("the package databases cannot be had")
        .details(output.tail())
        .hint("Check `urls:` and `components:` of the mirrors in bootwright.yaml, and the network.")
}

fn classify_solve(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = output.errors();
    if let Some(name) = said.lines().find_map(|l| l.strip_prefix("error: target not found: ")) {
        return refusals::unavailable(name, layer);
    }
    if ["conflict", "could not satisfy dependencies", "breaks dependency", "unable to satisfy dependency"]
        .iter()
        .any(|words| said.contains(words))
    {
        return refusals::conflict(layer).details(refusals::words(output));
    }
    Failure::bug(format!("pacman could not resolve layer {layer}")).details(output.tail())
}

fn classify_fetch(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure().on("fetching packages");
    }
    if is_untrusted(output) || output.errors().contains(".sig'") {
        return Failure::untrusted(
            "a package is not signed by a key of the mirror's keyring, or was changed",
        )
        .details(output.tail())
        .hint("Ask another mirror, or check `keyring:` of the mirror in bootwright.yaml.");
    }
    Failure::upstream("packages cannot be had").details(output.tail())
}

/// The packages that nothing needs: neither asked for nor in the closure of what was.
pub(super) fn unneeded(lock: &Lock, local: &BTreeMap<String, Desc>) -> Vec<String> {
    let mut brought_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, desc) in local {
        for provided in desc.all("PROVIDES").iter().map(|p| relation(p).name).chain([name.as_str()]) {
            brought_by.entry(provided).or_default().push(name);
        }
    }
    let mut todo: Vec<&str> =
        lock.request.layers.iter().flat_map(|l| &l.packages).map(|name| name.as_str()).collect();
    let mut needed = BTreeSet::new();
    while let Some(name) = todo.pop() {
        for package in brought_by.get(name).into_iter().flatten() {
            if needed.insert(*package) {
                todo.extend(local[*package].all("DEPENDS").iter().map(|d| relation(d).name));
            }
        }
    }
    let pinned: BTreeSet<&str> =
        lock.packages.iter().filter(|p| p.layer != BOOT_FILES).map(|p| p.name.as_str()).collect();
    let stale = pinned.into_iter().filter(|name| local.contains_key(*name) && !needed.contains(*name));
    stale.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_lines_are_choices() {
        let text =
            ":: Starting\nbootwright-chose core filesystem\nbootwright-chose extra hello\nwarning: x\n";
        assert_eq!(
            chosen(text),
            [("core".to_owned(), "filesystem".to_owned()), ("extra".to_owned(), "hello".to_owned())]
        );
    }

    #[test]
    fn the_date_of_a_signature() {
        let status = "[GNUPG:] NEWSIG\n[GNUPG:] VALIDSIG C7D1D277532B6E3309F84660CE142C9674D84659 2026-11-21 1795264598 0 4 0 1 10 00 C7\n";
        assert_eq!(signature_date(status).unwrap().timestamp(), 1_795_264_598);
        assert!(signature_date("[GNUPG:] BADSIG x").is_none());
    }

    #[test]
    fn names_of_repositories() {
        assert!(is_repository("core") && is_repository("core-testing"));
        for bad in ["", "options", "local", "a/b", "-a", ".a", "a]b", "a b"] {
            assert!(!is_repository(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_nothing_needs_is_named() {
        let local: BTreeMap<String, Desc> = [
            ("base", "%NAME%\nbase\n\n%DEPENDS%\nsh>=5\n"),
            ("bash", "%NAME%\nbash\n\n%PROVIDES%\nsh=5.2\n"),
            ("stale", "%NAME%\nstale\n"),
        ]
        .map(|(name, text)| (name.to_owned(), Desc::parse(text)))
        .into();
        let package = |name: &str| {
            serde_json::json!({"name": name, "version": "1", "architecture": "any", "size": 1, "path": "x",
                "sha256": Digest::of(name), "suite": "rolling", "layer": "bootstrap"})
        };
        let lock: Lock = serde_json::from_value(serde_json::json!({
            "lockVersion": 1, "image": "edge", "indexes": [],
            "packages": [package("base"), package("bash"), package("stale")],
            "request": {"base": "arch", "suite": "rolling", "architecture": "x86_64",
                "layers": [{"name": "bootstrap", "packages": ["base"]}]}
        }))
        .unwrap();
        assert_eq!(unneeded(&lock, &local), ["stale"]);
    }
}
