use serde_json::json;

use super::*;
use crate::core::access::{self, Histories, Trust, lesson};
use crate::core::decode::decode;
use crate::core::event::KeyRef;
use crate::core::observe::{By, Observation};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_793_610_000 + 60 * minute).unwrap()
}

/// A call of KMS with these request parameters.
fn call(name: &str, minute: i64, request: &Value, more: &Value) -> Event {
    let mut body = json!({
        "version": "0", "id": format!("env-{minute}"), "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms",
        "account": "111122223333", "time": at(minute).to_string(), "region": "eu-central-1", "resources": [],
        "detail": {
            "eventVersion": "1.11", "eventSource": "kms.amazonaws.com", "eventName": name, "awsRegion": "eu-central-1",
            "eventTime": at(minute).to_string(), "eventID": format!("{name}-{minute}"), "readOnly": false,
            "eventType": "AwsApiCall", "recipientAccountId": "111122223333", "requestParameters": request,
            "userIdentity": { "type": "IAMUser", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/ana" },
            "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY }],
        },
        "rotation": { "lengthened": true },
    });
    let members = more.as_object().into_iter().flatten();
    body["detail"].as_object_mut().unwrap().extend(members.map(|(name, value)| (name.clone(), value.clone())));
    let mut decoded = decode(&body.to_string());
    assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    decoded.events.remove(0)
}

fn enabled(minute: i64, days: u32) -> Event {
    call(SETS, minute, &json!({ "keyId": KEY, "rotationPeriodInDays": days }), &json!({}))
}

fn observation(minute: i64, rotation: &Value, more: &Value) -> Event {
    let key = KeyRef { arn: Some(KEY.to_owned()), state: Some("Enabled".to_owned()), ..KeyRef::default() };
    let mut one = Observation::new(By::Sweep, at(minute), key).unwrap();
    one.more.insert("rotation".to_owned(), rotation.clone());
    let members = more.as_object().into_iter().flatten();
    one.more.extend(members.map(|(name, value)| (name.clone(), value.clone())));
    one.event()
}

fn observed(minute: i64, days: u32) -> Event {
    observation(minute, &json!({ "enabled": true, "period_days": days }), &json!({}))
}

/// What the document says of the period now and before, with all of `known` learnt.
fn compared(event: &Event, known: &[&Event]) -> Value {
    let mut history = History::default();
    for event in known {
        history.learn(&lesson(event).unwrap().taught);
    }
    let mut event = event.clone();
    access::assess(&mut event, &Trust::default(), Some(&history));
    event.document["rotation"].clone()
}

#[test]
fn a_period_is_compared_with_the_one_before_it_in_event_time() {
    let (first, second, third) = (enabled(0, 90), enabled(10, 365), enabled(20, 180));
    assert_eq!(compared(&first, &[]), json!({ "period_days": 90 }), "nothing is known of before");
    let lengthened = json!({ "period_days": 365, "period_before": 90, "lengthened": true });
    let shortened = json!({ "period_days": 180, "period_before": 365, "lengthened": false });
    for known in [[&first, &second, &third], [&third, &second, &first], [&second, &third, &first]] {
        assert_eq!(compared(&second, &known), lengthened, "it comes again, or late");
        assert_eq!(compared(&third, &known), shortened);
        assert_eq!(compared(&first, &known), json!({ "period_days": 90 }), "what came later is no past");
    }
    assert_eq!(compared(&enabled(30, 180), &[&third])["lengthened"], false, "the same again");
}

#[test]
fn an_older_event_does_not_undo_what_a_newer_one_told() {
    let (older, newer, next) = (enabled(0, 90), enabled(10, 365), enabled(20, 365));
    assert_eq!(compared(&next, &[&newer, &older])["period_before"], 365);
    let many: Vec<Event> = (0..200).map(|minute| enabled(minute, 90 + u32::try_from(minute).unwrap())).collect();
    let mut history = History::default();
    for event in many.iter().chain(many.iter().rev()) {
        history.learn(&lesson(event).unwrap().taught);
    }
    let days: Vec<u32> = history.periods.iter().map(|period| period.days).collect();
    assert_eq!(days, (90..290).rev().take(64).collect::<Vec<_>>(), "bounded");
    assert!(history.bytes() > 64 * 60);
}

#[test]
fn calls_that_come_together_do_not_hide_what_was_before() {
    let (before, calls) = (enabled(0, 90), (1..=40).map(|minute| enabled(minute, 365)).collect::<Vec<_>>());
    let known: Vec<&Event> = std::iter::once(&before).chain(&calls).collect();
    assert_eq!(compared(&calls[0], &known)["lengthened"], true);
}

#[test]
fn only_what_took_effect_counts() {
    let request = json!({ "keyId": KEY, "rotationPeriodInDays": 90 });
    let failed = json!({ "errorCode": "DisabledException", "errorMessage": "x" });
    let denied = json!({ "errorCode": "AccessDenied", "errorMessage": "x" });
    for event in [
        call(SETS, 0, &request, &failed),
        call(SETS, 0, &request, &denied),
        call(SETS, 0, &Value::Null, &json!({})),
        call(SETS, 0, &json!({ "keyId": KEY, "rotationPeriodInDays": "often" }), &json!({})),
        call(SETS, 0, &json!({ "keyId": KEY, "rotationPeriodInDays": -90 }), &json!({})),
        call("DisableKeyRotation", 0, &json!({ "keyId": KEY }), &json!({})),
        call("RotateKeyOnDemand", 0, &request, &json!({})),
    ] {
        assert_eq!((period_days(&event), lesson(&event), access::wants(&event)), (None, None, None), "{}", event.name);
        let mut event = event;
        assess(&mut event, None);
        assert_eq!(event.document.get("rotation"), None, "what somebody wrote into the message does not survive");
    }
    assert_eq!(period_days(&call(SETS, 0, &json!({ "keyId": KEY }), &json!({}))), Some(365), "KMS's default");
    assert_eq!(period_days(&call(SETS, 0, &json!({ "rotationPeriodInDays": null }), &json!({}))), Some(365));
}

#[test]
fn what_kms_says_is_learnt_where_it_is_new() {
    let mut history = History::default();
    history.learn(&lesson(&enabled(0, 90)).unwrap().taught);
    assert_eq!(reading(&observed(60, 90), Some(&history)), None, "that is known");
    assert_eq!(reading(&enabled(60, 180), Some(&history)), None, "it is no answer of KMS");
    assert_eq!(lesson(&observed(60, 180)), None);
    let mut longer = observed(60, 365);
    let lesson = reading(&longer, Some(&history)).unwrap();
    history.learn(&lesson.taught);
    for event in [&mut longer, &mut observed(60, 365)] {
        assess(event, Some(&history));
        assert_eq!(
            event.document["rotation"]["period_before"], 90,
            "learnt or not, it is compared with what was before"
        );
    }
    let mut next = observed(120, 365);
    assert_eq!(reading(&next, Some(&history)), None);
    assess(&mut next, Some(&history));
    assert_eq!(next.document["rotation"]["lengthened"], false);
    assert!(reading(&observed(1, 365), None).is_some(), "nothing was known");
}

#[test]
fn kms_may_answer_with_what_was_a_moment_ago() {
    let mut histories = Histories::default();
    let mut told = |mut event: Event| {
        histories.assess(&mut event, &Trust::default());
        event.document["rotation"]["lengthened"].clone()
    };
    assert_eq!(told(enabled(0, 90)), Value::Null);
    assert_eq!(told(enabled(60, 365)), true);
    assert_eq!(told(observed(61, 90)), Value::Null);
    assert_eq!(told(observed(120, 365)), false, "an event has told that already");
    assert_eq!(told(observed(180, 180)), false);
    assert_eq!(told(observed(240, 181)), true);
    assert_eq!(told(enabled(300, 90)), false);
    assert_eq!(told(observed(301, 181)), Value::Null, "that is from before the call");
    assert_eq!(told(observed(400, 90)), false);
    assert_eq!(told(observed(460, 181)), true);
}

#[test]
fn of_a_key_that_does_not_rotate_and_of_a_replica_kms_says_nothing() {
    let rotation = json!({ "enabled": true, "period_days": 365 });
    assert_eq!(period_days(&observation(0, &rotation, &json!({}))), Some(365));
    assert_eq!(period_days(&observation(0, &rotation, &json!({ "replica": true }))), None);
    for rotation in [json!({ "enabled": false, "period_days": 365 }), json!({ "enabled": true }), json!({})] {
        assert_eq!(period_days(&observation(0, &rotation, &json!({}))), None, "{rotation}");
    }
}
