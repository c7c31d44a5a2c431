//! Rules on trial: recorded in full, told to nobody, live from a date or a reload on.

use super::*;
use crate::core::rule::Rule;

const TRIAL: &str = "id = 't'\ntitle = 'T'\nseverity = 'critical'\nmode = 'shadow'\nmatch = { detail.eventName = ['T'] }\nresolve = { detail.eventName = ['TOk'] }";

fn trial(more: &str) -> Arc<Rule> {
    rule_from(&format!("{TRIAL}\n{more}"))
}

/// `at(1000)` as TOML writes it.
fn from_1000() -> String {
    format!("live_from = {}", at(1000))
}

fn live(more: &str) -> Arc<Rule> {
    rule_from(&format!("{}\n{more}", TRIAL.replace("mode = 'shadow'", "mode = 'live'")))
}

#[test]
fn a_rule_on_trial_is_recorded_and_told_to_nobody() {
    let policy = policy_with(vec![trial("")], "");
    let mut world = World::default();
    let decision = world.live(&policy, &[call("T", 0, json!({}))], at(1));
    assert!(decision.alerts[0].shadow && world.only().shadow);
    assert_eq!((world.only().state, world.only().severity), (State::Open, Severity::Critical));
    assert_eq!(world.not_told(), ["shadow by the shadow mode of rule t"]);
    world.live(&policy, &[call("TOk", 10, json!({}))], at(11));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.not_told()[1..], ["never_told by the shadow mode of rule t"]);
}

#[test]
fn from_its_date_on_a_rule_is_live_by_itself() {
    let policy = policy_with(vec![trial(&from_1000())], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("T", 0, json!({}))], at(1));
    world.pass(&policy, at(999));
    assert_eq!(world.heard(), [""; 0]);
    world.pass(&policy, at(1000));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    assert_eq!(world.marks(), ["held back until now by the shadow mode of rule t"]);
    assert!(!world.only().shadow);
    let decision = world.live(&policy, &[call("T", 1010, json!({})), call("TOk", 1020, json!({}))], at(1021));
    assert!(!decision.alerts[0].shadow);
    assert_eq!(world.only().alerts, 2, "the same incident goes on");
    assert_eq!(world.heard()[1..], ["chat resolve resolved"]);
}

#[test]
fn a_reload_that_makes_it_live_tells_what_is_open() {
    let mut world = World::default();
    world.live(&policy_with(vec![trial("")], CHAT), &[call("T", 0, json!({}))], at(1));
    let decision = adopt(&policy_with(vec![live("")], CHAT), &world.snapshot, at(5));
    world.apply(decision);
    assert_eq!(world.heard(), ["chat trigger opened"], "and does not close it");
    assert_eq!(world.only().state, State::Open);
}

#[test]
fn a_rule_on_trial_cannot_change_an_incident_of_the_family_it_names() {
    let member = HIGH;
    let policy = policy_with(vec![rule_from(member), trial("incident = 'f'")], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    world.live(&policy, &[call("T", 10, json!({}))], at(11));
    assert_eq!(world.incidents.len(), 2);
    let family = |world: &World, name: &str| world.incidents.values().find(|i| i.family == name).unwrap().clone();
    assert_eq!((family(&world, "f").severity, family(&world, "t").severity), (Severity::High, Severity::Critical));
    world.live(&policy, &[call("Ok", 20, json!({}))], at(21));
    assert_eq!((family(&world, "f").state, family(&world, "t").state), (State::Resolved, State::Open));
    world.live(&policy, &[call("TOk", 30, json!({}))], at(31));
    assert_eq!(family(&world, "t").state, State::Resolved);
    assert_eq!(world.heard(), ["chat trigger opened", "chat resolve resolved"]);
}

#[test]
fn what_it_found_on_trial_ends_after_it_went_live() {
    let policy = policy_with(vec![trial(&format!("incident = 'f'\n{}", from_1000()))], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("T", 0, json!({}))], at(1));
    world.pass(&policy, at(1000));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    let kept = adopt(&policy, &world.snapshot, at(1001));
    assert!(kept.is_empty(), "no rule is gone: {kept:?}");
    // A late event of that time joins it; a new one joins the family.
    world.live(&policy, &[call("T", 5, json!({}))], at(1005));
    assert_eq!(world.only().alerts, 2);
    world.live(&policy, &[call("T", 1010, json!({}))], at(1011));
    assert_eq!(world.incidents.len(), 2);
    world.live(&policy, &[call("TOk", 1020, json!({}))], at(1021));
    assert!(world.incidents.values().all(|incident| incident.state == State::Resolved));
}

#[test]
fn a_reload_without_the_trial_leaves_its_incident_an_end() {
    let mut world = World::default();
    world.live(&policy_with(vec![trial("incident = 'f'")], CHAT), &[call("T", 0, json!({}))], at(1));
    let mut policy = policy_with(vec![live("incident = 'f'")], CHAT);
    policy.legacy = legacy_resolves(&policy.rules, world.snapshot.situations.values());
    assert_eq!(policy.legacy.len(), 1, "under its own name");
    let decision = adopt(&policy, &world.snapshot, at(5));
    world.apply(decision);
    assert_eq!(world.heard(), ["chat trigger opened"]);
    // Another reload changes nothing.
    assert!(adopt(&policy, &world.snapshot, at(6)).is_empty());
    world.live(&policy, &[call("TOk", 10, json!({}))], at(11));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.heard()[1..], ["chat resolve resolved"]);
}

#[test]
fn a_rule_that_goes_on_trial_leaves_its_incident_to_those_who_heard_of_it() {
    let mut world = World::default();
    world.live(&policy_with(vec![live("")], CHAT), &[call("T", 0, json!({}))], at(1));
    let policy = policy_with(vec![trial(&from_1000())], CHAT);
    let decision = adopt(&policy, &world.snapshot, at(5));
    world.apply(decision);
    assert!(world.only().shadow);
    let bob = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } });
    world.live(&policy, &[call("T", 10, bob)], at(11));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    world.pass(&policy, at(1000));
    assert_eq!(world.heard()[1..], ["chat update new_actor"]);
    world.live(&policy, &[call("TOk", 1010, json!({}))], at(1011));
    assert_eq!(world.heard()[2..], ["chat resolve resolved"]);
}

#[test]
fn a_rule_on_trial_holds_nobody() {
    let mut policy = policy_with(vec![trial(""), rule_from(HIGH)], CHAT);
    policy.inhibit = inhibition::rules("[[inhibit]]\nsource = { rule = ['t'] }\ntarget = { rule = ['a'] }");
    let mut world = World::default();
    world.live(&policy, &[call("T", 0, json!({}))], at(1));
    world.live(&policy, &[call("A", 10, json!({}))], at(11));
    assert_eq!(world.heard(), ["chat trigger opened"]);
}
