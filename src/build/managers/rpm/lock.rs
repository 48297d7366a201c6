//! The lock of an rpm distribution: its own solver resolves, against signed metadata, in an
//! empty root.
//!
//! Layers are resolved one after the other. What lower layers have got is asked for again by
//! exact versions, together with what the layer adds: so every package has exactly one layer,
//! and nothing of a lower one is ever exchanged.

use super::keys;
use super::metadata::{self, Chosen, Listed};
use crate::build::managers::outside::{self, below_mirror};
use crate::build::managers::{BOOT_FILES, Question, refusals};
use crate::effects::files::{digest_file, write_atomic};
use crate::effects::{Cancel, Output, Point, Process, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::{LockedIndex, LockedPackage};
use crate::model::name::PackageName;
use crate::model::{Digest, Failure, Lock, Result};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Where a solver sees its configuration and keys.
pub(super) const STATE: &str = "/run/state";

/// A package manager that resolves.
pub(super) trait Solver: Sync {
    /// The program's name.
    fn program(&self) -> &'static str;

    /// Writes its configuration.
    fn prepare(&self, asking: &Asking<'_>) -> Result<()>;

    /// Fetches the indexes and checks their signatures.
    fn refresh(&self, asking: &Asking<'_>) -> Result<()>;

    /// The folder with `repodata` of a repository, as it was fetched; none if it was not.
    fn metadata(&self, asking: &Asking<'_>, i: usize) -> Result<Option<PathBuf>>;

    /// What is installed when `below` and `names` are, without network.
    fn solve(
        &self,
        asking: &Asking<'_>,
        below: &[Chosen],
        names: &[&PackageName],
        layer: &str,
    ) -> Result<Vec<Chosen>>;
}

/// One repository of a mirror.
pub(super) struct Repository {
    /// Its path below the mirror: its name in locks.
    pub index: String,
    /// Its address.
    pub url: String,
    /// The digest of the mirror's keyring.
    pub keyring: Digest,
    /// The keyring's keys, armoured, one in each file.
    pub keys: Vec<String>,
    /// All of them in one file, as gpgv wants them.
    pub binary: String,
    /// Whether its metadata may be unsigned.
    pub unsigned: bool,
}

/// What a solver works with.
pub(super) struct Asking<'a> {
    /// An empty root with the network.
    pub sandbox: Sandbox,
    /// The folder that it sees as [`STATE`]; it stays.
    pub folder: PathBuf,
    /// The repositories, in the order of the settings.
    pub repositories: Vec<Repository>,
    /// The suite of the spec.
    pub suite: String,
    /// rpm's word for the architecture.
    pub architecture: &'static str,
    cancel: &'a Cancel,
}

impl Asking<'_> {
    /// Writes a file of the solver's.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        let folder = crate::effects::files::parent(&path);
        std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
        write_atomic(&path, text.as_bytes(), 0o644)
    }

    /// Runs a process of [`Asking::sandbox`].
    pub(super) fn run(&self, process: Process) -> Result<Output> {
        process.timeout(outside::TIME_LIMIT).run(self.cancel)
    }
}

/// Resolves a request.
pub(super) fn lock(question: &Question<'_>, solver: &dyn Solver) -> Result<Lock> {
    let Question { image, request, mirrors, offline, events, cancel, .. } = *question;
    outside::need(solver.program())?;
    let task = Task::start(events, format!("lock {image}"));
    let (sandbox, state) = outside::asking(question)?;
    let folder = state.join("solver");
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    let asking = Asking {
        sandbox: sandbox.bind_writable(&folder, STATE),
        repositories: repositories(question, &folder)?,
        folder,
        suite: request.suite.to_string(),
        architecture: request.architecture.as_str(),
        cancel,
    };
    solver.prepare(&asking)?;
    if !offline || outside::all_local(mirrors) {
        solver.refresh(&asking)?;
    }
    point(Point::IndexesFetched)?;
    let (indexes, lists) = read_indexes(&asking, solver)?;
    let mut below: Vec<Chosen> = Vec::new();
    let mut packages: Vec<LockedPackage> = Vec::new();
    for layer in &request.layers {
        cancel.check()?;
        let names: Vec<&PackageName> = layer.packages.iter().collect();
        let all: BTreeSet<Chosen> = solver.solve(&asking, &below, &names, &layer.name)?.into_iter().collect();
        if let Some(lost) = below.iter().find(|package| !all.contains(package)) {
            return Err(refusals::conflict(&layer.name)
                .details(format!("{} {} of a lower layer would be exchanged", lost.name, lost.version)));
        }
        let is_asked = |p: &Chosen| names.iter().any(|name| name.as_str() == p.name);
        let alone = layer.name == BOOT_FILES;
        let fresh: Vec<Chosen> =
            all.into_iter().filter(|p| !below.contains(p) && (!alone || is_asked(p))).collect();
        for chosen in &fresh {
            packages.push(locked(chosen, &layer.name, &lists)?);
        }
        if !alone {
            below.extend(fresh);
        }
    }
    let lock = Lock::new(image, request, indexes, packages);
    task.finish(format!("{} packages", lock.packages.len()));
    Ok(lock)
}

fn repositories(question: &Question<'_>, folder: &Path) -> Result<Vec<Repository>> {
    let (suite, architecture) = (&question.request.suite, question.request.architecture);
    let keys_folder = folder.join("keys");
    let mut found = Vec::new();
    for (i, mirror) in question.mirrors.iter().enumerate() {
        let indexes = mirror.indexes(suite.as_str(), architecture);
        if indexes.is_empty() {
            continue;
        }
        let Some(url) = mirror.urls.first() else {
            return Err(Failure::spec("a mirror has no address")
                .hint("Fill in `urls:` of the mirror in bootwright.yaml."));
        };
        let (url, keyring) = (url.trim_end_matches('/'), outside::keyring(mirror)?);
        check_word(url)?;
        let keys = keys::write(&keyring, &keys_folder, i)?;
        for index in indexes {
            check_word(&index)?;
            found.push(Repository {
                url: format!("{url}/{index}"),
                index,
                keyring: Digest::of(&keyring),
                keys: keys.armoured.clone(),
                binary: keys.binary.clone(),
                unsigned: mirror.unsigned_indexes,
            });
        }
    }
    if found.is_empty() {
        return Err(Failure::spec(format!("no mirror serves {suite}"))
            .hint("Add the suite to `suites:` of a mirror in bootwright.yaml, or write {suite} there."));
    }
    Ok(found)
}

/// A word of a repository's definition must stay one word, and no variable.
fn check_word(word: &str) -> Result<()> {
    let fine =
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && !b"#\"'\\[]${}<>,;".contains(&b));
    if fine {
        Ok(())
    } else {
        Err(Failure::spec(format!(
            "mirror setting {word:?} has a character that package managers cannot take"
        ))
        .hint("Write addresses, suites and components without spaces, quotes, brackets and dollar signs."))
    }
}

