//! State that does not read back costs nobody a page.

use super::*;

fn damaged(world: &mut World, policy: &Policy) -> Fingerprint {
    world.feed(policy, &[call("DisableKey", 0, json!({}))], at(1));
    let incident = world.only().clone();
    let print = incident.fingerprint.clone();
    let rebuilt = Situation::rebuilt(print.clone(), incident);
    world.snapshot.situations.insert(print.clone(), rebuilt);
    world.snapshot.unreadable.insert(print.clone(), 1);
    world.told.clear();
    print
}

#[test]
fn the_next_alert_is_told_as_a_new_danger() {
    let (policy, mut world) = (policy(), World::default());
    damaged(&mut world, &policy);
    world.feed(&policy, &[call("DisableKey", 60, json!({}))], at(61));
    assert_eq!(world.heard(), ["chat update new_danger", "pager update new_danger"]);
    assert!(world.told[0].notification.asks_again());
    world.snapshot.unreadable.clear();
    world.feed(&policy, &[call("EnableKey", 90, json!({}))], at(91));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.heard()[2..], ["chat resolve resolved", "pager resolve resolved"]);
}

#[test]
fn a_danger_stands_until_something_says_that_it_is_past() {
    let (policy, mut world) = (policy(), World::default());
    let print = damaged(&mut world, &policy);
    // Whoever looks at it first: time, a new configuration, or the event that ends it.
    let ticked = tick(&policy, &world.snapshot, at(20));
    assert_eq!(ticked.situations.len(), 1, "what was made anew is stored");
    assert_eq!(ticked.deliveries, []);
    let condition = ticked.situations[0].conditions.values().next().unwrap();
    assert!(condition.resolve.is_some(), "its rule says how it ends: {condition:?}");
    world.apply(ticked);
    world.snapshot.unreadable.clear();
    assert!(adopt(&policy, &world.snapshot, at(30)).is_empty(), "its rule speaks for it");
    world.feed(&policy, &[call("EnableKey", 40, json!({}))], at(41));
    assert_eq!(world.snapshot.situations[&print].incident.as_ref().unwrap().state, State::Resolved);
    assert_eq!(world.heard(), ["chat resolve resolved", "pager resolve resolved"]);
}

#[test]
fn an_incident_that_is_lost_too_is_followed_by_a_new_one() {
    let (policy, mut world) = (policy(), World::default());
    let print = damaged(&mut world, &policy);
    world.snapshot.situations.remove(&print);
    world.snapshot.unreadable.insert(print.clone(), 7);
    let cleared = world.feed(&policy, &[call("EnableKey", 50, json!({}))], at(51));
    assert_eq!(cleared.situations, [], "an empty one would forget which was the last");
    world.snapshot.situations.remove(&print);
    let decision = world.feed(&policy, &[call("DisableKey", 60, json!({}))], at(61));
    assert_eq!(decision.situations[0].incident.as_ref().unwrap().episode, 8);
    assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
}
