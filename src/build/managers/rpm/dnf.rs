//! dnf 4 as a solver: what it is told, and what its answers mean (man dnf, dnf.conf).

use super::lock::{Asking, Repository, STATE, Solver};
use super::metadata::Chosen;
use crate::build::managers::refusals;
use crate::effects::{Output, Process};
use crate::model::failure::IoContext;
use crate::model::name::PackageName;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use std::path::PathBuf;

/// Fedora's solver.
pub(super) struct Dnf;

const PROGRAM: &str = "/usr/bin/dnf";
/// Where dnf keeps its metadata in the root that it is asked about.
const CACHE: &str = "var/cache/dnf";

/// Nothing but what stands here: no plugins, no variables, no other repositories. Weak
/// dependencies are left out, as Debian's recommendations are.
fn configuration() -> String {
    format!(
        "[main]\ngpgcheck=1\nrepo_gpgcheck=1\nlocalpkg_gpgcheck=1\ninstall_weak_deps=False\nbest=1\n\
        skip_if_unavailable=False\nplugins=0\nzchunk=False\nmetadata_expire=0\ntimeout=30\nretries=3\n\
        reposdir={STATE}/repos\nvarsdir={STATE}/none\npluginpath={STATE}/none\npluginconfpath={STATE}/none\n"
    )
}

/// A name of dnf's own for a repository: another address is another repository, and what was
/// fetched unsigned is not what was checked.
fn id(i: usize, repository: &Repository) -> String {
    format!("r{i}-{}", Digest::of_json(&(&repository.url, repository.unsigned)).short())
}

fn definition(i: usize, repository: &Repository) -> String {
    let keys: Vec<String> = repository.keys.iter().map(|key| format!("file://{STATE}/keys/{key}")).collect();
    let id = id(i, repository);
    let signed = u8::from(!repository.unsigned);
    format!(
        "[{id}]\nname={id}\nbaseurl={}\nenabled=1\nrepo_gpgcheck={signed}\ngpgkey={}\n",
        repository.url,
        keys.join(" ")
    )
}

impl Solver for Dnf {
    fn program(&self) -> &'static str {
        "dnf"
    }

    fn prepare(&self, asking: &Asking<'_>) -> Result<()> {
        asking.write("dnf.conf", &configuration())?;
        let definitions: Vec<String> =
            asking.repositories.iter().enumerate().map(|(i, r)| definition(i, r)).collect();
        asking.write("repos/all.repo", &definitions.join("\n"))?;
        let cache = asking.folder.join("cache");
        std::fs::create_dir_all(&cache).during(|| format!("making {}", cache.display()))
    }

    fn refresh(&self, asking: &Asking<'_>) -> Result<()> {
        let output = self.run(asking, |dnf| dnf.args(["makecache", "--refresh"]))?;
        if output.status.success() { Ok(()) } else { Err(classify_refresh(&output)) }
    }

    fn metadata(&self, asking: &Asking<'_>, i: usize) -> Result<Option<PathBuf>> {
        let prefix = format!("{}-", id(i, &asking.repositories[i]));
        let cache = asking.folder.join("cache");
        let entries = std::fs::read_dir(&cache).during(|| format!("reading {}", cache.display()))?;
        let found = entries.flatten().find(|entry| {
            entry.file_name().to_string_lossy().starts_with(&prefix) && entry.path().join("repodata").is_dir()
        });
        Ok(found.map(|entry| entry.path()))
    }

    fn solve(
        &self,
        asking: &Asking<'_>,
        below: &[Chosen],
        names: &[&PackageName],
        layer: &str,
    ) -> Result<Vec<Chosen>> {
        let output = self.run(asking, |dnf| {
            dnf.args(["-C", "-v", "--assumeno", "install"])
                .args(below.iter().map(|p| format!("{}-{}.{}", p.name, p.version, p.architecture)))
                .args(names.iter().map(|name| name.as_str()))
        })?;
        // It says no to its own question, so that its exit says nothing.
        let chosen = parse(&output.text());
        if chosen.is_empty() { Err(classify_solve(&output, layer)) } else { Ok(chosen) }
    }
}

impl Dnf {
    fn run(&self, asking: &Asking<'_>, args: impl FnOnce(Process) -> Process) -> Result<Output> {
        let sandbox = asking.sandbox.clone().bind_writable(
            asking.folder.join("cache"),
            format!("{}/{CACHE}", crate::effects::sandbox::TOOL_ROOT),
        );
        let dnf = sandbox
            .tool(PROGRAM)?
            .args(["-c", &format!("{STATE}/dnf.conf"), "--installroot", crate::effects::sandbox::TOOL_ROOT])
            .args(["--releasever", &asking.suite, "--forcearch", asking.architecture, "-y"]);
        asking.run(args(dnf))
    }
}

/// `---> Package NAME.ARCH EVR will be installed` lines of `dnf -v`.
fn parse(text: &str) -> Vec<Chosen> {
    text.lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("---> Package ")?.strip_suffix(" will be installed")?;
            let (name, version) = rest.split_once(' ')?;
            let (name, architecture) = name.rsplit_once('.')?;
            Some(Chosen {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: architecture.to_owned(),
            })
        })
        .collect()
}

fn classify_refresh(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure().on("fetching package indexes");
    }
    let errors = output.errors();
    let signs = ["GPG signature", "GPG verification", "checksum doesn't match", "Importing GPG key failed"];
    super::lock::refresh_failure(signs.iter().any(|sign| errors.contains(sign)))
        .details(errors.lines().filter(|l| l.contains("rror")).collect::<Vec<_>>().join("\n"))
}

fn classify_solve(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let all = format!("{}\n{}", output.text(), output.errors());
    if let Some(name) = all.lines().find_map(|line| line.strip_prefix("No match for argument: ")) {
        return refusals::unavailable(name.trim(), layer);
    }
    let from = all.lines().position(|line| line.trim_start().starts_with("Problem"));
    match from {
        Some(from) => {
            let lines: Vec<&str> = all.lines().skip(from).take_while(|line| !line.starts_with('(')).collect();
            refusals::conflict(layer).details(lines.join("\n"))
        }
        None => Failure::new(
            ErrorCode::Internal,
            FailureClass::Bug,
            format!("dnf could not resolve layer {layer}"),
        )
        .details(output.tail()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dnf_prints() {
        // `dnf -v --assumeno install hello plain`, dnf 4.14.
        let text = "--> Starting dependency resolution\n---> Package busybox.x86_64 1.35-1 will be installed\n\
            ---> Package plain.noarch 2:1-1 will be installed\n--> Finished dependency resolution\n\
            Install  2 Packages\n";
        let chosen = parse(text);
        assert_eq!(chosen.len(), 2);
        assert_eq!(
            (chosen[1].name.as_str(), chosen[1].version.as_str(), chosen[1].architecture.as_str()),
            ("plain", "2:1-1", "noarch")
        );
    }

    #[test]
    fn nothing_of_the_host_is_read() {
        let text = configuration();
        for line in ["plugins=0", "repo_gpgcheck=1", "gpgcheck=1", "reposdir=/run/state/repos"] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        let repository = Repository {
            index: "releases/41".to_owned(),
            url: "http://m.example/releases/41".to_owned(),
            keyring: Digest::of(""),
            keys: vec!["0-0.key".to_owned(), "0-1.key".to_owned()],
            binary: "0.gpg".to_owned(),
            unsigned: false,
        };
        let text = definition(0, &repository);
        assert!(
            text.contains("\ngpgkey=file:///run/state/keys/0-0.key file:///run/state/keys/0-1.key\n"),
            "{text}"
        );
    }
}
