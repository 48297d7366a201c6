//! The lock of a Void image: xbps itself resolves, without network, with indexes that were
//! fetched before.
//!
//! Void's format signs packages, not indexes; the index names the key that signs. What was
//! chosen is fetched, and every package's signature checked.

use super::keys::Keys;
use super::xbps;
use crate::build::managers::fetched::{self, Repository, Wanted};
use crate::build::managers::{BOOT_FILES, Question, outside, refusals};
use crate::effects::files::{remove_tree, write_atomic};
use crate::effects::{Output, Point, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::{LayerRequest, LockedIndex, LockedPackage};
use crate::model::plist::Value;
use crate::model::{Digest, Failure, Lock, Result};
use chrono::DateTime;
use std::path::PathBuf;

/// Where xbps sees the indexes.
const REPOSITORIES: &str = "/run/repositories";

/// A package that xbps chose.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    name: String,
    version: String,
    repository: usize,
}

/// Resolves a request against the mirrors.
pub(super) fn lock(question: &Question<'_>) -> Result<Lock> {
    let Question { image, request, events, cancel, .. } = *question;
    outside::need("xbps-install")?;
    let task = Task::start(events, format!("lock {image}"));
    let asked = Asked::prepare(question)?;
    point(Point::IndexesFetched)?;
    let mut chosen: Vec<(Chosen, &str)> = Vec::new();
    for layer in &request.layers {
        cancel.check()?;
        let fresh = asked.layer(layer, &chosen)?;
        chosen.extend(fresh.into_iter().map(|one| (one, layer.name.as_str())));
    }
    let mut wanted = Vec::new();
    for (one, _) in &chosen {
        let listed = asked.listed(one)?;
        let url = format!("{}/{}", asked.repositories[one.repository].url, listed.file);
        wanted.push(Wanted { url, size: listed.size, digest: listed.sha256.to_string() });
    }
    let digests = fetched::packages(question, &wanted, |i, path| {
        let (one, _) = &chosen[i];
        let keys = &asked.keys[asked.repositories[one.repository].mirror];
        let bytes = std::fs::read(path).during(|| format!("reading {}", path.display()))?;
        if Digest::of(&bytes).to_string() != wanted[i].digest {
            return Err(fetched::wrong_bytes(&one.name));
        }
        let signature = fetched::index_if_there(question, &format!("{}.sig2", wanted[i].url))?;
        let signed = signature.is_some_and(|signature| keys.signed(&bytes, &signature));
        if signed { Ok(()) } else { Err(untrusted_package(&one.name)) }
    })?;
    let (mut packages, mut newest) = (Vec::new(), 0);
    for ((one, layer), digest) in chosen.iter().zip(digests) {
        let listed = asked.listed(one)?;
        newest = newest.max(super::newest_file(&question.cache.package(&digest))?);
        let Repository { folder, suite, .. } = &asked.repositories[one.repository];
        packages.push(LockedPackage {
            name: one
                .name
                .parse()
                .map_err(|e| Failure::untrusted(format!("the index has a bad name: {e}")))?,
            version: one.version.clone(),
            architecture: listed.architecture,
            sha256: digest,
            size: listed.size,
            path: outside::below_mirror(&format!("{folder}/{}", listed.file))?,
            suite: suite.clone(),
            layer: (*layer).to_owned(),
            wave: 0,
        });
    }
    task.finish(format!("{} packages", packages.len()));
    Ok(Lock::new(image, request, asked.indexes(newest)?, packages))
}

/// What an index says of a package's file.
struct Listed {
    file: String,
    sha256: Digest,
    size: u64,
    architecture: String,
}

struct Asked<'a> {
    question: &'a Question<'a>,
    sandbox: Sandbox,
    repositories: Vec<Repository>,
    /// The keys of each mirror.
    keys: Vec<Keys>,
    /// The index of each repository: its bytes, and the packages.
    lists: Vec<(Vec<u8>, Value)>,
}

impl<'a> Asked<'a> {
    fn prepare(question: &'a Question<'a>) -> Result<Self> {
        let (sandbox, state) = outside::resolving(question)?;
        let own = state.join("xbps");
        remove_tree(&own)?;
        let repositories = fetched::repositories(question, str::to_owned)?;
        let keys: Vec<_> =
            question.mirrors.iter().map(|mirror| Keys::read(&mirror.keyring)).collect::<Result<_>>()?;
        let name = format!("{}-repodata", question.request.architecture.as_str());
        let mut lists = Vec::new();
        for (i, repository) in repositories.iter().enumerate() {
            let url = format!("{}/{name}", repository.url);
            let bytes = fetched::index(question, &url).map_err(fetched::no_index)?;
            let folder: PathBuf = own.join("repositories").join(i.to_string());
            std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
            write_atomic(&folder.join(&name), &bytes, 0o644)?;
            let keys: &Keys = &keys[repository.mirror];
            let signed = match fetched::index_if_there(question, &format!("{url}.sig2"))? {
                Some(signature) => keys.signed(&bytes, &signature),
                None => question.mirrors[repository.mirror].unsigned_indexes,
            };
            let (list, key) = super::repodata(&bytes, &repository.folder)?;
            if !signed || !key.is_some_and(|key| keys.has(&key)) {
                return Err(fetched::untrusted_index().on(&repository.folder));
            }
            lists.push((bytes, list));
        }
        let sandbox = sandbox.bind(own.join("repositories"), REPOSITORIES);
        Ok(Self { question, sandbox, repositories, keys, lists })
    }

