//! The lock of a Debian-family image: apt itself resolves, against signed indexes, in a
//! private state folder.
//!
//! Nothing of the host's apt is read: configuration, sources, keys, lists and status all
//! live in our own folder (`APT_CONFIG` is read first and points every other folder
//! there). Layers are resolved one after the other, each on top of a status file that
//! says the layers below are installed, so that every package has exactly one layer.

use super::{BOOT_FILES, Question, refusals};
use crate::build::index::{Chosen, Release, Stanzas};
use crate::effects::files::{digest_file, write_atomic};
use crate::effects::{Cancel, Output, Point, Process, Task, point};
use crate::model::failure::IoContext;
use crate::model::lock::{LayerRequest, LockRequest, LockedIndex, LockedPackage};
use crate::model::name::PackageName;
use crate::model::settings::Mirror;
use crate::model::{Digest, Failure, Lock, Result};
use deb822_fast::Deb822;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The packages that make `/usr` merged without `usrmerge`'s Perl, and apt's pattern for
/// the packages that the distribution marks essential.
const ESSENTIAL: [&str; 2] = ["?essential", "usr-is-merged"];

/// apt itself gets this long for one call.
const TIME_LIMIT: Duration = Duration::from_mins(15);

/// Resolves a request against the mirrors.
///
/// # Errors
/// Class *upstream* when an index cannot be had or its signature is not by the mirror's
/// keyring; class *spec* when a package does not exist or cannot be installed.
pub(super) fn lock(question: &Question<'_>) -> Result<Lock> {
    let Question { image, request, mirrors, state, offline, events, cancel, .. } = *question;
    let task = Task::start(events, format!("lock {image}"));
    let mut apt = Apt::prepare(request, mirrors, state, cancel.clone())?;
    if offline {
        apt.use_indexes(mirrors)?;
    } else {
        apt.update(mirrors)?;
    }
    point(Point::IndexesFetched)?;
    let indexes = apt.indexes(mirrors)?;
    let stanzas = Stanzas::read(&apt.lists())?;
    let mut packages: Vec<LockedPackage> = Vec::new();
    let mut installed = String::new();
    let mut essential = BTreeSet::new();
    for layer in &request.layers {
        if installed.is_empty() && layer.name != BOOT_FILES {
            // Ubuntu 22.04 is older than the package that says so.
            let first = if request.suite.as_str() == "jammy" { &ESSENTIAL[..1] } else { &ESSENTIAL[..] };
            let found = apt.solve(first, &layer.name, &mut installed, &stanzas)?;
            essential.extend(found.iter().map(|p| p.name.clone()));
            packages.extend(apt.lock_layer(&layer.name, found, &stanzas)?);
        }
        let found = if layer.name == BOOT_FILES {
            apt.download_only(&layer.packages)?
        } else {
            let names: Vec<&str> = layer.packages.iter().map(PackageName::as_str).collect();
            apt.solve(&names, &layer.name, &mut installed, &stanzas)?
        };
        packages.extend(apt.lock_layer(&layer.name, found, &stanzas)?);
    }
    for layer in &request.layers {
        set_waves(layer, &essential, &mut packages, &stanzas);
    }
    let lock = Lock::new(image, request, indexes, packages);
    task.finish(format!("{} packages", lock.packages.len()));
    Ok(lock)
}

/// One source line: a mirror's suite.
struct Source {
    base_url: String,
    suite: String,
    keyring: Digest,
}

struct Apt {
    folder: PathBuf,
    architecture: &'static str,
    suite: String,
    sources: Vec<Source>,
    cancel: Cancel,
}

impl Apt {
    fn prepare(request: &LockRequest, mirrors: &[&Mirror], folder: &Path, cancel: Cancel) -> Result<Self> {
        for sub in ["etc/none.d", "keys", "state/lists/partial", "cache/archives/partial", "log"] {
            let path = folder.join(sub);
            std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
        }
        let folder = folder.canonicalize().during(|| format!("finding {}", folder.display()))?;
        let apt = Self {
            architecture: request.architecture.debian(),
            suite: request.suite.to_string(),
            sources: Vec::new(),
            cancel,
            folder,
        };
        write_atomic(&apt.folder.join("apt.conf"), apt.configuration().as_bytes(), 0o644)?;
        for (i, mirror) in mirrors.iter().enumerate() {
            let to = apt.folder.join(format!("keys/{i}.gpg"));
            let keyring = std::fs::read(&mirror.keyring).map_err(|e| {
                Failure::io(format!("reading the keyring {}", mirror.keyring), &e)
                    .hint("Set `keyring:` of the mirror in bootwright.yaml to the keys you trust.")
            })?;
            write_atomic(&to, &keyring, 0o644)?;
        }
        Ok(apt)
    }

