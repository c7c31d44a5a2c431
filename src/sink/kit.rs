//! What every sink's tests need: a receiver that answers as told, notifications of every kind, and the questions that
//! every HTTP sink has to answer alike.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use serde_spanned::Spanned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::sample::{Sample, sample_notification};
use super::{Class, Dispatch, FailReason, Sink, SinkContext, http};
use crate::base::aws::Access;
use crate::base::clock::{ManualClock, Timestamp};
use crate::base::period::Period;
use crate::base::secret::SecretRef;
use crate::core::event::Outcome;
use crate::core::incident::Taken;
use crate::core::notification::{Link, Notification};

/// The idempotency key of [`dispatch`].
pub(super) const KEY: &str = "delivery-1";
/// In every secret that a test hands to a sink; must never be seen again.
pub(super) const HUSH: &str = "hushhushhush";

pub(super) fn now() -> Timestamp {
    "2026-11-23T09:14:45Z".parse().unwrap()
}

pub(super) fn context() -> SinkContext {
    SinkContext { clock: Arc::new(ManualClock::at(now())), aws: Access::unchecked() }
}

pub(super) fn sample(sample: Sample) -> Notification {
    sample_notification(sample, now())
}

pub(super) fn dispatch(notification: &Notification) -> Dispatch<'_> {
    Dispatch { notification, idempotency_key: KEY, attempt: 1, memory: None, outcome_unknown: false }
}

/// A secret in a file that stays for the test's life.
pub(super) fn secret(value: &str) -> Spanned<SecretRef> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value).unwrap();
    let (_, path) = file.keep().unwrap();
    Spanned::new(0..0, SecretRef::File(path))
}

/// A quick time-out, so that tests of silence are short.
pub(super) fn quick() -> http::Config {
    let timeout: Period = "300ms".parse().unwrap();
    http::Config { timeout: Some(Spanned::new(0..0, timeout)), ..http::Config::default() }
}

/// What an attacker would like to be markup, a mention, a link or too much.
pub(super) const HOSTILE: &[&str] = &[
    "<!channel> <!here> <@U0123456789>",
    "<https://evil.example|click>",
    "https://evil.example/bare",
    "*bold* _it_ ~no~ `code` ```block``` > quote",
    "a\nb\r\nc\u{2028}d",
    "\u{202E}desrever\u{2066}x\u{200B}",
    "&amp;&lt;&gt;&&&&",
    "| pipe | \" quote ' \\ back \u{0}\u{7}\u{1b}[31m",
    "{{ 7 * 7 }} {% raw %}",
    "😀🏳️‍🌈 e\u{301}",
];

/// Every text that an event can fill is hostile, and long ones are a megabyte.
pub(super) fn hostile() -> Notification {
    let all = HOSTILE.join(" ");
    let huge = format!("{all} {}", "<!channel>&\"\\".repeat(1_048_576 / 13));
    let mut n = sample(Sample::DeniedUse);
    n.summary = huge.clone();
    n.marks = vec![all.clone(); 40];
    let event = &mut n.event;
    event.name.clone_from(&all);
    event.outcome = Outcome::Denied;
    event.error_code = Some(all.clone());
    event.error_message = Some(huge.clone());
    event.account = Some(all.clone());
    event.region = Some(all.clone());
    event.late = Some(all.clone());
    event.details = (0..200).map(|i| (format!("{i} {all}"), all.clone())).collect();
    let actor = &mut event.actor;
    for field in [&mut actor.principal, &mut actor.session, &mut actor.service, &mut actor.ip, &mut actor.user_agent] {
        *field = Some(huge.clone());
    }
    let key = n.key.as_mut().unwrap();
    key.id = Some(all.clone());
    key.state = Some(all.clone());
    key.aliases = vec![format!("alias/{all}"); 50];
    key.labels = BTreeMap::from([("team".to_owned(), all.clone())]);
    n.incident.actors = vec![all.clone(); 50];
    n.incident.taken = Some(Taken { by: all.clone(), why: huge, at: now() });
    n.links.push(Link { text: all.clone(), href: "javascript:alert(1)".into() });
    n.banner = Some(all);
    n
}

/// One request that a [`Receiver`] got.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(super) struct Say(pub(super) u16, pub(super) Vec<(&'static str, String)>, pub(super) String);

impl Say {
    pub(super) fn status(status: u16) -> Self {
        Self(status, vec![], String::new())
    }

    pub(super) fn json(value: &Value) -> Self {
        Self(200, vec![], value.to_string())
    }
}

/// A real server on loopback: answers from its list, the last one for ever, and keeps what it got.
pub(super) struct Receiver {
    pub(super) url: String,
    state: Arc<Mutex<(VecDeque<Say>, Vec<Got>)>>,
}

