//! Lanes against a store and sinks of plain values, on the paused clock.

pub(in crate::deliver) mod fixture;

mod caps;
mod outage;

use std::sync::atomic::Ordering;
use std::time::Duration;

use fixture::*;

use super::*;
use crate::core::notification::{Kind, Reason};
use crate::core::rule::Severity;
use crate::sink::{Character, Class, FailReason};
use crate::store::DeliveryState;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_commit_is_told_at_once_and_in_order_with_memory() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![lane("chat", &sink)]);
    pass(SECOND).await;
    for (transition, kind) in [(1, Kind::Trigger), (2, Kind::Update), (3, Kind::Resolve)] {
        world.commit(&["chat"], &notification(1, transition, kind, Severity::High));
        pass(Duration::from_millis(30)).await;
    }
    assert_eq!(sink.accepted(), ["n1-1", "n1-2", "n1-3"]);
    let seen = sink.seen();
    assert!(seen[0].at < SECOND + Duration::from_millis(1), "{:?}", seen[0].at);
    assert_eq!((&seen[0].memory, seen[1].memory.as_deref()), (&None, Some("thread of i1")));
    assert_eq!(seen[0].key, "n1-1-chat");
}

#[tokio::test(start_paused = true)]
async fn order_holds_while_others_overtake() {
    let sink = FakeSink::new(Character::Machine);
    let world = World::new(vec![lane("hook", &sink)]);
    *sink.slow.lock().unwrap() = SECOND;
    for n in 1..=8 {
        world.trigger(&["hook"], n, Severity::High);
        world.commit(&["hook"], &notification(n, 2, Kind::Update, Severity::High));
    }
    pass(SECOND * 10).await;
    let accepted = sink.accepted();
    assert_eq!(accepted.len(), 16);
    for n in 1..=8 {
        let place = |transition| accepted.iter().position(|id| *id == format!("n{n}-{transition}")).unwrap();
        assert!(place(1) < place(2));
    }
    let most = sink.seen().iter().map(|one| sink.seen().iter().filter(|two| two.at == one.at).count()).max();
    assert_eq!(most, Some(4), "slots");
    assert!(world.store.settle_calls.load(Ordering::SeqCst) <= 8, "those that land together are settled together");
}

