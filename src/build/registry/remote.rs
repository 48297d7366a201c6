//! One repository of a registry, asked request by request (OCI distribution specification
//! 1.1). Every answer has a limit, and nothing is believed but bytes with the right digest.

use super::answers::{INDEX, Index};
use super::{Credentials, ROUNDS, client, is_loopback};
use crate::build::oci;
use crate::effects::{Cancel, fetch};
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use std::time::Duration;

/// No manifest or index is larger, in bytes (registries draw the line there too).
const LARGEST_DOCUMENT: u64 = 4 << 20;
/// Parts in which a list of referrers may come.
const MOST_PAGES: usize = 16;
/// What may stand for an image.
const IMAGES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A repository, and who asks.
pub(super) struct Remote<'a> {
    http: reqwest::Client,
    /// Sends blobs, which may be large.
    pub client: Client,
    /// The repository, with whatever tag or digest it was named by.
    pub to: Reference,
    /// `https://HOST/v2/NAME`.
    base: String,
    authorization: Authorization,
    cancel: &'a Cancel,
}

enum Authorization {
    None,
    Basic(String, String),
    Bearer(String),
}

impl<'a> Remote<'a> {
    /// Signs in.
    pub async fn open(
        to: Reference,
        credentials: &Credentials,
        operation: RegistryOperation,
        cancel: &'a Cancel,
    ) -> Result<Self> {
        let client = client(&to);
        let auth = RegistryAuth::from(credentials);
        let token = client.auth(&to, &auth, operation).await.map_err(|e| super::refused(&to, &e))?;
        let authorization = match (token, credentials) {
            (Some(token), _) => Authorization::Bearer(token),
            (None, Credentials::Basic { user, password }) => {
                Authorization::Basic(user.clone(), password.clone())
            }
            (None, Credentials::Bearer(token)) => Authorization::Bearer(token.clone()),
            (None, Credentials::Anonymous) => Authorization::None,
        };
        let scheme = if is_loopback(to.resolve_registry()) { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}", to.resolve_registry(), to.repository());
        Ok(Self { http: fetch::client()?, client, to, base, authorization, cancel })
    }

    /// A manifest by tag or digest; nothing if there is none.
    pub async fn manifest(&self, reference: &str) -> Result<Option<Vec<u8>>> {
        let answer =
            self.get(&format!("{}/manifests/{reference}", self.base), IMAGES, LARGEST_DOCUMENT).await?;
        Ok(answer.map(|(bytes, _)| bytes))
    }

    /// A manifest by its digest; nothing if there is none.
    pub async fn manifest_of(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let bytes = self.manifest(&digest.to_string()).await?;
        bytes.map(|bytes| self.checked(bytes, digest)).transpose()
    }

    /// The bytes of a small blob.
    pub async fn blob(&self, digest: &Digest, size: u64) -> Result<Vec<u8>> {
        let answer = self.get(&format!("{}/blobs/{digest}", self.base), "*/*", size).await?;
        let (bytes, _) =
            answer.ok_or_else(|| Failure::untrusted(format!("{}: {digest} is missing", self.name())))?;
        self.checked(bytes, digest)
    }

    fn checked(&self, bytes: Vec<u8>, digest: &Digest) -> Result<Vec<u8>> {
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        Err(Failure::untrusted(format!("{} gives other bytes for {digest}", self.name()))
            .hint("The registry, or something on the way to it, is broken or lies."))
    }

    /// Writes a manifest under its digest or a tag; says whether the registry lists it as a
    /// referrer by itself.
    pub async fn put_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<bool> {
        let url = format!("{}/manifests/{reference}", self.base);
        let request = || self.http.put(&url).header(header::CONTENT_TYPE, media_type).body(bytes.to_vec());
        let response = self.send(request).await?;
        if response.status() != StatusCode::CREATED {
            return Err(self.unexpected(&response));
        }
        Ok(response.headers().contains_key("oci-subject"))
    }

