//! What holds notifications back: silences, other incidents, the shadow mode of a rule. Incidents never depend on it.

mod inhibition;
mod shadow;
mod worst;

use std::collections::BTreeMap;

use super::*;
use crate::core::hold::Gate;
use crate::core::silence::{Ended, Holds, InForce, Silence};

const HIGH: &str = "id = 'a'\ntitle = 'A'\nseverity = 'high'\nincident = 'f'\nmatch = { detail.eventName = ['A'] }\nresolve = { detail.eventName = ['Ok'] }";
const WORSE: &str = "id = 'b'\ntitle = 'B'\nseverity = 'critical'\nincident = 'f'\nmatch = { detail.eventName = ['B'] }\nresolve = { detail.eventName = ['Ok'] }";
const CHAT: &str = "[[routes]]\nsinks = ['chat']";
const ALL: &str = "[[routes]]\nsinks = ['chat']\n[[routes]]\nmatch = { severity = ['critical'] }\nsinks = ['pager']";

fn silence(matches: Value, from: i64, to: i64) -> Silence {
    Silence {
        id: "s1".into(),
        matches,
        by: "jo".into(),
        why: "planned".into(),
        created_at: at(from),
        ends_at: at(to),
        until_resolved: false,
        waits_for: BTreeMap::new(),
        pierce: true,
        ended: None,
    }
}

impl World {
    fn gates(&mut self, change: impl FnOnce(&mut Gates)) {
        let mut gates = Gates::clone(&self.snapshot.gates);
        change(&mut gates);
        self.snapshot.gates = Arc::new(gates);
    }

    /// As the engine does after every decision.
    fn learn(&mut self, policy: &Policy, decision: &Decision) -> bool {
        let mut opened = false;
        self.gates(|gates| opened = gates.learn(policy, decision));
        opened
    }

    /// Begins a silence, as `silence add` does.
    fn silence(&mut self, policy: &Policy, silence: &Silence) {
        let decision = begin_silence(policy, &self.snapshot, silence, silence.created_at);
        let decision = self.apply(decision);
        self.learn(policy, &decision);
    }

    fn expire(&mut self, policy: &Policy, now: Timestamp) {
        let mut ended = self.snapshot.gates.silences[0].silence.clone();
        ended.ended = Some(Ended { at: now, by: Some("kim".into()), why: "done".into() });
        let decision = Decision { silences: vec![ended], ..Decision::default() };
        assert!(self.learn(policy, &decision));
        self.look(policy, now);
    }

    /// Looks at everything that is held, due or not.
    fn look(&mut self, policy: &Policy, now: Timestamp) {
        let held = self.snapshot.situations.iter().filter(|(_, situation)| situation.is_held());
        let situations = held.map(|(print, situation)| (print.clone(), situation.clone())).collect();
        let snapshot = Snapshot { situations, gates: Arc::clone(&self.snapshot.gates), ..Snapshot::default() };
        let decision = tick(policy, &snapshot, now);
        let decision = self.apply(decision);
        self.learn(policy, &decision);
    }

    /// Events, and what the engine learns from the decision.
    fn live(&mut self, policy: &Policy, events: &[Event], now: Timestamp) -> Decision {
        let decision = self.feed(policy, events, now);
        self.learn(policy, &decision);
        decision
    }

    fn marks(&self) -> Vec<String> {
        self.told.last().unwrap().notification.marks.clone()
    }

    /// "reason gate" of all that was not told.
    fn not_told(&self) -> Vec<String> {
        self.history
            .iter()
            .filter_map(|entry| match &entry.what {
                What::NotTold { reason, held } => Some(match held {
                    Some(gate) => format!("{} by {gate}", reason.as_str()),
                    None => reason.as_str().to_owned(),
                }),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_silenced_incident_is_recorded_and_told_when_the_silence_ends() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "rule": ["a"] }), 0, 3600));
    let decision = world.live(&policy, &[call("A", 10, json!({}))], at(11));
    assert_eq!((decision.alerts.len(), world.only().state), (1, State::Open), "recorded in full");
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.not_told(), ["silenced by silence s1 of jo: planned"]);
    let due = world.snapshot.situations.values().next().unwrap().next_due();
    assert_eq!(due, Some(at(3600)), "the end of the silence is a timer");
    world.pass(&policy, at(3599));
    assert_eq!(world.heard(), [""; 0]);
    world.pass(&policy, at(3600));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    assert_eq!(world.marks(), ["held back until now by silence s1 of jo: planned"]);
    world.pass(&policy, at(3601));
    world.look(&policy, at(3602));
    assert_eq!(world.heard().len(), 1, "once");
    world.live(&policy, &[call("Ok", 4000, json!({}))], at(4001));
    assert_eq!(world.heard()[1..], ["chat resolve resolved"]);
}

