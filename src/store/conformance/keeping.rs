//! What people and gauges ask for, what is kept beside decisions, and what is forgotten.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::fixture::{
    Shared, alert, all, at, dead, done, fingerprint, incident_id, keep, lease, leased, notification, only, put, settle,
    situation, states, transition,
};
use crate::core::access::{History, Lesson, Taught, Version};
use crate::core::decide::{AlertEntry, Decision, ReadSet, Snapshot};
use crate::core::event::{EventId, KeyRef};
use crate::core::incident::{Condition, Situation, State};
use crate::core::notification::Kind::{Resolve, Trigger, Update};
use crate::core::rotation::Period;
use crate::core::rule::Severity;
use crate::core::usage::KeyUsage;
use crate::core::window::{Seen, WindowState};
use crate::store::DeliveryState::{Dead, Done, Parked, Waiting};
use crate::store::{IncidentFilter, KnownKey, Outcome, Retention, SinkStats};

const DAY: i64 = 24 * 3600;
const RETENTION: Retention = Retention {
    seen: SignedDuration::from_hours(21 * 24),
    history: SignedDuration::from_hours(90 * 24),
    markers: SignedDuration::from_hours(2 * 24),
};

/// Prunes at a second until nothing is left to do.
async fn prune(store: &Shared, seconds: i64) -> u64 {
    let sinks = ["chat".to_owned(), "pager".to_owned()];
    let mut touched = 0;
    for _ in 0..100 {
        match store.prune(at(seconds), &RETENTION, &sinks).await.unwrap() {
            0 => return touched,
            step => touched += step,
        }
    }
    panic!("pruning does not end");
}

async fn known(store: &Shared, reads: &ReadSet) -> (usize, usize) {
    let found = std::sync::Mutex::new((0, 0));
    let look = |snapshot: &Snapshot| {
        *found.lock().unwrap() = (snapshot.seen.len(), snapshot.situations.len());
        Decision::default()
    };
    store.apply(reads, &look).await.unwrap();
    found.into_inner().unwrap()
}

