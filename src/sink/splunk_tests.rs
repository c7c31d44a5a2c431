use serde_json::json;

use super::*;
use crate::core::notification::Notification;
use crate::sink::kit::{self, Receiver, Say};
use crate::sink::sample::Sample;

fn config(url: &str, more: &str) -> Config {
    let mut config: Config = toml::from_str(&format!("url = \"{url}\"\ntoken = {{ env = 'X' }}\n{more}")).unwrap();
    config.token = kit::secret(&format!("{}-4711", kit::HUSH));
    config.http = kit::quick();
    config
}

fn fine() -> Say {
    Say::json(&json!({"text": "Success", "code": 0}))
}

fn refusal(status: u16, code: u64) -> Say {
    Say(status, vec![], json!({"text": "no", "code": code}).to_string())
}

async fn sent(more: &str, n: &Notification) -> kit::Got {
    let receiver = Receiver::start([fine()]).await;
    config(&receiver.url, more).build(&kit::context()).unwrap().deliver(&kit::dispatch(n)).await.unwrap();
    receiver.got().remove(0)
}

#[tokio::test]
async fn it_stands_what_every_http_sink_must() {
    let build = |url: &str| {
        let config = config(url, "");
        kit::quiet(&format!("{config:?}"));
        config.build(&kit::context()).unwrap()
    };
    kit::soon(kit::exercise(build, fine())).await;
}

#[tokio::test]
async fn an_event_has_its_frame_and_the_token_its_header() {
    let n = kit::sample(Sample::KeyDisabled);
    let got = sent("index = 'security'\nsourcetype = 'kms'\nhost = 'here'\nsource = 'there'", &n).await;
    assert_eq!(got.path, "/services/collector/event");
    assert_eq!(got.headers["authorization"], format!("Splunk {}-4711", kit::HUSH));
    assert!(!got.headers.contains_key("x-splunk-request-channel"));
    let body = got.json();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["event", "host", "index", "source", "sourcetype", "time"]);
    assert_eq!((&body["time"], &body["index"]), (&json!("1795425285.000"), &json!("security")));
    assert_eq!((&body["event"]["type"], &body["event"]["data"]["delivery"]), (&json!("kmswatch.trigger"), &json!(kit::KEY)));
    assert_eq!(sent("", &n).await.json()["source"], "kmswatch");
}

#[tokio::test]
async fn an_event_may_be_ocsf_or_a_cloud_event() {
    let n = kit::sample(Sample::Resolved);
    assert_eq!(sent("format = 'ocsf'", &n).await.json()["event"]["type_uid"], 200_403);
    assert_eq!(sent("format = 'ocsf_activity'", &n).await.json()["event"]["type_uid"], 600_303);
    assert_eq!(sent("format = 'cloudevents'", &n).await.json()["event"]["specversion"], "1.0");
}

#[tokio::test]
async fn the_code_in_the_body_decides() {
    let receiver = Receiver::start([fine()]).await;
    let sink = config(&receiver.url, "").build(&kit::context()).unwrap();
    let n = kit::sample(Sample::KeyDisabled);
    for (status, code, class, reason) in [
        (403, 1, Class::Park, FailReason::Auth),
        (401, 3, Class::Park, FailReason::Auth),
        (403, 4, Class::Park, FailReason::Auth),
        (400, 6, Class::Reject, FailReason::Client),
        (400, 7, Class::Park, FailReason::Client),
        (500, 8, Class::Retry { after: None }, FailReason::Server),
        (503, 9, Class::Retry { after: None }, FailReason::Server),
        (400, 10, Class::Park, FailReason::Client),
        (400, 14, Class::Park, FailReason::Client),
        (503, 23, Class::Retry { after: None }, FailReason::Server),
        (429, 26, Class::Retry { after: None }, FailReason::RateLimited),
        // A success that is none.
        (200, 9, Class::Retry { after: None }, FailReason::Server),
    ] {
        receiver.say(refusal(status, code));
        let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, reason), "{status} {code}: {error}");
        assert!(!error.outcome_unknown, "{error}");
        kit::quiet(&error.to_string());
    }
}

#[tokio::test]
async fn a_yes_that_is_not_the_collectors_is_no_yes() {
    for body in ["<html>Welcome</html>", "{}", "", "{\"code\": \"0\"}"] {
        let receiver = Receiver::start([Say(200, vec![], body.to_owned())]).await;
        let sink = config(&receiver.url, "").build(&kit::context()).unwrap();
        let error = sink.deliver(&kit::dispatch(&kit::sample(Sample::KeyDisabled))).await.unwrap_err();
        assert!(error.class == Class::Park && error.outcome_unknown, "{body}: {error}");
    }
}

#[tokio::test]
async fn a_repeat_after_an_unknown_outcome_may_be_a_double() {
    let receiver = Receiver::start([fine()]).await;
    let sink = config(&receiver.url, "").build(&kit::context()).unwrap();
    let n = kit::sample(Sample::KeyDisabled);
    for outcome_unknown in [false, true] {
        let receipt = sink.deliver(&Dispatch { outcome_unknown, ..kit::dispatch(&n) }).await.unwrap();
        assert_eq!(receipt.possible_double, outcome_unknown);
    }
}

