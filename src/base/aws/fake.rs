//! An AWS service on loopback that answers what a test tells it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The operation: of `X-Amz-Target`, or the `Action` of the query protocol.
    pub(crate) operation: String,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
    pub(crate) headers: HeaderMap,
}

impl Request {
    /// The access key id that signed it.
    pub(crate) fn access_key(&self) -> String {
        let header = self.headers["authorization"].to_str().unwrap();
        header.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    delay: Duration,
}

impl Reply {
    pub(crate) fn ok(body: &Value) -> Self {
        Self::text(200, &body.to_string())
    }

    /// An error of the JSON protocol.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::text(status, &json!({"__type": kind, "message": message}).to_string())
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: vec![], body: body.to_owned(), delay: Duration::ZERO }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// Stops when it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `answer` is given each request and how many came before it.
    pub(crate) async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(vec![]));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        let handler = move |headers: HeaderMap, body: Bytes| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let action = || text.split('&').find_map(|pair| pair.strip_prefix("Action="));
            let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.rsplit('.').next());
            let request = Request {
                operation: target.or_else(action).unwrap_or_default().to_owned(),
                body: serde_json::from_str(&text).unwrap_or_default(),
                headers,
                text,
            };
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(request.clone());
                seen.len() - 1
            };
            let reply = answer(&request, before);
            async move {
                tokio::time::sleep(reply.delay).await;
                let mut response = Response::builder().status(reply.status);
                for (name, value) in reply.headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(reply.body)).unwrap()
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(handler)).await.unwrap();
        });
        Self { url, requests, task }
    }

    /// The requests so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests named this operation.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|request| request.operation == operation).count()
    }
}
