//! Repositories on other hosts: fetched bare into a folder of clones, one for each address.
//!
//! What a branch means is taken from the remote's own list at each call, never from the
//! clone: a branch that was deleted or moved back there must not live on here. The clone
//! only saves downloads; a broken one is thrown away and made again.

use super::git::resolve;
use super::location::redacted;
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use gix::bstr::ByteSlice;
use gix::protocol::handshake::Ref;
use gix::remote::Direction;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Fetches what is new and gives the repository and the commit that `rev` means.
///
/// # Errors
/// If the remote cannot be reached or has no such revision.
pub fn fetch(url: &str, rev: Option<&str>, clones: &Path) -> Result<(gix::Repository, gix::ObjectId)> {
    let _held = hold(url, clones)?;
    let folder = folder_of(url, clones);
    let fresh = !folder.exists();
    match fetch_into(url, rev, &folder) {
        Err(Stopped::Clone(_)) if !fresh => {
            discard(&folder)?;
            fetch_into(url, rev, &folder).map_err(Stopped::failure)
        }
        result => result.map_err(Stopped::failure),
    }
}

/// The commit that `rev` means on the remote now; fetches nothing unless `rev` is a shortened id.
///
/// # Errors
/// If the remote cannot be reached or has no such revision.
pub fn head(url: &str, rev: Option<&str>, clones: &Path) -> Result<gix::ObjectId> {
    let held = hold(url, clones)?;
    let repository = open_or_create(&folder_of(url, clones)).map_err(Stopped::failure)?;
    let remote = remote_of(&repository, url).map_err(Stopped::failure)?;
    let connection = remote.connect(Direction::Fetch).map_err(|e| not_fetched(url, &e))?;
    let (map, _) = connection
        .ref_map(gix::progress::Discard, gix::remote::ref_map::Options::default())
        .map_err(|e| not_fetched(url, &e))?;
    match advertised(&map.remote_refs, rev, url)? {
        Some(id) => Ok(id),
        None => {
            drop(held);
            fetch(url, rev, clones).map(|(_, id)| id)
        }
    }
}

/// A repository that has a commit: the clone as it is, if it has it already.
///
/// # Errors
/// *Offline* if it would have to be fetched without network; else as [`fetch`].
pub fn fetch_commit(url: &str, id: gix::ObjectId, clones: &Path, offline: bool) -> Result<gix::Repository> {
    {
        let _held = hold(url, clones)?;
        let repository = open_or_create(&folder_of(url, clones)).map_err(Stopped::failure)?;
        if repository.find_commit(id).is_ok_and(|commit| commit.tree().is_ok()) {
            return Ok(repository);
        }
    }
    if offline {
        return Err(Failure::offline(format!("{}: {id} is not here yet", redacted(url)))
            .hint("Run the command once with network: a commit is fetched once and kept."));
    }
    let (repository, found) = fetch(url, Some(&id.to_string()), clones)?;
    if found == id { Ok(repository) } else { Err(no_commit(url, id)) }
}

/// A branch may have a name of 40 digits, and means whatever its owner wants.
pub(super) fn no_commit(url: &str, id: gix::ObjectId) -> Failure {
    Failure::spec(format!("{}: {id} is the name of a branch or tag there", redacted(url)))
        .hint("Write the commit's own id, as `git rev-parse` shows it.")
}

/// Why a fetch stopped: the clone on this machine is broken, or anything else.
enum Stopped {
    Clone(Failure),
    Other(Failure),
}

