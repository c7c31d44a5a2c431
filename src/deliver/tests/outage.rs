//! Sinks that fail for long: the others do not feel it, the fallback hears of it, nothing is lost.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_sink_down_for_an_hour() {
    const EVERY: Duration = Duration::from_secs(30);
    const INCIDENTS: u32 = 120;
    let (down, well, second) =
        (FakeSink::new(Character::Pager), FakeSink::new(Character::Chat), FakeSink::new(Character::Chat));
    let mut oncall = lane("oncall", &down);
    oncall.config.fallback = Some("second".into());
    let world = World::new(vec![oncall, lane("chat", &well), lane("second", &second)]);
    down.feel(fails(Class::Retry { after: None }, FailReason::Network));
    let mut committed = vec![];
    for n in 1..=INCIDENTS {
        world.store.know(incident(n, &["oncall", "chat"]));
        committed.push(world.clock.now());
        world.trigger(&["oncall", "chat"], n, Severity::High);
        world.commit(&["oncall", "chat"], &notification(n, 2, Kind::Update, Severity::Critical));
        pass(EVERY).await;
        assert!(world.store.claimed(world.clock.now()) <= 4, "claims do not pile up");
    }

    // The healthy sink never waited.
    assert_eq!(well.seen().len(), 2 * INCIDENTS as usize);
    for seen in well.seen() {
        assert!(seen.at.as_millis() % EVERY.as_millis() < 50, "told late: {:?}", seen.at);
    }
    // Retries are bounded, however much waits.
    let attempts = down.seen().len();
    assert!((60..=250).contains(&attempts), "{attempts} attempts in an hour");
    // The fallback heard each once, within its time, and hears the rest from now on.
    let mut heard = second.accepted();
    assert_eq!(heard.len(), 2 * INCIDENTS as usize);
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 2 * INCIDENTS as usize, "told twice");
    assert!(second.seen()[0].at >= Duration::from_mins(5) && second.seen()[0].at < Duration::from_mins(6));
    let marks = &second.seen()[0].notification.marks;
    assert_eq!(marks, &["told here because sink oncall has been failing for 5m"]);
    assert_eq!(world.store.told(1), ["chat", "oncall", "second"]);
    assert_eq!(world.notes.all(), ["oncall failing since 0: network"]);
    assert!(world.health.ready().notes.iter().any(|note| note == "sink oncall is failing: network"));

    down.feel(Mood::Well);
    pass(Duration::from_mins(6)).await;
    let accepted = down.accepted();
    assert_eq!(accepted.len(), 2 * INCIDENTS as usize, "all is told when it is back");
    for n in 1..=INCIDENTS {
        let place = |transition| accepted.iter().position(|id| *id == format!("n{n}-{transition}")).unwrap();
        assert!(place(1) < place(2), "order");
    }
    assert_eq!(world.notes.all().last().unwrap(), "oncall recovered");
    assert!(!world.health.ready().notes.iter().any(|note| note.contains("oncall")));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_sink_hides_nothing_from_the_fallback() {
    let (hangs, second) = (FakeSink::new(Character::Pager), FakeSink::new(Character::Pager));
    let mut oncall = lane("oncall", &hangs);
    oncall.config.fallback = Some("second".into());
    let world = World::new(vec![oncall, lane("second", &second)]);
    hangs.feel(Mood::Hangs);
    for n in 1..=50 {
        world.trigger(&["oncall"], n, Severity::Critical);
    }
    pass(Duration::from_mins(7)).await;
    assert_eq!(second.accepted().len(), 50, "though most were never tried");
    world.trigger(&["oncall"], 51, Severity::Critical);
    pass(Duration::from_secs(40)).await;
    assert_eq!(second.accepted().len(), 51, "a new one does not wait again");
    assert!(hangs.seen().len() < 50);
}

#[tokio::test(start_paused = true)]
async fn a_long_backlog_hides_no_new_page_from_the_fallback() {
    let (down, second) = (FakeSink::new(Character::Pager), FakeSink::new(Character::Machine));
    let mut oncall = lane("oncall", &down);
    oncall.config.fallback = Some("second".into());
    let world = World::new(vec![oncall, lane("second", &second)]);
    down.feel(fails(Class::Retry { after: None }, FailReason::Network));
    for n in 1..=1500 {
        world.trigger(&["oncall"], n, Severity::High);
    }
    pass(Duration::from_mins(8)).await;
    assert_eq!(second.accepted().len(), 1500);
    world.trigger(&["oncall"], 9999, Severity::Critical);
    pass(Duration::from_secs(10)).await;
    assert_eq!(second.accepted().last().map(String::as_str), Some("n9999-1"));
    let page = world.store.largest_page.load(Ordering::SeqCst);
    assert!((1..=100).contains(&page), "{page} in memory at a time");
}

