//! Reads a catalog out of git at one commit, without a work tree and without the git program.
//!
//! A repository is data, not configuration: only its own `config` file is read (it says
//! where its objects are), never the user's or the system's, and replacement refs are
//! not honoured, so that a commit id means the same bytes everywhere.

use super::files::{self, FileKind, Files, utf8_path};
use super::location::{Location, check_revision};
use super::{remote, worktree};
use crate::model::catalog::{CatalogSource, Commit};
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use chrono::DateTime;
use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;
use std::path::{Path, PathBuf};

/// Reads the files of a catalog. `clones` is the folder in which remote repositories are
/// kept between calls; it may be deleted at any time.
///
/// # Errors
/// If the place cannot be read, the revision is not there, or a limit is passed.
pub fn read(location: &Location, clones: &Path) -> Result<Files> {
    if let Location::WorkTree(path) = location {
        return worktree::read(path);
    }
    match place(location, clones)? {
        Some(place) => read_commit(&place, &location.to_string()),
        None => Err(Failure::bug(format!("{location} is neither a folder nor a commit"))),
    }
}

/// A catalog in a repository.
pub(super) struct Place {
    pub repository: gix::Repository,
    /// The commit.
    id: gix::ObjectId,
    /// The catalog's folder in it: empty, or with a slash at the end.
    prefix: String,
}

/// The repository and the commit that a location means, fetched if need be; `None` for a
/// folder that is read as it is on disk.
pub(super) fn place(location: &Location, clones: &Path) -> Result<Option<Place>> {
    let (repository, id, prefix) = match location {
        Location::WorkTree(_) => return Ok(None),
        Location::Commit { repo, rev } => {
            let (repository, prefix) = discover(repo)?;
            let id = resolve(&repository, rev, &location.to_string())?;
            (repository, id, prefix)
        }
        Location::Remote { url, rev } => {
            if let Some(path) = file_path(url)? {
                let repository = open(&path)?;
                let rev = rev.as_deref().unwrap_or("HEAD");
                let id = resolve(&repository, rev, &location.to_string())?;
                (repository, id, String::new())
            } else {
                let (repository, id) = remote::fetch(url, rev.as_deref(), clones)?;
                (repository, id, String::new())
            }
        }
    };
    Ok(Some(Place { repository, id, prefix }))
}

/// The commit that a location means now, without fetching its files; `None` for a folder
/// that is read as it is on disk.
///
/// # Errors
/// If the place cannot be read or the revision is not there.
pub fn head(location: &Location, clones: &Path) -> Result<Option<String>> {
    let id = match location {
        Location::WorkTree(_) => return Ok(None),
        Location::Commit { repo, rev } => resolve(&discover(repo)?.0, rev, &location.to_string())?,
        Location::Remote { url, rev } => match file_path(url)? {
            Some(path) => resolve(&open(&path)?, rev.as_deref().unwrap_or("HEAD"), &location.to_string())?,
            None => remote::head(url, rev.as_deref(), clones)?,
        },
    };
    Ok(Some(id.to_string()))
}

/// A `file://` address is opened in place: a clone of it would only be a second copy.
pub(super) fn file_path(url: &str) -> Result<Option<PathBuf>> {
    let Some(path) = url.strip_prefix("file://") else { return Ok(None) };
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let decoded = if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            hex::decode(&digits).ok().and_then(|d| d.first().copied()).filter(|b| *b != 0)
        } else {
            Some(byte)
        };
        let refuse = || Failure::spec(format!("{url}: a % must be followed by two hexadecimal digits"));
        bytes.push(decoded.ok_or_else(refuse)?);
    }
    Ok(Some(PathBuf::from(std::ffi::OsString::from(utf8_path(&bytes)?))))
}

fn options() -> gix::open::Options {
    gix::open::Options::isolated().config_overrides(["core.useReplaceRefs=false"])
}

/// Opens a repository at exactly this path: bare, or with `.git` in it.
pub(super) fn open(path: &Path) -> Result<gix::Repository> {
    gix::open_opts(path, options()).map_err(|e| not_a_repository(path, &e))
}

