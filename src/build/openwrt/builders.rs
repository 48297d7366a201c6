//! Unpacked Image Builders, by the SHA-256 of their archives.
//!
//! An entry is `root/` (what was in the archive), its seal, and `builder.json`, the record of
//! where it came from. It is made under a temporary name by whoever has its lock and renamed
//! when it is whole; who uses it holds it, so that no prune takes it.

use super::archive::{self, Limits};
use super::server::{Listed, stoppable};
use crate::build::cache::{Cache, Found, Kind, lock_of, seal};
use crate::effects::fetch::{self, Download, Patience};
use crate::effects::files::{
    FileLock, WorkFolder, digest_file, parent, read_if_exists, remove_tree, write_atomic,
};
use crate::effects::{Cancel, Point, Task, point};
use crate::model::event::Unit;
use crate::model::failure::IoContext;
use crate::model::openwrt::{BuilderId, BuilderRecord, Compression};
use crate::model::{Digest, Emitter, ErrorCode, Failure, FailureClass, Result};
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The record of an entry.
const RECORD: &str = "builder.json";
/// No record is longer, in bytes.
const LONGEST_RECORD: u64 = 64 << 10;
/// No archive is longer, in bytes.
const LONGEST_ARCHIVE: u64 = 8 << 30;
/// How often a lock is tried and a wish to stop is looked at.
const POLL: Duration = Duration::from_millis(100);
/// A download that takes longer never ends.
const LONGEST_DOWNLOAD: Duration = Duration::from_hours(24);

/// The Image Builders of a cache.
pub struct Builders<'a> {
    /// Where they are kept.
    pub cache: &'a Cache,
    /// HTTP.
    pub client: &'a reqwest::Client,
    /// Runs downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
    /// How long a server that says nothing is waited for.
    pub patience: Patience,
    /// How much an archive may unpack to.
    pub limits: Limits,
}

/// An Image Builder that is there and sound; it stays as long as this lives.
#[derive(Debug)]
pub struct Builder {
    /// Where it came from.
    pub record: BuilderRecord,
    /// The folder with its Makefile. Nothing may be written into it.
    pub root: PathBuf,
    /// Whether it was unpacked just now.
    pub made: bool,
    #[expect(dead_code, reason = "held until dropped")]
    held: Cache,
}

/// An entry of the cache, whatever state it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The digest of its archive.
    pub sha256: Digest,
    /// Its record, if it can be read.
    pub record: Option<BuilderRecord>,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was last used.
    pub last_use: DateTime<Utc>,
}

