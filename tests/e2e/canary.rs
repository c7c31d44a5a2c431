//! A canary through real parts: the daemon's own KMS calls to a KMS-compatible server, a relay that makes events of them as
//! `CloudTrail` and `EventBridge` do, the queue, and people and a service that hear of it when the relay is cut.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::daemon::{Daemon, Setup};
use super::emulator::Emulator;
use super::events;
use super::hostile::http_get;
use super::queue::TestQueue;
use super::receivers::{Accepted, Receivers};
use super::venv::venv;

/// `every` and `slo` of the canary: the least there may be.
const EVERY: Duration = Duration::from_secs(10);
const SLO: Duration = Duration::from_secs(10);

/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(15);

/// Stands before a KMS, passes calls on, and makes an event of each, unless it is cut.
#[derive(Clone)]
struct Relay {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    kms: String,
    queue: Arc<TestQueue>,
    client: reqwest::Client,
    cut: AtomicBool,
    /// Request ids of the calls that were passed on.
    passed: Mutex<Vec<String>>,
}

impl Relay {
    async fn start(kms: &str, queue: Arc<TestQueue>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            kms: kms.to_owned(),
            queue,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            cut: AtomicBool::new(false),
            passed: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner }
    }

    fn cut(&self, cut: bool) {
        self.inner.cut.store(cut, Ordering::SeqCst);
    }

    fn passed(&self) -> usize {
        self.inner.passed.lock().unwrap().len()
    }
}

async fn pass(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap().to_owned();
    let mut request = inner.client.post(&inner.kms).body(body.clone());
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
        request = request.header(name, headers[name].clone());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    // That server does not give every call an id of its own; KMS does.
    let id = format!("00000000-0000-4000-8000-{:012}", {
        let mut passed = inner.passed.lock().unwrap();
        let id = passed.len();
        passed.push(target.clone());
        id
    });
    if status.is_success() && !inner.cut.load(Ordering::SeqCst) {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let event = event_of(target.rsplit('.').next().unwrap(), &asked, &id);
        inner.queue.send(&event).await;
    }
    (status, [("x-amzn-requestid", id)], text).into_response()
}

/// As CloudTrail tells a call, in EventBridge's envelope.
fn event_of(name: &str, asked: &Value, request: &str) -> String {
    let key = asked["KeyId"].as_str().unwrap();
    let mut detail = events::detail(name, key, &format!("event-{request}"), &events::now());
    detail["requestID"] = json!(request);
    let tags = asked["Tags"].as_array().unwrap().iter();
    let tags: Vec<Value> = tags.map(|tag| json!({ "tagKey": tag["TagKey"], "tagValue": tag["TagValue"] })).collect();
    detail["requestParameters"] = json!({ "keyId": key, "tags": tags });
    events::envelope(&detail).to_string()
}

/// What was told about blindness, in order: `trigger`, `update`, `resolve`.
fn blind(all: &[Accepted]) -> Vec<String> {
    let hooks = all.iter().filter(|a| a.door == "hook/main" && a.body["data"]["incident"]["rule"] == "kmswatch.blind");
    hooks.map(|hook| hook.body["data"]["kind"].as_str().unwrap().to_owned()).collect()
}

