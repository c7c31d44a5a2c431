//! Stories: events in, situations and notifications out.

mod damaged;
mod gates;
mod late;
mod materials;
mod observed;
mod several;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::core::decode::decode;
use crate::core::event::Event;
use crate::core::route::RouteSpec;
use crate::core::rule::{self, Rule, RuleSet};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn policy_with(rules: Vec<Arc<Rule>>, routes: &str) -> Policy {
    #[derive(serde::Deserialize)]
    struct Routes {
        #[serde(default)]
        routes: Vec<RouteSpec>,
    }
    let routes: Routes = toml::from_str(routes).unwrap();
    Policy {
        rules: RuleSet::new(rules),
        routes: routes.routes.iter().map(|r| r.compile().unwrap()).collect(),
        sinks: vec!["pager".into(), "chat".into()],
        queues: vec!["prod".into()],
        ..Policy::default()
    }
}

fn policy() -> Policy {
    policy_with(
        rule::classic(),
        "[[routes]]\nsinks = ['chat']\n[[routes]]\nmatch = { severity = ['critical', 'high'] }\nsinks = ['pager']",
    )
}

fn rule_from(toml: &str) -> Arc<Rule> {
    let spec: rule::RuleSpec = toml::from_str(toml).unwrap();
    Arc::new(rule::compile(&spec).unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

/// A CloudTrail event in its EventBridge envelope.
#[expect(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn call(name: &str, seconds: i64, extra: Value) -> Event {
    let mut detail = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::111122223333:assumed-role/Admin/alice",
            "accountId": "111122223333",
            "sessionContext": { "sessionIssuer": { "type": "Role", "arn": "arn:aws:iam::111122223333:role/Admin" } }
        },
        "eventTime": at(seconds).to_string(),
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.31",
        "requestParameters": { "keyId": KEY },
        "responseElements": { "keyId": KEY },
        "eventID": format!("{name}-{seconds}"),
        "readOnly": false,
        "resources": [{ "accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY }],
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333"
    });
    for (name, value) in extra.as_object().cloned().unwrap_or_default() {
        if value.is_null() {
            detail.as_object_mut().unwrap().remove(&name);
        } else {
            detail[name] = value;
        }
    }
    let envelope = json!({
        "version": "0", "id": format!("env-{name}-{seconds}"), "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms",
        "account": "111122223333", "time": at(seconds).to_string(), "region": "eu-central-1", "resources": [], "detail": detail
    });
    decoded(&envelope)
}

fn decoded(envelope: &Value) -> Event {
    let mut out = decode(&envelope.to_string());
    assert!(out.rejected.is_empty(), "{:?}", out.rejected);
    out.events.remove(0)
}

fn prepared(event: Event) -> Prepared {
    Prepared { event, marks: vec![], looked_up: None }
}

/// Id, state, severity, number of alerts, opened, last alert, resolved, actors.
type EndState = (String, State, Severity, u64, Timestamp, Timestamp, Option<Timestamp>, Vec<String>);

/// A store of the simplest kind: applies decisions and keeps what was told.
#[derive(Default)]
struct World {
    snapshot: Snapshot,
    told: Vec<NewDelivery>,
    history: Vec<HistoryEntry>,
    incidents: BTreeMap<String, crate::core::incident::Incident>,
}

impl World {
    fn feed(&mut self, policy: &Policy, events: &[Event], now: Timestamp) -> Decision {
        let evaluations: Vec<_> = events.iter().map(|e| evaluate(policy, &prepared(e.clone()), now)).collect();
        self.feed_evaluations(policy, &evaluations, now)
    }

    fn feed_evaluations(&mut self, policy: &Policy, evaluations: &[Evaluation], now: Timestamp) -> Decision {
        let decision = decide(policy, evaluations, &self.snapshot, now);
        self.apply(decision)
    }

    fn pass(&mut self, policy: &Policy, now: Timestamp) -> Decision {
        let due: Snapshot = Snapshot {
            situations: self
                .snapshot
                .situations
                .iter()
                .filter(|(_, s)| s.next_due().is_some_and(|due| due <= now))
                .map(|(f, s)| (f.clone(), s.clone()))
                .collect(),
            gates: Arc::clone(&self.snapshot.gates),
            ..Snapshot::default()
        };
        let decision = tick(policy, &due, now);
        self.apply(decision)
    }