#[test]
fn an_end_by_hand_tells_at_once() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 0, 36_000));
    world.live(&policy, &[call("A", 10, json!({}))], at(11));
    world.expire(&policy, at(20));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    assert_eq!(world.only().held, None);
}

#[test]
fn what_is_over_before_the_silence_is_told_to_nobody() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 0, 3600));
    world.live(&policy, &[call("A", 10, json!({})), call("Ok", 20, json!({}))], at(21));
    assert_eq!(world.only().state, State::Resolved);
    world.pass(&policy, at(3600));
    world.look(&policy, at(3601));
    assert_eq!(world.heard(), [""; 0]);
    assert_eq!(world.not_told().last().unwrap(), "never_told by silence s1 of jo: planned");
    // The same for an opening that nobody heard of an incident of which an earlier opening was told.
    world.live(&policy, &[call("A", 4000, json!({}))], at(4001));
    world.live(&policy, &[call("Ok", 4010, json!({}))], at(4011));
    assert_eq!(world.heard(), ["chat trigger reopened", "chat resolve resolved"]);
    let again = Silence { id: "s2".into(), ..silence(json!({ "severity": ["high"] }), 4020, 5000) };
    world.silence(&policy, &again);
    world.live(&policy, &[call("A", 4030, json!({}))], at(4031));
    world.live(&policy, &[call("Ok", 4040, json!({}))], at(4041));
    assert_eq!(world.heard().len(), 2, "{:?}", world.heard());
}

#[test]
fn who_heard_the_trigger_hears_the_end_and_updates_wait() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 10, 3600));
    let bob = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } });
    world.live(&policy, &[call("A", 20, bob.clone())], at(21));
    assert_eq!(world.heard(), ["chat trigger opened"], "the new actor waits");
    world.pass(&policy, at(3600));
    assert_eq!(world.heard()[1..], ["chat update new_actor"]);
    assert!(world.marks()[0].contains("held back until now by silence s1"));
    world.silence(&policy, &Silence { id: "s2".into(), ..silence(json!({ "severity": ["high"] }), 3700, 9000) });
    world.live(&policy, &[call("Ok", 4000, bob)], at(4001));
    assert_eq!(world.heard()[2..], ["chat resolve resolved"], "pagers close, silenced or not");
}

#[test]
fn an_incident_that_was_told_before_is_told_again_when_its_silence_ends() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 10, 3600));
    assert_eq!(world.not_told(), ["silenced by silence s1 of jo: planned"], "the story says so");
    world.pass(&policy, at(3600));
    assert_eq!(world.heard(), ["chat trigger opened", "chat update repeat"]);
    // Its repeats go on from there.
    world.pass(&policy, at(3600 + 4 * 3600 - 1));
    assert_eq!(world.heard().len(), 2);
    world.pass(&policy, at(3600 + 4 * 3600));
    assert_eq!(world.heard()[2..], ["chat update repeat"]);
}

#[test]
fn repeats_wait_too_and_come_out_as_one() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 10, 50_000));
    for hours in 1..13 {
        world.pass(&policy, at(hours * 3600 + 10));
    }
    assert_eq!(world.heard(), ["chat trigger opened"]);
    world.pass(&policy, at(50_000));
    assert_eq!(world.heard(), ["chat trigger opened", "chat update repeat"]);
}

#[test]
fn a_rise_to_critical_pierces_a_silence_unless_it_says_otherwise() {
    for pierce in [true, false] {
        let policy = policy_with(vec![rule_from(HIGH), rule_from(WORSE)], ALL);
        let mut world = World::default();
        world.silence(&policy, &Silence { pierce, ..silence(json!({ "incident": ["f"] }), 0, 36_000) });
        world.live(&policy, &[call("A", 10, json!({}))], at(11));
        world.live(&policy, &[call("B", 20, json!({}))], at(21));
        assert_eq!(world.only().severity, Severity::Critical);
        if pierce {
            assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"], "they had not heard of it");
            assert_eq!(
                world.marks(),
                [
                    "told in spite of silence s1 of jo: it rose to critical",
                    "held back until now by silence s1 of jo: planned"
                ]
            );
            world.pass(&policy, at(36_000));
            assert_eq!(world.heard().iter().filter(|heard| heard.contains("trigger")).count(), 2, "not again");
        } else {
            assert_eq!(world.heard(), [""; 0]);
            world.pass(&policy, at(36_000));
            assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
        }
    }
}

