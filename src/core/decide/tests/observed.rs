//! What KMS says of a key when it is asked: what people are told on the way, and the end.

use super::materials::{delete, import};
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

fn refused(state: &str, seconds: i64) -> Event {
    let message = format!("{KEY} is {state}.");
    call(
        "Decrypt",
        seconds,
        json!({ "errorCode": "KMSInvalidStateException", "errorMessage": message, "responseElements": null }),
    )
}

fn imported(material: &str, seconds: i64) -> Event {
    import(material, seconds, &json!({}))
}

#[test]
fn where_kms_was_asked_and_misses_material_one_import_does_not_end_it() {
    let policy = family();
    let (opened, ended) = ("trigger opened", "resolve resolved");
    let still = |events: Vec<Event>| (events, vec![opened], State::Open);
    let over = |events: Vec<Event>| (events, vec![opened, ended], State::Resolved);
    let missing = says("PendingImport", HOUR);
    let import = imported("aa11", 2 * HOUR);
    for (n, (events, told, state)) in [
        still(vec![missing.clone(), import.clone()]),
        still(vec![missing.clone(), import.clone(), says("PendingImport", 3 * HOUR)]),
        still(vec![missing.clone(), imported("aa11", HOUR + 60), says("Enabled", HOUR + 120)]),
        over(vec![missing.clone(), import.clone(), says("Enabled", 2 * HOUR + 301)]),
        over(vec![missing.clone(), import.clone(), plain("EnableKey", 3 * HOUR)]),
        // The loss of one was heard of, and that of another was not.
        still(vec![delete("aa11", 0), missing.clone(), import.clone()]),
        over(vec![delete("aa11", 0), missing.clone(), import.clone(), says("Enabled", 3 * HOUR)]),
        (
            vec![delete("aa11", 0), missing, import.clone(), says("Disabled", 3 * HOUR), says("Enabled", 4 * HOUR)],
            vec![opened, "update downgraded", ended],
            State::Resolved,
        ),
        // Nobody asked, and perhaps nobody may.
        over(vec![delete("aa11", 0), import.clone()]),
        over(vec![refused("pending import", HOUR), import.clone()]),
        (
            vec![delete("aa11", 0), refused("pending import", HOUR), import.clone()],
            vec![opened, "update new_danger", ended],
            State::Resolved,
        ),
        // KMS did not know of the import yet.
        over(vec![delete("aa11", 0), import.clone(), says("PendingImport", 2 * HOUR + 60), says("Enabled", 3 * HOUR)]),
        // Another trouble than missing material.
        still(vec![refused("disabled", HOUR), import.clone(), refused("disabled", 2 * HOUR + 60)]),
        over(vec![refused("disabled", HOUR), import.clone(), plain("EnableKey", 3 * HOUR)]),
        over(vec![refused("disabled", HOUR), import, says("Enabled", 3 * HOUR)]),
    ]
    .into_iter()
    .enumerate()
    {
        let (world, heard) = played(&policy, &events);
        let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
        assert_eq!((heard, world.only().state), (told, state), "story {n}: {events:?}");
    }
}

#[test]
fn what_a_look_up_says_with_the_event_counts_like_any_question() {
    let policy = family();
    let told = |event: Event, state: &str| {
        let mut told = prepared(event);
        let read_at = told.event.time.checked_add(SignedDuration::from_secs(90)).unwrap();
        told.looked_up = Some(LookedUp { state: state.to_owned(), read_at });
        evaluate(&policy, &told, read_at)
    };
    let story = [
        (told(delete("aa11", 0), "PendingImport"), State::Open),
        (told(imported("aa11", 2 * HOUR), "PendingImport"), State::Open),
        (told(imported("bb22", 3 * HOUR), "Enabled"), State::Resolved),
    ];
    let mut world = World::default();
    for (evaluation, state) in story {
        let now = evaluation.event.time.checked_add(SignedDuration::from_secs(90)).unwrap();
        world.feed_evaluations(&policy, &[evaluation], now);
        assert_eq!(world.only().state, state, "{:?}", world.heard());
    }
    assert_eq!(world.heard(), ["chat trigger opened", "chat resolve resolved"]);
}

#[test]
fn material_that_is_imported_once_more_leaves_a_disabled_key_disabled() {
    let policy = family();
    let state = |world: &World| world.only().key.as_ref().unwrap().state.clone().unwrap();
    for first in [plain("DisableKey", 0), says("Disabled", 0)] {
        let events = [first, imported("aa11", HOUR), says("Disabled", 2 * HOUR)];
        for many in 1..=3 {
            let (world, heard) = played(&policy, &events[..many]);
            assert_eq!((heard, state(&world)), (vec!["trigger opened".to_owned()], "Disabled".to_owned()));
        }
    }
    let lost = [plain("DisableKey", 0), delete("aa11", HOUR), imported("aa11", 2 * HOUR)];
    let (world, heard) = played(&policy, &lost);
    assert_eq!(
        (heard, state(&world)),
        (vec!["trigger opened".to_owned(), "update new_danger".to_owned()], "Enabled".to_owned())
    );
    assert_eq!(world.only().state, State::Open, "the event that would enable it was not heard");
}

#[test]
fn the_next_look_ends_a_danger_that_was_heard_of_too_late() {
    let policy = family();
    // A healthy key leaves nothing behind, so KMS's word is not there when the danger comes.
    let late = [says("Enabled", 4 * HOUR), plain("DisableKey", HOUR)];
    let mut world = World::default();
    for (n, event) in (0..).zip(&late) {
        world.feed(&policy, std::slice::from_ref(event), at(4 * HOUR + n));
    }
    assert_eq!(world.only().state, State::Open);
    world.feed(&policy, &[says("Enabled", 4 * HOUR + 302)], at(4 * HOUR + 302));
    assert_eq!((world.only().state, world.heard().len()), (State::Resolved, 2), "{:?}", world.heard());
}

