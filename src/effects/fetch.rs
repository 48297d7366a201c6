//! Downloads: many at once, resumed, retried, from the first mirror that answers, and
//! never kept unless the digest is right.
//!
//! An address that says it has no such file is not asked again; one that stumbles is, after
//! a pause that grows.

use super::cancel::Cancel;
use super::files::{digest_file, digest_reader, parent};
use super::point::{Point, point};
use super::task::Task;
use crate::model::failure::IoContext;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use futures_util::StreamExt;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Downloads at once.
const PARALLEL: usize = 8;
/// How long a mirror is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Nothing comes for so long: it is left. The whole head of an answer must come in it.
    pub idle: Duration,
    /// A body is measured over windows of this length.
    pub window: Duration,
    /// Fewer bytes than this within a window: it is left.
    pub least: u64,
    /// Rounds through all addresses of a file.
    pub rounds: u32,
}

impl Default for Patience {
    /// A modem gets through, a mirror that holds us up does not.
    fn default() -> Self {
        Self { idle: Duration::from_mins(1), window: Duration::from_mins(2), least: 128 << 10, rounds: 4 }
    }
}

/// One file to be had.
#[derive(Debug, Clone)]
pub struct Download {
    /// Its addresses, in the order in which they are tried: `http`, `https` or `file`.
    pub urls: Vec<String>,
    /// What it must be.
    pub sha256: Digest,
    /// Its size in bytes: more is never read.
    pub size: u64,
    /// Where it goes. A part that was left there by a killed process is gone on with.
    pub to: PathBuf,
}

/// An HTTP client with the timeouts that suit package mirrors.
///
/// # Errors
/// If the TLS roots of this host cannot be read.
pub fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("bootwright/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(15))
        .read_timeout(Duration::from_mins(1))
        // A package is the bytes that were reviewed, not what they unpack to.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .build()
        .map_err(|e| Failure::host(format!("making an HTTP client: {}", chain(&e))))
}

/// Fetches all files and counts their bytes on `task`.
///
/// # Errors
/// Class *upstream* with the file, every address that was tried and why it failed.
pub async fn fetch_all(
    client: &reqwest::Client,
    downloads: Vec<Download>,
    task: &Task,
    cancel: &Cancel,
) -> Result<()> {
    let mut running = futures_util::stream::iter(
        downloads.into_iter().map(|d| async move { fetch(client, &d, task, cancel).await }),
    )
    .buffer_unordered(PARALLEL);
    while let Some(result) = running.next().await {
        result?;
    }
    Ok(())
}

/// Fetches one file.
///
/// # Errors
/// As [`fetch_all`].
pub async fn fetch(
    client: &reqwest::Client,
    download: &Download,
    task: &Task,
    cancel: &Cancel,
) -> Result<()> {
    fetch_with(client, download, task, cancel, &Patience::default()).await
}

/// Fetches one file with as much patience as is given.
///
/// # Errors
/// As [`fetch_all`].
pub async fn fetch_with(
    client: &reqwest::Client,
    download: &Download,
    task: &Task,
    cancel: &Cancel,
    patience: &Patience,
) -> Result<()> {
    let folder = parent(&download.to);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let mut tried = Vec::new();
    let mut urls: Vec<&String> = download.urls.iter().collect();
    for round in 0..patience.rounds {
        if round > 0 && !urls.is_empty() {
            tokio::time::sleep(pause(round, download)).await;
        }
        let mut stumbled = Vec::new();
        for url in urls {
            let _held = match hold(download, cancel).await? {
                Held::Part(lock) => lock,
                Held::Stored => {
                    task.advance(download.size);
                    return Ok(());
                }
            };
            let result = match url.strip_prefix("file://") {
                Some(path) => copy(Path::new(path), download, task),
                None => get(client, url, download, task, cancel, patience).await,
            };
            match result {
                Ok(()) => return Ok(()),
                Err(failure) if failure.class == FailureClass::Upstream => {
                    if failure.code != ErrorCode::PackageUnavailable {
                        stumbled.push(url);
                    }
                    tried.push(format!("{url}: {failure}"));
                }
                Err(failure) => return Err(failure),
            }
        }
        urls = stumbled;
    }
    let name = download.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    tried.dedup();
    // Gone everywhere is another thing than not to be had now: the lock may be too old.
    let code = if urls.is_empty() { ErrorCode::PackageUnavailable } else { ErrorCode::Network };
    Err(Failure::upstream(format!("{name} cannot be had from any mirror"))
        .code(code)
        .details(tried.join("\n"))
        .hint("Check the mirrors in bootwright.yaml; if upstream replaced the file, run `bootwright lock --update`."))
}

