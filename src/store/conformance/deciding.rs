//! `apply`: what a decision is made from, and that it is stored whole, once.

use jiff::SignedDuration;

use super::fixture::{
    Shared, alert, all, at, fingerprint, incident_id, keep, notification, put, situation, timed, transition,
};
use crate::core::countdown::Countdown;
use crate::core::decide::{self, Decision, NewDelivery, OwnSubject, ReadSet, Snapshot};
use crate::core::event::EventId;
use crate::core::incident::{Situation, State};
use crate::core::keystate::{Fact, KeyRecord, KeyState, Witness};
use crate::core::notification::Kind;
use crate::core::rule::{Severity, Texts};
use crate::core::window::Waiting;
use crate::store::DeliveryState;

/// What `reads` reads, without changing anything.
async fn read(store: &Shared, reads: &ReadSet) -> Snapshot {
    let found = std::sync::Mutex::new(Snapshot::default());
    let decide = |snapshot: &Snapshot| {
        *found.lock().unwrap() = snapshot.clone();
        Decision::default()
    };
    store.apply(reads, &decide).await.unwrap();
    found.into_inner().unwrap()
}

fn seen(id: &str) -> (EventId, jiff::Timestamp) {
    (EventId(id.into()), at(0))
}

/// The state of a key and what is counted down to live in the situation; a timer that is due finds them again.
pub(super) async fn what_is_known_of_keys_and_dates_is_kept(store: &Shared) {
    let mut known = Situation::new(fingerprint(1));
    let mut record = KeyRecord::default();
    for (second, state, by) in [
        (10, KeyState::PendingDeletion, Witness::Life),
        (20, KeyState::PendingImport, Witness::Material),
        (30, KeyState::PendingDeletion, Witness::Kms),
    ] {
        record.learn(Fact { at: at(second), state, by }, Some("m1"), SignedDuration::ZERO);
    }
    known.record = Some(record);
    let evaluation = decide::own_danger(&OwnSubject::StoreFailing, "it counts", at(10));
    let waiting = Waiting { severity: Severity::High, watching: vec![], texts: Texts::default(), evaluation };
    let countdown = Countdown {
        at: at(10),
        id: EventId("e1".into()),
        date: at(90_000),
        settled: None,
        alerted: false,
        told: Some(SignedDuration::from_hours(24)),
        due: Some(at(40)),
        waiting: Box::new(waiting),
    };
    known.countdowns.insert("near".into(), countdown);
    keep(store, Decision { situations: vec![known.clone()], ..Decision::default() }).await;
    let reads = ReadSet { due: Some((at(39), 10)), ..ReadSet::default() };
    assert!(read(store, &reads).await.situations.is_empty(), "not yet");
    let reads = ReadSet { due: Some((at(40), 10)), ..ReadSet::default() };
    let found = read(store, &reads).await.situations.remove(&fingerprint(1)).unwrap();
    // What a waiting evaluation matched is not kept.
    assert_eq!((&found.record, found.next_due()), (&known.record, known.next_due()));
    let (mine, kept) = (&known.countdowns["near"], &found.countdowns["near"]);
    assert_eq!((mine.at, mine.date, mine.told), (kept.at, kept.date, kept.told));
    assert_eq!(mine.waiting.evaluation.said, kept.waiting.evaluation.said);
}

