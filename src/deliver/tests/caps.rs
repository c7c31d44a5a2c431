//! Rate caps: digests in chats, waiting on pagers, everything to machines.

use super::*;

fn capped(name: &str, sink: &Arc<FakeSink>, max: u32) -> Lane {
    let mut lane = lane(name, sink);
    lane.config.max_per_minute = Some(max);
    lane
}

#[tokio::test(start_paused = true)]
async fn a_burst_in_a_chat_becomes_a_digest_and_critical_triggers_stand_alone() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![capped("chat", &sink, 6)]);
    for n in 1..=40 {
        world.trigger(&["chat"], n, Severity::Medium);
    }
    world.trigger(&["chat"], 41, Severity::Critical);
    pass(Duration::from_mins(1)).await;
    let singles = sink.accepted();
    assert!(singles.contains(&"n41-1".to_owned()), "{singles:?}");
    let digests = sink.digests.lock().unwrap().clone();
    assert_eq!(digests.len(), 1, "{digests:?}");
    let (shown, more) = &digests[0];
    assert_eq!(shown.len(), 10);
    assert_eq!(singles.len() + shown.len() + more, 41, "an honest count");
    assert!(!shown.contains(&"n41-1".to_owned()));
    assert!(singles.len() + digests.len() <= 11, "6 a minute and a burst of 5");
    assert!(world.store.states("chat").iter().all(|state| *state == DeliveryState::Done));
}

#[tokio::test(start_paused = true)]
async fn critical_triggers_are_told_one_by_one_before_any_digest() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![capped("chat", &sink, 60)]);
    for n in 1..=100 {
        world.trigger(&["chat"], n, if n % 5 == 0 { Severity::Critical } else { Severity::Low });
    }
    pass(Duration::from_mins(1)).await;
    let singles = sink.accepted();
    assert_eq!(singles.len(), 20, "{singles:?}");
    assert!(singles.iter().all(|id| id.contains("0-") || id.contains("5-")));
    let told: usize = sink.digests.lock().unwrap().iter().map(|(shown, more)| shown.len() + more).sum();
    assert_eq!(told, 80);
}

#[tokio::test(start_paused = true)]
async fn a_rise_to_critical_is_told_in_full() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![capped("chat", &sink, 6)]);
    for n in 1..=40 {
        world.trigger(&["chat"], n, Severity::Medium);
    }
    pass(Duration::from_mins(3)).await;
    // What is new about these waits for the cap together with them.
    for n in 41..=80 {
        world.trigger(&["chat"], n, Severity::Medium);
    }
    let mut risen = notification(1, 2, Kind::Update, Severity::Critical);
    risen.reason = Reason::Escalated;
    world.commit(&["chat"], &risen);
    let mut repeat = notification(2, 2, Kind::Update, Severity::Critical);
    repeat.reason = Reason::Repeat;
    world.commit(&["chat"], &repeat);
    pass(Duration::from_mins(3)).await;
    assert!(sink.accepted().contains(&"n1-2".to_owned()), "{:?}", sink.accepted());
    let digests = sink.digests.lock().unwrap().clone();
    let told: usize = digests.iter().map(|(shown, more)| shown.len() + more).sum();
    assert_eq!(sink.accepted().len() + told, 82, "an honest count: {digests:?}");
    assert!(digests.iter().all(|(shown, _)| !shown.contains(&"n1-2".to_owned())));
    assert!(world.store.states("chat").iter().all(|state| *state == DeliveryState::Done));
}

#[tokio::test(start_paused = true)]
async fn a_refused_digest_is_told_one_by_one() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![capped("chat", &sink, 60)]);
    for n in 1..=5 {
        world.trigger(&["chat"], n, Severity::Medium);
    }
    pass(SECOND / 2).await;
    assert_eq!(sink.accepted().len(), 5, "the burst");
    sink.feel(fails(Class::Reject, FailReason::TooLarge));
    for n in 11..=20 {
        world.trigger(&["chat"], n, Severity::Medium);
    }
    pass(SECOND).await;
    sink.feel(Mood::Well);
    pass(Duration::from_mins(1)).await;
    assert!(sink.digests.lock().unwrap().is_empty());
    let states = world.store.states("chat");
    assert!(states.iter().all(|state| *state == DeliveryState::Done), "none is dead: {states:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pager_waits_and_takes_critical_ones_first() {
    let sink = FakeSink::new(Character::Pager);
    let world = World::new(vec![capped("oncall", &sink, 6)]);
    for n in 1..=12 {
        world.trigger(&["oncall"], n, Severity::Low);
    }
    pass(SECOND).await;
    world.trigger(&["oncall"], 99, Severity::Critical);
    pass(SECOND * 12).await;
    let accepted = sink.accepted();
    let place = accepted.iter().position(|id| id == "n99-1");
    assert_eq!(place, Some(5), "right after the burst of 5: {accepted:?}");
    pass(Duration::from_mins(3)).await;
    assert_eq!(sink.accepted().len(), 13, "each of them");
    assert!(sink.digests.lock().unwrap().is_empty());
    let seen = sink.seen();
    for window in seen.windows(12) {
        assert!(window[11].at >= window[0].at + Duration::from_mins(1), "over the cap");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_gets_everything_one_by_one() {
    let sink = FakeSink::new(Character::Machine);
    let world = World::new(vec![capped("hook", &sink, 60)]);
    for n in 1..=30 {
        world.trigger(&["hook"], n, Severity::Low);
    }
    pass(SECOND * 40).await;
    assert_eq!(sink.accepted().len(), 30);
}
