//! The lock of a bucket: an object that its holder renews.
//!
//! It is made with a condition (none is there), and renewed with one (it is the one that we
//! wrote last), so two never hold it. Nobody compares clocks: whoever waits sees that the
//! object did not change for as long as a lease lasts, and then takes it over. A holder that
//! is a dead process of this very host is not waited for.

use super::super::{Held, Medium, Tag};
use super::Bucket;
use super::answer::is_lost;
use crate::effects::alive::{self, Identity};
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use object_store::{PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A holder that shows no sign of life for so long has lost it.
const LASTS: Duration = Duration::from_secs(60);
/// So often a holder shows one.
const RENEWED: Duration = Duration::from_secs(15);
/// So often it is looked at by who waits.
const LOOKED: Duration = Duration::from_millis(300);
/// No lock is larger, in bytes.
const LIMIT: u64 = 4 << 10;

/// What the object says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    /// Of this holding and no other.
    id: uuid::Uuid,
    /// The host's name, for people.
    host: String,
    process: Identity,
    /// Counts the signs of life.
    renewed: u64,
}

/// Whether we still hold it.
#[derive(Debug)]
pub(super) struct Life {
    shown: String,
    lost: AtomicBool,
    /// The last sign of life that the service took.
    renewed: Mutex<Instant>,
}

impl Life {
    pub(super) fn check(&self) -> Result<()> {
        let last = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.lost.load(Ordering::SeqCst) && last.elapsed() < LASTS {
            return Ok(());
        }
        let message =
            format!("{}: somebody else may write by now: this process was held up for long", self.shown);
        Err(Failure::new(ErrorCode::Stalled, FailureClass::Host, message)
            .hint("Run it again: what is built is kept, and what was sent is not sent again."))
    }
}

/// The lock, held. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Lease {
    bucket: Bucket,
    path: PathBuf,
    pub(super) life: Arc<Life>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Held for Lease {
    fn check(&self) -> Result<()> {
        self.life.check()
    }
}

impl Lease {
    /// Takes the lock; waits for it, or says `None` if somebody holds it.
    pub fn take(bucket: &Bucket, path: &Path, wait: bool) -> Result<Option<Self>> {
        let holder = Holder {
            id: uuid::Uuid::now_v7(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process: alive::identity(std::process::id()),
            renewed: 0,
        };
        let mut unchanged: Option<(Tag, Instant)> = None;
        let mut told = false;
        loop {
            bucket.cancel.check()?;
            if let Some(tag) = write(bucket, path, &holder, None)? {
                return Ok(Some(Self::hold(bucket, path, holder, tag)));
            }
            let Some((there, tag)) = read(bucket, path)? else { continue };
            let silent = match &unchanged {
                Some((seen, since)) if *seen == tag => since.elapsed() >= LASTS,
                _ => {
                    unchanged = Some((tag.clone(), Instant::now()));
                    false
                }
            };
            let dead = there.as_ref().is_some_and(|holder| alive::is_dead(&holder.process));
            if dead || silent || !wait && is_old(bucket, path)? {
                if let Some(tag) = write(bucket, path, &holder, Some(tag))? {
                    return Ok(Some(Self::hold(bucket, path, holder, tag)));
                }
                continue;
            }
            if !wait {
                return Ok(None);
            }
            if !told {
                told = true;
                let who = there.map_or_else(|| "somebody".to_owned(), |holder| holder.host);
                bucket.events.warn(format!("{}: waiting for {who}, who writes there", bucket.show(path)));
            }
            std::thread::sleep(LOOKED);
        }
    }

    fn hold(bucket: &Bucket, path: &Path, mut holder: Holder, mut tag: Tag) -> Self {
        let life = Arc::new(Life {
            shown: bucket.show(path),
            lost: AtomicBool::new(false),
            renewed: Mutex::new(Instant::now()),
        });
        let (stop, stopped) = channel();
        let (own, theirs, place) = (Arc::clone(&life), bucket.clone(), path.to_owned());
        let renew = move || {
            while stopped.recv_timeout(RENEWED) == Err(RecvTimeoutError::Timeout) {
                holder.renewed += 1;
                let asked = Instant::now();
                match write(&theirs, &place, &holder, Some(tag.clone())) {
                    Ok(Some(next)) => {
                        tag = next;
                        *own.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                    }
                    Ok(None) => return own.lost.store(true, Ordering::SeqCst),
                    // The service may come back before the lease ends.
                    Err(_) => {}
                }
            }
        };
        // Without the thread the lease ends by itself.
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(renew).ok();
        Self { bucket: bucket.clone(), path: path.to_owned(), life, stop: Some(stop), thread }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // What is left is taken over once it is old, or when this process is gone.
        if self.life.check().is_ok() {
            let _ = self.bucket.remove(&self.path);
        }
    }
}

/// Writes it while it is as it was read (`None`: there is none); says whether it was.
fn write(bucket: &Bucket, path: &Path, holder: &Holder, before: Option<Tag>) -> Result<Option<Tag>> {
    let text = serde_json::to_vec(holder).map_err(|e| Failure::bug(format!("writing a lock: {e}")))?;
    let mode = match before {
        None => PutMode::Create,
        Some(Tag(e_tag)) => PutMode::Update(UpdateVersion { e_tag, version: None }),
    };
    match bucket.put_unguarded(path, &text, mode)? {
        Ok(tag) => Ok(Some(tag)),
        Err(e) if is_lost(&e) => {
            // The answer to our own first try may have been lost on its way.
            let there = bucket.read(path, LIMIT)?;
            Ok(there.filter(|(bytes, _)| *bytes == text).map(|(_, tag)| tag))
        }
        Err(e) => Err(bucket.failed(path, &e)),
    }
}

/// Who holds it, if that can be read.
fn read(bucket: &Bucket, path: &Path) -> Result<Option<(Option<Holder>, Tag)>> {
    let there = bucket.read(path, LIMIT)?;
    Ok(there.map(|(bytes, tag)| (serde_json::from_slice(&bytes).ok(), tag)))
}

/// Whether it was not renewed for so long that clocks that differ by minutes do not matter.
fn is_old(bucket: &Bucket, path: &Path) -> Result<bool> {
    let seen = bucket.look(path)?;
    let now = crate::effects::Clock::System.now().timestamp();
    Ok(seen.is_none_or(|seen| now - seen.modified.0 > 10 * LASTS.as_secs().cast_signed()))
}

/// Whether somebody holds it.
pub(super) fn is_held(bucket: &Bucket, path: &Path) -> Result<bool> {
    let Some((holder, _)) = read(bucket, path)? else { return Ok(false) };
    let dead = holder.is_some_and(|holder| alive::is_dead(&holder.process));
    Ok(!dead && !is_old(bucket, path)?)
}