#[test]
fn a_silence_for_something_critical_holds_it() {
    let policy = policy_with(vec![rule_from(HIGH), rule_from(WORSE)], ALL);
    let mut world = World::default();
    // It opens so: nothing rose.
    world.silence(&policy, &silence(json!({ "incident": ["f"] }), 0, 36_000));
    world.live(&policy, &[call("B", 10, json!({}))], at(11));
    assert_eq!(world.heard(), [""; 0]);
    // It rose before anybody silenced it: whoever does so has seen that.
    let mut world = World::default();
    world.live(&policy, &[call("A", 10, json!({}))], at(11));
    world.live(&policy, &[call("B", 20, json!({}))], at(21));
    let told = world.told.len();
    world.silence(&policy, &silence(json!({ "incident": ["f"] }), 30, 36_000));
    let bob = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } });
    world.live(&policy, &[call("A", 40, bob)], at(41));
    assert_eq!(world.told.len(), told);
}

#[test]
fn a_held_rise_is_told_as_the_rise_it_was() {
    let policy = policy_with(vec![rule_from(HIGH), rule_from(WORSE)], ALL);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    world.silence(&policy, &Silence { pierce: false, ..silence(json!({ "incident": ["f"] }), 10, 3600) });
    world.live(&policy, &[call("B", 20, json!({}))], at(21));
    let bob = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } });
    world.live(&policy, &[call("B", 30, bob)], at(31));
    world.pass(&policy, at(3600));
    assert_eq!(world.heard()[1..], ["chat update escalated", "pager update escalated"], "one of all that was held");
}

#[test]
fn a_silence_until_resolved_waits_for_what_matched_when_it_was_made() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    let id = world.only().id.clone();
    let until = Silence { until_resolved: true, ..silence(json!({ "severity": ["high"] }), 10, 99_000_000) };
    world.silence(&policy, &until);
    assert_eq!(world.snapshot.gates.silences[0].silence.waits_for.keys().collect::<Vec<_>>(), [&id]);
    let decision = world.feed(&policy, &[call("Ok", 20, json!({}))], at(21));
    assert_eq!(decision.silences[0].ended.as_ref().unwrap().why, format!("incident {id} is resolved"));
    assert!(world.learn(&policy, &decision), "others that it held need a look");
    assert!(world.snapshot.gates.silences.is_empty());
    world.live(&policy, &[call("A", 30, json!({}))], at(31));
    assert_eq!(world.heard().last().unwrap(), "chat trigger reopened");
}

#[test]
fn a_silence_until_resolved_that_matched_nothing_waits_for_the_first_that_it_holds() {
    let policy = policy_with(vec![rule_from(&HIGH.replace("incident = 'f'", "group_by = ['actor.principal']"))], CHAT);
    let user = |name: &str| json!({ "userIdentity": { "type": "IAMUser", "arn": format!("arn:aws:iam::111122223333:user/{name}") } });
    let mut world = World::default();
    world
        .silence(&policy, &Silence { until_resolved: true, ..silence(json!({ "severity": ["high"] }), 0, 99_000_000) });
    world.live(&policy, &[call("A", 10, user("ann"))], at(11));
    world.live(&policy, &[call("A", 20, user("bob"))], at(21));
    assert_eq!(world.heard(), [""; 0], "it holds all that match");
    assert_eq!(world.snapshot.gates.silences[0].silence.waits_for.len(), 1, "and waits for the first");
    world.live(&policy, &[call("Ok", 30, user("bob"))], at(31));
    assert_eq!(world.snapshot.gates.silences.len(), 1);
    world.live(&policy, &[call("A", 40, user("cyn"))], at(41));
    let decision = world.feed(&policy, &[call("Ok", 50, user("ann"))], at(51));
    assert!(world.learn(&policy, &decision));
    world.look(&policy, at(52));
    assert_eq!(world.heard(), ["chat trigger opened"], "the one that is still open");
    assert_eq!(world.told[0].notification.event.actor.principal.as_deref(), Some("arn:aws:iam::111122223333:user/cyn"));
}