/// Opens the repository that `path` is in; also gives the catalog's folder in it
/// (empty, or with a slash at the end).
fn discover(path: &Path) -> Result<(gix::Repository, String)> {
    if let Ok(repository) = gix::open_opts(path, options()) {
        return Ok((repository, String::new()));
    }
    let absolute = path
        .canonicalize()
        .map_err(|e| Failure::io(format!("opening the repository {}", path.display()), &e))?;
    for parent in absolute.ancestors().skip(1) {
        if !parent.join(".git").exists() {
            continue;
        }
        let repository = open(parent)?;
        let inside = absolute.strip_prefix(parent).unwrap_or(Path::new(""));
        let prefix = utf8_path(inside.as_os_str().as_encoded_bytes())?;
        return Ok((repository, format!("{prefix}/")));
    }
    Err(Failure::not_found(format!("{} is not a git repository", path.display()))
        .hint("Name a repository, or leave the revision away to read the folder as it is."))
}

fn not_a_repository(path: &Path, error: &gix::Error) -> Failure {
    Failure::not_found(format!("{} cannot be opened as a git repository", path.display()))
        .details(error.to_string())
        .hint("Name a repository, or leave the revision away to read the folder as it is.")
}

/// The commit that a branch, tag or commit id means.
pub(super) fn resolve(repository: &gix::Repository, rev: &str, place: &str) -> Result<gix::ObjectId> {
    check_revision(rev)?;
    let mut found = Vec::new();
    let candidates = [rev.to_owned(), format!("refs/heads/{rev}"), format!("refs/tags/{rev}")];
    for name in candidates {
        // A bare word is a branch or a tag, not any file in the repository's folder.
        if name == rev && rev != "HEAD" && !rev.starts_with("refs/") {
            continue;
        }
        let broken = |e: gix::Error| corrupt(place, &e);
        if let Some(mut reference) = repository.try_find_reference(name.as_str()).map_err(broken)? {
            let id = reference.peel_to_id().map_err(|e| unborn(place, rev, &e))?;
            found.push((name, id.detach()));
        }
    }
    if let [(first, one), (second, two)] = found.as_slice()
        && one != two
    {
        return Err(Failure::spec(format!("{place}: {rev} is a branch and a tag"))
            .hint(format!("Write {first} or {second}.")));
    }
    if let Some((_, id)) = found.first() {
        return Ok(*id);
    }
    commit_id(repository, rev).ok_or_else(|| {
        Failure::not_found(format!("{place}: there is no branch, tag or commit {rev}"))
            .hint("List what there is with `git branch --all` and `git tag`.")
    })
}

/// The commit that a full or shortened id means (at least 7 digits).
fn commit_id(repository: &gix::Repository, rev: &str) -> Option<gix::ObjectId> {
    let is_hex = (7..=40).contains(&rev.len()) && rev.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return None;
    }
    let id = repository.rev_parse_single(rev).ok()?;
    Some(id.object().ok()?.peel_to_kind(gix::objs::Kind::Commit).ok()?.id)
}

fn unborn(place: &str, rev: &str, error: &gix::Error) -> Failure {
    Failure::not_found(format!("{place}: {rev} has no commit yet"))
        .details(error.to_string())
        .hint("Commit something first.")
}

pub(super) fn corrupt(place: &str, error: &gix::Error) -> Failure {
    Failure::new(ErrorCode::Corrupt, FailureClass::Host, format!("{place}: the repository cannot be read"))
        .details(error.to_string())
        .hint("Look at it with `git fsck`.")
}

/// Reads all files of a catalog at its commit.
fn read_commit(place: &Place, location: &str) -> Result<Files> {
    let (source, tree) = root(place, location)?;
    let mut walk = Walk { repository: &place.repository, location, files: Files::new(source) };
    walk.tree(&tree, "", 0)?;
    Ok(walk.files)
}

