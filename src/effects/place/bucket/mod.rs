//! Places in a bucket that speaks S3 (Amazon S3 API Reference, version 2006-03-01).
//!
//! What a newcomer would get wrong: a bucket has no folders and renames nothing. A folder is
//! the objects whose names begin alike; it is there while it has one. An object comes whole or
//! not at all, whatever its size. What must not be overwritten unseen is put with a condition
//! on its ETag, and long uploads leave a record below [`super::STAGING`] first, so that
//! whoever writes next can take back what a killed writer began.

mod access;
mod answer;
mod lease;
mod upload;

pub use access::Credentials;

use self::answer::{block_on, is_lost, is_missing, key_of, seen_of};
use super::{Change, Held, Kind, Local, Medium, Place, Plain, STAGING, Seen, Tag};
use crate::effects::Cancel;
use crate::effects::files::WorkFolder;
use crate::effects::point::{Point, point};
use crate::model::bucket::Access;
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use futures_util::{StreamExt, TryStreamExt};
use lease::Lease;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, CopyOptions, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMode, PutOptions, PutPayload, UpdateVersion,
};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

/// The field of an object's metadata that holds the SHA-256 of its bytes.
const SHA256: &str = "sha256";

/// A bucket. Cloning shares everything but the listing.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    client: Arc<AmazonS3>,
    name: Arc<str>,
    /// The path in the bucket below which everything of ours lies.
    root: PathBuf,
    /// A folder on this host for copies and for what is not in its place yet.
    scratch: PathBuf,
    events: Emitter,
    cancel: Cancel,
    /// The lock that this process holds, if it does: nothing is written once it is lost.
    lease: Arc<Mutex<Weak<lease::Life>>>,
    /// What was found at one look.
    listing: Option<Arc<Listing>>,
}

/// All objects below a path, at one look.
#[derive(Debug)]
struct Listing {
    root: PathBuf,
    objects: BTreeMap<PathBuf, Seen>,
}

impl Place {
    /// A prefix of a bucket. Nothing is asked of the network yet.
    ///
    /// # Errors
    /// Class *spec* if the settings cannot be; class *host* if the credentials are not whole.
    pub fn bucket(
        access: &Access,
        credentials: &Credentials,
        scratch: &Path,
        events: &Emitter,
        cancel: &Cancel,
    ) -> Result<Self> {
        let bucket = Bucket {
            client: Arc::new(access::client(access, credentials)?),
            name: access.bucket.as_str().into(),
            root: access.prefix.clone().into(),
            scratch: scratch.to_owned(),
            events: events.clone(),
            cancel: cancel.clone(),
            lease: Arc::default(),
            listing: None,
        };
        let path = bucket.root.clone();
        Ok(Self { medium: Arc::new(bucket), path })
    }
}

impl Bucket {
    fn failed(&self, path: &Path, error: &object_store::Error) -> Failure {
        answer::failure(&self.name, &self.show(path), error)
    }