impl Builders<'_> {
    /// The Image Builder that a server lists: as it lies in the cache, or downloaded and
    /// unpacked. Of several that want it at the same time one makes it.
    ///
    /// # Errors
    /// *Untrusted* if the archive is not what is listed or no Image Builder; class *upstream* if
    /// it cannot be had; *host* if the disk is full or the cache lies where `make` cannot work.
    pub fn ensure(&self, listed: &Listed, now: DateTime<Utc>) -> Result<Builder> {
        check_place(self.cache.root())?;
        let folder = self.cache.openwrt_builder(&listed.sha256);
        let what = format!("the Image Builder of {}", listed.id);
        let _making = wait_for(&lock_of(&folder), &what, self.events, self.cancel)?;
        let record = BuilderRecord {
            id: listed.id.clone(),
            archive: listed.archive.clone(),
            sha256: listed.sha256,
            url: listed.url.clone(),
            signed_by: listed.signed_by.clone(),
            unpacked: now,
        };
        let session = self.cache.session();
        match session.find_tree(&folder)? {
            Found::Sound => {
                let record = self.vouched(&folder, record)?;
                // Of one who was killed right after it had its name.
                remove_tree(&self.archive(listed))?;
                return Ok(Builder { record, root: folder.join("root"), made: false, held: session });
            }
            Found::Absent => {}
            Found::Damaged(why) => {
                self.events.warn(format!(
                    "the Image Builder of {} in the cache is damaged ({why}); it is unpacked again",
                    listed.id
                ));
                self.cache.discard(&folder)?;
            }
        }
        // Held, so that no prune takes the archive between the two steps.
        session.hold_packages()?;
        let archive = self.download(listed)?;
        self.unpack(&archive, listed, &record, &folder)?;
        session.hold(&folder)?;
        std::fs::remove_file(&archive).during(|| format!("removing {}", archive.display()))?;
        Ok(Builder { record, root: folder.join("root"), made: true, held: session })
    }

    /// The Image Builder of a release and target that was unpacked last, without asking anybody.
    /// One that nobody signed counts only with `take_unsigned`.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn cached(&self, id: &BuilderId, take_unsigned: bool) -> Result<Option<Builder>> {
        check_place(self.cache.root())?;
        let fits = |r: &BuilderRecord| r.id == *id && (take_unsigned || !r.signed_by.is_empty());
        for record in records(self.cache)?.into_iter().rev().filter(fits) {
            let path = self.cache.openwrt_builder(&record.sha256);
            let session = self.cache.session();
            if session.find_tree(&path)? == Found::Sound {
                return Ok(Some(Builder { record, root: path.join("root"), made: false, held: session }));
            }
        }
        Ok(None)
    }

    /// The Image Builder whose archive has this digest, without asking anybody. One that nobody
    /// signed counts only with `take_unsigned`.
    ///
    /// # Errors
    /// If the cache cannot be read.
    pub fn by_digest(&self, sha256: Digest, take_unsigned: bool) -> Result<Option<Builder>> {
        check_place(self.cache.root())?;
        let path = self.cache.openwrt_builder(&sha256);
        let record = read_record(&path)?.filter(|record| record.sha256 == sha256);
        let Some(record) = record.filter(|r| take_unsigned || !r.signed_by.is_empty()) else {
            return Ok(None);
        };
        let session = self.cache.session();
        let sound = session.find_tree(&path)? == Found::Sound;
        Ok(sound.then(|| Builder { record, root: path.join("root"), made: false, held: session }))
    }

    /// The record of an entry that is there. Who vouches for it now counts.
    fn vouched(&self, folder: &Path, now: BuilderRecord) -> Result<BuilderRecord> {
        let Some(before) = read_record(folder)? else {
            write_record(folder, &now)?;
            return Ok(now);
        };
        if before.signed_by == now.signed_by && before.id == now.id {
            return Ok(before);
        }
        let record = BuilderRecord { unpacked: before.unpacked, ..now };
        write_record(folder, &record)?;
        Ok(record)
    }

    /// Where the archive lies until it is unpacked: in the cache's folder of packages, which
    /// knows files by their digests.
    fn archive(&self, listed: &Listed) -> PathBuf {
        let end = match listed.compression {
            Compression::Xz => "tar.xz",
            Compression::Zstd => "tar.zst",
        };
        self.cache.folder(Kind::Packages).join(format!("{}.{end}", listed.sha256.hex()))
    }

    /// The archive, whole and right.
    fn download(&self, listed: &Listed) -> Result<PathBuf> {
        let to = self.archive(listed);
        if to.exists() && digest_file(&to)?.0 == listed.sha256 {
            return Ok(to);
        }
        let mut tried = Vec::new();
        let mut gone = true;
        for url in &listed.urls {
            self.cancel.check()?;
            let idle = self.patience.idle;
            let asking = fetch::length(self.client, url, idle);
            let fetched = self.runtime.block_on(stoppable(asking, idle * 2, self.cancel)).and_then(|size| {
                if size > LONGEST_ARCHIVE {
                    return Err(Failure::upstream(format!(
                        "it has {size} bytes, which no Image Builder has"
                    )));
                }
                self.fetch(listed, url, size, &to)
            });
            match fetched {
                Ok(()) => return Ok(to),
                Err(failure) if failure.class == FailureClass::Upstream => {
                    gone &= failure.code == ErrorCode::PackageUnavailable;
                    tried.push(failure.details.unwrap_or_else(|| format!("{url}: {}", failure.message)));
                }
                Err(failure) => return Err(failure),
            }
        }
        let code = if gone { ErrorCode::PackageUnavailable } else { ErrorCode::Network };
        Err(Failure::upstream(format!("{} cannot be had from any server", listed.archive))
            .code(code)
            .details(tried.join("\n"))
            .hint("Run again: what arrived is kept. If it stays so, put another server into `openwrt.urls`."))
    }

    fn fetch(&self, listed: &Listed, url: &str, size: u64, to: &Path) -> Result<()> {
        let task =
            Task::with_total(self.events, format!("fetch {}", listed.archive), Some(size), Unit::Bytes);
        let download =
            Download { urls: vec![url.to_owned()], sha256: listed.sha256, size, to: to.to_owned() };
        let fetching = fetch::fetch_with(self.client, &download, &task, self.cancel, &self.patience);
        self.runtime.block_on(stoppable(fetching, LONGEST_DOWNLOAD, self.cancel))?;
        task.finish("fetched");
        Ok(())
    }

    fn unpack(&self, archive: &Path, listed: &Listed, record: &BuilderRecord, folder: &Path) -> Result<()> {
        let task = Task::start(self.events, format!("unpack {}", listed.archive));
        let work = WorkFolder::new(&self.cache.work(), "openwrt")?;
        let kept = work.path().join("kept");
        let root = kept.join("root");
        std::fs::create_dir_all(&root).during(|| format!("making {}", root.display()))?;
        archive::unpack(archive, listed.compression, &root, &self.limits, self.cancel)
            .map_err(|failure| failure.on(&listed.archive))?;
        if !root.join("Makefile").is_file() {
            return Err(Failure::untrusted(format!("{}: it has no Makefile", listed.archive))
                .hint("This is no Image Builder of OpenWrt; nothing of it was kept."));
        }
        point(Point::BuilderUnpacked)?;
        seal::seal_tree(&kept)?;
        write_record(&kept, record)?;
        point(Point::BuilderSealed)?;
        std::fs::create_dir_all(parent(folder)).during(|| format!("making {}", parent(folder).display()))?;
        std::fs::rename(&kept, folder).during(|| format!("keeping {}", folder.display()))?;
        point(Point::BuilderKept)?;
        task.finish("unpacked");
        Ok(())
    }
}