/// Half a second, one, two, and up to half as much again: clients that failed together must
/// not come back together.
fn pause(round: u32, download: &Download) -> Duration {
    let base = 500 * 2_u64.pow(round.saturating_sub(1).min(6));
    let seed = u64::from(std::process::id()) ^ u64::from(download.sha256.as_bytes()[0]);
    Duration::from_millis(base + base * (seed % 256) / 512)
}

fn part_of(download: &Download) -> PathBuf {
    let mut name = download.to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// The part of a file that one process fetches at a time.
enum Held {
    /// It is ours as long as this is open.
    Part(std::fs::File),
    /// Somebody else fetched the file while we waited.
    Stored,
}

/// Waits until nobody else fetches the same file: images that are built at once share many.
async fn hold(download: &Download, cancel: &Cancel) -> Result<Held> {
    let part = part_of(download);
    loop {
        cancel.check()?;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&part)
            .during(|| format!("writing {}", part.display()))?;
        let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        if locked == Err(rustix::io::Errno::WOULDBLOCK) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        // Its holder may have given it its name, or removed it, before we got the lock.
        let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let ours = file.metadata().map(id).ok();
        if ours.is_none() || ours != std::fs::metadata(&part).map(id).ok() {
            continue;
        }
        if download.to.exists() && digest_file(&download.to)?.0 == download.sha256 {
            let _ = std::fs::remove_file(&part);
            return Ok(Held::Stored);
        }
        return Ok(Held::Part(file));
    }
}

fn copy(from: &Path, download: &Download, task: &Task) -> Result<()> {
    let part = part_of(download);
    std::fs::copy(from, &part).map_err(|e| match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Failure::io(format!("writing {}", part.display()), &e)
        }
        ErrorKind::NotFound => Failure::upstream(e.to_string()).code(ErrorCode::PackageUnavailable),
        _ => Failure::upstream(e.to_string()),
    })?;
    point(Point::PackagePart)?;
    accept(&part, download)?;
    task.advance(download.size);
    Ok(())
}

fn accept(part: &Path, download: &Download) -> Result<()> {
    let mut file = std::fs::File::open(part).during(|| format!("opening {}", part.display()))?;
    let (digest, size) = digest_reader(&mut file).during(|| format!("reading {}", part.display()))?;
    finish(part, download, digest, size)
}

fn finish(part: &Path, download: &Download, digest: Digest, size: u64) -> Result<()> {
    if digest != download.sha256 {
        let _ = std::fs::remove_file(part);
        return Err(Failure::untrusted(format!(
            "wrong bytes: expected {} ({} bytes), got {digest} ({size} bytes)",
            download.sha256, download.size
        )));
    }
    point(Point::PackageFetched)?;
    std::fs::rename(part, &download.to).during(|| format!("writing {}", download.to.display()))?;
    point(Point::PackageStored)
}

