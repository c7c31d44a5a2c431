//! What stands in for the world: answers like Slack's Web API, PagerDuty's Events API and KMS, keeps what it was told as cards, and
//! shows them on a page.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::story::StoryKey;

/// Cards kept; older ones leave the page.
const CARDS_MAX: usize = 500;

/// Something a person would see.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Card {
    /// `slack`, `thread`, `pagerduty` or `change`.
    pub(super) place: &'static str,
    /// Slack's timestamp of the message (or of the thread's first one); PagerDuty's dedup key.
    pub(super) id: String,
    /// Counts how often it was edited.
    pub(super) edits: u32,
    /// The request's body, as the service would get it.
    pub(super) body: Value,
}

pub(super) struct Board {
    pub(super) address: SocketAddr,
    cards: watch::Receiver<Vec<Card>>,
}

struct Shared {
    cards: watch::Sender<Vec<Card>>,
    posted: Mutex<u32>,
    keys: Vec<StoryKey>,
}

impl Board {
    pub(super) async fn start(port: u16, keys: impl Into<Vec<StoryKey>>) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let address = listener.local_addr()?;
        let (sender, cards) = watch::channel(vec![]);
        let shared = Arc::new(Shared { cards: sender, posted: Mutex::default(), keys: keys.into() });
        let router = Router::new()
            .route("/", get(async || Html(include_str!("page.html"))).post(kms))
            .route("/cards.json", get(async |State(shared): State<Arc<Shared>>| Json(shared.cards.borrow().clone())))
            .route("/slack/{method}", post(slack))
            .route("/v2/enqueue", post(page))
            .route("/v2/change/enqueue", post(change))
            .with_state(shared);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the page is gone");
            }
        });
        Ok(Self { address, cards })
    }

    /// Follows the cards, oldest first.
    pub(super) fn cards(&self) -> watch::Receiver<Vec<Card>> {
        self.cards.clone()
    }
}

impl Shared {
    fn posted(&self) -> MutexGuard<'_, u32> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, card: Card) {
        self.cards.send_modify(|cards| {
            cards.push(card);
            if cards.len() > CARDS_MAX {
                cards.remove(0);
            }
        });
    }
}

async fn slack(State(shared): State<Arc<Shared>>, Path(method): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    match method.as_str() {
        "chat.postMessage" => {
            let ts = {
                let mut posted = shared.posted();
                *posted += 1;
                format!("1790000000.{:06}", *posted)
            };
            let thread = body.get("thread_ts").and_then(Value::as_str).map(str::to_owned);
            let (place, id) = thread.map_or(("slack", ts.clone()), |first| ("thread", first));
            let channel = body.get("channel").cloned();
            shared.add(Card { place, id, edits: 0, body });
            Json(json!({ "ok": true, "channel": channel, "ts": ts }))
        }
        "chat.update" => {
            let ts = body.get("ts").and_then(Value::as_str).unwrap_or_default().to_owned();
            let channel = body.get("channel").cloned();
            let found = shared.cards.send_if_modified(|cards| {
                let card = cards.iter_mut().find(|card| card.place == "slack" && card.id == ts);
                card.map(|card| {
                    card.edits += 1;
                    card.body = body;
                })
                .is_some()
            });
            if found {
                Json(json!({ "ok": true, "channel": channel, "ts": ts }))
            } else {
                Json(json!({ "ok": false, "error": "message_not_found" }))
            }
        }
        "conversations.history" => Json(json!({ "ok": true, "messages": [] })),
        _ => Json(json!({ "ok": true })),
    }
}

async fn page(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    accept(&shared, "pagerduty", body)
}

async fn change(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    accept(&shared, "change", body)
}

fn accept(shared: &Shared, place: &'static str, mut body: Value) -> (StatusCode, Json<Value>) {
    // The page shows what people see; a key to the service is not among it.
    if let Some(members) = body.as_object_mut() {
        members.remove("routing_key");
    }
    let id = body.get("dedup_key").and_then(Value::as_str).unwrap_or_default().to_owned();
    shared.add(Card { place, id: id.clone(), edits: 0, body });
    (StatusCode::ACCEPTED, Json(json!({ "status": "success", "message": "Event processed", "dedup_key": id })))
}

/// As much of KMS as a lookup asks for.
async fn kms(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let asked = request.get("KeyId").and_then(Value::as_str).unwrap_or_default();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let found = shared.keys.iter().find(|key| asked.contains(key.id));
    let (status, answer) = match (found, target.rsplit('.').next().unwrap_or_default()) {
        (Some(key), "DescribeKey") => (
            StatusCode::OK,
            json!({ "KeyMetadata": {
                "AWSAccountId": "111122223333", "KeyId": key.id, "Arn": key.arn(), "Enabled": true, "KeyState": "Enabled",
                "Description": key.description, "KeyManager": "CUSTOMER", "Origin": "AWS_KMS", "MultiRegion": false,
                "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT"
            } }),
        ),
        (Some(key), "ListAliases") => (
            StatusCode::OK,
            json!({ "Aliases": [{ "AliasName": key.alias, "TargetKeyId": key.id }], "Truncated": false }),
        ),
        (Some(key), "ListResourceTags") => (
            StatusCode::OK,
            json!({ "Tags": [{ "TagKey": "purpose", "TagValue": key.description }], "Truncated": false }),
        ),
        _ => {
            (StatusCode::BAD_REQUEST, json!({ "__type": "NotFoundException", "message": "no such key in this story" }))
        }
    };
    let mut answer = (status, answer.to_string()).into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    answer
}
