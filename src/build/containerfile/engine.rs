//! Builds a Containerfile with the container engine of this host, into a root filesystem.
//!
//! The engine works in a store of its own that goes with the build: no image of the host's is
//! used, none is left. What comes out depends on the day and on the mirrors that the base
//! image reads; it is recorded as such, and never taken for a reproducible artifact.

use crate::build::rootfs;
use crate::effects::files::{digest_file, parent, sync_folder};
use crate::effects::process::find_tool;
use crate::effects::{Cancel, Output, Process, Task};
use crate::model::failure::IoContext;
use crate::model::settings::Compression;
use crate::model::{Digest, Emitter, ErrorCode, Failure, FailureClass, Result};
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A build may take this long.
const LIMIT: Duration = Duration::from_hours(4);

/// Why a build is not what builds of the same spec are elsewhere.
pub const NOT_REPRODUCIBLE: &str =
    "a pinned base image fixes where the build begins, not what the package manager brings on the day";

/// Container engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Builds without a daemon.
    Buildah,
    /// Builds without a daemon.
    Podman,
    /// Builds by its daemon.
    Docker,
}

impl Engine {
    /// All, in the order in which they are looked for.
    pub const ALL: [Self; 3] = [Self::Buildah, Self::Podman, Self::Docker];

    /// Its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Buildah => "buildah",
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// The engine that is asked for, or the first that is there.
    ///
    /// # Errors
    /// Class *host* if it is not there.
    pub fn find(asked: Option<Self>) -> Result<Self> {
        let there = |engine: &Self| find_tool(engine.program()).is_some();
        let found = match asked {
            Some(engine) => Some(engine).filter(there),
            None => Self::ALL.into_iter().find(there),
        };
        let name = asked.map_or("no container engine", Self::program);
        found.ok_or_else(|| {
            Failure::host(format!("{name} is not installed"))
                .hint("Install buildah, podman or docker; in Debian the packages have these names.")
        })
    }
}

/// What a build starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// An image by its name in a registry.
    Name(String),
    /// A folder in OCI's layout, or an archive of one: `oci:FOLDER`, `oci-archive:FILE`.
    Local {
        /// `oci` or `oci-archive`.
        kind: &'static str,
        /// Where it is.
        path: PathBuf,
    },
}

impl Start {
    /// Reads what `--from` says. Paths are taken from `base`.
    pub fn parse(text: &str, base: &Path) -> Self {
        for kind in ["oci", "oci-archive"] {
            if let Some(path) = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')) {
                return Self::Local { kind, path: base.join(path) };
            }
        }
        Self::Name(text.to_owned())
    }
}

/// A built root filesystem, and what it was built by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltRoot {
    /// The archive: tar, zstd.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The engine.
    pub engine: Engine,
    /// What the engine says it is.
    pub engine_version: String,
    /// The base image, with its digest if that is known: a local one by its identity.
    pub base: String,
    /// Never true: see `why`.
    pub reproducible: bool,
    /// Why.
    pub why: &'static str,
}

/// An engine at work in a folder.
pub struct EngineBuild<'a> {
    /// Which.
    pub engine: Engine,
    /// A folder on no overlay for its store and its temporary files; it is new.
    pub work: &'a Path,
    /// An empty folder for what the engine knows of running containers. podman takes no path
    /// of more than 50 characters.
    pub run: &'a Path,
    /// Where docker's daemon listens, as `DOCKER_HOST` has it; its usual socket if `None`.
    pub docker_host: Option<&'a str>,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
}

