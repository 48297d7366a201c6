//! Folders and repositories that an image takes files from: dotfiles, and what shells load.
//!
//! Their files end up in homes and below `/usr/share`, written by root. So nothing in a tree
//! may lead out of it: links point downwards or to a place inside, paths are plain, and what
//! git itself reads (`.git`) is never one of them.

use super::diagnostic::Diagnostic;
use super::files::{File, FileKind, Files};
use super::git::{corrupt, file_kind, open, resolve};
use super::{git, remote};
use crate::model::catalog::{Catalog, OverlayContent, OverlayEntry};
use crate::model::settings::GitMirror;
use crate::model::spec::Origin;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const MOST_FILES: usize = 20_000;
const LARGEST_FILE: u64 = 16 << 20;
const LARGEST_TOTAL: u64 = 96 << 20;
const DEEPEST: usize = 32;

/// What a repository has for people and for git, at its top: no part of what it brings.
const ABOUT: [&str; 4] = [".gitignore", ".gitattributes", ".gitmodules", ".github"];

/// Whether an entry at the top of a tree is about the tree itself.
fn is_about(path: &str) -> bool {
    let top = path.split('/').next().unwrap_or(path);
    let name = top.split('.').next().unwrap_or(top);
    ABOUT.contains(&top) || (top == path && ["README", "LICENSE", "LICENCE", "COPYING"].contains(&name))
}

/// The files of a folder of the catalog, and everything that is wrong with them.
pub(super) fn of_folder(files: &Files, folder: &str) -> (Vec<OverlayEntry>, Vec<Diagnostic>) {
    let (mut entries, mut found) = (Vec::new(), Vec::new());
    let inside = files.iter().filter_map(|(path, file)| Some((path, inner(path, folder)?, file)));
    for (path, inner, file) in inside.filter(|(_, inner, _)| !is_about(inner)) {
        match entry(inner, file) {
            Ok(entry) => entries.push(entry),
            Err((message, hint)) => found.push(Diagnostic::of_file(path, message, hint)),
        }
    }
    (entries, found)
}

/// The part of a path that is below a folder.
pub(super) fn inner<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')
}

type Refused = (String, &'static str);

fn entry(inner: &str, file: &File) -> Result<OverlayEntry, Refused> {
    check_path(inner)?;
    let content = match file.kind {
        FileKind::Symlink => OverlayContent::Symlink { target: check_link(inner, &file.bytes)?.to_owned() },
        kind => {
            OverlayContent::File { bytes: Arc::clone(&file.bytes), executable: kind == FileKind::Executable }
        }
    };
    Ok(OverlayEntry { path: inner.to_owned(), content })
}

fn check_path(inner: &str) -> Result<(), Refused> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.eq_ignore_ascii_case(".git")
            && !part.starts_with(".wh.")
            && part.len() <= 255
            && !part.contains('\\')
            && !part.chars().any(char::is_control)
    };
    if inner.len() <= 1024 && inner.split('/').count() <= DEEPEST && inner.split('/').all(plain) {
        return Ok(());
    }
    Err((
        format!("{inner:?} is not a path that can be laid into a system"),
        "Use names without control characters, backslashes, `..`, `.git` and `.wh.`.",
    ))
}

/// A link's target, if it stays inside. Steps up come first and are no more than there are
/// folders above the link: behind a name, `..` could start from wherever another link leads.
fn check_link<'b>(inner: &str, bytes: &'b [u8]) -> Result<&'b str, Refused> {
    let target = std::str::from_utf8(bytes).unwrap_or_default();
    let sane = !target.is_empty() && target.len() < 4096 && !target.chars().any(char::is_control);
    let steps: Vec<&str> = target.split('/').filter(|step| !matches!(*step, "" | ".")).collect();
    let up = steps.iter().take_while(|step| **step == "..").count();
    let inside = !target.starts_with('/') && up < inner.split('/').count() && !steps[up..].contains(&"..");
    if sane && inside {
        return Ok(target);
    }
    Err((
        format!("this symbolic link leads out of its folder, to {target:?}"),
        "Let it point to a file of the same folder, by a relative path.",
    ))
}

/// Where repositories are taken from.
#[derive(Clone, Debug)]
pub struct Clones<'a> {
    /// The folder in which they are kept between calls; it may be deleted at any time.
    pub folder: &'a Path,
    /// Whether nothing may be fetched.
    pub offline: bool,
}

/// Takes the files of all repositories that a catalog's images name into their documents. One
/// that cannot be had is said by the images that name it, and by no other.
pub fn gather(catalog: &mut Catalog, clones: &Clones<'_>) {
    let mut known: BTreeMap<String, Result<Vec<OverlayEntry>>> = BTreeMap::new();
    let mirrors = &catalog.settings.git_mirrors;
    for document in catalog.images.values_mut() {
        for (field, origin) in document.spec.spec.customization.origins() {
            let Origin::Repository { url, revision } = origin else { continue };
            // What is brought for all shells may leave modules of its own out; a home may not.
            let whole = field == "spec.customization.dotfiles";
            let name = origin.to_string();
            let entries = known
                .entry(format!("{whole} {name}"))
                .or_insert_with(|| of_repository(url.as_str(), revision.as_str(), whole, mirrors, clones));
            let entries = entries.clone().map_err(|failure| failure.on(field));
            document.trees.insert(name, entries);
        }
    }
}

