//! What a commit holds, by object ids alone: a catalog of 10,000 images is looked through
//! without reading the files of images that are known already.
//!
//! Ids say what bytes a file has without reading it. The folders of overlays are not even
//! opened: a folder's id changes with anything below it.

use super::consumed::Reads;
use super::files::{FileKind, Files, OVERLAYS, SETTINGS, check_count, fold_case, utf8_path};
use super::git::{self, Place, Walk, corrupt};
use super::include::{self, Library};
use super::load::{is_device, is_spec};
use super::location::Location;
use super::lockfile::lock_path;
use super::source::Source;
use super::trees::{self, Clones};
use super::{Diagnostic, diagnostic, load, yaml};
use crate::model::catalog::{Catalog, CatalogSource};
use crate::model::name::{ChannelName, ImageName};
use crate::model::policy::Finding;
use crate::model::{Digest, Failure, Result};
use gix::bstr::ByteSlice;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files of a catalog at one commit, unread.
pub struct Survey {
    source: CatalogSource,
    repository: gix::ThreadSafeRepository,
    /// Every file that is in no overlay's folder.
    entries: BTreeMap<String, Entry>,
    /// The folders below `specs/overlays/`, by name.
    overlays: BTreeMap<String, gix::ObjectId>,
    /// Where repositories that specs name are kept.
    clones: PathBuf,
    /// Whether none of them may be fetched.
    offline: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: FileKind,
    id: gix::ObjectId,
}

/// What one spec file speaks of, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// The names of its images.
    pub names: Vec<String>,
    /// The scripts and pictures that they name, and the files that they include; the folders
    /// that files are taken from, with a slash at the end.
    pub files: Vec<String>,
}

impl Survey {
    /// Looks at the commit that a location means; `None` for a folder that is read as it is
    /// on disk.
    ///
    /// # Errors
    /// If the place cannot be read, the revision is not there, or a limit is passed.
    pub fn of(location: &Location, clones: &Path) -> Result<Option<Self>> {
        let Some(place) = git::place(location, clones)? else { return Ok(None) };
        let text = location.to_string();
        let (source, tree) = git::root(&place, &text)?;
        let mut listing = Listing {
            repository: &place.repository,
            location: &text,
            entries: BTreeMap::new(),
            overlays: BTreeMap::new(),
            folded: BTreeSet::new(),
        };
        listing.tree(&tree, "", 0)?;
        let (entries, overlays) = (listing.entries, listing.overlays);
        drop(tree);
        let Place { repository, .. } = place;
        let repository = repository.into_sync();
        Ok(Some(Self { source, repository, entries, overlays, clones: clones.to_owned(), offline: false }))
    }

    /// The same; with `offline`, repositories that specs name are not fetched.
    #[must_use]
    pub fn offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// The files that a path names: itself, or with a slash at the end all below it.
    fn named(&self, path: &str) -> Vec<String> {
        if !path.ends_with('/') {
            return vec![path.to_owned()];
        }
        let below = self.entries.range(path.to_owned()..).map(|(path, _)| path);
        below.take_while(|found| found.starts_with(path)).cloned().collect()
    }

    /// Where the catalog is, and the commit.
    pub fn source(&self) -> &CatalogSource {
        &self.source
    }