/// The catalog's own folder at its commit.
pub(super) fn root<'r>(place: &'r Place, location: &str) -> Result<(CatalogSource, gix::Tree<'r>)> {
    let Place { repository, id, prefix } = place;
    let broken = |e: gix::Error| corrupt(location, &e);
    let object = repository.find_object(*id).map_err(broken)?;
    let commit = object.peel_to_commit().map_err(|e| {
        Failure::spec(format!("{location}: not a commit")).details(e.to_string()).hint("Name a commit.")
    })?;
    let source = CatalogSource { location: location.to_owned(), commit: Some(describe(&commit, location)?) };
    let mut tree = commit.tree().map_err(broken)?;
    for part in prefix.split('/').filter(|p| !p.is_empty()) {
        let entry = tree.find_entry(part).map(|e| (e.mode().is_tree(), e.object_id()));
        let Some((true, id)) = entry else {
            return Err(Failure::not_found(format!("{location}: the commit has no folder {prefix}")));
        };
        tree = repository.find_tree(id).map_err(broken)?;
    }
    Ok((source, tree))
}

fn describe(commit: &gix::Commit<'_>, location: &str) -> Result<Commit> {
    let seconds = commit.time().map_err(|e| corrupt(location, &e))?.seconds;
    let subject = commit.message_raw_sloppy().to_str_lossy();
    let subject: String = subject.lines().next().unwrap_or_default().chars().take(200).collect();
    Ok(Commit {
        id: commit.id().to_string(),
        date: DateTime::from_timestamp(seconds, 0).unwrap_or_default(),
        subject: subject.chars().filter(|c| !c.is_control()).collect(),
    })
}

/// A walk that reads every file.
pub(super) struct Walk<'a> {
    pub repository: &'a gix::Repository,
    pub location: &'a str,
    pub files: Files,
}

impl Walk<'_> {
    pub fn tree(&mut self, tree: &gix::Tree<'_>, folder: &str, depth: usize) -> Result<()> {
        for entry in tree.iter() {
            let entry = entry.map_err(|e| corrupt(self.location, &e))?;
            if depth == 0 && !is_wanted(entry.filename().as_bytes()) {
                continue;
            }
            let path = format!("{folder}{}", utf8_path(entry.filename().as_bytes())?);
            let id = entry.object_id();
            match file_kind(&path, entry.kind())? {
                Some(kind) => self.blob(&path, kind, id)?,
                None => {
                    check_depth(&path, depth)?;
                    let tree = self.repository.find_tree(id).map_err(|e| corrupt(self.location, &e))?;
                    self.tree(&tree, &format!("{path}/"), depth + 1)?;
                }
            }
        }
        Ok(())
    }

    pub fn blob(&mut self, path: &str, kind: FileKind, id: gix::ObjectId) -> Result<()> {
        let header = self.repository.find_header(id).map_err(|e| corrupt(self.location, &e))?;
        self.files.expect(path, kind, header.size())?;
        let mut blob = self.repository.find_blob(id).map_err(|e| corrupt(self.location, &e))?;
        self.files.add(path, kind, blob.take_data())
    }
}

/// What a tree's entry is; `None` for a folder.
pub(super) fn file_kind(path: &str, kind: EntryKind) -> Result<Option<FileKind>> {
    match kind {
        EntryKind::Tree => Ok(None),
        EntryKind::Commit => Err(Failure::spec(format!("{path} is a submodule"))
            .hint("Submodules are not read; put the files into the catalog itself.")),
        EntryKind::Blob => Ok(Some(FileKind::Regular)),
        EntryKind::BlobExecutable => Ok(Some(FileKind::Executable)),
        EntryKind::Link => Ok(Some(FileKind::Symlink)),
    }
}

pub(super) fn check_depth(path: &str, depth: usize) -> Result<()> {
    if depth <= 64 {
        return Ok(());
    }
    Err(Failure::spec(format!("{path} is nested too deeply")).hint("Use fewer folders."))
}

pub(super) fn is_wanted(name: &[u8]) -> bool {
    name == files::SETTINGS.as_bytes() || files::FOLDERS.iter().any(|f| f.as_bytes() == name)
}