    fn configuration(&self) -> String {
        let root = self.folder.display();
        let architecture = self.architecture;
        format!(
            r#"Dir "{root}/";
Dir::Etc "{root}/etc";
Dir::Etc::main "none.conf";
Dir::Etc::parts "none.d";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "none.d";
Dir::Etc::trusted "none.gpg";
Dir::Etc::trustedparts "none.d";
Dir::Etc::preferences "none";
Dir::Etc::preferencesparts "none.d";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}/log";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Bin::dpkg "/usr/bin/dpkg";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
"#
        )
    }

    fn write_sources(&mut self, mirrors: &[&Mirror], attempt: usize) -> Result<()> {
        let mut text = String::new();
        self.sources.clear();
        for (i, mirror) in mirrors.iter().enumerate() {
            let Some(url) = mirror.urls.get(attempt % mirror.urls.len().max(1)) else {
                return Err(Failure::spec("a mirror has no address")
                    .hint("Fill in `urls:` of the mirror in bootwright.yaml."));
            };
            let base_url = url.trim_end_matches('/').to_owned();
            check_source_word(&base_url)?;
            let key = self.folder.join(format!("keys/{i}.gpg"));
            let (keyring, _) = digest_file(&key)?;
            for suite in &mirror.suites {
                let suite = suite.replace("{suite}", &self.suite);
                check_source_word(&suite)?;
                for component in &mirror.components {
                    check_source_word(component)?;
                }
                text.push_str(&format!(
                    "deb [arch={} signed-by={}] {base_url} {suite} {}\n",
                    self.architecture,
                    key.display(),
                    mirror.components.join(" ")
                ));
                self.sources.push(Source { base_url: base_url.clone(), suite, keyring });
            }
        }
        write_atomic(&self.folder.join("etc/sources.list"), text.as_bytes(), 0o644)
    }

    fn update(&mut self, mirrors: &[&Mirror]) -> Result<()> {
        let attempts = mirrors.iter().map(|m| m.urls.len()).max().unwrap_or(1).max(1);
        let mut last = None;
        for attempt in 0..attempts {
            self.write_sources(mirrors, attempt)?;
            let output = self.run(Process::new("apt-get").args(["-q", "update"]).arg("--error-on=any"))?;
            if output.status.success() {
                return Ok(());
            }
            last = Some(classify_update(&output));
        }
        Err(last.unwrap_or_else(|| Failure::bug("no index was asked for")))
    }

    /// Goes by the indexes of the last update, which apt checked when it fetched them. Mirrors
    /// that are folders of this host are asked all the same.
    fn use_indexes(&mut self, mirrors: &[&Mirror]) -> Result<()> {
        let local = |m: &&Mirror| m.urls.iter().all(|url| url.starts_with("file:"));
        if mirrors.iter().all(local) {
            return self.update(mirrors);
        }
        let attempts = mirrors.iter().map(|m| m.urls.len()).max().unwrap_or(1).max(1);
        let mut missing = Vec::new();
        for attempt in 0..attempts {
            self.write_sources(mirrors, attempt)?;
            let has =
                |source: &&Source| self.lists().join(format!("{}InRelease", list_prefix(source))).exists();
            missing = self.sources.iter().filter(|source| !has(source)).collect();
            if missing.is_empty() {
                return Ok(());
            }
        }
        let missing: Vec<String> = missing.iter().map(|s| format!("{} of {}", s.suite, s.base_url)).collect();
        Err(Failure::offline(format!("{} package indexes are not in the cache", missing.len()))
            .details(missing.join("\n"))
            .hint("Run `bootwright lock` or `bootwright reconcile` once with network: the indexes stay in the cache."))
    }

    fn run(&self, process: Process) -> Result<Output> {
        process.env("APT_CONFIG", self.folder.join("apt.conf")).timeout(TIME_LIMIT).run(&self.cancel)
    }

    fn lists(&self) -> PathBuf {
        self.folder.join("state/lists")
    }

    /// Resolves `names` on top of `installed`, and adds what apt chose to it.
    fn solve(
        &self,
        names: &[&str],
        layer: &str,
        installed: &mut String,
        stanzas: &Stanzas,
    ) -> Result<Vec<Chosen>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        write_atomic(&self.folder.join("status"), installed.as_bytes(), 0o644)?;
        // Half the work of `--simulate`, which would order the installation too: dpkg does.
        let question = ["--print-uris", "-qq", "install", "--no-remove", "--"];
        let output = self.run(Process::new("apt-get").args(question).args(names))?;
        if !output.status.success() {
            return Err(classify_solve(&output, layer));
        }
        let mut chosen = parse_uris(&output.text())?;
        chosen.sort_by(|a, b| a.name.cmp(&b.name));
        for package in &chosen {
            let stanza = stanzas.get(package)?;
            installed.push_str(&format!("Package: {}\nStatus: install ok installed\n", package.name));
            installed
                .extend(stanza.text.lines().filter(|l| !l.starts_with("Package:")).map(|l| format!("{l}\n")));
            installed.push('\n');
        }
        Ok(chosen)
    }

    /// The named packages alone, without what they depend on.
    fn download_only(&self, names: &[PackageName]) -> Result<Vec<Chosen>> {
        let output = self.run(
            Process::new("apt-get")
                .args(["-qq", "--print-uris", "download", "--"])
                .args(names.iter().map(PackageName::as_str)),
        )?;
        if !output.status.success() {
            return Err(classify_solve(&output, BOOT_FILES));
        }
        parse_uris(&output.text())
    }

    fn lock_layer(&self, layer: &str, chosen: Vec<Chosen>, stanzas: &Stanzas) -> Result<Vec<LockedPackage>> {
        chosen
            .into_iter()
            .map(|package| {
                let stanza = stanzas.get(&package)?;
                let bad = |what: &str| {
                    Failure::upstream(format!("the index has no usable {what} for {}", package.name))
                };
                let path = stanza.field("Filename").ok_or_else(|| bad("Filename"))?;
                if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                    return Err(Failure::untrusted(format!(
                        "the index gives {} a path outside of the mirror: {path:?}",
                        package.name
                    )));
                }
                Ok(LockedPackage {
                    sha256: stanza
                        .field("SHA256")
                        .and_then(|d| d.parse().ok())
                        .ok_or_else(|| bad("SHA256"))?,
                    size: stanza.field("Size").and_then(|s| s.parse().ok()).ok_or_else(|| bad("Size"))?,
                    path: path.to_owned(),
                    suite: stanza.suite.clone(),
                    layer: layer.to_owned(),
                    wave: 0,
                    name: package
                        .name
                        .parse()
                        .map_err(|e| Failure::untrusted(format!("the index has a bad name: {e}")))?,
                    version: package.version,
                    architecture: package.architecture,
                })
            })
            .collect()
    }

    fn indexes(&self, mirrors: &[&Mirror]) -> Result<Vec<LockedIndex>> {
        debug_assert!(!mirrors.is_empty());
        self.sources
            .iter()
            .map(|source| {
                let path = self.lists().join(format!("{}InRelease", list_prefix(source)));
                let text = std::fs::read_to_string(&path).during(|| format!("reading {}", path.display()))?;
                let release = Release::parse(&text);
                release.check_suite(&source.suite)?;
                let no_date = || Failure::upstream(format!("the index of {} has no date", source.suite));
                Ok(LockedIndex {
                    suite: source.suite.clone(),
                    date: release.date.ok_or_else(no_date)?,
                    digest: Digest::of(&text),
                    keyring: source.keyring,
                })
            })
            .collect()
    }
}