pub(super) async fn what_is_stored_is_read_back(store: &Shared) {
    let decision = Decision {
        seen: vec![seen("e1")],
        duplicates: 0,
        situations: vec![situation(1, State::Open)],
        alerts: vec![alert(1, 1)],
        history: vec![transition(1, 1, State::Open)],
        deliveries: vec![NewDelivery { sink: "chat".into(), notification: notification(1, 1, Kind::Trigger) }],
        silences: vec![],
    };
    let made = store.apply(&ReadSet::default(), &|_| decision.clone()).await.unwrap();
    assert_eq!(made, decision);
    let reads = ReadSet {
        events: vec![EventId("e1".into()), EventId("e2".into())],
        fingerprints: vec![fingerprint(1), fingerprint(2)],
        ..ReadSet::default()
    };
    let snapshot = read(store, &reads).await;
    assert_eq!(snapshot.seen, [EventId("e1".into())].into());
    assert_eq!(snapshot.situations, [(fingerprint(1), situation(1, State::Open))].into());
    let found = store.story(&incident_id(1)).await.unwrap().unwrap();
    assert_eq!(found.alerts, decision.alerts);
    assert_eq!(found.history, decision.history);
    assert_eq!(Some(&found.incident), decision.situations[0].incident.as_ref());
    let delivery = &all(store).await[0];
    assert_eq!(delivery.notification, decision.deliveries[0].notification);
    assert_eq!((delivery.state, delivery.attempts, delivery.outcome_unknown), (DeliveryState::Waiting, 0, false));
    assert_eq!((delivery.created_at, delivery.due_at), (at(1), at(1)));
    assert_eq!(delivery.idempotency_key(), "n1-1-chat");
    // New values replace old ones.
    keep(store, Decision { situations: vec![situation(1, State::Resolved)], ..Decision::default() }).await;
    let snapshot = read(store, &reads).await;
    assert_eq!(snapshot.situations[&fingerprint(1)], situation(1, State::Resolved));
    assert_eq!(store.story(&incident_id(1)).await.unwrap().unwrap().incident.state, State::Resolved);
}

pub(super) async fn a_read_set_reads_what_it_names_and_no_more(store: &Shared) {
    let situations = (1..=4).map(|n| situation(n, State::Open)).collect();
    keep(store, Decision { situations, ..Decision::default() }).await;
    assert_eq!(read(store, &ReadSet::default()).await, Snapshot::default());
    let by_incident = ReadSet { incidents: vec![incident_id(3), "unknown".into()], ..ReadSet::default() };
    let found = read(store, &by_incident).await;
    assert_eq!(found.situations.into_keys().collect::<Vec<_>>(), [fingerprint(3)]);
    // An id is not a prefix here: a command names one incident.
    let prefix = ReadSet { incidents: vec!["0003".into()], ..ReadSet::default() };
    assert_eq!(read(store, &prefix).await, Snapshot::default());
}

pub(super) async fn an_event_is_seen_once(store: &Shared) {
    let reads = ReadSet { events: vec![EventId("e1".into())], ..ReadSet::default() };
    let decide = |snapshot: &Snapshot| {
        if snapshot.seen.contains(&EventId("e1".into())) {
            Decision { duplicates: 1, ..Decision::default() }
        } else {
            Decision {
                seen: vec![seen("e1")],
                alerts: vec![alert(1, 1)],
                situations: vec![situation(1, State::Open)],
                ..Decision::default()
            }
        }
    };
    assert_eq!(store.apply(&reads, &decide).await.unwrap().duplicates, 0);
    assert_eq!(store.apply(&reads, &decide).await.unwrap().duplicates, 1);
    assert_eq!(store.story(&incident_id(1)).await.unwrap().unwrap().alerts.len(), 1);
    // Remembering it again is no error.
    keep(store, Decision { seen: vec![seen("e1"), seen("e2")], ..Decision::default() }).await;
    assert_eq!(read(store, &reads).await.seen.len(), 1);
}

pub(super) async fn an_empty_decision_changes_nothing(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Kind::Trigger)]).await;
    let made = store.apply(&ReadSet::default(), &|_| Decision { duplicates: 3, ..Decision::default() }).await.unwrap();
    assert_eq!(made.duplicates, 3);
    assert_eq!(all(store).await.len(), 1);
}