pub(super) async fn incidents_are_listed_newest_first(store: &Shared) {
    let states = [State::Open, State::Resolved, State::Acknowledged, State::Open];
    let situations = (1..).zip(states).map(|(n, state)| situation(n, state)).collect();
    keep(store, Decision { situations, ..Decision::default() }).await;
    let ids = async |open, limit| {
        let found = store.incidents(&IncidentFilter { open, limit }).await.unwrap();
        found.into_iter().map(|incident| incident.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(false, 10).await, [4, 3, 2, 1].map(incident_id));
    assert_eq!(ids(true, 10).await, [4, 3, 1].map(incident_id));
    assert_eq!(ids(true, 2).await, [4, 3].map(incident_id));
    assert_eq!(ids(false, 0).await, Vec::<String>::new());
}

pub(super) async fn a_story_is_found_by_the_beginning_of_its_id(store: &Shared) {
    let situations = vec![situation(12, State::Open), situation(13, State::Open), situation(20, State::Open)];
    let mut decision = Decision { situations, alerts: vec![alert(12, 1), alert(13, 2)], ..Decision::default() };
    decision.history = vec![transition(12, 1, State::Open), transition(12, 2, State::Resolved)];
    let mut odd = situation(30, State::Open);
    odd.incident.as_mut().unwrap().id = incident_id(12) + "-and-more";
    decision.situations.push(odd);
    keep(store, decision).await;
    put(store, "chat", &[notification(12, 1, Trigger), notification(13, 1, Trigger), notification(12, 2, Resolve)])
        .await;
    let find = async |id: &str| store.story(id).await.unwrap();
    let found = find("002").await.unwrap();
    assert_eq!(found.incident.id, incident_id(20));
    assert_eq!((found.alerts.len(), found.history.len(), found.deliveries.len()), (0, 0, 0));
    // Two begin so; nobody does; no beginning at all.
    for id in ["001", "9", "", "0012-incident-and-more-", "%", "00__"] {
        assert_eq!(find(id).await, None, "{id}");
    }
    // The whole id is meant, although another one begins with it.
    let found = find(&incident_id(12)).await.unwrap();
    assert_eq!((found.alerts.len(), found.history.len()), (1, 2));
    assert_eq!(found.history[1].at, at(2));
    let told: Vec<_> = found.deliveries.iter().map(|one| (one.kind, one.state, one.attempts, one.created_at)).collect();
    assert_eq!(told, [(Trigger, Waiting, 0, at(1)), (Resolve, Waiting, 0, at(2))]);
}

pub(super) async fn open_situations_come_in_pages(store: &Shared) {
    let mut situations: Vec<_> = (1..=5).map(|n| situation(n, State::Open)).collect();
    situations[1].incident.as_mut().unwrap().state = State::Resolved;
    situations[3].incident.as_mut().unwrap().state = State::Acknowledged;
    situations.push(Situation::new(fingerprint(6)));
    keep(store, Decision { situations, ..Decision::default() }).await;
    let page = async |after: Option<u32>, limit| {
        let after = after.map(fingerprint);
        let found = store.open_situations(after.as_ref(), limit).await.unwrap();
        found.into_iter().map(|one| one.fingerprint).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [1, 3].map(fingerprint));
    assert_eq!(page(Some(3), 2).await, [4, 5].map(fingerprint));
    assert_eq!(page(Some(5), 2).await, []);
}

pub(super) async fn the_outbox_is_counted_by_sink(store: &Shared) {
    put(store, "chat", &[1, 2, 3, 4].map(|n| notification(n, n, Trigger))).await;
    put(store, "pager", &[notification(1, 1, Trigger)]).await;
    let claimed = lease(store, 10, "chat", 3).await;
    settle(store, 11, claimed[0].delivery.id, dead()).await;
    let parked = Outcome::Parked { at: at(100), outcome_unknown: false, error: "revoked".into() };
    settle(store, 11, claimed[1].delivery.id, parked).await;
    let done_one = only(store, 11, "pager").await;
    settle(store, 12, done_one.delivery.id, done()).await;
    let mut situations: Vec<_> = (1..=4).map(|n| situation(n, State::Open)).collect();
    situations[0].incident.as_mut().unwrap().severity = Severity::Critical;
    situations[1].incident.as_mut().unwrap().state = State::Acknowledged;
    situations[2].incident.as_mut().unwrap().state = State::Resolved;
    keep(store, Decision { situations, ..Decision::default() }).await;
    let stats = store.stats().await.unwrap();
    // The leased one still waits.
    let chat = SinkStats { waiting: 2, parked: 1, dead: 1, oldest: Some(at(2)) };
    assert_eq!(stats.sinks, BTreeMap::from([("chat".to_owned(), chat)]));
    assert_eq!(stats.open_incidents, [(Severity::Critical, 1), (Severity::High, 2)].into());
    assert_eq!(stats.quarantined, 0);
    let found = async |wanted: &[_], limit| store.deliveries(wanted, limit).await.unwrap().len();
    assert_eq!(found(&[Parked, Dead], 10).await, 2);
    assert_eq!(found(&[Waiting], 1).await, 1);
    assert_eq!(found(&[], 10).await, 0);
    assert_eq!(store.deliveries(&[Done], 10).await.unwrap()[0].sink, "pager");
}

pub(super) async fn what_is_unfinished_is_read_page_by_page(store: &Shared) {
    put(store, "chat", &[1, 2, 3, 4, 5].map(|n| notification(n, n, Trigger))).await;
    put(store, "pager", &[notification(6, 6, Trigger)]).await;
    let claimed = lease(store, 10, "chat", 3).await;
    settle(store, 11, claimed[0].delivery.id, done()).await;
    let parked = Outcome::Parked { at: at(100), outcome_unknown: false, error: "revoked".into() };
    settle(store, 11, claimed[1].delivery.id, parked).await;
    let page = async |sink: &str, after: i64, limit| {
        let page = store.unfinished(sink, after, limit).await.unwrap();
        assert!(page.iter().all(|delivery| delivery.sink == sink && delivery.id > after));
        page.into_iter().map(|delivery| (delivery.id, delivery.notification.id)).collect::<Vec<_>>()
    };
    // One was told; one is parked and one leased: both are unfinished.
    let all = page("chat", 0, 10).await;
    let done_id = &claimed[0].delivery.notification.id;
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted() && all.iter().all(|(_, notification)| notification != done_id));
    assert_eq!(page("chat", 0, 2).await, all[..2]);
    assert_eq!(page("chat", all[1].0, 2).await, all[2..]);
    assert_eq!(page("chat", all[3].0, 2).await, []);
    assert_eq!(page("nobody", 0, 2).await, []);
    let any = async |wanted: &[(&str, &String)]| {
        let wanted: Vec<_> = wanted.iter().map(|(sink, id)| ((*sink).to_owned(), (*id).clone())).collect();
        store.any_unfinished(&wanted).await.unwrap()
    };
    let (waiting, other) = (&all[3].1, &page("pager", 0, 1).await[0].1);
    assert!(any(&[("chat", done_id), ("chat", waiting)]).await);
    assert!(any(&[("pager", other)]).await);
    assert!(!any(&[("chat", done_id), ("chat", other), ("pager", waiting), ("nobody", waiting)]).await);
    assert!(!any(&[]).await);
}

