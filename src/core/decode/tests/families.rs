use super::*;
use crate::core::event::{DeniedBy, Fact, FactKind, Family, Late, Outcome};

#[test]
fn a_call_is_read_in_full() {
    let event = only(DISABLE);
    assert_eq!(event.id.0, "111122223333/eu-central-1/0b1c2d3e-0000-4000-8000-00000000c001");
    assert_eq!((event.family, event.name.as_str(), event.source.as_str()), (Family::Call, "DisableKey", "aws.kms"));
    assert_eq!(event.time, "2026-03-02T10:15:30Z".parse().unwrap(), "eventTime, not the envelope's time");
    assert_eq!((event.read_only, event.outcome, event.fact), (Some(false), Outcome::Success, None));
    let mut expected = value(DISABLE);
    expected["outcome"] = json!("success");
    expected["key"] = json!({
        "arn": KEY, "id": KEY_ID, "account": "111122223333", "region": "eu-central-1",
        "aliases": ["alias/orders-db"], "state": "Disabled",
    });
    expected["actor"] = json!({
        "principal": "arn:aws:iam::111122223333:role/teams/platform-admin", "type": "AssumedRole",
        "account": "111122223333", "session": "rowan@example.com", "ip": "192.0.2.44",
        "user_agent": "aws-cli/2.22.0", "mfa": true,
    });
    assert_eq!(event.document, expected, "the envelope as it came, and our four members");
}

#[test]
fn a_denied_call_has_its_key_and_its_cause() {
    let event = only(DENIED);
    assert_eq!((event.outcome, event.denied_by), (Outcome::Denied, Some(DeniedBy::ResourcePolicy)));
    assert_eq!(event.document["denied_by"], "resource_policy");
    assert_eq!(event.key.unwrap().arn.as_deref(), Some(KEY));
    assert_eq!(event.actor.principal.as_deref(), Some("arn:aws:iam::111122223333:role/billing-worker"));
}

#[test]
fn a_service_event_and_a_native_event_tell_one_fact() {
    let call = only(ROTATE);
    let fact = Fact { kind: FactKind::Rotation, key_id: KEY_ID.to_owned() };
    assert_eq!((call.family, call.fact.as_ref()), (Family::Service, Some(&fact)));
    assert_eq!(call.key.unwrap().arn.as_deref(), Some(KEY), "completed from account and Region");
    assert_eq!(call.actor.principal.as_deref(), Some("AWS Internal"));
    assert_eq!(call.document["detail-type"], "AWS Service Event via CloudTrail");

    for (detail_type, kind, state) in [
        ("KMS CMK Rotation", FactKind::Rotation, None),
        ("KMS CMK Deletion", FactKind::Deletion, None),
        ("KMS Imported Key Material Expiration", FactKind::MaterialExpired, Some("PendingImport")),
    ] {
        let mut body = value(DELETION);
        body["detail-type"] = json!(detail_type);
        let event = only(&body.to_string());
        assert_eq!((event.family, event.name.as_str()), (Family::Native, detail_type));
        assert_eq!(event.fact, Some(Fact { kind, key_id: KEY_ID.to_owned() }));
        assert_eq!(event.key.as_ref().unwrap().arn.as_deref(), Some(KEY));
        assert_eq!(event.key.unwrap().state.as_deref(), state);
        assert!(event.document.get("actor").is_none(), "absent, not empty");
    }
    for (name, kind) in [("DeleteKey", FactKind::Deletion), ("DeleteExpiredKeyMaterial", FactKind::MaterialExpired)] {
        let mut body = value(ROTATE);
        body["eventName"] = json!(name);
        assert_eq!(only(&body.to_string()).fact.unwrap().kind, kind);
    }
}

#[test]
fn a_deletion_told_twice_within_seconds_is_one_event() {
    let first = only(DELETION);
    let mut again = value(DELETION);
    again["id"] = json!("another");
    again["time"] = json!("2026-03-04T01:02:09Z");
    assert_eq!(only(&again.to_string()).id, first.id);
    again["time"] = json!("2026-03-04T02:02:09Z");
    assert_ne!(only(&again.to_string()).id, first.id, "an hour later is another");
    let mut rotated = value(DELETION);
    rotated["detail-type"] = json!("KMS CMK Rotation");
    rotated["detail"]["current-key-material-id"] = json!("m1");
    let one = only(&rotated.to_string()).id;
    rotated["detail"]["current-key-material-id"] = json!("m2");
    assert_ne!(only(&rotated.to_string()).id, one, "another material is another rotation");
}