    /// Something that is asked of the service, and what it says.
    fn ask<T, A>(
        &self,
        path: &Path,
        question: impl FnOnce(Arc<AmazonS3>, Key) -> A,
    ) -> Result<object_store::Result<T>>
    where
        T: Send + 'static,
        A: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        block_on(question(Arc::clone(&self.client), key_of(path)?))
    }

    /// Refuses to write once somebody else may.
    fn may_write(&self) -> Result<()> {
        let lease = self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner).upgrade();
        lease.map_or(Ok(()), |life| life.check())
    }

    fn get(&self, path: &Path, options: GetOptions) -> Result<Option<GetResult>> {
        match self.ask(path, |client, key| async move { client.get_opts(&key, options).await })? {
            Ok(found) => Ok(Some(found)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(self.failed(path, &e)),
        }
    }

    fn head(&self, path: &Path) -> Result<Option<GetResult>> {
        self.get(path, GetOptions { head: true, ..GetOptions::default() })
    }

    fn bytes(&self, path: &Path, found: GetResult) -> Result<Vec<u8>> {
        let bytes = block_on(async move { found.bytes().await })?;
        bytes.map(|bytes| bytes.to_vec()).map_err(|e| self.failed(path, &e))
    }

    fn put_as(&self, path: &Path, bytes: &[u8], mode: PutMode) -> Result<object_store::Result<Tag>> {
        self.may_write()?;
        self.put_unguarded(path, bytes, mode)
    }

    /// For the lock itself.
    fn put_unguarded(&self, path: &Path, bytes: &[u8], mode: PutMode) -> Result<object_store::Result<Tag>> {
        let (payload, options) =
            (PutPayload::from(bytes.to_vec()), put_options(path, Digest::of(bytes), mode));
        let put =
            self.ask(path, |client, key| async move { client.put_opts(&key, payload, options).await })?;
        Ok(put.map(|put| Tag(put.e_tag)))
    }

    /// All objects at or below a path.
    fn below(&self, path: &Path) -> Result<Vec<ObjectMeta>> {
        let found = self.ask(path, |client, key| async move {
            let mut all: Vec<ObjectMeta> = client.list(Some(&key)).try_collect().await?;
            match client.head(&key).await {
                Ok(itself) => all.push(itself),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(e),
            }
            Ok(all)
        })?;
        found.map_err(|e| self.failed(path, &e))
    }

    fn list(&self, path: &Path) -> Result<Vec<ObjectMeta>> {
        let found =
            self.ask(path, |client, key| async move { client.list(Some(&key)).try_collect().await })?;
        found.map_err(|e| self.failed(path, &e))
    }

    fn delete(&self, path: &Path, keys: Vec<Key>) -> Result<()> {
        self.may_write()?;
        let done = self.ask(path, |client, _| async move {
            let keys = futures_util::stream::iter(keys.into_iter().map(Ok)).boxed();
            client.delete_stream(keys).try_for_each(|_| async { Ok(()) }).await
        })?;
        match done {
            Err(e) if !is_missing(&e) => Err(self.failed(path, &e)),
            _ => Ok(()),
        }
    }

    /// Copies every object at or below a path, within the bucket.
    fn copy_all(&self, path: &Path, to: &Path) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        for object in self.below(path)? {
            self.may_write()?;
            let from = object.location;
            let name = PathBuf::from(from.as_ref());
            let below = name.strip_prefix(path).unwrap_or(Path::new(""));
            let target = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            let (target, source) = (key_of(&target)?, from.clone());
            let copied = self.ask(path, |client, _| async move {
                client.copy_opts(&source, &target, CopyOptions::default()).await
            })?;
            copied.map_err(|e| self.failed(&name, &e))?;
            keys.push(from);
        }
        Ok(keys)
    }

    fn listed_below(&self, path: &Path) -> Option<&Listing> {
        self.listing.as_deref().filter(|listing| path.starts_with(&listing.root))
    }

    /// What is directly in a folder; a folder in it is given no more than its name.
    fn children(&self, path: &Path) -> Result<Vec<(OsString, Seen)>> {
        if let Some(listing) = self.listed_below(path) {
            return Ok(listing.children(path));
        }
        let found =
            self.ask(path, |client, key| async move { client.list_with_delimiter(Some(&key)).await })?;
        let found = found.map_err(|e| self.failed(path, &e))?;
        let name = |key: &Key| key.filename().map(OsString::from);
        let files = found.objects.iter().filter_map(|o| Some((name(&o.location)?, seen_of(o))));
        let folders = found.common_prefixes.iter().filter_map(|key| Some((name(key)?, folder(&[]))));
        Ok(files.chain(folders).collect())
    }
}

impl Listing {
    fn children(&self, path: &Path) -> Vec<(OsString, Seen)> {
        let mut found: BTreeMap<OsString, Seen> = BTreeMap::new();
        for (place, seen) in &self.objects {
            let Ok(below) = place.strip_prefix(path) else { continue };
            let mut parts = below.components();
            let Some(first) = parts.next() else { continue };
            let name = first.as_os_str().to_owned();
            let seen = if parts.next().is_some() { folder(&[]) } else { *seen };
            found.entry(name).or_insert(seen);
        }
        found.into_iter().collect()
    }
}

