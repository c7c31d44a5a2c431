use serde_json::Value;

use super::*;
use crate::core::event::Actor;
use crate::core::incident::{State, Taken};
use crate::core::notification::{Kind, Notification, Reason};
use crate::sink::kit;
use crate::sink::sample::Sample;

fn told(n: &Notification) -> Value {
    finding(&kit::dispatch(n))
}

/// What both classes ask of every document, and what ties their numbers together.
fn sound(document: &Value) {
    let number = |name: &str| document[name].as_u64().unwrap_or_else(|| panic!("no {name} in {document}"));
    let (class, activity) = (number("class_uid"), number("activity_id"));
    assert_eq!(number("type_uid"), class * 100 + activity);
    assert_eq!(number("category_uid"), class / 1_000);
    assert!((1..=5).contains(&number("severity_id")) && number("time") > 1_700_000_000_000);
    assert_eq!(document["metadata"]["version"], "1.8.0");
    assert_eq!(document["cloud"]["provider"], "AWS");
    assert!(!document.to_string().contains("null"), "absent is absent: {document}");
}

#[test]
fn an_incident_is_created_updated_and_closed_under_one_uid() {
    let mut escalated = kit::sample(Sample::Escalated);
    let steps = [kit::sample(Sample::KeyDisabled), escalated.clone(), kit::sample(Sample::Resolved)];
    let seen: Vec<(u64, u64, u64)> = steps
        .iter()
        .map(|n| {
            let document = told(n);
            sound(&document);
            assert_eq!(document["finding_info"]["uid"], "sample-key-disabled-1");
            assert_eq!(document["metadata"]["uid"], kit::KEY);
            let number = |name: &str| document[name].as_u64().unwrap();
            (number("type_uid"), number("status_id"), number("severity_id"))
        })
        .collect();
    assert_eq!(seen, [(200_401, 1, 4), (200_402, 1, 5), (200_403, 4, 4)]);

    escalated.reason = Reason::AcknowledgedByHand;
    escalated.incident.state = State::Acknowledged;
    escalated.incident.taken = Some(Taken { by: "jo".into(), why: "on it".into(), at: kit::now() });
    let taken = told(&escalated);
    assert_eq!((taken["status_id"].as_u64(), taken["comment"].as_str()), (Some(2), Some("jo: on it")));
}

#[test]
fn a_notice_is_created_as_resolved() {
    let notice = told(&kit::sample(Sample::KeyRotated));
    sound(&notice);
    assert_eq!((&notice["type_uid"], &notice["status_id"]), (&200_401.into(), &4.into()));
    assert_eq!(notice["is_alert"], false);
}

#[test]
fn a_finding_says_who_did_what_to_which_key_and_what_to_do() {
    let document = told(&kit::sample(Sample::DeniedUse));
    sound(&document);
    let evidence = &document["evidences"][0];
    assert_eq!(evidence["api"]["operation"], "Decrypt");
    assert_eq!(evidence["api"]["response"]["error"], "AccessDenied");
    assert_eq!(evidence["actor"]["user"]["uid"], "arn:aws:iam::111122223333:role/payments");
    assert_eq!(evidence["src_endpoint"]["ip"], "10.20.30.40");
    assert_eq!(evidence["data"]["name"], "Decrypt", "our own words for the event are there too");
    let key = &document["resources"][0];
    assert_eq!((&key["name"], &key["type"]), (&"alias/prod-payments".into(), &"AWS::KMS::Key".into()));
    assert_eq!(key["labels"][0], "environment=production");
    assert_eq!(document["count"], 412);
    assert!(document["remediation"]["desc"].as_str().unwrap().starts_with("Compare the key policy"));
    let disabled = told(&kit::sample(Sample::KeyDisabled));
    assert!(disabled["remediation"]["desc"].as_str().unwrap().contains("aws kms enable-key"));
    assert_eq!(disabled["finding_info"]["attacks"][0]["technique"]["uid"], "T1489");
}

#[test]
fn only_tags_that_are_techniques_become_attacks() {
    let mut n = kit::sample(Sample::KeyDisabled);
    let tags = ["attack.t1555.006", "attack.T1489", "attack.impact", "attack.T1", "securityhub.KMS.5", "attack.T12345"];
    n.incident.tags = tags.map(str::to_owned).to_vec();
    let document = told(&n);
    let attacks = document["finding_info"]["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 2, "{attacks:?}");
    assert_eq!(attacks[0]["sub_technique"]["uid"], "T1555.006");
    assert_eq!(attacks[0]["technique"]["uid"], "T1555");
    assert!(attacks[1].get("sub_technique").is_none());
}

#[test]
fn a_call_is_activity_and_what_is_none_is_a_finding() {
    let n = kit::sample(Sample::DeniedUse);
    let call = activity(&kit::dispatch(&n));
    sound(&call);
    assert_eq!((&call["type_uid"], &call["status_id"]), (&600_399.into(), &2.into()));
    assert_eq!(call["metadata"]["original_event_uid"], "7d2ae7ea-2fda-4a5c-9c5e-2d2e2f0c9a11");
    let scheduled = kit::sample(Sample::DeletionScheduled);
    assert_eq!(activity(&kit::dispatch(&scheduled))["type_uid"], 600_303);

    let mut native = kit::sample(Sample::KeyRotated);
    native.event.name = "KMS CMK Rotation".into();
    native.event.actor = Actor::default();
    let document = activity(&kit::dispatch(&native));
    sound(&document);
    assert_eq!(document["class_uid"], 2004);
    assert!(document["evidences"][0].get("actor").is_none() && document["evidences"][0].get("api").is_none());
}

#[test]
fn a_call_by_nobody_from_nowhere_still_has_what_the_class_asks_for() {
    let mut n = kit::sample(Sample::KeyRotated);
    n.event.actor = Actor { ip: Some("kms.amazonaws.com".into()), ..Actor::default() };
    let call = activity(&kit::dispatch(&n));
    sound(&call);
    assert_eq!(call["src_endpoint"]["svc_name"], "kms.amazonaws.com", "a name is no address");
    assert!(call["actor"]["app_name"].is_string());
    n.event.actor.ip = None;
    assert_eq!(activity(&kit::dispatch(&n))["src_endpoint"]["name"], "unknown");
}

#[test]
fn what_was_played_says_so_and_hostile_text_is_bounded() {
    let mut n = kit::hostile();
    let document = told(&n);
    assert!(document.to_string().len() < 500_000, "{}", document.to_string().len());
    assert_eq!(document["metadata"]["labels"][0].as_str().unwrap(), n.banner.as_deref().unwrap());
    assert!(document["message"].as_str().unwrap().starts_with('['));
    n.kind = Kind::Resolve;
    sound(&activity(&kit::dispatch(&kit::sample(Sample::Resolved))));
}
