use serde_json::{Value, json};
use standardwebhooks::Webhook as Verifier;

use super::*;
use crate::base::clock::SystemClock;
use crate::core::notification::Notification;
use crate::sink::kit::{self, Receiver, Say};
use crate::sink::sample::Sample;

fn config(url: &str, more: &str) -> Config {
    let mut config: Config = toml::from_str(&format!("url = \"{url}\"\n{more}")).unwrap();
    config.http = kit::quick();
    config
}

fn problems(text: &str) -> Vec<(String, String)> {
    let mut problems = vec![];
    toml::from_str::<Config>(text).unwrap().check(0..0, &mut problems);
    problems.into_iter().map(|problem| (problem.message, text.get(problem.span).unwrap().to_owned())).collect()
}

async fn told(more: &str, n: &Notification) -> Value {
    let receiver = Receiver::start([Say::status(204)]).await;
    config(&receiver.url, more).build(&kit::context()).unwrap().deliver(&kit::dispatch(n)).await.unwrap();
    receiver.got()[0].json()
}

#[tokio::test]
async fn it_stands_what_every_http_sink_must() {
    let build = |url: &str| {
        let mut config = config(url, "");
        // The address is a secret here: it must not be seen in any error.
        config.url = Spanned::new(0..0, Text::Secret(kit::secret(&format!("{url}/{}", kit::HUSH)).into_inner()));
        config.headers.insert("x-token".into(), Spanned::new(0..0, Text::Secret(kit::secret(kit::HUSH).into_inner())));
        kit::quiet(&format!("{config:?}"));
        config.build(&kit::context()).unwrap()
    };
    kit::soon(kit::exercise(build, Say::status(204))).await;
}

#[tokio::test]
async fn signatures_convince_another_verifier() {
    let [old, new] = ["b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xk", "bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3"].map(|key| format!("whsec_{key}"));
    let receiver = Receiver::start([Say::status(200)]).await;
    let mut config = config(&receiver.url, "");
    config.secrets = vec![kit::secret(&old), kit::secret(&new)];
    let sink = config.build(&SinkContext { clock: Arc::new(SystemClock), ..kit::context() }).unwrap();
    let n = kit::hostile();
    sink.deliver(&kit::dispatch(&n)).await.unwrap();
    let got = &receiver.got()[0];
    assert_eq!(got.headers["webhook-id"], kit::KEY);
    for secret in [&old, &new] {
        Verifier::new(secret).unwrap().verify(got.body.as_bytes(), &got.headers).unwrap();
    }
    let other = Verifier::new("b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=").unwrap();
    assert!(other.verify(got.body.as_bytes(), &got.headers).is_err());
    let tampered = got.body.replacen("denied", "allowed", 1);
    assert!(Verifier::new(&new).unwrap().verify(tampered.as_bytes(), &got.headers).is_err());
}

#[tokio::test]
async fn without_a_secret_there_is_an_id_but_no_signature() {
    let receiver = Receiver::start([Say::status(200)]).await;
    let n = kit::sample(Sample::KeyDisabled);
    config(&receiver.url, "method = \"PUT\"\nheaders = { X-Team = \"keys\" }").build(&kit::context()).unwrap().deliver(&kit::dispatch(&n)).await.unwrap();
    let headers = &receiver.got()[0].headers;
    assert_eq!((headers["webhook-id"].as_bytes(), headers["webhook-timestamp"].as_bytes()), (kit::KEY.as_bytes(), b"1795425285".as_slice()));
    assert_eq!(headers["x-team"], "keys");
    assert!(!headers.contains_key("webhook-signature"));
}

