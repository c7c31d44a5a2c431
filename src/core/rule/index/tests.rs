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

fn body(source: &str, kind: &str, detail: &Value) -> String {
    json!({ "source": source, "detail-type": kind, "time": "2026-03-02T10:15:31Z", "detail": detail }).to_string()
}

fn call(name: &str, error: Option<&str>) -> String {
    body("aws.kms", "AWS API Call via CloudTrail", &json!({ "eventName": name, "errorCode": error }))
}

fn concerned(index: &Index, body: &str) -> bool {
    index.concerned(&index.peek(body).expect("a plain envelope"))
}

#[test]
fn the_usual_traffic_concerns_nobody() {
    let index = index(&[
        json!({ "source": ["aws.kms"], "detail": { "eventName": ["DisableKey"] }, "outcome": ["success"] }),
        json!({ "source": ["aws.kms"], "outcome": ["denied", "failed"] }),
        json!({ "source": ["aws.kms"], "detail-type": ["KMS CMK Rotation"] }),
    ]);
    assert!(!concerned(&index, &call("Decrypt", None)));
    assert!(!concerned(&index, &call("GenerateDataKey", None)));
    assert!(concerned(&index, &call("DisableKey", None)));
    assert!(concerned(&index, &call("Decrypt", Some("AccessDenied"))));
    assert!(concerned(&index, &body("aws.kms", "KMS CMK Rotation", &json!({}))));
    assert!(!concerned(&index, &body("aws.ec2", "EC2 Instance State-change Notification", &json!({}))));
}

#[test]
fn an_error_rules_out_success_only_for_what_a_trail_recorded() {
    let success = index(&[json!({ "outcome": ["success"] })]);
    assert!(!concerned(&success, &call("Decrypt", Some("AccessDenied"))));
    let denied = json!({ "eventName": "Decrypt", "errorCode": "AccessDenied" });
    assert!(concerned(&success, &body("aws.kms", "build finished", &denied)));
    let failed = index(&[json!({ "outcome": ["failed"] })]);
    assert!(!concerned(&failed, &call("Decrypt", None)));
    assert!(concerned(&failed, &body("aws.kms", "native", &json!({}))), "native events tell no error code");
    let other = index(&[json!({ "outcome": [{ "anything-but": "denied" }] })]);
    assert!(concerned(&other, &call("Decrypt", Some("AccessDenied"))), "it may be another failure");
}

#[test]
fn members_that_decoding_adds_rule_nothing_out() {
    let index = index(&[
        json!({ "key": { "aliases": [{ "prefix": "alias/prod-" }] }, "source": ["aws.kms"] }),
        json!({ "actor": { "name": ["x"] } }),
        json!({ "account": ["111122223333"], "region": ["x"] }),
    ]);
    let body = body("aws.ec2", "t", &json!({}));
    assert_eq!(index.possible(&index.peek(&body).unwrap()), [1, 2]);
    assert_eq!(index.possible(&index.peek(&call("Decrypt", None)).unwrap()), [0, 1, 2]);
    let elsewhere = call("Decrypt", None).replacen('{', "{\"account\":\"444455556666\",", 1);
    assert_eq!(index.possible(&index.peek(&elsewhere).unwrap()), [0, 1]);
}

#[test]
fn what_a_lookup_fills_in_later_selects_nothing() {
    let index = index(&[
        json!({ "key": { "aliases": ["alias/prod"] } }),
        json!({ "key": { "aliases": ["alias/prod"] }, "detail": { "eventName": ["A"] } }),
    ]);
    let before = json!({ "source": "aws.kms", "detail": { "eventName": "A" }, "key": { "id": "x" } });
    assert_eq!(index.candidates(&before), [0, 1], "the lookup is made only for these");
    assert_eq!(index.matching(&before), [0; 0]);
    let other = json!({ "source": "aws.kms", "detail": { "eventName": "B" }, "key": { "aliases": ["alias/prod"] } });
    assert_eq!(index.candidates(&other), [0]);
}

