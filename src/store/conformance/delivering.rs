//! `lease` and `settle`: order, claims that run out, and how attempts end.

use super::fixture::{
    Shared, all, at, dead, done, fingerprint, lease, leased, notification, only, put, settle, states,
};
use crate::core::notification::Kind::{Notice, Resolve, Trigger, Update};
use crate::core::rule::Severity;
use crate::store::DeliveryState::{Cancelled, Dead, Done, Parked, Waiting};
use crate::store::{Outcome, Settlement};

fn retry(seconds: i64, outcome_unknown: bool) -> Outcome {
    Outcome::Retry { at: at(seconds), outcome_unknown, error: "refused".into() }
}

pub(super) async fn urgent_ones_come_first_then_older_ones(store: &Shared) {
    let of = |n, severity| {
        let mut one = notification(n, 1, Trigger);
        one.incident.severity = severity;
        one
    };
    let waiting = [
        of(1, Severity::Info),
        of(2, Severity::High),
        of(3, Severity::Critical),
        of(4, Severity::High),
        of(5, Severity::Medium),
    ];
    put(store, "chat", &waiting).await;
    assert_eq!(leased(store, 10, "chat").await, ["n3-1", "n2-1", "n4-1", "n5-1", "n1-1"]);
    assert_eq!(leased(store, 11, "chat").await, Vec::<String>::new());
}

pub(super) async fn only_the_oldest_of_a_fingerprint_is_leased(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger), notification(1, 2, Update), notification(1, 3, Update)]).await;
    let first = only(store, 10, "chat").await;
    assert_eq!(first.delivery.notification.id, "n1-1");
    // It is retried much later; the others wait behind it, although they are due.
    settle(store, 11, first.delivery.id, retry(500, false)).await;
    assert_eq!(leased(store, 400, "chat").await, Vec::<String>::new());
    let again = only(store, 500, "chat").await;
    assert_eq!((again.delivery.id, again.delivery.attempts), (first.delivery.id, 1));
    settle(store, 501, again.delivery.id, done()).await;
    assert_eq!(leased(store, 501, "chat").await, ["n1-2"]);
}

pub(super) async fn a_later_incident_of_the_fingerprint_waits_too(store: &Shared) {
    let mut later = notification(2, 1, Trigger);
    later.incident.fingerprint = fingerprint(1);
    later.incident.severity = Severity::Critical;
    put(store, "chat", &[notification(1, 1, Notice), later]).await;
    let first = only(store, 10, "chat").await;
    assert_eq!(first.delivery.notification.id, "n1-1");
    settle(store, 11, first.delivery.id, done()).await;
    assert_eq!(leased(store, 12, "chat").await, ["n2-1"]);
}

pub(super) async fn sinks_do_not_hold_each_other(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    put(store, "pager", &[notification(1, 1, Trigger)]).await;
    let stuck = only(store, 10, "chat").await;
    settle(store, 11, stuck.delivery.id, retry(10_000, true)).await;
    assert_eq!(leased(store, 12, "pager").await, ["n1-1"]);
    assert_eq!(leased(store, 12, "nobody").await, Vec::<String>::new());
}

pub(super) async fn no_more_are_leased_than_wanted(store: &Shared) {
    let many: Vec<_> = (1..=50).map(|n| notification(n, 1, Trigger)).collect();
    put(store, "chat", &many).await;
    put(store, "pager", &many).await;
    let wanted = [("chat".to_owned(), 3), ("pager".to_owned(), 40), ("other".to_owned(), 5), ("chat2".to_owned(), 0)];
    let claimed = store.lease(at(10), at(70), &wanted).await.unwrap();
    let of = |sink: &str| claimed.iter().filter(|one| one.delivery.sink == sink).count();
    assert_eq!((of("chat"), of("pager"), claimed.len()), (3, 40, 43));
    assert_eq!(lease(store, 11, "chat", 0).await, vec![]);
    assert_eq!(lease(store, 11, "chat", 100).await.len(), 47);
}

