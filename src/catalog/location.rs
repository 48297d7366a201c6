//! Where a catalog is: a folder, a commit of a repository, or a remote.
//!
//! Texts come from users and from other documents; nothing in them may become an option
//! of a program or leave a password in a message.

use crate::model::{Failure, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a catalog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder, read as it is on disk.
    WorkTree(PathBuf),
    /// A commit of a repository on this machine.
    Commit {
        /// The repository, or a folder in its work tree.
        repo: PathBuf,
        /// A branch, a tag or a commit id; `HEAD` for the default.
        rev: String,
    },
    /// A commit of a repository elsewhere.
    Remote {
        /// Its address: `https://…`, `ssh://…`, `file:///…` or `user@host:path`.
        url: String,
        /// A branch, a tag or a commit id; the remote's default branch when absent.
        rev: Option<String>,
    },
}

impl Location {
    /// Reads `PATH`, `PATH@REV`, a URL, or `URL#REV`. A `rev` given beside the text wins over
    /// none in it. A bare repository without a revision is read at `HEAD`.
    ///
    /// # Errors
    /// If the address or the revision is of a form that is not taken.
    pub fn parse(text: &str, rev: Option<&str>) -> Result<Self> {
        if let Some(rev) = rev {
            check_revision(rev)?;
        }
        if is_remote(text) {
            return Self::remote(text, rev);
        }
        if text.is_empty() || text.contains('\0') {
            return Err(Failure::spec(format!("{text:?} is not the place of a catalog"))
                .hint("Give a folder, PATH@REVISION or a URL."));
        }
        let whole = Path::new(text);
        if let Some(rev) = rev {
            return Ok(Self::Commit { repo: whole.to_owned(), rev: rev.to_owned() });
        }
        match text.rsplit_once('@') {
            Some((path, rev)) if !path.is_empty() && !whole.exists() => {
                check_revision(rev)?;
                Ok(Self::Commit { repo: path.into(), rev: rev.to_owned() })
            }
            _ if is_bare(whole) => Ok(Self::Commit { repo: whole.to_owned(), rev: "HEAD".to_owned() }),
            _ => Ok(Self::WorkTree(whole.to_owned())),
        }
    }

    fn remote(text: &str, rev: Option<&str>) -> Result<Self> {
        let (url, inner) = match text.split_once('#') {
            Some((url, inner)) => (url, Some(inner)),
            None => (text, None),
        };
        if rev.is_some() && inner.is_some() {
            return Err(Failure::spec(format!("{} has a revision already", redacted(text)))
                .hint("Give the revision once."));
        }
        if let Some(inner) = inner {
            check_revision(inner)?;
        }
        check_url(url)?;
        Ok(Self::Remote { url: url.to_owned(), rev: rev.or(inner).map(str::to_owned) })
    }
}

impl fmt::Display for Location {
    /// As a user would write it, without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkTree(path) => write!(f, "{}", path.display()),
            Self::Commit { repo, rev } => write!(f, "{}@{rev}", repo.display()),
            Self::Remote { url, rev: None } => f.write_str(&redacted(url)),
            Self::Remote { url, rev: Some(rev) } => write!(f, "{}#{rev}", redacted(url)),
        }
    }
}

/// `scheme://…`, `helper::…`, or the form `user@host:path`, which has a colon before any slash.
fn is_remote(text: &str) -> bool {
    if text.contains("://") || text.contains("::") {
        return true;
    }
    let colon = text.find(':');
    let slash = text.find('/').unwrap_or(usize::MAX);
    colon.is_some_and(|colon| colon > 0 && colon < slash)
}

fn is_bare(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
}

/// The address without user name and password.
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    // A query can carry a token; no git host needs one in an address.
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match authority.rsplit_once('@') {
        Some((_, host)) if scheme != "ssh" => format!("{scheme}://{host}{path}"),
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}{path}")
        }
        None => format!("{scheme}://{authority}{path}"),
    }
}

/// Refuses what is no address of a repository, or could become an option of `ssh`.
fn check_url(url: &str) -> Result<()> {
    let refuse = |why: &str, hint: &str| {
        Err(Failure::spec(format!("{}: {why}", printable(&redacted(url)))).hint(hint.to_owned()))
    };
    let forms = "Use https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or file:///PATH.";
    if url.len() > 2048 || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("not an address of a repository", forms);
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        return match scheme {
            "file" if !rest.starts_with('/') => refuse("a file address has no host", forms),
            "file" => Ok(()),
            _ if rest.contains('?') => refuse("an address with a query is not taken", forms),
            "https" | "ssh" | "http" if host.is_empty() => refuse("the host is missing", forms),
            "ssh" if starts_an_option(authority, rest) => {
                refuse("user, host and path must not start with a hyphen", forms)
            }
            "https" | "ssh" => Ok(()),
            "http" if is_loopback(host) => Ok(()),
            "http" => refuse(
                "anyone on the way could change a catalog that is read over plain HTTP",
                "Use https or ssh.",
            ),
            _ => refuse("this kind of address is not taken", forms),
        };
    }
    if url.contains("::") {
        return refuse("this kind of address is not taken", forms);
    }
    match url.split_once(':') {
        Some((authority, path)) if !path.is_empty() && !starts_an_option(authority, path) => Ok(()),
        _ => refuse("not an address of a repository", forms),
    }
}

