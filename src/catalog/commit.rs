//! Makes repositories and commits for `init` and the demo, through gix alone.

use super::git::corrupt;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use chrono::{DateTime, Utc};
use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who makes a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Name.
    pub name: String,
    /// Address.
    pub email: String,
}

/// Makes `folder` a git repository if it is none yet; says whether it made one. The first
/// branch is `main`.
///
/// # Errors
/// If the repository cannot be made.
pub fn create_repository(folder: &Path) -> Result<bool> {
    if folder.join(".git").exists() {
        return Ok(false);
    }
    let place = folder.display().to_string();
    // Whatever the user's own settings call a first branch, the examples speak of `main`.
    let options = gix::open::Options::isolated().config_overrides(["init.defaultBranch=main"]);
    let kind = gix::create::Kind::WithWorktree;
    gix::ThreadSafeRepository::init_opts(folder, kind, gix::create::Options::default(), options).map_err(
        |e| Failure::host(format!("{place}: cannot make a git repository")).details(e.to_string()),
    )?;
    Ok(true)
}

/// The user's name and address from the git settings that hold for `folder`.
pub fn author(folder: &Path) -> Option<Author> {
    let repository = gix::open(folder).ok()?;
    let signature = repository.author()?.ok()?;
    let text = |part: &gix::bstr::BStr| part.to_str().ok().map(str::to_owned).filter(|t| !t.is_empty());
    Some(Author { name: text(signature.name)?, email: text(signature.email)? })
}

/// Commits the files at `paths` (relative to `folder`, as they are on disk; one that is
/// not there any more is removed) on the current branch; gives the commit's id. The
/// index follows, so that `git status` is clean afterwards.
///
/// # Errors
/// If a file cannot be read or the commit cannot be written.
pub fn commit_files(
    folder: &Path,
    paths: &[&str],
    message: &str,
    author: &Author,
    when: DateTime<Utc>,
) -> Result<String> {
    let place = folder.display().to_string();
    let broken = |e: gix::Error| corrupt(&place, &e);
    let repository = super::git::open(folder)?;
    let parent = repository.head().map_err(broken)?.id().map(gix::Id::detach);
    let base = match parent {
        Some(id) => repository.find_commit(id).and_then(|c| c.tree_id()).map_err(broken)?.detach(),
        None => repository.empty_tree().id,
    };
    let mut editor = repository.edit_tree(base).map_err(broken)?;
    for path in paths {
        match content(folder, path)? {
            Some((kind, bytes)) => {
                let id = repository.write_blob(&bytes).map_err(broken)?;
                editor.upsert(*path, kind, id).map_err(broken)?;
            }
            None => drop(editor.remove(*path).map_err(broken)?),
        }
    }
    let tree = editor.write().map_err(broken)?.detach();
    let time = format!("{} +0000", when.timestamp());
    let signature = gix::actor::SignatureRef {
        name: author.name.as_bytes().as_bstr(),
        email: author.email.as_bytes().as_bstr(),
        time: &time,
    };
    let id = repository
        .commit_as(signature, signature, "HEAD", message, tree, parent)
        .map_err(broken)?
        .to_string();
    let mut index = repository.index_from_tree(&tree).map_err(broken)?;
    index
        .write(gix::index::write::Options::default())
        .map_err(|e| Failure::host(format!("{place}: cannot write the index")).details(e.to_string()))?;
    Ok(id)
}

/// What git stores for a file; `None` if it is not there.
fn content(folder: &Path, path: &str) -> Result<Option<(EntryKind, Vec<u8>)>> {
    let file = folder.join(path);
    let metadata = match file.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::io(format!("looking at {path}"), &e)),
    };
    if metadata.is_symlink() {
        let target = std::fs::read_link(&file).during(|| format!("reading the link {path}"))?;
        return Ok(Some((EntryKind::Link, target.as_os_str().as_bytes().to_vec())));
    }
    let bytes = std::fs::read(&file).during(|| format!("reading {path}"))?;
    let executable = metadata.permissions().mode() & 0o100 != 0;
    Ok(Some((if executable { EntryKind::BlobExecutable } else { EntryKind::Blob }, bytes)))
}
