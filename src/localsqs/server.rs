//! HTTP: requests in, answers out, faults on the way.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::answer;
use super::faults::Fault;
use super::protocol::{Action, ApiError};
use super::service::{Refused, Service};

/// A request's bound: ten messages of the largest batch, every character of them escaped, and what is around them.
const REQUEST_BYTES_MAX: usize = 8 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>, stop: CancellationToken) {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "the local SQS endpoint could not set TCP_NODELAY");
        }
    });
    let app =
        Router::new().fallback(answer_request).layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX)).with_state(service);
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!(%error, "the local SQS endpoint stopped");
    }
}

async fn answer_request(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(action) = Action::of_target(target) else {
        let unknown = ApiError::new("UnknownOperationException", "this endpoint does not know that action");
        return refuse(&unknown);
    };
    service.counts.request(action);
    let fault = service.faults.take(action);
    let mut failing = None;
    match &fault {
        None | Some(Fault::DropAfter) => {}
        Some(Fault::Error(kind)) => return refuse(&ApiError::new(kind, "injected")),
        Some(Fault::Http(status)) => return bare(*status),
        Some(Fault::Drop) => return cut(),
        Some(Fault::Delay(by)) => tokio::time::sleep(*by).await,
        Some(Fault::FailEntries { entries, code, sender }) => {
            failing = Some((*entries, ApiError { kind: code, message: "injected".into(), sender: Some(*sender) }));
        }
    }
    let result = service.call(action, &body, failing.as_ref()).await;
    match (result, fault) {
        (_, Some(Fault::DropAfter)) | (Err(Refused::Stopping), _) => cut(),
        (Ok(answer), _) => respond(StatusCode::OK, answer),
        (Err(Refused::Api(error)), _) => refuse(&error),
    }
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn refuse(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = respond(status, answer::error(error));
    let whose = if error.sender() { "Sender" } else { "Receiver" };
    if let Ok(value) = HeaderValue::from_str(&format!("{};{whose}", error.query_code())) {
        response.headers_mut().insert(HeaderName::from_static("x-amzn-query-error"), value);
    }
    response
}

/// What a load balancer says for itself.
fn bare(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::from("<html>injected</html>"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// A body that fails before its first byte: the connection is closed and not even the head is sent.
fn cut() -> Response<Body> {
    let failed = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Response::new(Body::from_stream(futures_util::stream::once(async { Err::<Bytes, _>(failed) })))
}
