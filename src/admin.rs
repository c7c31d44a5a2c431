//! The admin door: `/livez`, `/readyz`, `/metrics`. Read-only, bounded, and without secrets.
//!
//! It has no authentication on purpose: it says nothing about events, and answers nothing but GET.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use crate::base::health::{Health, Report};
use crate::base::stop::Stop;
use crate::base::telemetry::{OPENMETRICS_TYPE, Telemetry, openmetrics_wanted};

/// Connections served at the same time; more wait.
const CONNECTIONS_MAX: usize = 32;

/// A connection that sends nothing for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The content type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct AdminError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// The door, listening but not yet answering.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Takes the address, so that a port that is in use is an error at start.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let at = |source| AdminError { address, source };
        let listener = TcpListener::bind(address).await.map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        Ok(Self { listener, address })
    }

    /// The address with the port that was really taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until stopped. Requests under way are finished, idle connections are closed.
    pub async fn serve(self, health: Arc<Health>, telemetry: Telemetry, stop: Stop) {
        let listener = Bounded { listener: self.listener, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        let served = axum::serve(listener, routes(health, telemetry))
            .with_graceful_shutdown(async move { stop.stopped().await })
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin door closed");
        }
    }
}

fn routes(health: Arc<Health>, telemetry: Telemetry) -> Router {
    Router::new()
        .route("/livez", get(|State(health): State<Arc<Health>>| async move { answer(&health.live()) }))
        .route("/readyz", get(|State(health): State<Arc<Health>>| async move { answer(&health.ready()) }))
        .with_state(health)
        .route(
            "/metrics",
            get(|State(metrics): State<Telemetry>, headers: HeaderMap| async move { render(&metrics, &headers) })
                .with_state(telemetry),
        )
}

/// 200 or 503, and the report as JSON.
fn answer(report: &Report) -> Response {
    let status = if report.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(report)).into_response()
}

/// In OpenMetrics if the scraper asks for it, else in Prometheus' text format.
fn render(metrics: &Telemetry, headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if openmetrics_wanted(accept) {
        return ([(header::CONTENT_TYPE, OPENMETRICS_TYPE)], metrics.render_openmetrics()).into_response();
    }
    ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.render()).into_response()
}

/// A listener that takes so many connections and no more, and closes those that say nothing.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let Ok(permit) = self.permits.clone().acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let idle = Box::pin(tokio::time::sleep(IDLE_MAX));
        (Connection { stream, idle, _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that holds its permit and a clock that runs while the other side says nothing.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
            return Poll::Ready(read);
        }
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    struct Served {
        address: SocketAddr,
        health: Arc<Health>,
        stop: Stop,
        task: tokio::task::JoinHandle<()>,
    }

    async fn served() -> Served {
        let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let (address, health, stop) = (admin.address(), Arc::new(Health::new()), Stop::new());
        let telemetry = Telemetry::install().unwrap();
        let task = tokio::spawn(admin.serve(health.clone(), telemetry, stop.clone()));
        Served { address, health, stop, task }
    }

    /// Status line, headers and body of one request.
    async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
        ask_for(address, method, path, "*/*").await
    }

    async fn ask_for(address: SocketAddr, method: &str, path: &str, accept: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn ready_says_why_not() {
        let served = served().await;
        let answer = ask(served.address, "GET", "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("no configuration is loaded"), "{answer}");
        served.health.config_loaded();
        served.health.store_ok();
        served.health.sink_failing("oncall", "network");
        let answer = ask(served.address, "GET", "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("sink oncall is failing: network"), "{answer}");
        assert!(ask(served.address, "GET", "/livez").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let served = served().await;
        let answer = ask(served.address, "GET", "/metrics").await;
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer}");
        assert!(answer.contains("\nkmswatch_build_info{version="), "{answer}");
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_to_those_who_ask_for_it() {
        let served = served().await;
        let answer = ask_for(served.address, "GET", "/metrics", OPENMETRICS_TYPE).await;
        assert!(
            answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{answer}"
        );
        assert!(answer.contains("\n# TYPE kmswatch_build info\n") && answer.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn nothing_but_get_and_three_paths() {
        let served = served().await;
        assert!(ask(served.address, "POST", "/livez").await.starts_with("HTTP/1.1 405 "));
        assert!(ask(served.address, "GET", "/config").await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn silent_connections_are_closed_and_do_not_lock_others_out() {
        let served = served().await;
        let mut silent = vec![];
        for _ in 0..CONNECTIONS_MAX + 5 {
            silent.push(TcpStream::connect(served.address).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::time::pause();
        let answer = ask(served.address, "GET", "/livez");
        let answer = tokio::time::timeout(IDLE_MAX * 5, answer).await.expect("locked out");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    #[tokio::test]
    async fn stopping_ends_it() {
        let served = served().await;
        assert!(ask(served.address, "GET", "/livez").await.starts_with("HTTP/1.1 200 "));
        served.stop.stop();
        tokio::time::timeout(Duration::from_secs(5), served.task).await.expect("still serving").unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_at_start() {
        let served = served().await;
        let error = Admin::bind(served.address).await.unwrap_err().to_string();
        assert!(error.contains(&served.address.to_string()), "{error}");
    }
}
