//! Files of this host that become objects.
//!
//! An object that is there already with the right size and digest is not sent again: that is
//! how an upload goes on after a kill. A long file goes in parts, and a record of the upload
//! is written before its first part.

use super::super::Medium as _;
use super::answer::{block_on, is_missing, key_of};
use super::{Bucket, SHA256, STAGING, attributes, put_options};
use crate::effects::Task;
use crate::effects::files::digest_file;
use crate::effects::point::{Point, point};
use crate::model::event::Unit;
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{Attribute, ObjectMeta, PutMode, PutMultipartOptions, PutPayload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Files, and parts of a file, that are sent at once.
const PARALLEL: usize = 4;
/// A file that is longer goes in parts of this size, in bytes; all but the last have it.
const PART: u64 = 8 << 20;
/// An object has no more parts (Amazon S3 User Guide, "Multipart upload limits").
const PARTS: u64 = 10_000;
/// No record is larger, in bytes.
const LIMIT: u64 = 64 << 10;

/// An upload in parts that has begun.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    key: String,
    upload: String,
}

/// One file that is to be sent.
struct Job {
    from: PathBuf,
    to: PathBuf,
    digest: Digest,
    size: u64,
}

impl Bucket {
    /// Makes the objects below `path` the files of a folder, `last` after all others.
    pub(super) fn upload_folder(&self, staged: &Path, path: &Path, last: &str) -> Result<()> {
        let jobs = jobs(staged, path)?;
        let there: BTreeMap<PathBuf, ObjectMeta> =
            self.list(path)?.into_iter().map(|o| (PathBuf::from(o.location.as_ref()), o)).collect();
        let total = jobs.iter().map(|job| job.size).sum();
        let task =
            Task::with_total(&self.events, format!("send {}", self.show(path)), Some(total), Unit::Bytes);
        let (end, files): (Vec<&Job>, Vec<&Job>) = jobs.iter().partition(|job| job.to == path.join(last));
        let sent = AtomicUsize::new(0);
        let send = |job: &&Job| -> Result<()> {
            self.cancel.check()?;
            let size = there.get(&job.to).map(|object| object.size);
            if size == Some(job.size) && self.holds(&job.to, job.digest)? {
                task.advance(job.size);
                return Ok(());
            }
            self.send(job, &|bytes| task.advance(bytes))?;
            sent.fetch_add(1, Ordering::SeqCst);
            point(Point::FileStaged)
        };
        at_once(&files, &send)?;
        at_once(&end, &send)?;
        let strangers = there.keys().filter(|place| !jobs.iter().any(|job| job.to == **place));
        let strangers = strangers.map(|place| key_of(place)).collect::<Result<Vec<Key>>>()?;
        self.delete(path, strangers)?;
        task.finish(format!("{} of {} files sent", sent.load(Ordering::SeqCst), jobs.len()));
        Ok(())
    }

    /// Makes an object of a file.
    pub(super) fn upload(&self, from: &Path, to: &Path) -> Result<()> {
        let (digest, size) = digest_file(from)?;
        self.send(&Job { from: from.to_owned(), to: to.to_owned(), digest, size }, &|_| {})
    }

    /// Whether an object says that it has these bytes: we wrote that with them, in one request.
    fn holds(&self, path: &Path, digest: Digest) -> Result<bool> {
        let found = self.head(path)?;
        let said = found.and_then(|f| f.attributes.get(&Attribute::Metadata(SHA256.into())).cloned());
        Ok(said.is_some_and(|said| said.as_ref() == digest.hex()))
    }

    fn send(&self, job: &Job, count: &(dyn Fn(u64) + Sync)) -> Result<()> {
        if job.size > PART {
            return self.send_in_parts(job, count);
        }
        let reading = || format!("reading {}", job.from.display());
        let bytes = std::fs::read(&job.from).during(reading)?;
        if Digest::of(&bytes) != job.digest {
            return Err(changed(&job.from));
        }
        self.may_write()?;
        let options = put_options(&job.to, job.digest, PutMode::Overwrite);
        let put = self.ask(&job.to, |client, key| async move {
            object_store::ObjectStore::put_opts(&*client, &key, PutPayload::from(bytes), options).await
        })?;
        put.map_err(|e| self.failed(&job.to, &e))?;
        count(job.size);
        Ok(())
    }

    fn send_in_parts(&self, job: &Job, count: &(dyn Fn(u64) + Sync)) -> Result<()> {
        self.may_write()?;
        let options =
            PutMultipartOptions { attributes: attributes(&job.to, job.digest), ..Default::default() };
        let upload = self
            .ask(&job.to, |client, key| async move { client.create_multipart_opts(&key, options).await })?
            .map_err(|e| self.failed(&job.to, &e))?;
        let record = self.root.join(STAGING).join(format!("{}.json", uuid::Uuid::now_v7().simple()));
        let begun = Begun { key: key_of(&job.to)?.to_string(), upload };
        let text =
            serde_json::to_vec(&begun).map_err(|e| Failure::bug(format!("recording an upload: {e}")))?;
        let done = self.put(&record, &text).and_then(|()| self.send_parts(job, &begun, count));
        if done.is_err() {
            // Somebody else sweeps it if this does not work.
            let _ = self.abort(&begun);
        }
        self.remove(&record)?;
        done
    }