/// A word of `sources.list` must stay one word.
fn check_source_word(word: &str) -> Result<()> {
    let fine = !word.is_empty()
        && !word.starts_with('[')
        && word.bytes().all(|b| b.is_ascii_graphic() && !b"#\"'\\[]".contains(&b));
    if fine {
        Ok(())
    } else {
        Err(Failure::spec(format!("mirror setting {word:?} has a character that apt cannot take"))
            .hint("Write addresses, suites and components without spaces, quotes and brackets."))
    }
}

/// apt's name for a source's files in `lists`: the address with `/` as `_`.
fn list_prefix(source: &Source) -> String {
    let address = source.base_url.split_once("://").map_or(source.base_url.as_str(), |(_, rest)| rest);
    let address = address.split_once('@').map_or(address, |(_, rest)| rest);
    format!("{}_dists_{}_", address.replace('_', "%5f").replace('/', "_"), source.suite)
}

/// `'URL' NAME_VERSION_ARCH.deb SIZE HASH` lines of `apt-get --print-uris`.
fn parse_uris(text: &str) -> Result<Vec<Chosen>> {
    text.lines()
        .filter(|l| l.starts_with('\''))
        .map(|line| {
            let file = line.split_whitespace().nth(1).and_then(|f| f.strip_suffix(".deb"));
            let mut parts = file.unwrap_or_default().split('_');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(name), Some(version), Some(architecture)) => Ok(Chosen {
                    name: name.to_owned(),
                    version: version.replace("%3a", ":"),
                    architecture: architecture.to_owned(),
                }),
                _ => Err(Failure::bug(format!("apt printed an address that we cannot read: {line}"))),
            }
        })
        .collect()
}