#[test]
fn a_silence_ends_although_nobody_who_knew_of_it_resolved_its_incident() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.live(&policy, &[call("A", 0, json!({}))], at(1));
    let until = Silence { until_resolved: true, ..silence(json!({ "severity": ["high"] }), 10, 99_000_000) };
    let decision = begin_silence(&policy, &world.snapshot, &until, at(10));
    let decision = world.apply(decision);
    // The daemon decides before it has heard of the silence.
    world.feed(&policy, &[call("Ok", 20, json!({}))], at(21));
    world.learn(&policy, &decision);
    let settled = settle_silences(&policy, &world.snapshot, at(25));
    assert!(settled.silences[0].ended.is_some());
    world.learn(&policy, &settled);
    assert!(settle_silences(&policy, &world.snapshot, at(26)).is_empty());
}

#[test]
fn a_silence_that_reads_what_could_not_be_looked_up_does_not_hold_and_says_so() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    for matches in [
        json!({ "severity": ["high"], "key": { "labels": { "environment": ["test"] } } }),
        json!({ "severity": ["high"], "key": { "labels": { "environment": [{ "exists": false }] } } }),
    ] {
        let mut world = World::default();
        world.silence(&policy, &silence(matches, 0, 3600));
        let mut dark = prepared(call("A", 10, json!({})));
        dark.marks.push("key details could not be looked up: access denied".into());
        world.feed_evaluations(&policy, &[evaluate(&policy, &dark, at(11))], at(11));
        assert_eq!(world.heard(), ["chat trigger opened"]);
        assert!(
            world.marks().iter().any(|mark| mark.contains("silence s1 of jo reads key details")),
            "{:?}",
            world.marks()
        );
    }
    // What it asks beside that still decides.
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "severity": ["low"], "key": { "aliases": ["x"] } }), 0, 3600));
    let mut dark = prepared(call("A", 10, json!({})));
    dark.marks.push("no answer in time".into());
    world.feed_evaluations(&policy, &[evaluate(&policy, &dark, at(11))], at(11));
    assert_eq!(world.marks(), ["no answer in time"]);
}

#[test]
fn a_broad_silence_does_not_make_kmswatch_itself_silent() {
    let policy = policy();
    let deaf = OwnSubject::Deaf { queue: "prod".into() };
    for (matches, held) in [(json!({ "severity": ["critical"] }), false), (json!({ "rule": ["kmswatch.deaf"] }), true)]
    {
        let mut world = World::default();
        world.silence(&policy, &silence(matches, 0, 3600));
        world.feed_evaluations(&policy, &[own_danger(&deaf, "throttled", at(1))], at(1));
        assert_eq!(world.heard().is_empty(), held);
    }
}

#[test]
fn a_silenced_notice_is_dropped() {
    let rule = "id = 'n'\ntitle = 'N'\nseverity = 'high'\nnotice = true\nmatch = { detail.eventName = ['N'] }";
    let policy = policy_with(vec![rule_from(rule)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &Silence { until_resolved: true, ..silence(json!({ "severity": ["high"] }), 0, 3600) });
    world.live(&policy, &[call("N", 10, json!({}))], at(11));
    assert!(world.snapshot.gates.silences[0].silence.waits_for.is_empty(), "it was never open");
    world.pass(&policy, at(3600));
    assert_eq!((world.heard().len(), world.only().held.is_none()), (0, true));
    assert_eq!(world.not_told(), ["silenced by silence s1 of jo: planned"]);
}

#[test]
fn what_somebody_took_while_it_was_held_is_told_as_taken() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 0, 3600));
    world.live(&policy, &[call("A", 10, json!({}))], at(11));
    let id = world.only().id.clone();
    let command = Command { incident: id, action: Action::Acknowledge, by: "kim".into(), why: "on it".into() };
    let decision = by_hand(&policy, &world.snapshot, &command, at(20));
    world.apply(decision);
    assert_eq!(world.heard(), [""; 0]);
    world.pass(&policy, at(3600));
    assert_eq!(world.heard(), ["chat trigger opened", "chat update acknowledged_by_hand"]);
    assert_eq!(world.only().state, State::Acknowledged);
}

#[test]
fn two_silences_hold_until_both_are_over() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 0, 100));
    world.silence(&policy, &Silence { id: "s2".into(), ..silence(json!({ "rule": ["a"] }), 0, 200) });
    world.live(&policy, &[call("A", 10, json!({}))], at(11));
    world.pass(&policy, at(100));
    assert_eq!(world.heard(), [""; 0]);
    world.pass(&policy, at(200));
    assert_eq!(world.heard(), ["chat trigger opened"]);
}

#[test]
fn a_reload_tells_what_its_silence_no_longer_holds() {
    let policy = policy_with(vec![rule_from(HIGH)], CHAT);
    let mut world = World::default();
    world.silence(&policy, &silence(json!({ "severity": ["high"] }), 0, 100));
    world.live(&policy, &[call("A", 10, json!({}))], at(11));
    // The daemon was down when the silence ended.
    world.gates(|gates| gates.silences.clear());
    let decision = adopt(&policy, &world.snapshot, at(500));
    world.apply(decision);
    assert_eq!(world.heard(), ["chat trigger opened"]);
}