    fn send_parts(&self, job: &Job, begun: &Begun, count: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let reading = || format!("reading {}", job.from.display());
        let file = File::open(&job.from).during(reading)?;
        let part_size = part_size(job.size);
        let numbers: Vec<u64> = (0..job.size.div_ceil(part_size)).collect();
        let parts: Mutex<BTreeMap<u64, PartId>> = Mutex::default();
        at_once(&numbers, &|number: &u64| {
            self.cancel.check()?;
            self.may_write()?;
            let from = number * part_size;
            let size = part_size.min(job.size - from);
            let mut bytes = vec![0; usize::try_from(size).map_err(|_| Failure::bug("a part is too large"))?];
            file.read_exact_at(&mut bytes, from).during(reading)?;
            let (upload, index) = (begun.upload.clone(), usize::try_from(*number).unwrap_or(usize::MAX));
            let part = self.ask(&job.to, |client, key| async move {
                client.put_part(&key, &upload, index, PutPayload::from(bytes)).await
            })?;
            let part = part.map_err(|e| self.failed(&job.to, &e))?;
            parts.lock().unwrap_or_else(PoisonError::into_inner).insert(*number, part);
            count(size);
            point(Point::FileStaged)
        })?;
        // The object says its digest: what was sent has to be what was hashed.
        if digest_file(&job.from)?.0 != job.digest {
            return Err(changed(&job.from));
        }
        self.may_write()?;
        let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect();
        let upload = begun.upload.clone();
        let whole =
            self.ask(
                &job.to,
                |client, key| async move { client.complete_multipart(&key, &upload, parts).await },
            )?;
        whole.map(|_| ()).map_err(|e| self.failed(&job.to, &e))
    }

    fn abort(&self, begun: &Begun) -> Result<()> {
        let (client, upload) = (Arc::clone(&self.client), begun.upload.clone());
        let path = PathBuf::from(&begun.key);
        let key = key_of(&path)?;
        match block_on(async move { client.abort_multipart(&key, &upload).await })? {
            Err(e) if !is_missing(&e) => Err(self.failed(&path, &e)),
            _ => Ok(()),
        }
    }

    /// Takes back an upload that a killed writer began. The caller holds the lock.
    pub(super) fn take_back(&self, record: &Path) -> Result<()> {
        if let Some((bytes, _)) = self.read(record, LIMIT)? {
            // Only uploads below our own path: a record is a file that others may write.
            let begun: Option<Begun> = serde_json::from_slice(&bytes).ok();
            if let Some(begun) = begun.filter(|begun| Path::new(&begun.key).starts_with(&self.root)) {
                self.abort(&begun)?;
            }
        }
        self.remove(record)
    }
}

fn changed(file: &Path) -> Failure {
    Failure::untrusted(format!("{}: its bytes changed while it was sent", file.display()))
        .hint("Something else writes to this file; run it again.")
}

/// All parts of one size, and not too many of them.
fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(PARTS).next_multiple_of(1 << 20))
}

/// The files below a folder, hashed.
fn jobs(staged: &Path, path: &Path) -> Result<Vec<Job>> {
    let (mut jobs, mut open) = (Vec::new(), vec![(staged.to_owned(), path.to_owned())]);
    while let Some((folder, to)) = open.pop() {
        let reading = || format!("reading {}", folder.display());
        for entry in std::fs::read_dir(&folder).during(reading)? {
            let entry = entry.during(reading)?;
            let to = to.join(entry.file_name());
            if entry.file_type().during(reading)?.is_dir() {
                open.push((entry.path(), to));
            } else {
                let (digest, size) = digest_file(&entry.path())?;
                jobs.push(Job { from: entry.path(), to, digest, size });
            }
        }
    }
    // The longest first: the end is then not one thread with a long file.
    jobs.sort_by(|a, b| (b.size, &a.to).cmp(&(a.size, &b.to)));
    Ok(jobs)
}

/// Does something with each of many, a few at once; the first failure ends it.
fn at_once<T: Sync>(many: &[T], each: &(dyn Fn(&T) -> Result<()> + Sync)) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(one) = many.get(next.fetch_add(1, Ordering::SeqCst)) {
            if let Err(failure) = each(one) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                next.store(many.len(), Ordering::SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..PARALLEL.min(many.len()) {
            scope.spawn(work);
        }
        work();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_enough() {
        for size in [PART + 1, 5 << 30, 80 << 30, 5 << 40] {
            assert!(size.div_ceil(part_size(size)) <= PARTS, "{size}");
        }
        assert_eq!(part_size(PART + 1), PART);
    }

    #[test]
    fn the_first_failure_ends_it() {
        let done = AtomicUsize::new(0);
        let many: Vec<usize> = (0..1000).collect();
        let result = at_once(&many, &|n| {
            done.fetch_add(1, Ordering::SeqCst);
            if *n == 5 { Err(Failure::host("five")) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().message, "five");
        assert!(at_once(&many, &|_| Ok(())).is_ok());
    }
}
