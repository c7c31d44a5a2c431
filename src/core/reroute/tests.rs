use serde_json::{Value, json};

use super::super::incident::{Fingerprint, Incident, Situation};
use super::*;

fn event() -> Value {
    json!({"id": "e", "name": "DisableKey", "source": "aws.kms", "time": "2026-11-23T10:00:00Z", "outcome": "success", "actor": {}})
}

fn notification(kind: &str, reason: &str) -> Notification {
    serde_json::from_value(json!({
        "id": "n1", "kind": kind, "reason": reason, "at": "2026-11-23T10:00:00Z",
        "incident": {
            "id": "i1", "fingerprint": "f1", "episode": 1, "state": "open", "severity": "critical",
            "title": "Key disabled", "rule": "key-disabled", "family": "key-unusable",
            "opened_at": "2026-11-23T10:00:00Z", "last_alert_at": "2026-11-23T10:00:00Z",
            "alerts": 1, "actors": [], "step": 0, "transition": 1, "tags": []
        },
        "event": event(), "summary": "key disabled"
    }))
    .unwrap()
}

fn snapshot(id: &str, state: &str, told: &[&str]) -> Snapshot {
    let incident: Incident = serde_json::from_value(json!({
        "id": id, "fingerprint": "f1", "episode": 1, "family": "key-unusable", "rules": ["key-disabled"],
        "title": "Key disabled", "severity": "critical", "state": state,
        "opened_at": "2026-11-23T10:00:00Z", "last_alert_at": "2026-11-23T10:00:00Z", "alerts": 1, "actors": [],
        "key": null, "first": event(), "latest": event(), "told": told, "step": 0, "transitions": 1
    }))
    .unwrap();
    let fingerprint = Fingerprint("f1".into());
    let mut situation = Situation::new(fingerprint.clone());
    situation.incident = Some(incident);
    Snapshot { situations: [(fingerprint, situation)].into(), ..Snapshot::default() }
}

fn decided(snapshot: &Snapshot) -> Decision {
    let trouble = Trouble::Failing(SignedDuration::from_secs(372));
    reroute(snapshot, &notification("trigger", "opened"), "oncall", "second", trouble, Timestamp::UNIX_EPOCH)
}

#[test]
fn the_fallback_hears_it_and_the_rest() {
    let decision = decided(&snapshot("i1", "open", &["oncall"]));
    let delivery = &decision.deliveries[0];
    assert_eq!((delivery.sink.as_str(), delivery.notification.id.as_str()), ("second", "n1"));
    assert_eq!(delivery.notification.kind, Kind::Trigger);
    assert_eq!(delivery.notification.marks, ["told here because sink oncall has been failing for 6m"]);
    let told = &decision.situations[0].incident.as_ref().unwrap().told;
    assert_eq!(told.iter().collect::<Vec<_>>(), ["oncall", "second"]);
    assert_eq!(decision.history.len(), 1);
}

#[test]
fn doing_it_again_changes_nothing_but_what_the_store_ignores() {
    let decision = decided(&snapshot("i1", "acknowledged", &["oncall", "second"]));
    assert!(decision.situations.is_empty() && decision.history.is_empty());
    assert_eq!(decision.deliveries.len(), 1);
}

#[test]
fn what_is_over_is_a_note_that_nothing_has_to_close() {
    for snapshot in [snapshot("i1", "resolved", &["oncall"]), snapshot("i2", "open", &["oncall"])] {
        let decision = decided(&snapshot);
        let told = &decision.deliveries[0].notification;
        assert_eq!((told.kind, told.reason), (Kind::Notice, Reason::TooLate));
        assert!(decision.situations.is_empty(), "the incident's story is not touched");
    }
}

#[test]
fn without_a_situation_it_goes_out_as_it_is() {
    let decision = decided(&Snapshot::default());
    assert_eq!(decision.deliveries[0].notification.kind, Kind::Trigger);
    assert!(decision.situations.is_empty());
}

#[test]
fn only_openings_and_rises_must_be_heard() {
    assert!(must_be_heard(&notification("trigger", "reopened")));
    assert!(must_be_heard(&notification("update", "escalated")));
    assert!(!must_be_heard(&notification("update", "repeat")));
    assert!(!must_be_heard(&notification("resolve", "resolved")));
    assert!(!must_be_heard(&notification("notice", "notice")));
}
