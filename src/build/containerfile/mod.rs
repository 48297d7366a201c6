//! A spec as a Containerfile, for all distributions.
//!
//! Pure: text and files come out, whoever asks writes them. The stages stand in the order of
//! the layers of an image: what changes seldom comes first, so that a changed line of
//! configuration installs nothing again. What the settings become is the plan that also makes
//! the configuration layer; nothing here writes a setting. What comes from the spec is a checked
//! name, a file beside the Containerfile, or quoted; anything else is refused. A container has
//! no use for a kernel, a boot loader and disks: those are left out, and that is said.

mod carried;
mod commands;
pub mod engine;

use crate::build::root_files::{Content, Entry};
use crate::configure::{self, Plan, System};
use crate::model::catalog::ImageDocument;
use crate::model::lock::Lock;
use crate::model::name::PackageName;
use crate::model::spec::{Family, Init, OsSpec};
use crate::model::{Failure, Result};
use crate::resolve::{Resolved, ResolvedCategory};
use crate::tables::{self, RepositoryKind};
use commands::Commands;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A Containerfile and the files that lie beside it.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The text of `Containerfile`.
    pub text: String,
    /// The files of its build context, by their path in it.
    pub files: Vec<Entry>,
    /// The base image.
    pub base: String,
    /// What a reader should know: what is left out, what is not pinned.
    pub warnings: Vec<String>,
    /// Whose caches its steps share: those of the same distribution, suite and architecture.
    caches: String,
}

