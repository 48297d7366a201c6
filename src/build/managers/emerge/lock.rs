//! The lock of a Gentoo image: emerge itself resolves, without network, with an index that was
//! fetched and checked before.
//!
//! Layers are resolved one after the other in a root whose database says that the layers below
//! are installed. Then what was chosen is fetched: the index knows SHA-1 only.

use super::binhost::{self, Package};
use super::portage::{self, HOME};
use crate::build::managers::fetched::{self, Repository, Wanted};
use crate::build::managers::{BOOT_FILES, Question, outside, pacman, refusals};
use crate::effects::files::{remove_tree, write_atomic};
use crate::effects::{Output, Point, Sandbox, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::{LayerRequest, LockedIndex};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Lock, Result};
use chrono::DateTime;
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A package, and the repository that has it.
struct Offer {
    package: Package,
    repository: usize,
}

/// Resolves a request against the mirrors.
pub(super) fn lock(question: &Question<'_>) -> Result<Lock> {
    let Question { image, request, events, .. } = *question;
    outside::need("emerge")?;
    let task = Task::start(events, format!("lock {image}"));
    let repositories = fetched::repositories(question, str::to_owned)?;
    let (indexes, offers) = read_indexes(question, &repositories)?;
    point(Point::IndexesFetched)?;
    let asked = Asked::prepare(question, &offers)?;
    let mut chosen: Vec<(&Offer, &str)> = Vec::new();
    for layer in &request.layers {
        question.cancel.check()?;
        for key in asked.layer(layer, &offers, &chosen)? {
            chosen.push((&offers[&key], layer.name.as_str()));
        }
    }
    let mut wanted = Vec::new();
    for (offer, _) in &chosen {
        let (size, digest, path) = offer.package.bytes()?;
        wanted.push(Wanted { url: format!("{}/{path}", repositories[offer.repository].url), size, digest });
    }
    let digests = fetched::packages(question, &wanted, |i, path| {
        if sha1_of(path)?.eq_ignore_ascii_case(&wanted[i].digest) {
            return Ok(());
        }
        Err(fetched::wrong_bytes(&chosen[i].0.package.shown()))
    })?;
    let mut packages = Vec::new();
    for ((offer, layer), digest) in chosen.iter().zip(digests) {
        let Repository { folder, suite, .. } = &repositories[offer.repository];
        packages.push(offer.package.locked((folder, suite, layer), request.architecture, digest)?);
    }
    task.finish(format!("{} packages", packages.len()));
    Ok(Lock::new(image, request, indexes, packages))
}