async fn until(limit: Duration, what: &str, daemon: &Daemon, enough: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !enough().await {
        assert!(started.elapsed() < limit, "{what} did not happen within {limit:?}\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_on_the_way_is_told_until_something_comes_back() {
    let Some(venv) = venv("a canary that calls a real KMS-compatible server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let moto = Emulator::start(&venv, "moto");
    let kms = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(events::REGION))
        .endpoint_url(&moto.url)
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .build();
    let kms = aws_sdk_kms::Client::from_conf(kms);
    let key = kms.create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
    let queue = Arc::new(TestQueue::start(None).await);
    let relay = Relay::start(&moto.url, Arc::clone(&queue)).await;
    let receivers = Receivers::start(11).await;
    let more = format!(
        "[[routes]]\nsinks = ['hook']\n\
         [heartbeat]\nurl = 'http://{at}/beat/0a1b'\nevery = '15s'\n\
         [canaries.main]\nqueue = 'test'\nkey = '{key}'\nevery = '{every}s'\nslo = '{slo}s'\n\
         [[rule]]\nid = 'team.tagged'\ntitle = 'Tagged'\nseverity = 'high'\nresolve_after = '1d'\n\
         match = {{ detail.eventName = ['TagResource'] }}",
        at = receivers.address,
        every = EVERY.as_secs(),
        slo = SLO.as_secs(),
    );
    let setup = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        more: &more,
        queue: "wait = '1s'",
        store: "",
    };
    let (config, admin) = setup.write();
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[lookups]\n", &format!("[lookups]\nendpoint = 'http://{}'\n", relay.address));
    std::fs::write(&config, text).unwrap();
    let mut daemon = Daemon::start(&config);

    until(SLACK, "the first call", &daemon, async || relay.passed() > 0).await;
    let proven = async || http_get(admin, "/metrics").await.contains("kmswatch_queue_proven{queue=\"test\"} 1");
    until(SLACK, "the first return", &daemon, proven).await;
    let tags = kms.list_resource_tags().key_id(&key).send().await.unwrap();
    assert_eq!(tags.tags()[0].tag_key(), kmswatch::core::canary::TAG, "KMS was called indeed");
    // Our own calls are quiet; another one of the same role, on the same key, is not.
    until(EVERY * 2 + SLACK, "three calls", &daemon, async || relay.passed() >= 3).await;
    queue.until_empty(SLACK).await;
    let told = receivers.at("hook/");
    assert!(told.is_empty(), "{told:?}");
    receivers.until(SLACK, "a heartbeat", |all| all.iter().any(|a| a.door == "beat/well")).await;
    assert!(receivers.at("beat/fail").is_empty());
    let stranger = json!({ "KeyId": key, "Tags": [{ "TagKey": "kmswatch-canary", "TagValue": "x" }] });
    queue.send(&event_of("TagResource", &stranger, "99999999-0000-4000-8000-000000000000")).await;
    let tagged = |a: &Accepted| a.body["data"]["incident"]["rule"] == "team.tagged";
    receivers.until(SLACK, "word of the stranger's call", |all| all.iter().any(tagged)).await;

    relay.cut(true);
    let cut_at = Instant::now();
    receivers.until(SLO + EVERY + SLACK, "word of blindness", |all| blind(all) == ["trigger"]).await;
    assert!(cut_at.elapsed() > SLO / 2, "not before it could be known");
    let card = receivers.at("hook/").pop().unwrap();
    assert_eq!(card.body["data"]["incident"]["severity"], "critical");
    for part in ["Last link known good: the call to KMS", &key, "TagResource"] {
        assert!(card.raw.contains(part), "{part}: {}", card.raw);
    }
    let ready = http_get(admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("canary main: "), "{ready}");

    receivers.until(SLACK, "a ping of trouble", |all| all.iter().any(|a| a.door == "beat/fail")).await;
    let fail = receivers.at("beat/fail").remove(0);
    assert!(fail.raw.starts_with("canary main: ") && fail.raw.contains("the call to KMS"), "{}", fail.raw);
    let well_before = receivers.at("beat/well").len();

    // A restart in the middle of it changes nothing.
    daemon.terminate(SLACK);
    let mut daemon = Daemon::start(&config);
    tokio::time::sleep(SLO + EVERY).await;
    assert_eq!(receivers.at("beat/well").len(), well_before, "no sign of life while it is blind");
    assert_eq!(blind(&receivers.accepted()), ["trigger"], "it is said once");
    relay.cut(false);
    receivers.until(EVERY + SLACK, "the resolve", |all| blind(all).last().is_some_and(|kind| kind == "resolve")).await;
    until(SLACK, "readiness", &daemon, async || http_get(admin, "/readyz").await.starts_with("HTTP/1.1 200 ")).await;
    receivers
        .until(EVERY + SLACK, "the next heartbeat", |all| {
            all.iter().filter(|a| a.door == "beat/well").count() > well_before
        })
        .await;
    assert_eq!(receivers.accepted().iter().filter(|a| tagged(a)).count(), 1, "only the stranger's call was told");
    assert_eq!(daemon.terminate(SLACK).0, Some(0));
}
