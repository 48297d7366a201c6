//! Files that are fetched for a package manager: indexes, and packages before they are locked.
//!
//! apk and emerge are asked without network: what they resolve with lies in a folder, was
//! checked here, and is the same with and without network. An index may know its packages by
//! weaker digests than SHA-256: then a file is fetched when it is locked, and checked against
//! what the index says.

use super::{Question, outside, rpm};
use crate::effects::fetch;
use crate::effects::files::{digest_file, parent, read_if_exists, remove_tree, write_atomic};
use crate::effects::{Process, Task};
use crate::model::event::Unit;
use crate::model::failure::IoContext;
use crate::model::lock::LockedIndex;
use crate::model::settings::{Mirror, fill_in};
use crate::model::{Digest, ErrorCode, Failure, Result};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An address that sends nothing for so long is left.
const IDLE: Duration = Duration::from_secs(30);
/// No packed index is larger.
const INDEX_LIMIT: u64 = 256 << 20;
/// Files at once.
const PARALLEL: usize = 4;
/// The digests of packages that were checked before, by what their index says of them.
const KNOWN: &str = "known.json";

/// One repository of a mirror.
pub(super) struct Repository {
    /// Its path below the mirror.
    pub folder: String,
    /// Its address.
    pub url: String,
    /// The mirror's label in locks.
    pub suite: String,
    /// Which mirror it is of.
    pub mirror: usize,
}

/// The repositories of all mirrors, in the order of the settings. `name_suite` says how the
/// distribution's folders name a suite.
///
/// # Errors
/// Class *spec* if a setting cannot be used.
pub(super) fn repositories(
    question: &Question<'_>,
    name_suite: impl Fn(&str) -> String,
) -> Result<Vec<Repository>> {
    let request = question.request;
    let mut found = Vec::new();
    for (mirror, settings) in question.mirrors.iter().enumerate() {
        let suite = outside::suite(settings, request.suite.as_str())?;
        let url = settings.urls.first().ok_or_else(|| {
            Failure::spec("a mirror has no address").hint("Fill in `urls:` of the mirror in bootwright.yaml.")
        })?;
        for component in &settings.components {
            let path = fill_in(component, &name_suite(&suite), request.architecture);
            let folder = outside::below_mirror(path.trim_matches('/')).map_err(|_| {
                Failure::spec(format!("{component:?} is no path below a mirror"))
                    .hint("Write `components:` of the mirror as paths below its address.")
            })?;
            let url = format!("{}/{folder}", url.trim_end_matches('/'));
            found.push(Repository { folder, url, suite: suite.clone(), mirror });
        }
    }
    Ok(found)
}

/// Takes an index down for the lock; those of one suite are one entry, as old as its youngest.
///
/// # Errors
/// If the keyring cannot be read.
pub(super) fn locked(
    indexes: &mut Vec<LockedIndex>,
    repository: &Repository,
    date: DateTime<Utc>,
    bytes: &[u8],
    keyring: impl FnOnce() -> Result<Digest>,
) -> Result<()> {
    let digest = Digest::of(bytes);
    match indexes.iter_mut().find(|index| index.suite == repository.suite) {
        Some(known) => {
            known.digest = Digest::of_json(&(known.digest, digest));
            known.date = known.date.max(date);
        }
        None => {
            indexes.push(LockedIndex { suite: repository.suite.clone(), date, digest, keyring: keyring()? });
        }
    }
    Ok(())
}

/// Where an index stays for calls without network.
fn kept(question: &Question<'_>, url: &str) -> PathBuf {
    question.state.join("indexes").join(Digest::of(url).hex())
}

/// An index: from its address, or without network as it was last fetched.
///
/// # Errors
/// Class *upstream* if it is not there or cannot be had.
pub(super) fn index(question: &Question<'_>, url: &str) -> Result<Vec<u8>> {
    let kept = kept(question, url);
    if question.offline && !url.starts_with("file://") {
        return read_if_exists(&kept, INDEX_LIMIT)?.ok_or_else(|| {
            Failure::offline("a package index is not in the cache").hint(
                "Run `bootwright lock` or `bootwright reconcile` once with network: the indexes stay in the cache.",
            )
        });
    }
    let name = url.rsplit('/').next().unwrap_or_default();
    let bytes = question
        .runtime
        .block_on(fetch::small(question.client, url, INDEX_LIMIT, IDLE))
        .map_err(|failure| failure.on(name))?;
    let folder = parent(&kept);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    write_atomic(&kept, &bytes, 0o644)?;
    Ok(bytes)
}

