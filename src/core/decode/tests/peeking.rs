use proptest::prelude::*;

use super::*;
use crate::core::pattern::tree::{Leaf, Tree};
use crate::core::peek::{PathId, View};

pub(in crate::core::decode) fn paths() -> Paths {
    let asked = [vec!["key", "id"], vec!["actor", "name"], vec!["denied_by"], vec!["resources"], vec!["id"]];
    let detail = [vec!["detail", "resources", "ARN"], vec!["detail", "userIdentity"], vec!["detail", "readOnly"]];
    Paths::new(PEEKED.iter().map(|path| path.to_vec()).chain(asked).chain(detail))
}

/// Whenever a peek says something, the full decode says the same.
fn agree(body: &str) -> bool {
    let paths = paths();
    let Some(peek) = peek(body, &paths) else { return false };
    let event = only(body);
    let mut said = 0;
    compare(peek.view(), &event.document, &paths, PathId::ROOT, &mut said);
    assert!(said >= 4, "source, detail-type, time and outcome at least");
    true
}

/// What is known is so; what is absent is absent.
pub(in crate::core::decode) fn compare(known: View<'_>, full: &Value, paths: &Paths, at: PathId, said: &mut usize) {
    if known.is_unknown() {
        return;
    }
    if let Some(elements) = known.elements() {
        let full = full.as_array().expect("an array");
        assert_eq!(elements.clone().count(), full.len());
        return elements.zip(full).for_each(|(known, full)| compare(known, full, paths, at, said));
    }
    *said += 1;
    match known.leaf() {
        Some(Leaf::Null) => assert!(full.is_null()),
        Some(Leaf::Boolean(b)) => assert_eq!(*full, b),
        Some(Leaf::Number(n)) => assert_eq!(*full, Value::from(n.clone())),
        Some(Leaf::String(s)) => assert_eq!(full, s),
        Some(Leaf::OneOf(outcomes)) => assert!(outcomes.iter().any(|outcome| full == outcome.as_str()), "{full}"),
        None => {
            for (name, path) in paths.all_next(at) {
                match (known.member(name), full.get(name)) {
                    (Some(known), _) if known.is_unknown() => {}
                    (Some(known), Some(full)) => compare(known, full, paths, path, said),
                    (None, None) => {}
                    (known, full) => panic!("{name}: {known:?}, but {full:?}"),
                }
            }
        }
    }
}

fn text<'p>(peek: &'p Peek<'_>, names: [&str; 2]) -> Option<&'p str> {
    names.into_iter().try_fold(peek.view(), View::member)?.text()
}

#[test]
fn plain_envelopes_are_peeked() {
    for body in [DISABLE, DENIED, DELETION] {
        assert!(agree(body), "{body}");
    }
    let paths = paths();
    let peeked = peek(DENIED, &paths).unwrap();
    assert_eq!(text(&peeked, ["detail", "eventName"]), Some("Decrypt"));
    assert_eq!(text(&peeked, ["detail", "errorCode"]), Some("AccessDenied"));
    assert!(peeked.view().member("key").unwrap().is_unknown(), "decoding adds it");
    assert!(peeked.view().member("replay-name").unwrap().is_unknown(), "nobody asked about it");
    let outcomes: Vec<&str> = peeked.view().member("outcome").unwrap().leaf().unwrap().strings().collect();
    assert_eq!(outcomes, ["denied", "failed"]);
    assert!(agree(&DISABLE.replace("\"DisableKey\"", "\"\\u0044isableKey\"")), "escapes are read");
}

#[test]
fn what_decoding_fills_in_is_unknown() {
    let with = |name: &str, v: Value| {
        let mut body = value(DISABLE);
        body[name] = v;
        body.to_string()
    };
    let paths = paths();
    for name in ["account", "region"] {
        for odd in [json!(null), json!(""), json!(111_122_223_333_u64), json!([])] {
            let body = with(name, odd);
            assert!(agree(&body), "{body}");
            assert!(peek(&body, &paths).unwrap().view().member(name).unwrap().is_unknown());
        }
        assert!(!peek(DISABLE, &paths).unwrap().view().member(name).unwrap().is_unknown());
    }
    assert!(agree(&with("outcome", json!("failed"))), "whatever the body says, decoding says it anew");
    assert!(agree(&with("key", json!({ "id": "x" }))));
}

#[test]
fn without_the_paths_that_make_an_envelope_there_is_no_peek() {
    assert!(peek(DISABLE, &Paths::default()).is_none());
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
        assert!(peek(&body, &paths()).is_none(), "{what}");
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
        "source", "detail-type", "time", "detail", "id", "account", "region", "outcome", "resources", "Type", "Message", "key", "s\\u006furce",
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
