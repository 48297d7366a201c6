//! Pushes an OCI image from its archive to a registry (OCI distribution specification), and
//! attaches to it what belongs to its release.
//!
//! Plain HTTP is spoken with this host only (loopback); everything else is HTTPS. What the
//! registry has already is not sent again.

pub mod answers;
mod attach;
mod remote;

pub use attach::{Found, attach, read, tagged};

use super::oci;
use super::oci::layout::OciArchive;
use crate::effects::fetch::chain;
use crate::effects::{Cancel, Task};
use crate::model::event::{Emitter, Unit};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use futures_util::stream;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Bytes that are read and sent at once.
const CHUNK: usize = 1 << 20;
/// How often a blob is tried.
const ROUNDS: u32 = 3;

/// Who pushes. Never shown, never logged.
#[derive(Clone)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// A user.
    Basic {
        /// The name.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

impl From<&Credentials> for RegistryAuth {
    fn from(credentials: &Credentials) -> Self {
        match credentials {
            Credentials::Anonymous => Self::Anonymous,
            Credentials::Basic { user, password } => Self::Basic(user.clone(), password.clone()),
            Credentials::Bearer(token) => Self::Bearer(token.clone()),
        }
    }
}

/// What a push came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest, as the registry has it.
    pub digest: Digest,
    /// Bytes that were sent; what was there already does not count.
    pub sent: u64,
}

/// Pushes the image in `archive` to `target`: `registry.example/team/edge-gateway:TAG`.
///
/// # Errors
/// Class *spec* for a bad target or archive, *host* (permission) when the registry refuses
/// the credentials, *upstream* when it fails.
pub async fn push(
    archive: &Path,
    target: &str,
    credentials: &Credentials,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Pushed> {
    let to = reference(target)?;
    let image = OciArchive::open(archive)?;
    let auth = RegistryAuth::from(credentials);
    let client = client(&to);
    let blobs: Vec<_> = image.layers.iter().chain([&image.config]).collect();
    let total = blobs.iter().map(|(_, size)| size).sum();
    let task = Task::with_total(events, format!("push {to}"), Some(total), Unit::Bytes);
    let failed = |e: OciDistributionError| refused(&to, &e);
    client.auth(&to, &auth, RegistryOperation::Push).await.map_err(failed)?;
    let mut sent = 0;
    for (digest, size) in blobs {
        cancel.check()?;
        if client.blob_exists(&to, &digest.to_string()).await.map_err(failed)? {
            task.advance(*size);
            continue;
        }
        send(&client, &to, &image, (digest, *size), &task, cancel).await?;
        sent += size;
    }
    let kind = reqwest::header::HeaderValue::from_static(oci::MANIFEST);
    client.push_manifest_raw(&to, image.manifest_bytes.clone(), kind).await.map_err(failed)?;
    let there = client.fetch_manifest_digest(&to, &auth).await.map_err(failed)?;
    if there != image.manifest.to_string() {
        return Err(Failure::untrusted(format!("{to}: pushed {}, the registry has {there}", image.manifest))
            .hint("Does somebody else push to this tag? Push again, or use another tag."));
    }
    task.finish(format!("pushed, {}", image.manifest));
    Ok(Pushed { digest: image.manifest, sent })
}

async fn send(
    client: &Client,
    to: &Reference,
    image: &OciArchive,
    (digest, size): (&Digest, u64),
    task: &Task,
    cancel: &Cancel,
) -> Result<()> {
    let mut round = 1;
    loop {
        let chunks = chunks(image.blob(digest)?, cancel.clone());
        let error = match client.push_blob_stream(to, chunks, &digest.to_string(), Some(size)).await {
            Ok(_) => {
                task.advance(size);
                return Ok(());
            }
            Err(error) => error,
        };
        cancel.check()?;
        if round == ROUNDS || !may_pass(&error) {
            return Err(refused(to, &error).details(format!("while sending {digest}, {size} bytes")));
        }
        tokio::time::sleep(Duration::from_secs(u64::from(round))).await;
        round += 1;
    }
}

/// The bytes of a reader in pieces. Local files are read fast enough to do it on the spot.
fn chunks<B: From<Vec<u8>>>(
    from: impl Read + Send + 'static,
    cancel: Cancel,
) -> impl futures_util::Stream<Item = Result<B, OciDistributionError>> + Send + 'static {
    stream::unfold(Some(from), move |from| {
        let cancel = cancel.clone();
        async move {
            let mut from = from?;
            if cancel.is_requested() {
                return Some((Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()), None));
            }
            let mut bytes = Vec::with_capacity(CHUNK);
            match from.by_ref().take(CHUNK as u64).read_to_end(&mut bytes) {
                Ok(0) => None,
                Ok(_) => Some((Ok(B::from(bytes)), Some(from))),
                Err(e) => Some((Err(e.into()), None)),
            }
        }
    })
}

