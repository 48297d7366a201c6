//! What a server says of OpenWrt's releases: which there are, and which archive is the Image
//! Builder of one. Nothing of it counts before its signature does.
//!
//! Layout: `.versions.json`; `releases/VERSION/.targets.json`; and in
//! `releases/VERSION/targets/TARGET/SUBTARGET/` (snapshots: `snapshots/targets/…`) the files,
//! `sha256sums`, `sha256sums.asc` and `sha256sums.sig`.

use super::signature::{Keys, Signatures};
use crate::effects::fetch::{self, Patience};
use crate::effects::files::WorkFolder;
use crate::effects::{Cancel, Task};
use crate::model::firmware::ProfilesJson;
use crate::model::openwrt::{BuilderId, Compression, Release, Sums, Targets, Versions};
use crate::model::{Digest, Emitter, ErrorCode, Failure, FailureClass, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// No list of digests is longer, in bytes; that of x86/64 has 2 MiB.
const LONGEST_LIST: u64 = 64 << 20;
/// No signature is longer, in bytes.
const LONGEST_SIGNATURE: u64 = 1 << 20;
/// No `.versions.json` or `.targets.json` is longer, in bytes.
const LONGEST_METADATA: u64 = 16 << 20;
/// The devices of a target, beside its images.
const PROFILES: &str = "profiles.json";
/// A small file that takes so many times the patience for silence never comes.
const WHOLE: u32 = 5;
/// How often a wish to stop is looked at.
const POLL: Duration = Duration::from_millis(100);

/// The servers of the settings, as one.
pub struct Server<'a> {
    /// Their addresses, in the order in which they are tried.
    pub urls: &'a [String],
    /// Who must have signed.
    pub keys: &'a Keys,
    /// HTTP.
    pub client: &'a reqwest::Client,
    /// Runs downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
    /// How long one that says nothing is waited for.
    pub patience: Patience,
    /// Nothing may be asked of the network: only folders of this host are.
    pub offline: bool,
}

/// An Image Builder as a signed list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is of.
    pub id: BuilderId,
    /// The name of its archive.
    pub archive: String,
    /// How that is compressed.
    pub compression: Compression,
    /// What it must be.
    pub sha256: Digest,
    /// The folder's address that listed it.
    pub url: String,
    /// Where the archive may be had, that folder first.
    pub urls: Vec<String>,
    /// The keys that signed the list.
    pub signed_by: Vec<String>,
}

