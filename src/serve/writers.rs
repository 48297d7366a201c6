//! What card writers ask of the controller, over HTTPS: parse, call an operation, render.

use crate::effects::listen::Listener;
use crate::model::failure::FailureClass;
use crate::model::http_signature::Headers;
use crate::model::writer_api::{BEAT, CLAIM, ENROLL, LONGEST, RECEIPT};
use crate::model::{ErrorCode, Failure, Result};
use crate::ops::Context;
use crate::ops::writers::{Controller, ControllerRequest, Signed};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Serve card writers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeRequest {
    /// What is served.
    pub controller: ControllerRequest,
    /// Where.
    pub listen: SocketAddr,
    /// The certificate chain that is shown, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM, for the owner's eyes only.
    pub key: PathBuf,
}

/// Answers card writers until somebody asks to stop. `listening` is told where.
///
/// # Errors
/// If the catalog or the state cannot be read, or nobody can be listened to.
pub fn serve(context: &Context, request: ServeRequest, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    super::runtime()?.block_on(async {
        let path = |path: &PathBuf| context.cwd.join(path);
        let listener = Listener::bind(request.listen, &path(&request.certificate), &path(&request.key))?;
        let controller = Arc::new(Controller::open(context, request.controller).await?);
        listening(listener.address);
        listener.serve(router(controller), &context.cancel).await
    })
}

fn router(controller: Arc<Controller>) -> Router {
    Router::new()
        .route(ENROLL, post(enroll))
        .route(CLAIM, post(claim))
        .route(BEAT, post(beat))
        .route(RECEIPT, post(receipt))
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(controller)
}

type Shared = State<Arc<Controller>>;

async fn enroll(controller: Shared, asked: Asked) -> Response {
    rendered(controller.enroll(asked.signed()).await)
}

async fn claim(controller: Shared, asked: Asked) -> Response {
    match controller.claim(asked.signed()).await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        claimed => rendered(claimed),
    }
}

async fn beat(controller: Shared, asked: Asked) -> Response {
    rendered(controller.beat(asked.signed()).await)
}

async fn receipt(controller: Shared, asked: Asked) -> Response {
    rendered(controller.receive(asked.signed()).await)
}

/// A request with the headers that sign it.
struct Asked {
    method: Method,
    path: String,
    headers: Headers,
    body: Bytes,
}

impl Asked {
    fn signed(&self) -> Signed<'_> {
        let Self { method, path, headers, body } = self;
        Signed { method: method.as_str(), path, headers, body }
    }
}

impl axum::extract::FromRequest<Arc<Controller>> for Asked {
    type Rejection = Response;

    async fn from_request(
        request: axum::extract::Request,
        state: &Arc<Controller>,
    ) -> std::result::Result<Self, Response> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let header = |headers: &HeaderMap, name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let headers = Headers {
            content_digest: header(request.headers(), "content-digest"),
            signature_input: header(request.headers(), "signature-input"),
            signature: header(request.headers(), "signature"),
        };
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self { method, path, headers, body })
    }
}

fn rendered<T: Serialize>(answer: Result<T>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(failure) => (status(&failure), Json(failure)).into_response(),
    }
}

fn status(failure: &Failure) -> StatusCode {
    match (failure.code, failure.class) {
        (ErrorCode::Untrusted, _) => StatusCode::UNAUTHORIZED,
        (ErrorCode::NotFound, _) => StatusCode::NOT_FOUND,
        (_, FailureClass::Spec) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