    /// The files that hold specs, by path.
    pub fn specs(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str).filter(|path| is_spec(path))
    }

    /// The files that every spec may depend on: settings, policies, runners. Profiles count for
    /// the specs that include them.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        let of_images = |path: &str| path.starts_with("specs/") || path.starts_with("profiles/");
        self.entries.keys().map(String::as_str).filter(move |path| !of_images(path))
    }

    /// The catalog without its images: settings, and policies and runners as far as they are in order
    /// ([`Survey::check_rest`] says whether they are).
    ///
    /// # Errors
    /// Class *spec* if the settings are not in order.
    pub fn without_images(&self) -> Result<Catalog> {
        load(&self.read([SETTINGS], [])?).map_err(|found| diagnostic::failure(&found))?;
        let wanted = |path: &str| path == SETTINGS || load::is_policy(path) || load::is_runner(path);
        let paths = self.shared().filter(|path| wanted(path));
        let (catalog, found) = load::check_some(&self.read(paths, [])?, &BTreeSet::new());
        catalog.ok_or_else(|| diagnostic::failure(&found))
    }

    /// Sets the places of findings to the lines and columns of their fields.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn locate<'f>(&self, findings: impl IntoIterator<Item = &'f mut Finding>) -> Result<()> {
        let mut files = Files::new(self.source.clone());
        for finding in findings {
            // One file at a time: all of them together may be more than a catalog may hold.
            let path = finding.place.file.clone();
            if files.get(&path).is_none() {
                let included = self.mentions([path.as_str()])?.into_iter().flat_map(|m| m.files);
                let paths: Vec<String> = std::iter::once(path).chain(included).collect();
                files = self.read(paths.iter().map(String::as_str), [])?;
            }
            super::locate(&files, finding);
        }
        Ok(())
    }

    /// An identity of everything that a spec file and what it mentions are made of: paths,
    /// kinds and object ids, and what is not there.
    pub fn identity(&self, path: &str, names: &[&str], files: &[String]) -> Digest {
        let mut text = String::new();
        let mut add = |path: &str, kind: char, id: Option<&gix::ObjectId>| {
            text.push_str(path);
            text.push('\0');
            match id {
                Some(id) => {
                    text.push(kind);
                    text.push_str(&id.to_hex().to_string());
                }
                None => text.push('-'),
            }
            text.push('\n');
        };
        let locks = names.iter().map(|name| format!("specs/{name}.lock.yaml"));
        let files = files.iter().flat_map(|file| self.named(file));
        for path in std::iter::once(path.to_owned()).chain(locks).chain(files) {
            let entry = self.entries.get(&path);
            add(&path, entry.map_or('-', |e| letter(e.kind)), entry.map(|e| &e.id));
        }
        for name in names {
            add(&format!("{OVERLAYS}{name}/"), 'd', self.overlays.get(*name));
        }
        Digest::of(text)
    }

    /// An identity of settings, policies and runners.
    pub fn shared_identity(&self) -> Digest {
        let paths: Vec<String> = self.shared().map(str::to_owned).collect();
        self.identity(SETTINGS, &[], &paths)
    }

    /// Reads some files, and whole overlays by their image's name. What is not there is left
    /// out.
    ///
    /// # Errors
    /// If one cannot be read or may not be in a catalog, or a limit is passed.
    pub fn read<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p str>,
        overlays: impl IntoIterator<Item = &'p str>,
    ) -> Result<Files> {
        let repository = self.repository.to_thread_local();
        let location = &self.source.location;
        let mut walk = Walk { repository: &repository, location, files: Files::new(self.source.clone()) };
        for path in paths {
            let Some(entry) = self.entries.get(path) else { continue };
            if walk.files.get(path).is_none() {
                walk.blob(path, entry.kind, entry.id)?;
            }
        }
        for name in overlays {
            let Some(id) = self.overlays.get(name) else { continue };
            let tree = repository.find_tree(*id).map_err(|e| corrupt(location, &e))?;
            walk.tree(&tree, &format!("{OVERLAYS}{name}/"), 3)?;
        }
        Ok(walk.files)
    }

    /// Reads and checks some spec files with everything that belongs to them.
    ///
    /// # Errors
    /// If one cannot be read; what is wrong inside is in the diagnostics.
    pub fn check<'p>(
        &self,
        specs: impl IntoIterator<Item = (&'p str, &'p Mentions)>,
    ) -> Result<(Option<Catalog>, Vec<Diagnostic>)> {
        let (mut paths, mut overlays): (BTreeSet<String>, BTreeSet<&str>) = Default::default();
        paths.extend(self.shared().map(str::to_owned));
        let mut own: BTreeSet<&str> = BTreeSet::new();
        for (path, mentions) in specs {
            own.insert(path);
            paths.insert(path.to_owned());
            paths.extend(mentions.files.iter().flat_map(|file| self.named(file)));
            paths.extend(mentions.names.iter().map(|name| format!("specs/{name}.lock.yaml")));
            overlays.extend(mentions.names.iter().map(String::as_str));
        }
        let files = self.read(paths.iter().map(String::as_str), overlays)?;
        let (mut catalog, found) = load::check_some(&files, &own);
        if let Some(catalog) = &mut catalog {
            let clones = Clones { folder: &self.clones, offline: self.offline };
            trees::gather(catalog, &clones);
        }
        Ok((catalog, found))
    }

    /// Checks what belongs to none of the catalog's images, and what needs all of them: `devices`
    /// are its device profiles with their channels, `claimed` the files that do belong to one.
    ///
    /// # Errors
    /// If a file cannot be read; what is wrong with them is in the diagnostics.
    pub fn check_rest(
        &self,
        images: &BTreeMap<ImageName, Reads>,
        devices: &BTreeMap<ImageName, ChannelName>,
        claimed: &BTreeSet<&str>,
    ) -> Result<Vec<Diagnostic>> {
        let locks: BTreeSet<String> = images.keys().map(lock_path).collect();
        let rest = self.entries.keys().map(String::as_str);
        let folders: Vec<&&str> = claimed.iter().filter(|path| path.ends_with('/')).collect();
        let is_claimed = |path: &str| claimed.contains(path) || folders.iter().any(|f| path.starts_with(**f));
        let rest = rest.filter(|path| !is_claimed(path) && !locks.contains(*path) && !is_spec(path));
        let strange = |name: &&str| {
            !name.parse::<ImageName>().is_ok_and(|name| images.contains_key(&name))
                && !claimed.contains(format!("{OVERLAYS}{name}/").as_str())
        };
        let overlays = self.overlays.keys().map(String::as_str).filter(strange);
        let files = self.read(rest, overlays)?;
        Ok(load::check_rest(&files, images, devices))
    }

    /// What some spec files mention.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn mentions<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> Result<Vec<Mentions>> {
        let repository = self.repository.to_thread_local();
        let location = &self.source.location;
        let mut found = Vec::new();
        for path in paths {
            // One file at a time: all of them together may be more than a catalog may hold.
            let mut walk = Walk { repository: &repository, location, files: Files::new(self.source.clone()) };
            let included = self.included(path, &mut walk)?;
            let mut mentions = mentions(&walk.files, path);
            mentions.files.extend(included);
            found.push(mentions);
        }
        Ok(found)
    }

    /// Reads a spec and everything that it includes; gives the paths of the latter, also of
    /// those that are not there.
    fn included(&self, path: &str, walk: &mut Walk<'_>) -> Result<BTreeSet<String>> {
        let mut waiting = vec![path.to_owned()];
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(next) = waiting.pop() {
            let Some(entry) = self.entries.get(&next) else { continue };
            walk.blob(&next, entry.kind, entry.id)?;
            let text = walk.files.get(&next).and_then(|file| std::str::from_utf8(&file.bytes).ok());
            for target in text.map(|text| include::all_targets(&next, text)).unwrap_or_default() {
                if target != path && seen.len() < include::MOST_FILES && seen.insert(target.clone()) {
                    waiting.push(target);
                }
            }
        }
        Ok(seen)
    }
}

fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::Regular => 'f',
        FileKind::Executable => 'x',
        FileKind::Symlink => 'l',
    }
}

/// What a spec file mentions, put together with what it includes; nothing of what cannot be read.
pub fn mentions(files: &Files, path: &str) -> Mentions {
    let mut found = Mentions::default();
    let file = files.get(path).and_then(|file| std::str::from_utf8(&file.bytes).ok());
    let Some(text) = file else { return found };
    let (documents, _) = yaml::parse(text);
    let source = Source::new(path, text, &documents);
    let mut library = Library::new(files);
    for own in &documents {
        let document = &library.compose(&source, own).node;
        let spec = document.get("spec");
        let name = document.get("metadata").and_then(|m| m.get("name")).and_then(yaml::Node::text);
        found.names.extend(name.map(str::to_owned));
        if is_device(own) {
            // No image has these: without a claim they would be of nothing.
            found.files.extend(name.map(|name| format!("{OVERLAYS}{name}/")));
            found.files.extend(name.map(|name| format!("specs/{name}.lock.yaml")));
            let script = spec.and_then(|s| s.get("firstBootScript")).and_then(yaml::Node::text);
            found.files.extend(script.map(str::to_owned));
            if let Some(yaml::Value::List(feeds)) = spec.and_then(|s| s.get("repositories")).map(|f| &f.value)
            {
                found.files.extend(feeds.iter().filter_map(|feed| Some(feed.get("key")?.text()?.to_owned())));
            }
            continue;
        }
        if let Some(yaml::Value::List(scripts)) =
            spec.and_then(|s| s.get("postInstall")).and_then(|p| p.get("scripts")).map(|s| &s.value)
        {
            found.files.extend(scripts.iter().filter_map(|script| Some(script.text()?.to_owned())));
        }
        let bootloader = spec.and_then(|s| s.get("customization")).and_then(|c| c.get("bootloader"));
        let splash = bootloader.and_then(|b| b.get("splash")).and_then(yaml::Node::text);
        found.files.extend(splash.map(str::to_owned));
        if let Some(installer) = spec.and_then(|s| s.get("installer")) {
            let logo = installer.get("logo").and_then(yaml::Node::text);
            found.files.extend(logo.map(str::to_owned));
            if let Some(yaml::Value::List(slides)) = installer.get("slides").map(|s| &s.value) {
                found.files.extend(slides.iter().filter_map(|slide| Some(slide.text()?.to_owned())));
            }
        }
        let looks = spec.and_then(|s| s.get("customization"));
        for source in ["shellFrameworkSource", "promptSource", "dotfiles"] {
            let source = looks.and_then(|looks| looks.get(source));
            let folder = source.and_then(|s| s.get("folder")).and_then(yaml::Node::text);
            found.files.extend(folder.map(|folder| format!("{}/", folder.trim_end_matches('/'))));
        }
    }
    found
}