pub(super) async fn what_is_known_of_keys_is_joined_without_labels(store: &Shared) {
    let key = |n: u32, alias: &str| KeyRef {
        arn: Some(format!("arn:aws:kms:eu-central-1:111122223333:key/{n}")),
        aliases: vec![alias.to_owned()],
        tags: [("team".to_owned(), "platform".to_owned())].into(),
        labels: [("environment".to_owned(), "production".to_owned())].into(),
        ..KeyRef::default()
    };
    let nameless = KeyRef { id: Some("1234".into()), ..KeyRef::default() };
    let known = |key: KeyRef, swept| KnownKey { key, swept };
    let first = [known(key(1, "alias/old"), true), known(key(2, "alias/two"), false), known(nameless, true)];
    store.remember_keys(at(0), &first).await.unwrap();
    let more = [known(key(1, "alias/older"), false), known(key(1, "alias/new"), false)];
    store.remember_keys(at(1), &more).await.unwrap();
    store.remember_keys(at(1), &[]).await.unwrap();
    let arn = |n| key(n, "").arn.unwrap();
    let mut found = store.recall_keys(&[arn(2), arn(3), arn(1)]).await.unwrap();
    found.sort_by(|a, b| a.key.arn.cmp(&b.key.arn));
    let kept = |n, aliases: &[&str]| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        KeyRef { labels: BTreeMap::new(), aliases, ..key(n, "") }
    };
    let mut expected =
        [known(kept(1, &["alias/new", "alias/old", "alias/older"]), true), known(kept(2, &["alias/two"]), false)];
    assert_eq!(found, expected);
    // That a sweep looked at it is news by itself.
    store.remember_keys(at(2), &[known(key(2, "alias/two"), true)]).await.unwrap();
    expected[1].swept = true;
    let mut found = store.recall_keys(&[arn(1), arn(2)]).await.unwrap();
    found.sort_by(|a, b| a.key.arn.cmp(&b.key.arn));
    assert_eq!(found, expected);
    assert_eq!(store.recall_keys(&[]).await.unwrap(), []);
}