    fn apply(&mut self, decision: Decision) -> Decision {
        self.snapshot.seen.extend(decision.seen.iter().map(|(id, _)| id.clone()));
        for situation in &decision.situations {
            if let Some(incident) = &situation.incident {
                self.incidents.insert(incident.id.clone(), incident.clone());
            }
            self.snapshot.situations.insert(situation.fingerprint.clone(), situation.clone());
        }
        self.told.extend(decision.deliveries.iter().cloned());
        self.history.extend(decision.history.iter().cloned());
        decision
    }

    /// "sink kind reason" of everything told so far.
    fn heard(&self) -> Vec<String> {
        self.told
            .iter()
            .map(|d| format!("{} {} {}", d.sink, d.notification.kind.as_str(), d.notification.reason.as_str()))
            .collect()
    }

    fn only(&self) -> &crate::core::incident::Incident {
        assert_eq!(self.incidents.len(), 1, "{:?}", self.incidents.keys());
        self.incidents.values().next().unwrap()
    }

    /// What must not depend on the order of arrival.
    fn end_state(&self) -> Vec<EndState> {
        self.incidents
            .values()
            .map(|i| {
                (
                    i.id.clone(),
                    i.state,
                    i.severity,
                    i.alerts,
                    i.opened_at,
                    i.last_alert_at,
                    i.resolved_at,
                    i.actors.iter().cloned().collect(),
                )
            })
            .collect()
    }
}

#[test]
fn a_disabled_key_pages_and_enabling_it_resolves() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("DisableKey", 0, json!({}))], at(2));
    assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
    assert_eq!(world.only().state, State::Open);
    let card = &world.told[0].notification;
    assert_eq!(card.incident.severity, Severity::Critical);
    assert!(card.undo.as_deref().unwrap().contains("enable-key"), "{:?}", card.undo);
    world.feed(&policy, &[call("EnableKey", 60, json!({}))], at(62));
    assert_eq!(world.heard()[2..], ["chat resolve resolved", "pager resolve resolved"]);
    assert_eq!(world.only().resolved_at, Some(at(60)));
    assert!(world.told[2].notification.id != world.told[0].notification.id);
}

#[test]
fn the_same_event_twice_is_a_duplicate_even_in_one_batch() {
    let (policy, mut world) = (policy(), World::default());
    let event = call("DisableKey", 0, json!({}));
    let decision = world.feed(&policy, &[event.clone(), event.clone()], at(1));
    assert_eq!(decision.duplicates, 1);
    let decision = world.feed(&policy, &[event], at(2));
    assert!(decision.is_empty());
    assert_eq!(world.told.len(), 2);
    assert_eq!(world.only().alerts, 1);
}

#[test]
fn cancelling_a_deletion_does_not_resolve() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("ScheduleKeyDeletion", 0, json!({}))], at(1));
    world.feed(&policy, &[call("CancelKeyDeletion", 10, json!({}))], at(11));
    assert_eq!(world.only().state, State::Open);
    world.feed(&policy, &[call("EnableKey", 20, json!({}))], at(21));
    assert_eq!(world.only().state, State::Resolved);
}

#[test]
fn a_family_is_one_incident_and_resolves_when_all_members_have_cleared() {
    let disabled = rule_from(
        "id = 'a'\ntitle = 'A'\nseverity = 'high'\nincident = 'f'\nmatch = { detail.eventName = ['A'] }\nresolve = { detail.eventName = ['ClearA'] }",
    );
    let deletion = rule_from(
        "id = 'b'\ntitle = 'B'\nseverity = 'critical'\nincident = 'f'\nmatch = { detail.eventName = ['B'] }\nresolve = { detail.eventName = ['ClearB'] }",
    );
    let policy = policy_with(vec![disabled, deletion], "");
    let mut world = World::default();
    world.feed(&policy, &[call("A", 0, json!({}))], at(1));
    world.feed(&policy, &[call("B", 5, json!({}))], at(6));
    assert_eq!(world.heard()[2..], ["chat update escalated", "pager update escalated"]);
    assert_eq!(world.only().step, 1);
    world.feed(&policy, &[call("ClearB", 10, json!({}))], at(11));
    assert_eq!(world.only().state, State::Open, "A still stands");
    world.feed(&policy, &[call("ClearA", 15, json!({}))], at(16));
    assert_eq!(world.only().state, State::Resolved);
}