async fn get(
    client: &reqwest::Client,
    url: &str,
    download: &Download,
    task: &Task,
    cancel: &Cancel,
    patience: &Patience,
) -> Result<()> {
    let part = part_of(download);
    let mut hash = Sha256::new();
    let mut have = 0;
    if let Ok(bytes) = std::fs::read(&part)
        && (bytes.len() as u64) < download.size
    {
        hash.update(&bytes);
        have = bytes.len() as u64;
    }
    let mut request = client.get(url);
    if have > 0 {
        request = request.header(reqwest::header::RANGE, format!("bytes={have}-"));
    }
    let upstream = |e: reqwest::Error| Failure::upstream(chain(&e.without_url()));
    let idle = || {
        Failure::upstream(format!("nothing came for {} s", patience.idle.as_secs_f64()))
            .code(ErrorCode::Network)
    };
    let response =
        tokio::time::timeout(patience.idle, request.send()).await.map_err(|_| idle())?.map_err(upstream)?;
    let status = response.status();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Err(Failure::upstream(format!("HTTP {status}")).code(ErrorCode::PackageUnavailable));
    }
    if !status.is_success() {
        return Err(Failure::upstream(format!("HTTP {status}")));
    }
    let resumed = status == StatusCode::PARTIAL_CONTENT;
    if resumed && !is_range_from(&response, have) {
        return Err(Failure::upstream("another part was sent than the one that was asked for"));
    }
    if !resumed {
        (hash, have) = (Sha256::new(), 0);
    }
    if let Some(length) =
        response.content_length().filter(|length| have.saturating_add(*length) > download.size)
    {
        return Err(Failure::upstream(format!(
            "it announces {length} bytes where {} are missing",
            download.size - have
        )));
    }
    let writing = || format!("writing {}", part.display());
    let mut file = tokio::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(&part)
        .await
        .during(writing)?;
    let mut body = response.bytes_stream();
    let (mut window, mut in_window) = (Instant::now(), 0);
    while let Some(chunk) = tokio::time::timeout(patience.idle, body.next()).await.map_err(|_| idle())? {
        cancel.check()?;
        let chunk = chunk.map_err(upstream)?;
        have += chunk.len() as u64;
        in_window += chunk.len() as u64;
        if window.elapsed() >= patience.window {
            if in_window < patience.least && have < download.size {
                let (seconds, least) = (patience.window.as_secs_f64(), patience.least);
                return Err(Failure::upstream(format!(
                    "too slow: {in_window} bytes in {seconds} s, at least {least} are expected"
                ))
                .code(ErrorCode::Network));
            }
            (window, in_window) = (Instant::now(), 0);
        }
        if have > download.size {
            drop(file);
            let _ = std::fs::remove_file(&part);
            return Err(Failure::untrusted(format!("more than the {} bytes it should have", download.size)));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.during(writing)?;
        task.advance(chunk.len() as u64);
        point(Point::PackagePart)?;
    }
    file.flush().await.during(writing)?;
    if have < download.size {
        return Err(Failure::upstream(format!("ended after {have} of {} bytes", download.size))
            .code(ErrorCode::Network));
    }
    finish(&part, download, Digest::from_bytes(hash.finalize().into()), have)
}

