use serde_json::json;

use super::*;
use crate::core::decode::decode;

/// What is said of a call in Frankfurt.
fn said(source: &str, name: &str, request: Value, ours: &Ours) -> Value {
    answered(source, name, request, Value::Null, ours)
}

/// The same of a call with an answer.
fn answered(source: &str, name: &str, request: Value, answer: Value, ours: &Ours) -> Value {
    let mut body = json!({
        "source": source, "detail-type": "AWS API Call via CloudTrail", "time": "2026-01-02T03:04:05Z",
        "account": "111122223333", "region": "eu-central-1",
        "detail": { "eventName": name, "eventTime": "2026-01-02T03:04:05Z" },
        "pipeline": { "ours": "what somebody wrote into the message" },
    });
    body["detail"]["requestParameters"] = request;
    body["detail"]["responseElements"] = answer;
    let mut event = decode(&body.to_string()).events.remove(0);
    assess(&mut event, ours);
    let group = if source == "aws.cloudtrail" { "trail" } else { "pipeline" };
    event.document.get(group).cloned().unwrap_or_default()
}

fn queue(name: &str, region: Option<&str>, account: Option<&str>, rules: &[&str]) -> OurQueue {
    let owned = |text: &str| text.to_owned();
    OurQueue {
        name: name.to_owned(),
        region: region.map(owned),
        account: account.map(owned),
        rules: rules.iter().copied().map(owned).collect(),
    }
}

fn ours() -> Ours {
    Ours::new([
        queue("security-events", Some("eu-central-1"), Some("111122223333"), &["Audit", "team/own"]),
        queue("elsewhere", Some("us-east-1"), None, &[]),
        queue("local", None, None, &[]),
    ])
}

#[test]
fn a_queue_is_ours_by_its_place_or_its_name() {
    let said =
        |url: &str, ours: &Ours| said("aws.sqs", "DeleteQueue", json!({ "queueUrl": url }), ours)["ours"].clone();
    for url in [
        "https://sqs.eu-central-1.amazonaws.com/111122223333/security-events",
        "https://eu-central-1.queue.amazonaws.com/111122223333/security-events/",
        "https://vpce-0123-abcd.sqs.eu-central-1.vpce.amazonaws.com/111122223333/security-events",
        "security-events",
        "https://sqs.eu-central-1.amazonaws.com/111122223333/security-events-dead",
        "https://sqs.eu-central-1.amazonaws.com/111122223333/local",
        "https://sqs.eu-central-1.amazonaws.com/444455556666/prod-KMSWatch.fifo",
    ] {
        assert_eq!(said(url, &ours()), true, "{url}");
    }
    for url in [
        "https://sqs.eu-central-1.amazonaws.com/111122223333/orders",
        "https://sqs.eu-central-1.amazonaws.com/111122223333/security-eventsource",
    ] {
        assert_eq!(said(url, &ours()), false, "{url}");
    }
    assert_eq!(said("https://sqs.eu-central-1.amazonaws.com/111122223333/security-events", &Ours::default()), false);
    assert_eq!(said("https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch", &Ours::default()), true);
}

#[test]
fn a_queue_has_one_arn_however_it_is_written() {
    let arn = |url: &str| said("aws.sqs", "PurgeQueue", json!({ "queueUrl": url }), &Ours::default())["queue"].clone();
    for url in [
        "https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch",
        "https://eu-central-1.queue.amazonaws.com/111122223333/kmswatch",
        "kmswatch",
    ] {
        assert_eq!(arn(url), "arn:aws:sqs:eu-central-1:111122223333:kmswatch", "{url}");
    }
    let other = "https://sqs.eu-central-1.amazonaws.com/444455556666/kmswatch";
    assert_eq!(arn(other), "arn:aws:sqs:eu-central-1:444455556666:kmswatch");
    for url in ["", "/", "https://sqs.eu-central-1.amazonaws.com/111122223333/a b", "x:y"] {
        assert_eq!(arn(url), Value::Null, "{url}");
    }
}

#[test]
fn a_rule_is_ours_by_its_name() {
    let said = |rule: &str, bus: Value, ours: &Ours| {
        said("aws.events", "DisableRule", json!({ "name": rule, "eventBusName": bus }), ours)["ours"].clone()
    };
    for (rule, bus) in [
        ("Audit", Value::Null),
        ("audit", json!("default")),
        ("own", json!("team")),
        ("security-events-pipeline", Value::Null),
        ("KMSWatch-rule", Value::Null),
    ] {
        assert_eq!(said(rule, bus, &ours()), true, "{rule}");
    }
    assert_eq!(said("own", Value::Null, &ours()), false, "another bus");
    assert_eq!(said("nightly-report", Value::Null, &ours()), false);
    assert_eq!(said("Audit", Value::Null, &Ours::default()), false);
}