/// The same, for a file that may be missing.
///
/// # Errors
/// As [`index`].
pub(super) fn index_if_there(question: &Question<'_>, url: &str) -> Result<Option<Vec<u8>>> {
    let kept = kept(question, url);
    if question.offline && !url.starts_with("file://") && !kept.exists() {
        return Ok(None);
    }
    match index(question, url) {
        Err(failure) if failure.code == ErrorCode::PackageUnavailable => {
            remove_tree(&kept)?;
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// The indexes cannot be had.
pub(super) fn no_index(failure: Failure) -> Failure {
    if failure.hint.is_some() || failure.code == ErrorCode::Untrusted {
        return failure;
    }
    failure.hint(
        "Check `urls:`, `suites:` and `components:` of the mirrors in bootwright.yaml, and the network.",
    )
}

/// An index that is not vouched for.
pub(super) fn untrusted_index() -> Failure {
    rpm::untrusted_index()
}

/// Checks a detached OpenPGP signature of an index by a mirror's keyring.
///
/// # Errors
/// *Untrusted* if it is not by one of its keys, or there is none and the mirror's indexes must
/// be signed.
pub(super) fn check_openpgp(
    question: &Question<'_>,
    mirror: &Mirror,
    index: &[u8],
    signature: Option<&[u8]>,
) -> Result<()> {
    let Some(signature) = signature else {
        return if mirror.unsigned_indexes { Ok(()) } else { Err(untrusted_index()) };
    };
    let folder = question.state.join("signed");
    let keys = rpm::keys::write(&outside::keyring(mirror)?, &folder, 0)?;
    let (signed, beside) = (folder.join("index"), folder.join("index.asc"));
    write_atomic(&signed, index, 0o644)?;
    write_atomic(&beside, signature, 0o644)?;
    let gpgv = Process::new("gpgv").arg("--keyring").arg(folder.join(keys.binary)).arg(beside).arg(signed);
    let output = gpgv.run(question.cancel)?;
    if output.status.success() { Ok(()) } else { Err(untrusted_index().details(output.tail())) }
}

/// A package that is to be locked.
pub(super) struct Wanted {
    /// Its address.
    pub url: String,
    /// Its size, as its index says.
    pub size: u64,
    /// What the index says of its bytes.
    pub digest: String,
}

/// Brings packages into the cache and gives their digests, in their order. `check` says whether
/// a fetched file, seen at a path, is the one that its index means.
///
/// # Errors
/// Class *upstream* if one cannot be had, and what `check` says.
pub(super) fn packages(
    question: &Question<'_>,
    wanted: &[Wanted],
    check: impl Fn(usize, &Path) -> Result<()>,
) -> Result<Vec<Digest>> {
    let Question { cache, state, events, cancel, offline, .. } = *question;
    let known_file = state.join(KNOWN);
    let mut known: BTreeMap<String, Digest> = read_if_exists(&known_file, 64 << 20)?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let key = |w: &Wanted| format!("{} {} {}", w.url, w.size, w.digest);
    let here = |w: &Wanted, known: &BTreeMap<String, Digest>| {
        let digest = *known.get(&key(w))?;
        let found = digest_file(&cache.package(&digest)).ok()?;
        (found == (digest, w.size)).then_some(digest)
    };
    let missing: Vec<usize> = (0..wanted.len()).filter(|i| here(&wanted[*i], &known).is_none()).collect();
    if offline && missing.iter().any(|i| !wanted[*i].url.starts_with("file://")) {
        return Err(Failure::offline("packages whose signatures are not checked yet are not in the cache"));
    }
    let folder = state.join("files");
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    let at = |i: usize| -> PathBuf { folder.join(i.to_string()) };
    if !missing.is_empty() {
        let total = missing.iter().map(|i| wanted[*i].size).sum();
        let task = Task::with_total(events, "fetch packages", Some(total), Unit::Bytes);
        let one = |i: usize| {
            let (w, to, task) = (&wanted[i], at(i), &task);
            async move {
                cancel.check()?;
                let name = w.url.rsplit('/').next().unwrap_or_default();
                let got = fetch::unknown(question.client, &w.url, w.size, IDLE, &to).await;
                let (digest, size) = got.map_err(|failure| failure.on(name))?;
                if size != w.size {
                    return Err(wrong_bytes(name));
                }
                task.advance(size);
                Ok((i, digest))
            }
        };
        let fetched = futures_util::stream::iter(missing.iter().map(|i| one(*i))).buffer_unordered(PARALLEL);
        let digests: Vec<(usize, Digest)> = question.runtime.block_on(fetched.try_collect())?;
        for (i, digest) in digests {
            check(i, &at(i))?;
            let kept = cache.package(&digest);
            let packages = parent(&kept);
            std::fs::create_dir_all(packages).during(|| format!("making {}", packages.display()))?;
            std::fs::rename(at(i), &kept).during(|| format!("keeping {}", kept.display()))?;
            known.insert(key(&wanted[i]), digest);
        }
        let json = serde_json::to_vec(&known).map_err(|e| Failure::bug(e.to_string()))?;
        write_atomic(&known_file, &json, 0o644)?;
        task.finish(format!("{} packages", missing.len()));
    }
    let lost = || Failure::bug("a package that was fetched is not in the cache");
    wanted.iter().map(|w| known.get(&key(w)).copied().ok_or_else(lost)).collect()
}

/// A package is not the file that its index means.
pub(super) fn wrong_bytes(name: &str) -> Failure {
    Failure::untrusted(format!("{name} is not what its index says: it was changed, or replaced"))
        .hint("Ask another mirror, and tell who runs this one.")
}