/// A folder changes when a name in it comes or goes, or its object changes.
fn folder(children: &[(OsString, Seen)]) -> Seen {
    let mut text = String::new();
    for (name, seen) in children {
        text.push_str(&format!("{name:?} {} {:?}\n", seen.size, seen.identity));
    }
    let newest = children.iter().map(|(_, seen)| seen.changed.0).max().unwrap_or(0);
    answer::seen(Kind::Folder, 0, newest, &text)
}

fn put_options(path: &Path, digest: Digest, mode: PutMode) -> PutOptions {
    PutOptions { mode, attributes: attributes(path, digest), ..PutOptions::default() }
}

/// A web server in front of the bucket says these of an object.
fn attributes(path: &Path, digest: Digest) -> Attributes {
    let kind = match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "jsonl" => "application/json",
        "md" | "txt" | "log" | "yaml" | "pub" | "sig" | "asc" => "text/plain; charset=utf-8",
        "" => "text/plain; charset=utf-8",
        "png" => "image/png",
        _ => "application/octet-stream",
    };
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, kind.into());
    attributes.insert(Attribute::Metadata(SHA256.into()), digest.hex().into());
    // Channels move and signatures are renewed: whoever keeps a copy asks first.
    attributes.insert(Attribute::CacheControl, "no-cache".into());
    attributes
}

impl Medium for Bucket {
    fn show(&self, path: &Path) -> String {
        format!("s3://{}/{}", self.name, path.display()).trim_end_matches('/').to_owned()
    }

    fn scratch(&self, _path: &Path) -> PathBuf {
        self.scratch.clone()
    }

    fn listed(&self, path: &Path) -> Result<Option<Arc<dyn Medium>>> {
        let place = |object: &ObjectMeta| (PathBuf::from(object.location.as_ref()), seen_of(object));
        let objects = self.list(path)?.iter().map(place).collect();
        let listing = Some(Arc::new(Listing { root: path.to_owned(), objects }));
        Ok(Some(Arc::new(Self { listing, ..self.clone() })))
    }

    fn look(&self, path: &Path) -> Result<Option<Seen>> {
        let itself = match self.listed_below(path) {
            Some(listing) => listing.objects.get(path).copied(),
            None if path == self.root => None,
            None => self.head(path)?.map(|found| seen_of(&found.meta)),
        };
        if itself.is_some() {
            return Ok(itself);
        }
        let mut children = self.children(path)?;
        children.sort_by(|a, b| a.0.cmp(&b.0));
        Ok((!children.is_empty()).then(|| folder(&children)))
    }

    fn is_folder(&self, path: &Path) -> Result<bool> {
        if let Some(listing) = self.listed_below(path) {
            return Ok(listing.objects.keys().any(|place| place != path && place.starts_with(path)));
        }
        let first = self.ask(path, |client, key| async move { client.list(Some(&key)).try_next().await })?;
        first.map(|first| first.is_some()).map_err(|e| self.failed(path, &e))
    }

    fn names(&self, path: &Path) -> Result<Vec<OsString>> {
        Ok(self.children(path)?.into_iter().map(|(name, _)| name).collect())
    }

    fn entries(&self, path: &Path) -> Result<Vec<(OsString, Seen)>> {
        self.children(path)
    }

    fn open(&self, path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
        let found = self.get(path, GetOptions::default()).map_err(std::io::Error::other)?;
        let found = found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        let bucket = self.clone();
        let path = path.to_owned();
        answer::reader(found, move |e| bucket.failed(&path, &e))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Tag)>> {
        let Some(found) = self.get(path, GetOptions::default())? else { return Ok(None) };
        if found.meta.size > limit {
            return Err(Failure::host(format!("{} is larger than {limit} bytes", self.show(path))));
        }
        let tag = Tag(found.meta.e_tag.clone());
        Ok(Some((self.bytes(path, found)?, tag)))
    }

    fn read_plain(&self, path: &Path, limit: u64) -> Result<Plain> {
        if let Some(listing) = self.listed_below(path)
            && !listing.objects.contains_key(path)
        {
            return Ok(Plain::Missing);
        }
        match self.get(path, GetOptions::default())? {
            None => Ok(Plain::Missing),
            Some(found) if found.meta.size > limit => Ok(Plain::Other("it is far too large")),
            Some(found) => self.bytes(path, found).map(Plain::Bytes),
        }
    }