/// A walk that opens folders and no files.
struct Listing<'a> {
    repository: &'a gix::Repository,
    location: &'a str,
    entries: BTreeMap<String, Entry>,
    overlays: BTreeMap<String, gix::ObjectId>,
    folded: BTreeSet<String>,
}

impl Listing<'_> {
    fn tree(&mut self, tree: &gix::Tree<'_>, folder: &str, depth: usize) -> Result<()> {
        for entry in tree.iter() {
            let entry = entry.map_err(|e| corrupt(self.location, &e))?;
            if depth == 0 && !git::is_wanted(entry.filename().as_bytes()) {
                continue;
            }
            let path = format!("{folder}{}", utf8_path(entry.filename().as_bytes())?);
            let id = entry.object_id();
            match git::file_kind(&path, entry.kind())? {
                Some(kind) => {
                    fold_case(&mut self.folded, &path)?;
                    check_count(self.entries.len())?;
                    self.entries.insert(path, Entry { kind, id });
                }
                None if folder == OVERLAYS => {
                    let name = path.strip_prefix(OVERLAYS).unwrap_or(&path);
                    check_count(self.overlays.len())?;
                    self.overlays.insert(name.to_owned(), id);
                }
                None => {
                    git::check_depth(&path, depth)?;
                    let tree = self.repository.find_tree(id).map_err(|e| corrupt(self.location, &e))?;
                    self.tree(&tree, &format!("{path}/"), depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").field("source", &self.source).field("files", &self.entries.len()).finish()
    }
}

/// A failure with everything that is wrong.
pub fn refused(mut found: Vec<Diagnostic>) -> Failure {
    diagnostic::sort(&mut found);
    diagnostic::failure(&found)
}