#[test]
fn silences_are_known_by_their_value() {
    let one = |id: &str| Arc::new(InForce::new(Silence { id: id.into(), ..silence(json!({}), 0, 1) }).err());
    assert!(one("a").is_some(), "an empty pattern is none");
    let gate = Gate::Silence { id: "s".into(), by: "jo".into(), why: "w".into() };
    assert_eq!(
        serde_json::to_value(What::NotTold { reason: NotTold::Silenced, held: Some(gate) }).unwrap(),
        json!({ "what": "not_told", "reason": "silenced", "held": { "gate": "silence", "id": "s", "by": "jo", "why": "w" } })
    );
    let old: What = serde_json::from_value(json!({ "what": "not_told", "reason": "no_route" })).unwrap();
    assert_eq!(old, What::NotTold { reason: NotTold::NoRoute, held: None });
}

#[test]
fn gates_change_nothing_but_what_is_told() {
    let rules = || {
        vec![
            rule_from(HIGH),
            rule_from(WORSE),
            rule_from(
                "id = 'c'\ntitle = 'C'\nseverity = 'medium'\nmatch = { detail.eventName = ['C'] }\nresolve_after = '10m'",
            ),
            rule_from("id = 'n'\ntitle = 'N'\nseverity = 'low'\nnotice = true\nmatch = { detail.eventName = ['N'] }"),
        ]
    };
    let (plain, mut gated) = (policy_with(rules(), ALL), policy_with(rules(), ALL));
    gated.inhibit =
        inhibition::rules("[[inhibit]]\nsource = { incident = ['f'] }\ntarget = { severity = ['medium', 'low'] }");
    let names = ["A", "B", "C", "N", "Ok", "A", "C"];
    let mut seed = 11_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..200 {
        let user = |n: usize| json!({ "userIdentity": { "type": "IAMUser", "arn": format!("arn:aws:iam::111122223333:user/u{n}") } });
        let events: Vec<Event> = (0..12)
            .map(|n| call(names[random(names.len())], n * 100 + i64::try_from(random(90)).unwrap(), user(random(3))))
            .collect();
        let (mut free, mut held) = (World::default(), World::default());
        let pattern =
            [json!({ "severity": ["high", "medium"] }), json!({ "incident": ["f"] }), json!({ "state": ["open"] })];
        let asked = Silence {
            until_resolved: round % 3 == 0,
            pierce: round % 2 == 0,
            ..silence(pattern[random(3)].clone(), 0, 400 + i64::try_from(random(600)).unwrap())
        };
        held.silence(&gated, &asked);
        for (n, event) in (0..).zip(&events) {
            let now = at(n * 100 + 95);
            free.live(&plain, std::slice::from_ref(event), now);
            held.live(&gated, std::slice::from_ref(event), now);
            free.pass(&plain, now);
            held.pass(&gated, now);
            held.look(&gated, now);
        }
        assert_eq!(free.end_state(), held.end_state(), "round {round}: {asked:?}");
        let alerts =
            |world: &World| world.incidents.values().map(|i| (i.id.clone(), i.alerts, i.step)).collect::<Vec<_>>();
        assert_eq!(alerts(&free), alerts(&held));
        told_in_order(&held, round);
        // When everything is over, nobody is owed anything.
        held.gates(|gates| *gates = Gates::default());
        held.look(&plain, at(2000));
        assert!(held.incidents.values().all(|incident| incident.held.is_none()), "round {round}");
        told_in_order(&held, round);
    }
}

/// For each incident and sink: an opening first, then no second one before an end, no end without an opening.
fn told_in_order(world: &World, round: usize) {
    let mut open: BTreeMap<(String, String), bool> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for NewDelivery { sink, notification } in &world.told {
        assert!(ids.insert((sink.clone(), notification.id.clone())), "round {round}: told twice");
        let known = open.entry((sink.clone(), notification.incident.id.clone())).or_default();
        match notification.kind {
            Kind::Trigger => assert!(!std::mem::replace(known, true), "round {round}: opened twice"),
            Kind::Resolve => assert!(std::mem::replace(known, false), "round {round}: an end without a beginning"),
            // A rise goes to further sinks, which know it as an opening.
            Kind::Update => *known = true,
            Kind::Notice => {}
        }
    }
}
