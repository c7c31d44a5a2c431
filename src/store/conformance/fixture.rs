//! Plain values to store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::core::decide::{AlertEntry, Decision, HistoryEntry, NewDelivery, ReadSet, What};
use crate::core::event::{Actor, Outcome as EventOutcome};
use crate::core::incident::{Condition, Fingerprint, Incident, Situation, State, Voice};
use crate::core::notification::{EventCard, IncidentCard, Kind, Notification, Reason};
use crate::core::rule::Severity;
use crate::store::{Delivery, DeliveryState, Leased, Outcome, Settlement, Store};

pub(in crate::store) type Shared = Arc<dyn Store>;

/// Seconds after a fixed day.
pub(in crate::store) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(in crate::store) fn fingerprint(n: u32) -> Fingerprint {
    Fingerprint(format!("f{n:04}"))
}

pub(in crate::store) fn incident_id(n: u32) -> String {
    format!("{n:04}-incident")
}

fn event(seconds: i64) -> EventCard {
    EventCard {
        id: format!("e{seconds}"),
        name: "DisableKey".into(),
        source: "aws.kms".into(),
        time: at(seconds),
        account: Some("111122223333".into()),
        region: Some("eu-central-1".into()),
        outcome: EventOutcome::Success,
        denied_by: None,
        error_code: None,
        error_message: Some("it's \"quoted\" \u{202e} and \0 odd".into()),
        actor: Actor::default(),
        details: BTreeMap::new(),
        late: None,
    }
}

/// Situation `n`, with an incident that opened at second `n`.
pub(in crate::store) fn situation(n: u32, state: State) -> Situation {
    let mut situation = Situation::new(fingerprint(n));
    let seconds = i64::from(n);
    let condition = Condition { last_danger: Some(at(seconds)), ..Condition::default() };
    situation.conditions.insert("key-disabled".into(), condition);
    situation.incident = Some(Incident {
        id: incident_id(n),
        fingerprint: fingerprint(n),
        episode: 1,
        family: "key-unusable".into(),
        rules: ["key-disabled".to_owned()].into(),
        severity: Severity::High,
        state,
        opened_at: at(seconds),
        last_alert_at: at(seconds),
        resolved_at: (state == State::Resolved).then(|| at(seconds + 1)),
        deadline: None,
        alerts: 1,
        actors: BTreeSet::new(),
        key: None,
        tags: BTreeSet::new(),
        first: event(seconds),
        latest: event(seconds),
        told: ["chat".to_owned()].into(),
        step: 0,
        transitions: 1,
        last_notified_at: None,
        taken: None,
        marks: BTreeSet::new(),
        repeat: None,
        voice: Voice::default(),
        links: vec![],
        watching: BTreeSet::new(),
        happenings: BTreeMap::new(),
        said: "somebody disabled a key".into(),
        undo: None,
        held: None,
        shadow: false,
        began_in_shadow: false,
        fired: BTreeMap::new(),
        rose_at: None,
        harm: None,
        in_use: None,
    });
    situation
}

/// The same, with a timer at that second.
pub(in crate::store) fn timed(n: u32, seconds: i64) -> Situation {
    let mut situation = situation(n, State::Open);
    for condition in situation.conditions.values_mut() {
        condition.last_danger = Some(at(seconds - 60));
        condition.resolve_after = Some(SignedDuration::from_secs(60));
    }
    assert_eq!(situation.next_due(), Some(at(seconds)));
    situation
}

/// The `transition`th notification of incident `n`, made at that second.
pub(in crate::store) fn notification(n: u32, transition: u32, kind: Kind) -> Notification {
    let reason = match kind {
        Kind::Trigger => Reason::Opened,
        Kind::Update => Reason::Escalated,
        Kind::Resolve => Reason::Resolved,
        Kind::Notice => Reason::Notice,
    };
    Notification {
        id: format!("n{n}-{transition}"),
        kind,
        reason,
        at: at(i64::from(transition)),
        incident: IncidentCard {
            id: incident_id(n),
            fingerprint: fingerprint(n),
            episode: 1,
            state: if kind == Kind::Resolve { State::Resolved } else { State::Open },
            severity: Severity::High,
            title: "Key disabled".into(),
            rule: "key-disabled".into(),
            family: "key-unusable".into(),
            opened_at: at(0),
            last_alert_at: at(0),
            resolved_at: None,
            deadline: None,
            harm: None,
            in_use: None,
            alerts: 1,
            actors: vec![],
            step: 0,
            transition,
            tags: vec![],
            runbook: None,
            owner: None,
            taken: None,
        },
        event: event(0),
        key: None,
        summary: "somebody disabled a key".into(),
        meaning: None,
        action: None,
        undo: None,
        links: vec![],
        marks: vec![],
        banner: None,
    }
}

pub(in crate::store) fn alert(n: u32, seconds: i64) -> AlertEntry {
    AlertEntry {
        incident: incident_id(n),
        fingerprint: fingerprint(n),
        rule: "key-disabled".into(),
        severity: Severity::High,
        event: event(seconds),
        shadow: false,
    }
}

pub(in crate::store) fn transition(n: u32, seconds: i64, to: State) -> HistoryEntry {
    HistoryEntry {
        at: at(seconds),
        fingerprint: fingerprint(n),
        incident: incident_id(n),
        what: What::Transition {
            from: None,
            to,
            severity: Severity::High,
            reason: Reason::Opened,
            by: None,
            why: None,
        },
    }
}

/// Stores a decision that was made on nothing.
pub(in crate::store) async fn keep(store: &Shared, decision: Decision) {
    store.apply(&ReadSet::default(), &|_| decision.clone()).await.unwrap();
}

/// Puts notifications into a sink's outbox.
pub(in crate::store) async fn put(store: &Shared, sink: &str, notifications: &[Notification]) {
    let new = |notification: &Notification| NewDelivery { sink: sink.into(), notification: notification.clone() };
    keep(store, Decision { deliveries: notifications.iter().map(new).collect(), ..Decision::default() }).await;
}

/// Leases at a second, for a minute.
pub(in crate::store) async fn lease(store: &Shared, seconds: i64, sink: &str, limit: usize) -> Vec<Leased> {
    store.lease(at(seconds), at(seconds + 60), &[(sink.to_owned(), limit)]).await.unwrap()
}

/// The ids of the notifications that are leased at a second.
pub(in crate::store) async fn leased(store: &Shared, seconds: i64, sink: &str) -> Vec<String> {
    lease(store, seconds, sink, 100).await.into_iter().map(|leased| leased.delivery.notification.id).collect()
}

/// The only one that can be leased.
pub(in crate::store) async fn only(store: &Shared, seconds: i64, sink: &str) -> Leased {
    let mut leased = lease(store, seconds, sink, 100).await;
    assert_eq!(leased.len(), 1, "{leased:?}");
    leased.remove(0)
}

pub(in crate::store) async fn settle(store: &Shared, seconds: i64, id: i64, outcome: Outcome) {
    store.settle(at(seconds), &[Settlement { id, outcome }]).await.unwrap();
}

pub(in crate::store) fn done() -> Outcome {
    Outcome::Done { memory: None }
}

pub(in crate::store) fn dead() -> Outcome {
    Outcome::Dead { error: "no such channel".into() }
}

pub(in crate::store) async fn all(store: &Shared) -> Vec<Delivery> {
    store.deliveries(&DeliveryState::ALL, 10_000).await.unwrap()
}

/// All states, oldest delivery first.
pub(in crate::store) async fn states(store: &Shared) -> Vec<DeliveryState> {
    all(store).await.into_iter().map(|delivery| delivery.state).collect()
}