fn sha1_of(path: &Path) -> Result<String> {
    let during = || format!("reading {}", path.display());
    let mut file = std::fs::File::open(path).during(during)?;
    let (mut hash, mut part) = (Sha1::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut part).during(during)? {
            0 => break,
            read => hash.update(&part[..read]),
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Fetches the indexes and checks them. Of what two repositories have, the first one's counts.
fn read_indexes(
    question: &Question<'_>,
    repositories: &[Repository],
) -> Result<(Vec<LockedIndex>, BTreeMap<String, Offer>)> {
    let mut indexes: Vec<LockedIndex> = Vec::new();
    let mut offers = BTreeMap::new();
    for (i, repository) in repositories.iter().enumerate() {
        let mirror = question.mirrors[repository.mirror];
        let url = format!("{}/Packages", repository.url);
        let bytes = fetched::index(question, &url).map_err(fetched::no_index)?;
        let signature = fetched::index_if_there(question, &format!("{url}.asc"))?;
        fetched::check_openpgp(question, mirror, &bytes, signature.as_deref())
            .map_err(|failure| failure.on(&repository.folder))?;
        let index = binhost::parse(&String::from_utf8_lossy(&bytes))?;
        for package in index.packages {
            offers.entry(package.shown()).or_insert(Offer { package, repository: i });
        }
        let date = DateTime::from_timestamp(index.timestamp, 0)
            .ok_or_else(|| Failure::upstream("an index has no usable TIMESTAMP"))?;
        let keyring = || Ok(Digest::of(&outside::keyring(mirror)?));
        fetched::locked(&mut indexes, repository, date, &bytes, keyring)?;
    }
    Ok((indexes, offers))
}

struct Asked<'a> {
    question: &'a Question<'a>,
    sandbox: Sandbox,
    folder: PathBuf,
}

impl<'a> Asked<'a> {
    fn prepare(question: &'a Question<'a>, offers: &BTreeMap<String, Offer>) -> Result<Self> {
        let (sandbox, state) = outside::resolving(question)?;
        let folder = state.join("portage");
        remove_tree(&folder)?;
        let categories = offers.values().map(|o| o.package.category()).collect();
        let binhost = format!("{HOME}/binhost");
        portage::configure(&folder, question.request.architecture, &categories, Some(&binhost))?;
        let mut text = format!("PACKAGES: {}\nTIMESTAMP: 1\nVERSION: 0\n\n", offers.len());
        for offer in offers.values() {
            text.push_str(&offer.package.told());
            text.push('\n');
        }
        let binhost = folder.join("binhost");
        std::fs::create_dir(&binhost).during(|| format!("making {}", binhost.display()))?;
        write_atomic(&binhost.join("Packages"), text.as_bytes(), 0o644)?;
        let mut keyrings = Vec::new();
        for mirror in question.mirrors {
            keyrings.extend(outside::keyring(mirror)?);
        }
        pacman::keys::make(
            &folder.join("keys"),
            &sandbox,
            &keyrings,
            &pacman::keys::Beside::default(),
            question.cancel,
        )?;
        Ok(Self { question, sandbox, folder })
    }

    /// Resolves one layer; what it brings counts as installed from then on.
    fn layer(
        &self,
        layer: &LayerRequest,
        offers: &BTreeMap<String, Offer>,
        below: &[(&Offer, &str)],
    ) -> Result<Vec<String>> {
        if layer.packages.is_empty() {
            return Ok(Vec::new());
        }
        let alone = layer.name == BOOT_FILES;
        let mut emerge = portage::emerge(&self.sandbox, &self.folder)?.args(OPTIONS);
        if alone {
            emerge = emerge.arg("--nodeps");
        }
        let names = layer.packages.iter().map(|name| name.as_str());
        let output = emerge.args(["--noreplace", "--"]).args(names).run(self.question.cancel)?;
        let lines = output.text();
        let steps = steps(&lines);
        if !output.status.success() || steps.iter().any(|(kind, _)| *kind == Kind::Other) {
            return Err(classify(&output, &layer.name));
        }
        let mut chosen = Vec::new();
        let taken: BTreeSet<(&str, &str)> = below.iter().map(|(offer, _)| offer.package.slot()).collect();
        for (_, shown) in steps {
            let offer = offers
                .get(shown)
                .ok_or_else(|| Failure::bug(format!("emerge chose {shown}, which no index has")))?;
            if !alone && taken.contains(&offer.package.slot()) {
                return Err(refusals::conflict(&layer.name)
                    .details(format!("{shown} would take the place of a lower layer's package")));
            }
            if !alone {
                self.count_as_installed(&offer.package)?;
            }
            chosen.push(shown.to_owned());
        }
        Ok(chosen)
    }

    fn count_as_installed(&self, package: &Package) -> Result<()> {
        let folder = self.sandbox.upper().join("var/db/pkg").join(outside::below_mirror(&package.folder())?);
        std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        for (name, text) in package.as_installed() {
            let path = folder.join(name);
            std::fs::write(&path, text).during(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

/// Binary packages only, taken as they were built; what only building needs is not asked for.
const OPTIONS: [&str; 9] = [
    "--pretend",
    "--getbinpkgonly",
    "--usepkgonly",
    "--binpkg-respect-use=n",
    "--with-bdeps=n",
    "--root-deps=rdeps",
    "--ignore-built-slot-operator-deps=y",
    "--autounmask=n",
    "--deep=0",
];

/// What emerge would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Install a package that is not there.
    New,
    /// Anything else: exchange, remove, block.
    Other,
}

/// The lines of `emerge --pretend`: `[binary  N     ] app-misc/hello-1-3::gentoo for /run/root/`.
fn steps(text: &str) -> Vec<(Kind, &str)> {
    let step = |line: &'_ str| -> Option<(Kind, (usize, usize))> {
        let (what, rest) = line.strip_prefix('[')?.split_once(']')?;
        let kind = match what.strip_prefix("binary").map(str::trim) {
            Some(flags) if flags.starts_with('N') => Kind::New,
            Some(_) => Kind::Other,
            None if what.starts_with("blocks") || what.starts_with("uninstall") => Kind::Other,
            None => return None,
        };
        let word = rest.split_whitespace().next()?.split("::").next()?;
        let start = word.as_ptr() as usize - line.as_ptr() as usize;
        Some((kind, (start, start + word.len())))
    };
    text.lines().filter_map(|line| step(line).map(|(kind, (from, to))| (kind, &line[from..to]))).collect()
}

/// What emerge 3.0 says of a package that no binary host has.
const NO_BINARY: &str = "there are no binary packages to satisfy";

fn classify(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = refusals::words(output);
    if let Some(rest) = said.split(NO_BINARY).nth(1) {
        let name = rest.split('"').nth(1).unwrap_or("of it").to_owned();
        let who = rest.lines().find_map(|l| l.trim().strip_prefix("(dependency required by "));
        let who = who.and_then(|l| l.split('"').nth(1)).map(|by| format!(", which {by} needs"));
        return Failure::new(
            ErrorCode::PackageUnavailable,
            FailureClass::Spec,
            format!(
                "package {name} of layer {layer}{} is not in the configured repositories: no mirror has a \
                binary package of it, and nothing is compiled",
                who.unwrap_or_default()
            ),
        )
        .hint("Check the spelling and the mirrors' `components:`, or put a binary package of it onto a mirror of your own.");
    }
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let details = lines[..lines.len().min(40)].join("\n");
    if ["[blocks", "cannot be installed at the same", "slot conflict", "Multiple package instances", "masked"]
        .iter()
        .any(|words| said.contains(words))
        || steps(&output.text()).iter().any(|(kind, _)| *kind == Kind::Other)
    {
        return refusals::conflict(layer).details(details);
    }
    Failure::bug(format!("emerge could not resolve layer {layer}")).details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_emerge_prints() {
        // `emerge --pretend --getbinpkgonly --usepkgonly`, portage 3.0.83.
        let text = "\nThese are the packages that would be merged, in order:\n\n\
            [binary  N     ] sys-apps/busybox-1.35-1::gentoo for /run/root/ \n\
            [binary  NS    ] dev-lang/python-3.12-2:3.12::gentoo [3.11:3.11] \n\
            [binary     U  ] app-misc/old-2 [1]\n[blocks B      ] app-misc/rival\n[ebuild  N     ] a/b-1\n";
        let found = steps(text);
        assert_eq!(found[0], (Kind::New, "sys-apps/busybox-1.35-1"));
        assert_eq!(found.iter().filter(|(kind, _)| *kind == Kind::Other).count(), 2);
    }
}