/// The files of a repository at one commit.
fn of_repository(
    url: &str,
    revision: &str,
    whole: bool,
    mirrors: &[GitMirror],
    clones: &Clones<'_>,
) -> Result<Vec<OverlayEntry>> {
    let id = gix::ObjectId::from_hex(revision.as_bytes()).map_err(|_| {
        Failure::spec(format!("{url}: commits of 64 digits cannot be read"))
            .hint("Name a repository that git keeps by SHA-1.")
    })?;
    let address = mirrored(url, mirrors);
    let repository = match git::file_path(&address)? {
        Some(path) => open(&path)?,
        None => remote::fetch_commit(&address, id, clones.folder, clones.offline)?,
    };
    if resolve(&repository, revision, url)? != id {
        return Err(remote::no_commit(url, id));
    }
    let broken = |e: gix::Error| corrupt(url, &e);
    let tree = repository.find_commit(id).and_then(|commit| commit.tree()).map_err(broken)?;
    let mut walk = Walk { repository: &repository, url, whole, total: 0, entries: Vec::new() };
    walk.tree(&tree, "")?;
    if walk.entries.is_empty() {
        return Err(Failure::spec(format!("{url} has no files at {revision}")).hint("Name another commit."));
    }
    Ok(walk.entries)
}

/// The address that a repository is fetched from: the longest beginning that the settings know
/// is replaced.
fn mirrored(url: &str, mirrors: &[GitMirror]) -> String {
    let known = mirrors.iter().filter(|mirror| url.starts_with(&mirror.of));
    match known.max_by_key(|mirror| mirror.of.len()) {
        Some(mirror) => format!("{}{}", mirror.url, &url[mirror.of.len()..]),
        None => url.to_owned(),
    }
}

struct Walk<'a> {
    repository: &'a gix::Repository,
    url: &'a str,
    whole: bool,
    total: u64,
    entries: Vec<OverlayEntry>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &gix::Tree<'_>, folder: &str) -> Result<()> {
        for entry in tree.iter() {
            let entry = entry.map_err(|e| corrupt(self.url, &e))?;
            let path = format!("{folder}{}", super::files::utf8_path(entry.filename().as_bytes())?);
            check_path(&path).map_err(|refused| self.refused(&path, refused))?;
            if is_about(&path) {
                continue;
            }
            let id = entry.object_id();
            if entry.kind() == EntryKind::Commit && !self.whole {
                continue;
            }
            match file_kind(&path, entry.kind()).map_err(|failure| failure.on(self.url))? {
                Some(kind) => self.blob(&path, kind, id)?,
                None => {
                    let tree = self.repository.find_tree(id).map_err(|e| corrupt(self.url, &e))?;
                    self.tree(&tree, &format!("{path}/"))?;
                }
            }
        }
        Ok(())
    }

    fn blob(&mut self, path: &str, kind: FileKind, id: gix::ObjectId) -> Result<()> {
        let size = self.repository.find_header(id).map_err(|e| corrupt(self.url, &e))?.size();
        self.total += size;
        if size > LARGEST_FILE || self.total > LARGEST_TOTAL || self.entries.len() >= MOST_FILES {
            let message = format!(
                "{}: {path} makes it too large: at most {MOST_FILES} files, {LARGEST_FILE} bytes each, {LARGEST_TOTAL} together",
                self.url
            );
            return Err(Failure::new(ErrorCode::LimitExceeded, FailureClass::Spec, message)
                .hint("Keep what the image needs in a folder of the catalog."));
        }
        let mut blob = self.repository.find_blob(id).map_err(|e| corrupt(self.url, &e))?;
        let file = File { bytes: blob.take_data().into(), kind };
        self.entries.push(entry(path, &file).map_err(|refused| self.refused(path, refused))?);
        Ok(())
    }

    fn refused(&self, path: &str, (message, hint): Refused) -> Failure {
        Failure::spec(format!("{}: {path}: {message}", self.url)).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_their_folder() {
        for (at, target) in
            [(".vimrc", "vim/rc"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./b"), ("a/b", ".")]
        {
            assert!(check_link(at, target.as_bytes()).is_ok(), "{at} -> {target}");
        }
        for (at, target) in [
            (".vimrc", "/etc/shadow"),
            (".vimrc", "../x"),
            ("a/b", "../../x"),
            ("a", "b/../../x"),
            ("a", "deep/link/../x"),
            ("a", ""),
            ("a", "x\ny"),
        ] {
            assert!(check_link(at, target.as_bytes()).is_err(), "{at} -> {target}");
        }
        assert!(check_link("a", b"\xff").is_err());
    }

    #[test]
    fn what_is_about_a_tree_is_no_part_of_it() {
        for about in ["README.md", "README", "LICENSE.txt", ".gitignore", ".github/workflows/x.yml"] {
            assert!(is_about(about), "{about}");
        }
        for part in [".config/README.md", "READMEs", ".zshrc", "lib/LICENSE", ".gitconfig"] {
            assert!(!is_about(part), "{part}");
        }
    }

    #[test]
    fn the_longest_mirror_wins() {
        let mirror = |of: &str, url: &str| GitMirror { of: of.to_owned(), url: url.to_owned() };
        let mirrors = [
            mirror("https://github.com/", "https://git.example/github/"),
            mirror("https://github.com/ada/", "file:///srv/ada/"),
        ];
        assert_eq!(mirrored("https://github.com/ada/d.git", &mirrors), "file:///srv/ada/d.git");
        assert_eq!(mirrored("https://github.com/bob/d", &mirrors), "https://git.example/github/bob/d");
        assert_eq!(mirrored("https://example.org/d", &mirrors), "https://example.org/d");
    }
}