#[test]
fn late_events_say_so_and_corrections_are_no_duplicates() {
    let mut body = value(DISABLE);
    body["detail"]["addendum"] = json!({ "reason": "DELIVERY_DELAY", "originalEventID": body["detail"]["eventID"] });
    let late = only(&body.to_string());
    assert!(matches!(late.late, Some(Late::Addendum { ref reason, .. }) if reason == "DELIVERY_DELAY"));
    assert_eq!(late.id, only(DISABLE).id, "the same record, only late");

    body["detail"]["addendum"]["reason"] = json!("UPDATED_DATA");
    assert_ne!(only(&body.to_string()).id, only(DISABLE).id, "a correction");
    body["detail"]["addendum"] = json!({});
    assert!(matches!(only(&body.to_string()).late, Some(Late::Addendum { ref reason, .. }) if reason == "UNKNOWN"));

    let mut replayed = value(DISABLE);
    replayed["replay-name"] = json!("after-the-outage");
    let event = only(&replayed.to_string());
    assert_eq!(event.late, Some(Late::Replay { name: "after-the-outage".to_owned() }));
    assert_eq!(event.id, only(DISABLE).id, "told before the replay, it is a duplicate");
}

#[test]
fn identity_and_shared_ids() {
    let mut body = value(DISABLE);
    body["detail"]["sharedEventID"] = json!("shared-1");
    assert_eq!(only(&body.to_string()).shared_id.as_deref(), Some("shared-1"));
    body["region"] = json!("eu-west-1");
    assert_ne!(only(&body.to_string()).id, only(DISABLE).id, "UpdatePrimaryRegion writes one in each Region");
    body["detail"].as_object_mut().unwrap().remove("eventID");
    assert_eq!(only(&body.to_string()).id.0, "envelope:0b1c2d3e-0000-4000-8000-00000000a001");
    body.as_object_mut().unwrap().remove("id");
    let by_content = only(&body.to_string()).id;
    assert!(by_content.0.starts_with("content:"));
    assert_eq!(only(&body.to_string()).id, by_content, "the same bytes are the same event");
    body["detail"]["eventName"] = json!("EnableKey");
    assert_ne!(only(&body.to_string()).id, by_content);
}

#[test]
fn the_account_is_optional_in_the_envelope() {
    let mut body = value(DISABLE);
    body.as_object_mut().unwrap().remove("account");
    body.as_object_mut().unwrap().remove("region");
    let event = only(&body.to_string());
    assert_eq!((event.account.as_deref(), event.region.as_deref()), (Some("111122223333"), Some("eu-central-1")));
    assert_eq!(event.document["account"], "111122223333", "rules may match what was filled in");
    assert_eq!(event.id, only(DISABLE).id);
}

