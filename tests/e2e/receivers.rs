//! Something that answers like Slack's Web API, PagerDuty's Events API, a signed webhook and a service that misses pings, on one loopback port, and can
//! misbehave on a seed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

/// One request that the receiver accepted (whether or not the sender came to know of it).
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) at: Instant,
    /// `slack/chat.postMessage`, `pagerduty/enqueue`, `hook/<name>`, …
    pub(crate) door: String,
    pub(crate) webhook_id: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body's bytes as they came.
    pub(crate) raw: String,
    /// The connection was cut after accepting: the sender cannot know.
    pub(crate) cut: bool,
}

/// Shares of misbehaviour in percent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) server_error: u8,
    pub(crate) rate_limited: u8,
    pub(crate) hang: u8,
    pub(crate) cut: u8,
}

/// Twenty percent 500, ten 429 with Retry-After, five hangs, five accepted and then cut.
pub(crate) const FLAKY: Faults = Faults { server_error: 20, rate_limited: 10, hang: 5, cut: 5 };

#[derive(Clone)]
pub(crate) struct Receivers {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    accepted: Mutex<Vec<Accepted>>,
    requests: Mutex<u64>,
    posted: Mutex<u64>,
    faults: Mutex<Faults>,
    /// Doors that are shut, and what every request there is answered.
    down: Mutex<Vec<(String, StatusCode)>>,
    random: Mutex<fastrand::Rng>,
}

enum Misbehave {
    No,
    ServerError,
    Refuse(StatusCode),
    RateLimited,
    Hang,
    Cut,
}

impl Receivers {
    pub(crate) async fn start(seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            accepted: Mutex::default(),
            requests: Mutex::default(),
            posted: Mutex::default(),
            faults: Mutex::default(),
            down: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        let router = Router::new()
            .route("/slack/{method}", post(slack))
            .route("/v2/enqueue", post(|s, h, b| pagerduty(s, h, b, "pagerduty/enqueue")))
            .route("/v2/change/enqueue", post(|s, h, b| pagerduty(s, h, b, "pagerduty/change")))
            .route("/hook/{name}", post(hook))
            .route("/beat/0a1b", get(|s, h, b| beat(s, h, b, "beat/well")))
            .route("/beat/0a1b/fail", post(|s, h, b| beat(s, h, b, "beat/fail")))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner }
    }

    pub(crate) fn misbehave(&self, faults: Faults) {
        *self.inner.faults.lock().unwrap() = faults;
    }

    /// Answers 503 at doors that start so.
    pub(crate) fn shut(&self, door: &str) {
        self.refuse(door, 503);
    }

    /// Answers so at doors that start so, and carelessly repeats what the request brought.
    pub(crate) fn refuse(&self, door: &str, status: u16) {
        self.inner.down.lock().unwrap().push((door.to_owned(), StatusCode::from_u16(status).unwrap()));
    }

    pub(crate) fn open_all(&self) {
        self.inner.down.lock().unwrap().clear();
    }

    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.inner.accepted.lock().unwrap().clone()
    }

    /// Accepted requests at doors that start so.
    pub(crate) fn at(&self, door: &str) -> Vec<Accepted> {
        self.accepted().into_iter().filter(|a| a.door.starts_with(door)).collect()
    }

    pub(crate) fn requests(&self) -> u64 {
        *self.inner.requests.lock().unwrap()
    }

    /// Waits until `enough` says so; panics with what is there after `limit`.
    pub(crate) async fn until(&self, limit: Duration, what: &str, enough: impl Fn(&[Accepted]) -> bool) {
        let started = Instant::now();
        while !enough(&self.accepted()) {
            if started.elapsed() > limit {
                let doors: Vec<_> = self.accepted().iter().map(|a| (a.door.clone(), brief(&a.body))).collect();
                panic!("{what} did not come within {limit:?}; accepted: {doors:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What some gateways do: an error page that repeats credentials.
fn careless(headers: &HeaderMap, body: &Bytes) -> String {
    let token = headers.get("authorization").map_or("none", |value| value.to_str().unwrap());
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    format!("refused: credentials {token}, key {}", body["routing_key"])
}

fn brief(body: &Value) -> String {
    body.to_string().chars().take(160).collect()
}

impl Inner {
    fn decide(&self, door: &str) -> Misbehave {
        *self.requests.lock().unwrap() += 1;
        if let Some((_, status)) = self.down.lock().unwrap().iter().find(|(shut, _)| door.starts_with(shut)) {
            return Misbehave::Refuse(*status);
        }
        let faults = *self.faults.lock().unwrap();
        let roll = self.random.lock().unwrap().u8(0..100);
        let mut edge = faults.server_error;
        if roll < edge {
            return Misbehave::ServerError;
        }
        edge += faults.rate_limited;
        if roll < edge {
            return Misbehave::RateLimited;
        }
        edge += faults.hang;
        if roll < edge {
            return Misbehave::Hang;
        }
        edge += faults.cut;
        if roll < edge { Misbehave::Cut } else { Misbehave::No }
    }

    /// Runs a request through the faults; `accept` answers it when it is taken.
    async fn handle(
        &self,
        door: String,
        headers: &HeaderMap,
        body: &Bytes,
        accept: impl FnOnce(&Value) -> Response,
    ) -> Response {
        let cut = match self.decide(&door) {
            Misbehave::ServerError => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Misbehave::Refuse(status) => return (status, careless(headers, body)).into_response(),
            Misbehave::RateLimited => {
                return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "slow down").into_response();
            }
            Misbehave::Hang => {
                tokio::time::sleep(Duration::from_secs(30)).await;
                return StatusCode::GATEWAY_TIMEOUT.into_response();
            }
            Misbehave::Cut => true,
            Misbehave::No => false,
        };
        let raw = String::from_utf8_lossy(body).into_owned();
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let answer = accept(&body);
        let webhook_id = headers.get("webhook-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
        self.accepted.lock().unwrap().push(Accepted {
            at: Instant::now(),
            door,
            webhook_id,
            headers: headers.clone(),
            body,
            raw,
            cut,
        });
        if cut {
            // Unwinding without a message drops the connection.
            std::panic::resume_unwind(Box::new(()));
        }
        answer
    }
}

async fn slack(
    State(inner): State<Arc<Inner>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Every message has a timestamp of its own, however many come at once.
    let posted = {
        let mut posted = inner.posted.lock().unwrap();
        *posted += 1;
        *posted
    };
    inner
        .handle(format!("slack/{method}"), &headers, &body, |body| {
            let ts =
                body.get("ts").and_then(Value::as_str).map_or_else(|| format!("1790000000.{posted:06}"), str::to_owned);
            axum::Json(json!({ "ok": true, "channel": body["channel"], "ts": ts, "messages": [] })).into_response()
        })
        .await
}

async fn pagerduty(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes, door: &'static str) -> Response {
    inner
        .handle(door.to_owned(), &headers, &body, |body| {
            let answer = json!({ "status": "success", "message": "Event processed", "dedup_key": body["dedup_key"] });
            (StatusCode::ACCEPTED, axum::Json(answer)).into_response()
        })
        .await
}

async fn hook(State(inner): State<Arc<Inner>>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    inner.handle(format!("hook/{name}"), &headers, &body, |_| StatusCode::NO_CONTENT.into_response()).await
}

/// A service that misses pings.
async fn beat(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes, door: &'static str) -> Response {
    inner.handle(door.to_owned(), &headers, &body, |_| "OK".into_response()).await
}
