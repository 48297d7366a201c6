//! One question to a service that answers in JSON: a bounded answer in bounded time, no
//! redirects, and the key is never shown.

use super::cancel::Cancel;
use super::fetch::chain;
use crate::model::{ErrorCode, Failure, Result};
use futures_util::StreamExt;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;

/// How much of a service is borne.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For one answer, from the question on.
    pub time: Duration,
    /// The body, in bytes.
    pub size: usize,
    /// The longest wait that a service may ask for before it is asked again.
    pub wait: Duration,
    /// How often it is asked when it says that it is busy.
    pub tries: u32,
}

impl Default for Bounds {
    /// A model on a slow host needs minutes for a long answer.
    fn default() -> Self {
        Self { time: Duration::from_mins(5), size: 1 << 20, wait: Duration::from_mins(1), tries: 3 }
    }
}

/// The address of a service: `https`, or `http` on this host.
///
/// # Errors
/// Class *spec* for any other scheme, for an address that carries a user or a query.
pub fn service(text: &str) -> Result<Url> {
    let refused = |why: &str| Failure::spec(format!("the address of the service {why}"));
    let url = Url::parse(text).map_err(|_| {
        refused("cannot be read")
            .hint("Write it as https://HOST/PATH, or http://127.0.0.1:PORT on this host.")
    })?;
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(refused("carries a user, a password or a query")
            .hint("Give the key in the environment; it never belongs into an address."));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(refused("is not encrypted and not on this host")
            .hint("Use https; http is for 127.0.0.1, ::1 and localhost only.")),
        _ => Err(refused("is neither https nor http").hint("Write https://…")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Asks; gives the text of the answer.
///
/// # Errors
/// Class *upstream*: refused, too slow, too large, led elsewhere; *spec* where the key or the
/// question is wrong. What the service says is shown without the key.
pub async fn ask(
    url: &Url,
    key: Option<&str>,
    body: &Value,
    bounds: &Bounds,
    cancel: &Cancel,
) -> Result<String> {
    let client = client(url, bounds)?;
    let mut tries = 1;
    loop {
        cancel.check()?;
        let asked = tokio::time::timeout(bounds.time, one(&client, url, key, body, bounds));
        let answer = tokio::select! {
            answer = asked => answer.unwrap_or_else(|_| Err(Retry::never(too_slow(bounds)))),
            () = stopped(cancel) => return Err(Failure::cancelled()),
        };
        match answer {
            Ok(text) => return Ok(text),
            Err(Retry { after: Some(wait), failure }) if tries < bounds.tries => {
                if wait > bounds.wait {
                    let message = format!("{}; it asks to wait {} s", failure.message, wait.as_secs());
                    return Err(
                        Failure { message, ..*failure }.hint("Try again then, or use `--reader words`.")
                    );
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stopped(cancel) => return Err(Failure::cancelled()),
                }
                tries += 1;
            }
            Err(retry) => return Err(*retry.failure),
        }
    }
}

/// Waits until somebody asks to stop.
async fn stopped(cancel: &Cancel) {
    while !cancel.is_requested() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn client(url: &Url, bounds: &Bounds) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("bootwright/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(15).min(bounds.time))
        // A redirect would send the prompt, and perhaps the key, to somebody else.
        .redirect(Policy::none());
    if is_loopback(url) {
        // Whatever the name service says: this host is this host, and no proxy stands before it.
        let port = url.port_or_known_default().unwrap_or(80);
        builder = builder.no_proxy().resolve("localhost", (std::net::Ipv4Addr::LOCALHOST, port).into());
    }
    builder.build().map_err(|e| Failure::host(format!("making an HTTP client: {}", chain(&e))))
}

/// A failure, and after how long it may be tried again.
struct Retry {
    after: Option<Duration>,
    failure: Box<Failure>,
}

impl Retry {
    fn never(failure: Failure) -> Self {
        Self { after: None, failure: Box::new(failure) }
    }
}

fn too_slow(bounds: &Bounds) -> Failure {
    Failure::upstream(format!("the service did not answer within {} s", bounds.time.as_secs_f64()))
        .code(ErrorCode::Timeout)
}

async fn one(
    client: &reqwest::Client,
    url: &Url,
    key: Option<&str>,
    body: &Value,
    bounds: &Bounds,
) -> Result<String, Retry> {
    let mut request = client.post(url.clone()).json(body);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let upstream =
        |e: reqwest::Error| Failure::upstream(format!("asking the service: {}", chain(&e.without_url())));
    let response = request.send().await.map_err(|e| Retry::never(upstream(e)))?;
    let status = response.status();
    let wait = retry_after(&response);
    let mut text = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| Retry::never(upstream(e)))?;
        if text.len() + chunk.len() > bounds.size {
            let message = format!("the service answers with more than {} bytes", bounds.size);
            return Err(Retry::never(Failure::upstream(message)));
        }
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    Err(refused(status, wait, &text, key))
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3).
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn refused(status: StatusCode, wait: Option<Duration>, text: &str, key: Option<&str>) -> Retry {
    let said = excerpt(text, key);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let failure = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            // Its text is not shown: services quote keys in it.
            return Retry::never(
                Failure::spec(format!("the service refuses the key (HTTP {})", status.as_u16()))
                    .code(ErrorCode::Permission)
                    .hint("Set BOOTWRIGHT_LLM_KEY to a key that is valid there."),
            );
        }
        status if status.is_redirection() => {
            return Retry::never(
                Failure::upstream(format!(
                    "the service leads to another address (HTTP {}), which is not followed",
                    status.as_u16()
                ))
                .code(ErrorCode::Untrusted)
                .hint("Set BOOTWRIGHT_LLM_URL to the address itself."),
            );
        }
        StatusCode::NOT_FOUND => {
            Failure::spec(format!("the service has no such address or model (HTTP 404){said}"))
                .code(ErrorCode::NotFound)
                .hint("Check BOOTWRIGHT_LLM_URL, BOOTWRIGHT_LLM_MODEL and BOOTWRIGHT_LLM_KIND.")
        }
        status => Failure::upstream(format!("the service answers HTTP {}{said}", status.as_u16())),
    };
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
    let after = match wait {
        Some(wait) if busy => Some(wait),
        None if busy || status.is_server_error() => Some(Duration::from_secs(1)),
        _ => None,
    };
    Retry { after, failure: Box::new(failure) }
}

/// What a service says, on one line, without the key.
fn excerpt(text: &str, key: Option<&str>) -> String {
    let text = match key.filter(|key| !key.is_empty()) {
        Some(key) => text.replace(key, "…"),
        None => text.to_owned(),
    };
    let plain = text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c });
    plain.take(200).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_host_only() {
        for good in [
            "http://127.0.0.1:11434",
            "http://localhost:1",
            "http://[::1]:11434/v1",
            "https://models.example.org/v1",
        ] {
            assert!(service(good).is_ok(), "{good}");
        }
        for bad in [
            "http://models.example.org",
            "http://10.0.0.1:11434",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://0.0.0.0:11434",
            "https://user:hunter2@models.example.org",
            "https://models.example.org/?key=hunter2",
            "ftp://models.example.org",
            "file:///etc/passwd",
            "models.example.org",
            "",
        ] {
            let failure = service(bad).expect_err(bad);
            assert!(!format!("{failure:?}").contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn the_key_is_cut_out_of_what_a_service_says() {
        assert_eq!(excerpt("bad key sk-canary\nagain", Some("sk-canary")), "bad key … again");
        assert!(excerpt(&"x".repeat(5000), None).len() <= 200);
    }
}