pub(super) async fn a_lease_runs_out_as_an_attempt_of_unknown_outcome(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger), notification(1, 2, Update)]).await;
    let first = only(store, 10, "chat").await;
    assert_eq!((first.delivery.attempts, first.delivery.outcome_unknown), (0, false));
    assert_eq!(lease(store, 69, "chat", 9).await, vec![]);
    let second = only(store, 70, "chat").await;
    assert_eq!(second.delivery.id, first.delivery.id);
    assert_eq!((second.delivery.attempts, second.delivery.outcome_unknown), (1, true));
    let third = only(store, 130, "chat").await;
    assert_eq!((third.delivery.attempts, third.delivery.outcome_unknown), (2, true));
    settle(store, 131, third.delivery.id, done()).await;
    // What waited behind it was never tried.
    let next = only(store, 132, "chat").await;
    assert_eq!((next.delivery.attempts, next.delivery.outcome_unknown), (0, false));
}

pub(super) async fn a_retry_waits_for_its_time(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let first = only(store, 10, "chat").await;
    settle(store, 11, first.delivery.id, retry(100, true)).await;
    assert_eq!(lease(store, 99, "chat", 9).await, vec![]);
    let kept = &all(store).await[0];
    assert_eq!((kept.state, kept.due_at, kept.last_error.as_deref()), (Waiting, at(100), Some("refused")));
    let second = only(store, 100, "chat").await.delivery;
    assert_eq!((second.attempts, second.outcome_unknown, second.last_error.as_deref()), (1, true, Some("refused")));
    assert_eq!((second.due_at, second.created_at), (at(100), at(1)));
    // Now it is known how the last one ended.
    settle(store, 101, second.id, retry(200, false)).await;
    let third = only(store, 200, "chat").await.delivery;
    assert_eq!((third.attempts, third.outcome_unknown), (2, false));
}

pub(super) async fn a_parked_one_stays_parked_until_it_is_done(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger), notification(1, 2, Update)]).await;
    let first = only(store, 10, "chat").await.delivery;
    settle(store, 11, first.id, Outcome::Parked { at: at(100), outcome_unknown: false, error: "revoked".into() }).await;
    assert_eq!(states(store).await, [Parked, Waiting]);
    let again = only(store, 100, "chat").await.delivery;
    assert_eq!((again.state, again.attempts, again.last_error.as_deref()), (Parked, 1, Some("revoked")));
    settle(store, 101, again.id, Outcome::Released { at: at(110) }).await;
    assert_eq!(states(store).await, [Parked, Waiting]);
    let again = only(store, 110, "chat").await.delivery;
    settle(store, 111, again.id, done()).await;
    assert_eq!(states(store).await, [Done, Waiting]);
}

pub(super) async fn a_released_one_was_not_tried(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let first = only(store, 10, "chat").await.delivery;
    settle(store, 11, first.id, Outcome::Released { at: at(20) }).await;
    assert_eq!(lease(store, 19, "chat", 9).await, vec![]);
    let second = only(store, 20, "chat").await.delivery;
    assert_eq!((second.attempts, second.outcome_unknown, second.last_error), (0, false, None));
}

pub(super) async fn a_finished_one_stays_finished(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let one = only(store, 10, "chat").await.delivery;
    settle(store, 11, one.id, done()).await;
    // The word of somebody whose claim had run out.
    settle(store, 12, one.id, retry(13, false)).await;
    settle(store, 12, one.id, dead()).await;
    assert_eq!(states(store).await, [Done]);
    assert_eq!(lease(store, 1000, "chat", 9).await, vec![]);
    assert_eq!(all(store).await[0].attempts, 1);
}

pub(super) async fn what_the_sink_remembers_comes_back(store: &Shared) {
    let remember = |text: &str| Outcome::Done { memory: Some(text.to_owned()) };
    put(store, "chat", &[notification(1, 1, Trigger), notification(1, 2, Update), notification(1, 3, Update)]).await;
    put(store, "pager", &[notification(1, 1, Trigger)]).await;
    put(store, "chat", &[notification(2, 1, Trigger), notification(1, 4, Resolve)]).await;
    let first = lease(store, 10, "chat", 1).await.remove(0);
    assert_eq!(first.memory, None);
    settle(store, 11, first.delivery.id, remember("thread 1")).await;
    let second = lease(store, 12, "chat", 1).await.remove(0);
    assert_eq!((second.delivery.notification.id.as_str(), second.memory.as_deref()), ("n1-2", Some("thread 1")));
    settle(store, 13, second.delivery.id, remember("thread 2")).await;
    let third = lease(store, 14, "chat", 1).await.remove(0);
    assert_eq!(third.memory.as_deref(), Some("thread 2"));
    // Of this incident and this sink alone.
    assert_eq!(only(store, 14, "pager").await.memory, None);
    assert_eq!(only(store, 14, "chat").await.memory, None);
    settle(store, 15, third.delivery.id, done()).await;
    assert_eq!(only(store, 16, "chat").await.memory, None);
}