/// Whether an answer is the rest of a file from a byte on (RFC 9110, section 14.4).
fn is_range_from(response: &reqwest::Response, from: u64) -> bool {
    let range = response.headers().get(reqwest::header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    from > 0 && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// The body of an answer, of which no more than `limit` bytes are read.
///
/// # Errors
/// *Untrusted* if it is longer; class *upstream* if it ends too early.
pub async fn body(mut response: reqwest::Response, limit: u64) -> Result<Vec<u8>> {
    let too_long = || Failure::untrusted(format!("an answer is longer than {limit} bytes"));
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let failed = |e: reqwest::Error| {
        Failure::upstream(format!("an answer broke off: {}", chain(&e.without_url())))
            .code(ErrorCode::Network)
    };
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A small file as a whole: `http`, `https` or `file`. Its failures name no address.
///
/// # Errors
/// Class *upstream* if it is not there, if nothing comes for `idle`, if it is longer than `limit`.
pub async fn small(client: &reqwest::Client, url: &str, limit: u64, idle: Duration) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    each_part(client, url, limit, idle, |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .await?;
    Ok(bytes)
}

/// The size of a file in bytes, as its address says before it is fetched.
///
/// # Errors
/// Class *upstream* if it is not there, or does not say how long it is.
pub async fn length(client: &reqwest::Client, url: &str, idle: Duration) -> Result<u64> {
    if let Some(path) = url.strip_prefix("file://") {
        return match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => Ok(meta.len()),
            Ok(_) => Err(Failure::upstream("it is no file")),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(gone("it is not there")),
            Err(_) => Err(Failure::upstream("it cannot be read")),
        };
    }
    let failed = |e: reqwest::Error| Failure::upstream(chain(&e.without_url())).code(ErrorCode::Network);
    let response = tokio::time::timeout(idle, client.head(url).send())
        .await
        .map_err(|_| silent(idle))?
        .map_err(failed)?;
    successful(response.status())?;
    // The client's own reading of a length is of the body, which an answer to HEAD has not.
    let length = response.headers().get(reqwest::header::CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .ok_or_else(|| Failure::upstream("it does not say how long it is"))
}

fn silent(idle: Duration) -> Failure {
    Failure::upstream(format!("nothing came for {} s", idle.as_secs_f64())).code(ErrorCode::Network)
}

fn successful(status: StatusCode) -> Result<()> {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(gone(&format!("HTTP {status}"))),
        status if !status.is_success() => Err(Failure::upstream(format!("HTTP {status}"))),
        _ => Ok(()),
    }
}

/// Fetches a file whose digest nobody knows yet to `to`; gives its digest and size.
///
/// # Errors
/// As [`small`], and class *host* if it cannot be written.
pub async fn unknown(
    client: &reqwest::Client,
    url: &str,
    limit: u64,
    idle: Duration,
    to: &Path,
) -> Result<(Digest, u64)> {
    let writing = || format!("writing {}", to.display());
    let mut file = std::fs::File::create(to).during(writing)?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    each_part(client, url, limit, idle, |part| {
        hash.update(part);
        size += part.len() as u64;
        file.write_all(part).during(writing)
    })
    .await?;
    Ok((Digest::from_bytes(hash.finalize().into()), size))
}

/// Gives the parts of a file as they come.
async fn each_part(
    client: &reqwest::Client,
    url: &str,
    limit: u64,
    idle: Duration,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut left = limit;
    let mut take = |part: &[u8]| {
        left = left
            .checked_sub(part.len() as u64)
            .ok_or_else(|| Failure::untrusted(format!("it is longer than {limit} bytes")))?;
        take(part)
    };
    if let Some(path) = url.strip_prefix("file://") {
        let unreadable = |_| Failure::upstream("it cannot be read");
        let mut file = std::fs::File::open(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => gone("it is not there"),
            _ => unreadable(e),
        })?;
        let mut part = vec![0; 1 << 20];
        loop {
            match file.read(&mut part).map_err(unreadable)? {
                0 => return Ok(()),
                read => take(&part[..read])?,
            }
        }
    }
    let silent = || silent(idle);
    let failed = |e: reqwest::Error| {
        let why = if e.is_connect() { "nobody answers there" } else { "the answer broke off" };
        Failure::upstream(why).code(ErrorCode::Network)
    };
    let request = tokio::time::timeout(idle, client.get(url).send());
    let mut response = request.await.map_err(|_| silent())?.map_err(failed)?;
    successful(response.status())?;
    while let Some(part) =
        tokio::time::timeout(idle, response.chunk()).await.map_err(|_| silent())?.map_err(failed)?
    {
        take(&part)?;
    }
    Ok(())
}

fn gone(why: &str) -> Failure {
    Failure::upstream(why).code(ErrorCode::PackageUnavailable)
}

/// An identity token for `audience` from the address that GitHub Actions names in
/// `ACTIONS_ID_TOKEN_REQUEST_URL` (GitHub documentation, "OpenID Connect").
///
/// # Errors
/// Class *upstream* if the service refuses; neither address nor bearer token is shown.
pub async fn identity_token(
    client: &reqwest::Client,
    url: &str,
    bearer: &str,
    audience: &str,
) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        value: String,
    }
    let refused = |e: reqwest::Error| {
        Failure::upstream(format!("no identity token can be had: {}", chain(&e.without_url())))
            .hint("Give the workflow the permission `id-token: write`.")
    };
    let response = client
        .get(url)
        .query(&[("audience", audience)])
        .bearer_auth(bearer)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(refused)?;
    Ok(response.json::<Answer>().await.map_err(refused)?.value)
}

/// An error with its causes: reqwest's own text leaves out why.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
