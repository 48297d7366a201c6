//! The lock of an Alpine image: apk itself resolves, without network, with indexes that were
//! fetched before and whose signatures it checks.

use super::database::{self, Package};
use super::{KEYS, apk, keys};
use crate::build::managers::fetched::{self, Repository, Wanted};
use crate::build::managers::{BOOT_FILES, Question, outside, refusals};
use crate::effects::files::{remove_tree, write_atomic};
use crate::effects::{Output, Point, Process, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::{LayerRequest, LockedIndex};
use crate::model::{Failure, Lock, Result};
use chrono::DateTime;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where apk sees the indexes.
const REPOSITORIES: &str = "/run/repositories";
/// Where it sees packages that were fetched.
const FILES: &str = "/run/files";

/// A package, and the repository that has it.
struct Offer {
    package: Package,
    repository: usize,
}

/// Packages by name and version.
type Offers = BTreeMap<(String, String), Offer>;

/// Resolves a request against the mirrors.
pub(super) fn lock(question: &Question<'_>) -> Result<Lock> {
    let Question { image, request, events, .. } = *question;
    outside::need("apk")?;
    let task = Task::start(events, format!("lock {image}"));
    let asked = Asked::prepare(question)?;
    point(Point::IndexesFetched)?;
    let (indexes, offers) = asked.indexes()?;
    let mut chosen: Vec<(&Offer, &str)> = Vec::new();
    for layer in &request.layers {
        question.cancel.check()?;
        chosen.extend(asked.layer(layer, &offers, &chosen)?.into_iter().map(|o| (o, layer.name.as_str())));
    }
    let mut wanted = Vec::new();
    for (offer, _) in &chosen {
        let (size, digest) = offer.package.bytes()?;
        let repository = &asked.repositories[offer.repository];
        wanted.push(Wanted { url: format!("{}/{}", repository.url, offer.package.file()?), size, digest });
    }
    let digests = fetched::packages(question, &wanted, |i, path| {
        let bytes = std::fs::read(path).during(|| format!("reading {}", path.display()))?;
        if !database::is_meant(&bytes, &wanted[i].digest) {
            return Err(fetched::wrong_bytes(chosen[i].0.package.name()));
        }
        asked.verify(chosen[i].0.package.name(), path.to_owned())
    })?;
    let mut packages = Vec::new();
    for ((offer, layer), digest) in chosen.iter().zip(digests) {
        let Repository { folder, suite, .. } = &asked.repositories[offer.repository];
        packages.push(offer.package.locked(folder, suite, layer, digest)?);
    }
    task.finish(format!("{} packages", packages.len()));
    Ok(Lock::new(image, request, indexes, packages))
}

/// How Alpine's folders name a suite: `v3.22`, `edge`.
fn folder(suite: &str) -> String {
    if suite.starts_with(|c: char| c.is_ascii_digit()) { format!("v{suite}") } else { suite.to_owned() }
}

struct Asked<'a> {
    question: &'a Question<'a>,
    sandbox: Sandbox,
    repositories: Vec<Repository>,
    /// The indexes, one for each repository.
    indexes: Vec<Vec<u8>>,
}

impl<'a> Asked<'a> {
    fn prepare(question: &'a Question<'a>) -> Result<Self> {
        let (sandbox, state) = outside::resolving(question)?;
        let own = state.join("apk");
        remove_tree(&own)?;
        let architecture = question.request.architecture.as_str();
        let mut repositories = Vec::new();
        let mut indexes = Vec::new();
        for mut repository in fetched::repositories(question, folder)? {
            let suite = folder(&repository.suite);
            // A component is `main`, below the suite, unless it names the suite itself.
            if !repository.folder.contains('/') {
                let url = repository.url.strip_suffix(&repository.folder).unwrap_or_default().to_owned();
                repository.folder = format!("{suite}/{}/{architecture}", repository.folder);
                repository.url = format!("{url}{}", repository.folder);
            }
            let url = format!("{}/APKINDEX.tar.gz", repository.url);
            let bytes = fetched::index(question, &url).map_err(fetched::no_index)?;
            let at = own.join("repositories").join(indexes.len().to_string()).join(architecture);
            std::fs::create_dir_all(&at).during(|| format!("making {}", at.display()))?;
            write_atomic(&at.join("APKINDEX.tar.gz"), &bytes, 0o644)?;
            indexes.push(bytes);
            repositories.push(repository);
        }
        for (i, mirror) in question.mirrors.iter().enumerate() {
            keys::write(&mirror.keyring, &own.join("keys"), i)?;
        }
        let files = state.join("files");
        std::fs::create_dir_all(&files).during(|| format!("making {}", files.display()))?;
        let sandbox = sandbox
            .bind(own.join("keys"), KEYS)
            .bind(own.join("repositories"), REPOSITORIES)
            .bind(files, FILES);
        apk(&sandbox, architecture)?.args(["--initdb", "add"]).check(question.cancel)?;
        Ok(Self { question, sandbox, repositories, indexes })
    }

    fn apk(&self) -> Result<Process> {
        let mut process = apk(&self.sandbox, self.question.request.architecture.as_str())?;
        for i in 0..self.repositories.len() {
            process = process.arg("--repository").arg(format!("{REPOSITORIES}/{i}"));
        }
        Ok(process)
    }