#[test]
fn the_peek_of_another_index_will_do() {
    let narrow = index(&[json!({ "source": ["aws.kms"] })]);
    let wide = index(&[
        json!({ "detail": { "eventName": ["A"], "size": [1] } }),
        json!({ "detail": { "list": { "x": ["1"], "y": [{ "exists": false }] } } }),
        json!({ "detail": { "kind": ["z"] } }),
    ]);
    let detail = json!({ "eventName": "B", "size": 2, "list": [{ "x": "1" }], "kind": "z" });
    let (event, other) = (body("s", "t", &detail), call("A", None));
    assert_eq!(wide.possible(&narrow.peek(&event).unwrap()), [1, 2], "only the name is known to differ");
    assert_eq!(wide.possible(&narrow.peek(&other).unwrap()), [0, 1, 2]);
    assert_eq!(wide.possible(&wide.peek(&event).unwrap()), [1, 2]);
    assert!(wide.possible(&wide.peek(&other).unwrap()).is_empty());
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
    assert_eq!(index(&patterns).matching(&document("A")), [0, 2]);
    assert_eq!(index(&patterns).candidates(&document("C")), [0, 1, 2]);
    assert_eq!(index(&patterns).matching(&document("C")), [0, 1]);
    assert_eq!(index(&[]).candidates(&document("A")), [0; 0]);
}

#[test]
fn each_kind_of_text_selects() {
    let patterns = [
        json!({ "a": ["whole"] }),
        json!({ "a": [{ "prefix": "who" }] }),
        json!({ "a": [{ "prefix": "whole" }] }),
        json!({ "a": [{ "suffix": "ole" }] }),
        json!({ "a": [{ "wildcard": "*hol*" }, { "wildcard": "*hole*" }] }),
        json!({ "a": [{ "wildcard": "*/x/1*", }, "whole"] }),
        json!({ "a": { "b": ["whole"] } }),
    ];
    let index = index(&patterns);
    let candidates = |a: Value| index.candidates(&json!({ "a": a }));
    assert_eq!(candidates(json!("whole")), [0, 1, 2, 3, 4, 5]);
    assert_eq!(candidates(json!("whom")), [1, 4]);
    assert_eq!(candidates(json!("wholesale")), [1, 2, 4]);
    assert_eq!(candidates(json!(["1", "a hole", ["2/x/1"]])), [3, 4, 5]);
    assert_eq!(candidates(json!({ "b": ["whole"] })), [4, 6]);
    assert_eq!(candidates(json!(1)), [4], "nothing selects what is too short");
}

#[test]
fn starts_within_starts_are_all_found() {
    let starts: Vec<Value> = (3..200).map(|n| json!({ "a": [{ "prefix": "x".repeat(n) }] })).collect();
    let index = index(&starts);
    let text = format!("{}y", "x".repeat(100));
    assert_eq!(index.candidates(&json!({ "a": text })).len(), 98);
    assert_eq!(index.candidates(&json!({ "a": [text, "y", "xxxx", "x"] })).len(), 98);
}

#[test]
fn the_rarest_text_is_chosen() {
    let patterns: Vec<Value> = (0..100)
        .map(|n| json!({ "source": ["aws.kms"], "detail": { "eventName": ["A", "B"], "arn": [format!("arn:{n}")] } }))
        .collect();
    let document = json!({ "source": "aws.kms", "detail": { "eventName": "A", "arn": "arn:7" } });
    assert_eq!(index(&patterns).candidates(&document), [7]);
}

const WORDS: [&str; 6] = ["a", "ab", "b", "", "abcab", "xabcabx"];
const TYPES: [&str; 3] = ["a via CloudTrail", "b via CloudTrail", "a"];

/// A list for one of the members that can be peeked at.
fn list(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let word = || select(words);
    let item = prop_oneof![
        4 => word().prop_map(Value::from),
        1 => word().prop_map(|w| json!({ "prefix": w })),
        1 => word().prop_map(|w| json!({ "suffix": w })),
        1 => word().prop_map(|w| json!({ "anything-but": w })),
        1 => word().prop_map(|w| json!({ "equals-ignore-case": w })),
        1 => select(&["*b", "abca*", "*bcab", "*bcab*", "a*bca*b", "ab"][..]).prop_map(|w| json!({ "wildcard": w })),
        1 => Just(Value::Null),
        1 => Just(json!(1)),
        1 => any::<bool>().prop_map(|b| json!({ "exists": b })),
    ];
    prop::collection::vec(item, 1..3).prop_map(Value::from)
}

