//! Stories in which time has passed before anybody looked: outages, late events, reloads.

use super::*;

const ENDS: &str = "id = 'a'\ntitle = 'A'\nseverity = 'medium'\nmatch = { detail.eventName = ['A'] }\nresolve = { detail.eventName = ['Ok'] }\nresolve_after = '1h'";
const HOUR: i64 = 3600;

#[test]
fn a_lookup_does_not_speak_for_what_happened_while_it_was_made() {
    let policy = policy();
    let mut replayed = prepared(call("DisableKey", 0, json!({})));
    replayed.looked_up = Some(LookedUp { state: "Enabled".into(), read_at: at(7200) });
    let replayed = evaluate(&policy, &replayed, at(7200));
    // CloudTrail tells a minute later that the key was disabled just before.
    let fresh = evaluate(&policy, &prepared(call("DisableKey", 7190, json!({}))), at(7260));
    let mut ends = vec![];
    for order in [[&replayed, &fresh], [&fresh, &replayed]] {
        let mut world = World::default();
        for evaluation in order {
            world.feed_evaluations(&policy, std::slice::from_ref(evaluation), at(7261));
        }
        assert!(world.heard().iter().any(|heard| heard.starts_with("pager trigger")), "{:?}", world.heard());
        ends.push(world.end_state());
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0][0].1, State::Open);
}

#[test]
fn a_clearance_after_the_time_ran_out_leaves_nothing_open() {
    let policy = policy_with(vec![rule_from(ENDS)], "[[routes]]\nsinks = ['chat']");
    let mut world = World::default();
    world.feed(&policy, &[call("A", 0, json!({}))], at(1));
    // Nobody looked at the timer in between.
    world.feed(&policy, &[call("Ok", HOUR + 100, json!({}))], at(HOUR + 101));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.only().resolved_at, Some(at(HOUR)));
    assert_eq!(world.heard(), ["chat trigger opened", "chat resolve expired"]);
}

#[test]
fn an_alert_after_an_outage_is_no_part_of_an_incident_whose_time_had_run_out() {
    let policy = policy_with(vec![rule_from(ENDS)], "[[routes]]\nsinks = ['chat']");
    let days = 72 * HOUR;
    for timer_first in [true, false] {
        let mut world = World::default();
        world.feed(&policy, &[call("A", 0, json!({}))], at(1));
        if timer_first {
            world.pass(&policy, at(days));
        }
        world.feed(&policy, &[call("A", days, json!({}))], at(days + 1));
        assert_eq!(world.incidents.len(), 2);
        assert_eq!(world.heard(), ["chat trigger opened", "chat resolve expired", "chat trigger opened"]);
    }
}

#[test]
fn the_end_by_time_does_not_depend_on_the_order() {
    let policy = policy_with(vec![rule_from(ENDS)], "[[routes]]\nsinks = ['chat']");
    let events = [call("A", 0, json!({})), call("A", 600, json!({})), call("A", 1200, json!({}))];
    let mut expected = None;
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut world = World::default();
        for (n, event) in (0..).zip(order) {
            world.feed(&policy, &events[event..=event], at(9 * HOUR + n));
        }
        let state = world.end_state();
        assert_eq!(&state, expected.get_or_insert_with(|| state.clone()), "{order:?}");
        assert_eq!(world.only().resolved_at, Some(at(1200 + HOUR)));
    }
}

#[test]
fn a_fact_told_again_after_its_clearance_stands_whatever_the_order() {
    let policy = policy();
    let shared = json!({ "sharedEventID": "s-1" });
    let events =
        [call("DisableKey", 0, shared.clone()), call("EnableKey", 5, json!({})), call("DisableKey", 10, shared)];
    for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]] {
        let mut world = World::default();
        for event in order {
            world.feed(&policy, &events[event..=event], at(20));
        }
        assert_eq!((world.only().state, world.only().alerts), (State::Open, 1), "{order:?}");
    }
}

#[test]
fn a_rise_to_high_is_repeated_like_what_began_high() {
    let rule = |name: &str, severity: &str| {
        rule_from(&format!(
            "id = '{name}'\ntitle = 'T'\nseverity = '{severity}'\nincident = 'f'\nmatch = {{ detail.eventName = ['{name}'] }}\nresolve_after = '99h'"
        ))
    };
    let policy = policy_with(vec![rule("a", "medium"), rule("b", "critical")], "");
    let mut world = World::default();
    world.feed(&policy, &[call("a", 0, json!({}))], at(1));
    assert_eq!(world.only().repeat, None);
    world.feed(&policy, &[call("b", 10, json!({}))], at(11));
    world.pass(&policy, at(12 + 4 * HOUR));
    assert_eq!(world.heard().last().unwrap(), "pager update repeat");
}

#[test]
fn a_rule_that_becomes_a_notice_does_not_end_what_stands() {
    let rule = "id = 'a'\ntitle = 'A'\nseverity = 'high'\nmatch = { detail.eventName = ['A'] }\n";
    let mut world = World::default();
    let before = policy_with(vec![rule_from(&format!("{rule}resolve = {{ detail.eventName = ['Ok'] }}"))], "");
    world.feed(&before, &[call("A", 0, json!({}))], at(1));
    let mut after = policy_with(vec![rule_from(&format!("{rule}notice = true"))], "");
    after.legacy = legacy_resolves(&after.rules, world.snapshot.situations.values());
    world.feed(&after, &[call("A", 5, json!({}))], at(6));
    assert_eq!(world.only().state, State::Open);
    world.feed(&after, &[call("Ok", 10, json!({}))], at(11));
    assert_eq!(world.only().state, State::Resolved);
}

