use super::*;
use crate::sink::kit::{self, Receiver, Say};
use crate::sink::sample::Sample;

/// 32 characters, as PagerDuty's are.
fn key() -> String {
    format!("{:x<32}", kit::HUSH)
}

fn sink(url: &str) -> Arc<dyn Sink> {
    let config = Config {
        routing_key: kit::secret(&key()),
        region: Region::Us,
        endpoint: Some(Spanned::new(0..0, url.to_owned())),
        client_url: Some(Spanned::new(0..0, "https://grafana.example.org".to_owned())),
        http: kit::quick(),
    };
    config.build(&kit::context()).unwrap()
}

async fn told(n: &Notification) -> Vec<Value> {
    let receiver = Receiver::start([Say::status(202)]).await;
    sink(&receiver.url).deliver(&kit::dispatch(n)).await.unwrap();
    receiver.got().iter().map(|got| joined(&got.path, got.json())).collect()
}

fn joined(path: &str, mut body: Value) -> Value {
    body["path"] = path.into();
    body
}

#[tokio::test]
async fn it_stands_what_every_http_sink_must() {
    kit::soon(kit::exercise(sink, Say::status(202))).await;
}

#[tokio::test]
async fn a_trigger_opens_under_the_key_of_its_step() {
    let events = told(&kit::sample(Sample::KeyDisabled)).await;
    let event = &events[0];
    assert_eq!(event["path"], "/v2/enqueue");
    assert_eq!(event["event_action"], "trigger");
    assert_eq!(event["routing_key"], key());
    assert_eq!(event["dedup_key"], "kmswatch-sample-key-disabled-1-0");
    assert_eq!(event["payload"]["severity"], "error");
    assert_eq!(event["payload"]["timestamp"], "2026-11-23T09:14:05Z");
    assert_eq!(event["payload"]["component"], "alias/prod-payments");
    assert_eq!(event["payload"]["custom_details"]["Undo"].as_str().unwrap().split(' ').nth(2), Some("enable-key"));
    assert_eq!(event["client_url"], "https://grafana.example.org");
    assert_eq!(event["links"][2]["text"], "Runbook");
}

#[tokio::test]
async fn a_rise_pages_again_and_the_end_closes_every_step() {
    let mut n = kit::sample(Sample::Escalated);
    assert_eq!(told(&n).await[0]["dedup_key"], "kmswatch-sample-key-disabled-1-1");
    n.kind = Kind::Resolve;
    n.reason = Reason::Resolved;
    n.incident.step = 2;
    let events = told(&n).await;
    let keys: Vec<_> = events.iter().map(|event| (event["event_action"].as_str().unwrap(), event["dedup_key"].as_str().unwrap())).collect();
    let key = "kmswatch-sample-key-disabled-1";
    assert_eq!(keys, [("resolve", &*format!("{key}-0")), ("resolve", &*format!("{key}-1")), ("resolve", &*format!("{key}-2"))]);
}

#[tokio::test]
async fn news_without_a_rise_keeps_the_key_and_says_why() {
    let mut n = kit::sample(Sample::KeyDisabled);
    n.kind = Kind::Update;
    n.reason = Reason::NewActor;
    let event = &told(&n).await[0];
    assert_eq!((&event["event_action"], &event["dedup_key"]), (&"trigger".into(), &"kmswatch-sample-key-disabled-1-0".into()));
    assert!(event["payload"]["custom_details"]["What changed"].as_str().unwrap().starts_with("Another principal: "));
    n.reason = Reason::AcknowledgedByHand;
    assert_eq!(told(&n).await[0]["event_action"], "acknowledge");
}

#[tokio::test]
async fn good_news_wakes_nobody() {
    let event = &told(&kit::sample(Sample::KeyRotated)).await[0];
    assert_eq!(event["path"], "/v2/change/enqueue");
    assert!(event["event_action"].is_null() && event["dedup_key"].is_null() && event["payload"]["severity"].is_null());
}

#[tokio::test]
async fn everything_fits() {
    let event = &told(&kit::hostile()).await[0];
    let utf16 = |text: &Value| text.as_str().unwrap().encode_utf16().count();
    assert!(event.to_string().len() <= PAYLOAD_MAX);
    assert!(utf16(&event["payload"]["summary"]) <= 1024);
    assert!(event["payload"]["summary"].as_str().unwrap().starts_with("[<!channel>"), "the banner comes first");
    assert!(event["links"].as_array().unwrap().iter().all(|link| link["href"].as_str().unwrap().starts_with("https://")));
    assert_eq!(event["payload"]["custom_details"]["Rule"], "key-use-denied", "details are cut field by field, not dropped");
}

#[tokio::test]
async fn patience_after_a_429_is_half_a_minute_at_least() {
    let receiver = Receiver::start([Say::status(429)]).await;
    let sink = sink(&receiver.url);
    let n = kit::sample(Sample::KeyDisabled);
    let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert_eq!(error.class, Class::Retry { after: Some(Duration::from_secs(30)) });
}

#[tokio::test]
async fn a_key_of_another_shape_is_parked_before_anything_is_sent() {
    let receiver = Receiver::start([Say::status(202)]).await;
    let mut config: Config = toml::from_str("routing_key = { env = \"X\" }").unwrap();
    config.routing_key = kit::secret(kit::HUSH);
    config.endpoint = Some(Spanned::new(0..0, receiver.url.clone()));
    let sink = config.build(&kit::context()).unwrap();
    let n = kit::sample(Sample::KeyDisabled);
    let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Park, FailReason::Secret));
    assert_eq!(sink.probe().await.unwrap_err().reason, FailReason::Secret);
    assert!(receiver.got().is_empty());
    kit::quiet(&format!("{error:?} {error} {config:?}"));
}

#[tokio::test]
async fn a_probe_sends_no_event() {
    let receiver = Receiver::start([Say::status(404)]).await;
    sink(&receiver.url).probe().await.unwrap();
    assert_eq!(receiver.got()[0].body, "");
}

#[test]
fn regions_have_their_hosts_and_no_others() {
    assert_eq!(Region::Eu.endpoint(), "https://events.eu.pagerduty.com");
    assert_eq!(Region::default().endpoint(), "https://events.pagerduty.com");
    let text = "routing_key = { env = \"X\" }\nendpoint = \"https://127.0.0.1.evil.example\"\nclient_url = \"http://x\"";
    let config: Config = toml::from_str(text).unwrap();
    let mut problems = vec![];
    config.check(0..0, &mut problems);
    let places: Vec<_> = problems.iter().map(|problem| text.get(problem.span.clone()).unwrap()).collect();
    assert_eq!(places, ["\"https://127.0.0.1.evil.example\"", "\"http://x\""]);
    assert!(config.build(&kit::context()).is_err());
}