impl Server<'_> {
    /// The release that is meant: of a branch its latest.
    ///
    /// # Errors
    /// Class *spec* if the branch has no release; *upstream* if no server can be asked.
    pub fn release(&self, asked: &Release) -> Result<Release> {
        let Release::Branch(branch) = asked else { return Ok(asked.clone()) };
        self.versions()?.latest(branch).ok_or_else(|| {
            Failure::not_found(format!("OpenWrt has no release of the branch {branch}"))
                .hint("Write a release as 24.10.5, or a branch that has one.")
        })
    }

    /// The Image Builder of a release and target, as a list says that is signed by a key that
    /// is trusted.
    ///
    /// # Errors
    /// Class *spec* if there is no such release or target, *untrusted* if nobody vouches for it,
    /// class *upstream* if no server can be asked.
    pub fn find(&self, id: &BuilderId, work: &Path) -> Result<Listed> {
        let task = Task::start(self.events, format!("find {id}"));
        let listed = self.first(&format!("the Image Builder of {id}"), |base| self.find_at(base, id, work));
        let mut listed = match listed {
            Err(failure) if failure.code == ErrorCode::PackageUnavailable => return Err(self.missing(id)),
            other => other?,
        };
        for base in self.usable() {
            let url = format!("{base}/{}/{}", id.folder(), listed.archive);
            if !listed.urls.contains(&url) {
                listed.urls.push(url);
            }
        }
        task.finish(listed.archive.clone());
        Ok(listed)
    }

    /// The releases that there are. Nobody signs that list.
    ///
    /// # Errors
    /// Class *upstream* if no server can be asked.
    pub fn versions(&self) -> Result<Versions> {
        self.first("the list of releases", |base| {
            Versions::parse(&self.ask(&format!("{base}/.versions.json"), LONGEST_METADATA)?)
        })
    }

    /// The targets of a release. Nobody signs that list.
    ///
    /// # Errors
    /// As [`Server::versions`].
    pub fn targets(&self, release: &Release) -> Result<Targets> {
        self.first("the list of targets", |base| {
            let url = format!("{base}/{}/.targets.json", release.folder());
            Targets::parse(&self.ask(&url, LONGEST_METADATA)?)
        })
    }

    /// A small file below the address of a server. Nobody signs it.
    ///
    /// # Errors
    /// As [`Server::versions`]; *not available* if no server has it.
    pub fn file(&self, path: &str) -> Result<Vec<u8>> {
        self.first(path, |base| self.ask(&format!("{base}/{path}"), LONGEST_METADATA))
    }

    /// The devices of a release and target: `profiles.json`, as a list names it that is signed
    /// by a key that is trusted.
    ///
    /// # Errors
    /// As [`Server::find`].
    pub fn profiles(&self, id: &BuilderId, work: &Path) -> Result<ProfilesJson> {
        ProfilesJson::parse(&self.profiles_text(id, work)?)
    }

    /// The bytes of that file.
    ///
    /// # Errors
    /// As [`Server::find`].
    pub fn profiles_text(&self, id: &BuilderId, work: &Path) -> Result<Vec<u8>> {
        let found = self.first(&format!("the devices of {id}"), |base| {
            let folder = format!("{base}/{}", id.folder());
            let (sums, _) = self.list(&folder, work)?;
            // Ties the list to release and target.
            id.archive(&sums)?;
            let sum = sums.of(PROFILES).ok_or_else(|| {
                Failure::upstream(format!("sha256sums of {id} has no {PROFILES}"))
                    .code(ErrorCode::PackageUnavailable)
            })?;
            let bytes = self.ask(&format!("{folder}/{PROFILES}"), LONGEST_METADATA)?;
            if Digest::of(&bytes) != sum.sha256 {
                return Err(Failure::untrusted(format!("{PROFILES} of {id} is not what sha256sums says")));
            }
            ProfilesJson::parse(&bytes)?;
            Ok(bytes)
        });
        match found {
            Err(failure) if failure.code == ErrorCode::PackageUnavailable => Err(self.missing(id)),
            other => other,
        }
    }

    /// The list of a folder's files, and who signed it.
    fn list(&self, folder: &str, work: &Path) -> Result<(Sums, Vec<String>)> {
        let list = self.ask(&format!("{folder}/sha256sums"), LONGEST_LIST)?;
        // Before it is signed for, a list is only looked at to say what is wrong with it.
        let text = String::from_utf8_lossy(&list);
        let sums = Sums::parse(&text)?;
        let beside = |end: &str| match self.ask(&format!("{folder}/sha256sums.{end}"), LONGEST_SIGNATURE) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(failure) if failure.code == ErrorCode::PackageUnavailable => Ok(None),
            Err(failure) => Err(failure),
        };
        let signed_by = if self.keys.take_unsigned() {
            Vec::new()
        } else {
            let (openpgp, usign) = (beside("asc")?, beside("sig")?);
            let signatures = Signatures { openpgp: openpgp.as_deref(), usign: usign.as_deref() };
            let home = WorkFolder::new(work, "gpg")?;
            self.keys.judge(&list, signatures, home.path(), self.cancel)?
        };
        Ok((sums, signed_by))
    }

    fn find_at(&self, base: &str, id: &BuilderId, work: &Path) -> Result<Listed> {
        let folder = format!("{base}/{}", id.folder());
        let (sums, signed_by) = self.list(&folder, work)?;
        let archive = id.archive(&sums)?;
        let compression = Compression::of(&archive.name)
            .ok_or_else(|| Failure::bug(format!("{} is no archive", archive.name)))?;
        Ok(Listed {
            id: id.clone(),
            archive: archive.name.clone(),
            compression,
            sha256: archive.sha256,
            urls: vec![format!("{folder}/{}", archive.name)],
            url: folder,
            signed_by,
        })
    }

    /// No server has the folder: the release or the target is not there.
    fn missing(&self, id: &BuilderId) -> Failure {
        let failure = Failure::not_found(format!("no server of `openwrt.urls` has an Image Builder of {id}"));
        failure.hint(match self.targets(id.release()).map(|targets| targets.nearest(id.platform())) {
            Ok(near) if !near.is_empty() => format!("Near names of this release are {}.", near.join(", ")),
            _ => "Check the release and the target, written TARGET/SUBTARGET.".to_owned(),
        })
    }

    /// The addresses that may be asked.
    fn usable(&self) -> impl Iterator<Item = &str> {
        let usable = self.urls.iter().filter(|url| !self.offline || url.starts_with("file://"));
        usable.map(|url| url.trim_end_matches('/'))
    }

    /// The first good answer. What is not there anywhere is *not available*; what nobody
    /// vouches for anywhere is *untrusted*, and says so before any trouble with the network.
    fn first<T>(&self, what: &str, ask: impl Fn(&str) -> Result<T>) -> Result<T> {
        let mut tried: Vec<(&str, Failure)> = Vec::new();
        for base in self.usable() {
            self.cancel.check()?;
            match ask(base) {
                Ok(found) => {
                    for (base, failure) in &tried {
                        self.events.warn(format!("{base} was passed over: {failure}"));
                    }
                    return Ok(found);
                }
                Err(failure) if failure.class == FailureClass::Upstream => tried.push((base, failure)),
                Err(failure) => return Err(failure),
            }
        }
        if tried.is_empty() {
            return Err(Failure::offline(format!("{what} cannot be asked for without network"))
                .hint("Run once with network, or name a folder in `openwrt.urls`: file:///srv/openwrt."));
        }
        if let [(_, failure)] = tried.as_slice() {
            return Err(failure.clone().on(what));
        }
        let lines = |(base, failure): &(&str, Failure)| {
            let details = failure.details.iter().map(|d| format!("\n  {}", d.replace('\n', "\n  ")));
            format!("{base}: {failure}{}", details.collect::<String>())
        };
        let details: Vec<String> = tried.iter().map(lines).collect();
        let is = |code| move |(_, failure): &&(&str, Failure)| failure.code == code;
        let untrusted = tried.iter().find(is(ErrorCode::Untrusted));
        let decisive =
            untrusted.or_else(|| tried.iter().find(|(_, f)| f.code != ErrorCode::PackageUnavailable));
        let (_, failure) = decisive.unwrap_or(&tried[0]);
        let failure = failure.clone().on(what);
        Err(failure.details(details.join("\n")))
    }

    /// A small file. What drips is given up as well as what is silent.
    fn ask(&self, url: &str, limit: u64) -> Result<Vec<u8>> {
        let name = url.rsplit('/').next().unwrap_or_default();
        let idle = self.patience.idle;
        let fetching = fetch::small(self.client, url, limit, idle);
        self.runtime.block_on(stoppable(fetching, idle * WHOLE, self.cancel)).map_err(|failure| match failure
            .class
        {
            FailureClass::Upstream => failure.on(name),
            _ => failure,
        })
    }
}

/// Waits for `work`, but not longer than `most`, nor after a wish to stop.
///
/// # Errors
/// What `work` says; *cancelled*; class *upstream* if it takes too long.
pub(super) async fn stoppable<T>(
    work: impl Future<Output = Result<T>>,
    most: Duration,
    cancel: &Cancel,
) -> Result<T> {
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(POLL, &mut work).await {
            Ok(done) => return done,
            Err(_) => cancel.check()?,
        }
        if began.elapsed() > most {
            return Err(Failure::upstream(format!("it did not come within {} s", most.as_secs_f64()))
                .code(ErrorCode::Network));
        }
    }
}
