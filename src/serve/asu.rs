//! The Attended Sysupgrade API: parse, call an operation, render.
//!
//! Paths, codes, headers and forms are those of the server that openwrt.org runs, whose clients are
//! owut, LuCI and the firmware selector. The last one is a page of another server, so every answer
//! may be read by any page.

use crate::effects::listen::Listener;
use crate::model::asu::answer::Told;
use crate::model::asu::document::Document;
use crate::model::asu::overview;
use crate::model::asu::{BuildRequest, Fault};
use crate::model::failure::FailureClass;
use crate::model::openwrt::BuilderId;
use crate::model::{Digest, Failure, Result};
use crate::ops::Context;
use crate::ops::openwrt::asu::{Reply, Served, Sysupgrade, SysupgradeRequest};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tower_http::cors::{Any, CorsLayer};

/// No request is longer, in bytes.
const LONGEST: usize = 256 << 10;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often what expired is forgotten.
const TIDY: Duration = Duration::from_mins(5);
/// Bytes of a file that are sent at once.
const PART: usize = 64 << 10;
/// "Site is overloaded".
const OVERLOADED: u16 = 529;
/// Where clients find all that there is.
const OVERVIEW: &str = "/json/v1/overview.json";

/// Answer routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRequest {
    /// What is served.
    pub sysupgrade: SysupgradeRequest,
    /// Where.
    pub listen: SocketAddr,
    /// The certificate chain that is shown and its private key, PEM; without them there is no TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Answers routers until somebody asks to stop; what is built then ends cleanly and is begun again by
/// the next server. `listening` is told where.
///
/// # Errors
/// If the catalog or the state cannot be read, or nobody can be listened to.
pub fn serve(context: &Context, request: &ServeRequest, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let runtime = super::runtime()?;
    let server = Arc::new(Sysupgrade::open(context, &request.sysupgrade, runtime.handle())?);
    let listener = {
        // Sockets belong to the runtime.
        let _inside = runtime.enter();
        match &request.tls {
            Some((certificate, key)) => {
                let path = |path: &PathBuf| context.cwd.join(path);
                Listener::bind(request.listen, &path(certificate), &path(key))?
            }
            None => Listener::plain(request.listen)?,
        }
    };
    let limits = Arc::new(Limits::new(server.settings().requests_per_minute));
    runtime.spawn(tidy(Arc::clone(&server), Arc::clone(&limits)));
    let served = std::thread::scope(|scope| {
        for _ in 0..server.settings().workers {
            scope.spawn(|| server.work());
        }
        listening(listener.address);
        let served = runtime.block_on(listener.serve(router(&server, &limits), &context.cancel));
        // Who builds ends too, whatever ended this.
        context.cancel.request();
        served
    });
    // Handlers that are still at it hold the server.
    drop(runtime);
    served
}

/// Forgets what expired, now and then.
async fn tidy(server: Arc<Sysupgrade>, limits: Arc<Limits>) {
    loop {
        tokio::time::sleep(TIDY).await;
        limits.asked.retain_recent();
        // What could not be forgotten now will be later.
        let _ = blocking(&server, Sysupgrade::forget).await;
    }
}