#[test]
fn a_resolve_of_old_does_not_end_a_danger_of_now() {
    let first = "id = 'a'\ntitle = 'A'\nseverity = 'high'\nmatch = { detail.eventName = ['A'] }\nresolve = { detail.eventName = ['Old', 'New'] }";
    let mut world = World::default();
    world.feed(&policy_with(vec![rule_from(first)], ""), &[call("A", 0, json!({}))], at(1));
    let mut mended = policy_with(vec![rule_from(&first.replace("'Old', ", ""))], "");
    mended.legacy = legacy_resolves(&mended.rules, world.snapshot.situations.values());
    let old = call("Old", 5, json!({}));
    assert!(mended.concern(&old) && !mended.rules.concern(&old.document), "the old pattern is looked for");
    world.feed(&mended, &[call("New", 5, json!({})), call("A", 10, json!({}))], at(11));
    world.feed(&mended, &[call("Old", 15, json!({}))], at(16));
    assert_eq!(world.only().state, State::Open);
}

#[test]
fn a_rule_that_left_its_family_still_ends_what_it_began_there() {
    let rule = |name: &str| {
        format!(
            "id = '{name}'\ntitle = 'T'\nseverity = 'high'\nincident = 'f'\nmatch = {{ detail.eventName = ['{name}'] }}\nresolve = {{ detail.eventName = ['{name}-ok'] }}"
        )
    };
    let mut world = World::default();
    let before = policy_with(vec![rule_from(&rule("a")), rule_from(&rule("b"))], "");
    world.feed(&before, &[call("a", 0, json!({})), call("b", 1, json!({}))], at(2));
    let alone = rule("a").replace("incident = 'f'\n", "");
    let mut after = policy_with(vec![rule_from(&alone), rule_from(&rule("b"))], "");
    after.legacy = legacy_resolves(&after.rules, world.snapshot.situations.values());
    assert!(adopt(&after, &world.snapshot, at(3)).is_empty(), "the other rule still speaks for it");
    world.feed(&after, &[call("a-ok", 5, json!({})), call("b-ok", 6, json!({}))], at(7));
    assert_eq!(world.only().state, State::Resolved);
}

#[test]
fn a_report_about_a_queue_ends_with_the_queue() {
    let (policy, mut world) = (policy(), World::default());
    for queue in ["prod", "gone"] {
        for subject in [
            OwnSubject::Deaf { queue: queue.into() },
            OwnSubject::Undecodable { queue: queue.into() },
            OwnSubject::DeadLetters { queue: queue.into() },
        ] {
            world.feed_evaluations(&policy, &[own_danger(&subject, "it is so", at(0))], at(0));
        }
    }
    let decision = adopt(&policy, &world.snapshot, at(5));
    assert_eq!(decision.situations.len(), 3);
    for situation in &decision.situations {
        let incident = situation.incident.as_ref().unwrap();
        assert_eq!((incident.state, incident.latest.details["queue"].as_str()), (State::Resolved, "gone"));
    }
    let reasons: Vec<_> = decision.deliveries.iter().map(|d| d.notification.reason).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == Reason::RuleGone), "{reasons:?}");
}

#[test]
fn a_report_about_a_sink_ends_with_the_sink() {
    let (policy, mut world) = (policy(), World::default());
    for sink in ["chat", "gone"] {
        let failing = OwnSubject::SinkFailing { sink: sink.into() };
        world.feed_evaluations(&policy, &[own_danger(&failing, "401", at(0))], at(0));
    }
    let decision = adopt(&policy, &world.snapshot, at(5));
    assert_eq!(decision.situations.len(), 1);
    let incident = decision.situations[0].incident.as_ref().unwrap();
    assert_eq!((incident.state, incident.latest.details["sink"].as_str()), (State::Resolved, "gone"));
}

#[test]
fn a_report_about_a_canary_ends_with_the_canary() {
    let (mut policy, mut world) = (policy(), World::default());
    policy.canaries = vec!["main".into()];
    for canary in ["main", "gone"] {
        let blind = OwnSubject::Blind { canary: canary.into() };
        world.feed_evaluations(&policy, &[own_danger(&blind, "nothing came", at(0))], at(0));
    }
    let decision = adopt(&policy, &world.snapshot, at(5));
    assert_eq!(decision.situations.len(), 1);
    let incident = decision.situations[0].incident.as_ref().unwrap();
    assert_eq!((incident.state, incident.latest.details["canary"].as_str()), (State::Resolved, "gone"));
}

#[test]
fn a_report_about_a_place_ends_when_it_is_not_swept_any_more() {
    let (mut policy, mut world) = (policy(), World::default());
    policy.places = vec!["our own account, eu-central-1".into()];
    for place in ["our own account, eu-central-1", "our own account, us-east-1"] {
        let unseen = OwnSubject::KeysUnseen { place: place.into() };
        world.feed_evaluations(&policy, &[own_danger(&unseen, "denied", at(0))], at(0));
    }
    let decision = adopt(&policy, &world.snapshot, at(5));
    assert_eq!(decision.situations.len(), 1);
    let incident = decision.situations[0].incident.as_ref().unwrap();
    assert_eq!(
        (incident.state, incident.latest.details["place"].as_str()),
        (State::Resolved, "our own account, us-east-1")
    );
}