#[tokio::test(start_paused = true)]
async fn an_idle_lane_asks_seldom() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![lane("chat", &sink)]);
    pass(Duration::from_hours(1)).await;
    let calls = world.store.lease_calls.load(Ordering::SeqCst);
    assert!((200..=250).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_wake_is_found_by_polling() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![lane("chat", &sink)]);
    pass(SECOND).await;
    world.store.put(world.clock.now(), "chat", notification(1, 1, Kind::Trigger, Severity::High));
    pass(SECOND * 20).await;
    assert_eq!(sink.accepted(), ["n1-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_an_unknown_outcome_and_keeps_its_key() {
    for mood in [Mood::Hangs, Mood::Panics] {
        let sink = FakeSink::new(Character::Machine);
        let world = World::new(vec![lane("hook", &sink)]);
        sink.feel(mood);
        world.trigger(&["hook"], 1, Severity::High);
        pass(Duration::from_millis(1)).await;
        sink.feel(Mood::Well);
        pass(SECOND * 40).await;
        let seen = sink.seen();
        assert_eq!(seen.len(), 2, "one repeat");
        assert_eq!(seen[0].key, seen[1].key);
        assert_eq!((seen[0].unknown, seen[1].unknown), (false, true));
        assert_eq!(world.store.states("hook"), [DeliveryState::Done]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_well_before_its_lease_even_if_the_store_was_slow() {
    let sink = FakeSink::new(Character::Machine);
    let world = World::new(vec![lane("hook", &sink)]);
    pass(SECOND).await;
    *world.store.slow.lock().unwrap() = SECOND * 45;
    sink.feel(Mood::Hangs);
    world.trigger(&["hook"], 1, Severity::High);
    pass(SECOND * 49).await;
    assert_eq!((sink.seen().len(), world.store.rows("hook")[0].attempts), (1, 0));
    pass(SECOND * 2).await;
    assert_eq!(world.store.rows("hook")[0].attempts, 1, "cut off 10 s before the lease of 60 s ends");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_its_resolve_overtook_is_one_note() {
    let sink = FakeSink::new(Character::Pager);
    let mut limited = lane("oncall", &sink);
    limited.config.max_per_minute = Some(1);
    let world = World::new(vec![limited]);
    world.trigger(&["oncall"], 9, Severity::Critical);
    pass(SECOND).await;
    for (transition, kind) in [(1, Kind::Trigger), (2, Kind::Update), (3, Kind::Resolve)] {
        world.commit(&["oncall"], &notification(1, transition, kind, Severity::High));
    }
    pass(SECOND * 70).await;
    let seen = sink.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let note = &seen[1].notification;
    assert_eq!((note.id.as_str(), note.kind, note.reason), ("n1-1", Kind::Notice, Reason::TooLate));
    assert_eq!(seen[1].key, "n1-1-oncall");
    assert_eq!(world.store.states("oncall"), [DeliveryState::Done; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_trigger_dies_visibly_and_cancels_its_resolve() {
    let sink = FakeSink::new(Character::Pager);
    let world = World::new(vec![lane("oncall", &sink)]);
    sink.feel(fails(Class::Reject, FailReason::Client));
    world.trigger(&["oncall"], 1, Severity::High);
    world.commit(&["oncall"], &notification(1, 2, Kind::Update, Severity::High));
    pass(SECOND).await;
    assert_eq!(world.store.states("oncall"), [DeliveryState::Dead, DeliveryState::Cancelled]);
    assert_eq!(world.notes.all(), ["oncall dead n1-1"]);
    assert_eq!(sink.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for() {
    let sink = FakeSink::new(Character::Machine);
    let world = World::new(vec![lane("hook", &sink)]);
    pass(SECOND).await;
    *sink.slow.lock().unwrap() = SECOND;
    world.trigger(&["hook"], 1, Severity::High);
    world.trigger(&["hook"], 2, Severity::High);
    pass(SECOND / 2).await;
    world.store.broken.store(true, Ordering::SeqCst);
    pass(Duration::from_mins(10)).await;
    assert_eq!(sink.accepted().len(), 2);
    world.trigger(&["hook"], 3, Severity::High);
    world.store.broken.store(false, Ordering::SeqCst);
    pass(SECOND * 30).await;
    assert_eq!(world.store.states("hook"), [DeliveryState::Done; 3]);
    assert_eq!(sink.seen().len(), 3, "what was accepted is not told again");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_in_flight_and_hands_back_the_rest() {
    let sink = FakeSink::new(Character::Machine);
    let slow = FakeSink::new(Character::Machine);
    let world = World::new(vec![lane("hook", &sink), lane("slow", &slow)]);
    *sink.slow.lock().unwrap() = SECOND * 5;
    slow.feel(Mood::Hangs);
    world.trigger(&["hook", "slow"], 1, Severity::High);
    pass(SECOND).await;
    let before = tokio::time::Instant::now();
    world.deliver.stop(SECOND * 10).await;
    assert!(before.elapsed() <= SECOND * 11, "{:?}", before.elapsed());
    assert_eq!(world.store.states("hook"), [DeliveryState::Done]);
    let back = &world.store.rows("slow")[0];
    assert_eq!((back.state, back.outcome_unknown), (DeliveryState::Waiting, true), "it may have been accepted");
    assert_eq!(world.store.claimed(world.clock.now()), 0);
    world.trigger(&["hook"], 2, Severity::High);
    pass(Duration::from_mins(1)).await;
    assert_eq!(sink.seen().len(), 1, "nothing is told after the stop");
}

#[tokio::test(start_paused = true)]
async fn lanes_are_replaced_while_attempts_are_in_flight() {
    let (old, new, other) =
        (FakeSink::new(Character::Machine), FakeSink::new(Character::Machine), FakeSink::new(Character::Machine));
    let world = World::new(vec![lane("hook", &old), lane("other", &other), lane("gone", &other)]);
    *old.slow.lock().unwrap() = SECOND * 3;
    world.trigger(&["hook"], 1, Severity::High);
    pass(SECOND).await;
    world.deliver.set_lanes(vec![lane("hook", &new), lane("other", &other), lane("added", &new)]);
    world.commit(&["hook"], &notification(1, 2, Kind::Update, Severity::High));
    world.trigger(&["hook", "other", "added", "gone"], 2, Severity::High);
    pass(SECOND * 20).await;
    assert_eq!(old.accepted(), ["n1-1"], "in flight, finished and settled");
    let told: Vec<String> = new.seen().into_iter().map(|seen| seen.key).collect();
    assert_eq!(told, ["n2-1-hook", "n2-1-added", "n1-2-hook"], "order holds across the change");
    assert_eq!(other.seen().len(), 1);
    assert_eq!(world.store.states("gone"), [DeliveryState::Waiting]);
}

#[tokio::test(start_paused = true)]
async fn drained_waits_for_the_named_deliveries_only() {
    let (sink, stuck) = (FakeSink::new(Character::Machine), FakeSink::new(Character::Machine));
    let world = World::new(vec![lane("hook", &sink), lane("stuck", &stuck)]);
    *sink.slow.lock().unwrap() = SECOND * 3;
    stuck.feel(fails(Class::Park, FailReason::Auth));
    world.trigger(&["hook", "stuck"], 1, Severity::High);
    let before = tokio::time::Instant::now();
    world.deliver.drained(&[("hook".into(), "n1-1".into()), ("hook".into(), "never".into())]).await;
    let took = before.elapsed();
    assert!(took >= SECOND * 3 && took < SECOND * 4, "{took:?}");
    let stuck = [("stuck".to_owned(), "n1-1".to_owned())];
    assert!(tokio::time::timeout(SECOND * 50, world.deliver.drained(&stuck)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn paging_directly_needs_no_store_and_is_limited() {
    let (well, hangs) = (FakeSink::new(Character::Pager), FakeSink::new(Character::Chat));
    let world = World::new(vec![lane("oncall", &well), lane("chat", &hangs)]);
    world.store.broken.store(true, Ordering::SeqCst);
    hangs.feel(Mood::Hangs);
    let page = notification(1, 1, Kind::Trigger, Severity::Critical);
    assert_eq!(world.deliver.page_directly("disk", &page).await, Direct::Told { accepted: 1, of: 2 });
    assert!(well.seen()[0].at < SECOND, "a hanging sink delays nobody");
    assert_eq!(world.deliver.page_directly("disk", &page).await, Direct::TooSoon);
    assert_eq!(well.accepted().len(), 1);
    assert!(matches!(world.deliver.page_directly("another", &page).await, Direct::Told { .. }));
    pass(Duration::from_mins(15)).await;
    assert!(matches!(world.deliver.page_directly("disk", &page).await, Direct::Told { .. }));
    well.feel(fails(Class::Park, FailReason::Auth));
    assert_eq!(world.deliver.page_directly("third", &page).await, Direct::Told { accepted: 0, of: 2 });
    pass(Duration::from_mins(1)).await;
    well.feel(Mood::Well);
    assert_eq!(world.deliver.page_directly("third", &page).await, Direct::Told { accepted: 1, of: 2 });
}