#[tokio::test(start_paused = true)]
async fn one_bad_delivery_on_a_healthy_sink_reaches_the_fallback_too() {
    let (sink, second) = (FakeSink::new(Character::Pager), FakeSink::new(Character::Pager));
    let mut oncall = lane("oncall", &sink);
    oncall.config.fallback = Some("second".into());
    let world = World::new(vec![oncall, lane("second", &second)]);
    let mut moods = (0..200).peekable();
    world.trigger(&["oncall"], 1, Severity::Critical);
    sink.feel(fails(Class::Retry { after: None }, FailReason::Server));
    while moods.next().is_some() {
        pass(SECOND * 3).await;
        // Something else succeeds in between, so that the sink as a whole is well.
        sink.feel(Mood::Well);
        let n = 1000 + u32::try_from(sink.seen().len()).unwrap();
        if world.store.rows("oncall")[0].state == DeliveryState::Waiting
            && world.store.rows("oncall")[0].due_at > world.clock.now() + SignedDuration::from_secs(1)
        {
            world.trigger(&["oncall"], n, Severity::Low);
            pass(SECOND / 2).await;
        }
        sink.feel(fails(Class::Retry { after: None }, FailReason::Server));
    }
    assert_eq!(world.notes.all(), Vec::<String>::new(), "the sink itself is well");
    assert!(second.accepted().contains(&"n1-1".to_owned()), "{:?}", second.accepted());
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_refuses_goes_to_the_fallback() {
    let (sink, second) = (FakeSink::new(Character::Pager), FakeSink::new(Character::Chat));
    let mut oncall = lane("oncall", &sink);
    oncall.config.fallback = Some("second".into());
    let world = World::new(vec![oncall, lane("second", &second)]);
    sink.feel(fails(Class::Reject, FailReason::TooLarge));
    world.store.know(incident(1, &["oncall"]));
    world.trigger(&["oncall"], 1, Severity::High);
    pass(SECOND).await;
    assert_eq!(second.seen()[0].notification.marks, ["told here because sink oncall refused it"]);
    assert_eq!(second.seen()[0].notification.kind, Kind::Trigger);
    assert_eq!(world.store.told(1), ["oncall", "second"]);
    assert_eq!(world.store.states("oncall"), [DeliveryState::Dead]);
}

#[tokio::test(start_paused = true)]
async fn a_parked_delivery_is_tried_slowly_and_given_up_in_the_end() {
    let (sink, second) = (FakeSink::new(Character::Chat), FakeSink::new(Character::Chat));
    let mut chat = lane("chat", &sink);
    chat.config.fallback = Some("second".into());
    let world = World::new(vec![chat, lane("second", &second)]);
    sink.feel(fails(Class::Park, FailReason::Auth));
    world.trigger(&["chat"], 1, Severity::High);
    pass(SECOND * 30).await;
    assert_eq!((sink.seen().len(), world.store.states("chat")[0]), (1, DeliveryState::Parked));
    pass(Duration::from_hours(1)).await;
    let attempts = sink.seen().len();
    assert!((4..=6).contains(&attempts), "{attempts}");
    assert_eq!(second.accepted(), ["n1-1"]);
    pass(Duration::from_hours(73)).await;
    assert_eq!(world.store.states("chat"), [DeliveryState::Dead]);
    assert!(world.store.rows("chat")[0].last_error.as_ref().unwrap().starts_with("given up after"));
    assert_eq!(world.notes.all(), ["chat failing since 0: auth", "chat dead n1-1"]);
    assert_eq!(second.accepted(), ["n1-1"], "told to the fallback once");
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_the_whole_lane() {
    let sink = FakeSink::new(Character::Chat);
    let world = World::new(vec![lane("chat", &sink)]);
    let after = Some(Duration::from_secs(90));
    sink.feel(fails(Class::Retry { after }, FailReason::RateLimited));
    world.trigger(&["chat"], 1, Severity::High);
    pass(SECOND).await;
    sink.feel(Mood::Well);
    world.trigger(&["chat"], 2, Severity::Critical);
    pass(Duration::from_secs(85)).await;
    assert_eq!(sink.seen().len(), 1, "neither the one that was refused nor a new one");
    pass(Duration::from_secs(10)).await;
    let mut accepted = sink.accepted();
    accepted.sort();
    assert_eq!(accepted, ["n1-1", "n2-1"]);
}

#[tokio::test(start_paused = true)]
async fn reloading_a_failing_sink_keeps_what_is_known_of_it() {
    let (old, new) = (FakeSink::new(Character::Chat), FakeSink::new(Character::Chat));
    let world = World::new(vec![lane("chat", &old)]);
    for sink in [&old, &new] {
        sink.feel(fails(Class::Retry { after: None }, FailReason::Network));
    }
    world.trigger(&["chat"], 1, Severity::High);
    pass(Duration::from_mins(4)).await;
    world.deliver.set_lanes(vec![lane("chat", &new)]);
    pass(Duration::from_mins(2)).await;
    assert_eq!(world.notes.all(), ["chat failing since 0: network"], "the clock was not set back");
    world.deliver.set_lanes(vec![]);
    assert_eq!(world.notes.all().last().unwrap(), "chat recovered");
}