pub(super) async fn a_dead_trigger_cancels_what_waits_behind_it(store: &Shared) {
    let mut next = notification(2, 1, Trigger);
    next.incident.fingerprint = fingerprint(1);
    let mine = [notification(1, 1, Trigger), notification(1, 2, Update), notification(1, 3, Resolve), next];
    put(store, "chat", &mine).await;
    put(store, "pager", &[notification(1, 1, Trigger)]).await;
    let trigger = only(store, 10, "chat").await.delivery;
    settle(store, 11, trigger.id, dead()).await;
    assert_eq!(states(store).await, [Dead, Cancelled, Cancelled, Waiting, Waiting]);
    let buried = &all(store).await[0];
    assert_eq!((buried.last_error.as_deref(), buried.attempts), (Some("no such channel"), 1));
    // The fingerprint's next incident goes on, and so does the other sink.
    assert_eq!(leased(store, 12, "chat").await, ["n2-1"]);
    assert_eq!(leased(store, 12, "pager").await, ["n1-1"]);
}

pub(super) async fn a_dead_trigger_does_not_cancel_the_next_one(store: &Shared) {
    // Opened, resolved, and opened again.
    let kinds = [Trigger, Update, Resolve, Trigger, Update];
    let told: Vec<_> = (1..).zip(kinds).map(|(n, kind)| notification(1, n, kind)).collect();
    put(store, "chat", &told).await;
    // Others' triggers are no bound.
    put(store, "pager", &told).await;
    let first = only(store, 10, "chat").await.delivery;
    settle(store, 11, first.id, dead()).await;
    assert_eq!(states(store).await[..5], [Dead, Cancelled, Cancelled, Waiting, Waiting]);
    let page = only(store, 12, "chat").await.delivery;
    assert_eq!(page.notification.id, "n1-4");
    settle(store, 13, page.id, dead()).await;
    assert_eq!(states(store).await[..5], [Dead, Cancelled, Cancelled, Dead, Cancelled]);
    assert_eq!(states(store).await[5..], [Waiting; 5]);
}

pub(super) async fn a_dead_update_cancels_nothing(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Update), notification(1, 2, Resolve)]).await;
    let update = only(store, 10, "chat").await.delivery;
    settle(store, 11, update.id, dead()).await;
    assert_eq!(states(store).await, [Dead, Waiting]);
    assert_eq!(leased(store, 12, "chat").await, ["n1-2"]);
}

pub(super) async fn a_resolve_that_comes_after_its_trigger_died_is_cancelled(store: &Shared) {
    for sink in ["chat", "pager"] {
        put(store, sink, &[notification(1, 1, Trigger)]).await;
    }
    let page = only(store, 10, "pager").await.delivery;
    settle(store, 11, page.id, done()).await;
    let trigger = only(store, 12, "chat").await.delivery;
    settle(store, 13, trigger.id, dead()).await;
    for sink in ["chat", "pager"] {
        put(store, sink, &[notification(1, 2, Resolve)]).await;
    }
    assert_eq!(states(store).await, [Dead, Done, Cancelled, Waiting]);
    assert_eq!(leased(store, 14, "chat").await, Vec::<String>::new());
    assert_eq!(leased(store, 14, "pager").await, ["n1-2"], "who heard the trigger hears the rest");

    // It opens again: that is told, and so is its end.
    put(store, "chat", &[notification(1, 3, Trigger)]).await;
    let again = only(store, 20, "chat").await.delivery;
    settle(store, 21, again.id, done()).await;
    put(store, "chat", &[notification(1, 4, Resolve)]).await;
    let end = only(store, 22, "chat").await.delivery;
    assert_eq!(end.notification.id, "n1-4");
    settle(store, 23, end.id, done()).await;

    // It opens and dies once more, but then rises, and that is told: now they know of it.
    put(store, "chat", &[notification(1, 5, Trigger)]).await;
    let third = only(store, 30, "chat").await.delivery;
    settle(store, 31, third.id, dead()).await;
    put(store, "chat", &[notification(1, 6, Update)]).await;
    let risen = only(store, 32, "chat").await.delivery;
    settle(store, 33, risen.id, done()).await;
    put(store, "chat", &[notification(1, 7, Resolve)]).await;
    assert_eq!(leased(store, 34, "chat").await, ["n1-7"]);

    // Another incident that has no trigger here is nobody's follower.
    put(store, "chat", &[notification(2, 1, Resolve)]).await;
    assert_eq!(leased(store, 35, "chat").await, ["n2-1"]);
}