fn classify_update(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure().on("fetching package indexes");
    }
    let errors = output.errors();
    let signs = [
        "NO_PUBKEY",
        "not signed",
        "public key is not available",
        "BADSIG",
        "EXPKEYSIG",
        "Hash Sum mismatch",
        "is not valid yet",
        "is expired",
        "no longer signed",
    ];
    let details: Vec<&str> =
        errors.lines().filter(|l| l.starts_with("E:") || l.starts_with("W:") || l.contains("gpgv")).collect();
    let failure = if signs.iter().any(|s| errors.contains(s)) {
        Failure::untrusted(
            "a package index is not signed by a key of the mirror's keyring, or is out of date",
        )
        .hint("Check `urls:` and `keyring:` of the mirror in bootwright.yaml, and this host's clock.")
    } else {
        Failure::upstream("the package indexes cannot be had")
            .hint("Check `urls:` and `suites:` of the mirrors in bootwright.yaml, and the network.")
    };
    failure.details(details.join("\n"))
}

fn classify_solve(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let text = refusals::words(output);
    for line in text.lines() {
        for (before, after) in
            [("E: Unable to locate package ", ""), ("E: Package '", "' has no installation candidate")]
        {
            if let Some(name) = line.strip_prefix(before).and_then(|l| l.strip_suffix(after)) {
                return refusals::unavailable(name, layer);
            }
        }
    }
    if text.contains("unmet dependencies") || text.contains("held broken packages") {
        return refusals::conflict(layer).details(text);
    }
    Failure::bug(format!("apt could not resolve layer {layer}")).details(output.tail())
}

