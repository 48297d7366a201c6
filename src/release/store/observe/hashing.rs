//! Hashing many files at once.

use crate::effects::files::digest_reader;
use crate::effects::{Cancel, Place, Task};
use crate::model::event::{Emitter, Unit};
use crate::model::failure::IoContext;
use crate::model::{Digest, Result};
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One file to be hashed.
pub(super) struct Job {
    pub path: Place,
    pub size: u64,
}

/// The digest of one file, or a text where the medium gives no bytes.
pub(super) type Hashed = Result<Digest, String>;

/// The digests of files in the order of `jobs`.
///
/// # Errors
/// If a file may not be read, or somebody asked to stop.
pub(super) fn digests(jobs: &[Job], label: &str, events: &Emitter, cancel: &Cancel) -> Result<Vec<Hashed>> {
    let total: u64 = jobs.iter().map(|job| job.size).sum();
    let task = Task::with_total(events, label, Some(total), Unit::Bytes);
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Result<Hashed>)>> = Mutex::new(Vec::new());
    let work = || {
        while let Some((at, job)) = {
            let at = next.fetch_add(1, Ordering::SeqCst);
            jobs.get(at).map(|job| (at, job))
        } {
            let digest = cancel.check().and_then(|()| digest(job, &task, cancel));
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, digest));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    let digests = found.into_iter().map(|(_, digest)| digest).collect::<Result<Vec<_>>>()?;
    task.finish("hashed");
    Ok(digests)
}

fn digest(job: &Job, task: &Task, cancel: &Cancel) -> Result<Hashed> {
    let reading = || format!("reading {}", job.path);
    let file = match job.path.open() {
        Err(e) if is_medium(&e) => return Ok(Err(e.to_string())),
        opened => opened.during(reading)?,
    };
    let mut reader = Watched { file, task, cancel };
    let digest = digest_reader(&mut reader).map(|(digest, _)| digest);
    cancel.check()?;
    match digest {
        Err(e) if is_medium(&e) => Ok(Err(e.to_string())),
        digest => digest.map(Ok).during(reading),
    }
}

/// An error of the medium under the file, not of our rights: a defect of what is published.
fn is_medium(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || error.kind() == std::io::ErrorKind::NotFound
}

/// Counts what is read, and stops reading when asked.
struct Watched<'a> {
    file: Box<dyn Read + Send>,
    task: &'a Task,
    cancel: &'a Cancel,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.cancel.is_requested() {
            return Ok(0);
        }
        let read = self.file.read(buffer)?;
        self.task.advance(read as u64);
        Ok(read)
    }
}
