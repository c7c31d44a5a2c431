//! What KMS says of a key when it is asked: what people are told on the way, and the end.

use super::materials::delete;
use super::*;
use crate::core::event::KeyRef;
use crate::core::keystate::FAMILY;
use crate::core::observe::{By, Observation};

const HOUR: i64 = 3600;

/// All built-in rules whose incidents move with the key.
fn family() -> Policy {
    let rules = rule::builtin().iter().filter(|rule| rule.family == FAMILY);
    policy_with(rules.cloned().collect(), "[[routes]]\nsinks = ['chat']")
}

/// What KMS answers when it is asked.
fn says(state: &str, seconds: i64) -> Event {
    let key = KeyRef { arn: Some(KEY.to_owned()), state: Some(state.to_owned()), ..KeyRef::default() };
    Observation::new(By::Verification, at(seconds), key).unwrap().event()
}

fn plain(name: &str, seconds: i64) -> Event {
    call(name, seconds, json!({}))
}

/// Each event as it happens. What people hear, and how it ends.
fn played(policy: &Policy, events: &[Event]) -> (World, Vec<String>) {
    let mut world = World::default();
    for event in events {
        world.pass(policy, event.time);
        world.feed(policy, std::slice::from_ref(event), event.time);
    }
    let heard = world.heard().iter().map(|heard| heard.trim_start_matches("chat ").to_owned()).collect();
    (world, heard)
}

#[test]
fn a_key_that_was_never_usable_is_not_told_as_resolved_in_between() {
    let policy = family();
    let (disabled, scheduled) = (plain("DisableKey", 0), plain("ScheduleKeyDeletion", 0));
    let opened = "trigger opened";
    for (events, told) in [
        (vec![disabled.clone(), says("Deleted", HOUR)], vec![opened, "update new_danger"]),
        (
            vec![scheduled.clone(), says("PendingDeletion", HOUR), says("Deleted", 2 * HOUR)],
            vec![opened, "update new_danger"],
        ),
        // The ordinary end of a key, where a look comes before the event.
        (
            vec![scheduled, says("Deleted", 2 * HOUR), plain("DeleteKey", 2 * HOUR + 60)],
            vec![opened, "update new_danger"],
        ),
        // One wrong answer.
        (
            vec![disabled.clone(), says("Deleted", HOUR), says("Disabled", 2 * HOUR)],
            vec![opened, "update new_danger", "update downgraded"],
        ),
        (
            vec![delete("aa11", 0), says("Disabled", HOUR), says("Deleted", 2 * HOUR)],
            vec![opened, "update downgraded", "update new_danger"],
        ),
    ] {
        let (world, heard) = played(&policy, &events);
        assert_eq!((heard, world.only().state), (told.iter().map(ToString::to_string).collect(), State::Open));
    }
    // A person who had taken it is asked again about what is worse, and keeps it through what is not.
    let (world, heard) =
        played(&policy, &[disabled, says("Deleted", HOUR), says("Disabled", 2 * HOUR), says("Enabled", 3 * HOUR)]);
    assert_eq!(heard, [opened, "update new_danger", "update downgraded", "resolve resolved"]);
    assert_eq!((world.only().state, world.only().resolved_at), (State::Resolved, Some(at(3 * HOUR - 300))));
}
