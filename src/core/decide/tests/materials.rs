//! Keys with several imported materials: an end state that does not depend on the order of arrival.

use super::*;
use crate::core::keystate::FAMILY;

pub(super) fn builtin(ids: &[&str]) -> Policy {
    let rules = rule::builtin().iter().filter(|rule| ids.contains(&rule.id.as_str()));
    policy_with(rules.cloned().collect(), "")
}

pub(super) fn delete(material: &str, seconds: i64) -> Event {
    call(
        "DeleteImportedKeyMaterial",
        seconds,
        json!({ "responseElements": { "keyId": KEY, "keyMaterialId": material } }),
    )
}

pub(super) fn import(material: &str, seconds: i64, request: &Value) -> Event {
    let mut asked = json!({ "keyId": KEY, "importType": "EXISTING_KEY_MATERIAL" });
    asked.as_object_mut().unwrap().extend(request.as_object().cloned().unwrap());
    let answer = json!({ "keyId": KEY, "keyMaterialId": material });
    call("ImportKeyMaterial", seconds, json!({ "requestParameters": asked, "responseElements": answer }))
}

/// The same events in many orders, in batches of several sizes, some of them twice.
pub(super) fn orders(events: &[Event], mut play: impl FnMut(&[Vec<Event>])) {
    let mut seed = 7_u64;
    for round in 0..80 {
        let mut all: Vec<Event> = events.iter().chain(events.iter().take(round % 4)).cloned().collect();
        for i in (1..all.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            all.swap(i, (seed >> 33) as usize % (i + 1));
        }
        let batches: Vec<Vec<Event>> = all.chunks(1 + round % 3).map(<[Event]>::to_vec).collect();
        play(&batches);
    }
}

#[test]
fn an_incident_ends_when_all_lost_material_is_there_again_in_any_order() {
    let policy = builtin(&["kms.material-deleted"]);
    let still = [delete("aa11", 0), delete("bb22", 60), import("aa11", 3600, &json!({}))];
    let mut whole = still.to_vec();
    whole.push(import("bb22", 1800, &json!({})));
    // Lost once more in between: the import before it does not count.
    let mut again = whole.clone();
    again.push(delete("bb22", 2400));
    let mut enabled = still.to_vec();
    enabled.push(call("EnableKey", 7200, json!({})));
    for (events, state, end) in [
        (still.to_vec(), State::Open, None),
        (whole, State::Resolved, Some(at(3600))),
        (again, State::Open, None),
        (enabled, State::Resolved, Some(at(3600))),
    ] {
        let mut first = None;
        orders(&events, |batches| {
            let mut world = World::default();
            for (n, batch) in (0..).zip(batches) {
                world.feed(&policy, batch, at(10_000 + n));
            }
            let incident = world.only();
            assert_eq!((incident.state, incident.resolved_at, incident.family.as_str()), (state, end, FAMILY));
            let situation = &world.snapshot.situations[&incident.fingerprint];
            let known = (world.end_state(), situation.conditions.clone(), situation.record.clone());
            assert_eq!(&known, first.get_or_insert_with(|| known.clone()));
        });
    }
}

#[test]
fn events_without_an_id_of_the_material_end_it_as_ever() {
    let policy = builtin(&["kms.material-deleted"]);
    let plain = |name: &str, seconds| call(name, seconds, json!({}));
    for (first, second) in [
        (plain("DeleteImportedKeyMaterial", 0), plain("ImportKeyMaterial", 60)),
        (delete("aa11", 0), plain("ImportKeyMaterial", 60)),
        (plain("DeleteImportedKeyMaterial", 0), import("aa11", 60, &json!({}))),
    ] {
        let mut world = World::default();
        world.feed(&policy, &[first], at(1));
        assert_eq!(world.only().state, State::Open);
        world.feed(&policy, &[second], at(61));
        assert_eq!((world.only().state, world.only().resolved_at), (State::Resolved, Some(at(60))));
    }
}

const DAY: i64 = 24 * 3600;

fn expires(material: &str, seconds: i64, day: i64) -> Event {
    let date = at(day * DAY).strftime("%b %-d, %Y, %-I:%M:%S %p").to_string();
    import(material, seconds, &json!({ "expirationModel": "KEY_MATERIAL_EXPIRES", "validTo": date }))
}

