use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::core::notification::Notification;
use crate::sink::kit::{self, Receiver, Say};
use crate::sink::sample::Sample;

fn config(more: &str) -> Config {
    toml::from_str(&format!("region = 'eu-central-1'\naccount = '111122223333'\n{more}")).unwrap()
}

fn sink(url: &str) -> Arc<dyn Sink> {
    let mut config = config("");
    config.endpoint = Some(Spanned::new(0..0, url.to_owned()));
    config.http = kit::quick();
    config.build(&kit::context()).unwrap()
}

fn fine() -> Say {
    Say::json(&json!({"FailedCount": 0, "SuccessCount": 1, "FailedFindings": []}))
}

fn told(n: &Notification) -> Value {
    finding(n, &Place { account: "111122223333".to_owned(), region: "eu-central-1".to_owned() })
}

#[tokio::test]
async fn it_stands_what_every_http_sink_must() {
    kit::soon(kit::exercise(sink, fine())).await;
}

#[tokio::test]
async fn a_finding_is_imported_by_a_signed_call() {
    let receiver = Receiver::start([fine()]).await;
    sink(&receiver.url).deliver(&kit::dispatch(&kit::sample(Sample::KeyDisabled))).await.unwrap();
    let got = &receiver.got()[0];
    assert_eq!((got.path.as_str(), got.headers["content-type"].as_bytes()), ("/findings/import", b"application/json".as_slice()));
    let authorization = got.headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("/20261123/eu-central-1/securityhub/aws4_request"), "{authorization}");
    assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date"), "{authorization}");
    assert_eq!(got.json()["Findings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_success_may_be_a_failure() {
    let n = kit::sample(Sample::KeyDisabled);
    let failed = |code: &str| {
        let failed = json!([{"Id": "x", "ErrorCode": code, "ErrorMessage": "Finding does not adhere to the format"}]);
        Say::json(&json!({"FailedCount": 1, "SuccessCount": 0, "FailedFindings": failed}))
    };
    for (answer, class, unknown) in [
        (failed("InvalidInput"), Class::Reject, false),
        (failed("InternalError"), Class::Retry { after: None }, false),
        (failed("ThrottlingException"), Class::Retry { after: None }, false),
        (failed("AccessDeniedException"), Class::Park, false),
        (Say::json(&json!({"FailedCount": 0, "SuccessCount": 0})), Class::Park, true),
        (Say(200, vec![], "<html>".to_owned()), Class::Park, true),
    ] {
        let receiver = Receiver::start([answer]).await;
        let error = sink(&receiver.url).deliver(&kit::dispatch(&n)).await.unwrap_err();
        assert_eq!((error.class, error.outcome_unknown), (class, unknown), "{error}");
    }
}

#[tokio::test]
async fn an_errors_code_says_more_than_its_status() {
    let n = kit::sample(Sample::KeyDisabled);
    let retry = Class::Retry { after: None };
    for (status, body, class, reason) in [
        (400, json!({"__type": "ThrottlingException"}), retry, FailReason::RateLimited),
        (429, json!({"Code": "LimitExceededException"}), retry, FailReason::RateLimited),
        (400, json!({"Code": "InvalidInputException", "Message": "x"}), Class::Reject, FailReason::Client),
        (401, json!({"Code": "InvalidAccessException"}), Class::Park, FailReason::NotFound),
        (403, json!({"__type": "com.amazonaws.securityhub#AccessDeniedException"}), Class::Park, FailReason::Auth),
        (400, json!({"__type": "ExpiredTokenException"}), Class::Park, FailReason::Auth),
        (500, json!({"Code": "InternalException"}), retry, FailReason::Server),
    ] {
        let receiver = Receiver::start([Say(status, vec![], body.to_string())]).await;
        let error = sink(&receiver.url).deliver(&kit::dispatch(&n)).await.unwrap_err();
        assert_eq!((error.class, error.reason), (class, reason), "{body}: {error}");
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_retried_and_refused_ones_are_asked_for_again() {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

    #[derive(Debug, Default)]
    struct Second(std::sync::atomic::AtomicUsize);
    impl ProvideCredentials for Second {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(match self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Err(CredentialsError::not_loaded("not yet")),
                n => Ok(Credentials::new(format!("id-{n}"), kit::HUSH, None, None, "test")),
            })
        }
    }
    let refusal = Say(403, vec![], json!({"__type": "ExpiredTokenException"}).to_string());
    let receiver = Receiver::start([refusal, fine()]).await;
    let mut config = config("");
    config.endpoint = Some(Spanned::new(0..0, receiver.url.clone()));
    let aws = Access::with_credentials(SharedCredentialsProvider::new(Second::default()));
    let sink = config.build(&SinkContext { aws, ..kit::context() }).unwrap();
    let n = kit::sample(Sample::KeyDisabled);
    let error = sink.deliver(&kit::dispatch(&n)).await.unwrap_err();
    assert!(matches!(error.class, Class::Retry { .. }) && error.detail.contains("not yet"), "{error}");
    assert_eq!(sink.deliver(&kit::dispatch(&n)).await.unwrap_err().class, Class::Park);
    sink.deliver(&kit::dispatch(&n)).await.unwrap();
    let keys: Vec<bool> = receiver.got().iter().map(|got| got.headers["authorization"].to_str().unwrap().contains("id-2")).collect();
    assert_eq!(keys, [false, true]);
}

#[test]
fn a_finding_lives_under_one_id_and_its_end_archives_it() {
    let steps = [Sample::KeyDisabled, Sample::Escalated, Sample::Resolved].map(|step| told(&kit::sample(step)));
    let seen: Vec<_> = steps.iter().map(|f| (f["RecordState"].as_str().unwrap(), f["Severity"]["Label"].as_str().unwrap())).collect();
    assert_eq!(seen, [("ACTIVE", "HIGH"), ("ACTIVE", "CRITICAL"), ("ARCHIVED", "HIGH")]);
    for step in &steps {
        assert_eq!(step["Id"], "kmswatch/sample-key-disabled-1");
        assert_eq!(step["CreatedAt"], steps[0]["CreatedAt"]);
        assert!(step.get("Workflow").is_none(), "that is people's");
    }
    assert_eq!(told(&kit::sample(Sample::KeyRotated))["RecordState"], "ARCHIVED", "a notice was never open");
    assert_eq!(steps[0]["ProductArn"], "arn:aws:securityhub:eu-central-1:111122223333:product/111122223333/default");
    assert_eq!(steps[0]["UpdatedAt"], "2026-11-23T09:14:45.000Z");
    assert_eq!(steps[0]["Types"], json!(["TTPs/Impact"]));
    assert_eq!(steps[0]["Sample"], false);
}

#[test]
fn what_is_told_in_one_moment_is_each_newer_than_the_one_before() {
    let mut n = kit::sample(Sample::KeyDisabled);
    let times: Vec<Timestamp> = (1..=4)
        .map(|transition| {
            n.incident.transition = transition;
            told(&n)["UpdatedAt"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(times[0], n.at);
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
    n.at += SignedDuration::from_nanos(999_999);
    n.incident.transition += 1;
    assert!(told(&n)["UpdatedAt"].as_str().unwrap().parse::<Timestamp>().unwrap() > times[3]);
}

#[test]
fn a_finding_says_which_key_who_and_what_to_do() {
    let finding = told(&kit::sample(Sample::DeniedUse));
    let key = &finding["Resources"][0];
    assert_eq!((&key["Type"], &key["Partition"], &key["Region"]), (&json!("AwsKmsKey"), &json!("aws"), &json!("eu-central-1")));
    assert_eq!(key["Details"]["AwsKmsKey"]["KeyState"], "Enabled");
    assert_eq!(key["Tags"]["environment"], "production");
    let call = &finding["Action"]["AwsApiCallAction"];
    assert_eq!((&call["Api"], &call["RemoteIpDetails"]["IpAddressV4"]), (&json!("Decrypt"), &json!("10.20.30.40")));
    assert!(finding["Remediation"]["Recommendation"]["Text"].as_str().unwrap().starts_with("Compare"));
    assert_eq!(finding["ProductFields"]["kmswatch/Who"].as_str().unwrap(), "arn:aws:iam::111122223333:role/payments, session i-0abc");

    let mut own = kit::sample(Sample::KeyDisabled);
    own.key = None;
    own.event.account = None;
    own.event.source = "kmswatch".into();
    own.event.name = "kmswatch is deaf".into();
    let finding = told(&own);
    assert_eq!(finding["Resources"][0]["Type"], "AwsAccount");
    assert!(finding.get("Action").is_none());
}

#[test]
fn texts_are_as_long_as_the_format_allows() {
    let mut n = kit::hostile();
    n.incident.title = "t".repeat(1_000);
    n.incident.id = "i".repeat(1_000);
    n.incident.rule = " ".into();
    let finding = told(&n);
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    assert!((240..=256).contains(&length(&finding["Title"])) && length(&finding["Id"]) == 512, "{finding}");
    assert!(length(&finding["Description"]) <= 1_024);
    let fields = finding["ProductFields"].as_object().unwrap();
    assert!(fields.len() <= 50);
    assert!(fields.iter().all(|(name, value)| name.chars().count() <= 128 && length(value) <= 2_048));
    assert!(finding.to_string().len() <= 240_000);
    assert_eq!(finding["Sample"], true);
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let text = "region = 'europe'\naccount = '1'\nendpoint = 'x'\nassume_role.role_arn = 'arn:aws:iam::444455556666:role/r'";
    let mut problems = vec![];
    toml::from_str::<Config>(text).unwrap().check(0..0, &mut problems);
    let places: Vec<&str> = problems.iter().map(|problem| text.get(problem.span.clone()).unwrap()).collect();
    assert_eq!(places, ["'europe'", "'1'", "'x'", "'arn:aws:iam::444455556666:role/r'"], "{problems:?}");
    assert!(problems.iter().all(|problem| problem.hint.is_some()));
    let mut problems = vec![];
    config("assume_role.role_arn = 'arn:aws:iam::111122223333:role/r'").check(0..0, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let wrong: Config = toml::from_str("region = 'evil.example/'\naccount = '111122223333'").unwrap();
    assert!(wrong.build(&kit::context()).is_err());
}

#[tokio::test]
async fn a_probe_asks_whether_the_hub_is_there() {
    let receiver = Receiver::start([Say::json(&json!({"HubArn": "x"}))]).await;
    sink(&receiver.url).probe().await.unwrap();
    assert_eq!(receiver.got()[0].path, "/accounts");
    receiver.say(Say(401, vec![], json!({"Code": "InvalidAccessException"}).to_string()));
    let error = tokio::time::timeout(Duration::from_secs(5), sink(&receiver.url).probe()).await.unwrap().unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Park, FailReason::NotFound));
}
