use proptest::prelude::*;

use super::*;
use crate::core::event::Outcome;

/// Whenever a peek says something, the full decode says the same.
fn agree(body: &str) -> bool {
    let Some(peek) = peek(body) else { return false };
    let event = only(body);
    assert_eq!(peek.source, event.source);
    assert_eq!(event.document["detail-type"], *peek.detail_type);
    let name = event.document["detail"]["eventName"].as_str().filter(|name| !name.is_empty());
    assert_eq!(peek.event_name.as_deref(), name);
    let code = event.document["detail"]["errorCode"].as_str().filter(|code| !code.is_empty());
    assert_eq!(peek.error_code.as_deref(), code);
    if peek.error_code.is_none() {
        assert_eq!(event.outcome, Outcome::Success);
    }
    true
}

#[test]
fn plain_envelopes_are_peeked() {
    for body in [DISABLE, DENIED, DELETION] {
        assert!(agree(body), "{body}");
    }
    let peeked = peek(DENIED).unwrap();
    assert_eq!((peeked.event_name.as_deref(), peeked.error_code.as_deref()), (Some("Decrypt"), Some("AccessDenied")));
    assert!(matches!(peeked.source, std::borrow::Cow::Borrowed("aws.kms")), "nothing is copied");
    assert!(agree(&DISABLE.replace("\"DisableKey\"", "\"\\u0044isableKey\"")), "escapes are read");
}

#[test]
fn everything_odd_takes_the_full_way() {
    let envelope = value(DISABLE);
    let with = |name: &str, v: Value| {
        let mut body = envelope.clone();
        body["detail"][name] = v;
        body.to_string()
    };
    let outer = |name: &str, v: Value| {
        let mut body = envelope.clone();
        body[name] = v;
        body.to_string()
    };
    let pairs = json!(["aws.kms", "AWS API Call via CloudTrail", "2026-03-02T10:15:31Z", {}]).to_string();
    let twice = DISABLE.replacen(
        "\"eventName\": \"DisableKey\"",
        "\"eventName\": \"Decrypt\", \"eventName\": \"DisableKey\"",
        1,
    );
    let second_detail = DISABLE.replacen("\"resources\": [],", "\"detail\": {\"eventName\": \"Decrypt\"},", 1);
    assert!(twice != DISABLE && second_detail != DISABLE);
    for (what, body) in [
        ("a bare record", envelope["detail"].to_string()),
        ("a list instead of an object", pairs),
        ("a list as detail", outer("detail", json!(["DisableKey"]))),
        ("a member twice", twice),
        ("a second detail", second_detail),
        ("a name that is no text", with("eventName", json!(7))),
        ("a message without a code", with("errorMessage", json!("odd"))),
        ("a failure of another kind", with("result", json!("failed"))),
        ("no time", outer("time", json!(null))),
        ("a bad time", outer("time", json!("soon"))),
        ("S3", outer("source", json!("aws.s3"))),
        ("an empty source", outer("source", json!(""))),
        ("deep nesting", with("x", value(&format!("{}{}", "[".repeat(70), "]".repeat(70))))),
        ("text", Value::String(DISABLE.to_owned()).to_string()),
        ("nothing", String::new()),
        ("a cut body", DISABLE.trim_end().trim_end_matches('}').to_owned()),
    ] {
        assert_eq!(peek(&body), None, "{what}");
    }
}

/// Text of JSON that the full parser would refuse without repair, and other small oddities.
fn raw_value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "1e999",
        "\"\\ud800\"",
        "null",
        "\"x\"",
        "[]",
        "{}",
        "\"aws.kms\"",
        "\"2026-03-02T10:15:31Z\"",
        "{\"eventName\":\"a\"}",
        "{\"errorCode\":\"b\",\"errorMessage\":1}",
        "{\"result\":null}",
        "true",
        "-0",
        "\"\"",
        "\"Scheduled Event\"",
        "\"aws.s3\"",
        "{\"eventName\":\"a\",\"eventName\":\"b\"}",
        "\"{}\"",
        "[1]",
        "{\"errorCode\":null,\"eventName\":\"\"}",
        "tru",
        "\"\n\"",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn a_peek_never_disagrees(members in prop::collection::vec((prop::sample::select(vec![
        "source", "detail-type", "time", "detail", "id", "account", "Type", "Message", "key", "s\\u006furce",
    ]), raw_value()), 0..7)) {
        let mut text: Vec<String> = members.iter().map(|(name, v)| format!("\"{name}\":{v}")).collect();
        agree(&format!("{{{}}}", text.join(",")));
        // The same on a sound base, so that many of them are peeked.
        for sound in ["\"source\":\"aws.kms\"", "\"detail-type\":\"AWS API Call via CloudTrail\"", "\"time\":\"2026-03-02T10:15:31Z\"", "\"detail\":{\"eventName\":\"DisableKey\"}"] {
            let name = sound.split(':').next().unwrap();
            if !text.iter().any(|t| t.starts_with(name)) {
                text.push(sound.to_owned());
            }
        }
        agree(&format!("{{{}}}", text.join(",")));
    }
}
