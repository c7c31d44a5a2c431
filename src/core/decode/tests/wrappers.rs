use super::*;

fn sns(message: &str) -> String {
    json!({
        "Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-central-1:111122223333:keys", "Message": message,
        "Timestamp": "2026-03-02T10:15:32Z", "SignatureVersion": "1", "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.example.com/cert", "UnsubscribeURL": "https://sns.example.com/bye",
    })
    .to_string()
}

#[test]
fn every_wrapper_gives_the_same_event() {
    let plain = only(DISABLE);
    let envelope = value(DISABLE);
    let detail = &envelope["detail"];
    for (what, body) in [
        ("sns", sns(DISABLE)),
        ("sns in sns", sns(&sns(DISABLE))),
        ("records", json!({ "Records": [detail] }).to_string()),
        ("lookup events", json!({ "Events": [{ "EventId": "x", "CloudTrailEvent": detail.to_string() }] }).to_string()),
        ("pipes", json!([envelope]).to_string()),
        ("pipes from sqs", json!([{ "messageId": "1", "eventSource": "aws:sqs", "body": DISABLE }]).to_string()),
        ("lambda's sqs records", json!({ "Records": [{ "eventSource": "aws:sqs", "body": DISABLE }] }).to_string()),
        (
            "lambda's sns records",
            json!({ "Records": [{ "EventSource": "aws:sns", "Sns": value(&sns(DISABLE)) }] }).to_string(),
        ),
        ("embedded object", json!({ "rule": "r", "originalEvent": envelope }).to_string()),
        ("embedded text", json!({ "note": "n", "originalEvent": DISABLE }).to_string()),
        ("embedded record", json!({ "account": "1", "detail": detail }).to_string()),
        ("embedded list", json!({ "payload": [envelope] }).to_string()),
        ("json text", Value::String(DISABLE.to_owned()).to_string()),
        ("detail as text", {
            let mut e = envelope.clone();
            e["detail"] = json!(detail.to_string());
            e.to_string()
        }),
        ("byte order mark", format!("\u{feff}  {DISABLE}\n")),
    ] {
        let event = only(&body);
        assert_eq!((&event.id, &event.key, &event.actor), (&plain.id, &plain.key, &plain.actor), "{what}");
        assert_eq!(event.document["detail"], plain.document["detail"], "{what}");
    }
}

#[test]
fn each_record_has_its_own_fate() {
    let body = json!({ "Records": [value(DISABLE)["detail"], { "eventSource": "kms.amazonaws.com", "eventName": "EnableKey" }, value(ROTATE), 7] });
    let decoded = decode(&body.to_string());
    assert_eq!(decoded.events.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["DisableKey", "RotateKey"]);
    assert_eq!(decoded.rejected.iter().map(|r| r.reason).collect::<Vec<_>>(), [Reason::NoTime, Reason::UnknownShape]);
    let timeless = &decoded.rejected[0];
    assert!(timeless.detail.contains("Records[1]"), "{}", timeless.detail);
    assert_eq!(timeless.salvage.event_name.as_deref(), Some("EnableKey"));
}

#[test]
fn an_event_is_never_found_by_searching_values() {
    let hidden = value(DISABLE);
    for body in [
        json!({ "wrapped": hidden }),
        json!({ "outer": { "originalEvent": hidden } }),
        json!({ "originalEvent": { "originalEvent": hidden } }),
        json!({ "note": DISABLE }),
    ] {
        assert_eq!(refused(&body.to_string()), Reason::UnknownShape, "{body}");
    }
    let mut call = value(DISABLE);
    call["detail"]["requestParameters"] = json!({ "policy": DELETION, "originalEvent": value(DELETION) });
    assert_eq!(only(&call.to_string()).name, "DisableKey", "what a caller put into an event stays a value");
}