/// A repository's packages, and its place among the indexes.
struct List {
    index: String,
    packages: HashMap<Chosen, Listed>,
}

/// Reads what the solver fetched. That it is signed by a key of its own mirror is checked once
/// more: a solver may take all keys for those of all mirrors.
fn read_indexes(asking: &Asking<'_>, solver: &dyn Solver) -> Result<(Vec<LockedIndex>, Vec<List>)> {
    let (mut indexes, mut lists) = (Vec::new(), Vec::new());
    for (i, repository) in asking.repositories.iter().enumerate() {
        let missing = || {
            Failure::offline(format!("the package index {} is not in the cache", repository.index)).hint(
                "Run `bootwright lock` or `bootwright reconcile` once with network: the indexes stay in the cache.",
            )
        };
        let folder = solver.metadata(asking, i)?.ok_or_else(missing)?;
        let path = folder.join("repodata/repomd.xml");
        let text = std::fs::read_to_string(&path).map_err(|_| missing())?;
        if !repository.unsigned {
            check_signature(asking, repository, &path)?;
        }
        let head = metadata::head(&text).map_err(|f| f.on(&repository.index))?;
        let list = folder.join(&head.primary);
        if digest_file(&list).map_err(|_| missing())?.0 != head.digest {
            return Err(refresh_failure(true).details(format!("{} has other bytes", head.primary)));
        }
        let bytes = std::fs::read(&list).during(|| format!("reading {}", list.display()))?;
        let unpacked = outside::unpack(&bytes, &head.primary)?;
        let packages = metadata::primary(&unpacked[..]).map_err(|f| f.on(&repository.index))?;
        indexes.push(LockedIndex {
            suite: repository.index.clone(),
            date: head.date,
            digest: Digest::of(&text),
            keyring: repository.keyring,
        });
        lists.push(List { index: repository.index.clone(), packages });
    }
    Ok((indexes, lists))
}