impl EngineBuild<'_> {
    /// Brings a local base image into the store; gives the name that `FROM` knows it by.
    ///
    /// # Errors
    /// Class *spec* if it is no image, or the engine cannot take it.
    pub fn base(&self, start: &Start) -> Result<String> {
        let (kind, path) = match start {
            Start::Name(name) => return Ok(name.clone()),
            Start::Local { kind, path } => (kind, path),
        };
        let mut from = OsString::from(format!("{kind}:"));
        from.push(path);
        let no_image = |output: &Output| {
            if output.host_trouble().is_some() {
                return output.failure();
            }
            Failure::spec(format!("{} is no image that {} can read", path.display(), self.engine.program()))
                .details(output.tail())
                .hint("Name a folder in OCI's layout (oci:FOLDER) or an archive of one (oci-archive:FILE).")
        };
        if self.engine == Engine::Docker {
            return self.loaded(&from, no_image);
        }
        let output = self.process(&["pull", "--quiet"])?.arg(from).run(self.cancel)?;
        let text = output.text();
        let id = text.lines().last().unwrap_or_default().trim();
        if output.status.success() && is_id(id) { Ok(id.to_owned()) } else { Err(no_image(&output)) }
    }

    /// The same for docker, which reads archives of its own kind, and whose `FROM` knows an image of
    /// its store by a name only.
    fn loaded(&self, from: &OsStr, no_image: impl Fn(&Output) -> Failure) -> Result<String> {
        let (folder, archive) = (self.work.join("base"), self.work.join("base.tar"));
        let named = |kind: &str, path: &Path| {
            let mut name = OsString::from(kind);
            name.push(path);
            name
        };
        let copy = |flags: &[&str], from: &OsStr, to: &OsStr| -> Result<()> {
            let copy = Process::new("skopeo").args(["copy", "--quiet"]).args(flags).arg(from).arg(to);
            let copied = copy.env("TMPDIR", self.folder("tmp")?).run(self.cancel)?;
            if copied.status.success() { Ok(()) } else { Err(no_image(&copied)) }
        };
        // Layers packed with zstd have to be plain before they can become docker's.
        let plain = named("dir:", &folder);
        copy(&["--dest-decompress"], from, &plain)?;
        copy(&[], &plain, &named("docker-archive:", &archive))?;
        let loaded = self.process(&["load", "--quiet", "--input"])?.arg(&archive).check(self.cancel)?.text();
        let id = loaded.trim().rsplit("sha256:").next().unwrap_or_default();
        if !is_id(id) {
            return Err(Failure::host(format!("docker does not say what it loaded: {}", loaded.trim())));
        }
        // No other build's name: this one takes it away again.
        let work = self.work.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{LOADED}{id}-{work}");
        self.process(&["tag", id, &name])?.check(self.cancel)?;
        Ok(name)
    }

    /// Builds the Containerfile in `context` and writes the root filesystem to `out`.
    ///
    /// # Errors
    /// Class *upstream* if a step fails, with what was said last.
    pub fn build(&self, context: &Path, base: &str, out: &Path) -> Result<BuiltRoot> {
        let task = Task::start(self.events, format!("build with {}", self.engine.program()));
        let tar = self.work.join("root.tar");
        let output = self
            .process(&arguments(self.engine))?
            .arg("--file")
            .arg(context.join("Containerfile"))
            .arg("--output")
            .arg(format!("type=tar,dest={}", tar.display()))
            .arg(context)
            .log_to(self.events, self.engine.program())
            .timeout(LIMIT)
            .run(self.cancel);
        if base.starts_with(LOADED) {
            // Whether it can be taken away or not says nothing about the build.
            let _ = self.process(&["image", "rm", base])?.run(&Cancel::default());
        }
        let output = output?;
        if !output.status.success() {
            let failure = output.failure();
            if failure.class == FailureClass::Host {
                return Err(failure);
            }
            return Err(Failure::new(
                ErrorCode::BuildStep,
                FailureClass::Upstream,
                format!("{} could not build the Containerfile", self.engine.program()),
            )
            .details(output.tail())
            .hint("The step that failed is named above; the base image must read its repositories."));
        }
        pack(&tar, out)?;
        let (sha256, size) = digest_file(out)?;
        task.finish(format!("{}", crate::model::spec::Size::from_bytes(size)));
        Ok(BuiltRoot {
            path: out.to_owned(),
            sha256,
            size,
            engine: self.engine,
            engine_version: self.version()?,
            base: identity(base).map_or_else(|| base.to_owned(), |id| format!("sha256:{id}")),
            reproducible: false,
            why: NOT_REPRODUCIBLE,
        })
    }

    fn version(&self) -> Result<String> {
        let output = Process::new(self.engine.program()).arg("--version").check(self.cancel)?;
        Ok(output.text().lines().next().unwrap_or_default().trim().to_owned())
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.work.join(name);
        std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    fn process(&self, args: &[&str]) -> Result<Process> {
        let process = Process::new(self.engine.program());
        let process = match self.engine {
            Engine::Docker => {
                let host = self.docker_host.map(|host| ("DOCKER_HOST", host));
                host.into_iter()
                    .fold(process.env("DOCKER_BUILDKIT", "1"), |p, (name, host)| p.env(name, host))
            }
            Engine::Buildah | Engine::Podman => process
                .arg("--root")
                .arg(self.folder("store")?)
                .arg("--runroot")
                .arg(self.run)
                .args(["--storage-driver", "overlay"])
                .alone(),
        };
        Ok(process.args(args).env("HOME", self.folder("home")?).env("TMPDIR", self.folder("tmp")?))
    }
}