#[test]
fn a_rule_is_told_from_its_namesake_on_another_bus() {
    let rule = |bus: Value| {
        said("aws.events", "EnableRule", json!({ "name": "kmswatch", "eventBusName": bus }), &Ours::default())["rule"]
            .clone()
    };
    for bus in
        [Value::Null, json!(""), json!("default"), json!("arn:aws:events:eu-central-1:111122223333:event-bus/default")]
    {
        assert_eq!(rule(bus.clone()), "kmswatch", "{bus}");
    }
    assert_eq!(rule(json!("team")), "team/kmswatch");
    assert_eq!(rule(json!("arn:aws:events:eu-central-1:111122223333:event-bus/team")), "team/kmswatch");
    let abroad = "arn:aws:events:eu-central-1:444455556666:event-bus/default";
    assert_eq!(rule(json!(abroad)), format!("{abroad}/kmswatch"));
}

#[test]
fn of_other_events_nothing_is_said() {
    assert_eq!(said("aws.kms", "DisableKey", json!({ "queueUrl": "kmswatch" }), &ours()), Value::Null);
    assert_eq!(said("aws.events", "PutEvents", json!({ "name": "kmswatch" }), &ours()), Value::Null);
    assert_eq!(
        said("aws.sqs", "ListQueues", Value::Null, &ours()),
        Value::Null,
        "and what a message says is not believed"
    );
}

#[test]
fn only_a_queue_of_ours_with_whole_events_reaches_us() {
    let reaches = |targets: Value, answer: Value, ours: &Ours| {
        let request = json!({ "rule": "audit", "targets": targets });
        answered("aws.events", "PutTargets", request, answer, ours)["reaches_us"].clone()
    };
    let queue = "arn:aws:sqs:eu-central-1:111122223333:security-events";
    let stranger = "arn:aws:sqs:eu-central-1:444455556666:security-events";
    let function = "arn:aws:lambda:eu-central-1:111122223333:function:copy";
    let all_taken = json!({ "failedEntryCount": 0, "failedEntries": [] });
    let whole = json!([{ "id": "a", "arn": function }, { "id": "b", "arn": queue, "input": null }]);
    assert_eq!(reaches(whole.clone(), all_taken.clone(), &ours()), true);
    assert_eq!(reaches(whole.clone(), Value::Null, &ours()), true);
    for targets in [
        json!([{ "id": "a", "arn": stranger }]),
        json!([{ "id": "a", "arn": function }]),
        json!([{ "id": "a", "arn": queue, "input": "{}" }]),
        json!([{ "id": "a", "arn": queue, "inputPath": "$.detail" }]),
        json!([{ "id": "a", "arn": queue, "inputTransformer": { "inputTemplate": "\"x\"" } }]),
        json!([{ "id": "a", "arn": "arn:aws:sqs:eu-central-1:111122223333:kmswatch" }]),
        Value::Null,
    ] {
        assert_eq!(reaches(targets.clone(), all_taken.clone(), &ours()), false, "{targets}");
    }
    // EventBridge says which targets it did not take.
    let refused = |ids: &[&str]| {
        let entries: Vec<Value> =
            ids.iter().map(|id| json!({ "targetId": id, "errorCode": "ConcurrentModification" })).collect();
        json!({ "failedEntryCount": ids.len(), "failedEntries": entries })
    };
    assert_eq!(reaches(whole.clone(), refused(&["a"]), &ours()), true);
    assert_eq!(reaches(whole.clone(), refused(&["b"]), &ours()), false);
    assert_eq!(reaches(whole.clone(), refused(&["a", "b"]), &ours()), Value::Null, "nothing changed");
    assert_eq!(reaches(whole, json!({ "failedEntryCount": 1 }), &ours()), false, "it may be ours");
}