#[test]
fn subscription_confirmations_are_noted_and_their_links_left_alone() {
    for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        let mut body = value(&sns("You have chosen"));
        body["Type"] = json!(kind);
        body["SubscribeURL"] = json!("https://sns.example.com/confirm?Token=secret");
        let decoded = decode(&body.to_string());
        assert!(decoded.events.is_empty() && decoded.rejected.is_empty());
        let [notice] = decoded.notices.as_slice() else { panic!("{:?}", decoded.notices) };
        assert!(
            notice.contains("arn:aws:sns:eu-central-1:111122223333:keys") && !notice.contains("secret"),
            "{notice}"
        );
    }
}

#[test]
fn shapes_we_know_and_cannot_use_are_refused_by_name() {
    let s3_object = json!({
        "id": "1", "source": "aws.s3", "detail-type": "Object Created", "time": "2026-03-02T10:15:31Z",
        "detail": { "bucket": { "name": "logs" }, "object": { "key": "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/x.json.gz" } },
    });
    for (body, reason) in [
        (json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs" }), Reason::S3TestEvent),
        (
            json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2026-03-02T10:15:31Z", "s3": {} }] }),
            Reason::S3Notification,
        ),
        (s3_object.clone(), Reason::CloudTrailDelivery),
        (json!({ "s3Bucket": "logs", "s3ObjectKey": ["AWSLogs/x.json.gz"] }), Reason::CloudTrailDelivery),
        (value(&sns(&json!({ "s3Bucket": "logs", "s3ObjectKey": ["a"] }).to_string())), Reason::CloudTrailDelivery),
        (json!({ "awsAccountId": "111122223333", "digestS3Bucket": "logs", "logFiles": [] }), Reason::CloudTrailDigest),
        (json!({ "awslogs": { "data": "H4sIAAAAAAAAA" } }), Reason::CloudWatchLogs),
        (json!({ "AlarmName": "a", "NewStateValue": "ALARM" }), Reason::CloudWatchAlarm),
        (json!({ "class_uid": 6003, "metadata": {}, "api": { "operation": "DisableKey" } }), Reason::SecurityLake),
        (json!({ "key-id": KEY_ID }), Reason::BareNative),
        (value(&sns("plain words")), Reason::NotJson),
        (json!({ "Type": "Notification", "TopicArn": "t" }), Reason::BadEnvelope),
        (
            json!({ "source": "aws.kms", "detail-type": "x", "time": "2026-03-02T10:15:31Z", "detail": 5 }),
            Reason::BadEnvelope,
        ),
        (json!({ "source": 4, "detail-type": "x", "time": "2026-03-02T10:15:31Z", "detail": {} }), Reason::BadEnvelope),
        (json!({ "source": "s", "detail-type": "x", "detail": {} }), Reason::NoTime),
        (json!({ "hello": "world" }), Reason::UnknownShape),
        (json!(null), Reason::UnknownShape),
    ] {
        assert_eq!(refused(&body.to_string()), reason, "{body}");
    }
    for text in ["", "   ", "EventBridge says hi", "{\"detail\":", "{} trailing"] {
        assert_eq!(refused(text), Reason::NotJson, "{text}");
    }
    let mut other = s3_object;
    other["detail"]["object"]["key"] = json!("reports/2026.csv");
    assert_eq!(only(&other.to_string()).name, "Object Created", "S3's own events are events");
}

#[test]
fn empty_lists_are_noted() {
    for body in ["[]", "{\"Records\":[]}"] {
        let decoded = decode(body);
        assert!(decoded.events.is_empty() && decoded.rejected.is_empty());
        assert_eq!(decoded.notices.len(), 1);
    }
}

#[test]
fn what_is_refused_is_hinted_and_salvaged() {
    let mut cut = DISABLE.to_owned();
    cut.truncate(DISABLE.len() - 20);
    let decoded = decode(&cut);
    let [one] = decoded.rejected.as_slice() else { panic!("{decoded:?}") };
    assert_eq!((one.reason, one.salvage.key_arn.as_deref()), (Reason::NotJson, Some(KEY)));
    assert_eq!(one.salvage.event_name.as_deref(), Some("DisableKey"));
    assert!(one.hint.is_some());
}