    fn local(&self, path: &Path) -> Result<Local> {
        let work = WorkFolder::new(&self.scratch, "fetched")?;
        let to = work.path().join(path.file_name().unwrap_or_default());
        self.copy_out(path, &to)?;
        Ok(Local { path: to, _work: Some(work) })
    }

    fn copy_out(&self, path: &Path, to: &Path) -> Result<()> {
        let copying = || format!("copying {} to {}", self.show(path), to.display());
        let mut from = self.open(path).during(copying)?;
        let mut file = std::fs::File::create(to).during(copying)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            self.cancel.check()?;
            match from.read(&mut buffer).during(copying)? {
                0 => return Ok(()),
                n => std::io::Write::write_all(&mut file, &buffer[..n]).during(copying)?,
            }
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.put_as(path, bytes, PutMode::Overwrite)?.map_err(|e| self.failed(path, &e))?;
        point(Point::FileWritten)
    }

    fn put_after(&self, path: &Path, bytes: &[u8], before: Option<&Tag>) -> Result<bool> {
        let mode = match before {
            None => PutMode::Create,
            Some(Tag(e_tag)) => PutMode::Update(UpdateVersion { e_tag: e_tag.clone(), version: None }),
        };
        match self.put_as(path, bytes, mode)? {
            Ok(_) => Ok(true),
            // The answer to our own first try may have been lost on its way.
            Err(e) if is_lost(&e) => {
                let there = self.read(path, bytes.len() as u64).unwrap_or_default();
                Ok(there.is_some_and(|(there, _)| there == bytes))
            }
            Err(e) => Err(self.failed(path, &e)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.delete(path, vec![key_of(path)?])
    }

    fn bring_in(&self, staged: &Path, path: &Path, last: &str) -> Result<()> {
        self.upload_folder(staged, path, last)
    }

    fn replace(&self, staged: &Path, path: &Path, old: &Path) -> Result<()> {
        self.copy_all(path, old)?;
        self.upload(staged, path)
    }

    fn change(&self, path: &Path, change: &Change<'_>) -> Result<()> {
        for (name, bytes) in change.put {
            self.put(&path.join(name), bytes)?;
        }
        for (name, seen) in self.children(path)? {
            let text = name.to_string_lossy();
            if seen.is_file() && (change.drop)(&text) && !change.put.iter().any(|(put, _)| *put == text) {
                self.remove(&path.join(&name))?;
            }
        }
        Ok(())
    }

    fn move_aside(&self, path: &Path, to: &Path) -> Result<()> {
        let moved = self.copy_all(path, to)?;
        self.delete(path, moved)
    }

    fn take_away(&self, path: &Path, _aside: &Path) -> Result<()> {
        let gone = self.list(path)?.into_iter().map(|object| object.location).collect();
        self.delete(path, gone)
    }

    fn sweep(&self, path: &Path, _is_ours: &dyn Fn(&str) -> bool) -> Result<()> {
        WorkFolder::sweep(&self.scratch)?;
        for (name, _) in self.children(&path.join(STAGING))? {
            self.take_back(&path.join(STAGING).join(name))?;
        }
        Ok(())
    }

    fn drop_left(&self, path: &Path) -> Result<()> {
        self.take_away(path, Path::new(""))?;
        self.remove(path)
    }

    fn identity(&self, path: &Path) -> Result<(u64, u64)> {
        // One that is not there says so; there is no other in its place.
        self.is_folder(path).map(|_| (0, 0))
    }

    fn lock(&self, path: &Path, wait: bool) -> Result<Option<Box<dyn Held>>> {
        let Some(lease) = Lease::take(self, path, wait)? else { return Ok(None) };
        *self.lease.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::downgrade(&lease.life);
        Ok(Some(Box::new(lease)))
    }

    fn is_locked(&self, path: &Path) -> Result<bool> {
        lease::is_held(self, path)
    }
}