#[test]
fn events_of_other_services_are_events() {
    let ebs = json!({
        "version": "0", "id": "e-1", "detail-type": "EBS Volume Notification", "source": "aws.ec2", "account": "111122223333",
        "time": "2026-03-02T12:00:00Z", "region": "eu-central-1", "resources": [],
        "detail": { "event": "attachVolume", "result": "failed", "cause": format!("{KEY} is disabled."), "request-id": "" },
    });
    let event = only(&ebs.to_string());
    assert_eq!(
        (event.family, event.outcome, event.name.as_str()),
        (Family::Other, Outcome::Failed, "EBS Volume Notification")
    );
    assert_eq!(event.key.unwrap().arn.as_deref(), Some(KEY));

    let tick = json!({ "id": "t-1", "detail-type": "Scheduled Event", "source": "aws.events", "time": "2026-03-02T12:00:00Z", "detail": {} });
    assert_eq!(only(&tick.to_string()).family, Family::Scheduled);

    let mut trail = value(DISABLE);
    trail["source"] = json!("aws.cloudtrail");
    trail["detail"]["eventSource"] = json!("cloudtrail.amazonaws.com");
    trail["detail"]["eventName"] = json!("StopLogging");
    trail["detail"]["requestParameters"] = json!({ "name": "main" });
    trail["detail"]["resources"] = json!([{ "ARN": "arn:aws:cloudtrail:eu-central-1:111122223333:trail/main" }]);
    trail["detail"]["responseElements"] = json!(null);
    let event = only(&trail.to_string());
    assert_eq!((event.family, event.name.as_str(), event.key), (Family::Call, "StopLogging", None));

    let custom = json!({ "detail-type": "order.paid", "source": "shop", "time": "2026-03-02T12:00:00Z", "detail": { "eventName": "DisableKey", "eventSource": "kms.amazonaws.com" } });
    let event = only(&custom.to_string());
    assert_eq!((event.family, event.name.as_str(), event.key), (Family::Other, "order.paid", None));
}

#[test]
fn bare_records_get_the_envelope_they_lost() {
    let event = only(&value(DISABLE)["detail"].to_string());
    assert_eq!(event.id, only(DISABLE).id, "the copy without envelope is a duplicate");
    for (member, expected) in [
        ("source", "aws.kms"),
        ("detail-type", "AWS API Call via CloudTrail"),
        ("account", "111122223333"),
        ("region", "eu-central-1"),
        ("time", "2026-03-02T10:15:30Z"),
    ] {
        assert_eq!(event.document[member], expected, "{member}");
    }
    for (kind, read_only, detail_type, family) in [
        ("AwsServiceEvent", false, "AWS Service Event via CloudTrail", Family::Service),
        ("AwsServiceEvent", true, "AWS API Call via CloudTrail", Family::Call),
        ("AwsVpceEvent", true, "AWS Network Activity Event via CloudTrail", Family::Call),
        ("AwsVpceEvents", true, "AWS Network Activity Event via CloudTrail", Family::Call),
        ("AwsConsoleSignIn", false, "AWS Console Sign In via CloudTrail", Family::Call),
        ("AwsCloudTrailInsight", false, "AWS Insight via CloudTrail", Family::Other),
        ("Novel", false, "AWS API Call via CloudTrail", Family::Call),
    ] {
        let mut detail = value(DISABLE)["detail"].clone();
        detail["eventType"] = json!(kind);
        detail["readOnly"] = json!(read_only);
        let event = only(&detail.to_string());
        assert_eq!((event.document["detail-type"].as_str(), event.family), (Some(detail_type), family), "{kind}");
    }
}

#[test]
fn times_are_read_forgivingly() {
    let at = |time: Value, outer: Value| {
        let mut body = value(DISABLE);
        body["detail"]["eventTime"] = time;
        body["time"] = outer;
        decode(&body.to_string()).events.first().map(|e| e.time.to_string())
    };
    let outer = json!("2026-03-02T10:15:31Z");
    assert_eq!(at(json!("2026-03-02T11:15:30+01:00"), outer.clone()).unwrap(), "2026-03-02T10:15:30Z");
    assert_eq!(at(json!(1_772_446_530), outer.clone()).unwrap(), "2026-03-02T10:15:30Z");
    assert_eq!(at(json!(1_772_446_530_000_i64), outer.clone()).unwrap(), "2026-03-02T10:15:30Z");
    assert_eq!(at(json!("yesterday"), outer.clone()).unwrap(), "2026-03-02T10:15:31Z");
    assert_eq!(at(json!("9000-01-01T00:00:00Z"), outer).unwrap(), "9000-01-01T00:00:00Z", "kept as it is");
    assert_eq!(at(json!("x"), json!("y")), None);
}

#[test]
fn a_newer_major_version_is_decoded_with_a_remark() {
    let mut body = value(DISABLE);
    body["detail"]["eventVersion"] = json!("2.0");
    let decoded = decode(&body.to_string());
    assert_eq!((decoded.events.len(), decoded.notices.len()), (1, 1));
    assert!(decode(DISABLE).notices.is_empty());
}
