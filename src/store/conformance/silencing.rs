//! Silences, and the situations whose notifications are held back.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::fixture::{Shared, at, fingerprint, incident_id, keep, situation};
use crate::core::decide::Decision;
use crate::core::hold::{Gate, Held};
use crate::core::incident::{Situation, State};
use crate::core::notification::{Kind, Reason};
use crate::core::silence::{Ended, Silence};
use crate::store::Retention;

fn silence(id: &str, from: i64, to: i64) -> Silence {
    Silence {
        id: id.into(),
        matches: json!({ "severity": ["high"] }),
        by: "jo".into(),
        why: "it's \"planned\" \u{202e}".into(),
        created_at: at(from),
        ends_at: at(to),
        until_resolved: false,
        waits_for: BTreeMap::new(),
        pierce: true,
        ended: None,
    }
}

async fn put(store: &Shared, silences: Vec<Silence>) {
    keep(store, Decision { silences, ..Decision::default() }).await;
}

async fn ids(store: &Shared, in_force: Option<i64>) -> Vec<String> {
    store.silences(in_force.map(at)).await.unwrap().into_iter().map(|silence| silence.id).collect()
}

pub(super) async fn a_silence_is_kept_and_ends(store: &Shared) {
    assert_eq!(ids(store, None).await, Vec::<String>::new());
    let mut waiting = silence("b", 0, 300);
    waiting.until_resolved = true;
    waiting.waits_for = [(incident_id(1), fingerprint(1))].into();
    put(store, vec![silence("a", 0, 100), waiting.clone(), silence("c", 0, 200)]).await;
    assert_eq!(ids(store, Some(0)).await, ["a", "b", "c"]);
    assert_eq!(ids(store, Some(99)).await, ["a", "b", "c"]);
    assert_eq!(ids(store, Some(100)).await, ["b", "c"], "its end does not belong to it");
    assert_eq!(ids(store, Some(1000)).await, Vec::<String>::new());
    assert_eq!(ids(store, None).await, ["b", "c", "a"], "the one that ends last first");
    assert_eq!(store.silences(Some(at(250))).await.unwrap(), [waiting]);
}

pub(super) async fn whoever_ended_a_silence_has_the_last_word(store: &Shared) {
    put(store, vec![silence("a", 0, 100), silence("b", 0, 100)]).await;
    let ended = Silence {
        ended: Some(Ended { at: at(20), by: Some("kim".into()), why: "done".into() }),
        ..silence("a", 0, 100)
    };
    put(store, vec![ended.clone()]).await;
    assert_eq!(ids(store, Some(10)).await, ["b"], "it is over, whatever the clock says");
    // Somebody who did not know yet.
    let mut late = silence("a", 0, 100);
    late.waits_for = [(incident_id(1), fingerprint(1))].into();
    put(store, vec![late]).await;
    assert_eq!(store.silences(None).await.unwrap(), [silence("b", 0, 100), ended]);
}

pub(super) async fn ended_silences_are_forgotten(store: &Shared) {
    let ended =
        Silence { ended: Some(Ended { at: at(20), by: None, why: "resolved".into() }), ..silence("b", 0, 5000) };
    put(store, vec![silence("a", 0, 100), ended, silence("c", 0, 5000)]).await;
    let day = SignedDuration::from_hours(24);
    let retention = Retention { seen: day, history: SignedDuration::from_secs(1000), markers: day };
    store.prune(at(1020), &retention, &[]).await.unwrap();
    assert_eq!(ids(store, None).await, ["c", "a", "b"], "nothing is old enough");
    store.prune(at(1021), &retention, &[]).await.unwrap();
    assert_eq!(ids(store, None).await, ["c", "a"]);
    store.prune(at(5999), &retention, &[]).await.unwrap();
    assert_eq!(ids(store, None).await, ["c"]);
}

fn held(n: u32) -> Situation {
    let mut situation = situation(n, State::Open);
    situation.incident.as_mut().unwrap().held = Some(Held {
        gate: Gate::Shadow { rule: "r".into() },
        since: at(0),
        until: Some(at(500)),
        kind: Kind::Trigger,
        reason: Reason::Opened,
    });
    situation
}

pub(super) async fn held_situations_come_in_pages(store: &Shared) {
    let situations = vec![held(1), situation(2, State::Open), held(3), held(4)];
    keep(store, Decision { situations, ..Decision::default() }).await;
    let page =
        async |after: Option<u32>, limit| store.held_situations(after.map(fingerprint).as_ref(), limit).await.unwrap();
    assert_eq!(page(None, 2).await, [held(1), held(3)]);
    assert_eq!(page(Some(3), 2).await, [held(4)]);
    keep(store, Decision { situations: vec![situation(1, State::Open)], ..Decision::default() }).await;
    assert_eq!(page(None, 9).await, [held(3), held(4)], "told meanwhile");
    assert_eq!(held(3).next_due(), Some(at(500)), "a gate that opens by itself is a timer");
}

pub(super) async fn situations_are_read_by_name(store: &Shared) {
    let situations = vec![situation(1, State::Open), situation(2, State::Resolved)];
    keep(store, Decision { situations: situations.clone(), ..Decision::default() }).await;
    assert_eq!(store.situations(&[]).await.unwrap(), []);
    let mut found = store.situations(&[fingerprint(2), fingerprint(9), fingerprint(1)]).await.unwrap();
    found.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    assert_eq!(found, situations);
}
