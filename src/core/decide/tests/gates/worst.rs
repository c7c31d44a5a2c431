//! What is meant for a small rule takes nothing away of the great danger that comes with it.

use super::inhibition::rules;
use super::*;
use crate::core::incident::Incident;

/// Fires on each change, as a rule for all changes of a policy does.
const SMALL: &str = "id = 'small'\ntitle = 'Small'\nseverity = 'low'\nincident = 'f'\ntags = ['t.small']\nmatch = { detail.eventName = ['A', 'B'] }\nresolve_after = '10h'";
const GREAT: &str = "id = 'great'\ntitle = 'Great'\nseverity = 'high'\nincident = 'f'\ntags = ['t.great']\nmatch = { detail.eventName = ['B'] }\nresolve_after = '10h'";
const OTHER: &str =
    "id = 'other'\ntitle = 'Other'\nseverity = 'medium'\nmatch = { detail.eventName = ['O'] }\nresolve_after = '10h'";
const WHY: &str = "great fired too, and none that fired is more severe";

fn policy(great: &str, routes: &str) -> Policy {
    policy_with(vec![rule_from(SMALL), rule_from(great), rule_from(OTHER)], routes)
}

fn critical() -> String {
    GREAT.replace("'high'", "'critical'")
}

#[test]
fn a_silence_for_the_small_rule_holds_it_alone() {
    for matches in [json!({ "rule": ["small"] }), json!({ "tags": ["t.small"] })] {
        for great in [GREAT.to_owned(), critical()] {
            let policy = policy(&great, CHAT);
            let mut world = World::default();
            world.silence(&policy, &silence(matches.clone(), 0, 36_000));
            world.live(&policy, &[call("A", 10, json!({}))], at(11));
            assert_eq!(world.heard(), [""; 0], "by itself it is silenced");
            world.live(&policy, &[call("B", 20, json!({}))], at(21));
            assert_eq!(world.heard(), ["chat trigger opened"], "the great one joins: {matches}");
            assert!(world.marks().contains(&format!("silence s1 of jo does not hold this back: {WHY}")), "{matches}");
            // One that opens with both, so that nothing rose.
            let mut world = World::default();
            world.silence(&policy, &silence(matches.clone(), 0, 36_000));
            world.live(&policy, &[call("B", 20, json!({}))], at(21));
            assert_eq!(world.heard(), ["chat trigger opened"], "{matches}");
        }
    }
}

#[test]
fn a_silence_for_the_worst_rule_or_for_all_of_them_holds() {
    let policy = policy(&critical(), CHAT);
    for matches in [
        json!({ "rule": ["great"] }),
        json!({ "tags": ["t.great"] }),
        json!({ "rule": ["great", "small"] }),
        json!({ "$or": [{ "rule": ["small"] }, { "tags": ["t.great"] }] }),
        json!({ "rule": [{ "anything-but": ["other"] }] }),
        json!({ "incident": ["f"] }),
        json!({ "severity": ["critical"] }),
        json!({ "account": ["111122223333"] }),
        json!({ "key": { "arn": [{ "exists": true }] } }),
    ] {
        let mut world = World::default();
        world.silence(&policy, &silence(matches.clone(), 0, 36_000));
        world.live(&policy, &[call("B", 20, json!({}))], at(21));
        assert_eq!(world.heard(), [""; 0], "{matches}");
        assert_eq!(world.not_told(), ["silenced by silence s1 of jo: planned"]);
    }
    for matches in [json!({ "rule": [{ "anything-but": ["great"] }] }), json!({ "severity": ["low"] })] {
        let mut world = World::default();
        world.silence(&policy, &silence(matches.clone(), 0, 36_000));
        world.live(&policy, &[call("B", 20, json!({}))], at(21));
        assert_eq!(world.heard(), ["chat trigger opened"], "{matches}");
    }
}

#[test]
fn of_two_that_are_as_severe_a_silence_has_to_take_both() {
    let policy = policy(&GREAT.replace("'high'", "'low'"), CHAT);
    for (matches, told) in [(json!({ "rule": ["small"] }), 1), (json!({ "rule": ["small", "great"] }), 0)] {
        let mut world = World::default();
        world.silence(&policy, &silence(matches, 0, 36_000));
        world.live(&policy, &[call("B", 20, json!({}))], at(21));
        assert_eq!(world.heard().len(), told);
    }
}