fn fields() -> impl Strategy<Value = Value> {
    let maybe = |words| prop::option::of(list(words));
    let outcome = prop::option::of(list(&["success", "denied", "failed"]));
    let deep = (maybe(&WORDS), maybe(&WORDS), maybe(&WORDS), maybe(&WORDS));
    (maybe(&["a", "ab", "b"]), maybe(&TYPES), maybe(&WORDS), maybe(&WORDS), outcome, deep).prop_filter_map(
        "empty",
        |(source, kind, name, code, outcome, (x, y, account, caller))| {
            let named = |list: [(&str, Option<Value>); 2]| -> Map<String, Value> {
                list.into_iter().filter_map(|(name, list)| Some((name.to_owned(), list?))).collect()
            };
            let mut detail = named([("eventName", name), ("errorCode", code)]);
            detail.extend(caller.map(|list| ("userIdentity".to_owned(), json!({ "type": list }))));
            let deep = named([("x", x), ("y", y)]);
            if !deep.is_empty() {
                detail.insert("list".into(), deep.into());
            }
            let mut all = named([("source", source), ("detail-type", kind)]);
            all.extend(named([("outcome", outcome), ("account", account)]));
            if !detail.is_empty() {
                all.insert("detail".into(), detail.into());
            }
            (!all.is_empty()).then_some(Value::Object(all))
        },
    )
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let one = prop_oneof![fields(), (fields(), fields()).prop_map(|(a, b)| json!({ "$or": [a, b] }))];
    prop::collection::vec(one.prop_map(|json| pattern(&json)), 1..8)
}

/// A member as events have it: absent, null, a string, and what they rarely have.
fn member() -> impl Strategy<Value = Option<Value>> {
    prop::option::of(prop_oneof![
        8 => select(&WORDS[..]).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!(1)),
    ])
}

/// Who calls: an object as a rule.
fn caller() -> impl Strategy<Value = Value> {
    let one = || member().prop_map(|kind| kind.map_or_else(|| json!({}), |kind| json!({ "type": kind })));
    prop_oneof![6 => one(), 1 => prop::collection::vec(one(), 0..3).prop_map(Value::from), 1 => Just(json!("ab"))]
}

fn array() -> impl Strategy<Value = Value> {
    let named = |(x, y): (Option<Value>, Option<Value>)| {
        let members = [("x", x), ("y", y)].into_iter().filter_map(|(name, v)| Some((name.to_owned(), v?)));
        Value::Object(members.collect())
    };
    let deeper = prop::collection::vec(member(), 0..3).prop_map(|v| v.into_iter().flatten().collect::<Value>());
    let element = prop_oneof![4 => (member(), member()).prop_map(named), 1 => deeper, 1 => Just(json!("ab"))];
    prop_oneof![3 => prop::collection::vec(element.clone(), 0..4).prop_map(Value::from), 1 => element]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn it_answers_as_each_pattern_by_itself(
        patterns in patterns(),
        source in select(&["a", "ab", "b"][..]),
        kind in select(&TYPES[..]),
        detail in (member(), member(), prop::option::of(array()), prop::option::of(caller())),
        account in member(),
        usual in any::<bool>(),
    ) {
        let (name, code, list, caller) = detail;
        // Names and codes that are no text are for the full decode.
        let text = |v: Option<Value>| v.filter(|v| !usual || !v.is_number());
        let mut detail = Map::new();
        detail.extend(text(name).map(|v| ("eventName".to_owned(), v)));
        detail.extend(text(code).map(|v| ("errorCode".to_owned(), v)));
        detail.extend(list.map(|v| ("list".to_owned(), v)));
        detail.extend(caller.map(|v| ("userIdentity".to_owned(), v)));
        let mut event: Value = body(source, kind, &detail.into()).parse().unwrap();
        if let Some(account) = account {
            event["account"] = account;
        }
        let text = event.to_string();
        let decoded = decode::decode(&text);
        let document = &decoded.events[0].document;

        let index = Index::new(patterns.iter().enumerate());
        let all: Vec<usize> =
            patterns.iter().enumerate().filter(|(_, p)| p.matches(document)).map(|(number, _)| number).collect();
        prop_assert_eq!(&index.matching(document), &all);
        let candidates = index.candidates(document);
        prop_assert!(all.iter().all(|number| candidates.contains(number)), "{candidates:?} for {all:?}");

        let Some(peek) = index.peek(&text) else { prop_assert!(!usual, "{}", text); return Ok(()) };
        let possible = index.possible(&peek);
        prop_assert_eq!(index.concerned(&peek), !possible.is_empty());
        for (number, pattern) in patterns.iter().enumerate() {
            let matches = all.contains(&number);
            prop_assert!(!matches || possible.contains(&number), "lost {number}: {text}");
            let in_the_body = pattern.paths().iter().all(|path| !matches!(&**path, "outcome" | "account"));
            prop_assert!(!in_the_body || matches == possible.contains(&number), "not exact for {number}: {text}");
            // The same through an index that asked for less.
            let less = Index::new([]);
            let alone = Index::new([(0, pattern)]);
            prop_assert!(!matches || alone.concerned(&less.peek(&text).expect("the same envelope")));
            prop_assert!(!matches || alone.concerned(&decode::brief(&text).expect("the same envelope")));
        }
    }
}