/// Waits for the right to make an entry; whoever has to wait is told once.
pub(super) fn wait_for(path: &Path, what: &str, events: &Emitter, cancel: &Cancel) -> Result<FileLock> {
    let mut told = false;
    loop {
        cancel.check()?;
        if let Some(lock) = FileLock::try_take(path)? {
            return Ok(lock);
        }
        if !std::mem::replace(&mut told, true) {
            events.log("openwrt", format!("{what}: waiting for another process that makes the same"));
        }
        std::thread::sleep(POLL);
    }
}

/// All Image Builders of a cache.
///
/// # Errors
/// If the cache cannot be read.
pub fn list(cache: &Cache) -> Result<Vec<Kept>> {
    let entries = cache.entries(&[Kind::OpenwrtBuilders])?.into_iter();
    let kept = entries.filter_map(|entry| {
        let sha256 = entry.name.parse().ok()?;
        Some(read_record(&entry.path).map(|record| Kept {
            sha256,
            // A record of something else was not written here.
            record: record.filter(|record| record.sha256 == sha256),
            path: entry.path,
            bytes: entry.bytes,
            last_use: entry.last_use,
        }))
    });
    kept.collect()
}

/// The records of all Image Builders of a cache, without looking at their files.
///
/// # Errors
/// If the cache cannot be read.
pub fn records(cache: &Cache) -> Result<Vec<BuilderRecord>> {
    let folder = cache.folder(Kind::OpenwrtBuilders);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Failure::io(format!("reading {}", folder.display()), &e)),
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry.during(|| format!("reading {}", folder.display()))?.path();
        let sha256 = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
        if let Some(sha256) = sha256 {
            records.extend(read_record(&path)?.filter(|record| record.sha256 == sha256));
        }
    }
    records.sort_by_key(|record| record.unpacked);
    Ok(records)
}

fn read_record(folder: &Path) -> Result<Option<BuilderRecord>> {
    let bytes = read_if_exists(&folder.join(RECORD), LONGEST_RECORD)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn write_record(folder: &Path, record: &BuilderRecord) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|e| Failure::bug(e.to_string()))?;
    write_atomic(&folder.join(RECORD), &bytes, 0o644)
}

/// `make` cannot work below every path: it takes a space for the end of a name, and expands
/// others.
fn check_place(root: &Path) -> Result<()> {
    let text = root.to_string_lossy();
    let bad =
        |c: char| c.is_whitespace() || c.is_control() || "$#%:;&|*?[](){}<>\"'`\\!~\u{fffd}".contains(c);
    match text.chars().find(|c| bad(*c)) {
        None => Ok(()),
        Some(letter) => Err(Failure::host(format!(
            "Image Builders do not work below {}: {letter:?} is in it",
            root.display()
        ))
        .hint("Set `cache: {path: …}` in bootwright.yaml to a path of letters, digits and . _ - / only.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_where_make_stumbles_is_refused() {
        for good in ["/srv/cache", "/home/me/.bootwright", "/tmp/a-b_c+d@e=1"] {
            check_place(Path::new(good)).unwrap();
        }
        for bad in ["/srv/my cache", "/srv/a$b", "/srv/a#b", "/srv/a:b", "/srv/a\nb", "/srv/a%b"] {
            let failure = check_place(Path::new(bad)).unwrap_err();
            assert_eq!(failure.class, FailureClass::Host);
            assert!(failure.hint.unwrap().contains("cache"));
        }
    }
}