#[test]
fn a_small_rule_that_is_escalated_is_the_worst() {
    let escalated = format!("{SMALL}\nescalate = [{{ severity = 'critical', when = {{ detail.eventName = ['B'] }} }}]");
    let policy = policy_with(vec![rule_from(&escalated), rule_from(GREAT)], CHAT);
    for (rule, told) in [("small", 0), ("great", 1)] {
        let mut world = World::default();
        world.silence(&policy, &silence(json!({ "rule": [rule] }), 0, 36_000));
        world.live(&policy, &[call("B", 20, json!({}))], at(21));
        assert_eq!(world.heard().len(), told, "{rule}");
    }
}

#[test]
fn one_that_begins_later_holds_what_it_would_have_held() {
    let policy = policy(GREAT, CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("B", 0, json!({}))], at(1));
    world.silence(&policy, &silence(json!({ "rule": ["small"] }), 10, 3600));
    assert_eq!(world.not_told(), [""; 0]);
    let bob = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } });
    world.live(&policy, &[call("A", 20, bob)], at(21));
    assert_eq!(world.heard()[1..], ["chat update new_actor"], "it is the great one's incident");
}

#[test]
fn an_inhibition_of_the_small_rule_holds_it_alone() {
    for (event, target, told) in [("A", "small", 1), ("B", "small", 2), ("B", "great", 1)] {
        let mut policy = policy(GREAT, CHAT);
        policy.inhibit =
            rules(&format!("[[inhibit]]\nsource = {{ rule = ['other'] }}\ntarget = {{ rule = ['{target}'] }}"));
        let mut world = World::default();
        world.live(&policy, &[call("O", 0, json!({}))], at(1));
        let cause = world.told[0].notification.incident.id.clone();
        world.live(&policy, &[call(event, 10, json!({}))], at(11));
        assert_eq!(world.heard().len(), told, "{event} {target}");
        if told == 2 {
            assert_eq!(world.marks(), [format!("incident {cause} (Other) does not hold this back: {WHY}")]);
        }
    }
}

const QUIET: &str =
    "[[routes]]\nmatch = { rule = ['small'] }\nsinks = ['chat']\nstop = true\n[[routes]]\nsinks = ['pager']";

#[test]
fn a_route_for_the_small_rule_ends_the_list_for_it_alone() {
    let policy = policy(&critical(), QUIET);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    world.live(&policy, &[call("B", 10, json!({}))], at(11));
    assert_eq!(world.heard()[1..], ["chat update escalated", "pager update escalated"], "it joins");
    let mut world = World::default();
    world.live(&policy, &[call("B", 10, json!({}))], at(11));
    assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
    let policy = policy_with(
        vec![rule_from(SMALL), rule_from(&critical())],
        "[[routes]]\nmatch = { rule = ['great'] }\nsinks = ['pager']\nstop = true\n[[routes]]\nsinks = ['chat']",
    );
    let mut world = World::default();
    world.live(&policy, &[call("B", 10, json!({}))], at(11));
    assert_eq!(world.heard(), ["pager trigger opened"], "one for the worst does");
}

#[test]
fn a_route_that_is_taken_without_knowing_ends_nothing() {
    let routes = "[[routes]]\nmatch = { key.labels.env = ['dev'] }\nsinks = ['chat']\nstop = true\n[[routes]]\nsinks = ['pager']";
    let policy = policy(GREAT, routes);
    let mut dark = prepared(call("B", 10, json!({})));
    dark.marks.push("no answer in time".into());
    let mut world = World::default();
    world.feed_evaluations(&policy, &[evaluate(&policy, &dark, at(11))], at(11));
    assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
}

#[test]
fn an_incident_of_an_older_version_may_have_been_anybodys() {
    let policy = policy(GREAT, CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("B", 0, json!({}))], at(1));
    let mut stored = serde_json::to_value(world.only()).unwrap();
    assert_eq!(stored["fired"]["small"], json!({ "severity": "low", "tags": ["t.small"] }));
    stored.as_object_mut().unwrap().remove("fired");
    let old: Incident = serde_json::from_value(stored).unwrap();
    assert_eq!(old.worst().into_keys().collect::<Vec<_>>(), ["great", "small"]);
    let of = |matches: Value| InForce::new(silence(matches, 0, 1)).unwrap().holds(&old);
    assert_eq!(of(json!({ "rule": ["small"] })), Holds::Partly);
    assert_eq!(of(json!({ "rule": ["small", "great"] })), Holds::Yes);
    assert_eq!(of(json!({ "severity": ["high"] })), Holds::Yes);
    // What of it can be read again knows who was the worst.
    let fingerprint = old.fingerprint.clone();
    let mut rebuilt = Situation::rebuilt(fingerprint, old).incident.unwrap();
    rebuilt.fire("small", Severity::Low, &[]);
    assert_eq!(InForce::new(silence(json!({ "rule": ["small"] }), 0, 1)).unwrap().holds(&rebuilt), Holds::Partly);
}
