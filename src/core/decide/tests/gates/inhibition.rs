//! While one incident is open, another is not told.

use super::*;
use crate::core::inhibit::{Inhibit, InhibitSpec};

pub(super) fn rules(toml: &str) -> Vec<Inhibit> {
    #[derive(serde::Deserialize)]
    struct Tables {
        inhibit: Vec<InhibitSpec>,
    }
    let tables: Tables = toml::from_str(toml).unwrap();
    tables.inhibit.iter().map(|spec| spec.compile().unwrap()).collect()
}

const LOSS: &str = "id = 'loss'\ntitle = 'Loss'\nseverity = 'critical'\nmatch = { detail.eventName = ['L'] }\nresolve = { detail.eventName = ['LOk'] }";
const NOISE: &str = "id = 'noise'\ntitle = 'Noise'\nseverity = 'medium'\ngroup_by = ['key.arn', 'actor.principal']\nmatch = { detail.eventName = ['N'] }\nresolve_after = '10h'";
const SAME_KEY: &str = "[[inhibit]]\nsource = { rule = ['loss'] }\ntarget = { rule = ['noise'] }\nequal = ['key.arn']";
const OTHER: &str = "arn:aws:kms:eu-central-1:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab";

fn policy_for(inhibit: &str) -> Policy {
    let mut policy = policy_with(vec![rule_from(LOSS), rule_from(NOISE)], "[[routes]]\nsinks = ['chat']");
    policy.inhibit = rules(inhibit);
    policy
}

fn on(key: &str) -> Value {
    json!({ "requestParameters": { "keyId": key }, "responseElements": null, "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": key }] })
}

#[test]
fn while_its_cause_is_open_a_consequence_is_not_told() {
    let policy = policy_for(SAME_KEY);
    let mut world = World::default();
    world.live(&policy, &[call("L", 0, json!({}))], at(1));
    world.live(&policy, &[call("N", 10, json!({}))], at(11));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    let cause = world.told[0].notification.incident.id.clone();
    assert_eq!(world.not_told(), [format!("inhibited by incident {cause} (Loss)")]);
    // Another key is another matter.
    world.live(&policy, &[call("N", 20, on(OTHER))], at(21));
    assert_eq!(world.heard().len(), 2);
    let decision = world.feed(&policy, &[call("LOk", 30, json!({}))], at(31));
    assert!(world.learn(&policy, &decision), "something may be told now");
    world.look(&policy, at(32));
    assert_eq!(world.heard()[2..], ["chat resolve resolved", "chat trigger opened"]);
    assert_eq!(world.marks(), [format!("held back until now by incident {cause} (Loss)")]);
}

#[test]
fn cause_and_consequence_in_one_batch() {
    let policy = policy_for(SAME_KEY);
    let mut world = World::default();
    world.live(&policy, &[call("L", 0, json!({})), call("N", 10, json!({}))], at(11));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    // The end of the cause and a new consequence: the end comes first, so the consequence is told.
    world.live(
        &policy,
        &[
            call("LOk", 20, json!({})),
            call(
                "N",
                30,
                json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } }),
            ),
        ],
        at(31),
    );
    assert_eq!(world.heard()[1..], ["chat resolve resolved", "chat trigger opened"]);
}

#[test]
fn a_consequence_that_came_first_is_told_and_its_updates_wait() {
    let policy = policy_for(SAME_KEY);
    let mut world = World::default();
    world.live(&policy, &[call("N", 0, json!({}))], at(1));
    world.live(&policy, &[call("L", 10, json!({}))], at(11));
    assert_eq!(world.heard(), ["chat trigger opened", "chat trigger opened"]);
    let decision = by_hand(
        &policy,
        &world.snapshot,
        &Command {
            incident: world.incidents.values().find(|i| i.family == "noise").unwrap().id.clone(),
            action: Action::Resolve,
            by: "kim".into(),
            why: "done".into(),
        },
        at(20),
    );
    world.apply(decision);
    assert_eq!(world.heard().last().unwrap(), "chat resolve resolved_by_hand");
}