pub(super) async fn timers_come_earliest_first_and_only_when_due(store: &Shared) {
    let due = |seconds, limit| ReadSet { due: Some((at(seconds), limit)), ..ReadSet::default() };
    assert_eq!(read(store, &due(1000, 10)).await, Snapshot::default());
    let mut resolved = timed(4, 50);
    resolved.incident.as_mut().unwrap().state = State::Resolved;
    let situations = vec![timed(1, 300), timed(2, 100), timed(3, 200), resolved, situation(5, State::Open)];
    keep(store, Decision { situations, ..Decision::default() }).await;
    let found = async |seconds, limit| {
        let mut found: Vec<_> = read(store, &due(seconds, limit)).await.situations.into_keys().collect();
        found.sort();
        found
    };
    assert_eq!(found(99, 10).await, []);
    assert_eq!(found(100, 10).await, [fingerprint(2)]);
    assert_eq!(found(1000, 2).await, [fingerprint(2), fingerprint(3)]);
    assert_eq!(found(1000, 10).await, [fingerprint(1), fingerprint(2), fingerprint(3)]);
    // A decision that was made on timers is stored like any other.
    let close = |snapshot: &Snapshot| {
        let mut situations: Vec<_> = snapshot.situations.values().cloned().collect();
        for one in &mut situations {
            one.incident.as_mut().unwrap().state = State::Resolved;
        }
        Decision { situations, ..Decision::default() }
    };
    assert_eq!(store.apply(&due(1000, 10), &close).await.unwrap().situations.len(), 3);
    assert_eq!(found(1000, 10).await, []);
}

pub(super) async fn a_notification_is_in_the_outbox_once_per_sink(store: &Shared) {
    let first = notification(1, 1, Kind::Trigger);
    put(store, "chat", &[first.clone(), first.clone()]).await;
    put(store, "pager", std::slice::from_ref(&first)).await;
    let mut changed = first.clone();
    changed.summary = "another text".into();
    put(store, "chat", &[changed]).await;
    let deliveries = all(store).await;
    assert_eq!(deliveries.iter().map(|one| one.sink.as_str()).collect::<Vec<_>>(), ["chat", "pager"]);
    assert_eq!(deliveries[0].notification, first);
}

pub(super) async fn appliers_at_the_same_time_lose_no_update(store: &Shared) {
    const TASKS: u64 = 8;
    const TIMES: u64 = 10;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = std::sync::Arc::clone(store);
            tokio::spawn(async move {
                let reads = ReadSet { fingerprints: vec![fingerprint(1)], ..ReadSet::default() };
                let count = |snapshot: &Snapshot| {
                    let mut value = situation(1, State::Open);
                    let known = snapshot.situations.get(&fingerprint(1)).and_then(|known| known.incident.as_ref());
                    value.incident.as_mut().unwrap().alerts = known.map_or(1, |known| known.alerts + 1);
                    Decision { situations: vec![value], ..Decision::default() }
                };
                for _ in 0..TIMES {
                    store.apply(&reads, &count).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.story(&incident_id(1)).await.unwrap().unwrap().incident.alerts, TASKS * TIMES);
}

pub(super) async fn a_long_decision_is_stored_whole(store: &Shared) {
    const MANY: u32 = 131;
    let decision = Decision {
        seen: (0..MANY).map(|n| seen(&format!("e{n}"))).collect(),
        situations: (0..MANY).map(|n| situation(n, State::Open)).collect(),
        alerts: (0..MANY).map(|n| alert(7, i64::from(n))).collect(),
        history: (0..MANY).map(|n| transition(7, i64::from(n), State::Open)).collect(),
        deliveries: (0..MANY)
            .map(|n| NewDelivery { sink: "chat".into(), notification: notification(n, 1, Kind::Trigger) })
            .collect(),
        duplicates: 0,
        silences: vec![],
    };
    keep(store, decision.clone()).await;
    let reads = ReadSet {
        events: decision.seen.iter().map(|(id, _)| id.clone()).collect(),
        fingerprints: (0..MANY).map(fingerprint).collect(),
        ..ReadSet::default()
    };
    let snapshot = read(store, &reads).await;
    assert_eq!((snapshot.seen.len(), snapshot.situations.len()), (131, 131));
    let found = store.story(&incident_id(7)).await.unwrap().unwrap();
    assert_eq!(found.alerts, decision.alerts);
    assert_eq!(found.history, decision.history);
    let told: Vec<_> = all(store).await.into_iter().map(|one| one.notification).collect();
    let wanted: Vec<_> = decision.deliveries.into_iter().map(|one| one.notification).collect();
    assert_eq!(told, wanted);
}
