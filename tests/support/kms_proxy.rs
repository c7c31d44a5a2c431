//! Stands between the program and a KMS-compatible server: counts calls, denies what it is told to, and holds callers to KMS's quotas.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};

/// Requests in a second, by default for each account and Region (KMS developer guide, "Request quotas").
const QUOTAS: &[(&str, usize)] = &[
    ("ListKeys", 500),
    ("ListAliases", 500),
    ("DescribeKey", 2000),
    ("ListResourceTags", 2000),
    ("GetKeyRotationStatus", 1000),
    ("ListKeyRotations", 100),
    ("GetKeyPolicy", 1000),
    ("ListGrants", 100),
    ("GetKeyLastUsage", 5),
];

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) calls: BTreeMap<String, usize>,
    /// Most calls in any second.
    pub(crate) busiest: BTreeMap<String, usize>,
    /// Calls that were beyond the quota.
    pub(crate) throttled: usize,
    recent: BTreeMap<String, VecDeque<Instant>>,
    denied: Option<String>,
}

/// A proxy on a loopback port. Ends with its value.
pub(crate) struct Proxy {
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
    _runtime: tokio::runtime::Runtime,
}

impl Proxy {
    /// In front of the server at `behind`.
    pub(crate) fn start(behind: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (state, behind) = (Arc::clone(&seen), behind.to_owned());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let handler = move |headers: HeaderMap, body: Bytes| {
            let (state, behind, client) = (Arc::clone(&state), behind.clone(), client.clone());
            async move { answer(&state, &behind, &client, &headers, body).await }
        };
        let url = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.unwrap() });
            url
        });
        Self { url, seen, _runtime: runtime }
    }

    /// From now on this call is denied, and no other.
    pub(crate) fn deny(&self, call: Option<&str>) {
        self.seen.lock().unwrap().denied = call.map(str::to_owned);
    }

    pub(crate) fn calls(&self, call: &str) -> usize {
        self.seen.lock().unwrap().calls.get(call).copied().unwrap_or_default()
    }

    /// Forgets what it counted, and gives it.
    pub(crate) fn take(&self) -> Seen {
        let mut seen = self.seen.lock().unwrap();
        let denied = seen.denied.clone();
        std::mem::replace(&mut *seen, Seen { denied, ..Seen::default() })
    }
}

async fn answer(
    state: &Mutex<Seen>,
    behind: &str,
    client: &reqwest::Client,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let call = target.rsplit('.').next().unwrap_or_default().to_owned();
    let (denied, throttled) = {
        let mut seen = state.lock().unwrap();
        *seen.calls.entry(call.clone()).or_default() += 1;
        let now = Instant::now();
        let recent = seen.recent.entry(call.clone()).or_default();
        recent.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        recent.push_back(now);
        let number = recent.len();
        let busiest = seen.busiest.entry(call.clone()).or_default();
        *busiest = number.max(*busiest);
        let beyond = QUOTAS.iter().any(|(name, quota)| *name == call && number > *quota);
        seen.throttled += usize::from(beyond);
        (seen.denied.as_deref() == Some(call.as_str()), beyond)
    };
    if throttled {
        return error("ThrottlingException", "Rate exceeded");
    }
    if denied {
        let user = "arn:aws:sts::111122223333:assumed-role/kmswatch/kmswatch";
        return error(
            "AccessDeniedException",
            &format!(
                "User: {user} is not authorized to perform: kms:{call} because no identity-based policy allows the kms:{call} action"
            ),
        );
    }
    if call == "GetKeyLastUsage" {
        // The server behind does not know it.
        let key: Value = serde_json::from_slice(&body).unwrap();
        return ok(&json!({"KeyId": key["KeyId"], "TrackingStartDate": 1_760_000_000.0, "KeyLastUsage": {}}));
    }
    let mut request = client.post(behind).body(body.to_vec());
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value.to_str().unwrap());
        }
    }
    let reply = request.send().await.unwrap();
    let status = reply.status().as_u16();
    Response::builder().status(status).body(Body::from(reply.bytes().await.unwrap())).unwrap()
}

fn error(kind: &str, message: &str) -> Response<Body> {
    let body = json!({"__type": kind, "message": message}).to_string();
    Response::builder().status(400).body(Body::from(body)).unwrap()
}

fn ok(body: &Value) -> Response<Body> {
    Response::builder().status(200).body(Body::from(body.to_string())).unwrap()
}
