use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::core::decode::decode;
use crate::core::event::{Family, Outcome};

fn scene() -> Scene {
    Scene::new("2026-11-02T09:14:00Z".parse::<Timestamp>().unwrap())
}

#[test]
fn every_row_is_json_and_there_once() {
    let mut names = BTreeSet::new();
    for known in all() {
        assert!(names.insert(known.name), "{} is there twice", known.name);
        for text in [known.request, known.response, known.extra, known.service] {
            assert!(text.is_empty() || serde_json::from_str::<Value>(text).is_ok(), "{}: {text}", known.name);
        }
    }
    assert!(names.len() > 70, "{}", names.len());
}

#[test]
fn every_event_decodes_to_what_it_says_of_itself() {
    for known in all() {
        let envelope = envelope(known.name, known.source, Some(known), &scene());
        let text = envelope.to_string();
        assert!(!text.contains('$'), "{}: {text}", known.name);
        let decoded = decode(&text);
        assert_eq!((decoded.events.len(), decoded.rejected.len()), (1, 0), "{}: {:?}", known.name, decoded.rejected);
        assert_eq!(decoded.notices, [""; 0], "{}", known.name);
        let event = &decoded.events[0];
        assert_eq!(
            (event.name.as_str(), event.source.as_str(), event.outcome),
            (known.name, known.source, Outcome::Success)
        );
        assert_eq!(event.time, scene().time);
        let keyless = matches!(known.names, Names::Nothing | Names::Empty) && !text.contains(":key/");
        let nested = known.name == "ModifyEbsDefaultKmsKeyId";
        assert_eq!(event.key.is_none(), keyless || nested, "{}: {:?}", known.name, event.key);
        if let Some(key) = event.key.as_ref().filter(|_| !keyless) {
            assert_eq!(key.arn.as_deref(), Some(scene().key.as_str()), "{}", known.name);
        }
        let family = match known.form {
            Form::Call => Family::Call,
            Form::Service => Family::Service,
            Form::Event if known.source == "aws.kms" => Family::Native,
            Form::Event if known.name == "Scheduled Event" => Family::Scheduled,
            Form::Event => Family::Other,
        };
        assert_eq!(event.family, family, "{}", known.name);
        if known.form == Form::Call {
            assert_eq!(event.read_only, Some(known.read_only));
            assert_eq!(event.actor.principal.as_deref(), Some("arn:aws:iam::111122223333:role/platform-admin"));
        }
    }
}

#[test]
fn an_unknown_name_is_a_call_like_others() {
    let envelope = envelope("GetSomethingNew", "aws.kms", None, &scene());
    assert_eq!(envelope["detail"]["readOnly"], true);
    assert_eq!(envelope["detail"]["eventSource"], "kms.amazonaws.com");
    let event = decode(&envelope.to_string()).events.remove(0);
    assert_eq!(event.key.and_then(|key| key.arn), Some(scene().key));
}

#[test]
fn names_are_case_sensitive() {
    assert!(known("DisableKey").is_some() && known("disablekey").is_none());
    assert!(known("CreateGrant").unwrap().parameters().contains(&"retiringPrincipal".to_owned()));
}