pub(super) async fn a_trigger_whose_resolve_waits_is_overtaken(store: &Shared) {
    let mut other = notification(2, 1, Resolve);
    other.incident.fingerprint = fingerprint(1);
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    put(store, "pager", &[notification(1, 1, Trigger)]).await;
    put(store, "chat", &[notification(1, 2, Update), notification(1, 3, Resolve), notification(1, 4, Trigger), other])
        .await;
    let head = only(store, 10, "chat").await;
    let overtaken = head.overtaken.unwrap();
    assert_eq!(overtaken.resolve, notification(1, 3, Resolve));
    let ids: Vec<i64> = all(store).await.iter().filter(|one| one.sink == "chat").map(|one| one.id).take(3).collect();
    assert_eq!(overtaken.ids, ids);
    // The other sink has no resolve waiting.
    assert_eq!(only(store, 10, "pager").await.overtaken, None);
    // Nothing else of it can be leased meanwhile; they are settled together.
    assert_eq!(lease(store, 11, "chat", 9).await, vec![]);
    let settlements: Vec<_> = ids.iter().map(|id| Settlement { id: *id, outcome: done() }).collect();
    store.settle(at(12), &settlements).await.unwrap();
    assert_eq!(states(store).await, [Done, Waiting, Done, Done, Waiting, Waiting]);
    assert_eq!(leased(store, 13, "chat").await, ["n1-4"]);
}

pub(super) async fn a_tried_trigger_is_not_overtaken(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    let first = only(store, 10, "chat").await;
    assert_eq!(first.overtaken, None);
    put(store, "chat", &[notification(1, 2, Resolve)]).await;
    // Its claim runs out: perhaps it was told, so its resolve must follow it.
    let second = only(store, 70, "chat").await;
    assert_eq!((second.delivery.attempts, second.overtaken), (1, None));
    settle(store, 71, second.delivery.id, done()).await;
    assert_eq!(leased(store, 72, "chat").await, ["n1-2"]);
}

pub(super) async fn a_note_whose_outcome_is_unknown_is_the_same_note_again(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    put(store, "chat", &[notification(1, 2, Resolve)]).await;
    let first = only(store, 10, "chat").await;
    assert!(first.overtaken.is_some());
    // Its claim runs out: perhaps the note was told. Telling the trigger now would give one id two meanings.
    let second = only(store, 70, "chat").await;
    assert_eq!(second.delivery.attempts, 1);
    assert_eq!(second.overtaken, first.overtaken);
}

pub(super) async fn many_ends_are_settled_together(store: &Shared) {
    let many: Vec<_> = (1..=70).map(|n| notification(n, 1, Trigger)).collect();
    put(store, "chat", &many).await;
    let claimed = lease(store, 10, "chat", 70).await;
    let settlements: Vec<_> = claimed
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let outcome = match at % 3 {
                0 => Outcome::Done { memory: Some(format!("thread {}", one.delivery.id)) },
                1 => retry(100, true),
                _ => dead(),
            };
            Settlement { id: one.delivery.id, outcome }
        })
        .collect();
    store.settle(at(11), &settlements).await.unwrap();
    let wanted: Vec<_> = (0..70).map(|at| [Done, Waiting, Dead][at % 3]).collect();
    assert_eq!(states(store).await, wanted);
    // What was remembered belongs to its own incident.
    put(store, "chat", &[notification(1, 2, Update), notification(4, 2, Update)]).await;
    let memories: Vec<_> = lease(store, 12, "chat", 9).await.into_iter().map(|one| one.memory.unwrap()).collect();
    assert_eq!(memories, [format!("thread {}", claimed[0].delivery.id), format!("thread {}", claimed[3].delivery.id)]);
}

pub(super) async fn unknown_ids_are_left_alone(store: &Shared) {
    put(store, "chat", &[notification(1, 1, Trigger)]).await;
    settle(store, 11, 4711, done()).await;
    store.settle(at(11), &[]).await.unwrap();
    assert_eq!(states(store).await, [Waiting]);
}
