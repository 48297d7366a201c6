//! What settings become: values that say what is to be done in a root.

use crate::model::Digest;
use crate::model::check::{Check, Expect};
use crate::model::name::UserName;
use serde::Serialize;
use std::collections::BTreeSet;

/// What settings become. Carried out in this order: files of root, accounts, files of users,
/// programs, services on, services off, tests; and on top of everything else, for a live medium
/// alone, its files and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Files and links; one path stands there once.
    pub files: Vec<File>,
    /// Accounts that are made.
    pub accounts: Vec<Account>,
    /// Programs of the root that are run, in this order.
    pub programs: Vec<Program>,
    /// Services that are started at boot, by the init system's own names.
    pub on: BTreeSet<String>,
    /// Services that are not.
    pub off: BTreeSet<String>,
    /// Services that are started at boot and come with a later layer: switched on last of all.
    pub later: BTreeSet<String>,
    /// Programs of the root that judge what was written: a failure is the spec's.
    pub tests: Vec<Program>,
    /// What the booted system has to show.
    pub checks: Vec<Check>,
    /// What a live medium alone has.
    pub live: Live,
}

/// What a live medium has and no other output of the same spec: who logs in by itself, and
/// the installer. It lies over everything else, and an installer leaves it behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Live {
    /// Files and links of root; one path stands there once.
    pub files: Vec<File>,
    /// Files of the catalog.
    pub pictures: Vec<Picture>,
    /// Programs of the root that judge what was written: a failure is the spec's.
    pub tests: Vec<Program>,
}

/// A file of root whose bytes are those of a file of the catalog; everybody may read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// Path in the root, without the leading slash.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

impl Live {
    /// A file of root.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        put(&mut self.files, path, None, FileContent::Bytes { mode, bytes: bytes.into() });
    }

    /// A file of root that is one of the catalog.
    pub fn picture(&mut self, path: &str, digest: Digest) {
        self.pictures.push(Picture { path: path.to_owned(), digest });
    }

    /// A program that judges what was written.
    pub fn test(&mut self, program: Program) {
        self.tests.push(program);
    }

    /// The text of a file that was put, for tests.
    pub fn text(&self, path: &str) -> Option<&str> {
        text(&self.files, path)
    }
}

/// The later of two files of one path is written.
fn put(files: &mut Vec<File>, path: &str, owner: Option<UserName>, content: FileContent) {
    files.retain(|file| file.path != path);
    files.push(File { path: path.to_owned(), owner, content });
}

fn text<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    let file = files.iter().find(|file| file.path == path)?;
    match &file.content {
        FileContent::Bytes { bytes, .. } => std::str::from_utf8(bytes).ok(),
        FileContent::Link { target } => Some(target),
    }
}

/// A file or link of the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Path in the root, without the leading slash.
    pub path: String,
    /// Its owner and its group; root when absent.
    pub owner: Option<UserName>,
    /// What it is.
    pub content: FileContent,
}

/// What a [`File`] is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum FileContent {
    /// A regular file.
    Bytes {
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        #[serde(serialize_with = "by_digest")]
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
}

/// An account that is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its name, which is the name of its own group too.
    pub name: UserName,
    /// Its login shell, by its path.
    pub shell: String,
    /// Groups that it is put into; all of them must be there.
    pub groups: Vec<String>,
    /// The hash of its password (man 5 crypt).
    pub password_hash: Option<String>,
}

/// A program of the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// What for: `making the locale`.
    pub what: String,
    /// Its absolute path.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Folders below `/run` or `/tmp` that it needs.
    pub folders: Vec<String>,
    /// Whether it asks the kernel for what only root of a network of its own may ask
    /// (netfilter's sockets): emulators do not carry it over, and builders of containers may not.
    #[serde(skip)]
    pub asks_kernel: bool,
}

impl Program {
    /// A program of the root.
    pub fn new(what: &str, path: &str, args: &[&str]) -> Self {
        Self {
            what: what.to_owned(),
            path: path.to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            folders: Vec::new(),
            asks_kernel: false,
        }
    }

    /// Says that it asks the kernel so.
    #[must_use]
    pub fn asking_kernel(mut self) -> Self {
        self.asks_kernel = true;
        self
    }

    /// Gives it an empty folder below `/run` or `/tmp`.
    #[must_use]
    pub fn folder(mut self, at: &str) -> Self {
        self.folders.push(at.to_owned());
        self
    }
}

/// Only the plan's digest is made from its JSON: large files need not stand in it.
fn by_digest<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Digest::of(bytes).serialize(serializer)
}

impl Plan {
    /// A file of root.
    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        put(&mut self.files, path, None, FileContent::Bytes { mode, bytes: bytes.into() });
    }

    /// A file of a user.
    pub fn file_of(&mut self, owner: &UserName, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        put(&mut self.files, path, Some(owner.clone()), FileContent::Bytes { mode, bytes: bytes.into() });
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        put(&mut self.files, path, None, FileContent::Link { target: target.to_owned() });
    }

    /// A program that is run.
    pub fn run(&mut self, program: Program) {
        self.programs.push(program);
    }

    /// A program that judges what was written.
    pub fn test(&mut self, program: Program) {
        self.tests.push(program);
    }

    /// A service that is started at boot.
    pub fn start(&mut self, service: &str) {
        self.on.insert(service.to_owned());
    }

    /// What the booted system has to show for a field.
    pub fn check(&mut self, field: &str, expect: Expect) {
        self.checks.push(Check { field: field.to_owned(), expect, live: false });
    }

    /// What the booted live medium alone has to show for a field.
    pub fn check_live(&mut self, field: &str, expect: Expect) {
        self.checks.push(Check { field: field.to_owned(), expect, live: true });
    }

    /// The text of a file that was put, for who adds to it and for tests.
    pub fn text(&self, path: &str) -> Option<&str> {
        text(&self.files, path)
    }

    /// SHA-256 of everything in it.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// The same, files by path and checks by field.
    pub(super) fn in_order(mut self) -> Self {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.live.files.sort_by(|a, b| a.path.cmp(&b.path));
        // Stable: the checks of one field stay as its area wrote them.
        self.checks.sort_by(|a, b| a.field.cmp(&b.field));
        self
    }
}