#[test]
fn a_second_danger_of_the_same_severity_asks_again() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("DisableKey", 0, json!({}))], at(1));
    world.feed(&policy, &[call("ScheduleKeyDeletion", 10, json!({}))], at(11));
    assert_eq!(world.heard()[2..], ["chat update new_danger", "pager update new_danger"]);
    assert_eq!(world.only().step, 1, "a new dedup key: an acknowledged page does not page again");
    assert_eq!(world.only().alerts, 2);
}

#[test]
fn a_resolve_that_comes_before_its_alert_is_a_dated_marker() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("EnableKey", 60, json!({}))], at(61));
    assert!(world.incidents.is_empty());
    world.feed(&policy, &[call("DisableKey", 0, json!({}))], at(70));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.only().resolved_at, Some(at(60)));
    assert_eq!(world.heard(), ["chat notice opened_and_resolved", "pager notice opened_and_resolved"]);
}

#[test]
fn an_older_event_never_undoes_newer_knowledge() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("DisableKey", 100, json!({}))], at(101));
    world.feed(&policy, &[call("EnableKey", 50, json!({}))], at(102));
    assert_eq!(world.only().state, State::Open);
    // The same second: the worse state wins, whatever the order.
    world.feed(&policy, &[call("EnableKey", 100, json!({}))], at(103));
    assert_eq!(world.only().state, State::Open);
}

#[test]
fn the_order_of_arrival_does_not_change_the_end_state() {
    let policy = policy();
    let other = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob", "accountId": "111122223333" } });
    let events = [
        call("DisableKey", 0, json!({})),
        call("EnableKey", 30, json!({})),
        call("ScheduleKeyDeletion", 40, other.clone()),
        call("CancelKeyDeletion", 50, json!({})),
        call("EnableKey", 60, json!({})),
        call("DisableKey", 90, other),
        call("EnableKey", 120, json!({})),
    ];
    let mut expected = None;
    let mut seed = 7_u64;
    for round in 0..300 {
        let mut shuffled: Vec<Event> = events.iter().cloned().chain(events.iter().take(round % 8).cloned()).collect();
        for i in (1..shuffled.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (seed >> 33) as usize % (i + 1));
        }
        let mut world = World::default();
        let batch = 1 + round % 4;
        for (n, chunk) in (0..).zip(shuffled.chunks(batch)) {
            world.feed(&policy, chunk, at(200 + n));
        }
        let state = world.end_state();
        assert_eq!(state.len(), 1, "{state:?}");
        let expected = expected.get_or_insert_with(|| state.clone());
        assert_eq!(&state, expected, "round {round}");
    }
}

#[test]
fn an_incident_without_a_resolve_pattern_ends_by_time() {
    let (policy, mut world) = (policy(), World::default());
    let denied = json!({
        "errorCode": "AccessDenied",
        "errorMessage": format!("User: arn:aws:sts::111122223333:assumed-role/Admin/alice is not authorized to perform: kms:Decrypt on resource: {KEY} because no resource-based policy allows the kms:Decrypt action"),
        "requestParameters": null, "responseElements": null, "resources": null
    });
    world.feed(&policy, &[call("Decrypt", 0, denied.clone())], at(1));
    assert_eq!(world.heard(), ["chat trigger opened"], "medium goes to the chat only");
    assert_eq!(world.only().key.as_ref().unwrap().arn.as_deref(), Some(KEY));
    world.feed(&policy, &[call("Decrypt", 1800, denied)], at(1801));
    world.pass(&policy, at(3600));
    assert_eq!(world.only().state, State::Open, "the second denial renewed it");
    world.pass(&policy, at(1800 + 3600));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.heard().last().unwrap(), "chat resolve expired");
    assert!(world.snapshot.situations.values().all(|s| s.next_due().is_none()), "no timer is left behind");
}