fn for_ever(material: &str, seconds: i64) -> Event {
    import(material, seconds, &json!({ "expirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE" }))
}

/// Lets every timer fire when it is due.
fn days(world: &mut World, policy: &Policy, from: i64, to: i64) {
    for quarter in from * 4..=to * 4 {
        world.pass(policy, at(quarter * 6 * 3600));
    }
}

#[test]
fn the_earliest_date_of_all_materials_is_counted_down_to_in_any_order() {
    let policy = builtin(&["kms.material-expiry-near"]);
    let gone = |seconds| {
        let said = json!({ "serviceEventDetails": { "keyId": KEY, "keyMaterialId": "aa11" } });
        call("DeleteExpiredKeyMaterial", seconds, said)
    };
    let first = || vec![expires("aa11", 0, 10), expires("bb22", 60, 40)];
    let with = |more: Event| first().into_iter().chain([more]).collect::<Vec<_>>();
    for (events, day) in [
        (first(), 10),
        (with(for_ever("bb22", 120)), 10),
        (with(expires("bb22", 120, 90)), 10),
        (with(for_ever("aa11", 120)), 40),
        (with(expires("aa11", 120, 90)), 40),
        (with(gone(120)), 40),
    ] {
        let mut told = None;
        orders(&events, |batches| {
            let mut world = World::default();
            for (n, batch) in (0..).zip(batches) {
                world.feed(&policy, batch, at(1000 + n));
            }
            days(&mut world, &policy, 1, day - 8);
            assert!(world.incidents.is_empty(), "no mark has passed");
            days(&mut world, &policy, day - 8, day - 4);
            let incident = world.only();
            let deadline = incident.deadline.map(|deadline| deadline.at);
            assert_eq!((incident.state, incident.alerts, deadline), (State::Open, 1, Some(at(day * DAY))));
            let known = world.end_state();
            assert_eq!(&known, told.get_or_insert_with(|| known.clone()));
        });
    }
}

#[test]
fn the_incident_of_one_material_ends_with_its_danger_unless_another_is_near() {
    let policy = builtin(&["kms.material-expiry-near"]);
    for (day, state, heard) in
        [(40, State::Resolved, "chat resolve resolved"), (11, State::Open, "chat update countdown")]
    {
        let mut world = World::default();
        world.feed(&policy, &[expires("aa11", 0, 10), expires("bb22", 60, day)], at(100));
        days(&mut world, &policy, 1, 5);
        assert_eq!(world.only().state, State::Open);
        world.feed(&policy, &[for_ever("aa11", 5 * DAY)], at(5 * DAY + 1));
        days(&mut world, &policy, 5, 6);
        assert_eq!(world.only().state, state);
        assert!(world.heard().contains(&heard.to_owned()), "{:?}", world.heard());
    }
}

#[test]
fn a_later_date_ends_what_was_told_of_the_one_before_in_any_order() {
    let policy = builtin(&["kms.material-expiry-near"]);
    // The marks of the first date pass at day 3, 7, 9 and on.
    let soon = || vec![expires("aa11", 0, 10)];
    let with = |more: Vec<Event>| soon().into_iter().chain(more).collect::<Vec<_>>();
    for (events, state) in [
        (with(vec![expires("aa11", 5 * DAY, 400)]), State::Resolved),
        (with(vec![expires("aa11", 5 * DAY, 11)]), State::Open),
        (with(vec![expires("bb22", 5 * DAY, 400)]), State::Open),
        (with(vec![expires("bb22", 60, 11), expires("aa11", 5 * DAY, 400)]), State::Open),
        (with(vec![expires("bb22", 60, 60), expires("aa11", 5 * DAY, 400)]), State::Resolved),
    ] {
        let mut world = World::default();
        for event in &events {
            days(&mut world, &policy, (event.time.as_second() - at(0).as_second()) / DAY, 5);
            world.feed(&policy, std::slice::from_ref(event), event.time);
        }
        days(&mut world, &policy, 5, 6);
        assert_eq!(world.only().state, state, "{events:?}");
        let resolves = world.heard().iter().filter(|heard| heard.starts_with("chat resolve")).count();
        assert_eq!(resolves, usize::from(state == State::Resolved), "{:?}", world.heard());
        let mut told = None;
        orders(&events, |batches| {
            let mut world = World::default();
            for (n, batch) in (0..).zip(batches) {
                world.feed(&policy, batch, at(5 * DAY + 1000 + n));
            }
            let known: Vec<_> = world.snapshot.situations.values().map(|one| one.conditions.clone()).collect();
            let known: Vec<_> = known.iter().flat_map(|one| one.values()).map(|one| one.materials.clone()).collect();
            assert_eq!(&known, told.get_or_insert_with(|| known.clone()));
        });
    }
}

