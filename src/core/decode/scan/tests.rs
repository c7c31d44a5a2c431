use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::decode::tests::peeking::{compare, paths};
use crate::core::decode::{Decoded, decode_file};
use crate::core::pattern::tree::Tree;
use crate::core::peek::PathId;

const RECORD: &str = r#"{"eventVersion":"1.09","userIdentity":{"type":"IAMUser"},"eventTime":"2026-03-02T10:15:31Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1","errorCode":"AccessDenied","errorMessage":"no","requestParameters":null,"eventID":"e1","readOnly":true,"eventType":"AwsApiCall","recipientAccountId":"111122223333"}"#;

fn glance(text: &str) -> Option<Glance<'_>> {
    match scan(text.as_bytes()) {
        Scan::Value { length, event } => {
            assert_eq!(length, text.len());
            event
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// Whenever a glance says something, the full decode says the same.
fn agree(text: &str) -> bool {
    let Some(glance) = glance(text) else { return false };
    let (peek, time) = (glance.peek().unwrap(), glance.time);
    let Decoded { events, rejected, .. } = decode_file(text);
    assert_eq!((events.len(), rejected.len()), (1, 0), "{text}");
    let event = events.first().unwrap();
    let document = &event.document;
    assert_eq!(peek.text(&["source"]), Some(&*event.source));
    let filled = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    assert_eq!(peek.text(&["detail-type"]).map(str::to_owned), filled(&document["detail-type"]));
    assert_eq!(peek.text(&["detail", "eventName"]).map(str::to_owned), filled(&document["detail"]["eventName"]));
    assert_eq!(peek.text(&["detail", "errorCode"]).map(str::to_owned), filled(&document["detail"]["errorCode"]));
    let code = peek.view().member("detail").and_then(|detail| detail.member("errorCode"));
    assert_eq!(code.is_some(), document["detail"].get("errorCode").is_some());
    if peek.text(&["detail", "errorCode"]).is_none() {
        assert_eq!(event.outcome, crate::core::event::Outcome::Success);
    }
    if document["detail"]["eventTime"] == document["time"] {
        assert_eq!(time, event.time);
    }
    let paths = paths();
    if let Some(closer) = glance.closer(text, &paths) {
        compare(closer.view(), document, &paths, PathId::ROOT, &mut 0);
    }
    true
}

#[test]
fn plain_records_and_envelopes_are_glanced_at() {
    assert!(agree(RECORD));
    assert!(agree(&RECORD.replace(r#""eventName":"Decrypt""#, r#""eventName":"\u0044ecrypt""#)), "escapes are read");
    assert!(agree(&RECORD.replace("AwsApiCall", "AwsServiceEvent").replace("true", "\"False\"")));
    let envelope = json!({
        "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": "2026-03-02T10:15:31Z",
        "account": "111122223333", "region": "eu-central-1", "id": "x",
        "detail": serde_json::from_str::<Value>(RECORD).unwrap(),
    });
    assert!(agree(&envelope.to_string()));
    let seen = glance(RECORD).unwrap();
    let peek = seen.peek().unwrap();
    assert_eq!(peek.text(&["source"]), Some("aws.kms"));
    assert_eq!(peek.text(&["detail-type"]), Some("AWS API Call via CloudTrail"));
    assert!(peek.view().member("detail").unwrap().member("readOnly").unwrap().is_unknown());
}

#[test]
fn everything_odd_takes_the_full_way() {
    for (what, text) in [
        ("no name", RECORD.replace("eventName", "eventname")),
        ("a name that is no text", RECORD.replace("\"Decrypt\"", "7")),
        ("a name twice", RECORD.replace("\"readOnly\":true", "\"eventName\":\"DisableKey\"")),
        ("half a character", RECORD.replace("\"Decrypt\"", "\"\\ud800\"")),
        ("a notification of S3", RECORD.replace("kms.amazonaws.com", "aws:s3")),
        ("no time", RECORD.replace("2026-03-02T10:15:31Z", "soon")),
        ("a message without a code", RECORD.replace("\"errorCode\":\"AccessDenied\",", "")),
        ("a code that is no text", RECORD.replace("\"AccessDenied\"", "true")),
        ("a detail", RECORD.replace("requestParameters", "detail")),
        ("a list", format!("[{RECORD}]")),
        ("text", Value::String(RECORD.to_owned()).to_string()),
        ("a wrapper", format!("{{\"Records\":[{RECORD}]}}")),
        ("nothing", "null".to_owned()),
    ] {
        assert_eq!(glance(&text), None, "{what}");
    }
}

#[test]
fn ends_and_breaks_are_told_apart() {
    let two = format!("{RECORD} {RECORD}");
    assert!(matches!(scan(two.as_bytes()), Scan::Value { length, .. } if length == RECORD.len()));
    for cut in [1, 10, RECORD.len() - 1] {
        assert_eq!(scan(&RECORD.as_bytes()[..cut]), Scan::Short, "{cut}");
    }
    assert_eq!(scan(b""), Scan::Short);
    assert_eq!(scan(b"{\"a\":\n 1,\n }"), Scan::Broken { at: 11, why: "key must be a string".to_owned() });
    assert!(matches!(scan(b"]"), Scan::Broken { at: 0, .. }));
    assert!(matches!(scan(b"{\"a\" 1}"), Scan::Broken { at: 5, .. }));
    let broken = scan(b"{\"secret\":\"\x01\"}");
    assert!(matches!(&broken, Scan::Broken { why, .. } if !why.contains("secret")), "{broken:?}");
}

#[test]
fn times_are_what_the_calendar_says() {
    for (text, same) in [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
        ("2026-12-31T00:00:00+01:00", "2026-12-30T23:00:00Z"),
        ("1969-12-31T00:00:00Z", "1969-12-31T00:00:00Z"),
    ] {
        assert_eq!(time(text), Some(same.parse().unwrap()), "{text}");
    }
    for text in ["2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:0xZ", ""] {
        assert_eq!(time(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn plain_times_agree_with_the_library(second in 0_i64..4_102_444_800) {
        let text = Timestamp::from_second(second).unwrap().to_string();
        if let Some(read) = plain_time(text.as_bytes()) {
            prop_assert_eq!(read.as_second(), second);
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..500) {
        scan(&bytes);
        scan(RECORD.as_bytes().get(..cut).unwrap_or_default());
    }

    /// Members of any kind in any order: what is seen at a glance is what the full decode sees.
    #[test]
    fn a_glance_agrees_with_the_full_decode(members in proptest::collection::vec((
        prop::sample::select(vec!["eventSource", "eventName", "eventTime", "errorCode", "errorMessage", "eventType",
            "readOnly", "detail", "detail-type", "source", "eventID", "Records", "message", "userIdentity", "resources", "id",
            "account", "time", "key", "outcome"]),
        prop::sample::select(vec!["\"kms.amazonaws.com\"", "\"DisableKey\"", "\"2026-03-02T10:15:31Z\"", "\"\"", "null",
            "true", "7", "{}", "[]", "{\"type\":\"AWSAccount\"}", "[{\"ARN\":\"a\"},{}]", "1e999", "\"AwsServiceEvent\"", "\"aws.kms\"", "\"a\\u0062\"", "\"\\ud800\"", "\"aws:s3\""]),
    ), 0..9), plain in any::<bool>()) {
        let mut members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        if plain {
            members.extend(["\"eventSource\":\"kms.amazonaws.com\"", "\"eventName\":\"X\"",
                "\"eventTime\":\"2026-03-02T10:15:31Z\""].map(str::to_owned));
            members.dedup_by(|a, b| a.split(':').next() == b.split(':').next());
        }
        agree(&format!("{{{}}}", members.join(",")));
    }

    /// Whatever the quick way says, the parser says too.
    #[test]
    fn the_quick_way_agrees_with_the_parser(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"eventName\"", "\"eventName\":\"x\",", "\"readOnly\":true", "\"\\u00e9\"",
            "\"\\q\"", "\"\\", "\"tab\t\"", "\"ä\"", "true", "nul", "null", "0", "01", "-", "-1", "1.5", "1e9", "7", " ", "\n",
            "\"b\":{\"c\":[1,{}]}", "\"long enough for two words of eight\":[]", "\"detail\":{}", "\u{1}",
        ]), 0..14),
        cut in 0_usize..4,
    ) {
        let text = format!("{{{}}}", parts.concat());
        agree_on(&text.as_bytes()[..text.len() - cut.min(text.len())]);
    }

    #[test]
    fn the_quick_way_agrees_on_damaged_records(at in 0_usize..RECORD.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = RECORD.as_bytes().to_vec();
        bytes[at] = byte;
        if cut {
            bytes.truncate(at + 1);
        }
        agree_on(&bytes);
    }
}

/// The quick way may leave a text to the parser, but says nothing else.
fn agree_on(bytes: &[u8]) -> bool {
    let Some((length, seen)) = quick::object(bytes) else { return false };
    let quick = Scan::Value { length, event: seen.glance(&bytes[..length]) };
    assert_eq!(quick, parse(bytes), "{}", String::from_utf8_lossy(bytes));
    true
}

#[test]
fn plain_objects_take_the_quick_way() {
    let nested = format!("{{\"a\":{}1{}}}", "[".repeat(60), "]".repeat(60));
    for text in [RECORD, "{}", "{ }", "{\"a\" : [ 1 , -2, {} , { \"b\\\"\" : \"\\u00e9\" } ] }", &nested] {
        assert!(agree_on(text.as_bytes()), "{text}");
        assert!(agree_on(format!("{text},x").as_bytes()), "what comes after it does not matter: {text}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(61), "]".repeat(61));
    for text in [
        "{\"a\":1.5}",
        "{\"a\":01}",
        "{\"a\":1",
        "{\"\\u0061\":1}",
        "[]",
        "",
        "{\"eventName\":1,\"eventName\":2}",
        &deep,
    ] {
        assert!(!agree_on(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_closer_look_tells_what_the_record_says() {
    let paths = paths();
    let closer = glance(RECORD).unwrap().closer(RECORD, &paths).unwrap();
    let detail = closer.view().member("detail").unwrap();
    assert_eq!(detail.member("errorMessage").unwrap().text(), Some("no"));
    assert!(detail.member("userIdentity").unwrap().is_object());
    assert!(detail.member("resources").is_none(), "it has none");
    for name in ["account", "region", "time", "key", "actor", "id"] {
        assert!(closer.view().member(name).unwrap().is_unknown(), "{name}: decoding makes the envelope");
    }
    assert_eq!(closer.text(&["source"]), Some("aws.kms"));
    // A member twice is a case of doubt, and takes the full way.
    let twice = RECORD.replacen("{\"eventVersion", "{\"resources\":[],\"resources\":[],\"eventVersion", 1);
    assert!(glance(&twice).unwrap().closer(&twice, &paths).is_none());
}