#[test]
fn both_event_families_of_a_rotation_are_one_notice() {
    let (policy, mut world) = (policy(), World::default());
    let service = call(
        "RotateKey",
        0,
        json!({ "eventType": "AwsServiceEvent", "userIdentity": { "accountId": "111122223333", "invokedBy": "AWS Internal" },
                "requestParameters": null, "responseElements": null,
                "serviceEventDetails": { "keyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "rotationType": "AUTOMATIC" } }),
    );
    let native = decoded(&json!({
        "version": "0", "id": "n-1", "detail-type": "KMS CMK Rotation", "source": "aws.kms", "account": "111122223333",
        "time": at(4).to_string(), "region": "eu-central-1", "resources": [KEY],
        "detail": { "key-id": "1234abcd-12ab-34cd-56ef-1234567890ab" }
    }));
    world.feed(&policy, &[native], at(5));
    world.feed(&policy, &[service], at(6));
    assert_eq!(world.heard(), ["chat notice notice"]);
    assert_eq!(world.only().alerts, 1);
    assert_eq!(world.only().state, State::Resolved);
    // A year later it is news again, and another incident.
    let later = call("RotateKey", 31_536_000, json!({ "eventType": "AwsServiceEvent" }));
    world.feed(&policy, &[later], at(31_536_001));
    assert_eq!(world.incidents.len(), 2);
    assert_eq!(world.told.len(), 2);
}

#[test]
fn a_new_actor_and_a_repeat_are_told_again_and_the_rest_is_not() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("DisableKey", 0, json!({}))], at(1));
    let decision = world.feed(&policy, &[call("DisableKey", 10, json!({}))], at(11));
    assert!(decision.deliveries.is_empty());
    assert!(matches!(decision.history.last().unwrap().what, What::NotTold { reason: NotTold::NothingNew, .. }));
    let bob = json!({ "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/bob" } });
    world.feed(&policy, &[call("DisableKey", 20, bob)], at(21));
    assert_eq!(world.heard()[2..], ["chat update new_actor", "pager update new_actor"]);
    world.pass(&policy, at(22 + 4 * 3600));
    assert_eq!(world.heard()[4..], ["chat update repeat", "pager update repeat"]);
    let again = world.pass(&policy, at(23 + 4 * 3600));
    assert!(again.deliveries.is_empty());
}

#[test]
fn an_incident_reopens_within_its_time_and_is_a_new_one_after() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("DisableKey", 0, json!({})), call("EnableKey", 10, json!({}))], at(11));
    world.feed(&policy, &[call("DisableKey", 3600, json!({}))], at(3601));
    assert_eq!(world.only().state, State::Open);
    assert_eq!(world.heard()[4..], ["chat trigger reopened", "pager trigger reopened"]);
    world.feed(&policy, &[call("EnableKey", 3700, json!({}))], at(3701));
    world.feed(&policy, &[call("DisableKey", 3700 + 90_000, json!({}))], at(3700 + 90_001));
    assert_eq!(world.incidents.len(), 2);
    assert_eq!(world.heard().last().unwrap(), "pager trigger opened");
}

#[test]
fn a_forgotten_route_does_not_lose_a_page_and_says_so() {
    let policy = policy_with(rule::classic(), "[[routes]]\nmatch = { severity = ['low'] }\nsinks = ['chat']");
    let mut world = World::default();
    world.feed(&policy, &[call("DisableKey", 0, json!({}))], at(1));
    assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
    assert!(world.told[0].notification.marks.iter().any(|m| m.contains("no route")));
}

#[test]
fn a_route_that_asks_for_unknown_details_is_taken_and_marked() {
    let policy = policy_with(
        rule::classic(),
        "[[routes]]\nmatch = { severity = ['critical'], key.labels.environment = ['production'] }\nsinks = ['pager']\n[[routes]]\nmatch = { severity = ['low'], key.labels.environment = ['production'] }\nsinks = ['chat']",
    );
    let known = evaluate(&policy, &prepared(call("DisableKey", 0, json!({}))), at(1));
    let mut dark = prepared(call("DisableKey", 0, json!({})));
    dark.marks.push("key details could not be looked up: access denied".into());
    let mut world = World::default();
    world.feed_evaluations(&policy, &[evaluate(&policy, &dark, at(1))], at(1));
    assert_eq!(world.heard(), ["pager trigger opened"], "the severity still decides");
    assert!(world.told[0].notification.marks.iter().any(|m| m.contains("unknown")));
    // With details known, no route takes it, and the safety net tells everybody.
    let mut world = World::default();
    world.feed_evaluations(&policy, &[known], at(1));
    assert_eq!(world.heard().len(), 2);
}