#[test]
fn without_a_configuration_a_target_is_ours_by_its_name() {
    let reaches = |arn: &str| {
        let request = json!({ "rule": "kmswatch", "targets": [{ "id": "a", "arn": arn }] });
        said("aws.events", "PutTargets", request, &Ours::default())["reaches_us"].clone()
    };
    assert_eq!(reaches("arn:aws:sqs:eu-central-1:111122223333:kmswatch"), true);
    assert_eq!(reaches("arn:aws:sqs:eu-central-1:444455556666:kmswatch"), false, "a stranger's");
    assert_eq!(reaches("arn:aws:sqs:us-east-1:111122223333:kmswatch"), false);
    assert_eq!(reaches("arn:aws:sns:eu-central-1:111122223333:kmswatch"), false);
}

#[test]
fn a_trail_has_one_name_however_it_is_written() {
    let name = |call: &str, member: &str, text: &str| {
        said("aws.cloudtrail", call, json!({ member: text }), &Ours::default())["name"].clone()
    };
    let arn = "arn:aws:cloudtrail:eu-central-1:111122223333:trail/main";
    for call in ["StopLogging", "StartLogging", "DeleteTrail", "UpdateTrail"] {
        assert_eq!((name(call, "name", "main"), name(call, "name", arn)), (json!("main"), json!("main")), "{call}");
    }
    assert_eq!(name("PutEventSelectors", "trailName", arn), "main");
    let organization = "arn:aws:cloudtrail:eu-central-1:444455556666:trail/main";
    assert_eq!(name("StopLogging", "name", organization), organization, "another account's");
    assert_eq!(said("aws.cloudtrail", "LookupEvents", json!({ "name": "main" }), &Ours::default()), Value::Null);
}

#[test]
fn selectors_say_what_of_kms_is_recorded() {
    let records =
        |request: Value| said("aws.cloudtrail", "PutEventSelectors", request, &Ours::default())["records_kms"].clone();
    for (selectors, expected) in [
        (json!([{}]), "all"),
        (
            json!([{ "readWriteType": "All", "includeManagementEvents": true, "excludeManagementEventSources": ["rdsdata.amazonaws.com"] }]),
            "all",
        ),
        (json!([{ "readWriteType": "WriteOnly" }]), "writes"),
        (json!([{ "readWriteType": "ReadOnly" }]), "reads"),
        (json!([{ "readWriteType": "ReadOnly" }, { "readWriteType": "WriteOnly" }]), "all"),
        (json!([{ "includeManagementEvents": false }]), "none"),
        (
            json!([{ "includeManagementEvents": false }, { "readWriteType": "All", "includeManagementEvents": true }]),
            "all",
        ),
        (json!([{ "excludeManagementEventSources": ["kms.amazonaws.com"] }]), "none"),
        (json!([]), "none"),
    ] {
        assert_eq!(records(json!({ "eventSelectors": selectors })), expected, "{selectors}");
    }
    let category = |name: &str| json!({ "field": "eventCategory", "equals": [name] });
    let management = || category("Management");
    for (selectors, expected) in [
        (json!([{ "fieldSelectors": [management()] }]), "all"),
        (
            json!([{ "fieldSelectors": [category("Data"), { "field": "resources.type", "equals": ["AWS::S3::Object"] }] }]),
            "none",
        ),
        (
            json!([{ "fieldSelectors": [management(), { "field": "eventSource", "notEquals": ["rdsdata.amazonaws.com", "kms.amazonaws.com"] }] }]),
            "none",
        ),
        (
            json!([{ "fieldSelectors": [management(), { "field": "eventSource", "notEquals": ["rdsdata.amazonaws.com"] }] }]),
            "all",
        ),
        (
            json!([{ "fieldSelectors": [management(), { "field": "eventSource", "startsWith": ["kms."], "notEndsWith": [".com"] }] }]),
            "none",
        ),
        (json!([{ "fieldSelectors": [management(), { "field": "readOnly", "equals": ["true"] }] }]), "reads"),
        (json!([{ "fieldSelectors": [management(), { "field": "readOnly", "equals": ["false"] }] }]), "writes"),
        (json!([{ "fieldSelectors": [management(), { "field": "eventName", "notEquals": ["DisableKey"] }] }]), "none"),
        (json!([{ "fieldSelectors": [category("Data")] }, { "fieldSelectors": [management()] }]), "all"),
        (json!([{ "fieldSelectors": [] }]), "none"),
        (json!([{ "fieldSelectors": "x" }, 1]), "none"),
    ] {
        assert_eq!(records(json!({ "advancedEventSelectors": selectors })), expected, "{selectors}");
    }
    assert_eq!(records(json!({ "trailName": "main" })), Value::Null, "nothing is said of it");
}