fn router(server: &Arc<Sysupgrade>, limits: &Arc<Limits>) -> Router {
    let overview = get(|| async { moved(OVERVIEW) });
    let anybody = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any);
    Router::new()
        .route("/api/v1/build", post(build))
        .route("/api/v1/build/{hash}", get(look))
        .route("/api/v1/revision/{version}/{target}/{subtarget}", get(revision))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/latest", get(|| async { moved("/json/v1/latest.json") }))
        .route("/api/v1/overview", overview.clone())
        .route("/api/overview", overview.clone())
        .route("/overview", overview)
        .route("/json/v1/{*path}", get(document))
        .route("/store/{folder}/{file}", get(file))
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { said(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed") })
        .layer(DefaultBodyLimit::max(LONGEST))
        .layer(middleware::from_fn_with_state((Arc::clone(server), Arc::clone(limits)), limited))
        .layer(anybody.expose_headers(Any))
        .with_state(Arc::clone(server))
}

type Shared = State<Arc<Sysupgrade>>;

/// Does what blocks where that is no harm. Who runs the server is told what went wrong; who asks is
/// not told all of it.
async fn blocking<T: Send + 'static>(
    server: &Arc<Sysupgrade>,
    work: impl FnOnce(&Sysupgrade) -> Result<T> + Send + 'static,
) -> Result<T> {
    let own = Arc::clone(server);
    let done = tokio::task::spawn_blocking(move || work(&own)).await;
    let done = done.unwrap_or_else(|e| Err(Failure::bug(format!("an answer was not made: {e}"))));
    done.inspect_err(|failure| server.note(failure))
}