#[test]
fn an_exemption_that_reads_an_unknown_value_does_not_exempt() {
    let rule = rule_from(
        "id = 'r'\ntitle = 'R'\nseverity = 'high'\nnotice = true\nmatch = { detail.eventName = ['X'] }\nexcept = [{ key.labels.environment = [{ exists = false }] }]",
    );
    let policy = policy_with(vec![rule], "");
    let known = evaluate(&policy, &prepared(call("X", 0, json!({}))), at(1));
    assert!(known.is_idle(), "it has no such label: exempt");
    let mut dark = prepared(call("X", 0, json!({})));
    dark.marks.push("lookup failed".into());
    assert!(!evaluate(&policy, &dark, at(1)).is_idle());
}

#[test]
fn a_lookup_speaks_only_if_it_was_made_well_after_the_danger() {
    let policy = policy();
    let with_state = |read_at: i64| {
        let mut p = prepared(call("DisableKey", 0, json!({})));
        p.looked_up = Some(LookedUp { state: "Enabled".into(), read_at: at(read_at) });
        p
    };
    let mut world = World::default();
    world.feed_evaluations(&policy, &[evaluate(&policy, &with_state(2), at(3))], at(3));
    assert_eq!(world.only().state, State::Open, "KMS is eventually consistent");
    let mut world = World::default();
    world.feed_evaluations(&policy, &[evaluate(&policy, &with_state(7200), at(7201))], at(7201));
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.heard(), ["chat notice opened_and_resolved", "pager notice opened_and_resolved"]);
    assert!(world.told[0].notification.marks.iter().any(|m| m.contains("late")));
}

#[test]
fn people_acknowledge_and_resolve_and_a_rise_asks_again() {
    let rules = vec![
        rule_from(
            "id = 'a'\ntitle = 'A'\nseverity = 'high'\nincident = 'f'\nmatch = { detail.eventName = ['A'] }\nresolve_after = '10h'",
        ),
        rule_from(
            "id = 'b'\ntitle = 'B'\nseverity = 'critical'\nincident = 'f'\nmatch = { detail.eventName = ['B'] }\nresolve_after = '10h'",
        ),
    ];
    let policy = policy_with(rules, "");
    let mut world = World::default();
    world.feed(&policy, &[call("A", 0, json!({}))], at(1));
    let id = world.only().id.clone();
    let command = |action| Command { incident: id.clone(), action, by: "carol".into(), why: "on it".into() };
    let decision = by_hand(&policy, &world.snapshot, &command(Action::Acknowledge), at(5));
    world.apply(decision);
    assert_eq!(world.only().state, State::Acknowledged);
    world.pass(&policy, at(5 + 5 * 3600));
    assert!(!world.heard().iter().any(|h| h.contains("repeat")), "an acknowledged incident is not repeated");
    world.feed(&policy, &[call("B", 20_000, json!({}))], at(20_001));
    assert_eq!(world.only().state, State::Open);
    assert!(world.heard().last().unwrap().contains("escalated"));
    let decision = by_hand(&policy, &world.snapshot, &command(Action::Resolve), at(20_100));
    world.apply(decision);
    assert_eq!(world.only().state, State::Resolved);
    // An event from before the person's word does not open it again; a newer one does.
    world.feed(&policy, &[call("A", 20_050, json!({}))], at(20_200));
    assert_eq!(world.only().state, State::Resolved);
    world.feed(&policy, &[call("A", 20_150, json!({}))], at(20_201));
    assert_eq!(world.only().state, State::Open);
    let nobody = by_hand(&policy, &Snapshot::default(), &command(Action::Resolve), at(9));
    assert!(nobody.is_empty());
}

#[test]
fn a_removed_rule_closes_its_incidents_and_says_so() {
    let mut world = World::default();
    world.feed(&policy(), &[call("DisableKey", 0, json!({}))], at(1));
    let same = adopt(&policy(), &world.snapshot, at(5));
    assert!(same.is_empty(), "nothing changed");
    let without = policy_with(rule::classic().into_iter().filter(|r| r.id != "kms.key-disabled").collect(), "");
    let decision = adopt(&without, &world.snapshot, at(9));
    world.apply(decision);
    assert_eq!(world.only().state, State::Resolved);
    assert_eq!(world.heard()[2..], ["chat resolve rule_gone", "pager resolve rule_gone"]);
}