fn client(to: &Reference) -> Client {
    let protocol =
        if is_loopback(to.resolve_registry()) { ClientProtocol::Http } else { ClientProtocol::Https };
    Client::new(ClientConfig {
        protocol,
        // One request for each blob: the form that every registry takes.
        use_monolithic_push: true,
        connect_timeout: Some(Duration::from_secs(15)),
        read_timeout: Some(Duration::from_mins(5)),
        user_agent: concat!("bootwright/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// Whether a registry is on this very host, by its name or address; what a name resolves to
/// does not count.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A reference with a tag: what can be pushed to.
fn reference(target: &str) -> Result<Reference> {
    let reference = parse(target)?;
    match (reference.tag(), reference.digest()) {
        (Some(_), None) => Ok(reference),
        _ => Err(no_reference(target, "it needs a tag")),
    }
}

fn no_reference(target: &str, why: &str) -> Failure {
    Failure::spec(format!("{target:?} is no image in a registry: {why}"))
        .hint("Write the registry's host, a path and a tag: registry.example/team/image:tag.")
}

/// A reference with a tag or a digest.
fn parse(target: &str) -> Result<Reference> {
    // Without a host the reference would silently mean one well-known registry.
    let host = target.split('/').next().unwrap_or("");
    if !target.contains('/') || !(host.contains(['.', ':']) || host == "localhost") {
        return Err(no_reference(target, "it names no registry"));
    }
    target.parse().map_err(|e: oci_client::ParseError| no_reference(target, &e.to_string()))
}

/// Whether trying again can help.
fn may_pass(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        _ => false,
    }
}

fn refused(to: &Reference, error: &OciDistributionError) -> Failure {
    let forbidden = match error {
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            true
        }
        OciDistributionError::ServerError { code, .. } => matches!(code, 401 | 403),
        OciDistributionError::RequestError(e) => e.status().is_some_and(|s| matches!(s.as_u16(), 401 | 403)),
        _ => false,
    };
    if forbidden {
        return Failure::new(
            ErrorCode::Permission,
            FailureClass::Host,
            format!("{}/{} does not let us in", to.registry(), to.repository()),
        )
        .hint("Check the user and password, and what they may do there.");
    }
    Failure::upstream(format!("pushing to {to}: {}", chain(error)))
        .hint("Check that the registry is up and takes OCI images; run again, what was sent is kept.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_host_only() {
        for near in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in
            ["127.0.0.1.evil.example:5000", "localhost.evil.example", "10.0.0.1:5000", "0.0.0.0", "registry"]
        {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[test]
    fn a_target_names_host_and_tag() {
        assert!(reference("localhost:5000/a/b:1").is_ok());
        assert!(reference("registry.example/team/edge:20260101-abcdef12").is_ok());
        for bad in ["", "edge", "team/edge:1", "registry.example/a/B:1", "registry.example/a b:1"] {
            assert!(reference(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn credentials_do_not_show() {
        let text = format!("{:?}", Credentials::Basic { user: "u".into(), password: "hunter2".into() });
        assert!(!text.contains("hunter2"));
        assert!(!format!("{:?}", Credentials::Bearer("hunter2".into())).contains("hunter2"));
    }
}
