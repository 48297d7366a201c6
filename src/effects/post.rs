//! Questions to one service over HTTPS: small bodies, bounded answers, no redirects.

use super::fetch::chain;
use crate::model::{Failure, Result};
use futures_util::StreamExt;
use reqwest::Url;
use reqwest::redirect::Policy;
use std::time::Duration;

/// The longest answer, in bytes.
const LONGEST: usize = 256 << 10;

/// A service and how to reach it.
#[derive(Clone, Debug)]
pub struct Service {
    client: reqwest::Client,
    base: Url,
}

/// What a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Service {
    /// A service at `https://HOST[:PORT]`. With `authorities` (PEM) only certificates that they
    /// issued are believed, else those that the host trusts.
    ///
    /// # Errors
    /// Class *spec* for another address, or what is no certificate.
    pub fn new(address: &str, authorities: Option<&[u8]>) -> Result<Self> {
        let refused = |why: &str| {
            Failure::spec(format!("the address of the controller {why}"))
                .hint("Write https://HOST:PORT, as `bootwright serve` listens there.")
        };
        let base = Url::parse(address).map_err(|_| refused("cannot be read"))?;
        let plain = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none()
            && base.path() == "/";
        if base.scheme() != "https" || !plain {
            return Err(refused("is not https://HOST:PORT"));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("bootwright/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .connect_timeout(Duration::from_secs(10))
            .redirect(Policy::none());
        if let Some(pem) = authorities {
            let all = reqwest::Certificate::from_pem_bundle(pem).ok().filter(|all| !all.is_empty());
            let all =
                all.ok_or_else(|| Failure::spec("the controller's authority is no certificate in PEM"))?;
            builder = builder.tls_certs_only(all);
        }
        let client =
            builder.build().map_err(|e| Failure::host(format!("making an HTTP client: {}", chain(&e))))?;
        Ok(Self { client, base })
    }

    /// Sends a body to a path; gives the answer, whatever its status.
    ///
    /// # Errors
    /// Class *upstream* if there is none within `time`, or it is too long.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        time: Duration,
    ) -> Result<Answer> {
        let mut url = self.base.clone();
        url.set_path(path);
        let mut request = self.client.post(url).timeout(time).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let upstream = |e: reqwest::Error| {
            Failure::upstream(format!("asking the controller: {}", chain(&e.without_url())))
        };
        let response = request.body(body).send().await.map_err(upstream)?;
        let status = response.status().as_u16();
        let (mut body, mut stream) = (Vec::new(), response.bytes_stream());
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk.map_err(upstream)?);
            if body.len() > LONGEST {
                let message = format!("the controller answers with more than {LONGEST} bytes");
                return Err(Failure::upstream(message));
            }
        }
        Ok(Answer { status, body })
    }
}