#[test]
fn a_later_date_is_told_of_when_its_time_comes() {
    let policy = builtin(&["kms.material-expiry-near"]);
    let mut world = World::default();
    world.feed(&policy, &[expires("aa11", 0, 10)], at(100));
    days(&mut world, &policy, 1, 5);
    world.feed(&policy, &[expires("aa11", 5 * DAY, 40)], at(5 * DAY));
    days(&mut world, &policy, 5, 34);
    let new = |heard: &String| heard.starts_with("chat") && !heard.ends_with("repeat");
    let heard: Vec<String> = world.heard().into_iter().filter(new).collect();
    assert_eq!(
        heard,
        ["chat trigger opened", "chat resolve resolved", "chat trigger opened"].map(String::from).to_vec()
    );
    let newest = world.incidents.values().last().unwrap();
    assert_eq!((newest.state, newest.deadline.map(|one| one.at)), (State::Open, Some(at(40 * DAY))));
}

#[test]
fn what_kms_says_of_the_key_corrects_what_events_said_of_materials() {
    let policy = builtin(&["kms.material-expiry-near"]);
    let observed = |seconds: i64, date: i64| {
        let key = crate::core::event::KeyRef {
            arn: Some(KEY.to_owned()),
            state: Some("Enabled".to_owned()),
            valid_to: Some(at(date * DAY)),
            ..crate::core::event::KeyRef::default()
        };
        let by = crate::core::observe::By::Sweep;
        crate::core::observe::Observation::new(by, at(seconds), key).unwrap().event()
    };
    let situation = |world: &World| world.snapshot.situations.values().next().cloned().unwrap();
    let deadline = |world: &World| situation(world).incident.unwrap().deadline.map(|deadline| deadline.at);
    let mut world = World::default();
    world.feed(&policy, &[expires("aa11", 0, 10), expires("bb22", 60, 40)], at(100));
    // It is what is known already.
    world.feed(&policy, &[observed(3600, 10)], at(3600));
    days(&mut world, &policy, 1, 5);
    assert_eq!(deadline(&world), Some(at(10 * DAY)));
    // The import of a later date was never heard of.
    world.feed(&policy, &[observed(5 * DAY, 30)], at(5 * DAY));
    assert_eq!(deadline(&world), Some(at(30 * DAY)));
    // Whatever is imported beside it, KMS's date stands until KMS says another.
    world.feed(&policy, &[for_ever("bb22", 6 * DAY)], at(6 * DAY));
    days(&mut world, &policy, 6, 26);
    assert_eq!(deadline(&world), Some(at(30 * DAY)));
    world.feed(&policy, &[expires("aa11", 26 * DAY, 60), observed(26 * DAY + 900, 60)], at(26 * DAY + 900));
    assert_eq!(deadline(&world), Some(at(60 * DAY)));
    let whole = situation(&world).countdowns.contains_key("kms.material-expiry-near");
    assert!(!whole, "the event's own date is enough");
    world.feed(&policy, &[for_ever("aa11", 27 * DAY)], at(27 * DAY));
    assert_eq!(situation(&world).incident.unwrap().state, State::Resolved);
}

#[test]
fn what_is_counted_down_to_is_bounded_and_the_earliest_stays() {
    let policy = builtin(&["kms.material-expiry-near"]);
    let mut world = World::default();
    let many: Vec<Event> = (0..60).map(|n| expires(&format!("m{n}"), n, 100 + n)).collect();
    world.feed(&policy, &many, at(100));
    let situation = world.snapshot.situations.values().next().unwrap();
    assert_eq!(situation.countdowns.len(), crate::core::countdown::MATERIALS_MAX);
    let earliest = situation.nearest("kms.material-expiry-near", at(100)).unwrap();
    assert_eq!(earliest, "kms.material-expiry-near#m0");
}