/// Whether `ssh` or the program that it starts could take a part for an option.
fn starts_an_option(authority: &str, rest: &str) -> bool {
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    authority.split('@').any(|part| part.starts_with('-')) || path.starts_with('-') || rest.starts_with('-')
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Refuses what is neither a branch, a tag nor a commit id (`git check-ref-format`, and no
/// expressions such as `main~3`).
pub fn check_revision(rev: &str) -> Result<()> {
    let sane = !rev.is_empty()
        && rev.len() <= 255
        && !rev.starts_with(['-', '/', '.'])
        && !rev.ends_with(['/', '.'])
        && !rev.contains("..")
        && !rev.contains("//")
        && !rev.contains("@{")
        && !rev.contains("/.")
        && !rev.split('/').any(|part| part.ends_with(".lock"))
        && !rev.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c));
    if sane {
        return Ok(());
    }
    Err(Failure::spec(format!("{:?} is not a branch, a tag or a commit", printable(rev)))
        .hint("Name a branch, a tag or a commit id; expressions such as main~3 are not read."))
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Location::parse(text, None).unwrap_err().message
    }

    #[test]
    fn forms() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert_eq!(Location::parse(path, None).unwrap(), Location::WorkTree(path.into()));
        assert_eq!(
            Location::parse(&format!("{path}@feature/x"), None).unwrap(),
            Location::Commit { repo: path.into(), rev: "feature/x".into() }
        );
        assert_eq!(
            Location::parse(path, Some("v1")).unwrap(),
            Location::Commit { repo: path.into(), rev: "v1".into() }
        );
        // A folder with an @ in its name is a folder.
        let at = dir.path().join("a@b");
        std::fs::create_dir(&at).unwrap();
        assert_eq!(Location::parse(at.to_str().unwrap(), None).unwrap(), Location::WorkTree(at));
        for url in ["https://h/x.git", "ssh://git@h/x", "git@h:x/y.git", "file:///x", "http://127.0.0.1:8/x"]
        {
            assert_eq!(Location::parse(url, None).unwrap(), Location::Remote { url: url.into(), rev: None });
        }
        assert_eq!(
            Location::parse("https://h/x.git#v2", None).unwrap(),
            Location::Remote { url: "https://h/x.git".into(), rev: Some("v2".into()) }
        );
    }

    #[test]
    fn refused_addresses() {
        for url in [
            "http://h/x",
            "http://127.0.0.1.evil.example/x",
            "ext::sh -c id",
            "ext::id",
            "ssh://-oProxyCommand=id/x",
            "ssh://-oProxyCommand=id@h/x",
            "ssh://git@-oProxyCommand=id/x",
            "ssh://h/-x",
            "-oProxyCommand=id@h:x",
            "git@-h:x",
            "git@h:-x",
            "git@h:",
            "https:///x",
            "https://h/x\ny",
            "file://host/x",
            "ftp://h/x",
            "git://h/x",
            "https://h/x?token=1",
            "",
        ] {
            assert!(Location::parse(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn refused_revisions() {
        for rev in [
            "", "-x", "a b", "a..b", "main~3", "HEAD^", "a:b", "@{-1}", "a\n", "x.lock", "/a", "a/", "a\\b",
            "a//b",
        ] {
            assert!(check_revision(rev).is_err(), "{rev}");
            assert!(Location::parse("/nowhere", Some(rev)).is_err(), "{rev}");
        }
        for rev in ["main", "feature/x-1", "v1.2.3", "0123456789abcdef", "HEAD", "refs/heads/a@b"] {
            assert!(check_revision(rev).is_ok(), "{rev}");
        }
        assert!(Location::parse("https://h/x#a", Some("b")).is_err());
    }

    #[test]
    fn passwords_stay_inside() {
        let location = Location::parse("https://me:hunter2@h:8443/x.git", Some("main")).unwrap();
        assert_eq!(location.to_string(), "https://h:8443/x.git#main");
        assert!(!message("http://me:hunter2@h/x").contains("hunter2"));
        assert!(!message("https://h/x?token=hunter2").contains("hunter2"));
        assert_eq!(redacted("ssh://git:pw@h/x"), "ssh://git@h/x");
    }
}