impl Stopped {
    fn failure(self) -> Failure {
        match self {
            Self::Clone(failure) | Self::Other(failure) => failure,
        }
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

fn fetch_into(
    url: &str,
    rev: Option<&str>,
    folder: &Path,
) -> Result<(gix::Repository, gix::ObjectId), Stopped> {
    let repository = open_or_create(folder)?;
    let advertised = {
        let remote = remote_of(&repository, url)?;
        let connection = remote.connect(Direction::Fetch).map_err(|e| not_fetched(url, &e))?;
        let prepared = connection
            .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())
            .map_err(|e| not_fetched(url, &e))?;
        let advertised = advertised(&prepared.ref_map().remote_refs, rev, url)?;
        let have = advertised.is_some_and(|id| repository.has_object(id));
        if !have {
            let stop = AtomicBool::new(false);
            prepared
                .receive(gix::progress::Discard, &stop)
                .map_err(|e| Stopped::Clone(not_fetched(url, &e)))?;
        }
        advertised
    };
    let id = match (advertised, rev) {
        (Some(id), _) => id,
        (None, Some(rev)) => {
            // A commit id: it must have come with a branch or a tag.
            resolve(&repository, rev, &redacted(url))?
        }
        (None, None) => return Err(empty(url).into()),
    };
    let commit = repository
        .find_object(id)
        .and_then(|object| object.peel_to_commit())
        .map(|commit| commit.id)
        .map_err(|e| Stopped::Clone(super::git::corrupt(&redacted(url), &e)))?;
    Ok((repository, commit))
}

/// What `rev` means in the remote's list; `None` when it may be a commit id.
fn advertised(refs: &[Ref], rev: Option<&str>, url: &str) -> Result<Option<gix::ObjectId>> {
    let find = |wanted: &str| {
        refs.iter().find_map(|reference| {
            let (name, tag, object) = reference.unpack();
            (name == wanted).then(|| object.or(tag).map(ToOwned::to_owned)).flatten()
        })
    };
    let Some(rev) = rev else {
        return find("HEAD").map(Some).ok_or_else(|| empty(url));
    };
    if rev == "HEAD" || rev.starts_with("refs/") {
        let missing = || Failure::not_found(format!("{}: there is no {rev}", redacted(url)));
        return find(rev).map(Some).ok_or_else(missing);
    }
    match (find(&format!("refs/heads/{rev}")), find(&format!("refs/tags/{rev}"))) {
        (Some(branch), Some(tag)) if branch != tag => {
            Err(Failure::spec(format!("{}: {rev} is a branch and a tag", redacted(url)))
                .hint(format!("Write refs/heads/{rev} or refs/tags/{rev}.")))
        }
        (Some(id), _) | (None, Some(id)) => Ok(Some(id)),
        (None, None) if rev.len() >= 7 && rev.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(None),
        (None, None) => {
            Err(Failure::not_found(format!("{}: there is no branch, tag or commit {rev}", redacted(url)))
                .hint("List what there is with `git ls-remote`."))
        }
    }
}

fn empty(url: &str) -> Failure {
    Failure::not_found(format!("{}: the repository has no commit yet", redacted(url)))
        .hint("Commit something first.")
}

fn folder_of(url: &str, clones: &Path) -> PathBuf {
    clones.join(format!("{}.git", Digest::of(url).hex()))
}

/// One process at a time works on a clone; the kernel lets go of it when we die.
fn hold(url: &str, clones: &Path) -> Result<File> {
    std::fs::create_dir_all(clones).during(|| format!("making {}", clones.display()))?;
    let path = clones.join(format!("{}.lock", Digest::of(url).hex()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .during(|| format!("opening {}", path.display()))?;
    file.lock().during(|| format!("locking {}", path.display()))?;
    Ok(file)
}

fn discard(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(format!("removing {}", folder.display()), &e))
        }
        _ => Ok(()),
    }
}

/// The clone; the user's own git settings count here (proxies, credentials, `core.sshCommand`).
fn open_or_create(folder: &Path) -> Result<gix::Repository, Stopped> {
    // Nobody may be there to answer: credentials come from helpers and keys.
    let quiet = gix::open::Options::default().config_overrides(["gitoxide.credentials.terminalPrompt=false"]);
    if let Ok(repository) = gix::open_opts(folder, quiet.clone()) {
        return Ok(repository);
    }
    // Half a clone, left by a process that was killed.
    discard(folder)?;
    let made = gix::init_bare(folder).and_then(|_| gix::open_opts(folder, quiet));
    made.map_err(|e| {
        let message = format!("cannot make a clone in {}", folder.display());
        Stopped::Clone(Failure::host(message).details(e.to_string()))
    })
}

fn remote_of<'r>(repository: &'r gix::Repository, url: &str) -> Result<gix::Remote<'r>, Stopped> {
    let specs = ["+HEAD:refs/remote/HEAD", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    let remote = repository
        .remote_at(url)
        .and_then(|remote| remote.with_refspecs(specs.map(|s| s.as_bytes().as_bstr()), Direction::Fetch))
        .map_err(|e| not_fetched(url, &e))?;
    Ok(remote.with_fetch_tags(gix::remote::fetch::Tags::None))
}

fn not_fetched(url: &str, error: &gix::Error) -> Failure {
    let details = hidden(&format!("{error:?}"), url);
    Failure::upstream(format!("{}: cannot be fetched", redacted(url)))
        .details(details)
        .hint("Check the address, the network and your credentials with `git ls-remote`.")
}

/// A message in which neither the address with its password nor the password alone stands.
fn hidden(message: &str, url: &str) -> String {
    let mut message = message.replace(url, &redacted(url));
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        for part in user.split(':').filter(|p| p.len() > 2 && *p != "git") {
            message = message.replace(part, "…");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_in_messages() {
        let url = "https://me:hunter2@example.org/x.git";
        let text = hidden("cannot reach https://me:hunter2@example.org/x.git as hunter2", url);
        assert!(!text.contains("hunter2"), "{text}");
    }

    fn direct(name: &str, digit: u8) -> Ref {
        let object = gix::ObjectId::from_hex(&[digit; 40]).unwrap();
        Ref::Direct { full_ref_name: name.into(), object }
    }

    #[test]
    fn the_remote_says_what_a_name_means() {
        let refs = [
            direct("HEAD", b'a'),
            direct("refs/heads/main", b'a'),
            direct("refs/heads/both", b'b'),
            direct("refs/tags/both", b'c'),
        ];
        let ask = |rev: Option<&str>| advertised(&refs, rev, "https://h/x");
        assert_eq!(ask(None).unwrap(), ask(Some("main")).unwrap());
        assert!(ask(Some("both")).unwrap_err().message.contains("a branch and a tag"));
        assert!(ask(Some("refs/tags/both")).unwrap().is_some());
        assert!(ask(Some("gone")).is_err());
        assert!(ask(Some("refs/heads/gone")).is_err());
        assert_eq!(ask(Some("0123456789")).unwrap(), None);
        assert!(advertised(&[], None, "https://h/x").unwrap_err().message.contains("no commit yet"));
    }
}