pub(super) async fn whoever_learns_of_a_key_at_the_same_time_adds_to_it(store: &Shared) {
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1".to_owned();
    let writers = (0..20).map(|n| {
        let (store, arn) = (Shared::clone(store), arn.clone());
        tokio::spawn(async move {
            let key = |m: u32| KeyRef {
                arn: Some(arn.clone()),
                aliases: vec![format!("alias/{n:02}-{m}")],
                tags: [(format!("tag-{n}"), m.to_string())].into(),
                ..KeyRef::default()
            };
            for m in 0..3 {
                store.remember_keys(at(m.into()), &[key(m).into()]).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let found = store.recall_keys(&[arn]).await.unwrap().remove(0).key;
    assert_eq!((found.aliases.len(), found.tags.len()), (60, 20));
    assert!(found.tags.values().all(|value| value == "2"), "the newest value of a tag counts: {:?}", found.tags);
}

pub(super) async fn the_use_of_keys_is_kept_in_pages(store: &Shared) {
    let used = |n: i64| KeyUsage {
        users: vec![(format!("role/it's \"{n}\""), at(n))],
        hints: vec![("aws:ebs:id=vol-1".to_owned(), at(n))],
        last: Some(at(n)),
        forgotten: (n % 2 == 0).then(|| at(n - 1)),
    };
    let keys: Vec<String> = (1..=5).map(|n| format!("arn:{n}")).collect();
    let all: BTreeMap<String, KeyUsage> = keys.iter().cloned().zip((1..).map(used)).collect();
    store.keep_usage(at(10), &BTreeMap::new()).await.unwrap();
    store.keep_usage(at(10), &all).await.unwrap();
    let newer = BTreeMap::from([("arn:3".to_owned(), used(9))]);
    store.keep_usage(at(11), &newer).await.unwrap();
    let first = store.recall_usage(at(12), "", 3).await.unwrap();
    assert_eq!(first.iter().map(|(arn, _)| arn.as_str()).collect::<Vec<_>>(), ["arn:1", "arn:2", "arn:3"]);
    assert_eq!((&first[0].1, &first[2].1), (&used(1), &used(9)));
    let rest = store.recall_usage(at(12), "arn:3", 3).await.unwrap();
    assert_eq!(rest.iter().map(|(arn, _)| arn.as_str()).collect::<Vec<_>>(), ["arn:4", "arn:5"]);
}

pub(super) async fn policies_are_learnt_in_any_order(store: &Shared) {
    let version = |second: i64| Version {
        at: at(second),
        event: EventId(format!("e{second}")),
        text: (second != 3).then(|| format!("{{\"Id\":\"{second}\"}}")),
    };
    let lesson = |key: u32, second: i64| Lesson {
        arn: format!("arn:aws:kms:eu-central-1:111122223333:key/{key}"),
        taught: Taught::Policy(version(second)),
    };
    let recalled = async |key| store.recall_history(&lesson(key, 0).arn).await.unwrap();
    assert_eq!(recalled(1).await, None);
    store.keep_lessons(at(0), &[]).await.unwrap();
    store.keep_lessons(at(0), &[lesson(1, 5), lesson(2, 1), lesson(1, 1)]).await.unwrap();
    store.keep_lessons(at(1), &[lesson(1, 3)]).await.unwrap();
    store.keep_lessons(at(2), &[lesson(1, 2), lesson(1, 5), lesson(1, 4)]).await.unwrap();
    store.keep_lessons(at(3), &[lesson(1, 0), lesson(1, 5)]).await.unwrap();
    let history = |seconds: &[i64]| {
        Some(History { versions: seconds.iter().map(|second| version(*second)).collect(), ..History::default() })
    };
    assert_eq!(recalled(1).await, history(&[5, 4, 3]));
    assert_eq!(recalled(2).await, history(&[1]));
    assert_eq!(prune(store, 400 * DAY).await, 0, "a policy is in force for years");
    assert_eq!(recalled(1).await, history(&[5, 4, 3]));
}

pub(super) async fn rotation_periods_are_learnt_beside_policies(store: &Shared) {
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1";
    let period = |second: i64| Period { at: at(second), event: EventId(format!("p{second}")), days: 90 };
    let lesson = |taught: Taught| Lesson { arn: arn.to_owned(), taught };
    let version = Version { at: at(4), event: EventId("e4".to_owned()), text: Some("{}".to_owned()) };
    for second in [5, 1, 3, 5, 2] {
        store.keep_lessons(at(9), &[lesson(Taught::Period(period(second)))]).await.unwrap();
    }
    let both = [lesson(Taught::Policy(version.clone())), lesson(Taught::Period(period(4)))];
    store.keep_lessons(at(9), &both).await.unwrap();
    let history = History { versions: vec![version], periods: [5, 4, 3, 2, 1].map(period).into() };
    assert_eq!(store.recall_history(arn).await.unwrap(), Some(history));
}

pub(super) async fn a_message_is_quarantined_once(store: &Shared) {
    store.quarantine(at(0), "m1", "not JSON", "x\0\u{feff}{").await.unwrap();
    store.quarantine(at(1), "m1", "not JSON", "again").await.unwrap();
    store.quarantine(at(2), "m2", "not JSON", "").await.unwrap();
    assert_eq!(store.stats().await.unwrap().quarantined, 2);
    prune(store, 90 * DAY + 1).await;
    assert_eq!(store.stats().await.unwrap().quarantined, 1);
}

pub(super) async fn a_full_quarantine_keeps_what_it_has(store: &Shared) {
    // A store that keeps no bodies is full by their number, one that does by their length.
    let body = "x".repeat(1024 * 1024);
    let mut kept = 0;
    let refused = loop {
        match store.quarantine(at(0), &format!("m{kept}"), "not JSON", &body).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept <= 10_000);
    };
    assert!(kept == 10_000 || kept == 64, "{kept}");
    assert!(refused.detail.contains("the quarantine is full"), "{refused}");
    store.quarantine(at(1), "m0", "not JSON", &body).await.expect("it is kept already");
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.quarantined, kept);
    assert!(stats.quarantined_bytes == 0 || stats.quarantined_bytes == 64 * 1024 * 1024);
    prune(store, 90 * DAY + 2).await;
    store.quarantine(at(2), "next", "not JSON", &body).await.expect("time makes room");
}

pub(super) async fn old_events_are_forgotten_and_young_ones_kept(store: &Shared) {
    let seen: Vec<_> = (0..1200).map(|n| (EventId(format!("e{n}")), at(n))).collect();
    let reads = ReadSet { events: seen.iter().map(|(id, _)| id.clone()).collect(), ..ReadSet::default() };
    keep(store, Decision { seen, ..Decision::default() }).await;
    assert_eq!(prune(store, 21 * DAY).await, 0);
    assert_eq!(known(store, &reads).await.0, 1200);
    assert_eq!(prune(store, 21 * DAY + 1100).await, 1100);
    assert_eq!(known(store, &reads).await.0, 100);
}

pub(super) async fn old_markers_are_forgotten(store: &Shared) {
    let marker = |n: u32, seconds: i64| {
        let mut marker = Situation::new(fingerprint(n));
        let condition = Condition { last_clear: Some(at(seconds)), ..Condition::default() };
        marker.conditions.insert("key-disabled".into(), condition);
        marker
    };
    let reads = ReadSet { fingerprints: vec![fingerprint(1), fingerprint(2)], ..ReadSet::default() };
    keep(store, Decision { situations: vec![marker(1, 0)], ..Decision::default() }).await;
    // It happened long ago, but we heard of it now: its alert may be as late.
    let seen = vec![(EventId("e".into()), at(DAY))];
    keep(store, Decision { seen, situations: vec![marker(2, -10 * DAY)], ..Decision::default() }).await;
    assert_eq!(prune(store, 2 * DAY).await, 0);
    prune(store, 2 * DAY + 1).await;
    assert_eq!(known(store, &reads).await.1, 1);
    prune(store, 3 * DAY + 1).await;
    assert_eq!(known(store, &reads).await.1, 0);
}

pub(super) async fn what_was_learnt_outlives_the_rest(store: &Shared) {
    let seen = Seen { from: at(0), last: at(DAY) };
    let window = WindowState {
        values: (0..1000).map(|n| (format!("role/{n}"), seen)).collect(),
        since: Some(at(0)),
        until: Some(at(30 * DAY)),
        ..WindowState::default()
    };
    let mut quiet = Situation::new(fingerprint(1));
    quiet.windows.insert("team.new-principal".into(), window.clone());
    quiet.windows.insert("team.burst".into(), WindowState { until: Some(at(30 * DAY)), ..WindowState::default() });
    let mut ended = situation(2, State::Resolved);
    ended.windows.insert("team.new-principal".into(), window);
    keep(store, Decision { situations: vec![quiet, ended], ..Decision::default() }).await;
    let kept = async || store.situations(&[fingerprint(1), fingerprint(2)]).await.unwrap();
    assert_eq!(prune(store, 32 * DAY).await, 0);
    assert!(kept().await.iter().all(|one| one.windows["team.new-principal"].values.len() == 1000));

    prune(store, 200 * DAY).await;
    assert_eq!(store.story(&incident_id(2)).await.unwrap(), None);
    let only = WindowState { since: Some(at(0)), ..WindowState::default() };
    for (n, left) in (1..).zip(kept().await) {
        let mut learnt = Situation::new(fingerprint(n));
        learnt.windows.insert("team.new-principal".into(), only.clone());
        assert_eq!(left, learnt);
        assert!(serde_json::to_string(&left).unwrap().len() < 250);
    }
    assert_eq!(prune(store, 5 * 365 * DAY).await, 0, "it is not looked at again");
    assert_eq!(kept().await.len(), 2);

    // Whoever is heard of again is kept as anybody else.
    keep(store, Decision { situations: vec![situation(2, State::Open)], ..Decision::default() }).await;
    prune(store, 5 * 365 * DAY + 31 * DAY).await;
    assert_eq!(kept().await, [situation(2, State::Open)]);
}

pub(super) async fn resolved_incidents_are_forgotten_with_all_they_left(store: &Shared) {
    let mut decision = Decision { situations: vec![situation(1, State::Resolved)], ..Decision::default() };
    decision.alerts = (0..1000).map(|n| alert(1, n)).collect();
    decision.history = vec![transition(1, 0, State::Resolved)];
    keep(store, decision).await;
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let told = only(store, 10, "chat").await;
    settle(store, 20, told.delivery.id, Outcome::Done { memory: Some("thread".into()) }).await;
    assert_eq!(prune(store, 90 * DAY).await, 0);
    assert!(prune(store, 90 * DAY + 21).await > 0);
    assert_eq!(store.story(&incident_id(1)).await.unwrap(), None);
    assert_eq!(all(store).await, vec![]);
    let reads = ReadSet { fingerprints: vec![fingerprint(1)], ..ReadSet::default() };
    assert_eq!(known(store, &reads).await.1, 0);
    // Nothing is left that a new incident of that id could inherit.
    keep(store, Decision { situations: vec![situation(1, State::Open)], ..Decision::default() }).await;
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let found = store.story(&incident_id(1)).await.unwrap().unwrap();
    assert_eq!((found.alerts.len(), found.history.len(), found.deliveries.len()), (0, 0, 1));
    assert_eq!(only(store, 10, "chat").await.memory, None);
}

pub(super) async fn an_incident_is_kept_as_long_as_its_deliveries(store: &Shared) {
    let reads = ReadSet { fingerprints: vec![fingerprint(1)], ..ReadSet::default() };
    let mut decision = Decision { situations: vec![situation(1, State::Resolved)], ..Decision::default() };
    decision.history = vec![transition(1, 0, State::Resolved)];
    keep(store, decision).await;
    put(store, "chat", &[notification(1, 1, Trigger), notification(1, 2, Resolve)]).await;
    let told = lease(store, 3 * DAY, "chat", 1).await.remove(0);
    settle(store, 3 * DAY, told.delivery.id, Outcome::Done { memory: Some("thread".into()) }).await;
    assert_eq!(prune(store, 92 * DAY).await, 0);
    assert_eq!(known(store, &reads).await.1, 1, "else the next incident takes the ids of this one's notifications");
    // Its resolve still waits, for the thread too.
    prune(store, 100 * DAY).await;
    let resolve = only(store, 100 * DAY, "chat").await;
    assert_eq!((resolve.memory.as_deref(), known(store, &reads).await.1), (Some("thread"), 1));
    settle(store, 100 * DAY, resolve.delivery.id, done()).await;
    prune(store, 190 * DAY + 1).await;
    assert_eq!((known(store, &reads).await.1, all(store).await.len()), (0, 0));
    assert_eq!(store.story(&incident_id(1)).await.unwrap(), None);
}

pub(super) async fn a_resolved_incident_waits_for_its_parked_delivery(store: &Shared) {
    let mut decision = Decision { situations: vec![situation(1, State::Resolved)], ..Decision::default() };
    decision.alerts = vec![alert(1, 0)];
    decision.history = vec![transition(1, 0, State::Resolved)];
    keep(store, decision).await;
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let stuck = only(store, 10, "chat").await.delivery;
    let parked = Outcome::Parked { at: at(1000 * DAY), outcome_unknown: false, error: "revoked".into() };
    settle(store, 11, stuck.id, parked).await;
    assert_eq!(prune(store, 500 * DAY).await, 0);
    let found = store.story(&incident_id(1)).await.unwrap().unwrap();
    assert_eq!((found.alerts.len(), found.history.len(), found.deliveries.len()), (1, 1, 1));
    let told = &found.deliveries[0];
    assert_eq!((told.settled_at, told.last_error.as_deref()), (None, Some("revoked")));
    settle(store, 500 * DAY, stuck.id, dead()).await;
    let found = store.story(&incident_id(1)).await.unwrap().unwrap();
    assert_eq!(found.deliveries[0].settled_at, Some(at(500 * DAY)), "when it ended is a part of the story");
    prune(store, 600 * DAY).await;
    assert_eq!(store.story(&incident_id(1)).await.unwrap(), None);
}

pub(super) async fn open_incidents_are_never_forgotten(store: &Shared) {
    let situations = vec![situation(1, State::Open), situation(2, State::Acknowledged)];
    keep(store, Decision { situations, alerts: vec![alert(1, 0)], ..Decision::default() }).await;
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    assert_eq!(prune(store, 1000 * DAY).await, 0);
    assert_eq!(store.story(&incident_id(1)).await.unwrap().unwrap().alerts.len(), 1);
    assert_eq!(states(store).await, [Waiting]);
}

pub(super) async fn a_long_story_keeps_its_beginning_and_its_end(store: &Shared) {
    const MANY: i64 = 2300;
    let mut decision = Decision { situations: vec![situation(1, State::Open)], ..Decision::default() };
    decision.alerts = (0..MANY).flat_map(|n| [alert(1, n), alert(2, n)]).filter(|a| within(a, 1000)).collect();
    decision.history = (0..MANY).map(|n| transition(1, n, State::Open)).collect();
    decision.situations.push(situation(2, State::Acknowledged));
    keep(store, decision).await;
    prune(store, 0).await;
    let kept = async |n| {
        let found = store.story(&incident_id(n)).await.unwrap().unwrap();
        let alerts = spans(found.alerts.iter().map(|one| one.event.time));
        (alerts, spans(found.history.iter().map(|one| one.at)), (found.forgotten.alerts, found.forgotten.history))
    };
    let long = vec![(0, 99), (MANY - 900, MANY - 1)];
    assert_eq!(kept(1).await, (long.clone(), long.clone(), (1300, 1300)));
    // One that is just short enough keeps everything.
    assert_eq!(kept(2).await, (vec![(0, 999)], vec![], (0, 0)));
    // It goes on, and goes on being bounded.
    keep(store, Decision { alerts: vec![alert(1, MANY), alert(2, MANY)], ..Decision::default() }).await;
    prune(store, 0).await;
    assert_eq!(kept(1).await, (vec![(0, 99), (MANY - 899, MANY)], long, (1301, 1300)));
    assert_eq!(kept(2).await, (vec![(0, 99), (101, 999), (MANY, MANY)], vec![], (1, 0)));
    // A new value of the incident does not make us forget what was forgotten.
    keep(store, Decision { situations: vec![situation(1, State::Open)], ..Decision::default() }).await;
    assert_eq!(kept(1).await.2, (1301, 1300));
}

/// Times as runs of seconds without a gap: first and last of each.
fn spans(times: impl Iterator<Item = Timestamp>) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = vec![];
    for second in times.map(|time| time.as_second() - at(0).as_second()) {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == second => *last = second,
            _ => spans.push((second, second)),
        }
    }
    spans
}

/// Of incident 2, only the first `most` alerts.
fn within(alert: &AlertEntry, most: i64) -> bool {
    alert.incident == incident_id(1) || alert.event.time < at(most)
}

pub(super) async fn forgetting_is_done_in_bounded_steps(store: &Shared) {
    const MANY: u32 = 1700;
    let mut resolved: Vec<_> = (0..MANY).map(|n| situation(n, State::Resolved)).collect();
    resolved.extend((MANY..2 * MANY).map(|n| Situation::new(fingerprint(n))));
    let alerts: Vec<_> = (0..MANY).map(|n| alert(n % 3, i64::from(n))).collect();
    let seen: Vec<_> = (0..MANY).map(|n| (EventId(format!("e{n}")), at(i64::from(n)))).collect();
    keep(store, Decision { seen, situations: resolved, alerts, ..Decision::default() }).await;
    put(store, "gone", &(0..MANY).map(|n| notification(n, 1, Trigger)).collect::<Vec<_>>()).await;
    let sinks = ["chat".to_owned()];
    let mut steps = vec![];
    while let step @ 1.. = store.prune(at(1000 * DAY), &RETENTION, &sinks).await.unwrap() {
        steps.push(step);
    }
    // Each kind by itself is longer than a step.
    let most = *steps.iter().max().unwrap();
    assert!(most <= 5000 && steps.len() > 3, "{steps:?}");
    // Buried, and kept like any other dead one.
    assert_eq!(states(store).await, vec![Dead; MANY as usize]);
    prune(store, 1091 * DAY).await;
    assert_eq!(states(store).await, []);
    assert_eq!(store.incidents(&IncidentFilter { open: false, limit: 1 }).await.unwrap(), vec![]);
}

pub(super) async fn deliveries_of_a_removed_sink_are_dead(store: &Shared) {
    put(store, "gone", &[notification(1, 1, Trigger), notification(1, 2, Update), notification(2, 1, Trigger)]).await;
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let flying = lease(store, 10, "gone", 1).await.remove(0);
    // The one in flight is left to whoever sends it.
    assert_eq!(prune(store, 20).await, 2);
    assert_eq!(states(store).await, [Waiting, Dead, Dead, Waiting]);
    settle(store, 21, flying.delivery.id, done()).await;
    assert_eq!(states(store).await, [Done, Dead, Dead, Waiting]);
    assert_eq!(all(store).await[1].last_error.as_deref(), Some("the sink is no longer configured"));
    assert_eq!(leased(store, 22, "gone").await, Vec::<String>::new());
    assert_eq!(leased(store, 22, "chat").await, ["n1-1"]);
    // A claim that ran out protects nobody.
    put(store, "gone", &[notification(3, 1, Trigger)]).await;
    lease(store, 30, "gone", 1).await;
    assert_eq!(prune(store, 90).await, 1);
}

pub(super) async fn a_probe_answers(store: &Shared) {
    for seconds in 0..3 {
        store.probe(at(seconds)).await.unwrap();
    }
    assert_eq!(all(store).await, vec![]);
}
