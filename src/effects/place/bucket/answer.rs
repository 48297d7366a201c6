//! What the service says: waiting for it, and its words as ours.
//!
//! Nothing of an answer is shown but S3's own code and message: bodies of refusals repeat key
//! ids and what was signed.

use super::super::{Kind, Seen};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use futures_util::StreamExt;
use object_store::path::Path as Key;
use object_store::{Error, GetResult, ObjectMeta};
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};

/// Pieces of an object that wait to be read.
const AHEAD: usize = 4;

/// The one runtime of all buckets of this process. It never ends: a runtime must not be
/// dropped where something asynchronous runs, and who uses a store may be that.
fn runtime() -> Result<&'static tokio::runtime::Runtime> {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("bucket")
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime of buckets", &e))?;
    Ok(RUNTIME.get_or_init(|| made))
}

/// Waits for something on the runtime of buckets; the caller may be on another one.
pub(super) fn block_on<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = sync_channel(1);
    runtime()?.spawn(async move {
        let _ = sender.send(work.await);
    });
    receiver.recv().map_err(|_| Failure::bug("a question to a bucket had no end"))
}

/// The bytes of an answer, read ahead a little.
pub(super) fn reader(
    found: GetResult,
    failed: impl Fn(Error) -> Failure + Send + 'static,
) -> std::io::Result<Box<dyn Read + Send>> {
    let (sender, pieces) = sync_channel(AHEAD);
    let size = found.meta.size;
    runtime().map_err(std::io::Error::other)?.spawn(async move {
        let mut body = found.into_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map(|bytes| bytes.to_vec()).map_err(|e| std::io::Error::other(failed(e)));
            let end = piece.is_err();
            // The channel may make us wait: not on a thread that others need.
            let sender = sender.clone();
            let sent = tokio::task::spawn_blocking(move || sender.send(piece).is_ok()).await;
            if end || !sent.unwrap_or(false) {
                return;
            }
        }
    });
    Ok(Box::new(Pieces { pieces, current: Vec::new(), at: 0, left: size }))
}

struct Pieces {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    current: Vec<u8>,
    at: usize,
    left: u64,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.current.len() {
            match self.pieces.recv() {
                Ok(piece) => (self.current, self.at) = (piece?, 0),
                Err(_) if self.left == 0 => return Ok(0),
                Err(_) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let bytes = &self.current[self.at..];
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        self.at += n;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// Key of a path in the bucket.
pub(super) fn key_of(path: &Path) -> Result<Key> {
    Key::parse(path.to_string_lossy())
        .map_err(|e| Failure::spec(format!("{:?} cannot be the name of an object: {e}", path.display())))
}

/// What a list or a header says of an object. Lists give finer times than headers: only
/// seconds count. Its ETag changes with its bytes.
pub(super) fn seen_of(object: &ObjectMeta) -> Seen {
    let tag = object.e_tag.as_deref().unwrap_or_default();
    seen(Kind::File, object.size, object.last_modified.timestamp(), tag)
}

pub(super) fn seen(kind: Kind, size: u64, time: i64, state: &str) -> Seen {
    let digest = Digest::of(state);
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.as_bytes()[at..at + 8]);
        u64::from_be_bytes(bytes) >> 1
    };
    let nanos = i64::try_from(number(8) % 1_000_000_000).unwrap_or(0);
    let mode = if kind == Kind::Folder { 0o40_755 } else { 0o100_644 };
    Seen { kind, size, modified: (time, 0), changed: (time, nanos), identity: (mode, 0, number(0)) }
}

/// Whether an object is not there, while its bucket is.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !text(error).contains("NoSuchBucket")
}

/// Whether the condition of a put did not hold.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotModified { .. })
}

fn text(error: &Error) -> String {
    crate::effects::fetch::chain(error)
}

/// An element of S3's answer (API reference, "REST error responses").
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
}

/// Why, in the service's short words.
fn reason(text: &str) -> String {
    if let Some(code) = element(text, "Code") {
        let message = element(text, "Message").unwrap_or_default();
        return format!("{code}: {message}").trim_end_matches([':', ' ']).to_owned();
    }
    let shown = match text.find("status code: ") {
        Some(at) => format!("HTTP {}", text[at + 13..].split([':', '\n']).next().unwrap_or_default()),
        None => text.rsplit(" - ").next().unwrap_or(text).to_owned(),
    };
    shown.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A refusal as a failure of ours.
pub(super) fn failure(bucket: &str, object: &str, error: &Error) -> Failure {
    let text = text(error);
    let why = reason(&text);
    let host = |code: ErrorCode, message: String| Failure::new(code, FailureClass::Host, message);
    if text.contains("NoSuchBucket") {
        return host(ErrorCode::NotFound, format!("{object}: there is no bucket {bucket}"))
            .hint("Check `store.path` and `store.s3` in bootwright.yaml, or make the bucket.");
    }
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            host(ErrorCode::Permission, format!("{object}: access is denied: {why}")).hint(
                "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, and that they may read, list, write and delete there (docs/stores.md).",
            )
        }
        _ if text.contains("169.254.") || text.contains("credentials") => host(
            ErrorCode::Permission,
            format!("{object}: no credentials can be had: {why}"),
        )
        .hint("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment (docs/stores.md)."),
        Error::InvalidPath { .. } => host(ErrorCode::Corrupt, format!("{object}: an object there has a name that is no path: {why}"))
            .hint("Remove or rename that object."),
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            host(ErrorCode::BuildEnvironment, format!("{object}: {why}"))
        }
        _ if text.contains("status code: 4") && !text.contains("status code: 429") => {
            host(ErrorCode::BuildEnvironment, format!("{object}: the service refuses: {why}"))
                .hint("Check `store.s3.region` and `store.s3.endpoint` in bootwright.yaml.")
        }
        _ => Failure::upstream(format!("{object}: {why}"))
            .hint("The service could not be reached or failed, also when asked again. Run it again later."),
    }
}
