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

pub(super) fn import(material: &str, seconds: i64, request: Value) -> Event {
    let mut asked = json!({ "keyId": KEY, "importType": "EXISTING_KEY_MATERIAL" });
    asked.as_object_mut().unwrap().extend(request.as_object().cloned().unwrap());
    let answer = json!({ "keyId": KEY, "keyMaterialId": material });
    call("ImportKeyMaterial", seconds, json!({ "requestParameters": asked, "responseElements": answer }))
}

/// The same events in many orders, in batches of several sizes, some of them twice.
pub(super) fn orders(events: &[Event], mut play: impl FnMut(&[Vec<Event>])) {
    let mut seed = 7_u64;
    for round in 0..200 {
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
    let still = [delete("aa11", 0), delete("bb22", 60), import("aa11", 3600, json!({}))];
    let mut whole = still.to_vec();
    whole.push(import("bb22", 1800, json!({})));
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
        (plain("DeleteImportedKeyMaterial", 0), import("aa11", 60, json!({}))),
    ] {
        let mut world = World::default();
        world.feed(&policy, &[first], at(1));
        assert_eq!(world.only().state, State::Open);
        world.feed(&policy, &[second], at(61));
        assert_eq!((world.only().state, world.only().resolved_at), (State::Resolved, Some(at(60))));
    }
}