fn check_signature(asking: &Asking<'_>, repository: &Repository, signed: &Path) -> Result<()> {
    let mut signature = signed.as_os_str().to_owned();
    signature.push(".asc");
    let output = Process::new("gpgv")
        .arg("--keyring")
        .arg(asking.folder.join("keys").join(&repository.binary))
        .arg(signature)
        .arg(signed)
        .run(asking.cancel)?;
    if output.status.success() {
        return Ok(());
    }
    Err(refresh_failure(true).details(format!("{}: {}", repository.index, output.tail())))
}

fn locked(chosen: &Chosen, layer: &str, lists: &[List]) -> Result<LockedPackage> {
    let found = lists.iter().find_map(|list| Some((list, list.packages.get(chosen)?)));
    let name = &chosen.name;
    let (list, listed) = found.ok_or_else(|| {
        Failure::upstream(format!("{name} {} is chosen and listed in no index", chosen.version))
    })?;
    let bad =
        |what: &str| Failure::upstream(format!("the index {} has no usable {what} for {name}", list.index));
    if listed.size == 0 {
        return Err(bad("size"));
    }
    Ok(LockedPackage {
        name: name.parse().map_err(|e| Failure::untrusted(format!("the index has a bad name: {e}")))?,
        version: chosen.version.clone(),
        architecture: chosen.architecture.clone(),
        sha256: listed.sha256.ok_or_else(|| bad("SHA-256"))?,
        size: listed.size,
        path: below_mirror(&format!("{}/{}", list.index, below_mirror(&listed.path)?))?,
        suite: list.index.clone(),
        layer: layer.to_owned(),
        wave: 0,
    })
}

/// The indexes cannot be had, or are not what their mirror's keyring vouches for.
pub(super) fn refresh_failure(untrusted: bool) -> Failure {
    if untrusted {
        Failure::untrusted("a package index is not signed by a key of the mirror's keyring, or was changed")
            .hint("Check `urls:` and `keyring:` of the mirror in bootwright.yaml, and this host's clock.")
    } else {
        Failure::upstream("the package indexes cannot be had").hint(
            "Check `urls:`, `suites:` and `components:` of the mirrors in bootwright.yaml, and the network.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(path: &str, size: u64) -> (Chosen, Vec<List>) {
        let chosen =
            Chosen { name: "hello".to_owned(), version: "1-1".to_owned(), architecture: "x86_64".to_owned() };
        let listed = Listed { sha256: Some(Digest::of("x")), size, path: path.to_owned() };
        let packages = HashMap::from([(chosen.clone(), listed)]);
        (chosen, vec![List { index: "updates/41/x86_64".to_owned(), packages }])
    }

    #[test]
    fn a_package_lies_below_its_repository() {
        let (chosen, lists) = lists("h/hello-1-1.x86_64.rpm", 7);
        let found = locked(&chosen, "base", &lists).unwrap();
        assert_eq!(found.path, "updates/41/x86_64/h/hello-1-1.x86_64.rpm");
        assert_eq!(found.suite, "updates/41/x86_64");
    }

    #[test]
    fn a_package_elsewhere_is_refused() {
        for (path, size) in [("../hello.rpm", 7), ("/hello.rpm", 7), ("", 7), ("hello.rpm", 0)] {
            let (chosen, lists) = lists(path, size);
            assert!(locked(&chosen, "base", &lists).is_err(), "{path:?} {size}");
        }
        let (chosen, _) = lists("hello.rpm", 7);
        assert!(locked(&chosen, "base", &[]).is_err());
    }

    #[test]
    fn words_stay_words() {
        assert!(check_word("https://m.example/pub/fedora/linux").is_ok());
        for bad in ["", "a b", "a\nb", "$releasever", "a,b", "{suite}", "<a>"] {
            assert!(check_word(bad).is_err(), "{bad:?}");
        }
    }
}