    fn indexes(&self, newest: i64) -> Result<Vec<LockedIndex>> {
        let date = DateTime::from_timestamp(newest, 0)
            .ok_or_else(|| Failure::upstream("the packages' files have no usable dates"))?;
        let mut indexes = Vec::new();
        for (repository, (bytes, _)) in self.repositories.iter().zip(&self.lists) {
            fetched::locked(&mut indexes, repository, date, bytes, || {
                Ok(self.keys[repository.mirror].digest())
            })?;
        }
        Ok(indexes)
    }

    fn listed(&self, one: &Chosen) -> Result<Listed> {
        let bad = |what: &str| Failure::upstream(format!("the index has no usable {what} for {}", one.name));
        let entry = self.lists[one.repository].1.get(&one.name).ok_or_else(|| bad("entry"))?;
        let full = format!("{}-{}", one.name, one.version);
        let architecture = entry.text("architecture").ok_or_else(|| bad("architecture"))?.to_owned();
        let file = outside::below_mirror(&format!("{full}.{architecture}.xbps"))?;
        if entry.text("pkgver") != Some(&full) || file.contains('/') {
            return Err(bad("pkgver"));
        }
        Ok(Listed {
            file,
            sha256: entry
                .text("filename-sha256")
                .and_then(|d| d.parse().ok())
                .ok_or_else(|| bad("filename-sha256"))?,
            size: entry
                .text("filename-size")
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| bad("filename-size"))?,
            architecture,
        })
    }

    /// Resolves one layer over what lower layers have got, in exactly those versions.
    fn layer(&self, layer: &LayerRequest, below: &[(Chosen, &str)]) -> Result<Vec<Chosen>> {
        if layer.packages.is_empty() {
            return Ok(Vec::new());
        }
        let mut process =
            xbps(&self.sandbox, "xbps-install", self.question.request.architecture)?.args(["-n", "-y"]);
        for i in 0..self.repositories.len() {
            process = process.arg(format!("--repository={REPOSITORIES}/{i}"));
        }
        let pinned = below.iter().map(|(one, _)| format!("{}-{}", one.name, one.version));
        let names = layer.packages.iter().map(|name| name.as_str());
        let output = process.args(pinned).args(names).run(self.question.cancel)?;
        if !output.status.success() {
            return Err(classify(&output, &layer.name));
        }
        let alone = layer.name == BOOT_FILES;
        let is_asked = |one: &Chosen| layer.packages.iter().any(|name| name.as_str() == one.name);
        let fresh = self
            .steps(&output.text())?
            .into_iter()
            .filter(|one| !below.iter().any(|(there, _)| there == one) && (!alone || is_asked(one)));
        Ok(fresh.collect())
    }

    /// The lines `hello-1_1 install x86_64 /run/repositories/0 3 578`.
    fn steps(&self, text: &str) -> Result<Vec<Chosen>> {
        let mut found = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [full, "install", _, place, ..] = fields[..] else { continue };
            let lost = || Failure::bug(format!("xbps chose {full}, which no index has"));
            let repository =
                place.rsplit('/').next().and_then(|n| n.parse::<usize>().ok()).ok_or_else(lost)?;
            let (name, version) = full.rsplit_once('-').ok_or_else(lost)?;
            found.push(Chosen { name: name.to_owned(), version: version.to_owned(), repository });
        }
        Ok(found)
    }
}

fn untrusted_package(name: &str) -> Failure {
    Failure::untrusted(format!(
        "the package {name} is not signed by a key of the mirror's keyring, or was changed"
    ))
    .hint("Check `keyring:` of the mirror in bootwright.yaml; tell who runs the repository.")
}

fn classify(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = refusals::words(output);
    if let Some(rest) =
        said.split("Package '").nth(1).filter(|rest| rest.contains("not found in repository pool"))
    {
        let name = rest.split('\'').next().unwrap_or_default();
        return refusals::unavailable(name, layer);
    }
    if ["MISSING:", "CONFLICT:", "conflicting packages", "unresolved"]
        .iter()
        .any(|words| said.contains(words))
    {
        return refusals::conflict(layer).details(said);
    }
    Failure::bug(format!("xbps could not resolve layer {layer}")).details(output.tail())
}
