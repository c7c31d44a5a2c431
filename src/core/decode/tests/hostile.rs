use proptest::prelude::*;

use super::*;
use crate::core::event::Outcome;

#[test]
fn our_own_members_cannot_be_forged() {
    let mut body = value(DENIED);
    body["key"] = json!({ "labels": { "environment": "sandbox" } });
    body["actor"] = json!({ "principal": "arn:aws:iam::111122223333:role/trusted" });
    body["outcome"] = json!("success");
    body["denied_by"] = json!("nobody");
    body["access"] = json!({ "public": false });
    body["grant"] = json!({ "external": false });
    body["replica"] = json!({ "allowed": true });
    let event = only(&body.to_string());
    assert_eq!(event.document, only(DENIED).document);
    for gone in ["userIdentity", "errorMessage", "errorCode", "sourceIPAddress", "userAgent"] {
        body["detail"].as_object_mut().unwrap().remove(gone);
    }
    let event = only(&body.to_string());
    assert_eq!(event.outcome, Outcome::Success);
    for ours in ["key", "actor", "denied_by", "access", "grant", "replica"] {
        assert!(event.document.get(ours).is_none(), "{ours} must not survive");
    }
}

#[test]
fn depth_is_bounded() {
    let mut body = value(DISABLE);
    let nested = |levels: usize| value(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    body["detail"]["requestParameters"] = nested(60);
    assert_eq!(only(&body.to_string()).name, "DisableKey");
    body["detail"]["requestParameters"] = nested(64);
    assert_eq!(refused(&body.to_string()), Reason::TooDeep);
    assert_eq!(refused(&"[".repeat(100_000)), Reason::TooDeep);
    body["detail"]["requestParameters"] = json!("[{".repeat(1000));
    assert_eq!(only(&body.to_string()).name, "DisableKey", "brackets inside of text are text");
    body["detail"]["requestParameters"] = json!(format!("\\\"{}", "[{".repeat(1000)));
    assert_eq!(only(&body.to_string()).name, "DisableKey");
}

#[test]
fn wrappers_are_bounded() {
    let wrap = |times: usize| {
        (0..times).fold(DISABLE.to_owned(), |inner, _| {
            json!({ "Type": "Notification", "TopicArn": "t", "Message": inner }).to_string()
        })
    };
    assert_eq!(only(&wrap(3)).name, "DisableKey");
    let deep = (0..12).fold(value(DISABLE), |inner, _| json!([inner]));
    assert_eq!(refused(&deep.to_string()), Reason::TooDeep);
    assert!(wrap(9).len() < BODY_BYTES_MAX, "else the next line proves nothing");
    assert_eq!(refused(&wrap(9)), Reason::TooDeep);
}

#[test]
fn a_body_of_bad_parts_costs_little() {
    let many = format!("[{}0]", "0,".repeat(400_000));
    let decoded = decode(&many);
    assert!(decoded.rejected.len() <= 51);
    assert_eq!(decoded.rejected.last().unwrap().detail, "and 399951 more bad parts");
    let empty = decode(&format!("[{}[]]", "[],".repeat(300_000)));
    assert!(empty.notices.len() <= 20);
}

#[test]
fn odd_json_is_read_all_the_same() {
    let odd = DISABLE
        .replace("\"managementEvent\": true", "\"managementEvent\": 1e999")
        .replace("aws-cli/2.22.0", "\\ud800\\u0000cli");
    assert_ne!(odd, DISABLE);
    let event = only(&odd);
    assert_eq!(event.document["detail"]["managementEvent"], "1e999");
    assert_eq!(event.actor.user_agent.as_deref(), Some("\u{fffd}\0cli"));

    let doubled = DISABLE.replacen("\"version\": \"0\"", "\"source\": \"aws.shop\", \"version\": \"0\"", 1);
    assert_eq!(only(&doubled).source, "aws.kms", "the last of two counts");
}

#[test]
fn a_huge_body_is_refused_from_the_queue_and_read_from_a_file() {
    let detail = value(DISABLE)["detail"].clone();
    let many = json!({ "Records": vec![detail; 900] }).to_string();
    assert!(many.len() > BODY_BYTES_MAX);
    assert_eq!(refused(&many), Reason::TooLarge);
    assert_eq!(decode_file(&many).events.len(), 900);
}

#[test]
fn ids_stay_short_whatever_the_body_says() {
    let mut body = value(DISABLE);
    body["detail"]["eventID"] = json!("x".repeat(100_000));
    body["account"] = json!("y".repeat(100_000));
    assert!(only(&body.to_string()).id.0.len() <= 200);
}

#[test]
fn reasons_are_spelled_alike_everywhere() {
    for reason in [
        Reason::NotJson,
        Reason::TooLarge,
        Reason::TooDeep,
        Reason::UnknownShape,
        Reason::S3Notification,
        Reason::S3TestEvent,
        Reason::CloudTrailDelivery,
        Reason::CloudTrailDigest,
        Reason::CloudWatchLogs,
        Reason::CloudWatchAlarm,
        Reason::SecurityLake,
        Reason::BareNative,
        Reason::NoTime,
        Reason::BadEnvelope,
    ] {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

/// JSON of any shape, with the names that decoding looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!(KEY)),
        Just(json!("kms.amazonaws.com")),
        Just(json!("aws.kms")),
        Just(json!("2026-03-02T10:15:31Z")),
        Just(json!("AssumedRole")),
        Just(json!("AWS API Call via CloudTrail")),
        Just(json!(DISABLE)),
    ];
    let name = prop::sample::select(vec![
        "source",
        "detail-type",
        "detail",
        "time",
        "eventName",
        "eventSource",
        "eventTime",
        "userIdentity",
        "type",
        "arn",
        "resources",
        "ARN",
        "requestParameters",
        "responseElements",
        "keyId",
        "errorCode",
        "errorMessage",
        "Records",
        "Events",
        "Message",
        "Type",
        "TopicArn",
        "originalEvent",
        "key-id",
        "sessionContext",
        "sessionIssuer",
        "tags",
        "keyMetadata",
        "addendum",
        "Sns",
        "body",
        "eventVersion",
    ]);
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_vanishes(body in any_json()) {
        let decoded = decode(&body.to_string());
        prop_assert!(decoded.events.len() + decoded.rejected.len() + decoded.notices.len() > 0);
    }

    #[test]
    fn any_text_is_survived(body in ".{0,200}") {
        drop(peek(&body, &Paths::new(PEEKED.iter().map(|path| path.to_vec()))));
        prop_assert_eq!(decode(&body).events.len(), 0);
    }

    #[test]
    fn an_event_with_odd_members_is_still_an_event(members in any_json(), name in prop::sample::select(vec![
        "userIdentity", "requestParameters", "responseElements", "resources", "errorMessage", "addendum", "serviceEventDetails", "readOnly",
    ])) {
        let mut body = value(DISABLE);
        body["detail"][name] = members;
        prop_assert_eq!(decode(&body.to_string()).events.len(), 1);
    }
}