/// A key with two imported materials, as KMS has it.
struct Truth {
    life: &'static str,
    materials: BTreeMap<&'static str, bool>,
    seed: u64,
}

impl Truth {
    fn new(seed: u64) -> Self {
        Self { life: "Enabled", materials: BTreeMap::from([("aa11", true), ("bb22", true)]), seed }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % below
    }

    fn has_all(&self) -> bool {
        self.materials.values().all(|there| *there)
    }

    fn state(&self) -> &'static str {
        match self.life {
            "PendingDeletion" | "Deleted" => self.life,
            _ if !self.has_all() => "PendingImport",
            life => life,
        }
    }

    /// What somebody does with the key, or that nobody does anything; a refusal is no change.
    fn step(&mut self, seconds: i64) -> Option<Event> {
        let material = ["aa11", "bb22"][self.random(2)];
        let there = self.materials[material];
        let life = |truth: &mut Self, life, name| {
            truth.life = life;
            Some(plain(name, seconds))
        };
        match (self.random(9), self.state()) {
            (0, "Enabled") => life(self, "Disabled", "DisableKey"),
            (0 | 1, "Disabled") => life(self, "Enabled", "EnableKey"),
            (1 | 2, "Enabled" | "Disabled" | "PendingImport") => life(self, "PendingDeletion", "ScheduleKeyDeletion"),
            (0..=3, "PendingDeletion") if self.has_all() => life(self, "Disabled", "CancelKeyDeletion"),
            (4, "PendingDeletion") => life(self, "Deleted", "DeleteKey"),
            (3 | 4, "Enabled" | "Disabled" | "PendingImport") if there => {
                self.materials.insert(material, false);
                Some(delete(material, seconds))
            }
            // Also of one that is there: that moves the date of its end.
            (5..=7, "Enabled" | "Disabled" | "PendingImport") => {
                self.materials.insert(material, true);
                if !there && self.has_all() {
                    self.life = "Enabled";
                }
                Some(imported(material, seconds))
            }
            (8, "Disabled") => Some(refused("disabled", seconds)),
            (8, "PendingImport") => Some(refused("pending import", seconds)),
            (8, "PendingDeletion") => Some(refused("pending deletion", seconds)),
            _ => None,
        }
    }
}

/// Plays a life of a key: something every hour, of which so many percent are never heard of, and KMS asked half an hour later; what is
/// late is heard of after that.
fn life_of_a_key(policy: &Policy, seed: u64, lost: usize, late: bool) {
    let (mut truth, mut world) = (Truth::new(seed), World::default());
    let mut story = vec![];
    for hour in 1..=12 {
        let now = hour * HOUR;
        let (told, was) = (world.told.len(), truth.state());
        let happened = truth.step(now).filter(|_| truth.random(100) >= lost);
        let look = says(truth.state(), now + HOUR / 2);
        let mut heard: Vec<Event> = happened.into_iter().chain([look]).collect();
        if late {
            heard.reverse();
        }
        let mut then = now;
        for event in heard {
            story.push(format!("{} {}", event.name, truth.state()));
            then = then.max(event.time.as_second() - at(0).as_second());
            world.pass(policy, at(then));
            world.feed(policy, &[event], at(then));
        }
        let open = world.incidents.values().any(|incident| incident.state != State::Resolved);
        assert_eq!(open, truth.state() != "Enabled", "{seed}: {story:#?}");
        let told = &world.told[told..];
        let resolves = told.iter().filter(|told| told.notification.kind == Kind::Resolve).count();
        assert_eq!(resolves, usize::from(was != "Enabled" && truth.state() == "Enabled"), "{seed}: {story:#?}");
        if lost == 0 && !late {
            let found =
                world.incidents.values().flat_map(|incident| &incident.rules).find(|rule| rule.contains(".found-"));
            assert_eq!(found, None, "{seed}: {story:#?}");
        }
    }
}

#[test]
fn nothing_is_resolved_before_the_key_can_be_used_whatever_is_lost() {
    let policy = family();
    for seed in 0..150 {
        for (lost, late) in [(0, false), (0, true), (40, false), (40, true), (100, false)] {
            life_of_a_key(&policy, seed, lost, late);
        }
    }
}

#[test]
fn events_in_any_order_and_kms_at_the_end_make_the_same_end() {
    let policy = family();
    for seed in 0..40 {
        let mut truth = Truth::new(seed);
        let mut events: Vec<Event> = (1..=8).filter_map(|hour| truth.step(hour * HOUR)).collect();
        let last = [says(truth.state(), 10 * HOUR), says(truth.state(), 11 * HOUR)];
        let mut ends = std::collections::BTreeSet::new();
        for round in 0..12 {
            for i in (1..events.len()).rev() {
                events.swap(i, truth.random(i + 1));
            }
            let mut world = World::default();
            for event in events.iter().chain(events.iter().take(round % 3)) {
                world.feed(&policy, std::slice::from_ref(event), at(9 * HOUR));
            }
            let known: Vec<_> = world.snapshot.situations.values().map(|one| format!("{:?}", one.record)).collect();
            for look in &last {
                world.feed(&policy, std::slice::from_ref(look), look.time);
            }
            let open = world.incidents.values().any(|incident| incident.state != State::Resolved);
            assert_eq!(open, truth.state() != "Enabled", "{seed}: {events:?}");
            ends.insert(known);
        }
        assert_eq!(ends.len(), 1, "{seed}: {ends:#?}");
    }
}