async fn build(State(server): Shared, headers: HeaderMap, request: Request) -> Response {
    let read = tokio::time::timeout(PATIENCE, Bytes::from_request(request, &())).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => return said(rejection.status(), &rejection.body_text()),
        Err(_) => return said(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time"),
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let is_json = kind.is_none_or(|kind| kind == "application/json" || kind.ends_with("+json"));
    let parsed = match is_json || body.is_empty() {
        true => BuildRequest::parse(Some(&body), server.settings()),
        false => Err(vec![Fault::other_type(&body)]),
    };
    let request = match parsed {
        Ok(request) => request,
        Err(faults) => return answer(StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": faults})),
    };
    match blocking(&server, move |server| server.ask(request)).await {
        Ok(Reply::Told(told)) => rendered(told),
        Ok(Reply::Unsupported(why)) => said(StatusCode::BAD_REQUEST, &why),
        Ok(Reply::Overloaded(waiting)) => {
            let detail = format!("server overload, queue contains too many build requests: {waiting}");
            let status = StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            answer(status, json!({"status": OVERLOADED, "title": "Server overloaded", "detail": detail}))
        }
        Err(failure) => failed(&failure),
    }
}

async fn look(State(server): Shared, Path(hash): Path<String>) -> Response {
    let looked = match hash.parse::<Digest>() {
        Ok(hash) => blocking(&server, move |server| server.look(&hash)).await,
        Err(_) => Ok(None),
    };
    match looked {
        Ok(Some(told)) => rendered(told),
        Ok(None) => {
            let detail = "could not find provided request hash";
            answer(StatusCode::NOT_FOUND, json!({"status": 404, "title": "Not Found", "detail": detail}))
        }
        Err(failure) => failed(&failure),
    }
}

async fn revision(
    State(server): Shared,
    Path((version, target, sub)): Path<(String, String, String)>,
) -> Response {
    let platform = format!("{target}/{sub}");
    let asked = format!("{version}/{platform}");
    let unsupported = format!("Unsupported version: {version}");
    let found = blocking(&server, move |server| {
        let Some(release) = overview::release(&version) else { return Ok(None) };
        if !server.offers_release(&release)? {
            return Ok(None);
        }
        let Ok(platform) = platform.parse() else { return Ok(Some(None)) };
        server.revision(&BuilderId::new(release, platform)?).map(Some)
    });
    match found.await {
        Ok(Some(Some(revision))) => answer(StatusCode::OK, json!({"revision": revision})),
        Ok(Some(None)) => said(StatusCode::NOT_FOUND, &format!("Failed to fetch revision for {asked}")),
        Ok(None) => said(StatusCode::BAD_REQUEST, &unsupported),
        Err(failure) => failed(&failure),
    }
}

async fn stats(State(server): Shared) -> Response {
    answer(StatusCode::OK, json!({"queue_length": server.waiting()}))
}

async fn document(State(server): Shared, Path(path): Path<String>) -> Response {
    let Some(document) = Document::parse(&path) else { return not_found() };
    match blocking(&server, move |server| server.document(&document)).await {
        Ok(Some(document)) => answer(StatusCode::OK, document),
        Ok(None) => not_found(),
        Err(failure) => failed(&failure),
    }
}

async fn file(State(server): Shared, Path((folder, name)): Path<(String, String)>) -> Response {
    let wanted = name.clone();
    match blocking(&server, move |server| server.file_of(&folder, &wanted)).await {
        Ok(Some(served)) => {
            let (body, length) = match served {
                Served::Text(text) => (Body::from(text.clone()), text.len() as u64),
                Served::File(file, length) => (parts(file), length),
            };
            let mut response = body.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            // The name has no letter that could end the quotes.
            if let Ok(attachment) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
                headers.insert(header::CONTENT_DISPOSITION, attachment);
            }
            response
        }
        Ok(None) => not_found(),
        Err(failure) => failed(&failure),
    }
}

/// A file in parts, so that many can be sent without being in memory.
fn parts(file: std::fs::File) -> Body {
    let next = |mut file: tokio::fs::File| async move {
        let mut part = vec![0; PART];
        match file.read(&mut part).await {
            Ok(0) => None,
            Ok(read) => {
                part.truncate(read);
                Some((Ok(Bytes::from(part)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    };
    Body::from_stream(futures_util::stream::unfold(tokio::fs::File::from_std(file), next))
}

async fn nothing(uri: Uri) -> Response {
    // Some clients have an address that ends with a slash, and put one before what they ask.
    match uri.path().strip_prefix("//") {
        Some(rest) => moved(&format!("/{}", rest.trim_start_matches('/'))),
        None => not_found(),
    }
}

fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, json!({"detail": "Not Found"}))
}

fn moved(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response(),
        Err(_) => not_found(),
    }
}

fn rendered(told: Told) -> Response {
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer(status, told.body);
    let headers = response.headers_mut();
    headers.insert("x-imagebuilder-status", HeaderValue::from_static(told.imagebuilder_status));
    headers.insert("x-queue-position", HeaderValue::from(told.queue_position));
    response
}

fn said(status: StatusCode, detail: &str) -> Response {
    answer(status, json!({"detail": detail, "status": status.as_u16()}))
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

/// What went wrong here. Paths and tools of this host are its owner's business.
fn failed(failure: &Failure) -> Response {
    match failure.class {
        FailureClass::Upstream => said(
            StatusCode::SERVICE_UNAVAILABLE,
            "the OpenWrt server that this one asks does not answer as it should",
        ),
        _ => said(StatusCode::INTERNAL_SERVER_ERROR, "the server could not do its part"),
    }
}

/// How often an address may ask.
struct Limits {
    asked: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Limits {
    fn new(per_minute: u32) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        Self { asked: RateLimiter::keyed(quota), clock: DefaultClock::default() }
    }

    /// How long an address has to wait, if it asked too often.
    fn wait(&self, address: IpAddr) -> Option<Duration> {
        let asked = self.asked.check_key(&who(address));
        asked.err().map(|until| until.wait_time_from(self.clock.now()))
    }
}

/// Whom an address stands for: with IPv6 everybody has a whole network.
fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// Who asks: the other end of the connection, or whom a proxy that is trusted names there.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(&peer) {
        return peer;
    }
    // What stands before the last address is what the client says of itself.
    let named = headers.get_all("x-forwarded-for").iter().next_back();
    let named = named.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    named.unwrap_or(peer)
}

async fn limited(
    State((server, limits)): State<(Arc<Sysupgrade>, Arc<Limits>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let client = client(peer.ip(), request.headers(), &server.settings().trusted_proxies);
    match limits.wait(client) {
        None => next.run(request).await,
        Some(wait) => {
            let seconds = wait.as_secs() + 1;
            let mut response =
                said(StatusCode::TOO_MANY_REQUESTS, &format!("too many requests; try again in {seconds} s"));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}