/// Writes the Containerfile of an image. `from` is the base image, best with its digest.
///
/// # Errors
/// Class *spec*, when something cannot be written safely or the suite has no base image.
pub fn containerfile(document: &ImageDocument, resolved: &Resolved, from: Option<&str>) -> Result<Rendered> {
    let spec = &document.spec.spec;
    let distribution = tables::of(spec.base);
    let architecture = spec.architecture.as_str();
    let caches = format!("bootwright-{}-{}-{architecture}", spec.base.as_str(), spec.suite);
    let mut out = Rendered { caches, ..Rendered::default() };
    let commands = commands::commands(distribution.manager);
    header(document, resolved, &commands, &mut out);
    base_image(document, resolved, from, &mut out)?;
    out.stage("System update");
    repositories(resolved, &mut out);
    out.cached(&commands, &commands.update.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
    let init = spec.init_system();
    let categories = categories(resolved, distribution.in_container(init));
    for category in &categories {
        let lock = document.lock.as_ref().filter(|_| spec.base.family() == Family::Debian);
        install(category, &commands, lock, &mut out);
    }
    carried::shell(document, &mut out)?;
    let plan = plan(document, &categories)?;
    locale(spec, &mut out)?;
    left_alone(&plan, resolved, init, &mut out);
    carried::configuration(&plan, init, &mut out)?;
    carried::dotfiles(document, &mut out)?;
    carried::overlay(document, &mut out)?;
    if !(spec.post_install.scripts.is_empty() && plan.later.is_empty()) {
        out.stage("Post-install");
    }
    carried::scripts(document, &mut out)?;
    carried::later(&plan, init, &mut out)?;
    out.stage("Start");
    entrypoint(spec, !(plan.on.is_empty() && plan.later.is_empty()), &mut out);
    Ok(out)
}

/// What the settings become, with these packages installed.
fn plan(document: &ImageDocument, categories: &[ResolvedCategory]) -> Result<Plan> {
    let spec = &document.spec.spec;
    let configuration = configure::configuration(&document.spec.metadata.name, spec)?;
    Ok(configure::plan(&System {
        configuration: &configuration,
        base: spec.base,
        suite: spec.suite.as_str(),
        architecture: spec.architecture,
        // Their versions are known only once a container is built.
        packages: categories.iter().flat_map(|c| &c.packages).map(|name| (name.as_str(), "")).collect(),
        outputs: &spec.outputs,
    }))
}

/// Services that came with packages and that nobody spoke of.
fn left_alone(plan: &Plan, resolved: &Resolved, init: Init, out: &mut Rendered) {
    let said = |name: &str| {
        let unit = format!("{name}.service");
        [&plan.on, &plan.off, &plan.later]
            .iter()
            .any(|services| services.contains(name) || (init == Init::Systemd && services.contains(&unit)))
    };
    let others: Vec<&str> = resolved.services.iter().map(|s| s.name.as_str()).filter(|s| !said(s)).collect();
    if !others.is_empty() {
        out.comment(&format!(
            "Services that come with packages and are left as they are: {}.",
            others.join(", ")
        ));
    }
}

/// What a container has no use for, and where the text comes from.
fn header(document: &ImageDocument, resolved: &Resolved, commands: &Commands, out: &mut Rendered) {
    let (spec, name) = (&document.spec.spec, &document.spec.metadata.name);
    out.comment(&format!(
        "{name}: {} {}, made by bootwright from its spec; change the spec, not this.",
        spec.base.as_str(),
        spec.suite
    ));
    out.comment(&format!(
        "Build it with: podman build --tag {name} .   (or docker build --file Containerfile, with BuildKit)"
    ));
    let kernel: Vec<&str> = resolved.kernel.iter().map(PackageName::as_str).collect();
    let kernel = if kernel.is_empty() { String::new() } else { format!(" (here {})", kernel.join(", ")) };
    out.comment(&format!(
        "A container has no use for a kernel{kernel}, its command line, a boot loader and disks: left out."
    ));
    out.comment("Each category is a step of its own, and caches are mounts that stay out of the image.");
    let rules: Vec<&str> = std::iter::once("DL3059").chain(commands.excused.iter().copied()).collect();
    out.comment(&format!("hadolint global ignore={}", rules.join(",")));
    if spec.filesystem.is_some() {
        out.warn("filesystem has no place in a container: left out".to_owned());
    }
}

fn base_image(
    document: &ImageDocument,
    resolved: &Resolved,
    from: Option<&str>,
    out: &mut Rendered,
) -> Result<()> {
    let spec = &document.spec.spec;
    let usual = resolved.suite.and_then(|suite| tables::of(spec.base).container.images.get(suite));
    let image = match (from, usual) {
        (Some(from), _) => from.to_owned(),
        (None, Some(usual)) => usual.clone(),
        (None, None) => {
            return Err(Failure::spec(format!(
                "no base image is known for {} {}",
                spec.base.as_str(),
                spec.suite
            ))
            .on(&document.place)
            .hint("Name one with --from IMAGE@sha256:DIGEST."));
        }
    };
    if !is_image(&image) {
        return Err(Failure::spec(format!("{image:?} is not the name of an image"))
            .hint("Write NAME:TAG or NAME:TAG@sha256:DIGEST, with letters, digits and / . _ - only."));
    }
    out.text.push('\n');
    if !image.contains("@sha256:") && engine::identity(&image).is_none() {
        out.comment("Not pinned: a tag may move. Pin it with --from IMAGE@sha256:DIGEST.");
        out.warn(format!("the base image {image} is not pinned: name it with its digest (--from)"));
        if image.ends_with(":latest") {
            out.ignore("DL3007", "this distribution has no releases");
        }
    }
    out.line(&format!("FROM {image}"));
    out.base.clone_from(&image);
    out.line(&format!("LABEL org.opencontainers.image.title={}", word(document.spec.metadata.name.as_str())));
    out.comment("Maintainer scripts need root; who runs the container decides what it may do.");
    Ok(())
}

/// OCI image references, without anything that a shell or a Containerfile would read.
fn is_image(text: &str) -> bool {
    let (name, digest) = match text.split_once("@sha256:") {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let plain = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_:-".contains(&b));
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let digest =
        digest.is_none_or(|d| d.len() == 64 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    begins && plain(name) && digest && text.len() <= 512
}

/// The repositories beside the distribution's own that the catalog allows.
fn repositories(resolved: &Resolved, out: &mut Rendered) {
    for name in &resolved.repositories {
        let Some(repository) = tables::repositories().get(name) else { continue };
        match (repository.kind, name.as_str()) {
            (RepositoryKind::Component, "non-free" | "non-free-firmware") => {
                out.comment(&format!("{name}, which the catalog allows."));
                let edit = format!(
                    "sed -i 's/^Components: main.*/& {name}/' /etc/apt/sources.list.d/debian.sources"
                );
                out.run(&[edit]);
            }
            (RepositoryKind::Component, "testing") => {
                out.comment("testing, which the catalog allows; only edge has it.");
                out.run(&[
                    "sed -n 's|/edge/community$|/edge/testing|p' /etc/apk/repositories > /tmp/testing"
                        .to_owned(),
                    "cat /tmp/testing >> /etc/apk/repositories".to_owned(),
                    "rm /tmp/testing".to_owned(),
                ]);
            }
            (RepositoryKind::Component, _) => {
                out.comment(&format!(
                    "{name}, which the catalog allows: the usual base image reads it already."
                ));
            }
            (RepositoryKind::Vendor, _) => {
                let signed = repository.signed();
                out.comment(&format!(
                    "{name} ({}; {signed}): the base image must read it already.",
                    repository.title
                ));
                out.warn(format!("the base image must read {name} already: {}; {signed}", repository.title));
            }
            (RepositoryKind::Recipes, _) => {}
        }
    }
}

/// The smallest system that the settings count on, then the categories with what it lacks.
fn categories(resolved: &Resolved, system: Vec<&PackageName>) -> Vec<ResolvedCategory> {
    let system: BTreeSet<&PackageName> = system.into_iter().collect();
    let mut categories = vec![ResolvedCategory {
        name: "system",
        packages: system.iter().map(|name| (*name).clone()).collect(),
        ..ResolvedCategory::default()
    }];
    categories.extend(resolved.categories.iter().cloned().map(|mut category| {
        category.packages.retain(|name| !system.contains(name));
        category
    }));
    categories.retain(|c| !(c.packages.is_empty() && c.groups.is_empty() && c.recipes.is_empty()));
    categories
}

fn install(category: &ResolvedCategory, commands: &Commands, lock: Option<&Lock>, out: &mut Rendered) {
    out.stage(&format!("Packages: {}", category.name));
    for recipe in &category.recipes {
        out.comment(&format!("{recipe} is built from users' recipes: build it apart and copy it in."));
        out.warn(format!("{recipe} is built from users' recipes: left out"));
    }
    let version = |name: &PackageName| {
        let packages = lock.map(|l| l.packages.as_slice()).unwrap_or_default();
        packages.iter().find(|p| p.name == *name).map(|p| p.version.clone())
    };
    let pinned: Vec<String> = category
        .packages
        .iter()
        .map(|name| version(name).map_or_else(|| name.to_string(), |v| word(&format!("{name}={v}"))))
        .collect();
    if !pinned.is_empty() {
        let free = category.packages.iter().any(|name| version(name).is_none());
        if free {
            out.comment("No lock pins these versions: what the mirror has on the day is installed.");
            if let Some(rule) = commands.pin_rule {
                out.comment(&format!("hadolint ignore={rule}"));
            }
        }
        let mut run = vec![format!("{} \\\n        {}", commands.install, pinned.join(" \\\n        "))];
        if commands.makes_host_keys && category.packages.iter().any(|p| p.as_str() == "openssh-server") {
            // Else every container of this image had the same keys, and anybody could read them.
            run.push("rm -f /etc/ssh/ssh_host_*_key*".to_owned());
        }
        out.cached(commands, &run);
    }
    if let (Some(group), false) = (commands.group, category.groups.is_empty()) {
        let groups: Vec<&str> = category.groups.iter().map(PackageName::as_str).collect();
        if let Some(rule) = commands.pin_rule {
            out.ignore(rule, "a group has no version");
        }
        out.cached(commands, &[format!("{group} {}", groups.join(" "))]);
    }
}

/// The language of who does not log in: the rest reads the settings' own file.
fn locale(spec: &OsSpec, out: &mut Rendered) -> Result<()> {
    let locale = spec.defaults.locale.as_deref().unwrap_or("C.UTF-8");
    if !locale.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@-".contains(&b)) {
        return Err(Failure::spec(format!("spec.defaults.locale: {locale:?} is not a locale"))
            .hint("Write it as de_DE.UTF-8."));
    }
    out.stage("Language");
    out.line(&format!("ENV LANG={locale}"));
    Ok(())
}

/// With services, the init system is what starts; without, a shell.
fn entrypoint(spec: &OsSpec, starts: bool, out: &mut Rendered) {
    if !starts {
        out.comment("No service is switched on: the container starts a shell.");
        let shell = if spec.base.family() == Family::Alpine { "/bin/ash" } else { "/bin/bash" };
        out.line(&format!("CMD [\"{shell}\"]"));
        return;
    }
    match spec.init_system() {
        Init::Systemd => {
            out.comment("systemd ends in order at this signal only.");
            out.line("STOPSIGNAL SIGRTMIN+3");
            out.line("ENTRYPOINT [\"/sbin/init\"]");
        }
        Init::Openrc | Init::S6 => out.line("ENTRYPOINT [\"/sbin/init\"]"),
        Init::Runit => {
            out.line("ENTRYPOINT [\"/usr/bin/runsvdir\", \"-P\", \"/etc/runit/runsvdir/default\"]")
        }
    }
}

/// One word for a shell and for a Containerfile, whatever it holds.
fn word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+./,_=:@~-".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Rendered {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn comment(&mut self, text: &str) {
        // One line, whatever it holds: the next line would be an instruction.
        let text = text.replace(|c: char| c.is_control(), " ");
        self.line(&format!("# {text}"));
    }

    fn stage(&mut self, title: &str) {
        let _ = write!(self.text, "\n# --- {title} ---\n");
    }

    /// Lets the linter go by a rule for the next instruction, with the reason above it.
    fn ignore(&mut self, rules: &str, why: &str) {
        self.comment(why);
        self.comment(&format!("hadolint ignore={rules}"));
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// A file of the build context.
    fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.files.push(Entry::file(path, mode, bytes));
    }

    fn run(&mut self, commands: &[String]) {
        if !commands.is_empty() {
            self.line(&format!("RUN {}", commands.join(" \\\n && ")));
        }
    }

    /// Runs with empty folders that do not become part of the image.
    fn run_in(&mut self, folders: &[&str], commands: &[String]) {
        let mounts = folders.iter().map(|at| format!("--mount=type=tmpfs,target={at} \\\n    "));
        let mounts: String = mounts.collect();
        self.line(&format!("RUN {mounts}{}", commands.join(" \\\n && ")));
    }

    /// Runs with a file of the context that does not become part of the image.
    fn run_with(&mut self, file: &str, at: &str, commands: &[String]) {
        let commands = commands.join(" \\\n && ");
        self.line(&format!("RUN --mount=type=bind,source={file},target={at} \\\n    {commands}"));
    }

    /// Runs with the package manager's caches kept between builds. They have names: by their
    /// folder alone every image on a host would share them, and two distributions have files of
    /// one name there. Not `sharing=locked`: buildah
    /// 1.28 never lets go of such a lock and stops at the second step; package managers have
    /// locks of their own.
    fn cached(&mut self, commands: &Commands, run: &[String]) {
        let name = |folder: &str| format!("{}{}", self.caches, folder.replace('/', "-"));
        let mounts = commands.caches.iter();
        let mounts: String =
            mounts.map(|c| format!("--mount=type=cache,id={},target={c} \\\n    ", name(c))).collect();
        self.line(&format!("RUN {mounts}{}", run.join(" \\\n && ")));
    }
}

impl Rendered {
    /// Every file to write: the Containerfile and its context.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::file("Containerfile", 0o644, self.text.clone())];
        entries.extend(self.files.iter().cloned());
        entries
    }
}

/// The bytes of a file, if an entry is one.
pub fn bytes(entry: &Entry) -> Option<(&[u8], u32)> {
    match &entry.content {
        Content::File { mode, bytes } => Some((bytes, *mode)),
        Content::Symlink { .. } => None,
    }
}

#[cfg(test)]
mod tests;