#[test]
fn what_is_absent_equals_nothing() {
    let policy = policy_for(
        "[[inhibit]]\nsource = { rule = ['loss'] }\ntarget = { rule = ['noise'] }\nequal = ['key.labels.team']",
    );
    let mut world = World::default();
    world.live(&policy, &[call("L", 0, json!({})), call("N", 10, json!({}))], at(11));
    assert_eq!(world.heard().len(), 2, "neither has a team");
    let policy = policy_for("[[inhibit]]\nsource = { rule = ['loss'] }\ntarget = { rule = ['noise'] }");
    let mut world = World::default();
    world.live(&policy, &[call("L", 0, json!({})), call("N", 10, on(OTHER))], at(11));
    assert_eq!(world.heard().len(), 1, "without `equal` any will do");
}

#[test]
fn unknown_key_details_hold_nothing() {
    let policy = policy_for(
        "[[inhibit]]\nsource = { rule = ['loss'] }\ntarget = { rule = ['noise'], key.labels.env = [{ exists = false }] }",
    );
    for (dark, told) in [(false, 1), (true, 2)] {
        let mut world = World::default();
        world.live(&policy, &[call("L", 0, json!({}))], at(1));
        let mut noise = prepared(call("N", 10, json!({})));
        if dark {
            noise.marks.push("no answer in time".into());
        }
        world.feed_evaluations(&policy, &[evaluate(&policy, &noise, at(11))], at(11));
        assert_eq!(world.heard().len(), told);
    }
}

#[test]
fn critical_incidents_are_never_inhibited_and_nobody_inhibits_itself() {
    let policy =
        policy_for("[[inhibit]]\nsource = { rule = [{ exists = true }] }\ntarget = { rule = [{ exists = true }] }");
    let mut world = World::default();
    world.live(&policy, &[call("N", 0, json!({}))], at(1));
    assert_eq!(world.heard(), ["chat trigger opened"], "not by itself");
    world.live(&policy, &[call("L", 10, json!({}))], at(11));
    assert_eq!(world.heard().len(), 2, "not what is critical");
    let deaf = OwnSubject::SinkFailing { sink: "chat".into() };
    world.feed_evaluations(&policy, &[own_danger(&deaf, "401", at(20))], at(20));
    assert_eq!(world.heard().len(), 3, "not kmswatch about itself");
}

#[test]
fn in_a_circle_the_first_stays_audible() {
    let rule = |id: &str| {
        rule_from(&format!(
            "id = '{id}'\ntitle = '{id}'\nseverity = 'high'\nmatch = {{ detail.eventName = ['{id}'] }}\nresolve = {{ detail.eventName = ['{id}-ok'] }}"
        ))
    };
    let mut policy = policy_with(vec![rule("x"), rule("y"), rule("z")], "[[routes]]\nsinks = ['chat']");
    policy.inhibit = rules(
        "[[inhibit]]\nsource = { rule = ['x'] }\ntarget = { rule = ['y'] }\n[[inhibit]]\nsource = { rule = ['y'] }\ntarget = { rule = ['z'] }\n[[inhibit]]\nsource = { rule = ['z'] }\ntarget = { rule = ['x'] }",
    );
    let mut world = World::default();
    world.live(&policy, &[call("x", 0, json!({}))], at(1));
    world.live(&policy, &[call("y", 10, json!({}))], at(11));
    world.live(&policy, &[call("z", 20, json!({}))], at(21));
    let told: Vec<&str> = world.told.iter().map(|d| d.notification.incident.rule.as_str()).collect();
    assert_eq!(told, ["x", "z"], "y is held, and what is held holds nobody");
    // x goes: y is told, and holds z from then on.
    let decision = world.feed(&policy, &[call("x-ok", 30, json!({}))], at(31));
    assert!(world.learn(&policy, &decision));
    world.look(&policy, at(32));
    assert_eq!(world.told.last().unwrap().notification.incident.rule, "y");
    world.look(&policy, at(33));
    assert!(world.incidents.values().all(|incident| incident.held.is_none()));
}

#[test]
fn a_reload_without_the_rule_tells_what_it_held() {
    let policy = policy_for(SAME_KEY);
    let mut world = World::default();
    world.live(&policy, &[call("L", 0, json!({})), call("N", 10, json!({}))], at(11));
    let without = policy_with(vec![rule_from(LOSS), rule_from(NOISE)], "[[routes]]\nsinks = ['chat']");
    let decision = adopt(&without, &world.snapshot, at(20));
    world.apply(decision);
    assert_eq!(world.heard(), ["chat trigger opened", "chat trigger opened"]);
}