impl Receiver {
    pub(super) async fn start(answers: impl IntoIterator<Item = Say>) -> Self {
        let state = Arc::new(Mutex::new((answers.into_iter().collect(), vec![])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, state }
    }

    pub(super) fn say(&self, say: Say) {
        self.state.lock().unwrap().0 = VecDeque::from([say]);
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().1.clone()
    }
}

type Kept = Arc<Mutex<(VecDeque<Say>, Vec<Got>)>>;

async fn take(Shared(state): Shared<Kept>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap();
    state.1.push(Got { path: parts.uri.path().to_owned(), query, headers: parts.headers, body });
    let Say(status, headers, said) = if state.0.len() > 1 { state.0.pop_front().unwrap() } else { state.0[0].clone() };
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(said)).unwrap()
}

/// A server that reads the whole request and then does what no server should: `hang` or hang up.
pub(super) async fn rude(hang: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut seen = vec![0; 1 << 20];
                let _read = stream.read(&mut seen).await;
                if hang {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
                let _closed = stream.shutdown().await;
            });
        }
    });
    url
}

/// The questions that every HTTP sink answers alike. `build` makes the sink for an address with [`quick`] time-outs; `fine`
/// is the answer that it takes for success.
pub(super) async fn exercise(build: impl Fn(&str) -> Arc<dyn Sink>, fine: Say) {
    let receiver = Receiver::start([fine.clone()]).await;
    let sink = build(&receiver.url);
    let n = sample(Sample::KeyDisabled);
    sink.deliver(&dispatch(&n)).await.expect("what is fine is accepted");
    every_status_has_its_class(&receiver, sink.as_ref(), &n).await;
    retry_after_is_respected(&receiver, sink.as_ref(), &n).await;

    receiver.say(fine.clone());
    sink.deliver(&dispatch(&hostile())).await.expect("hostile text is sent, cut");
    let longest = receiver.got().iter().map(|got| got.body.len()).max().unwrap();
    assert!(longest < 600_000, "{longest} bytes were sent");

    for hang in [true, false] {
        let error = build(&rude(hang).await).deliver(&dispatch(&n)).await.unwrap_err();
        assert!(matches!(error.class, Class::Retry { .. }), "{error:?}");
        assert_eq!(error.reason, if hang { FailReason::Timeout } else { FailReason::Network }, "{error:?}");
        assert!(error.outcome_unknown, "{error:?}");
        quiet(&format!("{error:?} {error}"));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let error = build(&format!("http://{address}")).deliver(&dispatch(&n)).await.unwrap_err();
    assert!(!error.outcome_unknown && error.reason == FailReason::Network, "nothing was sent: {error:?}");
    quiet(&format!("{error:?} {error}"));
}

/// No trace of a secret.
pub(super) fn quiet(shown: &str) {
    assert!(!shown.contains(HUSH), "a secret leaked: {shown}");
}

/// Runs `within` for at most ten seconds.
pub(super) async fn soon<T>(within: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), within).await.expect("took too long")
}

async fn every_status_has_its_class(receiver: &Receiver, sink: &dyn Sink, n: &Notification) {
    for status in (300..600).filter(|status| StatusCode::from_u16(*status).is_ok()) {
        receiver.say(Say(status, vec![("location", receiver.url.clone())], "no".to_owned()));
        let before = receiver.got().len();
        let error = sink.deliver(&dispatch(n)).await.expect_err("only 2xx is accepted");
        assert_eq!(receiver.got().len(), before + 1, "{status}: no redirect is followed, nothing is tried again");
        let wanted = match status {
            408 | 429 | 500.. => "retry",
            300..=399 | 401 | 403 | 404 | 407 | 410 => "park",
            _ => "reject",
        };
        let class = match error.class {
            Class::Retry { .. } => "retry",
            Class::Park => "park",
            Class::Reject => "reject",
        };
        assert_eq!(class, wanted, "{status}: {error:?}");
        assert!(error.detail.contains(&status.to_string()) && error.detail.len() < 1_000, "{error:?}");
        assert_eq!(error.outcome_unknown, matches!(status, 502 | 504), "{status}");
        quiet(&format!("{error:?}"));
    }
}

async fn retry_after_is_respected(receiver: &Receiver, sink: &dyn Sink, n: &Notification) {
    for (header, wait) in [("120", 120), ("Mon, 23 Nov 2026 09:16:45 GMT", 120), ("999999", 3600)] {
        receiver.say(Say(429, vec![("retry-after", header.to_owned())], String::new()));
        let error = sink.deliver(&dispatch(n)).await.unwrap_err();
        assert_eq!(error.class, Class::Retry { after: Some(Duration::from_secs(wait)) }, "{header}");
        assert_eq!(error.reason, FailReason::RateLimited);
    }
}
