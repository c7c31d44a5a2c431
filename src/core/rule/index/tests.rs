use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, json};

use super::*;
use crate::core::pattern::Node;

fn pattern(json: &Value) -> Pattern {
    Pattern::compile(&Node::from_json(json)).unwrap()
}

fn index(patterns: &[Value]) -> Index {
    let patterns: Vec<Pattern> = patterns.iter().map(pattern).collect();
    Index::new(patterns.iter().enumerate())
}

fn call<'a>(name: &'a str, error: Option<&'a str>) -> Peek<'a> {
    Peek {
        source: "aws.kms".into(),
        detail_type: "AWS API Call via CloudTrail".into(),
        event_name: Some(name.into()),
        error_code: error.map(Into::into),
    }
}

#[test]
fn the_usual_traffic_concerns_nobody() {
    let index = index(&[
        json!({ "source": ["aws.kms"], "detail": { "eventName": ["DisableKey"] }, "outcome": ["success"] }),
        json!({ "source": ["aws.kms"], "outcome": ["denied", "failed"] }),
        json!({ "source": ["aws.kms"], "detail-type": ["KMS CMK Rotation"] }),
    ]);
    assert!(!index.concerned(&call("Decrypt", None)));
    assert!(!index.concerned(&call("GenerateDataKey", None)));
    assert!(index.concerned(&call("DisableKey", None)));
    assert!(index.concerned(&call("Decrypt", Some("AccessDenied"))));
    let native = |kind: &'static str| Peek { detail_type: kind.into(), event_name: None, ..call("", None) };
    assert!(index.concerned(&native("KMS CMK Rotation")));
    let other = Peek { source: "aws.ec2".into(), ..native("EC2 Instance State-change Notification") };
    assert!(!index.concerned(&other));
}

#[test]
fn an_error_rules_out_success_only_for_what_a_trail_recorded() {
    let success = index(&[json!({ "outcome": ["success"] })]);
    assert!(!success.concerned(&call("Decrypt", Some("AccessDenied"))));
    let custom = Peek { detail_type: "build finished".into(), ..call("Decrypt", Some("AccessDenied")) };
    assert!(success.concerned(&custom));
    let failed = index(&[json!({ "outcome": ["failed"] })]);
    assert!(!failed.concerned(&call("Decrypt", None)));
    assert!(failed.concerned(&Peek { event_name: None, ..call("", None) }), "native events tell no error code");
}

#[test]
fn what_is_unknown_rules_nothing_out() {
    let index = index(&[json!({ "source": ["aws.kms"] }), json!({ "detail": { "eventName": [null] } })]);
    assert!(index.concerned(&Peek::default()));
    assert!(
        index.concerned(&Peek { source: "x".into(), detail_type: "y".into(), ..Peek::default() }),
        "null peeks as absent"
    );
    assert_eq!(index.candidates(&json!({ "source": ["aws.kms", "x"], "detail-type": "y" })), [0, 1]);
}

#[test]
fn candidates_are_numbers_in_order() {
    let patterns = [
        json!({ "$or": [{ "detail": { "eventName": ["A", "B"] } }, { "source": ["s"] }] }),
        json!({ "detail": { "eventName": ["C"] } }),
        json!({ "detail": { "eventName": [{ "prefix": "A" }] } }),
    ];
    let document = |name: &str| json!({ "source": "s", "detail-type": "t", "detail": { "eventName": name } });
    assert_eq!(index(&patterns).candidates(&document("A")), [0, 2]);
    assert_eq!(index(&patterns).candidates(&document("C")), [0, 1, 2]);
    assert_eq!(index(&[]).candidates(&document("A")), [0; 0]);
}

const WORDS: [&str; 4] = ["a", "ab", "b", ""];
const TYPES: [&str; 3] = ["a via CloudTrail", "b via CloudTrail", "a"];

/// A list for one of the members that can be peeked at.
fn list(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let word = || select(words);
    let item = prop_oneof![
        4 => word().prop_map(Value::from),
        1 => word().prop_map(|w| json!({ "prefix": w })),
        1 => word().prop_map(|w| json!({ "anything-but": w })),
        1 => word().prop_map(|w| json!({ "equals-ignore-case": w })),
        1 => Just(json!({ "wildcard": "*b" })),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(|b| json!({ "exists": b })),
    ];
    prop::collection::vec(item, 1..3).prop_map(Value::from)
}

fn fields() -> impl Strategy<Value = Value> {
    let maybe = |words| prop::option::of(list(words));
    let outcome = prop::option::of(list(&["success", "denied", "failed"]));
    (maybe(&WORDS), maybe(&TYPES), maybe(&WORDS), maybe(&WORDS), outcome).prop_filter_map(
        "empty",
        |(source, kind, name, code, outcome)| {
            let mut detail = Map::new();
            detail.extend(name.map(|v| ("eventName".to_owned(), v)));
            detail.extend(code.map(|v| ("errorCode".to_owned(), v)));
            let mut all = Map::new();
            all.extend(source.map(|v| ("source".to_owned(), v)));
            all.extend(kind.map(|v| ("detail-type".to_owned(), v)));
            all.extend(outcome.map(|v| ("outcome".to_owned(), v)));
            if !detail.is_empty() {
                all.insert("detail".into(), detail.into());
            }
            (!all.is_empty()).then_some(Value::Object(all))
        },
    )
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let one = prop_oneof![fields(), (fields(), fields()).prop_map(|(a, b)| json!({ "$or": [a, b] }))];
    prop::collection::vec(one.prop_map(|json| pattern(&json)), 1..6)
}

/// A member as events have it: absent, null, or a string.
fn member() -> impl Strategy<Value = Option<Value>> {
    prop::option::of(prop_oneof![4 => select(&WORDS[..]).prop_map(Value::from), 1 => Just(Value::Null)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_means_that_nothing_matches(
        patterns in patterns(),
        source in select(&["a", "ab", "b"][..]),
        kind in select(&TYPES[..]),
        name in member(),
        code in member(),
        denied in any::<bool>(),
    ) {
        let text = |v: &Option<Value>| v.as_ref().and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
        let recorded = kind.ends_with(" via CloudTrail");
        let outcome = match text(&code) {
            Some(_) if recorded && denied => "denied",
            Some(_) if recorded => "failed",
            _ => "success",
        };
        let peek = Peek {
            source: source.into(),
            detail_type: kind.into(),
            event_name: text(&name).map(Cow::Owned),
            error_code: text(&code).map(Cow::Owned),
        };
        let mut detail = Map::new();
        detail.extend(name.map(|v| ("eventName".to_owned(), v)));
        detail.extend(code.map(|v| ("errorCode".to_owned(), v)));
        let document = json!({ "source": source, "detail-type": kind, "detail": detail, "outcome": outcome });

        let index = Index::new(patterns.iter().enumerate());
        let matching: Vec<usize> =
            patterns.iter().enumerate().filter(|(_, p)| p.matches(&document)).map(|(number, _)| number).collect();
        prop_assert!(matching.is_empty() || index.concerned(&peek), "{document} matches {matching:?}");
        let candidates = index.candidates(&document);
        prop_assert!(matching.iter().all(|number| candidates.contains(number)), "{candidates:?} for {matching:?}");
    }
}