    /// What refers to an image: as the registry lists it, or, where it keeps no list, as the
    /// index under the tag of the image's digest does.
    pub async fn referrers(&self, image: &Digest) -> Result<Index> {
        // Parts of a list come one after the other.
        let mut next = Some(format!("{}/referrers/{image}", self.base));
        let mut index: Option<Index> = None;
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { break };
            let Some((bytes, link)) = self.get(&url, INDEX, LARGEST_DOCUMENT).await? else { break };
            let page = Index::parse(&bytes).map_err(|f| f.on(self.name()))?;
            match &mut index {
                Some(index) => index.entries.extend(page.entries),
                none => *none = Some(page),
            }
            next = link.and_then(|link| self.next_page(&url, &link));
        }
        match index {
            Some(index) => Ok(index),
            None => Ok(self.index_by_tag(image).await?.unwrap_or_default()),
        }
    }

    /// The index under the tag of an image's digest.
    pub async fn index_by_tag(&self, image: &Digest) -> Result<Option<Index>> {
        let bytes = self.manifest(&tag(image)).await?;
        bytes.map(|bytes| Index::parse(&bytes).map_err(|f| f.on(self.name()))).transpose()
    }

    /// The address in a `Link` header (RFC 8288) with `rel="next"`, if it is of this
    /// repository: nobody else gets our credentials.
    fn next_page(&self, url: &str, link: &str) -> Option<String> {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        if !parameters.replace(['"', ' '], "").contains("rel=next") {
            return None;
        }
        let next = reqwest::Url::parse(url).ok()?.join(address).ok()?.to_string();
        next.starts_with(&format!("{}/referrers/", self.base)).then_some(next)
    }

    /// The body of an answer and its `Link` header; nothing if there is no such thing.
    async fn get(&self, url: &str, accept: &str, limit: u64) -> Result<Option<(Vec<u8>, Option<String>)>> {
        let response = self.send(|| self.http.get(url).header(header::ACCEPT, accept)).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => return Ok(None),
            _ => return Err(self.unexpected(&response)),
        }
        let link =
            response.headers().get(header::LINK).and_then(|link| link.to_str().ok()).map(str::to_owned);
        let bytes = fetch::body(response, limit).await.map_err(|f| f.on(self.name()))?;
        Ok(Some((bytes, link)))
    }

    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response> {
        let mut round = 1;
        loop {
            self.cancel.check()?;
            let request = match &self.authorization {
                Authorization::None => request(),
                Authorization::Basic(user, password) => request().basic_auth(user, Some(password)),
                Authorization::Bearer(token) => request().bearer_auth(token),
            };
            let result = request.send().await;
            let may_pass = match &result {
                Ok(answer) => {
                    answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS
                }
                Err(_) => true,
            };
            if round < ROUNDS && may_pass {
                tokio::time::sleep(Duration::from_secs(u64::from(round))).await;
                round += 1;
                continue;
            }
            return result.map_err(|e| {
                Failure::upstream(format!("{}: {}", self.name(), fetch::chain(&e.without_url())))
                    .code(ErrorCode::Network)
                    .hint("Check that the registry is up; run again, what was sent is kept.")
            });
        }
    }

    fn unexpected(&self, response: &Response) -> Failure {
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let what = format!("{} does not let us in", self.name());
            return Failure::new(ErrorCode::Permission, FailureClass::Host, what)
                .hint("Check the user and password, and what they may do there.");
        }
        Failure::upstream(format!("{}: HTTP {status}", self.name()))
            .hint("Check that the registry is up and takes OCI images; run again, what was sent is kept.")
    }

    fn name(&self) -> String {
        format!("{}/{}", self.to.registry(), self.to.repository())
    }
}

/// The tag under which a registry without a list of its own has one (distribution
/// specification, "Referrers Tag Schema").
pub(super) fn tag(image: &Digest) -> String {
    format!("sha256-{}", image.hex())
}

/// The tag under which cosign looks for signatures of an image.
pub(super) fn signature_tag(image: &Digest) -> String {
    format!("{}.sig", tag(image))
}

/// The media type that a manifest says it has.
pub(super) fn media_type(manifest: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let read = serde_json::from_slice::<Typed>(manifest).ok().and_then(|typed| typed.media_type);
    read.unwrap_or_else(|| oci::MANIFEST.to_owned())
}