#[tokio::test]
async fn with_ack_it_waits_for_the_indexers() {
    let taken = Say::json(&json!({"text": "Success", "code": 0, "ackId": 7}));
    let [not_yet, yes] = [false, true].map(|done| Say::json(&json!({"acks": {"7": done}})));
    let receiver = Receiver::start([taken.clone(), not_yet.clone(), yes]).await;
    let sink = config(&receiver.url, "ack = true").build(&kit::context()).unwrap();
    let n = kit::sample(Sample::KeyDisabled);
    kit::soon(sink.deliver(&kit::dispatch(&n))).await.unwrap();
    let got = receiver.got();
    let paths: Vec<&str> = got.iter().map(|got| got.path.as_str()).collect();
    assert_eq!(paths, ["/services/collector/event", "/services/collector/ack", "/services/collector/ack"]);
    assert_eq!(got[1].json(), json!({"acks": [7]}));
    let channel = got[0].headers["x-splunk-request-channel"].to_str().unwrap();
    let parts: Vec<usize> = channel.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{channel}");
    assert!(got.iter().all(|got| got.headers["x-splunk-request-channel"] == channel));

    receiver.say(fine());
    let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert!(error.class == Class::Park && error.outcome_unknown && error.detail.contains("acknowledgement"), "{error}");
}

/// An answer to both questions: an event is taken under this number, and these have come to an indexer.
fn answer(id: u64, acknowledged: &[u64]) -> Say {
    let acks: serde_json::Map<String, Value> = acknowledged.iter().map(|id| (id.to_string(), true.into())).collect();
    Say::json(&json!({"text": "Success", "code": 0, "ackId": id, "acks": acks}))
}

fn asking(receiver: &Receiver, patience: Duration) -> Splunk {
    let sender = config(&receiver.url, "ack = true").sender(&kit::context()).unwrap();
    Splunk { pauses: &[Duration::ZERO; 3], patience, ..sender }
}

/// How often it was posted.
fn posts(receiver: &Receiver) -> usize {
    receiver.got().iter().filter(|got| got.path.ends_with("/event")).count()
}

#[tokio::test]
async fn what_is_not_acknowledged_is_asked_for_again_before_it_is_sent_again() {
    let receiver = Receiver::start([answer(0, &[])]).await;
    let sink = asking(&receiver, Duration::from_hours(1));
    let n = kit::sample(Sample::KeyDisabled);
    let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert!(error.class == Class::Retry { after: None } && error.outcome_unknown, "{error}");
    assert_eq!(receiver.got().len(), 1 + 3);
    let again = Dispatch { outcome_unknown: true, ..kit::dispatch(&n) };
    sink.deliver(&again).await.unwrap_err();
    assert_eq!((receiver.got().len(), posts(&receiver)), (4 + 1 + 3, 1));
    receiver.say(Say(503, vec![("retry-after", "7".to_owned())], "unwell".to_owned()));
    let error = sink.deliver(&again).await.unwrap_err();
    assert!(error.outcome_unknown && error.class == Class::Retry { after: Some(Duration::from_secs(7)) }, "{error:?}");
    receiver.say(answer(1, &[0]));
    let receipt = sink.deliver(&again).await.unwrap();
    assert!(!receipt.possible_double && posts(&receiver) == 1, "it was sent once, whatever was known in between");
    // It is over: the next time is another one.
    assert!(sink.deliver(&again).await.is_err() && posts(&receiver) == 2);
}

#[tokio::test]
async fn what_is_acknowledged_late_may_be_a_double_if_it_was_sent_again() {
    let receiver = Receiver::start([answer(4, &[])]).await;
    let sink = asking(&receiver, Duration::ZERO);
    let n = kit::sample(Sample::KeyDisabled);
    sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    receiver.say(answer(5, &[]));
    sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    receiver.say(answer(6, &[4]));
    assert!(sink.deliver(&kit::dispatch(&n)).await.unwrap().possible_double);
    assert_eq!(receiver.got().last().unwrap().json(), json!({"acks": [4, 5]}), "any of them will do");
}

#[tokio::test]
async fn what_is_never_acknowledged_is_sent_a_few_times_and_counts_as_delivered() {
    for unanswered in [false, true] {
        let receiver = Receiver::start([answer(0, &[])]).await;
        let sink = asking(&receiver, Duration::ZERO);
        let n = kit::sample(Sample::KeyDisabled);
        let mut failed = 0;
        let receipt = loop {
            match sink.deliver(&kit::dispatch(&n)).await {
                Ok(receipt) => break receipt,
                Err(error) => assert!(error.outcome_unknown, "{error}"),
            }
            failed += 1;
            assert!(failed < 10, "it never ends");
            if unanswered && failed == POSTS_MAX {
                receiver.say(Say(404, vec![], "what?".to_owned()));
            }
        };
        assert!(receipt.possible_double);
        assert_eq!((failed, posts(&receiver)), (POSTS_MAX, POSTS_MAX));
    }
}

#[tokio::test]
async fn a_probe_writes_nothing() {
    let receiver = Receiver::start([refusal(400, CODE_NO_DATA)]).await;
    let sink = config(&receiver.url, "").build(&kit::context()).unwrap();
    sink.probe().await.unwrap();
    assert_eq!(receiver.got()[0].body, "");
    receiver.say(refusal(403, 4));
    assert_eq!(sink.probe().await.unwrap_err().class, Class::Park);
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let text = "url = 'https://example.org/services/collector'\ntoken = { env = 'a b' }\nindex = 'Main!'\nhost = ' '\nsource = ''";
    let mut problems = vec![];
    toml::from_str::<Config>(text).unwrap().check(0..0, &mut problems);
    let places: Vec<&str> = problems.iter().map(|problem| text.get(problem.span.clone()).unwrap()).collect();
    assert_eq!(places, ["'https://example.org/services/collector'", "{ env = 'a b' }", "' '", "''", "'Main!'"], "{problems:?}");
    assert!(problems.iter().all(|problem| problem.hint.is_some()));
}