/// How a build is asked for. Steps run in a plain chroot: containers within containers, and
/// hosts without systemd, allow nothing more. Docker's run in containers, with the same network: the
/// host's.
fn arguments(engine: Engine) -> Vec<&'static str> {
    match engine {
        Engine::Buildah | Engine::Podman => vec!["build", "--isolation", "chroot", "--pull=missing"],
        Engine::Docker => vec!["build", "--no-cache", "--network", "host"],
    }
}

/// What images of this host are called in docker's store: their identity follows.
const LOADED: &str = "bootwright-base:";

/// The identity of an image that came from this host, in what `FROM` calls it.
pub(super) fn identity(base: &str) -> Option<&str> {
    let id = base.strip_prefix(LOADED).map_or(Some(base), |loaded| loaded.get(..64));
    id.filter(|id| is_id(id))
}

/// An image's identity: 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Compresses the engine's archive under a temporary name.
fn pack(tar: &Path, out: &Path) -> Result<()> {
    let during = || format!("writing {}", out.display());
    let mut from = File::open(tar).during(|| format!("reading {}", tar.display()))?;
    let file = tempfile::NamedTempFile::new_in(parent(out)).during(during)?;
    let mut packed = rootfs::compressor(file, Compression::Balanced).during(during)?;
    std::io::copy(&mut from, &mut packed).during(during)?;
    let mut file = packed.finish().during(during)?;
    file.flush().and_then(|()| file.as_file().sync_all()).during(during)?;
    file.persist(out).map_err(|e| Failure::io(during(), &e.error))?;
    sync_folder(parent(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_starts_from() {
        let base = Path::new("/catalog");
        let local = |kind, path: &str| Start::Local { kind, path: path.into() };
        assert_eq!(Start::parse("oci:base", base), local("oci", "/catalog/base"));
        assert_eq!(Start::parse("oci-archive:/x.oci.tar", base), local("oci-archive", "/x.oci.tar"));
        assert_eq!(Start::parse("debian:bookworm", base), Start::Name("debian:bookworm".to_owned()));
    }

    #[test]
    fn an_image_of_this_host_is_known_by_its_identity() {
        let id = "0af".repeat(21) + "1";
        for name in [id.clone(), format!("bootwright-base:{id}-container-x")] {
            assert_eq!(identity(&name), Some(id.as_str()), "{name}");
        }
        for name in ["debian:bookworm", "bootwright-base:latest", &format!("debian@sha256:{id}")] {
            assert_eq!(identity(name), None, "{name}");
        }
    }
}