/// Puts packages that others of the same layer *pre-depend* on into an earlier wave: dpkg
/// wants them configured before the others are even unpacked. Wave 0 of a bootstrap is the
/// essential packages, which are all unpacked before any is configured.
fn set_waves(
    layer: &LayerRequest,
    essential: &BTreeSet<String>,
    packages: &mut [LockedPackage],
    stanzas: &Stanzas,
) {
    let first =
        u32::from(packages.iter().any(|p| p.layer == layer.name && essential.contains(p.name.as_str())));
    let of_layer: BTreeMap<String, usize> = packages
        .iter()
        .enumerate()
        .filter(|(_, p)| p.layer == layer.name && !essential.contains(p.name.as_str()))
        .map(|(i, p)| (p.name.to_string(), i))
        .collect();
    let fields: BTreeMap<&String, (Vec<String>, Vec<String>)> = of_layer
        .iter()
        .map(|(name, &i)| {
            let p = &packages[i];
            let chosen = Chosen {
                name: name.clone(),
                version: p.version.clone(),
                architecture: p.architecture.clone(),
            };
            let relations = |field: &str| {
                let stanza = stanzas.get(&chosen).ok();
                names_in_relation(stanza.as_ref().and_then(|s| s.field(field)).unwrap_or_default())
            };
            (name, (relations("Pre-Depends"), relations("Depends")))
        })
        .collect();
    // What must be configured before `name` is unpacked: its pre-dependencies, and
    // whatever those need to be configured.
    let closure = |name: &String| -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<String> = fields[name].0.clone();
        while let Some(next) = open.pop() {
            if let Some((key, (pre, depends))) = fields.get_key_value(&next)
                && *key != name
                && seen.insert(next.clone())
            {
                open.extend(pre.iter().chain(depends).cloned());
            }
        }
        seen
    };
    let before: BTreeMap<&String, BTreeSet<String>> =
        of_layer.keys().map(|name| (name, closure(name))).collect();
    // Longest chain; cycles end because a wave never grows past the number of packages.
    let mut wave: BTreeMap<&String, u32> = of_layer.keys().map(|n| (n, 0)).collect();
    for _ in 0..of_layer.len().min(8) {
        let mut changed = false;
        for (name, needed) in &before {
            let least = needed
                .iter()
                .filter(|n| !before.get(n).is_some_and(|b| b.contains(*name)))
                .filter_map(|n| wave.get(n))
                .max()
                .map_or(0, |w| w + 1);
            if wave[*name] < least {
                wave.insert(name, least);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for (name, &i) in &of_layer {
        packages[i].wave = wave[name] + first;
    }
}

/// The names in a relation field; all alternatives of each.
fn names_in_relation(text: &str) -> Vec<String> {
    text.split([',', '|'])
        .filter_map(|part| part.trim().split([' ', '(', ':', '[']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The packages that a root's own database (`/var/lib/dpkg/status`) says are installed.
///
/// # Errors
/// Class *bug* if the text is no deb822 (man deb822), or a package is not fully installed.
pub fn installed(status: &str) -> Result<Vec<crate::model::artifact::InstalledPackage>> {
    let parsed: Deb822 = status
        .parse()
        .map_err(|e| Failure::bug(format!("the package database of the image cannot be read: {e}")))?;
    let mut packages = Vec::new();
    for stanza in parsed.iter() {
        let field = |name: &str| stanza.get(name).map(str::to_owned);
        let name = field("Package").unwrap_or_default();
        match stanza.get("Status") {
            Some("install ok installed") => {}
            Some("deinstall ok config-files") => continue,
            other => {
                return Err(Failure::bug(format!(
                    "package {name} of the image is not fully installed: {}",
                    other.unwrap_or("no status")
                )));
            }
        }
        packages.push(crate::model::artifact::InstalledPackage {
            version: field("Version").unwrap_or_default(),
            architecture: field("Architecture").unwrap_or_default(),
            source: field("Source").map(|s| s.split(' ').next().unwrap_or_default().to_owned()),
            maintainer: field("Maintainer"),
            homepage: field("Homepage"),
            sha256: None,
            name,
        });
    }
    packages.sort();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_apt_prints() {
        let text = "'http://m.example/pool/main/s/shim/shim-signed_1.51%7e1_amd64.deb' shim-signed_1%3a1.51~1_amd64.deb 350384 SHA256:c2ac\n";
        let chosen = parse_uris(text).unwrap();
        assert_eq!(chosen.len(), 1);
        assert_eq!((chosen[0].name.as_str(), chosen[0].version.as_str()), ("shim-signed", "1:1.51~1"));
        assert!(parse_uris("'http://m.example/x' x.deb 1 SHA256:c2ac\n").is_err());
    }

    #[test]
    fn list_names() {
        let source = Source {
            base_url: "http://m.example/a_b/debian".to_owned(),
            suite: "bookworm-updates".to_owned(),
            keyring: Digest::of(""),
        };
        assert_eq!(list_prefix(&source), "m.example_a%5fb_debian_dists_bookworm-updates_");
    }

    #[test]
    fn source_words_stay_words() {
        assert!(check_source_word("http://m.example/debian").is_ok());
        for bad in ["", "a b", "[trusted=yes]", "x\ny", "a#b", "\"q\""] {
            assert!(check_source_word(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn relations() {
        assert_eq!(
            names_in_relation("libc6 (>= 2.36), init | systemd-sysv [amd64], libx:any"),
            ["libc6", "init", "systemd-sysv", "libx"]
        );
    }
}