#[test]
fn an_unfit_signing_secret_is_an_error_at_the_start() {
    for (wrong, says) in [("plain", "whsec_"), ("whsec_???", "base64"), ("whsec_c2hvcnQ=", "24 to 64")] {
        let mut config = config("https://example.org", "");
        config.secrets = vec![kit::secret(wrong)];
        let error = config.build(&kit::context()).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn our_own_form_is_the_notification() {
    let body = told("", &kit::sample(Sample::KeyDisabled)).await;
    assert_eq!((&body["type"], &body["timestamp"]), (&json!("kmswatch.trigger"), &json!("2026-11-23T09:14:45Z")));
    assert_eq!(body["data"]["delivery"], kit::KEY);
    assert_eq!(body["data"]["key"]["aliases"][0], "alias/prod-payments");
}

#[tokio::test]
async fn a_cloud_event_has_what_the_specification_requires() {
    let receiver = Receiver::start([Say::status(200)]).await;
    let n = kit::sample(Sample::Resolved);
    config(&receiver.url, "format = \"cloudevents\"").build(&kit::context()).unwrap().deliver(&kit::dispatch(&n)).await.unwrap();
    let got = &receiver.got()[0];
    assert_eq!(got.headers["content-type"], "application/cloudevents+json");
    let event = got.json();
    for (name, value) in [("specversion", "1.0"), ("id", kit::KEY), ("source", "/kmswatch"), ("type", "kmswatch.resolve"), ("time", "2026-11-23T09:14:45Z")] {
        assert_eq!(event[name], value, "{name}");
    }
    assert!(event["subject"].as_str().unwrap().starts_with("arn:aws:kms:"));
}

#[tokio::test]
async fn an_alertmanager_payload_fires_and_resolves_the_same_alert() {
    let fired = told("format = \"alertmanager\"", &kit::sample(Sample::KeyDisabled)).await;
    let resolved = told("format = \"alertmanager\"", &kit::sample(Sample::Resolved)).await;
    assert_eq!((&fired["version"], &fired["status"], &resolved["status"]), (&json!("4"), &json!("firing"), &json!("resolved")));
    assert_eq!(fired["groupKey"], resolved["groupKey"]);
    assert_eq!(fired["alerts"][0]["labels"], resolved["alerts"][0]["labels"], "labels are the alert's identity");
    assert_eq!(fired["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(resolved["alerts"][0]["endsAt"], "2026-11-23T09:14:05Z");
    assert_eq!(fired["commonLabels"]["key_environment"], "production");
    let notice = told("format = \"alertmanager\"", &kit::sample(Sample::KeyRotated)).await;
    assert_eq!(notice["status"], "resolved");
}

#[tokio::test]
async fn a_template_writes_the_body_and_hostile_text_stays_text() {
    let more = "format = \"template\"\ntemplate = '{\"text\": {{ data.summary | tojson }}, \"n\": {{ data.incident.alerts }}}'";
    let body = told(more, &kit::hostile()).await;
    assert_eq!(body["n"], 412);
    assert!(body["text"].as_str().unwrap().contains("{{ 7 * 7 }}"), "values are not templates");
}

#[tokio::test]
async fn a_template_that_fails_later_costs_no_page() {
    // Samples have a summary that is not empty; what fails only without one passes the check.
    let more = "format = \"template\"\ntemplate = '{% if data.summary %}{}{% else %}{{ data.nothing }}{% endif %}'";
    let mut n = kit::sample(Sample::KeyDisabled);
    assert_eq!(told(more, &n).await, json!({}));
    n.summary.clear();
    let body = told(more, &n).await;
    assert_eq!(body["type"], "kmswatch.trigger");
    assert!(body["data"]["marks"][0].as_str().unwrap().starts_with("the webhook's template failed: undefined value"), "{}", body["data"]["marks"]);
}

#[test]
fn a_wrong_template_is_an_error_at_load() {
    for (template, says) in [
        ("{{ data.summry }}", "undefined value"),
        ("{% if %}", "syntax error"),
        ("{{ x", "syntax error"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}", "fuel"),
        ("{{ data | tojso }}", "unknown filter"),
    ] {
        let text = format!("url = \"https://example.org\"\nformat = \"template\"\ntemplate = '{template}'");
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{template}");
        assert!(found[0].0.contains(says) && found[0].1 == format!("'{template}'"), "{found:?}");
    }
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let text = "url = \"http://example.org\"\ntemplate = 'x'\ncontent_type = 'y'\nsecrets = [{env='A'}, {env='B'}, {env='C'}]\n\
                headers = { Authorization = 'Bearer x', 'b d' = 'x', Host = 'z', ok = { env = '1' } }";
    let found = problems(text);
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(places, ["\"http://example.org\"", "'Bearer x'", "'z'", "'x'", "{ env = '1' }", "'x'", "'y'", "{env='C'}"], "{found:?}");
    assert!(problems("url = \"https://user:pass@example.org\"")[0].0.contains("password"));
    assert!(problems("url = \"https://example.org\"\nformat = \"template\"")[0].0.contains("needs a `template`"));
    assert!(problems("url = \"https://example.org/?api_key=x\"")[0].0.contains("seems to hold a secret"));
    assert!(problems("url = { env = \"HOOK\" }").is_empty());
}

#[tokio::test]
async fn a_probe_leaves_the_path_alone() {
    let receiver = Receiver::start([Say::status(405)]).await;
    config(&format!("{}/hook?x=1", receiver.url), "").build(&kit::context()).unwrap().probe().await.unwrap();
    let got = &receiver.got()[0];
    assert_eq!((got.path.as_str(), got.query.as_str(), got.body.as_str()), ("/", "", ""));
}