#[test]
fn an_incident_keeps_the_resolve_it_opened_with() {
    let first = "id = 'a'\ntitle = 'A'\nseverity = 'high'\nmatch = { detail.eventName = ['A'] }\nresolve = { detail.eventName = ['Old'] }";
    let mut world = World::default();
    world.feed(&policy_with(vec![rule_from(first)], ""), &[call("A", 0, json!({}))], at(1));
    let mut changed = policy_with(vec![rule_from(&first.replace("Old", "New"))], "");
    changed.legacy = legacy_resolves(&changed.rules, world.snapshot.situations.values());
    assert_eq!(changed.legacy.len(), 1);
    world.feed(&changed, &[call("Old", 5, json!({}))], at(6));
    assert_eq!(world.only().state, State::Resolved);
}

#[test]
fn copies_with_a_shared_id_are_one_alert_with_their_fields_joined() {
    let (policy, mut world) = (policy(), World::default());
    let shared = json!({ "sharedEventID": "s-1" });
    let mut first = call("DisableKey", 0, shared.clone());
    first.key.as_mut().unwrap().tags.insert("team".into(), "data".into());
    let second = call("DisableKey", 1, shared);
    world.feed(&policy, &[first], at(2));
    world.feed(&policy, &[second], at(3));
    assert_eq!(world.only().alerts, 1);
    assert_eq!(world.only().key.as_ref().unwrap().tags.get("team").map(String::as_str), Some("data"));
}

#[test]
fn kmswatch_reports_on_itself_and_takes_it_back() {
    let (policy, mut world) = (policy(), World::default());
    let deaf = OwnSubject::Deaf { queue: "prod".into() };
    world.feed_evaluations(&policy, &[own_danger(&deaf, "KmsDisabled: the queue's key", at(0))], at(0));
    world.feed_evaluations(&policy, &[own_danger(&deaf, "KmsDisabled: the queue's key", at(60))], at(60));
    assert_eq!(world.heard(), ["chat trigger opened", "pager trigger opened"]);
    let other = OwnSubject::Deaf { queue: "dev".into() };
    world.feed_evaluations(&policy, &[own_clear(&other, "receiving again", at(61))], at(61));
    assert_eq!(world.only().state, State::Open);
    world.feed_evaluations(&policy, &[own_clear(&deaf, "receiving again", at(62))], at(62));
    assert_eq!(world.only().state, State::Resolved);
    let kept = adopt(&policy, &world.snapshot, at(70));
    assert!(kept.is_empty());
    let direct = own_notification(&OwnSubject::StoreFailing, "disk_full", at(1));
    assert_eq!(direct.kind, Kind::Trigger);
    assert_eq!(direct.incident.severity, Severity::Critical);
}

#[test]
fn a_far_older_alert_joins_without_opening_anything() {
    let (policy, mut world) = (policy(), World::default());
    world.feed(&policy, &[call("DisableKey", 1000, json!({})), call("EnableKey", 2000, json!({}))], at(2001));
    let told = world.told.len();
    let decision = world.feed(&policy, &[call("DisableKey", 500, json!({}))], at(9000));
    assert_eq!(world.told.len(), told);
    assert!(matches!(decision.history.last().unwrap().what, What::NotTold { reason: NotTold::Outdated, .. }));
    assert_eq!(world.only().opened_at, at(500));
}

#[test]
fn hostile_documents_do_not_confuse_grouping() {
    let a = fingerprint("f", &["key.tags.a.b".into()], &json!({ "key": { "tags": { "a.b": "1" } } }));
    let b = fingerprint("f", &["key.tags.a.b".into()], &json!({ "key": { "tags": { "a": { "b": "1" } } } }));
    assert_eq!(a, b, "a dotted tag name is found");
    let one = fingerprint("f", &["x".into(), "y".into()], &json!({ "x": "1", "y": "2" }));
    let two = fingerprint("f", &["x".into(), "y".into()], &json!({ "x": "1\u{0}y\u{1}2" }));
    assert_ne!(one, two);
}