    /// The indexes, once apk has looked at their signatures. Of what two repositories have in
    /// the same version, the first one's counts.
    fn indexes(&self) -> Result<(Vec<LockedIndex>, Offers)> {
        let output = self.apk()?.args(["--simulate", "add"]).run(self.question.cancel)?;
        if output.host_trouble().is_some() {
            return Err(output.failure());
        }
        check_indexes(&output)?;
        let (mut indexes, mut offers): (Vec<LockedIndex>, Offers) = (Vec::new(), BTreeMap::new());
        for (i, (repository, bytes)) in self.repositories.iter().zip(&self.indexes).enumerate() {
            let packages = database::parse(&database::index(bytes, &repository.folder)?);
            let built = packages.iter().filter_map(|p| p.field('t')?.parse().ok()).max();
            let date = built.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            let date =
                date.ok_or_else(|| Failure::upstream(format!("{} has no dates", repository.folder)))?;
            for package in packages {
                let key = (package.name().to_owned(), package.version().to_owned());
                offers.entry(key).or_insert(Offer { package, repository: i });
            }
            let keyring = || keys::digest(&self.question.mirrors[repository.mirror].keyring);
            fetched::locked(&mut indexes, repository, date, bytes, keyring)?;
        }
        Ok((indexes, offers))
    }

    /// Resolves one layer over what lower layers have got, in exactly those versions.
    fn layer<'o>(
        &self,
        layer: &LayerRequest,
        offers: &'o Offers,
        below: &[(&Offer, &str)],
    ) -> Result<Vec<&'o Offer>> {
        if layer.packages.is_empty() {
            return Ok(Vec::new());
        }
        let there = |(offer, _): &(&Offer, &str)| {
            (offer.package.name().to_owned(), offer.package.version().to_owned())
        };
        let alone = layer.name == BOOT_FILES;
        let below: Vec<(String, String)> = below.iter().map(there).collect();
        let pinned = below.iter().map(|(name, version)| format!("{name}={version}"));
        let names = layer.packages.iter().map(|name| name.as_str());
        let output =
            self.apk()?.args(["--simulate", "add"]).args(pinned).args(names).run(self.question.cancel)?;
        let steps = steps(&output.text());
        if !output.status.success() {
            return Err(classify(&output, &layer.name));
        }
        let mut chosen = Vec::new();
        for step in steps {
            let is_asked = layer.packages.iter().any(|name| name.as_str() == step.0);
            if below.contains(&step) || (alone && !is_asked) {
                continue;
            }
            let lost = || Failure::bug(format!("apk chose {} {}, which no index has", step.0, step.1));
            chosen.push(offers.get(&step).ok_or_else(lost)?);
        }
        Ok(chosen)
    }

    /// Checks a package's own signature and digests.
    fn verify(&self, name: &str, path: PathBuf) -> Result<()> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output = self
            .sandbox
            .tool(&super::program())?
            .args(["--keys-dir", KEYS, "verify"])
            .arg(format!("{FILES}/{file}"))
            .run(self.question.cancel)?;
        if output.status.success() {
            return Ok(());
        }
        if output.host_trouble().is_some() {
            return Err(output.failure());
        }
        Err(super::refusals::untrusted().details(format!("{name}: {}", output.tail())))
    }
}

/// An index that is not vouched for is no more than a warning to apk, which then goes on
/// without it.
fn check_indexes(output: &Output) -> Result<()> {
    let said = format!("{}\n{}", output.text(), output.errors());
    let signs =
        ["UNTRUSTED", "BAD signature", "file format is invalid", "unexpected end of file", "opening "];
    match said.lines().find(|line| signs.iter().any(|sign| line.contains(sign))) {
        Some(line) => Err(fetched::untrusted_index().details(line.to_owned())),
        None => Ok(()),
    }
}

/// Name and version of the lines `(1/3) Installing busybox (1.35-r0)`.
fn steps(text: &str) -> Vec<(String, String)> {
    let step = |line: &str| {
        let (_, rest) = line.split_once(") Installing ")?;
        let (name, version) = rest.split_once(" (")?;
        Some((name.to_owned(), version.split(')').next()?.to_owned()))
    };
    text.lines().filter_map(step).collect()
}

fn classify(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = output.errors();
    let asked = |line: &str| {
        let name = line.trim().strip_suffix(" (no such package):")?.to_owned();
        Some(name)
    };
    if let Some(name) = said.lines().find_map(asked) {
        let by = said.lines().skip_while(|l| !l.contains("(no such package)")).nth(1).unwrap_or_default();
        if by.contains("world[") {
            return refusals::unavailable(&name, layer);
        }
    }
    if said.contains("unable to select packages") {
        return refusals::conflict(layer).details(said);
    }
    Failure::bug(format!("apk could not resolve layer {layer}")).details(output.tail())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_apk_prints() {
        // `apk --simulate add hello`, apk-tools 3.0.6.
        let text = "(1/2) Installing alpine-baselayout (1-r0)\n(2/2) Installing hello (1-r0)\nOK: 2028 KiB in 3 packages\n";
        let found = steps(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], ("hello".to_owned(), "1-r0".to_owned()));
    }

    #[test]
    fn suites_have_folders() {
        assert_eq!(
            (folder("3.22"), folder("v3.22"), folder("edge")),
            ("v3.22".into(), "v3.22".into(), "edge".into())
        );
    }
}
